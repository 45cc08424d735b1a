"""The rows behind a `Case`: an order with its payments, refunds and disputes. Loaded and saved in bulk."""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Iterable, Mapping
from typing import TypeVar

from paydesk.books import columns
from paydesk.case import TOPUP, Case, Dispute, Order, Payment, Refund
from paydesk.facts import BalanceIs
from paydesk.store import Tx

LOAD = f"""
SELECT id, customer_id, status, amount, currency, livemode, channel, external_id, conversation, stripe_customer,
       session, session_status, session_payment_status, paid_by, paid_at, canceled_at, presented_amount,
       presented_currency, capture,
       EXISTS (SELECT FROM source s WHERE s.order_id = o.id AND s.id LIKE o.id || ':%') OR (mode <> 'payment' AND EXISTS (
           SELECT FROM invoice i JOIN source s ON s.subscription_id = i.subscription_id WHERE i.order_id = o.id)), mode, stars,
       metadata ? '{TOPUP}'
FROM orders o WHERE id = ANY($1::text[])
"""

SAVE = """
UPDATE orders o SET status = n.status, amount = n.amount, currency = n.currency, session = n.session,
    session_status = n.session_status,
    session_payment_status = n.session_payment_status, paid_by = n.paid_by, paid_at = n.paid_at,
    presented_amount = n.presented_amount, presented_currency = n.presented_currency, canceled_at = n.canceled_at
FROM unnest($1::text[], $2::text[], $3::text[], $4::text[], $5::text[], $6::text[], $7::timestamptz[], $8::bigint[],
            $9::text[], $10::timestamptz[], $11::bigint[], $12::text[])
    AS n (id, status, session, session_status, session_payment_status, paid_by, paid_at, presented_amount,
          presented_currency, canceled_at, amount, currency)
WHERE o.id = n.id
"""

LOAD_PAYMENTS = """
SELECT id, order_id, status, amount, currency, charge, balance_transaction, card_brand, card_last4, failure_code,
       failure_message, paid_at
FROM payment WHERE order_id = ANY($1::text[]) OR id = ANY($2::text[])
"""

SAVE_PAYMENTS = """
INSERT INTO payment (id, order_id, status, amount, currency, charge, balance_transaction, card_brand, card_last4,
                     failure_code, failure_message, paid_at)
SELECT * FROM unnest($1::text[], $2::text[], $3::text[], $4::bigint[], $5::text[], $6::text[], $7::text[], $8::text[],
                     $9::text[], $10::text[], $11::text[], $12::timestamptz[])
ON CONFLICT (id) DO UPDATE SET status = excluded.status, amount = excluded.amount, currency = excluded.currency,
    charge = excluded.charge, balance_transaction = excluded.balance_transaction,
    card_brand = excluded.card_brand, card_last4 = excluded.card_last4, failure_code = excluded.failure_code,
    failure_message = excluded.failure_message, paid_at = excluded.paid_at
"""

LOAD_REFUNDS = """
SELECT id, payment_id, status, amount, currency, reason, failure_reason, created_at FROM refund
WHERE payment_id = ANY($1::text[])
"""

SAVE_REFUNDS = """
INSERT INTO refund (id, payment_id, status, amount, currency, reason, failure_reason, created_at)
SELECT * FROM unnest($1::text[], $2::text[], $3::text[], $4::bigint[], $5::text[], $6::text[], $7::text[],
                     $8::timestamptz[])
ON CONFLICT (id) DO UPDATE SET status = excluded.status, failure_reason = excluded.failure_reason
"""

LOAD_DISPUTES = """
SELECT id, payment_id, status, amount, currency, reason, evidence_due_at, created_at FROM dispute
WHERE payment_id = ANY($1::text[])
"""

SAVE_DISPUTES = """
INSERT INTO dispute (id, payment_id, status, amount, currency, reason, evidence_due_at, created_at)
SELECT * FROM unnest($1::text[], $2::text[], $3::text[], $4::bigint[], $5::text[], $6::text[], $7::timestamptz[],
                     $8::timestamptz[])
ON CONFLICT (id) DO UPDATE SET status = excluded.status, amount = excluded.amount, reason = excluded.reason,
    evidence_due_at = excluded.evidence_due_at
"""


async def load(tx: Tx, order_ids: Iterable[str], intents: Iterable[str]) -> tuple[dict[str, Case], dict[str, str]]:
    """Return the cases of orders, those that exist, and whose order each of their payments and of `intents` pays."""
    orders = {row[0]: Order(*row) for row in await tx.fetch(LOAD, sorted(order_ids))}
    payments = [Payment(*row) for row in await tx.fetch(LOAD_PAYMENTS, sorted(orders), sorted(intents))]
    payers = {payment.id: payment.order for payment in payments}
    own: dict[str, dict[str, Payment]] = defaultdict(dict)
    refunds: dict[str, dict[str, Refund]] = defaultdict(dict)
    disputes: dict[str, dict[str, Dispute]] = defaultdict(dict)
    for payment in payments:
        own[payment.order][payment.id] = payment
    if payers:
        for refund in (Refund(*row) for row in await tx.fetch(LOAD_REFUNDS, sorted(payers))):
            refunds[payers[refund.payment]][refund.id] = refund
        for dispute in (Dispute(*row) for row in await tx.fetch(LOAD_DISPUTES, sorted(payers))):
            disputes[payers[dispute.payment]][dispute.id] = dispute
    return {id_: Case(order, own[id_], refunds[id_], disputes[id_]) for id_, order in orders.items()}, payers


Part = TypeVar("Part", Payment, Refund, Dispute)


async def save(tx: Tx, changes: Iterable[tuple[Case, Case]]) -> None:
    """Write what is different in cases: pairs of what was loaded and what is known now."""
    changes = list(changes)
    orders = [after.order for before, after in changes if after.order != before.order]
    payments = _news((before.payments, after.payments) for before, after in changes)
    refunds = _news((before.refunds, after.refunds) for before, after in changes)
    disputes = _news((before.disputes, after.disputes) for before, after in changes)
    if orders:
        await tx.execute(SAVE, *columns(
            (o.id, o.status, o.session, o.session_status, o.session_payment_status, o.paid_by, o.paid_at,
             o.presented_amount, o.presented_currency, o.canceled_at, o.amount, o.currency) for o in orders
        ))  # fmt: skip
    if payments:
        await tx.execute(SAVE_PAYMENTS, *columns(
            (p.id, p.order, p.status, p.amount, p.currency, p.charge, p.balance_transaction, p.card_brand, p.card_last4,
             p.failure_code, p.failure_message, p.paid_at) for p in payments
        ))  # fmt: skip
    if refunds:
        await tx.execute(SAVE_REFUNDS, *columns(
            (r.id, r.payment, r.status, r.amount, r.currency, r.reason, r.failure_reason, r.created_at) for r in refunds
        ))  # fmt: skip
    if disputes:
        await tx.execute(SAVE_DISPUTES, *columns(
            (d.id, d.payment, d.status, d.amount, d.currency, d.reason, d.evidence_due_at, d.created_at)
            for d in disputes
        ))  # fmt: skip


SAVE_BALANCES = """
INSERT INTO balance_transaction (id, payment_id, kind, about, amount, fee, net, currency, exchange_rate, available_on,
                                 created_at)
SELECT * FROM unnest($1::text[], $2::text[], $3::text[], $4::text[], $5::bigint[], $6::bigint[], $7::bigint[],
                     $8::text[], $9::text[], $10::timestamptz[], $11::timestamptz[])
ON CONFLICT (id) DO NOTHING
"""


async def save_balances(tx: Tx, facts: Iterable[BalanceIs]) -> None:
    """Write balance transactions: they never change."""
    rows = {f.transaction: (f.transaction, f.intent, f.kind, f.about, f.amount, f.fee, f.net, f.currency,
                            f.exchange_rate, f.available_on, f.made_at) for f in facts}  # fmt: skip
    if rows:
        await tx.execute(SAVE_BALANCES, *columns(rows[id_] for id_ in sorted(rows)))


def _news(pairs: Iterable[tuple[Mapping[str, Part], Mapping[str, Part]]]) -> list[Part]:
    """Return the parts that are new or different, in one order for all writers."""
    changed = {id_: part for before, after in pairs for id_, part in after.items() if part != before.get(id_)}
    return [changed[id_] for id_ in sorted(changed)]
