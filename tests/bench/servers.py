"""The servers that benches run against: ours, the floor, and the peers. Each on loopback, fresh for each bench.

A peer is configured as somebody would who wants it fast and keeps nothing: no persistence, room for
all the connections, no limits of queues that the loads would meet."""

import functools
import json
import os
import pathlib
import re
import resource
import shutil
import signal
import socket
import subprocess
import tempfile
import time
import urllib.request

ROOT = pathlib.Path(__file__).resolve().parents[2]
RELEASE = ROOT / "build" / "release"
PRESENCED = pathlib.Path(os.environ.get("PRESENCED_BIN") or RELEASE / "presenced")
BENCHES = pathlib.Path(os.environ.get("BENCH_BIN") or RELEASE / "tests" / "bench")
LOGS = ROOT / "build" / "bench-logs"

OURS, FLOOR = "presenced", "floor"
MOSQUITTO, REDIS, MEMCACHED = "mosquitto", "redis", "memcached"
PEERS = (MOSQUITTO, REDIS, MEMCACHED)
PROGRAMS = {MOSQUITTO: "mosquitto", REDIS: "redis-server", MEMCACHED: "memcached"}
DIALECTS = {OURS: "presence", FLOOR: "presence", MOSQUITTO: "mqtt", REDIS: "redis", MEMCACHED: "memcached"}

START_LIMIT_S = 15
STOP_LIMIT_S = 15
BENCH_LIMIT_S = 200
PEER_CONNECTIONS = 15000


class BenchFailed(Exception):
    pass


def free_port():
    with socket.socket() as s:
        s.bind(("127.0.0.1", 0))
        return s.getsockname()[1]


def find_program(name):
    """Also where Debian puts daemons, which is in no ordinary user's path."""
    return shutil.which(PROGRAMS[name], path=os.environ.get("PATH", "") + ":/usr/sbin:/usr/local/sbin")


@functools.cache
def unlimited():
    """No limit of messages a second, where the server has one."""
    help_text = subprocess.run([str(PRESENCED), "--help"], stdin=subprocess.DEVNULL,
                               stdout=subprocess.PIPE, timeout=10).stdout.decode()
    return {"PRESENCED_MESSAGE_RATE": "0"} if "PRESENCED_MESSAGE_RATE" in help_text else {}


def prepare_process(cpus):
    """In the child: all the descriptors it may have, and its processors."""
    hard = resource.getrlimit(resource.RLIMIT_NOFILE)[1]
    resource.setrlimit(resource.RLIMIT_NOFILE, (hard, hard))
    if cpus:
        os.sched_setaffinity(0, cpus)


class Server:
    """A server's process, listening at `url`."""

    def __init__(self, name, cpus=None, settings=None, tls=False):
        self.name, self.admin, self.folder, self.tls = name, None, None, tls
        self.log = LOGS / f"{name}.log"
        env = {k: v for k, v in os.environ.items() if not k.startswith("PRESENCED_")}
        command = self.command(env, settings or {})
        try:
            with open(self.log, "ab") as log:
                self.log_start = log.seek(0, os.SEEK_END)
                self.process = subprocess.Popen(
                    command, env=env, stdin=subprocess.DEVNULL, stdout=log, stderr=log,
                    cwd=self.folder, preexec_fn=lambda: prepare_process(cpus))
        except BaseException:
            self.remove_folder()
            raise
        try:
            self.url = self.wait_until_ready()
        except BaseException:
            self.stop()
            raise

    def command(self, env, settings):
        if self.name == FLOOR:
            return [str(BENCHES / "bench_floor"), "--limit-s", str(BENCH_LIMIT_S * 2)]
        if self.name == OURS:
            self.admin = f"127.0.0.1:{free_port()}"
            env |= {
                "PRESENCED_LISTEN": f"{'tls' if self.tls else 'tcp'}://127.0.0.1:0",
                **(self.certificate() if self.tls else {}),
                "PRESENCED_ADMIN_LISTEN": self.admin,
                **unlimited(),
                **settings,
            }
            return [str(PRESENCED)]
        program = find_program(self.name)
        if not program:
            raise BenchFailed(f"{PROGRAMS[self.name]} is not installed")
        self.port = free_port()
        self.folder = tempfile.mkdtemp(prefix="bench-")
        return [program, *getattr(self, f"arguments_{self.name}")()]

    def certificate(self):
        self.folder = tempfile.mkdtemp(prefix="bench-")
        cert, key = f"{self.folder}/cert.pem", f"{self.folder}/key.pem"
        subprocess.run(["openssl", "req", "-x509", "-newkey", "ec", "-pkeyopt", "ec_paramgen_curve:P-256", "-nodes",
                        "-days", "2", "-subj", "/CN=localhost", "-keyout", key, "-out", cert],
                       stdin=subprocess.DEVNULL, stderr=subprocess.DEVNULL, check=True, timeout=30)
        return {"PRESENCED_TLS_CERT": cert, "PRESENCED_TLS_KEY": key}

    def arguments_mosquitto(self):
        config = pathlib.Path(self.folder) / "mosquitto.conf"
        config.write_text(f"listener {self.port} 127.0.0.1\n"
                          "allow_anonymous true\npersistence false\nset_tcp_nodelay true\n"
                          "max_connections -1\nmax_queued_messages 0\nsys_interval 0\n"
                          "log_dest stderr\nlog_type error\nlog_type warning\n"
                          + ("user root\n" if os.getuid() == 0 else ""))
        return ["-c", str(config)]

    def arguments_redis(self):
        return ["--bind", "127.0.0.1", "--port", str(self.port), "--save", "", "--appendonly", "no",
                "--protected-mode", "no",  # which would take 127.0.0.1 alone for this host
                "--maxclients", str(PEER_CONNECTIONS), "--tcp-backlog", "4096", "--tcp-keepalive", "0",
                "--notify-keyspace-events", "Ex", "--loglevel", "warning"]

    def arguments_memcached(self):
        return ["-l", "127.0.0.1", "-p", str(self.port), "-U", "0", "-c", str(PEER_CONNECTIONS),
                *(["-u", "root"] if os.getuid() == 0 else [])]

    def is_there(self, text):
        """The address, once the server takes connections."""
        if self.name in (OURS, FLOOR):
            listening = re.search(rb'msg="?listening"?.*?url="?((?:tcp|tls)://[0-9.]+:[0-9]+)', text)
            ready = listening and re.search(rb'msg="?ready"?', text)
            return listening.group(1).decode() if ready else None
        try:
            socket.create_connection(("127.0.0.1", self.port), 1).close()
        except OSError:
            return None
        return f"tcp://127.0.0.1:{self.port}"

    def wait_until_ready(self):
        deadline = time.monotonic() + START_LIMIT_S
        text = b""
        while time.monotonic() < deadline:
            ended = self.process.poll() is not None
            with open(self.log, "rb") as log:
                log.seek(self.log_start)
                text = log.read()
            url = self.is_there(text)
            if url:
                return url
            if ended:
                break
            # The log is a file, so that no reader of it takes processor time later; but a file
            # tells nobody that it has grown, and the peers say nothing at all.
            time.sleep(0.02)
        said = text.decode(errors="replace").strip()
        raise BenchFailed(f"{self.name} did not become ready: {said}")

    def stats(self):
        with urllib.request.urlopen(f"http://{self.admin}/stats", timeout=10) as answer:
            return json.load(answer)

    def remove_folder(self):
        if self.folder:
            shutil.rmtree(self.folder, ignore_errors=True)

    def stop(self):
        """Whether it had been running until now and ended by itself."""
        was_running = self.process.poll() is None
        if was_running:
            self.process.send_signal(signal.SIGCONT)  # a bench that failed may have left it stopped
            self.process.terminate()
        try:
            self.process.wait(STOP_LIMIT_S)
        except subprocess.TimeoutExpired:
            self.process.kill()
            self.process.wait()
            was_running = False
        self.remove_folder()
        return was_running
