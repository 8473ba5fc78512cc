"""The documents and the program say the same: settings, words, counters, numbers, commands, links."""

import json
import os
import re
import shutil
import signal
import socket
import subprocess
import time

import pytest

from support.certs import Certificate
from support.doors import DoorClient
from support.mode import BINARY, PATIENCE, ROOT
from support.server import environment, known_settings, run_to_end, sanitizer_wrap
from support.tokens import SECRET, Secret

README = (ROOT / "README.md").read_text()
MAN_SERVER = (ROOT / "etc/man/presenced.8").read_text()
MAN_PROTOCOL = (ROOT / "etc/man/presence-protocol.7").read_text()
ENV = (ROOT / "etc/presenced.env").read_text()
HAPROXY = shutil.which("haproxy") or "/usr/sbin/haproxy"
NODE_PATH = "/usr/share/nodejs"


def source(path):
    return (ROOT / "src" / path).read_text()


def x_table(path, name):
    """The X(...) lines of a table in a header, as lists of their arguments, unquoted."""
    body = re.search(rf"^#define {name}\(X\)(.*?[^\\])$", source(path), re.M | re.S)[1]
    return [[part.strip().strip('"') for part in found.split(",")]
            for found in re.findall(r"\bX\(([^()]*)\)", body)]


# ---- what is generated --------------------------------------------------------------------------


def test_generated_parts_are_current():
    done = subprocess.run([*sanitizer_wrap(), ROOT / "etc/dev/documents", "--check"], text=True, capture_output=True,
                          env={**environment({}), "PRESENCED_BIN": str(BINARY)}, timeout=4 * PATIENCE)
    assert done.returncode == 0, done.stderr


def test_environment_file_is_the_defaults(tmp):
    """With all of it uncommented that has a value the server says what it says without."""
    lines = [line[1:] for line in ENV.splitlines() if re.match(r"#PRESENCED_\w+=.", line)]
    assert len(lines) > 15
    settings = dict(line.split("=", 1) for line in lines)
    with_it = run_to_end("--print-config", **settings).stdout
    without = run_to_end("--print-config").stdout
    assert [line.split("  #")[0] for line in with_it.splitlines()] == \
        [line.split("  #")[0] for line in without.splitlines()]


def variables(document):
    return set(re.findall(r"PRESENCED_[A-Z][A-Z_]*[A-Z]", (ROOT / document).read_text()))


@pytest.mark.parametrize("document", ["README.md", "etc/man/presenced.8", "etc/presenced.env"])
def test_every_setting_is_documented(document):
    assert known_settings() <= variables(document)


@pytest.mark.parametrize("document", ["README.md", "etc/man/presenced.8", "etc/man/presence-protocol.7",
                                      "etc/presenced.env", "etc/dev/run", "etc/Dockerfile", "etc/openapi.json",
                                      "etc/systemd/presenced.service", "etc/systemd/presenced.socket",
                                      "etc/kubernetes/presenced.yaml", "etc/prometheus/alerts.yaml",
                                      "etc/examples/haproxy.cfg"])
def test_every_documented_variable_exists(document):
    known = known_settings()
    assert variables(document) <= known | {f"{name}_FILE" for name in known}


# ---- the protocol's words -----------------------------------------------------------------------


def markdown_rows(name):
    """The rows of the README's table with that mark, as cells."""
    text = README.split(f"<!-- table: {name} -->\n")[1].split("\n\n")[0]
    return [[cell.strip() for cell in row.strip("|").split(" | ")] for row in text.splitlines()[2:]]


def markdown_words(name):
    return [word for row in markdown_rows(name) for word in re.findall(r"`(\w+)`", row[0])]


def man_section(title):
    return MAN_PROTOCOL.split(f"\n.Sh {title}\n")[1].split("\n.Sh ")[0]


def man_items(title):
    """The tagged items of a section: (word, what else stands in the tag)."""
    return re.findall(r"^\.It (?:Cm|Li|Er|Va) (\w+)(.*)$", man_section(title), re.M)


def same(documented, words):
    assert sorted(documented) == sorted(set(documented)), "a word twice"
    assert set(documented) == set(words)


REQUESTS = [row[1] for row in x_table("wire/message.h", "REQUESTS")]
STATES = [row[1] for row in x_table("base/terms.h", "STATES")]
REASONS = [row[1] for row in x_table("base/terms.h", "REASONS")]
ERRORS = {row[1]: row[2] == "true" for row in x_table("wire/message.h", "WIRE_ERRORS")}


def reply_types():
    """What the code that writes to clients calls its messages."""
    calls = re.findall(r"\bappend_open\(\s*b,([^;]*?)\bid,|\bappend_open\(\s*b,([^;]*?),\s*m->id,", source("wire/reply.c"))
    types = set(re.findall(r'"(\w+)"', "".join(a + b for a, b in calls)))
    types |= set(re.findall(r'\\"type\\":\\"(\w+)\\"', source("wire/reply.c") + source("presence/event.c")))
    return types


def test_requests():
    assert len(REQUESTS) >= 7
    same(markdown_words("requests"), REQUESTS)
    same([word for word, _ in man_items("MESSAGES FROM CLIENTS")], REQUESTS)


def test_replies():
    types = reply_types()
    assert {"welcome", "presence", "presences", "watching", "bye"} <= types
    words = [word for row in markdown_rows("replies") for word in re.findall(r"`(\w+)`", row[0])]
    same(words, types)
    same([word for word, _ in man_items("MESSAGES FROM THE SERVER")], types)


def test_states():
    assert len(STATES) >= 5
    same(markdown_words("states"), STATES)
    same([word for word, _ in man_items("STATES")], STATES)


def test_reasons():
    assert len(REASONS) >= 13
    same(markdown_words("reasons"), REASONS)
    same([word for word, _ in man_items("REASONS")], REASONS)


def test_errors_and_which_of_them_end_the_connection():
    assert len(ERRORS) >= 13
    same(markdown_words("errors"), ERRORS)
    marked = {word for row in markdown_rows("errors") for word in re.findall(r"`(\w+)` †", row[0])}
    assert marked == {word for word, is_fatal in ERRORS.items() if is_fatal}
    items = man_items("ERROR CODES")
    same([word for word, _ in items], ERRORS)
    assert {word: rest.endswith("+") for word, rest in items} == ERRORS


def close_codes():
    """Of errors, of byes, and those that frames themselves earn: code -> the words of it."""
    codes = {}
    for row in x_table("wire/message.h", "WIRE_ERRORS"):
        if row[3] != "0":
            codes.setdefault(row[3], set()).add(row[1])
    words = {row[0]: row[1] for row in x_table("base/terms.h", "REASONS")}
    body = source("wire/message.c").split("uint16_t reason_close_code")[1].split("ensure(")[0]
    for name, code in re.findall(r"\[REASON_(\w+)\] = (\d+)", body):
        codes.setdefault(code, set()).add(words[name])
    ours = re.search(r"Codes that are made here.*?\{(.*?)\};", source("wire/websocket.h"), re.S)[1]
    for name, code in re.findall(r"WEBSOCKET_CODE_(\w+) = (\d+)", ours):
        if name != "NONE":  # never on the wire
            codes.setdefault(code, set())
    codes.setdefault("1000", set()).add("logout")
    return codes


def test_close_codes():
    codes = close_codes()
    assert len(codes) >= 13
    documented = {}
    for row in markdown_rows("closes"):
        for code in re.findall(r"`(\d+)`", row[0]):
            documented[code] = set(re.findall(r"`(\w+)`", row[1]))
    # 1002, 1003 and 1007 share a row
    assert set(documented) == set(codes)
    assert all(words <= documented[code] for code, words in codes.items())
    assert set().union(*documented.values()) == set().union(*codes.values())
    section = man_section("WEBSOCKET")
    items = re.findall(r"^\.It Li (\d+)\n(.*?)(?=^\.It|^\.El)", section, re.M | re.S)
    assert {code: set(re.findall(r"^\.(?:Er|Li) (\w+)", text, re.M)) for code, text in items} == codes


def test_claims():
    claims = set(re.findall(r'json_find\(object, "(\w+)"', source("auth/token.c").split("/* --- claims")[-1]))
    assert {"sub", "exp", "watch"} <= claims
    claims -= {"alg", "kid", "crit", "b64"}  # the header's
    same(markdown_words("claims"), claims)
    same([word for word, _ in man_items("TOKENS")], claims)


def test_words_of_http_refusals_and_sizes():
    for path, name, value, said in (
            ("wire/upgrade.h", "UPGRADE_HEAD_MAX", "8192", "8 KiB"),
            ("wire/upgrade.h", "UPGRADE_HEADERS_MAX", "32", "32 headers"),
            ("auth/token.h", "TOKEN_BYTES_MAX", "8 * 1024", "8 KiB"),
            ("server/worker_private.h", "HELLO_MAX", "4096", "4 KiB"),
            ("server/worker_private.h", "HELLO_WITH_TOKEN_MAX", "12288", "12 KiB"),
            ("server/worker_private.h", "HELLO_REPLIES_MAX", "1024", "1 KiB"),
            ("server/worker_private.h", "SIGNATURES_PER_TURN", "4", "four handshakes or signatures"),
            ("server/worker_private.h", "READ_MAX", "16384", "16 KiB a turn"),
            ("server/worker_private.h", "OPEN_MESSAGES_MAX", "4096", "4,096 open"),
            ("server/worker_private.h", "OPEN_MESSAGE_MS", "30000", "30 s")):
        assert re.search(rf"\b{name}\s*=\s*{re.escape(value)}", source(path)), (name, value)
        assert said in README, said


def test_limits_have_their_counters_and_answers(server):
    real, rows = server.counters(), markdown_rows("limits")
    assert len(rows) >= 20
    for _, answer, counter in rows:
        for word in re.findall(r"`(\w+)`", counter):
            assert word in real, word
        for word in re.findall(r"`(\w+)`", answer):
            assert word in ERRORS or word in REASONS or word == "bye", word
    told = " ".join(row[2] for row in rows)
    for word in real:  # what is refused at a limit is in the table
        if word.startswith("refused_") or not word.startswith("error_") and word.endswith(("_refused", "_limited", "_malformed", "_misplaced")):
            assert f"`{word}`" in told, word
    limits = {name for name in known_settings() if re.search("_MAX_|_RATE$", name)}
    assert limits - {"PRESENCED_HEARTBEAT_MAX"} <= set(re.findall(r"PRESENCED_\w+", str(rows)))


def test_fields_of_a_presence_object(server, login, name):
    presence = {**login("watcher").watch(name("nobody"))[0], "reconnecting": True}  # in a grace only
    assert set(presence) == {word for word, _ in man_items("PRESENCE OBJECTS")}
    paragraph = README.split("A **presence object** is")[1].split("\n\n")[0]
    assert set(presence) <= set(re.findall(r"`(\w+)`", paragraph))


# ---- numbers ------------------------------------------------------------------------------------


def test_every_counter_has_a_help_and_is_listed():
    counters = re.findall(r'^\tX\((\w+),\s*"([^"]*)"\)', source("base/counters.h"), re.M)
    assert len(counters) == len(re.findall(r"^\tX\(", source("base/counters.h"), re.M)) > 30
    assert all(len(words) >= 10 for _, words in counters)
    listed = MAN_SERVER.split("\n.Sh COUNTERS\n")[1].split("\n.Sh ")[0]
    assert re.findall(r"^\.It Li (\w+)\n(.*)$", listed, re.M) == counters


def test_every_metric_is_listed_and_the_reverse(start, tmp):
    server = start(STORE=tmp / "presence.db")
    types = dict(re.findall(r"^# TYPE presenced_(\w+) (\w+)$", server.get("/metrics")[1], re.M))
    counters = {f"{name}_total" for name in server.counters()}
    listed = MAN_SERVER.split("\n.Sh METRICS\n")[1].split("\n.Sh ")[0]
    named = re.findall(r"^\.It Li (\w+)\n\((\w+)", listed, re.M)
    assert sorted(named) == sorted((name, kind) for name, kind in types.items() if name not in counters)


def test_every_endpoint_is_documented_and_the_reverse():
    """test_api.py compares the description with the program; what browsers load is told of in words."""
    paths = json.loads((ROOT / "etc/openapi.json").read_text())["paths"]
    real = {(verb.upper(), path) for path, verbs in paths.items() for verb in verbs if verb != "parameters"}
    asked = {(verb, path) for verb, path in real if re.match(r"/(v1/|\w+$)", path) and path != "/demo"}
    assert len(asked) >= 12
    man = set(re.findall(r"^\.It (GET|POST|DELETE) (/\S*)$", MAN_SERVER, re.M))
    assert asked <= man <= real
    readme = set(re.findall(r"`(GET|POST|DELETE) (/[^ ?`]*)", README))
    assert readme <= real
    assert asked - readme <= {("GET", path) for path in re.findall(r"`(/\w+)`", README)}


def test_errors_of_the_admin_port():
    """Their codes and status, in the man page; and those that a path has of its own, in its description."""
    errors = {code: status for status, code in
              re.findall(r'^\tX\(\w+,\s*(\d+),\s*"(\w+)"', source("admin/answer.h"), re.M)}
    assert len(errors) > 12
    section = MAN_SERVER.split("\n.Sh ERROR CODES\n")[1].split("\n.Sh ")[0]
    listed = {code: status for codes, status in re.findall(r"^\.It Er (.*)\n\((\d+)\)", section, re.M)
              for code in codes.split(" , ")}
    assert listed == errors
    described = set(re.findall(r"`(\w+)`", (ROOT / "etc/openapi.json").read_text()))
    anywhere = {"method_not_allowed", "headers_too_large", "out_of_memory", "body_too_large"}  # of any path
    assert set(errors) - anywhere <= described


def test_counters_that_readme_names_exist(server):
    section = README.split("### Reading /stats")[1].split("\n## ")[0]
    real = server.counters()
    for row in re.findall(r"^\| (`counters\.[^|]*) \|", section, re.M):
        for word in re.findall(r"`([\w.*]+)`", row):
            pattern = re.escape(word.removeprefix("counters.")).replace(r"\*", r"\w+")
            assert any(re.fullmatch(pattern, name) for name in real), word


def test_every_number_of_stats_is_documented_and_the_reverse(server):
    stats = server.stats()
    section = README.split("### Reading /stats")[1].split("\n## ")[0]
    documented, group = set(), ""
    for cell in re.findall(r"^\| (`.*?) \|", section, re.M):
        if cell.startswith("`counters."):
            continue
        for word in re.findall(r"`([\w.\[\]]+)`", cell):
            if "." in word:  # the group is that of the rest of the cell, too
                group, word = word.rsplit(".", 1)
                documented.add(f"{group}.{word}")
            elif cell.startswith(("`workers[]", "`watchdog")):
                documented.add(f"{group}.{word}")
            else:
                documented.add(word)
    real = set(stats) - {"counters", "workers", "watchdog"}
    real |= {f"workers[].{key}" for key in stats["workers"][0]} | {f"watchdog.{key}" for key in stats["watchdog"]}
    assert documented == real
    man = set(re.findall(r"\w+", MAN_SERVER.split("\n.Sh MONITORING\n")[1].split("\n.Sh ")[0]))
    parts = [stats, stats["workers"][0], stats["watchdog"], stats["feed"], stats["memory"], stats["limits"]]
    assert {key for part in parts for key in part} <= man


def test_exit_codes_and_options():
    said = run_to_end("--help").stdout
    codes = set(re.findall(r"\b(\d+) [a-z]", said.split("Exit codes:")[1]))
    section = MAN_SERVER.split("\n.Sh EXIT STATUS\n")[1].split("\n.Sh ")[0]
    assert set(re.findall(r"^\.It (\d+)$", section, re.M)) == codes
    assert codes <= set(re.findall(r"\d+", README.split("Exit codes:")[1].split("\n\n")[0]))
    options = set(re.findall(r"^  --([\w-]+)", said, re.M))
    assert set(re.findall(r"^\.It Fl -([\w-]+)$", MAN_SERVER, re.M)) == options


# ---- commands and places ------------------------------------------------------------------------


def tour_blocks():
    """The tour's commands, and what is printed after each block of them."""
    pattern = r"<!-- tour -->\n```bash\n(.*?)```\n\n<!-- prints -->\n```\n(.*?)```\n"
    return re.findall(pattern, README, re.S)


def bash(script, server):
    """Runs it as a reader would type it, on this server's ports. Whatever it leaves behind is ended."""
    for printed, url in (("127.0.0.1/7400", server.url("tcp")), ("127.0.0.1/7402", server.admin)):
        assert printed in script or printed.endswith("7402")
        script = script.replace(printed, url.split("//")[1].replace(":", "/"))
    shell = subprocess.Popen(["bash", "-c", script], stdin=subprocess.DEVNULL, stdout=subprocess.PIPE,
                             stderr=subprocess.PIPE, text=True, start_new_session=True)
    try:
        return shell.communicate(timeout=8 * PATIENCE)[0]
    finally:
        try:
            os.killpg(shell.pid, signal.SIGKILL)
        except ProcessLookupError:
            pass


def line_pattern(line):
    """A line as printed: … is anything, and numbers of events are shared with other users."""
    parts = [re.sub(r'"seq":\d+', r'"seq":\\d+', re.escape(part)) for part in line.split("…")]
    return ".*".join(parts)


def test_tour_runs_as_printed(start):
    blocks = tour_blocks()
    assert len(blocks) == README.count("<!-- tour -->") == README.count("<!-- prints -->") > 3
    script = "".join(f"{commands}echo '=== end of block'\n" for commands, _ in blocks)
    printed = bash(script, start()).split("=== end of block\n")
    assert len(printed) == len(blocks) + 1 and printed[-1] == ""
    for (commands, expected), got in zip(blocks, printed):
        wanted, lines = expected.splitlines(), got.splitlines()
        assert len(wanted) == len(lines), (commands, got)
        for want, line in zip(wanted, lines):
            assert re.fullmatch(line_pattern(want), line), (want, line)


def tried(mark):
    """The block of the README that is marked so."""
    return re.search(rf"<!-- try: {mark} -->\n```\w+\n(.*?)```\n", README, re.S)[1]


def free_ports(n):
    sockets = [socket.create_server(("127.0.0.1", 0)) for _ in range(n)]
    ports = [str(s.getsockname()[1]) for s in sockets]
    for s in sockets:
        s.close()
    return ports


def test_token_by_hand_and_login_over_tls(tmp):
    """What the README says to type, in its order, in a folder of its own."""
    (tmp / "bin").mkdir()
    (tmp / "bin/presenced").write_text(f'#!/bin/sh\nexec {" ".join(map(str, [*sanitizer_wrap(), BINARY]))} 2>log\n')
    (tmp / "bin/presenced").chmod(0o755)
    script = tried("certificate") + tried("token") + tried("login")
    for port, free in zip(("7443", "7444", "7402"), free_ports(3)):
        script = script.replace(f":{port}", f":{free}")
        script = f"export PRESENCED_ADMIN_LISTEN=127.0.0.1:{free}\n{script}" if port == "7402" else script
    # The server is there when it says so, which on a slow machine is later than a second.
    assert "& sleep 1\n" in script
    script = script.replace("& sleep 1\n", "& until grep -q msg=ready log; do sleep 0.05; done\n")
    done = subprocess.run(["bash", "-c", script], cwd=tmp, capture_output=True, text=True, timeout=8 * PATIENCE,
                          env=environment({"PATH": f"{tmp}/bin:{os.environ['PATH']}"}))
    lines = [json.loads(line) for line in done.stdout.splitlines()]
    assert [line["type"] for line in lines] == ["welcome", "error", "bye"], (done.stdout, done.stderr)
    assert lines[0]["user"] == "alice"
    assert lines[1]["code"] == "forbidden"  # carol: the watch claim is heard


def test_page_speaks_as_printed(start, tmp):
    """The script of a page, in Node's own WebSocket where it has one, or that of Debian's node-ws."""
    if not shutil.which("node"):
        pytest.skip("node is not installed")
    server = start(LISTEN="ws://127.0.0.1:0,tcp://127.0.0.1:0")
    assert "ws://127.0.0.1:7401/" in tried("page")
    script = f"""
        let wait = setTimeout(() => process.exit(3), 10000);
        const show = message => {{
            console.log(JSON.stringify(message));
            if (message.type === "watching") ws.send('{{"type":"bye"}}');
            if (message.closed) process.exit(0);
        }};
        globalThis.WebSocket ??= require("ws");
        {tried("page").replace("ws://127.0.0.1:7401", server.url("ws"))}
        """
    probe = subprocess.run(["node", "-e", "globalThis.WebSocket ?? require('ws')"], capture_output=True, cwd=tmp,
                           env={**os.environ, "NODE_PATH": NODE_PATH}, timeout=PATIENCE)
    if probe.returncode:
        pytest.skip("node has no WebSocket, and node-ws is not installed")
    done = subprocess.run(["node", "-e", script], capture_output=True, text=True, timeout=4 * PATIENCE, cwd=tmp,
                          env={**os.environ, "NODE_PATH": NODE_PATH})
    said = [json.loads(line) for line in done.stdout.splitlines()]
    assert [m.get("type", m.get("closed")) for m in said] == ["welcome", "watching", "bye", 1000], (said, done.stderr)


def test_haproxy_takes_the_example(tmp):
    if not shutil.which(HAPROXY):
        pytest.skip("haproxy is not installed")
    certificate = Certificate(tmp)
    example = (ROOT / "etc/examples/haproxy.cfg").read_text()
    assert example.count("/etc/haproxy/presence.pem") == 2
    config = tmp / "haproxy.cfg"
    config.write_text(example.replace("/etc/haproxy/presence.pem", str(certificate.both)))
    done = subprocess.run([HAPROXY, "-c", "-f", config], capture_output=True, text=True, timeout=PATIENCE)
    assert done.returncode == 0, done.stderr
    assert "[WARNING]" not in done.stderr and "[ALERT]" not in done.stderr, done.stderr
    for name in re.findall(r"PRESENCED_\w+", example):
        assert name.removesuffix("_FILE") in known_settings() or name in known_settings(), name


def test_client_behind_the_haproxy_of_the_example(start, tmp):
    if not shutil.which(HAPROXY):
        pytest.skip("haproxy is not installed")
    certificate = Certificate(tmp)
    server = start(LISTEN="tcp://127.0.0.1:0,ws://127.0.0.1:0", PROXY_TRUSTED="127.0.0.1", JWT_SECRET=SECRET)
    web, plain = free_ports(2)
    text = (ROOT / "etc/examples/haproxy.cfg").read_text().replace("/etc/haproxy/presence.pem", str(certificate.both))
    for old, new in ((":443 ", f"127.0.0.1:{web} "), (":7443 ", f"127.0.0.1:{plain} "), ("maxconn 100000", "maxconn 100"),
                     ("127.0.0.1:7401", server.url("ws").split("//")[1]),
                     ("127.0.0.1:7400 send", server.url("tcp").split("//")[1] + " send")):
        assert old in text, old
        text = text.replace(old, new)
    (tmp / "haproxy.cfg").write_text(text)
    proxy = subprocess.Popen([HAPROXY, "-db", "-q", "-f", tmp / "haproxy.cfg"], stdin=subprocess.DEVNULL)
    try:
        for url in (f"tls://127.0.0.1:{plain}", f"wss://127.0.0.1:{web}"):
            client = behind_proxy(url, certificate)
            client.send(type="hello", v=1, token=Secret().token("alice"))
            client.expect("welcome", user="alice")
            client.bye()
    finally:
        proxy.terminate()
        proxy.wait(PATIENCE)


def behind_proxy(url, certificate):
    """Once the proxy listens."""
    end = time.monotonic() + PATIENCE
    while True:
        try:
            return DoorClient(url, tls=certificate.context())
        except ConnectionRefusedError:
            assert time.monotonic() < end
            time.sleep(0.05)


def anchors(text):
    """As code hosting sites make them of headings."""
    headings = re.findall(r"^#+ (.*)$", re.sub(r"```.*?```", "", text, flags=re.S), re.M)
    return {re.sub(r"[^\w\- ]", "", heading.lower()).replace(" ", "-") for heading in headings}


def test_links_resolve():
    links = re.findall(r"\]\(([^)\s]+)\)", README)
    assert len(links) > 8
    for link in links:
        if re.match(r"[a-z]+:", link):
            continue
        path, _, anchor = link.partition("#")
        assert (ROOT / path).exists(), link
        if anchor:
            assert path == "" and anchor in anchors(README), link


def test_places_that_readme_names_exist():
    tree = README.split("<!-- tree -->\n```\n")[1].split("```")[0]
    for line in tree.splitlines():
        assert (ROOT / line.split()[0]).exists(), line
    paths = README.split("### The path of a heartbeat")[1].split("\n## ")[0]
    named = re.findall(r"`(\w+/\w+\.[ch])`", paths)
    assert len(named) > 10
    for path in named:
        assert (ROOT / "src" / path).exists(), path
    for path in re.findall(r"\b(?:src|etc|tests)/[\w./-]*\w", README):
        assert (ROOT / path).exists(), path


def test_make_targets_that_readme_names_exist():
    makefile = (ROOT / "Makefile").read_text()
    targets = set(re.findall(r"^([a-z-]+):", makefile, re.M))
    named = set(re.findall(r"`make ([a-z-]+)", README)) | set(re.findall(r"^make ([a-z-]+) ", README, re.M))
    assert {"run", "test", "demo", "check", "bench"} <= named <= targets


@pytest.mark.parametrize("page", ["presenced.8", "presence-protocol.7", "presencectl.1", "libpresence.3"])
def test_man_page_lint(page):
    if not shutil.which("mandoc"):
        pytest.skip("mandoc is not installed")
    done = subprocess.run(["mandoc", "-T", "lint", "-W", "style", ROOT / "etc/man" / page], capture_output=True,
                          text=True, timeout=PATIENCE)
    told = [line for line in done.stdout.splitlines() if "referenced manual not found" not in line]
    assert not told, "\n".join(told)
