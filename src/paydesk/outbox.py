"""Hop 2: what is to be said or done outside. Written with the money, delivered after it, once per key.

put       inside the transaction that has the effects
claim     lease what is due, the oldest of each thread: `turns.py`
finish    note how the attempt ended, fenced by the claim
wake      what waits for a person or a set-up is due again

A row is `ready`, `leased` while it is tried, `waiting` for somebody to act, then `sent` or `dead`. Delivery is at
least once: a worker may die between the send and its note. The row's key goes with the message, so that a channel that
can drops the repeat.
"""

from __future__ import annotations

import random
from collections.abc import Collection, Mapping, Sequence
from dataclasses import dataclass, field, fields, replace
from datetime import UTC, datetime
from typing import Any
from uuid import UUID

from paydesk import inbox
from paydesk.store import Record, Store, Tx

LEASE_S = 30
ATTEMPTS_MAX = 40
AGE_S_MIN = 3 * 86_400.0
"""Nothing is given up that is younger, however often it was tried: platforms are away for days."""

GAP_S_MAX = 6 * 3600

UNKNOWN = "unknown"
"""How the detail of a message begins whose last attempt may have arrived."""

NOT_DELIVERED = "not delivered"
"""How the detail of a message begins of which its platform told later, or while it was sent, that it did not arrive."""

NOT_NOTED = "its end could not be noted as it was"

EVENT = "event"
"""The template of what is told to other programs, by outgoing webhooks."""


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
    """A claimed row: the message, how often it was tried, and the claim that fences its end.

    `attempts` begins anew when what it waited for has come; `tried` says whether an attempt has ended before, ever,
    `unknown` whether the last one may have arrived. `waited_for`: it is tried to see whether that is mended.
    """

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
    tried: bool = False
    unknown: bool = False
    waited_for: str | None = None

    @property
    def attempt(self) -> int:
        """Return 1 for the very first attempt, more for one before which something may have been sent."""
        return max(self.attempts, 2 if self.tried else 1)


@dataclass(frozen=True, slots=True)
class Result:
    """How an attempt ended: `sent`, `later` (with a wait), `waiting` for `waits_for`, or `dead` (no use in trying again).

    An attempt that is not `counted` was turned down by a rate limit or a set-up, which is nobody's failure. `away` says
    that the platform did not answer as it should, `asked` whether it was asked at all, `rest_s` that its whole channel is
    to rest for so long.

    With the end of the attempt, in one transaction: `messages` are put, what it `tells` enters by the inbox, what waits
    for one of `wakes` is due again, the message `withdraws` needs not be said any more, those whose ids are `also` were
    told with it, and who is `lost` (channel, id, why, whether for ever, whether
    deleted) is noted.
    """

    outcome: str
    detail: str | None = None
    wait_s: float | None = None
    receipt: dict[str, Any] | None = None
    waits_for: str | None = None
    counted: bool = True
    away: bool = False
    asked: bool = True
    rest_s: float | None = None
    messages: tuple[Message, ...] = ()
    wakes: tuple[str, ...] = ()
    withdraws: str | None = None
    also: tuple[int, ...] = ()
    tells: tuple[inbox.Envelope, ...] = ()
    lost: tuple[str, str, str, bool, bool] | None = None


PUT = """
INSERT INTO outbox (dedup_key, customer_id, channel, address, conversation, template, params, inbox_id, about, urgent)
SELECT n.*, n.template = ANY ('{reply,answer_paying}') FROM unnest($1::text[], $2::text[], $3::text[], $4::text[],
    $5::text[], $6::text[], $7::jsonb[], $8::bigint[], $9::text[])
    AS n (key, customer, channel, address, conversation, template, params, inbox_id, about)
ON CONFLICT (dedup_key) DO NOTHING
"""

EDITED_DAYS_MAX = 7
"""An edit rings nobody's phone: news about what was told longer ago than this is a message of its own."""

TOLD = f"""
SELECT id, receipt, finished_at > now() - interval '{EDITED_DAYS_MAX} days' FROM outbox
WHERE about = $1 AND channel = $2 AND address = $3 AND conversation IS NOT DISTINCT FROM $4 AND id <> $5
  AND state = 'sent' AND receipt IS NOT NULL
ORDER BY id DESC LIMIT 1
"""

FINISH = f"""
UPDATE outbox SET state = $3, receipt = $5,
    detail = CASE WHEN $3 = 'sent' AND starts_with(detail, '{NOT_DELIVERED}') THEN detail ELSE $4 END,
    claim_id = NULL, waits_for = $7,
    attempts = attempts - CASE WHEN $8 THEN 0 ELSE 1 END,
    next_at = CASE WHEN $3 = 'ready' THEN desk_now() + make_interval(secs => $6) ELSE next_at END,
    finished_at = CASE WHEN $3 IN ('ready','waiting') THEN NULL ELSE now() END
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
        "UPDATE outbox o SET next_at = now() + make_interval(secs => $3) "
        "FROM unnest($1::bigint[], $2::uuid[]) AS c (id, claim_id) "
        "WHERE o.id = c.id AND o.claim_id = c.claim_id AND o.state = 'leased'",
        [delivery.id for delivery in claimed],
        [delivery.claim_id for delivery in claimed],
        LEASE_S,
    )


LOST = """
INSERT INTO unreachable (channel, external_id, reason, for_ever, deleted) VALUES ($1, $2, $3, $4, $5)
ON CONFLICT (channel, external_id) DO UPDATE SET reason = excluded.reason, since = now(),
    for_ever = unreachable.for_ever OR excluded.for_ever, deleted = unreachable.deleted OR excluded.deleted
"""


ALSO = """
UPDATE outbox SET state = 'sent', detail = 'told together', finished_at = now()
WHERE id = ANY($1::bigint[]) AND state = 'ready'
"""


async def finish(store: Store, delivery: Delivery, result: Result) -> bool:
    """Note how an attempt ended, with what follows; `False` when the lease had ended and somebody else has the row."""
    state, wait_s = _next(delivery, result)
    async with store.transaction() as tx:
        await tx.execute(
            "INSERT INTO attempt (outbox_id, outcome, detail) VALUES ($1, $2, $3)",
            delivery.id, result.outcome, result.detail,
        )  # fmt: skip
        touched = await tx.execute(
            FINISH, delivery.id, delivery.claim_id, state, result.detail, result.receipt, float(wait_s),
            result.waits_for if state == "waiting" else None, result.counted or state != "ready",
        )  # fmt: skip
        if touched:
            await _follow_up(tx, result)
    return touched == 1


async def _follow_up(tx: Tx, result: Result) -> None:
    await put(tx, result.messages)
    await inbox.put(tx, result.tells)
    if result.wakes:
        await wake(tx, result.wakes)
    if result.withdraws is not None:
        await withdraw(tx, result.withdraws, "told elsewhere")
    if result.also:
        await tx.execute(ALSO, list(result.also))
    if result.lost is not None:
        await tx.execute(LOST, *result.lost)


def storable(value: Any) -> Any:
    """Return a result without what PostgreSQL stores in no text: NUL characters and halves of characters."""
    if isinstance(value, str):
        return value.replace("\0", "").encode(errors="replace").decode()
    if isinstance(value, Mapping):
        return {storable(key): storable(one) for key, one in value.items()}
    if isinstance(value, (list, tuple)):
        return type(value)(storable(one) for one in value)
    if isinstance(value, (Result, Message, inbox.Envelope)):
        return replace(value, **{one.name: storable(getattr(value, one.name)) for one in fields(value)})
    return value


def lessened(result: Result) -> Result:
    """Return less of a result that cannot be stored: first all that must not be lost, then what is told, then the end."""
    if result.detail != NOT_NOTED:
        return Result(
            result.outcome, NOT_NOTED, wait_s=result.wait_s, waits_for=result.waits_for, counted=result.counted,
            tells=result.tells, messages=result.messages, wakes=result.wakes,
        )  # fmt: skip
    if result.messages:
        return replace(result, messages=())
    return replace(result, tells=(), wakes=())


def _next(delivery: Delivery, result: Result) -> tuple[str, float]:
    """Return the row's next state and how long to wait: full jitter over growing gaps, days in all, then dead."""
    if result.outcome in ("sent", "waiting", "dead"):
        return result.outcome, 0.0
    if exhausted(delivery, result):
        return "dead", 0.0
    if result.wait_s is not None:
        return "ready", result.wait_s
    gap_s = min(float(2 ** min(delivery.attempts, 20)), GAP_S_MAX)
    return "ready", gap_s / 2 + random.uniform(0, gap_s / 2)  # noqa: S311 - spreads load, guards nothing


def exhausted(delivery: Delivery, result: Result) -> bool:
    """Say whether an attempt that is to be repeated was the last one."""
    old = (datetime.now(UTC) - delivery.created_at).total_seconds() > AGE_S_MIN
    return result.outcome == "later" and result.counted and delivery.attempts >= ATTEMPTS_MAX and old


async def retry(tx: Tx, ids: Sequence[int]) -> int:
    """Make dead or waiting messages due now; return how many."""
    return await tx.execute(
        "UPDATE outbox SET state = 'ready', attempts = 0, next_at = '-infinity', finished_at = NULL, waits_for = NULL, "
        "behind = false WHERE id = ANY($1::bigint[]) AND state IN ('ready','waiting','dead')",
        list(ids),
    )


WAKE = """
UPDATE outbox SET state = 'ready', attempts = 0, next_at = '-infinity', waits_for = NULL
WHERE state = 'waiting' AND waits_for = ANY($1::text[])
"""

PROBE = """
UPDATE outbox SET state = 'ready', next_at = '-infinity' WHERE id IN (
    SELECT min(id) FROM outbox WHERE state = 'waiting' AND starts_with(waits_for, $1) GROUP BY waits_for)
"""


async def wake(db: Store | Tx, whom: Collection[str]) -> int:
    """Make due what waits for one of `whom`; return how many messages that were."""
    return await db.execute(WAKE, sorted(whom))


LEND = """
UPDATE outbox SET params = params || jsonb_build_object('answers', $2::jsonb)
WHERE state = 'waiting' AND waits_for = $1 AND template NOT IN ('grant','revoke')
"""


async def lend(db: Store | Tx, whom: str, answers: Mapping[str, Any]) -> None:
    """Give what waits for somebody the means to answer what they said just now: it may be the only way to tell them."""
    await db.execute(LEND, whom, dict(answers))


async def wake_all(db: Store | Tx, prefix: str) -> int:
    """Make due what waits for anything named so; return how many messages that were."""
    return await db.execute(WAKE.replace("waits_for = ANY($1::text[])", "starts_with(waits_for, $1)"), prefix)


async def probe(store: Store, prefix: str) -> int:
    """Try the oldest message again of each that waits for something named so; return how many. The others wait on."""
    return await store.execute(PROBE, prefix)


async def held_number(store: Store, whom: str) -> int:
    """Return how many messages wait for one thing or person."""
    number: int = await store.fetchval("SELECT count(*) FROM outbox WHERE state = 'waiting' AND waits_for = $1", whom)
    return number


async def withdraw(db: Store | Tx, key: str, detail: str) -> None:
    """End a message that waits for somebody: its news reached them another way."""
    await db.execute(
        "UPDATE outbox SET state = 'sent', detail = $2, finished_at = now() WHERE dedup_key = $1 AND state = 'waiting'",
        key,
        detail,
    )


async def note_undelivered(db: Store | Tx, key: str, reason: str) -> None:
    """Note that a message did not arrive after all; a platform may tell so before the end of the attempt is written."""
    await db.execute(
        "UPDATE outbox SET detail = $2 WHERE dedup_key = $1 AND state IN ('leased','sent')",
        key,
        f"{NOT_DELIVERED}: {reason}"[:400],
    )


async def counts(store: Store) -> Record:
    """Return how many messages wait (leased ones included), are held for somebody to act, and are dead."""
    row = await store.fetchrow(
        "SELECT count(*) FILTER (WHERE state IN ('ready','leased')) AS waiting, "
        "count(*) FILTER (WHERE state = 'waiting') AS held, count(*) FILTER (WHERE state = 'dead') AS dead "
        "FROM outbox WHERE state IN ('ready','leased','waiting','dead')"
    )
    assert row is not None  # noqa: S101 - an aggregate always returns a row
    return row
