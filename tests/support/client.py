"""A client that says exactly what a test tells it to, and notes when each line arrived.

Blocking, one connection. Every wait has an end. Times are CLOCK_MONOTONIC seconds, taken as the
bytes leave the kernel."""

import json
import select
import socket
import struct
import threading
import time
from urllib.parse import urlsplit

from support import lab
from support.mode import PATIENCE, QUIET

EMPTY = ""


class Closed(Exception):
    """The server ended the connection: `how` is 'fin' or 'reset'."""

    def __init__(self, how):
        super().__init__(how)
        self.how = how


class Message(dict):
    """A message, and the moment at which it came."""

    at = 0.0


def connect(url, namespace=None, rcvbuf=None, timeout=None):
    where = urlsplit(url)
    with lab.inside(namespace):
        if where.scheme == "unix":
            sock = socket.socket(socket.AF_UNIX, socket.SOCK_STREAM)
            address = where.path
        else:
            family = socket.AF_INET6 if ":" in where.hostname else socket.AF_INET
            sock = socket.socket(family, socket.SOCK_STREAM)
            address = (where.hostname, where.port)
    if rcvbuf:
        sock.setsockopt(socket.SOL_SOCKET, socket.SO_RCVBUF, rcvbuf)
    sock.settimeout(timeout or PATIENCE)
    sock.connect(address)
    if where.scheme != "unix":
        sock.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)
    return sock


class Client:
    def __init__(self, url, namespace=None, rcvbuf=None):
        self.sock = connect(url, namespace, rcvbuf)
        self.buffer = bytearray()
        self.lines = []
        self.welcome = None
        self.next_id = 0
        self.sent_at = None  # just before the last byte was given to the kernel

    def __enter__(self):
        return self

    def __exit__(self, *_):
        self.close()

    # Out

    def raw(self, data):
        self.sent_at = time.monotonic()
        self.sock.sendall(data)
        return self

    def send(self, message=None, **fields):
        """One message: an object as it is, or fields of one."""
        return self.raw(json.dumps(message if message is not None else fields).encode() + b"\n")

    # In

    def _fill(self, end):
        left = end - time.monotonic()
        if not select.select([self.sock], [], [], max(0, left))[0]:
            return False
        try:
            data = self.sock.recv(262144)
        except ConnectionResetError:
            raise Closed("reset") from None
        at = time.monotonic()
        if not data:
            raise Closed("fin")
        self.buffer += data
        *whole, rest = bytes(self.buffer).split(b"\n")
        self.buffer = bytearray(rest)
        self.lines += [(line, at) for line in whole]
        return True

    def line(self, timeout=None):
        """The next line as bytes and its time; None where none came."""
        end = time.monotonic() + (PATIENCE if timeout is None else timeout)
        while not self.lines:
            if not self._fill(end) and time.monotonic() >= end:
                return None
        return self.lines.pop(0)

    def maybe(self, timeout=None):
        """The next message, EMPTY for an empty line, None where none came."""
        got = self.line(timeout)
        if got is None:
            return None
        line, at = got
        if not line:
            return EMPTY
        message = Message(json.loads(line))
        message.at = at
        return message

    def recv(self, timeout=None):
        message = self.maybe(timeout)
        assert message is not None, "nothing came"
        return message

    def expect(self, type, timeout=None, **fields):
        """The next message must be this one, with at least these fields."""
        message = self.recv(timeout)
        assert message != EMPTY, f"an empty line in place of {type}"
        assert message["type"] == type, message
        for name, value in fields.items():
            assert name in message and message[name] == value, (name, value, message)
        return message

    def event(self, user=None, state=None, reason=None, timeout=None, **fields):
        if user is not None:
            fields["user"] = user
        if state is not None:
            fields["state"] = state
        if reason is not None:
            fields["reason"] = reason
        return self.expect("presence", timeout, **fields)

    def error(self, code, **fields):
        message = self.expect("error", code=code, **fields)
        assert message.get("message"), message
        return message

    def quiet(self, seconds=None):
        """Nothing may come for this long."""
        message = self.maybe(QUIET if seconds is None else seconds)
        assert message is None, message

    def ended(self, how=None, timeout=None):
        """The server closes, and says nothing more before."""
        try:
            message = self.maybe(timeout)
        except Closed as closed:
            assert how is None or closed.how == how, closed.how
            return closed.how
        raise AssertionError(f"still open: {message}")

    def drain(self, timeout=None):
        """All that still comes until the server closes."""
        messages = []
        try:
            while True:
                message = self.maybe(timeout)
                assert message is not None, "still open"
                messages.append(message)
        except Closed:
            return messages

    # The protocol's verbs

    def hello(self, user, device=None, **fields):
        if device is not None:
            fields["device"] = device
        self.send(type="hello", v=1, user=user, **fields)
        self.welcome = self.expect("welcome")
        return self

    def request(self, type, reply, **fields):
        """A request with an id, and its reply, put together where it comes in parts. What else comes before
        the reply is kept for later."""
        self.next_id += 1
        self.send(type=type, id=self.next_id, **fields)
        kept, whole = [], None
        while True:
            line, at = self.line() or (None, None)
            assert line is not None, f"no reply to {type}"
            message = json.loads(line) if line else {}
            if message.get("id") != self.next_id:
                kept.append((line, at))
                continue
            assert message["type"] == reply, message
            if whole is None:
                whole = message
            else:
                whole["presences"] += message["presences"]
            if not message.get("more"):
                break
        self.lines = kept + self.lines
        return whole

    def watch(self, *users):
        return self.request("watch", "watching", users=list(users))["presences"]

    def unwatch(self, *users):
        return self.request("unwatch", "unwatched", users=list(users))["count"]

    def query(self, *users):
        return self.request("query", "presences", users=list(users))["presences"]

    def look(self, user):
        return self.query(user)[0]

    def update(self, **fields):
        return self.request("update", "updated", **fields)

    def beat(self):
        """One heartbeat; seconds until its answer."""
        began = time.monotonic()
        self.raw(b"\n")
        assert self.recv() == EMPTY
        return time.monotonic() - began

    def bye(self):
        self.send(type="bye")
        self.expect("bye", reason="logout")
        self.ended()
        self.close()

    # Ends

    def shut(self):
        self.sock.shutdown(socket.SHUT_WR)

    def reset(self):
        """Ends it with RST."""
        self.sock.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, struct.pack("ii", 1, 0))
        self.sock.close()

    def close(self):
        self.sock.close()


class Listener:
    """Reads a client's messages in a thread that does nothing else, so that each has its true time of
    arrival whatever the test does meanwhile. Beats, so that the client lives."""

    def __init__(self, client, beat_every=1.0):
        self.client = client
        self.messages = []
        self.closed = None
        self._chunks = [(b"\n".join([line for line, _ in client.lines] + [bytes(client.buffer)]), time.monotonic())]
        self._tail = b""
        self._changed = threading.Condition()
        self._stop = threading.Event()
        self._beat_every = beat_every
        self._thread = threading.Thread(target=self._run, daemon=True)
        self._thread.start()

    def _run(self):
        sock, next_beat = self.client.sock, time.monotonic()
        while not self._stop.is_set():
            try:
                if time.monotonic() >= next_beat:
                    sock.sendall(b"\n")
                    next_beat = time.monotonic() + self._beat_every
                wait = min(0.2, max(0.0, next_beat - time.monotonic()))
                data = sock.recv(1 << 20) if select.select([sock], [], [], wait)[0] else None
                at = time.monotonic()
            except OSError as error:
                data, at = b"", time.monotonic()
                self.closed = Closed(str(error))
            if data is None:
                continue
            with self._changed:
                if data:
                    self._chunks.append((data, at))
                else:
                    self.closed = self.closed or Closed("fin")
                self._changed.notify_all()
            if not data:
                return

    def _parse(self):
        with self._changed:
            chunks, self._chunks = self._chunks, []
        for data, at in chunks:
            *lines, self._tail = (self._tail + data).split(b"\n")
            for line in lines:
                if line:
                    message = Message(json.loads(line))
                    message.at = at
                    self.messages.append(message)

    def events(self, **fields):
        """The presence events so far that have these fields."""
        self._parse()
        return [m for m in self.messages if m["type"] == "presence" and all(m.get(k) == v for k, v in fields.items())]

    def wait(self, n, timeout, **fields):
        """Until n such events have come, or the time is over: those that came."""
        end = time.monotonic() + timeout
        while True:
            found = self.events(**fields)
            left = end - time.monotonic()
            if len(found) >= n or left <= 0 or self.closed:
                return found
            with self._changed:
                if not self._chunks:
                    self._changed.wait(min(left, 0.25))

    def stop(self):
        self._stop.set()
        self._thread.join(PATIENCE)
        self.client.close()
