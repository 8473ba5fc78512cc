"""The servers that these tests share, and clients of their doors."""

import glob
import os
import pathlib
import resource
import tempfile

import pytest

from credentials import Credentials
from support import mode, server as server_module
from support.server import Server
from web import Web


@pytest.fixture(scope="session")
def credentials(session_tmp):
    return Credentials(tempfile.mkdtemp(dir=session_tmp))


@pytest.fixture(scope="session", autouse=True)
def _descriptors():
    """As many as may be: crowds of sockets are held here."""
    hard = resource.getrlimit(resource.RLIMIT_NOFILE)[1]
    resource.setrlimit(resource.RLIMIT_NOFILE, (hard, hard))


@pytest.fixture(scope="module")
def doors(session_tmp, credentials):
    """A server with a door of each kind, without tokens."""
    folder = pathlib.Path(tempfile.mkdtemp(dir=session_tmp))
    server = Server(folder, LISTEN="tcp://127.0.0.1:0,ws://127.0.0.1:0,wss://127.0.0.1:0,tls://127.0.0.1:0",
                    ALLOWED_ORIGINS="https://good.example", HEARTBEAT_MIN="50ms", HELLO_TIMEOUT="30s", WORKERS=2,
                    **credentials.tls())
    yield server
    server.stop()


@pytest.fixture(scope="module")
def echo(session_tmp):
    """The build whose WebSockets answer each message with itself."""
    binary = mode.BINARY.parent / "echo" / "presenced"
    assert os.access(binary, os.X_OK), f"{binary}: make echo"
    plain, server_module.BINARY = server_module.BINARY, binary
    try:
        server = Server(tempfile.mkdtemp(dir=session_tmp), LISTEN="ws://127.0.0.1:0", MAX_MESSAGE="1MiB", WORKERS=2)
    finally:
        server_module.BINARY = plain
    yield server
    server.stop()


@pytest.fixture
def webs(credentials):
    """Opens WebSockets; what is still open at the end is closed."""
    opened = []

    def open_one(server, kind="ws:", **options):
        web = Web(server.url(kind), credentials.cert, **options)
        opened.append(web)
        return web

    yield open_one
    for web in opened:
        web.close()


@pytest.fixture
def faster_clock():
    """The environment of a server whose clock runs ten times as fast."""
    library = next(iter(glob.glob("/usr/lib/*/faketime/libfaketimeMT.so.1")), None)
    if library is None:
        pytest.skip("libfaketime is not installed")
    return {"LD_PRELOAD": library, "FAKETIME": "+0 x10", "FAKETIME_DONT_RESET": "1"}
