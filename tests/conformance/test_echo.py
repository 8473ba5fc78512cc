"""The build whose WebSockets answer each message with itself, on the code that ships: what came comes back."""

import pytest

from support.frames import BINARY, CLOSE, PING, PONG, TEXT, frame
from support.mode import PATIENCE
from web import close_payload, fragments

WORDS = "Grüße, 世界 🙂".encode()
TEXTS = {
    "all ASCII but controls": bytes(range(32, 127)),
    "the edges of UTF-8": "\x00\x7f\x80\u07ff\u0800\ud7ff\ue000\ufffd\uffff\U00010000\U0010ffff".encode(),
    "non-characters": "\ufdd0\ufffe\U0001ffff\U0010fffe".encode(),
    "line ends": b"\n\r\n\n",
    "words": WORDS,
}


@pytest.mark.parametrize("size", [0, 1, 125, 126, 127, 65535, 65536, 65537, 1048576])
def test_echo_of_size(echo, webs, size):
    web = webs(echo)
    payload = (b"0123456789abcdef" * (size // 16 + 1))[:size]
    web.frame(TEXT, payload).expect_frame(TEXT, payload)
    web.frame(PING, b"still there").expect_frame(PONG, b"still there")


@pytest.mark.parametrize("piece", [1, 3, 64, 997, 4096])
def test_echo_in_pieces(echo, webs, piece):
    """Fragments of that size, in writes of another that is none of its multiples."""
    payload = (WORDS + b"?") * (4 if piece == 1 else 400)
    data = b"".join(fragments(payload, *range(piece, len(payload), piece)))
    web = webs(echo)
    for at in range(0, len(data), 1361):
        web.raw(data[at:at + 1361])
    web.expect_frame(TEXT, payload)


@pytest.mark.parametrize("case", TEXTS)
def test_echo_of_text_cut_anywhere(echo, webs, case):
    web, text = webs(echo), TEXTS[case]
    for cut in range(len(text) + 1):
        web.raw(b"".join(fragments(text, cut))).expect_frame(TEXT, text)


def test_echo_of_many_to_one_that_reads_late(echo, webs):
    """The answers wait at the server, which reads no further meanwhile; nothing is lost or out of order."""
    web = webs(echo, rcvbuf=4096)
    payloads = [bytes([65 + i % 26]) * 20000 for i in range(60)]
    web.sock.settimeout(0.5)
    sent, data = 0, b"".join(frame(TEXT, p) for p in payloads)
    got = []
    while len(got) < len(payloads):
        if sent < len(data):
            try:
                sent += web.sock.send(data[sent:sent + 65536])
                continue
            except TimeoutError:
                pass
        got.append(web.read())
        web.sock.settimeout(0.5 if sent < len(data) else PATIENCE)
    assert got == [(TEXT, p) for p in payloads]


def test_echo_needs_no_hello_and_ends_as_ever(echo, webs):
    webs(echo).text("x").frame(CLOSE, close_payload(1000)).expect_frame(TEXT, b"x")
    web = webs(echo).text("x")
    web.expect_frame(TEXT, b"x")
    web.frame(BINARY, b"x").closes(1003)
