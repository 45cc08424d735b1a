"""Many orders and the events that tell of their payment, without a Stripe to wait for."""

from __future__ import annotations

import asyncio
import json
import secrets
import time
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

from paydesk import checkout, customers
from paydesk.customers import Identity, Thread
from paydesk.service import Service

KINDS = ("checkout.session.completed", "payment_intent.succeeded", "charge.succeeded")
PRODUCT, AMOUNT, CURRENCY = "credits-10", 999, "usd"
AT_ONCE = 8


@dataclass(frozen=True)
class Bought:
    """An order and what Stripe calls its buyer."""

    order: str
    stripe_customer: str

    @property
    def _tail(self) -> str:
        return self.order.removeprefix("ord_")

    def event(self, kind: str) -> tuple[str, bytes]:
        """Return an event's id and body; the same each time it is asked for."""
        id_ = f"evt_{KINDS.index(kind)}{self._tail}"
        event = {
            "id": id_, "object": "event", "api_version": "2026-10-28.endive", "created": _NOW, "livemode": False,
            "type": kind, "data": {"object": self._object(kind)},
        }  # fmt: skip
        return id_, json.dumps(event).encode()

    def _object(self, kind: str) -> dict[str, Any]:
        intent, charge = f"pi_{self._tail}", f"ch_{self._tail}"
        base = {"metadata": {"paydesk_order": self.order}, "customer": self.stripe_customer, "currency": CURRENCY}
        if kind == KINDS[0]:
            return {
                **base, "id": f"cs_{self._tail}", "object": "checkout.session", "mode": "payment",
                "client_reference_id": self.order, "status": "complete", "payment_status": "paid",
                "payment_intent": intent, "amount_total": AMOUNT,
            }  # fmt: skip
        if kind == KINDS[1]:
            return {
                **base, "id": intent, "object": "payment_intent", "status": "succeeded", "amount": AMOUNT,
                "amount_received": AMOUNT, "latest_charge": charge,
            }  # fmt: skip
        return {
            **base, "id": charge, "object": "charge", "status": "succeeded", "captured": True, "amount": AMOUNT,
            "payment_intent": intent, "balance_transaction": f"txn_{self._tail}",
            "payment_method_details": {"type": "card", "card": {"brand": "visa", "last4": "4242"}},
        }  # fmt: skip


_NOW = int(time.time())


def events_of(bought: Sequence[Bought]) -> dict[str, bytes]:
    """Return all events of these orders by id."""
    return dict(one.event(kind) for one in bought for kind in KINDS)


async def buy(service: Service, orders: int, people: int) -> list[Bought]:
    """Write orders of so many people, each with its Checkout session open.

    Each order has a Stripe customer of its own, so that one person's events lie in many lanes and workers meet.
    """
    ids = [await _person(service) for _ in range(people)]
    made: list[Bought] = []
    for start in range(0, orders, AT_ONCE):
        numbers = range(start, min(start + AT_ONCE, orders))
        made += await asyncio.gather(*(_order(service, ids[number % people]) for number in numbers))
    await service.store.execute(
        "UPDATE orders o SET stripe_customer = c.stripe_customer, session = replace(o.id, 'ord_', 'cs_'), "
        "session_status = 'open', session_payment_status = 'unpaid', session_count = 1 "
        "FROM unnest($1::text[], $2::text[]) AS c (id, stripe_customer) WHERE o.id = c.id",
        [one.order for one in made],
        [one.stripe_customer for one in made],
    )
    return made


async def _person(service: Service) -> str:
    return await customers.find_or_make(service.store, Identity("web", secrets.token_hex(8)))


async def _order(service: Service, person: str) -> Bought:
    line = checkout.line_of(service.catalog, PRODUCT, 1)
    new = checkout.NewOrder(person, (line,), Thread("web", person, None))
    order = await checkout.create_order(service.store, new, livemode=False)
    return Bought(order, order.replace("ord_", "cus_"))
