"""Paying a payment intent: the steps that Checkout, the API and the banks' pages share."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass

from .accounts import Account
from .cards import NEEDS_AUTHENTICATION, Decline, refused
from .charges import add_charge, add_pending_charge, end_pending_charge, settle_charge
from .errors import Json, StripeError
from .events import emit
from .intent_parts import ask_the_bank
from .later import DEEDS, later
from .local_methods import DEBIT_TAKES_S, debit_outcome
from .methods import behaviour
from .present import public
from .saving import note_origin, save_after_payment

AUTHENTICATION_FAILED = (
    "We are unable to authenticate your payment method. Please choose a different payment method and try again."
)


_HELD_FOR_S = 7 * 24 * 3600


@dataclass(frozen=True)
class Owner:
    """What else hangs on a payment. `before` is called before the money is taken, `after` when the intent has
    succeeded, has failed, or has begun to wait for its bank (`processing`)."""

    before: Callable[[Account, Json], None]
    after: Callable[[Account, Json], None]


# The owners of intents, by the intent's own field that names them (`_session`, `_invoice`); filled by their modules.
OWNERS: dict[str, Owner] = {}


def pay(account: Account, intent: Json, method: Json, *, authenticated: bool, decline: Decline | None = None) -> None:
    """Take the payment, tell its owner, book the charge; a decline is told to the owner and raised."""
    owners = [owner for field, owner in OWNERS.items() if intent.get(field)]
    for owner in owners:
        owner.before(account, intent)
    try:
        charge = take_payment(account, intent, method, authenticated=authenticated, decline=decline)
    finally:
        for owner in owners:
            owner.after(account, intent)
    settle_charge(account, charge)


def tell_owner(account: Account, intent: Json) -> None:
    """Let the owner of an intent know that its status has changed."""
    for field, owner in OWNERS.items():
        if intent.get(field):
            owner.after(account, intent)


def must_authenticate(method: Json, *, off_session: bool) -> bool:
    """Whether the bank asks for 3-D Secure before this method may be charged."""
    if method["type"] != "card":
        return False
    rule = behaviour(method).authentication
    if off_session:
        return rule == "always" or (rule == "unless_set_up" and not method.get("_set_up"))
    return rule != "never"


def ask_to_authenticate(account: Account, intent: Json, method: Json, return_url: str | None) -> None:
    """Put the intent into `requires_action`, with the address of the 3-D Secure page."""
    ask_the_bank(account, intent, method, return_url)
    emit(account, "payment_intent.requires_action", intent)


def take_payment(
    account: Account, intent: Json, method: Json, *, authenticated: bool, decline: Decline | None = None
) -> Json:
    """Charge the method and tell the result; gives the paid charge.

    A card knows itself whether it declines; for other methods the caller says it. A decline is answered with 402: the
    intent is back in `requires_payment_method` and a failed charge is kept. With manual capture the money is held.
    The caller books the charge with `settle_charge` when it has told its own events.
    """
    if method["type"] == "card":
        card = behaviour(method)
        decline = card.charge or card.attach
    account.change(intent, payment_method=method["id"], next_action=None, _ticket=None)
    if decline is None:
        save_after_payment(account, intent, method)
    charge = add_charge(account, intent, method, decline, authenticated=authenticated)
    account.change(intent, latest_charge=charge["id"])
    if decline is not None:
        raise decline_intent(account, intent, method, decline, charge)
    note_origin(account, method, charge=charge["id"])
    if charge["captured"]:
        succeed(account, intent)
    else:
        _hold(account, intent, charge)
    aftermath(account, method, charge)
    return charge


def succeed(account: Account, intent: Json, amount: int | None = None) -> None:
    """The money is there: all of it, or the amount captured."""
    received = intent["amount"] if amount is None else amount
    account.change(intent, status="succeeded", amount_received=received, amount_capturable=0, last_payment_error=None)
    emit(account, "payment_intent.succeeded", intent)


def _hold(account: Account, intent: Json, charge: Json) -> None:
    """The money is held until it is captured, at most a week."""
    until = hold(account, charge)
    account.change(intent, status="requires_capture", amount_capturable=charge["amount"], last_payment_error=None)
    emit(account, "payment_intent.amount_capturable_updated", intent)
    later(account, until, "hold_expires", intent["id"])


def hold(account: Account, charge: Json) -> int:
    """Note on a charge until when its money is held; gives that time, in seconds since 1970."""
    until = account.clock.now_s() + _HELD_FOR_S
    charge["payment_method_details"]["card"]["capture_before"] = until
    account.save(charge)
    return until


def aftermath(account: Account, method: Json, charge: Json) -> None:
    """What some test cards and accounts bring on when they are charged: a dispute, an inquiry, a warning of fraud."""
    if method["type"] == "card":
        deed = behaviour(method).aftermath
    else:
        deed = "dispute" if method["type"] == "sepa_debit" and debit_outcome(method)[1] else ""
    if deed:
        later(account, account.clock.now(), deed, charge["id"])


def start_debit(account: Account, intent: Json, method: Json) -> None:
    """A debit from a bank account: `processing` now, the result days later."""
    account.change(intent, payment_method=method["id"], next_action=None, last_payment_error=None, _ticket=None)
    save_after_payment(account, intent, method)
    charge = add_pending_charge(account, intent, method)
    account.change(intent, status="processing", latest_charge=charge["id"])
    emit(account, "payment_intent.processing", intent)
    later(account, account.clock.now() + DEBIT_TAKES_S, "debit_ends", intent["id"])


def _end_debit(account: Account, intent_id: str) -> None:
    intent = account.find("payment_intent", intent_id)
    if intent is None or intent["status"] != "processing":
        return
    method = account.get("payment_method", intent["payment_method"], "payment_method")
    charge = account.get("charge", intent["latest_charge"], "charge")
    decline, _ = debit_outcome(method)
    end_pending_charge(account, charge, decline)
    if decline is None:
        succeed(account, intent)
        tell_owner(account, intent)
        settle_charge(account, charge)
        aftermath(account, method, charge)
    else:
        decline_intent(account, intent, method, decline, charge)
        tell_owner(account, intent)


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


def fail_at_bank(account: Account, intent: Json) -> None:
    """The buyer did not authorize the payment on the bank's page."""
    _fail_by_buyer(account, intent, "payment_intent_payment_attempt_failed",
                   "The customer did not approve the payment with the bank.")  # fmt: skip


def fail_unanswered(account: Account, intent: Json) -> None:
    """The buyer did not approve the payment in time."""
    _fail_by_buyer(account, intent, "payment_intent_payment_attempt_expired",
                   "The customer did not approve the payment in time.")  # fmt: skip


def fail_authentication(account: Account, intent: Json) -> None:
    """The buyer failed or gave up 3-D Secure."""
    _fail_by_buyer(account, intent, "payment_intent_authentication_failure", AUTHENTICATION_FAILED)


def _fail_by_buyer(account: Account, intent: Json, code: str, message: str) -> None:
    method = account.find("payment_method", intent["payment_method"] or "")
    shown = {"payment_method": public(method)} if method else {}
    fail_intent(account, intent, StripeError(message, kind="invalid_request_error", code=code, extra=shown))


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


DEEDS["debit_ends"] = _end_debit
