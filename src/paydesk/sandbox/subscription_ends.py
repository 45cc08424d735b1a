"""How subscriptions end or rest in the API: cancel, pause, resume."""

from __future__ import annotations

from .accounts import Account
from .calls import Call, Operation, post
from .errors import Json, StripeError, invalid
from .invoice_items import add_item, proration_values
from .invoice_lines import item_line, price_amount, product_name
from .invoices import attempt, method_for, take_pending
from .params import Shape, choice, fields, flag, items, text
from .subscription_calls import DETAILS, PRORATION, existing
from .subscription_rows import ENDED, FIRST_PAYMENT_S, current_period, items_of, period_from, plan, with_period
from .subscriptions import credit_lines, end, invoice_now, set_paused, set_resumed


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
    if given.get("prorate"):
        credit_unused(account, subscription, customer, account.clock.now_s())
    invoices = given.get("invoice_now") or (given.get("prorate") and given.get("invoice_now") is not False)
    lines = take_pending(account, customer, subscription["currency"], subscription["id"]) if invoices else []
    end(account, subscription, reason="cancellation_requested", details=given.get("cancellation_details"))
    if lines:
        invoice_now(account, subscription, "subscription_update", lines)


def credit_unused(account: Account, subscription: Json, customer: Json, since: int) -> None:
    """Put the worth of the unused time on the next invoice."""
    amounts = [(item, -price_amount(item["price"], item["quantity"]),
                f"Unused time on {product_name(account, item['price'])}") for item in items_of(subscription)]  # fmt: skip
    for part in credit_lines(account, subscription, since, amounts):
        if part["amount"]:
            add_item(account, customer, proration_values(account, subscription, customer, part))


def _pause(call: Call) -> Json:
    account, given = call.account, call.params
    subscription = existing(account, call.id)
    if subscription["status"] not in ("active", "past_due", "trialing", "unpaid"):
        raise invalid(f"A subscription with status `{subscription['status']}` cannot be paused.")
    if subscription["billing_mode"]["type"] != "flexible":
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
    period = period_from(anchor, items_of(subscription), now)
    account.change(subscription, items=with_period(subscription, period), billing_cycle_anchor=anchor)
    _invoice_resumption(account, subscription, given)
    return subscription


def _invoice_resumption(account: Account, subscription: Json, given: Json) -> None:
    """The invoice with which a subscription comes back; it has 23 hours to be paid."""
    customer = account.get("customer", subscription["customer"], "customer")
    period = current_period(subscription)
    lines = take_pending(account, customer, subscription["currency"], subscription["id"])
    lines += [item_line(account, subscription, item, period) for item in items_of(subscription)]
    invoice = invoice_now(account, subscription, "subscription_update", lines, collects=False,
                          given={"_resumes": True})  # fmt: skip
    if invoice["status"] == "open":
        account.change(subscription, _resume_until=account.clock.now_s() + FIRST_PAYMENT_S)
        attempt(account, invoice, method_for(account, subscription, customer))
        if given.get("payment_behavior") != "resume_on_payment_success" and subscription["status"] == "paused":
            set_resumed(account, subscription)
    plan(account, subscription)


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

OPERATIONS: list[Operation] = [
    Operation("DELETE", "/v1/subscriptions/{id}", _cancel, {"expand": items(text(), 20), **_CANCEL}),
    post("/v1/subscriptions/{id}/pause", _pause, _PAUSE),
    post("/v1/subscriptions/{id}/resume", _resume, _RESUME),
]
