"""The demo page, and with it the client for browsers, in a real one: tabs side by side, a copied tab, one whose cable is
pulled, one that is hidden, one that is frozen."""

import re
import time

import pytest

from support.browser import Browser
from support.bounds import MEASURING, SCAN
from support.mode import PATIENCE
from support.tokens import SECRET, Secret

HEARTBEAT = 0.5
TIMEOUT = 3 * HEARTBEAT
# What a page needs beyond a bound of its own, on two processors that others use, too.
PAGE = 1.0

pytestmark = pytest.mark.release_only  # the page is the same in all builds


@pytest.fixture(scope="module")
def browser(tmp_path_factory):
    with Browser(tmp_path_factory.mktemp("chromium")) as browser:
        yield browser


@pytest.fixture
def demo(start):
    """A server whose sessions have a short timeout, whatever they wish for."""
    return start(LISTEN="tcp://127.0.0.1:0,ws://127.0.0.1:0", ALLOWED_ORIGINS="*", WORKERS=1,
                 HEARTBEAT="500ms", HEARTBEAT_MIN="500ms", HEARTBEAT_MAX="500ms")


def up(page):
    page.wait("window.presence?.link === 'up'")
    return page


@pytest.fixture
def visit(browser, demo):
    """Opens the demo as somebody, in a tab; what its console says at the end is judged."""
    pages = []

    def open_one(name, **how):
        pages.append(browser.page(f"{demo.admin}/demo?as={name}", **how))
        return up(pages[-1])

    yield open_one
    for page in pages:
        assert page.complaints == []
        browser.call("Target.closeTarget", targetId=page.target)


def shows(page, user, state, patience=TIMEOUT + PAGE + PATIENCE):
    """Waits until the contact is shown so; when that was, by the page's own log of it."""
    page.wait(f"document.querySelector('[data-user={user}]').dataset.state === '{state}'", patience)


def record(page):
    """Notes each change of a contact from now on, with its moment on the clock that all processes of this host share."""
    page.run("""window.told ??= presence.addEventListener('contact', ({contact}) =>
        told.push({user: contact.user, truth: contact.truth, state: contact.state, reason: contact.reason,
                   at: Date.now() / 1000})) ?? [], told.length = 0""")


def told(page, user):
    return [c for c in page.run("told") if c["user"] == user]


def press(page, what):
    page.run(f"document.querySelector('#{what}').click()")
    return time.time()


# Tabs


@pytest.mark.tight
def test_two_tabs_and_a_pulled_cable(visit, demo, figure):
    """The other tab is told, this one knows that it does not know, and nobody closed a connection."""
    alice, bob = visit("alice"), visit("bob")
    shows(alice, "bob", "online")
    shows(bob, "alice", "online")
    for page in (alice, bob):
        record(page)
    connections = demo.stats()["connections"]
    pulled = press(alice, "pull")
    assert demo.stats()["connections"] == connections == 2
    shows(bob, "alice", "offline")
    assert demo.counters()["pings"] == 0, "the browser would answer for the page"
    event, = told(bob, "alice")
    assert event["reason"] == "timeout"
    assert "fell silent (timeout)" in bob.text("[data-user=alice]")
    shows(alice, "bob", "unknown")
    unknown, = told(alice, "bob")
    assert unknown["state"] == "online", "as it was"
    assert re.search(r"Was online, as of [12] s ago", alice.text("[data-user=bob]"))
    after = {"offline": event["at"] - pulled, "unknown": unknown["at"] - pulled}
    figure(", ".join(f"{what} {seconds:.2f} s after the cable was pulled" for what, seconds in after.items()))
    assert TIMEOUT - HEARTBEAT - MEASURING <= min(after.values())
    assert after["offline"] <= TIMEOUT + 2 * SCAN + PAGE and after["unknown"] <= TIMEOUT + PAGE

    press(alice, "pull")
    shows(alice, "bob", "online")
    shows(bob, "alice", "online")
    assert [c["truth"] for c in told(alice, "bob")] == ["unknown", "online"]
    assert [c["truth"] for c in told(bob, "alice")] == ["offline", "online"]


def test_only_one_way(visit, demo):
    """Mute: the others are told, and as nothing is answered, this tab knows no more. Deaf: neither does it, and lets go."""
    ways = {"alice": ("mute", "timeout"), "carol": ("deaf", "closed")}
    bob, pages = visit("bob"), {name: visit(name) for name in ways}
    for name, page in pages.items():
        shows(page, "bob", "online")
        shows(bob, name, "online")
        record(page)
    record(bob)
    for name, page in pages.items():
        press(page, ways[name][0])
    for name, page in pages.items():
        shows(page, "bob", "unknown")
        shows(bob, name, "offline")
        assert [c["reason"] for c in told(bob, name)] == [ways[name][1]]
        press(page, ways[name][0])
        shows(page, "bob", "online")
        assert [c["truth"] for c in told(page, "bob")] == ["unknown", "online"]


def test_tabs_of_one_user_are_devices(visit, browser, demo):
    """Side by side, reloaded, and copied with all that the tab has stored: nobody replaces anybody."""
    tab = visit("alice")
    beside = visit("alice", beside=tab)
    devices = [page.run("presence.self.device") for page in (tab, beside)]
    assert len(set(devices)) == 2
    tab.call("Page.reload")
    tab.wait("document.readyState === 'complete'")
    assert up(tab).run("presence.self.device") == devices[0]
    tab.call("Page.navigate", url="about:blank")
    tab.wait("window.presence === undefined && document.readyState === 'complete'")
    tab.run("void setTimeout(() => history.back())")
    assert up(tab).run("presence.self.device") == devices[0], "as it was left"

    tab.call("Runtime.evaluate", expression="void window.open('/demo?as=alice')", userGesture=True)
    copy = up(browser.opened_by(tab))
    assert copy.run("sessionStorage.getItem('presence.device')") not in devices
    devices.append(copy.run("presence.self.device"))
    assert len(set(devices)) == 3
    assert [page.run("presence.link") for page in (tab, beside, copy)] == ["up"] * 3
    assert copy.complaints == []
    assert sorted(s["device"] for s in demo.get("/v1/users/alice")[1]["sessions"]) == sorted(devices)
    assert demo.counters().get("ended_replaced", 0) == 0
    browser.call("Target.closeTarget", targetId=copy.target)


def test_replaced_and_kicked_stay_away(visit, demo, clients):
    alice = visit("alice")
    other = clients(demo, demo.url("tcp")).hello("alice", alice.run("presence.self.device"))
    alice.wait("document.querySelector('#link-text').innerText === 'Stopped: replaced'")
    other.bye()
    assert alice.run("document.querySelector('#again').hidden") is False
    press(alice, "again")
    up(alice)
    assert demo.get("/v1/users/alice", method="DELETE")[0] == 204
    alice.wait("document.querySelector('#link-text').innerText === 'Stopped: kicked'")
    logins = demo.counters()["logins"]
    time.sleep(1.0)  # a back-off of its, in which nothing must come
    assert demo.counters()["logins"] == logins


# A page's life


def test_hidden_tab_whose_timers_are_throttled(visit, demo):
    """Once a second, they fire, with a heartbeat of half of one: it stays, is told at once, and judges nobody falsely."""
    bob = visit("bob")
    alice = visit("alice")
    shows(alice, "bob", "online")
    record(alice), record(bob)
    visit("carol", beside=alice)
    alice.wait("document.visibilityState === 'hidden'")
    alice.run("window.links = [], presence.addEventListener('link', ({link, error}) => links.push([link, error]))")
    alice.run("window.ticks = 0, setInterval(() => ticks++, 100)")
    began = time.monotonic()
    time.sleep(3 * TIMEOUT)  # how long nothing must happen
    assert alice.run("ticks") <= time.monotonic() - began + 2, "the browser throttles"
    said = time.time()
    bob.run("presence.update({state: 'busy'})")
    shows(alice, "bob", "busy")
    assert told(alice, "bob")[0]["at"] - said <= PAGE
    assert [c["state"] for c in told(alice, "bob")] == ["busy"]
    assert alice.run("links") == [] and told(bob, "alice") == []


@pytest.mark.long
def test_hidden_tab_whose_timers_fire_once_a_minute(start, tmp, figure):
    """As Chromium's do after five minutes, here after a second. It lives by its browser's pongs."""
    server = start(LISTEN="tcp://127.0.0.1:0,ws://127.0.0.1:0", ALLOWED_ORIGINS="*", WORKERS=1, HEARTBEAT="2s", HEARTBEAT_MIN="2s", HEARTBEAT_MAX="2s")
    with Browser(tmp, "--enable-features=IntensiveWakeUpThrottling:grace_period_seconds/1") as browser:
        # Not the demo: pages that ask for no pings must beat, and once a minute is too rare for them.
        alice = browser.page(f"{server.admin}/demo?as=alice")
        up(alice).run("presence.stop()")
        alice.run(f"""(async () => {{
            const {{ Presence }} = await import('/demo/presence.js');
            window.quiet = new Presence('{server.url("ws")}', {{ user: 'quiet' }});
            window.seen = [];
            quiet.addEventListener('contact', ({{ contact: c }}) => seen.push([c.user, c.truth, c.state]));
            quiet.addEventListener('link', ({{ link, error }}) => seen.push([link, error]));
            quiet.watch('bob');
            quiet.start();
        }})()""")
        alice.wait("window.quiet?.contact('bob').truth === 'offline'")
        bob = up(browser.page(f"{server.admin}/demo?as=bob", beside=alice))
        alice.wait("document.visibilityState === 'hidden' && quiet.contact('bob').truth === 'online'")
        alice.run("window.gaps = [], last = performance.now(), setInterval(() => (gaps.push(performance.now() - last), last = performance.now()), 200)")
        time.sleep(150)  # two of those minutes
        longest = alice.run("Math.max(...gaps)") / 1000
        figure(f"timers came up to {longest:.1f} s late, with a timeout of 6 s")
        assert longest > 30
        said = time.time()
        bob.run("presence.update({state: 'busy'})")
        alice.wait("quiet.contact('bob').state === 'busy'")
        assert time.time() - said <= PAGE
        assert alice.run("seen") == [["connecting", None], ["up", None], ["bob", "offline", "offline"], ["bob", "online", "online"],
                                     ["bob", "online", "busy"]]
        assert server.get("/v1/users/quiet")[1]["state"] == "online"
        assert server.counters()["ended_timeout"] == 0


def test_frozen_page_leaves_and_comes_back(visit, demo):
    alice, bob = visit("alice"), visit("bob")
    shows(bob, "alice", "online")
    record(alice)
    alice.call("Page.setWebLifecycleState", state="frozen")
    shows(bob, "alice", "offline")
    assert "closed its connection" in bob.text("[data-user=alice]")
    alice.call("Page.setWebLifecycleState", state="active")
    up(alice)
    shows(bob, "alice", "online")


def test_reload_within_grace_is_no_news(browser, start):
    server = start(LISTEN="ws://127.0.0.1:0", ALLOWED_ORIGINS="*", WORKERS=1, GRACE="5s")
    alice, bob = (up(browser.page(f"{server.admin}/demo?as={name}")) for name in ("alice", "bob"))
    shows(bob, "alice", "online")
    record(bob)
    alice.call("Page.reload")
    alice.wait("document.readyState === 'complete'")
    up(alice)
    assert alice.run("document.querySelector('#log').innerText.includes('and the session goes on')")
    bob.run("presence.query(['carol'])")  # whatever there was to be told was told before its answer
    assert told(bob, "alice") == [] and alice.complaints == bob.complaints == []


def test_words_of_ones_own(visit, demo):
    alice, bob = visit("alice"), visit("bob")
    alice.run("document.querySelector('input[value=busy]').click()")
    alice.run("document.querySelector('#status').value = '<b>tea</b>', document.querySelector('#status-form').requestSubmit()")
    shows(bob, "alice", "busy")
    bob.wait("document.querySelector('[data-user=alice]').innerText.includes('“<b>tea</b>”')")
    alice.run("document.querySelector('input[value=invisible]').click()")
    shows(bob, "alice", "offline")


# Without what it needs


def test_server_that_asks_for_tokens(browser, start):
    server = start(LISTEN="ws://127.0.0.1:0", ALLOWED_ORIGINS="*", JWT_SECRET=SECRET)
    page = browser.page(f"{server.admin}/demo")
    page.wait("!document.querySelector('#token-form').hidden")
    page.run(f"document.querySelector('#token').value = '{Secret().token('bob', watch=['alice'])}'")
    press(page, "token-form button")
    assert up(page).run("presence.self.user") == "bob"
    shows(page, "alice", "offline")
    page.wait("document.querySelector('[data-user=carol]').innerText.includes('does not tell you')")
    assert page.text("#me-name") == "bob" and page.run("document.title").startswith("bob")
    assert page.run("[...document.querySelectorAll('#contacts li')].map((row) => row.dataset.user)") == ["alice", "carol", "dave"]
    assert page.complaints == []


def test_without_a_websocket_it_says_what_is_missing(browser, start):
    server = start(LISTEN="tcp://127.0.0.1:0")
    page = browser.page(f"{server.admin}/demo")
    page.wait("!document.querySelector('#setup').hidden")
    assert f"PRESENCED_ALLOWED_ORIGINS={server.admin}" in page.text("#setup")
    assert "ws://127.0.0.1:7401" in page.text("#setup")
    assert page.complaints == []


def test_origin_that_is_not_allowed_is_named(browser, start):
    server = start(LISTEN="ws://127.0.0.1:0", ALLOWED_ORIGINS="https://example.org")
    assert server.get("/demo/config.json") == (
        200, {"websocket": server.url("ws") + "/", "is_origin_allowed": False, "asks_token": False})
    page = browser.page(f"{server.admin}/demo")
    page.wait("!document.querySelector('#setup').hidden")
    assert f"PRESENCED_ALLOWED_ORIGINS={server.admin}" in page.text("#setup")
    assert server.counters()["origin_refused"] == 0
