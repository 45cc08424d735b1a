"""The API of subscriptions and the portal: parse, call one function, render."""

from __future__ import annotations

from typing import Any, Literal

from fastapi import APIRouter, Request
from starlette.responses import Response

from paydesk import changes, checkout, customers, discounts, ids, portal, subscribed, subscribing, waiting
from paydesk.errors import Forbidden, Invalid
from paydesk.subscriptions import LIVE
from paydesk.web import shapes
from paydesk.web.api import BuyerOrReader, BuyerOrSeller, Here, Seller, buyer_of, line_of
from paydesk.web.auth import Caller, person_of
from paydesk.web.once import once
from paydesk.web.returns import checked_return

router = APIRouter(prefix="/v1")


@router.post("/subscriptions", tags=["Subscriptions"], status_code=201)
async def create_subscription(
    request: Request, here: Here, caller: BuyerOrSeller, given: shapes.SubscriptionGiven
) -> Response:
    """Begin a subscription with a saved way to pay, without Stripe's page.

    Without one, or when the bank wants the buyer, it is `incomplete`: `client_secret` and `url` say how they go on.
    Somebody who has the product already gets 409 `already_subscribed`.
    """
    caller.must_send_only(given.model_fields_set, *shapes.SUBSCRIPTION_OF_BUYER)
    line = await line_of(here, shapes.ItemGiven.model_validate({"price": given.price, "quantity": given.quantity}))
    if caller.publishable and line.price is not None and line.price.trial_days:
        raise Forbidden("a trial begins at a checkout, which asks for a card", code="secret_key_required")
    if checkout.terms_of((line,))[-1] is None:
        raise Invalid("a subscription needs a price that repeats", param="price")
    discount = await discounts.chosen(here.gateway, given.coupon, given.promotion_code)
    ask = subscribing.Ask(given.payment_method, discount)
    buyer, thread = await buyer_of(request, here, caller, given)

    async def work(operation: str) -> dict[str, Any]:
        customer = await buyer.made(here)
        new = checkout.NewOrder(customer, (line,), thread, metadata=given.metadata, trial=given.trial)
        order = ids.derived("ord", operation)
        await checkout.create_order(here.store, new, livemode=here.gateway.livemode, id_=order)
        begun = await subscribing.make(here.store, here.gateway, here.catalog, order, ask)
        begun_as = await _after(here, caller, begun.id, begun.because)
        return {**begun_as, "client_secret": begun.client_secret, "url": begun.url}

    return await once(here.store, caller.keys_of(buyer.id), request, work, status=201, also=buyer.given_id)


async def _after(here: Here, caller: Caller, id_: str, because: str | None) -> dict[str, Any]:
    """Show a subscription after a change of ours."""
    here.bell.ring("inbox")
    return shown(here, caller, await subscribed.after(here.store, here.gateway, here.clock, id_, because))


def shown(here: Here, caller: Caller, found: subscribed.Shown) -> dict[str, Any]:
    """Show a subscription, with the change that waits where that will be made."""
    return shapes.for_buyer(shapes.subscription(waiting.seen(here.catalog, found)), caller.publishable)


async def _own(here: Here, caller: Caller, id_: str) -> subscribed.Shown:
    """Return a subscription; for a buyer there are only their own."""
    found = await subscribed.get(here.store, id_)
    caller.must_be(found.own.customer, "subscription", id_)
    return found


@router.get("/subscriptions/{subscription}", tags=["Subscriptions"])
async def get_subscription(here: Here, caller: BuyerOrReader, subscription: str) -> dict[str, Any]:
    """Return a subscription."""
    return shown(here, caller, await _own(here, caller, subscription))


@router.patch("/subscriptions/{subscription}", tags=["Subscriptions"])
async def change_subscription(
    request: Request, here: Here, caller: BuyerOrSeller, subscription: str, given: shapes.SubscriptionChange
) -> Response:
    """Change a subscription. A declined upgrade is 402, and leaves everything as it was.

    A buyer may let their own end with its period, and take that back.
    """
    caller.must_send_only(given.model_fields_set, *shapes.CHANGE_OF_BUYER)
    wish = changes.checked(changes.Wish(**given.model_dump()))
    own = (await _own(here, caller, subscription)).own

    async def work(operation: str) -> dict[str, Any]:
        because = await changes.change(
            here.store, here.gateway, here.catalog, subscription, wish, operation=operation, actor=caller.key_id
        )
        return await _after(here, caller, subscription, because)

    return await once(here.store, caller.keys_of(own.customer), request, work)


@router.delete("/subscriptions/{subscription}", tags=["Subscriptions"])
async def end_subscription(
    request: Request, here: Here, caller: Seller, subscription: str, at: Literal["now", "period_end"] = "now"
) -> Response:
    """End a subscription now, or with its period. Nothing is given back: that is a refund. Again, it is the same answer."""
    own = (await subscribed.get(here.store, subscription)).own

    async def work(operation: str) -> dict[str, Any]:
        found = await subscribed.get(here.store, subscription)
        if found.own.status not in LIVE:
            return shapes.subscription(found)
        if at == "now":
            because: str | None = await changes.end(
                here.store, here.gateway, subscription, operation=operation, actor=caller.key_id
            )
        else:
            wish = changes.Wish(cancel_at_period_end=True)
            because = await changes.change(
                here.store, here.gateway, here.catalog, subscription, wish, operation=operation, actor=caller.key_id
            )
        return await _after(here, caller, subscription, because)

    return await once(here.store, own.customer, request, work)


@router.post("/portal", tags=["Subscriptions"], status_code=201)
async def open_portal(request: Request, here: Here, caller: BuyerOrSeller, given: shapes.PortalGiven) -> Response:
    """Return a short-lived address of Stripe's customer portal for a person who is known."""
    who = given.customer
    known = who if isinstance(who, str) else customers.identity(who.channel, who.external_id)
    back = checked_return(given.return_url, "return_url", here.settings) or here.settings.public_url
    customer = await person_of(here.store, caller, known)

    async def work(_operation: str) -> dict[str, Any]:
        return {"customer": customer, "url": await portal.address(here.store, here.gateway, customer, back)}

    return await once(here.store, caller.keys_of(customer), request, work, status=201, personal=True)
