"""What operators and back ends ask is answered while twenty thousand are there and change, and it costs those nothing."""

import http.client
import json
import pathlib
import random
import socket
import statistics
import threading
import time
from urllib.parse import urlsplit

import pytest

from support.events import Churn, Follower
from support.mode import PATIENCE

pytestmark = [pytest.mark.long, pytest.mark.alone, pytest.mark.release_only]

N_PER_PROCESS, N_PROCESSES = 6000, 3  # a descriptor table has 20,000
N_CHURNING = 2000
CHANGES_PER_S = 3000
N_SCRAPERS = 200
SECONDS = 12
MEDIAN_MS = 50

ASKED = {
    "/stats": None, "/metrics": None, "/healthz": None, "/v1/counts": None, "/v1/users/a7": None, "/v1/users?limit=100": None,
    "/v1/users/u7/history": None, "/": None,
    "/v1/query": json.dumps({"users": [f"a{i}" for i in range(100)]}),
}


class Asker(threading.Thread):
    """Asks everything in turn, over connections that are kept, a tenth of a second apart."""

    def __init__(self, server):
        super().__init__(daemon=True)
        self.where, self.is_over, self.times, self.error = urlsplit(server.admin), False, {}, None
        self.start()

    def ask(self, connection, path, body):
        began = time.monotonic()
        connection.request("POST" if body else "GET", path, body)
        reply = connection.getresponse()
        reply.read()
        assert reply.status == 200, (path, reply.status)
        self.times.setdefault(path.split("?")[0], []).append((time.monotonic() - began) * 1000)

    def run(self):
        try:
            connection = http.client.HTTPConnection(self.where.hostname, self.where.port, timeout=PATIENCE)
            while not self.is_over:
                for path, body in ASKED.items():
                    self.ask(connection, path, body)
                time.sleep(0.1)
            connection.close()
        except Exception as error:
            self.error = error

    def finish(self):
        self.is_over = True
        self.join(PATIENCE)
        assert not self.error, self.error
        return {path: statistics.median(times) for path, times in self.times.items()}


class Changes(threading.Thread):
    """A user who changes ten times a second, and a follower: how long until it is told."""

    def __init__(self, server, clients):
        super().__init__(daemon=True)
        self.bob, self.is_over, self.times, self.error = clients(server).hello("marked"), False, [], None
        self.follower = Follower(server, "?users=marked").connect().until_live()
        self.start()

    def run(self):
        try:
            n = 0
            while not self.is_over:
                n += 1
                began = time.monotonic()
                self.bob.send(type="update", status=str(n))
                self.follower.until(lambda f: f.table.get("marked", {}).get("status") == str(n))
                self.times.append((time.monotonic() - began) * 1000)
                self.bob.expect("updated")
                time.sleep(0.1)
        except Exception as error:
            self.error = error

    def finish(self):
        self.is_over = True
        self.join(PATIENCE)
        assert not self.error, self.error
        self.follower.close()
        return statistics.median(self.times)


def worker_seconds(server):
    """Of CPU, of all workers."""
    total = 0
    for task in pathlib.Path(f"/proc/{server.pid}/task").iterdir():
        if (task / "comm").read_text().startswith("worker"):
            total += int((task / "schedstat").read_text().split()[0])
    return total / 1e9


def slow_scraper(server):
    """Asks for all metrics, and takes none of them."""
    where = urlsplit(server.admin)
    sock = socket.socket(socket.AF_INET, socket.SOCK_STREAM)
    sock.setsockopt(socket.SOL_SOCKET, socket.SO_RCVBUF, 2048)
    sock.connect((where.hostname, where.port))
    sock.sendall(f"GET /metrics HTTP/1.1\r\nHost: {where.netloc}\r\n\r\n".encode())
    return sock


@pytest.fixture
def crowded(start, crowds):
    server = start(WORKERS=2, HEARTBEAT="10s", HEARTBEAT_MAX="5m")
    for i in range(N_PROCESSES):
        crowd = crowds(server.url(), n=N_PER_PROCESS, prefix="abc"[i], heartbeat_ms=10000, beat_ms=10000)
        crowd.wait_for("ready", timeout=120)
    return server


def storm(server, seconds):
    """Two thousand more who change, come and go, so many times a second, where the machine has it."""
    at_once = 4  # at some ten changes each
    return Churn(server, server.counters()["events"] + CHANGES_PER_S * seconds, n_users=N_CHURNING,
                 n_at_once=at_once, pause=at_once * 10 / CHANGES_PER_S, seed=random.randrange(1000))


def test_answers_in_a_storm(crowded, clients, figure):
    server, began = crowded, time.monotonic()
    before = server.counters()["events"]
    churn = storm(server, SECONDS)
    followers = [Follower(server).connect().until_live(60) for _ in range(3)]
    asker, changes = Asker(server), Changes(server, clients)
    while churn.is_alive():
        for follower in followers:
            follower.read(0.01)
    told = changes.finish()
    medians = asker.finish()
    took = time.monotonic() - began
    churn.finish()
    stats = server.stats()
    rate = (stats["counters"]["events"] - before) / took
    figure(f"{stats['sessions']} sessions, {rate:.0f} changes/s, 4 followers: median ms of answers " +
           ", ".join(f"{path} {ms:.1f}" for path, ms in medians.items()) + f"; a change at a follower {told:.1f}")
    for follower in followers:
        follower.close()
    churn.close()
    assert all(ms <= MEDIAN_MS for ms in medians.values()) and told <= MEDIAN_MS
    assert stats["counters"]["feed_lost"] == 0


def test_what_asking_costs_the_workers(crowded, figure):
    """The same beats with and without, in turn: what the workers' threads take."""
    server = crowded

    def seconds_per_beat(seconds):
        beats, cpu = server.counters()["heartbeats"], worker_seconds(server)
        time.sleep(seconds)
        return (worker_seconds(server) - cpu) / (server.counters()["heartbeats"] - beats)

    without, beside = [], []
    for _ in range(4):
        without.append(seconds_per_beat(10))  # a whole beat of all
        asker = Asker(server)
        followers = [Follower(server, "?prefix=nobody").connect() for _ in range(20)]
        beside.append(seconds_per_beat(10))
        asker.finish()
        for follower in followers:
            follower.close()
    more = statistics.median(beside) / statistics.median(without) - 1
    figure(f"CPU of the workers for a beat: {statistics.median(without) * 1e6:.2f} us, "
           f"{statistics.median(beside) * 1e6:.2f} us beside 60 answers/s and 20 followers ({more:+.1%}); "
           f"each: {[round(s * 1e6, 2) for s in without]} {[round(s * 1e6, 2) for s in beside]}")


def test_slow_scrapers_harm_nobody(crowded, clients, figure):
    server = crowded
    stranger = clients(server).hello("stranger")
    quiet = statistics.median(stranger.beat() for _ in range(200)) * 1000
    scrapers = [slow_scraper(server) for _ in range(N_SCRAPERS)]
    asker = Asker(server)
    times, end = [], time.monotonic() + 8
    while time.monotonic() < end:
        times.append(stranger.beat() * 1000)
        time.sleep(0.005)
    medians = asker.finish()
    figure(f"beside {N_SCRAPERS} scrapers that read nothing: a heartbeat answered in {statistics.median(times):.2f} ms "
           f"({quiet:.2f} without), /healthz in {medians['/healthz']:.1f}, /metrics in {medians['/metrics']:.1f}")
    assert statistics.median(times) <= max(4 * quiet, 1.0)
    assert all(ms <= MEDIAN_MS for ms in medians.values())
    for sock in scrapers:
        sock.close()
