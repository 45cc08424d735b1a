"""Payment intents."""

from __future__ import annotations

from typing import Any

from . import lists
from .accounts import Account
from .bank_transfers import OPTIONS as TRANSFER_OPTIONS
from .calls import Call, Operation, get, listing, post
from .captures import release
from .cash_balance import release_funds
from .confirming import How, start_payment
from .errors import Json
from .events import emit
from .ids import new_id, random_text
from .intent_parts import (
    AUTOMATIC,
    METHOD,
    TYPES_OF_METHOD,
    allowed_types,
    automatic_methods,
    check_secret,
    choose_method,
    existing_intent,
    given_method,
    method_to_confirm,
    new_metadata,
    refuse_both_ways,
    refuse_early,
    refuse_of_checkout,
    refuse_of_invoice,
    refuse_to_cancel,
    refuse_unfit,
    unexpected_state,
)
from .live_customers import live_customer
from .mandates import MANDATE_DATA
from .method_rules import check_capture, check_currency, check_future
from .money import check_amount, currency_code
from .params import (
    SHIPPING,
    Shape,
    choice,
    email,
    fields,
    flag,
    full_shipping,
    integer,
    merged_metadata,
    metadata,
    text,
    url,
)
from .payments import tell_owner

_PAYABLE = ("requires_payment_method", "requires_confirmation", "requires_action")
_CANCELABLE = ("requires_payment_method", "requires_capture", "requires_confirmation", "requires_action", "processing")

# Before this release an intent was captured in step with its confirmation unless it said otherwise.
ASYNC_CAPTURE_SINCE = "2024-04-10"
CAPTURE_METHOD = choice("automatic", "automatic_async", "manual")
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
    "blik": fields({"code": text(20), "setup_future_usage": choice("none")}, clearable=True),
    "card": fields(_CARD_OPTIONS, clearable=True),
    "customer_balance": fields(TRANSFER_OPTIONS, clearable=True),
    "ideal": fields({"setup_future_usage": choice("none", "off_session")}, clearable=True),
    "p24": fields({"setup_future_usage": choice("none"), "tos_shown_and_accepted": flag}, clearable=True),
    "sepa_debit": fields({"mandate_options": fields({"reference_prefix": text(12)}), "target_date": text(10),
                          "setup_future_usage": choice("none", "off_session", "on_session")}, clearable=True),
}  # fmt: skip
_METHOD: Shape = {**METHOD, "payment_method_options": fields(_OPTIONS)}
_SHIPPING_UPDATE = fields(SHIPPING, ("address", "name"), clearable=True)
_CONFIRM: Shape = {
    **_METHOD,
    "error_on_requires_action": flag,
    "mandate": text(clearable=False),
    "mandate_data": MANDATE_DATA,
    "off_session": flag,
    "receipt_email": email,
    "return_url": url,
    "setup_future_usage": choice("off_session", "on_session"),
    "shipping": _SHIPPING_UPDATE,
    "use_stripe_sdk": flag,
}
_CREATE: Shape = {
    **_CONFIRM, **DESCRIPTIVE, **TYPES_OF_METHOD,
    "automatic_payment_methods": AUTOMATIC,
    "amount": integer,
    "capture_method": CAPTURE_METHOD,
    "confirm": flag,
    "confirmation_method": choice("automatic", "manual"),
    "currency": text(3, clearable=False),
    "customer": text(clearable=False),
}  # fmt: skip
_UPDATE: Shape = {
    **DESCRIPTIVE, **_METHOD, **TYPES_OF_METHOD,
    "amount": integer, "capture_method": CAPTURE_METHOD, "currency": text(3, clearable=False),
    "customer": text(clearable=False), "shipping": _SHIPPING_UPDATE,
}  # fmt: skip


def add_intent(account: Account, amount: int, currency: str, given: Json) -> Json:
    """Make a payment intent in `requires_payment_method` and tell it; `given` are checked fields."""
    intent_id = new_id("payment_intent")
    allowed = allowed_types(given)
    _check_rules(allowed or [], currency, given)
    intent = account.add("payment_intent", {
        **_unset(),
        "allowed_payment_method_types": allowed,
        "amount": amount,
        "automatic_payment_methods": automatic_methods(given),
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
        values["shipping"] = full_shipping(values["shipping"])
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


def _create(call: Call) -> Json:
    params = call.params
    if call.version < ASYNC_CAPTURE_SINCE:
        params.setdefault("capture_method", "automatic")
    currency = currency_code(params["currency"])
    check_amount(params["amount"], currency)
    refuse_both_ways(params)
    if params.get("customer"):
        live_customer(call.account, params["customer"])
    refuse_early(params, "error_on_requires_action", "off_session", "return_url")
    method = given_method(call.account, params)
    if method is not None:
        refuse_unfit(method, "payment_intent", allowed_types(params) or ["card"], params.get("customer"))
    intent = add_intent(call.account, params["amount"], currency, params)
    if method is not None:
        choose_method(call.account, intent, method)
    if params.get("confirm"):
        return _confirmed(call.account, intent, method, params)
    return intent


def _confirmed(account: Account, intent: Json, method: Json | None, params: Json) -> Json:
    """Confirm with a method: pay, wait for the buyer or the bank, or refuse."""
    if method is None:
        raise unexpected_state(
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


def _existing(call: Call) -> Json:
    return existing_intent(call.account, "payment_intent", call.id)


def _retrieve(call: Call) -> Json:
    intent = _existing(call)
    check_secret(intent, call.params)
    return intent


def _update(call: Call) -> Json:
    intent, params = _existing(call), call.params
    money = {
        name for name in ("amount", "currency", "payment_method", "payment_method_data", "customer") if name in params
    }
    if money and intent["status"] not in _PAYABLE:
        message = (
            f"This PaymentIntent's {min(money)} could not be updated because it has a status of {intent['status']}."
        )
        raise unexpected_state(intent, message)
    values: dict[str, Any] = descriptive_fields(params)
    types = allowed_types(params)
    if types:
        check_currency(types, str(params.get("currency", intent["currency"])).lower())
        values |= {"allowed_payment_method_types": types, "payment_method_types": types,
                   "payment_method_options": _options(types, params), "automatic_payment_methods": None}  # fmt: skip
    values |= new_metadata(intent, params)
    if money & {"amount", "currency", "customer"}:
        refuse_of_invoice(intent, "change the amount or customer of")
    if money & {"amount", "currency"}:
        values |= _new_amount(intent, params)
    if params.get("customer"):
        live_customer(call.account, params["customer"])
    call.account.change(intent, **values)
    method = given_method(call.account, params)
    if method is not None:
        choose_method(call.account, intent, method)
    return intent


def _new_amount(intent: Json, params: Json) -> Json:
    amount = int(params["amount"] if "amount" in params else intent["amount"])
    currency = currency_code(str(params.get("currency", intent["currency"])))
    check_amount(amount, currency)
    return {"amount": amount, "currency": currency}


def _confirm(call: Call) -> Json:
    intent = _existing(call)
    refuse_of_checkout(intent, "confirm")
    check_secret(intent, call.params)
    if intent["status"] not in _PAYABLE:
        raise unexpected_state(intent, _why_not_payable(intent))
    method = method_to_confirm(call.account, intent, call.params)
    return _confirmed(call.account, intent, method, call.params)


def _why_not_payable(intent: Json) -> str:
    if intent["status"] == "succeeded":
        return (
            "You cannot confirm this PaymentIntent because it has already succeeded after being previously confirmed."
        )
    return f"You cannot confirm this PaymentIntent because it has a status of {intent['status']}."


def _cancel(call: Call) -> Json:
    intent = _existing(call)
    if intent["status"] != "requires_capture":  # the session is complete then, and cannot be expired instead
        refuse_of_checkout(intent, "cancel")
    refuse_of_invoice(intent, "cancel")
    refuse_to_cancel(intent, _CANCELABLE)
    if intent["status"] == "processing":
        raise unexpected_state(
            intent, "You cannot cancel this PaymentIntent because its debit is on the way to the bank already."
        )
    cancel_intent(call.account, intent, call.params.get("cancellation_reason"))
    tell_owner(call.account, intent)
    return intent


def cancel_intent(account: Account, intent: Json, reason: str | None) -> Json:
    """Cancel an intent and tell it; money that is held goes back."""
    if intent["status"] == "requires_capture":
        release(account, account.get("charge", intent["latest_charge"], "charge"), "charge.refunded")
    account.change(intent, status="canceled", canceled_at=account.clock.now_s(), cancellation_reason=reason,
                   amount_capturable=0, next_action=None, _ticket=None)  # fmt: skip
    release_funds(account, intent)
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
