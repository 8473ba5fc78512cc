"""Promise 1, as numbers: when an event may come after a session's last byte."""

from support.mode import IS_RELEASE

SCAN = 0.1
MEASURING = 0.05


def possible_last_bytes(sent, answered, window):
    """Which beats may be the last that arrived: the last one answered surely did, and so may have those
    sent after it, until the fault was there (its setting in is not one moment)."""
    assert answered, "the fault came before the first answer"
    return [at for i, at in enumerate(sent) if i >= answered - 1 and at <= window[1]]


def lateness(event, last_bytes, timeout):
    """Seconds past the timeout, of the latest possible last byte that does not make the event too early."""
    late = [event.at - at - timeout for at in last_bytes if event.at - at >= timeout]
    assert late, f"told {timeout - (event.at - min(last_bytes)):.4f} s too early: {dict(event)}"
    return min(late)


def assert_in_bound(event, last_bytes, timeout):
    """… and how late it was."""
    late = lateness(event, last_bytes, timeout)
    if IS_RELEASE:
        assert late <= 2 * SCAN + MEASURING, f"told {late:.3f} s late: {dict(event)}"
    return late


def spread(latenesses):
    values = sorted(latenesses)
    first, middle, last = (values[i] * 1000 for i in (0, len(values) // 2, -1))
    return f"{len(values)} told, {first:.0f} to {last:.0f} ms past the timeout, median {middle:.0f} ms"
