"""Setup intents: a payment method is saved for later payments, with the bank's consent where it asks for it."""

from __future__ import annotations

from . import lists
from .accounts import Account
from .calls import Call, Operation, get, listing, post
from .cards import Decline, refused
from .customers import live_customer
from .errors import Json, StripeError, invalid
from .events import emit
from .ids import new_id, random_text
from .mandates import MANDATE_DATA, mandate_for
from .method_rules import RULES, TYPES, check_setup
from .methods import METHOD_DATA, add_method, attach, behaviour, usable_method
from .params import Shape, choice, fields, flag, items, merged_metadata, metadata, text, url
from .payments import AUTHENTICATION_FAILED, tell_owner
from .present import public

_OPEN = ("requires_payment_method", "requires_confirmation", "requires_action")
_METHOD: Shape = {
    "payment_method": text(clearable=False),
    "payment_method_data": fields(METHOD_DATA, ("type",)),
    "payment_method_options": fields({
        "card": fields({"request_three_d_secure": choice("any", "automatic", "challenge")}),
        "sepa_debit": fields({"mandate_options": fields({"reference_prefix": text(12)})}),
    }),
}  # fmt: skip
_CONFIRM: Shape = {**_METHOD, "mandate_data": MANDATE_DATA, "return_url": url, "use_stripe_sdk": flag}
_CREATE: Shape = {
    **_CONFIRM,
    "allowed_payment_method_types": items(choice(*TYPES), 20),
    "automatic_payment_methods": fields({"enabled": flag, "allow_redirects": choice("always", "never")}, ("enabled",)),
    "confirm": flag,
    "customer": text(clearable=False),
    "description": text(1000),
    "metadata": metadata,
    "payment_method_types": items(choice(*TYPES), 20),
    "usage": choice("off_session", "on_session"),
}
_UPDATE: Shape = {
    **_METHOD, "customer": text(clearable=False), "description": text(1000), "metadata": metadata,
    "payment_method_types": items(choice(*TYPES), 20),
}  # fmt: skip


def add_setup_intent(account: Account, given: Json) -> Json:
    """Make a setup intent in `requires_payment_method` and tell it; `given` are checked fields."""
    intent_id = new_id("setup_intent")
    allowed = given.get("allowed_payment_method_types") or given.get("payment_method_types")
    check_setup(allowed or [])
    automatic = given.get("automatic_payment_methods") or {"enabled": True}
    intent = account.add("setup_intent", {
        **_unset(),
        "allowed_payment_method_types": allowed,
        "automatic_payment_methods": {"allow_redirects": "always", **automatic} if automatic["enabled"] and not allowed
        else None,
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
    for name in ("mandate_data", "return_url"):
        if name in params and not params.get("confirm"):
            raise invalid(f"You can only use the `{name}` parameter when `confirm` is set to true.", name)
    method = _given_method(call.account, params)
    intent = add_setup_intent(call.account, params)
    if method is not None:
        _choose(call.account, intent, method)
    if params.get("confirm"):
        confirm_setup(call.account, intent, method, params)
    return intent


def _given_method(account: Account, params: Json) -> Json | None:
    if "payment_method" in params:
        return usable_method(account, params["payment_method"])
    if params.get("payment_method_data"):
        return add_method(account, params["payment_method_data"], "payment_method_data")
    return None


def _choose(account: Account, intent: Json, method: Json) -> None:
    if method["customer"] is not None and method["customer"] != intent["customer"]:
        raise invalid(
            "The provided PaymentMethod cannot be attached to this SetupIntent: it belongs to another Customer.",
            "payment_method",
        )
    if method["type"] not in intent["payment_method_types"]:
        listed = ", ".join(intent["payment_method_types"])
        raise invalid(
            f"The PaymentMethod provided ({method['type']}) is not allowed for this SetupIntent. Please attach a "
            f"PaymentMethod of one of the following types: {listed}.",
            "payment_method",
        )
    account.change(intent, payment_method=method["id"], status="requires_confirmation")


def confirm_setup(account: Account, intent: Json, method: Json | None, given: Json) -> None:
    """Save the method, ask for 3-D Secure first where its bank wants it, or refuse with 402.

    `given` may hold `return_url` and `mandate_data`.
    """
    if method is None:
        raise _unexpected_state(
            intent, "You cannot confirm this SetupIntent because it's missing a payment method. Update the SetupIntent "
            "with a payment method and then confirm it again.",
        )  # fmt: skip
    if RULES[method["type"]].flow == "card":
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
    emit(account, "setup_intent.setup_failed", intent)
    tell_owner(account, intent)


def _ask(account: Account, intent: Json, method: Json, return_url: str | None) -> None:
    ticket = random_text(40)
    address = f"{account.public_url}/c/3ds/{ticket}"
    if return_url:
        action: Json = {"redirect_to_url": {"return_url": return_url, "url": address}, "type": "redirect_to_url"}
    else:
        stub = {"type": "three_d_secure_redirect", "stripe_js": address}
        action = {"type": "use_stripe_sdk", "use_stripe_sdk": stub}
    account.change(intent, status="requires_action", payment_method=method["id"], next_action=action,
                   last_setup_error=None, _ticket=ticket)  # fmt: skip
    emit(account, "setup_intent.requires_action", intent)


def _succeed(account: Account, intent: Json, method: Json, mandate_data: Json | None) -> None:
    mandate = mandate_for(account, method, mandate_data)
    account.change(method, _set_up=intent["usage"] == "off_session")
    if intent["customer"] and method["customer"] is None:
        attach(account, method, account.get("customer", intent["customer"], "customer"))
    account.change(intent, status="succeeded", payment_method=method["id"], next_action=None, last_setup_error=None,
                   mandate=mandate["id"] if mandate else None, _ticket=None)  # fmt: skip
    emit(account, "setup_intent.succeeded", intent)
    tell_owner(account, intent)


def finish_setup(account: Account, intent: Json, *, passed: bool) -> None:
    """The buyer comes back from 3-D Secure."""
    method = account.get("payment_method", intent["payment_method"], "payment_method")
    if passed:
        _succeed(account, intent, method, None)
        return
    error = StripeError(AUTHENTICATION_FAILED, code="setup_intent_authentication_failure",
                        extra={"payment_method": public(method)})  # fmt: skip
    _fail(account, intent, error)


def _unexpected_state(intent: Json, message: str) -> StripeError:
    return StripeError(message, code="setup_intent_unexpected_state", extra={"setup_intent": public(intent)})


def _existing(call: Call) -> Json:
    return call.account.get("setup_intent", call.id, "intent", status=404)


def _retrieve(call: Call) -> Json:
    return _existing(call)


def _update(call: Call) -> Json:
    intent, params = _existing(call), call.params
    if intent["status"] not in _OPEN and set(params) - {"metadata", "description"}:
        raise _unexpected_state(
            intent, f"This SetupIntent could not be updated because it has a status of {intent['status']}."
        )
    values: Json = {
        name: params[name] for name in ("customer", "description", "payment_method_types") if name in params
    }
    if params.get("customer"):
        live_customer(call.account, params["customer"])
    check_setup(values.get("payment_method_types", []))
    if "metadata" in params:
        values["metadata"] = merged_metadata(intent["metadata"], params["metadata"])
    call.account.change(intent, **values)
    method = _given_method(call.account, params)
    if method is not None:
        _choose(call.account, intent, method)
    return intent


def _confirm(call: Call) -> Json:
    intent = _existing(call)
    _refuse_of_checkout(intent, "confirm")
    if intent["status"] not in _OPEN:
        raise _unexpected_state(
            intent, f"You cannot confirm this SetupIntent because it has already {_past(intent['status'])}."
        )
    method = _given_method(call.account, call.params)
    if method is not None:
        _choose(call.account, intent, method)
    elif intent["payment_method"]:
        method = call.account.get("payment_method", intent["payment_method"], "payment_method")
    confirm_setup(call.account, intent, method, call.params)
    return intent


def _past(status: str) -> str:
    return "been canceled" if status == "canceled" else status


def _refuse_of_checkout(intent: Json, verb: str) -> None:
    if intent.get("_session"):
        raise _unexpected_state(intent, f"You cannot {verb} this SetupIntent because it was created by Checkout.")


def _cancel(call: Call) -> Json:
    intent = _existing(call)
    _refuse_of_checkout(intent, "cancel")
    if intent["status"] not in _OPEN:
        raise _unexpected_state(
            intent,
            f"You cannot cancel this SetupIntent because it has a status of {intent['status']}. Only a SetupIntent "
            f"with one of the following statuses may be canceled: {', '.join(_OPEN)}.",
        )
    return cancel_setup(call.account, intent, call.params.get("cancellation_reason"))


def cancel_setup(account: Account, intent: Json, reason: str | None) -> Json:
    """Cancel a setup intent and tell it."""
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
