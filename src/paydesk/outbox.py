"""Hop 2: what is to be said or done outside. Written with the money, delivered after it, once per key.

put       inside the transaction that has the effects
claim     lease the oldest unsent row of each thread (order per conversation; a dead channel delays nobody else)
finish    note how the attempt ended, fenced by the claim

Delivery is at least once: a worker may die between the send and its note. The row's key goes with the message, so
that a channel that can drops the repeat.
"""

from __future__ import annotations

import random
from collections.abc import Sequence
from dataclasses import dataclass, field
from datetime import datetime
from typing import Any
from uuid import UUID, uuid4

from paydesk.store import Record, Store, Tx

LEASE_S = 30
ATTEMPTS_MAX = 40
GAP_S_MAX = 6 * 3600


@dataclass(frozen=True, slots=True)
class Message:
    """Something to deliver: `template` with `params` to `address` on `channel`, once per `key`.

    News `about` the same thing (an order) in the same thread becomes one message, where the channel can edit.
    """

    key: str
    customer: str | None
    channel: str
    address: str
    template: str
    params: dict[str, Any] = field(default_factory=dict)
    conversation: str | None = None
    inbox_id: int | None = None
    about: str | None = None


@dataclass(frozen=True, slots=True)
class Delivery:
    """A claimed row: the message, how often it was tried, and the claim that fences its end."""

    id: int
    claim_id: UUID
    attempts: int
    key: str
    customer: str | None
    channel: str
    address: str
    conversation: str | None
    template: str
    params: dict[str, Any]
    created_at: datetime
    about: str | None = None


@dataclass(frozen=True, slots=True)
class Result:
    """How an attempt ended: `sent`, `later` (with a wait), or `dead` (nobody need try again)."""

    outcome: str
    detail: str | None = None
    wait_s: float | None = None
    receipt: dict[str, Any] | None = None


PUT = """
INSERT INTO outbox (dedup_key, customer_id, channel, address, conversation, template, params, inbox_id, about)
SELECT * FROM unnest($1::text[], $2::text[], $3::text[], $4::text[], $5::text[], $6::text[], $7::jsonb[], $8::bigint[],
                     $9::text[])
ON CONFLICT (dedup_key) DO NOTHING
"""

# The oldest unsent row of each (channel, address) only: what a person reads comes in order. What is done about a role
# has a line of its own, one for each role: a server that refuses us holds up neither messages nor other servers.
CLAIM = f"""
UPDATE outbox SET state = 'leased', attempts = attempts + 1, claim_id = $1,
    next_at = now() + make_interval(secs => {LEASE_S})
WHERE id = ANY (ARRAY(
    SELECT o.id FROM outbox o
    WHERE o.state IN ('ready','leased') AND o.next_at <= desk_now()
      AND o.next_at <= CASE WHEN o.state = 'leased' THEN now() ELSE desk_now() END
      AND NOT EXISTS (
        SELECT FROM outbox p WHERE p.channel = o.channel AND p.address = o.address AND p.id < o.id
          AND p.state IN ('ready','leased')
          AND (p.template IN ('grant','revoke')) = (o.template IN ('grant','revoke'))
          AND (o.template NOT IN ('grant','revoke') OR p.conversation = o.conversation))
    ORDER BY o.next_at LIMIT $2 FOR UPDATE SKIP LOCKED))
RETURNING id, claim_id, attempts, dedup_key, customer_id, channel, address, conversation, template, params, created_at,
    about
"""

EDITED_DAYS_MAX = 7
"""An edit rings nobody's phone: news about what was told longer ago than this is a message of its own."""

TOLD = f"""
SELECT id, receipt, finished_at > now() - interval '{EDITED_DAYS_MAX} days' FROM outbox
WHERE about = $1 AND channel = $2 AND address = $3 AND conversation IS NOT DISTINCT FROM $4 AND id <> $5
  AND state = 'sent' AND receipt IS NOT NULL
ORDER BY id DESC LIMIT 1
"""

FINISH = """
UPDATE outbox SET state = $3, detail = $4, receipt = $5, claim_id = NULL,
    next_at = CASE WHEN $3 = 'ready' THEN desk_now() + make_interval(secs => $6) ELSE next_at END,
    finished_at = CASE WHEN $3 = 'ready' THEN NULL ELSE now() END
WHERE id = $1 AND claim_id = $2 AND state = 'leased'
"""


async def put(tx: Tx, messages: Sequence[Message]) -> int:
    """Write messages, those whose key is new; return how many were. The transaction decides whether they exist."""
    rows = [
        (m.key, m.customer, m.channel, m.address, m.conversation, m.template, m.params, m.inbox_id, m.about)
        for m in messages
    ]
    if not rows:
        return 0
    return await tx.execute(PUT, *(list(column) for column in zip(*rows, strict=True)))


async def claim(store: Store, *, rows_max: int) -> list[Delivery]:
    """Lease messages that are due, in a transaction of its own, attempts counted."""
    return [Delivery(*row) for row in await store.fetch(CLAIM, uuid4(), rows_max)]


@dataclass(frozen=True, slots=True)
class Told:
    """What was told last about the same thing in the same thread. `newer` than the news in hand; `fresh` enough to edit."""

    receipt: dict[str, Any]
    newer: bool
    fresh: bool


async def told_before(store: Store, delivery: Delivery) -> Told | None:
    """Return what was told last about the same as `delivery`, `None` when nothing was."""
    if delivery.about is None:
        return None
    row = await store.fetchrow(
        TOLD, delivery.about, delivery.channel, delivery.address, delivery.conversation, delivery.id
    )
    return None if row is None else Told(row[1], row[0] > delivery.id, row[2])


async def renew(store: Store, claimed: Sequence[Delivery]) -> None:
    """Lengthen the leases of messages whose attempts are still under way."""
    await store.execute(
        "UPDATE outbox SET next_at = now() + make_interval(secs => $3) "
        "WHERE id = ANY($1::bigint[]) AND claim_id = $2 AND state = 'leased'",
        [delivery.id for delivery in claimed],
        claimed[0].claim_id,
        LEASE_S,
    )


async def finish(store: Store, delivery: Delivery, result: Result) -> bool:
    """Note how an attempt ended; `False` when the lease had ended and somebody else has the row."""
    state, wait_s = _next(delivery, result)
    async with store.transaction() as tx:
        await tx.execute(
            "INSERT INTO attempt (outbox_id, outcome, detail) VALUES ($1, $2, $3)",
            delivery.id,
            result.outcome,
            result.detail,
        )
        touched = await tx.execute(
            FINISH, delivery.id, delivery.claim_id, state, result.detail, result.receipt, float(wait_s)
        )
    return touched == 1


def _next(delivery: Delivery, result: Result) -> tuple[str, float]:
    """Return the row's next state and how long to wait: full jitter over growing gaps, days in all, then dead."""
    if result.outcome == "sent":
        return "sent", 0.0
    if result.outcome == "dead" or delivery.attempts >= ATTEMPTS_MAX:
        return "dead", 0.0
    if result.wait_s is not None:
        return "ready", result.wait_s
    gap_s = min(float(2 ** min(delivery.attempts, 20)), GAP_S_MAX)
    return "ready", gap_s / 2 + random.uniform(0, gap_s / 2)  # noqa: S311 - spreads load, guards nothing


async def retry(tx: Tx, ids: Sequence[int]) -> int:
    """Make dead or waiting messages due now; return how many."""
    return await tx.execute(
        "UPDATE outbox SET state = 'ready', attempts = 0, next_at = '-infinity', finished_at = NULL "
        "WHERE id = ANY($1::bigint[]) AND state IN ('ready','dead')",
        list(ids),
    )


async def counts(store: Store) -> Record:
    """Return how many messages wait (leased ones included) and how many are dead."""
    row = await store.fetchrow(
        "SELECT count(*) FILTER (WHERE state IN ('ready','leased')) AS waiting, "
        "count(*) FILTER (WHERE state = 'dead') AS dead FROM outbox WHERE state IN ('ready','leased','dead')"
    )
    assert row is not None  # noqa: S101 - an aggregate always returns a row
    return row
