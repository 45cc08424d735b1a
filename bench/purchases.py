"""Purchases up to the moment at which Stripe tells of them: orders in the database, and the events to come.

Orders are copies of one that the service's own `create_order` made, so they have whatever an order has.
"""

import json
import logging
import secrets
import time
from collections.abc import AsyncIterator, Iterator, Mapping, Sequence
from contextlib import asynccontextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from bench import stripe_events
from paydesk import checkout, customers, ids
from paydesk.app import open_service
from paydesk.config import load
from paydesk.customers import Identity, Thread
from paydesk.service import Service
from paydesk.store import Store, Tx

PRODUCT = "credits-10"
CHANNEL = "web"

ALONE = ("payment_intent.succeeded",)
TRIO = ("payment_intent.succeeded", "charge.succeeded", "checkout.session.completed")  # as Stripe sends them, mostly


@dataclass(frozen=True)
class Buyer:
    """Somebody who buys: our id, Stripe's, and the id in the web chat (which is the cookie's value)."""

    id: str
    stripe_customer: str
    visitor: str


@dataclass(frozen=True)
class Purchase:
    """An open order with a session at Stripe, and the ids that its events will name."""

    order: str
    buyer: Buyer
    session: str
    intent: str
    amount: int
    currency: str


def quiet_logs() -> None:
    """Log errors only: that Stripe does not answer is meant."""
    logging.getLogger("paydesk").setLevel(logging.ERROR)


@asynccontextmanager
async def opened(env: Mapping[str, str], folder: Path) -> AsyncIterator[Service]:
    """Give the service, with nothing working in the background."""
    quiet_logs()
    async with open_service(load(env, folder=folder)) as service:
        yield service


# --- rows ------------------------------------------------------------------------------------------------------------

MAKE_BUYERS = """
WITH made AS (
    INSERT INTO customer (id, stripe_customer) SELECT * FROM unnest($1::text[], $2::text[])
), met AS (
    INSERT INTO identity (channel, external_id, customer_id)
    SELECT $4, n.visitor, n.id FROM unnest($3::text[], $1::text[]) AS n (visitor, id)
)
INSERT INTO stripe_customer (id, customer_id) SELECT * FROM unnest($2::text[], $1::text[])
"""

COPY_ORDERS = """
INSERT INTO orders (id, customer_id, amount, currency, livemode, link_token, channel, external_id, metadata,
                    stripe_customer, session, session_url, session_status, session_expires_at, session_count)
SELECT n.id, n.customer, o.amount, o.currency, o.livemode, n.token, $2, n.visitor, o.metadata,
       n.stripe_customer, n.session, 'https://checkout.stripe.com/c/pay/' || n.session, 'open', now() + interval '1 d', 1
FROM orders o, unnest($3::text[], $4::text[], $5::text[], $6::text[], $7::text[], $8::text[])
    AS n (id, customer, token, visitor, stripe_customer, session)
WHERE o.id = $1
"""

COPY_LINES = """
INSERT INTO order_line (order_id, position, price_key, name, quantity, unit_amount, stripe_price)
SELECT n.id, l.position, l.price_key, l.name, l.quantity, l.unit_amount, l.stripe_price
FROM order_line l, unnest($2::text[]) AS n (id) WHERE l.order_id = $1
"""

COPY_SOURCES = """
INSERT INTO source (id, customer_id, order_id, kind, unit, terms)
SELECT replace(s.id, $1, n.id), n.customer, n.id, s.kind, s.unit, s.terms
FROM source s, unnest($2::text[], $3::text[]) AS n (id, customer) WHERE s.order_id = $1
"""


async def make_buyers(store: Store, count: int) -> list[Buyer]:
    """Make `count` people, each with a Stripe customer and a web chat."""
    buyers = [Buyer(ids.new("cst"), f"cus_{secrets.token_hex(7)}", secrets.token_urlsafe(24)) for _ in range(count)]
    columns = ([b.id for b in buyers], [b.stripe_customer for b in buyers], [b.visitor for b in buyers])
    await store.execute(MAKE_BUYERS, *columns, CHANNEL)
    return buyers


async def make_purchases(service: Service, buyers: Sequence[Buyer], count: int) -> list[Purchase]:
    """Make `count` orders of ten credits, by one buyer after the other, over and over."""
    model = await _model(service)
    row = await checkout.get(service.store, model)
    purchases = [
        Purchase(ids.new("ord"), buyers[number % len(buyers)], f"cs_test_{secrets.token_hex(29)}",
                 f"pi_3{secrets.token_hex(11)}", row["amount"], row["currency"])
        for number in range(count)
    ]  # fmt: skip

    async def work(tx: Tx) -> None:
        orders, people = [p.order for p in purchases], [p.buyer.id for p in purchases]
        await tx.execute(
            COPY_ORDERS, model, CHANNEL, orders, people, [ids.token() for _ in purchases],
            [p.buyer.visitor for p in purchases], [p.buyer.stripe_customer for p in purchases],
            [p.session for p in purchases],
        )  # fmt: skip
        await tx.execute(COPY_LINES, model, orders)
        await tx.execute(COPY_SOURCES, model, orders, people)

    await service.store.run(work)
    return purchases


async def _model(service: Service) -> str:
    """Return an order that the service made itself."""
    visitor = secrets.token_urlsafe(24)
    customer = await customers.find_or_make(service.store, Identity(CHANNEL, visitor))
    line = checkout.line_of(service.catalog, PRODUCT, 1)
    new = checkout.NewOrder(customer, (line,), Thread(CHANNEL, visitor, None))
    return await checkout.create_order(service.store, new, livemode=False)


# --- events ----------------------------------------------------------------------------------------------------------

_ADDRESS = {"city": None, "country": "US", "line1": None, "line2": None, "postal_code": "97477", "state": None}


def bodies(purchases: Sequence[Purchase], kinds: Sequence[str]) -> Iterator[bytes]:
    """Yield the events of these kinds for each purchase, one purchase after the other."""
    make = {"payment_intent.succeeded": _intent, "charge.succeeded": _charge, "checkout.session.completed": _session}
    now_s = int(time.time())
    for purchase in purchases:
        for kind in kinds:
            yield _event(kind, make[kind](purchase, now_s), now_s)


def _event(kind: str, about: dict[str, Any], now_s: int) -> bytes:
    event = {
        "id": f"evt_3{secrets.token_hex(11)}",
        "object": "event",
        "api_version": stripe_events.API_VERSION,
        "created": now_s,
        "data": {"object": about},
        "livemode": False,
        "pending_webhooks": 1,
        "request": {"id": f"req_{secrets.token_hex(7)}", "idempotency_key": secrets.token_hex(16)},
        "type": kind,
    }
    return json.dumps(event, indent=2).encode()


def _money(purchase: Purchase, now_s: int) -> dict[str, Any]:
    metadata = {"paydesk_order": purchase.order, "paydesk_attempt": "1"}
    return {"created": now_s, "currency": purchase.currency, "customer": purchase.buyer.stripe_customer,
            "livemode": False, "metadata": metadata}  # fmt: skip


def _intent(purchase: Purchase, now_s: int) -> dict[str, Any]:
    """The same intent as elsewhere in these benchmarks, about this purchase."""
    charge = purchase.intent.replace("pi_", "ch_")
    own = {
        "id": purchase.intent,
        "amount": purchase.amount,
        "amount_received": purchase.amount,
        "latest_charge": charge,
    }
    return {**stripe_events.PAYMENT_INTENT, **own, **_money(purchase, now_s)}


def _charge(purchase: Purchase, now_s: int) -> dict[str, Any]:
    card = {"amount_authorized": purchase.amount, "brand": "visa", "checks": {"cvc_check": "pass"}, "country": "US",
            "exp_month": 12, "exp_year": 2034, "fingerprint": "Xt5EWLLDS7FJjR1c", "funding": "credit",
            "last4": "4242", "network": "visa", "three_d_secure": None, "wallet": None}  # fmt: skip
    return {
        "id": purchase.intent.replace("pi_", "ch_"),
        "object": "charge",
        "amount": purchase.amount,
        "amount_captured": purchase.amount,
        "amount_refunded": 0,
        "balance_transaction": purchase.intent.replace("pi_", "txn_"),
        "billing_details": {"address": _ADDRESS, "email": "buyer@example.com", "name": "A Buyer", "phone": None},
        "captured": True,
        "description": None,
        "disputed": False,
        "failure_code": None,
        "failure_message": None,
        "fraud_details": {},
        "outcome": {"network_status": "approved_by_network", "risk_level": "normal", "risk_score": 12,
                    "seller_message": "Payment complete.", "type": "authorized"},
        "paid": True,
        "payment_intent": purchase.intent,
        "payment_method": purchase.intent.replace("pi_", "pm_"),
        "payment_method_details": {"card": card, "type": "card"},
        "receipt_email": None,
        "receipt_url": f"https://pay.stripe.com/receipts/payment/{purchase.intent}",
        "refunded": False,
        "shipping": None,
        "status": "succeeded",
        "transfer_data": None,
        **_money(purchase, now_s),
    }  # fmt: skip


def _session(purchase: Purchase, now_s: int) -> dict[str, Any]:
    return {
        "id": purchase.session,
        "object": "checkout.session",
        "adaptive_pricing": {"enabled": True},
        "allow_promotion_codes": None,
        "amount_subtotal": purchase.amount,
        "amount_total": purchase.amount,
        "automatic_tax": {"enabled": False, "liability": None, "status": None},
        "billing_address_collection": None,
        "cancel_url": "https://pay.example.com/r/token",
        "client_reference_id": purchase.order,
        "consent": None,
        "custom_fields": [],
        "custom_text": {"after_submit": None, "shipping_address": None, "submit": None},
        "customer_creation": None,
        "customer_details": {"address": _ADDRESS, "email": "buyer@example.com", "name": "A Buyer", "tax_ids": []},
        "expires_at": now_s + 86_400,
        "invoice": None,
        "locale": None,
        "mode": "payment",
        "payment_intent": purchase.intent,
        "payment_link": None,
        "payment_method_options": {"card": {"request_three_d_secure": "automatic"}},
        "payment_method_types": ["card", "ideal", "link"],
        "payment_status": "paid",
        "phone_number_collection": {"enabled": False},
        "presentment_details": {"presentment_amount": purchase.amount, "presentment_currency": purchase.currency},
        "setup_intent": None,
        "shipping_options": [],
        "status": "complete",
        "submit_type": None,
        "subscription": None,
        "success_url": "https://pay.example.com/r/token",
        "total_details": {"amount_discount": 0, "amount_shipping": 0, "amount_tax": 0},
        "ui_mode": "hosted",
        "url": None,
        **_money(purchase, now_s),
    }
