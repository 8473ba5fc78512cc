"""What is run: each bench, with what, against whom."""

import dataclasses

from servers import DIALECTS, FLOOR, MEMCACHED, MOSQUITTO, OURS, PEERS, REDIS

SESSIONS_A_WORKER = 17900  # a descriptor table of 20,000, and the fullest worker 2 % above the mean


def workers(sessions):
    """Settings with room for so many sessions where a process may hold 20,000 descriptors."""
    return {"PRESENCED_WORKERS": str(max(2, -(-sessions // SESSIONS_A_WORKER)))}


# The memory of sessions alone: the log of the last events and the histories fill to a bound of their own, some 50 MB
# whoever is there.
NO_LOGS = {"PRESENCED_EVENT_LOG": "0", "PRESENCED_HISTORY": "0"}


@dataclasses.dataclass
class Bench:
    """One start of a bench program."""

    name: str  # of its figures
    args: dict
    quick: dict = dataclasses.field(default_factory=dict)  # what --quick does otherwise
    servers: tuple = (OURS,)  # () for those that need none
    settings: dict = dataclasses.field(default_factory=dict)  # of presenced
    split: bool = False  # the server on one processor, the clients on what it leaves of all
    once: bool = False  # not repeated: it takes long, and what it shows is no matter of noise
    long: bool = False  # not with --quick
    dialects: dict = dataclasses.field(default_factory=dict)  # server -> another than usual
    program: str = None  # where it is called otherwise than its figures
    tls: bool = False  # our listener, and its clients

    def dialect(self, server):
        return self.dialects.get(server) or DIALECTS[server]


BOTH = (FLOOR, OURS)
SHORT = {"for-ms": 1000}
EMPTY = {OURS: "presence-empty"}
PART = {OURS: "presence-part", FLOOR: "presence-part"}  # read and stamped, and not answered
QUICK_SILENCE = {"heartbeat-ms": 1000, "timeout-ms": 3000}
SILENCE = {"heartbeat-ms": 10000, "timeout-ms": 30000}
FEW_BEATS = {"mode": "paced", "for-ms": 5000, "heartbeat-ms": 300000}
MANY = 200000

# Beside the floor, the peer that a row is held to, in the same run.
PLAN = [
    # First: the kernel's caches are empty, and its figure is of what the sessions make it take.
    Bench("hold", {"n": 10000}, servers=(*BOTH, MOSQUITTO), settings=NO_LOGS),
    Bench("hold", {"n": 100000}, settings=workers(100000) | NO_LOGS, once=True, long=True),
    Bench("flood", {"mode": "ping", "n": 100}, SHORT, (*BOTH, MEMCACHED)),
    Bench("flood", {"mode": "ping", "n": 100}, SHORT, dialects=EMPTY),
    Bench("flood", {"mode": "ping", "n": 100, "row": 16}, SHORT, (*BOTH, REDIS)),
    Bench("flood", {"mode": "paced", "n": 10000, "every-ms": 10000, "for-ms": 5000},
          {"for-ms": 2000}, (*BOTH, MOSQUITTO)),
    Bench("flood", {"mode": "dense", "n": 1000}, SHORT, BOTH, dialects=PART),
    Bench("flood", {"mode": "paced", "n": 100, "every-ms": 100}, SHORT, BOTH, dialects=PART),
    # The same beats a second of few and of many: what the many cost is their memory's distance.
    Bench("flood", {**FEW_BEATS, "n": 10000, "every-ms": 10001}, settings=workers(MANY), long=True),
    Bench("flood", {**FEW_BEATS, "n": MANY, "every-ms": 200020}, settings=workers(MANY), long=True),
    Bench("flood", {"mode": "paced", "n": 300, "every-ms": 1000, "heartbeat-ms": 1000, "stop-ms": 60000,
                    "for-ms": 5000}, {"stop-ms": 8000}, once=True),
    Bench("login", {"n": 10000}, servers=(*BOTH, MOSQUITTO), split=True),
    Bench("reconnect", {"n": 100000, "again": 1, "parallel": 384, "heartbeat-ms": 10000, "after-ms": 32000},
          settings=workers(100000), once=True, long=True, program="login"),
    Bench("reconnect-tls", {"n": 100000, "again": 1, "parallel": 384, "heartbeat-ms": 10000, "after-ms": 32000},
          settings=workers(100000), once=True, long=True, program="login", tls=True),
    Bench("fan", {"n": 1000, "waves": 200}, {"waves": 50}, (*BOTH, REDIS)),
    Bench("fan", {"n": 10000, "waves": 20}, {"waves": 5}, (*BOTH, REDIS)),
    Bench("fan", {"n": 10000, "waves": 40, "pace-ms": 100}, {"waves": 10}),
    Bench("fan", {"n": 100000, "waves": 10, "pace-ms": 1000}, settings=workers(100000), once=True, long=True),
    Bench("storm", {"n": 100, **QUICK_SILENCE}),
    Bench("storm", {"n": 10000, **QUICK_SILENCE}, servers=(OURS, REDIS), dialects={REDIS: "redis-expiry"}),
    Bench("storm", {"n": 100000, **SILENCE}, settings=workers(100000), once=True, long=True),
    Bench("parse", {"for-ms": 300}, {"for-ms": 50}, ()),
    Bench("stamp", {"n": 1000000}, {}, ()),
    Bench("scan", {"n": 1000000}, {}, ()),
    Bench("scan", {"n": 10000000}, {}, ()),
    Bench("mailbox", {}, {"wakes": 1000}, ()),
]

ALL = (OURS, *PEERS)
TELLERS = (OURS, MOSQUITTO, REDIS)  # memcached tells nobody anything

PEER_PLAN = [
    Bench("hold", {"n": 10000}, servers=ALL, settings=NO_LOGS),
    # Short, and so more often.
    Bench("flood", {"mode": "ping", "n": 100, "for-ms": 1500}, SHORT, ALL),
    Bench("flood", {"mode": "ping", "n": 100, "row": 16, "for-ms": 1500}, SHORT, ALL),
    Bench("flood", {"mode": "paced", "n": 10000, "every-ms": 10000, "for-ms": 3000},
          {"for-ms": 2000}, ALL),
    Bench("login", {"n": 10000}, servers=ALL, split=True),
    Bench("fan", {"n": 1000, "waves": 200}, {"waves": 50}, TELLERS),
    Bench("fan", {"n": 10000, "waves": 20}, {"waves": 5}, TELLERS),
    Bench("storm", {"n": 10000, **QUICK_SILENCE}, servers=TELLERS, dialects={REDIS: "redis-expiry"}),
]

MILLION = 1000000
MILLION_SILENT = 100000
MILLION_QUIET_MS = 180000


def million_plan(n):
    """That many sessions, three minutes; then a tenth of them silent. Smaller ones try it out."""
    silent = min(MILLION_SILENT, n // 10)
    quiet_ms = MILLION_QUIET_MS if n >= MILLION else 20000
    settings = workers(n) | NO_LOGS | {"PRESENCED_HEARTBEAT": "30s"}
    return [Bench("storm", {"n": silent, "crowd": n - silent, "watchers": 10, "heartbeat-ms": 30000,
                            "timeout-ms": 90000, "quiet-ms": quiet_ms, "patience-s": 400,
                            # The clients take their half of two processors: as little as they can.
                            "live-every-ms": 100, "beat-grain-ms": 200,
                            # Beside the crowd's beats, these and their answers are what the processors have room for.
                            "silence-ms": 4500},
                  settings=settings, once=True)]
