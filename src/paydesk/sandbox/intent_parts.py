"""What payment intents and setup intents have in common: naming a method, asking for 3-D Secure, refusing a state."""

from __future__ import annotations

from .accounts import Account
from .errors import Json, StripeError, invalid
from .ids import random_text
from .method_rules import REDIRECT, RULES, TYPES, not_allowed
from .methods import METHOD_DATA, add_method, refuse_spent, usable_method
from .params import Shape, choice, fields, flag, items, merged_metadata, text
from .present import public

# A method, named or described. `payment_method_data[card]` is what the hosted pages send.
METHOD: Shape = {"payment_method": text(clearable=False), "payment_method_data": fields(METHOD_DATA, ("type",))}
# The same list under the name of today and of the releases before.
TYPES_OF_METHOD: Shape = dict.fromkeys(
    ("allowed_payment_method_types", "payment_method_types"), items(choice(*TYPES), 20)
)
AUTOMATIC = fields({"enabled": flag, "allow_redirects": choice("always", "never")}, ("enabled",))
_NOUNS = {"payment_intent": "PaymentIntent", "setup_intent": "SetupIntent"}


def allowed_types(given: Json) -> list[str] | None:
    """The types of method that a request allows; None when it leaves that to Stripe."""
    return given.get("allowed_payment_method_types") or given.get("payment_method_types")


def refuse_both_ways(given: Json) -> None:
    """Types of method are named, or left to Stripe, not both."""
    name = next((name for name in TYPES_OF_METHOD if given.get(name)), None)
    if name and (given.get("automatic_payment_methods") or {}).get("enabled"):
        raise invalid(f"You may only specify one of these parameters: automatic_payment_methods, {name}.", name)


def automatic_methods(given: Json) -> Json | None:
    """The field `automatic_payment_methods`: on unless switched off, or unless types are named."""
    chosen = given.get("automatic_payment_methods") or {"enabled": True}
    if allowed_types(given) or not chosen["enabled"]:
        return None
    return {"allow_redirects": "always", **chosen}


def existing_intent(account: Account, kind: str, intent_id: str) -> Json:
    """The intent that a path names."""
    return account.get(kind, intent_id, "intent", status=404)


def check_secret(intent: Json, params: Json) -> None:
    """Refuse a `client_secret` that is not the intent's own."""
    if params.get("client_secret") not in (None, intent["client_secret"]):
        raise invalid(f"The client_secret provided does not match the client_secret associated with this "
                      f"{_NOUNS[intent['object']]}.", "client_secret")  # fmt: skip


def new_metadata(intent: Json, params: Json) -> Json:
    """`{"metadata": …}` after an update, or nothing when the update says nothing of it."""
    return {"metadata": merged_metadata(intent["metadata"], params["metadata"])} if "metadata" in params else {}


def given_method(account: Account, params: Json) -> Json | None:
    """The method that the parameters name or describe, or None."""
    if "payment_method" in params:
        return usable_method(account, params["payment_method"])
    if params.get("payment_method_data"):
        return add_method(account, params["payment_method_data"], "payment_method_data")
    return None


def method_to_confirm(account: Account, intent: Json, params: Json) -> Json | None:
    """The method with which an intent is confirmed: the one given now, else the one it has, else None."""
    method = given_method(account, params)
    if method is not None:
        choose_method(account, intent, method)
    elif intent["payment_method"]:
        method = account.get("payment_method", intent["payment_method"], "payment_method")
    return method


def choose_method(account: Account, intent: Json, method: Json) -> None:
    """Set the method of an intent; refused when it belongs to another customer or is of a type not allowed."""
    refuse_unfit(method, intent["object"], intent["payment_method_types"], intent["customer"])
    status = "requires_confirmation" if intent["status"] == "requires_payment_method" else intent["status"]
    account.change(intent, payment_method=method["id"], status=status)


def refuse_unfit(method: Json, kind: str, types: list[str], customer: str | None) -> None:
    """Refuse a method that another customer has or nobody any more, or whose type an intent of this kind does not take."""
    noun = _NOUNS[kind]
    refuse_spent(method)
    if method["customer"] is not None and method["customer"] != customer:
        raise invalid(
            f"The provided PaymentMethod cannot be attached to this {noun}: it belongs to another Customer. Please "
            f"include the Customer in the `customer` parameter on the {noun}.",
            "payment_method",
        )
    if method["type"] not in types:
        raise not_allowed(method["type"], types, noun)


def ask_the_bank(account: Account, intent: Json, method: Json, return_url: str | None) -> None:
    """Put an intent into `requires_action`, with the address of the 3-D Secure page or of the bank's own."""
    redirects = RULES[method["type"]].flow == REDIRECT
    if redirects and return_url is None:
        raise invalid(
            f"To confirm this {_NOUNS[intent['object']]} with a redirect-based payment method you must specify a "
            "`return_url`.",
            "return_url",
            "parameter_missing",
        )
    ticket = random_text(40)
    url = f"{account.public_url}/c/{'bank' if redirects else '3ds'}/{ticket}"
    if return_url:
        action: Json = {"redirect_to_url": {"return_url": return_url, "url": url}, "type": "redirect_to_url"}
    else:
        action = {"type": "use_stripe_sdk", "use_stripe_sdk": {"type": "three_d_secure_redirect", "stripe_js": url}}
    error = "last_payment_error" if intent["object"] == "payment_intent" else "last_setup_error"
    account.change(intent, status="requires_action", payment_method=method["id"], next_action=action, _ticket=ticket,
                   **{error: None})  # fmt: skip


def refuse_of_checkout(intent: Json, verb: str) -> None:
    """An intent that belongs to a Checkout session is confirmed and cancelled by Checkout alone."""
    if intent.get("_session"):
        raise unexpected_state(
            intent,
            f"You cannot {verb} this {_NOUNS[intent['object']]} because it was created by Checkout. Please use the "
            "Checkout Session API to expire the associated session instead.",
        )


def refuse_of_invoice(intent: Json, verb: str) -> None:
    """The intent that was made with an invoice follows the invoice; those attached to it later do not."""
    if intent.get("_of_invoice"):
        raise unexpected_state(
            intent,
            f"You cannot {verb} this PaymentIntent because it was created by an invoice. Void the invoice to cancel it, "
            "or change the invoice while it is a draft.",
        )


def refuse_to_cancel(intent: Json, cancelable: tuple[str, ...]) -> None:
    """Refuse to cancel an intent in any other status than these."""
    noun = _NOUNS[intent["object"]]
    if intent["status"] not in cancelable:
        raise unexpected_state(
            intent,
            f"You cannot cancel this {noun} because it has a status of {intent['status']}. Only a {noun} with one of "
            f"the following statuses may be canceled: {', '.join(cancelable)}.",
        )


def refuse_early(params: Json, *names: str) -> None:
    """Some parameters make sense only together with `confirm=true`."""
    for name in names:
        if name in params and not params.get("confirm"):
            raise invalid(f"You can only use the `{name}` parameter when `confirm` is set to true.", name)


def unexpected_state(intent: Json, message: str) -> StripeError:
    """The refusal of what an intent's status does not allow; it carries the intent."""
    kind = intent["object"]
    return StripeError(message, code=f"{kind}_unexpected_state", extra={kind: public(intent)})
