"""The README's five-minute tour, typed into terminals as it stands there, and what it says they show."""

import re
import shutil
import socket
import subprocess
import time

import pytest

from support.cli import CLI, Terminal, cli_environment
from support.mode import PATIENCE, ROOT
from support.server import sanitizer_wrap

README = (ROOT / "README.md").read_text()
TOUR = README.split("## A five-minute tour\n")[1].split("\n## ")[0]
KEYS = {"Ctrl-C": "\x03", "Ctrl-Z": "\x1a", "fg": "fg\n"}
STEP = re.compile(r"<!-- terminal (\d)( shows)? -->\n```(?:sh)?\n(.*?)```\n|<!-- terminal (\d): ([\w-]+) -->", re.S)


def steps():
    """In its order: (terminal, "type" or "show" or "press", text)."""
    for number, shows, block, of_key, key in STEP.findall(TOUR):
        if key:
            yield int(of_key), "press", key
        else:
            yield int(number), "show" if shows else "type", block


def shown_pattern(block):
    """What a terminal shows: … is anything, also on more lines where it is a line of its own; times are any."""
    pattern = ""
    for line in block.splitlines():
        pattern += rf"(?:{re.escape(Terminal.PROMPT)}[^\n]*\n)*"  # what was typed
        if line == "…":
            pattern += r"(?:[^\n]*\n)*?"
            continue
        parts = [re.sub(r"\\?\d\d:\\?\d\d:\\?\d\d", r"\\d\\d:\\d\\d:\\d\\d", re.escape(part)) for part in line.split("…")]
        pattern += "[^\n]*".join(parts) + "\n"
    return pattern


class Tour:
    """The terminals, by number: each a shell in the folder, opened when it is first used."""

    def __init__(self, env, folder, command):
        self.env, self.folder, self.command = env, folder, command
        self.terminals = {}
        self.began = time.monotonic()
        self.passed = []

    def open(self, number):
        if number not in self.terminals:
            self.terminals[number] = Terminal(env=self.env, cwd=self.folder, is_plain=True)
            self.terminals[number].wait(re.escape(Terminal.PROMPT))
        return self.terminals[number]

    def take(self, number, what, text):
        terminal = self.open(number)
        if what == "type":
            for line in text.splitlines():
                terminal.type(line.replace("build/release/presencectl", self.command) + "\n")
        elif what == "press":
            terminal.type(KEYS[text])
        else:
            terminal.wait(shown_pattern(text), timeout=3 * PATIENCE)
            self.passed.append((time.monotonic() - self.began, text.splitlines()[0]))

    def close(self):
        for terminal in self.terminals.values():
            terminal.close()


@pytest.fixture
def tour():
    begun = []

    def begin(*args):
        begun.append(Tour(*args))
        return begun[-1]

    yield begin
    for one in begun:
        one.close()


def test_the_tour_is_read_whole():
    told = [text for _, what, text in steps() if what == "show"]
    assert len(told) == TOUR.count("shows -->") >= 7 and any("bob is offline (timeout)" in text for text in told)
    assert TOUR.count("<!-- ") == len(list(steps()))
    assert [text for _, what, text in steps() if what == "press"] == ["Ctrl-Z", "fg", "Ctrl-C"]


def test_five_minute_tour(start, tour, figure):
    walk = tour(cli_environment(start()), ROOT, " ".join(map(str, [*sanitizer_wrap(), CLI])))
    for step in steps():
        walk.take(*step)
    frozen = next(at for at, line in walk.passed if "(timeout)" in line)
    figure(f"from the first command to bob is offline (timeout): {frozen:.1f} s; the whole tour: {walk.passed[-1][0]:.1f} s")


def test_make_run_says_how_it_begins():
    said = subprocess.run([ROOT / "etc/dev/run", "true"], check=True, capture_output=True, text=True,
                          timeout=PATIENCE).stdout
    commands = [line[4:].replace("./presencectl", "build/release/presencectl")
                for line in said.splitlines() if line.startswith("    ")]
    assert commands == [text.strip() for _, what, text in steps() if what == "type"][:2]
    env = (ROOT / "etc/presenced.env").read_text()
    for address in ("127.0.0.1:7400", "127.0.0.1:7402"):
        assert address in said and address in env
    assert max(map(len, said.splitlines())) < 100


@pytest.mark.long
@pytest.mark.release_only
def test_newcomers_path(tour, tmp, figure):
    """From the clone on, with nothing built: what `make run` says, and then the tour, until bob is offline."""
    ports = {}
    for name in ("7400", "7402"):
        with socket.create_server(("127.0.0.1", 0)) as free:
            ports[name] = free.getsockname()[1]
    env = cli_environment(PRESENCE_URL=f"tcp://127.0.0.1:{ports['7400']}",
                          PRESENCE_ADMIN_URL=f"http://127.0.0.1:{ports['7402']}",
                          PRESENCED_LISTEN=f"tcp://127.0.0.1:{ports['7400']}",
                          PRESENCED_ADMIN_LISTEN=f"127.0.0.1:{ports['7402']}")
    for name in ("MAKEFLAGS", "MFLAGS", "MAKELEVEL"):
        env.pop(name, None)
    folder = tmp / "presenced"
    began = time.monotonic()
    if (ROOT / ".git").exists():
        subprocess.run(["git", "clone", "-q", ROOT, folder], check=True, timeout=60)
    else:
        shutil.copytree(ROOT, folder, ignore=shutil.ignore_patterns("build"))
    walk = tour(env, folder, "build/release/presencectl")
    walk.began = began
    server = walk.open(1)
    server.type("make run\n")
    server.wait(r"presencectl watch bob", timeout=280)
    server.wait(r"msg=ready", timeout=20)
    built = time.monotonic() - began
    for step in steps():
        walk.take(*step)
        if walk.passed and "(timeout)" in walk.passed[-1][1]:
            break
    told = walk.passed[-1][0]
    assert "bob is offline (timeout)" in walk.passed[-1][1]
    figure(f"clone and make run: {built:.0f} s; bob is offline (timeout) on the screen: {told:.0f} s")
    assert told < 300
    server.type("\x03")
    server.wait(re.escape(Terminal.PROMPT), timeout=30)
