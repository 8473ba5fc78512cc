"""The table of bad inputs: what is sent, at which door, what is answered, which counter moves.

A row's input is bytes, or a function (of the Gate, if it has an argument) that makes them. What needs more than one
write is a function in test_bad_inputs.py. Answers:

    an error's code        its line comes; the connection ends with it where PROTOCOL.md says so, else it is closed here
    closed                 the end, without a word
    HTTP n, close n        a status; a WebSocket's close code
    welcome, updated …     the type of a message: it is let through, and that is the point"""

import dataclasses
import json
import os
import struct

from credentials import hs256, token, token_of
from support.frames import BINARY, CLOSE, CONTINUATION, PING, TEXT, frame
from support.tokens import b64
from web import close_payload, fragments, request

ISSUER, AUDIENCE = "https://issuer.example", "presence"
MAX_MESSAGE = 256 * 1024
FATAL = {"bad_json", "line_too_long", "hello_required", "version", "auth_required", "auth_failed", "server_full",
         "rate_limited"}


@dataclasses.dataclass
class Row:
    name: str
    door: str  # tcp, tls, ws, wss, unix; bare-tls, bare-ws, bare-wss: without the handshake; "+": logged in
    send: object
    answer: str
    counter: str
    times: int = 1
    proxied: bool = False  # from the address that is trusted to say whom it speaks for


def good(sub="mallory", **more):
    return token(sub, **{"iss": ISSUER, "aud": AUDIENCE, "watch": "*", **more})


def hello(**fields):
    return json.dumps({"type": "hello", "v": 1, "device": "d", "token": good(), **fields}).encode() + b"\n"


def with_token(text, **fields):
    return hello(token=text, **fields)


def raw(text):
    return text.encode() + b"\n"


def client_hello():
    """The beginning of a TLS handshake, as a client would send it: 517 bytes claimed, some of them there."""
    body = b"\x01\x00\x01\xfc\x03\x03" + os.urandom(32) + b"\x20" + os.urandom(32) + b"\x00\x02\x13\x01\x01\x00"
    return b"\x16\x03\x01\x02\x00" + body


def with_public_key(gate):
    """The old trick: the public key is no secret, but a verifier that goes by the header takes it for one."""
    public = gate.credentials.public
    return with_token(good(header={"alg": "HS256", "kid": "r1"}, sign=lambda data: hs256(data, public)))


def claims(text):
    return with_token(token_of('{"alg":"HS256"}', text))


def proxy_v2(command=0x21, family=0x11, body=b"\xc0\0\2\1\x7f\0\0\1\x10\0\x1c\xe8", length=None):
    length = len(body) if length is None else length
    return b"\r\n\r\n\0\r\nQUIT\n" + struct.pack(">BBH", command, family, length) + body


JSON = "error_bad_json"
LINES = [
    Row("a NUL before the line", "tcp", b"\0" + b'{"type":"hello"}\n', "bad_json", JSON),
    Row("a NUL in the line", "tcp", b'{"type":"hel\0lo"}\n', "bad_json", JSON),
    Row("U+0000 escaped", "tcp", raw(r'{"type":"hello","v":1,"user":"a\u0000b"}'), "bad_json", JSON),
    Row("a lone high surrogate", "tcp", raw(r'{"type":"hello","v":1,"user":"\ud800"}'), "bad_json", JSON),
    Row("a lone low surrogate", "tcp", raw(r'{"type":"hello","v":1,"user":"\udc00x"}'), "bad_json", JSON),
    Row("surrogates the wrong way round", "tls", raw(r'{"type":"hello","user":"\udc00\ud800"}'), "bad_json", JSON),
    Row("a byte that is no UTF-8", "tcp", b'{"type":"hello","v":1,"user":"\xff"}\n', "bad_json", JSON),
    Row("an overlong character", "tcp", b'{"type":"hello","v":1,"user":"\xc0\xae"}\n', "bad_json", JSON),
    Row("UTF-16", "tcp", '{"type":"hello"}\n'.encode("utf-16"), "bad_json", JSON),
    Row("a byte order mark", "tcp", b'\xef\xbb\xbf{"type":"hello","v":1}\n', "bad_json", JSON),
    Row("depth 17", "tcp", raw('{"type":"hello","x":' + "[" * 16 + "]" * 16 + "}"), "bad_json", JSON),
    Row("depth 10^5, logged in", "+tcp", raw("[" * 100_000 + "]" * 100_000), "bad_json", JSON),
    Row("depth 10^5 of objects, not closed", "+tls", raw('{"a":' * 50_000), "bad_json", JSON),
    Row("a key twice", "tcp", raw('{"type":"hello","v":1,"user":"a","user":"b"}'), "bad_json", JSON),
    Row("1e999", "tcp", raw('{"type":"hello","v":1e999}'), "bad_json", JSON),
    Row("an integer of 30 digits", "tcp", raw('{"type":"hello","v":' + "9" * 30 + "}"), "bad_json", JSON),
    Row("NaN", "tcp", raw('{"type":"hello","v":NaN}'), "bad_json", JSON),
    Row("two objects in a line", "tcp", raw('{"type":"hello"} {"type":"hello"}'), "bad_json", JSON),
    Row("single quotes", "tcp", raw("{'type':'hello'}"), "bad_json", JSON),
    Row("HTTP at a port for lines", "tcp", b"GET / HTTP/1.1\r\nHost: x\r\n\r\n", "bad_json", JSON),
    Row("SSH at a port for lines", "tcp", b"SSH-2.0-OpenSSH_9.2\r\n", "bad_json", JSON),
    Row("redis at a Unix socket", "unix", b"*1\r\n$4\r\nPING\r\n", "bad_json", JSON),
    Row("an endless line before the hello", "tcp", b"x" * 12290, "line_too_long", "error_line_too_long"),
    Row("an endless line over TLS", "tls", b"x" * 12290, "line_too_long", "error_line_too_long"),
    Row("an endless line, logged in", "+tcp", b"x" * (MAX_MESSAGE + 2), "line_too_long", "error_line_too_long"),
    Row("an array", "tcp", raw("[]"), "hello_required", "error_hello_required"),
    Row("an empty line first", "tcp", b"\n", "hello_required", "error_hello_required"),
    Row("a heartbeat first", "tls", raw('{"type":"heartbeat"}'), "hello_required", "error_hello_required"),
    Row("an unknown type first", "tcp", raw('{"type":"sudo"}'), "hello_required", "error_hello_required"),
    Row("an array, logged in", "+tcp", raw("[]"), "bad_message", "error_bad_message"),
    Row("an unknown type, logged in", "+tls", raw('{"type":"sudo"}'), "unknown_type", "error_unknown_type"),
    Row("a second hello", "+tcp", hello, "already_hello", "error_already_hello"),
    Row("no version", "tcp", raw('{"type":"hello","user":"a"}'), "version", "error_version"),
    Row("version 2", "tcp", raw('{"type":"hello","v":2,"user":"a"}'), "version", "error_version"),
    Row("a user of 129 bytes", "tcp", lambda: hello(user="u" * 129), "bad_message", "error_bad_message"),
    Row("a user with a line end", "tcp", lambda: hello(user="a\nb"), "bad_message", "error_bad_message"),
    Row("a negative heartbeat", "tcp", lambda: hello(heartbeat_ms=-1), "bad_message", "error_bad_message"),
    Row("a status of 257 bytes", "+tcp", lambda: raw(json.dumps({"type": "update", "status": "s" * 257})),
        "bad_message", "error_bad_message"),
    Row("bad hellos until the answers are 1 KiB", "tcp", lambda: hello(user="") * 30, "bad_message",
        "hello_replies_cut"),
]

PLACES = [
    Row("TLS at a port for lines", "tcp", client_hello, "closed", "tls_misplaced"),
    Row("TLS at a port for WebSocket", "bare-ws", client_hello, "closed", "tls_misplaced"),
    Row("a line at a port for TLS", "bare-tls", b'{"type":"hello","v":1}\n', "closed", "tls_failed"),
    Row("HTTP at a port for wss", "bare-wss", request(), "closed", "tls_failed"),
    Row("rubbish at a port for TLS", "bare-tls", b"\x16\x03\x01" + b"\xff" * 400, "closed", "tls_failed"),
    Row("a line at a port for WebSocket", "bare-ws", b'{"type":"hello","v":1}\n', "HTTP 400", "upgrade_refused"),
    Row("a page's origin that is not allowed", "bare-ws", request(Origin="https://evil.example"), "HTTP 403",
        "origin_refused"),
    Row("an HTTP head of 9 KiB", "bare-ws", request(Cookie="c" * 9000), "HTTP 431", "upgrade_refused"),
    Row("a request with a body that hides another", "bare-ws", request(Content_Length="3") + b"GET", "HTTP 400",
        "upgrade_refused"),
]

FRAMES = [
    Row("a frame without a mask", "ws", frame(TEXT, b"{}", mask=None), "close 1002", "bad_frames"),
    Row("a reserved bit, logged in", "+ws", frame(TEXT, b"", reserved=4), "close 1002", "bad_frames"),
    Row("a reserved opcode over TLS", "wss", frame(11), "close 1002", "bad_frames"),
    Row("a ping of 126 bytes", "ws", frame(PING, b"x" * 126), "close 1002", "bad_frames"),
    Row("a continuation of nothing", "ws", frame(CONTINUATION, b"x"), "close 1002", "bad_frames"),
    Row("a binary message", "ws", frame(BINARY, b"x"), "close 1003", "bad_frames"),
    Row("a claim of 2^62 bytes", "ws", frame(TEXT, form=64, length=1 << 62), "line_too_long", "bad_frames"),
    Row("bad UTF-8 in a message that goes on", "ws", frame(TEXT, b"\xed\xa0", fin=False), "close 1007", "bad_frames"),
    Row("a close code of 1005", "ws", frame(CLOSE, close_payload(1005)), "close 1002", "bad_frames"),
    Row("depth 10^5 in fragments", "+ws", b"".join(fragments(b"[" * 100_000, *range(7000, 100_000, 7000))), "bad_json",
        JSON),
    Row("a message that is no JSON", "wss", frame(TEXT, b"hello?"), "bad_json", JSON),
]

FAILED = "token_failed"
TOKENS = [
    Row("no token", "tcp", b'{"type":"hello","v":1,"user":"root"}\n', "auth_required", "error_auth_required"),
    Row("a token that is a number", "tcp", lambda: hello(token=1), "bad_message", "error_bad_message"),
    Row("an empty token", "tcp", lambda: with_token(""), "auth_failed", FAILED),
    Row("alg none", "tcp", lambda: with_token(good(header={"alg": "none"})), "auth_failed", FAILED),
    Row("alg none and no signature", "tcp", lambda: with_token(good(header={"alg": "none"}, sign=lambda d: b"")),
        "auth_failed", FAILED),
    Row("alg hs256, in small letters", "tcp", lambda: with_token(good(header={"alg": "hs256"})), "auth_failed", FAILED),
    Row("no alg", "tcp", lambda: with_token(good(header={"typ": "JWT"})), "auth_failed", FAILED),
    Row("HS256 signed with the RSA public key", "tcp", with_public_key, "auth_failed", FAILED),
    Row("RS256 with an HMAC for a signature", "tcp", lambda: with_token(good(header={"alg": "RS256", "kid": "r1"})),
        "auth_failed", FAILED),
    Row("RS256 with the key of another kid", "tcp", lambda gate: with_token(
        good(header={"alg": "RS256", "kid": "r2"}, sign=gate.credentials.rs256)), "auth_failed", FAILED),
    Row("a key of its own in the header", "tcp", lambda: with_token(
        good(header={"alg": "HS256", "jwk": {"kty": "oct", "k": b64(b"k" * 32)}},
             sign=lambda data: hs256(data, b"k" * 32))), "auth_failed", FAILED),
    Row("a critical extension", "tcp", lambda: with_token(good(header={"alg": "HS256", "crit": ["x"], "x": 1})),
        "auth_failed", FAILED),
    Row("five parts, as if encrypted", "tcp", lambda: with_token("a.b.c.d.e"), "auth_failed", FAILED),
    Row("two parts", "tcp", lambda: with_token(good().rsplit(".", 1)[0]), "auth_failed", FAILED),
    Row("padding", "tcp", lambda: with_token(good() + "="), "auth_failed", FAILED),
    Row("a token of over 8 KiB", "tcp", lambda: with_token(good(more="m" * 7000)), "bad_message", "error_bad_message"),
    Row("another secret's signature", "tls", lambda: with_token(good(sign=lambda data: hs256(data, b"x" * 32))),
        "auth_failed", FAILED),
    Row("claims changed after signing", "tcp", lambda: with_token(
        "{0}.{3}.{2}".format(*good().split("."), b64(b'{"sub":"root","exp":9999999999}'))),
        "auth_failed", FAILED),
    Row("expired an hour ago", "tcp", lambda gate: with_token(good(exp=gate.now() - 3600)), "auth_failed", FAILED),
    Row("good from tomorrow on", "tcp", lambda gate: with_token(good(nbf=gate.now() + 86400)), "auth_failed", FAILED),
    Row("issued tomorrow", "tcp", lambda gate: with_token(good(iat=gate.now() + 86400)), "auth_failed", FAILED),
    Row("no end", "tcp", lambda: with_token(good(drop=["exp"])), "auth_failed", FAILED),
    Row("an end that is a text", "tcp", lambda: with_token(good(exp="9999999999")), "auth_failed", FAILED),
    Row("an end at 1e999", "tcp", lambda: claims('{"sub":"a","iss":"%s","aud":"%s","exp":1e999}' % (ISSUER, AUDIENCE)),
        "auth_failed", FAILED),
    Row("a subject twice", "tcp", lambda gate: claims('{"sub":"a","sub":"b","iss":"%s","aud":"%s","exp":%d}' % (
        ISSUER, AUDIENCE, gate.now() + 60)), "auth_failed", FAILED),
    Row("no subject", "tcp", lambda: with_token(good(drop=["sub"])), "auth_failed", FAILED),
    Row("another issuer", "tcp", lambda: with_token(good(iss="https://evil.example")), "auth_failed", FAILED),
    Row("another audience", "ws", lambda: frame(TEXT, with_token(good(aud=["mail", "chat"]))[:-1]),
        "auth_failed", FAILED),
    Row("a watch claim that is a number", "tcp", lambda: with_token(good(watch=7)), "auth_failed", FAILED),
    Row("another's name beside a good token", "tcp", lambda: hello(user="root"), "auth_failed", FAILED),
    Row("another user's token in an update", "+tcp", lambda: raw(json.dumps({"type": "update", "token": good("eve")})),
        "auth_failed", FAILED),
    Row("a good token, for all that", "tcp", hello, "welcome", "logins"),
    Row("a good token by RS256", "tcp", lambda gate: with_token(
        good(header={"alg": "RS256", "kid": "r1"}, sign=gate.credentials.rs256)), "welcome", "logins"),
]

PROXIES = [
    Row("a PROXY header from nobody's proxy", "tcp", b"PROXY TCP4 192.0.2.1 192.0.2.2 5 6\r\n", "bad_json", JSON),
    Row("a PROXY header of version 2 from nobody's proxy", "tcp", proxy_v2, "hello_required", "error_hello_required"),
    Row("no PROXY header from a proxy", "tcp", hello, "closed", "proxy_malformed", proxied=True),
    Row("a PROXY line with an address that is none", "tcp", b"PROXY TCP4 192.0.2.256 192.0.2.2 5 6\r\n", "closed",
        "proxy_malformed", proxied=True),
    Row("a PROXY line of 108 bytes", "tcp", b"PROXY UNKNOWN " + b"x" * 94, "closed", "proxy_malformed", proxied=True),
    Row("a PROXY line with a port of 65536", "tcp", b"PROXY TCP4 192.0.2.1 192.0.2.2 65536 6\r\n", "closed",
        "proxy_malformed", proxied=True),
    Row("a PROXY header of version 3", "tcp", lambda: proxy_v2(command=0x31), "closed", "proxy_malformed",
        proxied=True),
    Row("a PROXY header of 60 KiB", "tcp", lambda: proxy_v2(length=60000), "closed", "proxy_malformed", proxied=True),
    Row("a PROXY header too short for its addresses", "tcp", lambda: proxy_v2(body=b"\xc0\0\2\1"), "closed",
        "proxy_malformed", proxied=True),
    Row("two PROXY headers", "tcp", lambda: proxy_v2() + b"PROXY TCP4 192.0.2.1 192.0.2.2 5 6\r\n", "bad_json", JSON,
        proxied=True),
    Row("a PROXY header and rubbish behind it in one write", "bare-tls", lambda: proxy_v2() + b"rubbish\n", "closed",
        "tls_failed", proxied=True),
]

ROWS = LINES + PLACES + FRAMES + TOKENS + PROXIES
