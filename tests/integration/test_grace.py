"""PRESENCED_GRACE: an end is told after it, with its true moment; who comes back goes on without an event."""

import contextlib
import json
import signal
import time

import pytest

from support import stall, tokens
from support.client import EMPTY, Closed
from support.mode import IS_RELEASE, sized

GRACE = sized(0.6, 1.5)
LATE = 0.25 if IS_RELEASE else 3.0  # two scans and the measuring


@pytest.fixture
def begin(start, clients):
    """A server of four workers with a grace, and a watcher of alice."""

    def make(**settings):
        settings = {"GRACE": f"{int(GRACE * 1000)}ms", "WORKERS": 4, "HEARTBEAT_MIN": "50ms", **settings}
        server = start(**settings)
        watcher = clients(server).hello("watcher")
        watcher.watch("alice")
        return server, watcher, lambda *args, **fields: clients(server).hello(*args, **fields)

    return make


def resume(clients, server, secret, user="alice", **fields):
    """A login with the secret, and who it is said to watch then."""
    client = clients(server)
    client.send(type="hello", v=1, user=user, resume=secret, **fields)
    client.welcome = client.expect("welcome", resumed=True)
    return client, watched(client)


def watched(client):
    users, more = [], True
    while more:
        part = client.expect("watching")
        assert "id" not in part
        users += [presence["user"] for presence in part["presences"]]
        more = part.get("more")
    return users


def sessions(server, user="alice"):
    status, body = server.get(f"/v1/users/{user}")
    assert status == 200
    return body


# ---- the end is told after it ---------------------------------------------------------------------


@pytest.mark.alone
@pytest.mark.parametrize("how", ["closed", "reset"])
def test_end_is_told_after_it(begin, how):
    server, watcher, hello = begin()
    alice = hello("alice", "phone", state="busy", status="call")
    watcher.event("alice", "busy")
    began, began_ms = time.monotonic(), time.time() * 1000
    alice.shut() if how == "closed" else alice.reset()
    server.wait_stats(lambda s: s["counters"]["grace_began"] == 1)
    for presence in (watcher.watch("alice")[0], watcher.look("alice"), sessions(server)):
        assert presence["reconnecting"] is True
        assert (presence["state"], presence["reason"], presence["status"]) == ("busy", "login", "call")
    body = sessions(server)
    assert [s["reconnecting"] for s in body["sessions"]] == [True]
    stats = server.stats()
    assert (stats["sessions"], stats["sessions_in_grace"], stats["users_online"]) == (2, 1, 2)
    event = watcher.event("alice", "offline", how, timeout=GRACE + 5)
    assert "reconnecting" not in event
    assert GRACE <= event.at - began <= GRACE + LATE
    assert began_ms - 2 <= event["at_ms"] <= began_ms + 150, "when it happened, not when it is told"
    assert event["last_seen_ms"] <= event["at_ms"]
    assert "reconnecting" not in watcher.look("alice")
    counters = server.counters()
    assert (counters[f"ended_{how}"], counters["grace_over"], counters["resumed"]) == (1, 1, 0)


@pytest.mark.alone
def test_silence_waits_longer(begin):
    server, watcher, hello = begin()
    alice = hello("alice", "phone", heartbeat_ms=100)
    began, began_ms = time.monotonic(), time.time() * 1000
    watcher.event("alice", "online")
    bye = alice.expect("bye", reason="timeout")
    assert 0.3 <= bye.at - began <= 0.3 + LATE
    assert watcher.look("alice")["reconnecting"] is True
    event = watcher.event("alice", "offline", "timeout", timeout=GRACE + 5)
    assert 0.3 + GRACE <= event.at - began <= 0.3 + GRACE + 2 * LATE
    assert 300 - 2 <= event["at_ms"] - began_ms <= 300 + 1000 * LATE
    assert abs(event["last_seen_ms"] - began_ms) <= 50 + 1000 * LATE
    assert server.stats()["watchdog"]["mistakes"] == 0


def test_other_ends_are_told_at_once(begin):
    server, watcher, hello = begin(GRACE="60s")
    for end, reason in ((lambda c: c.send(type="bye"), "logout"), (lambda c: c.raw(b"nonsense\n"), "violation"),
                        (lambda c: server.get("/v1/users/alice", "DELETE"), "kicked")):
        alice = hello("alice", "phone")
        watcher.event("alice", "online", "login")
        end(alice)
        watcher.event("alice", "offline", reason)
    assert server.counters()["grace_began"] == 0


def test_kicked_in_grace(begin):
    server, watcher, hello = begin(GRACE="60s")
    for one in (False, True):
        alice = hello("alice", "phone")
        watcher.event("alice", "online")
        alice.reset()
        server.wait_stats(lambda s: s["sessions_in_grace"] == 1)
        path = "/v1/users/alice"
        if one:
            path += "/sessions/" + sessions(server)["sessions"][0]["session"]
        assert server.get(path, "DELETE")[0] == 204
        watcher.event("alice", "offline", "kicked")
        assert server.stats()["sessions_in_grace"] == 0
        assert not hello("alice", "phone").welcome["resumed"], "it was no end to come back from"
        watcher.event("alice", "online")
        server.get("/v1/users/alice", "DELETE")
        watcher.event("alice", "offline")


def test_another_device_keeps_the_state(begin):
    server, watcher, hello = begin()
    phone, desk = hello("alice", "phone"), hello("alice", "desk")
    watcher.event("alice", "online")
    phone.reset()
    server.wait_stats(lambda s: s["sessions_in_grace"] == 1)
    assert "reconnecting" not in watcher.look("alice")
    assert sorted(s["reconnecting"] for s in sessions(server)["sessions"]) == [False, True]
    desk.update(state="away")
    assert watcher.look("alice")["reconnecting"] is True
    watcher.event("alice", "away", "reset", timeout=GRACE + 5)
    assert "reconnecting" not in watcher.look("alice")


def test_invisible(begin):
    server, watcher, hello = begin()
    alice = hello("alice", "phone", state="invisible")
    before = watcher.look("alice")
    alice.reset()
    server.wait_stats(lambda s: s["sessions_in_grace"] == 1)
    assert watcher.look("alice") == before
    alice = hello("alice", "phone")
    assert alice.welcome["resumed"]
    assert sessions(server)["sessions"][0]["state"] == "invisible"
    alice.reset()
    server.wait_stats(lambda s: s["sessions"] == 1, timeout=GRACE + 5)
    assert watcher.look("alice") == before
    watcher.quiet()


# ---- coming back ----------------------------------------------------------------------------------


def test_same_device_goes_on(begin):
    """Across workers, again and again: busy stays busy, and nobody is told."""
    server, watcher, hello = begin()
    alice = hello("alice", "phone", state="busy", status="call")
    watcher.event("alice", "busy")
    first = alice.welcome
    since = sessions(server)["sessions"][0]["since_ms"]
    for i in range(12):
        alice.watch("bob")
        alice.reset() if i % 2 else alice.shut()
        server.wait_stats(lambda s, n=i + 1: s["counters"]["grace_began"] == n)
        alice = hello("alice", "phone")
        assert alice.welcome["resumed"] and alice.welcome["session"] == first["session"]
        assert alice.unwatch() == 0, "the watches come with the secret only"
        presence = watcher.look("alice")
        assert (presence["state"], presence["status"], presence["reason"]) == ("busy", "call", "login")
        assert "reconnecting" not in presence
    assert [s["since_ms"] for s in sessions(server)["sessions"]] == [since]
    watcher.quiet()
    alice.reset()
    server.wait_stats(lambda s: s["sessions_in_grace"] == 1)
    assert hello("alice", "phone", state="away").welcome["resumed"]
    watcher.event("alice", "away", "login", status="call")
    counters = server.counters()
    assert (counters["resumed"], counters["takeovers"]) == (13, 0)


def test_device_of_a_live_session_takes_it_over(begin):
    server, watcher, hello = begin()
    old = hello("alice", "phone")
    new = hello("alice", "phone")
    assert not new.welcome["resumed"] and new.welcome["session"] != old.welcome["session"]
    old.expect("bye", reason="replaced")


def test_secret_brings_the_watches_back(begin, clients):
    """On whichever worker, with the old connection ended or alive."""
    server, watcher, hello = begin()
    alice = hello("alice", "phone", state="busy")
    watcher.event("alice", "busy")
    first, names = alice.welcome, [f"bob{i}" for i in range(50)]
    alice.watch(*names)
    bob = hello("bob7")
    alice.event("bob7", "online")
    for i in range(16):
        if i % 4 == 0:
            alice.reset()
            server.wait_stats(lambda s, n=i // 4 + 1: s["counters"]["grace_began"] == n)
        old = alice
        alice, users = resume(clients, server, first["resume"], id=i)
        assert sorted(users) == sorted(names)
        assert alice.welcome["id"] == i and alice.welcome["device"] == "phone"
        assert alice.welcome["session"] == first["session"] and alice.welcome["resume"] == first["resume"]
        if i % 4:
            old.expect("bye", reason="replaced")
            old.ended("fin")
        bob.update(status=str(i))
        alice.event("bob7", "online", status=str(i))
    assert alice.unwatch("bob7") == 49
    watcher.quiet()
    assert server.counters()["resume_late"] == 0


def test_nobody_watched_is_said_too(begin, clients):
    server, _, hello = begin()
    alice = hello("alice", "phone")
    for is_alive in (True, False):
        if not is_alive:
            alice.reset()
        alice, users = resume(clients, server, alice.welcome["resume"])
        assert users == []
        alice.beat()


def test_secret_of_another_or_of_nobody(begin):
    server, watcher, hello = begin(GRACE="60s")
    alice = hello("alice", "phone")
    watcher.event("alice", "online")
    secret = alice.welcome["resume"]
    assert len(secret) == 48
    for wrong in (secret[:-1] + ("0" if secret[-1] != "0" else "1"), "", "x" * 256, secret[:16] + secret[:32]):
        client = hello("alice", "desk", resume=wrong)
        assert not client.welcome["resumed"]
    assert not hello("mallory", "phone", resume=secret).welcome["resumed"]
    alice.beat()
    # Of a session that is over.
    alice.bye()
    assert not hello("alice", "phone", resume=secret).welcome["resumed"]


def test_device_in_grace_with_a_secret_of_before(begin):
    """The secret is nobody's: the device goes on, and there are no watches to say."""
    server, _, hello = begin()
    hello("alice", "phone").reset()
    server.wait_stats(lambda s: s["sessions_in_grace"] == 1)
    alice = hello("alice", "phone", resume="0" * 48)
    assert alice.welcome["resumed"]
    alice.beat()
    alice.quiet()


def test_made_up_device(begin, clients):
    server, _, hello = begin()
    alice = hello("alice")
    alice.reset()
    server.wait_stats(lambda s: s["sessions_in_grace"] == 1)
    again = hello("alice", alice.welcome["device"])
    assert again.welcome["resumed"] and again.welcome["device"] == alice.welcome["device"]
    last, _ = resume(clients, server, alice.welcome["resume"])
    assert last.welcome["device"] == alice.welcome["device"]
    again.expect("bye", reason="replaced")


def test_without_a_grace_there_is_no_secret(start, clients):
    server = start()
    alice = clients(server).hello("alice", "phone")
    assert "resume" not in alice.welcome and alice.welcome["resumed"] is False
    alice.reset()
    server.wait_stats(lambda s: s["sessions"] == 0)


def test_what_is_said_at_once_waits_for_the_welcome(begin, clients):
    """Lines behind the hello are answered behind the watches that came back."""
    server, _, hello = begin()
    alice = hello("alice", "phone")
    alice.watch("bob", "carol")
    for is_alive in (True, False):
        if not is_alive:
            alice.reset()
            server.wait_stats(lambda s: s["sessions_in_grace"] == 1)
        new = clients(server)
        lines = [{"type": "hello", "v": 1, "user": "alice", "resume": alice.welcome["resume"]},
                 {"type": "watch", "id": 1, "users": ["dave"]}, {"type": "unwatch", "id": 2, "users": ["bob", "dave"]}]
        new.raw(b"".join(json.dumps(line).encode() + b"\n" for line in lines) + b"\n" + b'{"type":"heart')
        new.welcome = new.expect("welcome", resumed=True)
        assert sorted(watched(new)) == ["bob", "carol"]
        new.expect("watching", id=1)
        new.expect("unwatched", id=2, count=1)
        assert new.recv() == EMPTY
        new.raw(b'beat"}\n')
        new.expect("heartbeat")
        alice = new
        alice.watch("bob")


def test_large_lists_come_in_parts(begin, clients):
    """And what happens meanwhile is told: the newest is what each was told last."""
    n = sized(8000, 1500)
    server, _, hello = begin(MAX_WATCHES=n)
    names = [f"someone-with-a-longer-name-{i}" for i in range(n)]
    alice = hello("alice", "phone")
    secret = alice.welcome["resume"]
    for at in range(0, n, 1000):
        alice.watch(*names[at:at + 1000])
    bob = hello(names[n // 2])
    for i in range(4):
        if i == 0:
            alice.reset()
        new = clients(server, rcvbuf=4096 if i % 2 else None)
        new.send(type="hello", v=1, user="alice", resume=secret, device="phone")
        for k in range(5):
            bob.update(status=f"{i} {k}")
        new.expect("welcome", resumed=True)
        told, got, more = {}, [], True
        while more:
            message = new.recv()
            if message["type"] == "watching":
                got += [presence["user"] for presence in message["presences"]]
                told.update({p["user"]: p["status"] for p in message["presences"]})
                more = message.get("more")
            else:
                assert message["type"] == "presence" and message["user"] in got
                told[message["user"]] = message["status"]
        assert sorted(got) == sorted(names)
        bob.update(status="last")
        while told[names[n // 2]] != "last":
            told[names[n // 2]] = new.event(names[n // 2])["status"]
        bob.update(status=None)
        new.event(names[n // 2], status=None)
        new.beat()
        alice = new
    server.wait_stats(lambda s: s["watches"] == n + 1)


def test_a_frozen_connection_gives_its_watches_up(begin, clients):
    """The old one does not read, and has a long reply before it."""
    server, _, hello = begin(SLOW_TIMEOUT="60s")
    alice = clients(server, rcvbuf=2048).hello("alice", "phone")
    names = [str(i) for i in range(1000)]
    alice.watch(*names)
    paused = server.counters()["paused"]
    while server.counters()["paused"] == paused:
        alice.send(type="query", users=names)
    began = time.monotonic()
    new, users = resume(clients, server, alice.welcome["resume"])
    assert time.monotonic() - began < sized(0.5, 5)
    assert sorted(users) == sorted(names)
    # And a hundred of them in a row, none of which waits for its answer.
    secret = alice.welcome["resume"]
    many = [clients(server).send(type="hello", v=1, user="alice", resume=secret) for _ in range(sized(100, 30))]
    for client in many:
        with contextlib.suppress(Closed):
            while client.recv()["type"] not in ("bye", "watching"):
                pass
    new, users = resume(clients, server, secret)
    assert sorted(users) == sorted(names)
    new.beat()


def test_a_worker_that_does_not_answer_is_not_waited_for(begin, clients):
    """The session goes on all the same; what it watched has to be asked for again."""
    server, watcher, hello = begin(GRACE="60s", WORKERS=3)
    before = [w["sessions"] for w in server.stats()["workers"]]
    alice = hello("alice", "phone", state="busy")
    watcher.event("alice", "busy")
    alice.watch("bob")
    after = [w["sessions"] for w in server.stats()["workers"]]
    worker = next(i for i in range(3) if after[i] > before[i])
    message = None
    with stall.frozen(server, f"worker-{worker}"):
        for _ in range(20):  # some of which the frozen one is to accept
            new, began = clients(server), time.monotonic()
            new.send(type="hello", v=1, user="alice", resume=alice.welcome["resume"])
            new.raw(b"\n")
            message = new.maybe(2.0)
            if message:
                break
        assert message["type"] == "welcome" and message["resumed"] is False
        assert 0.99 <= message.at - began <= 1.5 if IS_RELEASE else message.at - began >= 0.99
        assert message["session"] == alice.welcome["session"]
        assert new.recv() == EMPTY
        assert new.watch("bob")[0]["user"] == "bob"
        assert server.counters()["resume_late"] == 1
    server.wait_stats(lambda s: s["sessions"] == 2)
    watcher.beat()


def test_watches_are_asked_for_again(start, clients):
    """Whom the token of today does not allow is not among them, and limits hold."""
    key = tokens.Secret()
    server = start(GRACE="60s", WORKERS=4, JWT_SECRET=tokens.SECRET, MAX_WATCHES_TOTAL=20)

    def login(names, **fields):
        client = clients(server)
        client.send(type="hello", v=1, token=key.token("alice", watch=names), **fields)
        client.welcome = client.expect("welcome")
        return client

    names = [f"bob{i}" for i in range(9)]
    alice = login(names, device="phone")
    alice.watch(*names)
    secret = alice.welcome["resume"]
    alice.reset()
    server.wait_stats(lambda s: s["sessions_in_grace"] == 1 and s["watches"] == 0)
    alice = login(names[:6], resume=secret)
    assert alice.welcome["resumed"] and sorted(watched(alice)) == names[:6]
    assert alice.unwatch("bob0") == 5
    # Others have taken what there is in all.
    other = clients(server)
    other.send(type="hello", v=1, token=key.token("carol", watch=["*"]))
    other.expect("welcome")
    alice.reset()
    server.wait_stats(lambda s: s["watches"] == 0)
    other.watch(*[f"dave{i}" for i in range(17)])
    alice = login(names, resume=secret)
    assert alice.welcome["resumed"] and len(watched(alice)) == 3
    assert server.counters()["watch_refused"] == 2
    # The secret alone does not log in, nor with another's token.
    thief = clients(server)
    thief.send(type="hello", v=1, user="alice", resume=secret)
    thief.error("auth_required")
    thief = clients(server)
    thief.send(type="hello", v=1, token=key.token("mallory"), device="phone", resume=secret)
    assert thief.expect("welcome")["resumed"] is False
    alice.beat()


def test_a_token_that_expired_meanwhile(start, clients):
    """The grace is the session's; who goes on with it brings a token of its own."""
    key = tokens.Secret()
    server = start(GRACE="60s", JWT_SECRET=tokens.SECRET, JWT_LEEWAY="0s")
    alice = clients(server)
    alice.send(type="hello", v=1, token=key.token("alice", expires_in=2), device="phone")
    secret = alice.expect("welcome")["resume"]
    alice.reset()
    server.wait_stats(lambda s: s["sessions_in_grace"] == 1)
    alice = clients(server)
    alice.send(type="hello", v=1, token=key.token("alice"), resume=secret)
    alice.expect("welcome", resumed=True, device="phone")
    alice.expect("watching", presences=[])
    time.sleep(2.2)
    alice.beat()


# ---- limits, stops, standstills -------------------------------------------------------------------


def test_in_grace_they_count_and_give_way(begin):
    server, watcher, hello = begin(GRACE="60s", MAX_SESSIONS_PER_USER=2)
    hello("alice", "a").reset()
    server.wait_stats(lambda s: s["sessions_in_grace"] == 1)
    hello("alice", "b")
    hello("alice", "c")
    assert sorted(s["device"] for s in sessions(server)["sessions"]) == ["b", "c"]
    assert server.counters()["evicted"] == 1
    watcher.event("alice", "online")
    watcher.quiet()


def test_stop_in_grace(begin):
    """Nothing is told, and all that is kept is freed."""
    server, watcher, hello = begin(GRACE="60s")
    for i in range(20):
        alice = hello(f"alice{i}", "phone")
        alice.watch("bob", f"carol{i}")
        alice.reset() if i % 2 else alice.shut()
    server.wait_stats(lambda s: s["sessions_in_grace"] == 20)
    server.signal(signal.SIGTERM)
    watcher.expect("bye", reason="shutdown")
    assert server.wait() == 0


def test_a_stopped_server_is_no_part_of_a_grace(begin):
    """Who could not come back while it stood still has what was left of the grace."""
    server, watcher, hello = begin()
    alice = hello("alice", "phone", heartbeat_ms=20000)
    watcher.event("alice", "online")
    alice.reset()
    server.wait_stats(lambda s: s["sessions_in_grace"] == 1)
    server.signal(signal.SIGSTOP)
    time.sleep(GRACE + 0.5)
    server.signal(signal.SIGCONT)
    time.sleep(GRACE / 3)
    assert hello("alice", "phone").welcome["resumed"]
    watcher.quiet()
