"""Purses: what the writer remembers of wallets, so that spending from them again takes one statement.

A purse is only a guess. The statement takes the same lock as everybody and compares before it writes: balance, lots,
person and the time must be as remembered, or nothing is written at all and the purse is forgotten. Whatever is not
plain spending from a purse that suffices goes the long way (`wallet.write`), which also says no.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from datetime import datetime
from typing import Any, Protocol

from paydesk import edge
from paydesk.books import columns
from paydesk.ledger import SYSTEM, Book
from paydesk.lots import FOREVER, Lot, order_of_spending
from paydesk.store.pool import ROLLED_BACK, TAKEN

PURSES_MAX = 100_000
LOTS_MAX = 20

SPEND = """
WITH person AS MATERIALIZED (
    SELECT c.id FROM customer c WHERE c.id = ANY($1::text[]) AND c.merged_into IS NULL AND c.merges = 0
      AND NOT EXISTS (SELECT FROM webhook_endpoint w WHERE w.id > '' AND w.disabled_at IS NULL
                      AND w.events && ARRAY['credits.spent','credits.*','*'])
    ORDER BY c.id FOR UPDATE
), changed_lot AS (
    UPDATE lot l SET remaining = n.after FROM unnest($2::text[], $3::bigint[], $4::bigint[]) AS n (id, before, after)
    WHERE (SELECT count(*) FROM person) = cardinality($1::text[]) AND l.id = n.id AND l.remaining = n.before
    RETURNING 1
), changed_account AS (
    UPDATE account a SET balance = n.after
    FROM unnest($5::bigint[], $6::bigint[], $7::bigint[], $8::bigint[]) AS n (id, before, after, mark)
    WHERE (SELECT count(*) FROM person) = cardinality($1::text[]) AND a.id = n.id AND a.balance = n.before
      AND a.low_mark IS NOT DISTINCT FROM n.mark
    RETURNING 1
), written AS (
    INSERT INTO entry (source, revision, reason, unit, from_account, to_account, amount, customer_id, memo,
                       balance_after, at)
    SELECT n.source, 0, 'spend', n.unit, n.wallet, n.spent, n.amount, n.person, n.memo, n.after, (SELECT desk_now())
    FROM unnest($9::text[], $10::text[], $11::bigint[], $12::bigint[], $13::bigint[], $14::text[], $15::text[],
                $16::bigint[]) AS n (source, unit, wallet, spent, amount, person, memo, after)
)
SELECT require((SELECT count(*) FROM changed_lot) = cardinality($2::text[])
           AND (SELECT count(*) FROM changed_account) = cardinality($5::bigint[]) AND desk_now() < $18
           AND NOT EXISTS (SELECT FROM entry e WHERE e.source = ANY($9::text[]))
           AND NOT EXISTS (SELECT FROM unnest($14::text[], $17::text[]) AS n (person, key)
                           JOIN idempotency_key k ON k.scope = n.person AND k.key = n.key)), desk_now()
"""
"""Locks first: nothing is changed before every person is locked. Then all of it, or an error and nothing.

Where somebody wants to hear of what is spent, nobody is found: the long way tells them (`w.id` lets an index be used).

The time is asked for once, not for every row: the function that tells it reads a table.

A name or key that something else has done before (a hold and its end, a gift, a payment) is none for a spend; a name that
has spent is taken anyway.
"""


class Spending(Protocol):
    """What is to be spent: see `wallet.Spend`."""

    @property
    def customer(self) -> str:
        """Whose credits."""

    @property
    def unit(self) -> str:
        """Of which unit."""

    @property
    def amount(self) -> int:
        """How many."""

    @property
    def key(self) -> str:
        """Under which key of theirs."""

    @property
    def memo(self) -> str | None:
        """A word of the caller's."""


@dataclass(slots=True)
class Purse:
    """A wallet as it was after the last batch: its accounts' ids, its balance, its lots in the order of spending.

    `low_mark` is the wallet's own, as it is stored. Whoever falls below it or the unit's has to be told, which goes the
    long way; those who were `told` know.
    """

    wallet: int
    spent: int
    balance: int
    lots: list[Lot]
    told: bool
    low_mark: int | None

    def mark(self, of_unit: int) -> int:
        """Return below what balance somebody has to be told."""
        return 0 if self.told else max(self.low_mark or 0, of_unit)


@dataclass(slots=True)
class _Plan:
    """What a batch does to one purse: its balance and what remains in its lots afterwards."""

    purse: Purse
    balance: int
    remaining: list[int]

    def take(self, amount: int, mark: int, now: datetime) -> int | None:
        """Take credits, soonest-ending first; return what can be spent after, `None` if that is less than `mark`, or 0."""
        alive = [place for place, lot in enumerate(self.purse.lots) if lot.alive(now)]
        after = sum(self.remaining[place] for place in alive) - amount
        if after < max(0, mark):
            return None
        self.balance -= amount
        for place in alive:
            share = min(amount, self.remaining[place])
            self.remaining[place] -= share
            amount -= share
            if amount == 0:
                break
        return after

    def soonest(self, now: datetime) -> datetime:
        """Return when the first of the lots counted on ends."""
        return min((lot.expires_at for lot in self.purse.lots if lot.expires_at and lot.alive(now)), default=FOREVER)

    def changes(self) -> list[tuple[str, int, int]]:
        """Return the lots that are different: id, before, after."""
        pairs = zip(self.purse.lots, self.remaining, strict=True)
        return [(lot.id, lot.remaining, after) for lot, after in pairs if after != lot.remaining]

    def adopt(self) -> None:
        """Let the purse be what was planned: it has been written."""
        self.purse.balance = self.balance
        for lot, after in zip(self.purse.lots, self.remaining, strict=True):
            lot.remaining = after
        self.purse.lots = [lot for lot in self.purse.lots if lot.remaining]


class Purses:
    """Remembers purses, the longest unused ones last to stay."""

    def __init__(self, marks: Callable[[str], int]) -> None:
        """`marks(unit)` is below what somebody has to be told: it is asked each time, for it may be edited."""
        self._marks = marks
        self._purses: dict[tuple[str, str], Purse] = {}

    def remember(self, customer: str, unit: str, book: Book) -> None:
        """Remember a wallet that a book has just been opened for."""
        wallet, spent = book.accounts.get((customer, unit, "wallet")), book.accounts.get((SYSTEM, unit, "spent"))
        if wallet is None or spent is None:
            return
        lots = sorted(
            (lot for lot in book.lots.values() if lot.account == wallet.id and lot.remaining), key=order_of_spending
        )
        if len(lots) > LOTS_MAX:
            return
        if len(self._purses) >= PURSES_MAX:
            del self._purses[next(iter(self._purses))]
        self._purses[customer, unit] = Purse(
            wallet.id, spent.id, wallet.balance or 0, lots, wallet.told_low, wallet.low_mark
        )

    def forget(self, customer: str, unit: str) -> None:
        """Forget a wallet that may have changed."""
        self._purses.pop((customer, unit), None)

    async def spend(self, connection: Any, wanted: Sequence[tuple[str, Spending]], now: datetime) -> list[Spent | None]:
        """Spend what purses suffice for, under the names given, in one statement that commits by itself.

        Returns what could be spent after each, or `None` for what has to go the long way: nothing was done about that.
        """
        batch = _Batch(now)
        afters = [
            batch.plan(self._purses.get((one.customer, one.unit)), name, one, self._marks(one.unit))
            for name, one in wanted
        ]
        if not batch.rows:
            return [None] * len(wanted)
        try:
            at = await batch.write(connection)
        except (*ROLLED_BACK, TAKEN):
            for key in batch.plans:
                self._purses.pop(key, None)
            return [None] * len(wanted)
        except BaseException:
            self._purses.clear()  # nobody knows what became of it
            raise
        for plan in batch.plans.values():
            plan.adopt()
        return [None if after is None else Spent(after, at) for after in afters]


@dataclass(frozen=True, slots=True)
class Spent:
    """What can be spent after a spend, and when it was."""

    balance: int
    at: datetime


class _Batch:
    """Decides in order, on copies: the purses change only when the statement has been carried out."""

    def __init__(self, now: datetime) -> None:
        self._now = now
        self._soonest = FOREVER
        self._refused: set[tuple[str, str]] = set()
        self.plans: dict[tuple[str, str], _Plan] = {}
        self.rows: list[tuple[object, ...]] = []

    def plan(self, purse: Purse | None, name: str, one: Spending, of_unit: int) -> int | None:
        """Plan a spend; return what can be spent after it, `None` if this purse cannot say (or could not before)."""
        key = (one.customer, one.unit)
        plan = self.plans.get(key)
        if purse is None or key in self._refused:
            return None
        if plan is None:
            plan = _Plan(purse, purse.balance, [lot.remaining for lot in purse.lots])
        after = plan.take(one.amount, purse.mark(of_unit), self._now)
        if after is None:
            self._refused.add(key)
            return None
        self.plans[key] = plan
        self._soonest = min(self._soonest, plan.soonest(self._now))
        self.rows.append(
            (name, one.unit, purse.wallet, purse.spent, one.amount, one.customer, one.memo, after, one.key)
        )
        return after

    async def write(self, connection: Any) -> datetime:
        """Carry the plans out, or raise and leave everything as it is."""
        people = sorted({customer for customer, _ in self.plans})
        plans = list(self.plans.values())
        lots = [change for plan in plans for change in plan.changes()]
        accounts = [(plan.purse.wallet, plan.purse.balance, plan.balance, plan.purse.low_mark) for plan in plans]
        edge.point("statement:before")
        row = await connection.fetchrow(
            SPEND, people, *columns(lots), *columns(accounts), *columns(self.rows), self._soonest
        )
        edge.point("statement:after")
        at: datetime = row[1]
        return at
