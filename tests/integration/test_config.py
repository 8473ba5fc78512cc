"""Settings: every error at once, in words, before anything is started."""

import re

import pytest

from support.server import run_to_end


def refused(**settings):
    done = run_to_end(**{f"PRESENCED_{k}": v for k, v in settings.items()})
    assert done.returncode == 78, (done.returncode, done.stderr)
    return done.stderr


@pytest.mark.parametrize("name, value", [
    ("HEARTBEAT", "10"), ("HEARTBEAT", "fast"), ("HEARTBEAT", "-1s"), ("HEARTBEAT", ""), ("HEARTBEAT", "10s "),
    ("HEARTBEAT", "99999999999999999999s"), ("HEARTBEAT_MIN", "10ms"), ("SCAN_INTERVAL", "0s"),
    ("MISSED_BEATS", "1"), ("MISSED_BEATS", "x"), ("MISSED_BEATS", "3.5"),
    ("WORKERS", "0"), ("WORKERS", "65"), ("WORKERS", "many"), ("WORKERS", "-2"),
    ("MAX_MESSAGE", "64"*20 + "KiB"), ("MAX_MESSAGE", "lots"), ("LOG_LEVEL", "loud"), ("LOG_FORMAT", "xml"),
    ("REMEMBER", "all"), ("MAX_WATCHES", "-1"), ("MAX_SESSIONS_PER_USER", "none"),
    ("LISTEN", "127.0.0.1:7400"), ("LISTEN", "http://127.0.0.1:1"), ("LISTEN", "tcp://127.0.0.1"),
    ("LISTEN", "tcp://127.0.0.1:99999"), ("LISTEN", "unix://"), ("LISTEN", "tcp://nowhere.invalid:x"),
    ("LISTEN", "unix:///" + "x" * 200), ("ADMIN_LISTEN", "127.0.0.1"), ("ADMIN_LISTEN", "127.0.0.1:http"),
])
def test_bad_value(name, value):
    words = refused(**{name: value})
    assert f"PRESENCED_{name}" in words
    if value:
        assert value[:30].strip() in words, "the value is named"


def test_all_errors_at_once():
    words = refused(HEARTBEAT="x1", WORKERS="x2", LOG_LEVEL="x3", LISTEN="x4", REMEMBR="5")
    for named in ("PRESENCED_HEARTBEAT", "PRESENCED_WORKERS", "PRESENCED_LOG_LEVEL", "PRESENCED_LISTEN",
                  "PRESENCED_REMEMBR"):
        assert named in words, words
    assert len([line for line in words.splitlines() if line.strip()]) == 5


@pytest.mark.parametrize("wrong, right", [
    ("PRESENCED_HEARTBEET", "PRESENCED_HEARTBEAT"), ("PRESENCED_LISTN", "PRESENCED_LISTEN"),
    ("PRESENCED_WORKER", "PRESENCED_WORKERS"), ("PRESENCED_LOGLEVEL", "PRESENCED_LOG_LEVEL"),
])
def test_unknown_name_with_the_nearest(wrong, right):
    done = run_to_end(**{wrong: "1"})
    assert done.returncode == 78
    assert re.search(rf"\b{wrong}\b", done.stderr) and re.search(rf"\b{right}\b", done.stderr), done.stderr


def test_bounds_that_contradict():
    words = refused(HEARTBEAT="1s", HEARTBEAT_MIN="2s")
    assert "PRESENCED_HEARTBEAT" in words
    refused(HEARTBEAT_MIN="2m", HEARTBEAT_MAX="1m")


KUBERNETES = {
    "PRESENCED_SERVICE_HOST": "10.96.0.10", "PRESENCED_SERVICE_PORT": "7400", "PRESENCED_SERVICE_PORT_CLIENTS": "7400",
    "PRESENCED_PORT": "tcp://10.96.0.10:7400", "PRESENCED_PORT_7400_TCP": "tcp://10.96.0.10:7400",
    "PRESENCED_PORT_7400_TCP_PROTO": "tcp", "PRESENCED_PORT_7400_TCP_PORT": "7400",
    "PRESENCED_PORT_7400_TCP_ADDR": "10.96.0.10", "PRESENCED_PORT_53_UDP": "udp://10.96.0.10:53",
    "PRESENCED_PORT_9_SCTP_ADDR": "10.96.0.10", "PRESENCED_ADMIN_SERVICE_HOST": "10.96.0.11",
    "PRESENCED_BLUE_GREEN_PORT_7400_TCP_PROTO": "tcp",
}


def test_kubernetes_names_are_ignored(start, clients):
    server = start(env=KUBERNETES)
    clients(server).hello("alice").beat()
    told = [line for line in server.lines if "Kubernetes" in line]
    assert len(told) == 1 and f"={len(KUBERNETES)}" in told[0], server.tail()


@pytest.mark.parametrize("name", ["PRESENCED_SERVICE_HOSTS", "PRESENCED_PORT_TCP", "PRESENCED_PORT_7400_TCP_NAME",
                                  "PRESENCED_PORT_7400_ICMP", "PRESENCED_SERVICE"])
def test_nearly_kubernetes_is_unknown(name):
    assert run_to_end(**{name: "x"}).returncode == 78


def test_check_config():
    assert run_to_end("--check-config").returncode == 0
    assert run_to_end("--check-config", PRESENCED_HEARTBEAT="5s", PRESENCED_WORKERS="2").returncode == 0
    done = run_to_end("--check-config", PRESENCED_HEARTBEAT="5")
    assert done.returncode == 78 and "PRESENCED_HEARTBEAT" in done.stderr


def test_print_config_says_where_each_comes_from():
    done = run_to_end("--print-config", PRESENCED_HEARTBEAT="5s")
    assert done.returncode == 0
    lines = {line.split("=")[0]: line for line in done.stdout.splitlines()}
    assert "5s" in lines["PRESENCED_HEARTBEAT"] and "env" in lines["PRESENCED_HEARTBEAT"]
    assert "default" in lines["PRESENCED_MISSED_BEATS"]
    for name in ("LISTEN", "ADMIN_LISTEN", "WORKERS", "HEARTBEAT_MIN", "HEARTBEAT_MAX", "SCAN_INTERVAL",
                 "HELLO_TIMEOUT", "SLOW_TIMEOUT", "DRAIN_DELAY", "DRAIN_TIMEOUT", "REMEMBER", "LOG_LEVEL", "LOG_FORMAT",
                 "MAX_SESSIONS_PER_USER", "MAX_WATCHES", "MAX_WATCHES_TOTAL", "MAX_MESSAGE"):
        assert f"PRESENCED_{name}" in lines, name


def test_help_and_version():
    done = run_to_end("--help")
    assert done.returncode == 0 and "PRESENCED_LISTEN" in done.stdout and done.stderr == ""
    done = run_to_end("--version")
    assert done.returncode == 0 and re.search(r"\d+\.\d+", done.stdout)


@pytest.mark.parametrize("args", [["--nonsense"], ["serve"], ["--help=x"], ["-Z"]])
def test_usage(args):
    done = run_to_end(*args)
    assert done.returncode == 64
    assert done.stderr


@pytest.mark.parametrize("value", ["tcp://0.0.0.0:7400", "tcp://[::]:7400", "tcp://192.0.2.1:7400", "tcp://*:7400"])
def test_plain_text_off_loopback_is_refused(value):
    assert "PRESENCED_ALLOW_PLAINTEXT" in refused(LISTEN=value)
    assert "PRESENCED_ALLOW_ANONYMOUS" in refused(LISTEN=value, ALLOW_PLAINTEXT="true")
    allowed = {"PRESENCED_ALLOW_PLAINTEXT": "true", "PRESENCED_ALLOW_ANONYMOUS": "true"}
    assert run_to_end("--check-config", PRESENCED_LISTEN=value, **allowed).returncode == 0


def test_admin_off_loopback_needs_a_token():
    assert "PRESENCED_ADMIN_TOKEN" in refused(ADMIN_LISTEN="0.0.0.0:7402")


def test_secrets_are_not_printed(tmp):
    done = run_to_end("--print-config", PRESENCED_ADMIN_TOKEN="hush-hush")
    assert done.returncode == 0 and "hush" not in done.stdout + done.stderr and "***" in done.stdout
    secret = tmp / "token"
    secret.write_text("hush-hush\n")
    done = run_to_end("--print-config", PRESENCED_ADMIN_TOKEN_FILE=str(secret))
    assert done.returncode == 0 and "hush" not in done.stdout + done.stderr and "***" in done.stdout
    words = refused(ADMIN_TOKEN="hush-hush", ADMIN_TOKEN_FILE=str(secret))
    assert "PRESENCED_ADMIN_TOKEN_FILE" in words and "hush" not in words
    assert "PRESENCED_ADMIN_TOKEN_FILE" in refused(ADMIN_TOKEN_FILE=str(tmp / "none"))
