"""Why does this person have what they have? One trace: order, event, ledger entry, grant, delivery, in order of time."""

from __future__ import annotations

from typing import Any

from paydesk.clock import iso
from paydesk.store import Store

TRACE = """
WITH person AS (SELECT id FROM customer WHERE id = $1 OR merged_into = $1)
SELECT * FROM (
    SELECT o.created_at AS at, 1 AS rank, 'order' AS what, o.id AS id,
           jsonb_build_object('status', o.status, 'amount', o.amount, 'currency', o.currency, 'session', o.session) AS detail
    FROM orders o WHERE o.customer_id = $1
  UNION ALL
    SELECT coalesce(p.paid_at, p.created_at), 2, 'payment', p.id,
           jsonb_build_object('order', p.order_id, 'status', p.status, 'amount', p.amount, 'currency', p.currency,
                              'charge', p.charge, 'card', concat_ws(' ', p.card_brand, p.card_last4))
    FROM payment p JOIN orders o ON o.id = p.order_id WHERE o.customer_id = $1
  UNION ALL
    SELECT DISTINCT i.received_at, 3, 'event', i.external_id,
           jsonb_build_object('source', i.source, 'type', i.kind, 'state', i.state, 'detail', i.detail)
    FROM inbox i WHERE i.id IN (
        SELECT e.inbox_id FROM entry e JOIN person ON e.customer_id = person.id
        UNION SELECT b.inbox_id FROM outbox b JOIN person ON b.customer_id = person.id)
  UNION ALL
    SELECT e.created_at, 4, 'entry', e.id::text,
           jsonb_build_object('source', e.source, 'reason', e.reason, 'amount', e.amount, 'unit', e.unit,
                              'from', f.kind, 'to', t.kind, 'event', i.external_id)
    FROM entry e JOIN person ON e.customer_id = person.id JOIN account f ON f.id = e.from_account
    JOIN account t ON t.id = e.to_account LEFT JOIN inbox i ON i.id = e.inbox_id
  UNION ALL
    SELECT g.since, 5, 'grant', g.source,
           jsonb_build_object('feature', g.feature, 'kind', g.kind, 'seconds', g.seconds)
    FROM grant_ g WHERE g.customer_id = $1
  UNION ALL
    SELECT coalesce(b.finished_at, b.created_at), 6, 'delivery', b.id::text,
           jsonb_build_object('channel', b.channel, 'template', b.template, 'state', b.state, 'attempts', b.attempts,
                              'detail', b.detail, 'key', b.dedup_key)
    FROM outbox b JOIN person ON b.customer_id = person.id
) trace ORDER BY at, rank, id
"""


async def trace(store: Store, customer: str, feature: str | None = None) -> list[dict[str, Any]]:
    """Return everything that led to what a person has, oldest first; with a feature, only grants of that feature."""
    rows = await store.fetch(TRACE, customer)
    steps = [{"at": iso(row["at"]), "what": row["what"], "id": row["id"], **row["detail"]} for row in rows]
    return [step for step in steps if feature is None or step["what"] != "grant" or step["feature"] == feature]


def line(step: dict[str, Any]) -> str:
    """Return a step of the trace in one line for a person."""
    rest = {k: v for k, v in step.items() if k not in ("at", "what", "id") and v not in (None, "")}
    words = "  ".join(f"{name}={value}" for name, value in rest.items())
    return f"{step['at']}  {step['what']:<9} {step['id']}  {words}"
