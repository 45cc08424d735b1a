"""Paying a payment intent: the steps that Checkout, the API and the 3-D Secure page share."""

from __future__ import annotations

from .accounts import Account
from .cards import NEEDS_AUTHENTICATION, Decline, refused
from .charges import add_charge
from .errors import Json, StripeError
from .events import emit
from .ids import random_text
from .methods import behaviour
from .present import public

AUTHENTICATION_FAILED = (
    "We are unable to authenticate your payment method. Please choose a different payment method and try again."
)


def must_authenticate(method: Json, *, off_session: bool) -> bool:
    """Whether the bank asks for 3-D Secure before this method may be charged."""
    rule = behaviour(method).authentication
    if off_session:
        return rule == "always" or (rule == "unless_set_up" and not method.get("_set_up"))
    return rule != "never"


def ask_to_authenticate(account: Account, intent: Json, method: Json, return_url: str | None) -> None:
    """Put the intent into `requires_action`, with the address of the 3-D Secure page."""
    ticket = random_text(40)
    url = f"{account.public_url}/c/3ds/{ticket}"
    if return_url:
        action: Json = {"redirect_to_url": {"return_url": return_url, "url": url}, "type": "redirect_to_url"}
    else:
        action = {"type": "use_stripe_sdk", "use_stripe_sdk": {"type": "three_d_secure_redirect", "stripe_js": url}}
    account.change(intent, status="requires_action", payment_method=method["id"], next_action=action,
                   last_payment_error=None, _ticket=ticket)  # fmt: skip
    emit(account, "payment_intent.requires_action", intent)


def take_payment(account: Account, intent: Json, method: Json, *, authenticated: bool) -> Json:
    """Charge the method and tell the result; gives the paid charge.

    A decline is answered with 402: the intent is back in `requires_payment_method` and a failed charge is kept.
    The caller books the charge with `settle_charge` when it has told its own events.
    """
    card = behaviour(method)
    decline = card.charge or card.attach
    account.change(intent, payment_method=method["id"], next_action=None, _ticket=None)
    charge = add_charge(account, intent, method, decline, authenticated=authenticated)
    account.change(intent, latest_charge=charge["id"])
    if decline is not None:
        raise decline_intent(account, intent, method, decline, charge)
    account.change(intent, status="succeeded", amount_received=intent["amount"], last_payment_error=None)
    emit(account, "payment_intent.succeeded", intent)
    return charge


def decline_intent(account: Account, intent: Json, method: Json, decline: Decline, charge: Json | None) -> StripeError:
    """Note a decline on the intent and tell it; gives the error to answer with."""
    known: Json = {"charge": charge["id"]} if charge else {}
    error = refused(decline, extra={**known, "payment_method": public(method)})
    fail_intent(account, intent, error)
    error.extra["payment_intent"] = public(intent)
    return error


def refuse_off_session(account: Account, intent: Json, method: Json) -> StripeError:
    """An off-session payment whose bank wants the buyer."""
    charge = add_charge(account, intent, method, NEEDS_AUTHENTICATION, authenticated=False)
    account.change(intent, latest_charge=charge["id"])
    return decline_intent(account, intent, method, NEEDS_AUTHENTICATION, charge)


def refuse_action(account: Account, intent: Json, method: Json) -> StripeError:
    """A payment that needs 3-D Secure though the caller excluded that."""
    error = StripeError(
        "This payment required an authentication action to complete, but `error_on_requires_action` was set.",
        status=402,
        kind="card_error",
        code="authentication_required",
        extra={"decline_code": "authentication_not_handled", "payment_method": public(method)},
    )
    fail_intent(account, intent, error)
    error.extra["payment_intent"] = public(intent)
    return error


def fail_authentication(account: Account, intent: Json) -> None:
    """The buyer failed or gave up 3-D Secure."""
    method = account.find("payment_method", intent["payment_method"] or "")
    error = StripeError(
        AUTHENTICATION_FAILED,
        kind="invalid_request_error",
        code="payment_intent_authentication_failure",
        extra={"payment_method": public(method)} if method else {},
    )
    fail_intent(account, intent, error)


def fail_intent(account: Account, intent: Json, error: StripeError) -> None:
    """Back to `requires_payment_method` with the error noted and told."""
    account.change(
        intent,
        status="requires_payment_method",
        payment_method=None,
        next_action=None,
        last_payment_error={**error.fields(), **error.extra},
        _ticket=None,
    )
    emit(account, "payment_intent.payment_failed", intent)
