"""Invoice payments: which payment intents pay an invoice, and how much of it.

Each invoice has one that was made with it (the default); it asks for whatever is left when others have paid a part.
"""

from __future__ import annotations

from .accounts import Account
from .errors import Json
from .events import emit
from .intents import cancel_intent

_FIXED = ("canceled", "processing", "requires_capture", "succeeded")


def add_payment(account: Account, invoice: Json, intent: Json, *, default: bool) -> Json:
    """Tie an intent to an invoice."""
    account.change(intent, _invoice=invoice["id"])
    payment = account.add("invoice_payment", {
        "amount_paid": None,
        "amount_requested": intent["amount"],
        "currency": invoice["currency"],
        "invoice": invoice["id"],
        "is_default": default,
        "payment": {"payment_intent": intent["id"], "type": "payment_intent"},
        "status": "open",
        "status_transitions": {"canceled_at": None, "paid_at": None},
    })  # fmt: skip
    account.change(invoice, _payments=[*invoice["_payments"], payment["id"]])
    if default:
        account.change(intent, _of_invoice=True)
        account.change(invoice, _intent=intent["id"])
    return payment


def payments_of(account: Account, invoice: Json) -> list[Json]:
    """The invoice payments of an invoice, oldest first."""
    return [account.get("invoice_payment", one, "invoice_payment") for one in invoice["_payments"]]


def payment_of(account: Account, invoice: Json, intent_id: str) -> Json | None:
    """The invoice payment that an intent makes, or None."""
    for payment in payments_of(account, invoice):
        if payment["payment"]["payment_intent"] == intent_id:
            return payment
    return None


def close_payment(account: Account, payment: Json, amount: int) -> None:
    """A payment has come; tells it."""
    account.change(payment, status="paid", amount_paid=amount,
                   status_transitions={"canceled_at": None, "paid_at": account.clock.now_s()})  # fmt: skip
    emit(account, "invoice_payment.paid", payment)


def cancel_payment(account: Account, payment: Json) -> None:
    """A payment will not come."""
    account.change(payment, status="canceled",
                   status_transitions={"canceled_at": account.clock.now_s(), "paid_at": None})  # fmt: skip


def cancel_default(account: Account, invoice: Json, reason: str | None) -> None:
    """An invoice is not paid by its own intent any more."""
    intent = account.find("payment_intent", invoice.get("_intent") or "")
    if intent is not None and intent["status"] not in ("succeeded", "canceled"):
        payment = payment_of(account, invoice, intent["id"])
        if payment is not None:
            cancel_payment(account, payment)
        cancel_intent(account, intent, reason)


def ask_for_rest(account: Account, invoice: Json) -> None:
    """The invoice's own payment asks for what is left."""
    intent = account.find("payment_intent", invoice.get("_intent") or "")
    payment = payment_of(account, invoice, intent["id"]) if intent else None
    if intent is not None and payment is not None and intent["status"] not in _FIXED:
        account.change(intent, amount=invoice["amount_remaining"])
        account.change(payment, amount_requested=invoice["amount_remaining"])
