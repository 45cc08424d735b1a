"""Why does this person have what they have, and why not any more? One trace, in order of time: orders, payments,
subscriptions, invoices, events, ledger entries, reasons that were won and lost, roles and places, deliveries.
"""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Iterable
from datetime import datetime
from typing import Any

from paydesk import entitlements
from paydesk.clock import iso
from paydesk.ledger import Source
from paydesk.paging import Cut, Listed, Only, read
from paydesk.store import Record, Store, Tx
from paydesk.subscriptions import GIVES_NOTHING

STEPS = """
WITH person AS (SELECT id FROM customer WHERE id = $1 OR merged_into = $1)
    SELECT o.created_at AS at, 1 AS rank, 'order' AS what, o.id AS id,
           jsonb_build_object('status', o.status, 'amount', o.amount, 'currency', o.currency, 'session', o.session) AS detail
    FROM orders o WHERE o.customer_id = $1
  UNION ALL
    SELECT greatest(coalesce(p.paid_at, p.created_at), o.created_at), 2, 'payment', p.id,
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
    SELECT b.started_at, 1, 'subscription', b.id,
           jsonb_build_object('status', b.status, 'order', b.order_id, 'cancel_at', b.cancel_at, 'ended_at', b.ended_at)
    FROM subscription b WHERE b.customer_id = $1
  UNION ALL
    SELECT i.created_at, 2, 'invoice', i.id,
           jsonb_build_object('subscription', i.subscription_id, 'order', i.order_id, 'status', i.status,
                              'reason', i.billing_reason, 'total', i.total, 'currency', i.currency,
                              'failure', i.failure)
    FROM invoice i JOIN subscription b ON b.id = i.subscription_id WHERE b.customer_id = $1
  UNION ALL
    SELECT m.changed_at, 5, 'membership', concat_ws(':', m.channel, m.space, nullif(m.role, '')),
           jsonb_build_object('feature', concat_ws(':', m.channel, m.space, nullif(m.role, '')), 'wanted', m.wanted,
                              'version', m.version)
    FROM membership m WHERE m.customer_id = $1
  UNION ALL
    SELECT coalesce(q.decided_at, q.created_at), 5, 'refund_request', q.id,
           jsonb_build_object('order', q.order_id, 'status', q.state, 'amount', q.amount, 'currency', q.currency,
                              'asked_by', q.key_id, 'agent', q.agent, 'decided_by', q.decided_by, 'refund', q.refund_id)
    FROM refund_request q JOIN orders o ON o.id = q.order_id WHERE o.customer_id = $1
  UNION ALL
    SELECT coalesce(b.finished_at, b.created_at), 6, 'delivery', b.id::text,
           jsonb_build_object('channel', b.channel, 'template', b.template, 'state', b.state, 'attempts', b.attempts,
                              'detail', b.detail, 'key', b.dedup_key)
    FROM outbox b JOIN person ON b.customer_id = person.id
"""
"""What stands in rows of its own: when, in which order of what happened at once, what it is, its id, and the rest.

Stripe tells whole seconds, which may lie before the order that was paid in them.
"""

LIST = Listed(
    "step",
    "at, what, id, detail",
    f"({STEPS} UNION ALL SELECT * FROM unnest($2::timestamptz[], $3::integer[], $4::text[], $5::text[], $6::jsonb[])) step",
    ("at", "rank", "what", "id"),
    "at",
    "concat(what, ':', id)",
)
"""The trace a page at a time, newest first; what no row says, reasons won and lost, is given to it as columns."""

GIVEN = "num_nulls({}::text, {}::timestamptz[], {}::integer[], {}::text[], {}::text[], {}::jsonb[]) = 0"


REASONS = """
SELECT s.id, s.customer_id, s.order_id, s.kind, s.unit, s.terms, s.worth, s.revision, s.since, s.until, s.claimed_at,
       s.subscription_id, back.refunded_at, back.disputed_at, back.dispute, b.status, b.ended_at, b.asked_at,
       EXISTS (SELECT FROM jsonb_array_elements(b.items -> 'data') item
               WHERE item ->> 'key' = split_part(s.id, ':', 2)) AS billed
FROM source s LEFT JOIN orders o ON o.id = s.order_id LEFT JOIN subscription b ON b.id = s.subscription_id
LEFT JOIN LATERAL (
    SELECT (SELECT max(r.created_at) FROM refund r
            WHERE r.payment_id = o.paid_by AND r.status NOT IN ('failed', 'canceled')) AS refunded_at,
        d.created_at AS disputed_at, d.status AS dispute
    FROM (SELECT) AS one LEFT JOIN LATERAL (
        SELECT created_at, status FROM dispute WHERE payment_id = o.paid_by AND status NOT IN ('won', 'warning_closed')
        ORDER BY created_at DESC LIMIT 1) AS d ON true) AS back ON true
WHERE s.customer_id = $1 AND s.kind = ANY($2::text[]) AND s.revision > 0
"""
"""Everything that ever was a reason, with what may have ended it: `billed` while its subscription still has the item."""

SOURCE_COLUMNS = 12


async def trace(store: Store, customer: str, feature: str | None = None) -> list[dict[str, Any]]:
    """Return everything that led to what a person has, oldest first.

    With a feature, only reasons and places of that feature. A step `lost` says of a reason why it is none any more.
    """
    async with store.transaction() as tx:
        rows = await tx.fetch(STEPS, customer)
        reasons = await _reasons_of(tx, customer)
    steps = [(row["at"], row["rank"], {"what": row["what"], "id": row["id"], **row["detail"]}) for row in rows]
    steps += reasons
    told = [
        {"at": iso(at), **step}
        for at, _, step in sorted(steps, key=lambda one: (one[0], one[1], one[2]["what"], one[2]["id"]))
    ]
    return [step for step in told if feature is None or step.get("feature", feature) == feature]


async def page(store: Store, customer: str, cut: Cut, *, what: str | None = None) -> tuple[list[dict[str, Any]], bool]:
    """Return a part of the trace, newest first, and whether there is more; `what` leaves steps of one kind.

    The `cursor` of a step leads back to it. Raises `Invalid` for a cursor that is in no step of this person's.
    """
    async with store.transaction() as tx:
        reasons = await _reasons_of(tx, customer)
        details = [{k: v for k, v in step.items() if k not in ("what", "id")} for _, _, step in reasons]
        columns = ([at for at, _, _ in reasons], [rank for _, rank, _ in reasons],
                   [step["what"] for *_, step in reasons], [step["id"] for *_, step in reasons], details)  # fmt: skip
        wanted = [Only(GIVEN, (customer, *columns), steady=True)]
        if what is not None:
            wanted.append(Only("what = {}", (what,)))
        found = await read(tx, LIST, wanted, cut)
    steps = [
        {
            "at": iso(row["at"]),
            "what": row["what"],
            "id": row["id"],
            "cursor": f"{row['what']}:{row['id']}",
            **row["detail"],
        }
        for row in found.rows
    ]
    return steps, found.has_more


Step = tuple[datetime, int, dict[str, Any]]


async def _reasons_of(tx: Tx, customer: str) -> list[Step]:
    now = await tx.fetchval("SELECT desk_now()")
    return _reasons(await tx.fetch(REASONS, customer, list(entitlements.KINDS)), now)


def _reasons(rows: Iterable[Record], now: datetime) -> list[Step]:
    """Return a step for each reason that was won, and one for each that was lost."""
    sources = {row["id"]: (Source(*[*row][:SOURCE_COLUMNS]), row) for row in rows}
    held: dict[str, list[entitlements.Held]] = defaultdict(list)
    for source, _ in sources.values():
        reason = entitlements.held_by(source)
        if reason is not None:
            held[reason.feature].append(reason)
    laid = {name: (start, end) for own in held.values() for name, start, end in entitlements.spans(own)}
    steps: list[Step] = []
    for source, row in sources.values():
        steps += _won_and_lost(source, row, laid.get(source.id), now)
    return steps


def _won_and_lost(
    source: Source, row: Record, span: tuple[datetime, datetime | None] | None, now: datetime
) -> list[Step]:
    since = span[0] if span is not None else source.since
    if since is None:
        return []
    about: dict[str, Any] = {"feature": source.terms["feature"], "kind": source.kind}
    origin = {"order": source.order, "subscription": source.subscription}
    about |= {name: id_ for name, id_ in origin.items() if id_ is not None}
    seconds = source.worth if source.subscription is None and "days" in source.terms else None
    won: dict[str, Any] = {**about, "seconds": seconds}
    if span is not None:
        won["until"] = iso(span[1])
    elif source.worth:
        won["why"] = "waits to be claimed"
    lost = _lost(source, row, span, now)
    steps: list[Step] = [(since, 5, {"what": "grant", "id": source.id, **won})]
    if lost is not None:
        steps.append((max(since, lost[0]), 6, {"what": "lost", "id": source.id, **about, "why": lost[1]}))
    return steps


def _lost(
    source: Source, row: Record, span: tuple[datetime, datetime | None] | None, now: datetime
) -> tuple[datetime, str] | None:
    """Return when and why a reason is none any more, `None` while it is one."""
    if source.worth == 0 and source.subscription is not None:
        return row["asked_at"], _why_nothing(row)
    if source.worth == 0:
        if row["dispute"] == "lost":
            return row["disputed_at"], "the bank took the money back"
        if row["disputed_at"] is not None:
            return row["disputed_at"], "held back while the bank decides a dispute"
        return row["refunded_at"] or now, "refunded"
    if span is None or span[1] is None or span[1] > now:
        return None
    return span[1], "expired" if source.subscription is None else _why_ended(row, span[1])


def _why_nothing(row: Record) -> str:
    """Return why a subscription gives nothing at all."""
    if not row["billed"]:
        return "the plan was changed"
    return "never paid" if row["status"] in GIVES_NOTHING else "the money of its newest cycle went back"


def _why_ended(row: Record, end: datetime) -> str:
    """Return why a subscription gives no longer what it gave until `end`."""
    if row["status"] in ("past_due", "unpaid"):
        return "not paid, and its grace is over"
    if row["status"] == "canceled":
        return "canceled" if row["ended_at"] is None or row["ended_at"] <= end else "not paid before it was canceled"
    return "paused" if row["status"] == "paused" else "its last paid cycle is over"


def line(step: dict[str, Any]) -> str:
    """Return a step of the trace in one line for a person."""
    rest = {k: v for k, v in step.items() if k not in ("at", "what", "id") and v not in (None, "")}
    words = "  ".join(f"{name}={value}" for name, value in rest.items())
    return f"{step['at']}  {step['what']:<12} {step['id']}  {words}"
