"""libpresence in C: the scenarios over every transport."""

import tempfile

import pytest

from support.certs import Certificate
from support.mode import BINARY, sized
from support.outages import all_at_once, one_at_a_time
from support.scenario import Program, Runner, scenarios

CLIENT = BINARY.parent / "tests/clients/presence_client"
DOORS = ["tcp", "unix", "tls", "ws", "wss"]
OVER_ALL = {"told"}  # the scenarios that each transport is put through; the others go by one of them


def play(scenario, door, start, tmp, certificate, figure):
    """One scenario against a server of its own."""
    where = tempfile.mkdtemp(dir=tmp)
    listen = f"unix://{where}/sock,tcp://127.0.0.1:0,tls://127.0.0.1:0,ws://127.0.0.1:0,wss://127.0.0.1:0"
    settings = {"HEARTBEAT_MIN": "50ms", "WORKERS": 1, **certificate.settings(), **scenario.get("settings", {})}
    server = start(LISTEN=listen, **settings)
    Runner(scenario, server, server.url(door + ":"), lambda name: Program([str(CLIENT)], name, where),
           again=lambda: start(**{**settings, "LISTEN": ",".join(server.urls)}),
           ca_file=certificate.cert if door in ("tls", "wss") else None,
           tell=lambda text: figure(f"{scenario['name']}, {door}: {text}")).play()


@pytest.mark.tight  # all of them at the same time
def test_every_scenario(start, tmp, session_tmp, figure):
    certificate, begin, plays = Certificate(session_tmp, "libpresence"), one_at_a_time(start), []
    for at, scenario in enumerate(scenarios("doors")):
        doors = scenario.get("over", DOORS)
        for door in doors if scenario["name"] in OVER_ALL else [doors[at % len(doors)]]:
            plays.append(lambda s=scenario, d=door: play(s, d, begin, tmp, certificate, figure))
    all_at_once(plays, sized(8, 4))


@pytest.mark.parametrize("url, ca, error", [
    ("tls://127.0.0.2:{port}", True, "certificate"),  # not its name
    ("tls://127.0.0.1:{port}", False, "certificate"),  # not signed by anybody whom the system trusts
    ("tcp://127.0.0.1:{port}", False, "protocol"),  # TLS is spoken there
    ("ws://127.0.0.1:{port}", False, "upgrade"),
])
def test_what_is_not_trusted_is_refused(start, tmp, url, ca, error):
    certificate = Certificate(tmp, "server")
    server = start(LISTEN="tls://*:0", ALLOW_PLAINTEXT="true", ALLOW_ANONYMOUS="true", **certificate.settings())
    port = server.url("tls:").rsplit(":", 1)[1]
    program = Program([str(CLIENT)], "alice", tmp)
    try:
        program.do(do="connect", user="alice", url=url.format(port=port), backoff_first_ms=100, backoff_max_ms=100,
                   **({"ca_file": str(certificate.cert)} if ca else {}))
        line = program.wait({"said": "link", "link": "waiting"})
        assert line["error"] == error or (error in ("protocol", "upgrade") and line["error"] in ("closed", "lost")), line
        program.end()
    finally:
        program.kill()
    assert server.counters()["logins"] == 0
