"""Setup intents: a payment method is saved for later payments, with the bank's consent where it asks for it."""

from __future__ import annotations

from . import lists
from .accounts import Account
from .calls import Call, Operation, get, listing, post
from .cards import Decline, refused
from .errors import Json, StripeError
from .events import emit
from .ids import new_id, random_text
from .intent_parts import (
    AUTOMATIC,
    METHOD,
    TYPES_OF_METHOD,
    allowed_types,
    ask_the_bank,
    automatic_methods,
    check_secret,
    choose_method,
    existing_intent,
    given_method,
    method_to_confirm,
    new_metadata,
    refuse_early,
    refuse_of_checkout,
    refuse_to_cancel,
    refuse_unfit,
    unexpected_state,
)
from .live_customers import live_customer
from .mandates import MANDATE_DATA, mandate_for
from .method_rules import CARD, REDIRECT, RULES, check_setup
from .methods import attach, behaviour
from .params import Shape, choice, fields, flag, merged_metadata, metadata, text, url
from .payments import AUTHENTICATION_FAILED, tell_owner
from .present import public
from .saving import note_origin, reusable
from .setup_attempts import abandon_attempt, begin_attempt, end_attempt, fail_attempt, wait_for_action

_OPEN = ("requires_payment_method", "requires_confirmation", "requires_action")
_METHOD: Shape = {
    **METHOD,
    "payment_method_options": fields({
        "card": fields({"request_three_d_secure": choice("any", "automatic", "challenge")}),
        "sepa_debit": fields({"mandate_options": fields({"reference_prefix": text(12)})}),
    }),
}  # fmt: skip
_CONFIRM: Shape = {**_METHOD, "mandate_data": MANDATE_DATA, "return_url": url, "use_stripe_sdk": flag}
_CREATE: Shape = {
    **_CONFIRM,
    **TYPES_OF_METHOD,
    "automatic_payment_methods": AUTOMATIC,
    "confirm": flag,
    "customer": text(clearable=False),
    "description": text(1000),
    "metadata": metadata,
    "usage": choice("off_session", "on_session"),
}
_UPDATE: Shape = {
    **_METHOD, **TYPES_OF_METHOD, "customer": text(clearable=False), "description": text(1000), "metadata": metadata,
}  # fmt: skip


def add_setup_intent(account: Account, given: Json) -> Json:
    """Make a setup intent in `requires_payment_method` and tell it; `given` are checked fields."""
    intent_id = new_id("setup_intent")
    allowed = allowed_types(given)
    check_setup(allowed or [])
    intent = account.add("setup_intent", {
        **_unset(),
        "allowed_payment_method_types": allowed,
        "automatic_payment_methods": automatic_methods(given),
        "client_secret": f"{intent_id}_secret_{random_text(25)}",
        "customer": given.get("customer"),
        "description": given.get("description"),
        "metadata": merged_metadata({}, given.get("metadata")),
        "payment_method_types": allowed or ["card"],
        "status": "requires_payment_method",
        "usage": given.get("usage", "off_session"),
        "_session": given.get("_session"),
        "_ticket": None,
    }, object_id=intent_id)  # fmt: skip
    emit(account, "setup_intent.created", intent)
    return intent


def _unset() -> Json:
    names = (
        "application", "cancellation_reason", "customer_account", "excluded_payment_method_types", "flow_directions",
        "last_setup_error", "latest_attempt", "managed_payments", "mandate", "next_action", "on_behalf_of",
        "payment_method", "payment_method_configuration_details", "single_use_mandate",
    )  # fmt: skip
    card = {"mandate_options": None, "network": None, "request_three_d_secure": "automatic"}
    return dict.fromkeys(names) | {"payment_method_options": {"card": card}}


def _create(call: Call) -> Json:
    params = call.params
    if params.get("customer"):
        live_customer(call.account, params["customer"])
    refuse_early(params, "mandate_data", "return_url")
    method = given_method(call.account, params)
    if method is not None:
        refuse_unfit(method, "setup_intent", allowed_types(params) or ["card"], params.get("customer"))
    intent = add_setup_intent(call.account, params)
    if method is not None:
        choose_method(call.account, intent, method)
    if params.get("confirm"):
        confirm_setup(call.account, intent, method, params)
    return intent


def confirm_setup(account: Account, intent: Json, method: Json | None, given: Json) -> None:
    """Save the method, ask for 3-D Secure first where its bank wants it, or refuse with 402.

    `given` may hold `return_url` and `mandate_data`.
    """
    if method is None:
        raise unexpected_state(
            intent, "You cannot confirm this SetupIntent because it's missing a payment method. Update the SetupIntent "
            "with a payment method and then confirm it again.",
        )  # fmt: skip
    begin_attempt(account, intent, method)
    flow = RULES[method["type"]].flow
    if flow == REDIRECT:
        account.change(intent, _mandate_data=given.get("mandate_data"))
        _ask(account, intent, method, given.get("return_url"))
        return
    if flow == CARD:
        card = behaviour(method)
        if card.attach is not None:
            raise _declined(account, intent, method, card.attach)
        if card.authentication in ("always", "unless_set_up") and not method.get("_set_up"):
            _ask(account, intent, method, given.get("return_url"))
            return
    _succeed(account, intent, method, given.get("mandate_data"))


def _declined(account: Account, intent: Json, method: Json, decline: Decline) -> StripeError:
    error = refused(decline, extra={"payment_method": public(method)})
    _fail(account, intent, error)
    error.extra["setup_intent"] = public(intent)
    return error


def _fail(account: Account, intent: Json, error: StripeError) -> None:
    account.change(intent, status="requires_payment_method", payment_method=None, next_action=None, _ticket=None,
                   last_setup_error={**error.fields(), **error.extra})  # fmt: skip
    fail_attempt(account, intent, error)
    emit(account, "setup_intent.setup_failed", intent)
    tell_owner(account, intent)


def _ask(account: Account, intent: Json, method: Json, return_url: str | None) -> None:
    ask_the_bank(account, intent, method, return_url)
    wait_for_action(account, intent)
    emit(account, "setup_intent.requires_action", intent)


def _succeed(
    account: Account, intent: Json, method: Json, mandate_data: Json | None, *, authenticated: bool = False
) -> None:
    mandate = mandate_for(account, method, mandate_data)
    kept = reusable(account, method, mandate_data)
    account.change(kept, _set_up=intent["usage"] == "off_session")
    if intent["customer"] and kept["customer"] is None:
        attach(account, kept, account.get("customer", intent["customer"], "customer"))
    end_attempt(account, intent, method, authenticated=authenticated)
    note_origin(account, method, attempt=intent["latest_attempt"])
    account.change(intent, status="succeeded", payment_method=method["id"], next_action=None, last_setup_error=None,
                   mandate=mandate["id"] if mandate else None, _ticket=None)  # fmt: skip
    emit(account, "setup_intent.succeeded", intent)
    tell_owner(account, intent)


def finish_setup(account: Account, intent: Json, *, passed: bool) -> None:
    """The buyer comes back from 3-D Secure."""
    method = account.get("payment_method", intent["payment_method"], "payment_method")
    if passed:
        _succeed(account, intent, method, intent.get("_mandate_data"), authenticated=method["type"] == "card")
        return
    error = StripeError(AUTHENTICATION_FAILED, code="setup_intent_authentication_failure",
                        extra={"payment_method": public(method)})  # fmt: skip
    _fail(account, intent, error)


def _existing(call: Call) -> Json:
    return existing_intent(call.account, "setup_intent", call.id)


def _retrieve(call: Call) -> Json:
    intent = _existing(call)
    check_secret(intent, call.params)
    return intent


def _update(call: Call) -> Json:
    intent, params = _existing(call), call.params
    if intent["status"] not in _OPEN and set(params) - {"metadata", "description"}:
        raise unexpected_state(
            intent, f"This SetupIntent could not be updated because it has a status of {intent['status']}."
        )
    values: Json = {name: params[name] for name in ("customer", "description") if name in params}
    types = allowed_types(params)
    if types:
        check_setup(types)
        values |= {
            "allowed_payment_method_types": types,
            "payment_method_types": types,
            "automatic_payment_methods": None,
        }
    if params.get("customer"):
        live_customer(call.account, params["customer"])
    call.account.change(intent, **values, **new_metadata(intent, params))
    method = given_method(call.account, params)
    if method is not None:
        choose_method(call.account, intent, method)
    return intent


def _confirm(call: Call) -> Json:
    intent = _existing(call)
    refuse_of_checkout(intent, "confirm")
    check_secret(intent, call.params)
    if intent["status"] not in _OPEN:
        raise unexpected_state(
            intent, f"You cannot confirm this SetupIntent because it has already {_past(intent['status'])}."
        )
    method = method_to_confirm(call.account, intent, call.params)
    confirm_setup(call.account, intent, method, call.params)
    return intent


def _past(status: str) -> str:
    return "been canceled" if status == "canceled" else status


def _cancel(call: Call) -> Json:
    intent = _existing(call)
    refuse_of_checkout(intent, "cancel")
    refuse_to_cancel(intent, _OPEN)
    return cancel_setup(call.account, intent, call.params.get("cancellation_reason"))


def cancel_setup(account: Account, intent: Json, reason: str | None) -> Json:
    """Cancel a setup intent and tell it."""
    abandon_attempt(account, intent)
    account.change(intent, status="canceled", cancellation_reason=reason, next_action=None, _ticket=None)
    emit(account, "setup_intent.canceled", intent)
    return intent


def _list(call: Call) -> Json:
    keep = lists.same(call.params, "customer", "payment_method")
    return lists.page(call.account, "setup_intent", call.params, "/v1/setup_intents", keep)


OPERATIONS: list[Operation] = [
    post("/v1/setup_intents", _create, _CREATE),
    listing("/v1/setup_intents", _list, {"customer": text(), "payment_method": text()}),
    get("/v1/setup_intents/{id}", _retrieve, {"client_secret": text()}),
    post("/v1/setup_intents/{id}", _update, _UPDATE),
    post("/v1/setup_intents/{id}/confirm", _confirm, {**_CONFIRM, "client_secret": text()}),
    post("/v1/setup_intents/{id}/cancel", _cancel,
         {"cancellation_reason": choice("abandoned", "duplicate", "requested_by_customer")}),
]  # fmt: skip
