"""Spending: credits taken, reserved, settled, released and given, at once, by whoever holds a key.

The one thing that does not enter by the inbox: it answers at once, through the same ledger, under the same locks, in
batches that share a commit. Each operation has a key that is unique for its person for ever and is written with its
effect: repeated, it answers what it answered first. Decided in order: a large one that is refused refuses no other.
"""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from dataclasses import dataclass, field, replace
from datetime import datetime, timedelta
from typing import Any

from paydesk import books, customers, ids, timers
from paydesk.errors import Conflict, Invalid, NotFound, PaydeskError
from paydesk.ledger import SYSTEM, AccountKey, Book, Cause, Hold, Source, accounts_of
from paydesk.store import Record, Store, Tx
from paydesk.store.group import GroupTransaction

AMOUNT_MAX = 10**15
HOLD_S_MAX = 7 * 86_400
HOLD_S = 900


@dataclass(frozen=True, slots=True)
class Spend:
    """Take `amount` of `unit`. `key` makes it once; `memo` is a word of the caller's."""

    customer: str
    unit: str
    amount: int
    key: str
    memo: str | None = None


@dataclass(frozen=True, slots=True)
class Reserve:
    """Hold `amount` of `unit` for so many seconds, then let go by itself."""

    customer: str
    unit: str
    amount: int
    key: str
    memo: str | None = None
    lasts_s: int = HOLD_S


@dataclass(frozen=True, slots=True)
class Give:
    """Give `amount` of `unit` for nothing, for ever or until `expires_at`."""

    customer: str
    unit: str
    amount: int
    key: str
    memo: str | None = None
    expires_at: datetime | None = None


@dataclass(frozen=True, slots=True)
class EndHold:
    """Settle a hold with what was `used`, or release it (`None`)."""

    hold: str
    used: int | None


Operation = Spend | Reserve | Give | EndHold


@dataclass(frozen=True, slots=True)
class Done:
    """What became of an operation: what can be spent after it, and the hold if there is one. `replayed`: it was done before."""

    id: str
    kind: str
    customer: str
    unit: str
    amount: int
    balance: int
    memo: str | None
    at: datetime
    hold: Hold | None = None
    replayed: bool = False


@dataclass(frozen=True, slots=True)
class Moved:
    """The person was merged into another one: ask again for that one."""

    customer: str


Outcome = Done | Moved | PaydeskError


class Wallets:
    """Runs operations, many in one commit. `start` it in the loop that uses it, `stop` it when done."""

    def __init__(self, store: Store) -> None:
        self._group: GroupTransaction[Operation, Outcome] = GroupTransaction(store, write)

    def start(self) -> None:
        """Start the writer."""
        self._group.start()

    async def stop(self) -> None:
        """Stop the writer; those who wait are told to come again."""
        await self._group.stop()

    async def run(self, operation: Operation) -> Done:
        """Run an operation; it is durable when this returns.

        Raises `InsufficientCredits` (nothing changed), `Conflict` for a key that was used for something else or a hold
        that has ended otherwise, `NotFound`, and `StoreUnavailable`: then ask again with the same key.
        """
        for _ in range(5):
            outcome = await self._group.submit(operation)
            if isinstance(outcome, Done):
                return outcome
            if isinstance(outcome, PaydeskError):
                raise outcome
            if not isinstance(operation, EndHold):
                operation = replace(operation, customer=outcome.customer)
        raise Conflict("the person is being merged: ask again")


def checked_amount(amount: object) -> int:
    """Return an amount of credits; raises `Invalid` for anything but a positive whole number."""
    if type(amount) is not int or not 1 <= amount <= AMOUNT_MAX:
        raise Invalid(f"amount must be a whole number from 1 to {AMOUNT_MAX:,}", param="amount")
    return amount


# --- one batch, one transaction --------------------------------------------------------------------------------------

KNOWN = """
SELECT source, reason, unit, amount, memo, balance_after, at FROM entry
WHERE source = ANY($1::text[]) AND balance_after IS NOT NULL
"""
"""What keys did before: of the entries that an operation writes, one says what could be spent after it."""


async def write(tx: Tx, operations: Sequence[Operation]) -> list[Outcome]:
    """Carry out operations in order, in one transaction: lock, then load, then decide, then write."""
    now: datetime = await tx.fetchval("SELECT desk_now()")
    ends = [operation.hold for operation in operations if isinstance(operation, EndHold)]
    owners = {hold.id: hold.customer for hold in (await books.load_holds(tx, ends)).values()} if ends else {}
    people = {who for operation in operations if (who := _whose(operation, owners)) is not None}
    locked = await customers.lock(tx, people)
    moved = await customers.current(tx, people - locked)
    batch = await _load(tx, now, [one for one in operations if _whose(one, owners) in locked], locked, ends)
    outcomes = [_outcome(batch, operation, owners, moved) for operation in operations]
    await books.save_sources(tx, batch.given)
    await books.close_book(tx, batch.book)
    await books.save_holds(tx, batch.changed_holds.values())
    await timers.put(tx, [*timers.of_lots(batch.book), *map(_lapse, batch.new_holds)])
    return outcomes


@dataclass(slots=True)
class Batch:
    """What a batch works on: the book, what its keys did before, and the holds it ends."""

    book: Book
    aliases: dict[str, list[str]]
    known: dict[str, Done]
    holds: dict[str, Hold]
    given: list[Source] = field(default_factory=list)
    changed_holds: dict[str, Hold] = field(default_factory=dict)
    new_holds: list[Hold] = field(default_factory=list)


def _whose(operation: Operation, owners: dict[str, str]) -> str | None:
    return owners.get(operation.hold) if isinstance(operation, EndHold) else operation.customer


def _name(customer: str, key: str) -> str:
    """Return the ledger's name for an operation: unique for ever for its person."""
    return f"op:{customer}:{key}"


async def _load(tx: Tx, now: datetime, operations: Sequence[Operation], locked: set[str], ends: Sequence[str]) -> Batch:
    """Load what these operations touch, under the locks of their people."""
    aliases: dict[str, list[str]] = {person: [person] for person in locked}
    for old, person in await tx.fetch(
        "SELECT id, merged_into FROM customer WHERE merged_into = ANY($1::text[])", sorted(locked)
    ):
        aliases[person].append(old)
    names = {
        _name(alias, operation.key): operation.customer
        for operation in operations if not isinstance(operation, EndHold) for alias in aliases[operation.customer]
    }  # fmt: skip
    rows = await tx.fetch(KNOWN, sorted(names)) if names else []
    ended = {*ends, *(_hold_id(row["source"]) for row in rows if row["reason"] == "hold")}
    holds = await books.load_holds(tx, ended) if ended else {}
    gifts = [row["source"] for row in rows if row["reason"] not in ("spend", "hold")]
    given = await books.load_sources(tx, (), gifts) if gifts else {}
    known = {row["source"]: _known(row, names[row["source"]], holds, given) for row in rows}
    keys = {key for operation in operations for key in _accounts(operation, holds)}
    return Batch(await books.open_accounts(tx, now, keys), aliases, known, holds)


def _accounts(operation: Operation, holds: dict[str, Hold]) -> Iterable[AccountKey]:
    match operation:
        case Spend(customer, unit):
            return ((customer, unit, "wallet"), (SYSTEM, unit, "spent"))
        case EndHold(id_):
            return accounts_of(holds[id_].customer, holds[id_].unit) if id_ in holds else ()
        case _:
            return accounts_of(operation.customer, operation.unit)


def _outcome(batch: Batch, operation: Operation, owners: dict[str, str], moved: dict[str, str]) -> Outcome:
    """Decide one operation on what the ones before it have left."""
    who = _whose(operation, owners)
    if who is None:
        return NotFound("there is no such hold", param="hold")
    if who not in batch.aliases:
        return Moved(moved[who]) if who in moved else NotFound(f"no customer {who}", param="customer")
    try:
        if isinstance(operation, EndHold):
            return _end(batch, operation)
        before = _before(batch, operation)
        return before if before is not None else _new(batch, operation)
    except PaydeskError as error:
        return error


def _new(batch: Batch, operation: Spend | Reserve | Give) -> Done:
    """Do something for the first time, and remember it for a twin in the same batch."""
    name = _name(operation.customer, operation.key)
    cause = Cause(name, 0, operation.customer, operation.unit, memo=operation.memo)
    hold = None
    match operation:
        case Spend():
            kind, balance = "spend", batch.book.spend(cause, operation.amount)
        case Reserve():
            until = batch.book.now + timedelta(seconds=operation.lasts_s)
            kind, hold = "hold", batch.book.hold(cause, _hold_id(name), operation.amount, until)
            batch.changed_holds[hold.id] = batch.holds[hold.id] = hold
            batch.new_holds.append(hold)
            balance = batch.book.balance(operation.customer, operation.unit)
        case Give():
            kind, balance = "grant", _give(batch, operation, name)
    done = Done(ids.derived("opr", name), kind, operation.customer, operation.unit, operation.amount, balance,
                operation.memo, batch.book.now, hold)  # fmt: skip
    batch.known[name] = done
    return done


def _give(batch: Batch, operation: Give, name: str) -> int:
    terms: dict[str, Any] = {"kind": "credits", "amount": operation.amount, "quantity": 1, "free": True}
    if operation.expires_at is not None:
        terms["expires_at"] = operation.expires_at.isoformat()
    if operation.memo is not None:
        terms["memo"] = operation.memo
    source = Source(name, operation.customer, None, "credits", operation.unit, terms)
    batch.book.post(source, operation.amount, batch.book.now)
    batch.given.append(source)
    balance = batch.book.balance(operation.customer, operation.unit)
    batch.book.entries[-1] = replace(batch.book.entries[-1], balance_after=balance)
    return balance


def _end(batch: Batch, operation: EndHold) -> Done:
    """Settle or release a hold; again, it is what it was. Raises `Conflict` for one that has ended otherwise."""
    hold = batch.holds[operation.hold]
    used = operation.used or 0
    state = "released" if operation.used is None else "settled"
    if used > hold.amount:
        raise Invalid(f"the hold is for {hold.amount:,}: it cannot settle {used:,}", param="amount")
    replayed = hold.state != "held"
    if replayed:
        ended = ("released", "lapsed") if operation.used is None else ("settled",)
        if hold.state not in ended or hold.used != used:
            raise Conflict(f"the hold is {hold.state} already, with {hold.used or 0:,} used", param="hold")
        balance = batch.book.balance(hold.customer, hold.unit)
    else:
        cause = Cause(f"hold:{hold.id}", 1, hold.customer, hold.unit, memo=hold.memo)
        balance = batch.book.end_hold(hold, cause, used, state)
        batch.changed_holds[hold.id] = hold
    return Done(hold.id, state, hold.customer, hold.unit, used, balance, hold.memo, batch.book.now, hold, replayed)


# --- what a key did before -------------------------------------------------------------------------------------------


def _known(row: Record, customer: str, holds: dict[str, Hold], given: dict[str, Source]) -> Done:
    """Return what an operation answered when it was done."""
    name, kind, amount, memo = row["source"], row["reason"], row["amount"], row["memo"]
    hold = replace(holds[_hold_id(name)], state="held", used=None) if kind == "hold" else None
    if name in given:
        kind, amount, memo = "grant", int(given[name].terms["amount"]), given[name].terms.get("memo")
    return Done(ids.derived("opr", name), kind, customer, row["unit"], amount, row["balance_after"], memo, row["at"], hold,
                replayed=True)  # fmt: skip


def _hold_id(name: str) -> str:
    return ids.derived("hld", name)


def _before(batch: Batch, operation: Spend | Reserve | Give) -> Done | None:
    """Return what the key did before, if anything; raises `Conflict` when that was something else."""
    kind = {Spend: "spend", Reserve: "hold", Give: "grant"}[type(operation)]
    for alias in batch.aliases[operation.customer]:
        before = batch.known.get(_name(alias, operation.key))
        if before is not None:
            if (before.kind, before.unit, before.amount, before.memo) != (
                kind, operation.unit, operation.amount, operation.memo,
            ):  # fmt: skip
                raise Conflict("this key was used before, for another request", param="Idempotency-Key")
            return replace(before, replayed=True)
    return None


def _lapse(hold: Hold) -> timers.Timer:
    return timers.Timer("hold_end", f"{hold.customer}|{hold.id}", hold.expires_at, hold.customer)
