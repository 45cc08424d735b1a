"""Claiming: what is sold to start when its buyer says so (`starts = "claim"`) starts now.

It happens under the customer's lock and answers at once, as spending does: whoever claims waits for the answer, and what
has been claimed needs no id to be claimed once: its clock runs already.
"""

from __future__ import annotations

from dataclasses import dataclass
from datetime import datetime
from functools import partial

from paydesk import announcing, audit, customers, deeds, entitlements, fanout, memberships
from paydesk.ledger import Source
from paydesk.store import Store, Tx

COLUMNS = (
    "id, customer_id, order_id, kind, unit, terms, worth, revision, since, until, claimed_at, subscription_id"
)  # fmt: skip

CLAIM = f"""
UPDATE source SET claimed_at = desk_now()
WHERE customer_id = $1 AND claimed_at IS NULL AND worth > 0 AND since IS NOT NULL AND terms ->> 'starts' = 'claim'
  AND ($2::text IS NULL OR terms ->> 'feature' = $2)
RETURNING {COLUMNS}
"""

STARTED = f"""
SELECT {COLUMNS} FROM source WHERE customer_id = $1 AND id IN (
    SELECT jsonb_array_elements_text(detail -> 'sources') FROM audit
    WHERE subject = $1 AND action = 'claim' AND detail ->> 'operation' = $2)
ORDER BY id
"""


@dataclass(frozen=True, slots=True)
class Claimed:
    """What has just begun: a source, its feature, since when, and until when its feature can be had now."""

    source: str
    kind: str
    feature: str
    since: datetime
    until: datetime | None


async def claim(
    store: Store, customer: str, feature: str | None, *, actor: str, operation: str | None = None
) -> list[Claimed]:
    """Start everything that a person has paid and not yet claimed, or what of it gives `feature`; return what started.

    Asked again, it starts nothing; the same `operation` returns what it has started. What is bought twice and claimed
    together lasts twice as long.
    """

    async def work(tx: Tx) -> list[Claimed]:
        person = await customers.lock_person(tx, customer)
        if not await deeds.first(tx, operation):
            return await _started(tx, person, operation)
        sources = [Source(*row) for row in await tx.fetch(CLAIM, person, feature)]
        if not sources:
            return []
        await entitlements.save(tx, sources)
        await memberships.refresh(tx, person)
        await audit.note(tx, actor, "claim", [person], {
            "sources": sorted(source.id for source in sources), "operation": operation
        })  # fmt: skip
        reasons = await entitlements.load(tx, [person])
        now = await tx.fetchval("SELECT desk_now()")
        await fanout.announce(tx, partial(announcing.of_claim, reasons, sources, now))
        return [_claimed(source, reasons) for source in sorted(sources, key=lambda source: source.id)]

    return await store.run(work)


async def _started(tx: Tx, person: str, operation: str | None) -> list[Claimed]:
    """Return what an operation has started, as far as it still gives something."""
    reasons = await entitlements.load(tx, [person])
    given = {held.source for held in reasons}
    sources = [Source(*row) for row in await tx.fetch(STARTED, person, operation)]
    return [_claimed(source, reasons) for source in sources if source.id in given]


def _claimed(source: Source, reasons: list[entitlements.Held]) -> Claimed:
    feature = str(source.terms["feature"])
    own = next(held for held in reasons if held.source == source.id)
    end = entitlements.end_of(held for held in reasons if held.feature == feature)
    return Claimed(source.id, source.kind, feature, own.since, end)
