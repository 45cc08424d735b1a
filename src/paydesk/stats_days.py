"""The figures of days: counted from the rows of money, kept for days that rest, counted anew for those that moved.

`FIGURES` is the one definition of every figure that can be added up. It counts any span of time from the rows
themselves. The whole days of UTC that it has counted are kept in `stats_day`, and their sums in `stats_month`.

Exactness does not depend on when that happens. Whoever writes a row that a figure is made of marks its day, by a
trigger, in the same transaction (`stats_mark`). Who asks takes marked days from the rows and all others from what is
kept, in one snapshot. `refresh` deletes the marks that it sees and only then counts: what is written meanwhile has a
mark that it did not see, and the day stays marked. So a crash, a late event and a refresh that never runs cost time,
and never a figure.
"""

from __future__ import annotations

import asyncio
import logging
import time
from collections.abc import Sequence
from dataclasses import dataclass
from datetime import UTC, date, datetime, timedelta
from typing import NamedTuple

from paydesk.books import columns
from paydesk.errors import StoreUnavailable
from paydesk.store import Record, Store, Tx

log = logging.getLogger("paydesk.stats")

LOCK = 0x73746174  # "stat"
DAYS_AT_ONCE = 31
REST_S = 5.0
REST_TIMES = 20
"""After a refresh the follower rests for so many times as long as it took: a busy day costs a twentieth of a core."""

DAY = timedelta(days=1)
WHOLE = "*"
"""Stands for every price together (an order with two prices counts once there), and for every channel together."""

FIGURES = """
WITH span AS (
    SELECT * FROM unnest($1::date[], $2::timestamptz[], $3::timestamptz[]) AS s (day, begins, ends)
), event AS MATERIALIZED (
    SELECT day, e.* FROM span CROSS JOIN LATERAL (
        SELECT 'gross' AS figure, currency, order_id, amount, 0::numeric AS before FROM payment
        WHERE paid_at >= begins AND paid_at < ends AND status = 'succeeded'
        UNION ALL SELECT 'failed', currency, order_id, amount, 0 FROM payment
        WHERE created_at >= begins AND created_at < ends
          AND (status = 'failed' OR (status = 'canceled' AND failure_code IS NOT NULL))
        UNION ALL SELECT 'refunded', currency, (SELECT order_id FROM payment p WHERE p.id = r.payment_id), amount,
            CASE WHEN $5 THEN (SELECT coalesce(sum(amount), 0) FROM refund e WHERE e.payment_id = r.payment_id
                AND status NOT IN ('failed', 'canceled') AND (e.created_at, e.id) < (r.created_at, r.id)) END
        FROM refund r WHERE created_at >= begins AND created_at < ends AND status NOT IN ('failed', 'canceled')
        UNION ALL SELECT 'dispute:' || status, currency, (SELECT order_id FROM payment p WHERE p.id = d.payment_id), amount,
            CASE WHEN $5 THEN (SELECT coalesce(sum(amount), 0) FROM dispute e WHERE e.payment_id = d.payment_id
                AND e.status = d.status AND (e.created_at, e.id) < (d.created_at, d.id)) END
        FROM dispute d WHERE created_at >= begins AND created_at < ends
        UNION ALL SELECT 'fees', currency, (SELECT order_id FROM payment p WHERE p.id = b.payment_id), fee,
            CASE WHEN $5 THEN (SELECT coalesce(sum(fee), 0) FROM balance_transaction e WHERE e.payment_id = b.payment_id
                AND (e.created_at, e.id) < (b.created_at, b.id)) END
        FROM balance_transaction b WHERE created_at >= begins AND created_at < ends AND fee <> 0
        UNION ALL SELECT 'order:' || status, CASE WHEN paid_by LIKE 'stars\\_%' THEN 'xtr'
            WHEN paid_by LIKE 'premium\\_%' THEN 'xdp' ELSE currency END, id,
            CASE WHEN paid_by LIKE 'stars\\_%' THEN stars WHEN paid_by LIKE 'premium\\_%' THEN 1 ELSE amount END, 0
        FROM orders WHERE created_at >= begins AND created_at < ends
        OFFSET 0) e
), sold AS MATERIALIZED (
    SELECT order_id, (SELECT coalesce(channel, '') FROM orders o WHERE o.id = order_id) AS channel
    FROM (SELECT DISTINCT order_id FROM event) e
), weighed AS (
    SELECT order_id, price, place, weight, sum(weight) OVER (PARTITION BY order_id) AS total
    FROM sold CROSS JOIN LATERAL (
        SELECT coalesce(price_key, '') AS price, sum(quantity::numeric * unit_amount) AS weight, min(position) AS place
        FROM order_line l WHERE l.order_id = sold.order_id GROUP BY 1 OFFSET 0) l
    WHERE $5
), share AS (
    SELECT order_id, price, weight, total, sum(weight) OVER (PARTITION BY order_id ORDER BY place) AS upto,
        row_number() OVER (PARTITION BY order_id ORDER BY place) AS rank
    FROM weighed
), part AS (
    SELECT day, '*' AS price, figure, currency, order_id, amount FROM event WHERE $4
    UNION ALL SELECT day, coalesce(s.price, ''), figure, currency, order_id, CASE
            WHEN s.total IS NULL OR s.weight = s.total AND s.total > 0 THEN amount
            WHEN s.total = 0 THEN CASE s.rank WHEN 1 THEN amount ELSE 0 END
            ELSE (div((before + amount) * s.upto, s.total) - div((before + amount) * (s.upto - s.weight), s.total)
                - div(before * s.upto, s.total) + div(before * (s.upto - s.weight), s.total))::bigint END
    FROM event LEFT JOIN share s USING (order_id) WHERE $5
), system AS (
    SELECT id, unit, kind FROM account WHERE owner = 'system' AND kind IN ('sold', 'spent', 'expired')
)
SELECT day, price, figure, 'money:' || currency AS unit, coalesce(channel, '*') AS channel, count(*) AS number,
    sum(amount)::bigint AS amount
FROM part JOIN sold USING (order_id)
GROUP BY GROUPING SETS ((day, price, figure, currency, channel), (day, price, figure, currency))
UNION ALL SELECT day, '*', CASE WHEN a.kind <> 'sold' THEN a.kind WHEN l.amount < 0 THEN 'granted' ELSE 'clawed_back' END,
    a.unit, '*', count(*), sum(CASE a.kind WHEN 'sold' THEN abs(l.amount) ELSE l.amount END)::bigint
FROM span CROSS JOIN LATERAL (
    SELECT l.account, l.amount
    FROM entry, LATERAL (VALUES (to_account, entry.amount), (from_account, -entry.amount)) AS l (account, amount)
    WHERE at >= begins AND at < ends AND l.account = ANY(ARRAY(SELECT id FROM system)) OFFSET 0) l
JOIN system a ON a.id = l.account WHERE $4 GROUP BY 1, 3, 4
"""
"""Every figure of the spans ($1: their days, $2 and $3: from when to when), of all prices ($4) and of each one ($5).

`OFFSET 0` lets each span, and each order, be looked up by an index: the planner cannot know how few they are.

A payment's amount belongs to the prices of its order as they cost; the shares add up to it exactly. What goes back in
parts is shared by what has gone back with the part (`before` and itself) less what had gone back before: together the
parts give back what each price brought, to the cent. So a part's share depends on the parts before it. A figure is of the
day on which what it tells happened. What leaves `sold` was granted, what enters it was clawed back.
"""

KEPT = """
SELECT {label}, figure, unit, sum(number)::bigint, sum(amount)::bigint FROM (
    SELECT * FROM stats_day WHERE day = ANY($1::date[]) AND {part}
    UNION ALL SELECT * FROM stats_month WHERE month = ANY($2::date[]) AND {part}) k
WHERE ($3::text IS NULL OR unit = $3) AND ($4::text IS NULL OR channel = $4) AND ($5::text[] IS NULL OR price = ANY($5))
GROUP BY 1, 2, 3
"""

COUNTED = f"""
SELECT {{label}}, figure, unit, sum(number)::bigint, sum(amount)::bigint FROM ({FIGURES}) f
WHERE {{part}} AND ($6::text IS NULL OR unit = $6) AND ($7::text IS NULL OR channel = $7)
  AND ($8::text[] IS NULL OR price = ANY($8))
GROUP BY 1, 2, 3
"""

LABELS = {None: "NULL::text", "day": "day::text", "product": "price", "channel": "channel"}
Span = tuple[date, datetime, datetime]
"""A part of a day: its name, from when, and to when."""


class Sum(NamedTuple):
    """A figure: how often, and how much, of a unit such as `money:usd` or `credits`; `label` is what it is told by."""

    label: str | None
    figure: str
    unit: str
    number: int
    amount: int


@dataclass(frozen=True, slots=True)
class Wanted:
    """What is asked for: `by` day, product (told by price), channel or `None`; of one unit, channel, some prices."""

    by: str | None = None
    unit: str | None = None
    channel: str | None = None
    prices: tuple[str, ...] | None = None

    @property
    def whole(self) -> bool:
        """Say whether no price is told from another."""
        return self.by != "product" and self.prices is None

    def sql(self, statement: str) -> str:
        """Return a statement that tells what is asked for by its label, from the rows that have it."""
        prices = f"price = '{WHOLE}'" if self.whole else f"price <> '{WHOLE}'"
        together = self.by != "channel" and self.channel is None
        channels = f"channel = '{WHOLE}'" if together else f"channel <> '{WHOLE}'"
        return statement.format(label=LABELS[self.by], part=f"{prices} AND {channels}")


@dataclass(frozen=True, slots=True)
class Cut:
    """A period cut into whole days of UTC, which are kept, from `first` to before `last`, and the parts around them."""

    first: date
    last: date
    parts: tuple[Span, ...]


def cut(begins: datetime, ends: datetime) -> Cut:
    """Cut a period.

    >>> cut(datetime(2026, 1, 1, 12, tzinfo=UTC), datetime(2026, 1, 3, tzinfo=UTC)).first
    datetime.date(2026, 1, 2)
    """
    first, last = _midnight(begins + DAY - timedelta(microseconds=1)), _midnight(ends)
    if first >= last:
        return Cut(first.date(), first.date(), tuple(_days_between(begins, ends)))
    around = [*_days_between(begins, first), *_days_between(last, ends)]
    return Cut(first.date(), last.date(), tuple(around))


def _midnight(moment: datetime) -> datetime:
    return moment.astimezone(UTC).replace(hour=0, minute=0, second=0, microsecond=0)


def _days_between(begins: datetime, ends: datetime) -> list[Span]:
    """Return a period day by day of UTC."""
    spans = []
    while begins < ends:
        until = min(_midnight(begins) + DAY, ends)
        spans.append((begins.astimezone(UTC).date(), begins, until))
        begins = until
    return spans


def whole_day(day: date) -> Span:
    """Return a day of UTC."""
    begins = datetime(day.year, day.month, day.day, tzinfo=UTC)
    return day, begins, begins + DAY


# --- asking ----------------------------------------------------------------------------------------------------------


async def stand_still(tx: Tx) -> None:
    """Let every statement of a transaction see the same moment. To be called before any of them."""
    await tx.execute("SET TRANSACTION ISOLATION LEVEL REPEATABLE READ, READ ONLY")


async def sums(tx: Tx, begins: datetime, ends: datetime, wanted: Wanted) -> list[Sum]:
    """Return the sums of a period, exact in the snapshot of `tx`, which stands still. A label may come twice."""
    period = cut(begins, ends)
    rows = await tx.fetch(
        "SELECT DISTINCT day FROM stats_mark WHERE day >= $1 AND day < $2 ORDER BY day", period.first, period.last
    )
    marked = [row[0] for row in rows]
    days, months = _kept(period, marked, by_day=wanted.by == "day")
    kept = await tx.fetch(wanted.sql(KEPT), days, months, wanted.unit, wanted.channel, wanted.prices)
    counted = await count(tx, [*period.parts, *map(whole_day, marked)], wanted)
    return [*(Sum(*row) for row in kept), *counted]


def _kept(period: Cut, marked: Sequence[date], *, by_day: bool) -> tuple[list[date], list[date]]:
    """Return the days that are kept, and the first days of the whole months that are: of these no day is named."""
    moved = set(marked)
    days, months, day = [], [], period.first
    while day < period.last:
        after = _next(day)
        inside = [day + n * DAY for n in range((min(after, period.last) - day).days)]
        if not by_day and day.day == 1 and after <= period.last and moved.isdisjoint(inside):
            months.append(day)
        else:
            days += [one for one in inside if one not in moved]
        day = after
    return days, months


def _next(day: date) -> date:
    """Return the first day of the month after that of `day`."""
    return (day.replace(day=1) + 31 * DAY).replace(day=1)


async def count(tx: Tx, spans: Sequence[Span], wanted: Wanted) -> list[Sum]:
    """Return the sums of spans, counted from the rows themselves."""
    if not spans:
        return []
    await tx.execute("SET LOCAL jit = off")
    rows = await tx.fetch(
        wanted.sql(COUNTED), *columns(spans), wanted.whole, not wanted.whole, wanted.unit, wanted.channel, wanted.prices
    )
    return [Sum(*row) for row in rows]


# --- keeping ---------------------------------------------------------------------------------------------------------


async def refresh(store: Store) -> int:
    """Count marked days anew and keep what comes of it; return how many, at most 31: call it again until it is 0.

    Returns 0 while another process does it.
    """
    if not await store.fetchval("SELECT EXISTS (SELECT FROM stats_mark)"):
        return 0
    async with store.transaction() as tx:
        if not await tx.fetchval("SELECT pg_try_advisory_xact_lock($1)", LOCK):
            return 0
        await tx.execute("SET LOCAL jit = off")
        await tx.execute("SET LOCAL statement_timeout = 0")
        days = sorted({row[0] for row in await tx.fetch(TAKE_MARKS, DAYS_AT_ONCE)})
        await tx.execute("DELETE FROM stats_day WHERE day = ANY($1::date[])", days)
        # A new statement: it sees whatever the marks that were taken told of.
        await tx.execute(f"INSERT INTO stats_day {FIGURES}", *columns(map(whole_day, days)), True, True)
        months = sorted({day.replace(day=1) for day in days})
        inside = [month + n * DAY for month in months for n in range((_next(month) - month).days)]
        await tx.execute("DELETE FROM stats_month WHERE month = ANY($1::date[])", months)
        await tx.execute(f"INSERT INTO stats_month {MONTHS} WHERE day = ANY($1::date[]) {BY_MONTH}", inside)
        return len(days)


MONTHS = """
SELECT date_trunc('month', day)::date AS month, price, figure, unit, channel, sum(number)::bigint AS number,
    sum(amount)::bigint AS amount
FROM stats_day
"""

BY_MONTH = "GROUP BY 1, 2, 3, 4, 5"

TAKE_MARKS = """
DELETE FROM stats_mark WHERE day IN (SELECT DISTINCT day FROM stats_mark ORDER BY day DESC LIMIT $1) RETURNING day
"""


async def follow(store: Store) -> None:
    """Refresh what is marked until cancelled. Nobody waits for it, and it takes little of the machine."""
    while True:
        begun_s = time.monotonic()
        try:
            done = await refresh(store)
        except StoreUnavailable as error:
            log.warning("statistics wait: %s", error)
            done = 0
        except Exception:
            log.exception("statistics: a refresh failed")
            done = 0
        taken_s = time.monotonic() - begun_s
        await asyncio.sleep(taken_s if done == DAYS_AT_ONCE else max(REST_S, REST_TIMES * taken_s))


# --- proving ---------------------------------------------------------------------------------------------------------

DIFFERENCES = f"""
SELECT day, price, figure, unit, channel, k.number, k.amount, c.number, c.amount
FROM (SELECT * FROM stats_day WHERE day = ANY($1::date[])) k
FULL JOIN ({FIGURES}) c USING (day, price, figure, unit, channel)
WHERE (k.number, k.amount) IS DISTINCT FROM (c.number, c.amount) ORDER BY 1, 2, 3, 4, 5 LIMIT 1
"""

MONTH_DIFFERENCES = f"""
SELECT month, price, figure, unit, channel, k.number, k.amount, c.number, c.amount
FROM stats_month k FULL JOIN ({MONTHS} {BY_MONTH}) c USING (month, price, figure, unit, channel)
WHERE (k.number, k.amount) IS DISTINCT FROM (c.number, c.amount) ORDER BY 1, 2, 3, 4, 5 LIMIT 1
"""
"""A month is the sum of its days as they are kept, marked or not."""

KEPT_DAYS = """
SELECT day FROM (
    SELECT day FROM stats_day UNION SELECT (created_at AT TIME ZONE 'UTC')::date FROM orders
    UNION SELECT (paid_at AT TIME ZONE 'UTC')::date FROM payment WHERE paid_at IS NOT NULL
    UNION SELECT (created_at AT TIME ZONE 'UTC')::date FROM payment WHERE status IN ('failed', 'canceled')
    UNION SELECT (created_at AT TIME ZONE 'UTC')::date FROM refund
    UNION SELECT (created_at AT TIME ZONE 'UTC')::date FROM dispute
    UNION SELECT (created_at AT TIME ZONE 'UTC')::date FROM balance_transaction
    UNION SELECT (at AT TIME ZONE 'UTC')::date FROM entry) d
WHERE day NOT IN (SELECT day FROM stats_mark) ORDER BY 1
"""


@dataclass(frozen=True, slots=True)
class Checked:
    """How many days that rest were counted anew, and the first figure that is not as it is kept, or `None`."""

    days: int
    finding: str | None


async def check(store: Store) -> Checked:
    """Count every day that rests anew from the rows, and compare. Changes nothing and blocks nobody."""
    async with store.transaction() as tx:
        await stand_still(tx)
        await tx.execute("SET LOCAL statement_timeout = 0")
        days = [row[0] for row in await tx.fetch(KEPT_DAYS)]
        await tx.execute("SET LOCAL jit = off")
        for place in range(0, len(days), DAYS_AT_ONCE):
            some = days[place : place + DAYS_AT_ONCE]
            row = await tx.fetchrow(DIFFERENCES, *columns(map(whole_day, some)), True, True)
            if row is not None:
                return Checked(len(days), _told(row))
        row = await tx.fetchrow(MONTH_DIFFERENCES)
        if row is not None:
            return Checked(len(days), _told(row))
    return Checked(len(days), None)


def _told(row: Record) -> str:
    day, price, figure, unit, channel, kept_number, kept_amount, number, amount = row
    where = f"{day}, {figure} in {unit}, price {price or 'none'}, channel {channel or 'none'}"
    return f"{where}: kept is {kept_amount or 0} in {kept_number or 0}, counted {amount or 0} in {number or 0}"
