"""`GET /v1/invoices/upcoming`: the preview of the next invoice as it was before basil (2025-03-31).

Newer versions are told to use `create_preview`. The parameters of then are put into today's words; without a
subscription it is the one of the customer that is billed next.
"""

from __future__ import annotations

from . import lists
from .accounts import Account
from .calls import Call, Operation, get, listing
from .errors import Json, StripeError, invalid, missing_parameter
from .invoice_previews import PREVIEW, nothing_upcoming, preview, without_id
from .live_customers import live_customer
from .params import Shape, choice, fields, flag, integer, text
from .subscription_params import CANCEL_AT, TRIAL_END, UPDATE
from .subscription_rows import ENDED, current_period

_LAST = "2025-03-31"
_FLAT: Shape = {
    "billing_cycle_anchor": choice("now", "unchanged"),
    "cancel_at": CANCEL_AT,
    "cancel_at_period_end": flag,
    "cancel_now": flag,
    "items": UPDATE["items"],
    "proration_behavior": UPDATE["proration_behavior"],
    "proration_date": integer,
    "trial_end": TRIAL_END,
}
_SHAPE: Shape = {
    **PREVIEW,
    "coupon": text(),
    "subscription_details": fields({**_FLAT, "metadata": UPDATE["metadata"]}),
    **{f"subscription_{name}": kind for name, kind in _FLAT.items()},
}


def _upcoming(call: Call) -> Json:
    if call.version[:10] >= _LAST:
        raise invalid(
            f"The upcoming invoice endpoints were removed in API version {_LAST}.basil. Please use the Create Preview "
            "Invoice API instead: POST /v1/invoices/create_preview."
        )
    given = dict(call.params)
    flat = {name: given.pop(f"subscription_{name}") for name in _FLAT if f"subscription_{name}" in given}
    details = {**flat, **(given.pop("subscription_details", None) or {})}
    if "billing_cycle_anchor" in details:
        details["billing_cycle_anchor"] = {"type": details["billing_cycle_anchor"]}
    if given.pop("coupon", None):
        given["discounts"] = [{"coupon": call.params["coupon"]}]
    given["subscription_details"] = details
    if "subscription" not in given and not details.get("items"):
        given |= _billed_next(call.account, given)
    try:
        return without_id(preview(call.account, given))
    except StripeError as refusal:
        if refusal.code == "invoice_upcoming_none":
            refusal.status = 404
        raise


def _billed_next(account: Account, given: Json) -> Json:
    """The customer's subscription that is billed next, as a parameter; nothing when items wait without one."""
    if "customer" not in given:
        raise missing_parameter("customer")
    customer = live_customer(account, given["customer"])
    rows = [account.get("subscription", one, "subscription") for one in customer.get("_subscriptions", [])]
    running = [row for row in rows if row["status"] not in (*ENDED, "paused")]
    if running:
        return {"subscription": min(running, key=lambda row: current_period(row)[1])["id"]}
    if not customer.get("_pending") and not given.get("invoice_items"):
        raise nothing_upcoming(customer, 404)
    return {}


def _lines(call: Call) -> Json:
    cursors = ("limit", "starting_after", "ending_before")
    params = {name: value for name, value in call.params.items() if name not in cursors}
    row = _upcoming(Call(call.world, call.account, call.path, params, call.given, call.version))
    return lists.window(row["lines"]["data"], call.params, "/v1/invoices/upcoming/lines")


OPERATIONS: list[Operation] = [
    get("/v1/invoices/upcoming", _upcoming, _SHAPE),
    listing("/v1/invoices/upcoming/lines", _lines, _SHAPE, dated=False),
]
