"""Where a person can be told things now: whom a channel cannot reach, and which other address of theirs is next."""

from __future__ import annotations

from collections.abc import Collection, Mapping, Sequence
from dataclasses import dataclass
from datetime import timedelta
from typing import Any

from paydesk import customers, outbox
from paydesk.channels.base import Address
from paydesk.privacy import Vault
from paydesk.store import Store, Tx

MAIL = "mail"
"""The channel whose addresses are what people gave as their e-mail."""

TRIED_AGAIN_AFTER = timedelta(days=1)
"""Somebody may open their messages again without our being told."""

Tried = Sequence[Sequence[str]]
"""(channel, external id) of where a message has been tried."""


def waiting_for(who: Address, space: str | None = None) -> str:
    """Return the name under which messages wait for a person to be there, in a space or at all."""
    return f"user:{who.channel}:{who.external_id}" if space is None else f"join:{who.channel}:{space}:{who.external_id}"


def waiting_for_mend(channel: str, resource: str) -> str:
    """Return the name under which messages wait for a set-up to be mended."""
    return f"mend:{channel}:{resource}"


OWNER = """
SELECT i.customer_id <> coalesce(c.merged_into, c.id) FROM customer c, identity i
WHERE c.id = $1 AND i.channel = $2 AND i.external_id = $3
"""


async def is_somebody_elses(store: Store, customer: str | None, who: Address) -> bool:
    """Say whether an address has become somebody else's since a message was put: they must not read it."""
    return customer is not None and bool(await store.fetchval(OWNER, customer, who.channel, who.external_id))


@dataclass(frozen=True, slots=True)
class Unreachable:
    """Why a channel cannot tell somebody things; with `deleted`, because their account there is not there any more."""

    reason: str
    deleted: bool


async def unreachable(store: Store, who: Address, *, for_ever: bool = False) -> Unreachable | None:
    """Return why a channel cannot tell somebody things now, `None` when it can or may be tried again.

    With `for_ever`, only what never ends by itself counts: somebody who said STOP is not even answered.
    """
    row = await store.fetchrow(
        "SELECT reason, deleted FROM unreachable WHERE channel = $1 AND external_id = $2 "
        "AND (for_ever OR NOT $4 AND since > now() - $3::interval)",
        who.channel,
        who.external_id,
        TRIED_AGAIN_AFTER,
        for_ever,
    )
    return None if row is None else Unreachable(*row)


async def lost(db: Store | Tx, who: Address, reason: str, *, for_ever: bool) -> None:
    """Note that somebody cannot be told things on a channel."""
    await db.execute(outbox.LOST, who.channel, who.external_id, reason[:200], for_ever, False)


async def found(db: Store | Tx, who: Address, *, answers: Mapping[str, Any] | None = None, asked: bool = True) -> None:
    """Note that somebody is there (again), and let what waited for them go out, as an answer to what they said if need be.

    Who said STOP is found only when they have `asked` to be told things again: not by saying something else.
    """
    gone = await db.execute(
        "DELETE FROM unreachable WHERE channel = $1 AND external_id = $2 AND ($3 OR NOT for_ever)",
        who.channel,
        who.external_id,
        asked,
    )
    if not gone and not asked and await db.fetchval(STOPPED, who.channel, who.external_id):
        return
    if answers is not None:
        await outbox.lend(db, waiting_for(who), answers)
    await outbox.wake(db, {waiting_for(who)})


STOPPED = "SELECT true FROM unreachable WHERE channel = $1 AND external_id = $2 AND for_ever"


async def arrived(db: Store | Tx, who: Address, space: str) -> None:
    """Let what waited for somebody to be in a space be done: that says nothing of whether they can be told things."""
    await outbox.wake(db, {waiting_for(who, space)})


async def next_address(
    store: Store, vault: Vault, customer: str, tried: Tried, able: Collection[str]
) -> Address | None:
    """Return another address of a person on a channel that is `able`: where they were met last, at the end their e-mail."""
    known = {tuple(one) for one in tried}
    person = await customers.get(store, vault, customer)
    places = [Address(one.channel, one.external_id) for one in reversed(person.identities) if one.channel in able]
    if person.email is not None and MAIL in able:
        places.append(Address(MAIL, person.email))
    for place in places:
        if (place.channel, place.external_id) not in known and await unreachable(store, place) is None:
            return place
    return None


BILLED = """
SELECT s.id, coalesce(s.items -> 'data' -> 0 -> 'terms' ->> 'name', s.items -> 'data' -> 0 ->> 'key', '') AS name
FROM subscription s WHERE s.customer_id = (SELECT coalesce(merged_into, id) FROM customer WHERE id = $1)
  AND s.status IN ('trialing','active','past_due','unpaid') AND s.cancel_at IS NULL ORDER BY s.id
"""


async def billed_for(store: Store, customer: str | None) -> list[tuple[str, str]]:
    """Return the subscriptions that will bill a person again, with the names of what they are for."""
    if customer is None:
        return []
    return [(row["id"], row["name"]) for row in await store.fetch(BILLED, customer)]
