"""Invoices in the API: create, change, finalise, pay, void, give up, preview; their lines and payments."""

from __future__ import annotations

from . import lists
from .accounts import Account
from .billing_parts import (
    AUTOMATIC_TAX,
    CUSTOM_FIELDS,
    ISSUER,
    PAYMENT_SETTINGS,
    invoice_payment_settings,
    invoice_tax,
)
from .calls import Call, Operation, delete, get, listing, post
from .coupons import DISCOUNTS, chosen, in_currency, redeem
from .customer_discounts import discounts_of_customer
from .errors import Json, StripeError, invalid, missing_parameter
from .events import emit, emit_update
from .invoice_items import reckon
from .invoice_payments import add_payment, payments_of
from .invoices import (
    DRAFT_S,
    add_invoice,
    attempt,
    claim_items,
    collect,
    default_method,
    finalize,
    first_attempt_at,
    give_up,
    invoice_values,
    mark_paid,
    settle,
    subscription_id,
    take_pending,
    void,
)
from .later import later
from .live_customers import live_customer
from .methods import usable_method
from .money import currency_code
from .params import (
    Shape,
    choice,
    fields,
    flag,
    integer,
    merged_metadata,
    metadata,
    moment_range,
    text,
    whole,
)
from .periods import DAY_S
from .present import INCLUDABLE, public
from .subscription_calls import check_method, existing
from .subscription_rows import (
    current_period,
)
from .subscriptions import invoice_fields, know_invoice
from .taxes import fail_finalization, lacks_location

_COMMON: Shape = {
    "auto_advance": flag,
    "automatic_tax": AUTOMATIC_TAX,
    "automatically_finalizes_at": integer,
    "collection_method": choice("charge_automatically", "send_invoice"),
    "custom_fields": CUSTOM_FIELDS,
    "days_until_due": whole(0, 730),
    "default_payment_method": text(),
    "default_source": text(),
    "description": text(1500),
    "discounts": DISCOUNTS,
    "due_date": integer,
    "footer": text(5000),
    "issuer": ISSUER,
    "metadata": metadata,
    "payment_settings": fields(PAYMENT_SETTINGS),
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
    currency = currency_code(given.get("currency") or (subscription or customer)["currency"] or "usd")
    if subscription is not None and currency != subscription["currency"]:
        raise invalid("The currency of the invoice does not match the currency of its subscription.", "currency")
    now = account.clock.now_s()
    own = invoice_fields(subscription, current_period(subscription), now) if subscription else {}
    own |= _given_fields(account, customer, given)
    own |= _given_due(given, own.get("due_date"), sends=given.get("collection_method") == "send_invoice", now=now)
    own |= {"auto_advance": given.get("auto_advance", False)}
    includes = subscription is not None or given.get("pending_invoice_items_behavior") == "include"
    sub_id = subscription["id"] if subscription else None
    lines = take_pending(account, customer, currency, sub_id) if includes else []
    picked = in_currency(chosen(account, given.get("discounts"), customer["id"]), currency)
    made = [redeem(account, one) for one in picked]
    if "discounts" not in given:
        made = discounts_of_customer(account, customer["id"])
    values = invoice_values(account, customer, currency, "manual", lines, made, own)
    values |= _advance(account, values, given)
    invoice = add_invoice(account, values)
    claim_items(account, invoice)
    if subscription is not None:
        know_invoice(account, subscription, invoice)
    return invoice


def _advance(account: Account, draft: Json, given: Json) -> Json:
    """When a draft is finalised and charged by itself: at the given time, else in an hour; never when told not to."""
    moment = given.get("automatically_finalizes_at")
    if moment is not None and not draft["auto_advance"]:
        raise invalid("You can only set `automatically_finalizes_at` when `auto_advance` is `true`.",
                      "automatically_finalizes_at")  # fmt: skip
    if moment is not None and moment <= account.clock.now_s():
        raise invalid("The automatically_finalizes_at must be in the future.", "automatically_finalizes_at")
    if not draft["auto_advance"]:
        moment = None
    elif moment is None:
        moment = account.clock.now_s() + DRAFT_S
    return {"automatically_finalizes_at": moment,
            "next_payment_attempt": first_attempt_at({**draft, "automatically_finalizes_at": moment})}  # fmt: skip


def _given_fields(account: Account, customer: Json, given: Json, metadata_before: Json | None = None) -> Json:
    """The fields that follow from the parameters, but for the due date."""
    names = (
        "collection_method",
        "default_payment_method",
        "default_source",
        "description",
        "footer",
        "statement_descriptor",
    )
    values: Json = {name: given[name] for name in names if name in given}
    check_method(account, customer, given)
    if "custom_fields" in given:
        values["custom_fields"] = given["custom_fields"] or None
    if "issuer" in given:
        values["issuer"] = given["issuer"]
    if "payment_settings" in given:
        values["payment_settings"] = invoice_payment_settings(given["payment_settings"])
    if "automatic_tax" in given:
        values["automatic_tax"] = invoice_tax(given["automatic_tax"])
    if "metadata" in given:
        values["metadata"] = merged_metadata(metadata_before or {}, given["metadata"])
    return values


def _given_due(given: Json, before: int | None, *, sends: bool, now: int) -> Json:
    """`{"due_date": …}` as the parameters give it; only invoices that are sent have one, and they need one."""
    ways = [name for name in ("days_until_due", "due_date") if name in given]
    if not sends:
        if ways:
            raise invalid(f"You can only set `{ways[0]}` when `collection_method` is `send_invoice`.", ways[0])
        return {"due_date": None}
    if len(ways) == 2:
        raise invalid("You may only specify one of these parameters: days_until_due, due_date.", "due_date")
    if "days_until_due" in given:
        return {"due_date": now + given["days_until_due"] * DAY_S}
    if "due_date" in given and given["due_date"] < now:
        raise invalid("The due_date must be in the future.", "due_date")
    if "due_date" not in given and before is None:
        raise missing_parameter("days_until_due")
    return {"due_date": given.get("due_date", before)}


def _update(call: Call) -> Json:
    invoice, account = _existing(call), call.account
    if set(call.params) - {"metadata", "auto_advance", "default_payment_method", "default_source"}:
        _must_be(invoice, "draft")
    customer = account.get("customer", invoice["customer"], "customer")
    values = _given_fields(account, customer, call.params, invoice["metadata"])
    if invoice["status"] == "draft":
        sends = call.params.get("collection_method", invoice["collection_method"]) == "send_invoice"
        values |= _given_due(call.params, invoice["due_date"], sends=sends, now=account.clock.now_s())
    if "auto_advance" in call.params:
        values["auto_advance"] = call.params["auto_advance"]
    if invoice["status"] == "draft" and {"auto_advance", "automatically_finalizes_at"} & set(call.params):
        values |= _advance(account, {**invoice, **values}, call.params)
    elif invoice["status"] == "draft":
        values["next_payment_attempt"] = first_attempt_at({**invoice, **values})
    previous = account.change(invoice, **values)
    emit_update(account, "invoice.updated", invoice, previous)
    if values.get("automatically_finalizes_at"):
        later(account, values["automatically_finalizes_at"], "invoice.finalize", invoice["id"])
    if "discounts" in call.params:
        picked = in_currency(chosen(account, call.params["discounts"], customer["id"]), invoice["currency"])
        made = [redeem(account, one) for one in picked]
        account.change(invoice, discounts=[discount["id"] for discount in made])
        reckon(account, invoice, invoice["lines"]["data"])
    return invoice


def _delete(call: Call) -> Json:
    invoice = _existing(call)
    _must_be(invoice, "draft")
    if subscription_id(invoice):
        raise invalid("You can only delete one-off draft invoices; void the invoice of a subscription instead.")
    _wait_again(call.account, invoice)
    emit(call.account, "invoice.deleted", invoice)
    call.account.remove("invoice", invoice["id"])
    return {"id": invoice["id"], "object": "invoice", "deleted": True}


def _wait_again(account: Account, invoice: Json) -> None:
    """The invoice items of a draft that is deleted wait for the next invoice."""
    customer = account.get("customer", invoice["customer"], "customer")
    for line in invoice["lines"]["data"]:
        row = account.find("invoiceitem", (line["parent"].get("invoice_item_details") or {}).get("invoice_item") or "")
        if row is not None:
            account.change(row, invoice=None)
            account.change(customer, _pending=[*customer.get("_pending", []), row["id"]])


def _finalize(call: Call) -> Json:
    invoice = _existing(call)
    _must_be(invoice, "draft")
    if "auto_advance" in call.params:
        call.account.change(invoice, auto_advance=call.params["auto_advance"])
    _must_be_located(call.account, invoice)
    finalize(call.account, invoice)
    if invoice["auto_advance"]:
        collect(call.account, invoice)
    return invoice


def _must_be_located(account: Account, invoice: Json) -> None:
    """A draft that somebody finalises by hand needs to know where its tax is due."""
    if lacks_location(account, invoice):
        raise fail_finalization(account, invoice)


def _pay(call: Call) -> Json:
    invoice, account, given = _existing(call), call.account, call.params
    if invoice["status"] == "paid":
        raise invalid("Invoice is already paid")
    if invoice["status"] == "draft":
        _must_be_located(account, invoice)
        finalize(account, invoice)
        if invoice["status"] == "paid":
            return invoice
    _must_be(invoice, "open", "uncollectible")
    if given.get("paid_out_of_band"):
        mark_paid(account, invoice, out_of_band=True)
        return invoice
    named = next((name for name in ("payment_method", "source") if given.get(name)), None)
    if named is not None:
        method: Json | None = usable_method(account, given[named], named)
        if method is not None and method["customer"] not in (None, invoice["customer"]):
            raise invalid("The payment method belongs to another customer than the invoice.", named)
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
    if _attached(call.account, invoice, "open", "paid"):
        raise invalid("An invoice with open or paid partial payments cannot be voided.")
    void(call.account, invoice)
    return invoice


def _mark_uncollectible(call: Call) -> Json:
    invoice = _existing(call)
    _must_be(invoice, "open")
    if _attached(call.account, invoice, "open"):
        raise invalid("An invoice with open partial payments cannot be marked uncollectible.")
    give_up(call.account, invoice, "user_forgiven")
    return invoice


def _attached(account: Account, invoice: Json, *statuses: str) -> bool:
    """Whether an invoice has payments beside its own that are in one of these states."""
    return any(not one["is_default"] and one["status"] in statuses for one in payments_of(account, invoice))


def _attach(call: Call) -> Json:
    """Another intent pays a part of an invoice, or all of it; one that has succeeded counts at once."""
    invoice, account, given = _existing(call), call.account, call.params
    _must_be(invoice, "open")
    if "payment_intent" not in given:
        raise missing_parameter("payment_intent")
    intent = account.get("payment_intent", given["payment_intent"], "payment_intent", noun="payment_intent")
    _refuse_unfit(invoice, intent)
    add_payment(account, invoice, intent, default=False)
    settle(account, intent)
    return invoice


def _refuse_unfit(invoice: Json, intent: Json) -> None:
    """Refuse an intent that cannot pay this invoice."""
    if intent.get("_invoice") or intent.get("_session"):
        why = "it already belongs to an invoice or a Checkout Session"
    elif intent["status"] == "canceled":
        why = "it is canceled"
    elif (intent["customer"], intent["currency"]) != (invoice["customer"], invoice["currency"]):
        why = "its customer and currency must be those of the invoice"
    elif (subscription_id(invoice) and invoice["collection_method"] == "charge_automatically"
          and intent["amount"] < invoice["amount_remaining"]):  # fmt: skip
        why = "invoices of subscriptions that are charged automatically take no partial payments"
    else:
        return
    raise invalid(f"The PaymentIntent cannot be attached to this invoice: {why}.", "payment_intent")


def _send(call: Call) -> Json:
    invoice = _existing(call)
    if invoice["collection_method"] != "send_invoice":
        raise invalid("You can only manually send an invoice if its collection method is `send_invoice`.")
    _must_be(invoice, "draft", "open", "paid", "uncollectible")
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


_PAY: Shape = {
    "forgive": flag, "off_session": flag, "paid_out_of_band": flag, "payment_method": text(clearable=False),
    "source": text(clearable=False),
}  # fmt: skip

OPERATIONS: list[Operation] = [
    post("/v1/invoices", _create, _CREATE),
    listing("/v1/invoices", _list, {
        "collection_method": _COMMON["collection_method"], "customer": text(), "due_date": moment_range,
        "status": _STATUS, "subscription": text(),
    }),
    get("/v1/invoices/{id}", _existing),
    post("/v1/invoices/{id}", _update, _COMMON),
    delete("/v1/invoices/{id}", _delete),
    post("/v1/invoices/{id}/attach_payment", _attach, {"payment_intent": text(clearable=False)}),
    post("/v1/invoices/{id}/finalize", _finalize, {"auto_advance": flag}),
    post("/v1/invoices/{id}/pay", _pay, _PAY),
    post("/v1/invoices/{id}/void", _void),
    post("/v1/invoices/{id}/mark_uncollectible", _mark_uncollectible),
    post("/v1/invoices/{id}/send", _send),
    listing("/v1/invoices/{id}/lines", _lines, dated=False),
    listing("/v1/invoice_payments", _list_payments, {
        "invoice": text(), "status": choice("canceled", "open", "paid"),
        "payment": fields({"payment_intent": text(), "type": choice("payment_intent", "payment_record")}, ("type",)),
    }),
    get("/v1/invoice_payments/{id}", _payment),
]  # fmt: skip
