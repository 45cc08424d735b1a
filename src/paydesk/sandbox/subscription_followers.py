"""What follows for a subscription when its invoice is paid, fails, waits for a bank, or is closed."""

from __future__ import annotations

from .accounts import Account
from .billing_settings import rules
from .dunning import plan_retry, set_delinquent
from .errors import Json
from .events import emit
from .invoices import FOLLOWERS, begins_unpaid, finalize, give_up, stop_advancing, subscription_id, void
from .methods import attach
from .subscription_changes import apply_pending, tell
from .subscription_rows import ENDED, plan
from .subscriptions import change, drop_pending, end, set_paused, set_resumed


def _of(account: Account, invoice: Json) -> Json:
    return account.get("subscription", subscription_id(invoice) or "", "subscription")


def _paid(account: Account, invoice: Json) -> None:
    """A paid invoice: the subscription is in good order again."""
    subscription = _of(account, invoice)
    _keep_method(account, subscription, invoice)
    if subscription.get("_update_invoice") == invoice["id"]:
        apply_pending(account, subscription, invoice)
    latest = subscription["latest_invoice"] in (None, invoice["id"])
    if invoice["amount_paid"] and not subscription.get("_starting"):
        customer = account.get("customer", subscription["customer"], "customer")
        set_delinquent(account, customer, delinquent=False)
    if latest:
        _in_order(account, subscription, invoice)


def _in_order(account: Account, subscription: Json, invoice: Json) -> None:
    status = subscription["status"]
    if status == "incomplete":
        quietly = subscription.get("_starting")
        previous = account.change(subscription, status="active")
        if not quietly:
            emit(account, "customer.subscription.updated", subscription, previous)
    elif status in ("past_due", "unpaid"):
        change(account, subscription, status="active")
    elif status == "paused" and invoice.get("_resumes"):
        set_resumed(account, subscription)
    plan_unless_starting(account, subscription)


def plan_unless_starting(account: Account, subscription: Json) -> None:
    """Plan what is due next; a subscription being made does so itself."""
    if not subscription.get("_starting"):
        plan(account, subscription)


def _keep_method(account: Account, subscription: Json, invoice: Json) -> None:
    """Keep the method that paid, for the next times, where that was asked for."""
    intent = account.find("payment_intent", invoice.get("_intent") or "")
    method = account.find("payment_method", (intent or {}).get("payment_method") or "")
    if method is None:
        return
    if method["customer"] is None and not method.get("_detached"):
        account.change(method, _set_up=True)
        attach(account, method, account.get("customer", subscription["customer"], "customer"))
    if subscription["payment_settings"]["save_default_payment_method"] == "on_subscription":
        account.change(subscription, default_payment_method=method["id"])


def _processing(account: Account, invoice: Json) -> None:
    """A debit is on its way: the service may begin."""
    subscription = _of(account, invoice)
    if subscription["status"] == "incomplete":
        _in_order(account, subscription, invoice)


def _failed(account: Account, invoice: Json) -> None:
    """A failed invoice: the subscription owes, or is at the end of the schedule."""
    subscription = _of(account, invoice)
    if subscription["status"] in ENDED or begins_unpaid(invoice) or invoice.get("_updates"):
        return
    customer = account.get("customer", subscription["customer"], "customer")
    if subscription["latest_invoice"] == invoice["id"] and subscription["status"] == "active":
        set_delinquent(account, customer, delinquent=True)
        change(account, subscription, status="past_due")
    if invoice.get("_exhausted") and subscription["status"] == "past_due":
        _after_retries(account, subscription, invoice)


def _due(account: Account, invoice: Json) -> None:
    """An invoice that was sent is past its due date."""
    subscription = _of(account, invoice)
    if subscription["latest_invoice"] == invoice["id"] and subscription["status"] == "active":
        set_delinquent(account, account.get("customer", subscription["customer"], "customer"), delinquent=True)
        change(account, subscription, status="past_due")


def _after_retries(account: Account, subscription: Json, invoice: Json) -> None:
    settled = rules(account)
    if settled["invoice_after_retries"] == "uncollectible":
        give_up(account, invoice, "max_payment_attempts", tell=False)
    outcome = settled["after_retries"]
    if outcome == "canceled":
        end(account, subscription, reason="payment_failed")
    elif outcome == "unpaid":
        change(account, subscription, status="unpaid")
    elif outcome == "paused":
        set_paused(account, subscription, "final_payment_failure")


def _action(account: Account, invoice: Json) -> None:
    """The bank wants the buyer: a renewal counts as failed until then."""
    if not begins_unpaid(invoice):
        plan_retry(account, invoice)
        emit(account, "invoice.payment_failed", invoice)
        _failed(account, invoice)


def _closed(account: Account, invoice: Json) -> None:
    """An invoice was voided or written off: nothing is owed for it."""
    subscription = _of(account, invoice)
    if subscription.get("_update_invoice") == invoice["id"]:
        tell(account, subscription, drop_pending(account, subscription))
        return
    if subscription["latest_invoice"] != invoice["id"] or subscription["status"] in ENDED:
        return
    if subscription["status"] == "incomplete" and invoice["status"] == "void":
        change(account, subscription, status="incomplete_expired", ended_at=account.clock.now_s())
    elif subscription["status"] == "paused":
        if invoice["status"] == "uncollectible" and invoice.get("_resumes"):
            set_resumed(account, subscription)
    else:
        _in_order(account, subscription, invoice)


def _finalizing(account: Account, invoice: Json) -> None:
    """What a pause of collection does to a draft whose hour is over."""
    pause = _of(account, invoice)["pause_collection"]
    if pause is None:
        return
    if pause["behavior"] == "keep_as_draft":
        stop_advancing(account, invoice)
        return
    finalize(account, invoice)
    if invoice["status"] == "open" and pause["behavior"] == "void":
        void(account, invoice, tell=False)
    elif invoice["status"] == "open":
        give_up(account, invoice, "subscription_paused", tell=False)


FOLLOWERS.update(
    paid=_paid, planning=plan_retry, failed=_failed, action=_action, processing=_processing, closed=_closed,
    due=_due, finalizing=_finalizing,
)  # fmt: skip
