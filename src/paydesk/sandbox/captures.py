"""Money that is held before it is taken: capture, a larger amount, and the end of a hold."""

from __future__ import annotations

from .accounts import Account
from .calls import Call, Operation, post
from .charges import settle_charge
from .errors import Json, StripeError, invalid
from .events import emit
from .intent_parts import existing_intent, new_metadata, unexpected_state
from .later import DEEDS
from .money import check_amount
from .params import Shape, email, flag, metadata, text, whole
from .payments import succeed, tell_owner
from .refunds import give_back_uncaptured

_CAPTURE: Shape = {
    "amount_to_capture": whole(1),
    "final_capture": flag,
    "metadata": metadata,
    "statement_descriptor": text(22),
    "statement_descriptor_suffix": text(22),
}
_CAPTURE_CHARGE: Shape = {
    "amount": whole(1),
    "receipt_email": email,
    "statement_descriptor": text(22),
    "statement_descriptor_suffix": text(22),
    "transfer_group": text(),
}
_INCREMENT: Shape = {
    "amount": whole(1),
    "description": text(1000),
    "metadata": metadata,
    "statement_descriptor": text(22),
}


def _held(call: Call, verb: str) -> Json:
    """The intent of the path, which must hold money."""
    intent = existing_intent(call.account, "payment_intent", call.id)
    if intent["status"] != "requires_capture":
        raise unexpected_state(
            intent,
            f"This PaymentIntent could not be {verb} because it has a status of {intent['status']}. Only a "
            f"PaymentIntent with one of the following statuses may be {verb}: requires_capture.",
        )
    return intent


def _capture(call: Call) -> Json:
    intent = _held(call, "captured")
    _take(call.account, intent, call.params)
    return intent


def _take(account: Account, intent: Json, params: Json) -> None:
    """Take held money, or a part of it: the rest goes back."""
    amount = int({"amount_to_capture": intent["amount_capturable"], **params}["amount_to_capture"])
    if amount > intent["amount_capturable"]:
        raise invalid(
            f"The amount to capture ({amount}) is greater than the amount capturable ({intent['amount_capturable']}).",
            "amount_to_capture",
            "amount_too_large",
        )
    if params.get("final_capture") is False:
        raise StripeError("This PaymentIntent is not eligible for multicapture; `final_capture` cannot be false.",
                          code="payment_intent_invalid_parameter", param="final_capture")  # fmt: skip
    described = {name: params[name] for name in params if name.startswith("statement_descriptor")}
    account.change(intent, **described, **new_metadata(intent, params))
    charge = account.get("charge", intent["latest_charge"], "charge")
    _take_charge(account, charge, amount)
    succeed(account, intent, amount)
    tell_owner(account, intent)
    settle_charge(account, charge)


def _take_charge(account: Account, charge: Json, amount: int) -> None:
    """Take so much of the money that a charge holds; what is left goes back. Tells the capture."""
    charge["payment_method_details"]["card"].pop("capture_before", None)
    account.change(charge, captured=True, amount_captured=amount)
    if amount < charge["amount"]:
        give_back_uncaptured(account, charge)
    emit(account, "charge.captured", charge)


def _capture_charge(call: Call) -> Json:
    """The older way to capture: by the charge, which may have no payment intent at all."""
    account, params = call.account, call.params
    charge = account.get("charge", call.id, "charge", status=404)
    if charge["captured"]:
        raise StripeError(f"Charge {charge['id']} has already been captured.", code="charge_already_captured")
    if charge["refunded"] or not charge["paid"]:
        raise invalid(f"Charge {charge['id']} holds no money that could be captured.", "charge")
    if charge["payment_intent"] is None:
        return _capture_direct(account, charge, params)
    intent = account.find("payment_intent", charge["payment_intent"])
    if intent is None or intent["status"] != "requires_capture" or intent["latest_charge"] != charge["id"]:
        raise invalid(f"Charge {charge['id']} holds no money that could be captured.", "charge")
    described = {name: params[name] for name in params if name.startswith("statement_descriptor")}
    part = {"amount_to_capture": params["amount"]} if "amount" in params else {}
    account.change(charge, **{name: params[name] for name in ("receipt_email", "transfer_group") if name in params})
    _take(account, intent, {**described, **part})
    return charge


def _capture_direct(account: Account, charge: Json, params: Json) -> Json:
    """Take the money of a charge that was made without a payment intent."""
    amount = int(params["amount"] if "amount" in params else charge["amount"])
    if amount > charge["amount"]:
        raise invalid(f"You cannot capture more than the amount that was authorized ({charge['amount']}).", "amount",
                      "amount_too_large")  # fmt: skip
    account.change(charge, **{name: params[name] for name in params if name not in ("amount", "expand")})
    _take_charge(account, charge, amount)
    settle_charge(account, charge)
    return charge


def _increment(call: Call) -> Json:
    intent = _held(call, "incremented")
    account, params = call.account, call.params
    charge = account.get("charge", intent["latest_charge"], "charge")
    card = charge["payment_method_details"]["card"]
    if card["incremental_authorization"]["status"] != "available":
        raise StripeError(
            "This PaymentIntent is not eligible for incremental authorization.",
            code="payment_intent_invalid_parameter",
        )
    if params["amount"] <= intent["amount"]:
        raise invalid("The amount must be greater than the amount that is authorized already.", "amount")
    check_amount(params["amount"], intent["currency"])
    values: Json = {name: params[name] for name in ("description", "statement_descriptor") if name in params}
    values |= new_metadata(intent, params)
    card["amount_authorized"] = params["amount"]
    card["overcapture"]["maximum_amount_capturable"] = params["amount"]
    account.change(charge, amount=params["amount"])
    account.change(intent, amount=params["amount"], amount_capturable=params["amount"], **values)
    emit(account, "payment_intent.amount_capturable_updated", intent)
    return intent


def release(account: Account, charge: Json, event_type: str) -> None:
    """Give the money that a charge holds back to the buyer; told as its `event_type`."""
    charge["payment_method_details"]["card"].pop("capture_before", None)
    previous = account.change(charge, amount_refunded=charge["amount"], refunded=True)
    emit(account, event_type, charge, previous if event_type == "charge.refunded" else None)


def _expire(account: Account, intent_id: str) -> None:
    """A hold that nobody captured within a week."""
    intent = account.find("payment_intent", intent_id)
    if intent is not None and intent["status"] == "requires_capture":
        release(account, account.get("charge", intent["latest_charge"], "charge"), "charge.expired")
        account.change(intent, status="canceled", canceled_at=account.clock.now_s(), amount_capturable=0,
                       cancellation_reason="automatic")  # fmt: skip
        emit(account, "payment_intent.canceled", intent)


def _expire_direct(account: Account, charge_id: str) -> None:
    """The same for a charge that has no payment intent."""
    charge = account.find("charge", charge_id)
    if charge is not None and not charge["captured"] and not charge["refunded"]:
        release(account, charge, "charge.expired")


DEEDS |= {"charge_hold_expires": _expire_direct, "hold_expires": _expire}
OPERATIONS: list[Operation] = [
    post("/v1/charges/{id}/capture", _capture_charge, _CAPTURE_CHARGE),
    post("/v1/payment_intents/{id}/capture", _capture, _CAPTURE),
    post("/v1/payment_intents/{id}/increment_authorization", _increment, _INCREMENT, ("amount",)),
]
