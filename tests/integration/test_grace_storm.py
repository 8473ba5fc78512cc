"""Many whose connections are cut and made again at random within the grace: nobody hears of it. Those who stay away are told
of once, when their grace is over."""

import heapq
import random
import time

import pytest

from support.client import Client, Listener
from support.mode import IS_RELEASE, sized

SCANS = 0.2
MEASURING = 0.05


class Someone:
    """A client that is cut, stays away for a while, and comes back by its device or by its secret."""

    def __init__(self, server, i):
        self.server, self.user = server, f"user{i}"
        self.watches = sorted(f"user{(i * 7 + k) % 50}" for k in range(1, 4))
        self.client = Client(server.url()).hello(self.user, "phone", state="busy", status=str(i))
        self.secret, self.session = self.client.welcome["resume"], self.client.welcome["session"]
        self.n_resumed = 0

    def cut(self, rng):
        self.client.reset() if rng.random() < 0.5 else self.client.close()
        self.client = None

    def come_back(self, rng):
        """With the secret the old connection may still be there."""
        by_secret = self.client is not None or rng.random() < 0.5
        old, self.client = self.client, Client(self.server.url())
        self.client.send(type="hello", v=1, user=self.user, **({"resume": self.secret} if by_secret else {"device": "phone"}))
        welcome = self.client.expect("welcome", resumed=True)
        assert welcome["session"] == self.session and welcome["device"] == "phone"
        self.n_resumed += 1
        if by_secret:
            watching = self.client.expect("watching")
            assert sorted(p["user"] for p in watching["presences"]) == self.watches
        else:
            self.client.watch(*self.watches)
        if old:
            old.expect("bye", reason="replaced")
            old.close()


def storm(server, figure, n, seconds, grace, late):
    seed = random.randrange(1 << 32)
    figure(f"seed {seed}")
    rng = random.Random(seed)
    crowd = [Someone(server, i) for i in range(n)]
    for who in crowd:
        who.client.watch(*who.watches)
    watcher = Client(server.url()).hello("watcher")
    for at in range(0, n, 1000):
        watcher.watch(*[who.user for who in crowd[at:at + 1000]])
    listener = Listener(watcher)
    began = time.monotonic()
    due = [(began + rng.uniform(0, min(2.0, seconds / 2)), i) for i in range(n)]
    heapq.heapify(due)
    n_cuts = 0
    while due:
        at, i = heapq.heappop(due)
        time.sleep(max(0, at - time.monotonic()))
        who = crowd[i]
        if who.client is None:
            who.come_back(rng)
        elif time.monotonic() - at > 0.1:
            pass  # this test is late: nobody may be away for longer because of that
        elif rng.random() < 0.15:
            who.come_back(rng)
        else:
            who.cut(rng)
            n_cuts += 1
            heapq.heappush(due, (time.monotonic() + rng.uniform(0, 0.6 * grace), i))
            continue
        at = time.monotonic() + rng.expovariate(1 / 1.5)
        if at < began + seconds:
            heapq.heappush(due, (at, i))
    counters = server.counters()
    assert listener.events() == [], "nobody stayed away for as long as the grace"
    assert counters["resumed"] == sum(who.n_resumed for who in crowd)
    assert counters["grace_over"] == 0
    figure(f"{n} clients, {time.monotonic() - began:.0f} s: {n_cuts} cuts, {counters['resumed']} came back, "
           f"{counters['resume_late']} without their watches, no event")

    away, cut_at, cut_ms = crowd[:n // 10], {}, {}
    for who in away:
        cut_at[who.user], cut_ms[who.user] = time.monotonic(), time.time() * 1000
        who.cut(rng)
    listener.wait(len(away), grace + 10)
    time.sleep(0.3)
    events = listener.events()
    assert sorted(event["user"] for event in events) == sorted(cut_at), "each once, and nobody else"
    lateness = sorted(event.at - cut_at[event["user"]] - grace for event in events)
    figure(f"{len(events)} stayed away: each told once, {1000 * lateness[0]:.0f} to {1000 * lateness[-1]:.0f} ms past the grace")
    for event in events:
        assert event["state"] == "offline" and event["reason"] in ("closed", "reset")
        assert -2 <= event["at_ms"] - cut_ms[event["user"]] <= 1000 * late, event
    assert lateness[0] >= 0
    assert lateness[-1] <= late
    listener.stop()
    for who in crowd:
        if who.client:
            who.client.close()


def test_cut_and_remade_at_random(start, figure):
    grace = sized(1.5, 6)
    server = start(GRACE=f"{int(grace * 1000)}ms", WORKERS=4)
    storm(server, figure, sized(300, 60), sized(3, 2), grace, 1.5 if IS_RELEASE else 6)


@pytest.mark.long
@pytest.mark.alone
@pytest.mark.release_only
def test_a_thousand_for_a_minute(start, figure):
    storm(start(GRACE="5s", WORKERS=4), figure, 1000, 60, 5, SCANS + MEASURING)
