"""The close codes of PROTOCOL.md: one for each error that ends a connection, and for each bye.

Not here: 4403, which only an operator's word makes, and 4411, for a peer that takes nothing can't be told so
inside a frame (test_bad_inputs.py has its end)."""

import json
import signal
import time

import pytest

from credentials import SECRET, token
from support.frames import TEXT, frame
from support.mode import PATIENCE

BEAT = b'{"type":"heartbeat"}'
HELLO = {"type": "hello", "v": 1, "user": "carol"}


@pytest.fixture
def web(doors, webs, name):
    return webs(doors).hello(name("alice"))


ERRORS = {
    "bad_json": ("{", 1007),
    "bad_json, twice a key": ('{"type":"hello","type":"hello"}', 1007),
    "line_too_long": ('{"type":"hello",' + " " * 4096 + "}", 1009),
    "hello_required": ('{"type":"heartbeat"}', 1008),
    "version": ('{"type":"hello","v":2,"user":"x"}', 1008),
}


@pytest.mark.parametrize("case", ERRORS)
def test_close_code_of_an_error(doors, webs, case):
    text, code = ERRORS[case]
    web = webs(doors).text(text)
    assert web.expect("error")["code"] == case.split(",")[0]
    web.closes(code)


def test_close_code_of_bye(web):
    web.send(type="bye")
    assert web.expect("bye")["reason"] == "logout"
    web.closes(1000)


def test_close_code_of_replaced(doors, webs, name):
    old = webs(doors).hello(name("dora"), device="d")
    webs(doors, "wss:").hello(old.welcome["user"], device="d")
    assert old.expect("bye")["reason"] == "replaced"
    old.closes(4409)


def test_close_code_of_rate_limited(start, webs):
    server = start(LISTEN="ws://127.0.0.1:0", MESSAGE_RATE=1)
    web = webs(server).hello("eve").raw(frame(TEXT, BEAT) * 20)
    for _ in range(5):
        web.expect("heartbeat")
    while web.message()["type"] == "heartbeat":
        pass
    web.closes(1008)
    assert server.counters()["message_rate_limited"] == 1


@pytest.fixture
def guarded(start, credentials):
    """A server that asks for tokens, and gives them not a second more than they say."""
    return start(LISTEN="ws://127.0.0.1:0,wss://127.0.0.1:0", JWT_SECRET=SECRET, JWT_LEEWAY="0s", **credentials.tls())


def test_close_code_of_a_token_that_is_missing_or_wrong(guarded, webs):
    for code, more in (("auth_required", {}), ("auth_failed", {"token": token("eve")})):
        web = webs(guarded, "wss:").text(json.dumps({**HELLO, **more}))
        assert web.expect("error")["code"] == code
        web.closes(4401)


@pytest.mark.parametrize("door", ["ws:", "wss:"])
def test_close_code_of_expired(guarded, webs, door):
    """A token's end is its session's, unless there is a new one before."""
    until = int(time.time()) + 2
    web = webs(guarded, door).hello("carol", token=token("carol", exp=until))
    other = webs(guarded, door).hello("dora", token=token("dora", exp=until))
    other.send(type="update", token=token("dora"))
    other.expect("updated")
    assert web.expect("bye")["reason"] == "expired"
    assert 0 <= time.time() - until <= PATIENCE
    web.closes(4402)
    other.beat()
    assert guarded.counters()["ended_expired"] == 1


def test_close_code_of_shutdown(start, webs):
    server = start(LISTEN="ws://127.0.0.1:0")
    web, stranger = webs(server).hello("fay"), webs(server)
    server.signal(signal.SIGTERM)
    assert web.expect("bye")["reason"] == "shutdown"
    web.closes(1001)
    assert stranger.expect("bye")["reason"] == "shutdown"
    stranger.closes(1001)
    assert server.wait() == 0


def test_close_code_of_hello_in_time(start, webs):
    web = webs(start(LISTEN="ws://127.0.0.1:0", HELLO_TIMEOUT="200ms"))
    assert web.expect("error")["code"] == "hello_required"
    web.closes(1008)
