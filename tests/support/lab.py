"""Real hosts: network namespaces, a router between them, and ways in which it all breaks.

    host 0 (192.0.2.2) ──┐
    host 1 (192.0.2.6) ──┼── router ── server (198.51.100.2)
    …                    ┘

A /30 a host, documentation addresses only, no default route: nothing can leave. Made as root, else in a
user namespace of this process. Names carry the process id: what a killed run left behind is swept by the
next. Times are CLOCK_MONOTONIC, which namespaces share."""

import atexit
import contextlib
import ctypes
import itertools
import os
import pathlib
import re
import subprocess
import time

NETNS = "/run/netns"
SERVER_ADDRESS = "198.51.100.2"
CLONE_NEWNS, CLONE_NEWUSER, CLONE_NEWNET = 0x00020000, 0x10000000, 0x40000000
MS_REC, MS_PRIVATE = 0x4000, 0x40000
MAX_HOSTS = 60

_libc = ctypes.CDLL(None, use_errno=True)
_count = itertools.count()
_why_not = ""
_is_prepared = False


def _call(what, *args):
    if getattr(_libc, what)(*args) != 0:
        raise OSError(ctypes.get_errno(), f"{what}: {os.strerror(ctypes.get_errno())}")


def run(*command, stdin=None, check=True):
    done = subprocess.run(command, input=stdin, capture_output=True, text=True)
    assert not check or done.returncode == 0, f"{' '.join(command)}: {done.stderr}\n{stdin or ''}"
    return done.stdout


def run_all(commands):
    """All at the same time; returns when the last is done."""
    running = [subprocess.Popen(c, stderr=subprocess.PIPE, stdout=subprocess.DEVNULL, text=True) for c in commands]
    for command, process in zip(commands, running):
        _, words = process.communicate()
        assert process.returncode == 0, f"{' '.join(command)}: {words}"


@contextlib.contextmanager
def inside(namespace):
    """This thread in the namespace; sockets opened meanwhile stay there. None: where it is."""
    if namespace is None:
        yield
        return
    with open("/proc/thread-self/ns/net") as home, open(f"{NETNS}/{namespace}") as there:
        _call("setns", there.fileno(), CLONE_NEWNET)
        try:
            yield
        finally:
            _call("setns", home.fileno(), CLONE_NEWNET)


def _enter_user_namespace():
    uid, gid = os.geteuid(), os.getegid()
    _call("unshare", CLONE_NEWUSER | CLONE_NEWNS | CLONE_NEWNET)
    pathlib.Path("/proc/self/setgroups").write_text("deny")
    pathlib.Path("/proc/self/uid_map").write_text(f"0 {uid} 1")
    pathlib.Path("/proc/self/gid_map").write_text(f"0 {gid} 1")
    _call("mount", b"none", b"/", None, MS_REC | MS_PRIVATE, None)
    _call("mount", b"tmpfs", b"/run", b"tmpfs", 0, None)
    run("ip", "link", "set", "lo", "up")


def _sweep():
    """What runs before this one, killed, left behind."""
    names = os.listdir(NETNS) if os.path.isdir(NETNS) else []
    for name in names:
        owner = re.match(r"prlab(\d+)n", name)
        if owner and not os.path.exists(f"/proc/{owner.group(1)}"):
            run("ip", "netns", "del", name, check=False)


def why_not():
    """Empty where labs can be made here, else the reason. Moves this process into a user namespace where
    that is what it takes: before the process has any thread."""
    global _is_prepared, _why_not
    if not _is_prepared:
        _is_prepared = True
        try:
            if os.geteuid() != 0:
                _enter_user_namespace()
            _sweep()
            probe = f"prlab{os.getpid()}n-probe"
            run("ip", "netns", "add", probe)
            try:
                run("nsenter", f"--net={NETNS}/{probe}", "nft", "add", "table", "ip", "lab")
            finally:
                run("ip", "netns", "del", probe, check=False)
        except (AssertionError, OSError) as error:
            _why_not = f"network namespaces are refused, as root and in a user namespace: {error}"
    return _why_not


class Lab:
    def __init__(self, n_hosts):
        assert n_hosts <= MAX_HOSTS
        tag = f"prlab{os.getpid()}n{next(_count)}"
        self.router, self.server = f"{tag}-r", f"{tag}-s"
        self.hosts = [f"{tag}-h{i}" for i in range(n_hosts)]
        self._down = set()
        atexit.register(self.close)
        try:
            self._build()
        except BaseException:
            self.close()
            raise

    def _names(self):
        return [self.router, self.server, *self.hosts]

    def _build(self):
        run("ip", "-batch", "-", stdin="".join(f"netns add {name}\n" for name in self._names()))
        for name in self._names():
            with inside(name):
                if os.path.exists("/proc/sys/net/ipv6/conf/all/disable_ipv6"):
                    pathlib.Path("/proc/sys/net/ipv6/conf/all/disable_ipv6").write_text("1")
        with inside(self.router):
            pathlib.Path("/proc/sys/net/ipv4/ip_forward").write_text("1")
        lines = ["link set lo up", f"link add srv type veth peer name eth0 netns {self.server}",
                 "addr add 198.51.100.1/24 dev srv", "link set srv up"]
        for i, host in enumerate(self.hosts):
            lines += [f"link add h{i} type veth peer name eth0 netns {host}",
                      f"addr add 192.0.2.{4 * i + 1}/30 dev h{i}", f"link set h{i} up"]
        self.ip(self.router, *lines)
        self.ip(self.server, "link set lo up", f"addr add {SERVER_ADDRESS}/24 dev eth0", "link set eth0 up",
                "route add 192.0.2.0/24 via 198.51.100.1")
        for i, host in enumerate(self.hosts):
            self.ip(host, "link set lo up", f"addr add {self.address(i)}/30 dev eth0", "link set eth0 up",
                    self._route(i))
        self.nft("add table ip lab", "add chain ip lab forward { type filter hook forward priority 0; policy accept; }")

    def _route(self, i):
        return f"route replace 198.51.100.0/24 via 192.0.2.{4 * i + 1}"

    def address(self, i):
        return f"192.0.2.{4 * i + 2}"

    def ip(self, namespace, *lines):
        return run("nsenter", f"--net={NETNS}/{namespace}", "ip", "-batch", "-", stdin="\n".join(lines) + "\n")

    def nft(self, *lines):
        return run("nsenter", f"--net={NETNS}/{self.router}", "nft", "-f", "-", stdin="\n".join(lines) + "\n")

    def sysctl(self, namespace, name, value):
        with inside(namespace):
            pathlib.Path("/proc/sys/" + name.replace(".", "/")).write_text(str(value))

    # Faults. Each returns (before, after): the moments between which it set in.

    def _timed(self, action):
        before = time.monotonic()
        action()
        return before, time.monotonic()

    def cable_out(self, hosts):
        hosts = list(hosts)
        self._down |= set(hosts)
        return self._timed(lambda: run_all(
            [["nsenter", f"--net={NETNS}/{self.hosts[i]}", "ip", "link", "set", "eth0", "down"] for i in hosts]))

    def _links(self, hosts):
        return "{ " + ", ".join(f'"h{i}"' for i in hosts) + " }"

    def black_hole(self, hosts):
        links = self._links(hosts)
        return self._timed(lambda: self.nft(f"add rule ip lab forward iifname {links} drop",
                                            f"add rule ip lab forward oifname {links} drop"))

    def one_way(self, hosts):
        """What the hosts send is lost; what is sent to them arrives."""
        return self._timed(lambda: self.nft(f"add rule ip lab forward iifname {self._links(hosts)} drop"))

    def other_way(self, hosts):
        """What the hosts send arrives; what is sent to them, acknowledgements too, is lost."""
        return self._timed(lambda: self.nft(f"add rule ip lab forward oifname {self._links(hosts)} drop"))

    def refuse(self, hosts):
        """The router answers what is sent to the hosts with `host unreachable`, and drops what they send."""
        links = self._links(hosts)
        return self._timed(lambda: self.nft(
            f"add rule ip lab forward iifname {links} drop",
            f"add rule ip lab forward oifname {links} reject with icmp type host-unreachable"))

    def loss(self, percent):
        return self._timed(lambda: self.nft(f"add rule ip lab forward numgen random mod 100 < {percent} drop"))

    def power_loss(self, hosts, crowds):
        """The cable first, so that no FIN leaves; then the processes and the kernel's memory of them."""
        hosts = list(hosts)
        window = self.cable_out(hosts)
        for i in hosts:
            crowds[i].kill()
        run_all([["nsenter", f"--net={NETNS}/{self.hosts[i]}", "ss", "-K", "dst", SERVER_ADDRESS] for i in hosts])
        return window

    def forget_sockets(self, i):
        """The server's kernel gives its sockets to this host up: an error to the server, no word of the peer."""
        return run("nsenter", f"--net={NETNS}/{self.server}", "ss", "-K", "dst", self.address(i))

    def sockets(self, i):
        """What the server's kernel says of its sockets to this host."""
        return run("nsenter", f"--net={NETNS}/{self.server}", "ss", "-Htno", "dst", self.address(i)).strip()

    def heal(self):
        self.nft("flush chain ip lab forward")
        for i in sorted(self._down):
            self.ip(self.hosts[i], "link set eth0 up", self._route(i))
        self._down.clear()

    def close(self):
        atexit.unregister(self.close)
        for name in self._names():
            if os.path.exists(f"{NETNS}/{name}"):
                run("ip", "netns", "del", name, check=False)
