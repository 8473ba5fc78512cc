"""Credentials over the server's life: at the start, on SIGHUP, and in a session that renews its own."""

import json
import signal
import time

import pytest

from support.certs import Certificate
from support.client import Client
from support.mode import PATIENCE
from support.server import run_to_end
from support.tokens import SECRET, RsaKey, Secret, claims, publish, sign

CONFIGURATION = 78
OTHER_SECRET = "another secret of the tests that is long enough"


def session(server, token, **fields):
    client = Client(server.url())
    client.send(type="hello", v=1, token=token, **fields)
    client.expect("welcome")
    return client


def refused_start(**settings):
    """What a server says that does not start with these."""
    full = {"LISTEN": "tcp://127.0.0.1:0", "ADMIN_LISTEN": "127.0.0.1:0", **settings}
    done = run_to_end(**{f"PRESENCED_{name}": str(value) for name, value in full.items()})
    assert done.returncode == CONFIGURATION, done.stderr
    assert len([line for line in done.stderr.splitlines() if "level=error" in line]) == 1, done.stderr
    return done.stderr


def lines_after(server, mark):
    return "\n".join(server.lines[mark:])


# ---- at the start -------------------------------------------------------------------------------


@pytest.mark.parametrize("content, why", [
    (None, "No such file"), ("", "not loaded"), ("{", "not loaded"), ('{"keys":[]}', "not loaded"),
    ('{"keys":[{"kty":"oct","k":"c2hvcnQ"}]}', "not loaded")])
def test_keys_that_cannot_be_used_are_a_mistake_in_the_settings(tmp, content, why):
    path = tmp / "keys.json"
    if content is not None:
        path.write_text(content)
    said = refused_start(JWT_JWKS_FILE=path)
    assert why in said and str(path) in said


@pytest.mark.parametrize("broken", ["no file", "no PEM", "another key"])
def test_a_certificate_that_cannot_be_used_is_a_mistake_in_the_settings(tmp, broken):
    certificate = Certificate(tmp)
    if broken == "no file":
        certificate.cert.unlink()
    elif broken == "no PEM":
        certificate.key.write_text("-----BEGIN NOTHING-----\n")
    else:
        certificate.key.write_bytes(Certificate(tmp, "other").key.read_bytes())
    assert "certificate not loaded" in refused_start(LISTEN="tls://127.0.0.1:0", **certificate.settings())


# ---- SIGHUP -------------------------------------------------------------------------------------


@pytest.mark.parametrize("settings", [{}, {"JWT_SECRET": SECRET}])
def test_sighup_without_files_says_that_nothing_is_read_again(start, settings):
    """A secret is read once, from its file too: nobody may be told that a new one is in use."""
    server = start(**settings)
    server.signal(signal.SIGHUP)
    server.wait_log("nothing to read again")
    assert server.is_alive()


def test_a_secret_in_a_file_is_read_once(start, tmp):
    path = tmp / "secret"
    path.write_text(SECRET)
    server = start(JWT_SECRET_FILE=path)
    path.write_text(OTHER_SECRET)
    server.signal(signal.SIGHUP)
    server.wait_log("nothing to read again")
    session(server, Secret().token("alice")).bye()


def test_sighup_that_finds_one_file_broken_takes_the_other_and_says_both(start, tmp):
    certificate, old, new = Certificate(tmp), RsaKey("old"), RsaKey("new")
    keys = publish(tmp / "keys.json", old)
    server = start(LISTEN="tcp://127.0.0.1:0,tls://127.0.0.1:0", JWT_JWKS_FILE=keys, **certificate.settings())
    certificate.cert.write_text("rubbish")
    publish(keys, old, new)
    mark = len(server.lines)
    server.signal(signal.SIGHUP)
    server.wait_log("msg=reloaded .*keys")
    assert "stays in use" in lines_after(server, mark)
    assert "certificate not loaded" in lines_after(server, mark)
    session(server, new.token("alice")).bye()
    session(server, old.token("alice")).bye()

    certificate.write()
    keys.write_text("rubbish")
    mark = len(server.lines)
    server.signal(signal.SIGHUP)
    server.wait_log("stay in use")
    assert "msg=reloaded what=certificate" in lines_after(server, mark)
    assert "keys of tokens not loaded" in lines_after(server, mark)
    session(server, new.token("alice")).bye()


# ---- a session that renews its token ------------------------------------------------------------


def test_a_renewal_that_expires_sooner_ends_the_session_sooner(start, name):
    """It ended up to a minute late: when the first token's alarm came to be looked at."""
    server = start(JWT_SECRET=SECRET, JWT_LEEWAY="0")
    user = name("renewer")
    client = session(server, Secret().token(user))
    for expires_in in (7200, 30, 3):
        client.update(token=Secret().token(user, expires_in=expires_in))
    began = time.monotonic()
    client.expect("bye", reason="expired", timeout=PATIENCE + 3)
    client.ended()
    assert time.monotonic() - began < 3 + PATIENCE / 2
    assert server.counters()["ended_expired"] == 1


def test_a_renewal_that_expires_later_keeps_the_session(start, name):
    server = start(JWT_SECRET=SECRET, JWT_LEEWAY="0")
    user = name("renewer")
    client = session(server, Secret().token(user, expires_in=2))
    watcher = session(server, sign(Secret(), claims(name("watcher"), watch=[user])))
    watcher.watch(user)
    client.update(token=Secret().token(user, expires_in=2))
    client.update(token=Secret().token(user, expires_in=3600))
    assert client.maybe(timeout=4) is None  # past both: a time that was an end
    client.beat()
    watcher.quiet(0)
    assert server.counters()["ended_expired"] == 0


# ---- what is said, and what is not --------------------------------------------------------------


@pytest.mark.parametrize("where", ["hello", "update"])
def test_a_token_of_somebody_else_is_refused_and_logged(start, name, where):
    server = start(JWT_SECRET=SECRET)
    if where == "hello":
        client = Client(server.url())
        client.send(type="hello", v=1, user=name("mallory"), token=Secret().token(name("alice")))
    else:
        client = session(server, Secret().token(name("alice")))
        client.send(type="update", token=Secret().token(name("mallory")))
    client.error("auth_failed")
    client.ended()
    server.wait_log("token not accepted.*another user")
    assert server.counters()["token_failed"] == 1


def test_no_secret_and_no_token_gets_into_the_log(start, name, tmp):
    key = RsaKey("k")
    keys = publish(tmp / "keys.json", key)
    server = start(JWT_SECRET=SECRET, JWT_JWKS_FILE=keys, ADMIN_TOKEN="the admin's own", LOG_LEVEL="debug")
    good, bad = Secret().token(name("alice")), Secret(OTHER_SECRET).token(name("alice"))
    client = session(server, good)
    client.update(token=key.token(name("alice")))
    client.bye()
    for token in (bad, good + "x", "rubbish.of.ours", key.token(name("alice"), expires_in=-100)):
        with Client(server.url()) as client:
            client.send(type="hello", v=1, token=token)
            client.error("auth_failed")
    server.signal(signal.SIGHUP)
    server.wait_log("reloaded")
    log = "\n".join(server.lines)
    assert log.count("token not accepted") == 4
    for word in (SECRET, OTHER_SECRET, "the admin's own", good, bad, good.split(".")[2], bad.split(".")[2], "rubbish",
                 json.dumps(key.jwk()["n"])):
        assert word not in log
