"""What statistics are asked for: a period, in a time zone, of everything or of a part, told apart by something. Pure."""

from __future__ import annotations

import re
from dataclasses import dataclass
from datetime import UTC, date, datetime, time, timedelta, tzinfo
from zoneinfo import ZoneInfo

from paydesk import money
from paydesk.errors import Invalid
from paydesk.stats_days import Span

DAYS_BEFORE = 30
"""The period is so many days long where no beginning is named."""

LOCAL_DAYS_MAX = 400
"""Days of another time zone than UTC are counted from the rows each time: not of longer than this."""

KINDS = ("day", "currency", "product", "channel")
EARLIEST, LATEST = datetime(2000, 1, 1, tzinfo=UTC), datetime(2200, 1, 1, tzinfo=UTC)
_DAY = re.compile(r"\d{4}-\d{2}-\d{2}", re.ASCII)


@dataclass(frozen=True, slots=True)
class Ask:
    """A question: from `begins` to before `ends`, both with their time zone.

    `by` is one of `KINDS` or `None`; `timezone` names the days of `by` day and of dates without one.
    """

    begins: datetime
    ends: datetime
    by: str | None = None
    currency: str | None = None
    product: str | None = None
    channel: str | None = None
    timezone: str = "UTC"

    @property
    def of_all(self) -> bool:
        """Say whether it is about the whole desk."""
        return self.currency is None and self.product is None and self.channel is None

    @property
    def in_utc(self) -> bool:
        """Say whether its days are those of UTC."""
        return self.timezone == "UTC"


def checked(
    now: datetime,
    begins: str | None = None,
    ends: str | None = None,
    *,
    by: str | None = None,
    currency: str | None = None,
    product: str | None = None,
    channel: str | None = None,
    timezone: str | None = None,
) -> Ask:
    """Return the question in these words; raises `Invalid`, which names the word that is wrong.

    A moment is a date (its midnight) or an ISO time, in `timezone` unless it says its own. Without `ends` the period goes
    up to now, without `begins` it has 30 days. The parameters are called `from` and `to` outside.
    """
    zone = _zone(timezone or "UTC")
    until = now.astimezone(UTC) if ends is None else _moment(ends, zone, "to")
    since = until - timedelta(days=DAYS_BEFORE) if begins is None else _moment(begins, zone, "from")
    if since >= until:
        raise Invalid("from must be before to", param="from")
    if by is not None and by not in KINDS:
        raise Invalid(f"by is one of {', '.join(KINDS)}, not {by!r}", param="by")
    if currency is not None and currency not in money.THEIRS and not money.is_currency(currency):
        raise Invalid(f"{currency!r} is not a currency: write it in lower case, as in usd", param="currency")
    if by == "day" and (timezone or "UTC") != "UTC" and until - since > timedelta(days=LOCAL_DAYS_MAX):
        raise Invalid(f"days of {timezone} are counted for at most {LOCAL_DAYS_MAX} days at once", param="from")
    return Ask(since, until, by, currency, product, channel, timezone or "UTC")


def _zone(name: str) -> tzinfo:
    if name == "UTC":
        return UTC
    try:
        return ZoneInfo(name)
    except (KeyError, ValueError, OSError):
        raise Invalid(f"{name!r} is not a time zone: name it as in Europe/Warsaw", param="timezone") from None


def _moment(text: str, zone: tzinfo, param: str) -> datetime:
    """Read a date or a time."""
    try:
        if _DAY.fullmatch(text):
            moment = datetime.combine(date.fromisoformat(text), time(), zone)
        else:
            moment = datetime.fromisoformat(text.replace(" ", "+") if "T" in text else text)  # a plus nobody escaped
            moment = moment if moment.tzinfo is not None else moment.replace(tzinfo=zone)
        moment = moment.astimezone(UTC)
    except (ValueError, OverflowError):
        raise Invalid(
            f"{param} is a date or a time, as in 2026-01-31 or 2026-01-31T12:00:00Z, not {text[:40]!r}", param=param
        ) from None
    if not EARLIEST <= moment <= LATEST:
        raise Invalid(f"{param} lies between {EARLIEST:%Y} and {LATEST:%Y}", param=param)
    return moment


def local_days(ask: Ask) -> list[Span]:
    """Return the days of the period in its time zone. A day that the clock is moved on has 23 or 25 hours."""
    zone = _zone(ask.timezone)
    spans = []
    begins = ask.begins
    while begins < ask.ends:
        day = begins.astimezone(zone).date()
        midnight = datetime.combine(day + timedelta(days=1), time(), zone).astimezone(UTC)
        ends = min(midnight, ask.ends)
        spans.append((day, begins, ends))
        begins = ends
    return spans
