"""Behind a proxy: HAProxy from Debian with TLS at its door, and PROXY headers, good, bad and forged."""

import socket
import subprocess
import threading

import pytest

from support.certs import Certificate
from support.client import Closed
from support.doors import DoorClient, Refused, proxy_v1, proxy_v2
from support.mode import PATIENCE
from support.tokens import SECRET, Secret

HAPROXY = "/usr/sbin/haproxy"
DOCUMENTED = "192.0.2.7"  # an address of documentation: nobody's
DOORS = "tcp://127.0.0.1:0,tcp://[::1]:0,ws://127.0.0.1:0"


class Haproxy:
    """One frontend a backend, each on a socket that is listening already: there is nothing to wait for."""

    def __init__(self, tmp, certificate, backends):
        self.urls = {}
        sockets, sections = [], []
        for name, (scheme, address, header) in backends.items():
            listener = socket.create_server(("127.0.0.1", 0))
            sockets.append(listener)
            self.urls[name] = f"{scheme}://127.0.0.1:{listener.getsockname()[1]}"
            sections.append(f"listen {name}\n  mode tcp\n  bind fd@{listener.fileno()} ssl crt {certificate.both}\n"
                            f"  server presenced {address} {header}\n")
        config = tmp / "haproxy.cfg"
        config.write_text("global\n  maxconn 200\n  nbthread 1\ndefaults\n  timeout connect 5s\n  timeout client 60s\n"
                          "  timeout server 60s\n  option redispatch\n" + "".join(sections))
        self.log = open(tmp / "haproxy.log", "wb")
        self.process = subprocess.Popen([HAPROXY, "-db", "-f", str(config)], stdin=subprocess.DEVNULL, stdout=self.log,
                                        stderr=self.log, pass_fds=[s.fileno() for s in sockets])
        for listener in sockets:
            listener.close()

    def stop(self):
        self.process.terminate()
        self.process.wait(PATIENCE)
        self.log.close()


@pytest.fixture(scope="module")
def certificate(session_tmp):
    return Certificate(session_tmp, "haproxy")


@pytest.fixture
def proxied(start, tmp, certificate):
    """Starts a server behind HAProxy."""
    begun = []

    def begin(**settings):
        server = start(LISTEN=DOORS, PROXY_TRUSTED="127.0.0.0/8", **settings)
        tcp, ws = (server.url(kind).partition("//")[2] for kind in ("tcp://127", "ws"))
        begun.append(Haproxy(tmp, certificate, {
            "v2": ("tls", tcp, "send-proxy-v2"), "v1": ("tls", tcp, "send-proxy"),
            "web": ("wss", ws, "send-proxy-v2"), "bare": ("tls", tcp, ""),
            "checked": ("tls", tcp, "send-proxy-v2 check inter 50ms")}))
        return server, begun[-1]

    yield begin
    for haproxy in begun:
        haproxy.stop()


@pytest.fixture
def through(certificate):
    """Opens clients, from an address of their own where told so."""
    opened = []

    def connect(url, source=None, **options):
        opened.append(DoorClient(url, tls=certificate.context(), source=source, **options))
        return opened[-1]

    yield connect
    for client in opened:
        client.close()


@pytest.mark.parametrize("way", ["v1", "v2", "web"])
def test_login_through_haproxy(proxied, through, way):
    server, haproxy = proxied()
    bob = through(haproxy.urls[way]).hello("bob")
    bob.watch("alice")
    alice = through(haproxy.urls["v2"]).hello("alice")
    bob.event("alice", "online", "login")
    bob.beat()
    alice.bye()
    bob.event("alice", "offline", "logout")
    bob.bye()
    server.wait_stats(lambda s: s["connections"] == 0)
    assert server.counters()["proxy_malformed"] == 0


def test_ends_come_through_haproxy(proxied, through):
    """A peer that goes without a word is told as that, with a proxy between."""
    _, haproxy = proxied()
    bob = through(haproxy.urls["v2"]).hello("bob")
    bob.watch("alice")
    alice = through(haproxy.urls["web"]).hello("alice")
    bob.event("alice", "online")  # told before she goes: of two changes at once the newest would do
    alice.close()
    assert bob.event("alice", "offline")["reason"] in ("closed", "reset")


@pytest.mark.parametrize("way", ["v1", "v2", "web"])
def test_limit_counts_the_real_peer(proxied, through, way):
    """Two of each address: HAProxy's own, which all come from, would be full with the first."""
    server, haproxy = proxied(MAX_CONNECTIONS_PER_ADDRESS=2)
    for source in ("127.0.0.2", "127.0.0.3"):
        for i in range(2):
            through(haproxy.urls[way], source).hello(f"{source}.{i}").beat()
        with pytest.raises((Closed, Refused, OSError, AssertionError)) as refused:
            through(haproxy.urls[way], source).hello("third")
        assert "nothing came" not in str(refused.value), "closed, not left hanging"
    counters = server.wait_stats(lambda s: s["connections"] == 4)["counters"]
    assert counters["refused_address"] == 2 and counters["logins"] == 4


def test_log_names_the_real_peer(proxied, through):
    server, haproxy = proxied(JWT_SECRET=SECRET)
    for way, source in (("v2", "127.0.0.2"), ("v1", "127.0.0.3"), ("web", "127.0.0.4")):
        client = through(haproxy.urls[way], source)
        client.send(type="hello", v=1, token=Secret("another secret of thirty-two bytes").token("alice"))
        client.error("auth_failed")
        line = server.wait_log(rf"token not accepted.*peer=\"?{source}:\d+")
        assert "signature" in line
    assert server.counters()["token_failed"] == 3


def test_proxy_without_a_header_is_refused(proxied, through):
    """What comes from a trusted network and has no header is not taken for the proxy's own."""
    server, haproxy = proxied()
    with pytest.raises((Closed, OSError)):
        through(haproxy.urls["bare"]).send(type="hello", v=1, user="alice").recv()
    server.wait_log("no PROXY header from a trusted network")
    assert server.counters()["proxy_malformed"] == 1 and server.counters()["logins"] == 0


def test_health_checks_are_no_trouble(proxied, through):
    """HAProxy's own checks, of which each is a connection with a header (LOCAL) and no more."""
    server, haproxy = proxied()
    before = server.counters()["accepted"]
    server.wait_stats(lambda s: s["counters"]["accepted"] >= before + 5)
    through(haproxy.urls["checked"]).hello("alice").beat()
    counters = server.counters()
    assert counters["proxy_malformed"] == 0 and counters["ended_violation"] == 0


# Headers by hand.


@pytest.fixture
def trusting(start, clients):
    """A server that trusts 127.0.0.2 only."""
    return start(LISTEN=DOORS, PROXY_TRUSTED="127.0.0.2/32,::1", MAX_CONNECTIONS_PER_ADDRESS=3)


@pytest.mark.parametrize("header", [proxy_v1(DOCUMENTED), proxy_v2(DOCUMENTED), proxy_v1("2001:db8::7"),
                                    proxy_v2("2001:db8::7"), proxy_v2(), b"PROXY UNKNOWN\r\n"])
def test_headers_byte_by_byte(trusting, through, header):
    client = through(trusting.url("tcp://127"), "127.0.0.2")
    hello = b'{"type":"hello","v":1,"user":"alice"}\n'
    for byte in header + hello:
        client.bare(bytes([byte]))
    client.expect("welcome")
    together = through(trusting.url("tcp://127"), "127.0.0.2", proxy=header + hello)
    together.expect("welcome")
    web = through(trusting.url("ws://127"), "127.0.0.2", proxy=header)
    web.hello("bob").beat()


@pytest.mark.parametrize("header", [b"PROXY TCP4 192.0.2.7\r\n", b"PROXY TCP4 192.0.2.256 192.0.2.1 1 2\r\n",
                                    b"\n", b'{"type":"hello","v":1,"user":"alice"}\n', b"\r\n\r\n\0\r\nQUIT\n\x31\x11\0\x0c",
                                    b"PROXY TCP4 " + b"1" * 120, proxy_v2(DOCUMENTED)[:12] + b"\x21\x11\xff\xff" + b"x" * 600])
def test_broken_headers_from_a_trusted_network(trusting, through, header):
    client = through(trusting.url("tcp://127"), "127.0.0.2", proxy=header)
    client.ended()
    counters = trusting.wait_stats(lambda s: s["connections"] == 0)["counters"]
    assert counters["proxy_malformed"] == 1 and counters["logins"] == 0
    trusting.wait_log("no PROXY header from a trusted network")


@pytest.mark.parametrize("header, error", [(proxy_v1(DOCUMENTED), "bad_json"), (proxy_v2(DOCUMENTED), "hello_required")])
def test_header_of_a_stranger_is_bad_input(trusting, through, header, error):
    """From where it is not trusted a header is what it looks like in the protocol: a bad first line."""
    client = through(trusting.url("tcp://127"), "127.0.0.1", proxy=header)
    client.error(error)
    client.ended()
    counters = trusting.counters()
    assert counters[f"error_{error}"] == 1 and counters["proxy_malformed"] == 0


def test_header_of_a_stranger_at_a_web_door(trusting, through):
    with pytest.raises(Refused) as refused:
        through(trusting.url("ws://127"), "127.0.0.1", proxy=proxy_v1(DOCUMENTED))
    assert refused.value.status == 400
    assert trusting.counters()["upgrade_refused"] == 1


def test_addresses_of_headers_are_counted(trusting, through):
    """By IPv4 address and by IPv6 /64, and given back with the connection."""
    url = trusting.url("tcp://127")
    for group in (["192.0.2.7"] * 3, ["2001:db8::1", "2001:db8::2", "2001:db8::3"]):
        mine = [through(url, "127.0.0.2", proxy=proxy_v2(a)).hello(f"{a}{i}") for i, a in enumerate(group)]
        refused = through(url, "127.0.0.2", proxy=proxy_v2(group[0]))
        refused.error("server_full")
        refused.ended()
        through(url, "127.0.0.2", proxy=proxy_v2("2001:db8:0:1::1")).hello("neighbour").bye()
        mine[0].bye()
        trusting.wait_stats(lambda s: s["sessions"] % 3 == 2)
        through(url, "127.0.0.2", proxy=proxy_v1(group[1])).hello("again").beat()
    assert trusting.counters()["refused_address"] == 2


def test_many_headers_at_once(trusting, through):
    """Two hundred connections, each with its own address, from several threads."""
    url, failed = trusting.url("tcp://127"), []

    def work(part):
        try:
            for i in range(50):
                client = through(url, "127.0.0.2", proxy=proxy_v2(f"198.51.100.{50 * part + i + 1}"))
                client.hello(f"u{part}.{i}").beat()
        except Exception as error:
            failed.append(error)

    threads = [threading.Thread(target=work, args=(part,)) for part in range(4)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert not failed
    assert trusting.stats()["sessions"] == 200 and trusting.counters()["proxy_malformed"] == 0
