"""The scenarios in which the way to the server is cut, with the client for browsers and Node.js: all at the same time, each
with two hosts of its own."""

import concurrent.futures
import tempfile
import threading

import pytest

from support import lab as hosts_lab
from support.javascript import program
from support.scenario import Runner, scenarios
from support.server import off_loopback

pytestmark = pytest.mark.release_only  # the client is the same in all builds


def play(scenario, start, tmp, figure):
    lab = hosts_lab.Lab(1)
    try:
        where = tempfile.mkdtemp(dir=tmp)
        settings = dict(namespace=lab.server, env=off_loopback(), HEARTBEAT_MIN="50ms", WORKERS=1, **scenario.get("settings", {}))
        server = start(LISTEN=f"ws://{hosts_lab.SERVER_ADDRESS}:0,unix://{where}/sock", **settings)
        Runner(scenario, server, server.url("ws"), lambda name: program(name, where, lab.hosts[0]), lab=lab,
               again=lambda: start(LISTEN=",".join(server.urls), **settings),
               tell=lambda text: figure(f"{scenario['name']}: {text}")).play()
    finally:
        lab.close()


def test_every_outage(start, tmp, figure):
    table, one_at_a_time = scenarios("lab"), threading.Lock()

    def begin(**settings):
        with one_at_a_time:
            return start(**settings)

    with concurrent.futures.ThreadPoolExecutor(len(table)) as threads:
        playing = [threads.submit(play, scenario, begin, tmp, figure) for scenario in table]
        wrong = [error for error in (each.exception() for each in playing) if error]
    assert not wrong, "\n\n".join(f"{type(error).__name__}: {error}" for error in wrong)
