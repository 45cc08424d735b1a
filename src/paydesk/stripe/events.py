"""THE table: which event types we listen to, why, and what fact each tells.

A reader gets the event's object and the event's own time, and returns a fact, or says why there is none. What is not
in the table is stored and marked `ignored`, so that it can be replayed the day it is.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping
from datetime import datetime
from typing import Any

from paydesk import clock
from paydesk.facts import ChargeIs, Ignored, Impossible, IntentIs, Look, Reading, SessionIs
from paydesk.stripe import shapes
from paydesk.stripe.shapes import Object

FOREIGN = Ignored("foreign: not an order of ours")
Looked = Mapping[Look, Mapping[str, Any]]
"""What was found at Stripe for the looks that readers asked for."""

Reader = Callable[[str, Object, datetime, Looked], Reading]


def read(event: Object, looked: Looked | None = None) -> Reading:
    """Return what an event tells: a fact, a look that is needed first, or why there is nothing to do.

    Never raises for a malformed event: that is `Impossible`, and a person will see it.
    """
    kind = str(event.get("type"))
    reader = TABLE.get(kind)
    if reader is None:
        return Ignored(f"unhandled type {kind}"[:200])
    try:
        data = event.get("data")
        if not isinstance(data, Mapping) or not isinstance(data.get("object"), Mapping):
            raise shapes.Shape("event has no data.object")
        at = clock.from_unix(shapes.number(event, "created"))
        return reader(kind, data["object"], at, looked or {})
    except (shapes.Shape, OverflowError, OSError, ValueError) as error:
        return Impossible(f"{kind}: {error}"[:400])


def _session(kind: str, session: Object, at: datetime, _looked: Looked) -> Reading:
    order = shapes.reference(session)
    if order is None or session.get("mode", "payment") != "payment":
        return FOREIGN
    return SessionIs(
        at=at,
        session=shapes.text(session, "id"),
        order=order,
        status=shapes.text(session, "status"),
        payment_status=shapes.text(session, "payment_status"),
        intent=shapes.id_of(session, "payment_intent"),
        stripe_customer=shapes.id_of(session, "customer"),
        amount=shapes.number(session, "amount_total"),
        currency=shapes.text(session, "currency"),
        failed=kind.endswith("async_payment_failed"),
    )


def _intent(kind: str, intent: Object, at: datetime, _looked: Looked) -> Reading:
    order = shapes.reference(intent)
    if order is None:
        return FOREIGN
    error = intent.get("last_payment_error")
    failure: Object = error if isinstance(error, Mapping) else {}
    failed = kind.endswith("payment_failed")
    return IntentIs(
        at=at,
        intent=shapes.text(intent, "id"),
        order=order,
        status=_STATUS[kind],
        stripe_customer=shapes.id_of(intent, "customer"),
        amount=shapes.number(intent, "amount_received" if kind.endswith("succeeded") else "amount"),
        currency=shapes.text(intent, "currency"),
        charge=shapes.latest_charge(intent) if not failed else None,
        failure_code=(shapes.words(failure, "decline_code") or shapes.words(failure, "code")) if failed else None,
        failure_message=shapes.words(failure, "message") if failed else None,
    )


def _charge(_kind: str, charge: Object, at: datetime, looked: Looked) -> Reading:
    """Read a charge. It copies its intent's metadata when it is made; when it has none, the intent itself is asked."""
    intent = shapes.id_of(charge, "payment_intent")
    if intent is None:
        return FOREIGN
    if charge.get("status") != "succeeded" or not charge.get("captured", True):
        return Ignored("a charge that has not succeeded: its intent tells the rest")
    order = shapes.reference(charge)
    if order is None:
        look = Look("payment_intent", intent)
        if look not in looked:
            return look
        order = shapes.reference(looked[look])
    if order is None:
        return FOREIGN
    brand, last4 = shapes.card(charge)
    return ChargeIs(
        at=at,
        charge=shapes.text(charge, "id"),
        order=order,
        intent=intent,
        stripe_customer=shapes.id_of(charge, "customer"),
        amount=shapes.number(charge, "amount"),
        currency=shapes.text(charge, "currency"),
        balance_transaction=shapes.id_of(charge, "balance_transaction"),
        card_brand=brand,
        card_last4=last4,
    )


_STATUS = {
    "payment_intent.succeeded": "succeeded",
    "payment_intent.payment_failed": "failed",
    "payment_intent.canceled": "canceled",
}

TABLE: dict[str, Reader] = {
    "checkout.session.completed": _session,  # the buyer finished the page; the money may still be on its way
    "checkout.session.async_payment_succeeded": _session,  # a slow method has paid
    "checkout.session.async_payment_failed": _session,  # a slow method has not
    "checkout.session.expired": _session,  # nobody paid in time: the link may open a fresh one
    "payment_intent.succeeded": _intent,  # the money is there, whether or not the session's event arrives
    "payment_intent.payment_failed": _intent,  # a try was refused: the buyer is told once
    "payment_intent.canceled": _intent,  # nobody can pay this one any more
    "charge.succeeded": _charge,  # the card, for the receipt; and a third way to hear that it is paid
    "charge.updated": _charge,  # comes once the fee is known (balance transaction)
}
