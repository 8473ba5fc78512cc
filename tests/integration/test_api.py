"""The admin API and /metrics, from outside: what each path says, refuses, and does to clients."""

import base64
import http.client
import json
import re
import shutil
import socket
import struct
import subprocess
import time
from urllib.parse import quote, urlencode, urlsplit

import pytest

from support.certs import Certificate
from support.client import connect
from support.doors import DoorClient, proxy_v2
from support.mode import PATIENCE, ROOT, sized
from support.stall import frozen

OPENAPI = json.loads((ROOT / "etc/openapi.json").read_text())
DOORS = "tcp://127.0.0.1:0,tls://127.0.0.1:0,ws://127.0.0.1:0,wss://127.0.0.1:0"
PRESENCE = ["user", "state", "reason", "seq", "at_ms", "last_seen_ms", "status"]
SESSION = ["session", "device", "transport", "address", "state", "status", "since_ms", "last_seen_ms", "timeout_ms",
           "reconnecting"]


class Api:
    """One connection to the admin port, kept."""

    def __init__(self, server, token=None):
        where = urlsplit(server.admin)
        self.http = http.client.HTTPConnection(where.hostname, where.port, timeout=PATIENCE)
        self.headers = {} if token is None else {"Authorization": f"Bearer {token}"}

    def ask(self, method, path, body=None):
        """Status, headers, and the body as it is."""
        self.http.request(method, path, body=body, headers=self.headers)
        reply = self.http.getresponse()
        return reply.status, reply.headers, reply.read()

    def get(self, path, method="GET", body=None, status=200):
        got, headers, text = self.ask(method, path, body)
        assert got == status, (got, text)
        assert headers["Content-Type"] == "application/json" and headers["Cache-Control"] == "no-store"
        return json.loads(text)

    def refused(self, path, status, code, method="GET", body=None):
        error = self.get(path, method, body, status)["error"]
        assert error["code"] == code and error["message"], error
        return error["message"]

    def user(self, user):
        return self.get(f"/v1/users/{quote(user, safe='')}")

    def query(self, *users):
        return self.get("/v1/query", "POST", json.dumps({"users": users}))["presences"]

    def pages(self, **params):
        """All pages of a listing: lists of presences."""
        pages, cursor = [], None
        while True:
            asked = {**params, **({"cursor": cursor} if cursor else {})}
            page = self.get(f"/v1/users?{urlencode(asked)}")
            pages.append(page["presences"])
            cursor = page["cursor"]
            if cursor is None:
                return pages

    def users(self, **params):
        return [p["user"] for page in self.pages(**params) for p in page]

    def kick(self, user, session=None, status=204):
        path = f"/v1/users/{quote(user, safe='')}" + (f"/sessions/{session}" if session else "")
        got, headers, text = self.ask("DELETE", path)
        assert got == status, (got, text)
        assert got != 204 or text == b"" and "Content-Type" not in headers


@pytest.fixture
def api(server):
    opened = Api(server)
    yield opened
    opened.http.close()


# ---- users --------------------------------------------------------------------------------------


def test_user_with_sessions(server, api, login, name):
    before = int(time.time() * 1000)
    phone = login("bob", "phone", state="away", status="lunch \"ü\"", heartbeat_ms=2000)
    shy = login("bob", url=server.url("unix"), state="invisible")
    bob = api.user(name("bob"))
    assert list(bob) == PRESENCE + ["sessions"]
    assert (bob["user"], bob["state"], bob["reason"], bob["status"]) == (name("bob"), "away", "login", "lunch \"ü\"")
    assert [list(s) for s in bob["sessions"]] == [SESSION, SESSION]
    by_session = {s["session"]: s for s in bob["sessions"]}
    seen = by_session[phone.welcome["session"]]
    assert (seen["device"], seen["transport"], seen["state"], seen["status"]) == ("phone", "tcp", "away", "lunch \"ü\"")
    assert (seen["timeout_ms"], seen["reconnecting"]) == (6000, False)
    assert seen["address"] == "{}:{}".format(*phone.sock.getsockname())
    assert before - 1 <= seen["since_ms"] <= seen["last_seen_ms"] + 1 <= time.time() * 1000 + 2
    hidden = by_session[shy.welcome["session"]]
    assert (hidden["device"], hidden["transport"], hidden["state"]) == (shy.welcome["device"], "unix", "invisible")
    assert hidden["address"] is None
    # A heartbeat is seen, also without any event.
    phone.beat()
    again = {s["session"]: s for s in api.user(name("bob"))["sessions"]}
    assert again[phone.welcome["session"]]["last_seen_ms"] >= seen["last_seen_ms"]
    shy.bye()
    phone.bye()
    gone = api.user(name("bob"))
    assert (gone["state"], gone["reason"], gone["sessions"]) == ("offline", "logout", [])


def test_addresses_are_those_of_the_peers(start, session_tmp):
    """Whichever door they came by, whichever worker has them; and behind a proxy those that it names."""
    certificate = Certificate(session_tmp, "addresses")
    server = start(WORKERS=2, LISTEN=DOORS, **certificate.settings())
    clients = {}
    for url in server.urls * 3:
        client = DoorClient(url, tls=certificate.context()).hello("bob", str(len(clients)))
        clients[str(len(clients))] = client
    api = Api(server)
    told = {s["device"]: s["address"] for s in api.user("bob")["sessions"]}
    assert told == {device: "{}:{}".format(*client.sock.getsockname()) for device, client in clients.items()}
    api.http.close()
    for client in clients.values():
        client.close()


def test_address_behind_a_proxy(start):
    server = start(PROXY_TRUSTED="127.0.0.0/8")
    client = DoorClient(server.url(), proxy=proxy_v2("192.0.2.7", 5000)).hello("bob")
    api = Api(server)
    assert [s["address"] for s in api.user("bob")["sessions"]] == ["192.0.2.7:5000"]
    api.http.close()
    client.close()


def test_a_worker_that_is_busy_is_not_waited_for(start, clients):
    server = start(WORKERS=1)
    bob = clients(server).hello("bob")
    api = Api(server)
    with frozen(server, "worker-0"):
        for _ in range(5):  # once more than is ever asked
            began = time.monotonic()
            assert [s["address"] for s in api.user("bob")["sessions"]] == [None]
            assert time.monotonic() - began < sized(0.2, 2)
    bob.beat()  # it runs again, and has answered what was asked
    bob.beat()  # by the time that it has this one
    assert api.user("bob")["sessions"][0]["address"]
    api.http.close()


def test_user_who_was_never_seen(api, name):
    nobody = api.user(name("nobody"))
    assert (nobody["state"], nobody["reason"], nobody["sessions"]) == ("offline", "unknown", [])
    assert nobody["at_ms"] is None and nobody["last_seen_ms"] is None and nobody["status"] is None


@pytest.mark.parametrize("word", ["bob/sessions/1", "50%", "a b+c", "?#&", "ü/€/😀", "..", "%2F", "x" * 120])
def test_paths_name_the_user_they_name(api, login, name, word):
    login(word)
    user = api.user(name(word))
    assert user["user"] == name(word) and user["state"] == "online" and len(user["sessions"]) == 1
    assert api.query(name(word))[0]["state"] == "online"
    assert api.users(prefix=name(word)) == [name(word)]


def test_encoded_slashes_end_nothing_of_others(server, api, clients):
    """bob%2Fsessions%2F1 is a user, and not the session of bob."""
    bob = clients(server).hello("bob", "1")
    odd = clients(server).hello("bob/sessions/" + bob.welcome["session"])
    api.kick("bob/sessions/" + bob.welcome["session"])
    odd.expect("bye", reason="kicked")
    bob.beat()
    api.kick("bob")
    bob.expect("bye", reason="kicked")


@pytest.mark.parametrize("encoded", ["%", "%2", "%zz", "%00", "a%0Ab", "%7f", "%ff", "%c3", "x" * 129, "%78" * 129])
def test_ids_that_are_none(api, encoded):
    api.refused(f"/v1/users/{encoded}", 400, "bad_id")
    api.refused(f"/v1/users/{encoded}", 400, "bad_id", method="DELETE")


# ---- many users ---------------------------------------------------------------------------------


def test_query(api, login, name):
    login("bob", state="busy")
    users = [name("bob"), name("nobody"), name("bob"), "ü \"\\"]
    presences = api.query(*users)
    assert [p["user"] for p in presences] == users
    assert [p["state"] for p in presences] == ["busy", "offline", "busy", "offline"]
    assert all(list(p) == PRESENCE for p in presences)
    assert api.query() == []


def test_query_limits(api):
    assert len(api.query(*[f"u{i}" for i in range(10000)])) == 10000
    # As long as ids can be, every byte of them escaped in the answer.
    long = ["\"" * 128] * 10000
    assert [p["user"] for p in api.query(*long)] == long
    for body in (json.dumps({"users": ["u"] * 10001}), json.dumps({"users": ["x" * 129]}), "[]", "{}", "{", None,
                 json.dumps({"users": "bob"}), json.dumps({"users": [1]}), json.dumps({"users": ["a\nb"]})):
        api.refused("/v1/query", 400, "bad_body", method="POST", body=body)


def test_bodies_where_none_is_wanted(server):
    for method, path in (("GET", "/v1/users/bob"), ("DELETE", "/v1/users/bob"), ("GET", "/v1/counts")):
        Api(server).refused(path, 413, "body_too_large", method=method, body="{}")


def test_pages(api, login, name):
    expected = {name(f"team:{i}"): "online" for i in range(25)}
    for user in list(expected)[:5]:
        expected[user] = "busy"
    for i, state in enumerate(expected.values()):
        login(f"team:{i}", state=state)
    for limit in (1, 4, 24, 25, 1000):
        pages = api.pages(prefix="team:", limit=limit)
        assert all(len(page) <= limit for page in pages)
        users = [p["user"] for page in pages for p in page if p["user"] in expected]
        assert sorted(users) == sorted(expected)
    assert all(list(p) == PRESENCE for page in pages for p in page)
    busy = [user for user in api.users(prefix="team:", state="busy") if user in expected]
    assert sorted(busy) == sorted(list(expected)[:5])
    assert api.users(prefix=name("team:0")) == [name("team:0")]
    assert api.users(prefix=name("team:0"), state="away") == []


def test_pages_by_state(api, login, name):
    login("shy", state="invisible")
    watcher = login("watcher")
    watcher.watch(name("never"))
    login("gone").bye()
    assert api.users(prefix=name("shy"), state="invisible") == [name("shy")]
    assert api.users(prefix=name("shy"), state="online") == []
    assert api.users(prefix=name("gone"), state="offline") == [name("gone")]
    assert api.users(prefix=name("never")) == []


def test_pages_while_others_come_and_go(start, clients):
    """Who is there all the time is met once; the table grows and shrinks meanwhile."""
    server = start(WORKERS=1, REMEMBER=0)
    api = Api(server)
    there = {f"there{i}" for i in range(sized(60, 30))}
    for user in there:
        clients(server).hello(user)
    met, cursor, others = [], "", []
    while cursor is not None:
        page = api.get(f"/v1/users?limit=3&cursor={cursor}")
        met += [p["user"] for p in page["presences"]]
        cursor = page["cursor"]
        if len(others) < sized(400, 100):
            others += [clients(server).hello(f"other{len(others)}.{i}") for i in range(20)]
        elif len(met) % 2:
            others.pop().close()
    assert sorted(user for user in met if user in there) == sorted(there)


@pytest.mark.parametrize("query", [
    "limit=0", "limit=1001", "limit=-1", "limit=x", "limit=1e2", "limit=00001", "state=there", "state=ONLINE",
    "state=" + "x" * 500, "cursor=x", "cursor=" + "0" * 24, "cursor=" + "0" * 16, "prefix=" + "x" * 129, "prefix=%0a",
    "prefix=%zz"])
def test_queries_that_are_none(api, query):
    assert api.refused(f"/v1/users?{query}", 400, "bad_query").startswith(query.split("=")[0])


def test_cursor_of_another_start(start, clients):
    first, second = start(), start()
    for server in (first, second):
        for i in range(3):
            clients(server).hello(f"u{i}")
    cursor = Api(first).get("/v1/users?limit=1")["cursor"]
    assert Api(first).get(f"/v1/users?cursor={cursor}")["presences"]
    Api(second).refused(f"/v1/users?cursor={cursor}", 400, "bad_query")


def test_counts(start, clients):
    server = start(WORKERS=2, LISTEN="tcp://127.0.0.1:0,ws://127.0.0.1:0")
    watcher = clients(server).hello("watcher")
    for user, state in (("a", "online"), ("b", "away"), ("c", "busy"), ("d", "busy"), ("e", "invisible")):
        clients(server).hello(user, state=state)
    web = web_login(server.url("ws"), "w")
    clients(server).hello("gone").bye()
    watcher.watch("never")
    counts = Api(server).get("/v1/counts")
    assert counts == {"users": {"offline": 3, "away": 1, "online": 3, "busy": 2},
                      "sessions": {"tcp": 6, "tls": 0, "ws": 1, "wss": 0, "unix": 0}}
    web.close()


# ---- kicks --------------------------------------------------------------------------------------


def test_kick_user(server, api, login, name):
    watcher = login("watcher")
    watcher.watch(name("bob"))
    kicked = server.counters()["ended_kicked"]
    # Over several connections, so that both workers have some.
    devices = [login("bob", f"d{i}", state=state) for i, state in enumerate(["online", "busy", "away", "invisible"] * 2)]
    while watcher.event(name("bob"))["state"] != "busy":
        pass
    api.kick(name("bob"))
    watcher.event(name("bob"), "offline", "kicked")
    for device in devices:
        device.expect("bye", reason="kicked")
        device.ended("fin")
    watcher.quiet()
    assert server.counters()["ended_kicked"] == kicked + len(devices)
    api.kick(name("bob"), status=404)
    api.refused(f"/v1/users/{name('bob')}", 404, "no_session", method="DELETE")
    assert api.user(name("bob"))["reason"] == "kicked"
    # Nothing keeps it from coming back.
    login("bob").beat()
    watcher.event(name("bob"), "online", "login")


def test_kick_session(api, login, name):
    watcher = login("watcher")
    watcher.watch(name("bob"))
    phone, desk = login("bob", "phone", state="busy"), login("bob", "desk")
    watcher.event(name("bob"), "busy")
    login("carol")
    api.kick(name("carol"), phone.welcome["session"], status=404)
    for session in ("phone", "0" * 16, phone.welcome["session"] + "0", phone.welcome["session"].upper() + "x"):
        api.kick(name("bob"), session, status=404)
    api.kick(name("bob"), phone.welcome["session"])
    watcher.event(name("bob"), "online", "kicked")
    phone.expect("bye", reason="kicked")
    phone.ended("fin")
    desk.beat()
    api.kick(name("bob"), phone.welcome["session"], status=404)
    assert [s["device"] for s in api.user(name("bob"))["sessions"]] == ["desk"]
    api.kick(name("bob"), desk.welcome["session"])
    watcher.event(name("bob"), "offline", "kicked")


def test_kicked_at_once_by_an_idle_server(start, clients):
    """The workers sleep without an end in sight: the kick wakes them."""
    server = start(WORKERS=2, HEARTBEAT="5m")
    api = Api(server)
    for i in range(sized(20, 5)):
        bob = clients(server).hello("bob")
        api.kick("bob")
        bob.expect("bye", reason="kicked")
    assert server.counters()["wakeups"] > 0


def web_login(url, user):
    """A WebSocket with a session, its frames put together by hand."""
    sock = connect(url)
    key = base64.b64encode(b"0123456789abcdef").decode()
    sock.sendall(f"GET / HTTP/1.1\r\nHost: x\r\nUpgrade: websocket\r\nConnection: Upgrade\r\n"
                 f"Sec-WebSocket-Key: {key}\r\nSec-WebSocket-Version: 13\r\n\r\n".encode())
    hello = json.dumps({"type": "hello", "v": 1, "user": user}).encode()
    assert len(hello) < 126
    sock.sendall(bytes([0x81, 0x80 | len(hello)]) + b"\0\0\0\0" + hello)
    got = b""
    while b"welcome" not in got:
        got += sock.recv(4096)
    return sock


def test_kick_closes_a_websocket_with_4403(start):
    server = start(LISTEN="ws://127.0.0.1:0")
    sock = web_login(server.url("ws"), "bob")
    Api(server).kick("bob")
    sock.settimeout(PATIENCE)
    got = b""
    while piece := sock.recv(4096):  # to the server's own end: ours, were it sent now, could be read before the kick
        got += piece
    assert b'{"type":"bye","reason":"kicked"}' in got
    assert b"\x88" in got and struct.pack(">H", 4403) in got[got.rindex(b"\x88"):]


# ---- who may ask --------------------------------------------------------------------------------

PRIVATE = [("GET", "/v1/users"), ("GET", "/v1/users/bob"), ("DELETE", "/v1/users/bob"), ("GET", "/v1/counts"),
           ("DELETE", "/v1/users/bob/sessions/1"), ("POST", "/v1/query"), ("GET", "/stats"), ("GET", "/nothing")]


@pytest.mark.parametrize("is_public", [False, True])
def test_token(start, clients, is_public):
    server = start(ADMIN_TOKEN="of-this-test", METRICS_PUBLIC=str(is_public).lower())
    bob = clients(server).hello("bob")
    for method, path in PRIVATE + ([] if is_public else [("GET", "/metrics")]):
        for token in (None, "of-this-tesT", ""):
            Api(server, token).refused(path, 401, "unauthorized", method=method, body="{}" if method == "POST" else None)
    if is_public:
        assert Api(server).ask("GET", "/metrics")[0] == 200
    bob.beat()
    trusted = Api(server, "of-this-test")
    assert trusted.query("bob")[0]["state"] == "online"
    assert trusted.ask("GET", "/metrics")[0] == 200
    trusted.kick("bob")
    bob.expect("bye", reason="kicked")


# ---- metrics ------------------------------------------------------------------------------------

SAMPLE = re.compile(r'^(\w+)(?:\{((?:\w+="[^"]*",?)+)\})? (-?[0-9.e+-]+)$')


def metrics(server):
    status, headers, body = Api(server).ask("GET", "/metrics")
    assert status == 200 and headers["Content-Type"] == "text/plain; version=0.0.4; charset=utf-8"
    return body.decode()


def samples(text):
    found = {}
    for line in text.splitlines():
        if not line.startswith("#"):
            name, labels, value = SAMPLE.match(line).groups()
            assert (name, labels) not in found, line
            found[name, labels] = float(value)
    return found


def test_metrics_are_the_table_of_counters(server):
    text = metrics(server)
    header = (ROOT / "src/base/counters.h").read_text()
    names = re.findall(r'^\tX\((\w+),\s*"', header, re.M)
    assert len(names) > 60
    types = dict(re.findall(r"^# TYPE (\w+) (\w+)$", text, re.M))
    others = {"presenced_scans_total", "presenced_standstills_total"}
    counters = {name for name, kind in types.items() if kind == "counter"}
    assert counters == {f"presenced_{name}_total" for name in names} | others
    assert set(types) == set(re.findall(r"^# HELP (\w+) \S", text, re.M))
    assert all(name.startswith("presenced_") for name, _ in samples(text))


def test_metrics_say_what_stats_say(start, clients):
    server = start(WORKERS=2, HEARTBEAT_MIN="50ms")
    watcher = clients(server).hello("watcher")
    watcher.watch("bob", "carol")
    clients(server).hello("carol", state="busy")
    bob = clients(server).hello("bob", heartbeat_ms=100)
    while watcher.event()["reason"] != "timeout":
        pass
    stats, got = server.stats(), samples(metrics(server))
    for key in ("logins", "ended_timeout", "events", "watches_added"):
        assert got[f"presenced_{key}_total", None] == stats["counters"][key], key
    assert got["presenced_users", 'state="busy"'] == got["presenced_users", 'state="online"'] == 1
    assert got["presenced_sessions", 'transport="tcp"'] == stats["sessions"] == 2
    assert sum(got["presenced_worker_watches", f'worker="{i}"'] for i in range(2)) == 2
    assert got["presenced_ready", None] == 1
    assert got["presenced_detection_lateness_seconds_count", None] == 1
    assert got["presenced_detection_seconds_count", None] == 1
    lateness, detection = (got[f"presenced_{n}_sum", None] for n in ("detection_lateness_seconds", "detection_seconds"))
    assert detection == pytest.approx(0.3 + lateness)
    bob.close()
    for limit, value in stats["limits"].items():
        assert got["presenced_limit", f'name="{limit}"'] == value


@pytest.mark.alone
def test_event_latency_is_that_of_each_line(start, clients, figure):
    """Of each line that a watcher took at once, from the change on, whichever workers the two are at."""
    server = start(WORKERS=2, HEARTBEAT_MIN="50ms")
    watchers = [clients(server).hello(f"watcher.{i}") for i in range(8)]
    for watcher in watchers:
        watcher.watch("bob", "carol")
    bob = clients(server).hello("bob")
    for i in range(20):
        bob.update(status=str(i))
    clients(server).hello("carol", heartbeat_ms=50)  # falls silent: that one is the watchdog's to tell
    for watcher in watchers:
        while watcher.event()["reason"] != "timeout":
            pass
    api = Api(server)
    api.kick("bob")  # and this the admin thread's
    for watcher in watchers:
        watcher.event("bob", "offline", "kicked")
    end = time.monotonic() + PATIENCE
    while True:  # it is recorded behind the write, so a moment later than it is heard
        got = samples(metrics(server))
        count, total = (sum(got[f"presenced_event_latency_seconds_{part}", f'worker="{w}"'] for w in range(2))
                        for part in ("count", "sum"))
        if count == got["presenced_events_delivered_total", None] >= 8 * 4:
            break
        assert time.monotonic() < end
    figure(f"{count:.0f} lines, {total / count * 1e6:.0f} us after their change at the mean")
    assert 0 < total / count < sized(0.02, 1)
    slowest = max(w["event_ms"]["max"] for w in server.stats()["workers"])
    assert 0 < slowest < sized(100, 5000)
    api.http.close()


def test_histograms_add_up(server):
    got = samples(metrics(server))
    series = {}
    for (name, labels), value in got.items():
        if name.endswith("_bucket"):
            worker, le = re.fullmatch(r'(worker="\d+")?,?le="([^"]+)"', labels).groups()
            series.setdefault((name[:-7], worker), []).append((float(le), value))
    assert len(series) == 3 + 2 * 4  # of two workers: loops, events, absences, mistakes
    for (name, worker), buckets in series.items():
        assert buckets == sorted(buckets) and len({le for le, _ in buckets}) == len(buckets) > 5
        assert [n for _, n in buckets] == sorted(n for _, n in buckets)
        assert buckets[-1] == (float("inf"), got[f"{name}_count", worker])
        assert got[f"{name}_sum", worker] >= 0
    server.wait_stats(lambda stats: stats["watchdog"]["scans"] > 0)
    assert samples(metrics(server))["presenced_scan_seconds_count", None] > 0


def test_promtool_finds_nothing(server):
    if not shutil.which("promtool"):
        pytest.skip("promtool is not installed")
    done = subprocess.run(["promtool", "check", "metrics"], input=metrics(server), text=True, capture_output=True,
                          timeout=4 * PATIENCE)
    assert done.returncode == 0 and not done.stdout + done.stderr, done


def test_no_users_among_the_labels(server, login, name):
    login("somebody-in-particular")
    assert "somebody-in-particular" not in metrics(server)


# ---- the description ----------------------------------------------------------------------------


def described():
    verbs = {"get", "post", "delete", "put", "patch"}
    return {(verb.upper(), path) for path, what in OPENAPI["paths"].items() for verb in what if verb in verbs}


def test_openapi_has_the_routes_and_no_others():
    source = (ROOT / "src/admin/routes.c").read_text()
    routes = set(re.findall(r'^\t\{"([A-Z]+)", "([^"]+)",', source, re.M))
    assert len(routes) >= 10
    assert described() == routes


def test_openapi_paths_exist(server, login, name):
    """Each path answers its methods, and names the others in Allow."""
    login("bob")
    api = Api(server)
    for path, what in OPENAPI["paths"].items():
        real = path.replace("{id}", name("bob")).replace("{session}", "1").replace("{file}", "style.css")
        status, headers, _ = api.ask("BREW", real)
        verbs = {verb.upper() for verb in what if verb != "parameters"}
        assert status == 405
        assert set(headers["Allow"].split(", ")) == verbs | ({"HEAD"} if "GET" in verbs else set())
        is_stream = "text/event-stream" in str(what.get("get"))
        for verb in {"HEAD"} if is_stream else verbs - {"DELETE"}:
            status, _, _ = api.ask(verb, real, '{"users":[]}' if verb == "POST" else None)
            assert str(status) in what["get" if is_stream else verb.lower()]["responses"] and status == 200, (verb, path, status)


def matches(schema, value):
    """As much of JSON Schema as the description uses."""
    if "$ref" in schema:
        return matches(OPENAPI["components"]["schemas"][schema["$ref"].rsplit("/", 1)[1]], value)
    if "allOf" in schema:
        return all(matches(part, value) for part in schema["allOf"])
    kinds = {"object": dict, "array": list, "string": str, "integer": int, "boolean": bool, "null": type(None)}
    types = schema.get("type", [])
    types = [types] if isinstance(types, str) else types
    if not any(isinstance(value, kinds[kind]) for kind in types) or value not in schema.get("enum", [value]):
        return False
    if isinstance(value, dict):
        properties = schema.get("properties", {})
        return set(schema.get("required", [])) <= set(value) and \
            all(matches(properties[key], item) for key, item in value.items() if key in properties)
    return not isinstance(value, list) or all(matches(schema.get("items", {}), item) for item in value)


def test_answers_are_as_described(api, login, name):
    login("bob", status="x")

    def schema(path, verb="get", status="200"):
        return OPENAPI["paths"][path][verb]["responses"][status]["content"]["application/json"]["schema"]

    assert matches(schema("/v1/users/{id}"), api.user(name("bob")))
    assert matches(schema("/v1/users/{id}"), api.user(name("nobody")))
    assert matches(schema("/v1/users"), api.get("/v1/users?limit=1"))
    assert matches(schema("/v1/counts"), api.get("/v1/counts"))
    assert matches(schema("/v1/query", "post"), {"presences": api.query(name("bob"), name("nobody"))})
    assert matches(schema("/v1/users", status="400"), api.get("/v1/users?limit=0", status=400))
    assert not matches(schema("/v1/counts"), {"users": {}})
    session = OPENAPI["components"]["schemas"]["Session"]
    assert session["required"] == SESSION == list(session["properties"])
