"""TLS over the real binary: handshakes, renewed certificates, and the promises behind it as in the open."""

import json
import os
import select
import signal
import socket
import ssl
import threading
import time
import warnings

import pytest

from support.bounds import MEASURING, SCAN, assert_in_bound, spread
from support.certs import Certificate
from support.client import Client, Closed
from support.doors import PING, PONG, TEXT, DoorClient, Refused, frame
from support.mode import IS_RELEASE, PATIENCE, sized

DOORS = "tcp://127.0.0.1:0,tls://127.0.0.1:0,ws://127.0.0.1:0,wss://127.0.0.1:0,tls://[::1]:0"
ENCRYPTED = ["tls:", "wss:"]
WEB = ["ws:", "wss:"]
HEARTBEAT_MS = sized(200, 400)
TIMEOUT = 3 * HEARTBEAT_MS / 1000


@pytest.fixture(scope="module")
def certificate(session_tmp):
    return Certificate(session_tmp, "tls")


@pytest.fixture
def doors(start, certificate):
    return start(LISTEN=DOORS, WORKERS=2, HEARTBEAT_MIN="50ms", **certificate.settings())


@pytest.fixture
def connect(certificate):
    """Opens clients by any door."""
    opened = []

    def open_one(url, **options):
        opened.append(DoorClient(url, tls=options.pop("tls", None) or certificate.context(), **options))
        return opened[-1]

    yield open_one
    for client in opened:
        client.close()


def presented(url, context=None):
    """The certificate that a new connection is shown."""
    context = context or ssl._create_unverified_context()
    with DoorClient(url, tls=context) as client:
        return client.sock.getpeercert(binary_form=True)


def is_presented_everywhere(url, certificate, timeout=PATIENCE):
    """Whether all new connections are shown this certificate, from soon on: each worker takes it by itself."""
    end = time.monotonic() + timeout
    while {presented(url) for _ in range(20)} != {certificate.der}:
        if time.monotonic() > end:
            return False
    return True


# Handshakes.


@pytest.mark.parametrize("version", [ssl.TLSVersion.TLSv1_2, ssl.TLSVersion.TLSv1_3])
@pytest.mark.parametrize("door", ["tls://127", "tls://[::1]", "wss:"])
def test_versions(doors, connect, certificate, door, version):
    client = connect(doors.url(door), tls=certificate.context(version)).hello("alice")
    assert client.sock.version() == {ssl.TLSVersion.TLSv1_2: "TLSv1.2", ssl.TLSVersion.TLSv1_3: "TLSv1.3"}[version]
    assert client.sock.cipher()[2] >= 128
    client.beat()
    client.bye()


def test_old_version_is_refused(doors, connect, certificate):
    context = certificate.context()
    context.set_ciphers("ALL:@SECLEVEL=0")
    with warnings.catch_warnings():
        warnings.simplefilter("ignore", DeprecationWarning)
        context.minimum_version, context.maximum_version = ssl.TLSVersion.TLSv1, ssl.TLSVersion.TLSv1_1
    with pytest.raises(ssl.SSLError, match="(?i)protocol version"):
        connect(doors.url("tls:"), tls=context)
    doors.wait_log("TLS handshake failed")
    assert doors.counters()["tls_failed"] == 1


def test_http_1_1_is_agreed_on(doors, connect, certificate):
    context = certificate.context()
    context.set_alpn_protocols(["h2", "http/1.1"])
    assert connect(doors.url("wss:"), tls=context).sock.selected_alpn_protocol() == "http/1.1"


def test_byte_by_byte(doors, certificate):
    """A handshake and a login of which each byte comes alone."""
    context, into, out = certificate.context(), ssl.MemoryBIO(), ssl.MemoryBIO()
    tls = context.wrap_bio(into, out, server_hostname="127.0.0.1")
    sock = socket.create_connection(doors.url("tls://127")[6:].split(":"))
    sock.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)
    sock.settimeout(PATIENCE)

    def until_done(action):
        while True:
            try:
                done = action()
            except ssl.SSLWantReadError:
                done = None
            for byte in out.read():
                sock.sendall(bytes([byte]))
            if done is not None:
                return done
            into.write(sock.recv(65536))

    until_done(lambda: tls.do_handshake() or True)
    until_done(lambda: tls.write(b'{"type":"hello","v":1,"user":"alice"}\n'))
    assert json.loads(until_done(lambda: tls.read(4096)))["type"] == "welcome"
    sock.close()


@pytest.mark.parametrize("door", ENCRYPTED)
def test_many_small_records(doors, connect, door):
    """A record a heartbeat, as fast as they can be written: each is answered. (Sessions stood still where more
    came while whole records were held.)"""
    alice = connect(doors.url(door)).hello("alice")
    for _ in range(20):
        for _ in range(100):
            alice.raw(b"\n")
        for _ in range(100):
            assert alice.recv() == ""


def test_tickets_resume(doors, connect, certificate, figure):
    """Who comes back spares the server the signature; with a renewed certificate it is asked anew."""
    context = certificate.context()
    for version in (ssl.TLSVersion.TLSv1_2, ssl.TLSVersion.TLSv1_3):
        context = certificate.context(version)
        first = connect(doors.url("tls:"), tls=context).hello("alice", "first")
        ticket = first.sock.session
        assert ticket.has_ticket and not first.sock.session_reused
        first.bye()
        for i in range(3):
            again = connect(doors.url("tls:"), tls=context, session=ticket).hello("alice", f"again{i}")
            assert again.sock.session_reused, version
            again.bye()
    began = time.monotonic()
    for _ in range(50):
        connect(doors.url("tls:"), tls=certificate.context())
    full = time.monotonic() - began
    began = time.monotonic()
    for _ in range(50):
        connect(doors.url("tls:"), tls=context, session=ticket)
    figure(f"50 full handshakes one after the other {full * 1000:.0f} ms, "
           f"resumed {(time.monotonic() - began) * 1000:.0f} ms")


# The wrong door.


@pytest.mark.tight
def test_plain_text_at_a_door_of_tls(doors, clients):
    began = time.monotonic()
    client = clients(doors, "tcp" + doors.url("tls:")[3:])
    client.send(type="hello", v=1, user="alice")
    client.ended()
    assert time.monotonic() - began < 1, "at once, not when the hello is late"
    doors.wait_log(r"TLS handshake failed.*why=\"?[^\"]*plain text")
    assert doors.counters()["tls_failed"] == 1


def test_http_at_a_door_of_tls(doors):
    with pytest.raises((Refused, Closed, OSError)):
        DoorClient("ws" + doors.url("wss:")[3:])
    doors.wait_log(r"TLS handshake failed.*why=\"?[^\"]*HTTP")


@pytest.mark.tight
@pytest.mark.parametrize("door", ["tcp:", "ws:"])
def test_tls_at_a_plain_door(doors, connect, door):
    began = time.monotonic()
    with pytest.raises((ssl.SSLError, OSError)):
        connect(("tls" if door == "tcp:" else "wss") + doors.url(door)[len(door) - 1:])
    assert time.monotonic() - began < 1
    doors.wait_log(rf"TLS at a port for plain text.*port=\"?{door[:-1]}\b")
    assert doors.counters()["tls_misplaced"] == 1


@pytest.mark.tight
def test_handshake_is_under_the_hellos_deadline(start, certificate):
    """Silence at the door of TLS, at once and in the middle of a handshake."""
    server = start(LISTEN=DOORS, HELLO_TIMEOUT="500ms", **certificate.settings())
    into, out = ssl.MemoryBIO(), ssl.MemoryBIO()
    tls = certificate.context().wrap_bio(into, out, server_hostname="127.0.0.1")
    with pytest.raises(ssl.SSLWantReadError):
        tls.do_handshake()
    hello = out.read()
    for said in (b"", hello[:1], hello[:-1], hello):
        with Client("tcp" + server.url("tls:")[3:]) as client:
            began = time.monotonic()
            client.raw(said)
            with pytest.raises(Closed):
                while True:
                    assert client._fill(time.monotonic() + PATIENCE)
            passed = time.monotonic() - began
            assert passed >= 0.45
            if IS_RELEASE:
                assert passed <= 0.5 + 2 * SCAN + MEASURING
    server.wait_stats(lambda s: s["connections"] == 0)
    assert server.counters()["hello_timeouts"] == 4


# Certificates that change.


def reload(server, pattern):
    seen = len(server.lines)
    server.signal(signal.SIGHUP)
    deadline = time.monotonic() + PATIENCE
    while not any(pattern in line for line in server.lines[seen:]):
        assert time.monotonic() < deadline, server.tail()
        time.sleep(0.01)


def test_renewed_certificate(start, connect, tmp):
    """New connections are shown the new one, on every worker; those that are there go on."""
    mine = Certificate(tmp)
    server = start(LISTEN=DOORS, WORKERS=2, **mine.settings())
    old = connect(server.url("tls:"), tls=mine.context()).hello("old")
    first, url = mine.der, server.url("tls:")
    assert presented(url) == first
    mine.write()
    assert presented(url) == first, "before SIGHUP nothing changes"
    reload(server, "reloaded")
    assert mine.der != first and is_presented_everywhere(url, mine)
    connect(server.url("wss:"), tls=mine.context()).hello("new").beat()
    old.beat()
    old.bye()


@pytest.mark.parametrize("damage", ["no certificate", "no PEM", "no key", "of another key", "half"])
def test_broken_certificate_keeps_the_old_one(start, connect, tmp, damage):
    mine = Certificate(tmp)
    server = start(LISTEN=DOORS, **mine.settings())
    first = mine.der
    {"no certificate": mine.cert.unlink, "no PEM": lambda: mine.cert.write_text("nonsense"), "no key": mine.key.unlink,
     "of another key": lambda: Certificate(tmp, "other").key.rename(mine.key),
     "half": lambda: mine.cert.write_bytes(mine.cert.read_bytes()[:300])}[damage]()
    reload(server, "the certificate of before stays in use")
    server.wait_log("certificate not loaded")
    assert presented(server.url("tls:")) == first
    mine.write()
    reload(server, "reloaded")
    assert is_presented_everywhere(server.url("tls:"), mine)


def test_reloads_under_load(start, tmp):
    """Renewed again and again while clients come and go: each gets in, with one of the certificates."""
    mine = Certificate(tmp)
    server = start(LISTEN=DOORS, WORKERS=2, **mine.settings())
    context, is_over, failed, counts = ssl._create_unverified_context(), threading.Event(), [], []

    def come_and_go(door):
        n = 0
        try:
            while not is_over.is_set():
                with DoorClient(server.url(door), tls=context) as client:
                    client.hello(f"{door}{n}").beat()
                n += 1
        except Exception as error:
            failed.append(error)
        counts.append(n)

    threads = [threading.Thread(target=come_and_go, args=(door,)) for door in ENCRYPTED]
    for thread in threads:
        thread.start()
    for _ in range(15):  # the log says so many at once
        mine.write()
        reload(server, "reloaded")
    is_over.set()
    for thread in threads:
        thread.join()
    assert not failed and min(counts) > 0
    assert is_presented_everywhere(server.url("tls:"), mine)


# Promises.


@pytest.fixture
def bob(doors, connect):
    """Watches through TLS what happens to others."""
    watcher = connect(doors.url("wss:")).hello("bob")
    watcher.watch("alice")
    return watcher


@pytest.mark.tight
@pytest.mark.parametrize("door, how", [("ws:", "fin"), ("ws:", "rst"), *(
    (door, how) for door in ENCRYPTED for how in ("fin", "close_notify", "rst"))])
def test_ends_are_told_at_once(doors, connect, bob, door, how):
    alice = connect(doors.url(door)).hello("alice")
    bob.event("alice", "online")
    began = time.monotonic()
    if how == "close_notify":
        alice.sock.settimeout(0)
        try:
            alice.sock.unwrap()
        except ssl.SSLWantReadError:
            pass
    else:
        alice.shut() if how == "fin" else alice.reset()
    event = bob.event("alice", "offline", "reset" if how == "rst" else "closed")
    if IS_RELEASE:
        assert event.at - began <= 0.1, event.at - began


@pytest.mark.parametrize("door", WEB)
def test_close_frame_is_told_at_once(doors, connect, bob, door):
    alice = connect(doors.url(door)).hello("alice")
    bob.event("alice", "online")
    alice.bare(frame(8, b"\x03\xe8"))
    bob.event("alice", "offline", "closed")
    alice.ended("fin")
    assert alice.close_code == 1000


@pytest.mark.tight
def test_fifty_silent_behind_each_door(doors, connect, figure):
    """Frozen peers: their kernels acknowledge all, and they say nothing; each is told once, in bound."""
    bob = connect(doors.url("wss:")).hello("bob")
    n = sized(50, 15)
    users = {f"{door}{i}": door for i in range(n) for door in ENCRYPTED + ["ws:"]}
    bob.watch(*users)
    last = {}
    for i, (user, door) in enumerate(users.items()):
        client = connect(doors.url(door))
        client.pongs = False
        last[user] = client.hello(user, heartbeat_ms=HEARTBEAT_MS + i).sent_at
    timeouts = {user: 3 * (HEARTBEAT_MS + i) / 1000 for i, user in enumerate(users)}
    told = {}
    while len(told) < len(users):
        event = bob.event(timeout=PATIENCE)
        if event["state"] == "offline":
            assert event["user"] not in told and event["reason"] == "timeout"
            told[event["user"]] = event
    late = [assert_in_bound(told[user], [last[user]], timeouts[user]) for user in users]
    figure(spread(late))
    assert doors.stats()["watchdog"]["mistakes"] == 0


@pytest.mark.tight
@pytest.mark.parametrize("door", ENCRYPTED)
def test_part_of_a_record_is_life(doors, certificate, bob, door):
    """Bytes of a record that is not whole, one by one: no plain text comes of them, and they count."""
    into, out = ssl.MemoryBIO(), ssl.MemoryBIO()
    tls = certificate.context().wrap_bio(into, out, server_hostname="127.0.0.1")
    sock = socket.create_connection(doors.url("tls://127")[6:].split(":"))
    sock.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)
    is_done = False
    while not is_done:
        try:
            tls.do_handshake()
            is_done = True
        except ssl.SSLWantReadError:
            pass
        sock.sendall(out.read())
        if not is_done:
            into.write(sock.recv(65536))
    tls.write(f'{{"type":"hello","v":1,"user":"alice","heartbeat_ms":{HEARTBEAT_MS}}}\n'.encode())
    sock.sendall(out.read())
    bob.event("alice", "online")
    tls.write(b"\n" * 10)
    pause, at = threading.Event(), None
    for byte in out.read()[:8]:
        at = time.monotonic()
        sock.sendall(bytes([byte]))
        pause.wait(TIMEOUT / 2)
    event = bob.event("alice", "offline", "timeout")
    assert_in_bound(event, [at], TIMEOUT)
    sock.close()


@pytest.mark.tight
@pytest.mark.parametrize("door", WEB)
def test_pongs_keep_a_background_tab_alive(doors, connect, bob, door):
    """It sends nothing of itself; its browser answers pings, one in each silence, at two thirds of the timeout."""
    alice = connect(doors.url(door)).hello("alice", heartbeat_ms=HEARTBEAT_MS)
    bob.event("alice", "online")
    began = time.monotonic()
    n = 3.1  # not where a ping is due
    assert alice.maybe(n * TIMEOUT) is None
    assert n <= len(alice.pings) <= 3 * n / 2 + 1, alice.pings
    if IS_RELEASE:
        assert abs(alice.pings[0] - alice.sent_at - TIMEOUT * 2 / 3) <= SCAN + MEASURING
    bob.quiet()
    assert doors.counters()["pings"] == len(alice.pings)
    alice.pongs = False
    assert time.monotonic() - began >= n * TIMEOUT
    silent = len(alice.pings)
    bye = alice.recv(timeout=2 * TIMEOUT + PATIENCE)
    assert bye["reason"] == "timeout"
    bob.event("alice", "offline", "timeout")
    assert len(alice.pings) == silent + 1, "one a silence"
    alice.ended()
    assert alice.close_code == 4408


@pytest.mark.tight
def test_page_that_must_speak_for_itself_is_not_pinged(doors, connect, bob):
    """It asks for no pings: then its browser alone does not keep it online."""
    alice = connect(doors.url(WEB[0])).hello("alice", heartbeat_ms=HEARTBEAT_MS, pings=False)
    bob.event("alice", "online")
    bye = alice.recv(timeout=TIMEOUT + PATIENCE)
    assert bye["reason"] == "timeout"
    event = bob.event("alice", "offline", "timeout")
    assert_in_bound(event, [alice.sent_at], TIMEOUT)
    assert alice.pings == [] and doors.counters()["pings"] == 0


@pytest.mark.parametrize("door", WEB)
def test_who_beats_is_not_pinged(doors, connect, door):
    alice = connect(doors.url(door)).hello("alice", heartbeat_ms=HEARTBEAT_MS)
    pause, end = threading.Event(), time.monotonic() + 4 * TIMEOUT
    while time.monotonic() < end:
        alice.beat()
        pause.wait(HEARTBEAT_MS / 1000)
    assert alice.pings == [] and doors.counters()["pings"] == 0


def test_clients_pings_are_answered_and_are_life(doors, connect, bob):
    alice = connect(doors.url("wss:")).hello("alice", heartbeat_ms=HEARTBEAT_MS)
    alice.pongs = False
    bob.event("alice", "online")
    pause, end = threading.Event(), time.monotonic() + 3 * TIMEOUT
    while time.monotonic() < end:
        alice.bare(frame(PING, b"are you there"))
        pause.wait(HEARTBEAT_MS / 1000)
    bob.quiet()
    alice.bare(frame(PONG, b"") + frame(TEXT, b""))
    assert alice.recv() == ""


# No false word, behind TLS and frames too.


class Crowd(threading.Thread):
    """Many clients behind one door, in one thread: each beats once a second, and what comes is kept."""

    def __init__(self, url, context, n, prefix, beat_s=1.0):
        super().__init__(daemon=True)
        self.clients = [DoorClient(url, tls=context).hello(f"{prefix}{i}", heartbeat_ms=1000) for i in range(n)]
        self.users = [f"{prefix}{i}" for i in range(n)]
        self.said, self.failed, self._over, self._beat_s = [], [], threading.Event(), beat_s
        self.start()

    def run(self):
        poll = select.epoll()
        by_fd = {c.sock.fileno(): c for c in self.clients}
        for fd in by_fd:
            poll.register(fd, select.EPOLLIN)
        due = time.monotonic()
        try:
            while not self._over.is_set():
                if time.monotonic() >= due:
                    due += self._beat_s
                    for client in self.clients:
                        client.raw(b"\n")
                for fd, _ in poll.poll(max(0, min(0.2, due - time.monotonic()))):
                    client = by_fd[fd]
                    client._fill(time.monotonic())
                    self.said += [line for line, _ in client.lines if line]
                    client.lines.clear()
        except (Closed, OSError) as error:
            self.failed.append(error)

    def stop(self):
        self._over.set()
        self.join(PATIENCE)
        for client in self.clients:
            client.close()


def test_server_stopped_for_five_seconds(doors, connect, certificate, figure):
    """Longer than the timeout of three: nobody of 300 live clients behind TLS or WebSocket is told away."""
    n = sized(100, 25)
    context = certificate.context()
    crowds = [Crowd(doors.url(door), context, n, door) for door in ["tls://127", "ws:", "wss:"]]
    try:
        bob = connect(doors.url("tls://127")).hello("bob", heartbeat_ms=60000)
        users = [user for crowd in crowds for user in crowd.users]
        assert {p["state"] for p in bob.watch(*users)} == {"online"}
        doors.signal(signal.SIGSTOP)
        time.sleep(5)  # the stall itself
        doors.signal(signal.SIGCONT)
        assert bob.maybe(4) is None, "a false word"
        assert all(crowd.failed == [] and crowd.said == [] for crowd in crowds)
        stats = doors.stats()
        assert stats["sessions"] == 3 * n + 1
        assert stats["counters"]["ended_timeout"] == 0 and stats["watchdog"]["mistakes"] == 0
        figure(f"{3 * n} live clients, stopped 5 s under a timeout of 3 s: {stats['counters']['nominated']} nominated, "
               f"{stats['counters']['heard_alive']} heard alive, none expired")
    finally:
        for crowd in crowds:
            crowd.stop()


def test_everything_returns_to_baseline(start, connect, certificate):
    """Comers and goers of every kind behind every door: no descriptor and no memory stays behind."""
    server = start(LISTEN=DOORS, WORKERS=2, REMEMBER=100, EVENT_LOG=0, HISTORY=0, **certificate.settings())
    context = certificate.context()
    plain = {"tls:": "tcp", "wss:": "tcp", "ws:": "tcp", "tcp:": "tcp"}

    def round_of(n):
        for i in range(n):
            door = list(plain)[i % 4]
            if i % 5 == 4:
                with Client("tcp" + server.url(door)[len(door) - 1:]) as stranger:
                    stranger.raw(os.urandom(30) + b"\r\n\r\n")
                continue
            client = DoorClient(server.url(door), tls=context).hello(f"u{i}")
            client.watch(f"u{i + 1}")
            (client.close, client.reset, client.bye, client.close)[i // 4 % 4]()
        server.wait_stats(lambda s: s["connections"] == 0 and s["sessions"] == 0 and s["watches"] == 0)

    n = sized(400, 100)
    round_of(n)
    descriptors, memory = server.descriptors(), server.memory_kb()
    for _ in range(2):
        round_of(n)
    deadline = time.monotonic() + PATIENCE
    while server.descriptors() > descriptors:  # the admin side closes a moment after it has answered
        assert time.monotonic() < deadline, (descriptors, server.descriptors())
        time.sleep(0.01)
    if IS_RELEASE:
        assert server.memory_kb() <= memory + 512, (memory, server.memory_kb())
