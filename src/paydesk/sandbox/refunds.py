"""Refunds, whole or in parts.

A card is paid back at once; a bank account some days later. Two test cards end differently: ...5126 succeeds and fails
an hour later, ...7726 is pending for an hour. Methods that cannot be refunded by themselves ask the buyer by e-mail for
a bank account first: none of the methods played here is one, so `ask_buyer` makes such a refund of any that is no card.
Only while the buyer is asked can a refund be canceled.
"""

from __future__ import annotations

from collections.abc import Callable

from . import lists
from .accounts import Account
from .balance import book_failed_refund, book_refund
from .calls import Call, Operation, get, listing, post
from .errors import Json, StripeError, invalid, unreadable
from .events import emit
from .exchange import share
from .ids import random_text
from .later import DEEDS, later
from .method_rules import RULES
from .money import written
from .params import Shape, choice, email, flag, merged_metadata, metadata, text, whole

# Told when a charge is refunded in full; filled by the modules that care.
REFUND_FOLLOWERS: list[Callable[[Account, Json], None]] = []
# Told of each refund that was made, with its charge; filled by the modules that care.
MADE_FOLLOWERS: list[Callable[[Account, Json, Json], None]] = []

_HOUR_S = 3600
_BANK_TAKES_S = 3 * 24 * 3600
_BUYER_HAS_S = 45 * 24 * 3600
_FAILING_CARD, _PENDING_CARD = "4000000000005126", "4000000000007726"

_CREATE: Shape = {
    "amount": whole(1),
    "charge": text(clearable=False),
    "instructions_email": email,
    "metadata": metadata,
    "payment_intent": text(clearable=False),
    "reason": choice("duplicate", "fraudulent", "requested_by_customer"),
    "refund_application_fee": flag,
    "reverse_transfer": flag,
}


def make_refund(call: Call) -> Json:
    """Refund a charge, or the charge of an intent: all that is left, or an amount."""
    charge = _charge_of(call.account, call.params)
    if charge["paid"] and not charge["captured"] and charge["payment_intent"] is None:
        return _released(call.account, charge, call.params)
    return refund_charge(call.account, charge, call.params)


def refund_charge(account: Account, charge: Json, given: Json) -> Json:
    """Refund a charge: all that is left, or the given `amount`."""
    status = "pending" if _takes_s(account, charge) else "succeeded"
    return _made(account, charge, given, {"status": status})


def _released(account: Account, charge: Json, given: Json) -> Json:
    """The refund of a charge that only holds money: all of it goes back, and no money of the seller's moves."""
    rest = charge["amount"] - charge["amount_refunded"]
    if not rest:
        raise StripeError(f"Charge {charge['id']} has already been refunded.", code="charge_already_refunded")
    if given.get("amount", rest) != rest:
        raise invalid("An uncaptured charge can only be refunded in full. Capture a part of it instead.", "amount")
    charge["payment_method_details"]["card"].pop("capture_before", None)
    refund = _added(account, charge, rest, {
        "metadata": merged_metadata({}, given.get("metadata")), "reason": given.get("reason"), "status": "succeeded",
    })  # fmt: skip
    _tell(account, refund, charge)
    return refund


def ask_buyer(account: Account, given: Json) -> Json:
    """Refund a charge of a method that asks its buyer, by e-mail, where the money shall go."""
    charge = account.get("charge", given["charge"], "charge")
    if charge["payment_method_details"]["type"] == "card":
        raise invalid("Cards are refunded by themselves; only other methods can ask their buyer.", "charge")
    now = account.clock.now_s()
    address = charge["billing_details"]["email"] or "buyer@example.com"
    sent = {"email_sent_at": now, "email_sent_to": address}
    details = {"email_sent": sent, "expires_at": now + _BUYER_HAS_S}
    asked = {"instructions_email": address, "next_action": {"display_details": details, "type": "display_details"}}
    return _made(account, charge, given, {"status": "requires_action", **asked})


def _made(account: Account, charge: Json, given: Json, values: Json) -> Json:
    """Keep a refund, book it and tell it, and plan what becomes of it."""
    amount = _refundable(account, charge, given.get("amount"))
    email_ = {"instructions_email": given["instructions_email"]} if given.get("instructions_email") else {}
    refund = _added(account, charge, amount, {
        "metadata": merged_metadata({}, given.get("metadata")), "reason": given.get("reason"), **email_, **values,
    })  # fmt: skip
    account.change(refund, balance_transaction=book_refund(account, refund)["id"])
    _tell(account, refund, charge)
    for told in MADE_FOLLOWERS:
        told(account, refund, charge)
    _plan(account, refund, charge)
    return refund


def give_back_uncaptured(account: Account, charge: Json) -> None:
    """What a capture leaves of a held amount goes back to the buyer: a refund that moves no money of the seller's.

    It stands on the charge and in the list of its refunds; the capture alone tells of it.
    """
    rest = charge["amount"] - charge["amount_captured"]
    _added(account, charge, rest, {"metadata": {}, "reason": None, "status": "succeeded"})
    account.change(charge, amount_refunded=rest)


def _added(account: Account, charge: Json, amount: int, values: Json) -> Json:
    refund = account.add("refund", {
        **share(charge, amount, charge["amount"]),
        "amount": amount,
        "balance_transaction": None,
        "charge": charge["id"],
        "currency": charge["currency"],
        "customer": charge["customer"],
        "customer_account": None,
        "destination_details": _destination(charge),
        "payment_intent": charge["payment_intent"],
        "payment_method": charge["payment_method"],
        "receipt_number": None,
        "source_transfer_reversal": None,
        "transfer_reversal": None,
        **values,
    })  # fmt: skip
    del refund["livemode"]  # a refund of Stripe's has no such field
    return refund


def _method_of(account: Account, charge: Json) -> Json:
    return account.find("payment_method", charge["payment_method"] or "") or {}


def _takes_s(account: Account, charge: Json) -> int:
    """How long a refund is pending, in seconds; 0 when it succeeds at once."""
    kind = charge["payment_method_details"]["type"]
    if kind not in ("card", "customer_balance"):
        return _BANK_TAKES_S
    return _HOUR_S if _method_of(account, charge).get("_number") == _PENDING_CARD else 0


def _plan(account: Account, refund: Json, charge: Json) -> None:
    """What becomes of the refund by itself."""
    if refund["status"] == "requires_action":
        later(account, refund["next_action"]["display_details"]["expires_at"], "refund_expires", refund["id"])
    elif refund["status"] == "pending":
        later(account, account.clock.now() + _takes_s(account, charge), "refund_succeeds", refund["id"])
    elif _method_of(account, charge).get("_number") == _FAILING_CARD:
        later(account, account.clock.now() + _HOUR_S, "refund_fails", refund["id"])


def _destination(charge: Json) -> Json:
    """Where the money goes, as far as it is known at the beginning."""
    kind = charge["payment_method_details"]["type"]
    if kind == "card":
        card = {"reference_status": "pending", "reference_type": "acquirer_reference_number", "type": "refund"}
        return {"card": card, "type": "card"}
    if kind == "customer_balance":
        return {"customer_cash_balance": {}, "type": "customer_cash_balance"}
    name = {"ideal": "eu_bank_transfer", "sepa_debit": "eu_bank_transfer"}.get(kind, kind)
    return {name: {"reference": None, "reference_status": "pending"}, "type": name}


def _succeed(account: Account, refund_id: str) -> None:
    refund = account.find("refund", refund_id)
    if refund is not None and refund["status"] == "pending":
        previous = account.change(refund, status="succeeded", destination_details=_referenced(refund))
        _tell_update(account, refund, previous)


def _fail(account: Account, refund_id: str) -> None:
    """The buyer's bank sends the money back."""
    refund = account.find("refund", refund_id)
    if refund is None or refund["status"] != "succeeded":
        return
    previous = _undo(account, refund, status="failed", failure_reason="expired_or_canceled_card")
    _tell_update(account, refund, previous)
    emit(account, "refund.failed", refund)


def _expire(account: Account, refund_id: str) -> None:
    """The buyer has not said where the money shall go."""
    refund = account.find("refund", refund_id)
    if refund is not None and refund["status"] == "requires_action":
        previous = _undo(account, refund, status="failed", failure_reason="unknown", next_action=None)
        _tell_update(account, refund, previous)
        emit(account, "refund.failed", refund)


def answer_buyer(account: Account, refund: Json) -> None:
    """The buyer says where the money shall go: it is on its way."""
    if refund["status"] != "requires_action":
        raise invalid(f"Refund {refund['id']} does not wait for its buyer; its status is {refund['status']}.", "refund")
    previous = account.change(refund, status="pending", next_action=None)
    _tell_update(account, refund, previous)
    _plan(account, refund, account.get("charge", refund["charge"], "charge"))


def _undo(account: Account, refund: Json, **values: str | None) -> Json:
    """The money of a refund comes back, and can be refunded again; gives the refund's previous values."""
    booked = book_failed_refund(account, refund)
    charge = account.get("charge", refund["charge"], "charge")
    total = charge["amount_refunded"] - refund["amount"]
    account.change(charge, amount_refunded=total, refunded=False)
    return account.change(refund, **values, failure_balance_transaction=booked["id"])


def _tell_update(account: Account, refund: Json, previous: Json) -> None:
    """`refund.updated` and its older twin."""
    emit(account, "refund.updated", refund, previous)
    emit(account, "charge.refund.updated", refund, previous)


def _cancel(call: Call) -> Json:
    refund = call.account.get("refund", call.id, "id", status=404)
    if refund["status"] != "requires_action":
        raise invalid(f"Refund {refund['id']} cannot be canceled because it has a status of {refund['status']}. Only "
                      "refunds with a status of requires_action can be canceled.")  # fmt: skip
    previous = _undo(call.account, refund, status="canceled", failure_reason="merchant_request", next_action=None)
    _tell_update(call.account, refund, previous)
    return refund


def _charge_of(account: Account, params: Json) -> Json:
    """The charge that is to be refunded."""
    if "charge" in params and "payment_intent" in params:
        raise unreadable("You may only specify one of these parameters: charge, payment_intent.")
    if "charge" in params:
        return account.get("charge", params["charge"], "charge")
    if "payment_intent" not in params:
        raise unreadable("One of the following params should be provided for this request: payment_intent or charge.")
    intent = account.get("payment_intent", params["payment_intent"], "payment_intent")
    charge = account.find("charge", intent["latest_charge"] or "")
    if charge is None or not charge["paid"] or not charge["captured"]:
        raise invalid(
            f"This PaymentIntent ({intent['id']}) does not have a successful charge to refund.", "payment_intent"
        )
    return charge


def _inquiry_only(account: Account, charge: Json) -> bool:
    """Whether the bank has only inquired about a disputed charge."""
    mine = [row for row in account.all("dispute") if row["charge"] == charge["id"]]
    return all(row["is_charge_refundable"] for row in mine)


def _refundable(account: Account, charge: Json, amount: int | None) -> int:
    """The amount to give back, in the smallest unit; refused when it is not there, or it is too late."""
    limit_days = RULES[charge["payment_method_details"]["type"]].refundable_days
    if limit_days is not None and account.clock.now_s() > charge["created"] + limit_days * 24 * 3600:
        raise invalid(f"Charge {charge['id']} is older than {limit_days} days and can no longer be refunded.", "charge")
    if charge["disputed"] and not _inquiry_only(account, charge):
        raise StripeError(
            f"Charge {charge['id']} has been charged back; cannot issue a refund.", code="charge_disputed"
        )
    if not charge["captured"]:
        raise invalid(
            f"Charge {charge['id']} has not been captured. Cancel its PaymentIntent to release the money.", "charge"
        )
    if not charge["paid"]:
        raise invalid(f"Charge {charge['id']} has not been paid and cannot be refunded.", "charge")
    rest = charge["amount"] - charge["amount_refunded"]
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
    previous = account.change(charge, amount_refunded=total, refunded=total == charge["amount"])
    emit(account, "charge.refunded", charge, previous)
    if charge["refunded"]:
        for told in REFUND_FOLLOWERS:
            told(account, charge)
    if refund["status"] == "succeeded":
        _tell_update(account, refund, account.change(refund, destination_details=_referenced(refund)))


def _referenced(refund: Json) -> Json:
    """The destination with the number under which the buyer's bank knows the refund."""
    details = refund["destination_details"]
    if not details[details["type"]]:
        return dict(details)
    known = {**details[details["type"]], "reference": random_text(23), "reference_status": "available"}
    return {**details, details["type"]: known}


def _retrieve(call: Call) -> Json:
    return call.account.get("refund", call.id, "id", status=404)


def _update(call: Call) -> Json:
    refund = call.account.get("refund", call.id, "id", status=404)
    merged = merged_metadata(refund["metadata"], call.params.get("metadata", {}))
    previous = call.account.change(refund, metadata=merged)
    if previous:
        _tell_update(call.account, refund, previous)
    return refund


def _list(call: Call) -> Json:
    return lists.page(
        call.account, "refund", call.params, "/v1/refunds", lists.same(call.params, "charge", "payment_intent")
    )


def _expire_now(call: Call) -> Json:
    refund = call.account.get("refund", call.id, "id", status=404)
    if refund["status"] != "requires_action":
        raise invalid(f"Refund {refund['id']} cannot be expired because it has a status of {refund['status']}.")
    _expire(call.account, refund["id"])
    return refund


DEEDS |= {"refund_expires": _expire, "refund_succeeds": _succeed, "refund_fails": _fail}
OPERATIONS: list[Operation] = [
    post("/v1/refunds", make_refund, _CREATE),
    listing("/v1/refunds", _list, {"charge": text(), "payment_intent": text()}),
    get("/v1/refunds/{id}", _retrieve),
    post("/v1/refunds/{id}", _update, {"metadata": metadata}),
    post("/v1/refunds/{id}/cancel", _cancel),
    post("/v1/test_helpers/refunds/{id}/expire", _expire_now),
]
