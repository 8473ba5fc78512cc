"""What an operator reads: /stats, /healthz, /readyz."""

import re
import signal
import socket
import time

from support.mode import ROOT, sized

COUNTERS_HEADER = ROOT / "src/base/counters.h"


def test_fields(start, clients):
    server = start(WORKERS=2)
    alice = clients(server).hello("alice")
    alice.watch("bob", "carol")
    stats = server.stats()
    assert set(stats) >= {"version", "server", "uptime_ms", "sessions", "connections", "users_online", "watches",
                          "counters", "workers", "watchdog", "feed", "memory", "limits"}
    assert stats["server"] == alice.welcome["server"]
    assert re.match(r"\d+\.\d+", stats["version"])
    assert (stats["sessions"], stats["connections"], stats["users_online"], stats["watches"]) == (1, 1, 1, 2)
    assert len(stats["workers"]) == 2
    for worker in stats["workers"]:
        assert set(worker) >= {"sessions", "connections", "mailbox_depth", "loop_ms", "stalled"}
        assert set(worker["loop_ms"]) >= {"p50", "p99", "max"}
        assert worker["event_ms"] == {"p50": 0, "p99": 0, "max": 0}
        assert worker["stalled"] is False
    assert sum(w["sessions"] for w in stats["workers"]) == sum(w["connections"] for w in stats["workers"]) == 1
    watchdog = stats["watchdog"]
    assert set(watchdog) >= {"scans", "scan_us", "lateness_ms", "expired", "mistakes", "stalls"}
    assert set(watchdog["lateness_ms"]) >= {"p50", "p99", "max"}
    assert stats["memory"] and stats["limits"]
    again = server.wait_stats(lambda s: s["watchdog"]["scans"] > watchdog["scans"])
    assert again["uptime_ms"] >= stats["uptime_ms"]


def test_every_counter_is_there(start):
    names = re.findall(r"^\tX\((\w+), \"", COUNTERS_HEADER.read_text(), re.M)
    assert len(names) > 30
    counters = start().counters()
    assert set(counters) >= set(names)
    assert all(isinstance(value, int) for value in counters.values())


def test_counters_move(start, clients):
    server = start(WORKERS=1)
    watcher = clients(server).hello("watcher")
    watcher.watch("alice", "bob")
    watcher.unwatch("bob")
    before = server.counters()
    alice = clients(server).hello("alice", "d")
    watcher.event("alice", "online")
    again = clients(server).hello("alice", "d")
    alice.drain()
    again.beat()
    again.update(state="busy")
    watcher.event("alice", "busy")
    watcher.query("x", "y")
    again.send(type="nonsense")
    again.error("unknown_type")
    again.bye()
    watcher.event("alice", "offline")
    after = server.counters()
    moved = {k: after[k] - before[k] for k in after if after[k] != before[k]}
    assert moved["accepted"] == 2 and moved["logins"] == 2 and moved["takeovers"] == 1
    assert moved["heartbeats"] == 1 and moved["updates"] == 1 and moved["queries"] == 1
    assert moved["error_unknown_type"] == 1 and moved["ended_logout"] == 1
    assert moved["events"] == 3 and moved["events_delivered"] == 3
    assert moved["messages_in"] == 7
    assert moved["bytes_in"] > 100 and moved["bytes_out"] > 300
    assert before["watches_added"] == 2 and before["watches_removed"] == 1


def test_health_and_readiness(start):
    server = start()
    assert server.get("/healthz")[0] == 200
    assert server.get("/readyz")[0] == 200


def test_unknown_path_and_method(start):
    server = start()
    status, body = server.get("/nothing")
    assert status == 404 and body["error"]["code"] and body["error"]["message"]
    assert server.get("/stats/")[0] in (200, 404)
    assert server.get("/" + "x" * 5000)[0] in (404, 414)


def test_not_ready_while_draining(start, clients):
    server = start(DRAIN_DELAY="2s")
    alice = clients(server).hello("alice")
    server.signal(signal.SIGTERM)
    end = time.monotonic() + 1.5
    while (got := server.get("/readyz"))[0] == 200 and time.monotonic() < end:
        time.sleep(0.01)
    assert got[0] == 503 and "drain" in str(got[1])
    assert server.get("/healthz")[0] == 200
    # It still accepts, and serves.
    clients(server).hello("late").beat()
    alice.beat()
    assert alice.recv(timeout=sized(5, 20))["reason"] == "shutdown"
    assert server.wait() == 0


def test_stalled_worker_is_reported_not_fatal(start, clients):
    """/stats asked again and again under load does no harm."""
    server = start(WORKERS=2)
    alice = clients(server).hello("alice")
    for _ in range(sized(200, 40)):
        server.stats()
        alice.beat()


def test_token(start):
    server = start(ADMIN_TOKEN="secret-of-this-test")
    status, body = server.get("/stats")
    assert status == 401 and body["error"]["code"]
    assert server.get("/stats", token="secret-of-this-tesT")[0] == 401
    assert server.get("/stats", token="")[0] == 401
    assert server.get("/stats", token="secret-of-this-test")[0] == 200
    assert server.get("/healthz")[0] == 200 and server.get("/readyz")[0] == 200
    assert not any("secret-of-this-test" in line for line in server.lines)


OWN = ["127.0.0.1:7402", "127.0.0.1", "[::1]:7402", "[::1]", "localhost", "LocalHost:8080", "presenced.localhost:1",
       "192.0.2.1"]
FOREIGN = ["evil.example", "evil.example:7402", "localhost.evil.example", "notlocalhost", "127.0.0.1.evil.example", "",
           ":7402", "[::1.evil.example]", "x" * 300, "1.2.3"]


def test_names_of_others_are_not_answered_without_a_token(start):
    """A page whose name was made to lead here (DNS rebinding) asks with that name, and must not read."""
    server = start()
    for host in OWN:
        assert server.get("/stats", headers={"Host": host})[0] == 200, host
    for host in FOREIGN:
        status, body = server.get("/stats", headers={"Host": host})
        assert (status, body["error"]["code"]) == (403, "foreign_host"), host
        assert server.get("/v1/users/bob", method="DELETE", headers={"Host": host})[0] == 403
        assert server.get("/nothing", headers={"Host": host})[0] == 403
        assert server.get("/healthz", headers={"Host": host})[0] == 200
    where = server.admin.removeprefix("http://").rsplit(":", 1)
    with socket.create_connection((where[0], int(where[1]))) as old:
        old.sendall(b"GET /stats HTTP/1.0\r\n\r\n")  # no browser: it says no name at all
        assert old.recv(12, socket.MSG_WAITALL).endswith(b" 200")


def test_names_are_the_operators_where_there_is_a_token(start):
    server = start(ADMIN_TOKEN="t", METRICS_PUBLIC="true")
    for host in OWN + FOREIGN:
        assert server.get("/stats", headers={"Host": host})[0] == 401, host
        assert server.get("/stats", token="t", headers={"Host": host})[0] == 200, host
        assert server.get("/metrics", headers={"Host": host})[0] == 200, host


def test_pages_of_other_origins_change_nothing(start, clients):
    server = start()
    host = server.admin.removeprefix("http://")
    alice = clients(server).hello("alice")
    foreign = [{"Origin": "https://evil.example"}, {"Origin": "null"}, {"Origin": "http://127.0.0.1:1"},
               {"Origin": ""}, {"Sec-Fetch-Site": "cross-site"}, {"Sec-Fetch-Site": "same-site"},
               {"Origin": f"http://{host}", "Sec-Fetch-Site": "cross-site"}]
    for headers in foreign:
        status, body = server.get("/v1/users/alice", method="DELETE", headers=headers)
        assert (status, body["error"]["code"]) == (403, "foreign_origin"), headers
        assert server.get("/v1/query", method="POST", headers=headers)[0] == 403
        assert server.get("/stats", headers=headers)[0] == 200  # a link from elsewhere is one
    alice.beat()
    own = [{"Origin": f"http://{host}", "Sec-Fetch-Site": "same-origin"}, {"Origin": f"https://{host.upper()}"},
           {"Sec-Fetch-Site": "none"}, {}]
    for headers in own:
        clients(server).hello("bob")
        assert server.get("/v1/users/bob", method="DELETE", headers=headers)[0] == 204, headers


def test_methods(start):
    server = start()
    for method in ("POST", "PUT", "DELETE"):
        assert server.get("/stats", method=method)[0] in (404, 405)
    assert server.get("/healthz", method="HEAD")[0] == 200
