"""The JavaScript client under test: how its program starts, and which Node.js it gets."""

import pytest

from support import node
from support.scenario import Program

MODULE = node.ROOT / "src/client/js"


def program(name, directory, namespace=None):
    """A client program around presence.js; its WebSocket is that of Debian's node-ws."""
    return Program([node.NODE, str(node.CLIENTS / "presence_client.mjs")], name, directory, namespace, environment())


def environment():
    try:
        return node.environment(node.from_debian("node-ws", "ws"))
    except node.Unavailable as error:
        pytest.skip(str(error))
