"""Ways to starve a process: of all CPU, or of most of it, or one of its threads."""

import contextlib
import ctypes
import os
import pathlib

CGROUP = pathlib.Path("/sys/fs/cgroup")


@contextlib.contextmanager
def cpu_quota(pid, percent):
    """The process on so much of one CPU, by cgroup v1 or v2. Raises OSError where this may not be."""
    v1 = (CGROUP / "cpu").is_dir()
    group = (CGROUP / "cpu" if v1 else CGROUP) / f"presenced-test-{os.getpid()}"
    home = CGROUP / "cpu" if v1 else CGROUP
    if not v1 and "cpu" not in (CGROUP / "cgroup.subtree_control").read_text().split():
        raise OSError("the cgroup controller for CPU is not enabled here")
    group.mkdir()
    try:
        if v1:
            (group / "cpu.cfs_period_us").write_text("100000")
            (group / "cpu.cfs_quota_us").write_text(str(percent * 1000))
        else:
            (group / "cpu.max").write_text(f"{percent * 1000} 100000")
        (group / "cgroup.procs").write_text(str(pid))
        yield group / "cpu.stat"
    finally:
        with contextlib.suppress(OSError):
            (home / "cgroup.procs").write_text(str(pid))
        group.rmdir()


PTRACE_SEIZE, PTRACE_INTERRUPT, PTRACE_DETACH, WALL = 0x4206, 0x4207, 17, 0x40000000
_libc = ctypes.CDLL(None, use_errno=True)
_libc.ptrace.argtypes = [ctypes.c_long, ctypes.c_long, ctypes.c_void_p, ctypes.c_void_p]


def _ptrace(request, thread):
    if _libc.ptrace(request, thread, None, None) != 0:
        raise OSError(ctypes.get_errno(), os.strerror(ctypes.get_errno()))


@contextlib.contextmanager
def frozen(server, name):
    """The server's thread of that name stands still, and the others go on. Begun and ended by one thread of ours: the
    kernel knows no other as the tracer."""
    threads = pathlib.Path(f"/proc/{server.pid}/task").iterdir()
    thread = next(int(t.name) for t in threads if (t / "comm").read_text().strip() == name)
    _ptrace(PTRACE_SEIZE, thread)
    try:
        _ptrace(PTRACE_INTERRUPT, thread)
        os.waitpid(thread, WALL)
        yield
    finally:
        _ptrace(PTRACE_DETACH, thread)
