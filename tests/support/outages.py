"""The scenarios of tests/clients/scenarios.json, many at the same time: they wait more than they work."""

import concurrent.futures
import tempfile
import threading

from support import lab as hosts_lab
from support.mode import sized
from support.scenario import Runner, scenarios
from support.server import off_loopback


def all_at_once(plays, at_a_time):
    """Each is a function; all errors, or none."""
    with concurrent.futures.ThreadPoolExecutor(at_a_time) as threads:
        playing = [threads.submit(play) for play in plays]
        wrong = [error for error in (each.exception() for each in playing) if error]
    assert not wrong, "\n\n".join(f"{type(error).__name__}: {error}" for error in wrong)


def one_at_a_time(start):
    """Starts servers from many threads."""
    lock = threading.Lock()

    def begin(**settings):
        with lock:
            return start(**settings)

    return begin


def play_outage(scenario, start, tmp, figure, scheme, make):
    """One scenario of the lab, on two hosts of its own. make(name, directory, host) starts a client program."""
    lab = hosts_lab.Lab(1)
    try:
        where = tempfile.mkdtemp(dir=tmp)
        settings = dict(namespace=lab.server, env=off_loopback(), HEARTBEAT_MIN="50ms", WORKERS=1, **scenario.get("settings", {}))
        server = start(LISTEN=f"{scheme}://{hosts_lab.SERVER_ADDRESS}:0,unix://{where}/sock", **settings)
        Runner(scenario, server, server.url(scheme + ":"), lambda name: make(name, where, lab.hosts[0]), lab=lab,
               again=lambda: start(LISTEN=",".join(server.urls), **settings),
               tell=lambda text: figure(f"{scenario['name']}: {text}")).play()
    finally:
        lab.close()


def play_every_outage(start, tmp, figure, scheme, make):
    begin, table = one_at_a_time(start), scenarios("lab")
    all_at_once([lambda s=s: play_outage(s, begin, tmp, figure, scheme, make) for s in table], sized(len(table), 4))
