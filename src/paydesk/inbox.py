"""Hop 1, the one door: everything that may change something enters here, once per (source, external id), for ever.

receive   write it down durably, together with whoever waits at the same moment (group commit)
claim     lease lanes (buckets of customers) that have something due; a lease is judged by the database's clock
read      the due rows of leased lanes, in order
finish    inside the transaction that has the effects: what became of each row, fenced by the claim

Rows are `ready` or `parked` (waits for something, steps aside), then `done`, `ignored` or `quarantined` (a person
must look). Order within a lane is a courtesy; correctness never depends on it.
"""

from __future__ import annotations

import zlib
from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from datetime import datetime
from typing import Any
from uuid import UUID, uuid4

import orjson

from paydesk.errors import StaleClaim
from paydesk.store import Record, Store, Tx
from paydesk.store.bell import Bell
from paydesk.store.group import GroupCommit

LANES = 1024
"""How many buckets there are: rows of the lane table, made by the first migration. Never change it alone."""

LEASE_S = 30
ATTEMPTS_MAX = 5
PARKED_HOURS_MAX = 72


@dataclass(frozen=True, slots=True)
class Envelope:
    """What came in: who sent it, under which id, what kind it is, whose lane it belongs to, and the raw bytes."""

    source: str
    external_id: str
    kind: str
    lane: int
    body: bytes
    livemode: bool


@dataclass(frozen=True, slots=True)
class Row:
    """A stored envelope on its way through the money path."""

    id: int
    source: str
    external_id: str
    kind: str
    lane: int
    body: bytes
    livemode: bool
    attempts: int
    alone: bool
    received_at: datetime


@dataclass(frozen=True, slots=True)
class Outcome:
    """What became of a row: `state` as in the table, `detail` in words, `waits_for` while parked."""

    state: str
    detail: str | None = None
    waits_for: str | None = None


DONE = Outcome("done")


@dataclass(frozen=True, slots=True)
class Claim:
    """Leased lanes. `rows_max` is small after a worker died on them: the batch comes back in smaller parts."""

    id: UUID
    lanes: tuple[int, ...]
    rows_max: int


def lane_of(key: str) -> int:
    """Return the lane of a customer or object: the same for the same key, on every machine."""
    return zlib.crc32(key.encode("utf-8", "surrogatepass")) % LANES


QUESTION = "question"
"""The source of rows that we ask ourselves: what they tell is at Stripe."""


def question(kind: str, id_: str, order: str, intent: str, about: str, because: Row) -> Envelope:
    """Return an envelope that asks Stripe for an object, once, because of a row."""
    body = {"kind": kind, "id": id_, "order": order, "intent": intent, "about": about}
    return Envelope(QUESTION, f"{kind}:{id_}", kind, because.lane, orjson.dumps(body), because.livemode)


def look_again(kind: str, id_: str, lane: int, because: str, *, livemode: bool) -> Envelope:
    """Return an envelope that asks to look at an object of Stripe's as it is now, once per reason."""
    return Envelope(QUESTION, f"{kind}:{id_}:{because}", kind, lane, orjson.dumps({"kind": kind, "id": id_}), livemode)


# --- receive ---------------------------------------------------------------------------------------------------------

RECEIVE = """
WITH given AS (
    SELECT * FROM unnest($1::text[], $2::text[], $3::text[], $4::smallint[], $5::bytea[], $6::boolean[])
        AS g (source, external_id, kind, lane, body, livemode)
), fresh AS (
    INSERT INTO seen (source, external_id) SELECT source, external_id FROM given
    ON CONFLICT DO NOTHING RETURNING source, external_id
), stored AS (
    INSERT INTO inbox (source, external_id, kind, lane, body, livemode)
    SELECT g.* FROM given g JOIN fresh USING (source, external_id)
)
SELECT source, external_id FROM given EXCEPT ALL SELECT source, external_id FROM fresh
"""
"""Stores what is new and returns what was known already: usually nothing."""


class Receiver:
    """Takes envelopes in. `receive` returns only after the envelope is durable, now or since an earlier time."""

    def __init__(self, store: Store, bell: Bell) -> None:
        self._bell = bell
        self._group = GroupCommit(store, self._write)

    def start(self) -> None:
        """Start the writer."""
        self._group.start()

    async def stop(self) -> None:
        """Stop the writer; those who wait are told to come again."""
        await self._group.stop()

    async def receive(self, envelope: Envelope) -> bool:
        """Store `envelope` durably; return whether it is new. Raises `StoreUnavailable`: then ask for it again."""
        return await self._group.submit(envelope)

    async def _write(self, connection: Any, envelopes: list[Envelope]) -> list[bool]:
        distinct = {(e.source, e.external_id): e for e in envelopes}
        ordered = [distinct[key] for key in sorted(distinct)]  # one order for all writers: no deadlocks
        rows = await connection.fetch(RECEIVE, *_columns(ordered))
        known = {(row["source"], row["external_id"]) for row in rows}
        if len(known) < len(ordered):
            self._bell.ring("inbox")
        results = []
        for envelope in envelopes:
            key = (envelope.source, envelope.external_id)
            results.append(key not in known)
            known.add(key)  # of twins in one batch only the first is new
        return results


def _columns(envelopes: Iterable[Envelope]) -> tuple[list[object], ...]:
    rows = [(e.source, e.external_id, e.kind, e.lane, e.body, e.livemode) for e in envelopes]
    return tuple(list(column) for column in zip(*rows, strict=True))


async def put(tx: Tx, envelopes: Sequence[Envelope]) -> int:
    """Store envelopes inside the caller's transaction; return how many were new."""
    distinct = {(e.source, e.external_id): e for e in envelopes}
    if not distinct:
        return 0
    known = await tx.fetch(RECEIVE, *_columns(distinct[key] for key in sorted(distinct)))
    return len(distinct) - len(known)


# --- claim, read -----------------------------------------------------------------------------------------------------

CLAIM = f"""
WITH due AS (
    SELECT l.id FROM lane l
    WHERE l.leased_until <= now() AND EXISTS (
        SELECT FROM inbox i
        WHERE i.lane = l.id AND i.state IN ('ready','parked') AND i.next_at <= desk_now())
    ORDER BY (l.id - $2 + {LANES}) % {LANES} LIMIT $3 FOR UPDATE OF l SKIP LOCKED
)
UPDATE lane l SET
    deaths = CASE WHEN l.claim_id IS NULL THEN 0 ELSE least(l.deaths + 1, 10) END,
    claim_id = $1, leased_until = now() + make_interval(secs => {LEASE_S})
FROM due WHERE l.id = due.id RETURNING l.id, l.deaths
"""

READ = """
SELECT id, source, external_id, kind, lane, body, livemode, attempts, alone, received_at FROM inbox
WHERE lane = ANY($1::smallint[]) AND state IN ('ready','parked') AND next_at <= desk_now()
ORDER BY source = 'question', id LIMIT $2
"""
"""What was told before what we want to know: nobody waits for an answer of Stripe's that only we have asked for."""


async def claim(store: Store, *, start_lane: int, lanes_max: int, rows_max: int) -> Claim | None:
    """Lease lanes that have something due, from `start_lane` round; `None` when there is nothing to do.

    A lane still claimed by somebody whose lease ended was left by a dead worker: what killed it may be in there, so
    each death shrinks the batch to an eighth, down to rows that run alone.
    """
    claim_id = uuid4()
    rows = await store.fetch(CLAIM, claim_id, start_lane, lanes_max)
    if not rows:
        return None
    deaths = max(row["deaths"] for row in rows)
    return Claim(claim_id, tuple(sorted(row["id"] for row in rows)), max(1, rows_max >> (3 * deaths)))


async def renew(store: Store, held: Claim) -> bool:
    """Lengthen the lease; `False` when somebody else has taken a lane over."""
    touched = await store.execute(
        "UPDATE lane SET leased_until = now() + make_interval(secs => $3) WHERE id = ANY($1::smallint[]) AND claim_id = $2",
        list(held.lanes),
        held.id,
        LEASE_S,
    )
    return touched == len(held.lanes)


async def release(store: Store, held: Claim) -> None:
    """Give the lanes back at once: a worker that ends well leaves no lease behind."""
    await store.execute(
        "UPDATE lane SET claim_id = NULL, deaths = 0, leased_until = '-infinity' "
        "WHERE id = ANY($1::smallint[]) AND claim_id = $2",
        list(held.lanes),
        held.id,
    )


async def read(store: Store, held: Claim) -> list[Row]:
    """Return due rows of the leased lanes, oldest first and our own questions last, at most `rows_max`."""
    return [Row(*record) for record in await store.fetch(READ, list(held.lanes), held.rows_max)]


# --- finish ----------------------------------------------------------------------------------------------------------

FINISH = f"""
UPDATE inbox i SET
    state = CASE WHEN o.state = 'parked' AND now() - i.received_at > interval '{PARKED_HOURS_MAX} h'
        THEN 'quarantined' ELSE o.state END, detail = o.detail, waits_for = o.waits_for, alone = false,
    next_at = CASE WHEN o.state = 'parked'
        THEN desk_now() + least(greatest(now() - i.received_at, interval '2 s'), interval '1 h') ELSE i.next_at END,
    finished_at = CASE WHEN o.state = 'parked' THEN NULL ELSE now() END
FROM unnest($1::bigint[], $2::text[], $3::text[], $4::text[]) AS o (id, state, detail, waits_for)
WHERE i.id = o.id AND i.state IN ('ready','parked')
"""

FENCE = "SELECT id FROM lane WHERE id = ANY($1::smallint[]) AND claim_id = $2 ORDER BY id FOR UPDATE"


async def finish(tx: Tx, held: Claim, rows: Sequence[Row], outcomes: Sequence[Outcome]) -> None:
    """Write what became of the rows, as the last step of the transaction that has their effects.

    Raises `StaleClaim`, and so undoes everything, when a lane was taken over or a row was finished by somebody else.
    """
    columns = zip(*((r.id, o.state, o.detail, o.waits_for) for r, o in zip(rows, outcomes, strict=True)), strict=True)
    touched = await tx.execute(FINISH, *(list(column) for column in columns))
    lanes = sorted({row.lane for row in rows})
    fenced = await tx.fetch(FENCE, lanes, held.id)
    if touched != len(rows) or len(fenced) != len(lanes):
        raise StaleClaim("another worker has taken these lanes over")


async def wake(tx: Tx, touched: Iterable[str]) -> None:
    """Make parked rows due that wait for one of the objects just touched."""
    await tx.execute(
        "UPDATE inbox SET state = 'ready', next_at = '-infinity', waits_for = NULL "
        "WHERE state = 'parked' AND waits_for = ANY($1::text[])",
        sorted(touched),
    )


async def count_attempt(store: Store, row: Row) -> int:
    """Count an attempt of a row that is about to run alone, in a commit of its own; return how many there were."""
    attempts: int = await store.fetchval(
        "UPDATE inbox SET attempts = attempts + 1, alone = true WHERE id = $1 RETURNING attempts", row.id
    )
    return attempts


async def give_back_attempt(store: Store, row: Row, *, wait_s: float, detail: str) -> None:
    """Undo a counted attempt: the row was not to blame (database, Stripe or shutdown), and is due again later."""
    await store.execute(
        "UPDATE inbox SET attempts = greatest(attempts - 1, 0), detail = $3, "
        "next_at = desk_now() + make_interval(secs => $2) WHERE id = $1 AND state IN ('ready','parked')",
        row.id,
        wait_s,
        detail,
    )


async def fail(store: Store, row: Row, attempts: int, detail: str) -> bool:
    """Note that a row failed alone: due again with growing gaps, after five times quarantined; return whether it is."""
    quarantined = attempts >= ATTEMPTS_MAX
    await store.execute(
        "UPDATE inbox SET state = $2, detail = $3, next_at = desk_now() + make_interval(secs => $4), "
        "finished_at = CASE WHEN $2 = 'quarantined' THEN now() END WHERE id = $1 AND state IN ('ready','parked')",
        row.id,
        "quarantined" if quarantined else "ready",
        detail[:500],
        float(2 ** (2 * attempts)),
    )
    return quarantined


async def postpone(store: Store, row_ids: Sequence[int], wait_s: float, detail: str) -> None:
    """Try rows again later without counting an attempt: what they need (Stripe) is away."""
    await store.execute(
        "UPDATE inbox SET next_at = desk_now() + make_interval(secs => $2), detail = $3 "
        "WHERE id = ANY($1::bigint[]) AND state IN ('ready','parked')",
        list(row_ids),
        wait_s,
        detail,
    )


# --- for people ------------------------------------------------------------------------------------------------------


async def replay(tx: Tx, external_ids: Sequence[str]) -> int:
    """Make finished or quarantined rows ready again, whatever became of them; effects stay exactly once.

    What has lost its body by age stays as it is: there is nothing to be read again.
    """
    return await tx.execute(
        "UPDATE inbox SET state = 'ready', attempts = 0, alone = false, next_at = '-infinity', waits_for = NULL, "
        "detail = NULL, finished_at = NULL WHERE external_id = ANY($1::text[]) AND state <> 'ready' AND body_hash IS NULL",
        list(external_ids),
    )


async def counts(store: Store) -> Record:
    """Return how many rows wait (leased and future ones included), are parked, and are quarantined."""
    row = await store.fetchrow(
        "SELECT count(*) FILTER (WHERE state = 'ready') AS waiting, "
        "count(*) FILTER (WHERE state = 'parked') AS parked, count(*) FILTER (WHERE state = 'quarantined') AS quarantined "
        "FROM inbox WHERE state IN ('ready','parked','quarantined')"
    )
    assert row is not None  # noqa: S101 - an aggregate always returns a row
    return row
