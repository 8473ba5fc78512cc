"""The server of the bad inputs, with every door, lock and limit, and ways to it."""

import json
import resource
import time

from bad import AUDIENCE, ISSUER, MAX_MESSAGE, good, hello
from credentials import SECRET
from support.client import Closed
from support.mode import sized
from support.server import Server
from web import Web, dial, receive

PROXY = "127.7.7.7"
DESCRIPTORS = 1200  # a worker: few, so that they can be used up
PER_ADDRESS = 400
MAX_WATCHES = 1500
HELLO_S = sized(1.0, 3.0)


class Gate:
    """The server of these tests, and ways to it."""

    def __init__(self, folder, credentials):
        self.credentials, self.folder = credentials, folder
        self.server = Server(
            folder, preexec_fn=lambda: resource.setrlimit(resource.RLIMIT_NOFILE, (DESCRIPTORS, DESCRIPTORS)),
            LISTEN="tcp://127.0.0.1:0,tls://127.0.0.1:0,ws://127.0.0.1:0,wss://127.0.0.1:0,"
                   f"unix://{folder}/sock", WORKERS=2,
            JWT_SECRET=SECRET, JWT_JWKS_FILE=credentials.jwks, JWT_ISSUER=ISSUER, JWT_AUDIENCE=AUDIENCE,
            PROXY_TRUSTED=f"{PROXY}/32", MAX_CONNECTIONS_PER_ADDRESS=PER_ADDRESS, MAX_WATCHES=MAX_WATCHES,
            MAX_MESSAGE=MAX_MESSAGE, MESSAGE_RATE=200, LOGIN_RATE=20, HELLO_TIMEOUT=f"{int(HELLO_S * 1000)}ms",
            SLOW_TIMEOUT="1s", HEARTBEAT=sized("2s", "10s"), ALLOWED_ORIGINS="https://good.example",
            **credentials.tls())

    def now(self):
        return int(time.time())

    def dial(self, door, **options):
        """A connection by that door; with a bare- before it, without the handshake."""
        url = self.server.url(door.removeprefix("bare-") + ":")
        if door.startswith("bare-"):
            url = "tcp:" + url.split(":", 1)[1]
        return dial(url, self.credentials.cert, **options)

    def web(self, door, **options):
        return Web(self.server.url(door + ":"), self.credentials.cert, **options)

    def login(self, door="tcp", sub="mallory", **options):
        sock = self.dial(door, **options)
        sock.sendall(hello(token=good(sub)))
        assert read_line(sock)["type"] == "welcome"
        return sock

    def moved(self, before, counter, times=1):
        self.server.wait_stats(lambda s: s["counters"][counter] >= before[counter] + times)


def read_line(sock):
    """The next message, read byte by byte: what is behind it is not taken. None at the end."""
    line = b""
    while not line.endswith(b"\n"):
        data = receive(sock, 1)
        if not data:
            assert not line, line
            return None
        line += data
    return json.loads(line) if line.strip() else {"type": "empty"}


def ends(sock):
    """The server's end; what still comes before it."""
    said = b""
    try:
        while data := receive(sock):
            said += data
    except Closed:
        pass
    return said
