"""GET /v1/users/{id}/history: why a user was shown as it was, and what the server knew. (`slow` and `expired` are looked
at where those ends are tested.)"""

import json
import signal
import socket
import struct
import time

import pytest

from support.mode import PATIENCE, ROOT, sized

EVIDENCE = ["socket", "transport", "last_byte_ms", "timeout_ms", "granted_ms", "nominated_ms", "heard_ms", "expired_ms",
            "late_ms"]
TRANSITION = ["state", "reason", "seq", "at_ms", "last_seen_ms", "device", "session", "evidence"]
OF_TIMEOUTS = ["nominated_ms", "heard_ms", "expired_ms", "late_ms"]
LATE = sized(0.3, 3.0) * 1000


def history(server, user, n=0):
    """As the server has it; each transition is whole."""
    transitions = server.history(user, n)
    for transition in transitions:
        assert list(transition) == TRANSITION and list(transition["evidence"]) == EVIDENCE
    seqs = [t["seq"] for t in transitions]
    assert seqs == sorted(seqs, reverse=True) and len(set(seqs)) == len(seqs)
    return transitions


def reset(client):
    client.sock.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, struct.pack("ii", 1, 0))
    client.close()


def now_ms():
    return time.time() * 1000


# ---- each reason, with its evidence ---------------------------------------------------------------

ENDS = {
    "logout": (lambda c, s: c.send(type="bye"), "open"),
    "closed": (lambda c, s: c.close(), "closed"),
    "reset": (lambda c, s: reset(c), "reset"),
    "violation": (lambda c, s: c.raw(b"nonsense\n"), "open"),
    "kicked": (lambda c, s: s.get("/v1/users/bob", "DELETE"), "open"),
}


@pytest.mark.parametrize("reason", ENDS)
def test_an_end(start, clients, reason):
    server = start()
    bob = clients(server).hello("bob", "phone")
    began = now_ms()
    end, socket_state = ENDS[reason]
    end(bob, server)
    last, first = history(server, "bob", 2)
    assert (first["state"], first["reason"]) == ("online", "login")
    assert (last["state"], last["reason"]) == ("offline", reason)
    assert first["session"] == last["session"] == bob.welcome["session"]
    assert first["device"] == last["device"] == "phone"
    assert abs(last["at_ms"] - began) < LATE
    evidence = last["evidence"]
    assert evidence["socket"] == socket_state and evidence["transport"] == "tcp"
    assert evidence["timeout_ms"] == bob.welcome["timeout_ms"] and evidence["granted_ms"] == 0
    assert first["at_ms"] - 2 <= evidence["last_byte_ms"] <= last["at_ms"]
    assert evidence["last_byte_ms"] == last["last_seen_ms"]
    assert [evidence[field] for field in OF_TIMEOUTS] == [None] * 4
    # The user's own answer says the same.
    user = server.get("/v1/users/bob")[1]
    assert {k: user[k] for k in TRANSITION[:5]} == {k: last[k] for k in TRANSITION[:5]}


def test_updates(start, clients):
    server = start()
    phone = clients(server).hello("bob", "phone")
    tablet = clients(server).hello("bob", "tablet", state="away")
    phone.update(state="busy")
    tablet.update(state="away", status="x")  # nobody sees that
    phone.update(status="in a call")
    phone.update(state="invisible")
    told = history(server, "bob", 4)
    assert [(t["state"], t["reason"], t["device"]) for t in told] == [
        ("away", "logout", "phone"), ("busy", "update", "phone"), ("busy", "update", "phone"), ("online", "login", "phone")]
    assert {t["session"] for t in told} == {phone.welcome["session"]}


def test_a_timeout(start, clients, figure):
    """The connection stands, and says nothing: TCP lies."""
    server = start(HEARTBEAT_MIN="50ms")
    bob = clients(server).hello("bob", heartbeat_ms=100)  # no device: it has the session's name
    last = history(server, "bob", 2)[0]
    assert (last["state"], last["reason"]) == ("offline", "timeout")
    assert last["device"] == last["session"] == bob.welcome["session"]
    evidence = last["evidence"]
    assert evidence["socket"] == "open" and evidence["timeout_ms"] == 300
    assert evidence["expired_ms"] == last["at_ms"]
    assert evidence["last_byte_ms"] + 300 <= evidence["nominated_ms"] <= evidence["heard_ms"] <= last["at_ms"]
    assert abs(evidence["last_byte_ms"] + 300 + evidence["late_ms"] - last["at_ms"]) <= 1
    assert evidence["late_ms"] <= LATE
    figure(json.dumps(evidence))


def test_a_timeout_after_a_standstill(start, clients):
    """What the server's own standstill granted is said."""
    server = start(HEARTBEAT_MIN="50ms")
    bob = clients(server).hello("bob", heartbeat_ms=400)
    bob.beat()
    server.signal(signal.SIGSTOP)
    time.sleep(0.8)
    server.signal(signal.SIGCONT)
    last = history(server, "bob", 2)[0]
    evidence = last["evidence"]
    assert last["reason"] == "timeout" and evidence["timeout_ms"] == 1200
    assert 600 <= evidence["granted_ms"] <= 800 + LATE
    assert abs(evidence["last_byte_ms"] + 1200 + evidence["granted_ms"] + evidence["late_ms"] - last["at_ms"]) <= 1


def test_in_a_grace_the_end_is_the_true_one(start, clients):
    """It is told later, and noted as it was."""
    server = start(HEARTBEAT_MIN="50ms", GRACE="500ms")
    began = now_ms()
    clients(server).hello("bob").close()
    clients(server).hello("carol", heartbeat_ms=100)
    for user, reason, socket_state, timeout in ("bob", "closed", "closed", 0), ("carol", "timeout", "open", 300):
        last = history(server, user, 2)[0]
        # Behind a timeout the verdict's own lateness is not added, as far as it is a quarter of the grace.
        assert now_ms() - last["at_ms"] >= (500 if timeout == 0 else 375)
        assert timeout <= last["at_ms"] - began <= timeout + LATE
        assert (last["reason"], last["evidence"]["socket"]) == (reason, socket_state)
    evidence = last["evidence"]
    assert evidence["expired_ms"] == last["at_ms"] >= evidence["heard_ms"] >= evidence["nominated_ms"]
    assert abs(evidence["last_byte_ms"] + 300 + evidence["late_ms"] - last["at_ms"]) <= 1


# ---- what is kept ---------------------------------------------------------------------------------


def test_the_last_are_kept(start, clients):
    server = start(HISTORY=3)
    bob = clients(server).hello("bob")
    for i in range(10):
        bob.update(status=str(i))
    end = time.monotonic() + PATIENCE
    last = server.get("/v1/users/bob")[1]["seq"]
    while history(server, "bob", 3)[0]["seq"] != last:
        assert time.monotonic() < end
    assert [t["seq"] for t in history(server, "bob")] == [last, last - 1, last - 2]


def test_names_are_decoded(start, clients):
    server = start()
    odd = 'b/ö"b%2F,'
    clients(server).hello(odd)
    assert len(history(server, odd, 1)) == 1
    assert history(server, "nobody") == []
    assert server.get("/v1/users/%zz/history")[0] == 400


def test_answers_are_as_described(start, clients):
    schemas = json.loads((ROOT / "etc/openapi.json").read_text())["components"]["schemas"]
    assert schemas["Transition"]["required"] == list(schemas["Transition"]["properties"]) == TRANSITION
    assert schemas["Evidence"]["required"] == list(schemas["Evidence"]["properties"]) == EVIDENCE
