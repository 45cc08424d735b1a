"""What we ask Stripe to make is written down before it is asked, under a key that the same wish always has.

After a crash or a time-out the same key and parameters are sent again. A call is `pending` until it is `done`, with
the id of what was made, or `refused`, with Stripe's words.
"""

from __future__ import annotations

from collections.abc import Iterable
from typing import Any

from paydesk.store import Record, Store, Tx

HEARD_OF = """
UPDATE stripe_call c SET object_id = n.id
FROM unnest($1::text[], $2::text[], $3::text[]) AS n (subject, name, id)
WHERE c.subject = n.subject AND c.state = 'pending' AND (c.key = n.name OR starts_with(c.key, n.name || ':'))
"""


async def write(tx: Store | Tx, key: str, kind: str, subject: str, params: dict[str, Any]) -> None:
    """Write down a call; one that is written down already stays as it is."""
    await tx.execute(
        "INSERT INTO stripe_call (key, kind, subject, params, first_sent_at) VALUES ($1, $2, $3, $4, now()) "
        "ON CONFLICT DO NOTHING",
        key,
        kind,
        subject,
        params,
    )


async def end(tx: Tx, key: str, object_id: str) -> None:
    """Note what a call has made."""
    await tx.execute("UPDATE stripe_call SET state = 'done', object_id = $2 WHERE key = $1", key, object_id)


async def heard_of(tx: Tx, made: Iterable[tuple[str, str, str]]) -> None:
    """Note what pending calls have made, of which others have told before their answer came: (subject, name, id).

    They stay pending: whoever sent them ends them.
    """
    rows = sorted(set(made))
    if rows:
        await tx.execute(HEARD_OF, *(list(column) for column in zip(*rows, strict=True)))


async def refuse(store: Store, key: str, detail: str) -> None:
    """Note that Stripe said no, and why."""
    await store.execute("UPDATE stripe_call SET state = 'refused', detail = $2 WHERE key = $1", key, detail[:500])


async def pending(tx: Store | Tx, kind: str, subject: str) -> Record | None:
    """Return the call of that kind for a subject whose end nobody has noted yet."""
    return await tx.fetchrow(
        "SELECT * FROM stripe_call WHERE subject = $1 AND kind = $2 AND state = 'pending'", subject, kind
    )
