"""The way to the server is cut, and the client libraries say so in time: the scenarios of two hosts."""

import pytest

from support import lab as hosts_lab
from support.mode import BINARY
from support.scenario import Program, Runner, scenarios
from support.server import off_loopback

CLIENT = BINARY.parent / "tests/clients/presence_client"
PORT = 7400  # of a network of its own


def play(scenario, lab, start, tmp, command, door, figure):
    settings = {"LISTEN": f"{door}://{hosts_lab.SERVER_ADDRESS}:{PORT},unix://{tmp}/sock", "HEARTBEAT_MIN": "50ms",
                "WORKERS": 1, **scenario.get("settings", {})}

    def begin():
        return start(namespace=lab.server, env=off_loopback(), **settings)

    Runner(scenario, begin(), f"{door}://{hosts_lab.SERVER_ADDRESS}:{PORT}",
           lambda name: Program(command, name, tmp, namespace=lab.hosts[0]), again=begin, lab=lab, tell=figure).play()


@pytest.mark.parametrize("scenario", scenarios("lab"), ids=lambda s: s["name"].replace(" ", "_"))
def test_c(lab, start, tmp, figure, scenario):
    play(scenario, lab, start, tmp, [str(CLIENT)], "tcp", figure)
