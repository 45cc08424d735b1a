"""Lists of what is stored, newest first, for the API and the commands: a page at a time, by a cursor."""

from __future__ import annotations

from paydesk import audit, inbox, outbox
from paydesk.errors import Conflict, Invalid, NotFound
from paydesk.store import Record, Store, Tx

EVENT_STATES = ("ready", "parked", "done", "ignored", "quarantined")
DELIVERY_STATES = ("waiting", "sent", "dead")
ID_MAX = 2**63 - 1


async def events(
    store: Store, *, state: str | None = None, starting_after: str | None = None, limit: int = 20
) -> list[Record]:
    """Return inbox rows, newest first, after the event named by `starting_after`."""
    if state is not None and state not in EVENT_STATES:
        raise Invalid(f"state is one of {', '.join(EVENT_STATES)}", param="state")
    cursor = None
    if starting_after is not None:
        cursor = await store.fetchval("SELECT max(id) FROM inbox WHERE external_id = $1", starting_after)
        if cursor is None:
            raise Invalid(f"no event {starting_after}", param="starting_after")
    return await store.fetch(
        "SELECT * FROM inbox WHERE ($1::text IS NULL OR state = $1) AND ($2::bigint IS NULL OR id < $2) "
        "ORDER BY id DESC LIMIT $3",
        state,
        cursor,
        limit,
    )


async def event(store: Store, id_: str) -> Record | None:
    """Return an inbox row with its body, by the event's id."""
    return await store.fetchrow("SELECT * FROM inbox WHERE external_id = $1 ORDER BY id DESC LIMIT 1", id_)


async def deliveries(
    store: Store, *, state: str | None = None, starting_after: str | None = None, limit: int = 20
) -> list[Record]:
    """Return outbox rows, newest first, after the delivery named by `starting_after`."""
    if state is not None and state not in DELIVERY_STATES:
        raise Invalid(f"state is one of {', '.join(DELIVERY_STATES)}", param="state")
    cursor = delivery_id(starting_after, "starting_after") if starting_after is not None else None
    states = ["ready", "leased"] if state == "waiting" else [state] if state else None
    return await store.fetch(
        "SELECT * FROM outbox WHERE ($1::text[] IS NULL OR state = ANY($1)) AND ($2::bigint IS NULL OR id < $2) "
        "ORDER BY id DESC LIMIT $3",
        states,
        cursor,
        limit,
    )


ENTRIES = """
SELECT e.id, e.source, e.reason, e.unit, e.amount, e.balance_after, e.memo, e.customer_id, e.at,
       giver.kind AS giver, taker.kind AS taker
FROM (SELECT id FROM customer WHERE id = $1 OR merged_into = $1) AS person
CROSS JOIN LATERAL (
    SELECT * FROM entry WHERE customer_id = person.id AND ($2::bigint IS NULL OR id < $2)
    AND ($3::text IS NULL OR unit = $3) ORDER BY id DESC LIMIT $4
) AS e
JOIN account giver ON giver.id = e.from_account JOIN account taker ON taker.id = e.to_account
ORDER BY e.id DESC LIMIT $4
"""
"""Of each who has become this person the newest so many, and of those the newest so many."""


async def entries(
    store: Store, person: str, *, unit: str | None = None, starting_after: str | None = None, limit: int = 20
) -> list[Record]:
    """Return a person's ledger entries, newest first, with the kinds of the accounts that gave and took."""
    cursor = entry_id(starting_after) if starting_after is not None else None
    return await store.fetch(ENTRIES, person, cursor, unit, limit)


def entry_id(text: str) -> int:
    """Return an entry's number; raises `Invalid`."""
    if not text.isascii() or not text.isdigit() or int(text[:20]) > ID_MAX:
        raise Invalid(f"no entry {text}", param="starting_after")
    return int(text)


def delivery_id(text: str, param: str) -> int:
    """Return a delivery's number; raises `Invalid`."""
    if not text.isascii() or not text.isdigit() or int(text[:20]) > ID_MAX:
        raise Invalid(f"no delivery {text}", param=param)
    return int(text)


PRUNED = "SELECT external_id FROM inbox WHERE external_id = ANY($1::text[]) AND body_hash IS NOT NULL LIMIT 1"


async def replay(store: Store, event_ids: list[str], *, actor: str) -> int:
    """Send events through the money path again, noted in the audit log; return how many there were.

    Raises `Conflict` when one of them has lost its body by age: then none is sent.
    """

    async def work(tx: Tx) -> int:
        pruned = await tx.fetchval(PRUNED, event_ids)
        if pruned is not None:
            raise Conflict(f"{pruned} is older than PAYDESK_KEEP_DAYS: its body is gone", param="event")
        number = await inbox.replay(tx, event_ids)
        await audit.note(tx, actor, "event.replay", event_ids)
        return number

    return await store.run(work)


async def retry(store: Store, number: int, *, actor: str) -> Record:
    """Make a delivery due now, noted in the audit log; raises `NotFound`."""

    async def work(tx: Tx) -> Record | None:
        await outbox.retry(tx, [number])
        await audit.note(tx, actor, "delivery.retry", [str(number)])
        return await tx.fetchrow("SELECT * FROM outbox WHERE id = $1", number)

    row = await store.run(work)
    if row is None:
        raise NotFound(f"no delivery {number}", param="delivery")
    return row
