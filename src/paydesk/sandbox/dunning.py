"""Renewals that fail: when they are tried again. How often, and what comes after, is in `billing_settings`."""

from __future__ import annotations

from .accounts import Account
from .billing_settings import rules
from .errors import Json
from .events import emit, emit_update
from .invoices import attempt, begins_unpaid, default_method, follow, subscription_id
from .later import DEEDS, later
from .periods import DAY_S


def plan_retry(account: Account, invoice: Json) -> None:
    """After a failed try: note when the next one is. Tries made by hand leave the schedule as it is."""
    if not invoice["auto_advance"] or not subscription_id(invoice) or begins_unpaid(invoice) or invoice.get("_updates"):
        return
    if invoice.get("_failed_at") is None:
        account.change(invoice, _failed_at=account.clock.now_s(), _retry=0)
    elif invoice.get("_retrying"):
        account.change(invoice, _retry=invoice["_retry"] + 1)
    else:
        return
    days = rules(account)["retry_days"]
    if invoice["_retry"] < len(days):
        moment = invoice["_failed_at"] + round(days[invoice["_retry"]] * DAY_S)
        account.change(invoice, next_payment_attempt=moment)
        later(account, moment, "invoice.retry", invoice["id"])
    else:
        account.change(invoice, next_payment_attempt=None, auto_advance=False, _exhausted=True)


def _retry(account: Account, invoice_id: str) -> None:
    """One try of the schedule. Without a method, or with one the bank has ruled out, nothing is charged."""
    invoice = account.find("invoice", invoice_id)
    moment = invoice["next_payment_attempt"] if invoice else None
    if invoice is None or invoice["status"] != "open" or moment is None or moment > account.clock.now_s():
        return
    account.change(invoice, _retrying=True)
    method = default_method(account, invoice)
    previous = account.change(invoice, attempt_count=invoice["attempt_count"] + 1)
    if method is not None and not _ruled_out(account, invoice, method):
        attempt(account, invoice, method, off_session=True)
        if invoice["status"] == "open" and invoice["next_payment_attempt"] == moment:
            plan_retry(account, invoice)  # the bank waits for the buyer
            _tell_plan(account, invoice, previous)
    else:
        plan_retry(account, invoice)
        _tell_plan(account, invoice, previous)
    account.change(invoice, _retrying=False)


def _tell_plan(account: Account, invoice: Json, previous: Json) -> None:
    emit_update(account, "invoice.updated", invoice, previous)
    if invoice.get("_exhausted"):
        follow(account, "failed", invoice)


def _ruled_out(account: Account, invoice: Json, method: Json) -> bool:
    """Whether the bank has said that this method need not be tried again."""
    intent = account.find("payment_intent", invoice.get("_intent") or "")
    error = (intent or {}).get("last_payment_error") or {}
    same = (error.get("payment_method") or {}).get("id") == method["id"]
    return same and error.get("advice_code") == "do_not_try_again"


def set_delinquent(account: Account, customer: Json, *, delinquent: bool) -> None:
    """Note whether a customer owes; tells it when that is new."""
    if bool(customer["delinquent"]) != delinquent and not customer.get("deleted"):
        emit(account, "customer.updated", customer, account.change(customer, delinquent=delinquent))


DEEDS["invoice.retry"] = _retry
