"""A real presenced, started from its binary and stopped by its signal.

Start waits for the server's own `msg=ready`; stop sends SIGTERM and wants exit code 0 and no word from a
sanitizer. The log is kept in a file, its tail is shown by conftest where a test fails."""

import http.client
import json
import os
import pathlib
import re
import shutil
import signal
import subprocess
import threading
import time
from urllib.parse import quote, urlsplit

from support import lab
from support.mode import BINARY, MODE, PATIENCE

SANITIZER_WORDS = ("AddressSanitizer", "LeakSanitizer", "ThreadSanitizer", "runtime error:",
                   "UndefinedBehaviorSanitizer")
DEFAULTS = {
    "PRESENCED_LISTEN": "tcp://127.0.0.1:0",
    "PRESENCED_ADMIN_LISTEN": "127.0.0.1:0",
}
_known = None


class StartFailed(AssertionError):
    pass


def environment(settings):
    env = {k: v for k, v in os.environ.items() if not k.startswith("PRESENCED_")}
    env.setdefault("ASAN_OPTIONS", "abort_on_error=0:exitcode=99:detect_stack_use_after_return=1")
    env.setdefault("UBSAN_OPTIONS", "print_stacktrace=1:halt_on_error=1:exitcode=99")
    env.setdefault("TSAN_OPTIONS", "exitcode=99:second_deadlock_stack=1")
    env.update({k: str(v) for k, v in settings.items()})
    return env


def sanitizer_wrap():
    """Sanitizers of today's compilers want the address space where they know it."""
    return ["setarch", "-R"] if MODE != "release" and shutil.which("setarch") else []


def run_to_end(*args, wrap=(), timeout=None, preexec_fn=None, pass_fds=(), **settings):
    """One run that is expected to end by itself: exit code, stdout, stderr."""
    done = subprocess.run([*wrap, *sanitizer_wrap(), str(BINARY), *args], env=environment(settings),
                          stdin=subprocess.DEVNULL, capture_output=True, text=True,
                          timeout=timeout or 2 * PATIENCE, preexec_fn=preexec_fn, pass_fds=pass_fds)
    assert not any(word in done.stderr for word in SANITIZER_WORDS), done.stderr
    return done


def known_settings():
    """The variables that this build has, from its own mouth."""
    global _known
    if _known is None:
        out = run_to_end("--print-config").stdout
        _known = set(re.findall(r"\bPRESENCED_[A-Z_]+\b", out))
    return _known


def off_loopback():
    """What a server needs to be told before it listens in plain text beyond loopback."""
    names = ("PRESENCED_ALLOW_PLAINTEXT", "PRESENCED_ALLOW_ANONYMOUS")
    return {name: "true" for name in names if name in known_settings()}


class Server:
    """Keyword arguments in capitals are settings without their prefix: Server(tmp, HEARTBEAT='1s')."""

    def __init__(self, tmp, name="presenced", namespace=None, wrap=(), env=None, preexec_fn=None, pass_fds=(),
                 **settings):
        self.namespace = namespace
        self.log_path = pathlib.Path(tmp) / f"{name}.log"
        full = dict(DEFAULTS)
        if "PRESENCED_MESSAGE_RATE" in known_settings():
            full["PRESENCED_MESSAGE_RATE"] = "0"
        full.update({f"PRESENCED_{k}": v for k, v in settings.items()})
        enter = ["nsenter", f"--net={lab.NETNS}/{namespace}"] if namespace else []
        self.urls, self.admin = [], None
        self.lines = []
        self._ready = threading.Condition()
        self._is_over = False
        self.process = subprocess.Popen(
            [*enter, *wrap, *sanitizer_wrap(), str(BINARY)], env={**environment(full), **(env or {})},
            stdin=subprocess.DEVNULL, stdout=subprocess.DEVNULL, stderr=subprocess.PIPE, preexec_fn=preexec_fn,
            pass_fds=pass_fds)
        self.pid = self.process.pid
        self._reader = threading.Thread(target=self._read_log, daemon=True)
        self._reader.start()
        self._wait_ready()

    def _read_log(self):
        with open(self.log_path, "w", encoding="utf-8") as log:
            for raw in self.process.stderr:
                line = raw.decode("utf-8", "replace").rstrip("\n")
                log.write(line + "\n")
                log.flush()
                with self._ready:
                    self.lines.append(line)
                    self._ready.notify_all()
        with self._ready:
            self._is_over = True
            self._ready.notify_all()

    def wait_log(self, pattern, timeout=None):
        """The first line of the log that matches; waits for it."""
        seen, end = 0, time.monotonic() + (timeout or PATIENCE)
        with self._ready:
            while True:
                for line in self.lines[seen:]:
                    if re.search(pattern, line):
                        return line
                seen = len(self.lines)
                left = end - time.monotonic()
                if left <= 0 or self._is_over:
                    raise StartFailed(f"no {pattern!r} in the log:\n" + "\n".join(self.lines[-30:]))
                self._ready.wait(left)

    def _wait_ready(self):
        try:
            self.wait_log(r"\bmsg=\"?ready\b", timeout=4 * PATIENCE)
        except StartFailed:
            self.kill()
            raise
        for line in self.lines:
            if re.search(r"\bmsg=\"?listening\b", line):
                url = re.search(r"\burl=\"?([^\s\"]+)", line).group(1)
                if url.startswith("http"):
                    self.admin = url
                else:
                    self.urls.append(url)

    def url(self, kind=""):
        """The first of its addresses that begins so."""
        return next(url for url in self.urls if url.startswith(kind))

    # The admin side

    def get(self, path, method="GET", token=None, headers=None):
        """Status and parsed body of one admin request."""
        where = urlsplit(self.admin)
        with lab.inside(self.namespace):
            http_client = http.client.HTTPConnection(where.hostname, where.port, timeout=PATIENCE)
            http_client.connect()
        try:
            bearer = {} if token is None else {"Authorization": f"Bearer {token}"}
            http_client.request(method, path, headers={**bearer, **(headers or {})})
            reply = http_client.getresponse()
            body = reply.read()
        finally:
            http_client.close()
        try:
            return reply.status, json.loads(body)
        except ValueError:
            return reply.status, body.decode("utf-8", "replace")

    def stats(self):
        status, body = self.get("/stats")
        assert status == 200, (status, body)
        return body

    def counters(self):
        return self.stats()["counters"]

    def wait_stats(self, condition, timeout=None):
        """Ask until the condition on the stats holds: for numbers that follow a moment later."""
        end = time.monotonic() + (timeout or PATIENCE)
        while True:
            stats = self.stats()
            if condition(stats):
                return stats
            assert time.monotonic() < end, stats
            time.sleep(0.01)

    def history(self, user, n=0):
        """A user's transitions, newest first, as soon as there are so many: the feed's thread may come after a worker's
        word."""
        deadline = time.monotonic() + PATIENCE
        while True:
            status, body = self.get(f"/v1/users/{quote(user, safe='')}/history")
            assert status == 200 and body["user"] == user, body
            if len(body["history"]) >= n:
                return body["history"]
            assert time.monotonic() < deadline, body
            time.sleep(0.005)

    # The process

    def memory_kb(self):
        return int(re.search(r"^VmRSS:\s+(\d+)", pathlib.Path(f"/proc/{self.pid}/status").read_text(), re.M).group(1))

    def descriptors(self):
        """Open in any of its threads: the workers' tables are their own."""
        total = 0
        for task in pathlib.Path(f"/proc/{self.pid}/task").iterdir():
            total += len(list((task / "fd").iterdir()))
        return total

    def is_alive(self):
        return self.process.poll() is None

    def signal(self, number):
        os.kill(self.pid, number)

    def wait(self, timeout=None):
        code = self.process.wait(timeout or 4 * PATIENCE)
        self._reader.join(PATIENCE)
        return code

    def kill(self):
        if self.is_alive():
            self.signal(signal.SIGCONT)
            self.process.kill()
        self.process.wait()
        self._reader.join(PATIENCE)

    def stop(self):
        """Ends the server as an operator would, and judges how it went."""
        if self.process.returncode is None and self.is_alive():
            self.signal(signal.SIGCONT)
            self.signal(signal.SIGTERM)
        try:
            code = self.wait()
        except subprocess.TimeoutExpired:
            self.kill()
            raise AssertionError(f"{self.log_path}: the server did not stop on SIGTERM")
        self.judge()
        assert code == 0, f"{self.log_path}: exit code {code}\n{self.tail()}"

    def judge(self):
        reports = [line for line in self.lines if any(word in line for word in SANITIZER_WORDS)]
        assert not reports, f"{self.log_path}: a sanitizer reports\n" + "\n".join(self.lines[-80:])

    def tail(self, n=40):
        return "\n".join(self.lines[-n:])
