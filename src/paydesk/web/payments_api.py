"""The API of payments and refunds: parse, call one function, render."""

from __future__ import annotations

from typing import Any

from fastapi import APIRouter, Request
from starlette.responses import Response

from paydesk import checkout, ids, money, payments, refunds
from paydesk.errors import Invalid
from paydesk.web import shapes
from paydesk.web.api import BuyerOrReader, BuyerOrSeller, Here, Reader, Refunder, Seller, ad_hoc, buyer_of, line_of
from paydesk.web.once import once
from paydesk.web.parameters import CarefulRoute
from paydesk.web.returns import checked_return

router = APIRouter(prefix="/v1", route_class=CarefulRoute)


# --- payments --------------------------------------------------------------------------------------------------------


@router.post("/payments", tags=["Payments"], status_code=201)
async def create_payment(request: Request, here: Here, caller: BuyerOrSeller, given: shapes.PaymentGiven) -> Response:
    """Make an order and its payment intent, and pay it at once with `confirm`.

    A payment that needs the buyer says `requires_action`, with a `client_secret` to go on with on your page. A declined
    card is 402 with Stripe's code and message; `payment` names the payment, which can still be paid.
    """
    caller.must_send_only(given.model_fields_set, *shapes.PAYMENT_OF_BUYER)
    caller.must_send_only(shapes.fields_of(given.items or ()), *shapes.ITEM_OF_BUYER)
    ask = payments.checked(
        payments.Ask(
            payment_method=given.payment_method,
            confirm=given.confirm,
            off_session=given.off_session,
            future_usage=given.setup_future_usage,
            return_url=checked_return(given.return_url, "return_url", here.settings),
            description=given.description,
        )
    )
    lines = await _lines(here, given)
    checkout.terms_of(lines)  # refused before anybody is made
    buyer, thread = await buyer_of(request, here, caller, given)

    async def work(operation: str) -> dict[str, Any]:
        customer = await buyer.made(here)
        new = checkout.NewOrder(customer, lines, thread, metadata=given.metadata, capture=given.capture_method)
        order = ids.derived("ord", operation)
        await checkout.create_order(here.store, new, livemode=here.gateway.livemode, id_=order)
        made = await payments.make(here.store, here.gateway, order, ask)
        here.bell.ring("inbox")
        return shapes.for_buyer(shapes.payment(made), caller.publishable)

    return await once(here.store, caller.keys_of(buyer.id), request, work, status=201, also=buyer.given_id)


async def _lines(here: Here, given: shapes.PaymentGiven) -> tuple[checkout.Line, ...]:
    """Return what is paid for: the items, or one line of the amount that the caller says."""
    if given.items is not None:
        if given.amount is not None or given.currency is not None:
            raise Invalid("a payment has items, or amount and currency, not both", param="items")
        lines = tuple([await line_of(here, item) for item in given.items])
        if all(line.unit_amount == 0 for line in lines):
            raise Invalid("there is nothing to pay: use /v1/checkouts for what is free", param="items")
        return lines
    if given.amount is None or given.currency is None:
        missing = "amount" if given.amount is None else "currency"
        raise Invalid("a payment needs amount and currency, or items", param=missing)
    line = ad_hoc(given.description or "Payment", 1, given.amount, given.currency, "currency")
    try:
        money.check_charge(given.amount, given.currency)
    except ValueError as error:
        raise Invalid(str(error), param="amount") from None
    return (line,)


@router.get("/payments/{payment}", tags=["Payments"])
async def get_payment(here: Here, caller: BuyerOrReader, payment: str) -> dict[str, Any]:
    """Return a payment as it is now, with what Stripe kept of it (`fee`) and left (`net`) once that is known."""
    caller.must_be(await payments.payer_of(here.store, payment), "payment", payment)
    found = shapes.payment(await payments.get(here.store, here.gateway, payment))
    return shapes.for_buyer(found, caller.publishable)


@router.post("/payments/{payment}/cancel", tags=["Payments"])
async def cancel_payment(request: Request, here: Here, _caller: Seller, payment: str) -> Response:
    """Cancel an unpaid payment and its order; what it has reserved is let go. Again, it is the same answer."""
    customer = await payments.payer_of(here.store, payment)

    async def work(_operation: str) -> dict[str, Any]:
        canceled = await payments.cancel(here.store, here.gateway, payment)
        here.bell.ring("inbox")
        return shapes.payment(canceled)

    return await once(here.store, customer, request, work)


@router.post("/payments/{payment}/capture", tags=["Payments"])
async def capture_payment(
    request: Request, here: Here, _caller: Seller, payment: str, given: shapes.CaptureGiven | None = None
) -> Response:
    """Take what a payment has reserved, or a part of it: what it bought is then worth its share.

    Again, it is the same answer.
    """
    customer = await payments.payer_of(here.store, payment)
    amount = None if given is None else given.amount

    async def work(_operation: str) -> dict[str, Any]:
        captured = await payments.capture(here.store, here.gateway, payment, amount)
        here.bell.ring("inbox")
        return shapes.payment(captured)

    return await once(here.store, customer, request, work)


# --- refunds ---------------------------------------------------------------------------------------------------------


@router.post("/refunds", tags=["Refunds"], status_code=201)
async def create_refund(request: Request, here: Here, caller: Refunder, given: shapes.RefundGiven) -> Response:
    """Give money back; what it bought falls in proportion. All refunds together never exceed what was paid."""
    ask = refunds.Ask(given.payment, given.order, given.amount, given.reason)
    customer = await refunds.payer_of(here.store, ask)

    async def work(operation: str) -> dict[str, Any]:
        made, order = await refunds.make(here.store, here.gateway, ask, operation=operation, actor=caller.key_id)
        here.bell.ring("inbox")
        return shapes.refund(made, order)

    return await once(here.store, customer, request, work, status=201)


@router.get("/refunds/{refund}", tags=["Refunds"])
async def get_refund(here: Here, _caller: Reader, refund: str) -> dict[str, Any]:
    """Return a refund, whoever made it: you, or a person in Stripe's dashboard."""
    found, order = await refunds.get(here.store, here.gateway, refund)
    return shapes.refund(found, order)
