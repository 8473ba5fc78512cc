"""What kind of build is under test, and how large a test may be on it.

The runner says it by environment: PRESENCED_BIN (the binary), PRESENCED_MODE (release, asan, tsan),
PRESENCED_TEST_TMP (where logs and sockets go)."""

import os
import pathlib

ROOT = pathlib.Path(__file__).resolve().parents[2]
BINARY = pathlib.Path(os.environ.get("PRESENCED_BIN") or ROOT / "build/release/presenced").absolute()
MODE = os.environ.get("PRESENCED_MODE") or "release"
IS_RELEASE = MODE == "release"


def sized(release, sanitizer):
    """The first in a release build, the second in a slower one."""
    return release if IS_RELEASE else sanitizer


# How long an answer may take before a test gives up. It is no bound of the product's.
PATIENCE = sized(5.0, 20.0)
# How long to listen for what must not come.
QUIET = sized(0.06, 0.15)
