"""Two clocks.

Leases and signatures use real time. Retries, timers and expiry use *desk time*: real time plus an offset that
follows the sandbox's clock, so that a month can pass in a test. In live mode the offset is zero, always.
In SQL desk time is `desk_now()`; here it is `Clock.now()`. Both read the same stored offset.
"""

from __future__ import annotations

import time
from datetime import UTC, datetime, timedelta
from functools import lru_cache


class Clock:
    """Tells desk time. `offset` is refreshed from the database by whoever holds the store."""

    def __init__(self) -> None:
        self.offset = timedelta(0)

    def now(self) -> datetime:
        """Return desk time, in UTC."""
        return datetime.now(UTC) + self.offset


def wall_s() -> float:
    """Return real time in seconds since 1970: for signatures and leases, which no test may move."""
    return time.time()


def from_unix(seconds: int) -> datetime:
    """Return the UTC time of a Unix time stamp, as Stripe sends them."""
    return datetime.fromtimestamp(seconds, UTC)


@lru_cache(maxsize=256)
def iso(moment: datetime | None) -> str | None:
    """Return a time as CONTRACT writes it: ISO 8601 in UTC with `Z`, or `None`.

    Remembered, because many answers bear the time of the one batch that they were in.
    """
    if moment is None:
        return None
    if moment.tzinfo is not UTC:
        moment = moment.astimezone(UTC)
    return moment.isoformat(timespec="milliseconds")[:-6] + "Z"
