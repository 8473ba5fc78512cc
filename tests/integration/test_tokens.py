"""Tokens over the real binary: who may come in, for how long, and whom it may watch."""

import signal
import threading
import time

import pytest

from support.doors import DoorClient, proxy_v2
from support.mode import IS_RELEASE, PATIENCE, sized
from support.server import Server
from support.tokens import SECRET, EcKey, RsaKey, Secret, claims, publish, sign

ISSUER = Secret()
LATE = 0.25  # seconds that an expiry may be told late


@pytest.fixture(scope="module")
def keys():
    """Made once: RSA keys take long."""
    return {"rsa": RsaKey("rsa"), "ec": EcKey("ec"), "old": EcKey("old"), "new": EcKey("new"), "bare": EcKey()}


@pytest.fixture
def guarded(start):
    """A server with a shared secret, and no leeway."""

    def begin(**settings):
        return start(**{"JWT_SECRET": SECRET, "JWT_LEEWAY": "0s", "WORKERS": 2, "DEFAULT_WATCH": "all", **settings})

    return begin


def log_in(clients, server, token, **hello):
    client = clients(server)
    client.send(type="hello", v=1, token=token, **hello)
    client.welcome = client.expect("welcome")
    return client


def refused(clients, server, code, **hello):
    client = clients(server)
    client.send(type="hello", v=1, **hello)
    client.error(code)
    client.ended()


def whole_second():
    """Tokens know seconds only: begin at one, so that lifetimes in a test are what they say."""
    time.sleep(1 - time.time() % 1 + 0.01)


# Who may come in.


def test_subject_is_the_user(guarded, clients):
    server = guarded()
    assert log_in(clients, server, ISSUER.token("alice")).welcome["user"] == "alice"
    assert log_in(clients, server, ISSUER.token("alice"), user="alice").welcome["user"] == "alice"
    refused(clients, server, "auth_failed", user="bob", token=ISSUER.token("alice"))
    refused(clients, server, "auth_required", user="alice")
    counters = server.counters()
    assert counters["logins"] == 2 and counters["error_auth_required"] == 1 and counters["error_auth_failed"] == 1


def test_secret_from_a_file(start, clients, tmp):
    """The line's end, which editors add, is no part of it."""
    path = tmp / "secret"
    path.write_text(SECRET + "\n")
    server = start(JWT_SECRET_FILE=path)
    log_in(clients, server, ISSUER.token("alice")).beat()
    refused(clients, server, "auth_failed", token=Secret(SECRET + "\n").token("alice"))


@pytest.mark.parametrize("kind", ["rsa", "ec", "bare"])
def test_published_keys(start, clients, keys, tmp, kind):
    server = start(JWT_JWKS_FILE=publish(tmp / "jwks.json", keys[kind]))
    log_in(clients, server, keys[kind].token("alice")).beat()
    refused(clients, server, "auth_failed", token=keys["new"].token("alice"))
    refused(clients, server, "auth_failed", token=ISSUER.token("alice"))


def test_secret_and_published_keys_together(start, clients, keys, tmp):
    server = start(JWT_SECRET=SECRET, JWT_JWKS_FILE=publish(tmp / "jwks.json", keys["rsa"], keys["ec"]))
    for issuer in (ISSUER, keys["rsa"], keys["ec"]):
        log_in(clients, server, issuer.token("alice")).bye()


def test_algorithms_are_narrowed(start, clients, keys, tmp):
    server = start(JWT_JWKS_FILE=publish(tmp / "jwks.json", keys["rsa"], keys["ec"]), JWT_ALGORITHMS="ES256")
    log_in(clients, server, keys["ec"].token("alice")).beat()
    refused(clients, server, "auth_failed", token=keys["rsa"].token("alice"))


BAD = {
    "expired": {"expires_in": -31}, "no exp": {"exp": None}, "exp is text": {"exp": "tomorrow"},
    "not yet": {"nbf": 31}, "from the future": {"iat": 31}, "no sub": {"user": None}, "empty sub": {"user": ""},
    "sub too long": {"user": "x" * 129}, "sub is a number": {"user": 7}, "another issuer": {"iss": "https://evil.test"},
    "no issuer": {"iss": None}, "another audience": {"aud": "chat"}, "audiences": {"aud": ["chat", "mail"]},
    "no audience": {"aud": None}, "watch is a number": {"watch": 7}, "watch of numbers": {"watch": [7]},
}
GOOD = {
    "as it should be": {}, "one of the audiences": {"aud": ["chat", "presence"]}, "within the leeway": {"expires_in": -25},
    "nbf within the leeway": {"nbf": 25}, "iat within the leeway": {"iat": 25}, "fractions": {"exp": time.time() + 900.5},
}


def token_of(claim):
    now = int(time.time())
    made = {"iss": "https://issuer.test", "aud": "presence", "user": "alice", **claim}
    made.update({name: now + made[name] for name in ("nbf", "iat") if name in made})
    return ISSUER.token(**made)


@pytest.fixture(scope="module")
def strict(session_tmp):
    server = Server(session_tmp, "strict", JWT_SECRET=SECRET, JWT_ISSUER="https://issuer.test",
                    JWT_AUDIENCE="presence")
    yield server
    server.stop()


@pytest.mark.parametrize("what", BAD)
def test_bad_claims(strict, clients, what):
    before = strict.counters()["token_failed"]
    refused(clients, strict, "auth_failed", token=token_of(BAD[what]))
    assert strict.counters()["token_failed"] == before + 1
    strict.wait_log("token not accepted")


@pytest.mark.parametrize("what", GOOD)
def test_good_claims(strict, clients, what):
    log_in(clients, strict, token_of(GOOD[what])).bye()


def test_a_token_of_eight_kilobytes(strict, clients):
    """The roster that fits; and the hello that holds it."""
    names = [f"friend-{i:05}" for i in range(360)]
    token = token_of({"watch": names})
    assert 7 * 1024 < len(token) <= 8 * 1024, len(token)
    client = log_in(clients, strict, token)
    assert len(client.watch(*names)) == len(names)
    clients(strict).send(type="hello", v=1, token=token_of({"watch": names * 2})[:8193]).error("bad_message")


def test_token_means_nothing_without_tokens(start, clients):
    server = start()
    client = clients(server).hello("alice", token="x.y.z")
    client.update(token="rubbish", status="there")


# Keys that change.


def reload(server, words):
    seen = len(server.lines)
    server.signal(signal.SIGHUP)
    deadline = time.monotonic() + PATIENCE
    while not any(words in line for line in server.lines[seen:]):
        assert time.monotonic() < deadline, server.tail()
        time.sleep(0.01)


def test_keys_overlap_and_change(start, clients, keys, tmp):
    """The old one, both, the new one: and nobody who is in has to leave."""
    old, new, path = keys["old"], keys["new"], tmp / "jwks.json"
    server = start(JWT_JWKS_FILE=publish(path, old), WORKERS=2)
    first = log_in(clients, server, old.token("first"))
    refused(clients, server, "auth_failed", token=new.token("early"))

    publish(path, old, new)
    reload(server, "reloaded")
    for issuer in (old, new, old, new):
        log_in(clients, server, issuer.token("both")).bye()

    publish(path, new)
    reload(server, "reloaded")
    refused(clients, server, "auth_failed", token=old.token("late"))
    first.beat()
    first.update(token=new.token("first"))
    first.send(type="update", token=old.token("first"))
    first.error("auth_failed")


@pytest.mark.parametrize("content", [None, "", "{", '{"keys":[]}', '{"keys":[{"kty":"RSA","n":"AQAB","e":"AQAB"}]}'])
def test_broken_file_keeps_the_keys(start, clients, keys, tmp, content):
    path = publish(tmp / "jwks.json", keys["old"])
    server = start(JWT_JWKS_FILE=path)
    path.unlink()
    if content is not None:
        path.write_text(content)
    reload(server, "the keys of before stay in use")
    server.wait_log("keys of tokens not loaded")
    log_in(clients, server, keys["old"].token("alice")).beat()
    publish(path, keys["new"])
    reload(server, "reloaded")
    log_in(clients, server, keys["new"].token("alice")).beat()


# For how long.


def test_session_ends_with_its_token(guarded, clients, figure):
    server = guarded()
    bob = log_in(clients, server, ISSUER.token("bob"))
    bob.watch("alice")
    whole_second()
    made = claims("alice", 2)
    alice = log_in(clients, server, sign(ISSUER, made))
    bob.event("alice", "online")
    said = alice.expect("bye", timeout=3 + PATIENCE, reason="expired")
    late = time.time() - made["exp"]
    bob.event("alice", "offline", "expired")
    assert "retry_ms" not in said
    alice.ended()
    assert late >= -0.01
    figure(f"told {late * 1000:.0f} ms after the token's end")
    if IS_RELEASE:
        assert late <= LATE
    assert server.counters()["ended_expired"] == 1
    last = server.history("alice", 2)[0]
    assert (last["reason"], last["evidence"]["socket"]) == ("expired", "open")


def test_leeway_is_added(guarded, clients):
    server = guarded(JWT_LEEWAY="2s")
    whole_second()
    made = claims("alice", -1)
    alice = log_in(clients, server, sign(ISSUER, made))
    alice.expect("bye", timeout=3 + PATIENCE, reason="expired")
    assert time.time() >= made["exp"] + 2 - 0.01


def test_fresh_token_keeps_it_alive(guarded, clients):
    server = guarded()
    whole_second()
    alice = log_in(clients, server, ISSUER.token("alice", expires_in=2))
    alice.update(token=ISSUER.token("alice", expires_in=60), status="on")
    assert alice.maybe(3) is None, "it goes on"
    alice.beat()
    assert alice.look("alice")["status"] == "on"


def test_fresh_token_may_be_shorter(guarded, clients):
    """The session has what its last token says, not the longest it has seen."""
    server = guarded()
    alice = log_in(clients, server, ISSUER.token("alice", expires_in=600))
    whole_second()
    made = claims("alice", 2)
    alice.update(token=sign(ISSUER, made))
    alice.expect("bye", timeout=3 + PATIENCE, reason="expired")
    if IS_RELEASE:
        assert time.time() - made["exp"] <= LATE


@pytest.mark.parametrize("fresh", ["another subject", "expired", "of nobody"])
def test_bad_fresh_token_ends_it(guarded, clients, fresh):
    server = guarded()
    bob = log_in(clients, server, ISSUER.token("bob"))
    bob.watch("alice")
    alice = log_in(clients, server, ISSUER.token("alice"))
    bob.event("alice", "online")
    token = {"another subject": ISSUER.token("mallory"), "expired": ISSUER.token("alice", expires_in=-1),
             "of nobody": Secret("x" * 32).token("alice")}[fresh]
    alice.send(type="update", id=9, token=token, status="never")
    alice.error("auth_failed", id=9)
    alice.ended()
    event = bob.event("alice", "offline", "violation")
    assert event["status"] is None


def test_takeover_by_a_token(guarded, clients):
    """A new login of the device has its own token's time."""
    server = guarded()
    whole_second()
    old = log_in(clients, server, ISSUER.token("alice", expires_in=2), device="phone")
    new = log_in(clients, server, ISSUER.token("alice", expires_in=60), device="phone")
    old.expect("bye", reason="replaced")
    assert new.maybe(2.5) is None
    new.beat()
    assert server.counters()["ended_expired"] == 0


def test_many_expire_at_once(guarded, clients):
    server = guarded()
    n = sized(200, 50)
    bob = log_in(clients, server, ISSUER.token("bob"))
    users = [f"u{i}" for i in range(n)]
    bob.watch(*users)
    whole_second()
    made = int(time.time()) + sized(3, 6)
    for user in users:
        log_in(clients, server, sign(ISSUER, claims(user, exp=made)))
    told = {}
    while len(told) < n:
        event = bob.event(timeout=6 + PATIENCE)
        if event["state"] == "offline":
            assert event["reason"] == "expired" and event["user"] not in told
            told[event["user"]] = time.time() - made
    if IS_RELEASE:
        assert max(told.values()) <= 2 * LATE
    server.wait_stats(lambda s: s["sessions"] == 1)


# Whom it may watch.


@pytest.mark.parametrize("claim, yes, no", [
    (["bob"], ["bob", "alice"], ["carol", "bobby", "nobody"]),
    ("bob", ["bob"], ["carol"]),
    (["team-*"], ["team-", "team-x", "alice"], ["team", "tea", "bob"]),
    (["*"], ["bob", "whoever"], []),
    ("*", ["bob", "whoever"], []),
    ([], ["alice"], ["bob", "whoever"]),
    (["carol", "team-*", "ops"], ["carol", "ops", "team-9"], ["op", "opsy", "bob"]),
])
def test_watch_claim(guarded, clients, claim, yes, no):
    server = guarded()
    for user in ("bob", "carol"):
        log_in(clients, server, ISSUER.token(user))
    alice = log_in(clients, server, ISSUER.token("alice", watch=claim))
    assert [p["user"] for p in alice.watch(*yes)] == yes
    assert [p["user"] for p in alice.query(*yes)] == yes
    for user in no:
        for verb in ("watch", "query"):
            alice.send(type=verb, id=f"{verb}{user}", users=[user])
            alice.error("forbidden", id=f"{verb}{user}")
            alice.send(type=verb, id=2, users=[yes[0], user])
            alice.error("forbidden", id=2)


@pytest.mark.parametrize("setting, may", [("all", True), ("none", False), (None, False)])
def test_default_without_a_claim(start, clients, setting, may):
    server = start(JWT_SECRET=SECRET, **({"DEFAULT_WATCH": setting} if setting else {}))
    log_in(clients, server, ISSUER.token("bob"))
    alice = log_in(clients, server, ISSUER.token("alice"))
    assert alice.watch("alice")[0]["state"] == "online", "itself, always"
    alice.send(type="watch", id=1, users=["bob"])
    alice.expect("watching", id=1) if may else alice.error("forbidden", id=1)


def test_default_without_tokens(start, clients):
    """A server that asks for no tokens can still let nobody watch."""
    server = start(DEFAULT_WATCH="none")
    alice = clients(server).hello("alice")
    alice.send(type="watch", id=1, users=["bob"])
    alice.error("forbidden", id=1)
    assert alice.watch("alice")[0]["state"] == "online"


def test_forbidden_says_nothing_of_who_exists(guarded, clients):
    """The same bytes for somebody online and for nobody."""
    server = guarded()
    log_in(clients, server, ISSUER.token("bob"))
    alice = log_in(clients, server, ISSUER.token("alice", watch=["carol"]))
    for verb in ("watch", "query"):
        answers = []
        for user in ("bob", "boo"):
            alice.send(type=verb, id=1, users=[user])
            answers.append(alice.line()[0])
        assert answers[0] == answers[1]
    assert server.counters()["error_forbidden"] == 4


def test_narrower_claim_prunes_the_watches(guarded, clients):
    server = guarded()
    bob, carol = (log_in(clients, server, ISSUER.token(user)) for user in ("bob", "carol"))
    alice = log_in(clients, server, ISSUER.token("alice", watch=["*"]))
    alice.watch("bob", "carol", "alice")
    assert server.stats()["watches"] == 3
    alice.update(token=ISSUER.token("alice", watch=["car*"]))
    assert server.stats()["watches"] == 2
    bob.update(status="unseen")
    carol.update(status="seen")
    alice.event("carol", status="seen")
    alice.quiet()
    alice.send(type="watch", id=7, users=["bob"])
    alice.error("forbidden", id=7)
    alice.update(token=ISSUER.token("alice", watch=["*"]))
    assert alice.watch("bob")[0]["status"] == "unseen"
    bob.update(status="again")
    alice.event("bob", status="again")


# How often.


def stranger(server, address, token=None):
    """One hello from an address of documentation, as a trusted proxy says; the error's code."""
    with DoorClient(server.url(), proxy=proxy_v2(address)) as client:
        client.send(type="hello", v=1, token=token or Secret("y" * 32).token("alice"))
        message = client.recv()
        return message.get("code", message["type"]), message


def test_failed_logins_are_limited(guarded):
    server = guarded(LOGIN_RATE=5, PROXY_TRUSTED="127.0.0.0/8")
    began = time.monotonic()
    codes = [stranger(server, "192.0.2.1")[0] for _ in range(12)]
    passed = time.monotonic() - began
    n_failed = codes.count("auth_failed")
    assert set(codes) == {"auth_failed", "rate_limited"} and 5 <= n_failed <= 6 + 5 * passed, codes
    code, message = stranger(server, "192.0.2.1", ISSUER.token("alice"))
    assert code == "rate_limited" and message["retry_ms"] > 0, "a good one too: it is not looked at"
    assert stranger(server, "192.0.2.2", ISSUER.token("alice"))[0] == "welcome", "others are not"
    counters = server.counters()
    assert counters["login_rate_limited"] == codes.count("rate_limited") + 1 == counters["error_rate_limited"]
    assert counters["token_failed"] == n_failed
    deadline = time.monotonic() + PATIENCE
    while stranger(server, "192.0.2.1", ISSUER.token("alice"))[0] != "welcome":
        assert time.monotonic() < deadline
        time.sleep(0.05)


def test_good_logins_cost_nothing(guarded):
    server = guarded(LOGIN_RATE=2, PROXY_TRUSTED="127.0.0.0/8")
    for i in range(20):
        assert stranger(server, "192.0.2.3", ISSUER.token(f"u{i}"))[0] == "welcome"
    assert server.counters()["login_rate_limited"] == 0


def test_loopback_is_exempt(guarded, clients):
    server = guarded(LOGIN_RATE=2)
    for _ in range(20):
        refused(clients, server, "auth_failed", token=Secret("y" * 32).token("alice"))


def test_own_connections_of_a_proxy_are_exempt(guarded):
    server = guarded(LOGIN_RATE=2, PROXY_TRUSTED="127.0.0.0/8")
    assert {stranger(server, None)[0] for _ in range(20)} == {"auth_failed"}


def test_no_login_rate(guarded):
    server = guarded(LOGIN_RATE=0, PROXY_TRUSTED="127.0.0.0/8")
    assert {stranger(server, "192.0.2.4")[0] for _ in range(300)} == {"auth_failed"}


@pytest.mark.tight
def test_verifying_delays_nobody(guarded, clients, keys, tmp, figure):
    """Three hundred logins at once, signed ones: who is in gets its answers meanwhile."""
    server = guarded(JWT_JWKS_FILE=publish(tmp / "jwks.json", keys["ec"]), WORKERS=1)
    canary = log_in(clients, server, ISSUER.token("canary"))
    tokens = [keys["ec"].token(f"u{i}") for i in range(sized(300, 60))]
    crowd = [clients(server) for _ in tokens]
    times, is_over = [], threading.Event()

    def beat():
        while not is_over.wait(0.001):
            times.append(canary.beat())

    beating = threading.Thread(target=beat)
    beating.start()
    began = time.monotonic()
    for client, token in zip(crowd, tokens):
        client.send(type="hello", v=1, token=token)
    for client in crowd:
        client.expect("welcome")
    took = time.monotonic() - began
    is_over.set()
    beating.join()
    figure(f"{len(tokens)} ES256 logins in {took * 1000:.0f} ms; {len(times)} heartbeats beside them, "
           f"the slowest answered after {max(times) * 1000:.1f} ms")
    if IS_RELEASE:
        assert max(times) < 0.1
