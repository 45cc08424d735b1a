"""Refunds, whole or in parts; they succeed at once."""

from __future__ import annotations

from . import lists
from .accounts import Account
from .balance import book_refund
from .calls import Call, Operation, get, listing, post
from .errors import Json, StripeError, invalid, missing_parameter
from .events import emit
from .ids import random_text
from .money import written
from .params import Shape, choice, flag, merged_metadata, metadata, text, whole

_CREATE: Shape = {
    "amount": whole(1),
    "charge": text(clearable=False),
    "metadata": metadata,
    "payment_intent": text(clearable=False),
    "reason": choice("duplicate", "fraudulent", "requested_by_customer"),
    "refund_application_fee": flag,
    "reverse_transfer": flag,
}


def _create(call: Call) -> Json:
    charge = _charge_of(call.account, call.params)
    amount = _refundable(charge, call.params.get("amount"))
    refund = call.account.add("refund", {
        "amount": amount,
        "balance_transaction": None,
        "charge": charge["id"],
        "currency": charge["currency"],
        "customer": charge["customer"],
        "customer_account": None,
        "destination_details": {"card": {"reference_status": "pending", "reference_type": "acquirer_reference_number",
                                         "type": "refund"}, "type": "card"},
        "metadata": merged_metadata({}, call.params.get("metadata")),
        "payment_intent": charge["payment_intent"],
        "payment_method": charge["payment_method"],
        "reason": call.params.get("reason"),
        "receipt_number": None,
        "source_transfer_reversal": None,
        "status": "succeeded",
        "transfer_reversal": None,
    })  # fmt: skip
    del refund["livemode"]  # a refund of Stripe's has no such field
    call.account.change(refund, balance_transaction=book_refund(call.account, refund)["id"])
    _tell(call.account, refund, charge)
    return refund


def _charge_of(account: Account, params: Json) -> Json:
    """The charge that is to be refunded."""
    if "charge" in params:
        return account.get("charge", params["charge"], "charge")
    if "payment_intent" not in params:
        raise missing_parameter("payment_intent")
    intent = account.get("payment_intent", params["payment_intent"], "payment_intent")
    charge = account.find("charge", intent["latest_charge"] or "")
    if charge is None or not charge["paid"]:
        raise invalid(
            f"This PaymentIntent ({intent['id']}) does not have a successful charge to refund.", "payment_intent"
        )
    return charge


def _refundable(charge: Json, amount: int | None) -> int:
    """The amount to give back, in the smallest unit; refused when it is not there."""
    if not charge["paid"]:
        raise invalid(f"Charge {charge['id']} has not been paid and cannot be refunded.", "charge")
    rest = charge["amount_captured"] - charge["amount_refunded"]
    if rest == 0:
        raise StripeError(f"Charge {charge['id']} has already been refunded.", code="charge_already_refunded")
    wanted = rest if amount is None else amount
    if wanted > rest:
        currency = charge["currency"]
        noun = "unrefunded amount" if charge["amount_refunded"] else "charge amount"
        raise invalid(
            f"Refund amount ({written(wanted, currency)}) is greater than {noun} on charge ({written(rest, currency)})",
            "amount",
        )
    return wanted


def _tell(account: Account, refund: Json, charge: Json) -> None:
    """Note the refund on its charge and tell what happened, in Stripe's order."""
    emit(account, "refund.created", refund)
    total = charge["amount_refunded"] + refund["amount"]
    previous = account.change(charge, amount_refunded=total, refunded=total == charge["amount_captured"])
    emit(account, "charge.refunded", charge, previous)
    details = refund["destination_details"]
    referenced = {**details["card"], "reference": random_text(23), "reference_status": "available"}
    previous = account.change(refund, destination_details={**details, "card": referenced})
    emit(account, "refund.updated", refund, previous)


def _retrieve(call: Call) -> Json:
    return call.account.get("refund", call.id, "id", status=404)


def _update(call: Call) -> Json:
    refund = call.account.get("refund", call.id, "id", status=404)
    merged = merged_metadata(refund["metadata"], call.params.get("metadata", {}))
    previous = call.account.change(refund, metadata=merged)
    if previous:
        emit(call.account, "refund.updated", refund, previous)
    return refund


def _list(call: Call) -> Json:
    return lists.page(
        call.account, "refund", call.params, "/v1/refunds", lists.same(call.params, "charge", "payment_intent")
    )


OPERATIONS: list[Operation] = [
    post("/v1/refunds", _create, _CREATE),
    listing("/v1/refunds", _list, {"charge": text(), "payment_intent": text()}),
    get("/v1/refunds/{id}", _retrieve),
    post("/v1/refunds/{id}", _update, {"metadata": metadata}),
]
