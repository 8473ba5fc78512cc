"""The lab of twenty hosts is made once, healed after each test, and always taken away."""

import pytest

from support import lab as hosts_lab
from support.client import Client, Listener
from support.mode import sized
from support.server import off_loopback

N_HOSTS = sized(20, 6)


def pytest_sessionstart(session):
    # Early: a user namespace can only be entered while there are no threads.
    hosts_lab.why_not()


@pytest.fixture(autouse=True)
def _needs_hosts():
    if hosts_lab.why_not():
        pytest.skip(hosts_lab.why_not())


@pytest.fixture(scope="session")
def _lab_of_all():
    lab = hosts_lab.Lab(N_HOSTS)
    yield lab
    lab.close()


@pytest.fixture
def lab(_lab_of_all):
    yield _lab_of_all
    _lab_of_all.heal()


@pytest.fixture
def lab_server(lab, start, tmp):
    """A server on the lab's server host; watchers reach it by a Unix socket, which no fault touches."""
    return start(namespace=lab.server, env=off_loopback(), HEARTBEAT_MIN="50ms", WORKERS=2,
                 LISTEN=f"tcp://{hosts_lab.SERVER_ADDRESS}:0,unix://{tmp}/sock")


@pytest.fixture
def watcher(lab_server):
    """Starts one who watches, reads at once and beats; the snapshot must show all of them online."""
    begun = []

    def watch(users, state="online"):
        client = Client(lab_server.url("unix")).hello("watcher", heartbeat_ms=10000)
        for at in range(0, len(users), 1000):
            snapshot = client.watch(*users[at:at + 1000])
            assert [(p["user"], p["state"]) for p in snapshot] == [(user, state) for user in users[at:at + 1000]]
        begun.append(Listener(client))
        return begun[-1]

    yield watch
    for listener in begun:
        listener.stop()
