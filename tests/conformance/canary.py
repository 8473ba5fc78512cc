"""Fifty honest sessions that beat beside all that goes on, and say how it was.

    python3 canary.py CERT SECONDS-BETWEEN-BEATS TOKEN-FILE URL...

The sessions take turns with the URLs (tcp, tls, ws, wss) and with the tokens in the file, a line each. Says
{"ready": n} once all are logged in. Each line on stdin is answered with one of JSON: what was since the one before.

A process of its own, so that what a test does meanwhile delays nothing that is measured here."""

import heapq
import json
import os
import pathlib
import select
import ssl
import subprocess
import sys
import time

sys.path.insert(0, str(pathlib.Path(__file__).resolve().parents[1]))

from support.frames import PONG, TEXT, frame  # noqa: E402
from web import Web, dial  # noqa: E402

N = 50
ADDRESS = "127.0.1.1"
NO_MORE = (BlockingIOError, ssl.SSLWantReadError)


class Session:
    def __init__(self, number, url, cert, token):
        hello = json.dumps({"type": "hello", "v": 1, "device": f"canary {number}", "token": token})
        self.url, self.is_web = url, url.startswith("ws")
        if self.is_web:
            web = Web(url, cert, source=ADDRESS)
            web.text(hello).expect("welcome")
            self.sock, self.beat = web.sock, frame(TEXT)
        else:
            self.sock, self.beat = dial(url, cert, source=ADDRESS), b"\n"
            self.sock.sendall(hello.encode() + b"\n")
            answer = b""
            while not answer.endswith(b"\n"):
                answer += self.sock.recv(4096)
            assert b'"welcome"' in answer, answer
        self.sock.setblocking(False)
        self.sent = []
        self.tail = b""

    def count_answers(self, data):
        """How many answers these bytes are; None if there is something else among them."""
        if not self.is_web:
            return len(data) if data.strip(b"\n") == b"" else None
        data, n = self.tail + data, 0
        while len(data) >= 2:
            if data[:2] == b"\x89\x00":  # a ping
                self.sock.send(frame(PONG))
            elif data[:2] == b"\x81\x00":
                n += 1
            else:
                return None
            data = data[2:]
        self.tail = data
        return n


class Canaries:
    def __init__(self, cert, every, tokens, urls):
        self.every = every
        self.sessions = [Session(i, urls[i % len(urls)], cert, tokens[i % len(tokens)]) for i in range(N)]
        self.by_fd = {s.sock.fileno(): s for s in self.sessions}
        self.poll = select.epoll()
        for fd in self.by_fd:
            self.poll.register(fd, select.EPOLLIN)
        self.poll.register(0, select.EPOLLIN)
        now = time.monotonic()
        self.due = [(now + every * i / N, i) for i in range(N)]
        self.times, self.errors = [], []

    def lose(self, session, why):
        self.errors.append(f"{session.url}: {why}")
        self.poll.unregister(session.sock.fileno())
        del self.by_fd[session.sock.fileno()]

    def read(self, session):
        while True:
            try:
                data = session.sock.recv(65536)
            except NO_MORE:
                return
            except OSError as error:
                self.lose(session, str(error))
                return
            now = time.monotonic()
            n = session.count_answers(data) if data else None
            if n is None:
                self.lose(session, f"ended: {data[:300]!r}")
                return
            for _ in range(n):
                self.times.append(now - session.sent.pop(0))

    def report(self):
        times, self.times = sorted(self.times), []
        errors, self.errors = self.errors, []
        oldest = [time.monotonic() - s.sent[0] for s in self.sessions if s.sent and s.sock.fileno() in self.by_fd]
        at = lambda share: times[min(len(times) - 1, int(len(times) * share))] if times else None
        print(json.dumps({"n": len(times), "p50": at(0.5), "p99": at(0.99), "max": at(1), "errors": errors,
                          "oldest": max(oldest, default=0), "live": len(self.by_fd)}), flush=True)

    def run(self):
        print(json.dumps({"ready": len(self.sessions)}), flush=True)
        while True:
            now = time.monotonic()
            while self.due[0][0] <= now:
                at, i = heapq.heappop(self.due)
                heapq.heappush(self.due, (at + self.every, i))
                session = self.sessions[i]
                if session.sock.fileno() in self.by_fd:
                    session.sent.append(time.monotonic())
                    session.sock.send(session.beat)
            for fd, _ in self.poll.poll(max(0, self.due[0][0] - time.monotonic())):
                if fd != 0:
                    self.read(self.by_fd[fd])
                elif not os.read(0, 100):
                    return
                else:
                    self.report()


class Process:
    """The same, from the test's side."""

    def __init__(self, cert, every, token_file, urls):
        self.process = subprocess.Popen([sys.executable, __file__, str(cert), str(every), str(token_file), *urls],
                                        stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True)
        assert json.loads(self.process.stdout.readline() or "{}").get("ready") == N

    def since(self):
        self.process.stdin.write("\n")
        self.process.stdin.flush()
        return json.loads(self.process.stdout.readline())

    def stop(self):
        self.process.stdin.close()
        self.process.wait(10)


if __name__ == "__main__":
    Canaries(sys.argv[1], float(sys.argv[2]), pathlib.Path(sys.argv[3]).read_text().split(), sys.argv[4:]).run()
