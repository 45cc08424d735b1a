"""From the word "pay" to money: what a payment intent does when it is confirmed, by the flow of its method.

A card pays at once or asks for 3-D Secure, BLIK waits for the banking app, P24 and iDEAL for the bank's page, SEPA
debit for days. Checkout, the API and Stripe.js all come through here.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass, field

from .accounts import Account
from .errors import Json, StripeError, invalid
from .events import emit
from .intent_parts import ask_the_bank
from .later import DEEDS, later
from .local_methods import BLIK_ANSWERS_AFTER_S, BLIK_CODES, BLIK_PATIENCE_S, BLIK_UNANSWERED, checked_code
from .mandates import mandate_for
from .method_rules import CARD, CODE, DEBIT, RULES, check_currency, not_allowed
from .methods import refuse_spent
from .payments import (
    OWNERS,
    ask_to_authenticate,
    fail_at_bank,
    fail_authentication,
    fail_unanswered,
    must_authenticate,
    pay,
    refuse_action,
    refuse_off_session,
    start_debit,
    tell_owner,
)


@dataclass(frozen=True)
class How:
    """The circumstances of a confirmation."""

    off_session: bool = False
    action_refused: bool = False
    return_url: str | None = None
    options: Json = field(default_factory=dict)
    mandate_data: Json | None = None


# How intents are confirmed whose flow has a module of its own, by flow; filled by these modules.
STARTS: dict[str, Callable[[Account, Json, Json, How], None]] = {}


def start_payment(account: Account, intent: Json, method: Json, how: How) -> None:
    """Confirm an intent with a method. A decline is raised as 402; what takes time leaves the intent waiting."""
    kind = method["type"]
    refuse_spent(method)
    if kind not in intent["payment_method_types"]:
        raise not_allowed(kind, intent["payment_method_types"])
    check_currency([kind], intent["currency"], "payment_method")
    flow = RULES[kind].flow
    if flow == CARD:
        _start_card(account, intent, method, how)
    elif flow == DEBIT:
        _start_debit(account, intent, method, how)
    elif flow in STARTS:
        STARTS[flow](account, intent, method, how)
    elif how.off_session:
        raise invalid(f"Payments with `{kind}` cannot be confirmed off-session.", "off_session")
    elif how.action_refused:
        raise refuse_action(account, intent, method)
    elif flow == CODE:
        _start_code(account, intent, method, how)
    else:
        _start_redirect(account, intent, method, how)


def _start_card(account: Account, intent: Json, method: Json, how: How) -> None:
    if not must_authenticate(method, off_session=how.off_session):
        pay(account, intent, method, authenticated=False)
    elif how.off_session:
        error = refuse_off_session(account, intent, method)
        tell_owner(account, intent)
        raise error
    elif how.action_refused:
        raise refuse_action(account, intent, method)
    else:
        ask_to_authenticate(account, intent, method, how.return_url)


def _start_debit(account: Account, intent: Json, method: Json, how: How) -> None:
    once = None if intent["setup_future_usage"] else {"amount": intent["amount"], "currency": intent["currency"]}
    mandate_for(account, method, how.mandate_data, single_use=once)
    for name, owner in OWNERS.items():
        if intent.get(name):
            owner.before(account, intent)
    start_debit(account, intent, method)
    tell_owner(account, intent)


def _start_code(account: Account, intent: Json, method: Json, how: How) -> None:
    """BLIK: the banking app asks the buyer; the answer comes by itself."""
    code = checked_code(how.options)
    account.change(intent, status="requires_action", payment_method=method["id"], last_payment_error=None,
                   next_action={"blik_authorize": {}, "type": "blik_authorize"}, _code=code)  # fmt: skip
    emit(account, "payment_intent.requires_action", intent)
    wait_s = BLIK_PATIENCE_S if code == BLIK_UNANSWERED else BLIK_ANSWERS_AFTER_S
    later(account, account.clock.now() + wait_s, "code_answered", intent["id"])


def _answer_code(account: Account, intent_id: str) -> None:
    intent = account.find("payment_intent", intent_id)
    if intent is None or intent["status"] != "requires_action" or not intent.get("_code"):
        return
    code = intent["_code"]
    account.change(intent, _code=None)
    if code == BLIK_UNANSWERED:
        fail_unanswered(account, intent)
        tell_owner(account, intent)
        return
    method = account.get("payment_method", intent["payment_method"], "payment_method")
    try:
        pay(account, intent, method, authenticated=False, decline=BLIK_CODES.get(code))
    except StripeError:
        return  # the intent keeps the refusal as its last error


def _start_redirect(account: Account, intent: Json, method: Json, how: How) -> None:
    """P24 and iDEAL: the bank's page asks the buyer."""
    ask_the_bank(account, intent, method, how.return_url)
    emit(account, "payment_intent.requires_action", intent)


def finish_action(account: Account, intent: Json, *, passed: bool) -> None:
    """The buyer comes back from 3-D Secure or the bank's page; a decline is kept as the intent's last error."""
    method = account.get("payment_method", intent["payment_method"], "payment_method")
    is_card = method["type"] == "card"
    if passed:
        try:
            pay(account, intent, method, authenticated=is_card)
        except StripeError:
            return
    else:
        (fail_authentication if is_card else fail_at_bank)(account, intent)
        tell_owner(account, intent)


DEEDS["code_answered"] = _answer_code
