"""Many sessions in one process: log in, beat, and note every byte's time.

    python3 -m support.crowd --url tcp://198.51.100.2:7400 --n 2000 --prefix live --beat-ms 1000

Speaks JSON lines on stdout: {"ready": n, …} once all are logged in, {"beaten": n, …} once each has had a
beat answered, then {"bye": …}, {"closed": …} as they come; with --trace also each beat and answer, for processes that will be killed. Takes commands on
stdin, one a line: `dump PATH` writes {"sent": [[seconds…]…], "answered": [n…]} (CLOCK_MONOTONIC, just
before each send), `mute N` lets the first N sessions fall silent, `stop` says bye nowhere and exits.

An answer belongs to the oldest beat that has none, so that a test can tell which beats surely arrived."""

import argparse
import heapq
import json
import math
import os
import select
import socket
import subprocess
import sys
import threading
import time
from urllib.parse import urlsplit

MAX_CONNECTING = 200
EMPTY_LINE = b"\n"


class Session:
    __slots__ = ("index", "sock", "tail", "sent", "answered", "is_welcome", "is_open", "is_muted", "events")

    def __init__(self, index, sock):
        self.index, self.sock = index, sock
        self.tail = b""
        self.sent, self.answered = [], 0
        self.is_welcome, self.is_open, self.is_muted = False, True, False
        self.events = 0


class Crowd:
    def __init__(self, options):
        self.options = options
        where = urlsplit(options.url)
        if where.scheme == "unix":
            self.family, self.address = socket.AF_UNIX, where.path
        else:
            self.family = socket.AF_INET6 if ":" in where.hostname else socket.AF_INET
            self.address = (where.hostname, where.port)
        self.poll = select.epoll()
        self.sessions, self.by_fd = [], {}
        self.heap = []
        self.beat_s = options.beat_ms / 1000
        self.n_ready = self.n_beaten = self.n_closed = 0
        self.is_over = False
        self.last_words = {}

    def say(self, **fields):
        sys.stdout.write(json.dumps(fields) + "\n")
        sys.stdout.flush()

    def connect(self):
        sock = socket.socket(self.family, socket.SOCK_STREAM)
        if self.family != socket.AF_UNIX:
            sock.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)
        sock.settimeout(20)
        sock.connect(self.address)
        sock.setblocking(False)
        session = Session(len(self.sessions), sock)
        self.sessions.append(session)
        self.by_fd[sock.fileno()] = session
        self.poll.register(sock.fileno(), select.EPOLLIN)
        o = self.options
        hello = {"type": "hello", "v": 1, "user": f"{o.prefix}{session.index}", "device": o.device,
                 "heartbeat_ms": o.heartbeat_ms}
        lines = [hello]
        if o.watch:
            lines.append({"type": "watch", "id": 0, "users": o.watch.split(",")})
        sock.send(b"".join(json.dumps(line).encode() + b"\n" for line in lines))

    def close(self, session, how):
        session.is_open = False
        self.n_closed += 1
        self.by_fd.pop(session.sock.fileno(), None)
        session.sock.close()
        self.say(closed=session.index, how=how, at=time.monotonic())

    def read(self, session):
        try:
            data = session.sock.recv(16384)
        except BlockingIOError:
            return
        except OSError as error:
            self.close(session, str(error))
            return
        if not data:
            self.close(session, "fin")
            return
        if session.is_welcome and self.options.watch:
            told = data.count(b'"presence"')
            if told:
                session.events += told
                self.last_words[session.index] = data[-400:]
            return
        lines = (session.tail + data).split(EMPTY_LINE)
        session.tail = lines.pop()
        for line in lines:
            if not line:
                session.answered += 1
                self.n_beaten += session.answered == 1
                if session.answered == 1 and self.n_beaten == self.options.n:
                    self.say(beaten=self.n_beaten, at=time.monotonic())
                if self.options.trace:
                    self.say(answered=session.index, n=session.answered)
            else:
                self.message(session, line)

    def message(self, session, line):
        message = json.loads(line)
        kind = message["type"]
        if kind == ("watching" if self.options.watch else "welcome"):
            session.is_welcome = True
            self.n_ready += 1
            if self.options.beat_ms:
                # Spread over the beat, so that a crowd is no drum; or into a part of it, so that it is one.
                part = session.index * 7919 % 1000 / 1000 * self.options.spread
                first = math.ceil(time.monotonic() / self.beat_s) * self.beat_s + self.beat_s * part
                heapq.heappush(self.heap, (first, session.index))
        elif kind == "welcome":
            pass
        elif kind == "presence":
            session.events += 1
        else:
            self.say(**{kind: session.index, "message": message, "at": time.monotonic()})

    def beat(self, now):
        while self.heap and self.heap[0][0] <= now:
            due, index = heapq.heappop(self.heap)
            session = self.sessions[index]
            if not session.is_open or session.is_muted:
                continue
            at = time.monotonic()
            try:
                session.sock.send(EMPTY_LINE)
            except BlockingIOError:
                pass
            except OSError as error:
                self.close(session, str(error))
                continue
            session.sent.append(at)
            if self.options.trace:
                self.say(sent=index, at=at)
            heapq.heappush(self.heap, (due + self.beat_s, index))

    def command(self, line):
        words = line.split()
        if not words or words[0] == "stop":
            self.is_over = True
        elif words[0] == "dump":
            with open(words[1] + ".part", "w", encoding="ascii") as out:
                json.dump({"sent": [s.sent for s in self.sessions], "answered": [s.answered for s in self.sessions],
                           "events": [s.events for s in self.sessions], "closed": self.n_closed,
                           "last": {k: v.decode("utf-8", "replace") for k, v in self.last_words.items()}}, out)
            os.rename(words[1] + ".part", words[1])
            self.say(dumped=words[1])
        elif words[0] == "mute":
            for session in self.sessions[:int(words[1])]:
                session.is_muted = True
            self.say(muted=int(words[1]), at=time.monotonic())

    def run(self):
        self.poll.register(sys.stdin.fileno(), select.EPOLLIN)
        is_told = False
        while not self.is_over:
            n = self.options.n
            while len(self.sessions) < n and len(self.sessions) - self.n_ready < MAX_CONNECTING:
                self.connect()
                if len(self.sessions) % 16 == 0:
                    break
            if self.n_ready == n and not is_told:
                is_told = True
                self.say(ready=n, at=time.monotonic())
            now = time.monotonic()
            wait = 1.0 if not self.heap else max(0.0, self.heap[0][0] - now)
            if len(self.sessions) < n and len(self.sessions) - self.n_ready < MAX_CONNECTING:
                wait = 0
            for fd, _ in self.poll.poll(wait, 1024):
                if fd == sys.stdin.fileno():
                    self.command(sys.stdin.readline())
                elif fd in self.by_fd:
                    self.read(self.by_fd[fd])
            self.beat(time.monotonic())


def flood(options):
    """One connection that beats as fast as it is answered, without a pause."""
    where = urlsplit(options.url)
    sock = socket.create_connection((where.hostname, where.port))
    hello = {"type": "hello", "v": 1, "user": options.prefix + "0", "device": "flood"}
    sock.sendall(json.dumps(hello).encode() + EMPTY_LINE)
    sock.setblocking(False)
    poll = select.epoll()
    poll.register(sock.fileno(), select.EPOLLIN | select.EPOLLOUT)
    poll.register(sys.stdin.fileno(), select.EPOLLIN)
    chunk, total = EMPTY_LINE * 8192, 0
    sys.stdout.write('{"ready": 1}\n')
    sys.stdout.flush()
    while True:
        for fd, what in poll.poll(5):
            if fd == sys.stdin.fileno():
                return
            try:
                if what & select.EPOLLIN:
                    data = sock.recv(1 << 20)
                    if not data:
                        sys.stdout.write('{"closed": 0, "how": "fin"}\n')
                        return
                if what & select.EPOLLOUT:
                    total += sock.send(chunk)
            except BlockingIOError:
                pass


def main():
    parser = argparse.ArgumentParser()
    parser.add_argument("--url", required=True)
    parser.add_argument("--n", type=int, default=1)
    parser.add_argument("--prefix", default="crowd")
    parser.add_argument("--device", default="d")
    parser.add_argument("--heartbeat-ms", type=int, default=1000)
    parser.add_argument("--beat-ms", type=int, default=1000, help="0: never")
    parser.add_argument("--spread", type=float, default=1.0, help="part of a beat that the first beats fill")
    parser.add_argument("--watch", default="", help="user ids, by comma, that each session watches")
    parser.add_argument("--trace", action="store_true")
    parser.add_argument("--flood", action="store_true")
    options = parser.parse_args()
    if options.flood:
        flood(options)
    else:
        Crowd(options).run()


class Process:
    """A crowd in a process of its own, in a namespace of its own where told so."""

    def __init__(self, url, n=1, namespace=None, module="support.crowd", **options):
        from support import lab
        enter = ["nsenter", f"--net={lab.NETNS}/{namespace}"] if namespace else []
        args = []
        for name, value in options.items():
            flag = "--" + name.replace("_", "-")
            args += [flag] if value is True else [flag, str(value)]
        here = os.path.dirname(os.path.dirname(os.path.abspath(__file__)))
        self.process = subprocess.Popen(
            [*enter, sys.executable, "-S", "-m", module, "--url", url, "--n", str(n), *args],
            stdin=subprocess.PIPE, stdout=subprocess.PIPE, cwd=here, env={**os.environ, "PYTHONDONTWRITEBYTECODE": "1"})
        self.pid, self.n = self.process.pid, n
        self.said = []
        self._changed = threading.Condition()
        self._is_over = False
        self._thread = threading.Thread(target=self._read, daemon=True)
        self._thread.start()

    def _read(self):
        for line in self.process.stdout:
            try:
                said = json.loads(line)
            except ValueError:
                continue  # cut short by a kill
            with self._changed:
                self.said.append(said)
                self._changed.notify_all()
        with self._changed:
            self._is_over = True
            self._changed.notify_all()

    def wait_for(self, key, timeout=60, n=1):
        """Until the crowd has said n lines with this key: the last of them."""
        end = time.monotonic() + timeout
        with self._changed:
            while True:
                found = [said for said in self.said if key in said]
                if len(found) >= n:
                    return found[n - 1]
                left = end - time.monotonic()
                assert left > 0 and not self._is_over, f"no {key!r} from the crowd; it said {self.said[-5:]}"
                self._changed.wait(left)

    def all_said(self, key):
        with self._changed:
            return [said for said in self.said if key in said]

    def tell(self, command):
        self.process.stdin.write(command.encode() + b"\n")
        self.process.stdin.flush()

    def dump(self, path):
        before = len(self.all_said("dumped"))
        self.tell(f"dump {path}")
        self.wait_for("dumped", n=before + 1)
        with open(path, encoding="ascii") as dumped:
            return json.load(dumped)

    def traced(self):
        """Of one session: the times of its beats and how many were answered, as printed so far."""
        return ([s["at"] for s in self.all_said("sent")], len(self.all_said("answered")))

    def stop(self):
        if self.process.poll() is None:
            self.process.send_signal(18)  # SIGCONT: a stopped process reads no word
            try:
                self.tell("stop")
                self.process.wait(5)
            except (BrokenPipeError, subprocess.TimeoutExpired):
                self.process.kill()
        self.kill()

    def kill(self):
        if self.process.poll() is None:
            self.process.kill()
        self.process.wait()
        self._thread.join(5)
        for stream in (self.process.stdin, self.process.stdout):
            try:
                stream.close()
            except BrokenPipeError:
                pass


if __name__ == "__main__":
    main()
