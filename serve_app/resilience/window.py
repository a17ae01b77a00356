"""A sliding window of calls and failures, counted by the second, as a plain tuple."""

WINDOW_S = 10

Second = tuple[int, int, int]  # the second, the calls that ended within it, those of them that failed
Window = tuple[Second, ...]  # the oldest first


def counted(window: Window, at: float, failed: bool) -> Window:
    """
    Return the window with one more call that ended at `at`, without expired seconds.

    Calls may arrive out of order, as they do from several routers; one from before the window is left out.
    """
    second, failures = int(at), int(failed)
    if not window:
        return ((second, 1, failures),)
    newest, calls, failed_before = window[-1]
    oldest = max(second, newest) - WINDOW_S + 1
    if second < oldest:
        return window
    if second == newest and window[0][0] >= oldest:
        return (*window[:-1], (second, calls + 1, failed_before + failures))
    counts = {moment: (calls, failed_then) for moment, calls, failed_then in window if moment >= oldest}
    calls, failed_before = counts.get(second, (0, 0))
    counts[second] = (calls + 1, failed_before + failures)
    return tuple((moment, *counts[moment]) for moment in sorted(counts))


def calls_in(window: Window) -> int:
    """Return the number of calls in the window."""
    return sum(calls for _, calls, _ in window)


def failures_in(window: Window) -> int:
    """Return the number of failed calls in the window."""
    return sum(failures for _, _, failures in window)


def failure_rate(window: Window, now: float) -> float | None:
    """Return the share of failures among the calls still in the window at `now`; None without calls."""
    oldest = int(now) - WINDOW_S + 1
    recent = tuple(second for second in window if second[0] >= oldest)
    calls = calls_in(recent)
    return failures_in(recent) / calls if calls else None
