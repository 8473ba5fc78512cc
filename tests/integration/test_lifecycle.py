"""Start and stop: what is said to clients, to operators, and by the exit code."""

import json
import os
import resource
import signal
import socket
import stat
import subprocess
import time

import pytest

from support.client import Client, Closed
from support.mode import BINARY, PATIENCE, sized
from support.server import environment, run_to_end, sanitizer_wrap


@pytest.mark.parametrize("number", [signal.SIGTERM, signal.SIGINT])
def test_stop_says_bye_and_no_presence(start, clients, tmp, number):
    server = start(LISTEN=f"tcp://127.0.0.1:0,tcp://[::1]:0,unix://{tmp}/sock", WORKERS=2)
    everyone = []
    for i, url in enumerate(server.urls * 10):
        everyone.append(clients(server, url).hello(f"u{i}"))
    for client in everyone:
        client.watch(*[f"u{i}" for i in range(len(everyone))])
    waiting = clients(server)  # has said no hello
    server.signal(number)
    retries = set()
    for client in everyone:
        bye = client.expect("bye", reason="shutdown")
        assert isinstance(bye["retry_ms"], int) and bye["retry_ms"] >= 0
        retries.add(bye["retry_ms"])
        client.ended()
    assert len(retries) > 3, "spread at random: a restart is no stampede"
    with pytest.raises(Closed):
        while waiting.maybe() is not None:
            pass
    assert server.wait() == 0
    assert not os.path.exists(f"{tmp}/sock"), "its path is taken away"


def test_second_signal_ends_at_once(start, clients):
    server = start(DRAIN_DELAY="60s")
    clients(server).hello("alice")
    server.signal(signal.SIGTERM)
    server.wait_stats(lambda s: server.get("/readyz")[0] == 503)
    assert server.is_alive()
    began = time.monotonic()
    server.signal(signal.SIGINT)
    server.wait()
    assert time.monotonic() - began < sized(1, 5)
    server.is_expected_dead = True


def test_stop_does_not_wait_for_one_who_does_not_read(start, clients):
    server = start(DRAIN_TIMEOUT="1s")
    stuck = clients(server, rcvbuf=4096).hello("stuck")
    stuck.sock.setblocking(False)
    line = b'{"type":"query","users":[' + b",".join(b'"%0100d"' % i for i in range(500)) + b"]}\n"
    try:
        for _ in range(100):
            stuck.sock.send(line)
    except BlockingIOError:
        pass
    server.signal(signal.SIGTERM)
    began = time.monotonic()
    assert server.wait() == 0
    assert time.monotonic() - began < 1 + PATIENCE


def test_stop_of_an_idle_server_is_quick(start):
    server = start()
    began = time.monotonic()
    server.signal(signal.SIGTERM)
    assert server.wait() == 0
    assert time.monotonic() - began < sized(1, 5)


def test_sigpipe_does_not_kill(start, clients):
    server = start()
    alice = clients(server).hello("alice")
    server.signal(signal.SIGPIPE)
    alice.beat()
    alice.beat()
    assert server.is_alive()


def test_closed_stderr_does_not_kill(tmp):
    """Whoever read the log is gone; the server is not."""
    process = subprocess.Popen([*sanitizer_wrap(), str(BINARY)], stderr=subprocess.PIPE, stdin=subprocess.DEVNULL,
                               env=environment({"PRESENCED_LISTEN": f"unix://{tmp}/sock", "PRESENCED_LOG_LEVEL": "debug",
                                                "PRESENCED_ADMIN_LISTEN": "127.0.0.1:0"}))
    try:
        for line in process.stderr:
            if b"msg=ready" in line:
                break
        process.stderr.close()
        for i in range(30):
            with Client(f"unix://{tmp}/sock").hello(f"u{i}") as client:
                client.raw(b"rubbish\n")
                client.drain()
        with Client(f"unix://{tmp}/sock").hello("alice") as alice:
            alice.beat()
        process.send_signal(signal.SIGTERM)
        assert process.wait(4 * PATIENCE) == 0
    finally:
        process.kill()
        process.wait()


def test_stdin_stdout_closed(tmp):
    """Started with the standard descriptors closed, a socket must not land on 0, 1 or 2 unnoticed."""
    done = run_to_end("--check-config", preexec_fn=lambda: os.close(0))
    assert done.returncode == 0


def one_clear_line(done, *words):
    errors = [line for line in done.stderr.splitlines() if "level=error" in line or "error" in line.lower()]
    assert len(errors) == 1, done.stderr
    for word in words:
        assert str(word) in errors[0], errors[0]


def test_port_in_use(tmp):
    with socket.socket() as taken:
        taken.bind(("127.0.0.1", 0))
        taken.listen()
        port = taken.getsockname()[1]
        done = run_to_end(PRESENCED_LISTEN=f"tcp://127.0.0.1:{port}", PRESENCED_ADMIN_LISTEN="127.0.0.1:0")
    assert done.returncode == 69
    one_clear_line(done, port)


def test_second_presenced_on_the_port(start, clients):
    """SO_REUSEPORT would let both have it, and half of the clients would meet the wrong one."""
    first = start()
    port = first.url().rsplit(":", 1)[1]
    done = run_to_end(PRESENCED_LISTEN=f"tcp://127.0.0.1:{port}", PRESENCED_ADMIN_LISTEN="127.0.0.1:0")
    assert done.returncode == 69
    one_clear_line(done, port)
    clients(first).hello("alice").beat()


def test_admin_port_in_use(start):
    first = start()
    port = first.admin.rsplit(":", 1)[1]
    done = run_to_end(PRESENCED_LISTEN="tcp://127.0.0.1:0", PRESENCED_ADMIN_LISTEN=f"127.0.0.1:{port}")
    assert done.returncode == 69
    one_clear_line(done, port)


def test_second_listener_in_use_leaves_nothing_half_started(start, tmp):
    first = start()
    port = first.url().rsplit(":", 1)[1]
    done = run_to_end(PRESENCED_LISTEN=f"unix://{tmp}/half,tcp://127.0.0.1:{port}", PRESENCED_ADMIN_LISTEN="127.0.0.1:0")
    assert done.returncode == 69
    assert not os.path.exists(f"{tmp}/half")


def test_address_not_to_be_had(tmp):
    done = run_to_end(PRESENCED_LISTEN="tcp://[fd00::1234]:7400", PRESENCED_ADMIN_LISTEN="127.0.0.1:0",
                      PRESENCED_ALLOW_PLAINTEXT="true", PRESENCED_ALLOW_ANONYMOUS="true")
    assert done.returncode in (69, 78)


def test_unix_path_in_use(start, tmp, clients):
    first = start(LISTEN=f"unix://{tmp}/sock")
    done = run_to_end(PRESENCED_LISTEN=f"unix://{tmp}/sock", PRESENCED_ADMIN_LISTEN="127.0.0.1:0")
    assert done.returncode == 69
    one_clear_line(done, f"{tmp}/sock")
    clients(first).hello("alice").beat()


def test_stale_unix_path_is_reused(start, tmp, clients):
    first = start(LISTEN=f"unix://{tmp}/sock")
    first.process.kill()
    first.is_expected_dead = True
    first.wait()
    assert stat.S_ISSOCK(os.stat(f"{tmp}/sock").st_mode)
    second = start(LISTEN=f"unix://{tmp}/sock")
    clients(second).hello("alice").beat()


def test_file_in_place_of_a_socket_is_not_taken_away(tmp):
    path = tmp / "precious"
    path.write_text("data")
    done = run_to_end(PRESENCED_LISTEN=f"unix://{path}", PRESENCED_ADMIN_LISTEN="127.0.0.1:0")
    assert done.returncode in (69, 77, 78)
    assert path.read_text() == "data"


def without_right_to_low_ports():
    """The command before ours that takes the right away; root has it by itself."""
    if os.geteuid() != 0:
        return []
    return ["setpriv", "--bounding-set", "-net_bind_service", "--inh-caps", "-net_bind_service"]


def test_no_permission_for_a_low_port():
    with open("/proc/sys/net/ipv4/ip_unprivileged_port_start", encoding="ascii") as start_of_free:
        assert int(start_of_free.read()) > 81, "this machine has no privileged ports"
    done = run_to_end(wrap=without_right_to_low_ports(), PRESENCED_LISTEN="tcp://127.0.0.1:81",
                      PRESENCED_ADMIN_LISTEN="127.0.0.1:0")
    assert done.returncode == 77
    one_clear_line(done, 81)


def test_unix_path_that_leads_nowhere(tmp):
    done = run_to_end(PRESENCED_LISTEN=f"unix://{tmp}/no/such/dir/sock", PRESENCED_ADMIN_LISTEN="127.0.0.1:0")
    assert done.returncode in (69, 77, 78)
    one_clear_line(done, "sock")


def test_soft_descriptor_limit_is_raised(start, clients):
    _, hard = resource.getrlimit(resource.RLIMIT_NOFILE)
    server = start(preexec_fn=lambda: resource.setrlimit(resource.RLIMIT_NOFILE, (64, hard)))
    many = [clients(server).hello(f"u{i}") for i in range(200)]
    for client in many:
        client.beat()


def test_out_of_descriptors_and_back(start, clients):
    """What is open goes on, what comes is refused, and when there is room again there is service again."""
    server = start(WORKERS=1, preexec_fn=lambda: resource.setrlimit(resource.RLIMIT_NOFILE, (100, 100)))
    inside, refused = [], 0
    for i in range(150):
        try:
            inside.append(clients(server).hello(f"u{i}"))
        except (Closed, AssertionError, OSError):
            refused += 1
    assert len(inside) >= 50 and refused >= 20
    for client in inside:
        client.beat()
    for client in inside:
        client.close()
    # Asked only now: where the kernel refuses workers tables of their own, /stats has no descriptor either.
    server.wait_stats(lambda s: s["connections"] == 0)
    assert server.counters()["refused_descriptors"] >= refused
    clients(server).hello("again").beat()


def test_server_full(start, clients):
    """The limit on connections has a word of its own, and when one goes another may come."""
    server = start(MAX_CONNECTIONS=3)
    inside = [clients(server).hello(f"u{i}") for i in range(3)]
    refused = clients(server)
    assert isinstance(refused.error("server_full")["retry_ms"], int)
    refused.ended()
    assert server.counters()["refused_full"] == 1
    inside.pop().close()
    server.wait_stats(lambda s: s["connections"] == 2)
    inside.append(clients(server).hello("again"))
    for client in inside:
        client.beat()


def test_lingering_closes_cannot_fill_the_table(start, clients):
    """Peers that were thrown out and do not close: at most a sixteenth of the descriptors waits for them."""
    server = start(WORKERS=1, preexec_fn=lambda: resource.setrlimit(resource.RLIMIT_NOFILE, (320, 320)))
    rude = [clients(server) for _ in range(100)]
    for client in rude:
        client.raw(b"rubbish\n")
    for client in rude:
        client.error("bad_json")
    assert server.counters()["lingering_cut"] >= 100 - 320 // 16 - 1
    clients(server).hello("alice").beat()


def test_warning_where_limits_cannot_hold_it(start):
    server = start(MAX_CONNECTIONS=1000, preexec_fn=lambda: resource.setrlimit(resource.RLIMIT_NOFILE, (64, 64)))
    assert any("level=warning" in line for line in server.lines), server.tail()


def test_log_is_one_line_an_event(start, clients):
    """Foreign text is escaped, whatever it is."""
    server = start(LOG_LEVEL="debug")
    client = clients(server).hello('a b="c" \\ level=error ü')
    client.raw(b"\xff\x00\x1b[31mrubbish\n")
    client.drain()
    server.stop()
    text = server.log_path.read_bytes()
    assert b"\x1b" not in text and b"\x00" not in text and b"\xff" not in text
    for line in text.decode("utf-8").splitlines():
        assert "msg=" in line and "level=" in line, line


def test_log_as_json(tmp):
    process = subprocess.Popen([*sanitizer_wrap(), str(BINARY)], stderr=subprocess.PIPE, stdin=subprocess.DEVNULL,
                               env=environment({"PRESENCED_LISTEN": "tcp://127.0.0.1:0", "PRESENCED_LOG_FORMAT": "json",
                                                "PRESENCED_ADMIN_LISTEN": "127.0.0.1:0"}))
    words = []
    for line in process.stderr:
        words.append(json.loads(line)["msg"])
        if words[-1] == "ready":
            process.send_signal(signal.SIGTERM)
    assert process.wait(4 * PATIENCE) == 0
    assert "listening" in words and "ready" in words
