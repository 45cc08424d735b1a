"""Subscriptions and invoices, as they were found by a look: always in the newest shape, which our own requests ask for.

An event about one of them says only where to look, so that order, number and API version of the events do not matter.
"""

from __future__ import annotations

import calendar
from collections.abc import Mapping
from datetime import UTC, datetime
from typing import NamedTuple

from paydesk import clock
from paydesk.facts import InvoiceIs, ItemIs, LineIs, PaidBy, SubscriptionIs
from paydesk.stripe import shapes
from paydesk.stripe.shapes import Object, Shape

PRICE_KEY = "paydesk_price"
"""The metadata key under which a price that we pushed, or a subscription that we made, names the catalogue's price."""

STATUSES = ("incomplete", "incomplete_expired", "trialing", "active", "past_due", "unpaid", "paused", "canceled")
INVOICE_STATUSES = ("draft", "open", "paid", "void", "uncollectible")
FIRST = "subscription_create"
ASKED_FOR = "authentication_required"
"""The code of a payment that waits for the buyer, whose bank wants them to confirm it."""


class Ours(NamedTuple):
    """Whose a payment is: the order or the invoice that it pays, and the Stripe customer where that has to be known."""

    order: str
    stripe_customer: str | None = None


def subscription_of(event_object: Object) -> str | None:
    """Return the subscription that an invoice belongs to, in any API version; `None` for one that belongs to none."""
    parent = event_object.get("parent")
    details = parent.get("subscription_details") if isinstance(parent, Mapping) else None
    if isinstance(details, Mapping):
        return shapes.id_of(details, "subscription")
    return shapes.id_of(event_object, "subscription")


def subscription_is(found: Object, at: datetime) -> SubscriptionIs:
    """Return the fact in a look at a subscription or invoice: `{subscription, invoices, asked_at}`; raises `Shape`."""
    of = found["subscription"]
    order = shapes.reference(of)
    pause = of.get("pause_collection")
    changes = _next_phase(of.get("schedule"))
    newest = _newest_cycle(found)
    method = of.get("default_payment_method")
    return SubscriptionIs(
        at=at,
        subscription=shapes.text(of, "id"),
        order=order,
        stripe_customer=shapes.id_of(of, "customer") or "",
        status=shapes.one_of(of, "status", STATUSES),
        items=tuple(_item(of, item) for item in of["items"]["data"]),
        started_at=clock.from_unix(shapes.number(of, "start_date")),
        trial_end=_moment(of, "trial_end"),
        cancel_at=_cancel_at(of),
        ended_at=_moment(of, "ended_at"),
        paused=shapes.words(pause, "behavior") if isinstance(pause, Mapping) else None,
        resumes_at=_moment(pause, "resumes_at") if isinstance(pause, Mapping) else None,
        payment_method=shapes.id_of(of, "default_payment_method"),
        card_ends_at=_card_end(method) if isinstance(method, Mapping) else None,
        asked_at=found["asked_at"],
        invoices=tuple(_invoice(invoice, order) for invoice in found["invoices"] if invoice.get("status") != "draft"),
        changes_at=None if changes is None else clock.from_unix(changes["start_date"]),
        changes_to=() if changes is None else _prices(changes),
        ended_by=shapes.words(of.get("cancellation_details") or {}, "reason"),
        kept_since=None if newest is None else _kept_since(newest),
        saw_cycle=newest is not None,
    )


def paid_invoice(found: Object) -> Ours | None:
    """Return the first invoice of a look; `None` when the look found no subscription's invoice.

    Which order it bills is asked of our own rows: a reference in the subscription's metadata may be anybody's.
    """
    if not found or not found["invoices"]:
        return None
    invoice = found["invoices"][0]
    return Ours(shapes.text(invoice, "id"), shapes.id_of(invoice, "customer"))


def _order(invoice: Object, order: str | None) -> str:
    """Return the order an invoice is the bill of: the one that began the subscription, else the invoice itself."""
    first = invoice.get("billing_reason") == FIRST and order is not None
    return order if first and order is not None else shapes.text(invoice, "id")


def _cancel_at(of: Object) -> datetime | None:
    ends = [item["current_period_end"] for item in of["items"]["data"]] if of.get("cancel_at_period_end") else []
    return _moment(of, "cancel_at") or (clock.from_unix(max(ends)) if ends else None)


def _next_phase(schedule: object) -> Object | None:
    """Return the phase with other prices that a schedule, opened, goes on to; `None` where nothing changes any more."""
    current = schedule.get("current_phase") if isinstance(schedule, Mapping) else None
    if not isinstance(schedule, Mapping) or not isinstance(current, Mapping):
        return None
    phases = [one for one in schedule["phases"] if one["start_date"] >= current["start_date"]]
    later = [one for one in phases if _prices(one) != _prices(phases[0])]
    return min(later, key=lambda one: int(one["start_date"]), default=None)


def _prices(phase: Object) -> tuple[tuple[str, int], ...]:
    """Return the Stripe prices of a phase, each with how many of it."""
    return tuple(sorted((shapes.id_of(item, "price") or "", item.get("quantity") or 1) for item in phase["items"]))


def _newest_cycle(found: Object) -> Object | None:
    """Return the subscription's newest invoice, if it is among what was found and bills a cycle from its beginning."""
    newest = shapes.id_of(found["subscription"], "latest_invoice")
    seen = (one for one in found["invoices"] if one.get("id") == newest)
    return next((one for one in seen if _cycle_starts(one)), None)


def _cycle_starts(invoice: Object) -> list[datetime]:
    """Return when the cycles begin that an invoice bills, not changes in the middle of one."""
    lines = map(_line, invoice["lines"]["data"])
    return [line.start for line in lines if line.item is not None and not line.proration]


def _kept_since(invoice: Object) -> datetime | None:
    """Return when the cycle began whose bill stays a draft, until somebody sends it by hand; `None` for any other bill."""
    kept = invoice.get("status") == "draft" and invoice.get("auto_advance") is False
    return min(_cycle_starts(invoice)) if kept else None


def _item(of: Object, item: Object) -> ItemIs:
    price = item["price"]
    quantity = 1 if item.get("quantity") is None else item["quantity"]
    each = price.get("unit_amount")
    named = price.get("metadata") or {}
    inherited = (of.get("metadata") or {}).get(PRICE_KEY) if len(of["items"]["data"]) == 1 else None
    return ItemIs(
        id=shapes.text(item, "id"),
        price=shapes.text(price, "id"),
        key=named.get(PRICE_KEY),
        inherited=inherited,
        quantity=quantity,
        start=clock.from_unix(shapes.number(item, "current_period_start")),
        end=clock.from_unix(shapes.number(item, "current_period_end")),
        amount=each * quantity if type(each) is int else None,
        currency=shapes.text(price, "currency"),
    )


def _invoice(invoice: Object, order: str | None) -> InvoiceIs:
    times = invoice.get("status_transitions") or {}
    status = shapes.one_of(invoice, "status", INVOICE_STATUSES)
    return InvoiceIs(
        invoice=shapes.text(invoice, "id"),
        order=_order(invoice, order),
        status=status,
        billing_reason=shapes.text(invoice, "billing_reason"),
        total=shapes.number(invoice, "total"),
        currency=shapes.text(invoice, "currency"),
        paid_at=_moment(times, "paid_at") if status == "paid" else None,
        created_at=clock.from_unix(shapes.number(invoice, "created")),
        lines=tuple(_line(line) for line in invoice["lines"]["data"]),
        payments=tuple(_payments(invoice)),
        attempts=invoice.get("attempt_count") or 0,
        next_attempt_at=_moment(invoice, "next_payment_attempt"),
        url=shapes.words(invoice, "hosted_invoice_url"),
        due_at=_moment(invoice, "due_date"),
        credited_before=invoice.get("pre_payment_credit_notes_amount") or 0,
        credited=invoice.get("post_payment_credit_notes_amount") or 0,
    )


def _line(line: Object) -> LineIs:
    """Read a line. What a proration bills follows from its period, not from amounts: those know of coupons and rounding."""
    parent = line.get("parent") or {}
    details = parent.get("subscription_item_details") or parent.get("invoice_item_details") or {}
    pricing = line.get("pricing") or {}
    quantity = line.get("quantity")
    period = line["period"]
    return LineIs(
        id=shapes.text(line, "id"),
        item=shapes.id_of(details, "subscription_item"),
        price=shapes.id_of(pricing.get("price_details") or {}, "price"),
        quantity=1 if quantity is None else quantity,
        amount=shapes.number(line, "amount"),
        proration=bool(details.get("proration")),
        start=clock.from_unix(shapes.number(period, "start")),
        end=clock.from_unix(shapes.number(period, "end")),
    )


def _payments(invoice: Object) -> list[PaidBy]:
    found = []
    for one in (invoice.get("payments") or {}).get("data", ()):
        intent = (one.get("payment") or {}).get("payment_intent")
        if isinstance(intent, Mapping):
            found.append(_paid_by(one, intent))
    return found


def _paid_by(one: Object, intent: Object) -> PaidBy:
    """Read a payment: it is paid when the invoice counts it, whatever else its intent has been through."""
    paid = one.get("status") == "paid"
    asked_for = intent.get("status") == "requires_action" and not paid
    error = intent.get("last_payment_error")
    failure: Object = error if isinstance(error, Mapping) and not paid else {}
    status = "succeeded" if paid else _INTENT_STATUS.get(str(intent.get("status")), "failed" if failure else "open")
    times = one.get("status_transitions") or {}
    return PaidBy(
        intent=shapes.text(intent, "id"),
        status=status,
        amount=shapes.number(one, "amount_paid") if paid else shapes.number(intent, "amount"),
        currency=shapes.text(intent, "currency"),
        charge=shapes.latest_charge(intent) if paid else None,
        failure_code=ASKED_FOR if asked_for else shapes.words(failure, "decline_code") or shapes.words(failure, "code"),
        failure_message=shapes.words(failure, "message"),
        paid_at=_moment(times, "paid_at") if paid else None,
    )


_INTENT_STATUS = {"processing": "processing", "requires_capture": "requires_capture", "canceled": "canceled"}


def _card_end(method: Object) -> datetime | None:
    """Return when a card ends: with the last day of its month."""
    card = method.get("card")
    if not isinstance(card, Mapping) or type(card.get("exp_month")) is not int or type(card.get("exp_year")) is not int:
        return None
    year, month = card["exp_year"], card["exp_month"]
    if not (1 <= month <= 12 and 2000 <= year <= 9000):
        raise Shape("card has an end that is no month")
    last = calendar.monthrange(year, month)[1]
    return datetime(year, month, last, 23, 59, 59, tzinfo=UTC)


def _moment(of: Object, name: str) -> datetime | None:
    value = of.get(name)
    return clock.from_unix(value) if type(value) is int else None
