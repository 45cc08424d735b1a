"""The API: parse, call one function, render. Errors and idempotency keys as CONTRACT §5 says."""

from __future__ import annotations

from collections.abc import Callable
from typing import Annotated, Any

from fastapi import APIRouter, Depends, Query, Request
from starlette.responses import Response

from paydesk import (
    books,
    checkout,
    customers,
    discounts,
    ids,
    lists,
    money,
    payments,
    people,
    refusals,
    sessions,
    status,
    why,
)  # fmt: skip
from paydesk.catalog import CREDITS
from paydesk.channels.base import Address
from paydesk.clock import iso
from paydesk.customers import Identity, Thread
from paydesk.errors import Invalid, NotFound, StripeRefused
from paydesk.service import Service
from paydesk.web import shapes
from paydesk.web.auth import Caller, person_of
from paydesk.web.newcomers import Person, met_at
from paydesk.web.once import once
from paydesk.web.parameters import CarefulRoute, Part
from paydesk.web.returns import checked_return

router = APIRouter(prefix="/v1", route_class=CarefulRoute)

Limit = Annotated[int, Query(ge=1, le=100)]


def service_of(request: Request) -> Service:
    """Return the running service."""
    service: Service = request.app.state.service
    return service


def allowed(scope: str, require: Callable[[Caller, str], None] = Caller.require) -> Any:
    """Return a dependency: the caller, a secret key that has `scope`; `require` says who else may."""

    async def check(request: Request) -> Caller:
        caller: Caller = await request.app.state.keys.caller(request.scope)
        require(caller, scope)
        return caller

    return Depends(check)


Here = Annotated[Service, Depends(service_of)]
Reader = Annotated[Caller, allowed("read")]
Seller = Annotated[Caller, allowed("sell")]
Spender = Annotated[Caller, allowed("spend")]
Refunder = Annotated[Caller, allowed("refund")]
Admin = Annotated[Caller, allowed("admin")]
AnySecret = Annotated[Caller, allowed("", Caller.require_secret)]

# A publishable key is refused by all of the above. A route that lets a buyer in has to ask whose things it touches:
# `person_of` for whom a caller names, `caller.must_be` for whose an object is, `caller.must_send_only` for what is sent.
BuyerOrReader = Annotated[Caller, allowed("read", Caller.require_buyer_or)]
BuyerOrSeller = Annotated[Caller, allowed("sell", Caller.require_buyer_or)]
BuyerOrSpender = Annotated[Caller, allowed("spend", Caller.require_buyer_or)]
AnybodyOrReader = Annotated[Caller, allowed("read", Caller.require_anybody_or)]


# --- catalogue and people --------------------------------------------------------------------------------------------


@router.get("/products", tags=["Catalogue"])
async def list_products(here: Here, _caller: AnybodyOrReader) -> dict[str, Any]:
    """List what is sold, as the catalogue says now."""
    return shapes.products(here.catalog)


@router.get("/products/{product}", tags=["Catalogue"])
async def get_product(here: Here, _caller: AnybodyOrReader, product: str) -> dict[str, Any]:
    """Return a product of the catalogue, by its key."""
    found = here.catalog.products.get(product)
    if found is None:
        raise NotFound(f"the catalogue has no product {product}", param="product")
    return shapes.product(found)


@router.post("/customers", tags=["Customers"], status_code=201)
async def create_customer(request: Request, here: Here, caller: Seller, given: shapes.CustomerGiven) -> Response:
    """Make a person. An identity that is somebody else's is refused with 409."""
    met = [customers.identity(i.channel, i.external_id) for i in given.identities]
    new = customers.checked(met, given.email, given.name, given.locale, given.metadata)

    async def work(operation: str) -> dict[str, Any]:
        made = await customers.create(here.store, here.vault, new, id_=ids.derived("cst", operation))
        return shapes.customer(made)

    async def show(operation: str) -> dict[str, Any]:
        return shapes.customer(await customers.get(here.store, here.vault, ids.derived("cst", operation)))

    return await once(here.store, caller.key_id, request, work, status=201, show=show)


@router.get("/customers/{customer}", tags=["Customers"])
async def get_customer(here: Here, caller: BuyerOrReader, customer: str) -> dict[str, Any]:
    """Return a person. A buyer sees themselves, without what is noted about them."""
    person = await person_of(here.store, caller, customer)
    return shapes.for_buyer(shapes.customer(await customers.get(here.store, here.vault, person)), caller.publishable)


@router.patch("/customers/{customer}", tags=["Customers"])
async def change_customer(
    request: Request, here: Here, caller: Seller, customer: str, given: shapes.CustomerChange
) -> Response:
    """Change what is kept of a person: what is not sent stays, `null` takes it away.

    Of `metadata` the keys that are sent are changed, and an empty text takes a key away.
    """
    person = await customers.resolve(here.store, customer)
    change = people.checked(given.model_dump(exclude_unset=True))

    async def work(operation: str) -> dict[str, Any]:
        changed = await people.change(
            here.store, here.vault, person, change, actor=caller.key_id, operation=operation
        )  # fmt: skip
        return shapes.customer(changed)

    async def show(_operation: str) -> dict[str, Any]:
        return shapes.customer(await customers.get(here.store, here.vault, person))

    return await once(here.store, person, request, work, show=show)


@router.get("/customers/{customer}/credits", tags=["Credits"])
async def get_credits(
    here: Here, caller: BuyerOrReader, customer: str, unit: Annotated[str, Query(max_length=64)] = CREDITS
) -> dict[str, Any]:
    """Return what can be spent now, with the lots it is in; other units are under `units`.

    A `unit` that neither the catalogue nor the customer has is refused with 400.
    """
    id_ = await person_of(here.store, caller, customer)
    async with here.store.transaction() as tx:
        wallets = await books.wallets(tx, id_, here.clock.now())
    if unit not in wallets and unit not in here.catalog.units():
        raise Invalid("the catalogue has no such unit, nor has the customer", param="unit")
    empty = books.Wallet(0, 0, 0, ())
    others = {name: shapes.wallet(name, wallet) for name, wallet in wallets.items() if name != unit}
    return {**shapes.wallet(unit, wallets.get(unit, empty)), "units": others}


@router.get("/customers/{customer}/timeline", tags=["Customers"])
async def get_timeline(
    here: Here, _caller: Reader, customer: str, part: Part, what: shapes.StepKind | None = None
) -> dict[str, Any]:
    """Return the trace, the newest step first: orders, events, ledger entries, grants, deliveries; or what is of one kind.

    A step has no id of its own: `starting_after` and `ending_before` take its `cursor`.
    """
    id_ = await customers.resolve(here.store, customer)
    steps, more = await why.page(here.store, id_, part, what=what)
    return {"data": steps, "has_more": more}


# --- selling ---------------------------------------------------------------------------------------------------------


@router.post("/checkouts", tags=["Checkouts"], status_code=201)
async def create_checkout(request: Request, here: Here, caller: BuyerOrSeller, given: shapes.CheckoutGiven) -> Response:
    """Make an order and its Checkout session at once. Prices come from the catalogue, never from the caller.

    With `form` no session is made: the buyer pays on the payment form, at `form`.
    """
    return await sell(request, here, caller, given)


async def sell(
    request: Request,
    here: Service,
    caller: Caller,
    given: shapes.CheckoutGiven,
    guest: customers.NewCustomer | None = None,
) -> Response:
    """Do `create_checkout`. A `guest` is what is told of who buys, met where `given.customer` says, if they are new."""
    caller.must_send_only(given.model_fields_set, *shapes.CHECKOUT_OF_BUYER)
    caller.must_send_only(shapes.fields_of(given.items), *shapes.ITEM_OF_BUYER)
    lines = tuple([await line_of(here, item) for item in given.items])
    metadata = {**given.metadata, **await _cheaper(here, given)}
    success_url = checked_return(given.success_url, "success_url", here.settings)
    cancel_url = checked_return(given.cancel_url, "cancel_url", here.settings)
    checkout.terms_of(lines)  # refused before anybody is made
    buyer, thread = await buyer_of(request, here, caller, given, guest)

    async def work(operation: str) -> dict[str, Any]:
        customer = await buyer.made(here)
        new = checkout.NewOrder(customer, lines, thread, success_url, cancel_url, metadata, save_card=given.save_card)
        id_ = ids.derived("ord", operation)
        await checkout.create_order(here.store, new, livemode=here.gateway.livemode, id_=id_)
        if not given.form:
            await _open(here, id_)
        return await _order(here, caller, id_)

    return await once(here.store, caller.keys_of(buyer.id), request, work, status=201, also=buyer.given_id)


async def _open(here: Service, order: str) -> None:
    """Open the session of an order; one whose discount Stripe does not take is canceled: nobody shall pay it without."""
    try:
        await checkout.open_session(here.store, here.gateway, order, public_url=here.settings.public_url)
    except StripeRefused as refused:
        mended = refusals.told(refused)
        if isinstance(mended, Invalid):
            await checkout.cancel(here.store, here.gateway, order)
            raise mended from refused
        raise


async def _cheaper(here: Service, given: shapes.CheckoutGiven) -> dict[str, str]:
    """Return the marks of what makes a checkout cheaper, or lets it begin without a card."""
    discount = await discounts.chosen(here.gateway, given.coupon, given.promotion_code)
    if discount is not None and given.allow_promotion_codes:
        raise Invalid("a checkout has a discount, or a place to type a code, not both", param="allow_promotion_codes")
    marks = {discounts.MARKS[kind]: id_ for kind, id_ in (discount or {}).items()}
    if given.allow_promotion_codes:
        marks[sessions.CODES] = "yes"
    if given.payment_method_collection == "if_required":
        marks[sessions.CARD] = "if_required"
    return marks


async def line_of(here: Service, item: shapes.ItemGiven) -> checkout.Line:
    """Return the line that a caller names: money comes from the catalogue, or is ad hoc and grants nothing."""
    if item.price is not None:
        if item.name is not None or item.amount is not None or item.currency is not None:
            raise Invalid("an item has a price, or name, amount and currency, not both", param="items")
        own = here.catalog.find_price(item.price)
        pushed = {} if own is not None else await checkout.price_of_stripe(here.store, item.price)
        return checkout.line_of(here.catalog, item.price, item.quantity, pushed)
    if item.name is None or item.amount is None or item.currency is None:
        raise Invalid("an item needs a price of the catalogue, or name, amount and currency", param="items")
    return ad_hoc(item.name, item.quantity, item.amount, item.currency, "items")


def ad_hoc(name: str, quantity: int, amount: int, currency: str, param: str) -> checkout.Line:
    """Return a line of an amount that the caller says; raises `Invalid` for what nobody can pay in that currency."""
    if not money.is_currency(currency):
        raise Invalid(f"{currency} is not a currency that Stripe charges in", param=param)
    try:
        money.check_steps(amount, currency)
    except ValueError as error:
        raise Invalid(str(error), param=param) from None
    return checkout.Line(name, quantity, amount, currency)


async def buyer_of(
    request: Request,
    here: Service,
    caller: Caller,
    given: shapes.CheckoutGiven | shapes.PaymentGiven | shapes.SubscriptionGiven,
    guest: customers.NewCustomer | None = None,
) -> tuple[Person, Thread | None]:
    """Return who buys, and where they are told. Nobody is made yet. A buyer buys for themselves."""
    if isinstance(given.customer, str):
        customer = await person_of(here.store, caller, given.customer)
        return Person(customer), await customers.thread_of(here.store, customer, given.conversation)
    who: Identity = customers.identity(given.customer.channel, given.customer.external_id)
    if caller.publishable:
        person = Person(await person_of(here.store, caller, who))
    else:
        person = await met_at(here, request, who, guest)
    return person, Thread(who.channel, who.external_id, given.conversation)


async def _order(here: Service, caller: Caller, id_: str) -> dict[str, Any]:
    row = await checkout.get(here.store, id_)
    caller.must_be(row["customer_id"], "order", id_)
    shown = shapes.order(row, await checkout.lines(here.store, id_), here.settings.public_url)
    return shapes.for_buyer(shown, caller.publishable)


@router.get("/orders/{order}", tags=["Orders"])
async def get_order(here: Here, caller: BuyerOrReader, order: str) -> dict[str, Any]:
    """Return an order."""
    return await _order(here, caller, order)


@router.post("/orders/{order}/cancel", tags=["Orders"])
async def cancel_order(request: Request, here: Here, caller: Seller, order: str) -> Response:
    """Cancel an unpaid order; its session is expired, or its payment canceled first: nobody can pay it any more."""
    customer = (await checkout.get(here.store, order))["customer_id"]

    async def work(_operation: str) -> dict[str, Any]:
        await payments.cancel_of_order(here.store, here.gateway, order)
        await checkout.cancel(here.store, here.gateway, order)
        return await _order(here, caller, order)

    return await once(here.store, customer, request, work)


# --- operation -------------------------------------------------------------------------------------------------------


@router.get("/status", tags=["Operation"])
async def get_status(here: Here, _caller: Reader) -> dict[str, Any]:
    """Return how much waits where."""
    return await status.queues(here.store)


# --- conversation ----------------------------------------------------------------------------------------------------


@router.post("/chat", tags=["Chat"])
async def chat(request: Request, here: Here, _caller: Seller, given: shapes.ChatGiven) -> Response:
    """Say something for somebody; any agent or bot can speak to Paydesk with this."""
    who = customers.identity(given.channel, given.external_id)
    where = Address(who.channel, who.external_id, given.conversation)
    person = await met_at(here, request, who)

    async def work(_operation: str) -> dict[str, Any]:
        await person.made(here, locale=given.locale)
        replies = await here.conversation.answer(where, given.text, locale=given.locale)
        return {"replies": [reply.as_json() for reply in replies]}

    return await once(here.store, person.id, request, work, also=person.given_id)


@router.get("/chat/messages", tags=["Chat"])
async def chat_messages(
    here: Here,
    _caller: Reader,
    channel: Annotated[str, Query(max_length=32)],
    external_id: Annotated[str, Query(max_length=200)],
    after: Annotated[int, Query(ge=0, le=lists.ID_MAX)] = 0,
    limit: Limit = 20,
) -> dict[str, Any]:
    """Return later messages to somebody (a payment arrived, a pass ended), oldest first."""
    who = customers.identity(channel, external_id)
    said = await here.threads.after(Address(who.channel, who.external_id), after, limit=limit + 1)
    rows = [
        {"id": one.id, "direction": one.direction, "text": one.text, "buttons": one.buttons,
         "conversation": one.conversation, "created_at": iso(one.created_at)}
        for one in said
    ]  # fmt: skip
    return shapes.page(rows, limit)
