"""The JavaScript client under test: how its program starts, and which Node.js it gets."""

import concurrent.futures
import tempfile
import threading

import pytest

from support import node
from support.scenario import Program

MODULE = node.ROOT / "src/client/js"


def program(name, directory, namespace=None, flags=(), websocket="ws"):
    """A client program around presence.js; its WebSocket is that of Debian's node-ws, or "global", Node's own."""
    command = [node.NODE, *flags, str(node.CLIENTS / "presence_client.mjs"), websocket]
    return Program(command, name, directory, namespace, environment())


def play_all(table, play, start, tmp):
    """All at the same time: most of what they do is waiting. `play` gets a scenario, a way to start servers and a folder."""
    one_at_a_time = threading.Lock()

    def begin(**settings):
        with one_at_a_time:
            return start(**settings)

    with concurrent.futures.ThreadPoolExecutor(len(table)) as threads:
        playing = [threads.submit(play, scenario, begin, tempfile.mkdtemp(dir=tmp)) for scenario in table]
        wrong = [error for error in (each.exception() for each in playing) if error]
    assert not wrong, "\n\n".join(f"{type(error).__name__}: {error}" for error in wrong)


def environment():
    try:
        return node.environment(node.from_debian("node-ws", "ws"))
    except node.Unavailable as error:
        pytest.skip(str(error))
