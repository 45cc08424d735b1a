"""Timers: rows that become due in desk time and then enter by the inbox, like everything else that changes something."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from datetime import UTC, datetime

import orjson

from paydesk import inbox
from paydesk.facts import TimerFired
from paydesk.ledger import Book
from paydesk.store import Store, Tx

SOURCE = "timer"
BATCH_MAX = 500


@dataclass(frozen=True, slots=True)
class Timer:
    """Something to happen at `due` for `subject`, which belongs to `customer`. Setting it twice is setting it once."""

    kind: str
    subject: str
    due: datetime
    customer: str


async def put(tx: Tx, timers: Sequence[Timer]) -> None:
    """Set timers, those not set already."""
    rows = sorted({(t.kind, t.subject, t.due, t.customer) for t in timers})
    if rows:
        await tx.execute(
            "INSERT INTO timer (kind, subject, due, customer_id) "
            "SELECT * FROM unnest($1::text[], $2::text[], $3::timestamptz[], $4::text[]) ON CONFLICT DO NOTHING",
            *(list(column) for column in zip(*rows, strict=True)),
        )


def of_lots(book: Book) -> list[Timer]:
    """Return the timers that sweep the lots which a book has changed, when they end."""
    whose = {account.id: (owner, unit) for (owner, unit, kind), account in book.accounts.items() if kind == "wallet"}
    ends = {(*whose[lot.account], lot.expires_at) for lot in book.changed_lots.values() if lot.account in whose}
    return [Timer("lots_end", f"{owner}|{unit}", end, owner) for owner, unit, end in ends if end is not None]


async def fire(store: Store) -> int:
    """Move timers that are due into the inbox, in one transaction; return how many."""
    async with store.transaction() as tx:
        due = await tx.fetch(
            # By where they lie: they are locked, and no plan can think of reading the whole table for them.
            "UPDATE timer SET state = 'fired' WHERE ctid = ANY(ARRAY("
            "SELECT ctid FROM timer WHERE state = 'waiting' AND due <= desk_now() "
            f"ORDER BY due LIMIT {BATCH_MAX} FOR UPDATE SKIP LOCKED)) RETURNING kind, subject, due, customer_id"
        )
        livemode = bool(await tx.fetchval("SELECT livemode FROM desk")) if due else False
        await inbox.put(tx, [_envelope(*row, livemode=livemode) for row in due])
    return len(due)


def _envelope(kind: str, subject: str, due: datetime, customer: str | None, *, livemode: bool) -> inbox.Envelope:
    stamp = due.astimezone(UTC).isoformat()
    body = orjson.dumps({"kind": kind, "subject": subject, "due": stamp})
    return inbox.Envelope(SOURCE, f"{kind}:{subject}:{stamp}", kind, inbox.lane_of(customer or subject), body, livemode)


def read(body: bytes) -> TimerFired:
    """Return the fact in a timer's inbox row."""
    parsed = orjson.loads(body)
    return TimerFired(datetime.fromisoformat(parsed["due"]), parsed["kind"], parsed["subject"])
