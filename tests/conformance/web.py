"""RFC 6455 from the client's side, as strict or as wrong as a test wants it.

Written from the RFC, not from the server: nothing here is shared with what is under test."""

import base64
import hashlib
import json
import socket
import ssl
import time
from urllib.parse import urlsplit

from support.client import Closed
from support.frames import CLOSE, CONTINUATION, TEXT, frame
from support.mode import PATIENCE, QUIET

KEY = "dGhlIHNhbXBsZSBub25jZQ=="
ACCEPT = base64.b64encode(hashlib.sha1(KEY.encode() + b"258EAFA5-E914-47DA-95CA-C5AB0DC85B11").digest()).decode()


# ---- frames -------------------------------------------------------------------------------------


def fragments(payload, *cuts):
    """A text message in frames that end at these places."""
    edges = [0, *cuts, len(payload)]
    return [frame(TEXT if i == 0 else CONTINUATION, payload[a:b], fin=i == len(cuts))
            for i, (a, b) in enumerate(zip(edges, edges[1:]))]


def close_payload(code, reason=b""):
    return code.to_bytes(2, "big") + reason


# ---- the handshake ------------------------------------------------------------------------------


def request(where="/", start=None, drop=(), extra=(), **headers):
    """The head of a request: the right one, but for what is said. An underscore in a name is a hyphen."""
    fields = {"Host": "presence.example", "Upgrade": "websocket", "Connection": "Upgrade",
              "Sec-WebSocket-Version": "13", "Sec-WebSocket-Key": KEY}
    fields.update({name.replace("_", "-"): value for name, value in headers.items()})
    lines = [start or f"GET {where} HTTP/1.1"]
    lines += [f"{name}: {value}" for name, value in fields.items() if name not in drop]
    return "\r\n".join([*lines, *extra, "", ""]).encode()


def dial(url, authority=None, source=None, rcvbuf=None, before=b""):
    """A connection to a URL of any kind; over TLS where the URL says so, behind the bytes `before`."""
    where = urlsplit(url)
    if where.scheme == "unix":
        sock = socket.socket(socket.AF_UNIX, socket.SOCK_STREAM)
        sock.settimeout(PATIENCE)
        sock.connect(where.path)
        return sock
    sock = socket.socket(socket.AF_INET6 if ":" in where.hostname else socket.AF_INET)
    sock.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)
    if rcvbuf:
        sock.setsockopt(socket.SOL_SOCKET, socket.SO_RCVBUF, rcvbuf)
    if source:
        sock.bind((source, 0))
    sock.settimeout(PATIENCE)
    sock.connect((where.hostname, where.port))
    if before:
        sock.sendall(before)
    if where.scheme in ("tls", "wss"):
        context = ssl.create_default_context(cafile=str(authority))
        sock = context.wrap_socket(sock, server_hostname="localhost")
    return sock


def read_head(sock):
    """(status, headers with small letters, the bytes behind the head)."""
    data = b""
    while b"\r\n\r\n" not in data:
        more = receive(sock)
        assert more, f"closed inside the head: {data!r}"
        data += more
    head, rest = data.split(b"\r\n\r\n", 1)
    first, *lines = head.decode("ascii").split("\r\n")
    version, status, _ = first.split(" ", 2)
    assert version == "HTTP/1.1", first
    headers = {}
    for line in lines:
        name, value = line.split(":", 1)
        assert name.lower() not in headers, f"{name} twice"
        headers[name.lower()] = value.strip()
    return int(status), headers, rest


def receive(sock, size=262144):
    """Bytes, or nothing at the end; Closed where it was no FIN."""
    try:
        return sock.recv(size)
    except (ConnectionResetError, ssl.SSLEOFError):
        raise Closed("reset") from None
    except (TimeoutError, ssl.SSLWantReadError):
        raise AssertionError("nothing came") from None


def upgrade(sock, head=None, behind=b""):
    """Shakes hands; what came behind the answer."""
    sock.sendall((head or request()) + behind)
    status, headers, rest = read_head(sock)
    assert status == 101, (status, headers)
    assert headers["upgrade"].lower() == "websocket" and headers["connection"].lower() == "upgrade"
    assert headers["sec-websocket-accept"] == ACCEPT
    assert "sec-websocket-extensions" not in headers
    return headers, rest


# ---- a client -----------------------------------------------------------------------------------


class Web:
    def __init__(self, url, authority=None, source=None, rcvbuf=None, head=None, behind=b""):
        self.sock = dial(url, authority, source, rcvbuf)
        self.headers, rest = upgrade(self.sock, head, behind)
        self.buffer = bytearray(rest)
        self.lines = []
        self.welcome = None

    def __enter__(self):
        return self

    def __exit__(self, *_):
        self.close()

    def close(self):
        self.sock.close()

    # Out

    def raw(self, data):
        self.sock.sendall(data)
        return self

    def frame(self, opcode, payload=b"", **options):
        return self.raw(frame(opcode, payload, **options))

    def text(self, payload):
        return self.frame(TEXT, payload if isinstance(payload, bytes) else payload.encode())

    def send(self, message=None, **fields):
        return self.text(json.dumps(message if message is not None else fields))

    # In

    def _need(self, size, end):
        while len(self.buffer) < size:
            self.sock.settimeout(max(0.001, end - time.monotonic()))
            data = receive(self.sock)
            if not data:
                raise Closed("fin")
            self.buffer += data

    def read(self, timeout=None):
        """The next frame, (opcode, payload): whole, unmasked, in its shortest form, as servers send them."""
        end = time.monotonic() + (PATIENCE if timeout is None else timeout)
        self._need(2, end)
        first, second = self.buffer[:2]
        assert first & 0x80, "a fragment"
        assert first & 0x70 == 0, "a reserved bit"
        assert second & 0x80 == 0, "a mask"
        length, at = second & 0x7f, 2
        if length >= 126:
            at += 2 if length == 126 else 8
            self._need(at, end)
            least = 126 if length == 126 else 65536
            length = int.from_bytes(self.buffer[2:at], "big")
            assert length >= least, "a length that is longer than it must be"
        self._need(at + length, end)
        payload = bytes(self.buffer[at:at + length])
        del self.buffer[:at + length]
        return first & 0x0f, payload

    def expect_frame(self, opcode, payload, timeout=None):
        got = self.read(timeout)
        assert got == (opcode, payload), (got[0], got[1][:200])

    def message(self, timeout=None):
        """The next message, "" for an empty one: of one text frame, or a line of one with several."""
        if not self.lines:
            opcode, payload = self.read(timeout)
            assert opcode == TEXT, (opcode, payload[:200])
            self.lines = payload.decode().split("\n")
        line = self.lines.pop(0)
        return json.loads(line) if line else ""

    def expect(self, type, timeout=None, **fields):
        message = self.message(timeout)
        assert message and message["type"] == type, message
        for name, value in fields.items():
            assert message.get(name) == value, (name, value, message)
        return message

    def closes(self, code, timeout=None):
        """A close frame with this code (None: without one), then FIN, and nothing between."""
        opcode, payload = self.read(timeout)
        assert opcode == CLOSE, (opcode, payload[:200])
        assert len(payload) != 1 and len(payload) <= 125
        payload[2:].decode()
        assert (int.from_bytes(payload[:2], "big") if payload else None) == code
        self.ends(timeout)

    def ends(self, timeout=None):
        """The server's end, with FIN."""
        try:
            got = self.read(timeout)
        except Closed as closed:
            assert closed.how == "fin" and not self.buffer, (closed.how, bytes(self.buffer[:200]))
            return
        raise AssertionError(f"still open: {got}")

    def quiet(self, seconds=QUIET):
        try:
            got = self.read(seconds)
        except AssertionError as error:
            assert "nothing came" in str(error)
            return
        raise AssertionError(f"came: {got}")

    # The protocol's verbs

    def hello(self, user, **fields):
        self.send(type="hello", v=1, user=user, **fields)
        self.welcome = self.expect("welcome")
        return self

    def beat(self):
        self.frame(TEXT)
        assert self.message() == ""
        return self
