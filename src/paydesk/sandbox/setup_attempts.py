"""Setup attempts: one for each time a setup intent is confirmed, with what became of it."""

from __future__ import annotations

from . import lists
from .accounts import Account
from .calls import Call, Operation, listing
from .errors import Json, StripeError
from .params import text
from .present import public

_UNFINISHED = ("requires_confirmation", "requires_action", "processing")


def begin_attempt(account: Account, intent: Json, method: Json) -> None:
    """A confirmation begins; one that was still waiting for the buyer is abandoned."""
    abandon_attempt(account, intent)
    attempt = account.add("setup_attempt", {
        "application": None,
        "customer": intent["customer"],
        "customer_account": None,
        "flow_directions": None,
        "on_behalf_of": None,
        "payment_method": method["id"],
        "payment_method_details": _details(method, authenticated=False),
        "setup_error": None,
        "setup_intent": intent["id"],
        "status": "requires_confirmation",
        "usage": intent["usage"],
    })  # fmt: skip
    account.change(intent, latest_attempt=attempt["id"])


def end_attempt(account: Account, intent: Json, method: Json, *, authenticated: bool) -> None:
    """The method of a confirmation is saved."""
    attempt = _latest(account, intent)
    if attempt is not None:
        account.change(
            attempt, status="succeeded", payment_method_details=_details(method, authenticated=authenticated)
        )


def wait_for_action(account: Account, intent: Json) -> None:
    """The bank wants the buyer before it says more."""
    attempt = _latest(account, intent)
    if attempt is not None:
        account.change(attempt, status="requires_action")


def fail_attempt(account: Account, intent: Json, error: StripeError) -> None:
    """The bank, or the buyer on its page, refused."""
    attempt = _latest(account, intent)
    if attempt is not None:
        account.change(attempt, status="failed", setup_error={**error.fields(), **error.extra})


def abandon_attempt(account: Account, intent: Json) -> None:
    """Nobody finished the latest confirmation, and nobody will."""
    attempt = _latest(account, intent)
    if attempt is not None and attempt["status"] in _UNFINISHED:
        account.change(attempt, status="abandoned")


def _latest(account: Account, intent: Json) -> Json | None:
    return account.find("setup_attempt", intent["latest_attempt"] or "")


def _details(method: Json, *, authenticated: bool) -> Json:
    """What is told of the method: a card with its checks, iDEAL with the debit that it became."""
    kind = method["type"]
    if kind == "card":
        shown = public(method["card"])
        names = ("brand", "checks", "country", "exp_month", "exp_year", "fingerprint", "funding", "last4", "wallet")
        secure = _AUTHENTICATED if authenticated else None
        details = {**{name: shown[name] for name in names}, "network": shown["brand"], "three_d_secure": secure}
    elif kind == "ideal":
        blank = dict.fromkeys(("generated_sepa_debit", "generated_sepa_debit_mandate", "iban_last4", "verified_name"))
        details = {**blank, **method["ideal"], **method.get("_generated", {})}
    else:
        details = {}
    return {kind: details, "type": kind}


_AUTHENTICATED: Json = {
    "authentication_flow": "challenge", "electronic_commerce_indicator": "05", "result": "authenticated",
    "result_reason": None, "transaction_id": None, "version": "2.2.0",
}  # fmt: skip


def _list(call: Call) -> Json:
    call.account.get("setup_intent", call.params["setup_intent"], "setup_intent")
    keep = lists.same(call.params, "setup_intent")
    return lists.page(call.account, "setup_attempt", call.params, "/v1/setup_attempts", keep)


OPERATIONS: list[Operation] = [
    listing("/v1/setup_attempts", _list, {"setup_intent": text(clearable=False)}, required=("setup_intent",)),
]
