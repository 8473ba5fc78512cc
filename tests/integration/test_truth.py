"""No false word: live clients stay alive to all the world, whatever the server itself goes through."""

import glob
import os
import re
import signal
import threading
import time

import pytest

from support.bounds import MEASURING, SCAN, assert_in_bound, spread
from support.client import Client, Listener
from support.mode import PATIENCE, sized
from support.stall import cpu_quota

N = sized(2000, 400)
TIMEOUT = 3.0


@pytest.fixture
def watch_all():
    """Reads all that is told of some users, as it comes."""
    begun = []

    def watch(server, users):
        client = Client(server.url()).hello("watcher", heartbeat_ms=60000)
        for at in range(0, len(users), 1000):
            assert {p["state"] for p in client.watch(*users[at:at + 1000])} == {"online"}
        begun.append(Listener(client))
        return begun[-1]

    yield watch
    for listener in begun:
        listener.stop()


@pytest.fixture
def alive(crowds, watch_all):
    """Clients that beat every second under a timeout of three, and one who watches them all."""

    def begin(server):
        crowd = crowds(server.url(), n=N, prefix="live", heartbeat_ms=1000, beat_ms=1000)
        crowd.wait_for("ready", timeout=60)
        crowd.watching = watch_all(server, [f"live{i}" for i in range(N)])
        return crowd

    return begin


def nothing_for(seconds, server, crowd):
    """That long, nobody is told anything of the living, and none of them either."""
    assert crowd.watching.wait(1, seconds) == []
    assert crowd.watching.closed is None
    assert crowd.all_said("bye") == [] and crowd.all_said("closed") == []
    stats = server.stats()
    assert stats["counters"]["ended_timeout"] == 0 and stats["watchdog"]["mistakes"] == 0
    assert stats["sessions"] == N + 1


def test_server_stopped_for_ten_seconds(start, alive):
    server = start(WORKERS=2)
    crowd = alive(server)
    server.signal(signal.SIGSTOP)
    time.sleep(sized(10, 6))  # the stall itself
    server.signal(signal.SIGCONT)
    nothing_for(TIMEOUT + 1, server, crowd)


def test_server_stopped_again_and_again(start, alive):
    """Stalls of just over the timeout, in a row: no verdict comes of the sum."""
    server = start(WORKERS=2)
    crowd = alive(server)
    for _ in range(sized(3, 1)):
        server.signal(signal.SIGSTOP)
        time.sleep(TIMEOUT + 0.3)
        server.signal(signal.SIGCONT)
        time.sleep(0.15)
    nothing_for(TIMEOUT + 0.5, server, crowd)


@pytest.mark.release_only
def test_server_with_a_tenth_of_a_cpu(start, alive):
    server = start(WORKERS=2)
    crowd = alive(server)
    try:
        with cpu_quota(server.pid, 10) as stat:
            assert crowd.watching.wait(1, 20) == []
            throttled = int(re.search(r"nr_throttled (\d+)", stat.read_text()).group(1))
    except OSError as error:
        pytest.skip(f"no CPU quota may be set here: {error}")
    assert throttled >= 0
    nothing_for(1, server, crowd)


@pytest.mark.release_only
def test_server_stalled_by_quota(start, alive):
    """One percent: not enough for the work, so that it lags behind for seconds."""
    server = start(WORKERS=2)
    crowd = alive(server)
    try:
        with cpu_quota(server.pid, 1) as stat:
            assert crowd.watching.wait(1, 8) == []
            assert int(re.search(r"nr_throttled (\d+)", stat.read_text()).group(1)) > 0
    except OSError as error:
        pytest.skip(f"no CPU quota may be set here: {error}")
    nothing_for(TIMEOUT + 0.5, server, crowd)


@pytest.mark.release_only
def test_wall_clock_stepped_an_hour(start, alive, tmp):
    library = next(iter(glob.glob("/usr/lib/*/faketime/libfaketimeMT.so.1")), None)
    if not library:
        pytest.skip("libfaketime is not installed")
    stamp = tmp / "offset"

    def step(offset):
        (tmp / "new").write_text(offset + "\n")
        os.rename(tmp / "new", stamp)

    step("+0")
    server = start(WORKERS=2, env={"LD_PRELOAD": library, "FAKETIME_TIMESTAMP_FILE": str(stamp),
                                   "FAKETIME_NO_CACHE": "1", "FAKETIME_DONT_FAKE_MONOTONIC": "1",
                                   "FAKETIME_DONT_RESET": "1"})
    crowd = alive(server)
    with Client(server.url()).hello("clock", heartbeat_ms=60000) as looker:
        for offset, hours in (("+3600", 1), ("-3600", -1)):
            step(offset)
            assert crowd.watching.wait(1, TIMEOUT + 0.5) == []
            off = looker.look("live0")["last_seen_ms"] - time.time() * 1000
            shown = Client(server.url()).hello("shown")
            off_now = shown.welcome["now_ms"] - time.time() * 1000
            shown.bye()
            assert abs(off_now - hours * 3_600_000) < 10_000, "the step is there"
            assert abs(off) < 2 * 3_600_000
    server.wait_stats(lambda s: s["sessions"] == N + 1)
    nothing_for(0.5, server, crowd)


@pytest.fixture
def flood_every_worker(crowds):
    """One who beats without a pause on each worker. The kernel spreads connections: open until all have one."""

    def begin(server):
        for i in range(64):
            crowds(server.url(), prefix=f"flood{i}-", flood=True).wait_for("ready")
            if all(w["connections"] > 0 for w in server.stats()["workers"]):
                return
        raise AssertionError("a worker stays without a connection")

    return begin


@pytest.mark.alone
def test_real_deaths_under_a_flood(start, crowds, watch_all, flood_every_worker, tmp, figure):
    """A flooder on every worker takes all the CPU it gets; the dead are told in bound all the same."""
    server = start(WORKERS=2)
    flood_every_worker(server)
    n = sized(100, 30)
    dying = crowds(server.url(), n=n, prefix="dying", heartbeat_ms=1000, beat_ms=400)
    dying.wait_for("beaten")
    watching = watch_all(server, [f"dying{i}" for i in range(n)])
    dying.tell(f"mute {n}")
    dying.wait_for("muted")
    events = watching.wait(n, TIMEOUT + PATIENCE)
    sent = dying.dump(tmp / "dying.json")["sent"]
    assert sorted(e["user"] for e in events) == sorted(f"dying{i}" for i in range(n))
    assert {e["reason"] for e in events} == {"timeout"}
    figure(spread([assert_in_bound(event, sent[int(event["user"][5:])][-1:], TIMEOUT) for event in events]))
    assert server.counters()["heartbeats"] > 10_000


@pytest.mark.alone
def test_stall_and_real_deaths(start, alive, crowds, watch_all, flood_every_worker, tmp):
    """Stopped, under a flood, with the living and the dying: no false word, and the dead are told."""
    server = start(WORKERS=2)
    flood_every_worker(server)
    crowd = alive(server)
    n = 20
    dying = crowds(server.url(), n=n, prefix="dying", heartbeat_ms=1000, beat_ms=400)
    dying.wait_for("beaten")
    watching = watch_all(server, [f"dying{i}" for i in range(n)])
    dying.tell(f"mute {n}")
    dying.wait_for("muted")
    stalled = sized(5.0, 4.0)
    server.signal(signal.SIGSTOP)
    time.sleep(stalled)
    server.signal(signal.SIGCONT)
    events = watching.wait(n, 2 * TIMEOUT + PATIENCE)
    assert sorted(e["user"] for e in events) == sorted(f"dying{i}" for i in range(n))
    sent = dying.dump(tmp / "dying.json")["sent"]
    for event in events:
        assert event["reason"] == "timeout"
        late = event.at - sent[int(event["user"][5:])][-1] - TIMEOUT
        assert late >= 0
        # A stall adds its own length and at most one more timeout.
        assert late <= stalled + TIMEOUT + 2 * SCAN + MEASURING or sized(False, True)
    assert crowd.watching.wait(1, 1) == []
    assert crowd.all_said("bye") == [] and crowd.all_said("closed") == []


@pytest.mark.alone
def test_client_that_beats_at_the_last_moment(start, clients):
    """Beats close before each verdict: nominated again and again, and never expired."""
    server = start(HEARTBEAT_MIN="50ms", SCAN_INTERVAL="10ms", WORKERS=1)
    watcher, edge = clients(server).hello("watcher"), clients(server).hello("edge", heartbeat_ms=200)
    watcher.watch("edge")
    pause, end = threading.Event(), time.monotonic() + 3
    margin = sized(0.03, 0.25)
    while time.monotonic() < end:
        due = time.monotonic() + 0.6 - margin
        edge.raw(b"\n")
        pause.wait(due - time.monotonic())
    edge.raw(b"\n")
    watcher.quiet()
    event = watcher.event("edge", "offline", "timeout", timeout=0.6 + PATIENCE)
    assert event.at - edge.sent_at >= 0.6


def test_bytes_in_the_socket_are_heard_before_a_verdict(start, clients):
    """Stopped before the beat comes, continued long after its time: the beat lay in the buffer, and counts."""
    server = start(HEARTBEAT_MIN="50ms", WORKERS=1)
    watcher, edge = clients(server).hello("watcher"), clients(server).hello("edge", heartbeat_ms=300)
    watcher.watch("edge")
    server.signal(signal.SIGSTOP)
    edge.raw(b"\n")
    time.sleep(2.0)  # the stall
    edge.raw(b"\n")
    server.signal(signal.SIGCONT)
    continued = time.monotonic()
    assert edge.recv() == "" and edge.recv() == ""
    event = watcher.event("edge", "offline", "timeout", timeout=3 + PATIENCE)
    assert event.at - continued >= 0.8, "its last bytes were read after the stall"
