"""What an idle session costs at each door: of the server's own memory, by the difference of what is resident."""

import json
import os

import pytest

from bad import good
from credentials import SECRET
from support import costs
from web import Web, dial

pytestmark = [pytest.mark.release_only, pytest.mark.alone]

N_FIRST = 300  # what is allocated once, or for a few, is no session's
N = 5000
MOST = {"tcp": 300, "ws": 300, "tls": 15 * 1024, "wss": 15 * 1024}
MORE_FOR_FRAMES = 32
# Nothing comes or goes by itself; the log of events and the histories are bounded by themselves, and no session's.
QUIET_SERVER = {"WORKERS": 2, "HEARTBEAT": "5m", "HEARTBEAT_MAX": "5m", "EVENT_LOG": 0, "HISTORY": 0}
measured = {}


def hello(number, more=""):
    return b'{"type":"hello","v":1,"user":"%s","device":"d"%s}' % (costs.user(number).encode(), more.encode())


def open_session(server, door, authority, number, more=""):
    if door in ("ws", "wss"):
        web = Web(server.url(door + ":"), authority)
        web.text(hello(number, more)).expect("welcome")
        web.beat()
        return web.sock
    sock = dial(server.url(door + ":"), authority)
    sock.sendall(hello(number, more) + b"\n")
    assert b'"welcome"' in sock.recv(4096)
    sock.sendall(b"\n")
    assert sock.recv(10) == b"\n"
    return sock


def bytes_per_session(server, door, authority, n, more=lambda number: ""):
    sockets = [open_session(server, door, authority, i, more(i)) for i in range(N_FIRST)]
    server.stats()
    empty = costs.rss_bytes(server.pid)
    sockets += [open_session(server, door, authority, i, more(i)) for i in range(N_FIRST, N_FIRST + n)]
    assert server.stats()["sessions"] == N_FIRST + n
    full = costs.rss_bytes(server.pid)
    for sock in sockets:
        sock.close()
    return (full - empty) / n


def tell_bench(**line):
    """tests/bench/doors wants it as a line."""
    if "BENCH_FIGURES" in os.environ:
        with open(os.environ["BENCH_FIGURES"], "a", encoding="utf-8") as to:
            to.write(json.dumps(line) + "\n")


@pytest.mark.parametrize("door", MOST)
def test_bytes_per_idle_session(start, credentials, figure, door):
    server = start(LISTEN=f"{door}://127.0.0.1:0", **QUIET_SERVER, **credentials.tls())
    n = N if door in ("tcp", "ws") else N // 2
    measured[door] = bytes_per_session(server, door, credentials.cert, n)
    figure(f"{measured[door]:.0f} bytes a session of {n} idle ones")
    tell_bench(bench="doors", figure="rss_bytes_per_session", door=door, n=n, value=round(measured[door], 1), unit="B",
               bound=MOST[door])
    assert measured[door] <= MOST[door]
    if door == "ws" and "tcp" in measured:
        assert measured["ws"] <= measured["tcp"] + MORE_FOR_FRAMES


def test_bytes_per_idle_session_with_a_token(start, credentials, figure):
    """A figure, without a bound of its own: who it is, until when, and whom it may watch."""
    server = start(**QUIET_SERVER, JWT_SECRET=SECRET)
    more = lambda number: f',"token":"{good(costs.user(number), watch=["team.*"])}"'
    figure(f"{bytes_per_session(server, 'tcp', None, 2000, more):.0f} bytes a session with a token")
