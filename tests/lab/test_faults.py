"""Twenty hosts at once, each way of dying: the watchers are told once, truly, and in time."""

import signal
import time

import pytest

from support.bounds import MEASURING, SCAN, assert_in_bound, possible_last_bytes, spread
from support.client import Client
from support.mode import IS_RELEASE, PATIENCE, sized

HEARTBEAT_MS = sized(400, 700)
TIMEOUT = 3 * HEARTBEAT_MS / 1000
BEAT_MS = HEARTBEAT_MS * 5 // 8


@pytest.fixture
def hosts(lab, lab_server, crowds):
    """One client process on each host, beating, and each beat answered at least once."""
    url = lab_server.url("tcp")
    begun = [crowds(url, namespace=host, prefix=f"host{i}.", heartbeat_ms=HEARTBEAT_MS, beat_ms=BEAT_MS, trace=True)
             for i, host in enumerate(lab.hosts)]
    for crowd in begun:
        crowd.wait_for("beaten")
    return begun


def users_of(lab):
    return [f"host{i}.0" for i in range(len(lab.hosts))]


def all_of(lab):
    return range(len(lab.hosts))


def freeze(lab, hosts):
    before = time.monotonic()
    for crowd in hosts:
        crowd.process.send_signal(signal.SIGSTOP)
    return before, time.monotonic()


FAULTS = {
    "cable_out": lambda lab, hosts: lab.cable_out(all_of(lab)),
    "black_hole": lambda lab, hosts: lab.black_hole(all_of(lab)),
    "one_way": lambda lab, hosts: lab.one_way(all_of(lab)),
    "refused_by_router": lambda lab, hosts: lab.refuse(all_of(lab)),
    "power_loss": lambda lab, hosts: lab.power_loss(all_of(lab), hosts),
    "frozen": freeze,
}


@pytest.mark.parametrize("fault", FAULTS)
def test_each_host_times_out_once_and_in_bound(lab, lab_server, hosts, watcher, figure, fault):
    users = users_of(lab)
    watching = watcher(users)
    window = FAULTS[fault](lab, hosts)

    watching.wait(len(users), TIMEOUT + 2 * SCAN + PATIENCE)
    watching.wait(len(users) + 1, TIMEOUT / 2)  # what would come twice comes now
    events = watching.events()
    assert sorted(e["user"] for e in events) == sorted(users)
    late = []
    for event in events:
        assert (event["state"], event["reason"]) == ("offline", "timeout"), event
        crowd = hosts[users.index(event["user"])]
        sent, answered = crowd.traced()
        last = possible_last_bytes(sent, answered, window)
        late.append(assert_in_bound(event, last, TIMEOUT))
        assert event["at_ms"] - event["last_seen_ms"] >= 1000 * TIMEOUT - 2, event
    figure(spread(late))
    counters = lab_server.counters()
    assert counters["ended_timeout"] == len(users)
    assert counters["mistakes"] == 0 or fault == "frozen"


def test_acknowledgements_lost(lab, lab_server, hosts, watcher):
    """Only the way to the hosts is cut: their kernels stall, they fall silent, and that is a timeout too."""
    users = users_of(lab)
    watching = watcher(users)
    cut, _ = lab.other_way(all_of(lab))
    # A kernel that hears no acknowledgement soon sends nothing new: a few beats at most still arrive.
    watching.wait(len(users), TIMEOUT + 8 + PATIENCE)
    events = watching.events()
    assert sorted(e["user"] for e in events) == sorted(users)
    assert {e["reason"] for e in events} == {"timeout"}
    assert all(e.at - cut >= TIMEOUT - BEAT_MS / 1000 - 0.05 for e in events)


def test_killed_is_told_at_once(lab, lab_server, hosts, watcher, figure):
    users, late = users_of(lab), []
    watching = watcher(users)
    for i, user in enumerate(users):
        killed_at = time.monotonic()
        hosts[i].process.kill()
        event, = watching.wait(1, PATIENCE, user=user)
        assert event["state"] == "offline" and event["reason"] in ("closed", "reset"), event
        late.append(event.at - killed_at)
    figure(f"{len(late)} told within {max(late) * 1000:.1f} ms of the kill")
    assert max(late) <= 0.1 or not IS_RELEASE
    assert len(watching.events()) == len(users)


def test_frozen_host_that_thaws_reads_why(lab, lab_server, watcher):
    """The client's process stood still: the event is true, and its own connection says what became of it."""
    client = Client(lab_server.url("tcp"), namespace=lab.hosts[0]).hello("frozen", "d", heartbeat_ms=HEARTBEAT_MS)
    watching = watcher(["frozen"])
    event, = watching.wait(1, TIMEOUT + PATIENCE)
    assert_in_bound(event, [client.sent_at], TIMEOUT)
    client.expect("bye", reason="timeout")
    client.ended()
    # It comes back, and that is news again.
    with Client(lab_server.url("tcp"), namespace=lab.hosts[0]).hello("frozen", "d") as again:
        assert watching.wait(2, PATIENCE)[1]["reason"] == "login"
        again.bye()


@pytest.mark.parametrize("how", ["black_hole", "cable_out"])
def test_short_outage_is_no_news(lab, lab_server, crowds, watcher, how):
    """Cut for a second under a timeout of three (more in slow builds): nobody is told anything."""
    heartbeat_ms = sized(1000, 2000)
    begun = [crowds(lab_server.url("tcp"), namespace=host, prefix=f"host{i}.", heartbeat_ms=heartbeat_ms, beat_ms=400)
             for i, host in enumerate(lab.hosts)]
    for crowd in begun:
        crowd.wait_for("ready")
    watching = watcher(users_of(lab))
    getattr(lab, how)(all_of(lab))
    time.sleep(1.0)  # the outage itself
    lab.heal()
    assert watching.wait(1, 3 * heartbeat_ms / 1000 + 0.5) == []
    for crowd in begun:
        assert not crowd.all_said("closed") and not crowd.all_said("bye")


@pytest.mark.parametrize("percent", [30])
def test_loss_is_no_death(lab, lab_server, crowds, watcher, percent):
    """Nearly every third packet lost, both ways, for longer than the timeout."""
    n, heartbeat_ms = min(10, len(lab.hosts)), 3000
    for host in lab.hosts[:n]:
        # Retransmissions in even steps: else a test of TCP's doubling pauses and not of the server.
        lab.sysctl(host, "net.ipv4.tcp_thin_linear_timeouts", 1)
    begun = [crowds(lab_server.url("tcp"), namespace=host, prefix=f"host{i}.", heartbeat_ms=heartbeat_ms, beat_ms=500)
             for i, host in enumerate(lab.hosts[:n])]
    for crowd in begun:
        crowd.wait_for("ready")
    watching = watcher(users_of(lab)[:n])
    lab.loss(percent)
    assert watching.wait(1, sized(12, 10)) == []
    assert lab_server.counters()["ended_timeout"] == 0


def test_data_and_fin_in_one_segment(lab, lab_server, watcher):
    """No second edge comes for a FIN that arrives with data: it must be read on to."""
    lab.nft("add rule ip lab forward ip daddr 198.51.100.2 tcp flags & fin == fin ip length > 52 counter")
    users = [f"last{i}" for i in range(20)]
    clients = [Client(lab_server.url("tcp"), namespace=lab.hosts[0]).hello(user) for user in users]
    watching = watcher(users)
    for user, client in zip(users, clients):
        client.sock.setsockopt(6, 3, 1)  # IPPROTO_TCP, TCP_CORK
        client.raw(b'{"type":"heartbeat"}\n\n{"typ')
        began = time.monotonic()
        client.shut()
        event, = watching.wait(1, PATIENCE, user=user)
        assert event["reason"] == "closed", event
        if IS_RELEASE:
            assert event.at - began <= 0.1
        client.close()
    ruleset = lab.nft("list chain ip lab forward")
    assert f"counter packets {len(users)} " in ruleset, ruleset


def test_rst_is_reset(lab, lab_server, watcher):
    client = Client(lab_server.url("tcp"), namespace=lab.hosts[0]).hello("resetting")
    watching = watcher(["resetting"])
    began = time.monotonic()
    client.reset()
    event, = watching.wait(1, PATIENCE)
    assert event["reason"] == "reset"
    if IS_RELEASE:
        assert event.at - began <= 0.1


def test_socket_error_is_no_word_of_the_peer(lab, lab_server, watcher):
    """The kernel gives the connection up: the session stays for its timeout, and ends as that."""
    client = Client(lab_server.url("tcp"), namespace=lab.hosts[0]).hello("lost", "d", heartbeat_ms=1000)
    watching = watcher(["lost"])
    client.beat()
    last = client.sent_at
    lab.black_hole([0])
    lab.forget_sockets(0)
    lab_server.wait_stats(lambda s: s["counters"]["connections_lost"] == 1)
    assert watching.events() == []
    event, = watching.wait(1, 3 + PATIENCE)
    assert event["reason"] == "timeout"
    assert_in_bound(event, [last], 3.0)
    client.close()


def test_device_back_after_socket_error(lab, lab_server, watcher):
    """… unless the device comes back in time: then nobody is told anything."""
    client = Client(lab_server.url("tcp"), namespace=lab.hosts[0]).hello(
        "back", "d", heartbeat_ms=700, status="here")
    watching = watcher(["back"])
    lab.black_hole([0])
    lab.forget_sockets(0)
    lab_server.wait_stats(lambda s: s["counters"]["connections_lost"] == 1)
    lab.heal()
    with Client(lab_server.url("tcp"), namespace=lab.hosts[0]).hello("back", "d", heartbeat_ms=10000) as again:
        assert watching.wait(1, 2.1 + 2 * SCAN + MEASURING + 0.3) == []
        assert again.look("back")["status"] == "here"
        again.close()
        assert watching.wait(1, PATIENCE)[0]["reason"] == "closed"
    client.close()


def test_old_connections_end_masks_no_login(lab, lab_server, watcher):
    """The cable is out, the phone comes back by another way: the ghost's end is no news."""
    ghost = Client(lab_server.url("tcp"), namespace=lab.hosts[0]).hello("roamer", "phone", heartbeat_ms=500)
    watching = watcher(["roamer"])
    lab.cable_out([0])
    with Client(lab_server.url("tcp"), namespace=lab.hosts[1]).hello("roamer", "phone", heartbeat_ms=10000) as again:
        assert watching.wait(1, 1.5 + 2 * SCAN + 0.5) == []
        lab.heal()
        assert watching.wait(1, 1.0) == []
        again.bye()
        event, = watching.wait(1, PATIENCE)
        assert event["reason"] == "logout"
    ghost.close()
