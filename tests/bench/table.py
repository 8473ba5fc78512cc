"""What the figures are held to, and the table that says so.

A row's bound is absolute, or above the floor, or a share of a peer's figure: the peer's of this run, else
the one that was stated for it, measured once on a machine with 2 processors. All that apply hold. What was
set on that machine is wider on a slower one: in proportion to the floor, where the floor is measured in this
run and was measured there.

Ours, the floor's and a peer's of one run are measured a few seconds apart, and the machine may be another a
minute later: a share is the median of the runs' shares."""

import dataclasses
import statistics

from servers import FLOOR, MEMCACHED, MOSQUITTO, OURS, PEERS, REDIS

SCAN_INTERVAL_MS = 100  # the server's default


@dataclasses.dataclass
class Row:
    """One line of the table."""

    title: str
    figure: tuple  # bench, figure, what else its line must say
    unit: str
    bound: float = None  # at most, or at least
    at_least: bool = False
    # As a float: the floor on the machine that 'bound' and 'stated' were measured on, of the same bench.
    floor_said: object = None
    above_floor: float = None  # what it may be above the floor, as a share
    against: dict = dataclasses.field(default_factory=dict)  # peer -> share of its figure
    stated: dict = dataclasses.field(default_factory=dict)  # peer -> its figure where it isn't run
    over: tuple = None  # a figure that this one is divided by


PING = {"mode": "ping", "row": 1, "dialect": "presence"}
ROW = {"mode": "ping", "row": 16, "dialect": "presence"}
PACED = {"mode": "paced", "n": 10000, "every_ms": 10000, "dialect": "presence"}
FEW = {"mode": "paced", "every_ms": 10001}
MANY = {"mode": "paced", "every_ms": 200020}
CROWD = {"n": 10000, "pace_ms": 0}
STORM = {"n": 10000}
GREAT_STORM = {"n": 100000, "crowd": 0}
PART = "presence-part"
BEAT_CPU = ("flood", "cpu_us_per_heartbeat")
DEADLINE_MS = 2 * SCAN_INTERVAL_MS
BEST_OF_ALL = {peer: 1 for peer in PEERS}

ROWS = [
    Row("memory per idle session", ("hold", "rss_bytes_per_session", {"n": 10000}), "B", 256,
        against={MOSQUITTO: 1 / 3}, stated={MEMCACHED: 591, MOSQUITTO: 893, REDIS: 9800}),
    Row("  of 100 k", ("hold", "rss_bytes_per_session", {"n": 100000}), "B", 256),
    # The slab allocator's caches move it by two per cent from run to run, of the same server too.
    Row("kernel memory per connection, both ends", ("hold", "kernel_bytes_per_session", {"n": 10000}),
        "B", above_floor=0.05),
    Row("CPU per heartbeat, 100 connections, one at a time", (*BEAT_CPU, PING), "us",
        against={MEMCACHED: 1}, stated={MEMCACHED: 6.6, REDIS: 7.0, MOSQUITTO: 8.9}),
    Row("  as an empty line", (*BEAT_CPU, {"mode": "ping", "row": 1, "dialect": "presence-empty"}), "us"),
    Row("  its answer, p50", ("flood", "answer_p50_us", PING), "us"),
    Row("  its answer, p99", ("flood", "answer_p99_us", PING), "us"),
    Row("  16 in a row", (*BEAT_CPU, ROW), "us", against={REDIS: 0.75},
        stated={REDIS: 0.73, MOSQUITTO: 7.7}),
    Row("  10 k sessions beating every 10 s", (*BEAT_CPU, PACED), "us", floor_said=12.0,
        against={MOSQUITTO: 0.9}, stated={MOSQUITTO: 16.4}),
    Row("  its answer, p99", ("flood", "answer_p99_us", PACED), "us"),
    Row("  200 k sessions over 10 k, the same beats a second", (*BEAT_CPU, MANY), "", 1.5,
        over=(*BEAT_CPU, FEW)),
    Row("reading a heartbeat, no answer, dense", (*BEAT_CPU, {"mode": "dense", "dialect": PART}),
        "us", 2, floor_said=1.2),
    Row("  one a wake-up", (*BEAT_CPU, {"mode": "paced", "n": 100, "dialect": PART}), "us", 5,
        floor_said=3.9),
    Row("reading a canonical heartbeat, no socket",
        ("parse", "ns_per_message", {"message": "heartbeat"}), "ns"),
    Row("stamp", ("stamp", "ns_per_stamp", {"scanned": False}), "ns", 15, floor_said="4"),
    Row("  while scanned", ("stamp", "ns_per_stamp", {"scanned": True}), "ns", 15, floor_said="4"),
    Row("scan per session at 1 M", ("scan", "ns_per_session", {"n": 1000000}), "ns", 0.1,
        floor_said=0.05),
    Row("  at 10 M", ("scan", "ns_per_session", {"n": 10000000}), "ns", 0.3, floor_said=0.17),
    Row("enqueue an event", ("mailbox", "post_ns", {}), "ns", 20, floor_said="6.4"),
    Row("wake a worker, p99", ("mailbox", "wake_p99_us", {}), "us", 200, floor_said="45"),
    Row("logins per second, server on one core", ("login", "logins_per_s", {}), "1/s", at_least=True,
        floor_said=34000.0, against=BEST_OF_ALL, stated={MOSQUITTO: 29000}),
    Row("  CPU per login", ("login", "cpu_us_per_login", {}), "us"),
    Row("  live clients' answers meanwhile, p99", ("login", "live_answer_p99_us", {}), "us"),
    Row("100 k back at once: logins per second", ("reconnect", "logins_per_s", {}), "1/s"),
    Row("  live clients' answers meanwhile, p99", ("reconnect", "live_answer_p99_us", {}), "us"),
    Row("  falsely expired", ("reconnect", "sessions_lost", {}), "", 0),
    Row("100 k back at once over TLS: logins per second", ("reconnect-tls", "logins_per_s", {}), "1/s"),
    Row("  CPU per login", ("reconnect-tls", "cpu_us_per_login", {}), "us"),
    Row("  live clients' answers meanwhile, p99", ("reconnect-tls", "live_answer_p99_us", {}), "us"),
    Row("  falsely expired", ("reconnect-tls", "sessions_lost", {}), "", 0),
    # No stated figures here: those were not of waves, each told to all before the next.
    Row("a line to 1 k watchers: per second", ("fan", "lines_per_s", {"n": 1000}), "1/s",
        at_least=True, against={MOSQUITTO: 1, REDIS: 1}),
    Row("  CPU each", ("fan", "cpu_us_per_delivery", {"n": 1000}), "us", floor_said="6.4 to 7.2"),
    Row("a line to 10 k watchers: per second", ("fan", "lines_per_s", CROWD), "1/s", at_least=True,
        against={MOSQUITTO: 1, REDIS: 1}),
    Row("  CPU each", ("fan", "cpu_us_per_delivery", CROWD), "us"),
    Row("  ten times a second: others' answers, p50",
        ("fan", "live_answer_p50_us", {"n": 10000, "pace_ms": 100}), "us", 20000),
    Row("a line to 100 k watchers: CPU each", ("fan", "cpu_us_per_delivery", {"n": 100000}), "us"),
    Row("  until the last of them has it, p50", ("fan", "wave_p50_us", {"n": 100000}), "us"),
    Row("  others' answers, p50", ("fan", "live_answer_p50_us", {"n": 100000}), "us", 20000),
    Row("deaths: lateness past the promised timeout, max", ("storm", "lateness_max_ms", {"n": 100}),
        "ms", DEADLINE_MS, floor_said=f"{SCAN_INTERVAL_MS}",
        stated={"ejabberd": 5, REDIS: 120, MOSQUITTO: 5500}),
    Row("10 k dead at once: lateness, max", ("storm", "lateness_max_ms", STORM), "ms", DEADLINE_MS),
    Row("  first to last told", ("storm", "first_to_last_ms", STORM), "ms", against={REDIS: 1},
        stated={MOSQUITTO: 170}),
    # How far the last beats lay apart is the clients' doing.
    Row("  beyond the spread of the last beats", ("storm", "beyond_spread_ms", STORM), "ms", 120),
    Row("  live clients' answers meanwhile, p99", ("storm", "live_answer_p99_us", STORM), "us",
        against={REDIS: 1}, stated={REDIS: 3300, MOSQUITTO: 138000}),
    Row("100 k dead at once, 10 watchers: lateness, max", ("storm", "lateness_max_ms", GREAT_STORM),
        "ms", DEADLINE_MS),
    Row("  first to last told", ("storm", "first_to_last_ms", GREAT_STORM), "ms"),
    Row("  spread of the last beats", ("storm", "silence_spread_ms", GREAT_STORM), "ms"),
    Row("  growth of our memory meanwhile", ("storm", "rss_growth_bytes", GREAT_STORM), "B"),
    Row("  growth of the kernel's", ("storm", "kernel_growth_bytes", GREAT_STORM), "B"),
    Row("  live clients' answers meanwhile, p99", ("storm", "live_answer_p99_us", GREAT_STORM), "us"),
    Row("told before their time", ("storm", "told_early", {}), "", 0),
    Row("told anything else", ("storm", "told_other", {}), "", 0),
    Row("false expiries, server stopped for 60 s", ("flood", "sessions_lost", {"stop_ms": 60000}), "", 0),
    Row("live sessions lost, any bench", ("*", "sessions_lost", {}), "", 0),
    Row("heard from a session after its expiry", ("*", "mistakes", {}), "", 0),
]

MILLION_ROWS = [
    Row("sessions", ("storm", "sessions", {}), ""),
    Row("user-space memory per session", ("storm", "rss_bytes_per_session", {}), "B", 256),
    Row("kernel memory per session, both ends", ("storm", "kernel_bytes_per_session", {}), "B"),
    Row("heartbeats per second", ("storm", "heartbeats_per_s", {}), "1/s"),
    Row("CPU per heartbeat", ("storm", "cpu_us_per_heartbeat", {}), "us"),
    Row("falsely expired", ("storm", "sessions_lost", {}), "", 0),
    Row("/stats answers within, max", ("storm", "stats_answer_max_ms", {}), "ms", 50),
    Row("  while they log in or die", ("storm", "stats_answer_filling_max_ms", {}), "ms"),
    Row("live clients' answers before, p99", ("storm", "live_before_answer_p99_us", {}), "us"),
    Row("silent at once: lateness, max", ("storm", "lateness_max_ms", {}), "ms", DEADLINE_MS),
    Row("  first to last told", ("storm", "first_to_last_ms", {}), "ms"),
    Row("  spread of the last beats", ("storm", "silence_spread_ms", {}), "ms"),
    Row("  growth of our memory meanwhile", ("storm", "rss_growth_bytes", {}), "B"),
    Row("  growth of the kernel's", ("storm", "kernel_growth_bytes", {}), "B"),
    Row("  live clients' answers meanwhile, p99", ("storm", "live_answer_p99_us", {}), "us"),
    Row("told before their time", ("storm", "told_early", {}), "", 0),
    Row("told anything else", ("storm", "told_other", {}), "", 0),
    Row("heard from a session after its expiry", ("*", "mistakes", {}), "", 0),
]


def show(value):
    if value is None:
        return "-"
    if value == 0 or abs(value) >= 100:
        return f"{value:,.0f}"
    return f"{value:.3g}"


class Judged:
    """A row with its figures: ours, floor, the peers', the bound that is the tightest, and the verdict."""

    def __init__(self, row, figures):
        self.row = row
        self.ours = self.middle(figures.values(row.figure, OURS))
        if row.over and self.ours is not None:
            under = self.middle(figures.values(row.over, OURS))
            self.ours = self.ours / under if under else None
        never = row.bound == 0 and not row.at_least
        floors = [] if never else figures.values(row.figure, FLOOR)
        self.floor = self.middle(floors)
        self.of_floor = self.share(figures.values(row.figure, OURS), floors)
        self.slower = self.find_slower()
        self.peers = {}  # name -> figure, whether of this run
        self.shares = {}  # name -> ours as a share of it
        for peer in PEERS:
            values = [] if never else figures.values(row.figure, peer)
            if values:
                self.peers[peer] = (self.middle(values), True)
                self.shares[peer] = self.share(figures.values(row.figure, OURS), values)
        for peer, value in row.stated.items():
            self.peers.setdefault(peer, (value * self.slower, False))
            self.shares.setdefault(peer, self.share([self.ours], [self.peers[peer][0]]))
        self.bound = self.find_bound()
        self.verdict = self.find_verdict()

    def middle(self, values):
        """Of what must not happen at all one time is too often; else the median speaks."""
        if not values:
            return None
        return max(values) if self.row.bound == 0 else statistics.median(values)

    @staticmethod
    def share(ours, theirs):
        """Run by run, where both had as many."""
        if not ours or not theirs:
            return None
        if len(ours) != len(theirs):
            ours, theirs = [statistics.median(ours)], [statistics.median(theirs)]
        shares = [our / their for our, their in zip(ours, theirs) if our is not None and their]
        return statistics.median(shares) if shares else None

    def beside(self, theirs, share):
        """Another's figure as it stands beside ours, by the runs' shares; where there is none, as it is."""
        return self.ours / share if self.ours and share else theirs

    def find_slower(self):
        """What figures of that machine are to be multiplied with to be fair to this one; no faster one is
        held to more."""
        if not self.floor or not isinstance(self.row.floor_said, float):
            return 1
        ratio = self.beside(self.floor, self.of_floor) / self.row.floor_said
        return min(ratio, 1) if self.row.at_least else max(ratio, 1)

    def find_bound(self):
        row, bounds = self.row, []
        if row.bound is not None:
            bounds.append(row.bound * self.slower)
        if row.above_floor is not None and self.floor:
            bounds.append(self.beside(self.floor, self.of_floor) * (1 + row.above_floor))
        for peer, share in row.against.items():
            if peer in self.peers:
                bounds.append(share * self.beside(self.peers[peer][0], self.shares[peer]))
        return (max if row.at_least else min)(bounds, default=None)

    def find_verdict(self):
        if self.bound is None:
            return ""
        if self.ours is None:
            return "not run"
        is_in = self.ours >= self.bound if self.row.at_least else self.ours <= self.bound
        return "ok" if is_in else "OUT"

    def best_peer(self):
        """Those of this run before those stated."""
        measured = {peer: value for peer, (value, is_here) in self.peers.items() if is_here}
        known = measured or {peer: value for peer, (value, _) in self.peers.items()}
        if not known:
            return "", None
        best = (max if self.row.at_least else min)(known, key=known.get)
        return f"{best} {show(known[best])}" + ("" if measured else ", stated"), self.shares[best]

    def cells(self):
        row = self.row
        floor = row.floor_said if self.floor is None else self.floor
        floor = floor or "-" if isinstance(floor, (str, type(None))) else show(floor)
        peer, share = self.best_peer()
        ratio = f"{share:.2f}" if share else ""
        sign = "" if self.bound is None else ">= " if row.at_least else "<= "
        bound = "" if self.bound is None else sign + show(self.bound)
        return row.title, row.unit, floor, peer, show(self.ours), ratio, bound, self.verdict


HEADS = ("figure", "unit", "floor", "best peer", "ours", "of peer's", "bound", "")
TO_THE_RIGHT = (2, 4, 5, 6)


def make_table(rows, figures, is_whole):
    """The table's text, and how many rows are out; rows without a figure of ours only where all are wanted."""
    judged = [Judged(row, figures) for row in rows]
    lines = [j.cells() for j in judged if is_whole or j.ours is not None]
    widths = [max(len(line[i]) for line in lines + [HEADS]) for i in range(len(HEADS))]
    text = ""
    for line in [HEADS, tuple("-" * width for width in widths)] + lines:
        cells = [cell.rjust(width) if i in TO_THE_RIGHT else cell.ljust(width)
                 for i, (cell, width) in enumerate(zip(line, widths))]
        text += "  ".join(cells).rstrip() + "\n"
    return text, sum(j.verdict == "OUT" for j in judged)


def make_ratios(rows, figures):
    """Ours as a share of each peer's figure in the same run."""
    text = ""
    for row in rows:
        j = Judged(row, figures)
        shares = [f"{j.shares[peer]:.2f} of {peer}'s {show(value)}"
                  for peer, (value, is_here) in j.peers.items() if is_here and j.shares[peer]]
        if shares:
            text += f"{row.title.strip()}: {show(j.ours)} {row.unit}: {', '.join(shares)}\n"
    return text
