"""Limits: each refuses what is over it, in words of its own, counts that, and lets in again what fits."""

import os
import select
import signal
import ssl
import statistics
import subprocess
import sys
import time

import pytest

from support import lab
from support.certs import Certificate
from support.client import Client, Closed
from support.doors import TEXT, DoorClient, Refused, frame, proxy_v2
from support.mode import IS_RELEASE, PATIENCE, ROOT, sized
from support.server import known_settings, run_to_end
from support.tokens import SECRET, Secret

HERE, PROXY, STRANGER = "192.0.2.1", "192.0.2.2", "192.0.2.3"  # addresses of documentation
DOORS = "tcp://127.0.0.1:0,tls://127.0.0.1:0,ws://127.0.0.1:0,wss://127.0.0.1:0"


@pytest.fixture(scope="module")
def certificate(session_tmp):
    return Certificate(session_tmp, "limits")


@pytest.fixture
def connect(certificate):
    opened = []

    def open_one(server, door="tcp:", **options):
        opened.append(DoorClient(server.url(door), tls=certificate.context(), namespace=server.namespace, **options))
        return opened[-1]

    yield open_one
    for client in opened:
        client.close()


def turned_away(server, door="tcp:", **options):
    """A connection that is closed before anything was asked of it: the one line that came, if any."""
    client = Client("tcp" + server.url(door)[len(door) - 1:], **options)
    try:
        said = client.drain()
        assert len(said) <= 1, said
        return said[0] if said else None
    finally:
        client.close()


def assert_full(message):
    assert (message["type"], message["code"]) == ("error", "server_full") and message["retry_ms"] > 0, message


# Connections.


def test_connections_in_all(start, connect, certificate):
    server = start(LISTEN=DOORS, MAX_CONNECTIONS=5, WORKERS=2, **certificate.settings())
    there = [connect(server, door).hello(door) for door in ("tcp:", "tls:", "ws:", "wss:")]
    idle = connect(server)  # has not said who it is, and counts all the same
    server.wait_stats(lambda s: s["connections"] == 5)
    assert_full(turned_away(server))
    for door in ("tls:", "ws:", "wss:"):
        assert turned_away(server, door) is None, "nothing would be understood there"
    counters = server.counters()
    assert counters["refused_full"] == 4 and counters["logins"] == 4
    idle.close()
    server.wait_stats(lambda s: s["connections"] == 4)
    connect(server).hello("in place of it").beat()
    for client in there:
        client.beat()


def test_connections_of_an_address(start, connect):
    server = start(LISTEN="tcp://127.0.0.1:0,tcp://[::1]:0", MAX_CONNECTIONS_PER_ADDRESS=3, WORKERS=2)
    there = [connect(server, source="127.0.0.2").hello(f"u{i}") for i in range(3)]
    refused = connect(server, source="127.0.0.2")
    assert_full(refused.recv())
    refused.ended()
    connect(server, source="127.0.0.3").hello("another").beat()
    connect(server, "tcp://[::1]").hello("of the other family").beat()
    counters = server.counters()
    assert counters["refused_address"] == 1 and counters["error_server_full"] == 1 and counters["refused_full"] == 0
    for client in there:
        client.beat()


@pytest.mark.parametrize("door", ["tcp:", "tls:", "ws:", "wss:"])
@pytest.mark.parametrize("end", ["bye", "close", "reset", "rubbish", "before hello", "expired"])
def test_every_end_gives_its_address_back(start, connect, certificate, door, end):
    server = start(LISTEN=DOORS, MAX_CONNECTIONS_PER_ADDRESS=2, HEARTBEAT_MIN="50ms", WORKERS=1, **certificate.settings())
    for _ in range(3):  # one more than there is room for
        client = connect(server, door)
        client.pongs = False
        if end != "before hello":
            client.hello("alice", heartbeat_ms=50)
        if end == "bye":
            client.bye()
        elif end == "reset":
            client.reset()
        elif end == "rubbish":
            client.raw(b"rubbish\n").drain()
            client.close()
        elif end == "expired":
            client.expect("bye", reason="timeout")
            client.ended()
            client.close()
        else:
            client.close()
        server.wait_stats(lambda s: s["connections"] == 0)
    assert server.counters()["refused_address"] == 0


def test_a_unix_socket_has_no_address(start, clients, tmp):
    server = start(LISTEN=f"unix://{tmp}/sock", MAX_CONNECTIONS_PER_ADDRESS=1)
    for i in range(5):
        clients(server).hello(f"u{i}").beat()


@pytest.mark.tight
def test_refused_ones_are_no_load(start, connect, figure):
    """A thousand knocks at a full server: who is in gets its answers, and nothing stays behind."""
    server = start(MAX_CONNECTIONS=1, WORKERS=1)
    canary = connect(server).hello("canary")
    descriptors, n = server.descriptors(), sized(1000, 200)
    times = []
    for i in range(n):
        knock = Client(server.url())
        if i % 10 == 0:
            times.append(canary.beat())
        assert_full(knock.recv())
        knock.close()
    assert server.counters()["refused_full"] == n
    deadline = time.monotonic() + PATIENCE
    while server.descriptors() > descriptors:  # the admin side closes a moment after it has answered
        assert time.monotonic() < deadline
        time.sleep(0.01)
    figure(f"{n} turned away; the slowest heartbeat beside them {max(times) * 1000:.1f} ms")
    if IS_RELEASE:
        assert max(times) < 0.1


# Messages.


def test_messages_of_a_session(start, connect):
    """What comes at once is five seconds' worth at most; then it is told, and others hear why it went."""
    server = start(MESSAGE_RATE=20)
    bob, alice = connect(server).hello("bob"), connect(server).hello("alice")
    bob.watch("alice")
    alice.raw(b"\n" * 300)
    said = alice.drain()
    error = said[-1]
    assert error["code"] == "rate_limited" and error["retry_ms"] > 0
    assert all(s == "" for s in said[:-1]) and 100 <= len(said) - 1 <= 110, len(said)
    bob.event("alice", "offline", "violation")
    counters = server.counters()
    assert counters["message_rate_limited"] == 1 == counters["error_rate_limited"] == counters["ended_violation"]


def test_ids_cost_a_fiftieth(start, connect):
    """Twenty-one messages' worth is a query of a thousand: two of them, and not a third."""
    server = start(MESSAGE_RATE=10)
    alice = connect(server).hello("alice")
    for _ in range(2):
        assert len(alice.query(*["bob"] * 1000)) == 1000
    alice.send(type="query", id=3, users=["bob"] * 1000)
    alice.error("rate_limited", id=3)
    alice.ended()


def test_within_the_rate_nobody_is_stopped(start, connect):
    server = start(MESSAGE_RATE=50)
    alice = connect(server).hello("alice")
    end, n = time.monotonic() + 2, 0
    began = time.monotonic()
    while time.monotonic() < end:
        alice.beat()
        n += 1
        time.sleep(max(0, began + n / 40 - time.monotonic()))  # the rate itself
    assert n >= 40 and server.counters()["message_rate_limited"] == 0


def test_no_message_rate(start, connect):
    server = start(MESSAGE_RATE=0)
    alice = connect(server).hello("alice")
    alice.raw(b"\n" * 20000)
    for _ in range(20000):
        assert alice.recv() == ""


def test_message_rate_on_websocket(start, connect, certificate):
    server = start(LISTEN=DOORS, MESSAGE_RATE=10, **certificate.settings())
    for door in ("ws:", "wss:"):
        alice = connect(server, door).hello("alice")
        for _ in range(80):
            alice.raw(b"\n")
        assert alice.drain()[-1]["code"] == "rate_limited"
        assert alice.close_code == 1008


@pytest.mark.alone
def test_flooders_delay_nobody(start, connect, certificate, figure):
    """One who beats without a pause behind each door, all on one worker: a neighbour gets its answers."""
    server = start(LISTEN=DOORS, WORKERS=1, **certificate.settings())
    canary = connect(server).hello("canary")
    floods = [subprocess.Popen([sys.executable, "-S", "-m", "support.doors", server.url(door), str(certificate.cert)],
                               cwd=ROOT / "tests", stdout=subprocess.PIPE) for door in ("tcp:", "tls:", "ws:", "wss:")]
    try:
        for flood in floods:
            assert flood.stdout.readline() == b"flooding\n"
        before, times, end = server.counters()["heartbeats"], [], time.monotonic() + sized(3, 5)
        while time.monotonic() < end:
            times.append(canary.beat())
            time.sleep(0.005)
        n = server.counters()["heartbeats"] - before
        assert all(flood.poll() is None for flood in floods)
    finally:
        for flood in floods:
            flood.kill()
            flood.wait()
            flood.stdout.close()
    median, worst = statistics.median(times), max(times)
    figure(f"{n} heartbeats of four flooders; a neighbour's answered after {median * 1000:.1f} ms, "
           f"{worst * 1000:.0f} ms at worst")
    if IS_RELEASE:
        assert median <= 0.020
    server.wait_stats(lambda s: s["connections"] == 1)


@pytest.mark.parametrize("door", ["tcp:", "tls:", "ws:", "wss:"])
def test_flooders_that_vanish_leave_nothing(start, connect, certificate, door):
    """They take no answer, what they sent is kept, and then they are gone with RST while it is."""
    server = start(LISTEN=DOORS, WORKERS=1, **certificate.settings())
    beats = frame(TEXT, b"", mask=b"mask") * 20000 if door.startswith("ws") else b"\n" * 100000

    def vanish():
        client = connect(server, door, rcvbuf=2048).hello("alice")
        client.sock.setblocking(False)
        left, later = memoryview(beats * 20), (BlockingIOError, ssl.SSLWantWriteError, ssl.SSLWantReadError)
        try:
            while left:
                left = left[client.sock.send(left):]
        except later:
            select.select([], [client.sock], [], 0.05)
        client.reset()
        server.wait_stats(lambda s: s["connections"] == 0)

    for _ in range(5):
        vanish()
    memory, n = server.memory_kb(), sized(60, 10)
    for _ in range(n):
        vanish()
    if IS_RELEASE:
        assert server.memory_kb() <= memory + 1024, (memory, server.memory_kb())


# The last word on a WebSocket: each has a code of its own.


@pytest.fixture
def web(start, certificate):
    return start(LISTEN=DOORS, HEARTBEAT_MIN="50ms", MAX_MESSAGE="1KiB", HELLO_TIMEOUT="500ms", WORKERS=1,
                 **certificate.settings())


FIRST_WORDS = {
    "bad_json": (b"{\n", 1007), "hello_required": (b'{"type":"heartbeat"}\n', 1008),
    "version": (b'{"type":"hello","v":2,"user":"a"}\n', 1008),
    "line_too_long": (b'{"type":"hello","v":1,"user":"' + b"x" * 5000 + b'"}\n', 1009),
}


@pytest.mark.parametrize("door", ["ws:", "wss:"])
@pytest.mark.parametrize("code", FIRST_WORDS)
def test_close_codes_before_a_login(web, connect, door, code):
    data, close_code = FIRST_WORDS[code]
    client = connect(web, door)
    client.raw(data)
    client.error(code)
    client.ended()
    assert client.close_code == close_code
    assert web.counters()[f"error_{code}"] == 1


def test_close_code_of_no_hello(web, connect):
    client = connect(web, "ws:")
    client.error("hello_required")
    client.ended()
    assert client.close_code == 1008 and web.counters()["hello_timeouts"] == 1


@pytest.mark.parametrize("door", ["ws:", "wss:"])
def test_close_codes_of_a_session(web, connect, door):
    old, new = connect(web, door).hello("alice", "phone"), connect(web, door).hello("alice", "phone")
    old.expect("bye", reason="replaced")
    old.ended()
    assert old.close_code == 4409
    new.raw(b'{"type":"update","status":"' + b"x" * 2000 + b'"}\n')
    new.error("line_too_long")
    new.ended()
    assert new.close_code == 1009
    silent, last = connect(web, door), connect(web, door)
    silent.pongs = False
    silent.hello("bob", heartbeat_ms=100).expect("bye", reason="timeout")
    silent.ended()
    assert silent.close_code == 4408
    last.hello("carol")
    web.signal(signal.SIGTERM)
    assert last.expect("bye", reason="shutdown")["retry_ms"] >= 0
    last.ended()
    assert last.close_code == 1001 and web.wait() == 0


def test_close_codes_of_tokens(start, connect, certificate):
    server = start(LISTEN=DOORS, JWT_SECRET=SECRET, JWT_LEEWAY="0s", **certificate.settings())
    for hello, code in (({"user": "alice"}, "auth_required"), ({"token": "a.b.c"}, "auth_failed")):
        client = connect(server, "wss:")
        client.send(type="hello", v=1, **hello)
        client.error(code)
        client.ended()
        assert client.close_code == 4401
    client = connect(server, "ws:")
    client.send(type="hello", v=1, token=Secret().token("alice", expires_in=2))
    client.expect("welcome")
    client.expect("bye", timeout=2 + PATIENCE, reason="expired")
    client.ended()
    assert client.close_code == 4402


def test_origins(start, connect):
    server = start(LISTEN="ws://127.0.0.1:0", ALLOWED_ORIGINS="https://example.org,http://127.0.0.1:8080")
    for origin in (None, "https://example.org", "http://127.0.0.1:8080"):
        connect(server, "ws:", origin=origin).hello("alice").beat()
    for origin in ("https://example.org.evil.test", "http://example.org", "https://example.org:444", "null", "http://127.0.0.1"):
        with pytest.raises(Refused) as refused:
            connect(server, "ws:", origin=origin)
        assert refused.value.status == 403, origin
    assert server.counters()["origin_refused"] == 5


def test_no_origin_is_allowed_unless_named(start, connect):
    """A server that names none lets in those who have none: no page of any site."""
    server = start(LISTEN="ws://127.0.0.1:0")
    connect(server, "ws:").hello("alice").beat()
    with pytest.raises(Refused) as refused:
        connect(server, "ws:", origin="https://example.org")
    assert refused.value.status == 403


# Off loopback: in a network namespace whose only addresses are its own.


@pytest.fixture(scope="module")
def island():
    if os.geteuid() != 0:
        pytest.skip("needs to make a network namespace")
    if lab.why_not():
        pytest.skip(lab.why_not())
    name = f"prlab{os.getpid()}n-island"
    lab.run("ip", "netns", "add", name)
    try:
        lines = ["link set lo up"] + [f"addr add {a}/32 dev lo" for a in (HERE, PROXY, STRANGER)]
        lab.run("nsenter", f"--net={lab.NETNS}/{name}", "ip", "-batch", "-", stdin="\n".join(lines) + "\n")
        yield name
    finally:
        lab.run("ip", "netns", "del", name, check=False)


def test_settings_off_loopback(certificate):
    """Each door off loopback says what it wants: exit code 78 without."""
    tls = {f"PRESENCED_{name}": value for name, value in certificate.settings().items()}
    plain, encrypted = {"PRESENCED_LISTEN": f"ws://{HERE}:7401"}, {"PRESENCED_LISTEN": f"wss://{HERE}:7401", **tls}
    tokens = {"PRESENCED_JWT_SECRET": SECRET}
    anonymous, allowed = {"PRESENCED_ALLOW_ANONYMOUS": "true"}, {"PRESENCED_ALLOW_PLAINTEXT": "true"}
    for settings, missing in (
            ({**plain}, {"ALLOW_PLAINTEXT", "ALLOW_ANONYMOUS"}), ({**plain, **tokens}, {"ALLOW_PLAINTEXT"}),
            ({**plain, **allowed}, {"ALLOW_ANONYMOUS"}), ({**encrypted}, {"ALLOW_ANONYMOUS"}),
            ({**plain, "PRESENCED_PROXY_TRUSTED": PROXY}, {"ALLOW_ANONYMOUS"}),
            ({"PRESENCED_LISTEN": f"wss://{HERE}:7401", **tokens}, {"TLS_CERT"})):
        done = run_to_end(**settings)
        assert done.returncode == 78, (settings, done.stderr)
        for name in missing:
            assert f"PRESENCED_{name}" in done.stderr
        for name in {"ALLOW_PLAINTEXT", "ALLOW_ANONYMOUS"} - missing:
            assert f"PRESENCED_{name}" not in done.stderr
    for settings in ({**plain, **allowed, **anonymous}, {**plain, **allowed, **tokens}, {**encrypted, **tokens},
                     {**encrypted, **anonymous}, {**plain, **tokens, "PRESENCED_PROXY_TRUSTED": PROXY}):
        done = run_to_end("--check-config", **settings)
        assert done.returncode == 0, (settings, done.stderr)
    assert {"PRESENCED_ALLOW_PLAINTEXT", "PRESENCED_ALLOW_ANONYMOUS"} <= known_settings()


def test_plain_text_from_a_trusted_proxy_only(start, connect, island):
    server = start(namespace=island, LISTEN=f"tcp://{HERE}:0,tcp://127.0.0.1:0", PROXY_TRUSTED=f"{PROXY}/32",
                   JWT_SECRET=SECRET)
    token = Secret().token("alice")
    through = connect(server, f"tcp://{HERE}", source=PROXY, proxy=proxy_v2("198.51.100.9"))
    through.send(type="hello", v=1, token=token)
    through.expect("welcome")
    direct = connect(server, f"tcp://{HERE}", source=STRANGER)
    with pytest.raises((Closed, OSError)):
        direct.send(type="hello", v=1, token=token)
        direct.recv()
    server.wait_log(rf"plain text from off this host.*peer=\"?{STRANGER}")
    connect(server, "tcp://127").send(type="hello", v=1, token=token).expect("welcome")
    counters = server.counters()
    assert counters["refused_plaintext"] == 1 and counters["logins"] == 2


def test_encrypted_off_loopback_needs_no_leave(start, island, certificate):
    """The certificate names 127.0.0.1, so the client looks at its key instead."""
    server = start(namespace=island, LISTEN=f"tls://{HERE}:0", JWT_SECRET=SECRET, **certificate.settings())
    with DoorClient(server.url("tls:"), tls=ssl._create_unverified_context(), namespace=island, source=STRANGER) as client:
        assert client.sock.getpeercert(binary_form=True) == certificate.der
        client.send(type="hello", v=1, token=Secret().token("alice"))
        client.expect("welcome")
    assert server.counters()["refused_plaintext"] == 0


def test_failed_logins_of_an_address_off_loopback(start, connect, island):
    """By the socket's own address, with no proxy between; others of the network are not held up."""
    server = start(namespace=island, LISTEN=f"tcp://{HERE}:0", JWT_SECRET=SECRET, ALLOW_PLAINTEXT="true", LOGIN_RATE=5)
    codes = []
    for _ in range(10):
        client = connect(server, source=STRANGER)
        client.send(type="hello", v=1, token="x.y.z")
        codes.append(client.recv()["code"])
    assert codes[:5] == ["auth_failed"] * 5 and codes[-1] == "rate_limited", codes
    other = connect(server, source=PROXY)
    other.send(type="hello", v=1, token=Secret().token("alice"))
    other.expect("welcome")
    assert server.counters()["login_rate_limited"] == codes.count("rate_limited")


def test_connections_of_an_address_off_loopback(start, connect, island):
    server = start(namespace=island, LISTEN=f"tcp://{HERE}:0", MAX_CONNECTIONS_PER_ADDRESS=2, ALLOW_PLAINTEXT="true",
                   ALLOW_ANONYMOUS="true")
    for source in (STRANGER, PROXY):
        for i in range(2):
            connect(server, source=source).hello(f"{source}.{i}").beat()
        assert_full(connect(server, source=source).recv())
    assert server.counters()["refused_address"] == 2
