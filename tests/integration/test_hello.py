"""The first message: who logs in, with what, and who does not."""

import re
import signal
import time

import pytest

from support.client import Closed
from support.mode import IS_RELEASE, PATIENCE

TRANSPORTS = ["tcp://127", "tcp://[::1]", "unix"]


@pytest.mark.parametrize("transport", TRANSPORTS)
def test_welcome(server, clients, name, transport):
    client = clients(server, server.url(transport))
    before = time.time_ns() // 1_000_000
    client.send(type="hello", v=1, user=name("alice"), device="phone")
    welcome = client.expect("welcome", v=1, user=name("alice"), device="phone", heartbeat_ms=10000,
                            timeout_ms=30000, resumed=False)
    assert isinstance(welcome["session"], str) and welcome["session"]
    assert isinstance(welcome["server"], str) and welcome["server"]
    assert before <= welcome["now_ms"] <= time.time_ns() // 1_000_000
    assert "resume" not in welcome, "grace is off"
    client.beat()
    client.bye()


def test_each_login_is_a_session_of_one_server(login):
    first, second = login("alice"), login("alice")
    assert first.welcome["session"] != second.welcome["session"]
    assert first.welcome["server"] == second.welcome["server"]


def test_server_id_is_never_reused(start, clients, name):
    ids = {clients(start()).hello(name("alice")).welcome["server"] for _ in range(2)}
    assert len(ids) == 2


def test_device_made_up(login):
    first, second = login("alice"), login("alice")
    assert 1 <= len(first.welcome["device"]) <= 64
    assert first.welcome["device"] != second.welcome["device"]


@pytest.mark.parametrize("asked, got", [(1, 50), (50, 50), (777, 777), (300_000, 300_000), (10**12, 300_000)])
def test_heartbeat_brought_into_bounds(login, asked, got):
    welcome = login("alice", heartbeat_ms=asked).welcome
    assert (welcome["heartbeat_ms"], welcome["timeout_ms"]) == (got, 3 * got)


def test_missed_beats_make_the_timeout(start, clients, name):
    server = start(HEARTBEAT="2s", MISSED_BEATS=5)
    welcome = clients(server).hello(name("alice")).welcome
    assert (welcome["heartbeat_ms"], welcome["timeout_ms"]) == (2000, 10000)


def test_state_and_status_of_the_hello(login, name):
    login("alice", state="away", status="on the train")
    seen = login("bob").look(name("alice"))
    assert (seen["state"], seen["status"], seen["reason"]) == ("away", "on the train", "login")


def test_longest_ids(server, clients, name):
    user, device, status = "ü" * 64, "d" * 64, "s" * 256
    client = clients(server).hello(user, device, status=status)
    assert client.look(user)["status"] == status
    client.bye()


def test_id_of_the_request_is_the_reply_s(server, clients, name):
    for given in ("a" * 64, 7, -(2**53), "", "quo\"te\\ü"):
        client = clients(server)
        client.send(type="hello", v=1, user=name("alice"), id=given)
        assert client.expect("welcome")["id"] == given
        client.close()


def test_unknown_fields_are_ignored(server, clients, name):
    clients(server).hello(name("alice"), future={"deep": [1, {"x": None}]}, more=True)


@pytest.mark.parametrize("hello", [
    {"v": 2}, {"v": None}, {"v": "1"}, {"v": "absent"}, {"v": 0},
])
def test_wrong_version_ends(server, clients, name, hello):
    client = clients(server)
    message = {"type": "hello", "v": 1, "user": name("alice"), **hello}
    if message["v"] == "absent":
        del message["v"]
    client.send(message)
    client.error("version")
    client.ended("fin")


@pytest.mark.parametrize("wrong", [
    {"user": ""}, {"user": "x" * 129}, {"user": "ü" * 65}, {"user": 7}, {"user": None}, {"user": "a\u0001b"},
    {"user": "a\u007fb"}, {"user": "tab\t"}, {"device": ""}, {"device": "d" * 65}, {"device": 1}, {"device": "a\nb"},
    {"heartbeat_ms": "100"}, {"heartbeat_ms": -1}, {"heartbeat_ms": 0}, {"heartbeat_ms": 1.5}, {"heartbeat_ms": True},
    {"state": "offline"}, {"state": "sleepy"}, {"state": 1}, {"state": None},
    {"status": "s" * 257}, {"status": 1}, {"status": "a\u001f"}, {"pings": 1},
], ids=lambda wrong: repr(wrong)[:40])
def test_bad_hello_may_be_tried_again(server, clients, name, wrong):
    client = clients(server)
    client.send({"type": "hello", "v": 1, "user": name("alice"), "id": "h", **wrong})
    message = client.error("bad_message", id="h")["message"]
    assert next(iter(wrong)) in message, "the field is named"
    client.hello(name("alice"))


def test_missing_user(server, clients, name):
    client = clients(server)
    client.send(type="hello", v=1)
    assert "user" in client.error("bad_message")["message"]
    client.hello(name("alice"))


def test_hello_twice(login):
    client = login("alice")
    session = client.welcome["session"]
    client.send(type="hello", v=1, user="someone", id=3)
    client.error("already_hello", id=3)
    assert client.beat() < PATIENCE
    assert session == client.welcome["session"]


@pytest.mark.parametrize("first", [
    b'{"type":"heartbeat"}\n', b"\n", b"\r\n", b'{"type":"watch","users":[]}\n', b'{"type":"bye"}\n',
    b'{"type":"update","state":"away"}\n',
])
def test_anything_else_first(server, clients, first):
    client = clients(server)
    client.raw(first)
    client.error("hello_required")
    client.ended("fin")


@pytest.mark.tight
def test_hello_too_late(start, clients):
    server = start(HELLO_TIMEOUT="300ms")
    client = clients(server)
    began = time.monotonic()
    client.raw(b'{"type":"hel')  # a part of one is none
    error = client.error("hello_required")
    client.ended("fin")
    assert error.at - began >= 0.29
    if IS_RELEASE:
        assert error.at - began <= 0.3 + 0.5
    assert server.counters()["hello_timeouts"] == 1


def test_hello_timeout_is_absolute(start, clients):
    """A slow trickle of bytes, or of bad hellos, does not lengthen it."""
    server = start(HELLO_TIMEOUT="500ms")
    client = clients(server)
    began = time.monotonic()
    message = None
    while message is None:
        assert time.monotonic() - began < 0.5 + PATIENCE
        client.raw(b" ")
        message = client.maybe(0.02)
    assert message["code"] == "hello_required"
    assert message.at - began >= 0.49


def test_hello_in_time_is_heard_after_a_stall_of_the_server(start, clients):
    """More connections than one wait returns: the deadlines of the others pass before they are read."""
    server = start(HELLO_TIMEOUT="500ms")
    waiting = [clients(server) for _ in range(600)]
    server.wait_stats(lambda stats: stats["connections"] == 600)
    server.signal(signal.SIGSTOP)
    for i, client in enumerate(waiting):
        client.send(type="hello", v=1, user=f"u{i}")
    time.sleep(0.7)  # the deadline passes: nothing can tell of it
    server.signal(signal.SIGCONT)
    for client in waiting:
        client.expect("welcome")
    assert server.counters()["hello_timeouts"] == 0


def test_hello_of_more_than_4_kib(server, clients, name):
    client = clients(server)
    client.send(type="hello", v=1, user=name("alice"), padding="x" * 5000)
    client.error("line_too_long")
    client.ended("fin")


def test_hello_of_less_than_4_kib(server, clients, name):
    clients(server).hello(name("alice"), padding="x" * 3800)


def test_endless_hello(server, clients):
    client = clients(server)
    client.raw(b'{"type":"hello","padding":"' + b"x" * 20000)
    client.error("line_too_long")
    client.ended("fin")


def test_few_replies_before_a_hello(server, clients):
    """Whoever is not logged in gets at most 1 KiB for its trouble."""
    client, got = clients(server), b""
    before = server.counters()["hello_replies_cut"]
    client.sock.sendall(b"".join(b'{"type":"hello","v":1,"id":%d}\n' % i for i in range(200)))
    try:
        while True:
            line = client.line()
            assert line is not None, "still open"
            got += line[0] + b"\n"
    except Closed:
        pass
    assert 0 < len(got) <= 1024
    assert server.counters()["hello_replies_cut"] == before + 1


def test_requests_behind_the_hello_in_one_segment(server, clients, name):
    client = clients(server)
    client.raw(b'{"type":"hello","v":1,"user":"%s"}\n\n{"type":"heartbeat"}\n{"type":"watch","id":1,"users":[]}\n'
               % name("alice").encode())
    client.expect("welcome")
    assert client.recv() == ""
    client.expect("heartbeat")
    client.expect("watching", id=1, presences=[])


def test_session_and_server_are_plain_words(login):
    welcome = login("alice").welcome
    assert re.fullmatch(r"[0-9a-zA-Z_-]+", welcome["session"] + welcome["server"])
