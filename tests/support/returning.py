"""Many sessions in one process that come back whenever their connection ends, and note what they are told of each other.

    python3 -m support.returning --url tcp://127.0.0.1:7400 --n 1000 --prefix live --watch-next 3

Session i watches the next ones of its crowd, and the first ten watch --also too. Who is told bye comes back after its
retry_ms, else after a moment at random up to --back-ms. Speaks JSON lines on stdout: {"ready": n, "round": r} whenever all
are logged in and have their answer to the watch, the first time and after each end. Takes commands on stdin: `dump PATH`,
`stop`.

The dump: "beats" of each session, Unix seconds just before the last beat that was answered was sent; "offline", every
word of somebody being offline, in an event or a snapshot: [watcher, user, reason, at_ms, last_seen_ms, how]; "events", how
many presence events came; "reconnecting", snapshots that said so; "resumed", how many welcomes did; "retries", the
retry_ms told; "first", what each session was told first of each user after it came back last."""

import argparse
import heapq
import json
import os
import random
import select
import socket
import sys
import time
from urllib.parse import urlsplit

MAX_CONNECTING = 200
ALSO = 10  # so many sessions watch the others too


class Session:
    __slots__ = ("index", "sock", "tail", "sent", "beat", "is_ready", "retry_ms")

    def __init__(self, index):
        self.index, self.sock, self.tail = index, None, b""
        self.sent = []  # beats that have no answer yet
        self.beat = 0.0
        self.is_ready, self.retry_ms = False, None


class Returning:
    def __init__(self, options):
        self.options = options
        where = urlsplit(options.url)
        self.address = (where.hostname, where.port)
        self.poll = select.epoll()
        self.sessions = [Session(i) for i in range(options.n)]
        self.by_fd = {}
        self.heap = []
        self.n_ready, self.n_connecting, self.round = 0, 0, 0
        self.is_over = False
        self.offline, self.retries = [], []
        self.n_events = self.n_reconnecting = self.n_resumed = 0
        now = time.monotonic()
        for session in self.sessions:
            heapq.heappush(self.heap, (now, session.index, "connect"))

    def say(self, **fields):
        sys.stdout.write(json.dumps(fields) + "\n")
        sys.stdout.flush()

    def name(self, i):
        return f"{self.options.prefix}{i % self.options.n}"

    def connect(self, session):
        o = self.options
        sock = socket.socket()
        sock.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)
        sock.settimeout(20)
        try:
            sock.connect(self.address)
        except OSError:
            sock.close()
            self.later(session, random.uniform(0.02, 0.1))
            return
        sock.setblocking(False)
        session.sock, session.tail, session.sent, session.is_ready = sock, b"", [], False
        self.by_fd[sock.fileno()] = session
        self.poll.register(sock.fileno(), select.EPOLLIN)
        self.n_connecting += 1
        users = [self.name(session.index + 1 + k) for k in range(o.watch_next)]
        if session.index < ALSO and o.also:
            users += o.also.split(",")
        lines = [{"type": "hello", "v": 1, "user": self.name(session.index), "device": "d",
                  "heartbeat_ms": o.heartbeat_ms},
                 {"type": "watch", "id": 0, "users": users}]
        self.send(session, b"".join(json.dumps(line).encode() + b"\n" for line in lines))

    def later(self, session, seconds):
        heapq.heappush(self.heap, (time.monotonic() + seconds, session.index, "connect"))

    def send(self, session, data):
        try:
            session.sock.send(data)
        except BlockingIOError:
            pass
        except OSError:
            pass  # its end comes by the read

    def lose(self, session):
        self.by_fd.pop(session.sock.fileno(), None)
        session.sock.close()
        session.sock = None
        if session.is_ready:
            self.n_ready -= 1
        else:
            self.n_connecting -= 1
        session.is_ready = False
        if self.options.stays_away:
            return
        wait = random.uniform(0, self.options.back_ms) if session.retry_ms is None else session.retry_ms
        session.retry_ms = None
        self.later(session, wait / 1000)

    def read(self, session):
        try:
            data = session.sock.recv(65536)
        except BlockingIOError:
            return
        except OSError:
            data = b""
        if not data:
            self.lose(session)
            return
        *lines, session.tail = (session.tail + data).split(b"\n")
        for line in lines:
            if line:
                self.message(session, json.loads(line))
            elif session.sent:
                session.beat = session.sent.pop(0)

    def told(self, session, presence, how):
        if presence["state"] == "offline" and presence["reason"] != "unknown":
            self.offline.append([session.index, presence["user"], presence["reason"], presence["at_ms"],
                                 presence["last_seen_ms"], how])
        self.n_reconnecting += bool(presence.get("reconnecting"))

    def message(self, session, message):
        kind = message["type"]
        if kind == "welcome":
            self.n_resumed += message["resumed"]
        elif kind == "watching":
            for presence in message["presences"]:
                self.told(session, presence, "snapshot")
            session.is_ready = True
            self.n_ready += 1
            self.n_connecting -= 1
            first = time.monotonic() + self.options.beat_ms / 1000 * random.random()
            heapq.heappush(self.heap, (first, session.index, session.sock))
            if self.n_ready == self.options.n:
                self.round += 1
                self.say(ready=self.n_ready, round=self.round, at=time.monotonic())
        elif kind == "presence":
            self.n_events += 1
            self.told(session, message, "event")
        elif kind == "bye":
            session.retry_ms = message.get("retry_ms")
            self.retries.append(session.retry_ms)
        else:
            self.say(**{kind: session.index, "message": message})

    def due(self, now):
        while self.heap and self.heap[0][0] <= now:
            if self.heap[0][2] == "connect" and self.n_connecting >= MAX_CONNECTING:
                return
            due, index, what = heapq.heappop(self.heap)
            session = self.sessions[index]
            if what == "connect":
                self.connect(session)
            elif what is session.sock:
                session.sent.append(time.time())
                self.send(session, b"\n")
                heapq.heappush(self.heap, (due + self.options.beat_ms / 1000, index, what))

    def command(self, line):
        words = line.split()
        if not words or words[0] == "stop":
            self.is_over = True
        elif words[0] == "dump":
            with open(words[1] + ".part", "w", encoding="ascii") as out:
                json.dump({"beats": [s.beat for s in self.sessions], "offline": self.offline, "events": self.n_events,
                           "reconnecting": self.n_reconnecting, "resumed": self.n_resumed,
                           "retries": self.retries}, out)
            os.rename(words[1] + ".part", words[1])
            self.say(dumped=words[1])

    def run(self):
        self.poll.register(sys.stdin.fileno(), select.EPOLLIN)
        while not self.is_over:
            self.due(time.monotonic())
            wait = 1.0 if not self.heap else min(1.0, max(0.0, self.heap[0][0] - time.monotonic()))
            if self.n_connecting >= MAX_CONNECTING:
                wait = max(wait, 0.01)
            for fd, _ in self.poll.poll(wait, 1024):
                if fd == sys.stdin.fileno():
                    self.command(sys.stdin.readline())
                elif fd in self.by_fd:
                    self.read(self.by_fd[fd])


def main():
    parser = argparse.ArgumentParser()
    parser.add_argument("--url", required=True)
    parser.add_argument("--n", type=int, default=1)
    parser.add_argument("--prefix", default="live")
    parser.add_argument("--heartbeat-ms", type=int, default=1000)
    parser.add_argument("--beat-ms", type=int, default=500)
    parser.add_argument("--watch-next", type=int, default=3)
    parser.add_argument("--also", default="", help="user ids, by comma")
    parser.add_argument("--back-ms", type=int, default=500)
    parser.add_argument("--stays-away", action="store_true", help="does not come back")
    Returning(parser.parse_args()).run()


if __name__ == "__main__":
    main()
