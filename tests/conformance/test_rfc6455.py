"""RFC 6455, clause by clause, against the server as it ships. What a clause asks is in each test's name; numbers are
the RFC's sections."""

import itertools
import json
import time

import pytest

from support.client import Client, Closed
from support.frames import BINARY, CLOSE, CONTINUATION, PING, PONG, TEXT, frame
from support.mode import sized
from web import ACCEPT, close_payload, dial, fragments, read_head, receive, request

BEAT = b'{"type":"heartbeat"}'
WORDS = "Grüße, 世界 🙂".encode()


def refused(web, data, code):
    """The bytes end the connection with this code. What is too long is also told in a line."""
    web.raw(data)
    if code == 1009:
        assert web.expect("error")["code"] == "line_too_long"
    web.closes(code)


def status_of(server, head, kind="ws:", authority=None):
    with dial(server.url(kind), authority) as sock:
        sock.sendall(head)
        status, headers, rest = read_head(sock)
        if status == 101:
            return status, headers
        while more := receive(sock):
            rest += more
        assert len(rest) == int(headers["content-length"]) and headers["connection"].startswith("close")
        return status, headers


# ---- 4: the handshake ---------------------------------------------------------------------------

REFUSED = {
    "no Host": (dict(drop=["Host"]), 400),
    "no Upgrade": (dict(drop=["Upgrade"]), 426),
    "Upgrade to something else": (dict(Upgrade="h2c"), 426),
    "no Connection": (dict(drop=["Connection"]), 426),
    "Connection: keep-alive": (dict(Connection="keep-alive"), 426),
    "no version": (dict(drop=["Sec-WebSocket-Version"]), 426),
    "version 8": (dict(Sec_WebSocket_Version="8"), 426),
    "version 130": (dict(Sec_WebSocket_Version="130"), 426),
    "no key": (dict(drop=["Sec-WebSocket-Key"]), 400),
    "a key of 15 bytes": (dict(Sec_WebSocket_Key="dGhlIHNhbXBsZSBub25j"), 400),
    "a key that is no base64": (dict(Sec_WebSocket_Key="dGhlIHNhbXBsZSBub25j!!=="), 400),
    "two keys": (dict(extra=["Sec-WebSocket-Key: dGhlIHNhbXBsZSBub25jZQ=="]), 400),
    "two hosts": (dict(extra=["Host: other.example"]), 400),
    "POST": (dict(start="POST / HTTP/1.1"), 405),
    "HTTP/1.0": (dict(start="GET / HTTP/1.0"), 505),
    "HTTP/2.0": (dict(start="GET / HTTP/2.0"), 505),
    "a body": (dict(Content_Length="5"), 400),
    "a body in chunks": (dict(Transfer_Encoding="chunked"), 400),
    "a folded header": (dict(extra=["X-Long: a", " b"]), 400),
    "33 headers": (dict(extra=[f"X-{i}: y" for i in range(28)]), 431),
    "a head of 9 KiB": (dict(Cookie="c" * 9000), 431),
    "an origin that is not allowed": (dict(Origin="https://evil.example"), 403),
    "an origin that begins as an allowed one": (dict(Origin="https://good.example.evil.example"), 403),
    "a null origin": (dict(Origin="null"), 403),
    "no HTTP": (dict(start="HELLO"), 400),
    "a line that ends with LF": (dict(extra=["X: y\nZ: z"]), 400),
}

ACCEPTED = {
    "as it must be": dict(),
    "any path": dict(where="/a/b?c=d"),
    "words in other cases": dict(Upgrade="WebSocket", Connection="UPGRADE"),
    "Connection with two words": dict(Connection="keep-alive, Upgrade"),
    "32 headers": dict(extra=[f"X-{i}: y" for i in range(27)]),
    "an allowed origin": dict(Origin="https://good.example"),
    "an allowed origin, other case": dict(Origin="HTTPS://Good.Example"),
    "extensions": dict(Sec_WebSocket_Extensions="permessage-deflate; client_max_window_bits"),
}


@pytest.mark.parametrize("case", ACCEPTED)
def test_handshake_is_accepted(doors, webs, case):
    webs(doors, head=request(**ACCEPTED[case])).hello("alice").beat()


@pytest.mark.parametrize("case", REFUSED)
def test_handshake_is_refused(doors, case):
    changes, expected = REFUSED[case]
    counter = "origin_refused" if expected == 403 else "upgrade_refused"
    before = doors.counters()[counter]
    status, headers = status_of(doors, request(**changes))
    assert status == expected
    if status == 426:
        assert headers["sec-websocket-version"] == "13" and headers["upgrade"] == "websocket"
    if status == 405:
        assert headers["allow"] == "GET"
    assert doors.counters()[counter] == before + 1


def test_handshake_s_accept_is_the_rfc_s_own_example(doors):
    assert ACCEPT == "s3pPLMBiTxaQ9kYGzzhZRbK+xOo="
    assert status_of(doors, request())[1]["sec-websocket-accept"] == ACCEPT


@pytest.mark.parametrize("offered, chosen", [(None, None), ("presence.v1", "presence.v1"), ("mqtt", None),
                                             ("mqtt, presence.v1", "presence.v1"), ("PRESENCE.V1", None)])
def test_handshake_chooses_a_subprotocol_that_was_offered(doors, offered, chosen):
    head = request(Sec_WebSocket_Protocol=offered) if offered else request()
    status, headers = status_of(doors, head)
    assert status == 101 and headers.get("sec-websocket-protocol") == chosen


def test_handshake_byte_by_byte(doors, webs):
    with dial(doors.url("ws:")) as sock:
        for byte in request():
            sock.sendall(bytes([byte]))
        assert read_head(sock)[0] == 101


def test_handshake_over_tls(doors, webs):
    webs(doors, "wss:").hello("alice").beat().frame(CLOSE, close_payload(1000)).closes(1000)


def test_frames_behind_the_head_in_one_write(doors, webs):
    hello = json.dumps({"type": "hello", "v": 1, "user": "alice"}).encode()
    web = webs(doors, behind=frame(TEXT, hello) + frame(TEXT))
    web.expect("welcome")
    assert web.message() == ""


def test_no_request_in_time_is_408(start):
    server = start(LISTEN="ws://127.0.0.1:0", HELLO_TIMEOUT="200ms")
    with dial(server.url()) as sock:
        sock.sendall(request()[:-3])
        assert read_head(sock)[0] == 408
    assert server.counters()["hello_timeouts"] == 1


# ---- 5: framing ---------------------------------------------------------------------------------


@pytest.fixture
def web(doors, webs, name):
    return webs(doors).hello(name("alice"))


@pytest.mark.parametrize("size", [20, 125, 126, 127, 128, 255, 256, 65535, 65536])
def test_length_in_each_form(web, size):
    web.text(BEAT + b" " * (size - len(BEAT))).expect("heartbeat")


@pytest.mark.parametrize("mask", [b"\0\0\0\0", b"\xff\xff\xff\xff", b"\0\0\0\1", b"{\"}]"])
def test_any_mask(web, mask):
    web.frame(TEXT, BEAT, mask=mask).expect("heartbeat")


def test_answer_comes_in_each_form_of_length(web):
    """Of 0, of under 126, of under 65,536 bytes; of more the echo is. The client of these tests checks the form."""
    web.beat()
    web.text(BEAT).expect("heartbeat")
    web.send(type="update", status="s" * 200)
    web.expect("updated")
    web.send(type="query", users=["u" * 128] * 300)
    first, second = web.expect("presences"), web.expect("presences")
    assert first["more"] is True and len(first["presences"] + second["presences"]) == 300


def test_fragments_at_any_point(web):
    for cut in range(len(BEAT) + 1):
        web.raw(b"".join(fragments(BEAT, cut))).expect("heartbeat")


def test_fragments_at_any_two_points(web):
    for a, b in itertools.combinations(range(0, len(BEAT) + 1, 3), 2):
        web.raw(b"".join(fragments(BEAT, a, b))).expect("heartbeat")


def test_fragments_of_one_byte_and_of_none(web):
    web.raw(b"".join(fragments(BEAT, *range(1, len(BEAT))))).expect("heartbeat")
    web.raw(b"".join(fragments(BEAT, 0, 0, 3, 3, 3, 20, 20))).expect("heartbeat")
    web.raw(b"".join(fragments(b"", 0, 0))).expect_frame(TEXT, b"")


def test_fragments_in_writes_of_their_own(web):
    for part in fragments(WORDS_BEAT, 5, 22, 23, 24):
        web.raw(part)
    web.expect("heartbeat")


WORDS_BEAT = b'{"type":"heartbeat","x":"' + WORDS + b'"}'


def test_every_byte_in_a_write_of_its_own(web):
    for byte in b"".join(fragments(WORDS_BEAT, 7)) + frame(PING, b"p") + frame(TEXT, BEAT + b" " * 200):
        web.raw(bytes([byte]))
    web.expect("heartbeat")
    web.expect_frame(PONG, b"p")
    web.expect("heartbeat")


def test_control_frames_between_fragments(web):
    first, second, third = fragments(BEAT, 4, 9)
    web.raw(first + frame(PING, b"one") + second + frame(PONG, b"mine") + frame(PING, b"two") + third)
    web.expect_frame(PONG, b"one")
    web.expect_frame(PONG, b"two")
    web.expect("heartbeat")


def test_close_between_fragments(web):
    web.raw(fragments(BEAT, 4)[0] + frame(CLOSE, close_payload(1001))).closes(1001)


def test_pings_of_every_size(web):
    for size in range(126):
        payload = bytes(i & 0xff for i in range(size))
        web.frame(PING, payload).expect_frame(PONG, payload)


def test_pongs_nobody_asked_for_are_no_matter(web):
    for size in (0, 1, 125):
        web.frame(PONG, b"\xff" * size)
    web.beat()


def test_many_frames_in_one_write(web):
    web.raw(frame(TEXT, BEAT) * 50 + frame(PING, b"x"))
    for _ in range(50):
        web.expect("heartbeat")
    web.expect_frame(PONG, b"x")


def test_lines_in_one_message_are_messages(web):
    """PROTOCOL.md: a text message holds one or more lines, joined by \\n."""
    web.text(BEAT + b"\n" + b'{"type":"heartbeat","id":7}\r\n' + BEAT)
    web.expect("heartbeat")
    web.expect("heartbeat", id=7)
    web.expect("heartbeat")


def test_server_pings_a_silent_client_once_and_its_pong_is_life(doors, webs, name):
    """At two thirds of its timeout, so that a tab whose timers sleep is not expired."""
    web = webs(doors).hello(name("tab"), heartbeat_ms=sized(200, 500))
    timeout = web.welcome["timeout_ms"] / 1000
    began = time.monotonic()
    for n in range(1, 4):
        web.expect_frame(PING, b"")
        web.frame(PONG)
        assert time.monotonic() - began >= n * timeout * 0.6
    web.expect_frame(PING, b"")
    assert web.expect("bye")["reason"] == "timeout"
    web.closes(4408)


# ---- 5, 7: what is not valid --------------------------------------------------------------------

FIRST = frame(TEXT, BEAT[:5], fin=False)
INVALID = {
    "unmasked": (frame(TEXT, BEAT, mask=None), 1002),
    "unmasked ping": (frame(PING, b"x", mask=None), 1002),
    "unmasked close": (frame(CLOSE, close_payload(1000), mask=None), 1002),
    "RSV1": (frame(TEXT, BEAT, reserved=4), 1002),
    "RSV2": (frame(TEXT, BEAT, reserved=2), 1002),
    "RSV3": (frame(TEXT, BEAT, reserved=1), 1002),
    "RSV1 on a ping": (frame(PING, b"", reserved=4), 1002),
    "RSV1 on a continuation": (FIRST + frame(CONTINUATION, BEAT[5:], reserved=4), 1002),
    **{f"opcode {opcode}": (frame(opcode, BEAT), 1002) for opcode in (3, 4, 5, 6, 7, 11, 12, 13, 14, 15)},
    "ping of 126": (frame(PING, b"x" * 126), 1002),
    "close of 126": (frame(CLOSE, close_payload(1000, b"x" * 124)), 1002),
    "pong of 65,536": (frame(PONG, b"x" * 65536), 1002),
    "ping of 5, in 16 bits": (frame(PING, b"xxxxx", form=16), 1002),
    "fragmented ping": (frame(PING, b"x", fin=False), 1002),
    "fragmented pong": (frame(PONG, b"x", fin=False), 1002),
    "fragmented close": (frame(CLOSE, close_payload(1000), fin=False), 1002),
    "continuation of nothing": (frame(CONTINUATION, BEAT), 1002),
    "continuation of nothing, and not the last": (frame(CONTINUATION, BEAT, fin=False), 1002),
    "new message inside another": (FIRST + frame(TEXT, BEAT), 1002),
    "binary message inside a text": (FIRST + frame(BINARY, b"x"), 1002),
    "16 bits for a length of 125": (frame(TEXT, BEAT + b" " * 105, form=16), 1002),
    "64 bits for a length of 65,535": (frame(TEXT, BEAT + b" " * 65515, form=64), 1002),
    "64 bits with the highest set": (frame(TEXT, form=64, length=1 << 63), 1002),
    "64 bits, all set": (frame(TEXT, form=64, length=(1 << 64) - 1), 1002),
    "over the limit by one, in one frame": (frame(TEXT, length=65537), 1009),
    "a length of 2^62": (frame(TEXT, form=64, length=1 << 62), 1009),
    "over the limit by one, in two": (frame(TEXT, b" " * 60000, fin=False) + frame(CONTINUATION, length=5537), 1009),
    "binary": (frame(BINARY, BEAT), 1003),
    "binary, of nothing": (frame(BINARY), 1003),
    "close of one byte": (frame(CLOSE, b"\x03"), 1002),
    "close with a reason that is no UTF-8": (frame(CLOSE, close_payload(1000, b"\xff")), 1007),
    "close with a reason that ends inside a character": (frame(CLOSE, close_payload(1000, b"\xc3")), 1007),
}


@pytest.mark.parametrize("case", INVALID)
def test_invalid_frame(doors, web, name, case):
    """Told by its close code, counted, and the session ends as a violation for those who watch."""
    data, code = INVALID[case]
    with Client(doors.url("tcp")) as watcher:
        watcher.hello(name("watcher")).watch(web.welcome["user"])
        before = doors.counters()
        refused(web, data, code)
        watcher.event(web.welcome["user"], "offline", "violation")
        after = doors.counters()
    for counter in ("bad_frames", "ended_violation"):
        assert after[counter] == before[counter] + 1


@pytest.mark.parametrize("case", ["unmasked", "opcode 3", "binary", "over the limit by one, in one frame",
                                  "close of one byte"])
def test_invalid_frame_before_the_hello(doors, webs, case):
    data, code = INVALID[case]
    refused(webs(doors), data, code)


@pytest.mark.parametrize("case", ["unmasked", "RSV1", "binary", "close of one byte"])
def test_invalid_frame_over_tls(doors, webs, name, case):
    data, code = INVALID[case]
    refused(webs(doors, "wss:").hello(name("bob")), data, code)


def test_invalid_frame_byte_by_byte_and_behind_valid_ones(web):
    for byte in frame(PING, b"x") + frame(TEXT, BEAT, reserved=4)[:2]:
        web.raw(bytes([byte]))
    web.expect_frame(PONG, b"x")
    web.closes(1002)


def test_continuation_behind_a_whole_message(web):
    web.raw(b"".join(fragments(BEAT, 3)) + frame(CONTINUATION, BEAT)).expect("heartbeat")
    web.closes(1002)


def test_nothing_is_answered_behind_an_invalid_frame(web):
    web.raw(frame(TEXT, BEAT) + frame(3) + frame(TEXT, BEAT) + frame(PING))
    web.expect("heartbeat")
    web.closes(1002)


# ---- 8.1: UTF-8 ---------------------------------------------------------------------------------

BAD_UTF8 = {
    "a lone continuation": b"\x80",
    "an overlong slash": b"\xc0\xaf",
    "an overlong NUL": b"\xe0\x80\x80",
    "an overlong of four": b"\xf0\x80\x80\x80",
    "a surrogate": b"\xed\xa0\x80",
    "a pair of surrogates": b"\xed\xa0\x80\xed\xb0\x80",
    "beyond U+10FFFF": b"\xf4\x90\x80\x80",
    "five bytes": b"\xf8\x88\x80\x80\x80",
    "FE": b"\xfe",
    "two of three, then a letter": b"\xe4\xb8a",
}


@pytest.mark.parametrize("case", BAD_UTF8)
def test_bad_utf8_split_anywhere(doors, webs, name, case):
    """Refused by the byte that makes it bad, though neither frame nor message is complete."""
    text = b'{"type":"heartbeat","x":"' + WORDS + BAD_UTF8[case]
    for cut in range(len(text) - len(BAD_UTF8[case]) - 1, len(text)):
        web = webs(doors).hello(name("bob"))
        web.raw(frame(TEXT, text[:cut], fin=False) + frame(CONTINUATION, text[cut:], fin=False)).closes(1007)
        web = webs(doors).hello(name("bob"))
        web.raw(frame(TEXT, text + b"xx")[:-2]).closes(1007)
        web.close()


def test_message_that_ends_inside_a_character(web):
    web.raw(frame(TEXT, b"{}\xe4", fin=False) + frame(CONTINUATION, b"\xb8")).closes(1007)


def test_character_across_fragments(web):
    for cut in range(len(WORDS_BEAT)):
        web.raw(b"".join(fragments(WORDS_BEAT, cut))).expect("heartbeat")


# ---- 5.5.1, 7.4: closing ------------------------------------------------------------------------

VALID_CODES = [1000, 1001, 1002, 1003, *range(1007, 1015), 3000, 3999, 4000, 4408, 4999]
INVALID_CODES = [0, 1, 999, 1004, 1005, 1006, 1015, 1016, 1100, 2000, 2999, 5000, 65535]


@pytest.mark.parametrize("code", VALID_CODES)
def test_close_code_is_echoed(web, code):
    web.frame(CLOSE, close_payload(code, "tschüß".encode())).closes(code)


@pytest.mark.parametrize("code", INVALID_CODES)
def test_close_code_that_may_not_be_sent(web, code):
    web.frame(CLOSE, close_payload(code)).closes(1002)


def test_close_without_a_code(web):
    web.frame(CLOSE).closes(None)


def test_close_with_the_longest_reason(web):
    web.frame(CLOSE, close_payload(1000, b"r" * 123)).closes(1000)


def test_close_is_told_as_closed_and_what_follows_is_dropped(doors, web, name):
    with Client(doors.url("tcp")) as watcher:
        watcher.hello(name("watcher")).watch(web.welcome["user"])
        web.raw(frame(CLOSE, close_payload(1000)) + frame(TEXT, BEAT) + frame(3) + b"rubbish").closes(1000)
        watcher.event(web.welcome["user"], "offline", "closed")


def test_fin_inside_a_frame_is_told_as_closed(doors, web, name):
    with Client(doors.url("tcp")) as watcher:
        watcher.hello(name("watcher")).watch(web.welcome["user"])
        web.raw(frame(TEXT, BEAT)[:9])
        web.sock.close()
        watcher.event(web.welcome["user"], "offline", "closed")


# ---- what is open for long ----------------------------------------------------------------------


@pytest.mark.release_only
def test_endless_fragments_end_after_30_seconds(start, webs, faster_clock):
    """OPEN_MESSAGE_MS; on a clock that runs ten times as fast."""
    server = start(LISTEN="ws://127.0.0.1:0", HEARTBEAT="5m", WORKERS=1, env=faster_clock)
    endless(webs(server).hello("bob"), server, 3.0)


@pytest.mark.long
def test_endless_fragments_end_after_30_seconds_of_the_true_clock(start, webs):
    endless(webs(start(LISTEN="ws://127.0.0.1:0", WORKERS=1)).hello("bob"), None, 30.0)


def endless(web, server, seconds):
    began, how = time.monotonic(), None
    web.frame(TEXT, b"", fin=False)
    while time.monotonic() - began < 2 * seconds:
        try:
            web.frame(CONTINUATION, b"", fin=False)
            got = web.read(0.02)
        except AssertionError:
            continue
        except (Closed, BrokenPipeError):
            break
        how = got if got[0] == CLOSE else how
        if how:
            break
    assert how == (CLOSE, close_payload(1008)), how
    assert seconds * 0.8 <= time.monotonic() - began <= seconds * 1.3
    if server:
        assert server.counters()["open_messages_refused"] == 1


def test_open_messages_are_bounded(start, webs):
    """OPEN_MESSAGES_MAX of a worker: one more is told to try later, the others go on."""
    server = start(LISTEN="ws://127.0.0.1:0", WORKERS=1, HELLO_TIMEOUT="1m")
    most = 4096
    half = frame(TEXT, BEAT)[:6]
    opened = [webs(server, behind=half) for _ in range(most)]
    server.wait_stats(lambda s: s["counters"]["bytes_in"] >= most * (len(request()) + len(half)))
    webs(server).raw(half).closes(1013)
    assert server.counters()["open_messages_refused"] == 1
    opened.pop().close()
    server.wait_stats(lambda s: s["connections"] < most + 1)
    one = webs(server).raw(half)
    one.quiet()
    one.raw(frame(TEXT, BEAT)[6:])
    assert one.expect("error")["code"] == "hello_required"
