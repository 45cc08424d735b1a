"""Payment intents."""

from __future__ import annotations

from typing import Any

from . import lists
from .accounts import Account
from .calls import Call, Operation, get, listing, post
from .captures import release
from .confirming import How, start_payment
from .customers import live_customer
from .errors import Json, StripeError, invalid
from .events import emit
from .ids import new_id, random_text
from .mandates import MANDATE_DATA
from .method_rules import TYPES, check_capture, check_currency, check_future
from .methods import METHOD_DATA, add_method, usable_method
from .money import check_amount, currency_code
from .params import (
    ADDRESS,
    Shape,
    choice,
    email,
    fields,
    flag,
    full_address,
    integer,
    items,
    merged_metadata,
    metadata,
    text,
    url,
)
from .present import public

_PAYABLE = ("requires_payment_method", "requires_confirmation", "requires_action")

CAPTURE_METHOD = choice("automatic", "automatic_async", "manual")
SHIPPING: Shape = {
    "address": fields(ADDRESS), "carrier": text(), "name": text(), "phone": text(), "tracking_number": text(),
}  # fmt: skip
DESCRIPTIVE: Shape = {
    "description": text(1000),
    "metadata": metadata,
    "receipt_email": email,
    "setup_future_usage": choice("off_session", "on_session"),
    "shipping": fields(SHIPPING, ("address", "name")),
    "statement_descriptor": text(22),
    "statement_descriptor_suffix": text(22),
    "transfer_group": text(),
}
_CARD_OPTIONS: Shape = {
    "request_incremental_authorization": choice("if_available", "never"),
    "request_three_d_secure": choice("any", "automatic", "challenge"),
    "setup_future_usage": choice("none", "off_session", "on_session"),
}
_OPTIONS: Shape = {
    "blik": fields({"code": text(20), "setup_future_usage": choice("none")}),
    "card": fields(_CARD_OPTIONS),
    "ideal": fields({"setup_future_usage": choice("none")}),
    "p24": fields({"setup_future_usage": choice("none"), "tos_shown_and_accepted": flag}),
    "sepa_debit": fields({"mandate_options": fields({"reference_prefix": text(12)}), "target_date": text(10),
                          "setup_future_usage": choice("none", "off_session", "on_session")}),
}  # fmt: skip
_METHOD: Shape = {
    "payment_method": text(clearable=False),
    "payment_method_data": fields(METHOD_DATA, ("type",)),
    "payment_method_options": fields(_OPTIONS),
}
_CONFIRM: Shape = {
    **_METHOD,
    "error_on_requires_action": flag,
    "mandate": text(clearable=False),
    "mandate_data": MANDATE_DATA,
    "off_session": flag,
    "receipt_email": email,
    "return_url": url,
    "setup_future_usage": choice("off_session", "on_session"),
    "shipping": fields(SHIPPING, ("address", "name")),
    "use_stripe_sdk": flag,
}
_KINDS_OF_METHOD: Shape = {
    "allowed_payment_method_types": items(choice(*TYPES), 20),
    "automatic_payment_methods": fields({"enabled": flag, "allow_redirects": choice("always", "never")}, ("enabled",)),
    "payment_method_types": items(choice(*TYPES), 20),
}
_CREATE: Shape = {
    **DESCRIPTIVE, **_CONFIRM, **_KINDS_OF_METHOD,
    "amount": integer,
    "capture_method": CAPTURE_METHOD,
    "confirm": flag,
    "confirmation_method": choice("automatic", "manual"),
    "currency": text(3, clearable=False),
    "customer": text(clearable=False),
}  # fmt: skip
_UPDATE: Shape = {
    **DESCRIPTIVE, **_METHOD, **_KINDS_OF_METHOD,
    "amount": integer, "currency": text(3, clearable=False), "customer": text(clearable=False),
}  # fmt: skip


def add_intent(account: Account, amount: int, currency: str, given: Json) -> Json:
    """Make a payment intent in `requires_payment_method` and tell it; `given` are checked fields."""
    intent_id = new_id("payment_intent")
    allowed = given.get("allowed_payment_method_types") or given.get("payment_method_types")
    _check_rules(allowed or [], currency, given)
    intent = account.add("payment_intent", {
        **_unset(),
        "allowed_payment_method_types": allowed,
        "amount": amount,
        "automatic_payment_methods": None if allowed else _automatic(given),
        "client_secret": f"{intent_id}_secret_{random_text(25)}",
        "currency": currency,
        "payment_method_options": _options(allowed or ["card"], given),
        "payment_method_types": allowed or ["card"],
        **descriptive_fields(given),
        "metadata": merged_metadata({}, given.get("metadata")),
        "_session": given.get("_session"),
        "_ticket": None,
    }, object_id=intent_id)  # fmt: skip
    emit(account, "payment_intent.created", intent)
    return intent


def _check_rules(types: list[str], currency: str, given: Json) -> None:
    """Refuse methods that cannot do what is asked of them."""
    check_currency(types, currency)
    check_future(types, given.get("setup_future_usage"))
    check_capture(types, given.get("capture_method"))


def _options(types: list[str], given: Json) -> Json:
    """The intent's `payment_method_options`: one entry for each of its types."""
    chosen = given.get("payment_method_options") or {}
    card = {"installments": None, "mandate_options": None, "network": None, "request_three_d_secure": "automatic"}
    blank: dict[str, Json] = {"card": card, "link": {"persistent_token": None}}
    hidden = ("code", "tos_shown_and_accepted")
    return {
        name: {**blank.get(name, {}), **{key: value for key, value in (chosen.get(name) or {}).items()
                                         if key not in hidden}}
        for name in types
    }  # fmt: skip


def descriptive_fields(given: Json) -> Json:
    """The fields that an intent takes over as they are given, without metadata."""
    names = (*DESCRIPTIVE, "capture_method", "confirmation_method", "customer")
    values = {name: given[name] for name in names if name in given and name != "metadata"}
    if values.get("shipping"):
        shipping = values["shipping"]
        blank = {"carrier": None, "phone": None, "tracking_number": None}
        values["shipping"] = {**blank, **shipping, "address": full_address(shipping["address"])}
    return values


def _unset() -> Json:
    """The fields of an intent that have no value, or their usual one."""
    names = (
        "application", "application_fee_amount", "canceled_at", "cancellation_reason", "customer", "customer_account",
        "description", "excluded_payment_method_types", "last_payment_error", "latest_charge", "managed_payments",
        "next_action", "on_behalf_of", "payment_method", "payment_method_configuration_details", "payment_record",
        "processing", "receipt_email", "review", "setup_future_usage", "shipping", "source", "statement_descriptor",
        "statement_descriptor_suffix", "transfer_data", "transfer_group",
    )  # fmt: skip
    return dict.fromkeys(names) | {
        "amount_capturable": 0,
        "amount_details": {"tip": {}},
        "amount_received": 0,
        "capture_method": "automatic_async",
        "confirmation_method": "automatic",
        "status": "requires_payment_method",
    }


def _automatic(given: Json) -> Json | None:
    chosen = given.get("automatic_payment_methods") or {"enabled": True}
    return {"allow_redirects": "always", **chosen} if chosen["enabled"] else None


def _create(call: Call) -> Json:
    params = call.params
    currency = currency_code(params["currency"])
    check_amount(params["amount"], currency)
    if params.get("customer"):
        live_customer(call.account, params["customer"])
    _refuse_early_confirm_params(params)
    method = _given_method(call.account, params)
    intent = add_intent(call.account, params["amount"], currency, params)
    if method is not None:
        _choose(call.account, intent, method)
    if params.get("confirm"):
        return _confirmed(call.account, intent, method, params)
    return intent


def _refuse_early_confirm_params(params: Json) -> None:
    """Some parameters make sense only together with `confirm=true`."""
    for name in ("error_on_requires_action", "off_session", "return_url"):
        if name in params and not params.get("confirm"):
            raise invalid(f"You can only use the `{name}` parameter when `confirm` is set to true.", name)


def _given_method(account: Account, params: Json) -> Json | None:
    """The method that the parameters name or describe, or None."""
    if "payment_method" in params:
        return usable_method(account, params["payment_method"])
    if params.get("payment_method_data"):
        return add_method(account, params["payment_method_data"], "payment_method_data")
    return None


def _choose(account: Account, intent: Json, method: Json) -> None:
    """Set the method to pay with; it must not belong to another customer."""
    if method["customer"] is not None and method["customer"] != intent["customer"]:
        raise invalid(
            "The provided PaymentMethod cannot be attached to this PaymentIntent: it belongs to another Customer. "
            "Please include the Customer in the `customer` parameter on the PaymentIntent.",
            "payment_method",
        )
    status = "requires_confirmation" if intent["status"] == "requires_payment_method" else intent["status"]
    account.change(intent, payment_method=method["id"], status=status)


def _confirmed(account: Account, intent: Json, method: Json | None, params: Json) -> Json:
    """Confirm with a method: pay, wait for the buyer or the bank, or refuse."""
    if method is None:
        raise _unexpected_state(
            intent,
            "You cannot confirm this PaymentIntent because it's missing a payment method. You can either update the "
            "PaymentIntent with a payment method and then confirm it again, or confirm it again directly with a "
            "payment method or ConfirmationToken.",
        )
    _check_rules([method["type"]], intent["currency"], {**intent, **params})
    account.change(intent, **descriptive_fields(params))
    start_payment(account, intent, method, How(
        off_session=bool(params.get("off_session")),
        action_refused=bool(params.get("error_on_requires_action")),
        return_url=params.get("return_url"),
        options=params.get("payment_method_options") or {},
        mandate_data=params.get("mandate_data"),
    ))  # fmt: skip
    return intent


def _unexpected_state(intent: Json, message: str) -> StripeError:
    return StripeError(message, code="payment_intent_unexpected_state", extra={"payment_intent": public(intent)})


def _existing(call: Call) -> Json:
    return call.account.get("payment_intent", call.id, "intent", status=404)


def _retrieve(call: Call) -> Json:
    return _existing(call)


def _update(call: Call) -> Json:
    intent, params = _existing(call), call.params
    money = {
        name for name in ("amount", "currency", "payment_method", "payment_method_data", "customer") if name in params
    }
    if money and intent["status"] not in _PAYABLE:
        message = (
            f"This PaymentIntent's {min(money)} could not be updated because it has a status of {intent['status']}."
        )
        raise _unexpected_state(intent, message)
    values: dict[str, Any] = descriptive_fields(params)
    types = params.get("allowed_payment_method_types") or params.get("payment_method_types")
    if types:
        check_currency(types, str(params.get("currency", intent["currency"])).lower())
        values |= {"allowed_payment_method_types": types, "payment_method_types": types,
                   "payment_method_options": _options(types, params), "automatic_payment_methods": None}  # fmt: skip
    if "metadata" in params:
        values["metadata"] = merged_metadata(intent["metadata"], params["metadata"])
    if money & {"amount", "currency"}:
        values |= _new_amount(intent, params)
    if params.get("customer"):
        live_customer(call.account, params["customer"])
    call.account.change(intent, **values)
    method = _given_method(call.account, params)
    if method is not None:
        _choose(call.account, intent, method)
    return intent


def _new_amount(intent: Json, params: Json) -> Json:
    amount = int(params["amount"] if "amount" in params else intent["amount"])
    currency = currency_code(str(params.get("currency", intent["currency"])))
    check_amount(amount, currency)
    return {"amount": amount, "currency": currency}


def _confirm(call: Call) -> Json:
    intent = _existing(call)
    _refuse_if_of_checkout(intent, "confirm")
    if intent["status"] not in _PAYABLE:
        raise _unexpected_state(intent, _why_not_payable(intent))
    method = _given_method(call.account, call.params)
    if method is not None:
        _choose(call.account, intent, method)
    elif intent["payment_method"]:
        method = call.account.get("payment_method", intent["payment_method"], "payment_method")
    return _confirmed(call.account, intent, method, call.params)


def _why_not_payable(intent: Json) -> str:
    if intent["status"] == "succeeded":
        return (
            "You cannot confirm this PaymentIntent because it has already succeeded after being previously confirmed."
        )
    return f"You cannot confirm this PaymentIntent because it has a status of {intent['status']}."


def _refuse_if_of_checkout(intent: Json, verb: str) -> None:
    if intent.get("_session"):
        raise _unexpected_state(
            intent,
            f"You cannot {verb} this PaymentIntent because it was created by Checkout. Please use the Checkout Session "
            "API to expire the associated session instead.",
        )


def _cancel(call: Call) -> Json:
    intent = _existing(call)
    _refuse_if_of_checkout(intent, "cancel")
    if intent["status"] not in (*_PAYABLE, "requires_capture", "processing"):
        raise _unexpected_state(
            intent,
            f"You cannot cancel this PaymentIntent because it has a status of {intent['status']}. Only a PaymentIntent "
            "with one of the following statuses may be canceled: requires_payment_method, requires_capture, "
            "requires_confirmation, requires_action, processing.",
        )
    if intent["status"] == "processing":
        raise _unexpected_state(
            intent, "You cannot cancel this PaymentIntent because its debit is on the way to the bank already."
        )
    return cancel_intent(call.account, intent, call.params.get("cancellation_reason"))


def cancel_intent(account: Account, intent: Json, reason: str | None) -> Json:
    """Cancel an intent and tell it; money that is held goes back."""
    if intent["status"] == "requires_capture":
        release(account, intent, "charge.refunded")
    account.change(intent, status="canceled", canceled_at=account.clock.now_s(), cancellation_reason=reason,
                   amount_capturable=0, next_action=None, _ticket=None)  # fmt: skip
    emit(account, "payment_intent.canceled", intent)
    return intent


def _list(call: Call) -> Json:
    keep = lists.same(call.params, "customer")
    return lists.page(call.account, "payment_intent", call.params, "/v1/payment_intents", keep)


OPERATIONS: list[Operation] = [
    post("/v1/payment_intents", _create, _CREATE, ("amount", "currency")),
    listing("/v1/payment_intents", _list, {"customer": text()}),
    get("/v1/payment_intents/{id}", _retrieve, {"client_secret": text()}),
    post("/v1/payment_intents/{id}", _update, _UPDATE),
    post("/v1/payment_intents/{id}/confirm", _confirm, {**_CONFIRM, "capture_method": CAPTURE_METHOD, "client_secret": text()}),
    post("/v1/payment_intents/{id}/cancel", _cancel,
         {"cancellation_reason": choice("abandoned", "duplicate", "fraudulent", "requested_by_customer")}),
]  # fmt: skip
