"""What happens to invoices by themselves: the end of a draft's hour, and what is told around renewals and due dates."""

from __future__ import annotations

from .accounts import Account
from .billing_settings import rules
from .errors import Json
from .events import emit
from .invoice_previews import upcoming
from .invoices import collect, finalize, first_attempt_at, follow, subscription_id
from .later import DEEDS, later
from .periods import DAY_S
from .subscription_rows import ENDED, current_period
from .taxes import fail_finalization, lacks_location

_LOOKS_AGAIN_S = 3600
_WAITS_S = 72 * 3600


def _finalize_when_due(account: Account, invoice_id: str) -> None:
    """The hour of a draft is over: finalise it and collect. One whose endpoint refuses to hear of it waits longer."""
    invoice = account.find("invoice", invoice_id)
    if invoice is None or invoice["status"] != "draft" or not invoice["auto_advance"]:
        return
    now, moment = account.clock.now_s(), invoice["automatically_finalizes_at"]
    if moment is None:
        return
    if moment <= now and _refused(account, invoice):
        moment = min(now + _LOOKS_AGAIN_S, invoice["created"] + _WAITS_S)
        account.change(invoice, automatically_finalizes_at=moment)
        account.change(invoice, next_payment_attempt=first_attempt_at(invoice))
    if moment > now:
        later(account, moment, "invoice.finalize", invoice_id)
        return
    account.change(invoice, webhooks_delivered_at=invoice["webhooks_delivered_at"] or _delivered_at(account, invoice))
    if subscription_id(invoice):
        follow(account, "finalizing", invoice)
    if not subscription_id(invoice) and lacks_location(account, invoice):
        fail_finalization(account, invoice)
    elif invoice["status"] == "draft" and invoice["auto_advance"]:
        finalize(account, invoice)
        collect(account, invoice)


def _deliveries(account: Account, invoice: Json) -> list[Json]:
    """The webhooks that tell of a draft."""
    found = [account.find("_delivery", one) for one in invoice.get("_told") or []]
    return [delivery for delivery in found if delivery is not None]


def _refused(account: Account, invoice: Json) -> bool:
    """Whether an endpoint was told of a draft and has not answered well yet.

    One that was not even asked does not hold it up: a moved clock leaves no time to ask.
    """
    return any(one["status"] == "waiting" and one["attempts"] for one in _deliveries(account, invoice))


def _delivered_at(account: Account, invoice: Json) -> int | None:
    """The time at which everybody has heard of a draft, or None."""
    told = _deliveries(account, invoice)
    return account.clock.now_s() if told and all(one["status"] == "delivered" for one in told) else None


def _tell_upcoming(account: Account, subscription_id_: str) -> None:
    """A renewal is some days away."""
    subscription, days = account.find("subscription", subscription_id_), rules(account)["upcoming_days"]
    if subscription is None or days is None or subscription["status"] in (*ENDED, "incomplete", "paused"):
        return
    left = current_period(subscription)[1] - account.clock.now_s()
    row = upcoming(account, subscription) if 0 < left <= days * DAY_S else None
    if row is not None:
        emit(account, "invoice.upcoming", row)


def _when_open(account: Account, invoice_id: str) -> Json | None:
    """The invoice while it is neither paid nor closed."""
    invoice = account.find("invoice", invoice_id)
    return invoice if invoice is not None and invoice["status"] == "open" else None


def _tell_will_be_due(account: Account, invoice_id: str) -> None:
    if (invoice := _when_open(account, invoice_id)) is not None:
        emit(account, "invoice.will_be_due", invoice)


def _tell_overdue(account: Account, invoice_id: str) -> None:
    if (invoice := _when_open(account, invoice_id)) is not None:
        emit(account, "invoice.overdue", invoice)


def _fall_due(account: Account, invoice_id: str) -> None:
    """An invoice was not paid by its due date: its subscription owes."""
    if (invoice := _when_open(account, invoice_id)) is not None:
        follow(account, "due", invoice)


DEEDS |= {
    "invoice.due": _fall_due,
    "invoice.finalize": _finalize_when_due,
    "invoice.overdue": _tell_overdue,
    "invoice.will_be_due": _tell_will_be_due,
    "subscription.upcoming": _tell_upcoming,
}
