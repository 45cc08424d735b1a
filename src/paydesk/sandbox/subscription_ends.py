"""How subscriptions end or rest in the API: cancel, pause, resume."""

from __future__ import annotations

from .accounts import Account
from .calls import Call, Operation, post
from .errors import Json, StripeError, invalid
from .invoice_items import add_item, proration_values
from .invoice_lines import price_amount, product_name
from .invoices import attempt, method_for, take_pending
from .params import Shape, choice, fields, flag, items, text
from .subscription_calls import existing
from .subscription_lines import period_line
from .subscription_params import DETAILS, PRORATION
from .subscription_rows import (
    ENDED,
    FIRST_PAYMENT_S,
    billing_mode,
    current_period,
    item_list,
    items_of,
    mixes,
    placed_from,
    plan,
)
from .subscriptions import change, credit_lines, end, invoice_now, set_paused, set_resumed


def _cancel(call: Call) -> Json:
    subscription = existing(call.account, call.id)
    cancel(call.account, subscription, call.params)
    return subscription


def cancel(account: Account, subscription: Json, given: Json) -> None:
    """Cancel now; with `prorate` the unused time is credited, with `invoice_now` that is settled at once."""
    if subscription["status"] in ENDED:
        raise StripeError(f"No such subscription: '{subscription['id']}'", status=404, code="resource_missing",
                          param="id")  # fmt: skip
    customer = account.get("customer", subscription["customer"], "customer")
    if given.get("prorate") and subscription["status"] not in ("incomplete", "trialing"):
        credit_unused(account, subscription, customer, account.clock.now_s())
    lines = []
    if given.get("invoice_now"):
        lines = take_pending(account, customer, subscription["currency"], subscription["id"])
    end(account, subscription, reason="cancellation_requested", details=given.get("cancellation_details"))
    if lines:
        invoice_now(account, subscription, "subscription_update", lines)


def credit_unused(account: Account, subscription: Json, customer: Json, since: int) -> None:
    """Put the worth of the unused time on the next invoice."""
    for part in unused_parts(account, subscription, since):
        if part["amount"]:
            add_item(account, customer, proration_values(account, subscription, customer, part))


def unused_parts(account: Account, subscription: Json, since: int) -> list[Json]:
    """The credits for the time from a moment to the end of each item's period."""
    amounts = [(item, -price_amount(item["price"], item["quantity"]),
                f"Unused time on {product_name(account, item['price'])}") for item in items_of(subscription)]  # fmt: skip
    return credit_lines(account, subscription, since, amounts)


def _pause(call: Call) -> Json:
    account, given = call.account, call.params
    subscription = existing(account, call.id)
    if subscription["status"] not in ("active", "past_due", "trialing", "unpaid"):
        raise invalid(f"A subscription with status `{subscription['status']}` cannot be paused.")
    if not mixes(subscription):
        raise invalid("Only subscriptions with `billing_mode[type]=flexible` can be paused.")
    customer = account.get("customer", subscription["customer"], "customer")
    unused = ((given.get("bill_for") or {}).get("unused_time_from") or {}).get("type", "now")
    since = {"now": account.clock.now_s(), "item_current_period_start": current_period(subscription)[0]}.get(unused)
    if since is not None and subscription["status"] == "active":
        credit_unused(account, subscription, customer, since)
    if given.get("invoicing_behavior") == "invoice":
        lines = take_pending(account, customer, subscription["currency"], subscription["id"])
        if lines:
            invoice_now(account, subscription, "subscription_update", lines)
    set_paused(account, subscription, "pause_requested")
    return subscription


def _resume(call: Call) -> Json:
    account, given = call.account, call.params
    subscription = existing(account, call.id)
    if subscription["status"] != "paused":
        raise invalid("The subscription is not paused and cannot be resumed.")
    now = account.clock.now_s()
    anchor_now = (given.get("billing_cycle_anchor") or {}).get("type", "now") == "now"
    if not anchor_now and now < current_period(subscription)[1]:
        set_resumed(account, subscription)
        return subscription
    anchor = now if anchor_now else subscription["billing_cycle_anchor"]
    items = placed_from(anchor, items_of(subscription), now)
    account.change(subscription, items=item_list(subscription["id"], items), billing_cycle_anchor=anchor)
    _invoice_resumption(account, subscription, given)
    return subscription


def _invoice_resumption(account: Account, subscription: Json, given: Json) -> None:
    """The invoice with which a subscription comes back; it has 23 hours to be paid."""
    customer = account.get("customer", subscription["customer"], "customer")
    lines = take_pending(account, customer, subscription["currency"], subscription["id"])
    anchor = subscription["billing_cycle_anchor"]
    lines += [period_line(account, subscription, item, anchor) for item in items_of(subscription)]
    invoice = invoice_now(account, subscription, "subscription_update", lines, collects=False,
                          given={"_resumes": True})  # fmt: skip
    if invoice["status"] == "open":
        account.change(subscription, _resume_until=account.clock.now_s() + FIRST_PAYMENT_S)
        attempt(account, invoice, method_for(account, subscription, customer))
        if given.get("payment_behavior") != "resume_on_payment_success" and subscription["status"] == "paused":
            set_resumed(account, subscription)
    plan(account, subscription)


def _migrate(call: Call) -> Json:
    """From classic to flexible billing; there is no way back."""
    subscription = existing(call.account, call.id)
    if mixes(subscription):
        raise invalid("This subscription already has `billing_mode[type]=flexible`.", "billing_mode[type]")
    mode = billing_mode(call.params["billing_mode"])
    change(call.account, subscription, billing_mode={**mode, "updated_at": call.account.clock.now_s()})
    return subscription


_PAUSE: Shape = {
    "bill_for": fields({
        "outstanding_usage_through": fields({"type": choice("none", "now")}, ("type",)),
        "unused_time_from": fields({"type": choice("item_current_period_start", "none", "now")}, ("type",)),
    }),
    "invoicing_behavior": choice("invoice", "pending_invoice_item"),
    "type": choice("subscription"),
}  # fmt: skip
_RESUME: Shape = {
    **PRORATION,
    "billing_cycle_anchor": fields({"type": choice("now", "unchanged")}, ("type",)),
    "payment_behavior": choice("resume_on_payment_attempt", "resume_on_payment_success"),
}
_CANCEL: Shape = {"cancellation_details": fields(DETAILS), "invoice_now": flag, "prorate": flag}
_MIGRATE: Shape = {
    "billing_mode": fields({
        "flexible": fields({"proration_discounts": choice("included", "itemized")}), "type": choice("flexible"),
    }, ("type",)),
}  # fmt: skip

OPERATIONS: list[Operation] = [
    Operation("DELETE", "/v1/subscriptions/{id}", _cancel, {"expand": items(text(), 20), **_CANCEL}),
    post("/v1/subscriptions/{id}/migrate", _migrate, _MIGRATE, ("billing_mode",)),
    post("/v1/subscriptions/{id}/pause", _pause, _PAUSE),
    post("/v1/subscriptions/{id}/resume", _resume, _RESUME),
]
