"""Lists of what is stored, newest first, for the API and the commands: a page at a time, by a cursor."""

from __future__ import annotations

from paydesk import audit, inbox, outbox
from paydesk.errors import Conflict, Invalid, NotFound
from paydesk.paging import ID_MAX as ID_MAX
from paydesk.paging import Cut as Cut
from paydesk.paging import Listed, Only, Page, number_of, plain_number, read
from paydesk.store import Record, Store, Tx

EVENT_STATES = ("ready", "parked", "done", "ignored", "quarantined")
DELIVERY_STATES = ("waiting", "sent", "dead")

EVENTS = Listed("event", "i.*", "inbox i", ("i.id",), "i.received_at", "i.external_id")
DELIVERIES = Listed("delivery", "d.*", "outbox d", ("d.id",), "d.created_at", "d.id", number=plain_number)


async def events(store: Store, cut: Cut, *, state: str | None = None, kind: str | None = None) -> Page:
    """Return inbox rows, newest first: of a state, of a type of event."""
    if state is not None and state not in EVENT_STATES:
        raise Invalid(f"state is one of {', '.join(EVENT_STATES)}", param="state")
    asked = (("i.state = {}", state), ("i.kind = {}", kind))
    async with store.transaction() as tx:
        return await read(tx, EVENTS, [Only(where, (value,)) for where, value in asked if value is not None], cut)


async def event(store: Store, id_: str) -> Record | None:
    """Return an inbox row with its body, by the event's id."""
    return await store.fetchrow("SELECT * FROM inbox WHERE external_id = $1 ORDER BY id DESC LIMIT 1", id_)


WHOSE = "d.customer_id = ANY(ARRAY(SELECT id FROM customer WHERE id = {} OR merged_into = {}))"
"""What was said to somebody before they were merged into this person stays theirs in the list."""


async def deliveries(
    store: Store, cut: Cut, *, state: str | None = None, customer: str | None = None, channel: str | None = None
) -> Page:
    """Return outbox rows, newest first: of a state, of a person, of a channel."""
    if state is not None and state not in DELIVERY_STATES:
        raise Invalid(f"state is one of {', '.join(DELIVERY_STATES)}", param="state")
    wanted = []
    if customer is not None:
        wanted.append(Only(WHOSE, (customer, customer), steady=True))
    if channel is not None:
        wanted.append(Only("d.channel = {}", (channel,)))
    if state is not None:
        states = ["ready", "leased", "waiting"] if state == "waiting" else [state]
        wanted.append(Only("d.state = ANY({}::text[])", (states,)))
    async with store.transaction() as tx:
        return await read(tx, DELIVERIES, wanted, cut)


async def delivery(store: Store, number: int) -> Record:
    """Return an outbox row; raises `NotFound`."""
    row = await store.fetchrow("SELECT * FROM outbox WHERE id = $1", number)
    if row is None:
        raise NotFound(f"no delivery {number}", param="delivery")
    return row


ENTRIES = """
SELECT e.id, e.source, e.reason, e.unit, e.amount, e.balance_after, e.memo, e.customer_id, e.at,
       giver.kind AS giver, taker.kind AS taker
FROM (SELECT id FROM customer WHERE id = $1 OR merged_into = $1) AS person
CROSS JOIN LATERAL (
    SELECT * FROM entry WHERE customer_id = person.id AND ($2::bigint IS NULL OR id {beyond} $2)
    AND ($3::text IS NULL OR unit = $3) AND ($4::timestamptz IS NULL OR at >= $4) AND ($5::timestamptz IS NULL OR at < $5)
    ORDER BY id {order} LIMIT $6
) AS e
JOIN account giver ON giver.id = e.from_account JOIN account taker ON taker.id = e.to_account
ORDER BY e.id {order} LIMIT $6
"""
"""Of each who has become this person the newest so many, and of those the newest so many."""

FORWARD = ENTRIES.format(beyond="<", order="DESC")
BACKWARD = ENTRIES.format(beyond=">", order="ASC")


OWN_ENTRY = """
SELECT EXISTS (SELECT FROM entry e JOIN customer c ON c.id = e.customer_id
    WHERE e.id = $1 AND (c.id = $2 OR c.merged_into = $2))
"""


async def entries(store: Store, person: str, cut: Cut, *, unit: str | None = None) -> Page:
    """Return a person's ledger entries, newest first, with the kinds of the accounts that gave and took."""
    if cut.starting_after is not None and cut.ending_before is not None:
        raise Invalid("give starting_after or ending_before, not both", param="ending_before")
    backwards = cut.ending_before is not None
    param, text = ("ending_before", cut.ending_before) if backwards else ("starting_after", cut.starting_after)
    cursor = None if text is None else number_of(plain_number, text, "entry", param)
    if cursor is not None and not await store.fetchval(OWN_ENTRY, cursor, person):
        raise Invalid(f"{param}: this list has no entry {text}", param=param)
    rows = await store.fetch(
        BACKWARD if backwards else FORWARD, person, cursor, unit, cut.since, cut.until, cut.limit + 1
    )
    found = rows[: cut.limit]
    return Page(found[::-1] if backwards else found, len(rows) > cut.limit)


def delivery_id(text: str, param: str) -> int:
    """Return a delivery's number; raises `Invalid`."""
    return number_of(plain_number, text, "delivery", param)


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
