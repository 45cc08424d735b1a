"""Asking Stripe for something that must come about once: written down first, sent, and looked up when in doubt.

The answer to a call may be lost: then nobody knows whether it was carried out. Whoever goes on with such a call first
looks at Stripe for what it may have made, then sends the same parameters under the same key. Should Stripe itself have
failed for good under that key, and nothing is there, the next attempt has a key of its own.
"""

from __future__ import annotations

from collections.abc import Awaitable, Callable
from dataclasses import dataclass
from typing import Any

from paydesk import calls
from paydesk.errors import StripeFailed, StripeRefused
from paydesk.store import Record, Store, Tx

Object = dict[str, Any]
Send = Callable[[Object, str], Awaitable[Object]]
"""Sends parameters under a key, and returns what was made."""

Find = Callable[[], Awaitable[Object | None]]
"""Returns what the call has made, if it has."""


@dataclass(frozen=True, slots=True)
class Call:
    """A call that is written down under `name`. `fresh`: by us, just now, so that nobody can have sent it."""

    name: str
    key: str
    kind: str
    subject: str
    params: Object
    state: str
    object_id: str | None
    detail: str | None
    fresh: bool


NEWEST = """
SELECT key, kind, subject, params, state, object_id, detail FROM stripe_call
WHERE subject = $1 AND kind = $2 AND (key = $3 OR starts_with(key, $3 || ':')) ORDER BY length(key) DESC, key DESC LIMIT 1
"""


async def known(tx: Tx, name: str, kind: str, subject: str) -> Call | None:
    """Return a call that was written down before, by its newest attempt."""
    row = await tx.fetchrow(NEWEST, subject, kind, name)
    return None if row is None else _call(name, row)


async def written(tx: Tx, name: str, kind: str, subject: str, params: Object) -> Call:
    """Write down a call that nobody has written down before, under the lock of whom it is about."""
    await calls.write(tx, name, kind, subject, params)
    return Call(name, name, kind, subject, params, "pending", None, None, fresh=True)


async def again(tx: Tx, call: Call, params: Object, because: str) -> Call:
    """End an attempt that has certainly made nothing, and write down the next, under a key of its own."""
    number = 2 if call.key == call.name else int(call.key.rpartition(":")[2]) + 1
    key = f"{call.name}:{number}"
    await tx.execute("UPDATE stripe_call SET state = 'refused', detail = $2 WHERE key = $1", call.key, because[:500])
    await calls.write(tx, key, call.kind, call.subject, params)
    return Call(call.name, key, call.kind, call.subject, params, "pending", None, None, fresh=True)


async def answer(store: Store, call: Call, send: Send, find: Find) -> Object:
    """Return what a pending call makes, or has made.

    Raises `StripeRefused`, noted with the call, or `StripeUnavailable`: then it stays pending, to be gone on with.
    """
    found = None if call.fresh else await find()
    if found is not None:
        return found
    try:
        return await send(call.params, call.key)
    except StripeRefused as refused:
        await calls.refuse(store, call.key, refused.message)
        raise
    except StripeFailed:
        found = await find()
        if found is not None:
            return found
        await store.run(lambda tx: again(tx, call, call.params, "Stripe failed, and nothing was made"))
        raise


def _call(name: str, row: Record) -> Call:
    key, kind, subject, params, state, object_id, detail = row
    return Call(name, key, kind, subject, params, state, object_id, detail, fresh=False)
