"""Purses: what the writer remembers of wallets, so that spending from them takes one statement.

A purse is only a guess, read without a lock. The statement takes the same lock as everybody and compares before it
writes: the wallet's row, the lots, the person and the time must be as remembered, or nothing is written at all and the
purse is forgotten. Whatever is not plain spending from a purse that suffices goes the long way (`wallet.write`), which
also says no.
"""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from datetime import datetime
from typing import Any, NamedTuple, Protocol

from paydesk import edge
from paydesk.books import LOT, columns
from paydesk.lots import FOREVER, Lot, order_of_spending
from paydesk.store.pool import CLASHED, ROLLED_BACK, TAKEN

PurseKey = tuple[str, str]
"""Whose, and of which unit."""

PURSES_MAX = 100_000
LOTS_MAX = 20
TRIES = 2
"""Another process may have spent from one of a batch's wallets: what was remembered is read again, once."""

HEARD = """
EXISTS (SELECT FROM webhook_endpoint w WHERE w.id > '' AND w.disabled_at IS NULL
        AND w.events && ARRAY['credits.spent','credits.*','*'])
"""
"""Somebody wants to hear of what is spent: only the long way tells them (`w.id` lets an index be used)."""

LOAD = f"""
SELECT a.owner, a.unit, a.id, s.id, a.balance, a.told_low, a.xmin, l.*
FROM unnest($1::text[], $2::text[]) AS k (owner, unit)
JOIN customer c ON c.id = k.owner AND c.merged_into IS NULL AND c.merges = 0
JOIN account a ON a.owner = k.owner AND a.unit = k.unit AND a.kind = 'wallet' AND a.low_mark IS NULL
JOIN account s ON s.owner = 'system' AND s.unit = k.unit AND s.kind = 'spent'
CROSS JOIN LATERAL (SELECT {LOT} FROM lot WHERE account_id = a.id AND NOT used_up AND remaining > 0
                    LIMIT {LOTS_MAX + 1}) AS l
WHERE NOT {HEARD}
"""
"""Those who can be spent from in one statement: nobody who was merged, nobody with a mark of their own."""

SPEND = f"""
WITH moment AS MATERIALIZED (SELECT desk_now() AS at), person AS MATERIALIZED (
    SELECT c.id FROM customer c
    WHERE c.id = ANY($1::text[]) AND c.merged_into IS NULL AND c.merges = 0 AND NOT {HEARD}
    ORDER BY c.id FOR UPDATE
), changed_lot AS (
    UPDATE lot l SET remaining = n.after FROM unnest($2::text[], $3::bigint[], $4::bigint[]) AS n (id, before, after)
    WHERE (SELECT count(*) FROM person) = cardinality($1::text[]) AND l.id = n.id AND l.remaining = n.before
    RETURNING 1
), changed_account AS (
    UPDATE account a SET balance = n.after FROM unnest($5::bigint[], $6::xid[], $7::bigint[]) AS n (id, version, after)
    WHERE (SELECT count(*) FROM person) = cardinality($1::text[]) AND a.id = n.id AND a.xmin = n.version
    RETURNING 1
), written AS (
    INSERT INTO entry (source, revision, reason, unit, from_account, to_account, amount, customer_id, memo,
                       balance_after, at)
    SELECT n.source, 0, 'spend', n.unit, n.wallet, n.spent, n.amount, n.person, n.memo, n.after, (SELECT at FROM moment)
    FROM unnest($8::text[], $9::text[], $10::bigint[], $11::bigint[], $12::bigint[], $13::text[], $14::text[],
                $15::bigint[]) AS n (source, unit, wallet, spent, amount, person, memo, after)
)
SELECT require((SELECT count(*) FROM changed_lot) = cardinality($2::text[])
           AND (SELECT count(*) FROM changed_account) = cardinality($5::bigint[]) AND moment.at < $17
           AND NOT EXISTS (SELECT FROM entry e WHERE e.source = ANY($8::text[]) AND e.reason <> 'spend')
           AND NOT EXISTS (SELECT FROM unnest($13::text[], $16::text[]) AS n (person, key)
                           JOIN idempotency_key k ON k.scope = n.person AND k.key = n.key)),
       moment.at, pg_current_xact_id()::xid
FROM moment
"""
"""Locks first: nothing is changed before every person is locked. Then all of it, or an error and nothing.

A wallet's row is a version of its own after each change (`xmin`): balance, mark and whatever goes with them are as they
were read, or the wallet is not found.

The time is asked for once: the function that tells it reads a table.

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
    """A wallet as it was after the last batch: its accounts' ids, its row's version, its lots in the order of spending.

    Whoever falls below the unit's mark has to be told, which goes the long way; those who were `told` know.
    """

    wallet: int
    spent: int
    balance: int
    told: bool
    version: int
    lots: list[Lot]


class _Plan:
    """What a batch does to one purse: what remains in its lots that can be spent, and of all of them together.

    Lots are used up one after the other: those before `_place` are empty, those behind it as they were.
    """

    __slots__ = ("_before", "_least", "_place", "lots", "purse", "remaining", "spendable")

    def __init__(self, purse: Purse, mark: int, now: datetime) -> None:
        """Plan nothing yet; less than `mark` must not be left, for then somebody has to be told."""
        self.purse = purse
        self.lots = [lot for lot in purse.lots if lot.alive(now)]
        self.remaining = [lot.remaining for lot in self.lots]
        self.spendable = self._before = sum(self.remaining)
        self._least = 0 if purse.told else mark
        self._place = 0

    def take(self, amount: int) -> int | None:
        """Take credits, soonest-ending first; return what can be spent after, `None` if that is too little."""
        after = self.spendable - amount
        if after < self._least:
            return None
        self.spendable = after
        remaining = self.remaining
        while amount > remaining[self._place]:
            amount -= remaining[self._place]
            remaining[self._place] = 0
            self._place += 1
        remaining[self._place] -= amount
        return after

    @property
    def soonest(self) -> datetime:
        """When the first of its lots ends: until then the plan holds."""
        return self.lots[0].expires_at or FOREVER

    @property
    def balance(self) -> int:
        """The wallet's balance after all that was taken; what has ended and was not swept yet is in it."""
        return self.purse.balance - (self._before - self.spendable)

    def changes(self) -> list[tuple[str, int, int]]:
        """Return the lots that are different: id, before, after."""
        used = self.lots[: self._place + 1]
        return [(lot.id, lot.remaining, after) for lot, after in zip(used, self.remaining, strict=False)]

    def adopt(self, version: int) -> None:
        """Let the purse be what was planned: it has been written, and its row is `version` now."""
        purse = self.purse
        purse.balance = self.balance
        purse.version = version
        for place in range(self._place + 1):
            self.lots[place].remaining = self.remaining[place]
        if not self.remaining[0]:
            purse.lots = [lot for lot in purse.lots if lot.remaining]


class Purses:
    """Remembers purses; when there are too many, those read first are forgotten."""

    def __init__(self, marks: Callable[[str], int]) -> None:
        """`marks(unit)` is below what somebody has to be told: it is asked each time, for it may be edited."""
        self._marks = marks
        self._purses: dict[PurseKey, Purse] = {}

    def forget(self, customer: str, unit: str) -> None:
        """Forget a wallet that may have changed."""
        self._purses.pop((customer, unit), None)

    async def spend(self, connection: Any, wanted: Sequence[tuple[str, Spending]], now: datetime) -> list[Spent | None]:
        """Spend what purses suffice for, under the names given, in one statement that commits by itself.

        Returns what could be spent after each, or `None` for what has to go the long way: nothing was done about that.
        """
        keys = [(one.customer, one.unit) for _, one in wanted]
        for _ in range(TRIES):
            await self._load(connection, keys)
            batch = _Batch(self._purses, self._marks, now)
            afters = [batch.plan(key, name, one) for key, (name, one) in zip(keys, wanted, strict=True)]
            if not batch.rows:
                break
            try:
                at = await batch.write(connection)
            except CLASHED:
                self._forget_all(batch)
            except (*ROLLED_BACK, TAKEN):
                self._forget_all(batch)
                break
            except BaseException:
                self._purses.clear()  # nobody knows what became of it
                raise
            else:
                return [None if after is None else Spent(after, at) for after in afters]
        return [None] * len(wanted)

    def _forget_all(self, batch: _Batch) -> None:
        for customer, unit in batch.plans:
            self.forget(customer, unit)

    async def _load(self, connection: Any, keys: Sequence[PurseKey]) -> None:
        """Read the purses that are not remembered."""
        unknown = set(keys).difference(self._purses)
        if not unknown:
            return
        edge.point("statement:before")
        rows = await connection.fetch(LOAD, *columns(sorted(unknown)))
        edge.point("statement:after")
        found: dict[PurseKey, list[Any]] = defaultdict(list)
        for row in rows:
            found[row[0], row[1]].append(row)
        for key, own in found.items():
            if len(own) <= LOTS_MAX:
                self._remember(key, _purse(own))

    def _remember(self, key: PurseKey, purse: Purse) -> None:
        if len(self._purses) >= PURSES_MAX:
            del self._purses[next(iter(self._purses))]
        self._purses[key] = purse


def _purse(rows: Sequence[Any]) -> Purse:
    """Return a purse from the rows of its lots."""
    _, _, wallet, spent, balance, told, version, *_ = rows[0]
    lots = sorted((Lot(*tuple(row)[7:]) for row in rows), key=order_of_spending)
    return Purse(wallet, spent, balance, told, version, lots)


class Spent(NamedTuple):
    """What can be spent after a spend, and when it was."""

    balance: int
    at: datetime


class _Batch:
    """Decides in order, on copies: the purses change only when the statement has been carried out."""

    def __init__(self, purses: dict[PurseKey, Purse], marks: Callable[[str], int], now: datetime) -> None:
        self._purses = purses
        self._marks = marks
        self._now = now
        self._refused: set[PurseKey] = set()
        self.plans: dict[PurseKey, _Plan] = {}
        self.rows: list[tuple[object, ...]] = []

    def plan(self, key: PurseKey, name: str, one: Spending) -> int | None:
        """Plan a spend; return what can be spent after it, `None` if its purse cannot say (or could not before)."""
        purse = self._purses.get(key)
        if purse is None or key in self._refused:
            return None
        plan = self.plans.get(key)
        if plan is None:
            plan = _Plan(purse, self._marks(one.unit), self._now)
        after = plan.take(one.amount)
        if after is None:
            self._refused.add(key)
            return None
        self.plans[key] = plan
        self.rows.append(
            (name, one.unit, purse.wallet, purse.spent, one.amount, one.customer, one.memo, after, one.key)
        )
        return after

    async def write(self, connection: Any) -> datetime:
        """Carry the plans out, or raise and leave everything as it is."""
        plans = self.plans.values()
        people = sorted({customer for customer, _ in self.plans})
        lots = [change for plan in plans for change in plan.changes()]
        accounts = [(plan.purse.wallet, plan.purse.version, plan.balance) for plan in plans]
        soonest = min(plan.soonest for plan in plans)
        edge.point("statement:before")
        row = await connection.fetchrow(SPEND, people, *columns(lots), *columns(accounts), *columns(self.rows), soonest)
        edge.point("statement:after")
        at: datetime = row[1]
        for plan in plans:
            plan.adopt(row[2])
        return at
