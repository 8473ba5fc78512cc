"""presencectl as a user has it: run to its end, kept running, or in a terminal."""

import os
import pathlib
import pty
import re
import select
import signal
import struct
import subprocess
import termios
import threading
import time
from fcntl import ioctl

from support.mode import BINARY, PATIENCE
from support.server import SANITIZER_WORDS, environment, sanitizer_wrap

CLI = BINARY.parent / "presencectl"
VARIABLES = ("PRESENCE_URL", "PRESENCE_TOKEN", "PRESENCE_USER", "PRESENCE_ADMIN_URL", "PRESENCE_ADMIN_TOKEN")


def cli_environment(server=None, **more):
    """Of a server, on its own ports; nothing of whoever runs the tests. None takes a variable away."""
    env = {k: v for k, v in environment({}).items() if k not in VARIABLES and k != "NO_COLOR"}
    env.update(TZ="UTC-1", TERM="xterm")
    if server is not None:
        env.update(PRESENCE_URL=server.url(), PRESENCE_ADMIN_URL=server.admin)
    env.update({k: str(v) for k, v in more.items() if v is not None})
    return {k: v for k, v in env.items() if more.get(k, "") is not None}


def judge(stderr):
    assert not any(word in stderr for word in SANITIZER_WORDS), stderr


def run_cli(*args, server=None, env=None, timeout=None, **options):
    """One run that is expected to end by itself: exit code, stdout, stderr."""
    done = subprocess.run([*sanitizer_wrap(), str(CLI), *args], env=cli_environment(server, **(env or {})),
                          stdin=subprocess.DEVNULL, stdout=options.pop("stdout", subprocess.PIPE),
                          stderr=subprocess.PIPE, text=True, timeout=timeout or 4 * PATIENCE, **options)
    judge(done.stderr)
    return done


class LiveCli:
    """One that goes on until it is told to stop; its lines, as they come."""

    def __init__(self, *args, server=None, env=None):
        self.process = subprocess.Popen([*sanitizer_wrap(), str(CLI), *args], stdin=subprocess.DEVNULL,
                                        stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True,
                                        env=cli_environment(server, **(env or {})))
        self.pid = self.process.pid
        self.lines, self.errors = [], []
        self._changed = threading.Condition()
        self._readers = [threading.Thread(target=self._read, args=pair, daemon=True)
                         for pair in ((self.process.stdout, self.lines), (self.process.stderr, self.errors))]
        for reader in self._readers:
            reader.start()

    def _read(self, stream, lines):
        for line in stream:
            with self._changed:
                lines.append((line.rstrip("\n"), time.monotonic()))
                self._changed.notify_all()
        with self._changed:
            self._changed.notify_all()

    def wait(self, pattern, lines=None, timeout=None):
        """The next line that matches, those before it being passed; sets `at`."""
        lines, end = self.lines if lines is None else lines, time.monotonic() + (timeout or 2 * PATIENCE)
        with self._changed:
            while True:
                for i, (line, at) in enumerate(lines):
                    if re.search(pattern, line):
                        del lines[:i + 1]
                        self.at = at
                        return line
                left = end - time.monotonic()
                assert left > 0, f"no {pattern!r} in {lines}; standard error: {self.errors}"
                self._changed.wait(left)

    def wait_error(self, pattern, timeout=None):
        return self.wait(pattern, self.errors, timeout)

    def signal(self, number):
        os.kill(self.pid, number)

    def ended(self, timeout=None):
        """The exit code, once it has ended by itself."""
        code = self.process.wait(timeout or 2 * PATIENCE)
        for reader in self._readers:
            reader.join(PATIENCE)
        judge("\n".join(line for line, _ in self.errors))
        return code

    def interrupt(self):
        """Ctrl-C, and the exit code."""
        self.signal(signal.SIGINT)
        return self.ended()

    def close(self):
        if self.process.poll() is None:
            self.signal(signal.SIGCONT)
            self.process.kill()
        self.process.wait()


class Terminal:
    """A terminal with a program in it, by default a shell that takes what is typed."""

    PROMPT = "tour> "

    def __init__(self, *command, env=None, cwd=None, is_plain=False):
        self.command = command or ("bash", "--noprofile", "--norc", "-i")
        env = {"TERM": "xterm", **(env or os.environ), "PS1": self.PROMPT, "HISTFILE": "/dev/null"}
        self.pid, self.fd = pty.fork()
        if self.pid == 0:
            try:
                # A shell gets long lines, for it wraps what is typed in ways of its own.
                ioctl(0, termios.TIOCSWINSZ, struct.pack("HHHH", 24, 80 if command else 1000, 0, 0))
                if cwd:
                    os.chdir(cwd)
                os.execvpe(self.command[0], [str(part) for part in self.command], env)
            finally:
                os._exit(127)
        self.is_plain = is_plain  # text without colours and carriage returns
        self.text = ""
        self.code = None

    def type(self, text):
        os.write(self.fd, text.encode())

    def _fill(self, left):
        if not select.select([self.fd], [], [], max(0, left))[0]:
            return True
        try:
            data = os.read(self.fd, 65536)
        except OSError:  # EIO: the other side is closed
            return False
        self.text += data.decode("utf-8", "replace")
        if self.is_plain:
            self.text = re.sub(r"\x1b\[[0-9;?]*[A-Za-z]|\r", "", self.text)
        return bool(data)

    def wait(self, pattern, timeout=None):
        """What is shown until it matches; it and all before are forgotten."""
        end = time.monotonic() + (timeout or 2 * PATIENCE)
        is_open = True
        while True:
            found = re.search(pattern, self.text, re.S)
            if found:
                before, self.text = self.text[:found.end()], self.text[found.end():]
                return before
            assert is_open and time.monotonic() < end, f"no {pattern!r} in {self.text!r}"
            is_open = self._fill(end - time.monotonic())

    def ended(self, timeout=None):
        """The exit code of the program, once it has ended; all that it showed is in text."""
        end = time.monotonic() + (timeout or 2 * PATIENCE)
        while self._fill(end - time.monotonic()):
            assert time.monotonic() < end, self.text
        return self._reap(end)

    def _reap(self, end):
        while self.code is None:
            pid, status = os.waitpid(self.pid, os.WNOHANG)
            if pid:
                self.code = os.waitstatus_to_exitcode(status)
            elif time.monotonic() > end:
                os.kill(self.pid, signal.SIGKILL)
            else:
                time.sleep(0.005)
        return self.code

    def close(self):
        """Hangs up, as a closed window does, and ends what was left in it."""
        session = [int(p.name) for p in pathlib.Path("/proc").glob("[0-9]*") if self._is_of_session(p)]
        for number in (signal.SIGHUP, signal.SIGCONT):
            for pid in session:
                try:
                    os.kill(pid, number)
                except ProcessLookupError:
                    pass
        os.close(self.fd)
        self._reap(time.monotonic() + PATIENCE)

    def _is_of_session(self, proc):
        try:
            return int((proc / "stat").read_text().rsplit(")", 1)[1].split()[3]) == self.pid
        except (OSError, IndexError, ValueError):
            return False
