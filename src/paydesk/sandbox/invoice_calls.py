"""Invoices in the API: create, change, finalise, pay, void, give up, preview; their lines and payments."""

from __future__ import annotations

from . import lists
from .accounts import Account
from .calls import Call, Operation, delete, get, listing, post
from .catalog import add_price
from .coupons import DISCOUNTS, chosen, redeem
from .customer_discounts import discounts_of_customer
from .customers import live_customer
from .errors import Json, StripeError, invalid, missing_parameter
from .events import emit, emit_update
from .ids import new_id
from .invoice_items import ITEM, given_values, proration_values
from .invoice_lines import item_line, line_of_invoice_item
from .invoices import (
    add_invoice,
    attempt,
    claim_items,
    collect,
    default_method,
    finalize,
    give_up,
    invoice_values,
    mark_paid,
    payments_of,
    pending_items,
    subscription_id,
    take_pending,
    void,
)
from .later import later
from .methods import usable_method
from .money import currency_code
from .params import (
    Shape,
    choice,
    fields,
    flag,
    integer,
    items,
    merged_metadata,
    metadata,
    moment_range,
    text,
    whole,
)
from .present import INCLUDABLE, public
from .subscription_calls import UPDATE_ITEMS, existing
from .subscription_changes import Change, work_out
from .subscription_rows import (
    check_items,
    current_period,
    new_item,
    period_from,
    recurring_price,
    subscription_values,
)
from .subscriptions import active_discounts, invoice_fields

_COMMON: Shape = {
    "auto_advance": flag,
    "collection_method": choice("charge_automatically", "send_invoice"),
    "days_until_due": whole(0, 730),
    "default_payment_method": text(),
    "description": text(1500),
    "discounts": DISCOUNTS,
    "due_date": integer,
    "footer": text(5000),
    "metadata": metadata,
    "statement_descriptor": text(22),
}
_CREATE: Shape = {
    **_COMMON,
    "currency": text(3, clearable=False),
    "customer": text(clearable=False),
    "pending_invoice_items_behavior": choice("exclude", "include"),
    "subscription": text(clearable=False),
}
_STATUS = choice("draft", "open", "paid", "uncollectible", "void")


def _existing(call: Call) -> Json:
    return call.account.get("invoice", call.id, "invoice", status=404)


def _must_be(invoice: Json, *statuses: str) -> None:
    if invoice["status"] not in statuses:
        listed = " or ".join(statuses)
        raise invalid(f"This invoice has the status {invoice['status']}; this needs one that is {listed}.",
                      None, "invoice_not_editable" if statuses == ("draft",) else None)  # fmt: skip


def _create(call: Call) -> Json:
    account, given = call.account, call.params
    if "customer" not in given and "subscription" not in given:
        raise missing_parameter("customer")
    subscription = existing(account, given["subscription"], "subscription", 400) if given.get("subscription") else None
    customer = live_customer(account, given.get("customer") or (subscription or {})["customer"])
    if subscription is not None and subscription["customer"] != customer["id"]:
        raise invalid("The subscription does not belong to this customer.", "subscription")
    currency = currency_code(given.get("currency") or customer["currency"] or "usd")
    now = account.clock.now_s()
    own = invoice_fields(subscription, current_period(subscription), now) if subscription else {}
    own |= _given_fields(account, given, now)
    own |= {"auto_advance": given.get("auto_advance", False)}
    includes = subscription is not None or given.get("pending_invoice_items_behavior") == "include"
    sub_id = subscription["id"] if subscription else None
    lines = take_pending(account, customer, currency, sub_id) if includes else []
    made = [redeem(account, one) for one in chosen(account, given.get("discounts"), customer["id"])]
    if "discounts" not in given:
        made = discounts_of_customer(account, customer["id"])
    values = invoice_values(account, customer, currency, "manual", lines, made, own)
    if not values["auto_advance"]:
        values["automatically_finalizes_at"] = None
    invoice = add_invoice(account, values)
    claim_items(account, invoice)
    return invoice


def _given_fields(account: Account, given: Json, now: int) -> Json:
    """The fields that follow from the parameters."""
    names = ("collection_method", "default_payment_method", "description", "due_date", "footer", "statement_descriptor")
    values: Json = {name: given[name] for name in names if name in given}
    sends = given.get("collection_method") == "send_invoice"
    if sends and "due_date" not in given:
        if "days_until_due" not in given:
            raise missing_parameter("days_until_due")
        values["due_date"] = now + given["days_until_due"] * 86400
    if values.get("default_payment_method"):
        account.get("payment_method", values["default_payment_method"], "default_payment_method")
    if "metadata" in given:
        values["metadata"] = merged_metadata({}, given["metadata"])
    return values


def _update(call: Call) -> Json:
    invoice, account = _existing(call), call.account
    if set(call.params) - {"metadata", "auto_advance", "default_payment_method"}:
        _must_be(invoice, "draft")
    values = _given_fields(account, {name: value for name, value in call.params.items() if name != "metadata"},
                           account.clock.now_s())  # fmt: skip
    if "metadata" in call.params:
        values["metadata"] = merged_metadata(invoice["metadata"], call.params["metadata"])
    if "auto_advance" in call.params:
        values["auto_advance"] = call.params["auto_advance"]
        if invoice["status"] == "draft":
            moment = account.clock.now_s() + 3600 if values["auto_advance"] else None
            values["automatically_finalizes_at"] = moment
    previous = account.change(invoice, **values)
    emit_update(account, "invoice.updated", invoice, previous)
    if values.get("automatically_finalizes_at"):
        later(account, values["automatically_finalizes_at"], "invoice.finalize", invoice["id"])
    return invoice


def _delete(call: Call) -> Json:
    invoice = _existing(call)
    _must_be(invoice, "draft")
    if subscription_id(invoice):
        raise invalid("You can only delete one-off draft invoices; void the invoice of a subscription instead.")
    emit(call.account, "invoice.deleted", invoice)
    call.account.remove("invoice", invoice["id"])
    return {"id": invoice["id"], "object": "invoice", "deleted": True}


def _finalize(call: Call) -> Json:
    invoice = _existing(call)
    _must_be(invoice, "draft")
    if "auto_advance" in call.params:
        call.account.change(invoice, auto_advance=call.params["auto_advance"])
    finalize(call.account, invoice)
    if invoice["auto_advance"]:
        collect(call.account, invoice)
    return invoice


def _pay(call: Call) -> Json:
    invoice, account, given = _existing(call), call.account, call.params
    if invoice["status"] == "paid":
        raise invalid("Invoice is already paid")
    if invoice["status"] == "draft":
        finalize(account, invoice)
        if invoice["status"] == "paid":
            return invoice
    _must_be(invoice, "open", "uncollectible")
    if given.get("paid_out_of_band"):
        mark_paid(account, invoice, out_of_band=True)
        return invoice
    if given.get("payment_method"):
        method: Json | None = usable_method(account, given["payment_method"])
    else:
        method = default_method(account, invoice)
    if method is None:
        raise invalid(
            "There is no `default_payment_method` set on this Customer or Invoice. Please set a default payment method "
            "or pass one as the `payment_method` parameter.", None, "resource_missing",
        )  # fmt: skip
    refusal = attempt(account, invoice, method, off_session=given.get("off_session", True))
    if refusal is not None:
        raise refusal
    if account.get("payment_intent", invoice["_intent"], "payment_intent")["status"] == "requires_action":
        raise StripeError("This invoice requires the customer's action (3-D Secure) to be paid.", status=402,
                          kind="card_error", code="invoice_payment_intent_requires_action")  # fmt: skip
    return invoice


def _void(call: Call) -> Json:
    invoice = _existing(call)
    _must_be(invoice, "open", "uncollectible")
    void(call.account, invoice)
    return invoice


def _mark_uncollectible(call: Call) -> Json:
    invoice = _existing(call)
    _must_be(invoice, "open")
    give_up(call.account, invoice, "user_forgiven")
    return invoice


def _send(call: Call) -> Json:
    invoice = _existing(call)
    if invoice["status"] == "draft":
        finalize(call.account, invoice)
    emit(call.account, "invoice.sent", invoice)
    return invoice


def _list(call: Call) -> Json:
    keep = lists.same(call.params, "collection_method", "customer", "status")
    wanted, due = call.params.get("subscription"), call.params.get("due_date")

    def fits(row: Json) -> bool:
        if wanted and subscription_id(row) != wanted:
            return False
        return keep(row) and (not due or (row["due_date"] is not None and lists.in_range(row["due_date"], due)))

    return lists.page(call.account, "invoice", call.params, "/v1/invoices", fits)


def _lines(call: Call) -> Json:
    invoice = _existing(call)
    return lists.window(invoice["lines"]["data"], call.params, f"/v1/invoices/{invoice['id']}/lines")


def _payments(account: Account, invoice: Json) -> Json:
    row = account.find("invoice", invoice["id"])
    data = [public(one) for one in payments_of(account, row)] if row else []
    return lists.list_of(data, f"/v1/invoice_payments?invoice={invoice['id']}")


def _confirmation_secret(account: Account, invoice: Json) -> Json | None:
    row = account.find("invoice", invoice["id"]) or {}
    intent = account.find("payment_intent", row.get("_intent") or "")
    return {"client_secret": intent["client_secret"], "type": "payment_intent"} if intent else None


INCLUDABLE["invoice", "payments"] = _payments
INCLUDABLE["invoice", "confirmation_secret"] = _confirmation_secret


def _payment(call: Call) -> Json:
    return call.account.get("invoice_payment", call.id, "invoice_payment", status=404)


def _list_payments(call: Call) -> Json:
    keep = lists.same(call.params, "invoice", "status")
    intent = (call.params.get("payment") or {}).get("payment_intent")
    return lists.page(call.account, "invoice_payment", call.params, "/v1/invoice_payments",
                      lambda row: keep(row) and (not intent or row["payment"]["payment_intent"] == intent))  # fmt: skip


def _preview(call: Call) -> Json:
    """The invoice that is next, or would be after a change; nothing is kept."""
    account, given = call.account, call.params
    details = given.get("subscription_details") or {}
    subscription = existing(account, given["subscription"], "subscription", 400) if given.get("subscription") else None
    if subscription is None and "customer" not in given and not details.get("items"):
        raise missing_parameter("customer")
    customer = _preview_customer(account, given, subscription)
    if subscription is None:
        subscription = _imagined(account, customer, details)
        change = Change(subscription["items"]["data"], current_period(subscription), 0, "active", None, fresh=True)
    else:
        change = work_out(account, subscription, details)
    lines = _preview_lines(account, subscription, customer, change, details)
    for one in given.get("invoice_items") or []:
        values = given_values(account, customer, one, subscription["currency"])
        lines.append(line_of_invoice_item({**values, "id": new_id("invoiceitem")}))
    if given.get("discounts"):
        found = [_imagined_discount(account, one) for one in chosen(account, given["discounts"], customer["id"])]
    else:
        found = active_discounts(account, subscription)
    now = account.clock.now_s()
    at = now if change.fresh or details.get("proration_behavior") == "always_invoice" else change.period[1]
    values = invoice_values(account, customer, subscription["currency"], "upcoming", lines, found,
                            {**invoice_fields(subscription, (change.period[0], at), at), "auto_advance": True})  # fmt: skip
    values |= {"automatically_finalizes_at": at + 3600, "next_payment_attempt": at + 3600}
    return {"id": "upcoming_" + new_id("invoice"), "object": "invoice", "created": at, "livemode": False, **values}


def _preview_customer(account: Account, given: Json, subscription: Json | None) -> Json:
    if subscription is not None:
        return account.get("customer", subscription["customer"], "customer")
    return live_customer(account, given["customer"])


def _imagined(account: Account, customer: Json, details: Json) -> Json:
    """A subscription that does not exist, for a preview."""
    now = account.clock.now_s()
    prices = [recurring_price(account, one, f"subscription_details[items][{place}]", add_price)
              for place, one in enumerate(details.get("items") or [])]  # fmt: skip
    if not prices:
        raise invalid("Nothing to invoice for customer", None, "invoice_upcoming_none")
    check_items(prices)
    period = period_from(now, [{"price": price} for price in prices], now)
    sub_id = new_id("subscription")
    data = [new_item(account, sub_id, price, one, period)
            for price, one in zip(prices, details["items"], strict=True)]  # fmt: skip
    return {**subscription_values({}), "id": sub_id, "object": "subscription", "currency": prices[0]["currency"],
            "customer": customer["id"], "items": lists.list_of(data, ""), "metadata": {}}  # fmt: skip


def _imagined_discount(account: Account, one: Json) -> Json:
    if "discount" in one:
        return dict(one["discount"])
    return {"id": new_id("discount"), "source": {"coupon": one["coupon"]["id"], "type": "coupon"}}


def _preview_lines(account: Account, subscription: Json, customer: Json, change: Change, details: Json) -> list[Json]:
    """What waits, the prorations of the change, and the next regular lines unless only the change is invoiced."""
    waiting = pending_items(account, customer, subscription["currency"], subscription["id"])
    lines = [line_of_invoice_item(row) for row in waiting]
    for part in change.parts:
        values = proration_values(account, subscription, customer, part)
        lines.append(line_of_invoice_item({**values, "id": new_id("invoiceitem")}))
    if change.fresh:
        return lines + [item_line(account, subscription, item, change.period) for item in change.items]
    ends = subscription["cancel_at_period_end"] or details.get("cancel_at_period_end")
    if details.get("proration_behavior") != "always_invoice" and not ends:
        period = period_from(change.anchor, change.items, change.period[1])
        lines += [item_line(account, subscription, item, period) for item in change.items]
    if not lines:
        raise invalid("No upcoming invoices for customer: " + customer["id"], None, "invoice_upcoming_none")
    return lines


def _trial_end(value: object, name: str) -> int | str:
    return "now" if value == "now" else integer(value, name)


_DETAILS: Shape = {
    "billing_cycle_anchor": fields({"type": choice("now", "unchanged")}, ("type",)),
    "cancel_at_period_end": flag,
    "items": UPDATE_ITEMS,
    "metadata": metadata,
    "proration_behavior": choice("always_invoice", "create_prorations", "none"),
    "proration_date": integer,
    "trial_end": _trial_end,
}
_PREVIEW: Shape = {
    "currency": text(3, clearable=False),
    "customer": text(clearable=False),
    "discounts": DISCOUNTS,
    "invoice_items": items(fields(ITEM), 100),
    "preview_mode": choice("next", "recurring"),
    "subscription": text(clearable=False),
    "subscription_details": fields(_DETAILS),
}
_PAY: Shape = {
    "forgive": flag, "off_session": flag, "paid_out_of_band": flag, "payment_method": text(clearable=False),
}  # fmt: skip

OPERATIONS: list[Operation] = [
    post("/v1/invoices/create_preview", _preview, _PREVIEW),
    post("/v1/invoices", _create, _CREATE),
    listing("/v1/invoices", _list, {
        "collection_method": _COMMON["collection_method"], "customer": text(), "due_date": moment_range,
        "status": _STATUS, "subscription": text(),
    }),
    get("/v1/invoices/{id}", _existing),
    post("/v1/invoices/{id}", _update, _COMMON),
    delete("/v1/invoices/{id}", _delete),
    post("/v1/invoices/{id}/finalize", _finalize, {"auto_advance": flag}),
    post("/v1/invoices/{id}/pay", _pay, _PAY),
    post("/v1/invoices/{id}/void", _void),
    post("/v1/invoices/{id}/mark_uncollectible", _mark_uncollectible),
    post("/v1/invoices/{id}/send", _send),
    listing("/v1/invoices/{id}/lines", _lines),
    listing("/v1/invoice_payments", _list_payments, {
        "invoice": text(), "status": choice("canceled", "open", "paid"),
        "payment": fields({"payment_intent": text(), "type": choice("payment_intent", "payment_record")}, ("type",)),
    }),
    get("/v1/invoice_payments/{id}", _payment),
]  # fmt: skip
