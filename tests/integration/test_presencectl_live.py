"""presencectl as a client of the protocol: watch, online, get; on real sockets, in real terminals."""

import json
import re
import signal
import socket
import subprocess
import threading
import time

import pytest

from support.certs import Certificate
from support.cli import CLI, LiveCli, Terminal, cli_environment, run_cli
from support.mode import PATIENCE, sized
from support.server import sanitizer_wrap
from support.tokens import SECRET, Secret

BEAT_MS = sized(300, 1000)  # three of these are a timeout that no machine starves a process for
WHEN = r"\d{4}-\d\d-\d\dT\d\d:\d\d:\d\d\.\d{3}\+01:00"


@pytest.fixture
def live():
    """Starts one that goes on; ended with the test."""
    begun = []

    def begin(*args, **options):
        begun.append(LiveCli(*args, **options))
        return begun[-1]

    yield begin
    for one in begun:
        one.close()


@pytest.fixture
def terminal():
    begun = []

    def begin(*args, server=None, env=None):
        begun.append(Terminal(*sanitizer_wrap(), CLI, *args, env=cli_environment(server, **(env or {}))))
        return begun[-1]

    yield begin
    for one in begun:
        one.close()


# ---- get ----------------------------------------------------------------------------------------


def test_get_says_by_its_exit_code(server, login, name):
    login("here", state="away", status="back at 5")
    login("gone").bye()
    here, gone, never = name("here"), name("gone"), name("never")
    for users, code in (([here], 0), ([gone], 1), ([never], 2), ([here, gone], 1), ([gone, never, here], 2), ([here, here], 0)):
        quiet = run_cli("get", *users, "--quiet", server=server)
        assert (quiet.returncode, quiet.stdout, quiet.stderr) == (code, "", ""), users
        told = run_cli("get", *users, server=server)
        assert told.returncode == code and told.stdout.count("\n") == len(users)
    text = run_cli("get", here, gone, never, server=server).stdout.splitlines()
    assert re.fullmatch(rf'{re.escape(here)} is away \(login\) since {WHEN}, "back at 5"', text[0])
    assert re.fullmatch(rf"{re.escape(gone)} is offline \(logout\) since {WHEN}, last seen {WHEN}", text[1])
    assert text[2] == f"{never} is offline (never seen)"


def test_get_as_json_is_the_presence_of_the_protocol(server, login, name):
    login("json", status="\u00fc\u009b")
    user = name("json")
    done = run_cli("get", user, name("none"), "--json", server=server)
    assert done.returncode == 2 and done.stdout.isascii()
    mine, none = map(json.loads, done.stdout.splitlines())
    _, full = server.get(f"/v1/users/{user}")
    del full["sessions"]
    assert mine == full
    assert none["state"] == "offline" and none["reason"] == "unknown" and none["at_ms"] is None


def test_get_is_unseen_and_leaves_nothing(start, clients):
    server = start()
    clients(server).hello("bob")
    before = server.counters()["events"]
    assert run_cli("get", "bob", server=server).returncode == 0
    assert run_cli("get", "bob", server=server, env={"PRESENCE_USER": "bob"}).returncode == 0
    server.wait_stats(lambda s: s["sessions"] == 1)
    counters = server.counters()
    assert counters["events"] == before and counters["ended_logout"] == 2


def test_get_in_a_terminal_has_colours_and_says_how_long_ago(server, login, name, terminal):
    login("bright", state="busy")
    user = re.escape(name("bright"))
    shown = terminal("get", name("bright"), server=server)
    assert shown.ended() == 0
    assert re.search(rf"{user} is \x1b\[31mbusy\x1b\[0m \(login\) since \d\d:\d\d:\d\d \((just now|\d+ s ago)\)", shown.text)
    for env in ({"NO_COLOR": "1"}, {"TERM": "dumb"}):
        plain = terminal("get", name("bright"), server=server, env=env)
        assert plain.ended() == 0 and "\x1b" not in plain.text and f"{name('bright')} is busy (login)" in plain.text
    utc = terminal("get", name("bright"), "--utc", server=server)
    assert utc.ended() == 0 and re.search(r"since \d{4}-\d\d-\d\dT[\d:.]+Z", utc.text)


@pytest.mark.parametrize("command", ["get", "watch", "online"])
def test_tokens(start, command, live, tmp):
    server = start(JWT_SECRET=SECRET)
    missing = run_cli(command, "bob", server=server, env={"PRESENCE_USER": "alice"})
    assert missing.returncode == 77 and "wants a token" in missing.stderr, missing.stderr
    wrong = run_cli(command, "bob", server=server, env={"PRESENCE_TOKEN": "hunter2"})
    assert wrong.returncode == 77 and "token is wrong" in wrong.stderr and "hunter2" not in wrong.stderr
    if command == "online":
        being = live("online", "bob", server=server, env={"PRESENCE_TOKEN": Secret().token("bob")})
        being.wait("bob is here")
        assert being.interrupt() == 0
        return
    env = {"PRESENCE_TOKEN": Secret().token("alice", watch=["carol"])}
    forbidden = run_cli(command, "bob", server=server, env=env)
    assert forbidden.returncode == 77 and "may not be watched" in forbidden.stderr
    assert run_cli("get", "carol", "--quiet", server=server, env=env).returncode == 2


def test_no_server_for_get():
    began = time.monotonic()
    done = run_cli("get", "bob", env={"PRESENCE_URL": "tcp://127.0.0.1:1"})
    assert done.returncode == 69 and done.stdout == ""
    assert "tcp://127.0.0.1:1: " in done.stderr and "reached" in done.stderr and time.monotonic() - began < PATIENCE


@pytest.mark.parametrize("said, words", [
    (b"SSH-2.0-OpenSSH_9.2\r\n", "broke the protocol"),
    (b'{"type":"error","code":"version","message":"\\u001b[31mold"}\n', "another version"),
])
def test_what_is_no_presenced(said, words):
    with socket.create_server(("127.0.0.1", 0)) as stranger:
        def answer():
            with stranger.accept()[0] as peer:
                peer.recv(4096)
                peer.sendall(said)
                while peer.recv(4096):
                    pass
        threading.Thread(target=answer, daemon=True).start()
        done = run_cli("get", "bob", env={"PRESENCE_URL": f"tcp://127.0.0.1:{stranger.getsockname()[1]}"})
    assert done.returncode == 76 and words in done.stderr and done.stderr.count("\n") == 1 and "\x1b" not in done.stderr


def test_over_tls_and_websocket(start, clients, tmp):
    certificate = Certificate(tmp)
    server = start(LISTEN="tcp://127.0.0.1:0,tls://127.0.0.1:0,ws://127.0.0.1:0,wss://127.0.0.1:0",
                   TLS_CERT=certificate.cert, TLS_KEY=certificate.key)
    clients(server).hello("bob")
    for scheme in ("tls", "ws", "wss"):
        url = server.url(f"{scheme}:")
        env = {"PRESENCE_URL": url, "SSL_CERT_FILE": str(certificate.cert)}
        done = run_cli("get", "bob", "--quiet", server=server, env=env)
        assert done.returncode == 0, (url, done.stderr)
    done = run_cli("get", "bob", server=server, env={"PRESENCE_URL": server.url("tls:")})
    assert done.returncode == 77 and "not trusted" in done.stderr


# ---- online -------------------------------------------------------------------------------------


def test_online_is_present_and_says_bye(server, clients, name, live):
    bob = name("bob")
    watcher = clients(server).hello(name("eve"))
    watcher.send(type="watch", users=[bob])
    watcher.expect("watching")
    being = live("online", bob, "--device", "phone", "--state", "busy", "--status", "in a call", "--heartbeat", "1s",
                 server=server)
    watcher.event(bob, "busy", "login", status="in a call")
    being.wait(rf"^{WHEN}  {re.escape(bob)} is here: device phone, beats every 1 s, is offline after a silence of 3 s$")
    assert being.interrupt() == 0
    watcher.event(bob, "offline", "logout")
    being.wait(rf"^{WHEN}  bye$")


def test_online_outlives_its_timeout_and_a_freeze_is_a_timeout(server, clients, name, live):
    bob = name("bob")
    watcher = clients(server).hello(name("eve"))
    watcher.send(type="watch", users=[bob])
    watcher.expect("watching")
    being = live("online", bob, "--heartbeat", f"{BEAT_MS}ms", "--json", server=server)
    up = json.loads(being.wait('"link":"up"'))
    assert up["user"] == bob and up["timeout_ms"] == 3 * BEAT_MS and up["heartbeat_ms"] == BEAT_MS and up["error"] is None
    watcher.event(bob, "online", "login")
    watcher.quiet(4 * BEAT_MS / 1000)
    being.signal(signal.SIGSTOP)
    watcher.event(bob, "offline", "timeout", timeout=3 * PATIENCE)
    being.signal(signal.SIGCONT)
    waiting = json.loads(being.wait('"link":"waiting"'))
    assert waiting["error"] in ("timed_out", "closed", "lost", "silence") and waiting["retry_in_ms"] >= 0
    watcher.event(bob, "online", "login", timeout=3 * PATIENCE)
    being.wait('"link":"up"')
    being.signal(signal.SIGTERM)
    assert being.ended() == 0
    watcher.event(bob, "offline", "logout")
    stopped = json.loads(being.wait('"link":"stopped"'))
    assert stopped["error"] is None


@pytest.mark.parametrize("how", ["kicked", "replaced"])
def test_online_does_not_come_back_after(server, clients, name, live, how):
    bob = name("bob")
    being = live("online", bob, "--device", "phone", server=server)
    being.wait("is here")
    if how == "kicked":
        assert run_cli("kick", bob, "--device", "phone", server=server).returncode == 0
    else:
        clients(server).hello(bob, "phone")
    assert being.ended() == 1
    being.wait_error("ended the session" if how == "kicked" else "another login")


def test_online_waits_for_a_server(live, start, tmp):
    path = f"{tmp}/sock"
    being = live("online", "bob", "--json", env={"PRESENCE_URL": f"unix://{path}"})
    waiting = json.loads(being.wait('"link":"waiting"'))
    assert waiting["error"] == "connect"
    server = start(LISTEN=f"unix://{path},tcp://127.0.0.1:0")
    being.wait('"link":"up"', timeout=30)
    assert run_cli("get", "bob", server=server).returncode == 0
    assert being.interrupt() == 0


# ---- watch --------------------------------------------------------------------------------------


def test_watch_tells_each_change_on_a_line(server, login, name, live):
    bob = name("bob")
    watching = live("watch", bob, name("other"), server=server)
    watching.wait(rf"^{WHEN}  {re.escape(bob)} is offline \(never seen\)$")
    client = login("bob")
    watching.wait(rf"^{WHEN}  {re.escape(bob)} is online \(login\)$")
    client.send(type="update", state="away", status="lunch\u202e")
    client.expect("updated")
    watching.wait(r'is away \(update\), "lunch\\u\{202e\}"$')
    client.bye()
    watching.wait(rf"is offline \(logout\), last seen {WHEN}$")
    assert watching.interrupt() == 0


def test_watch_as_json(server, login, name, live):
    watching = live("watch", name("bob"), "--json", server=server)
    first = json.loads(watching.wait("."))
    assert first["user"] == name("bob") and first["state"] == "offline" and first["reason"] == "unknown"
    login("bob", status="x")
    second = json.loads(watching.wait("."))
    assert set(second) == {"user", "state", "reason", "seq", "at_ms", "last_seen_ms", "status", "time_ms"}
    assert (second["state"], second["reason"], second["status"]) == ("online", "login", "x")
    assert second["seq"] > 0 and abs(second["time_ms"] - second["at_ms"]) < 60_000


def test_watch_in_a_terminal(server, login, name, terminal):
    bob = name("bob")
    shown = terminal("watch", bob, server=server)
    shown.wait(rf"\d\d:\d\d:\d\d  {re.escape(bob)} is \x1b\[1moffline\x1b\[0m \(never seen\)")
    login("bob")
    shown.wait(rf"\d\d:\d\d:\d\d  {re.escape(bob)} is \x1b\[32monline\x1b\[0m \(login\)")
    shown.type("\x03")
    assert shown.ended() == 0


def test_watch_says_unknown_when_the_server_is_gone_and_comes_back(start, clients, tmp, live, figure):
    path = f"{tmp}/sock"
    urls = f"unix://{path},tcp://127.0.0.1:0"
    server = start(LISTEN=urls, HEARTBEAT_MIN="50ms")
    clients(server, server.url("tcp")).hello("bob")
    watching = live("watch", "bob", "--json", "--heartbeat", f"{BEAT_MS}ms", env={"PRESENCE_URL": f"unix://{path}"})
    assert json.loads(watching.wait("."))["state"] == "online"
    server.is_expected_dead = True
    server.kill()
    died = time.monotonic()
    gone = json.loads(watching.wait("."))
    assert (gone["state"], gone["was"], gone["status"]) == ("unknown", "online", None)
    assert gone["reason"] and gone["as_of_ms"] <= gone["time_ms"]
    # The last word of the server is good for the timeout of the watcher's session, and no longer.
    assert BEAT_MS / 1000 < watching.at - died < 3 * BEAT_MS / 1000 + 1.0 + sized(0, PATIENCE / 5)
    figure(f"unknown {watching.at - died:.2f} s after the server was killed, timeout {3 * BEAT_MS / 1000} s")
    watching.wait_error(f"unix://{re.escape(path)}: ")
    start(LISTEN=urls, HEARTBEAT_MIN="50ms")
    back = json.loads(watching.wait(".", timeout=60))
    assert (back["user"], back["state"]) == ("bob", "offline")
    watching.wait_error("back")
    assert watching.interrupt() == 0


def test_watch_of_a_server_that_never_was(live):
    watching = live("watch", "bob", "carol", env={"PRESENCE_URL": "tcp://127.0.0.1:1"})
    watching.wait(rf"^{WHEN}  bob is unknown \(connect\)$")
    watching.wait(rf"^{WHEN}  carol is unknown \(connect\)$")
    watching.wait_error("reached")
    assert watching.interrupt() == 0


def test_watch_ends_when_nobody_reads(server, name):
    """At once, not at the next change, which may be tomorrow."""
    command = " ".join(map(str, [*sanitizer_wrap(), CLI, "watch", name("bob")]))
    done = subprocess.run(["bash", "-c", f"{command} | head -n 1; exit ${{PIPESTATUS[0]}}"], text=True, capture_output=True,
                          env=cli_environment(server), stdin=subprocess.DEVNULL, timeout=4 * PATIENCE)
    assert (done.returncode, done.stderr) == (0, "") and "never seen" in done.stdout
