"""The dashboard, in a browser: it lives, finds users, warns, and speaks to nobody else."""

import contextlib
import http.client
import json
import re
import signal
import socket
import statistics
import struct
import threading
import time
from urllib.parse import urlsplit

import pytest

from support.browser import Browser
from support.mode import PATIENCE

PHONE = {"width": 390, "height": 844, "scale": 2}
IS_LIVE = "document.documentElement.dataset.samples"


@pytest.fixture(scope="module")
def browser(session_tmp):
    profile = session_tmp / "browser"
    profile.mkdir()
    with Browser(profile) as browser:
        yield browser


@pytest.fixture
def admin(start):
    """A server with one worker, so that all there is to see is the same each time."""
    return start(WORKERS=1, HEARTBEAT_MIN="50ms", SCAN_INTERVAL="50ms")


@pytest.fixture
def visit(browser):
    def open_page(server, path="/", **view):
        return browser.page(server.admin + path, **view)

    return open_page


def assert_well(page, server):
    """Nothing was complained of, and nobody else was asked for anything."""
    assert page.complaints == []
    assert page.asked and all(url.startswith(server.admin + "/") for url in page.asked), page.asked


def tile(page, title):
    """The number of a tile, as it is shown."""
    return page.run(f"""[...document.querySelectorAll('.tile')].find(
        (tile) => tile.querySelector('h3').textContent === {json.dumps(title)}).querySelector('.value').textContent""")


def wait_for_tile(page, title, text):
    page.wait(f"""[...document.querySelectorAll('.tile')].find(
        (tile) => tile.querySelector('h3').textContent === {json.dumps(title)}).querySelector('.value span').textContent
        === {json.dumps(text)}""")


# ---- what is served ------------------------------------------------------------------------------


def get(server, path, **headers):
    where = urlsplit(server.admin)
    with contextlib.closing(http.client.HTTPConnection(where.hostname, where.port, timeout=PATIENCE)) as asked:
        asked.request("GET", path, headers=headers)
        reply = asked.getresponse()
        return reply.status, reply.headers, reply.read()


def test_files_that_the_page_names_are_there(start):
    """In every mode, and without a browser: what is named is served, needs no token, and is kept by who has it."""
    server = start(ADMIN_TOKEN="secret-of-this-test")
    status, headers, body = get(server, "/")
    assert status == 200 and "script-src 'self'" in headers["Content-Security-Policy"]
    named, seen = set(re.findall(r'(?:src|href)="(/page/[^"]+)"', body.decode())), set()
    while named - seen:
        path = (named - seen).pop()
        seen.add(path)
        status, headers, body = get(server, path)
        assert status == 200 and body, path
        assert get(server, path, **{"If-None-Match": headers["ETag"]})[0] == 304
        named |= {f"/page/{other}" for other in re.findall(r"from '\./([\w.]+)'", body.decode())}
    assert {"/page/page.js", "/page/live.js", "/page/uplot.js", "/page/uplot.css", "/page/uplot-licence.txt"} <= seen


# ---- in a browser --------------------------------------------------------------------------------


@pytest.mark.tight
@pytest.mark.release_only
def test_it_lives_and_warns(start, clients, visit):
    """Numbers move while they are looked at; a limit that is near is said plainly, and no longer when it is not."""
    server = start(WORKERS=1, MAX_CONNECTIONS=5)
    page = visit(server)
    page.wait("document.querySelector('#state').dataset.state === 'live'")
    assert page.run("document.title") == "presenced" and page.text("#notices") == ""
    assert tile(page, "Sessions") == "0"
    people = [clients(server).hello(f"user{i}") for i in range(4)]
    wait_for_tile(page, "Sessions", "4")
    assert tile(page, "Users online") == "4"
    said = page.text("#notices")
    assert "Connections near the limit" in said and "4 of 5" in said and "PRESENCED_MAX_CONNECTIONS" in said
    assert page.run("document.querySelector('#state').dataset.state") == "warn"
    people[0].bye()
    people[1].sock.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, struct.pack("ii", 1, 0))
    people[1].close()
    wait_for_tile(page, "Sessions", "2")
    ends = "[...document.querySelectorAll('.chart')].find((c) => c.textContent.startsWith('Ends')).querySelector('.legend')"
    page.wait(f"/logout1/.test({ends}.textContent) && /reset1/.test({ends}.textContent)")
    assert page.text("#notices") == "" and page.text("#state") == "All well"
    assert page.run("document.querySelectorAll('.chart canvas').length") == 6
    assert page.run("document.querySelectorAll('#workers tr').length") == 1
    assert_well(page, server)
    # Another one, opened now, has the past too.
    fresh = visit(server)
    fresh.wait("Number(document.documentElement.dataset.samples) >= 3", PATIENCE)
    assert tile(fresh, "Ends") == tile(page, "Ends") == "2/min"
    assert_well(fresh, server)


@contextlib.contextmanager
def beating(client):
    """It lives as long as this lasts, however slow the browser is."""
    is_over = threading.Event()

    def beat():
        while not is_over.wait(0.1):
            client.raw(b"\n")

    thread = threading.Thread(target=beat, daemon=True)
    thread.start()
    yield
    is_over.set()
    thread.join()


@pytest.mark.release_only
def test_a_user_is_found(admin, clients, visit):
    """Its sessions while they are there, then why they are not; and somebody who never was."""
    page = visit(admin)
    page.wait(IS_LIVE)
    alice = clients(admin).hello("alice/1", "phone", status="at lunch", heartbeat_ms=300)
    with beating(alice):
        page.press("/")
        assert page.run("document.activeElement.id") == "who"
        page.type("alice/1")
        page.press("Enter")
        page.wait("document.querySelector('.sessions')")
        shown = page.text("#user")
    assert "alice/1" in shown and "online" in shown and "phone" in shown and "at lunch" in shown
    assert alice.welcome["session"] in shown and "timeout 900 ms" in shown
    # Nothing is sent any more: it falls silent, and the page says how that was known.
    page.wait("/Offline since .*: no byte for .*timeout 900 ms/.test(document.querySelector('.history li')?.textContent)")
    shown = page.text(".history")
    assert "looked open" in shown and "logged in" in shown
    assert "%2F1" in page.run("location.hash") and not any("alice/1" in url for url in page.asked)
    clients(admin).hello("alice/2")
    page.run("location.hash = '#user=alice'")
    page.wait("document.querySelector('.matches')?.textContent.includes('alice/2')")
    assert "Never seen here" in page.text("#user")
    assert_well(page, admin)


@pytest.mark.release_only
def test_a_server_that_is_gone_or_says_nothing(start, visit):
    """What is shown is old then, and the page says so; it comes back by itself."""
    server = start(WORKERS=1)
    page = visit(server)
    page.wait(IS_LIVE)
    server.signal(signal.SIGSTOP)
    try:
        page.wait("/No data for \\d+ s/.test(document.querySelector('#notices').textContent)", 3 * PATIENCE)
        assert page.run("document.body.classList.contains('is-stale')")
    finally:
        server.signal(signal.SIGCONT)
    page.wait("!document.querySelector('#notices').textContent.includes('No data')")
    assert page.complaints == []
    server.stop()
    page.wait("document.querySelector('#notices').textContent.includes('No connection to the server')")
    assert page.text("#state") == "Not connected"


@pytest.mark.release_only
def test_token(start, visit):
    """Asked for once a tab, in a header only; a wrong one is asked for again."""
    secret = "secret-of-this-test"
    server = start(WORKERS=1, ADMIN_TOKEN=secret)
    page = visit(server)
    for token in ("wrong", secret):
        page.wait("document.querySelector('#ask').open")
        page.run("document.querySelector('#token').focus()")
        page.type(token)
        page.press("Enter")
        page.wait("!document.querySelector('#ask').open || document.querySelector('#ask-why').textContent.includes('Another')")
    page.wait(IS_LIVE)
    page.call("Page.reload")
    page.wait(IS_LIVE)
    assert not page.run("document.querySelector('#ask').open")
    assert not any(secret in url for url in page.asked)
    assert page.run("JSON.stringify(localStorage).includes('secret')") is False
    page.run("document.querySelector('#forget').click()")
    page.wait("document.querySelector('#ask').open")
    assert all("401" in str(complaint) for complaint in page.complaints), page.complaints


@pytest.mark.release_only
def test_on_a_phone(admin, clients, visit):
    """No scrolling sideways, not with a long id either; and text that can be read in both themes."""
    clients(admin).hello("u" * 128, "d" * 64, status="s" * 256)
    page = visit(admin, f"/#user={'u' * 128}", is_dark=True, **PHONE)
    page.wait(IS_LIVE)
    page.wait("document.querySelector('.sessions') && document.querySelector('.history')")
    for theme in ("dark", "light"):
        page.wait(f"document.documentElement.dataset.theme === '{theme}'")
        assert page.run("document.documentElement.scrollWidth") == PHONE["width"]
        low = page.run(CONTRAST)
        assert low == [], low
        page.run("document.querySelector('#theme').click()")  # from that of the system to light
    assert_well(page, admin)


# Texts whose contrast with what they stand on is below WCAG's AA (4.5:1).
CONTRAST = """(() => {
    const parse = (text) => text.match(/[\\d.]+/g).map(Number);
    const light = (c) => [0, 1, 2].map((i) => c[i] / 255).map((v) => v <= 0.03928 ? v / 12.92 : ((v + 0.055) / 1.055) ** 2.4)
        .reduce((sum, v, i) => sum + v * [0.2126, 0.7152, 0.0722][i], 0);
    const ground = (e) => {
        for (; e; e = e.parentElement) {
            const c = parse(getComputedStyle(e).backgroundColor);
            if (c.length < 4 || c[3] > 0) return c;
        }
        return [255, 255, 255];
    };
    const low = [];
    const walk = document.createTreeWalker(document.body, NodeFilter.SHOW_TEXT);
    for (let n = walk.nextNode(); n; n = walk.nextNode()) {
        const e = n.parentElement;
        if (!n.data.trim() || !e.checkVisibility() || e.closest('noscript, .hidden')) continue;
        const [a, b] = [light(parse(getComputedStyle(e).color)), light(ground(e))].sort((x, y) => y - x);
        if ((a + 0.05) / (b + 0.05) < 4.5) low.push([n.data.trim().slice(0, 40), (a + 0.05) / (b + 0.05)]);
    }
    return low;
})()"""


# ---- the stream ----------------------------------------------------------------------------------


class Events:
    """Server-Sent Events as they come, parsed."""

    def __init__(self, server, path="/v1/live", **headers):
        where = urlsplit(server.admin)
        self.sock = socket.create_connection((where.hostname, where.port), PATIENCE)
        lines = "".join(f"{name}: {value}\r\n" for name, value in headers.items())
        self.begun = time.monotonic()
        self.sock.sendall(f"GET {path} HTTP/1.1\r\nHost: {where.netloc}\r\n{lines}\r\n".encode())
        self.reply = http.client.HTTPResponse(self.sock)
        self.reply.begin()

    def next(self):
        """(name, data) of the next event."""
        name, data = None, None
        while line := self.reply.readline().decode().rstrip("\n"):
            if line.startswith("event: "):
                name = line[7:]
            elif line.startswith("data: "):
                data = json.loads(line[6:])
        return name, data

    def close(self):
        self.reply.close()
        self.sock.close()


def test_live_stream(start, clients):
    """What is told, in which order, and that it adds up with /stats."""
    server = start(WORKERS=2)
    with contextlib.closing(Events(server)) as events:
        assert events.reply.status == 200
        assert events.reply.headers["Content-Type"].startswith("text/event-stream")
        name, about = events.next()
        assert name == "about" and about["server"] == server.stats()["server"] and about["workers"] == 2
        clients(server).hello("alice").bye()
        logins = logouts = at_ms = 0
        for _ in range(2):
            name, sample = events.next()
            assert name == "sample" and set(about["columns"]) <= set(sample)
            assert sample["at_ms"] > at_ms and len(sample["workers"]) == len(sample["loads_permille"]) == 2
            at_ms = sample["at_ms"]
            logins += sample["logins"]
            logouts += sample["ended_logout"]
        assert logins == logouts == 1
        assert sample["not_ready"] is None and sample["sessions"] == 0
    with contextlib.closing(Events(server)) as late:
        assert late.next()[0] == "about"
        name, history = late.next()
        assert name == "history" and all(len(row) == len(about["columns"]) for row in history["samples"])
        column = about["columns"].index("logins")
        name, sample = late.next()
        assert name == "sample" and sum(row[column] for row in history["samples"]) + sample["logins"] == 1


def test_live_needs_the_token(start):
    server = start(ADMIN_TOKEN="secret-of-this-test")
    assert server.get("/v1/live")[0] == 401
    with contextlib.closing(Events(server, Authorization="Bearer secret-of-this-test")) as events:
        assert events.next()[0] == "about"


@pytest.mark.release_only
def test_answer_times_under_load(start, crowds, figure):
    """The page and the stream's first event, while some thousands of sessions beat."""
    server = start(WORKERS=1, HEARTBEAT_MIN="100ms")
    crowds(server.url(), n=2000, beat_ms=1000, heartbeat_ms=1000).wait_for("ready")

    def first_event():
        with contextlib.closing(Events(server)) as events:
            events.next()

    for what, ask in (("/", lambda: get(server, "/")), ("/page/uplot.js", lambda: get(server, "/page/uplot.js")),
                      ("/v1/live", first_event), ("/stats", server.stats)):
        times = []
        for _ in range(40):
            begun = time.monotonic()
            ask()
            times.append((time.monotonic() - begun) * 1000)
        median = statistics.median(times)
        figure(f"{what}: median {median:.2f} ms, max {max(times):.2f} ms")
        assert median < 50
