"""What survives a restart: the store, from outside. kill -9, SIGTERM, and disks that fail."""

import os
import pathlib
import random
import re
import signal
import sqlite3
import subprocess
import time

import pytest

from support.client import Client
from support.events import Follower
from support.mode import PATIENCE, sized
from support.server import run_to_end

N_GONE = 20
N_WATCHERS = 10  # of the gone: support/returning.py


def rows(path, sql):
    db = sqlite3.connect(f"file:{path}?mode=ro", uri=True)
    try:
        return db.execute(sql).fetchall()
    finally:
        db.close()


def user(server, name):
    status, body = server.get(f"/v1/users/{name}")
    assert status == 200, (name, body)
    return body


def wait_until(condition, timeout=None):
    end = time.monotonic() + (timeout or PATIENCE)
    while not (value := condition()):
        assert time.monotonic() < end, condition
        time.sleep(0.02)
    return value


def wait_saved(server):
    """Until what is so now is in the file: a turn of the store has begun since, and was written."""
    now_s = time.monotonic()
    wait_until(lambda: time.monotonic() - server.stats()["store"]["lag_ms"] / 1000 > now_s + 0.02, timeout=2 * PATIENCE)


def end_of(server, how):
    """The process ends; when it did, in Unix milliseconds: before, after."""
    before = time.time() * 1000
    server.signal(how)
    server.wait()
    if how == signal.SIGKILL:
        server.is_expected_dead = True
    return before, time.time() * 1000


# ---- invisible restarts ----------------------------------------------------------------------------


def restarted_under_a_crowd(start, crowds, tmp, figure, how, n):
    """n clients that come back, and some that don't, around a restart."""
    grace_s = sized(4, 12) + n // 1000
    settings = dict(STORE=tmp / "presence.db", RESTART_GRACE=f"{grace_s}s", HEARTBEAT="1s", MISSED_BEATS="10",
                    WORKERS=2)
    first = start(**settings)
    url = first.url()
    gone_names = [f"gone{i}" for i in range(N_GONE)]
    gone = crowds(url, n=N_GONE, prefix="gone", module="support.returning", watch_next=0, stays_away=True)
    gone.wait_for("ready")
    live = crowds(url, n=n, also=",".join(gone_names), module="support.returning", beat_ms=1000)
    live.wait_for("ready", timeout=60)
    wait_saved(first)
    before = live.dump(tmp / "before")
    from_ms, to_ms = end_of(first, how)
    began = time.monotonic()
    second = start(**{**settings, "LISTEN": url})
    up_s = time.monotonic() - began
    live.wait_for("ready", timeout=60, n=2)
    back_s = time.monotonic() - began
    assert back_s < grace_s, "else the test tests nothing"
    # Those who have not come back look as before, until they are told once.
    assert user(second, "gone0")["reconnecting"] is True
    after = live.dump(tmp / "back")
    assert after["offline"] == [] and after["events"] == before["events"], "a restart is no news of anybody"
    assert after["resumed"] - before["resumed"] == n
    assert after["reconnecting"] > 0
    wait_until(lambda: all(user(second, name)["state"] == "offline" for name in gone_names), timeout=grace_s + PATIENCE)
    wait_until(lambda: live.dump(tmp / "after")["events"] >= before["events"] + N_GONE * N_WATCHERS)
    after = live.dump(tmp / "after")
    told = {}
    for watcher, name, reason, at_ms, last_seen_ms, how_told in after["offline"]:
        assert name.startswith("gone"), f"{watcher} was told that {name} is offline: {how_told}"
        told.setdefault(name, []).append((reason, at_ms, last_seen_ms, how_told))
    assert after["events"] == before["events"] + N_GONE * N_WATCHERS
    assert sorted(told) == sorted(gone_names)
    beats, worst_ms = gone.dump(tmp / "gone")["beats"], 0
    for i, name in enumerate(gone_names):
        assert len(told[name]) == N_WATCHERS and len(set(told[name])) == 1, told[name]
        reason, at_ms, last_seen_ms, how_told = told[name][0]
        assert (reason, how_told) == ("timeout", "event")
        late_ms = beats[i] * 1000 - last_seen_ms
        assert last_seen_ms <= to_ms + 1, "not after the end"
        assert late_ms <= sized(1000, 4000), f"{name} was last seen {late_ms} ms later than said"
        assert from_ms - sized(1100, 4000) <= at_ms <= to_ms + 1, "gone with the server, as far as anybody knows"
        worst_ms = max(worst_ms, late_ms)
    figure(f"{n} clients, {signal.Signals(how).name}: up again after {up_s:.2f} s, all back after {back_s:.2f} s of "
           f"{grace_s}; 0 false offline, 0 events; {N_GONE} who stayed away told once, last seen right to {worst_ms:.0f} ms"
           + (f"; retry_ms {min(after['retries'])} to {max(after['retries'])}" if after["retries"] else ""))
    return second


@pytest.mark.parametrize("how", [signal.SIGKILL, signal.SIGTERM])
def test_restart_is_no_news(start, crowds, tmp, figure, how):
    restarted_under_a_crowd(start, crowds, tmp, figure, how, sized(1000, 100))


@pytest.mark.long
@pytest.mark.alone
@pytest.mark.parametrize("how", [signal.SIGKILL, signal.SIGTERM])
def test_restart_is_no_news_to_five_thousand(start, crowds, tmp, figure, how):
    restarted_under_a_crowd(start, crowds, tmp, figure, how, sized(5000, 500))


@pytest.mark.long
def test_killed_again_and_again(start, crowds, tmp, figure):
    """At any moment: in the grace, in the first writing of all, before anything was written."""
    n, rounds, chance = sized(400, 60), 15, random.Random(7)
    settings = dict(STORE=tmp / "presence.db", RESTART_GRACE="20s", HEARTBEAT="1s", MISSED_BEATS="10", WORKERS=2)
    server = start(**settings)
    url = server.url()
    live = crowds(url, n=n, module="support.returning", back_ms=300)
    live.wait_for("ready", timeout=60)
    wait_saved(server)
    before = live.dump(tmp / "before")
    for _ in range(rounds):
        end_of(server, signal.SIGKILL)
        server = start(**{**settings, "LISTEN": url, "WORKERS": chance.choice([1, 2, 4])})
        time.sleep(chance.choice([0, 0.05, chance.uniform(0, 2)]))  # the moment is what is tested
    wait_until(lambda: server.stats()["sessions_in_grace"] == 0 and server.stats()["users_online"] == n, timeout=30)
    wait_saved(server)
    after = live.dump(tmp / "after")
    assert after["offline"] == [] and after["events"] == before["events"]
    assert rows(tmp / "presence.db", "PRAGMA integrity_check") == [("ok",)]
    assert rows(tmp / "presence.db", "SELECT count(*), count(DISTINCT user) FROM devices") == [(n, n)]
    assert server.counters()["store_skipped"] == 0
    figure(f"killed {rounds} times under {n} clients: nobody told anything")


def test_words_and_offline_users_are_there_again(start, clients, tmp):
    settings = dict(STORE=tmp / "p.db", RESTART_GRACE="30s")
    first = start(**settings)
    away = clients(first).hello("away", "phone", state="away", status='at "lunch" – ☂')
    clients(first).hello("busy", state="busy")
    left = clients(first).hello("left", "pc")
    left.send(type="bye")
    left.expect("bye")
    clients(first).hello("shy", "pc", state="invisible")
    made_up = away.welcome["device"], clients(first).hello("nameless").welcome["device"]
    wait_until(lambda: user(first, "left")["state"] == "offline")
    was = {name: user(first, name) for name in ("away", "busy", "left")}
    wait_saved(first)
    end_of(first, signal.SIGKILL)

    second = start(**settings)
    watcher = clients(second).hello("watcher")
    words = {p["user"]: p for p in watcher.watch("away", "busy", "left", "shy", "never")}
    for name, old in was.items():
        for field in ("state", "status", "reason", "at_ms", "last_seen_ms"):
            assert words[name][field] == old[field], (name, field)
    assert words["away"]["reconnecting"] and words["busy"]["reconnecting"] and "reconnecting" not in words["left"]
    assert words["shy"]["reason"] == "unknown" and words["shy"]["state"] == "offline", "still nobody's business"
    again = clients(second).hello("away", "phone")
    assert again.welcome["resumed"] is True
    assert "reconnecting" not in user(second, "away") and user(second, "away")["status"] == was["away"]["status"]
    # A device that the server named comes back by that name.
    assert clients(second).hello("nameless", made_up[1]).welcome["resumed"] is True
    assert watcher.maybe(0.3) is None, "nobody was told anything"


def test_followers_see_a_new_server_and_no_flood(start, clients, tmp):
    """A stream of events goes on with `server` and a snapshot; that all come back is no event."""
    settings = dict(STORE=tmp / "p.db", RESTART_GRACE="2s", HEARTBEAT="1s")
    first = start(**settings)
    crew = [clients(first).hello(f"u{i}", "d", state="busy" if i % 2 else "away") for i in range(50)]
    follower = Follower(first).connect().until_live()
    wait_saved(first)
    end_of(first, signal.SIGKILL)
    follower.close()
    second = start(**settings)
    follower.server, follower.seqs = second, {}  # which are a server's own
    follower.connect().until(lambda f: f.is_live and f.states.count("live") == 2)
    assert follower.states == ["server", "reset", "live"] * 2 and follower.resets[-1] == "other_server"
    assert {u: p["state"] for u, p in follower.table.items()} == {f"u{i}": "busy" if i % 2 else "away" for i in range(50)}
    n_events = second.counters()["events"]
    for i in range(len(crew) - 1):
        assert clients(second).hello(f"u{i}", "d").welcome["resumed"] is True
    assert second.counters()["events"] == n_events
    # The one who stays away is all there is to tell.
    follower.until(lambda f: f.table["u49"]["state"] == "offline")
    assert second.counters()["events"] == n_events + 1
    assert follower.table["u49"]["reason"] == "timeout"
    follower.close()


def test_restart_twice_and_in_the_grace(start, clients, tmp):
    """Each start gives its own grace; whoever stays away is told once, as of the first end."""
    settings = dict(STORE=tmp / "p.db", RESTART_GRACE="1500ms", HEARTBEAT="1s")
    first = start(**settings)
    clients(first).hello("bob", "phone")
    wait_saved(first)
    from_ms, to_ms = end_of(first, signal.SIGKILL)
    seen = None
    for how in (signal.SIGTERM, signal.SIGKILL):
        again = start(**settings)
        bob = user(again, "bob")
        assert bob["reconnecting"] and bob["state"] == "online"
        assert seen in (None, bob["last_seen_ms"])
        seen = bob["last_seen_ms"]
        wait_saved(again)
        end_of(again, how)
    last = start(**settings)
    watcher = clients(last).hello("watcher")
    watcher.watch("bob")
    told = watcher.expect("presence", user="bob", state="offline", reason="timeout")
    assert told["last_seen_ms"] == seen and from_ms - 1100 <= told["at_ms"] <= to_ms
    assert watcher.maybe(0.3) is None
    # And it stays so.
    end_of(last, signal.SIGTERM)
    assert user(start(**settings), "bob")["last_seen_ms"] == seen


def test_no_restart_grace(start, clients, tmp):
    settings = dict(STORE=tmp / "p.db", RESTART_GRACE="0s")
    first = start(**settings)
    clients(first).hello("bob", "phone")
    wait_saved(first)
    end_of(first, signal.SIGTERM)
    second = start(**settings)
    bob = wait_until(lambda: (b := user(second, "bob"))["state"] == "offline" and b)
    assert bob["reason"] == "timeout"


def test_without_a_store_nothing_is_kept(start, clients):
    first = start()
    clients(first).hello("bob", "phone")
    assert first.stats()["store"] is None
    assert "store_up" not in first.get("/metrics")[1]
    end_of(first, signal.SIGTERM)
    assert start().get("/v1/users/bob")[0] == 404 or user(start(), "bob")["reason"] == "unknown"


# ---- the file --------------------------------------------------------------------------------------


def test_the_shell_reads_it(start, clients, tmp):
    path = tmp / "p.db"
    server = start(STORE=path)
    alice = clients(server).hello("alice", "phone", status="hi")
    wait_saved(server)
    before = time.time()
    alice.beat()
    wait_saved(server)
    shell = subprocess.run(["sqlite3", "-readonly", path, "SELECT * FROM presence"], capture_output=True, text=True,
                           check=True).stdout.strip().split("|")
    assert shell[:4] == ["alice", "online", "hi", "login"] and shell[6] == "phone"
    assert re.fullmatch(r"\d{4}-\d\d-\d\d \d\d:\d\d:\d\d\.\d{3}", shell[4])
    assert abs(rows(path, "SELECT last_seen_ms FROM last_seen")[0][0] / 1000 - before) < sized(0.1, 2)
    # A backup, as the README says, while it is written.
    copy = tmp / "copy.db"
    subprocess.run(["sqlite3", path, f".backup {copy}"], check=True)
    assert rows(copy, "SELECT user FROM users") == [("alice",)]
    assert rows(path, "PRAGMA user_version") == [(1,)]
    assert {os.stat(f"{path}{part}").st_mode & 0o777 for part in ("", "-wal", "-shm")} == {0o600}
    stats = server.stats()["store"]
    assert stats["fault"] is None and stats["last_error"] is None and stats["batches"] >= 2 and stats["rows"] >= 1
    assert stats["lag_ms"] < sized(2000, 10000) and stats["batch_ms"]["max"] >= 0
    assert "presenced_store_up 1\n" in server.get("/metrics")[1]
    end_of(server, signal.SIGTERM)
    assert not os.path.exists(f"{path}-wal"), "all of it is in the one file"
    assert rows(path, "SELECT key FROM meta WHERE key = 'stopped_ms'"), "the stop was meant"
    assert rows(path, "SELECT user, state FROM users") == [("alice", "online")]


def test_a_second_server_that_fails_to_start_leaves_the_file_alone(start, clients, tmp):
    path = tmp / "p.db"
    first = start(STORE=path)
    clients(first).hello("alice")
    wait_saved(first)
    done = run_to_end(PRESENCED_LISTEN=first.url(), PRESENCED_ADMIN_LISTEN="127.0.0.1:0", PRESENCED_STORE=str(path))
    assert done.returncode == 69
    clients(first).hello("bob")
    wait_saved(first)
    assert first.stats()["store"]["fault"] is None
    assert [r[0] for r in rows(path, "SELECT user FROM users ORDER BY user")] == ["alice", "bob"]


def test_a_second_server_takes_the_file(start, clients, tmp):
    """The younger one has it: the older says so once, and writes no more."""
    path = tmp / "p.db"
    first = start(STORE=path)
    clients(first).hello("alice")
    wait_saved(first)
    second = start(STORE=path)
    clients(first).hello("bob")
    first.wait_log('store can.t be written.*fault="taken by another server"')
    clients(second).hello("carol")
    wait_saved(second)
    assert second.stats()["store"]["fault"] is None
    assert [r[0] for r in rows(path, "SELECT user FROM users ORDER BY user")] == ["alice", "carol"]


# ---- faults ----------------------------------------------------------------------------------------


def store_lines(server):
    return [line for line in server.lines if re.search(r"level=(error|warning)", line) and "store" in line]


def degraded(server):
    status, body = server.get("/readyz")
    assert status == 200, "it serves all the same"
    return body.get("degraded", {}).get("store")


class Disk:
    """A file system of the test's own, in a mount namespace that a process of its own keeps."""

    def __init__(self, path, command):
        self.path = pathlib.Path(path)
        self.path.mkdir(exist_ok=True)
        self.is_root = os.geteuid() == 0
        enter = ["unshare", "--mount"] if self.is_root else ["unshare", "--user", "--map-root-user", "--mount"]
        if subprocess.run([*enter, "true"], capture_output=True).returncode != 0:
            pytest.skip("mount namespaces are refused, as root and in a user namespace")
        self.keeper = subprocess.Popen([*enter, "sh", "-c", f"cd / && {command.format(self.path)} && echo up && exec cat"],
                                       stdin=subprocess.PIPE, stdout=subprocess.PIPE)
        assert self.keeper.stdout.readline() == b"up\n"
        user = [] if self.is_root else ["--user", "--preserve-credentials"]
        self.wrap = ["nsenter", *user, f"--mount=/proc/{self.keeper.pid}/ns/mnt"]

    def run(self, *command):
        return subprocess.run([*self.wrap, *command], check=False, capture_output=True)

    def close(self):
        self.keeper.stdin.close()
        self.keeper.wait()
        self.keeper.stdout.close()


@pytest.fixture
def disks(start):  # which stops its servers first
    begun = []

    def begin(*args):
        begun.append(Disk(*args))
        return begun[-1]

    yield begin
    for disk in begun:
        disk.close()


def test_disk_full(start, clients, disks, tmp):
    disk = disks(tmp / "disk", "mount -t tmpfs -o size=400k tmpfs {}")
    path = disk.path / "p.db"
    server = start(STORE=path, wrap=disk.wrap)
    clients(server).hello("before")
    wait_saved(server)
    disk.run("sh", "-c", f"cat /dev/zero > {disk.path}/fill")
    crew = [clients(server).hello(f"user{i}", status="x" * 250) for i in range(200)]
    server.wait_log('store can.t be written.*fault="disk full"')
    assert degraded(server) == "disk full"
    stats = server.stats()["store"]
    assert stats["fault"] == "disk full" and stats["errors"] > 0
    wait_until(lambda: server.stats()["store"]["lag_ms"] > 1500)
    assert "presenced_store_up 0\n" in server.get("/metrics")[1]
    for client in crew:
        client.beat()
    assert len(store_lines(server)) == 1, store_lines(server)
    disk.run("rm", f"{disk.path}/fill")
    server.wait_log("store is written again", timeout=15)
    wait_until(lambda: degraded(server) is None and server.stats()["store"]["fault"] is None)
    assert server.stats()["store"]["last_error"] == "disk full"
    count = disk.run("sqlite3", path, "SELECT count(*) FROM users WHERE state = 'online'; PRAGMA integrity_check")
    assert count.stdout == b"201\nok\n", count


@pytest.mark.parametrize("how", [signal.SIGKILL, signal.SIGTERM])
def test_disk_full_from_the_start(start, clients, disks, tmp, how):
    """What is there is read all the same."""
    disk = disks(tmp / "disk", "mount -t tmpfs -o size=1m tmpfs {}")
    settings = dict(STORE=disk.path / "p.db", wrap=disk.wrap)
    first = start(**settings)
    clients(first).hello("bob", "phone")
    wait_saved(first)
    end_of(first, how)
    disk.run("sh", "-c", f"cat /dev/zero > {disk.path}/fill")
    second = start(**settings)
    assert user(second, "bob")["reconnecting"]
    for i in range(60):
        clients(second).hello(f"user{i}", status="x" * 250).beat()
    second.wait_log('store can.t be written.*fault="disk full"')
    assert degraded(second) == "disk full"
    assert len(store_lines(second)) == 1, store_lines(second)
    disk.run("rm", f"{disk.path}/fill")
    second.wait_log("store is written again", timeout=15)
    assert disk.run("sh", "-c", f"ls {disk.path} | grep -v '^p.db'").stdout == b"", "nothing was moved aside"


@pytest.mark.parametrize("how", [signal.SIGKILL, signal.SIGTERM])
def test_read_only(start, clients, disks, tmp, how):
    """Last seen is read all the same; it is written once it can be."""
    path = tmp / "disk" / "p.db"
    disk = disks(tmp / "disk", "mount --bind {0} {0} && mount -o remount,ro,bind {0}")
    first = start(STORE=path)
    clients(first).hello("bob", "phone")
    wait_saved(first)
    end_of(first, how)
    second = start(STORE=path, wrap=disk.wrap)
    assert user(second, "bob")["reconnecting"]
    second.wait_log('store can.t be written.*fault=read-only')
    assert degraded(second) == "read-only"
    clients(second).hello("alice")
    assert len(store_lines(second)) == 1, store_lines(second)
    disk.run("mount", "-o", "remount,rw,bind", str(disk.path))
    second.wait_log("store is written again", timeout=15)
    wait_saved(second)
    assert [r[0] for r in rows(path, "SELECT user FROM users ORDER BY user")] == ["alice", "bob"]
    assert not list(disk.path.glob("*.unread-*")) and not list(disk.path.glob("*.corrupt-*"))


def test_unwritable_folder(start, clients, tmp):
    server = start(STORE=tmp / "nowhere" / "p.db")
    clients(server).hello("alice").beat()
    assert degraded(server) == "no such file or folder"
    assert len(store_lines(server)) == 1, store_lines(server)
    (tmp / "nowhere").mkdir()
    server.wait_log("store is written again", timeout=15)
    wait_until(lambda: degraded(server) is None)


def test_deleted(start, clients, tmp):
    path = tmp / "p.db"
    server = start(STORE=path)
    clients(server).hello("alice")
    wait_saved(server)
    for part in ("", "-wal", "-shm"):
        os.unlink(f"{path}{part}")
    server.wait_log("store's file is gone")
    wait_until(lambda: path.exists() and server.stats()["store"]["fault"] is None)
    wait_saved(server)
    assert rows(path, "SELECT user FROM users") == [("alice",)]
    assert len([line for line in store_lines(server) if "gone" in line]) == 1


@pytest.mark.parametrize("kind", ["garbage", "pages", pytest.param("empty", marks=pytest.mark.long),
                                  pytest.param("cut", marks=pytest.mark.long)])
def test_damaged(start, clients, tmp, kind):
    """Moved aside, and begun anew; what can be read of it is read."""
    path = tmp / "p.db"
    first = start(STORE=path)
    for i in range(300):
        with Client(first.url()) as client:
            client.hello(f"user{i:03}", status="x" * 200)
    wait_until(lambda: first.stats()["users_online"] == 0)
    clients(first).hello("alice")
    wait_saved(first)
    end_of(first, signal.SIGTERM)
    data = bytearray(path.read_bytes())
    if kind == "garbage":
        data = bytearray(os.urandom(len(data)))
    elif kind == "pages":
        for at in range(len(data) // 2 // 4096 * 4096, len(data), 4096):
            data[at:at + 4096] = os.urandom(4096)
    elif kind == "cut":
        data = data[:len(data) // 2]
    else:
        data = b""
    path.write_bytes(data)

    second = start(STORE=path)
    clients(second).hello("alice").beat()
    if kind == "empty":  # no damage to a file, but a file without anything
        wait_saved(second)
        assert store_lines(second) == []
    else:
        second.wait_log("store moved aside, and begun anew")
        assert len([line for line in store_lines(second) if "level=error" in line]) == 1, store_lines(second)
        assert len(list(tmp.glob("p.db.corrupt-*Z"))) == 1
    wait_saved(second)
    assert second.stats()["store"]["fault"] is None and degraded(second) is None
    assert ("alice",) in rows(path, "SELECT user FROM users WHERE state = 'online'")
    assert rows(path, "PRAGMA integrity_check") == [("ok",)]


@pytest.mark.long
def test_locked(start, clients, tmp):
    """By a shell that someone left open, in a transaction; the server goes on, and loses nothing."""
    path = tmp / "p.db"
    server = start(STORE=path)
    clients(server).hello("alice")
    wait_saved(server)
    shell = sqlite3.connect(path, isolation_level=None)
    shell.execute("BEGIN IMMEDIATE")
    began = time.monotonic()
    clients(server).hello("bob").beat()
    assert degraded(server) is None, "for a moment it is no fault"
    server.wait_log('store can.t be written.*fault="locked by another process"', timeout=20)
    assert time.monotonic() - began > 4
    shell.execute("ROLLBACK")
    shell.close()
    server.wait_log("store is written again")
    assert [r[0] for r in rows(path, "SELECT user FROM users ORDER BY user")] == ["alice", "bob"]


@pytest.mark.long
@pytest.mark.parametrize("what, fault", [("PRAGMA user_version = 9", "made by a newer version"),
                                         ("PRAGMA application_id = 9", "not a store of presenced")])
def test_a_file_that_is_not_ours(start, clients, tmp, what, fault):
    path = tmp / "p.db"
    first = start(STORE=path)
    clients(first).hello("alice")
    wait_saved(first)
    end_of(first, signal.SIGTERM)
    db = sqlite3.connect(path)
    db.execute(what)
    db.close()
    before = path.read_bytes()
    second = start(STORE=path)
    clients(second).hello("bob").beat()
    assert degraded(second) == fault
    assert len(store_lines(second)) == 1, store_lines(second)
    end_of(second, signal.SIGTERM)
    assert path.read_bytes() == before


# ---- the drain -------------------------------------------------------------------------------------


def test_drain_accepts_and_then_spreads(start, clients):
    server = start(DRAIN_DELAY="1s")
    everyone = [clients(server).hello(f"u{i}") for i in range(50)]
    server.signal(signal.SIGTERM)
    server.wait_log("draining")
    assert server.get("/readyz")[0] == 503
    late = clients(server).hello("late")
    late.beat()
    retries = sorted(c.expect("bye", reason="shutdown", timeout=PATIENCE + 1)["retry_ms"] for c in [*everyone, late])
    assert 500 <= retries[0] and retries[-1] < 1500, "few: over a second, after half a second for the start"
    assert retries[-1] - retries[0] > 400
    assert server.wait() == 0
