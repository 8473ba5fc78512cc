"""What a user is, over all of its devices, and who is told of a change."""

import time

import pytest


@pytest.fixture
def bob(login, name):
    """A watcher of alice, who was never seen."""
    watcher = login("bob")
    snapshot, = watcher.watch(name("alice"))
    assert snapshot["state"] == "offline" and snapshot["reason"] == "unknown"
    return watcher


def wall_ms():
    return time.time_ns() // 1_000_000


def test_login_update_logout(login, name, bob):
    before = wall_ms()
    alice = login("alice")
    event = bob.event(name("alice"), "online", "login", status=None)
    assert set(event) == {"type", "user", "state", "reason", "seq", "at_ms", "last_seen_ms", "status"}
    assert before - 1 <= event["at_ms"] <= wall_ms() + 1
    assert before - 1 <= event["last_seen_ms"] <= wall_ms() + 1
    assert alice.update(state="away") == {"type": "updated", "id": 1, "state": "away", "status": None}
    event = bob.event(name("alice"), "away", "update")
    alice.update(status="lunch")
    event = bob.event(name("alice"), "away", "update", status="lunch")
    assert alice.update(state="busy", status="call")["status"] == "call"
    bob.event(name("alice"), "busy", "update", status="call")
    assert alice.update(status=None)["status"] is None
    bob.event(name("alice"), "busy", "update", status=None)
    alice.bye()
    bob.event(name("alice"), "offline", "logout", status=None)


def test_seq_only_grows(login, name, bob):
    seqs = []
    for _ in range(5):
        alice = login("alice", "phone")
        seqs.append(bob.event(name("alice"), "online")["seq"])
        alice.update(state="away")
        seqs.append(bob.event(name("alice"), "away")["seq"])
        alice.bye()
        seqs.append(bob.event(name("alice"), "offline")["seq"])
        seqs.append(bob.look(name("alice"))["seq"])
    assert seqs == sorted(seqs)
    assert len(set(seqs)) == 15, "a snapshot has the number of the last event"


def test_no_event_without_a_change(login, name, bob):
    alice = login("alice", "phone", status="x")
    bob.event(name("alice"), "online")
    alice.update(state="online")
    alice.update(status="x")
    alice.update(state="online", status="x")
    second = login("alice", "laptop", status="x")
    second.bye()
    for _ in range(10):
        alice.beat()
    login("alice", "phone")  # a takeover that says nothing new
    bob.quiet()


def test_first_of_busy_online_away(login, name, bob):
    devices = {}
    for device, state, shown in [("a", "away", "away"), ("b", "online", "online"), ("c", "busy", "busy")]:
        devices[device] = login("alice", device, state=state, status=device)
        bob.event(name("alice"), shown, "login", status=device)
    devices["d"] = login("alice", "d", state="away", status="d")
    bob.quiet()
    devices["c"].bye()
    bob.event(name("alice"), "online", "logout", status="b")
    devices["b"].update(state="away")
    # Two are away beside it; the latest updated one gives the words.
    bob.event(name("alice"), "away", "update", status="b")
    devices["a"].update(status="again")
    bob.event(name("alice"), "away", "update", status="again")
    devices["a"].close()
    event = bob.event(name("alice"), "away", "closed")
    assert event["status"] == "b"
    devices["b"].bye()
    bob.event(name("alice"), "away", "logout", status="d")
    devices["d"].bye()
    bob.event(name("alice"), "offline", "logout", status=None)


def test_status_of_the_device_that_makes_the_state(login, name, bob):
    login("alice", "phone", state="busy", status="in a call")
    bob.event(name("alice"), "busy", status="in a call")
    laptop = login("alice", "laptop", status="working")
    laptop.update(status="still working")
    bob.quiet()
    assert bob.look(name("alice"))["status"] == "in a call"


def test_latest_updated_of_them(login, name, bob):
    phone = login("alice", "phone", status="one")
    bob.event(name("alice"), status="one")
    laptop = login("alice", "laptop", status="two")
    bob.event(name("alice"), status="two")
    phone.update(status="three")
    bob.event(name("alice"), status="three")
    laptop.update(status=None)
    bob.event(name("alice"), status=None)


def test_takes_any_text_as_status(login, name, bob):
    alice = login("alice")
    bob.event(name("alice"))
    for text in ("", "ü" * 128, "quote\" back\\slash /", "\u2028\u2029", "\U0001f600", "</script>"):
        alice.update(status=text)
        bob.event(name("alice"), status=text)


def test_last_seen_follows_the_heartbeats(login, name, bob):
    alice = login("alice")
    first = bob.event(name("alice"))["last_seen_ms"]
    alice.beat()
    while bob.look(name("alice"))["last_seen_ms"] == first:
        alice.beat()
    assert 0 < bob.look(name("alice"))["last_seen_ms"] - first
    assert bob.look(name("alice"))["last_seen_ms"] <= wall_ms() + 1


# Invisible, sentence by sentence


def test_invisible_counts_nowhere(login, name, bob):
    login("alice", "phone", state="away", status="seen")
    bob.event(name("alice"), "away", "login", status="seen")
    hidden = login("alice", "laptop", state="invisible", status="hidden")
    hidden.update(status="still hidden")
    bob.quiet()
    assert bob.look(name("alice"))["state"] == "away"
    hidden.bye()
    bob.quiet()


def test_becoming_invisible_looks_like_logout(login, name, bob):
    alice = login("alice")
    bob.event(name("alice"), "online")
    assert alice.update(state="invisible")["state"] == "invisible"
    event = bob.event(name("alice"), "offline", "logout", status=None)
    assert event["last_seen_ms"] is not None
    alice.bye()
    bob.quiet()
    assert bob.look(name("alice"))["seq"] == event["seq"], "the true logout is no change"


def test_ending_invisibility_looks_like_login(login, name, bob):
    alice = login("alice", state="invisible", status="words")
    bob.quiet()
    alice.update(state="online")
    bob.event(name("alice"), "online", "login", status="words")


def test_one_of_two_devices_becomes_invisible(login, name, bob):
    phone = login("alice", "phone", state="busy", status="p")
    bob.event(name("alice"), "busy")
    login("alice", "laptop", state="away", status="l")
    phone.update(state="invisible")
    bob.event(name("alice"), "away", "logout", status="l")
    phone.update(state="online")
    bob.event(name("alice"), "online", "login", status="p")


def test_invisible_moves_no_last_seen(login, name, bob):
    alice = login("alice")
    bob.event(name("alice"), "online")
    alice.update(state="invisible")
    seen = bob.event(name("alice"), "offline")["last_seen_ms"]
    until = time.monotonic() + 0.05
    while time.monotonic() < until:
        alice.beat()
    assert bob.look(name("alice"))["last_seen_ms"] == seen
    alice.bye()
    assert bob.look(name("alice"))["last_seen_ms"] == seen


def test_login_of_an_invisible_one_looks_as_before(login, name, bob):
    alice = login("alice")
    bob.event(name("alice"), "online")
    alice.bye()
    before = bob.event(name("alice"), "offline")
    before.pop("type")
    alice = login("alice", state="invisible")
    alice.beat()
    assert bob.look(name("alice")) == before
    alice.bye()
    assert bob.look(name("alice")) == before


def test_never_seen_and_invisible_is_unknown(login, name, bob):
    login("alice", state="invisible")
    seen = bob.look(name("alice"))
    assert (seen["state"], seen["reason"], seen["at_ms"], seen["last_seen_ms"]) == ("offline", "unknown", None, None)
    login("carol")
    carol = bob.watch(name("carol"))[0]
    assert carol["state"] == "online"
    bob.quiet()


def test_invisible_times_out_unseen(login, name, bob):
    alice = login("alice", state="invisible", heartbeat_ms=100)
    alice.expect("bye", reason="timeout")
    bob.quiet()


def test_invisible_takeover_keeps_it_hidden(login, name, bob):
    login("alice", "phone", state="invisible")
    again = login("alice", "phone")
    bob.quiet()
    assert again.update(status="x")["state"] == "invisible"
    bob.quiet()
