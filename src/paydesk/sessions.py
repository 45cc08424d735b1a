"""What Stripe is asked for when a Checkout session is made for an order."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

from paydesk.errors import Conflict
from paydesk.store import Record, Tx

COUPON, CODE, CODES, CARD = "paydesk_coupon", "paydesk_promotion_code", "paydesk_promotion_codes", "paydesk_card"
"""Keys of an order's metadata: the coupon or promotion code it was made with, whether its page takes codes, and whether
a trial needs a card. No caller can set them: keys that begin with `paydesk_` are refused in what they send."""

STANDING = """
SELECT status, session, session_count,
    EXISTS (SELECT FROM stripe_call c WHERE c.subject = o.id AND c.kind IN ('payment', 'subscription')
            AND c.state <> 'refused') AS paid_apart,
    EXISTS (SELECT FROM stripe_call c WHERE c.subject = o.id AND c.kind = 'session' AND c.state = 'pending') AS asked
FROM orders o WHERE id = $1
"""
"""How an order stands towards its session: `paid_apart` never gets one, `asked` has one under way."""


async def refuse_other(tx: Tx, order: Record) -> None:
    """Raise `Conflict` `changed` when a locked order has got a session since it was read, or can be paid no more.

    Whoever lets an order be paid by an intent of its own first closes its session: it must not be paid twice.
    """
    now = await tx.fetchrow(STANDING, order["id"])
    if now is None or now["status"] not in ("open", "expired") or now["session"] != order["session"] or now["asked"]:
        raise Conflict(f"{order['id']} has changed meanwhile: look again", param="order", code="changed")


def params_of(
    row: Record, order_lines: Sequence[Record], stripe_customer: str, count: int, public_url: str
) -> dict[str, Any]:
    """Return the parameters of a session. Metadata does not travel by itself: intent or subscription get theirs (trap T24)."""
    back = f"{public_url}/r/{row['link_token']}"
    metadata = {"paydesk_order": row["id"], "paydesk_attempt": str(count)}
    methods = {"payment_method_types": row["payment_methods"]} if row["payment_methods"] else {}
    own = _subscription(row, order_lines[0], metadata) if row["mode"] == "subscription" else _payment(row, metadata)
    return {
        "customer": stripe_customer,
        "client_reference_id": row["id"],
        "metadata": {**row["metadata"], **metadata},
        "line_items": [line_item(line, row) for line in order_lines],
        "success_url": row["success_url"] or back,
        "cancel_url": row["cancel_url"] or back,
        **own,
        **methods,
        **_discounts(row["metadata"]),
    }


def _discounts(metadata: Mapping[str, str]) -> dict[str, Any]:
    """Return what makes it cheaper: a coupon, a promotion code, or a place to type one (Stripe takes one of them)."""
    if COUPON in metadata:
        return {"discounts": [{"coupon": metadata[COUPON]}]}
    if CODE in metadata:
        return {"discounts": [{"promotion_code": metadata[CODE]}]}
    return {"allow_promotion_codes": True} if CODES in metadata else {}


def _payment(row: Record, metadata: Mapping[str, str]) -> dict[str, Any]:
    saved = {"setup_future_usage": "off_session"} if row["save_card"] else {}
    return {"mode": "payment", "payment_intent_data": {"metadata": metadata, **saved}}


def _subscription(row: Record, line: Record, metadata: Mapping[str, str]) -> dict[str, Any]:
    """Return what begins a subscription: it names its order and its price, whatever price Stripe has for it later."""
    data: dict[str, Any] = {"metadata": {**metadata, "paydesk_price": line["price_key"]}}
    if row["trial_days"]:
        data["trial_period_days"] = row["trial_days"]
    if row["metadata"].get(CARD) != "if_required":
        return {"mode": "subscription", "subscription_data": data}
    if row["trial_days"]:  # a trial without a card ends with its last day
        data["trial_settings"] = {"end_behavior": {"missing_payment_method": "cancel"}}
    return {"mode": "subscription", "subscription_data": data, "payment_method_collection": "if_required"}


def line_item(line: Record, row: Record) -> dict[str, Any]:
    """Return a line as Stripe takes it: by the price that was pushed for it, else with all that it needs."""
    if line["stripe_price"] is not None:
        return {"price": line["stripe_price"], "quantity": line["quantity"]}
    data: dict[str, Any] = {
        "currency": row["currency"],
        "unit_amount": line["unit_amount"],
        "product_data": {"name": line["name"]},
    }
    plan = (row["plan"] or {}).get(line["price_key"])
    if plan is not None:
        data["recurring"] = {"interval": plan["interval"], "interval_count": plan["interval_count"]}
    return {"price_data": data, "quantity": line["quantity"]}
