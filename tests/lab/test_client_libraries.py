"""The way to the server is cut, and the client libraries say so in time: the scenarios of two hosts."""

import pytest

from support import javascript
from support.mode import BINARY
from support.outages import play_every_outage
from support.scenario import Program

CLIENT = BINARY.parent / "tests/clients/presence_client"


def test_every_outage_in_c(start, tmp, figure):
    play_every_outage(start, tmp, figure, "tcp",
                      lambda name, where, host: Program([str(CLIENT)], name, where, namespace=host))


@pytest.mark.release_only  # the client is the same in all builds
def test_every_outage_in_javascript(start, tmp, figure):
    javascript.environment()  # skips where there is no Node.js
    play_every_outage(start, tmp, figure, "ws", javascript.program)
