"""Billing periods: calendar steps from an anchor, as Stripe counts them.

Every boundary is counted from the anchor itself, so a month without the anchor's day ends a period on its last day and
the next long month is back on it: 31 January, 28 February, 31 March. All times are seconds since 1970, UTC.
"""

from __future__ import annotations

import calendar
from datetime import UTC, datetime

_DAYS = {"day": 1, "week": 7}
_MONTHS = {"month": 1, "year": 12}
_SHORTEST_S = {"month": 28 * 86400, "year": 365 * 86400}
_LONGEST_S = {"month": 31 * 86400, "year": 366 * 86400}
DAY_S = 86400


def boundary(anchor: int, interval: str, count: int, steps: int) -> int:
    """The moment `steps` periods after the anchor (before it when negative); a period is `count` intervals."""
    if interval in _DAYS:
        return anchor + steps * count * _DAYS[interval] * DAY_S
    return add_months(anchor, steps * count * _MONTHS[interval])


def add_months(moment: int, months: int) -> int:
    """The same day and time so many months later; the last day where the month has no such day."""
    start = datetime.fromtimestamp(moment, UTC)
    years, month = divmod(start.month - 1 + months, 12)
    year = start.year + years
    day = min(start.day, calendar.monthrange(year, month + 1)[1])
    return int(start.replace(year=year, month=month + 1, day=day).timestamp())


def next_boundary(anchor: int, interval: str, count: int, after: int) -> int:
    """The first boundary later than `after`."""
    longest = _DAYS[interval] * DAY_S if interval in _DAYS else _LONGEST_S[interval]
    steps = (after - anchor) // (longest * count)
    while boundary(anchor, interval, count, steps) <= after:
        steps += 1
    return boundary(anchor, interval, count, steps)


def previous_boundary(anchor: int, interval: str, count: int, until: int) -> int:
    """The last boundary not later than `until`."""
    after = next_boundary(anchor, interval, count, until)
    shortest = _DAYS[interval] * DAY_S if interval in _DAYS else _SHORTEST_S[interval]
    steps = (after - anchor) // (shortest * count)
    while boundary(anchor, interval, count, steps) > until:
        steps -= 1
    return boundary(anchor, interval, count, steps)
