"""Statistics: what was earned, given back and kept, per currency; subscriptions; credits. `docs/statistics.md` in code.

Currencies are never added together. Amounts are integers in the smallest unit of their currency. Rates are decimal
strings with four places, such as `"0.0312"`, or `None` where there is nothing to divide by. What can be added up is
counted in `stats_days`; here is the arithmetic on top of it, which is pure, and the one function that asks: `report`.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from dataclasses import dataclass, field
from datetime import datetime, timedelta
from decimal import ROUND_HALF_UP, Decimal
from typing import Any

from paydesk import seal, stats_days, stats_subscriptions
from paydesk.case import OPEN_DISPUTE, OPEN_INQUIRY
from paydesk.catalog import Catalog
from paydesk.clock import iso
from paydesk.errors import Invalid
from paydesk.ledger import money_unit
from paydesk.shares import rate
from paydesk.stats_days import Sum, Wanted
from paydesk.stats_period import Ask as Ask
from paydesk.stats_period import checked as checked
from paydesk.stats_period import local_days
from paydesk.stats_subscriptions import Subscriptions
from paydesk.store import Store, Tx

MONEY = money_unit("")
WON, LOST = "won", "lost"
STATUSES = ("open", "pending", "paid", "fulfilled", "canceled", "expired", "refunded", "partially_refunded", "disputed")
"""The statuses of an order, as CONTRACT names them."""


# --- money -----------------------------------------------------------------------------------------------------------


@dataclass(slots=True)
class Disputes:
    """Disputes that were opened in a period, by how they stand now. `amount_lost` and `amount_open` are still gone.

    An `inquiry` is a bank's question before a dispute: it takes nothing.
    """

    won: int = 0
    lost: int = 0
    open: int = 0
    inquiries: int = 0
    amount_lost: int = 0
    amount_open: int = 0

    @property
    def opened(self) -> int:
        """How many there are, without inquiries."""
        return self.won + self.lost + self.open

    def add(self, status: str, number: int, amount: int) -> None:
        """Count disputes of a status. Of one that was prevented or closed as an inquiry nothing is gone."""
        if status == WON:
            self.won += number
        elif status == LOST:
            self.lost += number
            self.amount_lost += amount
        elif status in OPEN_DISPUTE:
            self.open += number
            self.amount_open += amount
        elif status in (*OPEN_INQUIRY, "warning_closed"):
            self.inquiries += number

    def as_json(self) -> dict[str, Any]:
        """Return them as the API shows them."""
        return {
            "opened": self.opened, "won": self.won, "lost": self.lost, "open": self.open, "inquiries": self.inquiries,
            "amount_lost": self.amount_lost, "amount_open": self.amount_open,
        }  # fmt: skip


@dataclass(slots=True)
class Money:
    """What happened in one currency. Each figure is of the day on which what it tells happened.

    `gross`: what `successful` payments brought. `refunded`: what `refunds` gave back, unless they failed or were
    canceled. `fees`: what Stripe has kept, less what it gave back, as far as its balance transactions are known; they
    are in the currency in which Stripe took them. `failed`: payments that were refused and never succeeded.
    `orders`: those made in the period, by their status now.
    """

    currency: str
    gross: int = 0
    refunded: int = 0
    fees: int = 0
    successful: int = 0
    failed: int = 0
    refunds: int = 0
    disputes: Disputes = field(default_factory=Disputes)
    orders: dict[str, int] = field(default_factory=lambda: dict.fromkeys(STATUSES, 0))

    @property
    def net(self) -> int:
        """What is left: gross, less refunds, lost disputes and fees. An open dispute is not lost yet."""
        return self.gross - self.refunded - self.disputes.amount_lost - self.fees

    @property
    def average_payment(self) -> int | None:
        """What a successful payment brings on average, rounded half up; `None` without any."""
        if not self.successful:
            return None
        return int((Decimal(self.gross) / self.successful).quantize(Decimal(1), ROUND_HALF_UP))

    def add(self, one: Sum) -> None:
        """Add a sum of this currency."""
        kind, _, detail = one.figure.partition(":")
        match kind:
            case "gross":
                self.gross += one.amount
                self.successful += one.number
            case "failed":
                self.failed += one.number
            case "refunded":
                self.refunded += one.amount
                self.refunds += one.number
            case "fees":
                self.fees += one.amount
            case "dispute":
                self.disputes.add(detail, one.number, one.amount)
            case "order":
                self.orders[detail] = self.orders.get(detail, 0) + one.number

    def as_json(self) -> dict[str, Any]:
        """Return it as the API shows it."""
        return {
            "currency": self.currency, "gross": self.gross, "refunded": self.refunded,
            "disputed": self.disputes.amount_lost, "fees": self.fees, "net": self.net, "successful": self.successful,
            "failed": self.failed, "success_rate": rate(self.successful, self.successful + self.failed),
            "refunds": self.refunds, "refund_rate": rate(self.refunds, self.successful),
            "refund_rate_by_amount": rate(self.refunded, self.gross), "average_payment": self.average_payment,
            "disputes": self.disputes.as_json(), "orders": {"made": sum(self.orders.values()), **self.orders},
        }  # fmt: skip


@dataclass(frozen=True, slots=True)
class Row:
    """A row of a breakdown: its label (a day, product, channel or currency; `None`: without one) and its money."""

    label: str | None
    money: Money


def added(sums: Iterable[Sum], *, together: bool = False) -> list[Row]:
    """Return sums of money by label and currency, in the order of both; those without a label come last.

    All `together`, there is one row for each currency, without a label.
    """
    found: dict[tuple[str | None, str], Money] = {}
    for one in sums:
        if one.unit.startswith(MONEY):
            key = None if together else one.label, one.unit.removeprefix(MONEY)
            money = found.get(key)
            if money is None:
                money = found[key] = Money(key[1])
            money.add(one)
    return [Row(key[0], found[key]) for key in sorted(found, key=_place)]


def _place(key: tuple[str | None, str]) -> tuple[bool, str, str]:
    return key[0] is None, key[0] or "", key[1]


def relabelled(sums: Iterable[Sum], names: Mapping[str, str]) -> list[Sum]:
    """Return sums whose labels are said as people know them, by `names`; an empty one is `None`."""
    return [one._replace(label=names.get(one.label or "", one.label) or None) for one in sums]


# --- credits ---------------------------------------------------------------------------------------------------------


@dataclass(slots=True)
class Credits:
    """What happened to a unit of credits in a period, by the ledger, and how many people have now (`outstanding`).

    `granted`: sold or given. `clawed_back`: taken back because the money went back. `expired`: ended unspent.
    `outstanding`: in wallets and holds, less what is owed.
    """

    unit: str
    granted: int = 0
    spent: int = 0
    expired: int = 0
    clawed_back: int = 0
    outstanding: int = 0

    def as_json(self) -> dict[str, Any]:
        """Return it as the API shows it."""
        return {
            "unit": self.unit, "granted": self.granted, "spent": self.spent, "expired": self.expired,
            "clawed_back": self.clawed_back, "outstanding": self.outstanding,
        }  # fmt: skip


def credits_of(sums: Iterable[Sum], balances: Mapping[tuple[str, str], int]) -> list[Credits]:
    """Return the credits of a period by unit; `balances` are those of the system's accounts, by (unit, kind)."""
    found: dict[str, Credits] = {}
    for (unit, kind), balance in balances.items():
        if not unit.startswith(MONEY) and kind in ("sold", "spent", "expired"):
            found.setdefault(unit, Credits(unit)).outstanding -= balance
    for one in sums:
        if not one.unit.startswith(MONEY):
            own = found.setdefault(one.unit, Credits(one.unit))
            setattr(own, one.figure, getattr(own, one.figure) + one.amount)
    return [found[unit] for unit in sorted(found)]


# --- the report ------------------------------------------------------------------------------------------------------


@dataclass(frozen=True, slots=True)
class Report:
    """Statistics of a period: `totals` by currency, `data` by what was asked for.

    `subscriptions` and `credits` are of the whole desk: `None` where only a part of it was asked for.
    """

    ask: Ask
    totals: tuple[Money, ...]
    data: tuple[Row, ...]
    subscriptions: Subscriptions | None
    credits: tuple[Credits, ...] | None

    def as_json(self) -> dict[str, Any]:
        """Return it as the API shows it."""
        by = self.ask.by
        return {
            "from": iso(self.ask.begins), "to": iso(self.ask.ends), "timezone": self.ask.timezone, "by": by,
            "totals": [one.as_json() for one in self.totals],
            "data": [{**({by: row.label} if by else {}), **row.money.as_json()} for row in self.data],
            "subscriptions": None if self.subscriptions is None else self.subscriptions.as_json(),
            "credits": None if self.credits is None else [one.as_json() for one in self.credits],
        }  # fmt: skip


async def report(store: Store, catalog: Catalog, ask: Ask) -> Report:
    """Return the statistics that are asked for: all figures of one moment, exact.

    Raises `Invalid` for a product that was never sold.
    """
    async with store.transaction() as tx:
        await stats_days.stand_still(tx)
        names = await _products(tx, catalog)
        wanted = _wanted(ask, names)
        sums = await _sums(tx, ask, wanted, names)
        whole = (
            sums
            if ask.by not in ("product", "channel")
            else await stats_days.sums(tx, ask.begins, ask.ends, _apart(wanted))
        )
        totals = [row.money for row in added(whole, together=True)]
        data = added(sums) if ask.by not in (None, "currency") else [Row(one.currency, one) for one in totals]
        rows = tuple(data) if ask.by else ()
        if not ask.of_all:
            return Report(ask, tuple(totals), rows, None, None)
        subscriptions = await stats_subscriptions.figures(tx, catalog.prices, ask.begins, ask.ends)
        units = credits_of(whole, await seal.system_balances(tx))
    return Report(ask, tuple(totals), rows, subscriptions, tuple(units))


def _wanted(ask: Ask, names: Mapping[str, str]) -> Wanted:
    prices = None
    if ask.product is not None:
        prices = tuple(sorted(key for key, product in names.items() if product == ask.product))
        if not prices:
            raise Invalid(f"no product {ask.product} was ever sold", param="product")
    unit = None if ask.currency is None else money_unit(ask.currency)
    return Wanted(None if ask.by == "currency" else ask.by, unit, ask.channel, prices)


def _apart(wanted: Wanted) -> Wanted:
    """Return the same without telling products or channels apart: an order with two products counts once then."""
    return Wanted(None, wanted.unit, wanted.channel, wanted.prices)


async def _sums(tx: Tx, ask: Ask, wanted: Wanted, names: Mapping[str, str]) -> list[Sum]:
    if wanted.by == "day" and not ask.in_utc:
        return await stats_days.count(tx, local_days(ask), wanted)
    sums = await stats_days.sums(tx, ask.begins, ask.ends, wanted)
    if wanted.by in ("product", "channel"):
        return relabelled(sums, names if wanted.by == "product" else {})
    return sums


PRODUCTS = "SELECT key, product FROM price UNION SELECT key, terms ->> 'product' FROM plan WHERE terms ? 'product'"


async def _products(tx: Tx, catalog: Catalog) -> dict[str, str]:
    """Return the product of every price that is sold or was."""
    known = {row[0]: row[1] for row in await tx.fetch(PRODUCTS)}
    return known | {key: price.product for key, price in catalog.prices.items()}


def last_days(now: datetime, days: int = 30) -> Ask:
    """Return the question about so many days before now."""
    return Ask(now - timedelta(days=days), now)
