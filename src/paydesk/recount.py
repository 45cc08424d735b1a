"""Recounting: what things are worth, worked out anew from what was sold, paid and given back, beside what is stored.

Whoever changes terms, a payment, a refund, a dispute, a grant or a lot behind the ledger's back makes the two differ, and
the first row that does is named. The rules are the ones that settled it (`case`, `entitlements`, `ledger.expiry`); they
stand nowhere twice. Orders are read a thousand at a time with everything that belongs to them, so that the longest
list of orders needs no more memory than a short one.
"""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, field
from datetime import datetime, timedelta
from typing import Any

from paydesk import billing, bills, books, cases, entitlements, subscriptions
from paydesk.books import columns
from paydesk.case import Case, Returned, balance_moves, money_of, returned_of, worth
from paydesk.facts import BalanceIs
from paydesk.ledger import MONEY_MOVES, Source, expiry, money_unit
from paydesk.lots import DEBT
from paydesk.store import Record, Tx
from paydesk.subscriptions import Bill, Invoice

AT_ONCE = 1_000
"""Few enough that what was read is forgotten before Python's collector looks for what can be forgotten."""

Billed = tuple[Mapping[str, datetime], Invoice]
"""An invoice that bills an order, and until when the lines of its subscription ran (`subscriptions.runs`)."""


WORTH = "a source is worth what its terms and the money of its order say"
PAID = "an order was paid when its payment was"
ENTITLED = "a grant is what its source gives"
LIVES = "a lot lies with the person of its source and lives by its terms"

COUNTED = {"credits": ("quantity", "amount"), "pass": ("quantity", "days"), "feature": ("quantity",),
           "role": ("quantity",), "member": ("quantity",)}  # fmt: skip
"""The numbers in the terms of something sold, by its kind."""

ORDERS = f"SELECT id FROM orders WHERE id > $1 ORDER BY id LIMIT {AT_ONCE}"

GIFTS = f"""
SELECT id FROM source WHERE order_id IS NULL AND subscription_id IS NULL AND id > $1 ORDER BY id LIMIT {AT_ONCE}
"""

SUBSCRIPTIONS = f"SELECT id FROM subscription WHERE id > $1 ORDER BY id LIMIT {AT_ONCE}"

BALANCES = """
SELECT id, payment_id, kind, about, amount, fee, net, currency, created_at FROM balance_transaction
WHERE payment_id = ANY($1::text[])
"""

GRANTS = "SELECT source, customer_id, kind, feature, since, seconds, until FROM grant_ WHERE source = ANY($1::text[])"

LOTS = """
SELECT l.id, l.source, l.priority, l.free, l.expires_at, a.owner, a.unit, a.kind
FROM lot l LEFT JOIN account a ON a.id = l.account_id
WHERE l.source = ANY($1::text[]) ORDER BY l.id
"""

REVIVED = """
SELECT n.lot, n.source, e.at, t.lot_id, o.source, t.expires_at - t.at
FROM unnest($1::text[], $2::text[], $3::int[]) AS n (lot, source, revision)
JOIN LATERAL (SELECT at FROM entry WHERE source = n.source AND revision = n.revision LIMIT 1) e ON true
LEFT JOIN taken t ON t.source = n.source LEFT JOIN lot o ON o.id = t.lot_id
"""
"""When lots were made for what came back, and what life there was to come back: that of each lot that it was taken from."""


@dataclass(slots=True)
class Recount:
    """A recount in a transaction whose snapshot stands still. `findings`: of each promise the first row that breaks it."""

    tx: Tx
    findings: dict[str, str | None] = field(default_factory=lambda: dict.fromkeys((WORTH, PAID, ENTITLED, LIVES)))

    async def run(self) -> dict[str, str | None]:
        """Recount everything that was sold or given; return what was found."""
        last = ""
        while ids := [row[0] for row in await self.tx.fetch(ORDERS, last)]:
            await self._recount_orders(ids)
            last = ids[-1]
        last = ""
        while ids := [row[0] for row in await self.tx.fetch(GIFTS, last)]:
            await self._recount_gifts(ids)
            last = ids[-1]
        last = ""
        while ids := [row[0] for row in await self.tx.fetch(SUBSCRIPTIONS, last)]:
            await self._recount_subscriptions(ids)
            last = ids[-1]
        return self.findings

    async def _recount_orders(self, ids: Sequence[str]) -> None:
        """Recount some orders with everything that belongs to them."""
        known, payers = await cases.load(self.tx, ids, ())
        sources = self._readable(await books.load_sources(self.tx, ids))
        balances: dict[str, list[BalanceIs]] = defaultdict(list)
        for row in await self.tx.fetch(BALANCES, list(payers)):
            fact = _balance(row, payers)
            balances[fact.order].append(fact)
        parts: dict[str, list[Source]] = defaultdict(list)
        for source in sources.values():
            parts[source.order or ""].append(source)
        billed = await self._billed(known.values())
        for id_ in ids:
            case = known[id_]
            self._note(PAID, _ill_bill(case, billed.get(id_)) if case.order.billed else _ill_paid(case))
            self._note(WORTH, _ill_worth(case, parts[id_], balances[id_], billed.get(id_)))
        await self._recount_given(sources)

    async def _billed(self, known: Iterable[Case]) -> dict[str, Billed]:
        """Return the invoices, with their subscriptions, that bill these orders."""
        wanted = [case.order.id for case in known if case.order.billed]
        found = await bills.load(self.tx, (), wanted) if wanted else {}
        billed: dict[str, Billed] = {}
        for bill in found.values():
            ran = subscriptions.runs(bill)
            billed |= {one.order: (ran, one) for one in bill.invoices.values()}
        return billed

    async def _recount_subscriptions(self, ids: Sequence[str]) -> None:
        """Recount what subscriptions give for as long as they last."""
        found = await bills.load(self.tx, ids)
        orders = {order for bill in found.values() for order in billing.recent_orders(bill)}
        known, _ = await cases.load(self.tx, orders, ())
        sources = self._readable(await books.load_sources(self.tx, (), (), ids))
        for source in sources.values():
            bill = billing.with_gone(found[source.subscription or ""], known)
            self._note(WORTH, _ill_lasting(source, bill))
        await self._recount_given(sources)

    async def _recount_gifts(self, ids: Sequence[str]) -> None:
        """Recount what was given for nothing: it is worth all that its terms say, for ever."""
        sources = self._readable(await books.load_sources(self.tx, (), ids))
        for id_ in sorted(sources):
            self._note(WORTH, _ill_gift(sources[id_]))
        await self._recount_given(sources)

    def _readable(self, sources: Mapping[str, Source]) -> dict[str, Source]:
        """Leave out the sources whose terms cannot be counted with, and name the first of them."""
        ill = {id_: bad for id_, source in sources.items() if (bad := _unreadable(source)) is not None}
        self._note(WORTH, min(ill.values(), default=None))
        return {id_: source for id_, source in sources.items() if id_ not in ill}

    async def _recount_given(self, sources: Mapping[str, Source]) -> None:
        """Compare entitlements and lots with the sources that gave them."""
        given = [one.id for one in sources.values() if one.kind in entitlements.KINDS]
        for row in await self.tx.fetch(GRANTS, given) if given else ():
            self._note(ENTITLED, _ill_grant(sources[row[0]], entitlements.Held(*row)))
        credit = [one.id for one in sources.values() if one.kind == "credits"]
        lots = await self.tx.fetch(LOTS, credit) if credit else []
        lives = await self._lives([row for row in lots if row[0] != row[1]], sources)
        for row in lots:
            self._note(LIVES, _ill_lot(row, sources[row[1]], lives.get(row[0])))

    async def _lives(self, lots: Sequence[Record], sources: Mapping[str, Source]) -> dict[str, set[datetime]]:
        """Return when lots that were made for credits which came back may end, by lot."""
        made = [place for row in lots if (place := _made_by(row[0])) is not None]
        rows = await self.tx.fetch(REVIVED, *columns(made)) if made else []
        ends: dict[str, set[datetime]] = defaultdict(set)
        owners = {row[0]: sources[row[1]] for row in lots}
        for lot, cause, at, taken_from, of, life in rows:
            source = owners[lot]
            days = source.terms.get("expires_days")
            if taken_from == DEBT and cause == source.id and days is not None:
                ends[lot].add(at + timedelta(days=int(days)))
            elif of == source.id and life is not None:
                ends[lot].add(at + life)
        return ends

    def _note(self, promise: str, finding: str | None) -> None:
        """Keep the first finding of each promise."""
        if finding is not None:
            self.findings[promise] = self.findings[promise] or finding


# --- pure from here --------------------------------------------------------------------------------------------------


def _balance(row: Record, payers: Mapping[str, str]) -> BalanceIs:
    """Return what a balance transaction told, as far as anything is worth something by it."""
    id_, payment, kind, about, amount, fee, net, currency, at = row
    return BalanceIs(at, id_, payers[payment], payment, kind, about, amount, fee, net, currency, None, None, at)


def _ill_paid(case: Case) -> str | None:
    """Say what is wrong with when and by what an order was paid."""
    order = case.order
    if order.paid_at is None:
        early = min((one.id for one in case.payments.values() if one.status == "succeeded"), default=None)
        return None if early is None else f"order {order.id} is not paid, and payment {early} has succeeded"
    payment = case.payments.get(order.paid_by or "")
    if payment is None:
        free = order.paid_by is not None and not order.paid_by.startswith("pi_")
        return None if free else f"order {order.id} is paid by {order.paid_by}, which is not a payment of it"
    if payment.status != "succeeded":
        return f"order {order.id} is paid by payment {payment.id}, which is {payment.status}"
    if payment.paid_at != order.paid_at:
        return f"order {order.id} was paid {order.paid_at}, its payment {payment.id} says {payment.paid_at}"
    return None


def _ill_bill(case: Case, billed: Billed | None) -> str | None:
    """Say what is wrong with when an order was paid that an invoice bills: the invoice says it."""
    order = case.order
    if billed is None:
        return f"order {order.id} is paid, and no invoice bills it" if order.paid_at is not None else None
    invoice = billed[1]
    due = (invoice.paid_at or invoice.created_at) if invoice.status == "paid" else None
    return (
        None
        if order.paid_at == due
        else f"order {order.id} was paid {order.paid_at}, its invoice {invoice.id} says {due}"
    )


def _ill_lasting(source: Source, bill: Bill) -> str | None:
    """Say what is wrong with something that a subscription gives for as long as it lasts."""
    due, own = billing.standing_of(bill, source), bill.subscription
    if source.customer != own.customer:
        return f"source {source.id}: of {source.customer}, but subscription {own.id} is of {own.customer}"
    if source.worth != int(due.since is not None):
        return f"source {source.id}: posted {source.worth}, worth {int(due.since is not None)} by subscription {own.id}"
    if due.since is not None and (source.since, source.until) != (due.since, due.until):
        told = f"{source.since} to {source.until}, but {due.since} to {due.until}"
        return f"source {source.id}: from {told} by subscription {own.id}"
    return None


def _ill_worth(case: Case, parts: Iterable[Source], balances: Iterable[BalanceIs], billed: Billed | None) -> str | None:
    """Name the first source of an order that is not worth what it should be, or should be there and is not."""
    due, returned = _money_due(case, balances), returned_of(case)
    bad = [
        _ill_money(source, due.pop(source.id, None))
        if source.kind in MONEY_MOVES
        else _ill_part(source, case, returned, billed)
        for source in parts
    ]
    bad += [f"source {id_}: not there, worth {one.amount} by {_teller(id_)}" for id_, one in due.items() if one.amount]
    return min((one for one in bad if one is not None), default=None)


@dataclass(slots=True)
class _Due:
    """What a source of money must be worth. `amount`: `None` where what it once was is not known any more."""

    kind: str
    currency: str
    amount: int | None
    since: datetime | None = None


def _money_due(case: Case, balances: Iterable[BalanceIs]) -> dict[str, _Due]:
    """Return what the sources of money of an order must be worth, by their ids."""
    due = {}
    for payment in case.payments.values():
        amount, since = money_of(case, payment.id)
        due[f"payment:{payment.id}"] = _Due("money", payment.currency, amount, since)
    for fact in balances:
        for kind, currency, amount in balance_moves(case, fact):
            # A dispute's amount may have changed since its exchange was posted.
            firm = currency == fact.currency or fact.about not in case.disputes
            due[f"{kind}:{fact.transaction}"] = _Due(kind, currency, amount if firm else None)
    return due


def _ill_money(source: Source, due: _Due | None) -> str | None:
    """Say what is wrong with a source of money."""
    if due is None:
        return f"source {source.id}: worth {source.worth}, and nothing tells of it" if source.worth else None
    if due.amount is not None and source.worth != due.amount:
        return f"source {source.id}: posted {source.worth}, worth {due.amount} by {_teller(source.id)}"
    if source.worth and (source.kind != due.kind or source.unit != money_unit(due.currency)):
        said = f"{due.kind} in {money_unit(due.currency)}"
        return f"source {source.id}: {source.kind} in {source.unit}, but {said} by {_teller(source.id)}"
    if source.kind == "money" and source.since != due.since:
        return f"source {source.id}: since {source.since}, but {due.since} by {_teller(source.id)}"
    return None


def _teller(source: str) -> str:
    """Return what tells how much a source of money is worth."""
    kind, _, about = source.partition(":")
    return f"{about} and what went back of it" if kind == "payment" else f"balance transaction {about}"


def _ill_part(source: Source, case: Case, returned: Returned, billed: Billed | None) -> str | None:
    """Say what is wrong with a thing that an order gives."""
    order = case.order
    if not source.id.startswith(f"{order.id}:"):
        return f"source {source.id}: it is not of order {order.id}"
    if source.customer != order.customer:
        return f"source {source.id}: of {source.customer}, but its order is of {order.customer}"
    if order.billed and (billed is None or not billing.brings(billed[1], source)):
        return f"source {source.id}: no line of an invoice brings it"
    due = billing.worth_of_cycle(*billed, case, source) if billed is not None else worth(source.terms, order, returned)
    if source.worth != due:
        return f"source {source.id}: posted {source.worth}, worth {due} by its terms and the money of its order"
    if source.since != order.paid_at:
        return f"source {source.id}: since {source.since}, but order {order.id} was paid {order.paid_at}"
    return None


def _ill_gift(source: Source) -> str | None:
    """Say what is wrong with something that was given for nothing: its name is that of an operation on a wallet."""
    if not source.id.startswith("op:"):
        return f"source {source.id}: it is of no order"
    due = source.terms["quantity"] * int(source.terms["amount"])
    return None if source.worth == due else f"source {source.id}: posted {source.worth}, worth {due} by its terms"


def _unreadable(source: Source) -> str | None:
    """Say why the terms of something sold or given cannot be counted with, or are of another thing than it is."""
    if source.kind in MONEY_MOVES:
        return None
    terms = source.terms
    try:
        said = (terms["kind"], terms.get("unit", source.unit))
        if said != (source.kind, source.unit):
            return f"source {source.id}: {source.kind} in {source.unit}, but {said[0]} in {said[1]} by its terms"
        for name in COUNTED.get(source.kind, ()):
            int(terms[name])
        if type(terms["quantity"]) is not int or (source.kind != "credits" and not terms["feature"]):
            return f"source {source.id}: its terms say neither how many nor what"
        int(terms.get("priority", 0))
        int(terms.get("expires_days") or 0)
        expiry(source)
    except (AttributeError, KeyError, OverflowError, TypeError, ValueError) as error:
        return f"source {source.id}: its terms cannot be read ({error!r})"
    return None


def _ill_grant(source: Source, held: entitlements.Held) -> str | None:
    """Say what is wrong with a grant. That it is there at all, or not, is proved elsewhere."""
    due = entitlements.held_by(source)
    if due is None or held == due:
        return None
    if held.since != due.since:
        return f"grant {held.source}: since {held.since}, but {due.since} by its source"
    return f"grant {held.source}: {_told(held)}, but its source gives {_told(due)}"


def _told(held: entitlements.Held) -> str:
    lasts = "for ever" if held.seconds is None else f"for {held.seconds} seconds"
    return f"{held.kind} {held.feature} to {held.customer} {lasts}"


# --- lots ------------------------------------------------------------------------------------------------------------


def _made_by(lot: str) -> tuple[str, str, int] | None:
    """Return (lot, source, revision) of a lot that was made when a source got back what had been taken from it."""
    source, _, rest = lot.rpartition("/")
    source, _, revision = source.rpartition("/")
    return (lot, source, int(revision)) if source and revision.isdecimal() and rest.isdecimal() else None


def _ill_lot(row: Record, source: Source, ends: set[datetime] | None) -> str | None:
    """Say what is wrong with a lot. `ends`: when one that was made for what came back may end, `None` for another."""
    id_, _, priority, free, expires_at, *place = row
    terms: Mapping[str, Any] = source.terms
    if place != [source.customer, source.unit, "wallet"]:
        owner, unit, kind = place
        return f"lot {id_}: in the {kind} of {owner} in {unit}, but its source is of {source.customer} in {source.unit}"
    due = (int(terms.get("priority", 0)), bool(terms.get("free", False)))
    if (priority, free) != due:
        return f"lot {id_}: priority {priority}, free {free}, but {due[0]} and {due[1]} by its terms"
    if id_ == source.id:
        end = expiry(source)
        return None if expires_at == end else f"lot {id_}: ends {_when(expires_at)}, but {_when(end)} by its terms"
    if ends is None:
        return f"lot {id_}: nothing that came back has made it"
    if expires_at not in ends:
        allowed = " or ".join(map(_when, sorted(ends)))
        return f"lot {id_}: ends {_when(expires_at)}, but {allowed} by what was taken"
    return None


def _when(moment: datetime | None) -> str:
    return "never" if moment is None else str(moment)
