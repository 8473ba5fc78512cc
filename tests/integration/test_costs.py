"""What a session, a heartbeat and an event cost, in what noise can't move."""

import collections
import os

import pytest

from support import costs

pytestmark = [pytest.mark.release_only, pytest.mark.alone]

N_SESSIONS = 5000
BYTES_PER_SESSION = 256  # with ids of 16 bytes
N_BEATS = 500
READS = {"recvfrom", "recv", "read", "recvmsg"}
WRITES = {"sendto", "send", "write", "sendmsg", "writev"}
WAITS = {"epoll_wait", "epoll_pwait", "epoll_pwait2"}
MORE, LESS = 1.04, 0.85  # of the recorded figure: compilers' minor versions; better than that is recorded


def test_bytes_per_idle_session(start, figure):
    # The event log and the histories fill up to a bound of their own, whoever is logged in.
    server = start(WORKERS=2, HEARTBEAT="5m", HEARTBEAT_MAX="5m", EVENT_LOG=0, HISTORY=0)
    sockets = costs.open_sessions(server, 0, 1)  # what is allocated once is no session's,
    assert server.stats()["sessions"] == 1  # nor what the admin's thread takes to answer
    empty = costs.rss_bytes(server.pid)
    sockets += costs.open_sessions(server, 1, N_SESSIONS - 1)
    assert server.stats()["sessions"] == N_SESSIONS
    per_session = (costs.rss_bytes(server.pid) - empty) / (N_SESSIONS - 1)
    for sock in sockets:
        sock.close()
    figure(f"{per_session:.0f} B of user-space memory a session, {N_SESSIONS} idle ones")
    assert per_session <= BYTES_PER_SESSION


@pytest.mark.parametrize("line", [costs.ANSWER, b"\n"], ids=["heartbeat", "empty"])
def test_system_calls_per_heartbeat(start, clients, tmp, figure, line):
    """One read, one write, one wait; nothing else."""
    trace = tmp / "strace"
    server = start(WORKERS=1, wrap=[*costs.TRACER, str(trace)])
    client = clients(server).hello("tracy", "d")
    costs.beat(client, 10, line)  # what is done once is no heartbeat's
    client.raw(b'{"type":"first"}\n')
    assert client.recv()["type"] == "error"
    costs.beat(client, N_BEATS, line)
    client.raw(b'{"type":"last"}\n')
    assert client.recv()["type"] == "error"
    server.stop()
    marked = [calls for calls in costs.trace_calls(trace, server.pid).values()
              if any(r'{\"type\":\"first\"}' in text for _, text in calls)]
    assert len(marked) == 1, "one thread reads a connection"
    first, last = (next(i for i, (name, text) in enumerate(marked[0])
                        if name in READS and rf'\"type\":\"{word}\"' in text) for word in ("first", "last"))
    names = [name for name, _ in marked[0][first:last]]
    counts = collections.Counter(names)
    reads, writes, waits = (sum(counts[name] for name in group) for group in (READS, WRITES, WAITS))
    figure(f"{N_BEATS} heartbeats: {dict(counts)}")
    assert set(names) <= READS | WRITES | WAITS
    assert reads == writes == N_BEATS + 1  # and the first marker
    assert waits <= N_BEATS * 1.05 + 5  # timers wake it too


def test_allocations_per_heartbeat(start, clients, tmp):
    """None: not in the worker, nor in any other thread on its behalf."""
    counter = costs.AllocationCounter(tmp)
    server = start(WORKERS=2, env=counter.environment)
    client = clients(server).hello("allie", "d")
    assert counter.value() > 100, "the counter is not in place: the server has allocated as it started"
    for line in costs.ANSWER, b"\n":
        costs.beat(client, 100, line)
        before = counter.value()
        costs.beat(client, N_BEATS, line)
        costs.beat(client, N_BEATS, line, in_row=10)
        assert counter.value() == before


@pytest.mark.parametrize("kind", costs.LOADS)
def test_instructions(tmp, figure, kind):
    recorded = costs.recorded()
    if recorded["compiler"] != costs.compiler() or os.environ.get("CC", "gcc") != "gcc":
        pytest.skip(f"the figures on record are of {recorded['compiler']}")
    was = recorded["instructions"][kind]
    now = costs.instructions(tmp, kind)
    figure(f"{now:.0f} instructions for {costs.LOADS[kind]}; on record {was:.0f}")
    assert now <= was * MORE, f"{now:.0f} instructions, {was:.0f} on record"
    assert now >= was * LESS, f"{now:.0f} instructions are fewer than the {was:.0f} on record: make record-costs"
