"""The sealer: a chain of hashes over the ledger, so that a row changed behind its back is found, and named.

It follows the commits. It takes entries whose transaction is older than every one that still runs: nothing can be added
before them any more. They come in the order of (transaction, id), so none is left out and none comes twice, in whatever
order transactions end. A `seal` holds a mark of 16 bytes for each entry of a chunk, and a hash over the seal before it.
One process seals at a time; nobody waits for it.

A dump restored elsewhere meets younger transaction numbers than its own. So a restore opens a new *epoch*: what is
there is sealed to its end, and what comes later, told by its id, is counted from the beginning.
"""

from __future__ import annotations

import hashlib
import logging
import struct
from dataclasses import astuple, dataclass, replace
from typing import Any

from paydesk.store import Store, Tx

log = logging.getLogger("paydesk.seal")

LOCK = 0x7365616C  # "seal"
MARK_BYTES = 16
ENTRIES_MAX = 1_000
CHUNKS_MAX = 20
WAITS_S_MAX = 5
"""Fewer than `ENTRIES_MAX` are sealed once the oldest of them has waited for so long."""

FOR_EVER = 2**63 - 1

MARK = f"""substr(sha256(record_send(ROW(
    id, source, revision, reason, unit, from_account, to_account, amount, inbox_id, at, created_at, transaction, customer_id,
    memo, balance_after))), 1, {MARK_BYTES})"""
"""The mark of an entry: of these columns, for ever in this order, whatever others the table may get.

Their binary form has the length of each and depends on no setting but the client's encoding, which is UTF-8 (`STEADY`).
"""

STEADY = "set_config('client_encoding', 'UTF8', true), set_config('enable_sort', 'off', true)"
"""What a transaction that reads marks sets. Without sorting, entries come from the index that has their order, and no
more of them than are asked for."""

LINK = "number, epoch, after_entry, entries, last_transaction, last_entry, marks, totals::text AS totals, hash"

LAST = f"SELECT {LINK} FROM seal ORDER BY number DESC LIMIT 1"

HORIZON = """
SELECT pg_snapshot_xmin(now)::text::bigint, pg_snapshot_xmax(now)::text::bigint FROM pg_current_snapshot() AS now
"""

NEXT = f"""
WITH chunk AS MATERIALIZED (
    SELECT id, transaction, from_account, to_account, amount, created_at, {MARK} AS mark FROM entry
    WHERE (transaction, id) > ($1::bigint, $2::bigint) AND transaction < $3::bigint
      AND id > $4::bigint AND id <= $5::bigint
    ORDER BY transaction, id LIMIT {ENTRIES_MAX}
), moved AS (
    SELECT l.account::text, sum(l.amount) AS amount FROM (
        SELECT to_account, amount FROM chunk UNION ALL SELECT from_account, -amount FROM chunk) AS l (account, amount)
    JOIN account a ON a.id = l.account AND a.owner = 'system' GROUP BY 1
    UNION ALL SELECT key, value::numeric FROM jsonb_each_text($6::text::jsonb)
)
SELECT count(*) AS entries, string_agg(mark, '' ORDER BY transaction, id) AS marks,
    (array_agg(transaction ORDER BY transaction DESC, id DESC))[1] AS last_transaction,
    (array_agg(id ORDER BY transaction DESC, id DESC))[1] AS last_entry,
    min(created_at) <= now() - make_interval(secs => {WAITS_S_MAX}) AS waits,
    (SELECT coalesce(jsonb_object_agg(account, amount), '{{}}')::text
     FROM (SELECT account, sum(amount) AS amount FROM moved GROUP BY 1) AS totals) AS totals
FROM chunk
"""
"""The next entries in order. The system's accounts store no balance: what they hold is carried on from seal to seal."""

BEFORE_LATE = """
WITH behind AS (
    SELECT id FROM entry WHERE (transaction, id) <= ($2::bigint, $3::bigint) AND id > $4::bigint
), late AS (
    SELECT count(*) - (SELECT coalesce(sum(entries), 0) FROM seal WHERE epoch = $1::int) AS number FROM behind
)
SELECT coalesce(CASE WHEN number > 0 THEN (SELECT id - 1 FROM behind ORDER BY id DESC OFFSET number - 1 LIMIT 1) END,
                (SELECT max(id) FROM entry), 0)
FROM late
"""
"""Up to which id an epoch goes: to the newest, or to those that were written behind the end of the chain, unsealed."""

SYSTEM_BALANCES = """
SELECT a.id, a.unit, a.kind, coalesce(t.value::numeric, 0) + coalesce(s.amount, 0) AS balance
FROM account a LEFT JOIN jsonb_each_text($1::text::jsonb) t ON t.key = a.id::text LEFT JOIN (
    SELECT l.account, sum(l.amount) AS amount FROM entry e,
        LATERAL (VALUES (e.to_account, e.amount), (e.from_account, -e.amount)) AS l (account, amount)
    WHERE (e.transaction, e.id) > ($2::bigint, $3::bigint) AND e.id > $4::bigint GROUP BY 1) s ON s.account = a.id
WHERE a.owner = 'system'
"""
"""What the system's accounts hold: what is sealed of them, and what came since. Its arguments: `Seal.so_far`."""

PUT = """
INSERT INTO seal (number, epoch, after_entry, entries, last_transaction, last_entry, marks, totals, hash)
VALUES ($1, $2, $3, $4, $5, $6, $7, $8::text::jsonb, $9)
"""


@dataclass(frozen=True, slots=True)
class Seal:
    """A link of the chain: the marks of `entries` entries, up to (`last_transaction`, `last_entry`).

    The entries of its epoch have ids above `after_entry`. A seal without entries opens an epoch.
    `totals` is what the system's accounts hold after it, as JSON: {account id: amount}.
    """

    number: int
    epoch: int
    after_entry: int
    entries: int
    last_transaction: int
    last_entry: int
    marks: bytes
    totals: str
    hash: bytes

    @property
    def place(self) -> tuple[int, int]:
        """Where it ends: (transaction, id) of its last entry."""
        return self.last_transaction, self.last_entry

    @property
    def so_far(self) -> tuple[str, int, int, int]:
        """What a statement needs to go on after this link: totals, place, and above which id."""
        return self.totals, self.last_transaction, self.last_entry, self.after_entry

    def follows(self, before: Seal) -> bool:
        """Tell whether this is the link after `before`, unchanged."""
        return self.number == before.number + 1 and self.hash == _hash(before.hash, self)


BEGINNING = Seal(0, 1, 0, 0, 0, 0, b"", "{}", bytes(32))
"""What the first seal follows."""


def _hash(before: bytes, seal: Seal) -> bytes:
    place = struct.pack(
        ">qqqqqq",
        seal.number,
        seal.epoch,
        seal.after_entry,
        seal.entries,
        seal.last_transaction,
        seal.last_entry,
    )
    return hashlib.sha256(before + place + seal.marks).digest()


async def last(tx: Tx) -> Seal:
    """Return the newest seal, or what the first one follows."""
    row = await tx.fetchrow(LAST)
    return BEGINNING if row is None else Seal(*row)


# --- sealing ---------------------------------------------------------------------------------------------------------


async def seal(store: Store, *, at_once: bool = False) -> int:
    """Seal what is due; return how many entries that were, at most 20,000: call it again until nothing is left.

    Full chunks are due, and smaller ones after five seconds or `at_once`. Returns 0 while another process seals.
    """
    async with store.transaction() as tx:
        if not await tx.fetchval(f"SELECT pg_try_advisory_xact_lock($1), {STEADY}", LOCK):
            return 0
        before = await last(tx)  # a new statement: it sees what the last holder of the lock wrote
        running, unborn = await horizon(tx)
        if before.last_transaction >= unborn:
            log.warning("this database was restored: a new epoch of the chain begins")
            before = await _open_epoch(tx, before)
            running, _ = await horizon(tx)
        return await _seal(tx, before, transactions_below=running, entries_to=FOR_EVER, at_once=at_once)


async def horizon(tx: Tx) -> tuple[int, int]:
    """Return the oldest transaction that still runs, and the first that has not begun."""
    row = await tx.fetchrow(HORIZON)
    if row is None:
        raise AssertionError("a database without a snapshot")
    return row[0], row[1]


async def _seal(tx: Tx, before: Seal, *, transactions_below: int, entries_to: int, at_once: bool) -> int:
    """Seal chunk after chunk, as long as they are full; return how many entries."""
    sealed = 0
    for _ in range(CHUNKS_MAX):
        link = await _next(tx, before, transactions_below, entries_to, at_once=at_once)
        if link is None:
            break
        await _put(tx, link)
        sealed += link.entries
        before = link
        if link.entries < ENTRIES_MAX:
            break
    return sealed


async def _next(tx: Tx, before: Seal, transactions_below: int, entries_to: int, *, at_once: bool) -> Seal | None:
    """Return the seal of the next chunk, or `None` when there is none that is due."""
    row = await tx.fetchrow(
        NEXT, before.last_transaction, before.last_entry, transactions_below, before.after_entry, entries_to,
        before.totals,
    )  # fmt: skip
    if row is None or row["entries"] == 0 or not (at_once or row["waits"] or row["entries"] == ENTRIES_MAX):
        return None
    return _linked(
        before,
        entries=row["entries"],
        last_transaction=row["last_transaction"],
        last_entry=row["last_entry"],
        marks=row["marks"],
        totals=row["totals"],
    )


def _linked(before: Seal, **changes: Any) -> Seal:
    """Return the link after `before`, of its epoch and with its totals unless `changes` say otherwise."""
    link = replace(before, number=before.number + 1, **changes)
    return replace(link, hash=_hash(before.hash, link))


async def _put(tx: Tx, link: Seal) -> None:
    await tx.execute(PUT, *astuple(link))


# --- a new epoch -----------------------------------------------------------------------------------------------------


async def open_epoch(store: Store) -> int:
    """Seal everything that is stored and open a new epoch; return its number.

    To be called after a restore, before anybody writes. Entries that were written before it in spite of that, behind
    the end of the chain, become the first of the new epoch. Writers wait until it is done.
    """
    async with store.transaction() as tx:
        await tx.execute("SET LOCAL statement_timeout = 0")
        await tx.execute(f"SELECT pg_advisory_xact_lock($1), {STEADY}", LOCK)
        return (await _open_epoch(tx, await last(tx))).epoch


async def _open_epoch(tx: Tx, before: Seal) -> Seal:
    """Close the epoch of `before`, the newest seal, and return the seal that opens the next. Holds the lock."""
    await tx.execute("LOCK TABLE entry IN SHARE ROW EXCLUSIVE MODE")  # whoever writes has ended now; nobody begins
    entries_to = await tx.fetchval(
        BEFORE_LATE, before.epoch, before.last_transaction, before.last_entry, before.after_entry
    )
    while await _seal(tx, before, transactions_below=FOR_EVER, entries_to=entries_to, at_once=True):
        before = await last(tx)
    opening = _linked(
        before,
        epoch=before.epoch + 1,
        after_entry=entries_to,
        entries=0,
        last_transaction=0,
        last_entry=entries_to,
        marks=b"",
    )
    await _put(tx, opening)
    return opening


# --- what the system's accounts hold ---------------------------------------------------------------------------------


async def system_balances(tx: Tx) -> dict[tuple[str, str], int]:
    """Return what each of the system's accounts holds, by (unit, kind): the sealed total and what came since."""
    end = await last(tx)
    rows = await tx.fetch(f"SELECT unit, kind, balance::text FROM ({SYSTEM_BALANCES}) b", *end.so_far)
    return {(row[0], row[1]): int(row[2]) for row in rows}
