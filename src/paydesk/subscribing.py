"""Beginning a subscription without a Checkout page: under an order, with a saved way to pay, or with none yet.

The order names what is sold on the terms of today; the request is written down first and finds what it has made by the
order's id. The first invoice may be left unpaid, because there is no way to pay yet or the bank wants the buyer: then
the answer says where the buyer goes on.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from functools import partial
from typing import Any

from paydesk import (
    asking,
    audit,
    calls,
    changes,
    checkout,
    customers,
    fanout,
    inbox,
    payers,
    recurring,
    refusals,
    rivals,
)
from paydesk.asking import Call, Object
from paydesk.catalog import Catalog
from paydesk.errors import Conflict, Invalid, StripeRefused
from paydesk.store import Record, Store, Tx
from paydesk.stripe.gateway import Gateway

KIND = "subscription"
DEFAULT = "default"


@dataclass(frozen=True, slots=True)
class Ask:
    """How a subscription begins: `payment_method` is a saved one's id, `default` for the newest saved card, or `None`.

    `discount` is `{coupon}` or `{promotion_code}`, by Stripe's ids.
    """

    payment_method: str | None = None
    discount: dict[str, str] | None = None


@dataclass(frozen=True, slots=True)
class Begun:
    """What was begun, and how its buyer goes on: by the secret on a page of yours, or by Stripe's page."""

    id: str
    stripe_customer: str
    because: str
    client_secret: str | None = None
    url: str | None = None


async def make(store: Store, gateway: Gateway, catalog: Catalog, order: str, ask: Ask) -> Begun:
    """Begin the subscription of an order; again, it is the same one.

    One of another order that still waits for its first payment makes room: it ends before this one begins, and its
    order is canceled. Raises `Conflict` when the person has one of the product, `Invalid` or `StripeRefused` for what
    Stripe does not take (the order is then canceled), and `StripeUnavailable`: then ask again.
    """
    row = await checkout.get(store, order)
    if row["mode"] != "subscription":
        raise Invalid("a subscription needs a price that repeats", param="price")
    stripe_customer = await payers.stripe_customer(store, gateway, row["customer_id"])
    try:
        call = await _planned(store, gateway, catalog, row, ask, stripe_customer)
        found = await _found(store, gateway, row, call)
    except (StripeRefused, Conflict, Invalid) as refused:
        await store.run(lambda tx: _cancel(tx, row))
        raise refusals.told(refused) from refused
    return _begun(found, call)


async def _planned(
    store: Store, gateway: Gateway, catalog: Catalog, row: Record, ask: Ask, stripe_customer: str
) -> Call:
    """Return the order's call, written down now or before."""
    name = f"subscription:{row['id']}"
    async with store.transaction() as tx:
        known = await asking.known(tx, name, KIND, row["id"])
    if known is not None:
        return known
    params = await _params(store, gateway, catalog, row, ask, stripe_customer)
    gone = await _made_room(store, gateway, row)
    return await store.run(lambda tx: _plan(tx, row, name, params, gone))


async def _made_room(store: Store, gateway: Gateway, row: Record) -> Mapping[str, str]:
    """End what waits for its first payment in the place of this order's subscription; return each with its order.

    What was paid in the meantime stays, and is not among them.
    """
    products = [terms["product"] for terms in row["plan"].values()]
    waiting: dict[str, str] = {}
    async with store.transaction() as tx:
        person = await customers.lock_person(tx, row["customer_id"])
        for product in products:
            waiting |= await rivals.unpaid(tx, person, product, row["id"])
        if waiting:
            await audit.note(tx, "paydesk", "subscription.replace", sorted(waiting), {"order": row["id"]})
    gone = {id_: order for id_, order in waiting.items() if await changes.let_go(gateway, id_)}
    for id_, order in gone.items():
        await _give_up(store, id_, await checkout.get(store, order), row["id"], livemode=gateway.livemode)
    return gone


async def _give_up(store: Store, id_: str, row: Record, for_order: str, *, livemode: bool) -> None:
    """Cancel the order of a subscription that has made room, and let our rows follow by a look."""
    lane = inbox.lane_of(str(row["stripe_customer"]))
    look = inbox.look_again("subscription", id_, lane, f"replaced:{for_order}", livemode=livemode)

    async def work(tx: Tx) -> None:
        await _cancel(tx, row)
        await inbox.put(tx, [look])

    await store.run(work)


async def _found(store: Store, gateway: Gateway, row: Record, call: Call) -> Object:
    if call.state == "refused":
        raise StripeRefused(call.detail or "Stripe refused this subscription before")
    if call.state == "done" and call.object_id is not None:
        return await gateway.subscription(call.object_id)
    try:
        found = await _asked(store, gateway, row, call)
    except StripeRefused as refused:
        if not (refused.about == "customer" and refused.reason == "resource_missing"):
            raise
        fresh = await payers.replace(store, gateway, row["customer_id"], call.params["customer"])
        call = await store.run(lambda tx: _plan_for(tx, row, call, fresh))
        found = await _asked(store, gateway, row, call)
    await store.run(lambda tx: _keep(tx, call, found, livemode=gateway.livemode))
    return found


async def _asked(store: Store, gateway: Gateway, row: Record, call: Call) -> Object:
    find = partial(gateway.find_subscription, call.params["customer"], row["id"])
    return await asking.answer(store, call, gateway.create_subscription, find)


async def _plan(tx: Tx, row: Record, name: str, params: Object, gone: Mapping[str, str]) -> Call:
    """Write down the call, unless the person has the product by now, or another request is about to give it to them.

    `gone` are subscriptions that have ended at Stripe, each with its order, whether or not our rows know it.
    """
    person = await customers.lock_person(tx, row["customer_id"])
    call = await asking.known(tx, name, KIND, row["id"])
    if call is not None:
        return call
    for terms in row["plan"].values():
        has = await rivals.live_one(tx, person, terms["product"], besides=gone.keys())
        has = has or await rivals.being_made(tx, person, terms["product"], row["id"], besides=gone.values())
        if has is not None:
            raise Conflict(
                f"{terms['name']} is subscribed to already: {has}; change that one, or cancel it first",
                param="price", code="already_subscribed",
            )  # fmt: skip
    await tx.execute("UPDATE orders SET stripe_customer = $2 WHERE id = $1", row["id"], params["customer"])
    return await asking.written(tx, name, KIND, row["id"], params)


async def _plan_for(tx: Tx, row: Record, call: Call, stripe_customer: str) -> Call:
    """Write down the call once more, for the person's new Stripe customer."""
    await customers.lock_person(tx, row["customer_id"])
    await tx.execute("UPDATE orders SET stripe_customer = $2 WHERE id = $1", row["id"], stripe_customer)
    params = {**call.params, "customer": stripe_customer}
    return await asking.again(tx, call, params, f"{call.params['customer']} was deleted in Stripe")


async def _keep(tx: Tx, call: Call, found: Object, *, livemode: bool) -> None:
    """Note the end of the call, and let our rows follow by a look."""
    await calls.end(tx, call.key, found["id"])
    lane = inbox.lane_of(str(found["customer"]))
    await inbox.put(tx, [inbox.look_again("subscription", found["id"], lane, call.key, livemode=livemode)])


async def _cancel(tx: Tx, row: Record) -> None:
    await customers.lock_person(tx, row["customer_id"])
    changed = await tx.execute(
        "UPDATE orders SET status = 'canceled', canceled_at = desk_now() "
        "WHERE id = $1 AND paid_at IS NULL AND canceled_at IS NULL",
        row["id"],
    )
    if changed:
        await fanout.announce_cancel(tx, row["id"], row["customer_id"])


async def _params(
    store: Store, gateway: Gateway, catalog: Catalog, row: Record, ask: Ask, stripe_customer: str
) -> Object:
    """Return what Stripe is asked for. Without a way to pay the first invoice waits for its buyer (23 hours)."""
    (line,) = await checkout.lines(store, row["id"])
    price = catalog.price(line["price_key"])
    method = await _method(gateway, ask.payment_method, stripe_customer)
    settings: Object = {"save_default_payment_method": "on_subscription"}
    if row["payment_methods"]:
        settings["payment_method_types"] = row["payment_methods"]
    params: Object = {
        "customer": stripe_customer,
        "items": [{"price": line["stripe_price"] or await recurring.stripe_price(store, gateway, catalog, price),
                   "quantity": line["quantity"]}],
        "metadata": {**row["metadata"], "paydesk_order": row["id"], "paydesk_price": line["price_key"]},
        "payment_behavior": "default_incomplete" if method is None else "allow_incomplete",
        "payment_settings": settings,
        **({} if method is None else {"default_payment_method": method, "off_session": True}),
        **({} if ask.discount is None else {"discounts": [ask.discount]}),
    }  # fmt: skip
    if row["trial_days"]:
        params["trial_period_days"] = row["trial_days"]
        params["trial_settings"] = {"end_behavior": {"missing_payment_method": "cancel"}}
    return params


async def _method(gateway: Gateway, wanted: str | None, stripe_customer: str) -> str | None:
    if wanted != DEFAULT:
        return wanted
    cards = await gateway.cards(stripe_customer)
    if not cards:
        raise Conflict("this person has no saved card: let one be kept with save_card", param="payment_method")
    return cards[0]


def _begun(found: Object, call: Call) -> Begun:
    """Return what was begun; secret and page only while something is to be paid, or a card to be saved."""
    invoice: Any = found.get("latest_invoice")
    setup: Any = found.get("pending_setup_intent")
    secret, url = None, None
    if isinstance(invoice, dict) and invoice["status"] == "open":
        secret = (invoice.get("confirmation_secret") or {}).get("client_secret")
        url = invoice.get("hosted_invoice_url")
    elif isinstance(setup, dict):
        secret = setup["client_secret"]
    return Begun(found["id"], str(found["customer"]), call.key, secret, url)
