"""Connections by the hundred thousand, each of which says one thing and hears what is answered.

    python3 rabble.py PORT N FIRST-SOURCE HOLD MESSAGE-FILE...

Their sources are addresses of 127.0.0.0/8, 16 of them from FIRST-SOURCE on; they take turns with the messages.
HOLD 0: each is closed as soon as the answer's line is there (every second one with RST). Else it stays open, and takes
no notice of the server's end, until so many others are open. Says {"answers": {code: n}, "seconds": s} at the end."""

import collections
import errno
import json
import pathlib
import select
import socket
import struct
import subprocess
import sys
import time

PENDING = 200  # connections that have no answer yet
RESET = struct.pack("ii", 1, 0)
PATIENCE = 10


class Rabble:
    def __init__(self, port, n, first_source, hold, messages):
        self.port, self.n, self.hold, self.messages = port, n, hold, messages
        head, last = first_source.rsplit(".", 1)
        self.sources = [f"{head}.{int(last) + i}" for i in range(16)]
        self.poll = select.epoll()
        self.pending = collections.OrderedDict()
        self.held = collections.deque()
        self.answers = collections.Counter()
        self.begun = 0

    def begin(self):
        number, self.begun = self.begun, self.begun + 1
        sock = socket.socket()
        sock.setblocking(False)
        sock.setsockopt(socket.IPPROTO_IP, 24, 1)  # IP_BIND_ADDRESS_NO_PORT: ports are for each pair of addresses
        sock.bind((self.sources[number % len(self.sources)], 0))
        if sock.connect_ex(("127.0.0.1", self.port)) not in (0, errno.EINPROGRESS):
            self.answers["no connection"] += 1
            sock.close()
            return
        self.pending[sock.fileno()] = [sock, self.messages[number % len(self.messages)], time.monotonic()]
        self.poll.register(sock.fileno(), select.EPOLLOUT)

    def finish(self, fd, answer):
        sock = self.pending.pop(fd)[0]
        self.poll.unregister(fd)
        self.answers[answer] += 1
        if self.hold:
            self.held.append(sock)
            if len(self.held) > self.hold:
                self.held.popleft().close()
            return
        if self.begun % 2:
            sock.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, RESET)
        sock.close()

    def turn(self, fd, events):
        sock, message, _ = self.pending[fd]
        try:
            if events & select.EPOLLOUT and message:
                sock.send(message)
                self.pending[fd][1] = None
                self.poll.modify(fd, select.EPOLLIN)
                return
            data = sock.recv(4096)
        except OSError as error:
            self.finish(fd, errno.errorcode[error.errno])
            return
        if not data:
            self.finish(fd, "closed")
        elif data.startswith(b"{"):
            self.finish(fd, json.loads(data.split(b"\n")[0]).get("code", "other"))
        else:
            self.finish(fd, "HTTP" if data.startswith(b"HTTP") else "other")

    def run(self):
        began = time.monotonic()
        while self.begun < self.n or self.pending:
            while self.begun < self.n and len(self.pending) < PENDING:
                self.begin()
            for fd, events in self.poll.poll(0.2):
                self.turn(fd, events)
            while self.pending and time.monotonic() - next(iter(self.pending.values()))[2] > PATIENCE:
                self.finish(next(iter(self.pending)), "nothing")
        print(json.dumps({"answers": self.answers, "seconds": time.monotonic() - began}), flush=True)


def begin(url, n, first_source, hold, *messages):
    """Starts one in a process of its own, which is nicer than others: real ones run on machines of their own."""
    return subprocess.Popen(["nice", "-n", "10", sys.executable, __file__, url.rsplit(":", 1)[1], str(n), first_source,
                             str(hold), *map(str, messages)], stdout=subprocess.PIPE, text=True)


def end(process, timeout):
    out, _ = process.communicate(timeout=timeout)
    assert process.returncode == 0
    return json.loads(out)


if __name__ == "__main__":
    Rabble(int(sys.argv[1]), int(sys.argv[2]), sys.argv[3], int(sys.argv[4]),
           [pathlib.Path(path).read_bytes() for path in sys.argv[5:]]).run()
