"""Bytes, lines, and what is no message."""

import socket
import threading
import time

import pytest

from support.client import EMPTY, Closed
from support.mode import PATIENCE

TRANSPORTS = ["tcp://127", "tcp://[::1]", "unix"]


@pytest.mark.parametrize("transport", TRANSPORTS)
def test_heartbeats_are_answered_in_kind(server, login, transport):
    client = login("alice", url=server.url(transport))
    client.raw(b"\n")
    assert client.recv() == EMPTY
    client.raw(b'{"type":"heartbeat"}\n')
    assert client.expect("heartbeat") == {"type": "heartbeat"}
    client.raw(b'{"type":"heartbeat","id":5}\n')
    client.expect("heartbeat", id=5)
    client.raw(b' { "type" : "heartbeat" } \n')
    client.expect("heartbeat")
    client.raw(b"\n\n\r\n" + b'{"type":"heartbeat"}\n' * 2 + b"\n")
    assert [client.recv() for _ in range(6)] == [EMPTY] * 3 + [{"type": "heartbeat"}] * 2 + [EMPTY]


@pytest.mark.parametrize("transport", TRANSPORTS)
def test_byte_by_byte(server, clients, name, transport):
    client = clients(server, server.url(transport))
    for byte in b'{"type":"hello","v":1,"user":"%s"}\r\n{"type":"heartbeat"}\n\n' % name("alice").encode():
        client.raw(bytes([byte]))
    client.expect("welcome", user=name("alice"))
    client.expect("heartbeat")
    assert client.recv() == EMPTY


def test_split_at_every_byte(server, login, name):
    client = login("alice")
    text = b'{"type":"query","id":"ab","users":["%s"]}\r\n' % name("alice").encode()
    for at in range(1, len(text)):
        client.raw(text[:at])
        client.raw(text[at:])
        client.expect("presences", id="ab")


def test_carriage_return_is_dropped(server, clients, name):
    client = clients(server)
    client.raw(b'{"type":"hello","v":1,"user":"%s"}\r\n' % name("alice").encode())
    client.expect("welcome")
    client.raw(b"\r\n")
    assert client.line()[0] == b""


def test_many_in_one_write(server, login):
    client = login("alice")
    client.raw(b"\n" * 500)
    assert [client.recv() for _ in range(500)] == [EMPTY] * 500


BAD_JSON = [
    b"{", b"nul", b"hello", b'{"type":"heartbeat"', b'{"type":"heartbeat"}}', b'{"type":"heartbeat"} x', b" ",
    b'{"type":"heartbeat","type":"heartbeat"}', b'{"type":"heartbeat","a":1,"a":1}',
    b'{"type":"heartbeat","a":{"b":1,"b":2}}', b"{'type':'heartbeat'}", b'{"type":"heartbeat",}',
    b'{"type":"heartbeat","a":' + b"[" * 17 + b"]" * 17 + b"}", b"[" * 100000,
    b'{"type":"heartbeat","a":"\xff"}', b'{"type":"heartbeat","a":"\xc0\xaf"}',
    b'{"type":"heartbeat","a":"\xed\xa0\x80"}',
    b'{"type":"heartbeat","a":"\\ud800"}', b'{"type":"heartbeat","a":"\\udc00\\ud800"}',
    b'{"type":"heartbeat","a":"\\u0000"}', b'{"type":"heartbeat","\\u0000":1}', b'{"type":"heartbeat","a":"\x00"}',
    b'{"type":"heartbeat","a":1e999}', b'{"type":"heartbeat","a":99999999999999999999}', b'{"type":"heartbeat","a":01}',
    b'{"type":"heartbeat","a":NaN}', b'{"type":"heartbeat","a":"\x01"}', b"\xef\xbb\xbf{}", b"\x00",
]


@pytest.mark.parametrize("line", BAD_JSON, ids=lambda line: repr(line[:40]))
def test_bad_json_ends_the_connection(server, login, name, line):
    watcher, client = login("watcher"), login("alice")
    watcher.watch(name("alice"))
    if len(line) > 60000:
        line = line[:60000]
    before = server.counters()["error_bad_json"]
    client.raw(line + b"\n")
    client.error("bad_json")
    client.ended("fin")
    watcher.event(name("alice"), "offline", "violation")
    assert server.counters()["error_bad_json"] == before + 1


def test_depth_of_16_is_none_too_many(login):
    client = login("alice")
    client.raw(b'{"type":"heartbeat","a":' + b"[" * 15 + b"]" * 15 + b"}\n")
    client.expect("heartbeat")


@pytest.mark.parametrize("line, word", [
    (b"[]", ""), (b"1", ""), (b'"heartbeat"', ""), (b"null", ""), (b"true", ""),
    (b"{}", "type"), (b'{"type":1}', "type"), (b'{"type":null}', "type"),
    (b'{"type":"heartbeat","id":1.5}', "id"), (b'{"type":"heartbeat","id":{}}', "id"),
    (b'{"type":"heartbeat","id":null}', "id"), (b'{"type":"heartbeat","id":"' + b"x" * 65 + b'"}', "id"),
    (b'{"type":"update"}', ""), (b'{"type":"update","state":"offline"}', "state"),
    (b'{"type":"update","state":7}', "state"),
    (b'{"type":"update","status":[]}', "status"), (b'{"type":"update","status":"' + b"x" * 257 + b'"}', "status"),
    (b'{"type":"update","status":"\\u0007"}', "status"), (b'{"type":"update","status":"\\u007f"}', "status"),
    (b'{"type":"watch"}', "users"), (b'{"type":"watch","users":"bob"}', "users"),
    (b'{"type":"watch","users":[1]}', "users"),
    (b'{"type":"watch","users":[""]}', "users"), (b'{"type":"watch","users":["' + b"u" * 129 + b'"]}', "users"),
    (b'{"type":"unwatch"}', "users"), (b'{"type":"query","users":{}}', "users"),
    (b'{"type":"query","users":["a\\n"]}', "users"),
    (b'{"type":"query","users":[' + b'"u",' * 1000 + b'"u"]}', "users"),
], ids=lambda value: repr(value[:50]) if isinstance(value, bytes) else value or "-")
def test_bad_message_does_not_end_it(login, line, word):
    client = login("alice")
    client.raw(line + b"\n")
    assert word in client.error("bad_message")["message"]
    client.beat()


def test_error_carries_the_id(login):
    client = login("alice")
    client.send(type="update", id="x", state="no")
    client.error("bad_message", id="x")
    client.send(type="nonsense", id=-5)
    client.error("unknown_type", id=-5)
    client.send(type="nonsense")
    assert "id" not in client.error("unknown_type")


def test_unknown_type_does_not_end_it(login):
    client = login("alice")
    for word in ("presence", "Heartbeat", "welcome", "x" * 200, "a\u0001\"\\"):
        client.send(type=word)
        client.error("unknown_type")
    client.beat()


def test_line_too_long(server, login, name):
    watcher, client = login("watcher"), login("alice")
    watcher.watch(name("alice"))
    client.raw(b'{"type":"heartbeat","a":"' + b"x" * 70000)
    client.error("line_too_long")
    client.ended("fin")
    watcher.event(name("alice"), "offline", "violation")


def test_line_of_nearly_the_limit(login):
    client = login("alice")
    for n in (60000, 65000):
        client.raw(b'{"type":"heartbeat","a":"' + b"x" * n + b'"}\n')
        client.expect("heartbeat")


def test_message_limit_is_a_setting(start, clients):
    server = start(MAX_MESSAGE="8KiB")
    client = clients(server).hello("alice")
    client.raw(b'{"type":"heartbeat","a":"' + b"x" * 8000 + b'"}\n')
    client.expect("heartbeat")
    client.raw(b'{"type":"heartbeat","a":"' + b"x" * 9000 + b'"}\n')
    client.error("line_too_long")


def test_error_arrives_though_the_peer_goes_on_sending(login):
    """Closed at once, the kernel would answer the rest with RST, and the line would be lost."""
    for _ in range(10):
        client = login("alice")
        client.raw(b"rubbish\n" + b"more of it\n" * 1000)
        client.raw(b"and more\n" * 1000)
        client.error("bad_json")
        client.ended("fin")
        client.close()


def test_linger_has_an_end(login):
    """… but not for ever: after 64 KiB or a second the server has heard enough."""
    client = login("alice")
    client.raw(b"rubbish\n")
    client.error("bad_json")
    began = time.monotonic()
    with pytest.raises(OSError):
        while time.monotonic() - began < 1 + PATIENCE:
            client.sock.send(b"x" * 1000)
            time.sleep(0.005)


def test_lingering_close_is_over_in_a_second(server, login):
    """A peer that does not close is not kept."""
    base = server.stats()["connections"]
    client = login("alice")
    client.raw(b"rubbish\n")
    client.error("bad_json")
    server.wait_stats(lambda s: s["connections"] <= base, timeout=1.5 + PATIENCE)


def test_half_closed_peer_gets_its_answers(login):
    """What was asked before the FIN is answered before the end."""
    client = login("alice")
    client.raw(b'{"type":"query","id":1,"users":["nobody"]}\n\n')
    client.shut()
    client.expect("presences", id=1)
    assert client.recv() == EMPTY
    client.ended()


def test_one_peers_fault_is_its_own(server, login):
    """A neighbour that breaks every rule, again and again; another is answered all the while."""
    quiet_one, stop = login("quiet"), threading.Event()

    def misbehave():
        while not stop.is_set():
            for line in BAD_JSON[:4]:
                try:
                    client = login("loud")
                    client.raw(line + b"\n")
                    client.drain()
                    client.close()
                except (Closed, OSError, AssertionError):
                    pass

    thread = threading.Thread(target=misbehave)
    thread.start()
    try:
        for _ in range(100):
            quiet_one.beat()
    finally:
        stop.set()
        thread.join()


def test_urgent_data_does_no_harm(server, login):
    client = login("alice")
    client.sock.send(b"\n", socket.MSG_OOB)
    client.raw(b'{"type":"heartbeat"}\n')
    messages = [client.recv()]
    if messages[0] == EMPTY:
        messages.append(client.recv())
    assert messages[-1] == {"type": "heartbeat"}
