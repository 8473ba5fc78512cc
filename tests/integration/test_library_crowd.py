"""Many clients of libpresence and a server that is started again: no stampede, and all are back."""

import json
import pathlib
import select
import signal
import subprocess
import time

import pytest

from support.mode import BINARY

CROWD = BINARY.parent / "tests/clients/presence_crowd"
MAX_PEAK = 0.05  # of the clients, in 100 ms
MAX_BACK_S = 60


class Crowd:
    def __init__(self, url, n, backoff_max_ms):
        self.process = subprocess.Popen([str(CROWD), url, str(n), str(backoff_max_ms)], stdin=subprocess.PIPE, stdout=subprocess.PIPE)
        self._rest = b""

    def say(self, word):
        self.process.stdin.write(word.encode() + b"\n")
        self.process.stdin.flush()

    def hear(self, key, timeout):
        """The next line that has this key."""
        end = time.monotonic() + timeout
        while True:
            while b"\n" in self._rest:
                line, self._rest = self._rest.split(b"\n", 1)
                found = json.loads(line)
                if key in found:
                    return found
            assert select.select([self.process.stdout], [], [], max(0, end - time.monotonic()))[0], f"no {key}"
            data = self.process.stdout.read1(65536)
            assert data, f"it ended: {self.process.wait()}"
            self._rest += data

    def report(self):
        self.say("report")
        return self.hear("attempts", 10)

    def memory_kb(self):
        status = pathlib.Path(f"/proc/{self.process.pid}/status").read_text()
        return int(status.split("VmRSS:")[1].split()[0])

    def end(self):
        self.process.kill()
        self.process.wait()
        self.process.stdin.close()
        self.process.stdout.close()


@pytest.mark.alone
@pytest.mark.release_only
@pytest.mark.parametrize("n, how, backoff_max_ms", [
    pytest.param(2000, "term", 8000),  # so that the last is not waited for so long
    pytest.param(10000, "kill", 0, marks=pytest.mark.long),
    pytest.param(10000, "term", 0, marks=pytest.mark.long),
])
def test_restart_is_no_stampede(start, figure, n, how, backoff_max_ms):
    server = start(LOGIN_RATE=0)
    crowd = Crowd(server.url("tcp"), n, backoff_max_ms)
    try:
        began = time.monotonic()
        crowd.hear("up", 60)
        came = time.monotonic() - began
        memory = crowd.memory_kb()
        crowd.say("mark")
        crowd.hear("marked", 10)
        server.signal(signal.SIGKILL if how == "kill" else signal.SIGTERM)
        server.is_expected_dead = True
        server.process.wait(20)
        time.sleep(1.0)  # how long the server is away
        start(LISTEN=server.url("tcp"), LOGIN_RATE=0)
        crowd.hear("up", MAX_BACK_S)
        found = crowd.report()
        figure(f"{n} clients came in {came:.1f} s ({memory / n:.1f} KB each); {how}: {found['attempts']} attempts, at most "
               f"{found['peak']} in 100 ms ({100 * found['peak'] / n:.1f} %), all back after {found['all_up_ms'] / 1000:.1f} s; "
               f"{found['cpu_ms'] / n:.2f} ms of CPU each")
        assert found["lost"] == found["up"] == n
        assert found["peak"] <= MAX_PEAK * n
        assert found["all_up_ms"] <= MAX_BACK_S * 1000
    finally:
        crowd.end()
