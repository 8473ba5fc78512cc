"""presencectl and the admin HTTP: list, kick, why, stats; its options, its exit codes, its documents."""

import json
import os
import re
import shlex
import socket
import subprocess
import threading
import time

import pytest

from support.cli import CLI, LiveCli, Terminal, cli_environment, run_cli
from support.client import connect
from support.mode import PATIENCE, ROOT, sized
from support.server import sanitizer_wrap

MAN = (ROOT / "etc/man/presencectl.1").read_text()
SERVER_TOKEN = "a-secret-of-the-server"


def table(path, name):
    """The X(...) rows of a table in a header, as lists of their arguments, unquoted."""
    body = re.search(rf"^#define {name}\(X\)(.*?[^\\])$", (ROOT / path).read_text(), re.M | re.S)[1]
    rows = re.findall(r"\bX\(((?:[^()\"]|\"[^\"]*\")*)\)", body)
    return [[part.strip().strip('"') for part in re.findall(r'"[^"]*"|[^,]+', row)] for row in rows]


COMMANDS = [row[1] for row in table("src/cli/options.h", "CLI_COMMANDS")]
OPTIONS = {row[0]: row[1] for row in table("src/cli/options.h", "CLI_OPTIONS")}
TAKES = [(row[0].lower(), OPTIONS[row[1]]) for row in table("src/cli/options.h", "CLI_TAKES")]
VARIABLES = [row[0] for row in table("src/cli/options.h", "CLI_VARIABLES")]
EXITS = {int(row[1]) for row in table("src/cli/exits.h", "CLI_EXITS")}


# ---- documents ----------------------------------------------------------------------------------


def test_help_fits_a_screen_and_goes_to_standard_output():
    done = run_cli("--help")
    assert done.returncode == 0 and done.stderr == ""
    assert len(done.stdout.splitlines()) <= 24
    assert max(map(len, done.stdout.splitlines())) < 80
    for command in COMMANDS:
        assert re.search(rf"^  {command} ", done.stdout, re.M)
        one = run_cli(command, "--help")
        assert one.returncode == 0 and one.stdout.startswith(f"Usage: presencectl {command} ")
        said = set(re.findall(r"^  --([\w-]+)", one.stdout, re.M))
        assert said == {option for of, option in TAKES if of == command} | {"help"}


def test_version():
    done = run_cli("--version")
    assert (done.returncode, done.stderr) == (0, "")
    assert re.fullmatch(r"presencectl \d+\.\d+\.\d+\n", done.stdout)


def man_section(title):
    return MAN.split(f"\n.Sh {title}\n")[1].split("\n.Sh ")[0]


def test_man_page_has_all_and_no_more():
    description = man_section("DESCRIPTION")
    subsections = dict(re.findall(r"^\.Ss (\w+)\n(.*?)(?=^\.Ss|\Z)", description, re.M | re.S))
    assert list(subsections) == COMMANDS
    for command, text in subsections.items():
        documented = re.findall(r"^\.It Fl -([\w-]+)", text, re.M)
        assert sorted(documented) == sorted(option for of, option in TAKES if of == command), command
    synopsis = man_section("SYNOPSIS").split(".Nm\n.Cm ")[1:]
    for part, command in zip(synopsis, COMMANDS):
        part = part.split("\n.Nm")[0]
        assert part.startswith(f"{command}\n")
        assert sorted(re.findall(r"Fl -([\w-]+)", part)) == sorted(o for of, o in TAKES if of == command), command
    documented = re.findall(r"^\.It Ev (\w+)", man_section("ENVIRONMENT"), re.M)
    assert documented[:len(VARIABLES)] == VARIABLES
    assert {int(code) for code in re.findall(r"^\.It (\d+)$", man_section("EXIT STATUS"), re.M)} == EXITS


# ---- completion ---------------------------------------------------------------------------------

COMPLETION = ROOT / "etc/completion/presencectl"


def complete(*words, env=None):
    """What bash offers for the last of the words, as bash splits them: also at colons."""
    line = " ".join(("presencectl", *words))
    words = [part for word in words for part in (re.findall(r":|[^:]+", word) or [""])]
    script = f"""
        presencectl() {{ {" ".join(map(str, [*sanitizer_wrap(), CLI]))} "$@"; }}
        source {COMPLETION}
        COMP_WORDS=(presencectl "$@"); COMP_CWORD=$#; COMP_LINE={shlex.quote(line)}; COMP_POINT=${{#COMP_LINE}}
        _presencectl
        printf '%s\\n' "${{COMPREPLY[@]}}"
        """
    done = subprocess.run(["bash", "--noprofile", "--norc", "-c", script, "bash", *words], capture_output=True,
                          text=True, env=env or cli_environment(), timeout=4 * PATIENCE)
    assert done.stderr == "", done.stderr
    return sorted(filter(None, done.stdout.splitlines()))


def test_completion_knows_commands_options_and_words():
    assert complete("") == sorted([*COMMANDS, "--help", "--version"])
    assert complete("wa") == ["watch"]
    for command in COMMANDS:
        offered = complete(command, "--")
        assert offered == sorted([f"--{option}" for of, option in TAKES if of == command] + ["--help"]), command
    assert complete("online", "bob", "--sta") == ["--state", "--status"]
    assert complete("online", "bob", "--state", "") == ["away", "busy", "invisible", "online"]
    assert complete("list", "--state", "o") == ["offline", "online"]
    assert complete("nothing", "") == []
    registered = subprocess.run(["bash", "-c", f"source {COMPLETION}; complete -p presencectl"], capture_output=True)
    assert registered.returncode == 0


def test_completion_offers_users(server, login, name):
    users = [name(word) for word in ("anna", "ann b", "anton")]
    for word in ("anna", "ann b", "anton", "ann\u202e"):
        login(word)
    env = cli_environment(server)
    quoted = sorted(user.replace(" ", "\\ ") for user in users)
    for command in ("watch", "get", "why", "kick"):
        offered = [user for user in complete(command, "an", env=env) if user in quoted]
        assert offered == quoted, command
    assert complete("why", users[0], "an", env=env) == []  # it takes one
    team = name("team")  # of this test's own: others have theirs on the same server
    login(f"{team}:red")
    login(f"{team}:blue")
    for command in ("watch", "kick"):
        assert complete(command, f"{team}:", env=env) == [name("blue"), name("red")], "bash replaces what is behind the colon"
        assert complete(command, f"{team}:r", env=env) == [name("red")]
    assert complete("watch", "an", env=cli_environment(PRESENCE_ADMIN_URL="http://127.0.0.1:1")) == []


def test_completion_in_a_real_shell(start, clients):
    server = start()
    clients(server).hello("user:42")
    shell = Terminal(env=cli_environment(server), is_plain=True)
    try:
        shell.wait(re.escape(Terminal.PROMPT))
        words = " ".join(map(str, [*sanitizer_wrap(), CLI]))
        shell.type(f'presencectl() {{ {words} "$@"; }}; source {COMPLETION}; echo there it is\n')
        shell.wait("\nthere it is\n")
        shell.type("presencectl ge\tu\t--qui\t; echo code $?\n")
        shell.wait(r"presencectl get user:42 --quiet ; echo code \$\?\ncode 0\n")
        shell.type("presencectl why user:4\t\n")
        shell.wait(r"presencectl why user:42 \nuser:42 is online")
    finally:
        shell.close()


# ---- usage and environment ----------------------------------------------------------------------


@pytest.mark.parametrize("args", [[], ["fly"], ["watch"], ["get", "--fly", "bob"], ["get", "a\nb"], ["list", "bob"],
                                  ["list", "--limit", "x"], ["online", "bob", "--heartbeat", "0s"], ["get", ""],
                                  ["kick", "bob", "1", "--device", "phone"], ["get", "x" * 129], ["--version", "x"]])
def test_wrong_usage(args):
    done = run_cli(*args)
    assert done.returncode == 64
    assert done.stdout == "" and done.stderr.startswith("presencectl: ") and done.stderr.count("\n") == 1


@pytest.mark.parametrize("command, variable, value", [
    ("list", "PRESENCE_ADMIN_URL", "ftp://127.0.0.1"), ("list", "PRESENCE_ADMIN_URL", "http://"),
    ("list", "PRESENCE_ADMIN_URL", "http://root:hunter2@127.0.0.1:7402"), ("list", "PRESENCE_ADMIN_URL", "127.0.0.1 x"),
    ("list", "PRESENCE_ADMIN_TOKEN", "hunter2\r\nX-Evil: 1"), ("get", "PRESENCE_URL", "http://127.0.0.1:7400"),
    ("get", "PRESENCE_URL", "127.0.0.1:7400"), ("get", "PRESENCE_TOKEN", "hunter2\n"), ("get", "PRESENCE_USER", "a\x01b"),
])
def test_wrong_environment(command, variable, value):
    done = run_cli(command, *(["bob"] if command == "get" else []), env={variable: value})
    assert done.returncode == 78, done.stderr
    assert variable in done.stderr and "hunter2" not in done.stderr and done.stderr.count("\n") == 1


def test_secrets_are_in_no_argument_and_no_error(start):
    server = start(ADMIN_TOKEN=SERVER_TOKEN)
    right = run_cli("list", server=server, env={"PRESENCE_ADMIN_TOKEN": SERVER_TOKEN})
    assert (right.returncode, right.stderr) == (0, "")
    wrong = run_cli("list", server=server, env={"PRESENCE_ADMIN_TOKEN": "hunter2"})
    assert wrong.returncode == 77
    assert "does not take the token in PRESENCE_ADMIN_TOKEN" in wrong.stderr and "hunter2" not in wrong.stderr
    missing = run_cli("list", server=server)
    assert missing.returncode == 77 and "set PRESENCE_ADMIN_TOKEN" in missing.stderr


# ---- what goes wrong on the way -----------------------------------------------------------------


class Imposter:
    """Answers each connection with these bytes, or what a function makes of the request's head, or with nothing, and
    notes what it was asked."""

    def __init__(self, answer, keep_open=False):
        self.answer, self.keep_open, self.asked, self.kept = answer, keep_open, [], []
        self.socket = socket.create_server(("127.0.0.1", 0))
        self.url = f"http://127.0.0.1:{self.socket.getsockname()[1]}"
        threading.Thread(target=self._serve, daemon=True).start()

    def _serve(self):
        while True:
            try:
                peer, _ = self.socket.accept()
            except OSError:
                return
            head = b""
            while b"\r\n\r\n" not in head:
                data = peer.recv(65536)
                if not data:
                    break
                head += data
            self.asked.append(head.decode())
            answer = self.answer(self.asked[-1]) if callable(self.answer) else self.answer
            if answer:
                peer.sendall(answer)
            if self.keep_open:
                self.kept.append(peer)
            else:
                peer.close()


@pytest.fixture
def imposter():
    begun = []

    def begin(*args, **options):
        begun.append(Imposter(*args, **options))
        return begun[-1]

    yield begin
    for one in begun:
        one.socket.close()


def http(status, body, *headers):
    head = [f"HTTP/1.1 {status}", f"Content-Length: {len(body)}", "Connection: close", *headers]
    return "\r\n".join([*head, "", body]).encode()


@pytest.mark.parametrize("answer, code, words", [
    (http("404 Not Found", ""), 76, "HTTP status 404"),
    (http("404 Not Found", '{"error":{"code":"not_found","message":"there is nothing at this path"}}'), 76, "nothing at"),
    (http("200 OK", "hello"), 76, "no JSON object"), (http("200 OK", "[]"), 76, "no JSON object"),
    (http("200 OK", "{}"), 76, "no presences"), (http("200 OK", '{"presences":[{}],"cursor":null}'), 76, "presence is none"),
    (http("302 Found", "", "Location: http://192.0.2.1/"), 76, "redirects elsewhere"),
    (http("503 Busy", '{"error":{"code":"busy","message":"ask \\u001b[31m again"}}'), 69, "ask \\x1b[31m again"),
    (b"220 smtp.example.com\r\n", 76, "no HTTP"), (b"", 69, "Empty reply"),
    (b"HTTP/1.1 200 OK\r\nContent-Length: 100\r\n\r\n{", 69, ""),
])
def test_answers_that_are_none(imposter, answer, code, words):
    done = run_cli("list", env={"PRESENCE_ADMIN_URL": imposter(answer).url, "PRESENCE_ADMIN_TOKEN": "hunter2"})
    assert done.returncode == code, done.stderr
    assert words in done.stderr and done.stderr.count("\n") == 1 and "hunter2" not in done.stderr
    assert "\x1b" not in done.stderr


@pytest.mark.parametrize("args", [["list"], ["kick", "bob"], ["kick", "bob", "--device", "phone"], ["why", "bob"],
                                  ["stats"], ["stats", "--watch"]])
def test_no_server(args):
    done = run_cli(*args, env={"PRESENCE_ADMIN_URL": "http://127.0.0.1:1"})
    assert done.returncode == 69
    assert done.stdout == "" and "http://127.0.0.1:1: " in done.stderr and "PRESENCE_ADMIN_URL" in done.stderr


def test_proxies_and_redirects_are_not_followed(imposter):
    elsewhere = imposter(http("200 OK", '{"presences":[],"cursor":null}'))
    redirecting = imposter(http("307 Go", "", f"Location: {elsewhere.url}/v1/users"))
    env = {"PRESENCE_ADMIN_URL": redirecting.url, "PRESENCE_ADMIN_TOKEN": "hunter2", "http_proxy": elsewhere.url,
           "ALL_PROXY": elsewhere.url}
    assert run_cli("list", env=env).returncode == 76
    assert elsewhere.asked == [] and len(redirecting.asked) == 1


def test_path_and_port_of_the_url_are_kept_and_ids_encoded(imposter):
    server = imposter(http("404 Not Found", '{"error":{"code":"no_session","message":"there is no such session"}}'))
    done = run_cli("kick", "a/b?c#d%/../ü", "..", env={"PRESENCE_ADMIN_URL": f"{server.url}/deep/down/?x=1#y"})
    assert done.returncode == 1
    assert server.asked[0].splitlines()[0] == \
        "DELETE /deep/down/v1/users/a%2Fb%3Fc%23d%25%2F..%2F%C3%BC/sessions/.. HTTP/1.1"


@pytest.mark.long
def test_a_server_that_does_not_answer_is_given_up(imposter):
    began = time.monotonic()
    done = run_cli("list", env={"PRESENCE_ADMIN_URL": imposter(b"", keep_open=True).url}, timeout=30)
    assert done.returncode == 69 and "timed out" in done.stderr.lower()
    assert 9 < time.monotonic() - began < 20


# ---- list ---------------------------------------------------------------------------------------


def test_list(server, login, name):
    word = name("list")
    states = {"a": "online", "b": "away", "c": "busy"}
    for letter, state in states.items():
        login(f"list{letter}", state=state, status="in a \"call\"" if letter == "c" else None)
    prefix = word.split(".")[0]
    done = run_cli("list", "--prefix", prefix, server=server)
    assert done.returncode == 0 and done.stderr == ""
    rows = sorted(done.stdout.splitlines())
    when = r"\d{4}-\d\d-\d\dT\d\d:\d\d:\d\d\.\d{3}\+01:00"
    assert re.fullmatch(rf"away       {when} {re.escape(name('listb'))} \(login\)", rows[0]), rows
    assert re.fullmatch(rf'busy       {when} {re.escape(name("listc"))} \(login\), "in a \\"call\\""', rows[1]), rows
    only = run_cli("list", "--prefix", prefix, "--state", "busy", "--names", server=server)
    assert only.stdout == name("listc") + "\n"
    as_json = run_cli("list", "--prefix", prefix, "--json", server=server)
    users = {p["user"]: p for p in map(json.loads, as_json.stdout.splitlines())}
    assert {user: p["state"] for user, p in users.items()} == {name(f"list{k}"): v for k, v in states.items()}
    for user, presence in users.items():
        _, full = server.get(f"/v1/users/{user}")
        del full["sessions"]
        assert presence == full
    utc = run_cli("list", "--prefix", name("lista"), "--utc", server=server).stdout
    assert re.match(r"online     \d{4}-\d\d-\d\dT\d\d:\d\d:\d\d\.\d{3}Z ", utc)


def test_list_reads_all_pages_and_stops_at_the_limit(start, clients):
    server = start()
    n = 1100  # more than a page's 1,000
    for i in range(n):
        with connect(server.url()) as one:
            one.sendall(json.dumps({"type": "hello", "v": 1, "user": f"user{i}"}).encode() + b'\n{"type":"bye"}\n')
            while one.recv(4096):
                pass
    everybody = run_cli("list", "--names", server=server).stdout.split()
    assert len(everybody) == len(set(everybody)) == n
    assert len(run_cli("list", "--names", "--limit", "1050", server=server).stdout.split()) == 1050
    assert len(run_cli("list", "--names", "--limit", "0", "--prefix", "user10", server=server).stdout.split()) == 111
    assert run_cli("list", "--prefix", "nobody", server=server).stdout == ""


def test_list_of_names_that_attack_the_terminal(server, login, name):
    login("evil\u009b31m\u202e", status="\u0085\u2028new line")
    done = run_cli("list", "--prefix", "evil", server=server)
    assert done.stdout.isascii() and done.stdout.count("\n") == 1
    assert f'"evil\\u{{009b}}31m\\u{{202e}}{name("")}"' in done.stdout and '"\\u{0085}\\u{2028}new line"' in done.stdout
    assert run_cli("list", "--prefix", "evil", "--json", server=server).stdout.isascii()


# ---- kick ---------------------------------------------------------------------------------------


def test_kick(server, login, name):
    phone, laptop, desk = (login("kicked", device=device) for device in ("phone", "lap/top", "desk"))
    user = name("kicked")
    done = run_cli("kick", user, "--device", "lap/top", server=server)
    assert (done.returncode, done.stdout, done.stderr) == (0, f"kicked {user} (device lap/top)\n", "")
    laptop.expect("bye", reason="kicked")
    done = run_cli("kick", user, desk.welcome["session"], server=server)
    assert (done.returncode, done.stdout) == (0, f"kicked {user} (session {desk.welcome['session']})\n")
    desk.expect("bye", reason="kicked")
    phone.quiet()
    done = run_cli("kick", user, server=server)
    assert (done.returncode, done.stdout) == (0, f"kicked {user}\n")
    phone.expect("bye", reason="kicked")
    for args in ([user], [user, "0123"], [user, "--device", "phone"]):
        done = run_cli("kick", *args, server=server)
        assert done.returncode == 1 and done.stdout == "" and done.stderr.startswith(f"presencectl: {user} has no ")


# ---- why ----------------------------------------------------------------------------------------

WHY = {
    "GET /v1/users/bob ": {"user": "bob", "state": "offline", "reason": "timeout", "seq": 42, "at_ms": 1795339864123,
                           "last_seen_ms": 1795339834020, "status": None, "sessions": []},
    "GET /v1/users/bob/history ": {"user": "bob", "history": [
        {"state": "offline", "reason": "timeout", "seq": 42, "at_ms": 1795339864123, "last_seen_ms": 1795339834020,
         "device": "phone", "session": "2f0c", "evidence": {
             "last_byte_ms": 1795339834020, "timeout_ms": 30000, "nominated_ms": 1795339864050,
             "heard_ms": 1795339864060, "socket": "open", "transport": "tcp"}},
        {"state": "online", "reason": "login", "seq": 41, "at_ms": 1795339800000, "last_seen_ms": 1795339800000,
         "device": "phone", "session": "2f0c", "evidence": None}]},
}


def test_why_of_what_a_server_said(imposter):
    server = imposter(lambda head: http("200 OK", json.dumps(next(a for path, a in WHY.items() if head.startswith(path)))))
    done = run_cli("why", "bob", env={"PRESENCE_ADMIN_URL": server.url})
    assert (done.returncode, done.stderr) == (0, "")
    assert done.stdout == (
        "bob is offline (timeout) since 2026-11-22T10:31:04.123+01:00, last seen 2026-11-22T10:30:34.020+01:00\n"
        "no device is there\n\n"
        "2026-11-22T10:31:04.123+01:00  offline (timeout)\n"
        "    no byte for 30.1 s, timeout 30 s\n"
        "    last byte at 10:30:34.020\n"
        "    found silent at 10:31:04.050\n"
        "    its socket read once more at 10:31:04.060: nothing in it\n"
        "    the socket still looked open\n"
        "    device phone over tcp, session 2f0c\n"
        "2026-11-22T10:30:00.000+01:00  online (login)\n"
        "    a session began\n"
        "    device phone, session 2f0c\n")
    done = run_cli("why", "bob", "--json", env={"PRESENCE_ADMIN_URL": server.url})
    user, history = WHY.values()
    assert json.loads(done.stdout) == {**user, "history": history["history"]} and done.stdout.count("\n") == 1


def test_why_of_a_server_without_history(imposter):
    none = http("404 Not Found", '{"error":{"code":"no_history","message":"none is kept"}}')
    user = http("200 OK", json.dumps(WHY["GET /v1/users/bob "]))
    server = imposter(lambda head: none if "history" in head else user)
    done = run_cli("why", "bob", env={"PRESENCE_ADMIN_URL": server.url})
    assert (done.returncode, done.stderr) == (0, "") and "the server keeps no history" in done.stdout
    done = run_cli("why", "bob", "--json", env={"PRESENCE_ADMIN_URL": server.url})
    assert json.loads(done.stdout)["history"] is None


def test_why_of_a_silence(server, clients, name):
    bob = name("bob")
    watcher = clients(server).hello(name("eve"))
    watcher.send(type="watch", users=[bob])
    watcher.expect("watching")
    clients(server).hello(bob, "phone", heartbeat_ms=sized(300, 1000))
    timeout = sized("900 ms", "3 s")
    watcher.event(bob, "online", "login")
    here = run_cli("why", bob, server=server).stdout.splitlines()
    assert re.fullmatch(rf"{re.escape(bob)} is online \(login\) since .*", here[0]) and here[1] == "devices:"
    assert re.fullmatch(rf"  phone is online: over tcp .*since .*, last byte .*, timeout {timeout}, session \w+", here[2])
    watcher.event(bob, "offline", "timeout", timeout=3 * PATIENCE)
    gone = run_cli("why", bob, server=server)
    assert gone.returncode == 0
    # Where the machine stood still meanwhile, that is said too.
    told = [line for line in gone.stdout.splitlines() if "had stood still" not in line]
    for line, pattern in zip(told, (
            rf"{re.escape(bob)} is offline \(timeout\) since .*", "no device is there", "",
            r"\S+  offline \(timeout\)", rf"    no byte for [\d.]+ m?s, timeout {timeout}", r"    last byte at [\d:.]+",
            r"    found silent at [\d:.]+", r"    its socket read once more at [\d:.]+: nothing in it",
            r"    the socket still looked open", r"    device phone over tcp, session \w+",
            r"\S+  online \(login\)", r"    a session began", r"    device phone over tcp, session \w+")):
        assert re.fullmatch(pattern, line), (pattern, line)
    assert len(told) == 13
    document = json.loads(run_cli("why", bob, "--json", server=server).stdout)
    assert [entry["reason"] for entry in document["history"]] == ["timeout", "login"] and document["sessions"] == []


def test_why_of_nobody(server, name):
    done = run_cli("why", name("nobody"), server=server)
    assert done.returncode == 1 and done.stdout.startswith(f"{name('nobody')} is offline (never seen)\n")


def test_why_where_no_history_is_kept(start, clients):
    server = start(HISTORY=0)
    clients(server).hello("bob")
    done = run_cli("why", "bob", server=server)
    assert done.returncode == 0 and "the server keeps no history" in done.stdout


# ---- stats --------------------------------------------------------------------------------------


def test_stats(server, login):
    login("counted").send(type="heartbeat")
    stats = json.loads(run_cli("stats", "--json", server=server).stdout)
    assert stats["server"] == server.stats()["server"] and set(stats) == set(server.stats())
    text = run_cli("stats", server=server).stdout
    assert text.startswith(f"presenced {stats['version']}, start {stats['server']}, up ")
    for word in ("sessions ", "heartbeats ", "logins ", "\nends ", "\nwatchdog ", "late p50 ", "\nmemory ", "\nworker "):
        assert word in text, (word, text)
    assert max(map(len, text.splitlines())) < 80 and len(text.splitlines()) <= 24 and text.isascii()


def test_stats_watched(start):
    server = start()
    live = LiveCli("stats", "--watch", "--json", server=server)
    try:
        first, second = json.loads(live.wait("^{")), json.loads(live.wait("^{"))
        assert 900 <= second["uptime_ms"] - first["uptime_ms"]
        server.stop()
        live.wait_error("PRESENCE_ADMIN_URL")
        assert live.process.poll() is None
    finally:
        live.close()
    terminal = Terminal(*sanitizer_wrap(), CLI, "stats", "--watch", env=cli_environment(start()))
    try:
        terminal.wait(r"\x1b\[H\x1b\[2Jpresenced .*logins 0.*worker")
        terminal.wait(r"\x1b\[H\x1b\[2Jpresenced .*logins 0 \(0/s\)")
        terminal.type("\x03")
        assert terminal.ended() < 0  # by SIGINT
    finally:
        terminal.close()


# ---- where the output goes ----------------------------------------------------------------------


def test_reader_that_goes_away(server, login):
    for i in range(30):
        login(f"crowd{i}")
    script = f'{" ".join(map(str, [*sanitizer_wrap(), CLI]))} list | head -n 1; exit ${{PIPESTATUS[0]}}'
    done = subprocess.run(["bash", "-c", script], env=cli_environment(server), capture_output=True, text=True)
    assert (done.returncode, done.stdout.count("\n"), done.stderr) == (0, 1, "")


def test_output_that_can_not_be_written(server, login, name):
    login("written")
    with open("/dev/full", "w", encoding="utf-8") as full:
        for args in (["stats"], ["--help"], ["--version"], ["list"], ["get", "bob"], ["why", "bob"], ["watch", "bob"],
                     ["online", name("bob")], ["online", name("bob"), "--json"]):
            done = run_cli(*args, server=server, stdout=full)
            assert done.returncode == 74 and "No space left" in done.stderr, args
