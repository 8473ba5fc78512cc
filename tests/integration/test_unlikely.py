"""What hardly ever happens: a machine that was asleep, memory that is refused just there, two starts in the same moment."""

import fcntl
import os
import re
import socket
import subprocess
import time

import pytest

from support.client import EMPTY, Client, Closed
from support.doors import DoorClient, proxy_v2
from support.meddle import Meddler
from support.mode import BINARY, PATIENCE
from support.server import environment
from support.tokens import SECRET, Secret

pytestmark = pytest.mark.release_only  # a library is preloaded, and sanitizers want to be first
ISSUER = Secret()
ADDRESS_BYTES = 136  # sizeof(struct address)


def test_a_token_expires_while_the_machine_sleeps(start, clients, tmp):
    """CLOCK_MONOTONIC stands still in a suspend, and the calendar, which tokens go by, does not."""
    meddler = Meddler(tmp)
    server = start(env=meddler.environment, JWT_SECRET=SECRET, JWT_LEEWAY="0s", DEFAULT_WATCH="all", WORKERS=1)

    def log_in(user, expires_in):
        client = clients(server)
        client.send(type="hello", v=1, token=ISSUER.token(user, expires_in=expires_in))
        client.expect("welcome")
        return client

    bob, alice, carol = log_in("bob", 3600), log_in("alice", 120), log_in("carol", 30)
    bob.watch("alice", "carol")
    def sleep(seconds):
        """What bob is told after it. Whoever speaks first wakes the worker, which looks at that clock every 20 ms."""
        meddler.suspend(seconds)
        time.sleep(0.05)
        bob.raw(b"\n")
        heard = [bob.maybe(), bob.maybe()]
        heard.remove(EMPTY)
        return heard[0]["user"], heard[0]["state"], heard[0]["reason"]

    assert sleep(100) == ("carol", "offline", "expired")
    carol.expect("bye", reason="expired")
    alice.beat()
    assert sleep(100) == ("alice", "offline", "expired")
    alice.expect("bye", reason="expired")
    bob.beat()
    # A login after it has what its token says from here on.
    dave = log_in("dave", 120)
    dave.beat()
    bob.quiet()


def test_memory_refused_for_a_proxys_header_is_counted(start, clients, tmp):
    server = start(env=Meddler(tmp, refuse=ADDRESS_BYTES).environment, PROXY_TRUSTED="127.0.0.1")
    before = server.counters()["out_of_memory"]
    for n in range(3):
        client = DoorClient(server.url(), proxy=proxy_v2("192.0.2.1"))
        with pytest.raises(Closed):
            client.hello("bob")
        client.close()
        assert server.counters()["out_of_memory"] == before + n + 1
    DoorClient(server.url(), proxy=proxy_v2(None)).hello("proxy").close()


def stale_path(path):
    with socket.socket(socket.AF_UNIX) as left_behind:
        left_behind.bind(str(path))


def begin(tmp, path, wrap=()):
    settings = {"PRESENCED_LISTEN": f"unix://{path}", "PRESENCED_ADMIN_LISTEN": "127.0.0.1:0"}
    return subprocess.Popen([*wrap, BINARY], env=environment(settings), stdin=subprocess.DEVNULL,
                            stdout=subprocess.DEVNULL, stderr=subprocess.PIPE, text=True)


def wait_ready(process):
    for line in process.stderr:
        if re.search(r"\bmsg=ready\b", line):
            return
    raise AssertionError("it did not start")


def test_two_servers_that_find_one_stale_path(tmp):
    """One of them is about to unlink it, and slow: the other must not have bound the path meanwhile. It loses, and says so."""
    path = tmp / "sock"
    stale_path(path)
    slow = begin(tmp, path, wrap=["strace", "-f", "-q", "-o", "/dev/null", "-e", "trace=unlink",
                                  "-e", "inject=unlink:delay_enter=400000:when=1"])
    server = None
    try:
        end = time.monotonic() + PATIENCE
        while not is_locked(tmp):  # it has looked, and is about to unlink
            assert time.monotonic() < end
            time.sleep(0.005)
        quick = begin(tmp, path)
        _, said = quick.communicate(timeout=2 * PATIENCE)
        assert quick.returncode == 69 and "EADDRINUSE" in said, said
        wait_ready(slow)
        with Client(f"unix://{path}") as client:
            client.hello("bob")
            children = f"/proc/{slow.pid}/task/{slow.pid}/children"
            server = int(open(children).read().split()[0])
            os.kill(server, 15)
            client.expect("bye", reason="shutdown")
    finally:
        if server is None:
            slow.kill()
        slow.stderr.read()
        slow.wait(2 * PATIENCE)
    assert not path.exists()


def is_locked(folder):
    descriptor = os.open(folder, os.O_RDONLY | os.O_DIRECTORY)
    try:
        fcntl.flock(descriptor, fcntl.LOCK_EX | fcntl.LOCK_NB)
        return False
    except BlockingIOError:
        return True
    finally:
        os.close(descriptor)
