"""How things are shown: by the API, and in the events that are sent to other programs. One shape for both."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from datetime import datetime
from typing import Any

from paydesk import subscriptions
from paydesk.case import Dispute, Refund
from paydesk.clock import iso
from paydesk.entitlements import Access
from paydesk.ledger import Hold
from paydesk.store import Record
from paydesk.subscriptions import UNPAID, Bill, Invoice, Standing, Subscription

MONEY = "money:"
"""How the ledger begins the units of money."""


# --- orders and what pays them ---------------------------------------------------------------------------------------


def order(row: Record, lines: Sequence[Record]) -> dict[str, Any]:
    """Show an order, without where it can be paid."""
    return {
        "id": row["id"],
        "status": row["status"],
        "customer": row["customer_id"],
        "items": [
            {
                "price": line["price_key"],
                "name": line["name"],
                "quantity": line["quantity"],
                "amount": line["unit_amount"],
            }
            for line in lines
        ],
        "amount": row["amount"],
        "currency": row["currency"],
        "session": row["session"],
        "conversation": row["conversation"],
        "metadata": row["metadata"],
        "livemode": row["livemode"],
        "created_at": iso(row["created_at"]),
        "paid_at": iso(row["paid_at"]),
        "canceled_at": iso(row["canceled_at"]),
    }


@dataclass(frozen=True, slots=True)
class Payment:
    """A payment as it is now. `status` is the intent's at Stripe; `secret` lets the buyer's page go on with it.

    `fee` and `net` (of everything that happened to it so far) are in `settled_in`, `None` until Stripe has told them.
    """

    id: str
    order: str
    customer: str
    status: str
    amount: int
    currency: str
    amount_capturable: int
    amount_received: int
    amount_refunded: int
    capture: str
    secret: str | None
    next_action: Mapping[str, Any] | None
    failure_code: str | None
    failure_message: str | None
    card_brand: str | None
    card_last4: str | None
    fee: int | None
    net: int | None
    settled_in: str | None
    metadata: dict[str, str]
    livemode: bool
    created_at: datetime


def payment(of: Payment) -> dict[str, Any]:
    """Show a payment. `client_secret` is there while it can still be paid; fee and net once Stripe has told them."""
    failure = None if of.failure_message is None else {"code": of.failure_code, "message": of.failure_message}
    return {
        "id": of.id,
        "object": "payment",
        "order": of.order,
        "customer": of.customer,
        "status": of.status,
        "amount": of.amount,
        "currency": of.currency,
        "amount_capturable": of.amount_capturable,
        "amount_received": of.amount_received,
        "amount_refunded": of.amount_refunded,
        "capture_method": of.capture,
        "client_secret": of.secret,
        "next_action": of.next_action,
        "failure": failure,
        "card": None if of.card_last4 is None else {"brand": of.card_brand, "last4": of.card_last4},
        "fee": of.fee,
        "net": of.net,
        "settlement_currency": of.settled_in,
        "metadata": of.metadata,
        "livemode": of.livemode,
        "created_at": iso(of.created_at),
    }


def refund(of: Refund, order: str) -> dict[str, Any]:
    """Show a refund."""
    return {
        "id": of.id,
        "object": "refund",
        "payment": of.payment,
        "order": order,
        "amount": of.amount,
        "currency": of.currency,
        "status": of.status,
        "reason": of.reason,
        "failure_reason": of.failure_reason,
        "created_at": iso(of.created_at),
    }


def dispute(of: Dispute, order: str) -> dict[str, Any]:
    """Show a dispute."""
    return {
        "id": of.id,
        "object": "dispute",
        "payment": of.payment,
        "order": order,
        "amount": of.amount,
        "currency": of.currency,
        "status": of.status,
        "reason": of.reason,
        "evidence_due_at": iso(of.evidence_due_at),
        "created_at": iso(of.created_at),
    }


# --- subscriptions ---------------------------------------------------------------------------------------------------


@dataclass(frozen=True, slots=True)
class Planned:
    """A change of plan that waits for the end of the cycle it was asked in; `noted` is all that was written down of it."""

    key: str
    price: str
    quantity: int
    at: datetime
    noted: Mapping[str, Any] = field(default_factory=dict)


def planned_of(key: str, params: Mapping[str, Any]) -> Planned:
    """Return a written down change of plan."""
    return Planned(key, params["price"], params["quantity"], datetime.fromisoformat(params["at"]), params)


@dataclass(frozen=True, slots=True)
class Shown:
    """A subscription with its invoices, for how long it gives what it gives, and the change that waits, if any."""

    bill: Bill
    stands: Standing
    planned: Planned | None = None

    @property
    def own(self) -> Subscription:
        """Return the subscription itself."""
        return self.bill.subscription

    @property
    def pending(self) -> Planned | None:
        """Return the change that waits, if it is still asked from what runs: else it is given up, and never made."""
        planned, own = self.planned, self.own
        if planned is None or not own.live:
            return None
        was = planned.noted.get("from"), planned.noted.get("from_quantity")
        return planned if subscriptions.still_from(own, *was, planned.at) else None

    @property
    def newest(self) -> Invoice | None:
        """Return its newest invoice."""
        return max(self.bill.invoices.values(), key=subscriptions.age, default=None)

    @property
    def unpaid(self) -> Invoice | None:
        """Return the oldest invoice that still can be paid: paying it mends the subscription."""
        owed = [one for one in self.bill.invoices.values() if one.status in subscriptions.UNPAID]
        return min(owed, key=lambda one: (one.created_at, one.id), default=None)

    @property
    def name(self) -> str:
        """Return what it is a subscription of, for people."""
        names = (str(item.terms.get("name") or "") for item in self.own.items)
        return ", ".join(name for name in names if name) or "your subscription"


def subscription(of: Shown) -> dict[str, Any]:
    """Show a subscription: `until` is when what it gives ends, as far as is known, `grace_ends_at` while it is unpaid."""
    own, newest = of.own, of.newest
    return {
        "id": own.id,
        "object": "subscription",
        "status": own.status,
        "customer": own.customer,
        "order": own.order,
        "items": [
            {"price": one.key, "stripe_price": one.price, "product": one.terms.get("product"), "quantity": one.quantity,
             "current_period_start": iso(one.start), "current_period_end": iso(one.end)}
            for one in own.items
        ],
        "cancel_at": iso(own.cancel_at),
        "trial_end": iso(own.trial_end),
        "ended_at": iso(own.ended_at),
        "paused": own.paused is not None or own.status == "paused",
        "grace_ends_at": iso(of.stands.grace_ends),
        "until": iso(of.stands.until if of.stands.since is not None else own.started_at),
        "pending_change": _pending(of),
        "latest_invoice": None if newest is None else {
            "id": newest.id, "status": newest.status, "total": newest.total, "currency": newest.currency,
            "order": newest.order, "failure": newest.failure, "url": newest.url if newest.status in UNPAID else None,
        },
        "livemode": own.livemode,
        "created_at": iso(own.started_at),
    }  # fmt: skip


def _pending(of: Shown) -> dict[str, Any] | None:
    """Show the change of plan that waits, here or in a schedule at Stripe; `price` where the catalogue has it."""
    planned, own = of.pending, of.own
    if planned is not None:
        return {"price": planned.price, "stripe_price": None, "quantity": planned.quantity, "at": iso(planned.at)}
    if not own.live or own.changes_at is None or not own.changes_to:
        return None
    only = own.changes_to[0] if len(own.changes_to) == 1 else None
    return {
        "price": None if only is None else only.key, "stripe_price": None if only is None else only.price,
        "quantity": sum(one.quantity for one in own.changes_to), "at": iso(own.changes_at),
    }  # fmt: skip


# --- what people have ------------------------------------------------------------------------------------------------


def entry(row: Record) -> dict[str, Any]:
    """Show an entry of the ledger: of credits with their unit, of money with its currency."""
    money = row["unit"].startswith(MONEY)
    return {
        "id": str(row["id"]),
        "object": "ledger_entry",
        "type": row["reason"],
        "customer": row["customer_id"],
        "unit": None if money else row["unit"],
        "currency": row["unit"].removeprefix(MONEY) if money else None,
        "amount": row["amount"],
        "from": row["giver"],
        "to": row["taker"],
        "balance": row["balance_after"],
        "source": row["source"],
        "reason": row["memo"],
        "created_at": iso(row["at"]),
    }


def held(of: Hold, balance: int) -> dict[str, Any]:
    """Show a hold, with what its customer can spend besides."""
    return {
        "id": of.id,
        "object": "hold",
        "status": of.state,
        "customer": of.customer,
        "unit": of.unit,
        "amount": of.amount,
        "used": of.used,
        "reason": of.memo,
        "expires_at": iso(of.expires_at),
        "created_at": iso(of.created_at),
        "balance": balance,
    }


def entitlement(customer: str, feature: str, of: Access) -> dict[str, Any]:
    """Show whether somebody may have a feature, until when, and because of what."""
    return {
        "customer": customer,
        "feature": feature,
        "allowed": of.allowed,
        "until": iso(of.until),
        "because": list(of.because),
    }
