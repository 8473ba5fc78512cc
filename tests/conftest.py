"""Fixtures of the outside tests: servers, clients, names, and the log's tail where a test fails."""

import os
import pathlib
import shutil
import tempfile

import pytest

from support import mode
from support.client import Client
from support.crowd import Process
from support.server import Server

_logs = pytest.StashKey()
_figures = []


def pytest_report_header(config):
    return f"presenced: {mode.BINARY} ({mode.MODE})"


def pytest_sessionstart(session):
    if not os.access(mode.BINARY, os.X_OK):
        pytest.exit(f"no server to test at {mode.BINARY}; build it, or set PRESENCED_BIN", returncode=2)


def pytest_collection_modifyitems(config, items):
    """Bounds of time are asserted in release builds only."""
    if mode.IS_RELEASE:
        return
    out = [item for item in items if item.get_closest_marker("release_only")]
    config.hook.pytest_deselected(items=out)
    items[:] = [item for item in items if item not in out]


@pytest.hookimpl(hookwrapper=True)
def pytest_runtest_makereport(item, call):
    report = (yield).get_result()
    if report.failed:
        for server in item.stash.get(_logs, []):
            report.sections.append((f"the log's end: {server.log_path}", server.tail()))


def pytest_terminal_summary(terminalreporter):
    if _figures:
        terminalreporter.section("figures")
        for line in _figures:
            terminalreporter.write_line(line)


@pytest.fixture
def figure(request):
    """Takes a sentence about what was measured, shown at the end whether the test passes or not."""
    return lambda text: _figures.append(f"{request.node.name}: {text}")


@pytest.fixture(scope="session")
def session_tmp(request):
    """Short: a Unix socket's path has 107 bytes. Kept where a test failed: the logs are in it."""
    base = os.environ.get("PRESENCED_TEST_TMP")
    if base:
        pathlib.Path(base).mkdir(parents=True, exist_ok=True)
    path = pathlib.Path(tempfile.mkdtemp(prefix="pr-", dir=base if base and len(base) < 60 else None))
    yield path
    if not request.session.testsfailed:
        shutil.rmtree(path, ignore_errors=True)


@pytest.fixture
def tmp(session_tmp):
    return pathlib.Path(tempfile.mkdtemp(dir=session_tmp))


@pytest.fixture
def start(tmp, request):
    """Starts servers of the test's own; each is stopped, and must end well."""
    servers = request.node.stash.setdefault(_logs, [])
    begun = []

    def begin(**options):
        server = Server(tmp, name=f"presenced-{len(begun)}", **options)
        begun.append(server)
        servers.append(server)
        return server

    yield begin
    wrong = []
    for server in begun:
        try:
            if not getattr(server, "is_expected_dead", False):
                server.stop()
            else:
                server.kill()
                server.judge()
        except AssertionError as error:
            wrong.append(str(error))
    assert not wrong, "\n".join(wrong)


class _Shared:
    server = None


@pytest.fixture(scope="session")
def _shared(session_tmp):
    yield _Shared
    if _Shared.server:
        server, _Shared.server = _Shared.server, None
        server.stop()


@pytest.fixture
def server(_shared, session_tmp, request):
    """One server that many tests share, each with users of its own. It must outlive each of them."""
    if _shared.server is None:
        directory = pathlib.Path(tempfile.mkdtemp(dir=session_tmp))
        _shared.server = Server(directory, LISTEN=f"tcp://127.0.0.1:0,tcp://[::1]:0,unix://{directory}/sock",
                                HEARTBEAT="10s", HEARTBEAT_MIN="50ms", HEARTBEAT_MAX="5m", WORKERS=2)
    request.node.stash.setdefault(_logs, []).append(_shared.server)
    yield _shared.server
    if not _shared.server.is_alive():
        dead, _shared.server = _shared.server, None
        pytest.fail(f"the server died: exit code {dead.process.returncode}\n{dead.tail()}")


@pytest.fixture
def name(request):
    """Makes a word this test's own: users of one shared server."""
    _shared_count[0] += 1
    number = _shared_count[0]
    return lambda word: f"{word}.{number}"


_shared_count = [0]


@pytest.fixture
def clients():
    """Opens clients; what is still open at the end is closed."""
    opened = []

    def open_one(server, url=None, **options):
        client = Client(url or server.url(), namespace=server.namespace, **options)
        opened.append(client)
        return client

    yield open_one
    for client in opened:
        client.close()


@pytest.fixture
def login(server, clients, name):
    """A client of the shared server, logged in as this test's user of that name."""

    def log_in(word, device=None, url=None, **hello):
        return clients(server, url).hello(name(word), device, **hello)

    return log_in


@pytest.fixture
def crowds():
    """Starts crowds; all are ended with the test, stopped ones too."""
    begun = []

    def begin(url, **options):
        begun.append(Process(url, **options))
        return begun[-1]

    yield begin
    for crowd in begun:
        crowd.stop()
