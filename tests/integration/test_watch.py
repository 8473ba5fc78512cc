"""Who watches whom: snapshots, order, limits, long replies."""

import json

import pytest

from support.mode import PATIENCE, sized


def test_snapshot_then_events(login, name):
    alice, bob = login("alice", status="hi"), login("bob")
    snapshot, = bob.watch(name("alice"))
    assert "type" not in snapshot
    assert (snapshot["user"], snapshot["state"], snapshot["status"]) == (name("alice"), "online", "hi")
    alice.update(status="ho")
    assert bob.event(name("alice"), status="ho")["seq"] > snapshot["seq"]


def test_unknown_user(login, name):
    seen = login("bob").watch(name("ghost"))[0]
    assert seen["state"] == "offline" and seen["reason"] == "unknown" and seen["status"] is None
    assert seen["at_ms"] is None and seen["last_seen_ms"] is None
    assert isinstance(seen["seq"], int)


def test_unknown_users_seq_is_before_its_first_event(login, name):
    bob = login("bob")
    snapshot, = bob.watch(name("ghost"))
    login("ghost")
    assert bob.event(name("ghost"), "online", "login")["seq"] > snapshot["seq"]


def test_order_and_repeats(login, name):
    login("a"), login("c")
    asked = [name(word) for word in ("c", "a", "never", "c", "a", "c")]
    for got in (login("bob").watch(*asked), login("carol").query(*asked)):
        assert [p["user"] for p in got] == asked
        assert got[0] == got[3] == got[5] and got[1] == got[4]


def test_watching_is_idempotent(login, name):
    bob = login("bob")
    for _ in range(3):
        bob.watch(name("alice"), name("alice"))
    assert bob.unwatch() == 1
    login("alice")
    bob.event(name("alice"), "online")
    bob.quiet()


def test_empty_lists(login):
    bob = login("bob")
    assert bob.watch() == [] and bob.query() == [] and bob.unwatch() == 0


def test_unwatch(login, name):
    bob = login("bob")
    bob.watch(name("a"), name("b"), name("c"))
    assert bob.unwatch(name("b"), name("b"), name("never")) == 2
    login("b"), login("a")
    bob.event(name("a"), "online")
    bob.quiet()
    assert bob.unwatch(name("a"), name("c")) == 0
    login("c")
    bob.quiet()
    assert bob.watch(name("c"))[0]["state"] == "online"


def test_query_is_no_subscription(login, name):
    bob = login("bob")
    assert bob.look(name("alice"))["state"] == "offline"
    login("alice")
    bob.quiet()
    assert bob.look(name("alice"))["state"] == "online"


def test_watching_oneself(login, name):
    alice = login("alice")
    assert alice.watch(name("alice"))[0]["state"] == "online"
    alice.send(type="update", state="busy")
    got = {alice.recv()["type"], alice.recv()["type"]}
    assert got == {"updated", "presence"}


def test_watching_oneself_across_devices(login, name):
    phone = login("alice", "phone")
    phone.watch(name("alice"))
    login("alice", "laptop", state="busy")
    phone.event(name("alice"), "busy", "login")


def test_one_thousand_ids_a_request(login, name):
    bob = login("bob")
    assert len(bob.watch(*[name(f"u{i}") for i in range(1000)])) == 1000
    bob.send(type="watch", id=9, users=[name(f"u{i}") for i in range(1001)])
    bob.error("bad_message", id=9)
    assert bob.unwatch() == 1000


def test_over_the_limit_nothing_is_taken(start, clients):
    server = start(MAX_WATCHES=10)
    bob, alice = clients(server).hello("bob"), clients(server).hello("late")
    bob.watch(*[f"u{i}" for i in range(8)])
    bob.send(type="watch", id=1, users=["late", "x", "y"])
    bob.error("too_many_watches", id=1)
    assert bob.unwatch() == 8
    alice.update(state="busy")
    bob.quiet()
    # What is watched already costs nothing again, nor does what is asked twice.
    assert len(bob.watch("u0", "u1", "x", "x", "late", "u7")) == 6
    assert bob.unwatch() == 10
    assert bob.unwatch("x") == 9
    bob.watch("y")
    assert server.counters()["watch_refused"] == 1
    assert server.counters()["error_too_many_watches"] == 1


def test_limit_over_all(start, clients):
    server = start(MAX_WATCHES_TOTAL=10)
    bob, carol = clients(server).hello("bob"), clients(server).hello("carol")
    bob.watch(*[f"u{i}" for i in range(8)])
    carol.send(type="watch", id=1, users=["a", "b", "c"])
    carol.error("too_many_watches", id=1)
    carol.watch("a", "b")
    bob.close()
    server.wait_stats(lambda s: s["watches"] == 2)
    carol.watch("a", "b", "c", "d")


def test_watches_end_with_their_session(server, login, name):
    base = server.stats()["watches"]
    bob = login("bob")
    bob.watch(*[name(f"u{i}") for i in range(100)])
    assert server.stats()["watches"] == base + 100
    bob.bye()
    server.wait_stats(lambda s: s["watches"] == base)


def test_long_replies_come_in_parts(login, name):
    users = [name("x" * 100 + str(i)) for i in range(500)]
    bob = login("bob", status="s" * 256)
    for type, reply in (("watch", "watching"), ("query", "presences")):
        bob.send(type=type, id="long", users=users)
        got, parts = [], 0
        while True:
            line, _ = bob.line()
            assert len(line) < 65536
            message = json.loads(line)
            assert message["type"] == reply and message["id"] == "long"
            got += [p["user"] for p in message["presences"]]
            parts += 1
            if "more" not in message:
                break
            assert message["more"] is True
        assert parts > 1 and got == users


def test_beats_are_answered_behind_a_long_reply(login, name):
    bob = login("bob")
    bob.send(type="query", id=1, users=[name("y" * 100 + str(i)) for i in range(500)])
    bob.raw(b'{"type":"heartbeat","id":2}\n')
    ids = []
    while not ids or ids[-1] != 2:
        ids.append(bob.recv()["id"])
    assert ids == [1] * (len(ids) - 1) + [2], "replies come in the order of the requests"


def test_no_gap_between_snapshot_and_events(login, name):
    """Watch while the watched one changes without a pause: what is told goes on from the snapshot to the end."""
    alice = login("alice", status="0")
    n = sized(300, 100)
    for i in range(1, n + 1):
        alice.send(type="update", status=str(i))
        if i % 10 == 0:
            bob = login("bob")
            bob.send(type="watch", id=1, users=[name("alice")])
            told, seq = bob.expect("watching")["presences"][0], -1
            assert told["state"] == "online"
            while told["status"] != str(i):
                assert told["seq"] > seq
                seq = told["seq"]
                told = bob.event(name("alice"))
            bob.close()


def test_many_watchers_of_one(server, login, clients, name):
    watchers = [clients(server, url).hello(name(f"w{i}"))
                for i, url in enumerate([server.url("tcp://127"), server.url("tcp://[::1]"), server.url("unix")] * 20)]
    for watcher in watchers:
        watcher.watch(name("alice"))
    alice = login("alice")
    alice.update(status="for all")
    alice.bye()
    for watcher in watchers:
        seqs, message = [], None
        while not message or message["state"] != "offline":
            message = watcher.event(name("alice"))
            seqs.append(message["seq"])
        assert seqs == sorted(set(seqs))


def test_user_named_like_anything(login, clients, server):
    for user in ("a b", "ü", "\"", "\\", "/", "{}", "null", "%s%n", "a,b", "..", "\u00a0", "\U0001f600"):
        client = clients(server).hello(user)
        assert client.look(user)["user"] == user and client.look(user)["state"] == "online"
        client.bye()


def test_forgotten_beyond_the_limit(start, clients):
    server = start(REMEMBER=5, WORKERS=1)
    bob = clients(server).hello("bob")
    bob.watch("u0")
    last = {}
    for i in range(20):
        client = clients(server).hello(f"u{i}")
        client.bye()
        last[i] = bob.look(f"u{i}")
        assert last[i]["reason"] == "logout"
    bob.unwatch("u0")
    seen = bob.query(*[f"u{i}" for i in range(20)])
    remembered = [i for i, p in enumerate(seen) if p["reason"] == "logout"]
    assert set(remembered) <= {0, 15, 16, 17, 18, 19} and len(remembered) == 5
    forgotten = next(p for p in seen if p["reason"] == "unknown")
    assert forgotten["at_ms"] is None and forgotten["last_seen_ms"] is None
    # Forgotten and back: the numbers go on.
    number = int(forgotten["user"][1:])
    assert forgotten["seq"] >= last[number]["seq"]
    bob.lines.clear()
    bob.watch(f"u{number}")
    clients(server).hello(f"u{number}")
    assert bob.event(f"u{number}", "online")["seq"] > max(forgotten["seq"], last[number]["seq"])
    assert server.counters()["forgotten"] >= 14


@pytest.mark.parametrize("remember", [0])
def test_nothing_remembered(start, clients, remember):
    server = start(REMEMBER=remember)
    clients(server).hello("alice").bye()
    bob = clients(server).hello("bob")
    assert bob.look("alice")["reason"] == "unknown"
    # The watched are not forgotten.
    bob.watch("carol")
    clients(server).hello("carol").bye()
    assert bob.event("carol", timeout=PATIENCE)
    bob.lines.clear()
    assert bob.look("carol")["reason"] in ("logout", "login")
