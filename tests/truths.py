"""What must be true of wallets at any moment, told in a few lines of SQL that share nothing with `ledger check`."""

from __future__ import annotations

from paydesk.store import Store

# Each query returns rows that must not be there.
UNTRUE: dict[str, str] = {
    "a balance is the sum of its entries": """
        SELECT a.id, a.balance, e.total FROM account a LEFT JOIN (
            SELECT id, sum(amount) AS total FROM (SELECT to_account AS id, amount FROM entry
                UNION ALL SELECT from_account, -amount FROM entry) legs GROUP BY id) e USING (id)
        WHERE a.balance <> coalesce(e.total, 0)""",
    "a wallet is the sum of what its lots have left, held credits of what they have held": """
        SELECT a.id, a.kind, a.balance, l.remaining, l.held FROM account a
        JOIN account w ON w.owner = a.owner AND w.unit = a.unit AND w.kind = 'wallet'
        LEFT JOIN (SELECT account_id, sum(remaining) AS remaining, sum(held) AS held FROM lot GROUP BY account_id) l
            ON l.account_id = w.id
        WHERE a.kind IN ('wallet', 'held')
          AND a.balance <> coalesce(CASE a.kind WHEN 'wallet' THEN l.remaining ELSE l.held END, 0)""",
    "held credits are the sum of open holds": """
        SELECT a.id, a.balance, h.total FROM account a LEFT JOIN (
            SELECT customer_id, unit, sum(amount) AS total FROM hold WHERE state = 'held' GROUP BY 1, 2) h
            ON h.customer_id = a.owner AND h.unit = a.unit
        WHERE a.kind = 'held' AND a.balance <> coalesce(h.total, 0)""",
    "a hold is held in the lots that it names": """
        SELECT l.id, l.held, p.total FROM lot l LEFT JOIN (
            SELECT part.key AS id, sum(part.value::bigint) AS total
            FROM hold, jsonb_each_text(hold.parts) part WHERE state = 'held' GROUP BY 1) p USING (id)
        WHERE l.held <> coalesce(p.total, 0)""",
    "a lot lies in the wallet of the person whose source it is": """
        SELECT l.id, a.owner, s.customer_id FROM lot l JOIN account a ON a.id = l.account_id
        LEFT JOIN source s ON s.id = l.source WHERE s.customer_id IS DISTINCT FROM a.owner""",
    "nobody owes while they have credits that can be spent": """
        SELECT d.owner, d.balance, l.id FROM account d
        JOIN account w ON w.owner = d.owner AND w.unit = d.unit AND w.kind = 'wallet'
        JOIN lot l ON l.account_id = w.id AND l.remaining > 0 AND coalesce(l.expires_at > desk_now(), true)
        WHERE d.kind = 'debt' AND d.balance < 0""",
    "what is posted for a source is what it is worth": """
        SELECT s.id, s.worth, e.total FROM source s LEFT JOIN (
            SELECT e.source, sum(CASE a.kind WHEN t.kind THEN e.amount ELSE -e.amount END) AS total
            FROM entry e JOIN source s ON s.id = e.source
            JOIN LATERAL (SELECT CASE s.kind WHEN 'credits' THEN 'sold' ELSE 'sales' END) t (kind) ON true
            JOIN account a ON a.id = e.from_account JOIN account b ON b.id = e.to_account
            WHERE t.kind IN (a.kind, b.kind) GROUP BY e.source) e ON e.source = s.id
        WHERE s.kind IN ('credits', 'money') AND s.worth <> coalesce(e.total, 0)""",
    "somebody who was merged has nothing left": """
        SELECT c.id, a.kind, a.balance FROM customer c JOIN account a ON a.owner = c.id
        WHERE c.merged_into IS NOT NULL AND a.balance <> 0""",
    "nothing points to somebody who was merged, and their signpost leads straight to who they are": """
        SELECT c.id, x.what FROM customer c JOIN (
            SELECT customer_id AS id, 'order' AS what FROM orders UNION ALL SELECT customer_id, 'source' FROM source
            UNION ALL SELECT customer_id, 'grant' FROM grant_ UNION ALL SELECT customer_id, 'hold' FROM hold
            UNION ALL SELECT customer_id, 'identity' FROM identity UNION ALL SELECT customer_id, 'topup' FROM topup
            UNION ALL SELECT customer_id, 'Stripe customer' FROM stripe_customer
            UNION ALL SELECT customer_id, 'subscription' FROM subscription
            UNION ALL SELECT customer_id, 'membership' FROM membership
            UNION ALL SELECT merged_into, 'signpost' FROM customer WHERE merged_into IS NOT NULL) x USING (id)
        WHERE c.merged_into IS NOT NULL""",
}


async def untrue(store: Store) -> list[str]:
    """Return what is not true, with the first rows that show it."""
    found = []
    for what, sql in UNTRUE.items():
        rows = await store.fetch(f"SELECT * FROM ({sql}) AS found LIMIT 3")
        found += [f"{what}: {[*row]}" for row in rows]
    return found
