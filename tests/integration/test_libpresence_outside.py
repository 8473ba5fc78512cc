"""What libpresence is to those who install it: its symbols, its packaging, its examples."""

import os
import pathlib
import re
import signal
import subprocess
import threading
import time

import pytest

from support.mode import BINARY, IS_RELEASE, PATIENCE, ROOT
from support.server import SANITIZER_WORDS, sanitizer_wrap

BUILD = BINARY.parent
HEADER = (ROOT / "include/presence.h").read_text()
FUNCTIONS = set(re.findall(r"PRESENCE_API[^;]*?\b(presence_\w+)\(", HEADER, re.S))


def symbols(*command):
    lines = subprocess.run(command, check=True, capture_output=True, text=True).stdout.splitlines()
    return {line.split()[-1].split("@")[0] for line in lines if len(line.split()) == 3}


def test_exported_are_the_headers_functions_and_nothing_else():
    listed = set(re.findall(r"^\t\t(presence_\w+);", (ROOT / "src/client/c/libpresence.map").read_text(), re.M))
    assert listed == FUNCTIONS and len(FUNCTIONS) > 30
    assert symbols("nm", "-D", "--defined-only", BUILD / "libpresence.so") - {"PRESENCE_0"} == FUNCTIONS
    out = subprocess.run(["readelf", "-d", BUILD / "libpresence.so"], check=True, capture_output=True, text=True).stdout
    assert "Library soname: [libpresence.so.0]" in out
    needed = set(re.findall(r"Shared library: \[(lib\w+)", out))
    assert needed <= {"libwslay", "libhttp_parser", "libssl", "libcrypto", "libc", "libasan", "libubsan", "libtsan"}


@pytest.mark.release_only
def test_the_static_one_hides_the_same():
    """Else a program's own buffer_append() would be ours, or ours its."""
    assert symbols("nm", "-g", "--defined-only", BUILD / "libpresence.a") == FUNCTIONS


def test_the_manual_names_all_functions_and_errors():
    manual = (ROOT / "etc/man/libpresence.3").read_text()
    assert {name for name in FUNCTIONS if name not in manual} == set()
    errors = set(re.findall(r"^\tX\((\w+), \d+,", HEADER, re.M))
    assert {name for name in errors if f"PRESENCE_ERROR_{name}" not in manual} == set() and len(errors) > 30


def program_of_the_readme(url):
    """The first C program in README's section on the library, with another server."""
    text = (ROOT / "README.md").read_text().split("## In your program", 1)[1]
    return re.search(r"```c\n(.*?)```", text, re.S).group(1).replace("tcp://127.0.0.1:7400", url)


@pytest.mark.release_only
def test_installed_it_is_found_by_pkg_config(tmp, start):
    """Installed under a prefix, a stranger's program compiles, links either way and runs; so does README's."""
    # Nothing is built anew: others are testing it at this moment.
    made = subprocess.run(["make", "-s", "-C", ROOT, "install-libpresence-files", f"PREFIX={tmp}"], capture_output=True,
                          text=True, env={k: v for k, v in os.environ.items() if not k.startswith("MAKE")})
    assert made.returncode == 0, made.stderr
    env = {**os.environ, "PKG_CONFIG_PATH": f"{tmp}/lib/pkgconfig", "LD_LIBRARY_PATH": f"{tmp}/lib"}
    program = tmp / "program.c"
    program.write_text('#include <presence.h>\n#include <stdio.h>\n'
                       'int main(void) { puts(presence_version()); return presence_start(NULL) == PRESENCE_ERROR_ARGUMENT ? 0 : 1; }\n')
    for name, static in (("shared", []), ("static", ["--static"])):
        flags = subprocess.run(["pkg-config", "--cflags", "--libs", *static, "libpresence"], env=env, check=True,
                               capture_output=True, text=True).stdout.split()
        if static:
            flags = [f"{tmp}/lib/libpresence.a" if flag == "-lpresence" else flag for flag in flags]
        subprocess.run(["gcc", program, "-o", tmp / name, *flags], check=True)
        assert subprocess.run([tmp / name], env=env, check=True, capture_output=True, text=True).stdout == "0.1.0\n"
    linked = subprocess.run(["ldd", tmp / "static"], check=True, capture_output=True, text=True).stdout
    assert "libpresence" not in linked
    (tmp / "who.c").write_text(program_of_the_readme(start().url()))
    flags = subprocess.run(["pkg-config", "--cflags", "--libs", "libpresence"], env=env, check=True, capture_output=True,
                           text=True).stdout.split()
    subprocess.run(["gcc", "-Wall", "-Wextra", "-Werror", tmp / "who.c", "-o", tmp / "who", *flags], check=True)
    with subprocess.Popen(["stdbuf", "-oL", tmp / "who"], env=env, stdout=subprocess.PIPE, text=True) as who:
        assert who.stdout.readline() == "bob is offline (unknown)\n"
        who.kill()
    # C++ takes the header too.
    subprocess.run(["clang", "-fsyntax-only", "-Wall", "-Wextra", "-Werror", "-x", "c++", ROOT / "include/presence.h"], check=True)


class Example:
    """An example program, and what it says."""

    def __init__(self, name, *arguments, wrap=()):
        self.process = subprocess.Popen([*wrap, *sanitizer_wrap(), BUILD / "etc/examples" / name, *arguments], text=True,
                                        stdin=subprocess.PIPE, stdout=subprocess.PIPE, stderr=subprocess.PIPE)
        self.lines, self._changed = [], threading.Condition()
        self._thread = threading.Thread(target=self._read, daemon=True)
        self._thread.start()

    def _read(self):
        for line in self.process.stdout:
            with self._changed:
                self.lines.append(line.rstrip("\n"))
                self._changed.notify_all()

    def wait(self, pattern, timeout=4 * PATIENCE):
        with self._changed:
            assert self._changed.wait_for(lambda: any(re.fullmatch(pattern, line) for line in self.lines), timeout), self.lines

    def end(self):
        """Ctrl-C, and how it went."""
        self.process.send_signal(signal.SIGINT)
        try:
            code = self.process.wait(4 * PATIENCE)
        finally:
            self.process.kill()
        words = self.process.stderr.read()
        self._thread.join(PATIENCE)
        for stream in (self.process.stdin, self.process.stdout, self.process.stderr):
            stream.close()
        assert code == 0 and not any(word in words for word in SANITIZER_WORDS), (code, words)


@pytest.mark.parametrize("name", ["presence_poll", "presence_uv"])
def test_example(start, clients, name):
    """In a loop of its own: logs in, is told, outlives a restart of the server, says goodbye."""
    server = start()
    example = Example(name, server.url(), "alice", "bob")
    try:
        example.wait("link: up")
        bob = clients(server).hello("bob")
        example.wait(r"bob is online \(login\).*")
        bob.watch("alice")
        if name == "presence_poll":
            example.process.stdin.write("at lunch\n")
            example.process.stdin.flush()
            assert bob.event("alice")["status"] == "at lunch"
        bob.bye()
        example.wait(r"bob is offline \(logout\)")
        carol = clients(server).hello("carol")
        carol.watch("alice")
        example.end()
        carol.event("alice", "offline", "logout")
        assert example.lines[-1] == "link: stopped"
    finally:
        example.process.kill()


@pytest.mark.release_only
def test_valgrind_finds_nothing(start, tmp, clients):
    """A whole life, errors and reconnects included."""
    server = start()
    log = tmp / "valgrind.log"
    example = Example("presence_poll", server.url(), "alice", "bob",
                      wrap=["valgrind", "-q", "--leak-check=full", "--show-leak-kinds=definite,indirect,possible", "--track-fds=yes",
                            "--error-exitcode=9", f"--log-file={log}"])
    try:
        example.wait("link: up", 60)
        bob = clients(server).hello("bob")
        example.wait(r"bob is online \(login\)", 60)
        assert server.get("/v1/users/bob", method="DELETE")[0] == 204
        example.wait(r"bob is offline \(kicked\)", 60)
        example.end()
    finally:
        example.process.kill()
    words = log.read_text()
    assert "ERROR SUMMARY" not in words and "definitely lost" not in words and "Invalid" not in words, words
