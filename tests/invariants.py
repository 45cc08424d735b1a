"""What must be true of a desk at rest, whatever died on the way. Each finding starts with its kind and a colon."""

from __future__ import annotations

from collections.abc import Iterable

from paydesk import proof, status
from paydesk.store import Store

# Each query returns rows that must not be there.
BROKEN: dict[str, str] = {
    "effect: a paid order's sources are worth exactly their terms": """
        SELECT s.id || ' is worth ' || s.worth || ', its terms say ' || t.worth
        FROM source s JOIN orders o ON o.id = s.order_id, LATERAL (SELECT CASE s.kind
            WHEN 'credits' THEN (s.terms->>'quantity')::bigint * (s.terms->>'amount')::bigint
            WHEN 'pass' THEN (s.terms->>'quantity')::bigint * (s.terms->>'days')::bigint * 86400
            WHEN 'money' THEN o.amount ELSE 1 END) AS t (worth)
        WHERE o.paid_at IS NOT NULL AND s.worth <> t.worth""",
    "effect: one entry for each thing sold and each payment": """
        SELECT s.id || ' has ' || count(e.id) || ' entries'
        FROM source s JOIN orders o ON o.id = s.order_id LEFT JOIN entry e ON e.source = s.id
        WHERE o.paid_at IS NOT NULL AND s.kind IN ('credits', 'money') GROUP BY s.id HAVING count(e.id) <> 1""",
    "effect: a paid order has its money in the books": """
        SELECT o.id || ' has no money' FROM orders o WHERE o.paid_at IS NOT NULL
        AND NOT EXISTS (SELECT FROM source s WHERE s.order_id = o.id AND s.kind = 'money')""",
    "effect: a wallet holds what was bought": """
        SELECT a.owner || ' holds ' || a.balance || ' ' || a.unit || ', bought ' || coalesce(b.bought, 0)
        FROM account a LEFT JOIN (
            SELECT s.customer_id, s.unit, sum((s.terms->>'quantity')::bigint * (s.terms->>'amount')::bigint) AS bought
            FROM source s JOIN orders o ON o.id = s.order_id
            WHERE s.kind = 'credits' AND o.paid_at IS NOT NULL GROUP BY 1, 2) b
            ON b.customer_id = a.owner AND b.unit = a.unit
        WHERE a.kind = 'wallet' AND a.balance <> coalesce(b.bought, 0)""",
    "effect: a done event of a payment has its order paid": """
        SELECT i.external_id || ' is done and ' || o.id || ' is ' || o.status
        FROM inbox i JOIN orders o ON o.id = convert_from(i.body, 'UTF8')::jsonb #>> '{data,object,metadata,paydesk_order}'
        WHERE i.state = 'done' AND i.kind IN ('payment_intent.succeeded', 'charge.succeeded') AND o.paid_at IS NULL""",
    "message: a paid order is told once where it was bought": """
        SELECT o.id || ' was told ' || count(m.id) || ' times'
        FROM orders o LEFT JOIN outbox x ON x.template = 'paid' AND x.params->>'order' = o.id
        LEFT JOIN message m ON m.dedup_key = x.dedup_key
        WHERE o.paid_at IS NOT NULL AND o.channel IS NOT NULL GROUP BY o.id HAVING count(m.id) <> 1""",
    "message: what was sent is in the thread, under its key": """
        SELECT x.dedup_key || ' was sent and is not in the thread' FROM outbox x
        WHERE x.state = 'sent' AND x.channel <> 'stripe'
        AND NOT EXISTS (SELECT FROM message m WHERE m.dedup_key = x.dedup_key)""",
    "message: nothing is said that was not to be said": """
        SELECT 'message ' || m.id || ' has a key that no delivery has' FROM message m
        WHERE m.dedup_key IS NOT NULL AND NOT EXISTS (SELECT FROM outbox x WHERE x.dedup_key = m.dedup_key)""",
    "message: nothing is told twice": """
        SELECT template || ' about ' || (params->>'order') || ' ' || count(*) || ' times' FROM outbox
        WHERE params ? 'order' AND template IN ('paid', 'payment_failed', 'pending')
        GROUP BY template, params->>'order' HAVING count(*) > 1""",
    "event: an event is in the inbox once": """
        SELECT external_id || ' ' || count(*) || ' times' FROM inbox
        GROUP BY source, external_id HAVING count(*) > 1""",
    "lease: nobody holds a lane": "SELECT 'lane ' || id FROM lane WHERE leased_until > now()",
    "call: no call to Stripe is left open": "SELECT key || ' is ' || state FROM stripe_call WHERE state <> 'done'",
}


async def violations(store: Store) -> list[str]:
    """Return what is not true of a desk that has nothing to do any more."""
    found = [f"ledger: {what}: {bad}" for what, bad in (await proof.check(store)).findings.items() if bad]
    for what, sql in BROKEN.items():
        rows = await store.fetch(f"SELECT * FROM ({sql}) AS found LIMIT 3")
        found += [f"{what}: {row[0]}" for row in rows]
    return found + await _waiting(store)


async def _waiting(store: Store) -> list[str]:
    queues = await status.queues(store)
    numbers = {
        **{f"inbox {state}": number for state, number in queues["inbox"].items()},
        **{f"outbox {state}": number for state, number in queues["outbox"].items()},
        "timers due": queues["timers"]["due"],
    }
    return [f"queue: {number} {what}" for what, number in numbers.items() if number]


async def not_stored(store: Store, acknowledged: Iterable[str]) -> list[str]:
    """Return a finding for each event that was acknowledged and is not in the inbox."""
    rows = await store.fetch(
        "SELECT id FROM unnest($1::text[]) id EXCEPT SELECT external_id FROM inbox", sorted(set(acknowledged))
    )
    return [f"acknowledged: {row[0]} is lost" for row in rows]


async def unpaid(store: Store, orders: Iterable[str]) -> list[str]:
    """Return a finding for each order that Stripe has told us is paid and that is not."""
    rows = await store.fetch(
        "SELECT id FROM unnest($1::text[]) id EXCEPT SELECT id FROM orders WHERE status = 'fulfilled'",
        sorted(set(orders)),
    )
    return [f"effect: {row[0]} was paid and is not fulfilled" for row in rows]


# --- a witness in the database ---------------------------------------------------------------------------------------

WITNESS = """
CREATE TABLE witness (inbox_id bigint, worker text);
CREATE FUNCTION witness() RETURNS trigger LANGUAGE plpgsql AS $$ BEGIN
    INSERT INTO witness VALUES (NEW.id, current_setting('paydesk.worker', true)); RETURN NULL; END $$;
CREATE TRIGGER witness AFTER UPDATE ON inbox FOR EACH ROW
    WHEN (NEW.state = 'done' AND NEW.finished_at IS DISTINCT FROM OLD.finished_at) EXECUTE FUNCTION witness();
"""
"""Writes down who finishes a row, each time. A worker's name is the setting `paydesk.worker` in its address."""


def named(dsn: str, worker: str) -> str:
    """Return the database's address for a worker whom the witness knows by name."""
    return f"{dsn}&paydesk.worker={worker}"


async def finished_twice(store: Store) -> list[str]:
    """Return a finding for each row whose finishing the witness saw more than once."""
    rows = await store.fetch("SELECT inbox_id, count(*) FROM witness GROUP BY 1 HAVING count(*) > 1 LIMIT 3")
    return [f"fence: row {row[0]} was finished {row[1]} times" for row in rows]
