"""Statistics of subscriptions: how many there are, come and go, and what they bring in a month (MRR).

MRR follows what Stripe's own reports count: subscriptions that are `active` or `past_due`, without trials and taxes.
What is paused is not billed and not counted. It is before discounts, which are not kept with a subscription. Each item
counts what it costs times its quantity, brought to a month: a year has twelve of them, and a month 365 ÷ 12 days.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from datetime import datetime
from decimal import ROUND_HALF_UP, Decimal
from fractions import Fraction
from typing import Any

from paydesk.catalog import Price
from paydesk.clock import iso
from paydesk.shares import rate
from paydesk.store import Record, Store, Tx

PAYING = ("active", "past_due")
MONTH_DAYS = Fraction(365, 12)
MONTHS = {"month": Fraction(1), "year": Fraction(12), "week": 7 / MONTH_DAYS, "day": 1 / MONTH_DAYS}
"""How many months each interval has."""

DAYS = {"month": (28, 31), "year": (365, 366), "week": (7, 7), "day": (1, 1)}
"""How many days each interval has, at least and at most."""

COUNTS = """
WITH own AS (
    SELECT started_at, CASE WHEN status = 'canceled' THEN coalesce(ended_at, asked_at) END AS over, status
    FROM subscription WHERE status NOT IN ('incomplete', 'incomplete_expired')
)
SELECT count(*) FILTER (WHERE started_at < $2 AND coalesce(over >= $2, true)),
    count(*) FILTER (WHERE started_at >= $1 AND started_at < $2),
    count(*) FILTER (WHERE over >= $1 AND over < $2),
    count(*) FILTER (WHERE started_at < $1 AND coalesce(over >= $1, true)),
    count(*) FILTER (WHERE started_at < $1 AND over >= $1 AND over < $2),
    count(*) FILTER (WHERE status = 'trialing'), count(*) FILTER (WHERE status = 'past_due')
FROM own
"""

ITEMS = """
SELECT i ->> 'key', i ->> 'currency', (i ->> 'amount')::bigint,
    round(extract(epoch FROM (i ->> 'end')::timestamptz - (i ->> 'start')::timestamptz) / 86400)::int,
    sum((i ->> 'quantity')::bigint)::bigint
FROM subscription s, jsonb_array_elements(s.items -> 'data') i
WHERE s.status = ANY($1::text[]) AND s.paused IS NULL AND ($2::text IS NULL OR s.customer_id = $2)
  AND i ->> 'amount' IS NOT NULL
GROUP BY 1, 2, 3, 4
"""

PERSON = """
SELECT status, cancel_at, paused,
    (SELECT min((i ->> 'end')::timestamptz) FROM jsonb_array_elements(items -> 'data') i) AS renews_at
FROM subscription WHERE customer_id = $1 AND status NOT IN ('incomplete', 'incomplete_expired')
"""

PAID = """
SELECT p.currency, sum(p.amount)::bigint, coalesce(sum(r.amount), 0)::bigint
FROM orders o JOIN payment p ON p.order_id = o.id LEFT JOIN LATERAL (
    SELECT sum(amount) AS amount FROM refund WHERE payment_id = p.id AND status NOT IN ('failed', 'canceled')) r ON true
WHERE o.customer_id = $1 AND o.mode <> 'payment' AND p.status = 'succeeded' GROUP BY 1 ORDER BY 1
"""


@dataclass(frozen=True, slots=True)
class Item:
    """Items that cost the same: `quantity` of them at `amount` each cycle; the cycle that they are in has `days`."""

    key: str | None
    currency: str
    amount: int
    days: int
    quantity: int


def months_of(days: int, price: Price | None) -> Fraction:
    """Return how many months a cycle has, of so many `days` and by its `price`, which may have changed since.

    >>> months_of(31, None), months_of(91, None), months_of(365, None), months_of(14, None) == 14 / MONTH_DAYS
    (Fraction(1, 1), Fraction(3, 1), Fraction(12, 1), True)
    """
    if price is not None and price.interval is not None:
        least, most = DAYS[price.interval]
        if least * price.interval_count <= days <= most * price.interval_count:
            return MONTHS[price.interval] * price.interval_count
    months = round(days / MONTH_DAYS)
    if months and abs(days - months * MONTH_DAYS) <= Fraction(5, 2):
        return Fraction(months)
    return max(days, 1) / MONTH_DAYS


def mrr(items: Iterable[Item], prices: Mapping[str, Price]) -> dict[str, int]:
    """Return what items bring in a month, by currency, in its smallest unit, rounded half up once for each currency."""
    sums: dict[str, Fraction] = {}
    for item in items:
        monthly = item.amount * item.quantity / months_of(item.days, prices.get(item.key or ""))
        sums[item.currency] = sums.get(item.currency, Fraction(0)) + monthly
    return {currency: _rounded(sums[currency]) for currency in sorted(sums)}


def _rounded(amount: Fraction) -> int:
    return int(
        (Decimal(amount.numerator) / Decimal(amount.denominator)).quantize(Decimal(1), ROUND_HALF_UP)
    )  # amounts have far fewer digits than a decimal keeps


@dataclass(frozen=True, slots=True)
class Subscriptions:
    """Subscriptions of a period. One counts from when it began to when it ended; one that was never paid does not.

    `active`: begun and not over when the period ends, trials and overdue ones too. `new`, `churned`: begun, ended in
    it. `churn_rate`: of those that were active when it began, the share that ended in it. `trialing`, `past_due` and
    `mrr` are as of now, whatever the period.
    """

    active: int
    new: int
    churned: int
    active_before: int
    churned_before: int
    trialing: int
    past_due: int
    mrr: Mapping[str, int]

    @property
    def churn_rate(self) -> str | None:
        """The share of those that were active at the beginning which ended in the period; `None` of none."""
        return rate(self.churned_before, self.active_before)

    def as_json(self) -> dict[str, Any]:
        """Return it as the API shows it."""
        return {
            "active": self.active, "new": self.new, "churned": self.churned, "active_before": self.active_before,
            "churn_rate": self.churn_rate, "trialing": self.trialing, "past_due": self.past_due,
            "mrr": [{"currency": currency, "amount": amount} for currency, amount in self.mrr.items()],
        }  # fmt: skip


async def figures(tx: Tx, prices: Mapping[str, Price], begins: datetime, ends: datetime) -> Subscriptions:
    """Return the figures of a period; `prices` are the catalogue's."""
    row = await tx.fetchrow(COUNTS, begins, ends)
    if row is None:
        raise AssertionError("a count without a row")
    active, new, churned, before, churned_before, trialing, past_due = row
    monthly = await _mrr(tx, prices, None)
    return Subscriptions(active, new, churned, before, churned_before, trialing, past_due, monthly)


async def _mrr(tx: Tx, prices: Mapping[str, Price], customer: str | None) -> dict[str, int]:
    rows = await tx.fetch(ITEMS, list(PAYING), customer)
    return mrr([Item(*row) for row in rows], prices)


# --- one person ------------------------------------------------------------------------------------------------------


@dataclass(frozen=True, slots=True)
class Paid:
    """What somebody has paid for subscriptions in a currency, and what of it went back."""

    currency: str
    gross: int
    refunded: int


@dataclass(frozen=True, slots=True)
class Summary:
    """Somebody's subscriptions: how many in which status, what they bring in a month, what was paid for them.

    `ending`: how many of those that are not over will end by themselves. `renews_at`: when the next one renews.
    """

    statuses: Mapping[str, int]
    ending: int
    renews_at: datetime | None
    mrr: Mapping[str, int]
    paid: tuple[Paid, ...]

    @property
    def live(self) -> int:
        """How many are not over."""
        return sum(number for status, number in self.statuses.items() if status != "canceled")

    def as_json(self) -> dict[str, Any]:
        """Return it as plain values; amounts are in the smallest unit of their currency."""
        return {
            "total": sum(self.statuses.values()), "live": self.live, **{name: self.statuses.get(name, 0) for name in
            ("active", "trialing", "past_due", "unpaid", "paused", "canceled")}, "ending": self.ending,
            "renews_at": iso(self.renews_at),
            "mrr": [{"currency": currency, "amount": amount} for currency, amount in self.mrr.items()],
            "paid": [{"currency": p.currency, "gross": p.gross, "refunded": p.refunded} for p in self.paid],
        }  # fmt: skip


async def summary(store: Store, prices: Mapping[str, Price], customer: str) -> Summary:
    """Return somebody's subscriptions in figures; of nobody's, they are zero. `customer` is a current id."""
    async with store.transaction() as tx:
        await tx.execute("SET TRANSACTION ISOLATION LEVEL REPEATABLE READ, READ ONLY")
        own = await tx.fetch(PERSON, customer)
        paid = tuple(Paid(*row) for row in await tx.fetch(PAID, customer))
        return _summary(own, await _mrr(tx, prices, customer), paid)


def _summary(own: Iterable[Record], monthly: Mapping[str, int], paid: tuple[Paid, ...]) -> Summary:
    statuses: dict[str, int] = {}
    renewals = []
    ending = 0
    for row in own:
        statuses[row["status"]] = statuses.get(row["status"], 0) + 1
        live = row["status"] != "canceled"
        ending += live and row["cancel_at"] is not None
        if live and row["cancel_at"] is None and row["paused"] is None and row["renews_at"] is not None:
            renewals.append(row["renews_at"])
    return Summary(statuses, ending, min(renewals, default=None), monthly, paid)
