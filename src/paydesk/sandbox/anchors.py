"""The anchor of a new subscription's billing cycle: a moment that was given, or the next occurrence of a day of the month."""

from __future__ import annotations

import calendar
from datetime import UTC, datetime

from .accounts import Account
from .errors import Json, invalid
from .params import Kind, fields, whole
from .periods import DAY_S
from .subscription_rows import interval_of, period_from

_PARTS = ("day_of_month", "hour", "minute", "month", "second")
ANCHOR_CONFIG: Kind = fields(
    {
        "day_of_month": whole(1, 31), "hour": whole(0, 23), "minute": whole(0, 59), "month": whole(1, 12),
        "second": whole(0, 59),
    },
    ("day_of_month",),
)  # fmt: skip
_LONGEST_YEARS = 9  # between two leap days there are at most eight


def future(moment: int, now: int, param: str) -> int:
    """A moment that is to come, within five years; others are refused."""
    if moment <= now:
        raise invalid(f"Invalid timestamp: {param} must be an integer Unix timestamp in the future.", param)
    if moment > now + 5 * 366 * DAY_S:
        raise invalid(f"Invalid timestamp: {param} can be at most five years in the future.", param)
    return moment


def anchor_of(
    account: Account, given: Json, trial: int | None, prices: list[Json], param: str = "billing_cycle_anchor{}"
) -> int | None:
    """The anchor that the parameters ask for, or None; refuses what cannot be one. `param` is how they are called."""
    now, config = account.clock.now_s(), given.get("billing_cycle_anchor_config")
    moment, begin = given.get("billing_cycle_anchor"), trial or now
    if config is not None and moment is not None:
        raise invalid("You may only specify one of these parameters: billing_cycle_anchor, billing_cycle_anchor_config.",
                      param.format("_config"))  # fmt: skip
    if config is not None:
        return _of_config(config, now, prices, param.format("_config"))
    if moment is None:
        return None
    future(moment, now, param.format(""))
    if any(moment > period_from(begin, price, begin)[1] for price in prices):
        raise invalid("billing_cycle_anchor cannot be later than the next natural billing date of the price.",
                      param.format(""))  # fmt: skip
    return int(moment)


def _of_config(config: Json, now: int, prices: list[Json], param: str) -> int:
    months = {"month": 1, "year": 12}
    intervals = [interval_of(price) for price in prices]
    if any(interval not in months for interval, _ in intervals):
        raise invalid("`billing_cycle_anchor_config` is only valid with monthly and yearly price intervals.", param)
    return next_occurrence(config, now, min(count * months[interval] for interval, count in intervals))


def next_occurrence(config: Json, now: int, months: int) -> int:
    """The first moment after `now` that the config describes, in steps of so many months from the month of `now`.

    A month without the day is passed over; where none of them has it, the last day stands for it. What the config leaves
    out of the time is that of `now`.
    """
    begin = datetime.fromtimestamp(now, UTC)
    time = {name: config[name] for name in ("hour", "minute", "second") if config.get(name) is not None}
    first = begin.year * 12 + (config.get("month") or begin.month) - 1
    step = 12 if config.get("month") else min(months, 12)
    for longest in (config["day_of_month"], 28):
        for count in range(0, _LONGEST_YEARS * 12, step):
            year, month = divmod(first + count, 12)
            last = calendar.monthrange(year, month + 1)[1]
            day = min(config["day_of_month"], last)
            found = begin.replace(year=year, month=month + 1, day=day, **time)
            if last >= longest and found > begin:
                return int(found.timestamp())
    raise AssertionError("every month has 28 days")


def shown_config(given: Json) -> Json | None:
    """The field `billing_cycle_anchor_config` of a new subscription."""
    config = given.get("billing_cycle_anchor_config")
    return {name: config.get(name) for name in _PARTS} if config else None
