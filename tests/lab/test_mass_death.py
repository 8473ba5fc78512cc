"""Ten thousand people on one host, and its cable is pulled."""

import resource

import pytest

from support.bounds import assert_in_bound, possible_last_bytes, spread
from support import lab as hosts_lab
from support.client import Client, Listener
from support.mode import PATIENCE, sized
from support.server import off_loopback

# A process's descriptors are what limits a host here.
N = min(sized(10_000, 1_000), resource.getrlimit(resource.RLIMIT_NOFILE)[1] - 500)
HEARTBEAT_MS, MISSED = 2000, 2
TIMEOUT = HEARTBEAT_MS * MISSED / 1000


@pytest.fixture
def crowd(lab, start, tmp, crowds):
    server = start(namespace=lab.server, env=off_loopback(), HEARTBEAT_MIN="50ms", WORKERS=2, MISSED_BEATS=MISSED,
                   LISTEN=f"tcp://{hosts_lab.SERVER_ADDRESS}:0,unix://{tmp}/sock")
    # A drum of beats within a fifth of a beat: they will die within as little.
    begun = crowds(server.url("tcp"), n=N, namespace=lab.hosts[0], prefix="dead", heartbeat_ms=HEARTBEAT_MS,
                   beat_ms=1500, spread=0.2)
    begun.server = server
    return begun


def test_mass_death(lab, crowd, tmp, figure):
    server = crowd.server
    survivor = Client(server.url("tcp"), namespace=lab.hosts[1]).hello("survivor", heartbeat_ms=10000)
    watching = Client(server.url("unix")).hello("watcher", heartbeat_ms=10000)
    users = [f"dead{i}" for i in range(N)]
    crowd.wait_for("ready", timeout=sized(30, 60))
    for at in range(0, N, 1000):
        assert {p["state"] for p in watching.watch(*users[at:at + 1000])} == {"online"}
    listener = Listener(watching)
    try:
        crowd.wait_for("beaten")
        window = lab.cable_out([0])
        events = listener.wait(N, TIMEOUT + PATIENCE)
        assert len(listener.wait(N + 1, 0.5)) == N
        dumped = crowd.dump(tmp / "crowd.json")
    finally:
        listener.stop()
    assert len({e["user"] for e in events}) == N
    assert {(e["state"], e["reason"]) for e in events} == {("offline", "timeout")}
    late = []
    for event in events:
        i = int(event["user"][4:])
        last = possible_last_bytes(dumped["sent"][i], dumped["answered"][i], window)
        late.append(assert_in_bound(event, last, TIMEOUT))
    figure(f"{spread(late)}; first to last told {events[-1].at - events[0].at:.3f} s")
    assert server.counters()["ended_timeout"] == N
    assert survivor.beat() < PATIENCE
    survivor.close()
