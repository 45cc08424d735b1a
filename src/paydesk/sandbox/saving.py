"""Methods that are kept for later payments.

A card or a debit is given to the customer. iDEAL itself can be used once only: what is kept is a SEPA debit of the same
bank account, with a mandate (the `generated_sepa_debit` of the charge or of the setup attempt).
"""

from __future__ import annotations

from .accounts import Account
from .errors import Json
from .local_methods import IDEAL_IBAN
from .mandates import mandate_for
from .method_rules import RULES
from .methods import add_method, attach

_BY_PAGE: Json = {"customer_acceptance": {"type": "online", "online": {}}}


def wanted_usage(intent: Json, kind: str) -> str | None:
    """`off_session` or `on_session` when a payment's method is to be kept: its own option, else the intent's."""
    option = (intent["payment_method_options"].get(kind) or {}).get("setup_future_usage")
    usage: str | None = option or intent["setup_future_usage"]
    return None if usage == "none" else usage


def save_after_payment(account: Account, intent: Json, method: Json) -> None:
    """Keep the method of a payment for its customer, when the intent says so; one that nobody keeps is used up."""
    usage = wanted_usage(intent, method["type"])
    if usage and intent["customer"]:
        keep_method(account, method, account.get("customer", intent["customer"], "customer"), usage)
    if method["customer"] is None:
        account.change(method, _used=True)


def keep_method(account: Account, method: Json, customer: Json, usage: str, acceptance: Json | None = None) -> Json:
    """Give a method to a customer for later payments; gives the one that is kept."""
    kept = reusable(account, method, acceptance)
    account.change(kept, _set_up=kept.get("_set_up") or usage == "off_session")
    if kept["customer"] is None:
        attach(account, kept, customer)
    return kept


def reusable(account: Account, method: Json, acceptance: Json | None = None) -> Json:
    """The method that can be charged again: itself, or the SEPA debit that it becomes, made at the first call."""
    if RULES[method["type"]].saved_as is None:
        return method
    known = account.find("payment_method", method.get("_generated", {}).get("generated_sepa_debit", ""))
    if known is not None:
        return known
    debit = add_method(account, {
        "type": "sepa_debit", "sepa_debit": {"iban": IDEAL_IBAN}, "billing_details": method["billing_details"],
    })  # fmt: skip
    mandate = mandate_for(account, debit, acceptance or _BY_PAGE)
    account.change(method, _generated={
        "generated_sepa_debit": debit["id"],
        "generated_sepa_debit_mandate": mandate["id"] if mandate else None,
        "iban_last4": debit["sepa_debit"]["last4"],
        "verified_name": "Jenny Rosen",
    })  # fmt: skip
    return debit


def note_origin(account: Account, method: Json, *, charge: str | None = None, attempt: str | None = None) -> None:
    """Write on a generated debit from which charge or setup attempt it came."""
    debit = account.find("payment_method", method.get("_generated", {}).get("generated_sepa_debit", ""))
    if debit is not None:
        origin = {"charge": charge, "setup_attempt": attempt}
        account.change(debit, sepa_debit={**debit["sepa_debit"], "generated_from": origin})
