"""The scenarios that every client library of the product is held to, and how a client program takes part.

A *client program* is a thin shell around one client library. It reads commands and writes what it is told, one
JSON object a line, and does nothing else. It has no arguments.

Commands, on its standard input:

    {"do":"connect","url":…,"user":…, and where the scenario says so: "device","token","state","status",
     "heartbeat_ms","connect_timeout_ms","backoff_first_ms","backoff_max_ms","ca_file","asks_token":true}
                                         makes the client and starts it; once
    {"do":"watch","users":[…]}           {"do":"unwatch","users":[…]}        {"do":"query","users":[…]}
    {"do":"update","state":…,"status":…} either may be absent: then it stays as it is; "status":null takes it away
    {"do":"token","token":…,"lifetime_ms":…}      hands a token over; lifetime_ms may be absent
    {"do":"look","user":…}               what the library knows of a watched user at this moment
    {"do":"retry"}                       comes back now
    {"do":"stop"}                        says bye; the program goes on
    the end of the input                 frees the client without a word, and ends with exit code 0

What it says, on its standard output, each line flushed at once. "at" is CLOCK_MONOTONIC in seconds (Node.js:
process.hrtime), taken as the library calls back:

    {"said":"ready","at":…}              first, when commands are read
    {"said":"link","at":…,"link":"connecting"|"waiting"|"up"|"stopped","error":null or the word,
     "retry_in_ms":…}                    with "waiting", null: until there is a token; with "up" in its place
                                         "user","device","session","server","heartbeat_ms","timeout_ms","resumed"
    {"said":"contact","at":…,"user":…,"truth":"online"|"offline"|"unknown","state":null or the server's last word,
     "status":…,"reason":…,"error":null or the word,
     "age_ms":…,"fresh_ms":…}            as_of and fresh_until, from now on (fresh_ms is negative or 0 where the word is
                                         stale; both null where the server never said one)
    {"said":"look", … as contact}        {"said":"answer","at":…,"error":…,"contacts":[… as contact]}
    {"said":"token_wanted","at":…}       after "asks_token"

The words of errors are those of PRESENCE_ERRORS in include/presence.h.

Scenarios are tests/clients/scenarios.json: a list of {"name","where":"doors"|"lab","settings","steps"}; what is
common to the clients of one is in "client". "doors": run over each transport, on loopback; "over" names those where it
can be shown, if not on all: a WebSocket that is refused says no more than that. "lab": client and server
are two hosts, TCP. A step is one of

    {"friend":"bob","do":"login"|"update"|"bye"|"close", fields…}      a client of the tests; for bob
    {"client":"alice", a command}                      "connect" gets url and user from the runner
    {"client":"alice","expect":{…}}                    the next line of that "said" must have these fields
    {"client":"alice","wait":{…}}                      the first such line that has them; lines of its kind before it are skipped
    {"client":"alice","quiet":"contact","ms":300}      no such line is left, nor comes meanwhile
    {"fault":NAME}                                     "link_down","black_hole","server_stop","server_kill","server_term",
                                                       "client_stop";
                                                       "heal": where the server was ended it is started again, and the
                                                       friends are back before the clients
    {"admin":"kick","user":"alice"}
    {"pause_ms":…}                                     an outage's length, say

"expect" and "wait" may bound the moment: "since":"fault"|"heal"|"step" (the last of them; the step before), with
"no_earlier" and "no_later" as {"timeouts":1,"heartbeats":-1,"backoffs":1,"ms":1000}, of the session's or the client's own
figures, added up. Strings "$token", "$friends_token", "$bad_token", "$short_token" are made by the runner."""

import collections
import json
import pathlib
import signal
import subprocess
import threading
import time

from support import lab as hosts_lab
from support.client import Client
from support.mode import MODE, PATIENCE, ROOT, sized
from support.server import SANITIZER_WORDS, sanitizer_wrap
from support.tokens import Secret

TABLE = json.loads((ROOT / "tests/clients/scenarios.json").read_text())
DEFAULTS = {"heartbeat_ms": sized(400, 1000), "backoff_first_ms": sized(200, 400), "backoff_max_ms": sized(500, 1000),
            "connect_timeout_ms": sized(500, 2000)}
SLACK = sized(0.02, 0.3)  # between two clocks' readings of one moment
COMMANDS_ADD = {"url", "user"}


def scenarios(where):
    return [s for s in TABLE if s["where"] == where]


class Program:
    """A client program under test. `command` is how it is started, `namespace` on which host."""

    def __init__(self, command, name, directory, namespace=None, env=None):
        self.name, self.log = name, pathlib.Path(directory) / f"{name}.err"
        enter = ["nsenter", f"--net={hosts_lab.NETNS}/{namespace}"] if namespace else []
        self._err = open(self.log, "wb")
        self.process = subprocess.Popen([*enter, *sanitizer_wrap(), *command], env=env, stdin=subprocess.PIPE,
                                        stdout=subprocess.PIPE, stderr=self._err)
        self._changed = threading.Condition()
        self.all, self.waiting, self.is_over = [], collections.defaultdict(collections.deque), False
        self.self = {}
        self._thread = threading.Thread(target=self._read, daemon=True)
        self._thread.start()
        self.wait({"said": "ready"}, timeout=4 * PATIENCE)

    def _read(self):
        for raw in self.process.stdout:
            line = json.loads(raw)
            with self._changed:
                self.all.append(line)
                self.waiting[line["said"]].append(line)
                if line.get("link") == "up":
                    self.self = line
                self._changed.notify_all()
        with self._changed:
            self.is_over = True
            self._changed.notify_all()

    def do(self, **command):
        self.process.stdin.write(json.dumps(command).encode() + b"\n")
        self.process.stdin.flush()

    def _next(self, said, end):
        with self._changed:
            self._changed.wait_for(lambda: self.waiting[said] or self.is_over, max(0, end - time.monotonic()))
            return self.waiting[said].popleft() if self.waiting[said] else None

    def expect(self, wanted, timeout=None):
        line = self._next(wanted["said"], time.monotonic() + (timeout or PATIENCE))
        assert line is not None, f"{self.name}: not told {wanted}; all it said:\n{self.story()}"
        assert matches(line, wanted), f"{self.name}: told {line} in place of {wanted}; all it said:\n{self.story()}"
        return line

    def wait(self, wanted, timeout=None):
        end = time.monotonic() + (timeout or PATIENCE)
        while True:
            line = self._next(wanted["said"], end)
            assert line is not None, f"{self.name}: not told {wanted}; all it said:\n{self.story()}"
            if matches(line, wanted):
                return line

    def quiet(self, said, seconds):
        line = self._next(said, time.monotonic() + seconds)
        assert line is None, f"{self.name}: told {line}; all it said:\n{self.story()}"

    def story(self):
        return "\n".join(json.dumps(line) for line in self.all[-60:]) + "\n" + self.log.read_text(errors="replace")[-4000:]

    def end(self):
        """Ends its input, and judges how it went."""
        self.process.stdin.close()
        try:
            code = self.process.wait(4 * PATIENCE)
            words = self.log.read_text(errors="replace")
            assert code == 0, f"{self.name}: exit code {code}\n{words}"
            assert not any(word in words for word in SANITIZER_WORDS), words
        finally:
            self.kill()

    def kill(self):
        self.process.kill()
        self.process.wait()
        self._thread.join(PATIENCE)
        self.process.stdout.close()
        self._err.close()


def matches(line, wanted):
    return all(name in line and line[name] == value for name, value in wanted.items())


class Runner:
    """Plays one scenario. `server` is running; `again` starts another one in its place; `tell` takes figures."""

    def __init__(self, scenario, server, url, make_program, again=None, lab=None, ca_file=None, tell=lambda text: None):
        self.scenario, self.server, self.url = scenario, server, url
        self.make_program, self.again, self.lab, self.ca_file, self.tell = make_program, again, lab, ca_file, tell
        self.options = {**DEFAULTS, **scenario.get("client", {})}
        self.programs, self.friends, self.lost_friends = {}, {}, {}
        self.said = {}  # what each friend logged in with
        self.moments = {"step": (time.monotonic(),) * 2}
        self._heal = None

    def play(self):
        try:
            for number, step in enumerate(self.scenario["steps"]):
                began = time.monotonic()
                try:
                    self.step(step)
                except AssertionError as error:
                    raise AssertionError(f"{self.scenario['name']}, step {number} {json.dumps(step)}: {error}") from None
                self.moments["step"] = (began, time.monotonic())
            for program in self.programs.values():
                program.end()
        finally:
            for program in self.programs.values():
                program.kill()
            for friend in self.friends.values():
                friend.close()
            if self._heal:
                self._heal()

    def step(self, step):
        if "client" in step:
            self.client_step(step)
        elif "friend" in step:
            self.friend_step(step)
        elif "fault" in step:
            self.fault_step(step["fault"])
        elif "admin" in step:
            assert self.server.get(f"/v1/users/{step['user']}", method="DELETE")[0] == 204
        else:
            time.sleep(step["pause_ms"] / 1000)  # how long something outside lasts

    # Clients

    def client_step(self, step):
        name = step["client"]
        if name not in self.programs:
            self.programs[name] = self.make_program(name)
        program = self.programs[name]
        if "do" in step:
            command = {k: self.made(v) for k, v in step.items() if k != "client"}
            if step["do"] == "connect":
                extra = {"ca_file": str(self.ca_file)} if self.ca_file else {}
                command = {"url": self.url, "user": name, **self.options, **extra, **command}
            program.do(**command)
        elif "quiet" in step:
            program.quiet(step["quiet"], step["ms"] / 1000)
        else:
            how = "expect" if "expect" in step else "wait"
            since = self.moments[step.get("since", "step")]
            latest = self.seconds(program, step["no_later"]) if "no_later" in step else 0
            line = getattr(program, how)(step[how], timeout=latest + PATIENCE)
            self.judge(step, program, line, since)

    def judge(self, step, program, line, since):
        before, after = since
        if "no_earlier" in step:
            earliest = before + self.seconds(program, step["no_earlier"]) - SLACK
            assert line["at"] >= earliest, f"{earliest - line['at']:.3f} s too early: {line}\n{program.story()}"
        if "no_later" in step:
            latest = after + self.seconds(program, step["no_later"]) + SLACK
            assert line["at"] <= latest, f"{line['at'] - latest:.3f} s too late: {line}\n{program.story()}"
            self.tell(f"{step.get('since', 'step')} → {' '.join(str(v) for v in list((step.get('expect') or step['wait']).values())[1:])}: "
                      f"{line['at'] - after:.3f} s, of {latest - after - SLACK:.3f} s at most")

    def seconds(self, program, sums):
        units = {"timeouts": program.self.get("timeout_ms", 0), "heartbeats": program.self.get("heartbeat_ms", 0),
                 "backoffs": self.options["backoff_max_ms"] + self.options["connect_timeout_ms"], "ms": 1}
        return sum(units[unit] * n for unit, n in sums.items()) / 1000

    def made(self, value):
        user = next(iter(self.programs))
        made = {"$token": lambda: Secret().token(user, watch=["*"]), "$bad_token": lambda: Secret("another secret of the tests, wrong").token(user),
                "$friends_token": lambda: Secret().token(user, watch=["bob", "carol"]),
                "$short_token": lambda: Secret().token(user, expires_in=3, watch=["*"])}
        return made[value]() if isinstance(value, str) and value in made else value

    # The others

    def friend_step(self, step):
        name, fields = step["friend"], {k: v for k, v in step.items() if k not in ("friend", "do")}
        if step["do"] == "login":
            token = {"token": Secret().token(name)} if "JWT_SECRET" in self.scenario.get("settings", {}) else {}
            self.friends[name] = Client(self.friends_url()).hello(name, "desk", heartbeat_ms=60000, **token, **fields)
            self.said[name] = fields
        elif step["do"] == "update":
            self.friends[name].update(**fields)
        elif step["do"] == "bye":
            self.friends.pop(name).bye()
        else:
            self.friends.pop(name).close()

    def friends_url(self):
        return self.server.url("unix")

    def fault_step(self, name):
        before = time.monotonic()
        if name == "heal":
            heal, self._heal = self._heal, None
            heal()
            self.moments["heal"] = (before, time.monotonic())
            return
        if name in ("link_down", "black_hole"):
            act = self.lab.cable_out if name == "link_down" else self.lab.black_hole
            act(range(len(self.programs)))
            self._heal = self.lab.heal
        elif name == "client_stop":
            for program in self.programs.values():
                program.process.send_signal(signal.SIGSTOP)
            self._heal = self.go_on
        elif name == "server_stop":
            self.server.signal(signal.SIGSTOP)
            self._heal = lambda: self.server.signal(signal.SIGCONT)
        else:
            self.server.signal(signal.SIGKILL if name == "server_kill" else signal.SIGTERM)
            self.server.is_expected_dead = True
            self.server.process.wait(2 * PATIENCE)
            for friend in self.friends.values():
                friend.close()
            self.friends, self.lost_friends = {}, {name: self.said[name] for name in self.friends}
            self._heal = self.start_again
        self.moments["fault"] = (before, time.monotonic())

    def go_on(self):
        for program in self.programs.values():
            program.process.send_signal(signal.SIGCONT)

    def start_again(self):
        """The friends come back before the clients can, so that what these are told is the same each time."""
        for program in self.programs.values():
            program.process.send_signal(signal.SIGSTOP)
        self.server = self.again()
        for name, fields in self.lost_friends.items():
            self.friend_step({"friend": name, "do": "login", **fields})
        self.go_on()


def program_command(*command):
    """How a client program of this build is started; for parameters of tests."""
    return [str(part) for part in command], MODE
