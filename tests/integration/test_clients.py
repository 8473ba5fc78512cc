"""Clients that others wrote, unchanged: each logs in, watches, is told, beats and closes, in the open and in TLS."""

import contextlib
import http.server
import json
import os
import signal
import subprocess
import threading
import urllib.parse

import pytest

from support import node
from support.certs import Certificate
from support.mode import PATIENCE

WORDS = 4 * PATIENCE  # until a client has started and speaks
DEBIAN = {"ws": "node-ws", "faye-websocket": "node-faye-websocket", "websocket": "node-websocket"}
CLIENTS = ["python3-websockets", *DEBIAN.values(), "undici"]
PYTHON = "/usr/bin/python3"
CHROMIUM = "/usr/bin/chromium"
DOORS = "tcp://127.0.0.1:0,ws://127.0.0.1:0,wss://127.0.0.1:0"
KINDS = {".html": "text/html", ".js": "text/javascript"}


class Said:
    """What a client says, in order, from whichever thread hears it."""

    def __init__(self):
        self.all, self._changed = [], threading.Condition()

    def add(self, what):
        with self._changed:
            self.all.append(what)
            self._changed.notify_all()

    def wait(self, key, value=None):
        """The first that has this key, with this value where one is given."""
        found = []

        def is_there():
            found[:] = [w for w in self.all if key in w and value in (None, w[key])]
            return found

        with self._changed:
            assert self._changed.wait_for(is_there, WORDS), f"no {key}={value}; it said {self.all}"
        return found[0]


class Program(Said):
    """A client that is a process, and says JSON lines."""

    def __init__(self, *command, env=None):
        super().__init__()
        self.process = subprocess.Popen(command, env=env, stdin=subprocess.DEVNULL, stdout=subprocess.PIPE)
        self._thread = threading.Thread(target=self._read, daemon=True)
        self._thread.start()

    def _read(self):
        for line in self.process.stdout:
            self.add(json.loads(line))

    def end(self):
        try:
            assert self.process.wait(PATIENCE) == 0
        finally:
            self.process.kill()
            self.process.wait()
            self._thread.join(PATIENCE)
            self.process.stdout.close()


@pytest.fixture(scope="module")
def certificate(session_tmp):
    return Certificate(session_tmp, "clients")


def command_of(client, url, user, friend, certificate):
    if client == "python3-websockets":
        return [PYTHON, str(node.CLIENTS / "websockets_client.py"), url, user, friend, str(certificate.cert)], None
    try:
        modules = [node.from_npm()] if client == "undici" else []
        modules += [node.from_debian(package, name) for name, package in DEBIAN.items() if package == client]
    except node.Unavailable as error:
        pytest.skip(str(error))
    name = next((name for name, package in DEBIAN.items() if package == client), client)
    return ([node.NODE, str(node.CLIENTS / "node.js"), name, url, user, friend],
            node.environment(*modules, trusted=certificate.cert))


@pytest.fixture
def doors(start, certificate):
    """A server with all its doors open."""
    return start(LISTEN=DOORS, WORKERS=2, **certificate.settings())


def play(server, clients, said):
    """The friend's part of the scenario, and what is to be seen of the client's."""
    assert said.wait("open")["open"] == "presence.v1"
    welcome = said.wait("type", "welcome")
    assert welcome["user"] == "carol" and welcome["device"] == "tab"
    assert said.wait("type", "watching")["presences"][0]["state"] == "offline"
    dave = clients(server, server.url("tcp")).hello("dave")
    assert dave.watch("carol")[0]["state"] == "online"
    event = said.wait("state", "online")
    assert (event["type"], event["user"], event["reason"]) == ("presence", "dave", "login")
    said.wait("type", "heartbeat")
    dave.bye()
    assert said.wait("state", "offline")["reason"] == "logout"
    assert said.wait("type", "bye")["reason"] == "logout"
    assert said.wait("closed")["closed"] == 1000
    assert not any("error" in what for what in said.all)
    server.wait_stats(lambda s: s["sessions"] == 0 and s["connections"] == 0)
    counters = server.counters()
    assert counters["ended_logout"] == 2 and counters["bad_frames"] == 0
    assert [what["type"] for what in said.all if "type" in what] == [
        "welcome", "watching", "presence", "heartbeat", "presence", "bye"]


@pytest.mark.parametrize("door", ["ws:", "wss:"])
@pytest.mark.parametrize("client", CLIENTS)
def test_client(doors, clients, certificate, client, door):
    command, env = command_of(client, doors.url(door), "carol", "dave", certificate)
    program = Program(*command, env=env)
    try:
        play(doors, clients, program)
        program.end()
    finally:
        program.process.kill()


@pytest.mark.parametrize("client", CLIENTS)
def test_client_does_not_trust_a_stranger(doors, clients, tmp, client):
    """What is not the certificate that the client was given is refused, and the server says so."""
    other = Certificate(tmp, "other")
    command, env = command_of(client, doors.url("wss:"), "carol", "dave", other)
    done = subprocess.run(command, env=env, stdin=subprocess.DEVNULL, capture_output=True, text=True, timeout=WORDS)
    assert "welcome" not in done.stdout
    doors.wait_log(r"TLS handshake failed")
    assert doors.counters()["tls_failed"] == 1


# A browser: Chromium without a window, with a page and the origin that the page came from.


class Site(Said):
    """Serves tests/clients, and takes what the page says."""

    def __init__(self):
        super().__init__()
        site = self

        class Handler(http.server.BaseHTTPRequestHandler):
            def answer(self, status, kind="text/plain", body=b""):
                self.send_response(status)
                self.send_header("Content-Type", kind)
                self.send_header("Content-Length", str(len(body)))
                self.end_headers()
                self.wfile.write(body)

            def do_GET(self):
                path = node.CLIENTS / urllib.parse.urlsplit(self.path).path.lstrip("/")
                if path.parent == node.CLIENTS and path.suffix in KINDS and path.exists():
                    self.answer(200, KINDS[path.suffix], path.read_bytes())
                else:
                    self.answer(404)

            def do_POST(self):
                site.add(json.loads(self.rfile.read(int(self.headers["Content-Length"]))))
                self.answer(204)

            def log_message(self, *_):
                pass

        self.http = http.server.ThreadingHTTPServer(("127.0.0.1", 0), Handler)
        self.origin = f"http://127.0.0.1:{self.http.server_port}"
        self._thread = threading.Thread(target=self.http.serve_forever, args=(0.05,), daemon=True)
        self._thread.start()

    def stop(self):
        self.http.shutdown()
        self.http.server_close()
        self._thread.join(PATIENCE)


class Browser:
    """Opens one page, and trusts one key. What it started goes with its process group."""

    def __init__(self, url, profile, certificate):
        flags = ["--headless", "--no-sandbox", "--disable-gpu", "--disable-quic", "--no-first-run", "--no-pings",
                 "--disable-background-networking", "--disable-component-update", "--disable-sync",
                 "--disable-dev-shm-usage", "--disable-default-apps", "--disable-extensions", "--no-proxy-server",
                 "--remote-debugging-port=0", f"--user-data-dir={profile}",
                 f"--ignore-certificate-errors-spki-list={certificate.key_hash}"]
        with open(profile / "stderr", "wb") as words:
            self.process = subprocess.Popen(
                [CHROMIUM, *flags, url], env={**os.environ, "HOME": str(profile)}, start_new_session=True,
                stdin=subprocess.DEVNULL, stdout=subprocess.DEVNULL, stderr=words)

    def stop(self):
        with contextlib.suppress(ProcessLookupError):
            os.killpg(self.process.pid, signal.SIGKILL)
        self.process.wait()


@pytest.fixture
def site():
    site = Site()
    yield site
    site.stop()


@pytest.fixture
def browse(site, tmp, certificate):
    """Opens the page with a WebSocket to this address."""
    begun = []

    def begin(url):
        asked = urllib.parse.urlencode({"url": url, "user": "carol", "friend": "dave"})
        begun.append(Browser(f"{site.origin}/page.html?{asked}", tmp, certificate))

    yield begin
    for browser in begun:
        browser.stop()


@pytest.mark.release_only
@pytest.mark.parametrize("door", ["ws:", "wss:"])
def test_browser(start, clients, certificate, site, browse, door):
    """A page of an allowed origin: a real browser's Origin, in the open and in TLS."""
    server = start(LISTEN=DOORS, ALLOWED_ORIGINS=f"https://example.org,{site.origin}", **certificate.settings())
    browse(server.url(door))
    play(server, clients, site)
    assert server.counters()["origin_refused"] == 0


@pytest.mark.release_only
def test_browser_of_another_origin(start, clients, certificate, site, browse):
    server = start(LISTEN=DOORS, ALLOWED_ORIGINS="https://example.org", **certificate.settings())
    browse(server.url("ws:"))
    assert site.wait("closed")["closed"] == 1006
    assert [set(what) for what in site.all] == [{"error"}, {"closed"}]
    server.wait_log(r"WebSocket refused.*status=403")
    counters = server.counters()
    assert counters["origin_refused"] == 1 and counters["upgrades"] == 0 and counters["logins"] == 0
