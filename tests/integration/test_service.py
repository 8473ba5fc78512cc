"""Run by others: the systemd unit as systemd would run it, sockets that were opened before, containers, alerts, completion."""

import contextlib
import fcntl
import json
import os
import pathlib
import re
import signal
import socket
import subprocess
import time

import pytest
import yaml

from support.client import Client
from support.costs import TRACER, trace_calls
from support.mode import BINARY, PATIENCE, ROOT, sized
from support.server import environment, known_settings, run_to_end, sanitizer_wrap
from support.stall import frozen

UNIT = ROOT / "etc/systemd/presenced.service"
SOCKET = ROOT / "etc/systemd/presenced.socket"
ALERTS = ROOT / "etc/prometheus/alerts.yaml"
ALERTS_TEST = ROOT / "tests/integration/alerts_test.yaml"


def run(*command, **options):
    done = subprocess.run(command, capture_output=True, text=True, timeout=4 * PATIENCE, **options)
    return done.returncode, done.stdout + done.stderr


def unit_values(path):
    """Of each name all that it is set to, in order."""
    values = {}
    for line in path.read_text().splitlines():
        if line and line[0] not in "#[":
            name, value = line.split("=", 1)
            values.setdefault(name, []).append(value)
    return values


# ---- the unit -----------------------------------------------------------------------------------


@pytest.mark.release_only
def test_units_are_good_and_locked_down(tmp):
    root = tmp / "root"
    assert run("make", "-s", "install-files", f"DESTDIR={root}", "PREFIX=/usr", cwd=ROOT) == (0, "")
    units = [root / "usr/lib/systemd/system" / path.name for path in (UNIT, SOCKET)]
    for path in units:  # verify wants to see what is to be run
        assert path.stat().st_mode & 0o777 == 0o644
        path.write_text(path.read_text().replace("/usr/bin/presenced", str(BINARY)))
    assert run("systemd-analyze", "verify", "--man=no", *units) == (0, "")
    code, said = run("systemd-analyze", "security", "--offline=true", "--no-pager", UNIT)
    assert code == 0
    assert float(re.search(r"Overall exposure level for presenced.service: ([\d.]+)", said)[1]) <= 2.0
    installed = [str(path.relative_to(root)) for path in sorted(root.rglob("*")) if path.is_file()]
    assert {"etc/presenced.env", "usr/share/bash-completion/completions/presenced",
            "usr/share/man/man8/presenced.8"} <= set(installed)
    # Elsewhere the units name where things lie there.
    local = tmp / "local"
    assert run("make", "-s", "install-files", f"DESTDIR={local}", cwd=ROOT)[0] == 0
    unit = unit_values(local / "usr/local/lib/systemd/system/presenced.service")
    assert unit["ExecStart"] == ["/usr/local/bin/presenced"]
    assert unit["EnvironmentFile"] == ["-/usr/local/etc/presenced.env"]
    assert (local / "usr/local/etc/presenced.env").exists()


def filter_group(name):
    """The calls of a group of systemd's, with those of the groups in it."""
    calls = set()
    for word in run("systemd-analyze", "syscall-filter", "--no-pager", name)[1].splitlines()[1:]:
        word = word.strip()
        if word.startswith("@"):
            calls |= filter_group(word)
        elif word and not word.startswith("#"):
            calls.add(word)
    return calls


@pytest.mark.release_only
def test_unit_allows_what_the_server_calls(start, tmp, clients):
    assert unit_values(UNIT)["SystemCallFilter"] == ["@system-service", "~@privileged @resources", "sched_setattr"]
    allowed = filter_group("@system-service") - filter_group("@privileged") - filter_group("@resources")
    allowed |= filter_group("@default") | {"sched_setattr"}
    server = start(wrap=[*TRACER, tmp / "trace"], WORKERS=2, HEARTBEAT_MIN="50ms",
                   LISTEN=f"tcp://127.0.0.1:0,unix://{tmp}/s", STORE=tmp / "db")
    bob = clients(server, server.url("unix")).hello("bob")
    bob.watch("alice")
    alice = clients(server).hello("alice", heartbeat_ms=50)
    while bob.event("alice")["reason"] != "timeout":
        pass
    alice.close()
    server.stats()
    server.signal(signal.SIGHUP)
    server.stop()
    called = {name for calls in trace_calls(tmp / "trace", server.pid).values() for name, _ in calls}
    assert {"epoll_wait", "sendto", "close_range", "accept4"} <= called
    # The limit of descriptors is the unit's to raise (LimitNOFILE); the server does without. As root, which it is not there,
    # SQLite gives its files to the owner of the first.
    assert called - allowed <= {"setrlimit", "arch_prctl", "fchown"}, called - allowed


@pytest.fixture(scope="module")
def unanswered():
    """A question of health to a socket that nobody reads, asked while another test waits anyway; when it was begun."""
    with socket.create_server(("127.0.0.1", 0)) as mute:
        url = "http://127.0.0.1:{}".format(mute.getsockname()[1])
        process = subprocess.Popen([*sanitizer_wrap(), BINARY, "--health", url], env=environment({}), text=True,
                                   stdout=subprocess.DEVNULL, stderr=subprocess.PIPE)
        yield time.monotonic(), process
        process.kill()
        process.wait()


# ---- notify and watchdog ------------------------------------------------------------------------


class Manager:
    """The service manager's end of NOTIFY_SOCKET."""

    def __init__(self, name, watchdog=None):
        self.sock = socket.socket(socket.AF_UNIX, socket.SOCK_DGRAM)
        self.sock.bind("\0" + name[1:] if name.startswith("@") else name)
        self.sock.settimeout(PATIENCE)
        self.environment = {"NOTIFY_SOCKET": name}
        if watchdog:
            self.environment["WATCHDOG_USEC"] = str(int(watchdog * 1e6))
        self.fed_at = None
        self.complaint = None

    def receive(self):
        message = dict(line.split("=", 1) for line in self.sock.recv(4096).decode().split("\n"))
        if "WATCHDOG" in message:
            self.fed_at = time.monotonic()
        elif set(message) == {"STATUS"}:
            self.complaint = message["STATUS"]
        return message

    def wait(self, name):
        """The next message with that name; those before it may be of the watchdog only."""
        while name not in (message := self.receive()):
            assert set(message) <= {"WATCHDOG", "STATUS"}, message
        return message

    def listen(self, seconds):
        """For so long: all that comes."""
        end, messages = time.monotonic() + seconds, []
        while (left := end - time.monotonic()) > 0:
            self.sock.settimeout(left)
            with contextlib.suppress(TimeoutError, BlockingIOError):
                messages.append(self.receive())
        self.sock.settimeout(PATIENCE)
        return messages


@pytest.mark.alone
@pytest.mark.parametrize("kind", ["abstract", "path"])
def test_the_unit_as_systemd_runs_it(start, clients, tmp, kind):
    """Its ExecStart line, with the sockets that its Type and WatchdogSec bring."""
    unit = unit_values(UNIT)
    assert unit["ExecStart"] == ["/usr/bin/presenced"] and unit["Type"] == ["notify"]
    assert unit["ExecReload"] == ["/bin/kill -HUP $MAINPID"] and float(unit["WatchdogSec"][0].rstrip("s")) >= 3
    manager = Manager(f"@presenced-{os.getpid()}" if kind == "abstract" else f"{tmp}/notify", watchdog=0.3)
    with manager.sock:
        server = start(env=manager.environment, WORKERS=2, DRAIN_DELAY="100ms", DRAIN_TIMEOUT="3s")
        assert manager.receive() == {"STATUS": "starting"}
        ready = manager.receive()
        assert ready.pop("READY") == "1" and list(ready) == ["STATUS"]
        alice = clients(server).hello("alice")
        while "serving 1 sessions; 1 users" not in manager.wait("WATCHDOG")["STATUS"]:
            pass
        # Three times in the time that there is.
        fed = [message for message in manager.listen(0.6) if "WATCHDOG" in message]
        assert len(fed) in range(sized(4, 2), 8)

        before = time.monotonic()
        server.signal(signal.SIGHUP)
        reloading = manager.wait("RELOADING")
        assert reloading["RELOADING"] == "1"
        assert before * 1e6 <= int(reloading["MONOTONIC_USEC"]) <= (time.monotonic() + 0.001) * 1e6
        assert manager.wait("READY")["READY"] == "1"
        alice.beat()

        server.signal(signal.SIGTERM)
        stopping = manager.wait("STOPPING")
        assert int(stopping["EXTEND_TIMEOUT_USEC"]) >= 3.1e6
        assert int(manager.wait("WATCHDOG_USEC")["WATCHDOG_USEC"]) >= 3.1e6
        alice.expect("bye", reason="shutdown")
        alice.close()
        assert server.wait() == 0


@pytest.mark.alone
@pytest.mark.release_only
def test_watchdog_is_fed_while_all_make_progress(start, clients, tmp, unanswered):
    """Not while a worker hangs, nor while the thread hangs that would see that; and again when they go on."""
    managers = [Manager(f"{tmp}/{i}", watchdog=0.3) for i in range(2)]
    servers = [start(env=m.environment, WORKERS=2, HEARTBEAT_MIN="50ms") for m in managers]
    for manager in managers:
        manager.wait("READY")
        manager.wait("WATCHDOG")
    # Both workers have a session that falls silent, and are asked to hear it.
    for _ in range(8):
        clients(servers[0]).hello(f"silent.{_}", heartbeat_ms=50)
    with frozen(servers[0], "worker-1"), frozen(servers[1], "watchdog"):
        began = time.monotonic()
        for manager, word in zip(managers, ("a worker is stalled", "the watchdog's thread stands still")):
            while manager.complaint != word:
                manager.receive()
                assert time.monotonic() < began + 6
            assert manager.fed_at - began < 4
            assert not any("WATCHDOG" in message for message in manager.listen(0.3))
    for manager in managers:
        manager.wait("WATCHDOG")
        manager.sock.close()


def test_without_a_manager_nothing_is_missed(start, tmp):
    start(env={"NOTIFY_SOCKET": f"{tmp}/nobody", "WATCHDOG_USEC": "3000000"})
    start(env={"NOTIFY_SOCKET": "nonsense"}).wait_log("NOTIFY_SOCKET can't be used")
    start(env={"WATCHDOG_USEC": "1000"})


# ---- socket activation --------------------------------------------------------------------------


def hand_down(sockets, names="", pid="$$", n=None):
    """What a test's server is started through: the sockets from descriptor 3 on, and the variables."""
    moves = " ".join(f"{3 + i}<&{sock.fileno()}" for i, sock in enumerate(sockets))
    script = f'exec {moves}; LISTEN_PID={pid} LISTEN_FDS={len(sockets) if n is None else n} LISTEN_FDNAMES={names} exec "$@"'
    return {"wrap": ["bash", "-c", script, "bash"], "pass_fds": [sock.fileno() for sock in sockets]}


@contextlib.contextmanager
def opened(tmp, *kinds):
    """Listeners, above the numbers they go to, and their URLs."""
    with contextlib.ExitStack() as stack:
        made = []
        for kind in kinds:
            sock = socket.socket(socket.AF_UNIX if kind == "unix" else socket.AF_INET)
            sock.bind(f"{tmp}/handed" if kind == "unix" else ("127.0.0.1", 0))
            sock.listen(16)
            moved = socket.socket(fileno=fcntl.fcntl(sock.fileno(), fcntl.F_DUPFD_CLOEXEC, 20))
            sock.close()
            stack.enter_context(moved)
            name = moved.getsockname()
            made.append((moved, f"unix://{name}" if kind == "unix" else f"{kind}://{name[0]}:{name[1]}"))
        yield made


def test_socket_activation(start, tmp, clients):
    """Whoever came before the server was there is served; and so is whoever comes between two servers."""
    with opened(tmp, "tcp", "unix", "http") as made:
        sockets, (tcp, unix, admin) = [m[0] for m in made], [m[1] for m in made]
        settings = {"LISTEN": f"{unix},tcp://127.0.0.1:0,{tcp}", "ADMIN_LISTEN": admin.removeprefix("http://"),
                    "WORKERS": 2, **hand_down(sockets, "clients:local:admin")}
        early = [Client(url) for url in (tcp, unix) * 4]
        for i, client in enumerate(early):
            client.send(type="hello", v=1, user=f"u{i}")
        server = start(**settings)
        assert server.urls[0] == unix and server.urls[2] == tcp and server.admin == admin
        assert "inherited_sockets=3" in server.wait_log("msg=ready")
        for client in early:
            client.expect("welcome")
        own = clients(server, server.urls[1]).hello("own")  # opened by the server itself
        own.watch("late")
        stats = server.stats()
        assert stats["sessions"] == 9 and all(w["descriptors"] > 0 for w in stats["workers"])
        server.stop()
        for client in early:
            assert [m["reason"] for m in client.drain() if m["type"] == "bye"] == ["shutdown"]
            client.close()
        assert pathlib.Path(f"{tmp}/handed").exists(), "the path is not the server's to remove"
        between = [Client(url) for url in (tcp, unix)]
        for client in between:
            client.send(type="hello", v=1, user="late")
        start(**settings)
        for client in between:
            client.expect("welcome")
            client.close()


def test_sockets_of_others_are_not_taken(start, tmp):
    with opened(tmp, "tcp") as [(sock, url)]:
        server = start(LISTEN="tcp://127.0.0.1:0", **hand_down([sock], pid=1))
        assert "inherited_sockets=0" in server.wait_log("msg=ready")


def test_sockets_that_belong_nowhere_are_an_error(tmp):
    with opened(tmp, "tcp") as [(sock, url)]:
        at = {"PRESENCED_ADMIN_LISTEN": "127.0.0.1:0"}

        def refused(words, listen="tcp://127.0.0.1:0", **options):
            way = hand_down([sock], "web", **options)
            done = run_to_end(wrap=way["wrap"], pass_fds=way["pass_fds"], PRESENCED_LISTEN=listen, **at)
            assert done.returncode == 78 and words in done.stderr, done.stderr

        refused("an inherited socket is neither of PRESENCED_LISTEN nor PRESENCED_ADMIN_LISTEN")
        refused("expected numbers", n="some")
        refused("an inherited descriptor is no listening stream socket", listen=url, n=2)


def test_units_socket_is_the_servers(start):
    """What presenced.socket opens is one of the addresses that the server has by default."""
    assert [f"tcp://{value}" for value in unit_values(SOCKET)["ListenStream"]] == \
        re.findall(r"^#PRESENCED_LISTEN=(.*)", (ROOT / "etc/presenced.env").read_text(), re.M)


# ---- health, from a container's own program ------------------------------------------------------


def test_health(start):
    server = start(ADMIN_TOKEN="t")
    at = server.admin.removeprefix("http://")
    for arguments, settings in (([server.admin], {}), ([f"{server.admin}/readyz"], {}), ([], {"PRESENCED_ADMIN_LISTEN": at})):
        done = run_to_end("--health", *arguments, **settings)
        assert (done.returncode, done.stdout, done.stderr) == (0, "ok\n", "")
    done = run_to_end("--health", f"{server.admin}/stats")
    assert (done.returncode, done.stderr) == (1, "presenced: /stats answers 401\n")


def test_health_of_one_that_hangs(unanswered):
    """It connects, and no answer comes: three seconds are enough."""
    began, process = unanswered
    _, said = process.communicate(timeout=4 * PATIENCE)
    assert process.returncode == 1 and "timed out" in said



def test_health_where_nobody_or_nothing_is():
    with socket.create_server(("127.0.0.1", 0)) as taken:
        port = taken.getsockname()[1]
    done = run_to_end("--health", PRESENCED_ADMIN_LISTEN=f"*:{port}", PRESENCED_ADMIN_TOKEN="t")
    assert done.returncode == 1 and "refused" in done.stderr
    for wrong in ("127.0.0.1:1", "https://127.0.0.1:1", "http://name:1", "http://127.0.0.1:1/a b", "http://127.0.0.1:0",
                  "http://127.0.0.1:1/" + "x" * 300):
        assert run_to_end("--health", wrong).returncode == 64, wrong
    assert run_to_end("--health", "http://127.0.0.1:1", "more").returncode == 64
    assert run_to_end("--health", PRESENCED_ADMIN_LISTEN="127.0.0.1:0").returncode == 78
    assert run_to_end("--health", PRESENCED_ADMIN_LISTEN="nonsense").returncode == 78


# ---- containers ---------------------------------------------------------------------------------

DOCKERFILE = (ROOT / "etc/Dockerfile").read_text()
KUBERNETES = list(yaml.safe_load_all((ROOT / "etc/kubernetes/presenced.yaml").read_text()))


def seconds(text):
    return float(text[:-1]) if text[-1] == "s" and text[-2] != "m" else float(text[:-2]) / 1000


def kind(name):
    return [document for document in KUBERNETES if document["kind"] == name]


@pytest.mark.release_only
def test_dockerfile_installs_what_the_server_is_linked_with():
    runtime = DOCKERFILE.split("\nFROM ")[-1]
    assert re.search(r"^USER \d+", runtime, re.M) and "HEALTHCHECK" in runtime
    assert json.loads(re.search(r"HEALTHCHECK .* CMD (\[.*\])", runtime)[1]) == ["/usr/bin/presenced", "--health"]
    installed = set(re.findall(r"\blib[a-z0-9.+-]+", runtime.split("rm -rf")[0]))
    linked = re.findall(r"NEEDED +(\S+)", run("objdump", "-p", BINARY)[1])
    paths = dict(re.findall(r"(\S+) => (\S+)", run("ldd", BINARY)[1]))
    owners = run("dpkg", "-S", *(f"*{os.path.realpath(paths[library]).removeprefix('/usr')}" for library in linked))[1]
    needed = set(re.findall(r"^(lib\S+?)[:,]", owners, re.M)) - {"libc6"}
    assert len(needed) >= 6 and needed <= installed, needed - installed
    for path in re.findall(r"^COPY (?!--)(\S+)", DOCKERFILE, re.M):
        assert (ROOT / path).exists() and f"!{path}" in (ROOT / ".dockerignore").read_text().split()


def test_kubernetes_example_is_sound():
    [deployment] = kind("Deployment")
    pod = deployment["spec"]["template"]["spec"]
    [container] = pod["containers"]
    env = {item["name"]: item["value"] for item in container["env"]}
    assert set(env) <= known_settings() | {f"{name}_FILE" for name in known_settings()}
    assert pod["enableServiceLinks"] is False and pod["securityContext"]["runAsNonRoot"] is True
    assert pod["terminationGracePeriodSeconds"] > seconds(env["PRESENCED_DRAIN_DELAY"]) + seconds(env["PRESENCED_DRAIN_TIMEOUT"])
    security = container["securityContext"]
    assert security == {"allowPrivilegeEscalation": False, "readOnlyRootFilesystem": True, "capabilities": {"drop": ["ALL"]}}
    assert re.search(r"--uid (\d+)", DOCKERFILE)[1] == str(pod["securityContext"]["runAsUser"])
    ports = {port["name"]: port["containerPort"] for port in container["ports"]}
    listening = {int(port) for port in re.findall(r":(\d+)", env["PRESENCED_LISTEN"] + env["PRESENCED_ADMIN_LISTEN"])}
    assert set(ports.values()) == listening
    paths = json.loads((ROOT / "etc/openapi.json").read_text())["paths"]
    for probe in ("startupProbe", "livenessProbe", "readinessProbe"):
        where = container[probe]["httpGet"]
        assert where["path"] in paths and where["port"] in ports
    assert container["livenessProbe"]["httpGet"]["path"] == "/healthz"
    assert container["readinessProbe"]["httpGet"]["path"] == "/readyz"
    labels = deployment["spec"]["template"]["metadata"]["labels"]
    assert deployment["spec"]["replicas"] == 1 and deployment["spec"]["strategy"] == {"type": "Recreate"}
    for document in kind("Service"):
        assert document["spec"]["selector"].items() <= labels.items()
        assert all(port["targetPort"] in ports for port in document["spec"]["ports"])
    [budget] = kind("PodDisruptionBudget")
    assert budget["spec"]["selector"]["matchLabels"].items() <= labels.items()
    version = re.search(r"^VERSION := (\S+)", (ROOT / "Makefile").read_text(), re.M)[1]
    assert container["image"] == f"presenced:{version}"


def test_kubernetes_settings_are_accepted(tmp):
    """With the files of its secret where they would be mounted."""
    from support.certs import Certificate
    from support.tokens import RsaKey, publish

    certificate = Certificate(tmp, "tls")
    certificate.cert.rename(tmp / "tls.cert.pem")
    [deployment] = kind("Deployment")
    env = {item["name"]: item["value"] for item in deployment["spec"]["template"]["spec"]["containers"][0]["env"]}
    (tmp / "admin-token").write_text("secret\n")
    (tmp / "tls.crt").write_text((tmp / "tls.cert.pem").read_text())
    publish(tmp / "keys.json", RsaKey("k"))
    env = {name: value.replace("/etc/presenced/", f"{tmp}/") for name, value in env.items()}
    done = run_to_end("--check-config", **env)
    assert (done.returncode, done.stdout) == (0, "ok\n"), done.stderr


# ---- alerts -------------------------------------------------------------------------------------


@pytest.mark.release_only
def test_alerts_are_good_and_each_is_tested():
    assert run("promtool", "check", "rules", ALERTS)[0] == 0
    code, said = run("promtool", "test", "rules", ALERTS_TEST)
    assert code == 0, said
    rules = [rule for group in yaml.safe_load(ALERTS.read_text())["groups"] for rule in group["rules"]]
    names = [rule["alert"] for rule in rules]
    assert len(names) == len(set(names)) > 10
    quiet, loud = yaml.safe_load(ALERTS_TEST.read_text())["tests"]
    assert [test["alertname"] for test in quiet["alert_rule_test"]] == names
    firing = [sample["labels"] for sample in loud["promql_expr_test"][0]["exp_samples"]]
    assert firing == [f'{{alertname="{name}"}}' for name in names]
    assert all(set(rule["annotations"]) == {"summary", "description"} for rule in rules)
    assert {rule["labels"]["severity"] for rule in rules} == {"page", "ticket"}


def test_alerts_and_documents_name_numbers_that_there_are(start, tmp):
    text = start(STORE=tmp / "presence.db").get("/metrics")[1]
    types = dict(re.findall(r"^# TYPE (\w+) (\w+)$", text, re.M))
    real = set(types)
    for name, of_type in types.items():
        if of_type == "histogram":
            real |= {f"{name}_bucket", f"{name}_sum", f"{name}_count"}
    labels = set(re.findall(r'(\w+)="', text)) | {"instance", "job"}
    for path in ("etc/prometheus/alerts.yaml", "tests/integration/alerts_test.yaml", "README.md", "etc/man/presenced.8"):
        document = (ROOT / path).read_text()
        named = set(re.findall(r"\bpresenced_[a-z][a-z_]*[a-z]\b", document)) - {"presenced_name_total"}
        assert named <= real, (path, named - real)
    expressions = [rule["expr"] for group in yaml.safe_load(ALERTS.read_text())["groups"] for rule in group["rules"]]
    used = set(re.findall(r"[{,] ?(\w+)=", " ".join(expressions)))
    used |= {word for group in re.findall(r"\b(?:by|without|on) ?\(([\w, ]+)\)", " ".join(expressions))
             for word in group.split(", ")}
    assert used <= labels | {"reason"}, used - labels
    limits = set(re.findall(r'presenced_limit\{name="(\w+)"\}', text))
    assert set(re.findall(r'presenced_limit\{name="(\w+)"\}', " ".join(expressions))) <= limits


# ---- scripts and completion ---------------------------------------------------------------------


@pytest.mark.release_only
def test_scripts_are_clean():
    scripts = [path for path in sorted((ROOT / "etc").rglob("*")) if path.is_file() and
               re.match(rb"#!.*\b(ba)?sh\b", path.read_bytes()[:64])]
    assert len(scripts) >= 5
    assert run("shellcheck", *scripts) == (0, "")
    assert run("shellcheck", "-s", "bash", *sorted((ROOT / "etc/completion").iterdir())) == (0, "")


def complete(*words):
    script = 'source "$1"; shift; COMP_WORDS=("$@") COMP_CWORD=$(($# - 1)); _presenced; printf "%s\\n" "${COMPREPLY[@]}"'
    code, said = run("bash", "-c", script, "bash", ROOT / "etc/completion/presenced", *words)
    assert code == 0
    return said.split()


def test_completion():
    options = re.findall(r"^  (--[\w-]+)", run_to_end("--help").stdout, re.M)
    assert sorted(complete("presenced", "")) == sorted(options)
    assert complete("presenced", "--pr") == ["--print-config"]
    assert complete("presenced", "--health", "") == ["http://127.0.0.1:7402/readyz"]
    assert complete("presenced", "--version", "") == []
