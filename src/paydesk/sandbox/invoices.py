"""Invoices: drafted, finalised, paid, voided, given up. The subscriptions they belong to follow through `FOLLOWERS`."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

from .accounts import Account
from .billing_settings import rules
from .confirming import How, start_payment
from .coupons import apply_discounts
from .customer_balance import move_balance
from .customer_discounts import use_up
from .errors import Json, StripeError, invalid
from .events import emit, emit_update, wants
from .ids import new_id
from .intents import add_intent
from .invoice_lines import line_of_invoice_item, own_discounts
from .invoice_payments import add_payment, ask_for_rest, cancel_default, cancel_payment, close_payment, payment_of
from .later import later
from .lists import list_of
from .money import minimum_minor
from .payments import OWNERS, Owner, must_authenticate
from .periods import DAY_S
from .taxes import drop_tax, lacks_location, set_taxes

DRAFT_S = 3600
_BY_SELLER: Json = {"customer_acceptance": {"type": "offline", "offline": {}}}

# What follows for a subscription: by what happened to its invoice (`paid`, `failed`, `action`, `processing`, `closed`,
# `due`, `finalizing`); filled by the module of subscriptions.
FOLLOWERS: dict[str, Callable[[Account, Json], None]] = {}


def follow(account: Account, what: str, invoice: Json) -> None:
    """Let the subscription of an invoice know."""
    if subscription_id(invoice):
        FOLLOWERS[what](account, invoice)


def subscription_id(invoice: Json) -> str | None:
    """The subscription to which an invoice belongs, or None."""
    parent = invoice["parent"] or {}
    return (parent.get("subscription_details") or {}).get("subscription")


def begins_unpaid(invoice: Json) -> bool:
    """Whether this is the first invoice of a subscription that waits for it: a failure leaves it `incomplete`."""
    return invoice["billing_reason"] == "subscription_create" and not invoice.get("_drafted")


def invoice_values(account: Account, customer: Json, currency: str, reason: str, lines: list[Json],
                   discounts: list[Json], given: Json) -> Json:  # fmt: skip
    """The fields of a draft with its sums; nothing is kept yet. `given` sets further fields."""
    now = account.clock.now_s()
    values: Json = {
        **_unset(),
        "account_country": "US",
        "account_name": "Paydesk sandbox",
        "auto_advance": True,
        "automatically_finalizes_at": now + DRAFT_S,
        "billing_reason": reason,
        "collection_method": "charge_automatically",
        "currency": currency,
        "customer": customer["id"],
        "customer_address": customer["address"],
        "customer_email": customer["email"],
        "customer_name": customer["name"],
        "customer_phone": customer["phone"],
        "customer_shipping": _shipping(customer),
        "customer_tax_exempt": customer["tax_exempt"],
        "period_end": now,
        "period_start": now,
        "starting_balance": customer["balance"] if customer["currency"] in (None, currency) else 0,
        "status": "draft",
        "test_clock": customer["test_clock"],
        "_payments": [],
        **given,
    }
    values["next_payment_attempt"] = first_attempt_at(values)
    set_lines(account, values, lines, discounts)
    return values


def first_attempt_at(draft: Json) -> int | None:
    """When a draft that collects by itself is charged first: as soon as it is finalised."""
    charges = draft["collection_method"] == "charge_automatically" and draft["auto_advance"]
    return draft["automatically_finalizes_at"] if charges else None


def _shipping(customer: Json) -> Json | None:
    shipping = customer["shipping"]
    return {"carrier": None, "tracking_number": None, **shipping} if shipping else None


def _unset() -> Json:
    """The fields of an invoice that have no value yet, or their usual one."""
    names = (
        "account_tax_ids", "amount_paid_off_stripe", "application", "custom_fields", "customer_account",
        "default_payment_method", "default_source", "description", "due_date", "effective_at", "ending_balance",
        "footer", "from_invoice", "hosted_invoice_url", "invoice_pdf", "last_finalization_error", "latest_revision",
        "next_payment_attempt", "number", "on_behalf_of", "parent", "receipt_number", "rendering", "shipping_cost",
        "shipping_details", "statement_descriptor", "status_details", "threshold_reason", "webhooks_delivered_at",
    )  # fmt: skip
    moments = ("finalized_at", "marked_uncollectible_at", "paid_at", "voided_at")
    return dict.fromkeys(names) | {
        "amount_overpaid": 0,
        "amount_paid": 0,
        "amount_shipping": 0,
        "attempt_count": 0,
        "attempted": False,
        "automatic_tax": {"disabled_reason": None, "enabled": False, "liability": None, "provider": None,
                          "status": None},
        "customer_tax_ids": [],
        "default_tax_rates": [],
        "issuer": {"type": "self"},
        "metadata": {},
        "payment_settings": {"default_mandate": None, "payment_method_options": None, "payment_method_types": None},
        "post_payment_credit_notes_amount": 0,
        "pre_payment_credit_notes_amount": 0,
        "status_transitions": dict.fromkeys(moments),
        "total_pretax_credit_amounts": [],
        "total_taxes": [],
    }  # fmt: skip


def set_lines(account: Account, invoice: Json, lines: list[Json], discounts: list[Json]) -> None:
    """Put lines on an invoice, apply the discounts, and add up."""
    apply_discounts(account, lines, discounts, {line["id"]: own_discounts(account, line) for line in lines})
    off: dict[str, int] = {}
    for line in lines:
        line["invoice"] = invoice.get("id")
        for part in line["discount_amounts"]:
            off[part["discount"]] = off.get(part["discount"], 0) + part["amount"]
    subtotal = sum(line["amount"] for line in lines)
    total = subtotal - sum(off.values())
    amounts = [{"amount": amount, "discount": discount} for discount, amount in off.items()]
    invoice |= {
        "discounts": [discount["id"] for discount in discounts],
        "lines": list_of(lines, f"/v1/invoices/{invoice.get('id', 'upcoming')}/lines"),
        "subtotal": subtotal,
        "subtotal_excluding_tax": subtotal,
        "total": total,
        "total_discount_amounts": amounts,
        "total_excluding_tax": total,
        "total_pretax_credit_amounts": [{**one, "type": "discount"} for one in amounts],
    }
    set_taxes(account, invoice, lines)
    due = amount_due(invoice)
    invoice |= {"amount_due": due, "amount_remaining": due}


def amount_due(invoice: Json) -> int:
    """What is to be paid: the total with the customer's balance; a sum too small to charge waits in the balance."""
    due = max(0, int(invoice["total"]) + int(invoice["starting_balance"]))
    return 0 if invoice["total"] <= 0 or due < minimum_minor(invoice["currency"]) else due


def add_invoice(account: Account, values: Json) -> Json:
    """Keep a draft and tell it; it is finalised by itself when it says so."""
    invoice_id = new_id("invoice")
    invoice = account.add("invoice", values, object_id=invoice_id)
    lines = invoice["lines"]
    lines["url"] = f"/v1/invoices/{invoice_id}/lines"
    for line in lines["data"]:
        line["invoice"] = invoice_id
    customer = account.get("customer", invoice["customer"], "customer")
    if customer["currency"] is None:
        account.change(customer, currency=invoice["currency"])
    told = sum(wants(endpoint, "invoice.created") for endpoint in account.all("webhook_endpoint"))
    account.change(invoice, webhooks_delivered_at=None if told else account.clock.now_s())
    emit(account, "invoice.created", invoice)
    use_up(account, invoice)
    if told:
        account.change(invoice, _told=[one["id"] for one in account.fresh_deliveries[-told:]])
    if invoice["auto_advance"] and invoice["automatically_finalizes_at"] is not None:
        later(account, invoice["automatically_finalizes_at"], "invoice.finalize", invoice_id)
    return invoice


def take_pending(account: Account, customer: Json, currency: str, subscription: str | None) -> list[Json]:
    """The lines of the customer's waiting invoice items: those of the subscription, and those of none."""
    lines = []
    for row in pending_items(account, customer, currency, subscription):
        lines.append(line_of_invoice_item(row))
        customer["_pending"].remove(row["id"])
        account.change(row, _line=lines[-1]["id"])
    account.save(customer)
    return lines


def pending_items(account: Account, customer: Json, currency: str, subscription: str | None) -> list[Json]:
    """The customer's invoice items that wait for the next invoice of this subscription."""
    rows = [account.get("invoiceitem", one, "invoiceitem") for one in customer.get("_pending", [])]
    return [row for row in rows if row["currency"] == currency and _owner(row) in (None, subscription)]


def _owner(row: Json) -> str | None:
    parent = row["parent"] or {}
    return (parent.get("subscription_details") or {}).get("subscription")


def claim_items(account: Account, invoice: Json) -> None:
    """Note on the invoice items of an invoice's lines where they went."""
    for line in invoice["lines"]["data"]:
        details = line["parent"].get("invoice_item_details") or line["parent"].get("subscription_item_details")
        row = account.find("invoiceitem", (details or {}).get("invoice_item") or "")
        if row is not None:
            account.change(row, invoice=invoice["id"])


def finalize(account: Account, invoice: Json, *, adopt: Json | None = None) -> None:
    """Give a draft its number, settle it with the customer's balance, and make its payment intent; tells it.

    `adopt` is an intent that exists already (of Checkout). An invoice with nothing to pay is paid at once.
    """
    now = account.clock.now_s()
    if lacks_location(account, invoice):
        drop_tax(account, invoice, account.find("subscription", subscription_id(invoice) or ""))
    customer = account.get("customer", invoice["customer"], "customer")
    number = f"{customer['invoice_prefix']}-{customer['next_invoice_sequence']:04d}"
    account.change(customer, next_invoice_sequence=customer["next_invoice_sequence"] + 1)
    use_up(account, invoice)
    page = f"{account.public_url}/i/{invoice['id']}"
    account.change(
        invoice, status="open", number=number, effective_at=now, hosted_invoice_url=page, invoice_pdf=page + "/pdf",
        automatically_finalizes_at=None, next_payment_attempt=None, ending_balance=_settled_balance(account, invoice, customer),
        status_transitions={**invoice["status_transitions"], "finalized_at": now},
    )  # fmt: skip
    if invoice["amount_due"] and adopt is not None:
        account.change(adopt, _invoice=invoice["id"], customer=customer["id"])
    emit(account, "invoice.finalized", invoice)
    _plan_due(account, invoice)
    if invoice["amount_due"]:
        intent = adopt or _add_intent(account, invoice)
        add_payment(account, invoice, intent, default=True)
    else:
        mark_paid(account, invoice)


def _plan_due(account: Account, invoice: Json) -> None:
    """Have what belongs to the due date happen in its time."""
    if invoice["due_date"] is None:
        return
    settled = rules(account)
    for deed, days in (("invoice.will_be_due", settled["will_be_due_days"]), ("invoice.due", 0),
                       ("invoice.overdue", settled["overdue_days"])):  # fmt: skip
        sign = -1 if deed == "invoice.will_be_due" else 1
        if days is not None and invoice["due_date"] + sign * days * DAY_S > account.clock.now_s():
            later(account, invoice["due_date"] + sign * days * DAY_S, deed, invoice["id"])


def _settled_balance(account: Account, invoice: Json, customer: Json) -> int:
    """The customer's balance after this invoice; changed and noted when it differs."""
    if customer["currency"] not in (None, invoice["currency"]):
        return int(customer["balance"])
    ending = customer["balance"] + invoice["total"] - invoice["amount_due"]
    account.change(invoice, _applied=ending - customer["balance"])
    if ending != customer["balance"]:
        kind = "applied_to_invoice" if customer["balance"] < 0 < invoice["total"] else "invoice_too_small"
        move_balance(account, customer, ending - customer["balance"], invoice["currency"], kind, invoice=invoice["id"])
    return int(ending)


def _add_intent(account: Account, invoice: Json) -> Json:
    description = "Subscription creation" if invoice["billing_reason"] == "subscription_create" else (
        "Subscription update" if subscription_id(invoice) else f"Payment for Invoice {invoice['number']}"
    )  # fmt: skip
    return add_intent(account, invoice["amount_due"], invoice["currency"], {
        "customer": invoice["customer"], "description": description, "setup_future_usage": "off_session",
        "_invoice": invoice["id"],
    })  # fmt: skip


def attempt(account: Account, invoice: Json, method: Json | None, *, off_session: bool = False,
            return_url: str | None = None) -> StripeError | None:  # fmt: skip
    """One try to pay an open invoice with a method; gives the refusal instead of raising it.

    `return_url` is where the payer comes back to from a bank's page."""
    intent = account.get("payment_intent", invoice["_intent"], "payment_intent")
    if method is None:
        _note_failure(account, invoice)
        return invalid("There is no payment method to pay this invoice with.", "payment_method", "resource_missing")
    account.change(intent, payment_method_types=sorted({*intent["payment_method_types"], method["type"]}))
    alone = off_session and not must_authenticate(method, off_session=True)
    how = How(off_session=alone, mandate_data=_BY_SELLER, return_url=return_url)
    try:
        start_payment(account, intent, method, how)
    except StripeError as refusal:
        return refusal
    if intent["status"] == "requires_action":
        account.change(invoice, attempted=True, attempt_count=max(1, invoice["attempt_count"]))
        emit(account, "invoice.payment_action_required", invoice)
        follow(account, "action", invoice)
    return None


def _before_payment(account: Account, intent: Json) -> None:
    """Nothing has to be made before an invoice is paid."""


def settle(account: Account, intent: Json) -> None:
    """Bring an invoice to what became of one of its intents."""
    invoice = account.find("invoice", intent["_invoice"])
    payment = payment_of(account, invoice, intent["id"]) if invoice else None
    if invoice is None or payment is None or payment["status"] != "open":
        return
    if intent["status"] == "succeeded":
        credit(account, invoice, payment, intent["amount_received"])
    elif intent["status"] == "canceled":
        cancel_payment(account, payment)
    elif payment["is_default"] and invoice["status"] in ("open", "uncollectible"):
        _follow_default(account, invoice, intent)


def _follow_default(account: Account, invoice: Json, intent: Json) -> None:
    """What a try with the invoice's own intent came to, short of success."""
    if intent["status"] == "requires_payment_method":
        _note_failure(account, invoice)
    elif intent["status"] == "processing":
        account.change(invoice, attempted=True, attempt_count=max(1, invoice["attempt_count"]))
        follow(account, "processing", invoice)


OWNERS["_invoice"] = Owner(_before_payment, settle)


def _note_failure(account: Account, invoice: Json) -> None:
    """A try failed: the subscription plans the next one, then it is told."""
    account.change(invoice, attempted=True, attempt_count=max(1, invoice["attempt_count"]))
    follow(account, "planning", invoice)
    emit(account, "invoice.payment_failed", invoice)
    follow(account, "failed", invoice)


def credit(account: Account, invoice: Json, payment: Json, received: int) -> None:
    """A payment has come: part of what is due, all of it, or more; what is too much goes to the customer's balance."""
    paid = min(received, invoice["amount_remaining"])
    over = received - paid
    if paid < invoice["amount_remaining"]:
        close_payment(account, payment, paid)
        previous = account.change(invoice, amount_paid=invoice["amount_paid"] + paid,
                                  amount_remaining=invoice["amount_remaining"] - paid)  # fmt: skip
        emit_update(account, "invoice.updated", invoice, previous)
        ask_for_rest(account, invoice)
        return
    if invoice["status"] in ("open", "uncollectible"):
        mark_paid(account, invoice, payment=payment, over=over)
    else:
        close_payment(account, payment, paid)
        emit_update(account, "invoice.updated", invoice,
                    account.change(invoice, amount_overpaid=invoice["amount_overpaid"] + over))  # fmt: skip
    if over:
        customer = account.get("customer", invoice["customer"], "customer")
        move_balance(account, customer, -over, invoice["currency"], "invoice_overpaid", invoice=invoice["id"])


def mark_paid(account: Account, invoice: Json, *, out_of_band: bool = False, payment: Json | None = None,
              over: int = 0) -> None:  # fmt: skip
    """An invoice is paid (by its last `payment`), has nothing to pay, or was paid elsewhere; tells it."""
    now, due, rest = account.clock.now_s(), invoice["amount_due"], invoice["amount_remaining"]
    account.change(
        invoice, status="paid", amount_paid=due, amount_remaining=0, amount_overpaid=over, attempted=True,
        attempt_count=max(1 if due and not out_of_band else 0, invoice["attempt_count"]), next_payment_attempt=None,
        auto_advance=False, status_transitions={**invoice["status_transitions"], "paid_at": now},
    )  # fmt: skip
    if out_of_band:
        account.change(invoice, amount_paid_off_stripe=rest)
    if payment is None or not payment["is_default"]:
        cancel_default(account, invoice, None)
    emit(account, "invoice.paid", invoice)
    if over:
        emit(account, "invoice.overpaid", invoice)
    if not out_of_band:
        emit(account, "invoice.payment_succeeded", invoice)
    if payment is not None:
        close_payment(account, payment, rest)
    follow(account, "paid", invoice)


def void(account: Account, invoice: Json, *, tell: bool = True) -> None:
    """Make an invoice worth nothing; the part that came from the customer's balance goes back."""
    now = account.clock.now_s()
    customer = account.get("customer", invoice["customer"], "customer")
    applied = invoice.get("_applied", 0)
    if applied > 0 and not customer.get("deleted"):
        move_balance(account, customer, -applied, invoice["currency"], "unapplied_from_invoice", invoice=invoice["id"])
    account.change(invoice, status="void", auto_advance=False, next_payment_attempt=None,
                   automatically_finalizes_at=None,
                   status_transitions={**invoice["status_transitions"], "voided_at": now})  # fmt: skip
    cancel_default(account, invoice, "void_invoice")
    emit(account, "invoice.voided", invoice)
    if tell:
        follow(account, "closed", invoice)


def give_up(account: Account, invoice: Json, reason: str, *, tell: bool = True) -> None:
    """Write an open invoice off as uncollectible; it can still be paid."""
    now = account.clock.now_s()
    account.change(
        invoice, status="uncollectible", auto_advance=False, next_payment_attempt=None,
        status_details={"uncollectible": {"reason": reason}},
        status_transitions={**invoice["status_transitions"], "marked_uncollectible_at": now},
    )  # fmt: skip
    emit(account, "invoice.marked_uncollectible", invoice)
    if tell:
        follow(account, "closed", invoice)


def stop_advancing(account: Account, invoice: Json) -> None:
    """Nothing more happens to this invoice by itself."""
    previous = account.change(invoice, auto_advance=False, automatically_finalizes_at=None, next_payment_attempt=None)
    emit_update(account, "invoice.updated", invoice, previous)


def method_for(account: Account, *holders: Json | None) -> Json | None:
    """The method to pay with: the first holder (invoice, subscription, customer) that names one; None without."""
    for holder in holders:
        if holder is None:
            continue
        settings: Any = holder.get("invoice_settings") if holder["object"] == "customer" else holder
        for name in ((settings or {}).get("default_payment_method"), holder.get("default_source")):
            found = account.find("payment_method", name or "")
            if found is not None and found["customer"] is not None:
                return found
    return None


def default_method(account: Account, invoice: Json) -> Json | None:
    """The method with which an invoice is collected."""
    customer = account.get("customer", invoice["customer"], "customer")
    subscription = account.find("subscription", subscription_id(invoice) or "")
    return method_for(account, invoice, subscription, customer)


def collect(account: Account, invoice: Json) -> None:
    """The first try to be paid for an invoice that collects by itself; another is sent to the customer."""
    if invoice["collection_method"] == "send_invoice":
        emit(account, "invoice.sent", invoice)
    elif invoice["status"] == "open":
        attempt(account, invoice, default_method(account, invoice), off_session=True)
