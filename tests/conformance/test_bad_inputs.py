"""Bad inputs and faults at every door, and fifty honest sessions that must not notice.

The table is in bad.py; what takes more than a write is here. Promise 6: one peer's fault is that peer's alone."""

import inspect
import json
import pathlib
import socket
import struct
import subprocess
import tempfile
import time

import pytest

import canary
import rabble
from bad import FATAL, ROWS, good, hello, raw
from gate import HELLO_S, PER_ADDRESS, PROXY, Gate, ends, read_line
from support import costs
from support.frames import CLOSE, TEXT, frame
from support.mode import IS_RELEASE, PATIENCE, sized
from web import dial, read_head, request

pytestmark = pytest.mark.alone  # the canaries are beside all of them

NOISE_S = 0.020  # of a p99 on a busy machine
BEAT_S = sized(0.2, 1.0)


@pytest.fixture(scope="module")
def gate(session_tmp, credentials):
    one = Gate(pathlib.Path(tempfile.mkdtemp(dir=session_tmp)), credentials)
    yield one
    one.server.stop()


@pytest.fixture(scope="module", autouse=True)
def canaries(gate):
    """They beat from before the first test to the last, which asks them."""
    tokens = gate.folder / "canaries"
    tokens.write_text("\n".join(good(f"canary{i}") for i in range(canary.N)))
    urls = [gate.server.url(door + ":") for door in ("tcp", "tls", "ws", "wss")]
    process = canary.Process(gate.credentials.cert, BEAT_S, tokens, urls)
    time.sleep(sized(4.0, 1.0))  # the quiet that all else is held against
    process.quiet = process.since()
    yield process
    process.stop()


# ---- the table ----------------------------------------------------------------------------------


def made(row, gate):
    if not callable(row.send):
        return row.send
    return row.send(gate) if "gate" in inspect.signature(row.send).parameters else row.send()


def check_web(gate, row, door, is_logged_in, data):
    with gate.web(door) as web:
        if is_logged_in:
            web.text(hello()[:-1]).expect("welcome")
        web.raw(data)
        if row.answer.startswith("close "):
            web.closes(int(row.answer[6:]))
            return
        assert web.expect("error")["code"] == row.answer
        assert web.read()[0] == CLOSE
        web.ends()


def check_lines(gate, row, door, is_logged_in, data):
    options = {"source": PROXY} if row.proxied else {}
    with (gate.login(door) if is_logged_in else gate.dial(door, **options)) as sock:
        try:
            sock.sendall(data)
        except (BrokenPipeError, ConnectionResetError):
            pass  # closed at the first bytes
        if row.answer == "closed":
            assert ends(sock) in (b"", *TLS_ALERTS), "a word"
        elif row.answer.startswith("HTTP "):
            assert read_head(sock)[0] == int(row.answer[5:])
            ends(sock)
        else:
            message = read_line(sock)
            assert message and message.get("code", message["type"]) == row.answer, message
            if row.answer in FATAL:
                assert ends(sock) == b""


# What TLS says by itself of what is none: an alert, of 7 bytes.
TLS_ALERTS = [b"\x15\x03" + bytes([minor, 0, 2, 2, what]) for minor in (1, 3) for what in range(256)]


@pytest.mark.parametrize("row", ROWS, ids=lambda row: row.name)
def test_row(gate, row):
    assert row.counter in gate.server.counters(), f"no counter {row.counter}"
    is_logged_in, door = row.door.startswith("+"), row.door.lstrip("+")
    check = check_web if door in ("ws", "wss") else check_lines
    data = made(row, gate)
    before = gate.server.counters()
    check(gate, row, door, is_logged_in, data)
    gate.moved(before, row.counter, row.times)


# ---- the slow and the silent: all end with the hello's time -------------------------------------


def hello_ends(gate, sock, said):
    """The connection ends when the time for its hello is over, with these words."""
    before, began = gate.server.counters(), time.monotonic()
    answer = ends(sock)
    assert said in answer if said else answer == b"", answer
    assert time.monotonic() - began <= HELLO_S + PATIENCE
    gate.moved(before, "hello_timeouts")


def drip(sock, data):
    """Byte by byte, until the server has had enough."""
    sock.setblocking(False)
    for byte in data:
        try:
            sock.send(bytes([byte]))
            sock.recv(1, socket.MSG_PEEK)
            break
        except BlockingIOError:
            time.sleep(HELLO_S / 50)
        except OSError:
            break
    sock.settimeout(PATIENCE)


def slow(gate, door, data, said):
    with gate.dial(door) as sock:
        began, before = time.monotonic(), gate.server.counters()
        drip(sock, data)
        assert said in ends(sock)
        assert HELLO_S * 0.8 <= time.monotonic() - began <= HELLO_S + PATIENCE
        gate.moved(before, "hello_timeouts")


def test_slow_hello_byte_by_byte(gate):
    slow(gate, "tcp", hello(), b'"hello_required"')


def test_slow_head_byte_by_byte(gate):
    slow(gate, "bare-ws", request(), b"HTTP/1.1 408")


def test_slow_handshake_byte_by_byte(gate):
    slow(gate, "bare-tls", b"\x16\x03\x01\x02\x00\x01\x00\x01\xfc\x03\x03" + bytes(500), b"")


def test_slow_proxy_line_byte_by_byte(gate):
    with gate.dial("tcp", source=PROXY) as sock:
        sock.sendall(b"PROXY TCP4 192.0.2")
        hello_ends(gate, sock, b"")


SILENCES = {"silence": ("tcp", b"", b'"hello_required"'),
            "silence of a Unix socket": ("unix", b"", b'"hello_required"'),
            "silence where TLS is due": ("bare-tls", b"", b""),
            "half a ClientHello": ("bare-tls", b"\x16\x03\x01\x02\x00\x01\x00", b""),
            "silence behind a handshake": ("tls", b"", b'"hello_required"'),
            "silence where HTTP is due": ("bare-ws", b"", b"408"),
            "silence behind an upgrade": ("bare-ws", request(), b'"hello_required"'),
            "half a frame": ("bare-ws", request() + frame(TEXT, hello())[:9], b'"hello_required"')}


@pytest.mark.parametrize("case", SILENCES)
def test_silent(gate, case):
    door, data, said = SILENCES[case]
    with gate.dial(door) as sock:
        sock.sendall(data)
        hello_ends(gate, sock, said)


def test_old_tls(gate):
    """A client of 1.1 finds no version in common."""
    before = gate.server.counters()
    where = gate.server.url("tls:").split("//")[1]
    done = subprocess.run(["openssl", "s_client", "-connect", where, "-tls1_1", "-cipher", "ALL:@SECLEVEL=0"],
                          stdin=subprocess.DEVNULL, capture_output=True, text=True, timeout=PATIENCE)
    assert done.returncode != 0 and "alert" in done.stderr
    gate.moved(before, "tls_failed")


# ---- ends ---------------------------------------------------------------------------------------


def test_half_close_ends_the_session(gate):
    """FIN is the end, whatever could still be written to the peer; bytes before it are acted on."""
    before = gate.server.counters()
    with gate.login() as sock:
        sock.sendall(b'{"type":"update","status":"last words"}\n')
        sock.shutdown(socket.SHUT_WR)
        assert read_line(sock)["type"] == "updated"
        assert ends(sock) == b""
    gate.moved(before, "ended_closed")


def test_half_close_inside_a_line(gate):
    before = gate.server.counters()
    with gate.login() as sock:
        sock.sendall(b'{"type":"upd')
        sock.shutdown(socket.SHUT_WR)
        assert ends(sock) == b""
    gate.moved(before, "ended_closed")


def reset(sock):
    sock.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, struct.pack("ii", 1, 0))
    socket.socket.close(sock)


@pytest.mark.parametrize("door", ["tcp", "tls"])
def test_reset_inside_a_line(gate, door):
    before = gate.server.counters()
    sock = gate.login(door)
    sock.sendall(b'{"type":"upd')
    reset(sock)
    gate.moved(before, "ended_reset")


@pytest.mark.parametrize("door", ["ws", "wss"])
def test_reset_inside_a_frame(gate, door):
    before = gate.server.counters()
    web = gate.web(door).text(hello()[:-1])
    web.expect("welcome")
    web.raw(frame(TEXT, b'{"type":"heartbeat"}')[:11])
    reset(web.sock)
    gate.moved(before, "ended_reset")


@pytest.mark.parametrize("door, data", [("tcp", b'{"type":'), ("bare-tls", b"\x16\x03\x01\x02\x00\x01"),
                                        ("bare-ws", b"GET / HT"), ("bare-ws", request())])
def test_reset_before_a_hello(gate, door, data):
    """Nobody was there: no session ends, and the connection goes."""
    n = gate.server.stats()["connections"]
    for _ in range(20):
        sock = gate.dial(door)
        sock.sendall(data)
        reset(sock)
    gate.server.wait_stats(lambda s: s["connections"] <= n)


def test_out_of_band_byte(gate):
    """TCP's urgent byte is outside of the stream; the lines around it are whole."""
    before = gate.server.counters()
    with gate.login() as sock:
        sock.sendall(b'{"type":"heart')
        sock.send(b"!", socket.MSG_OOB)
        sock.sendall(b'beat"}\n')
        assert read_line(sock)["type"] == "heartbeat"
    gate.moved(before, "heartbeats")


# ---- floods -------------------------------------------------------------------------------------


def test_flood_of_messages(gate):
    before = gate.server.counters()
    with gate.login() as sock:
        sock.sendall(b"\n" * 3000)
        said = ends(sock)
        assert 900 <= said.count(b"\n") <= 1800 and b'"rate_limited"' in said and b'"retry_ms"' in said
    gate.moved(before, "message_rate_limited")
    gate.moved(before, "ended_violation")


def test_flood_of_queries(gate):
    """An id costs a fiftieth of a message: a thousand of them twenty, and one."""
    before = gate.server.counters()
    line = raw(json.dumps({"type": "query", "users": [f"u{i}" for i in range(1000)]}))
    with gate.login() as sock:
        sock.settimeout(PATIENCE)
        try:
            for _ in range(100):
                sock.sendall(line)
                if b'"rate_limited"' in sock.recv(1 << 20):
                    break
        except OSError:
            pass
        ends(sock)
    gate.moved(before, "message_rate_limited")


def watch(users):
    return raw(json.dumps({"type": "watch", "users": users}))


def test_watch_of_1001(gate):
    before = gate.server.counters()
    with gate.login() as sock:
        sock.sendall(watch([f"w{i}" for i in range(1001)]))
        assert read_line(sock)["code"] == "bad_message"
    gate.moved(before, "error_bad_message")


def test_flood_of_watches(gate):
    before = gate.server.counters()
    with gate.login() as sock:
        sock.sendall(watch([f"w{i}" for i in range(1000)]) + watch([f"x{i}" for i in range(1000)]))
        answers = [read_line(sock)]
        while "code" not in answers[-1]:
            answers.append(read_line(sock))
        assert answers[-1]["code"] == "too_many_watches"
        sock.sendall(b"\n")
        assert read_line(sock)["type"] == "empty"
    gate.moved(before, "watch_refused")


def test_watch_that_the_token_forbids(gate):
    """The same answer for a user who is there and for one who is not."""
    before = gate.server.counters()
    with gate.dial("tcp") as sock:
        sock.sendall(hello(token=good("nosy", watch=["friend", "team.*"])))
        assert read_line(sock)["type"] == "welcome"
        answers = []
        for user in ("canary0", "nobody at all", "friend2", "team"):
            sock.sendall(watch(["friend", "team.a", user]))
            answers.append(read_line(sock))
        assert all(a == answers[0] and a["code"] == "forbidden" for a in answers), answers
        sock.sendall(watch(["friend", "team.a", "nosy"]))
        assert len(read_line(sock)["presences"]) == 3
    gate.moved(before, "error_forbidden", 4)


def test_flood_of_failed_logins_of_one_address(gate):
    """Counted by the address that the proxy names; another one is not touched, nor is who knows a token."""
    def attempt(address, text):
        with gate.dial("tcp", source=PROXY, before=f"PROXY TCP4 {address} 192.0.2.1 5 6\r\n".encode()) as sock:
            sock.sendall(hello(token=text))
            message = read_line(sock)
            return message.get("code", message["type"])

    before = gate.server.counters()
    answers = [attempt("203.0.113.9", "a.b.c") for _ in range(60)]
    assert set(answers) == {"auth_failed", "rate_limited"} and answers[:10] == ["auth_failed"] * 10
    assert attempt("203.0.113.10", good()) == "welcome"
    gate.moved(before, "login_rate_limited", answers.count("rate_limited"))
    assert gate.server.counters()["token_failed"] == before["token_failed"] + answers.count("auth_failed")


@pytest.mark.parametrize("door", ["tcp", "tls", "ws", "wss"])
def test_peer_that_never_reads(gate, door):
    """It asks for much and takes nothing: 'slow' ends it."""
    before = gate.server.counters()
    query = json.dumps({"type": "query", "users": ["n" * 128] * 1000})
    if door in ("tcp", "tls"):
        sock = gate.login(door, rcvbuf=4096)
        data = query.encode() + b"\n"
    else:
        web = gate.web(door, rcvbuf=4096).text(hello()[:-1])
        web.expect("welcome")
        sock, data = web.sock, frame(TEXT, query.encode())
    sock.settimeout(0.2)
    try:
        for _ in range(40):
            sock.sendall(data)
    except OSError:
        pass
    gate.server.wait_stats(lambda s: s["counters"]["ended_slow"] > before["ended_slow"], 3 + 2 * PATIENCE)
    assert gate.server.counters()["paused"] > before["paused"]
    sock.close()


def test_slow_websocket_is_told_so(gate):
    """Its bye and its close code stand behind the frame that was under way, for when it reads at last."""
    web = gate.web("ws", rcvbuf=4096).text(hello()[:-1])
    web.expect("welcome")
    data = frame(TEXT, json.dumps({"type": "query", "users": ["n" * 128] * 1000}).encode())
    before = gate.server.counters()
    web.sock.sendall(data)  # once: what it sent and we never read would make our close a reset
    gate.server.wait_stats(lambda s: s["counters"]["ended_slow"] > before["ended_slow"], 3 + 2 * PATIENCE)
    web.sock.settimeout(PATIENCE)
    while web.message()["type"] != "bye":
        pass
    web.closes(4411)


# ---- limits on connections ----------------------------------------------------------------------


def test_connections_of_one_address(gate):
    before, source = gate.server.counters(), "127.9.9.9"
    held = [gate.dial("tcp", source=source) for _ in range(PER_ADDRESS)]
    gate.moved(before, "accepted", PER_ADDRESS)
    with gate.dial("tcp", source=source) as sock:
        message = read_line(sock)
        assert message["code"] == "server_full" and message["retry_ms"] > 0
        ends(sock)
    gate.moved(before, "refused_address")
    gate.login(source="127.9.9.10").close()
    for sock in held:
        sock.close()
    gate.server.wait_stats(lambda s: s["connections"] <= canary.N + 5)
    gate.login(source=source).close()


def test_connections_in_all(start):
    server = start(MAX_CONNECTIONS=5)
    held = [dial(server.url()) for _ in range(5)]
    server.wait_stats(lambda s: s["connections"] == 5)
    with dial(server.url()) as sock:
        assert read_line(sock)["code"] == "server_full"
        ends(sock)
    assert server.counters()["refused_full"] == 1
    held.pop().close()
    server.wait_stats(lambda s: s["connections"] == 4)
    with dial(server.url()) as sock:
        sock.sendall(b'{"type":"hello","v":1,"user":"a"}\n')
        assert read_line(sock)["type"] == "welcome"


def test_out_of_descriptors(gate):
    """Filled to the last one: told so at the door, those inside go on, and it recovers by itself."""
    before, held = gate.server.counters(), []
    began = time.monotonic()
    refused = 0
    while refused < 3 and time.monotonic() - began < 4 * PATIENCE:
        held += [gate.dial("tcp", source=f"127.8.{len(held) // 300}.1") for _ in range(100)]
        refused = gate.server.counters()["refused_descriptors"] - before["refused_descriptors"]
    assert refused >= 3
    told = 0
    for sock in reversed(held):
        sock.settimeout(0)
        try:
            told += b'"server_full"' in sock.recv(1000)
        except OSError:
            pass
        sock.close()
    assert told >= 1
    gate.server.wait_stats(lambda s: s["connections"] <= canary.N + 5)
    for door in ("tcp", "tls"):
        gate.login(door).close()


@pytest.mark.release_only
@pytest.mark.parametrize("error, counter", [("EMFILE", None), ("ENFILE", None), ("ENOBUFS", "accept_errors"),
                                            ("ENOMEM", "accept_errors"), ("ECONNABORTED", "accept_errors"),
                                            ("EPROTO", "accept_errors")])
def test_accept_fails(start, tmp, error, counter):
    """Six times, injected: the seventh lets the peer in; meanwhile the worker does not spin."""
    trace = tmp / "accepts"
    server = start(WORKERS=1, wrap=["strace", "-f", "-D", "-qq", "-o", str(trace), "-e", "trace=accept4",
                                    "-e", f"inject=accept4:error={error}:when=1..6"])
    began = time.monotonic()
    with dial(server.url()) as sock:
        sock.sendall(b'{"type":"hello","v":1,"user":"a"}\n')
        assert read_line(sock)["type"] == "welcome"
    assert time.monotonic() - began <= 3
    calls = trace.read_text()  # before the admin's thread is asked, whose own are injected too
    assert 7 <= calls.count("accept4(") <= 12, calls
    if counter:
        assert server.counters()[counter] >= 6


# ---- crowds -------------------------------------------------------------------------------------


def settled(gate, descriptors=0):
    """Memory in bytes and descriptors, when nobody but the canaries is there; the admin's own connection may go
    a moment later: no more than 'descriptors' are waited for."""
    gate.server.wait_stats(lambda s: s["connections"] <= canary.N, 10 + PATIENCE)
    end = time.monotonic() + PATIENCE
    while (now := gate.server.descriptors()) > descriptors > 0 and time.monotonic() < end:
        time.sleep(0.01)
    return costs.rss_bytes(gate.server.pid), now


def make_rabble(gate, kinds, n, hold=0):
    files = []
    for i, kind in enumerate(kinds):
        files.append(gate.folder / f"kind-{i}")
        files[-1].write_bytes(kind)
    url = gate.server.url("tcp:")
    return [rabble.begin(url, n // 2, source, hold, *files) for source in ("127.20.0.1", "127.21.0.1")]


def canaries_beats(seconds):
    """How many beats they may have sent in this time, and one each to spare."""
    return canary.N * (seconds / BEAT_S + 2)


def test_hundred_thousand_bad_logins_leave_nothing(gate, figure):
    """Memory and descriptors are what they were."""
    n = sized(100_000, 3_000)
    kinds = [hello(token=good(sign=lambda data: bytes(32))), hello(token="a.b.c"), hello(token="x" * 4000),
             hello(token=good(exp=1)), hello(token=good(header={"alg": "none"}))]
    for process in make_rabble(gate, kinds, n // 10):  # what is allocated once is not theirs
        rabble.end(process, 60)
    memory, descriptors = settled(gate)
    before = gate.server.counters()
    began = time.monotonic()
    done = [rabble.end(process, 120) for process in make_rabble(gate, kinds, n)]
    seconds = time.monotonic() - began
    assert [d["answers"] for d in done] == [{"auth_failed": n // 2}] * 2
    gate.moved(before, "token_failed", n)
    # A hello that has to wait for its turn is read once, then. (Each was read again in each turn: 2 ms a login.)
    assert gate.server.counters()["messages_in"] - before["messages_in"] <= n + canaries_beats(seconds)
    memory_after, descriptors_after = settled(gate, descriptors)
    figure(f"{n} bad logins in {seconds:.1f} s: {memory_after - memory:+} bytes, "
           f"{descriptors_after - descriptors:+} descriptors")
    assert descriptors_after <= descriptors
    if IS_RELEASE:
        assert memory_after - memory <= 512 * 1024


def test_hundred_thousand_that_linger_leave_descriptors_for_others(gate, figure):
    """They say rubbish, are told so, and never close: all the while whoever is honest comes in."""
    n = sized(100_000, 3_000)
    kinds = [b"rubbish\n", b"GET / HTTP/1.1\r\n\r\n", b"\0\1\2\3\n", b"\n", b"[" * 200 + b"\n",
             b'{"type":"hello","v":9}\n'] * 8 + [b"no end"]
    before = gate.server.counters()
    began = time.monotonic()
    processes = make_rabble(gate, kinds, n, hold=6000)
    waits = []
    while any(process.poll() is None for process in processes):
        asked = time.monotonic()
        gate.login(sub="honest").close()
        waits.append(time.monotonic() - asked)
        time.sleep(0.05)
    done = [rabble.end(process, 60)["answers"] for process in processes]
    after = gate.server.counters()
    figure(f"{n} that linger, in {time.monotonic() - began:.1f} s: {len(waits)} logins beside them, the slowest in "
           f"{max(waits) * 1000:.0f} ms; {after['lingering_cut'] - before['lingering_cut']} were not waited for")
    assert after["refused_descriptors"] == before["refused_descriptors"]
    assert all(set(d) <= {"bad_json", "hello_required", "version", "closed", "ECONNRESET"} for d in done), done
    assert sum(sum(d.values()) for d in done) == n // 2 * 2
    settled(gate)


# ---- and those beside it ------------------------------------------------------------------------


def test_canaries_noticed_nothing(gate, canaries, figure):
    quiet, busy = canaries.quiet, canaries.since()
    figure(f"50 sessions, quiet: p50 {quiet['p50'] * 1000:.2f} p99 {quiet['p99'] * 1000:.2f} ms of "
           f"{quiet['n']} answers; beside all this: p50 {busy['p50'] * 1000:.2f} p99 {busy['p99'] * 1000:.2f} "
           f"max {busy['max'] * 1000:.0f} ms of {busy['n']}")
    assert busy["errors"] == [] and busy["live"] == canary.N
    assert busy["oldest"] <= PATIENCE, "an answer that does not come"
    counters = gate.server.counters()
    assert counters["ended_timeout"] == 0 and counters["mistakes"] == 0 and counters["out_of_memory"] == 0
    if IS_RELEASE:
        assert busy["p99"] <= max(2 * quiet["p99"], NOISE_S)
