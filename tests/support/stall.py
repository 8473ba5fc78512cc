"""Ways to starve a process: of all CPU, or of most of it."""

import contextlib
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
