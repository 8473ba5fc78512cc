"""The scenarios in which the way to the server is cut, with the client for browsers and Node.js: all at the same time, each
with two hosts of its own."""

import pytest

from support import lab as hosts_lab
from support.javascript import play_all, program
from support.scenario import Runner, scenarios
from support.server import off_loopback

pytestmark = pytest.mark.release_only  # the client is the same in all builds


def test_every_outage(start, tmp, figure):
    def play(scenario, begin, where):
        lab = hosts_lab.Lab(1)
        try:
            settings = dict(namespace=lab.server, env=off_loopback(), HEARTBEAT_MIN="50ms", WORKERS=1, **scenario.get("settings", {}))
            server = begin(LISTEN=f"ws://{hosts_lab.SERVER_ADDRESS}:0,unix://{where}/sock", **settings)
            Runner(scenario, server, server.url("ws"), lambda name: program(name, where, lab.hosts[0]), lab=lab,
                   again=lambda: begin(LISTEN=",".join(server.urls), **settings),
                   tell=lambda text: figure(f"{scenario['name']}: {text}")).play()
        finally:
            lab.close()

    play_all(scenarios("lab"), play, start, tmp)
