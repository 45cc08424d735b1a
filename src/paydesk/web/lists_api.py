"""The API's lists: newest first, a page at a time, by person, status, channel and time."""

from __future__ import annotations

from typing import Annotated, Any, Literal

from fastapi import APIRouter, Query

from paydesk import customers, listing, showing
from paydesk.errors import Invalid
from paydesk.listing import About
from paydesk.service import Service
from paydesk.web import shapes, subscriptions_api
from paydesk.web.api import BuyerOrReader, Here, Reader
from paydesk.web.auth import person_of
from paydesk.web.parameters import Part, Text

router = APIRouter(prefix="/v1")

OrderStatus = Literal[
    "open", "pending", "paid", "fulfilled", "canceled", "expired", "refunded", "partially_refunded", "disputed"
]
PaymentStatus = Literal["requires_payment_method", "processing", "requires_capture", "succeeded", "canceled"]
RefundStatus = Literal["pending", "requires_action", "succeeded", "failed", "canceled"]
DisputeStatus = Literal[
    "warning_needs_response", "warning_under_review", "warning_closed", "needs_response", "under_review", "won", "lost",
    "prevented",
]  # fmt: skip
SubscriptionStatus = Literal[
    "live", "incomplete", "incomplete_expired", "trialing", "active", "past_due", "unpaid", "paused", "canceled"
]
HoldStatus = Literal["held", "settled", "released", "lapsed"]
Channel = Annotated[str | None, Query(max_length=32, examples=["telegram"])]


@router.get("/customers", tags=["Customers"])
async def list_customers(
    here: Here, _caller: Reader, part: Part, channel: Channel = None, external_id: Text = None,
    email: Annotated[str | None, Query(max_length=320)] = None,
) -> dict[str, Any]:  # fmt: skip
    """List people, the newest first: all, who has an e-mail address, or who can be met on a channel.

    `channel` and `external_id` together find one person, by where they can be met: a list of one or none.
    """
    if external_id is not None and channel is None:
        raise Invalid("external_id goes with a channel", param="channel")
    met = customers.identity(channel, external_id) if external_id is not None else None
    found, more = await listing.people(
        here.store, here.vault, part, met=met, channel=channel if met is None else None, email=email
    )
    return _page([shapes.customer(one) for one in found], more)


@router.get("/orders", tags=["Orders"])
async def list_orders(
    here: Here, _caller: Reader, part: Part, customer: Text = None, status: OrderStatus | None = None,
    channel: Channel = None,
) -> dict[str, Any]:  # fmt: skip
    """List orders, the newest first: of a person, of a status, of those who bought on a channel."""
    about = About(await _person(here, customer), status=status, channel=channel)
    found, more = await listing.orders(here.store, about, part)
    return _page([shapes.order(row, lines, here.settings.public_url) for row, lines in found], more)


@router.get("/payments", tags=["Payments"])
async def list_payments(
    here: Here, _caller: Reader, part: Part, customer: Text = None, order: Text = None,
    status: PaymentStatus | None = None, channel: Channel = None,
) -> dict[str, Any]:  # fmt: skip
    """List payments, the newest first, as they are known here: of a person, of an order, of a status.

    One that is not final may be further at Stripe: `GET /v1/payments/{payment}` looks there.
    """
    about = About(await _person(here, customer), order=order, status=status, channel=channel)
    found, more = await listing.paid(here.store, about, part)
    return _page([shapes.payment(one) for one in found], more)


@router.get("/refunds", tags=["Refunds"])
async def list_refunds(
    here: Here, _caller: Reader, part: Part, customer: Text = None, order: Text = None, payment: Text = None,
    status: RefundStatus | None = None,
) -> dict[str, Any]:  # fmt: skip
    """List refunds, the newest first: of a person, of an order, of a payment, of a status."""
    about = About(await _person(here, customer), order, payment, status)
    found, more = await listing.refunds(here.store, about, part)
    return _page([shapes.refund(one, of) for one, of in found], more)


@router.get("/disputes", tags=["Disputes"])
async def list_disputes(
    here: Here, _caller: Reader, part: Part, customer: Text = None, order: Text = None, payment: Text = None,
    status: DisputeStatus | None = None,
) -> dict[str, Any]:  # fmt: skip
    """List disputes, the newest first: of a person, of an order, of a payment, of a status."""
    about = About(await _person(here, customer), order, payment, status)
    found, more = await listing.disputes(here.store, about, part)
    return _page([showing.dispute(one, of) for one, of in found], more)


@router.get("/disputes/{dispute}", tags=["Disputes"])
async def get_dispute(here: Here, _caller: Reader, dispute: str) -> dict[str, Any]:
    """Return a dispute as it was when somebody last looked."""
    found, order = await listing.dispute(here.store, dispute)
    return showing.dispute(found, order)


@router.get("/subscriptions", tags=["Subscriptions"])
async def list_subscriptions(
    here: Here, caller: BuyerOrReader, part: Part, customer: Text = None, order: Text = None,
    status: SubscriptionStatus | None = None,
) -> dict[str, Any]:  # fmt: skip
    """List subscriptions, the newest first: of a person, of an order, of a status; `live` are those that are not over.

    A buyer's page sees the buyer's own, named or not.
    """
    whose = await person_of(here.store, caller, customer) if customer is not None else caller.customer
    about = About(whose, order, status=status)
    found, more = await listing.subscriptions_of(here.store, about, part)
    return _page([subscriptions_api.shown(here, caller, one) for one in found], more)


@router.get("/holds", tags=["Credits"])
async def list_holds(
    here: Here, _caller: Reader, part: Part, customer: Annotated[str, Query(max_length=200)],
    status: HoldStatus | None = None,
) -> dict[str, Any]:  # fmt: skip
    """List a person's holds, the newest first."""
    about = About(await customers.resolve(here.store, customer), status=status)
    found, more = await listing.holds(here.store, about, part)
    return _page([showing.held(one, balance) for one, balance in found], more)


async def _person(here: Service, customer: str | None) -> str | None:
    """Return who a person is now, when one was named; raises `NotFound`."""
    return None if customer is None else await customers.resolve(here.store, customer)


def _page(rows: list[dict[str, Any]], has_more: bool) -> dict[str, Any]:
    return {"data": rows, "has_more": has_more}
