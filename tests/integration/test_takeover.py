"""A device that comes back, and a user with too many."""

import pytest

from support.client import Closed


def test_old_connection_gets_bye_replaced(server, login, name):
    watcher = login("watcher")
    old = login("alice", "phone", status="words")
    watcher.watch(name("alice"))
    before = server.counters()["takeovers"]
    new = login("alice", "phone")
    assert old.expect("bye", reason="replaced") == {"type": "bye", "reason": "replaced"}
    old.ended("fin")
    assert new.welcome["session"] != old.welcome["session"]
    assert watcher.look(name("alice"))["status"] == "words", "kept where the hello says nothing"
    watcher.quiet()
    assert server.counters()["takeovers"] == before + 1
    new.beat()


def test_same_words_are_no_event(login, name):
    watcher = login("watcher")
    login("alice", "phone", state="away", status="x")
    watcher.watch(name("alice"))
    login("alice", "phone", state="away", status="x")
    login("alice", "phone")
    login("alice", "phone", status="x")
    watcher.quiet()


def test_other_words_are_one(login, name):
    watcher = login("watcher")
    login("alice", "phone", state="busy", status="x")
    watcher.watch(name("alice"))
    login("alice", "phone", status="y")
    watcher.event(name("alice"), "busy", "login", status="y")
    login("alice", "phone", state="away")
    watcher.event(name("alice"), "away", "login", status="y")
    login("alice", "phone", status=None)
    watcher.event(name("alice"), "away", "login", status=None)


def test_takeover_is_no_activity(login, name):
    """A reconnect with no words of its own does not make its device the latest updated."""
    watcher = login("watcher")
    login("alice", "phone", status="phone")
    laptop = login("alice", "laptop", status="laptop")
    watcher.watch(name("alice"))
    login("alice", "phone")
    watcher.quiet()
    assert watcher.look(name("alice"))["status"] == "laptop"
    laptop.bye()
    watcher.event(name("alice"), "online", "logout", status="phone")


def test_old_end_masks_no_newer_login(login, name):
    """Takeovers in a row: whatever the old connections do, the user stays online."""
    watcher = login("watcher")
    watcher.watch(name("alice"))
    olds = [login("alice", "phone") for _ in range(20)]
    watcher.event(name("alice"), "online")
    for old in olds[:-1]:
        old.reset()
    assert watcher.look(name("alice"))["state"] == "online"
    olds[-1].beat()
    watcher.quiet()


def test_watches_do_not_move(login, name):
    """Without grace a new connection starts with no watches."""
    old = login("alice", "phone")
    old.watch(name("bob"))
    new = login("alice", "phone")
    assert new.unwatch() == 0


def test_takeover_across_transports(server, clients, name):
    last = None
    for url in (server.url("tcp://127"), server.url("unix"), server.url("tcp://[::1]")) * 4:
        new = clients(server, url).hello(name("alice"), "phone")
        if last:
            last.expect("bye", reason="replaced")
            last.ended("fin")
        last = new


def test_longest_silent_is_replaced(start, clients):
    server = start(MAX_SESSIONS_PER_USER=3)
    sessions = {device: clients(server).hello("alice", device) for device in ("a", "b", "c")}
    watcher = clients(server).hello("watcher")
    watcher.watch("alice")
    for device in ("a", "c"):
        first = watcher.look("alice")["last_seen_ms"]
        while watcher.look("alice")["last_seen_ms"] == first:
            sessions[device].beat()
    new = clients(server).hello("alice", "d")
    sessions["b"].expect("bye", reason="replaced")
    sessions["b"].ended()
    for client in (sessions["a"], sessions["c"], new):
        client.beat()
    watcher.quiet()
    assert server.counters()["evicted"] == 1


def test_limit_of_one_session(start, clients):
    server = start(MAX_SESSIONS_PER_USER=1)
    first = clients(server).hello("alice", "a", status="one")
    watcher = clients(server).hello("watcher")
    watcher.watch("alice")
    clients(server).hello("alice", "b", status="two")
    first.expect("bye", reason="replaced")
    # Nobody sees it offline in between.
    assert watcher.event("alice", "online")["status"] == "two"


@pytest.mark.parametrize("rounds", [200])
def test_two_that_fight_for_a_device(login, name, rounds):
    """The last one wins, and what a watcher is told never goes back."""
    watcher = login("watcher")
    watcher.watch(name("alice"))
    clients = []
    for i in range(rounds):
        clients.append(login("alice", "phone", status=str(i)))
        if len(clients) > 5:
            old = clients.pop(0)
            old.expect("bye", reason="replaced")
            old.close()
    seqs, message = [], None
    while not message or message["status"] != str(rounds - 1):
        message = watcher.event(name("alice"), "online")
        seqs.append(message["seq"])
    assert seqs == sorted(set(seqs))
    clients[-1].beat()
    with pytest.raises(Closed):
        while True:
            clients[0].recv()
