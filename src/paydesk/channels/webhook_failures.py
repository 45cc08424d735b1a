"""What an endpoint's answer means: taken, to be tried again by the schedule, or never again. Pure.

The schedule and the meanings are those of Standard Webhooks 1.0.
"""

from __future__ import annotations

from dataclasses import dataclass

WAITS_S = (5, 300, 1800, 7200, 18_000, 36_000, 50_400, 72_000, 86_400)
"""How long after the first, the second, … failed attempt of an event it is tried again; after the tenth never."""

RETRY_AFTER_S_MAX = 86_400.0

TOO_MANY_S_MIN = 60.0
"""Whoever has had too many and does not say for how long is left alone for so long at least."""


@dataclass(frozen=True, slots=True)
class Failure:
    """Why an event was not taken. `after_s` is what the endpoint asks us to wait, `least_s` what the schedule is to keep
    at least; `gone`: it wants no more events.
    """

    rule: str
    reason: str
    after_s: float | None = None
    gone: bool = False
    least_s: float = 0.0


def wait_after(attempt: int) -> float | None:
    """Return how many seconds after a failed attempt (1 is the first) the next one comes, `None` after the last."""
    return float(WAITS_S[attempt - 1]) if attempt <= len(WAITS_S) else None


def failure_of(status: int, retry_after: str | None) -> Failure | None:
    """Return what is wrong with an answer, `None` when the event was taken."""
    if 200 <= status < 300:
        return None
    if status == 410:
        return Failure("wh-410", "it answered 410: it wants no more events", gone=True)
    if status == 429:
        return Failure("wh-429", "it answered 429: too many", _seconds(retry_after), least_s=TOO_MANY_S_MIN)
    if 300 <= status < 400:
        return Failure("wh-3xx", f"it answered {status}: redirects are not followed")
    return Failure("wh-5xx" if status >= 500 else "wh-4xx", f"it answered {status}")


def _seconds(retry_after: str | None) -> float | None:
    if retry_after is None or not retry_after.isascii() or not retry_after.isdigit():
        return None
    return min(max(float(retry_after[:9]), 1.0), RETRY_AFTER_S_MAX)
