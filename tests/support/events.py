"""One who follows /v1/events, as a back end would: it keeps a table, and the cursor to come back with.

Blocking, one connection at a time; every wait has an end. It holds the server to what is promised: of one user
nothing goes back in seq, and an event is never told twice."""

import json
import random
import select
import socket
import struct
import threading
import time
from urllib.parse import urlsplit

from support.mode import PATIENCE


class Ended(Exception):
    """The stream is over: `how` is 'whole' (the answer's end was told), 'fin' or 'reset'."""

    def __init__(self, how):
        super().__init__(how)
        self.how = how


class Refused(Exception):
    def __init__(self, status, body):
        super().__init__(status, body)
        self.status, self.body = status, body


def parse_event(text):
    """An event's fields, as the living standard reads them; None for a comment."""
    fields = {}
    for line in text.decode().split("\n"):
        name, _, value = line.partition(":")
        if name:
            fields[name] = value.removeprefix(" ")
    return fields or None


class Follower:
    def __init__(self, server, query="", token=None, rcvbuf=None):
        self.server, self.query, self.token, self.rcvbuf = server, query, token, rcvbuf
        self.sock = None
        self.cursor = ""  # the last id
        self.table = {}  # who is known to be there, or to have gone
        self.seqs = {}  # of each user the highest that was told
        self.states = []  # the names of events that aren't `presence`, in order
        self.n_events = self.n_connects = 0
        self.resets = []
        self.is_live = False
        self.server_event = None

    # The connection

    def connect(self, **headers):
        where = urlsplit(self.server.admin)
        self.sock = socket.socket(socket.AF_INET, socket.SOCK_STREAM)
        if self.rcvbuf:
            self.sock.setsockopt(socket.SOL_SOCKET, socket.SO_RCVBUF, self.rcvbuf)
        self.sock.settimeout(PATIENCE)
        self.sock.connect((where.hostname, where.port))
        if self.cursor:
            headers.setdefault("Last-Event-ID", self.cursor)
        if self.token:
            headers["Authorization"] = f"Bearer {self.token}"
        lines = [f"{name.replace('_', '-')}: {value}" for name, value in headers.items()]
        request = [f"GET /v1/events{self.query} HTTP/1.1", f"Host: {where.netloc}", *lines, "", ""]
        self.sock.sendall("\r\n".join(request).encode())
        self.raw, self.text, self.has_head = b"", b"", False
        self.is_whole = False
        self.n_connects += 1
        return self

    def kill(self):
        """The connection's end, by RST: what is under way is lost."""
        if self.sock:
            self.sock.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, struct.pack("ii", 1, 0))
            self.sock.close()
            self.sock = None

    def close(self):
        if self.sock:
            self.sock.close()
            self.sock = None

    def _head(self):
        head, mark, rest = self.raw.partition(b"\r\n\r\n")
        if not mark:
            return
        status = int(head.split(None, 2)[1])
        if status != 200:
            raise Refused(status, rest.decode())
        assert b"content-type: text/event-stream" in head.lower(), head
        self.has_head, self.raw = True, rest

    def _chunks(self):
        out = []
        while True:
            size, mark, rest = self.raw.partition(b"\r\n")
            if not mark:
                break
            n = int(size, 16)
            if len(rest) < n + 2:
                break
            if n == 0:
                self.is_whole = True
                break
            out.append(rest[:n])
            self.raw = rest[n + 2:]
        return b"".join(out)

    def read(self, timeout=None, size=65536):
        """What is there, or comes within the time, goes into the table; the events that came."""
        if self.is_whole:
            raise Ended("whole")
        if not select.select([self.sock], [], [], PATIENCE if timeout is None else timeout)[0]:
            return []
        try:
            data = self.sock.recv(size)
        except ConnectionResetError:
            raise Ended("reset") from None
        if not data:
            raise Ended("fin")
        self.raw += data
        if not self.has_head:
            self._head()
            if not self.has_head:
                return []
        self.text += self._chunks()
        *events, self.text = self.text.split(b"\n\n")
        return [e for e in map(self._take, events) if e]

    # The table

    def _take(self, text):
        event = parse_event(text)
        if not event:
            return None
        kind, data = event["event"], json.loads(event["data"])
        if "id" in event:
            self.cursor = event["id"]
        if kind == "presence":
            self._presence(data, "id" in event)
        else:
            self.states.append(kind)
        if kind == "server":
            if self.server_event and self.server_event["server"] != data["server"]:
                self.seqs = {}  # another start: other numbers
            self.server_event = data
        elif kind == "reset":
            assert self.cursor == ""
            self.resets.append(data["reason"])
            self.table, self.is_live = {}, False
        elif kind == "live":
            self.is_live = True
        self.n_events += 1
        return kind, data

    def _presence(self, data, has_id):
        user, seq = data["user"], data["seq"]
        # The snapshot may tell what was known; an event never what this table has already.
        known = self.table[user]["seq"] if user in self.table else -1
        assert seq > known, (seq, known, data)
        assert seq >= self.seqs.get(user, 0), (self.seqs[user], data)
        assert has_id == self.is_live
        self.seqs[user] = seq
        self.table[user] = data

    def until(self, condition, timeout=None):
        """Reads until the condition holds."""
        end = time.monotonic() + (timeout or 4 * PATIENCE)
        while not condition(self):
            assert time.monotonic() < end, (self.states, len(self.table))
            self.read(0.05)
        return self

    def until_live(self, timeout=None):
        return self.until(lambda f: f.is_live, timeout)

    def seen(self, user, state):
        return lambda f: f.is_live and f.table.get(user, {}).get("state") == state


# ---- what there is to be followed ---------------------------------------------------------------


class Churn(threading.Thread):
    """Users who change their words, come and go, each in every way that ends at once, until the server has made so many
    events. Then one comes who was never there before: whoever has seen LAST has seen it all."""

    LAST = "the-last-one"

    def __init__(self, server, n_events, n_users=100, prefix="u", seed=1, pause=0.0, n_at_once=200):
        super().__init__(daemon=True)
        self.server, self.n_events, self.n_users = server, n_events, n_users
        self.pause, self.n_at_once = pause, n_at_once  # seconds after so many changes of mind
        self.prefix, self.random = prefix, random.Random(seed)
        self.socks, self.error, self.n_lines = {}, None, 0
        self.where = urlsplit(server.url("tcp"))
        self.start()

    def _login(self, user):
        sock = socket.create_connection((self.where.hostname, self.where.port), PATIENCE)
        sock.sendall(b'{"type":"hello","v":1,"user":"%s","device":"d"}\n' % user.encode())
        sock.settimeout(PATIENCE)
        while b"\n" not in sock.recv(65536):
            pass
        sock.setblocking(False)
        self.socks[user] = sock

    def _leave(self, user):
        sock = self.socks.pop(user)
        how = self.random.randrange(3)
        if how == 0:
            sock.sendall(b'{"type":"bye"}\n')
        elif how == 1:
            sock.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, struct.pack("ii", 1, 0))
        sock.close()

    def _update(self, user):
        sock = self.socks[user]
        lines = []
        for _ in range(self.random.randrange(1, 40)):
            self.n_lines += 1
            state = self.random.choice(("online", "away", "busy", "online", "invisible"))
            lines.append(b'{"type":"update","state":"%s","status":"%d"}\n' % (state.encode(), self.n_lines))
        sock.settimeout(PATIENCE)
        sock.sendall(b"".join(lines))
        sock.setblocking(False)
        try:
            while len(sock.recv(65536)) == 65536:
                pass
        except BlockingIOError:
            pass

    def _round(self):
        for _ in range(self.n_at_once):
            user = f"{self.prefix}{self.random.randrange(self.n_users)}"
            if user not in self.socks:
                self._login(user)
            elif self.random.randrange(20) == 0:
                self._leave(user)
            else:
                self._update(user)
        if self.pause:
            time.sleep(self.pause)

    def run(self):
        try:
            while self.server.counters()["events"] < self.n_events:
                self._round()
            self._login(self.LAST)
        except Exception as error:
            self.error = error

    def finish(self):
        """All of it has been told to the server; the sessions stay until close()."""
        self.join(20 * PATIENCE)
        assert not self.is_alive() and not self.error, self.error
        return self

    def close(self):
        for sock in self.socks.values():
            sock.close()


# ---- the truth ------------------------------------------------------------------------------------


FIELDS = ("state", "reason", "seq", "at_ms", "status")


def all_users(server, query="", token=None):
    """Everybody the server knows, page by page."""
    users, cursor = {}, ""
    while cursor is not None:
        status, page = server.get(f"/v1/users?limit=1000&cursor={cursor}{query}", token=token)
        assert status == 200, page
        users.update((p["user"], p) for p in page["presences"])
        cursor = page["cursor"]
    return users


def assert_same(follower, server):
    """The follower's table is the server's, once both have heard what clients said last."""
    end = time.monotonic() + PATIENCE
    while True:
        try:
            return compare(follower, server)
        except AssertionError:
            if time.monotonic() > end:
                raise
        follower.read(0.05)


def compare(follower, server):
    """Who isn't in the follower's table is offline."""
    truth = all_users(server)
    for user, told in follower.table.items():
        real = truth.get(user)
        if real is None:  # forgotten since
            assert told["state"] == "offline", told
            continue
        assert {f: told[f] for f in FIELDS} == {f: real[f] for f in FIELDS}, (told, real)
    for user, real in truth.items():
        assert user in follower.table or real["state"] == "offline", real
    return len(truth)
