"""libpresence as its users have it: the scenarios over every transport, and what the library looks like from outside."""

import os
import pathlib
import re
import subprocess

import pytest

from support.certs import Certificate
from support.mode import BINARY, IS_RELEASE, ROOT
from support.scenario import Program, Runner, scenarios

BUILD = BINARY.parent
CLIENT = BUILD / "tests/clients/presence_client"
DOORS = ["tcp", "unix", "tls", "ws", "wss"]
ALL_DOORS = ["told"]  # which scenarios each transport is put through; the others go by one


@pytest.fixture(scope="module")
def certificate(session_tmp):
    return Certificate(session_tmp, "libpresence")


def cases():
    for scenario in scenarios("doors"):
        doors = DOORS if scenario["name"] in ALL_DOORS else ["tcp"] if "taken" not in scenario["name"] else ["wss"]
        for door in doors:
            yield pytest.param(scenario, door, id=f"{scenario['name'].replace(' ', '_')}-{door}")


def play(scenario, door, start, tmp, certificate, make, figure=lambda text: None):
    """One scenario with one client program, against a server of its own."""
    listen = f"unix://{tmp}/sock,tcp://127.0.0.1:0,tls://127.0.0.1:0,ws://127.0.0.1:0,wss://127.0.0.1:0"
    settings = {"HEARTBEAT_MIN": "50ms", "WORKERS": 1, **certificate.settings(), **scenario.get("settings", {})}
    server = start(LISTEN=listen, **settings)
    runner = Runner(scenario, server, server.url(door + ":"), make,
                    again=lambda: start(**{**settings, "LISTEN": ",".join(server.urls), "ADMIN_LISTEN": "127.0.0.1:0"}),
                    ca_file=certificate.cert if door in ("tls", "wss") else None, tell=figure)
    runner.play()


@pytest.mark.parametrize("scenario, door", cases())
def test_scenario(start, tmp, certificate, figure, scenario, door):
    play(scenario, door, start, tmp, certificate, lambda name: Program([str(CLIENT)], name, tmp), figure)
