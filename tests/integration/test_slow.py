"""Peers that do not read: they get the newest, nobody waits for them, and in the end they are let go."""

import json
import select
import time

import pytest

from support.client import EMPTY, Closed
from support.mode import PATIENCE, sized

N_USERS = 50


def crank(server, clients, rounds):
    """Fifty users who change their long statuses, each in turn."""
    users = [clients(server).hello(f"u{i}") for i in range(N_USERS)]
    for r in range(rounds):
        for i, user in enumerate(users):
            user.send(type="update", status=f"{r:06d}" + "s" * 240, state="online")
        for user in users:
            user.expect("updated")
    return users


def test_slow_reader_ends_with_the_newest(start, clients):
    server = start(WORKERS=2)
    bob = clients(server, rcvbuf=4096).hello("bob")
    bob.watch(*[f"u{i}" for i in range(N_USERS)])
    rounds = sized(100, 60)
    crank(server, clients, rounds)
    last, n, expected = {}, 0, f"{rounds - 1:06d}" + "s" * 240
    while len([1 for e in last.values() if e["status"] == expected]) < N_USERS:
        event = bob.event()
        n += 1
        assert event["seq"] > last.get(event["user"], {"seq": -1})["seq"]
        last[event["user"]] = event
    assert n < N_USERS * rounds
    bob.beat()
    counters = server.counters()
    assert counters["events_delivered"] >= n and counters["events_skipped"] > 0


def test_slow_reader_costs_no_memory_by_time(start, clients):
    if sized(False, True):
        rounds, allowed_kb = 30, None
    else:
        rounds, allowed_kb = 100, 1024
    server = start(WORKERS=2, EVENT_LOG=0, HISTORY=0)  # those fill to a bound of their own
    bob = clients(server, rcvbuf=4096).hello("bob")
    bob.watch(*[f"u{i}" for i in range(N_USERS)])
    users = crank(server, clients, rounds)
    before = server.memory_kb()
    for r in range(rounds):
        for user in users:
            user.send(type="update", status=f"{r:06d}" + "t" * 240)
        for user in users:
            user.expect("updated")
    if allowed_kb:
        assert server.memory_kb() <= before + allowed_kb


def test_no_progress_ends_as_slow(start, clients):
    server = start(WORKERS=2, SLOW_TIMEOUT="1s")
    watcher = clients(server).hello("watcher")
    watcher.watch("bob")
    bob = clients(server, rcvbuf=4096).hello("bob")
    watcher.event("bob", "online")
    bob.watch(*[f"u{i}" for i in range(N_USERS)])
    began = time.monotonic()
    crank(server, clients, sized(100, 60))
    event = watcher.event("bob", "offline", "slow", timeout=3 + PATIENCE)
    assert event.at - began >= 1
    assert server.counters()["ended_slow"] == 1
    last = server.history("bob", 2)[0]
    assert (last["reason"], last["evidence"]["socket"], last["session"]) == ("slow", "open", bob.welcome["session"])
    # What it reads at last is whole lines, as far as they came.
    try:
        while True:
            assert bob.maybe() is not None, "never closed"
    except Closed:
        pass


def test_slow_but_reading_is_not_slow(start, clients):
    """Always behind, and never without progress for as long as the limit: it stays."""
    server = start(WORKERS=2, SLOW_TIMEOUT="1s")
    bob = clients(server, rcvbuf=4096).hello("bob")
    bob.watch(*[f"u{i}" for i in range(N_USERS)])
    users = crank(server, clients, 40)
    end, got, told = time.monotonic() + 3, 0, 0
    while time.monotonic() < end:
        for user in users:
            user.send(type="update", status=f"{told:06d}" + "s" * 240)
            told += 1
        for user in users:
            user.expect("updated")
        if select.select([bob.sock], [], [], 0.02)[0]:
            got += len(bob.sock.recv(16384))
    assert got
    assert server.counters()["ended_slow"] == 0


def query_without_reading(client, n=1000):
    """Send long queries until the way is full, both ways; how many went in."""
    line = json.dumps({"type": "query", "id": 1, "users": [f"{'q' * 40}{i}" for i in range(1000)]}).encode() + b"\n"
    client.sock.setblocking(False)
    sent, data = 0, b""
    end = time.monotonic() + PATIENCE
    while sent < n and time.monotonic() < end:
        data = data or line
        if not select.select([], [client.sock], [], 0.3)[1]:
            break
        try:
            data = data[client.sock.send(data):]
        except (BrokenPipeError, ConnectionResetError):
            break
        except BlockingIOError:
            continue
        sent += not data
    client.sock.setblocking(True)
    client.sock.settimeout(PATIENCE)
    return sent


@pytest.mark.parametrize("transport", ["tcp", "unix"])
def test_never_reading_requester(start, clients, tmp, transport):
    """Paused, bounded in memory, and ended as slow: not as silent, though nothing of it is read."""
    server = start(LISTEN=f"tcp://127.0.0.1:0,unix://{tmp}/sock", HEARTBEAT_MIN="50ms", SLOW_TIMEOUT="2s", WORKERS=1)
    watcher = clients(server).hello("watcher")
    watcher.watch("bob")
    bob = clients(server, server.url(transport), rcvbuf=4096).hello("bob", heartbeat_ms=200)
    watcher.event("bob", "online")
    before, began = server.memory_kb(), time.monotonic()
    sent = query_without_reading(bob)
    assert sent < 1000, "somebody must hold it back"
    if sized(True, False):
        assert server.memory_kb() <= before + 2048
    stats = server.stats()
    assert stats["counters"]["paused"] >= 1
    watcher.beat()
    event = watcher.event("bob", "offline", timeout=4 + PATIENCE)
    assert event["reason"] == "slow" and event.at - began >= 2
    with pytest.raises(Closed):
        while bob.maybe() is not None:
            pass


def test_paused_requester_that_reads_again(start, clients):
    server = start(WORKERS=1, SLOW_TIMEOUT="20s")
    bob = clients(server, rcvbuf=4096).hello("bob")
    line = json.dumps({"type": "query", "id": 1, "users": [f"{'q' * 40}{i}" for i in range(1000)]}).encode() + b"\n"
    bob.raw(line * 20 + b"\n")
    server.wait_stats(lambda s: s["counters"]["paused"] >= 1)
    whole = 0
    while whole < 20:
        message = bob.recv()
        whole += "more" not in message
    assert bob.recv() == EMPTY, "and the heartbeat behind it all is answered"


@pytest.mark.tight
def test_slow_peer_delays_nobody(start, clients):
    server = start(WORKERS=1)
    stuck = [clients(server, rcvbuf=4096).hello(f"stuck{i}") for i in range(10)]
    for client in stuck:
        client.watch(*[f"u{i}" for i in range(N_USERS)])
    quick = clients(server).hello("quick")
    crank(server, clients, 40)
    times = sorted(quick.beat() for _ in range(200))
    if sized(True, False):
        assert times[100] < 0.005 and times[-1] < 0.1
