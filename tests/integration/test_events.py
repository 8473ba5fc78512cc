"""GET /v1/events: whoever follows ends with the server's own table, whatever happens to its connection."""

import json
import random
import time
from urllib.parse import quote

import pytest

from support.events import Churn, Ended, Follower, Refused, all_users, assert_same
from support.mode import PATIENCE, sized
from support.stall import frozen


@pytest.fixture
def follow():
    """Opens followers; what is still open at the end is closed."""
    opened = []

    def begin(server, query="", is_live=True, headers=None, **options):
        follower = Follower(server, query, **options)
        opened.append(follower)
        follower.connect(**(headers or {}))
        return follower.until_live() if is_live else follower

    yield begin
    for follower in opened:
        follower.close()


# ---- the words of a stream ----------------------------------------------------------------------


def test_a_stream_begins_with_a_snapshot(start, clients, follow):
    server = start()
    clients(server).hello("alice", state="busy", status="in a call")
    clients(server).hello("bob")
    clients(server).hello("ghost", state="invisible")
    gone = clients(server).hello("gone")
    gone.send(type="bye")
    gone.expect("bye")
    follower = follow(server)
    assert follower.states == ["server", "reset", "live"]
    assert follower.resets == ["no_cursor"]
    assert {user for user, told in follower.table.items() if told["state"] != "offline"} == {"alice", "bob"}
    about = follower.server_event
    assert about["server"] == server.stats()["server"] and about["version"] == server.stats()["version"]
    assert abs(about["started_at_ms"] + server.stats()["uptime_ms"] - time.time() * 1000) < 2000
    truth = all_users(server)
    for user in "alice", "bob":  # the very object, but for the time that has passed
        told, real = dict(follower.table[user]), dict(truth[user])
        assert told.pop("last_seen_ms") <= real.pop("last_seen_ms")
        assert told == real
    assert server.counters()["stream_resets"] == 0


def test_changes_come_as_they_happen(start, clients, follow):
    server = start()
    follower = follow(server)
    cursors = [follower.cursor]
    for how, state, reason in ((dict(state="away"), "away", "update"), (dict(status="x"), "away", "update"),
                               (dict(state="invisible"), "offline", "logout"), (dict(state="online"), "online", "login")):
        if not cursors[1:]:
            bob = clients(server).hello("bob")
            follower.until(follower.seen("bob", "online"))
            cursors.append(follower.cursor)
        asked = time.monotonic()
        bob.update(**how)
        follower.until(lambda f: f.cursor != cursors[-1])
        assert (follower.table["bob"]["state"], follower.table["bob"]["reason"]) == (state, reason)
        assert time.monotonic() - asked < sized(1.0, 5.0)
        cursors.append(follower.cursor)
    assert len(set(cursors)) == len(cursors)
    assert follower.states == ["server", "reset", "live"]
    assert_same(follower, server)


def test_a_cursor_goes_on_where_it_was(start, clients, follow):
    server = start()
    bob = clients(server).hello("bob")
    follower = follow(server)
    for i in range(20):
        bob.update(status=str(i))
    follower.until(lambda f: f.table["bob"]["status"] == "19")
    follower.kill()
    for i in range(20, 40):
        bob.update(status=str(i))
    follower.connect()
    follower.until(lambda f: f.table["bob"]["status"] == "39")
    assert follower.states == ["server", "reset", "live", "server"]
    # The same by the query; the header goes before it, for it is the newer one.
    again = follow(server, f"?cursor={follower.cursor}", is_live=False)
    again.is_live = True  # it goes on where the other was
    bob.update(status="40")
    again.until(lambda f: "bob" in f.table)
    assert again.table["bob"]["status"] == "40" and again.states == ["server"]
    other = follow(server, "?cursor=none", is_live=False, headers={"Last-Event-ID": follower.cursor})
    other.is_live = True
    other.until(lambda f: "bob" in f.table)
    assert other.states == ["server"]


@pytest.mark.parametrize("cursor", ["x", "0123456789abcdef-1", "-", "%ff", "0" * 500])
def test_a_cursor_that_is_none_begins_again(start, clients, follow, cursor):
    server = start()
    clients(server).hello("bob")
    follower = follow(server, f"?cursor={cursor}")
    assert follower.resets == ["other_server"]
    assert set(follower.table) == {"bob"}
    assert server.counters()["stream_resets"] == 1


def test_a_cursor_of_the_future_begins_again(start, follow):
    server = start()
    follower = follow(server)
    head = follower.cursor.split("-")[0]
    for number in "999", "18446744073709551615", "18446744073709551616", "99999999999999999999":
        assert follow(server, f"?cursor={head}-{number}").resets == ["gone"]


def test_a_new_start_begins_again(start, clients, follow):
    server = start()
    follower = follow(server)
    first = follower.server_event["server"]
    server.stop()
    server = start()
    clients(server).hello("bob")
    follower.server = server
    follower.close()
    follower.connect().until(lambda f: f.resets[-1] == "other_server" and f.is_live)
    assert follower.server_event["server"] != first
    assert follower.states == ["server", "reset", "live"] * 2


def test_a_restart_with_a_store_paints_nobody_offline(start, clients, follow, tmp):
    """One `server` event and no flood: who was online is so still, and comes back without an event."""
    users = [f"u{i}" for i in range(20)]
    server = start(STORE=f"{tmp}/presence.db")
    for user in users:
        clients(server).hello(user, "phone")
    follower = follow(server)
    assert set(follower.table) == set(users)
    server.stop()
    server = start(STORE=f"{tmp}/presence.db")
    follower.close()
    follower.server = server
    follower.connect().until(lambda f: f.resets[-1] == "other_server" and f.is_live)
    assert follower.states == ["server", "reset", "live"] * 2
    assert set(follower.table) == set(users)
    assert all(told["state"] == "online" and told["reconnecting"] for told in follower.table.values())
    n = follower.n_events
    for user in users:
        clients(server).hello(user, "phone")
    clients(server).hello("fresh")
    follower.until(follower.seen("fresh", "online"))
    assert follower.n_events == n + 1
    assert_same(follower, server)


def test_filters(start, clients, follow):
    server = start()
    odd = "a,b%2Fc d"
    for user in "bob", "bert", "alice", odd:
        clients(server).hello(user)
    last = clients(server)
    followers = {
        "?prefix=b": {"bob", "bert", "z"} - {"z"},
        "?users=bob,alice,nobody": {"bob", "alice"},
        f"?users={quote(odd, safe='')}": {odd},
        "?users=bob,alice&prefix=al": {"alice"},
        "?users=bob,bob": {"bob"},
        "?prefix=zz": set(),
        "": {"bob", "bert", "alice", odd},
    }
    opened = {query: follow(server, query) for query in followers}
    for query, want in followers.items():
        assert set(opened[query].table) == want, query
    last.hello("nobody")
    clients(server).hello("bobby")
    for query, user in (("?users=bob,alice,nobody", "nobody"), ("?prefix=b", "bobby"), ("", "bobby")):
        opened[query].until(opened[query].seen(user, "online"))
    assert "bobby" not in opened["?users=bob,alice,nobody"].table
    assert "nobody" not in opened["?prefix=b"].table
    for query in "?prefix=zz", f"?users={quote(odd, safe='')}":
        assert not opened[query].read(0.05) and set(opened[query].table) == followers[query]


@pytest.mark.parametrize("query", ["?users=bob,", "?users=,", "?users=a%zz", "?users=" + "x" * 129, "?users=%00",
                                   "?users=%ff", "?prefix=" + "x" * 129, "?users=" + ",".join("x" * 1001)])
def test_bad_queries(server, query):
    follower = Follower(server, query).connect()
    with pytest.raises(Refused) as refused:
        follower.until(lambda f: False)
    assert refused.value.status == 400
    assert json.loads(refused.value.body)["error"]["code"] == "bad_query"
    follower.close()


def test_the_token_is_asked_for(start, follow):
    server = start(ADMIN_TOKEN="s" * 32)
    for token in None, "wrong":
        with pytest.raises(Refused) as refused:
            follow(server, token=token)
        assert refused.value.status == 401
    assert follow(server, token="s" * 32).is_live
    assert server.get("/v1/users/bob/history")[0] == 401


def test_without_a_log_there_is_nothing_to_follow(start, clients, follow):
    server = start(EVENT_LOG=0)
    with pytest.raises(Refused) as refused:
        follow(server)
    assert refused.value.status == 404 and "no_events" in refused.value.body
    clients(server).hello("bob")
    server.history("bob", 1)  # there is one, all the same
    server = start(EVENT_LOG=0, HISTORY=0)
    clients(server).hello("bob")
    assert server.get("/v1/users/bob/history")[0] == 404
    assert server.counters()["feed_events"] == 0


# ---- ends with exactly the server's table ---------------------------------------------------------


def follow_through_kills(server, n_events, n_kills, seed, idle=0.0, **how):
    """Follows a churn, and is killed so many times on the way, anywhere in an event."""
    rng = random.Random(seed)
    follower, n_killed = Follower(server), 0
    churn = Churn(server, n_events, seed=seed, **how)
    a_life = 200 * n_events // n_kills  # bytes, about
    while True:
        follower.connect()
        budget = rng.randrange(2 * a_life)
        while budget > 0 or n_killed >= n_kills:
            before = len(follower.raw) + len(follower.text)
            size = rng.choice((1000, 10000, 65536))
            n = sum(len(str(e)) for e in follower.read(0.05, size))
            budget -= max(n, 1) + abs(len(follower.raw) + len(follower.text) - before)
            if follower.is_live and Churn.LAST in follower.table:
                break
        if follower.is_live and Churn.LAST in follower.table and n_killed >= n_kills:
            break
        follower.kill()
        n_killed += 1
        if idle:
            time.sleep(rng.random() * idle)
    churn.finish()
    return follower, churn, n_killed


@pytest.mark.parametrize("log, n_events", [
    (65536, sized(100_000, 6000)), (500, sized(40_000, 6000)), pytest.param(500, 100_000, marks=pytest.mark.long)])
def test_a_follower_that_is_killed_ends_with_the_table(start, figure, log, n_events):
    """With the small log its cursor has mostly left it when it comes back."""
    server = start(WORKERS=2, EVENT_LOG=log)
    began = time.monotonic()
    n_kills = sized(100, 30)
    how = dict(idle=0.02, pause=0.001, n_at_once=8) if log < 1000 else {}
    follower, churn, n_killed = follow_through_kills(server, n_events, n_kills, seed=log, **how)
    took = time.monotonic() - began
    n_users = assert_same(follower, server)
    counters = server.counters()
    churn.close()
    follower.close()
    resets = {word: follower.resets.count(word) for word in set(follower.resets)}
    figure(f"{counters['events']} transitions of {n_users} users, {n_killed} kills, {follower.n_events} events read, "
           f"resets {resets}, {took:.1f} s")
    assert counters["events"] >= n_events and n_killed >= n_kills
    assert counters["feed_events"] == counters["events"] and counters["feed_lost"] == 0
    assert resets.get("gone", 0) >= (sized(10, 1) if log < 1000 else 0)
    if log > n_events:
        assert "gone" not in resets


@pytest.mark.release_only  # ptrace
def test_events_that_the_log_could_not_take(start, follow, figure):
    """The thread that moves them stands still until its mailbox is full: nobody is silently out of step."""
    server = start(WORKERS=2)
    live, away = follow(server), follow(server)
    away.kill()
    with frozen(server, "feed"):
        churn = Churn(server, 40_000)
        churn.finish()
        assert server.counters()["feed_lost"] > 0
    live.until(lambda f: f.is_live and Churn.LAST in f.table)
    assert live.resets == ["no_cursor", "gone"]
    away.connect().until(lambda f: f.is_live and Churn.LAST in f.table)
    assert away.resets == ["no_cursor", "gone"]
    assert_same(live, server)
    assert_same(away, server)
    counters = server.counters()
    figure(f"{counters['feed_lost']} of {counters['events']} events lost to the log, {counters['feed_gaps']} gaps")
    assert counters["feed_gaps"] >= 1 and counters["stream_resets"] == 2
    assert counters["feed_events"] + counters["feed_lost"] == counters["events"]
    churn.close()


def test_a_slow_follower_begins_again_in_the_middle(start, follow):
    server = start(WORKERS=2, EVENT_LOG=200)
    slow = follow(server, rcvbuf=4096)
    fast = follow(server)
    churn = Churn(server, sized(30_000, 5000))
    fast.until(lambda f: f.is_live and Churn.LAST in f.table)
    churn.finish()
    slow.until(lambda f: f.is_live and Churn.LAST in f.table)
    assert slow.n_connects == 1 and slow.resets[-1] == "gone"
    assert_same(slow, server)
    assert_same(fast, server)
    churn.close()


def test_a_snapshot_while_all_changes(start, clients, figure):
    """Again and again from the beginning, while everybody comes and goes: each ends with the table."""
    server = start(WORKERS=2)
    idle = [clients(server).hello(f"idle-{i}") for i in range(sized(300, 60))]
    churn = Churn(server, sized(60_000, 6000), n_users=400, pause=0.001, n_at_once=8)
    n = 0
    while churn.is_alive():
        follower = Follower(server).connect().until_live()
        n += 1
        for i in range(len(idle)):
            assert follower.table[f"idle-{i}"]["state"] == "online"
        follower.kill()
    last = Follower(server).connect().until_live()
    churn.finish()
    assert_same(last, server)
    last.close()
    churn.close()
    figure(f"{n} snapshots while {server.counters()['events']} transitions were made")
    assert n > 0


# ---- many, and the slow among them ----------------------------------------------------------------


def test_two_hundred_followers(start, clients, figure):
    server = start(WORKERS=2)
    n_followers, n_changes = sized(200, 40), 50
    followers = [Follower(server).connect() for _ in range(n_followers)]
    for follower in followers:
        follower.until_live()
    assert server.stats()["feed"]["streams"] == n_followers
    bob = clients(server).hello("bob")
    began = time.monotonic()
    for i in range(n_changes):
        bob.update(status=str(i))
    for follower in followers:
        follower.until(lambda f: f.table.get("bob", {}).get("status") == str(n_changes - 1))
    took = time.monotonic() - began
    figure(f"{n_followers} followers told {n_changes} changes in {took:.2f} s")
    for follower in followers:
        assert follower.n_events == 3 + 1 + n_changes
        follower.close()
    server.wait_stats(lambda s: s["feed"]["streams"] == 0)


def test_who_does_not_read_harms_nobody(start, follow, clients, figure):
    """He costs what the kernel holds for him; others are told at once."""
    server = start(WORKERS=2, EVENT_LOG=2000)
    deaf = [follow(server, rcvbuf=4096, is_live=False) for _ in range(20)]
    server.wait_stats(lambda s: s["feed"]["streams"] == 20)
    fast = follow(server)
    churn = Churn(server, sized(10_000, 3000))
    fast.until(lambda f: f.is_live and Churn.LAST in f.table)
    churn.finish()
    before = server.memory_kb()
    latencies = []
    bob = clients(server).hello("bob")
    for i in range(100):
        asked = time.monotonic()
        bob.update(status=str(i))
        fast.until(lambda f: f.table.get("bob", {}).get("status") == str(i))
        latencies.append(time.monotonic() - asked)
    more = Churn(server, server.counters()["events"] + sized(20_000, 3000), seed=2, prefix="v")
    more.finish()
    grown = server.memory_kb() - before
    median = sorted(latencies)[len(latencies) // 2]
    figure(f"beside 20 who do not read: {median * 1000:.1f} ms to a follower, {grown} KB grown over 20,000 events")
    assert median < sized(0.25, 1.0)
    if sized(True, False):
        assert grown < 2048
    for follower in deaf:
        follower.kill()
    churn.close()
    more.close()


def test_too_many_are_refused_and_probes_get_in(start):
    server = start()
    followers = [Follower(server).connect() for _ in range(256)]
    for follower in followers:
        follower.until_live()
    one_more = Follower(server).connect()
    with pytest.raises(Refused) as refused:
        one_more.until_live()
    assert refused.value.status == 503 and "too_many_streams" in refused.value.body
    assert server.get("/healthz")[0] == 200 and server.get("/readyz")[0] == 200
    assert server.counters()["streams_refused"] == 1
    for follower in [*followers, one_more]:
        follower.close()
    server.wait_stats(lambda s: s["feed"]["streams"] == 0)  # seen at once, though nothing is told them
    again = Follower(server).connect().until_live()
    again.close()


def test_the_stop_ends_streams_whole(start, follow, clients):
    server = start()
    clients(server).hello("bob")
    followers = [follow(server) for _ in range(30)]
    deaf = follow(server, rcvbuf=4096, is_live=False)
    server.wait_stats(lambda s: s["feed"]["streams"] == 31)
    began = time.monotonic()
    server.stop()
    took = time.monotonic() - began
    assert took < sized(3.0, 10.0)
    for follower in followers:
        with pytest.raises(Ended) as ended:
            follower.until(lambda f: False)
        assert ended.value.how == "whole"
        assert follower.table["bob"]["state"] == "online"  # that users leave with the server is no news
    deaf.close()
