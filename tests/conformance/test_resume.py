"""Going on with a session from one door to another: WebSocket, TLS, TCP."""

import json

import pytest

from support.frames import CLOSE, TEXT, frame
from web import Web, close_payload


@pytest.fixture
def server(start, credentials):
    return start(LISTEN="tcp://127.0.0.1:0,ws://127.0.0.1:0,wss://127.0.0.1:0", GRACE="60s", WORKERS=4,
                 MAX_WATCHES=3000, HEARTBEAT_MIN="50ms", **credentials.tls())


def told(web):
    users, more = [], True
    while more:
        part = web.expect("watching")
        assert "id" not in part
        users += [presence["user"] for presence in part["presences"]]
        more = part.get("more")
    return sorted(users)


def resume(web, secret):
    web.send(type="hello", v=1, user="alice", resume=secret)
    web.welcome = web.expect("welcome", resumed=True)
    return web


@pytest.mark.parametrize("kind", ["ws:", "wss:"])
def test_from_door_to_door(server, webs, clients, kind):
    alice = webs(server, kind).hello("alice", device="page")
    secret, names = alice.welcome["resume"], sorted(f"somebody-{i:04}" for i in range(2500))
    for at in range(0, len(names), 1000):
        alice.send(type="watch", users=names[at:at + 1000])
        while alice.expect("watching").get("more"):
            pass
    # A page that is loaded anew closes its WebSocket: the session waits.
    alice.frame(CLOSE, close_payload(1001))
    alice.closes(1001)
    server.wait_stats(lambda s: s["sessions_in_grace"] == 1)
    for _ in range(3):
        alice = resume(webs(server, kind), secret)
        assert told(alice) == names
        alice.beat()
        # And over TCP while this one lives.
        other = clients(server, server.url("tcp:"))
        other.send(type="hello", v=1, user="alice", resume=secret)
        other.expect("welcome", resumed=True)
        assert told(other) == names
        alice.expect("bye", reason="replaced")
        alice.closes(4409)
        other.reset()
    assert server.counters()["resume_late"] == 0


def test_frames_behind_the_hello_wait(server, webs):
    """Several messages at once, one cut in two, and a close: answered in their order, behind the watches."""
    alice = webs(server).hello("alice", device="page")
    alice.send(type="watch", users=["bob"])
    alice.expect("watching")
    hello = {"type": "hello", "v": 1, "user": "alice", "resume": alice.welcome["resume"]}
    query = json.dumps({"type": "query", "id": 7, "users": ["carol"]}).encode()
    frames = [frame(TEXT, json.dumps(hello).encode() + b"\n\n" + query), frame(TEXT, query[:9], fin=False),
              frame(0, query[9:]), frame(TEXT), frame(CLOSE, close_payload(1000))]
    web = Web(server.url("ws:"), behind=b"".join(frames))
    web.expect("welcome", resumed=True)
    assert told(web) == ["bob"]
    assert web.message() == ""
    web.expect("presences", id=7)
    web.expect("presences", id=7)
    assert web.message() == ""
    web.closes(1000)
    web.close()
    alice.expect("bye", reason="replaced")
