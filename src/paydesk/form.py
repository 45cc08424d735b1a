"""Paying an order on a page of one's own: what Stripe's Payment Element is shown with, and the intent that it confirms.

Showing makes nothing. The intent is made when the buyer presses: one for each order, for the order's own amount. An
open Checkout session of the order is closed before, so that nobody can pay it twice. Card data never comes here.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

from paydesk import calls, checkout, inbox, payments, sessions, subscribing
from paydesk.catalog import Catalog
from paydesk.clock import Clock
from paydesk.config import STRIPE_API_BASE, Settings
from paydesk.errors import Conflict, StripeUnavailable
from paydesk.store import Record, Store
from paydesk.stripe.gateway import Gateway

Ordered = Record | Mapping[str, Any]
"""A row of an order, or what one would say."""

STATES = {"expired": "open", "fulfilled": "paid", "partially_refunded": "paid"}
"""Statuses of an order that its buyer sees as another."""

STRIPE_JS = "https://js.stripe.com/v3/"
TRIES = 3
UNDER_WAY = """
SELECT EXISTS (SELECT FROM payment p JOIN stripe_call c ON c.object_id = p.id AND c.subject = p.order_id
               WHERE p.order_id = $1 AND p.status IN ('processing', 'requires_capture'))
"""
MADE = "SELECT object_id FROM stripe_call WHERE subject = $1 AND kind = 'subscription' AND state = 'done' LIMIT 1"


@dataclass(frozen=True, slots=True)
class Ready:
    """What came of pressing: the secret that Stripe.js confirms, or `None` where `state` is not `open` any more."""

    state: str
    client_secret: str | None = None


def publishable_key(settings: Settings) -> str | None:
    """Return the key that Stripe.js is started with, which is never a secret one; the sandbox takes any.

    Without one there is no form.
    """
    if settings.stripe_publishable_key is not None:
        return settings.stripe_publishable_key
    return "pk_test_sandbox" if settings.sandbox else None


def stripe_js(settings: Settings) -> str:
    """Return the address of Stripe.js: Stripe's own, or the sandbox's."""
    return STRIPE_JS if settings.stripe_api_base == STRIPE_API_BASE else f"{settings.stripe_api_base}/v3/"


def as_ordered(line: checkout.Line, amount: int) -> dict[str, Any]:
    """Return what an order for one line of the catalogue would say of how it is paid, before there is one."""
    price = line.price
    repeats = price is not None and price.interval is not None
    return {
        "mode": "subscription" if repeats else "payment",
        "amount": amount,
        "currency": line.currency,
        "payment_methods": line.product.payment_methods if line.product is not None else None,
        "save_card": False,
        "capture": "automatic",
        "metadata": {},
        "trial_days": price.trial_days if price is not None and price.trial_days else None,
    }


def hosted_only(order: Ordered, settings: Settings) -> bool:
    """Say whether an order can be paid on Stripe's page alone: a bill, a trial, a discount, or nothing to pay.

    Those ask for what Checkout does: a bill has its page, a trial wants the card first, a discount is Checkout's.
    """
    discount = sessions.COUPON in order["metadata"] or sessions.CODE in order["metadata"]
    trial = order["trial_days"] is not None
    return publishable_key(settings) is None or order["mode"] == "invoice" or discount or trial or order["amount"] == 0


def elements(order: Ordered) -> dict[str, Any]:
    """Return what Stripe's Elements are begun with before there is an intent: the same that the intent will say."""
    given: dict[str, Any] = {"mode": order["mode"], "amount": order["amount"], "currency": order["currency"]}
    if order["payment_methods"]:
        given["paymentMethodTypes"] = list(order["payment_methods"])
    if order["mode"] == "subscription":
        return given
    if order["save_card"]:
        given["setupFutureUsage"] = "off_session"
    if order["capture"] == "manual":
        given["captureMethod"] = "manual"
    return given


def intent_first(order: Ordered) -> bool:
    """Say whether the intent is made before the element is shown: BLIK cannot be offered without one."""
    return "blik" in (order["payment_methods"] or ())


async def state_of(store: Store, order: Record) -> str:
    """Return how an order stands to its buyer: `open`, `pending`, `paid`, `canceled`, `refunded` or `disputed`."""
    status: str = order["status"]
    state = STATES.get(status, status)
    return "pending" if state == "open" and await store.fetchval(UNDER_WAY, order["id"]) else state


async def press(store: Store, gateway: Gateway, catalog: Catalog, order_id: str, *, public_url: str) -> Ready:
    """Return what Stripe.js needs to take the payment of an order; pressed again, it is the same intent.

    Raises `Conflict` when the person has the subscription already, `StripeRefused` or `StripeUnavailable`.
    """
    for _ in range(TRIES):
        order = await checkout.get(store, order_id)
        state = await state_of(store, order)
        if state != "open":
            return Ready(state)
        if not await _closed(store, gateway, order, public_url):
            return Ready("pending")
        try:
            secret = await _secret(store, gateway, catalog, order)
        except Conflict as changed:
            if changed.code != "changed":
                raise
            continue
        # Without a secret there is nothing to confirm: a credit has paid the bill, or Stripe let the intent go.
        return Ready("open", secret) if secret else Ready("pending" if order["mode"] == "subscription" else "canceled")
    raise StripeUnavailable("this order is being opened on Stripe's page just now: try again")


async def _closed(store: Store, gateway: Gateway, order: Record, public_url: str) -> bool:
    """Let nobody pay an order on Stripe's page any more; `False` when somebody just has."""
    if await calls.pending(store, "session", order["id"]) is not None:  # asked for, and never heard of: have it first
        await checkout.open_session(store, gateway, order["id"], public_url=public_url)
        order = await checkout.get(store, order["id"])
    if order["session"] is None or order["session_status"] == "expired":
        return True
    if await checkout.close_session(gateway, order["session"]) != "complete":
        return True
    return bool(order["session_payment_status"] == "failed")


async def _secret(store: Store, gateway: Gateway, catalog: Catalog, order: Record) -> str | None:
    if order["mode"] == "subscription":
        return (await subscribing.make(store, gateway, catalog, order["id"], subscribing.Ask())).client_secret
    future = "off_session" if order["save_card"] else None
    made = await payments.make(store, gateway, order["id"], payments.Ask(future_usage=future))
    return made.secret


async def look(store: Store, gateway: Gateway, clock: Clock, order: Record) -> None:
    """Ask Stripe how the payment of an order stands, so that its buyer need not wait for the webhook."""
    if order["mode"] != "subscription":
        await payments.look(store, gateway, order["id"])
        return
    subscription = await store.fetchval(MADE, order["id"])
    if subscription is None:
        return
    lane = inbox.lane_of(str(order["stripe_customer"]))
    name = f"form:{order['id']}:{int(clock.now().timestamp()) // 2}"
    seen = inbox.look_again("subscription", subscription, lane, name, livemode=gateway.livemode)
    await store.run(lambda tx: inbox.put(tx, [seen]))
