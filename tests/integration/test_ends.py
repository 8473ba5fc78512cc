"""The ways in which a session ends, what its watchers are told, and when."""

import re
import threading
import time

import pytest

from support.bounds import MEASURING, SCAN, assert_in_bound
from support.mode import IS_RELEASE, PATIENCE, sized

TRANSPORTS = ["tcp://127", "tcp://[::1]", "unix"]
HEARTBEAT_MS = sized(100, 300)
TIMEOUT = 3 * HEARTBEAT_MS / 1000

pytestmark = pytest.mark.tight


@pytest.fixture
def bob(login, name):
    watcher = login("bob")
    watcher.watch(name("alice"))
    return watcher


def assert_told_at_once(event, began):
    if IS_RELEASE:
        assert event.at - began <= 0.1, event.at - began


@pytest.mark.parametrize("transport", TRANSPORTS)
def test_logout(server, login, name, bob, transport):
    alice = login("alice", url=server.url(transport))
    bob.event(name("alice"), "online")
    alice.send(type="bye", id=4)
    alice.expect("bye", reason="logout", id=4)
    alice.ended("fin")
    bob.event(name("alice"), "offline", "logout")


def test_nothing_is_heard_after_bye(login, name, bob):
    alice = login("alice")
    bob.event(name("alice"), "online")
    alice.raw(b'{"type":"bye"}\n{"type":"update","state":"busy"}\n\nrubbish\n')
    alice.expect("bye", reason="logout")
    alice.ended()
    bob.event(name("alice"), "offline", "logout")


@pytest.mark.parametrize("transport", TRANSPORTS)
def test_fin_is_closed(server, login, name, bob, transport):
    alice = login("alice", url=server.url(transport))
    bob.event(name("alice"), "online")
    began = time.monotonic()
    alice.close()
    assert_told_at_once(bob.event(name("alice"), "offline", "closed"), began)


def test_half_close_is_closed(login, name, bob):
    alice = login("alice")
    bob.event(name("alice"), "online")
    began = time.monotonic()
    alice.shut()
    assert_told_at_once(bob.event(name("alice"), "offline", "closed"), began)
    alice.ended()


@pytest.mark.parametrize("transport", TRANSPORTS[:2])
def test_rst_is_reset(server, login, name, bob, transport):
    alice = login("alice", url=server.url(transport))
    bob.event(name("alice"), "online")
    began = time.monotonic()
    alice.reset()
    assert_told_at_once(bob.event(name("alice"), "offline", "reset"), began)


def test_peer_that_closes_on_unread_bytes_resets(login, name, bob):
    alice = login("alice")
    bob.event(name("alice"), "online")
    alice.raw(b"\n")
    # Its answer lies unread when the socket closes.
    assert alice.sock.recv(1, 2) == b"\n"  # MSG_PEEK
    alice.close()
    assert bob.event(name("alice"), "offline")["reason"] == "reset"


def test_data_and_fin_together(login, name, bob):
    """FIN in the segment of the last bytes, many times: the one edge must be enough."""
    for i in range(50):
        alice = login("alice", "phone")
        bob.event(name("alice"), "online")
        alice.sock.setsockopt(6, 3, 1)  # TCP_CORK
        alice.raw(b"\n" * (1 + i % 3) + b'{"type":"hea')
        began = time.monotonic()
        alice.shut()
        assert_told_at_once(bob.event(name("alice"), "offline", "closed"), began)
        alice.close()


@pytest.mark.parametrize("transport", TRANSPORTS)
def test_silence_is_a_timeout(server, login, name, bob, transport):
    alice = login("alice", url=server.url(transport), heartbeat_ms=HEARTBEAT_MS)
    last = alice.sent_at
    online = bob.event(name("alice"), "online")
    event = bob.event(name("alice"), "offline", "timeout", timeout=TIMEOUT + PATIENCE)
    assert_in_bound(event, [last], TIMEOUT)
    assert event["seq"] > online["seq"]
    late_ms = event["at_ms"] - event["last_seen_ms"] - 1000 * TIMEOUT
    assert late_ms >= -1
    if IS_RELEASE:
        assert late_ms <= 1000 * (2 * SCAN + MEASURING)
    alice.expect("bye", reason="timeout")
    alice.ended()


def test_fifty_silent_at_once_each_in_bound(server, login, clients, name):
    bob = login("bob")
    users = [name(f"u{i}") for i in range(50)]
    bob.watch(*users)
    last = {user: clients(server).hello(user, heartbeat_ms=200 + 7 * i).sent_at for i, user in enumerate(users)}
    told = {}
    while len(told) < len(users):
        event = bob.event(timeout=PATIENCE)
        if event["state"] == "offline":
            assert event["user"] not in told and event["reason"] == "timeout"
            told[event["user"]] = event
    for i, user in enumerate(users):
        assert_in_bound(told[user], [last[user]], 3 * (200 + 7 * i) / 1000)


def test_each_kind_of_byte_is_life(login, name, bob):
    """Heartbeats of both kinds, requests, errors, and a part of a line, byte by byte."""
    alice = login("alice", heartbeat_ms=HEARTBEAT_MS)
    bob.event(name("alice"), "online")
    signs = [b"\n", b'{"type":"heartbeat"}\n', b'{"type":"nonsense"}\n', b'{"type":"unwatch","users":[]}\n', b" "]
    stop = threading.Event()
    for sign in signs:
        for _ in range(2):
            alice.raw(sign)
            assert not stop.wait(TIMEOUT * 0.6)
    bob.quiet()
    event = bob.event(name("alice"), "offline", "timeout", timeout=TIMEOUT + PATIENCE)
    assert_in_bound(event, [alice.sent_at], TIMEOUT)


def test_heartbeats_keep_it_alive_for_long(login, name, bob):
    alice = login("alice", heartbeat_ms=HEARTBEAT_MS)
    bob.event(name("alice"), "online")
    pause, end = threading.Event(), time.monotonic() + 8 * TIMEOUT
    while time.monotonic() < end:
        alice.beat()
        pause.wait(TIMEOUT / 2)
    bob.quiet()


def test_one_of_two_devices_times_out(login, name, bob):
    alice = login("alice", "phone", heartbeat_ms=HEARTBEAT_MS, status="phone")
    bob.event(name("alice"), "online", status="phone")
    login("alice", "laptop", state="away", status="laptop")
    event = bob.event(name("alice"), "away", "timeout", timeout=TIMEOUT + PATIENCE, status="laptop")
    assert event["last_seen_ms"] is not None
    alice.expect("bye", reason="timeout")


def test_expiry_counts(start, clients):
    server = start(HEARTBEAT_MIN="50ms")
    alice = clients(server).hello("alice", heartbeat_ms=100)
    alice.expect("bye", reason="timeout")
    stats = server.stats()
    assert stats["counters"]["ended_timeout"] == 1 and stats["watchdog"]["expired"] == 1
    assert stats["watchdog"]["mistakes"] == 0
    assert stats["sessions"] == 0


def test_mistakes_are_counted(start, clients):
    """Bytes of a session that was expired already: the server's own error rate, and it says so."""
    server = start(HEARTBEAT_MIN="50ms")
    alice = clients(server).hello("alice", heartbeat_ms=100)
    alice.expect("bye", reason="timeout")
    alice.raw(b"\n")
    server.wait_stats(lambda s: s["watchdog"]["mistakes"] == 1)
    text = server.get("/metrics")[1]
    assert sum(map(int, re.findall(r"presenced_mistake_duration_seconds_count\S* (\d+)", text))) == 1


def test_absences_are_measured(start, clients):
    """How long somebody was shown offline who came back: of those whom silence ended, and of no others."""
    server = start(HEARTBEAT_MIN="50ms", WORKERS=2)

    def absences():
        text = server.get("/metrics")[1]
        return tuple(sum(map(float, re.findall(rf"presenced_absence_seconds_{part}\S* (\S+)", text)))
                     for part in ("count", "sum"))

    bob = clients(server).hello("bob")
    bob.watch("alice")
    alice = clients(server).hello("alice", heartbeat_ms=50)
    bob.event("alice", "online")
    gone = bob.event("alice", "offline", "timeout")
    assert absences() == (0, 0)
    time.sleep(0.2)
    alice = clients(server).hello("alice")
    back = bob.event("alice", "online")
    assert absences() == (1, pytest.approx((back["at_ms"] - gone["at_ms"]) / 1000))
    clients(server).hello("alice", "another device")
    alice.bye()
    clients(server).hello("carol").bye()
    clients(server).hello("carol")
    assert absences()[0] == 1


def test_watchers_own_end_is_clean(login, name, bob):
    """A watcher that goes while events are on their way to it."""
    alice = login("alice")
    for i in range(30):
        watcher = login("watcher")
        watcher.watch(name("alice"))
        alice.update(status=str(i))
        watcher.reset()
    alice.update(status="end")
    while bob.event(name("alice"))["status"] != "end":
        pass


def test_scan_interval_is_a_setting(start, clients):
    server = start(HEARTBEAT_MIN="50ms", SCAN_INTERVAL="400ms")
    bob = clients(server).hello("bob")
    bob.watch("alice")
    alice = clients(server).hello("alice", heartbeat_ms=100)
    bob.event("alice", "online")
    event = bob.event("alice", "offline", "timeout")
    late = event.at - alice.sent_at - 0.3
    assert late >= 0
    if IS_RELEASE:
        assert late <= 2 * 0.4 + MEASURING


def test_everything_returns_to_baseline(start, clients):
    """Logins and ends of every kind: no session, watch, descriptor or memory stays behind."""
    # The log of events and the histories fill to bounds of their own.
    server = start(WORKERS=2, HEARTBEAT_MIN="50ms", REMEMBER=100, EVENT_LOG=0, HISTORY=0)

    def round_of(n):
        for i in range(n):
            client = clients(server).hello(f"u{i}", heartbeat_ms=10000)
            client.watch(f"u{i + 1}", f"u{i + 2}")
            (client.close, client.reset, client.bye, lambda: client.raw(b"{\n"))[i % 4]()
            if i % 4 == 3:
                client.drain()
                client.close()
        server.wait_stats(lambda s: s["connections"] == 0 and s["sessions"] == 0 and s["watches"] == 0)

    n = sized(1000, 200)
    round_of(n)
    descriptors, memory = server.descriptors(), server.memory_kb()
    for _ in range(3):
        round_of(n)
    deadline = time.monotonic() + PATIENCE
    while server.descriptors() > descriptors:  # those of our own looks at /stats are closed a moment later
        assert time.monotonic() < deadline, "descriptors stay behind"
        time.sleep(0.01)
    if IS_RELEASE:
        assert server.memory_kb() <= memory + 512
    stats = server.stats()
    assert stats["users_online"] == 0
    assert stats["counters"]["logins"] == 4 * n
    ends = sum(v for k, v in stats["counters"].items() if k.startswith("ended_"))
    assert ends == 4 * n
