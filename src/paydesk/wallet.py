"""Spending: credits taken, reserved, settled, released and given, at once, by whoever holds a key.

The one thing that does not enter by the inbox: it answers at once, through the same ledger, under the same locks, in
batches that share a commit. Each operation has a key that is unique for its person for ever and is written with its
effect: repeated, it answers what it answered first. Decided in order: a large one that is refused refuses no other.
"""

from __future__ import annotations

import hashlib
from collections.abc import Iterable, Sequence
from dataclasses import dataclass, field, replace
from datetime import datetime, timedelta
from functools import partial
from typing import Any, NamedTuple

from paydesk import announcing, audit, books, customers, fanout, ids, low, timers
from paydesk.errors import Conflict, Invalid, NotFound, PaydeskError
from paydesk.ledger import SYSTEM, AccountKey, Book, Cause, Hold, Source, accounts_of, expiry
from paydesk.purses import Purses, Spent
from paydesk.store import Record, Store, Tx
from paydesk.store.group import GroupTransaction

AMOUNT_MAX = 10**15
BALANCE_MAX = 10**18
HOLD_S_MAX = 7 * 86_400
HOLD_S = 900
GIFT_LIFE = timedelta(days=36_500)
"""A gift that ends, ends within a hundred years."""


@dataclass(frozen=True, slots=True)
class Spend:
    """Take `amount` of `unit`. `key` makes it once; `memo` is a word of the caller's."""

    customer: str
    unit: str
    amount: int
    key: str
    memo: str | None = None
    asked: str = ""


@dataclass(frozen=True, slots=True)
class Reserve:
    """Hold `amount` of `unit` for so many seconds, then let go by itself."""

    customer: str
    unit: str
    amount: int
    key: str
    memo: str | None = None
    lasts_s: int = HOLD_S
    asked: str = ""


@dataclass(frozen=True, slots=True)
class Give:
    """Give `amount` of `unit` for nothing: for ever, until `expires_at`, or for so many days of 24 hours.

    `actor` is who gives: an API key's id, kept in the audit.
    """

    customer: str
    unit: str
    amount: int
    key: str
    memo: str | None = None
    expires_at: datetime | None = None
    expires_days: int | None = None
    asked: str = ""
    actor: str = "paydesk"


@dataclass(frozen=True, slots=True)
class EndHold:
    """Settle a hold with what was `used`, or release it (`None`, or 0). A `key` says for ever that it was this request."""

    hold: str
    used: int | None
    key: str | None = None


Operation = Spend | Reserve | Give | EndHold


class Done(NamedTuple):
    """What became of an operation: what can be spent after it, and the hold if there is one. `replayed`: it was done before.

    `expires_at` is when what was given or held ends, if it does.
    """

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
    expires_at: datetime | None = None


@dataclass(frozen=True, slots=True)
class Moved:
    """The person was merged into another one: ask again for that one."""

    customer: str


Outcome = Done | Moved | PaydeskError
Key = tuple[str, str]
"""Whose key, and the key."""


class Wallets:
    """Runs operations, many in one commit. `start` it in the loop that uses it, `stop` it when done."""

    def __init__(self, store: Store, marks: low.Marks = low.nobody) -> None:
        """`marks(unit)`: whoever falls below that of a unit is told, once until something comes in."""
        self._clock = store.clock
        self._marks = marks
        self._purses = Purses(marks)
        self._group: GroupTransaction[Operation, Outcome] = GroupTransaction(store, self._write, self._spend)

    def start(self) -> None:
        """Start the writer."""
        self._group.start()

    async def stop(self) -> None:
        """Stop the writer; those who wait are told to come again."""
        await self._group.stop()

    async def _spend(self, connection: Any, operations: list[Operation]) -> list[Outcome | None]:
        """Spend from purses that are remembered, in order: not where something else of the same person comes first."""
        outcomes: list[Outcome | None] = [None] * len(operations)
        wanted: list[tuple[int, str, Spend]] = []
        busy: set[str] = set()
        for place, operation in enumerate(operations):
            if isinstance(operation, Spend) and operation.customer not in busy:
                wanted.append((place, _name(operation.customer, operation.key), operation))
            elif not isinstance(operation, EndHold):
                busy.add(operation.customer)
        if wanted:
            now = self._clock.now()
            spent = await self._purses.spend(connection, [(name, one) for _, name, one in wanted], now)
            for (place, name, operation), one in zip(wanted, spent, strict=True):
                outcomes[place] = None if one is None else _spent(name, operation, one)
        return outcomes

    async def _write(self, tx: Tx, operations: list[Operation]) -> list[Outcome]:
        outcomes, batch = await write(tx, operations, self._marks)
        for owner, unit, _ in batch.book.accounts:
            self._purses.forget(owner, unit)
        return outcomes

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
                asked = operation.asked or operation.customer
                operation = replace(operation, customer=outcome.customer, asked=asked)
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


async def write(tx: Tx, operations: Sequence[Operation], marks: low.Marks) -> tuple[list[Outcome], Batch]:
    """Carry out operations in order, in one transaction: lock, then load, then decide, then write."""
    now: datetime = await tx.fetchval("SELECT desk_now()")
    ends = [operation.hold for operation in operations if isinstance(operation, EndHold)]
    owners = {hold.id: hold.customer for hold in (await books.load_holds(tx, ends)).values()} if ends else {}
    people = {who for operation in operations if (who := _whose(operation, owners)) is not None}
    locked = await customers.lock(tx, people)
    moved = await customers.current(tx, people - locked)
    batch = await _load(tx, now, [one for one in operations if _whose(one, owners) in locked], locked, owners)
    outcomes = [_outcome(batch, operation, owners, moved) for operation in operations]
    fallen = low.fallen(batch.book, marks)
    await books.save_sources(tx, batch.given)
    await books.close_book(tx, batch.book)
    await books.save_holds(tx, batch.changed_holds.values())
    await timers.put(tx, [*timers.of_lots(batch.book), *map(_lapse, batch.new_holds), *fallen])
    await audit.note_each(tx, batch.notes)
    await _keep_keys(tx, batch.new_keys)
    told = partial(announcing.of_book, batch.book, list(batch.changed_holds.values()))
    await fanout.announce(tx, told)
    return outcomes, batch


@dataclass(slots=True)
class Batch:
    """What a batch works on: the book, what its keys did before, the holds it ends, and what was left by those that had.

    `keys` are of requests that ended holds or asked for something else, with their fingerprints.
    """

    book: Book
    aliases: dict[str, list[str]]
    known: dict[str, Done]
    holds: dict[str, Hold]
    closed: dict[str, tuple[int, datetime]]
    given: list[Source] = field(default_factory=list)
    changed_holds: dict[str, Hold] = field(default_factory=dict)
    new_holds: list[Hold] = field(default_factory=list)
    keys: dict[Key, bytes] = field(default_factory=dict)
    new_keys: list[tuple[Key, str, bytes]] = field(default_factory=list)
    notes: list[audit.Note] = field(default_factory=list)


def _whose(operation: Operation, owners: dict[str, str]) -> str | None:
    return owners.get(operation.hold) if isinstance(operation, EndHold) else operation.customer


def _name(customer: str, key: str) -> str:
    """Return the ledger's name for an operation: unique for ever for its person."""
    return f"op:{customer}:{key}"


def _keys_of(operation: Spend | Reserve | Give, aliases: dict[str, list[str]]) -> list[Key]:
    """Return the keys under which an operation may have been done, its own first.

    Asked for somebody who was merged, it is only theirs: the same key of the other person was another request.
    """
    asked = operation.asked or operation.customer
    people = [asked] if asked != operation.customer else aliases[operation.customer]
    return [(person, operation.key) for person in people]


async def _load(
    tx: Tx, now: datetime, operations: Sequence[Operation], locked: set[str], owners: dict[str, str]
) -> Batch:
    """Load what these operations touch, under the locks of their people; `owners` are those of the holds they end."""
    aliases: dict[str, list[str]] = {person: [person] for person in locked}
    for old, person in await tx.fetch(
        "SELECT id, merged_into FROM customer WHERE merged_into = ANY($1::text[])", sorted(locked)
    ):
        aliases[person].append(old)
    names = {
        _name(*key): operation.customer
        for operation in operations if not isinstance(operation, EndHold) for key in _keys_of(operation, aliases)
    }  # fmt: skip
    for operation in operations:
        if isinstance(operation, EndHold) and operation.key is not None:
            who = owners[operation.hold]
            names |= {_name(person, operation.key): who for person in aliases[who]}
    endings = {_ending(id_): id_ for id_ in owners}
    found = await tx.fetch(KNOWN, sorted({*names, *endings})) if names or endings else []
    closed = {endings[row["source"]]: (row["balance_after"], row["at"]) for row in found if row["source"] in endings}
    rows = [row for row in found if row["source"] not in endings]
    ended = {*owners, *(_hold_id(row["source"]) for row in rows if row["reason"] == "hold")}
    holds = await books.load_holds(tx, ended) if ended else {}
    gifts = [row["source"] for row in rows if row["reason"] not in ("spend", "hold")]
    given = await books.load_sources(tx, (), gifts) if gifts else {}
    known = {row["source"]: _known(row, names[row["source"]], holds, given) for row in rows}
    keys = {key for operation in operations for key in _accounts(operation, holds)}
    book = await books.open_accounts(tx, now, keys)
    return Batch(book, aliases, known, holds, closed, keys=await _keys(tx, operations, aliases))


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
            return _end_once(batch, operation, who)
        before = _before(batch, operation)
        return before if before is not None else _new(batch, operation)
    except PaydeskError as error:
        return error


def _new(batch: Batch, operation: Spend | Reserve | Give) -> Done:
    """Do something for the first time, and remember it for a twin in the same batch."""
    name = _name(operation.asked or operation.customer, operation.key)
    cause = Cause(name, 0, operation.customer, operation.unit, memo=operation.memo)
    hold = None
    match operation:
        case Spend():
            kind, balance = "spend", batch.book.spend(cause, operation.amount)
        case Reserve():
            lasts = timedelta(seconds=operation.lasts_s)
            kind, hold = "hold", batch.book.hold(cause, _hold_id(name), operation.amount, batch.book.now + lasts)
            batch.changed_holds[hold.id] = batch.holds[hold.id] = hold
            batch.new_holds.append(hold)
            balance = batch.book.balance(operation.customer, operation.unit)
        case Give():
            kind, balance = "grant", _give(batch, operation, name)
    done = Done(ids.hashed("opr", name), kind, operation.customer, operation.unit, operation.amount, balance,
                operation.memo, batch.book.now, hold, expires_at=_end_of(operation, batch.book.now))  # fmt: skip
    batch.known[name] = done
    return done


def _give(batch: Batch, operation: Give, name: str) -> int:
    terms: dict[str, Any] = {"kind": "credits", "amount": operation.amount, "quantity": 1, "free": True}
    end = _end_of(operation, batch.book.now)
    if end is not None:
        if not batch.book.now < end <= batch.book.now + GIFT_LIFE:
            raise Invalid("expires_at must lie ahead, at most 100 years", param="expires_at")
        terms["expires_at"] = end.isoformat()
    if batch.book.balance(operation.customer, operation.unit) > BALANCE_MAX - operation.amount:
        raise Invalid(f"a balance is at most {BALANCE_MAX:,}", param="amount")
    if operation.memo is not None:
        terms["memo"] = operation.memo
    source = Source(name, operation.customer, None, "credits", operation.unit, terms)
    batch.book.post(source, operation.amount, batch.book.now)
    batch.given.append(source)
    detail = {"amount": operation.amount, "unit": operation.unit, "reason": operation.memo, "operation": name}
    batch.notes.append(audit.Note(operation.actor, "credits.grant", operation.customer, detail))
    balance = batch.book.balance(operation.customer, operation.unit)
    batch.book.entries[-1] = replace(batch.book.entries[-1], balance_after=balance)
    return balance


def _ending(hold: str) -> str:
    """Return the ledger's name for the end of a hold."""
    return f"hold:{hold}"


def _end_of(operation: Spend | Reserve | Give, start: datetime) -> datetime | None:
    """Return when what an operation gives or holds ends, if it was done at `start`."""
    match operation:
        case Reserve():
            return start + timedelta(seconds=operation.lasts_s)
        case Give(expires_days=int(days)):
            return start + timedelta(days=days)
        case Give():
            return operation.expires_at
        case _:
            return None


def _end_once(batch: Batch, operation: EndHold, who: str) -> Done:
    """End a hold; raises `Conflict` for a key of this person that was used for something else."""
    if operation.key is None:
        return _end(batch, operation)
    fingerprint = hashlib.sha256(f"{operation.hold}\n{operation.used or 0}".encode()).digest()
    names = [(person, operation.key) for person in batch.aliases[who]]
    before = [batch.keys[name] for name in names if name in batch.keys]
    if any(_name(*name) in batch.known for name in names) or (before and fingerprint not in before):
        raise _other_request()
    done = _end(batch, operation)
    if not before:
        batch.keys[who, operation.key] = fingerprint
        batch.new_keys.append(((who, operation.key), operation.hold, fingerprint))
    return done


def _end(batch: Batch, operation: EndHold) -> Done:
    """Settle or release a hold; again, it is what it was. Raises `Conflict` for one that has ended otherwise.

    Its time is over when it is over, whether or not its timer has come to it.
    """
    hold = batch.holds[operation.hold]
    used = operation.used or 0
    late = hold.state == "held" and hold.expires_at <= batch.book.now
    state = "settled" if used else "lapsed" if late else "released"
    if used > hold.amount:
        raise Invalid(f"the hold is for {hold.amount:,}: it cannot settle {used:,}", param="amount")
    replayed = hold.state != "held"
    if replayed:
        ended = ("settled",) if used else ("released", "lapsed")
        if hold.state not in ended or hold.used != used:
            raise Conflict(f"the hold is {hold.state} already, with {hold.used or 0:,} used", param="hold")
    elif late and used:
        raise Conflict("the hold has lapsed: what it held has gone back", param="hold")
    else:
        cause = Cause(_ending(hold.id), 1, hold.customer, hold.unit, memo=hold.memo)
        batch.closed[hold.id] = (batch.book.end_hold(hold, cause, used, state), batch.book.now)
        batch.changed_holds[hold.id] = hold
    balance, at = batch.closed[hold.id]
    return Done(hold.id, state, hold.customer, hold.unit, used, balance, hold.memo, at, hold, replayed)


def _spent(name: str, operation: Spend, spent: Spent) -> Done:
    return Done(ids.hashed("opr", name), "spend", operation.customer, operation.unit, operation.amount, spent.balance,
                operation.memo, spent.at)  # fmt: skip


# --- what a key did before -------------------------------------------------------------------------------------------


def _known(row: Record, customer: str, holds: dict[str, Hold], given: dict[str, Source]) -> Done:
    """Return what an operation answered when it was done."""
    name, kind, amount, memo = row["source"], row["reason"], row["amount"], row["memo"]
    hold = replace(holds[_hold_id(name)], state="held", used=None) if kind == "hold" else None
    end = None if hold is None else hold.expires_at
    if name in given:
        terms, end = given[name].terms, expiry(given[name])
        kind, amount, memo = "grant", int(terms["amount"]), terms.get("memo")
    return Done(ids.hashed("opr", name), kind, customer, row["unit"], amount, row["balance_after"], memo, row["at"], hold,
                replayed=True, expires_at=end)  # fmt: skip


def _hold_id(name: str) -> str:
    return ids.derived("hld", name)


def _before(batch: Batch, operation: Spend | Reserve | Give) -> Done | None:
    """Return what the key did before, if anything; raises `Conflict` when that was something else."""
    kind = {Spend: "spend", Reserve: "hold", Give: "grant"}[type(operation)]
    for key in _keys_of(operation, batch.aliases):
        before = batch.known.get(_name(*key))
        if key in batch.keys:
            raise _other_request()
        if before is not None:
            if (before.kind, before.unit, before.amount, before.memo, before.expires_at) != (
                kind, operation.unit, operation.amount, operation.memo, _end_of(operation, before.at),
            ):  # fmt: skip
                raise _other_request()
            return before._replace(replayed=True)
    return None


def _other_request() -> Conflict:
    return Conflict(
        "this key was used before, for another request", param="Idempotency-Key", code="idempotency_mismatch"
    )


async def _keys(tx: Tx, operations: Sequence[Operation], aliases: dict[str, list[str]]) -> dict[Key, bytes]:
    """Return what these keys were used for besides spending, holding and giving, by whoever these people are now."""
    asked = {one.key for one in operations if one.key is not None}
    if not asked:
        return {}
    rows = await tx.fetch(
        "SELECT scope, key, fingerprint FROM idempotency_key WHERE scope = ANY($1::text[]) AND key = ANY($2::text[])",
        sorted(person for people in aliases.values() for person in people),
        sorted(asked),
    )
    return {(row["scope"], row["key"]): row["fingerprint"] for row in rows}


async def used(tx: Tx, people: Iterable[str], key: str) -> bool:
    """Say whether one of these people, who are locked, has spent, held or been given something under a key."""
    names = [_name(person, key) for person in people]
    return await tx.fetchval("SELECT EXISTS (SELECT FROM entry WHERE source = ANY($1::text[]))", names) is True


async def _keep_keys(tx: Tx, keys: Sequence[tuple[Key, str, bytes]]) -> None:
    """Keep keys with their effect. The answer is not kept: the ledger knows how a hold ended, and what was left then."""
    if keys:
        await tx.execute(
            "INSERT INTO idempotency_key (scope, key, operation, fingerprint, status, locked_until) "
            "SELECT n.*, 200, now() FROM unnest($1::text[], $2::text[], $3::text[], $4::bytea[]) n",
            *books.columns((*key, hold, fingerprint) for key, hold, fingerprint in keys),
        )


def _lapse(hold: Hold) -> timers.Timer:
    return timers.Timer("hold_end", f"{hold.customer}|{hold.id}", hold.expires_at, hold.customer)
