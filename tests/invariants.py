"""What must be true of a desk at rest, whatever died on the way. Each finding starts with its kind and a colon."""

from __future__ import annotations

from collections.abc import Iterable

from paydesk import proof, status
from paydesk.store import Store

GONE = """
SELECT p.id, p.amount AS of, (SELECT coalesce(sum(r.amount) FILTER (WHERE r.status NOT IN ('failed', 'canceled')), 0)
                              FROM refund r WHERE r.payment_id = p.id) AS refunded, d.*,
       (SELECT count(*) FROM refund r WHERE r.payment_id = p.id) + d.any_dispute AS ever
FROM payment p, LATERAL (
    SELECT coalesce(sum(amount) FILTER (WHERE d.status IN ('needs_response', 'under_review')), 0) AS disputed,
           coalesce(sum(amount) FILTER (WHERE d.status = 'lost'), 0) AS lost, count(*) AS any_dispute
    FROM dispute d WHERE d.payment_id = p.id) AS d
WHERE p.status = 'succeeded'
"""
"""What has gone back of each payment: refunded, disputed and not decided, lost; `ever` counts whatever happened to it."""

ELSEWHERE = "('stripe', 'webhook', 'telegram', 'telegram:pay', 'discord')"
"""Where what is sent is kept by others: whether it is there once, the fakes say, at the end of the flows that use them

(flows_outside). What we know of it ourselves, the receipts, is looked at here.
"""

THREADS_ELSEWHERE = "('telegram', 'discord')"

BILLED = """
SELECT extract(epoch FROM least(b.given_back, (line ->> 'end')::timestamptz) - (line ->> 'start')::timestamptz)::bigint AS ran_s,
       b.given_back IS NOT NULL AS cut
FROM invoice i, jsonb_array_elements(i.lines -> 'data') line, LATERAL (
    SELECT min((below ->> 'start')::timestamptz) AS given_back
    FROM invoice later, jsonb_array_elements(later.lines -> 'data') below
    WHERE later.subscription_id = i.subscription_id AND later.status = 'paid' AND later.created_at >= i.created_at
      AND (below ->> 'amount')::bigint < 0 AND below ->> 'start' >= line ->> 'start'
      AND (below ->> 'item', below ->> 'key', below ->> 'quantity', below ->> 'end')
          = (line ->> 'item', line ->> 'key', line ->> 'quantity', line ->> 'end')) AS b
WHERE i.order_id = s.order_id AND s.id LIKE i.order_id || ':' || (line ->> 'id') || ':%'
"""
"""For how many seconds the line ran that brought a source's credits, and whether a plan change gave the rest of it back."""

OF_A_CYCLE = """CASE WHEN l.ran_s < (s.terms->>'part_s')::bigint
    THEN div(w.whole * greatest(l.ran_s, 0), (s.terms->>'cycle_s')::numeric)
    ELSE ceil(w.whole * (s.terms->>'part_s')::numeric / (s.terms->>'cycle_s')::numeric) END"""
"""What a whole cycle's credits are for what was billed of it, rounded up, or for what ran of that, rounded down."""

HELD = "lease: nobody holds a lane"

# Each query returns rows that must not be there.
BROKEN: dict[str, str] = {
    "effect: a paid order's sources are worth exactly what is left of their terms": f"""
        WITH gone AS ({GONE})
        SELECT s.id || ' is worth ' || s.worth || ', its terms say ' || t.worth
        FROM source s JOIN orders o ON o.id = s.order_id LEFT JOIN gone g ON g.id = o.paid_by,
        LATERAL (SELECT CASE o.capture WHEN 'manual' THEN o.amount ELSE coalesce(g.of, 0) END AS of,
                   coalesce(g.refunded + g.lost, 0) + CASE o.capture WHEN 'manual' THEN o.amount - g.of ELSE 0 END
                   + CASE WHEN s.terms->>'on_dispute' = 'wait' THEN 0 ELSE coalesce(g.disputed, 0) END AS back) AS b,
        LATERAL (SELECT CASE s.kind
            WHEN 'credits' THEN (s.terms->>'quantity')::bigint * (s.terms->>'amount')::bigint
            WHEN 'pass' THEN (s.terms->>'quantity')::bigint * (s.terms->>'days')::bigint * 86400 ELSE 1 END) AS w (whole),
        LATERAL (SELECT CASE WHEN s.terms ? 'cycle_s' THEN (SELECT {OF_A_CYCLE} FROM ({BILLED}) AS l)
                        ELSE w.whole END) AS r (ran),
        LATERAL (SELECT CASE WHEN b.back <= 0 THEN r.ran WHEN b.back >= b.of THEN 0 WHEN s.kind = 'feature' THEN 1
                        ELSE r.ran - div(r.ran::numeric * b.back, b.of) END) AS t (worth)
        WHERE s.kind IN ('credits', 'pass', 'feature') AND o.paid_at IS NOT NULL AND s.worth IS DISTINCT FROM t.worth""",
    "effect: a payment's money is what came less what went": f"""
        WITH gone AS ({GONE})
        SELECT s.id || ' is worth ' || s.worth FROM source s JOIN gone g ON s.id = 'payment:' || g.id
        WHERE s.worth <> g.of - g.refunded - g.disputed - g.lost""",
    "effect: a paid order was paid in full": """
        SELECT o.id || ' was paid with ' || p.amount || ' ' || p.currency
        FROM orders o JOIN payment p ON p.id = o.paid_by WHERE o.capture = 'automatic' AND (p.amount, p.currency)
        NOT IN ((coalesce(o.presented_amount, o.amount), coalesce(o.presented_currency, o.currency)),
                (coalesce(o.stars, -1), 'xtr'))""",
    "effect: nothing unpaid is worth anything": """
        SELECT s.id || ' is worth ' || s.worth FROM source s JOIN orders o ON o.id = s.order_id
        WHERE o.paid_at IS NULL AND s.kind IN ('credits', 'pass', 'feature') AND s.worth <> 0""",
    "effect: one entry for each change of what something is worth": """
        SELECT s.id || ' has ' || count(e.id) || ' entries in revision ' || e.revision
        FROM source s JOIN entry e ON e.source = s.id WHERE s.kind = 'money'
        GROUP BY s.id, e.revision HAVING count(e.id) <> 1 OR e.revision > s.revision""",
    "effect: nothing is posted twice where nothing went back": f"""
        WITH gone AS ({GONE})
        SELECT s.id || ' has ' || count(e.id) || ' entries of a grant'
        FROM source s JOIN orders o ON o.id = s.order_id LEFT JOIN LATERAL ({BILLED}) AS l ON true
        LEFT JOIN gone g ON g.id = CASE s.kind WHEN 'money' THEN substr(s.id, 9) ELSE o.paid_by END
        LEFT JOIN entry e ON e.source = s.id
        WHERE o.paid_at IS NOT NULL AND s.kind IN ('credits', 'money')
          AND coalesce(g.ever, 0) = 0
          AND s.revision NOT BETWEEN 1 - coalesce(l.cut, false)::int AND 1 + coalesce(l.cut, false)::int
        GROUP BY s.id, g.id""",
    "effect: a paid order has its money in the books": """
        SELECT o.id || ' has no money' FROM orders o WHERE o.paid_at IS NOT NULL AND o.paid_by LIKE 'pi_%'
        AND NOT EXISTS (SELECT FROM source s WHERE s.order_id = o.id AND s.kind = 'money')""",
    "effect: a person has what was got, less what was spent and what ended": """
        SELECT a.owner || ' has ' || a.has || ' ' || a.unit || ', got ' || coalesce(g.got, 0) || ', used ' || coalesce(u.used, 0)
        FROM (SELECT owner, unit, sum(balance) AS has FROM account WHERE owner <> 'system' GROUP BY 1, 2) a
        LEFT JOIN (SELECT customer_id, unit, sum(worth) AS got FROM source WHERE kind = 'credits' GROUP BY 1, 2) g
            ON g.customer_id = a.owner AND g.unit = a.unit
        LEFT JOIN (SELECT e.customer_id, e.unit, sum(CASE WHEN t.kind IN ('spent', 'expired') THEN e.amount ELSE 0 END)
                     - sum(CASE WHEN f.kind IN ('spent', 'expired') THEN e.amount ELSE 0 END) AS used
                   FROM entry e JOIN account t ON t.id = e.to_account JOIN account f ON f.id = e.from_account
                   GROUP BY 1, 2) u ON u.customer_id = a.owner AND u.unit = a.unit
        WHERE NOT EXISTS (SELECT FROM customer c WHERE c.merged_into IS NOT NULL AND a.owner IN (c.id, c.merged_into))
          AND a.has <> coalesce(g.got, 0) - coalesce(u.used, 0)""",
    "effect: who owes has nothing to spend": """
        SELECT d.owner || ' owes ' || -d.balance || ' ' || d.unit || ' and has ' || sum(l.remaining)
        FROM account d JOIN account w ON w.owner = d.owner AND w.unit = d.unit AND w.kind = 'wallet'
        JOIN lot l ON l.account_id = w.id AND l.remaining > 0 AND (l.expires_at IS NULL OR l.expires_at > desk_now())
        WHERE d.kind = 'debt' AND d.balance < 0 GROUP BY d.owner, d.unit, d.balance""",
    "effect: lots are what is in wallets, and holds are what is held": """
        SELECT a.owner || ' ' || a.kind || ' ' || a.balance || ', lots ' || l.remaining || ', holds ' || h.amount
        FROM account a, LATERAL (SELECT coalesce(sum(CASE a.kind WHEN 'wallet' THEN l.remaining ELSE l.held END), 0)
            FROM lot l JOIN account w ON w.id = l.account_id WHERE w.owner = a.owner AND w.unit = a.unit) AS l (remaining),
        LATERAL (SELECT coalesce(sum(h.amount), 0) FROM hold h
            WHERE h.customer_id = a.owner AND h.unit = a.unit AND h.state = 'held') AS h (amount)
        WHERE a.kind IN ('wallet', 'held')
          AND (a.balance <> l.remaining OR (a.kind = 'held' AND a.balance <> h.amount))""",
    "effect: a done event of a payment has its order paid": """
        SELECT i.external_id || ' is done and ' || o.id || ' is ' || o.status
        FROM inbox i JOIN orders o ON o.id = convert_from(i.body, 'UTF8')::jsonb #>> '{data,object,metadata,paydesk_order}'
        WHERE i.state = 'done' AND i.kind IN ('payment_intent.succeeded', 'charge.succeeded') AND o.paid_at IS NULL""",
    "message: a paid order is told once where it was bought": f"""
        SELECT o.id || ' was told ' || count(m.id) || ' times'
        FROM orders o LEFT JOIN outbox x ON x.about = o.id AND x.template = 'paid'
        LEFT JOIN message m ON m.id = (x.receipt->>'message')::bigint
        WHERE o.paid_at IS NOT NULL AND o.channel NOT IN {ELSEWHERE} AND o.mode = 'payment'
        GROUP BY o.id HAVING count(m.id) <> 1
          AND NOT EXISTS (SELECT FROM outbox r WHERE r.about = o.id AND r.template = 'refunded')""",
    "message: what was sent is in the thread": f"""
        SELECT x.dedup_key || ' was sent and is not in the thread' FROM outbox x
        WHERE x.state = 'sent' AND x.channel NOT IN {ELSEWHERE}
        AND NOT EXISTS (SELECT FROM message m WHERE m.id = (x.receipt->>'message')::bigint
            AND m.channel = x.channel AND m.external_id = x.address)""",
    "message: a paid order is told once where a platform keeps the thread": f"""
        SELECT o.id || ' has ' || count(x.id) || ' receipts on ' || o.channel
        FROM orders o LEFT JOIN outbox x ON x.about = o.id AND x.template = 'paid' AND x.channel = o.channel
            AND x.state = 'sent' AND x.receipt IS NOT NULL
        WHERE o.paid_at IS NOT NULL AND o.channel IN {THREADS_ELSEWHERE} AND o.mode = 'payment'
        GROUP BY o.id HAVING count(x.id) <> 1
          AND NOT EXISTS (SELECT FROM outbox r WHERE r.about = o.id AND r.template = 'refunded')""",
    "message: the newest news of an order is what its message says": """
        SELECT x.dedup_key || ' is not what message ' || m.id || ' says' FROM outbox x
        JOIN message m ON m.id = (x.receipt->>'message')::bigint
        WHERE x.about IS NOT NULL AND x.state = 'sent' AND m.version NOT IN (x.id, 0)
          AND NOT EXISTS (SELECT FROM outbox y WHERE y.about = x.about AND y.id > x.id)""",
    "message: the news of an order is one message": """
        SELECT x.about || ' has ' || count(DISTINCT x.receipt->>'message') || ' messages' FROM outbox x
        WHERE x.about IS NOT NULL AND x.channel = 'web' AND x.state = 'sent'
        GROUP BY x.about HAVING count(DISTINCT x.receipt->>'message') > 1""",
    "message: nothing is said that was not to be said": """
        SELECT 'message ' || m.id || ' has a key that no delivery has' FROM message m
        WHERE m.dedup_key IS NOT NULL AND NOT EXISTS (SELECT FROM outbox x WHERE x.dedup_key = m.dedup_key)""",
    "message: nothing is told twice": """
        SELECT template || ' about ' || (params->>'order') || ' ' || count(*) || ' times' FROM outbox
        WHERE params ? 'order' AND template = 'paid'
        GROUP BY template, params->>'order' HAVING count(*) > 1""",
    "event: an event is in the inbox once": """
        SELECT external_id || ' ' || count(*) || ' times' FROM inbox
        GROUP BY source, external_id HAVING count(*) > 1""",
    HELD: "SELECT 'lane ' || id FROM lane WHERE leased_until > now()",
    "call: no call to Stripe is left open": r"""
        SELECT c.key || ' is ' || c.state FROM stripe_call c WHERE c.state <> 'done' AND NOT EXISTS (
            SELECT FROM stripe_call again WHERE again.state = 'done'
            AND again.key ~ ('^' || regexp_replace(c.key, ':\d+$', '') || ':\d+$'))""",
}


async def violations(store: Store) -> list[str]:
    """Return what is not true of a desk that has nothing to do any more."""
    found = [f"ledger: {what}: {bad}" for what, bad in (await proof.check(store)).findings.items() if bad]
    for what, sql in BROKEN.items():
        rows = await store.fetch(f"SELECT * FROM ({sql}) AS found LIMIT 3")
        found += [f"{what}: {row[0]}" for row in rows]
    return found + await _waiting(store)


async def unfinished(store: Store) -> list[str]:
    """Return what others would finish in passing, so that it must be looked for at once: work that waits, lanes that are held."""
    held = await store.fetch(f"{BROKEN[HELD]} LIMIT 3")
    return [f"{HELD}: {row[0]}" for row in held] + await _waiting(store)


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
