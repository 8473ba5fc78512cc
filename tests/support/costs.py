"""What the server costs, counted rather than timed: bytes, system calls, allocations, instructions.

None of it depends on how busy the machine is. Instructions are those of a server under callgrind, in its
only worker: of two runs that differ in nothing but how often something was done, the difference. They are
the compiler's too, so a recorded figure names it."""

import json
import mmap
import pathlib
import re
import socket
import struct
import subprocess
import time
from urllib.parse import urlsplit

from support.client import Client
from support.mode import PATIENCE, ROOT
from support.server import Server

RECORDED = ROOT / "tests" / "bench" / "recorded.json"
ANSWER = b'{"type":"heartbeat"}\n'
ID_BYTES = 16


def compiler():
    """What the release build is made with, unless somebody says otherwise."""
    return "gcc " + subprocess.run(["gcc", "-dumpversion"], stdout=subprocess.PIPE, text=True,
                                   check=True).stdout.strip()


def user(number):
    """An id of 16 bytes."""
    return f"u{number:0{ID_BYTES - 1}d}"


# ---- memory -------------------------------------------------------------------------------------


def rss_bytes(pid):
    """Counted from the pages: the figure in `status` lags by up to 64 pages a thread."""
    text = pathlib.Path(f"/proc/{pid}/smaps_rollup").read_text()
    return int(re.search(r"^Rss:\s+(\d+)", text, re.M).group(1)) * 1024


def open_sessions(server, first, n):
    """Sockets with a session each: select(), which Client waits by, ends at descriptor 1,024."""
    where = urlsplit(server.url())
    sockets = []
    for number in range(first, first + n):
        sock = socket.create_connection((where.hostname, where.port), PATIENCE)
        sock.sendall(b'{"type":"hello","v":1,"user":"%s","device":"d"}\n' % user(number).encode())
        assert b'"welcome"' in sock.recv(4096)
        sockets.append(sock)
    return sockets


# ---- loads --------------------------------------------------------------------------------------


def beat(client, n, line=ANSWER, in_row=1):
    """n heartbeats, so many in one write, each row after the last one's answers."""
    answer = line * in_row
    for _ in range(n // in_row):
        client.sock.sendall(answer)
        got = b""
        while len(got) < len(answer):
            data = client.sock.recv(len(answer) - len(got))
            assert data, "the server closed"
            got += data
        assert got == answer


def tell(star, watchers, n, first):
    """n changes of a user, each told to all before the next."""
    for number in range(first, first + n):
        star.update(status=str(number))
        for watcher in watchers:
            watcher.event(star.welcome["user"], status=str(number))


# ---- system calls -------------------------------------------------------------------------------


TRACER = ["strace", "-f", "-D", "-q", "-s", "64", "-o"]


def trace_calls(path, pid):
    """Of each thread the names of its system calls, in order, with the text of their arguments. The tracer
    is no child of ours, and may be writing still when the server has ended."""
    end = time.monotonic() + PATIENCE
    text = ""
    while f"{pid} +++ exited" not in re.sub(" +", " ", text):
        assert time.monotonic() < end, text[-2000:]
        text = pathlib.Path(path).read_text(errors="replace")
        time.sleep(0.01)
    threads = {}
    for line in text.splitlines():
        found = re.match(r"(\d+) +(\w+)\((.*)", line)  # what is resumed was counted as it began
        if found:
            threads.setdefault(int(found.group(1)), []).append((found.group(2), found.group(3)))
    return threads


# ---- allocations --------------------------------------------------------------------------------


class AllocationCounter:
    """A library to preload and a file to count in."""

    def __init__(self, folder):
        library = pathlib.Path(folder) / "count_allocations.so"
        subprocess.run(["gcc", "-shared", "-fPIC", "-O2", "-o", str(library),
                        str(ROOT / "tests" / "support" / "count_allocations.c")], check=True)
        path = pathlib.Path(folder) / "allocations"
        path.write_bytes(b"\0" * 8)
        self.file = open(path, "r+b")
        self.page = mmap.mmap(self.file.fileno(), 8)
        self.environment = {"LD_PRELOAD": str(library), "COUNT_ALLOCATIONS": str(path)}

    def value(self):
        return struct.unpack("Q", self.page[:8])[0]


# ---- instructions -------------------------------------------------------------------------------

FEW, MANY = 200, 1200
EVENTS_FEW, EVENTS_MANY = 10, 60
N_WATCHERS = 100
ROW = 16
LOADS = {
    "heartbeat": "heartbeats, one at a time: the worker's turn is in it",
    "heartbeat_in_row": "heartbeats, 16 in one write",
    "event": "changes told to 100 watchers: each telling",
}


def worker_instructions(folder, name, load):
    """What the worker executed in a server's whole life, with this load on it."""
    out = pathlib.Path(folder) / f"callgrind.{name}"
    server = Server(folder, name=f"callgrind.{name}", WORKERS=1, HEARTBEAT="5m", HEARTBEAT_MAX="5m",
                    wrap=["valgrind", "-q", "--tool=callgrind", "--separate-threads=yes",
                          f"--callgrind-out-file={out}"])
    try:
        load(server)
    finally:
        server.stop()
    for path in sorted(pathlib.Path(folder).glob(f"{out.name}-*")):
        text = path.read_text(errors="replace")
        if "worker_main" in text:
            return int(re.search(r"^totals: (\d+)", text, re.M).group(1))
    raise AssertionError(f"no worker among the threads that {out} tells of")


def put_load(kind, many):
    """The load of that name, as often as the second run or the first does it."""

    def load(server):
        with Client(server.url()).hello(user(0), "d") as client:
            if kind == "event":
                watchers = [Client(server.url()).hello(user(i + 1), "d") for i in range(N_WATCHERS)]
                for watcher in watchers:
                    watcher.watch(user(0))
                tell(client, watchers, EVENTS_MANY if many else EVENTS_FEW, 10000)
                for watcher in watchers:
                    watcher.close()
            else:
                beat(client, (MANY if many else FEW) * ROW, in_row=ROW if kind == "heartbeat_in_row" else 1)

    return load


def instructions(folder, kind):
    few, many = (worker_instructions(folder, f"{kind}.{times}", put_load(kind, times == "many"))
                 for times in ("few", "many"))
    if kind == "event":
        return (many - few) / ((EVENTS_MANY - EVENTS_FEW) * N_WATCHERS)
    return (many - few) / ((MANY - FEW) * ROW)


def recorded():
    return json.loads(RECORDED.read_text())


def record(folder):
    figures = {"compiler": compiler(),
               "instructions": {kind: round(instructions(folder, kind), 1) for kind in LOADS}}
    RECORDED.write_text(json.dumps(figures, indent="\t") + "\n")
    return figures

