"""WebSocket frames, put together byte by byte: right ones, and wrong ones where a test wants them.

Written from RFC 6455, not from the server: nothing here is shared with what is under test."""

CONTINUATION, TEXT, BINARY, CLOSE, PING, PONG = 0, 1, 2, 8, 9, 10
MASK = b"\x37\xfa\x21\x3d"


def masked(payload, mask):
    whole = (mask * (len(payload) // 4 + 1))[:len(payload)]
    return (int.from_bytes(payload, "big") ^ int.from_bytes(whole, "big")).to_bytes(len(payload), "big")


def frame(opcode, payload=b"", fin=True, reserved=0, mask=MASK, form=None, length=None):
    """A frame. `mask` None: not masked; `form` 7, 16 or 64: bits of the length, by default the fewest;
    `length`: what the header claims, if that is not so."""
    length = len(payload) if length is None else length
    form = form or (7 if length < 126 else 16 if length < 65536 else 64)
    head = bytes([(fin << 7) | (reserved << 4) | opcode])
    bit = 0 if mask is None else 0x80
    if form == 7:
        head += bytes([bit | length])
    elif form == 16:
        head += bytes([bit | 126]) + length.to_bytes(2, "big")
    else:
        head += bytes([bit | 127]) + length.to_bytes(8, "big")
    return head + (payload if mask is None else mask + masked(payload, mask))
