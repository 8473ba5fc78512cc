"""A client that comes in by any door: tcp, tls, ws, wss, with a PROXY header before it or without.

The verbs are those of support.client; a WebSocket's text messages are told apart into lines as PROTOCOL.md has
it. Frames are put together byte by byte, so that a test sees what is really on the wire."""

import base64
import contextlib
import hashlib
import os
import select
import socket
import ssl
import struct
import sys
import time
from urllib.parse import urlsplit

from support import lab
from support.client import Client, Closed
from support.frames import CLOSE, PING, PONG, TEXT, frame
from support.mode import PATIENCE

GUID = b"258EAFA5-E914-47DA-95CA-C5AB0DC85B11"


def proxy_v1(source, port=5000):
    family = "TCP6" if ":" in source else "TCP4"
    return f"PROXY {family} {source} {source} {port} 7400\r\n".encode()


def proxy_v2(source=None, port=5000):
    """None: the proxy's own connection (LOCAL)."""
    start = b"\r\n\r\n\0\r\nQUIT\n"
    if source is None:
        return start + struct.pack(">BBH", 0x20, 0, 0)
    family = socket.AF_INET6 if ":" in source else socket.AF_INET
    packed = socket.inet_pton(family, source)
    body = packed + packed + struct.pack(">HH", port, 7400)
    return start + struct.pack(">BBH", 0x21, 0x21 if family == socket.AF_INET6 else 0x11, len(body)) + body


class Refused(Exception):
    """No WebSocket: the status and what was said with it."""

    def __init__(self, status, text):
        super().__init__(f"{status}: {text}")
        self.status, self.text = status, text


class DoorClient(Client):
    """`tls` is an SSL context; `source` the address it comes from; `proxy` bytes to send first."""

    def __init__(self, url, tls=None, source=None, proxy=b"", origin=None, namespace=None, session=None,
                 do_upgrade=True, rcvbuf=None):
        where = urlsplit(url)
        self.is_web = where.scheme in ("ws", "wss")
        self.pongs, self.pings, self.close_code, self.frames = True, [], None, bytearray()
        with lab.inside(namespace):
            self.sock = socket.socket(socket.AF_INET6 if ":" in where.hostname else socket.AF_INET)
        self.sock.settimeout(PATIENCE)
        self.sock.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)
        if rcvbuf:
            self.sock.setsockopt(socket.SOL_SOCKET, socket.SO_RCVBUF, rcvbuf)
        if source:
            self.sock.bind((source, 0))
        self.sock.connect((where.hostname, where.port))
        self.buffer, self.lines, self.welcome, self.next_id, self.sent_at = bytearray(), [], None, 0, None
        if proxy:
            self.sock.sendall(proxy)
        if where.scheme in ("tls", "wss"):
            try:
                self.sock = tls.wrap_socket(self.sock, server_hostname=where.hostname, session=session)
            except BaseException:
                self.sock.close()
                raise
        if self.is_web and do_upgrade:
            try:
                self._upgrade(where, origin)
            except BaseException:
                self.sock.close()
                raise

    def _upgrade(self, where, origin):
        key = base64.b64encode(os.urandom(16))
        head = [f"GET {where.path or '/'} HTTP/1.1", f"Host: {where.netloc}", "Upgrade: websocket",
                "Connection: Upgrade", f"Sec-WebSocket-Key: {key.decode()}", "Sec-WebSocket-Version: 13",
                "Sec-WebSocket-Protocol: presence.v1", *([f"Origin: {origin}"] if origin else [])]
        self.sock.sendall("\r\n".join(head).encode() + b"\r\n\r\n")
        answer = b""
        while b"\r\n\r\n" not in answer:
            data = self._receive()
            if not data:
                raise Refused(0, "closed")
            answer += data
        answer, rest = answer.split(b"\r\n\r\n", 1)
        status = int(answer.split()[1])
        if status != 101:
            raise Refused(status, (answer + rest).decode("utf-8", "replace"))
        accept = base64.b64encode(hashlib.sha1(key + GUID).digest())
        assert accept in answer and b"presence.v1" in answer, answer
        self.frames += rest

    def raw(self, data):
        if self.is_web:
            assert data.endswith(b"\n"), "a WebSocket's message is whole"
            data = frame(TEXT, data[:-1], mask=os.urandom(4))
        return self.bare(data)

    def bare(self, data):
        """Bytes as they are, behind TLS where there is TLS."""
        self.sent_at = time.monotonic()
        self.sock.sendall(data)
        return self

    def _receive(self):
        try:
            return self.sock.recv(262144)
        except ConnectionResetError:
            raise Closed("reset") from None

    def _fill(self, end):
        if self.frames and self._take_frames(time.monotonic()):
            return True
        has_more = getattr(self.sock, "pending", lambda: 0)() > 0
        if not has_more and not select.select([self.sock], [], [], max(0, end - time.monotonic()))[0]:
            return False
        data = self._receive()
        at = time.monotonic()
        if not data:
            raise Closed("fin")
        if self.is_web:
            self.frames += data
            self._take_frames(at)
        else:
            *whole, rest = bytes(self.buffer + data).split(b"\n")
            self.buffer = bytearray(rest)
            self.lines += [(line, at) for line in whole]
        return True

    def _take_frames(self, at):
        n_taken = 0
        while len(self.frames) >= 2:
            length, head = self.frames[1], 2
            assert length < 128, "a server does not mask"
            if length >= 126:
                head = 4 if length == 126 else 10
                if len(self.frames) < head:
                    break
                length = int.from_bytes(self.frames[2:head], "big")
            if len(self.frames) < head + length:
                break
            first, payload = self.frames[0], bytes(self.frames[head:head + length])
            del self.frames[:head + length]
            n_taken += 1
            self._take_frame(first, payload, at)
        return n_taken > 0

    def _take_frame(self, first, payload, at):
        assert first & 0x70 == 0 and first & 0x80, f"a fragment, or reserved bits: {first:#x}"
        opcode = first & 0x0F
        if opcode == TEXT:
            self.lines += [(line, at) for line in payload.split(b"\n")]
        elif opcode == PING:
            self.pings.append(at)
            if self.pongs:
                self.sock.sendall(frame(PONG, payload, mask=os.urandom(4)))
        elif opcode == CLOSE:
            self.close_code = int.from_bytes(payload[:2], "big")
        else:
            assert opcode == PONG, opcode

    def shut(self):
        socket.socket.shutdown(self.sock, socket.SHUT_WR)  # the TCP connection's, with no word of TLS


def flood(url, cafile):
    """Logs in and beats as fast as the server takes it and answers, without a pause. Says so when it begins."""
    context = ssl.create_default_context(cafile=cafile)
    client = DoorClient(url, tls=context).hello(f"flood.{url}")
    sock, beats = client.sock, memoryview(frame(TEXT, b"", mask=b"mask") * 4096 if client.is_web else b"\n" * 16384)
    sock.setblocking(False)
    print("flooding", flush=True)
    at, later = 0, (BlockingIOError, ssl.SSLWantReadError, ssl.SSLWantWriteError)
    while True:
        select.select([sock], [sock], [])
        with contextlib.suppress(*later):
            if not sock.recv(1 << 20):
                return
        with contextlib.suppress(*later):
            at = (at + sock.send(beats[at:])) % len(beats)


if __name__ == "__main__":
    flood(*sys.argv[1:])
