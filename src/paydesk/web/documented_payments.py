"""The paths under `/payments`, as a messaging agent calls them: amounts are decimals in the main unit, exact to the digit.

Each call is one of `/v1` in other words: it reads what that agent sends, lets the call of `/v1` do it, and shows the
result in the agent's shape. Whoever pays without being named is a guest.
"""

from __future__ import annotations

from collections.abc import Callable
from typing import Annotated, Any, Literal

import orjson
from fastapi import APIRouter, Query, Request
from pydantic import BaseModel, Field
from starlette.responses import Response

from paydesk import checkout, customers, ids, keys, payers, payments
from paydesk.customers import Identity
from paydesk.errors import Invalid
from paydesk.library_asking import currency_of, minor_of
from paydesk.web import api, payments_api, shapes
from paydesk.web.api import Here, Reader, Refunder, Seller
from paydesk.web.auth import Caller
from paydesk.web.exactly import Amount, ExactRoute, Metadata, Shown, exact
from paydesk.web.once import DESCRIBED, checked_key, once

router = APIRouter(
    prefix="/payments", tags=["Documented paths: /payments"], route_class=ExactRoute,
    generate_unique_id_function=lambda route: f"agent_{route.name}",
)  # fmt: skip

GUEST = "guest"
NAME_MAX = 120


# --- in --------------------------------------------------------------------------------------------------------------


Currency = Annotated[str, Field(pattern=r"^[A-Za-z]{3}$", examples=["usd"])]


class IntentGiven(shapes.Given):
    """A payment to make."""

    amount: Amount
    currency: Currency = "usd"
    description: str | None = Field(None, min_length=1, max_length=NAME_MAX)
    metadata: Metadata = Field(default_factory=dict)


class LineGiven(shapes.Given):
    """A line of a page to pay on: a name and an amount of your own, which grant nothing, or a price of the catalogue."""

    name: str | None = Field(None, min_length=1, max_length=NAME_MAX)
    description: str | None = Field(None, max_length=500)
    amount: Amount | None = None
    quantity: int = Field(1, ge=1, le=10_000)
    price: str | None = Field(None, max_length=200, description="a price of the catalogue, instead of name and amount")


class PageGiven(shapes.Given):
    """A page to pay on. The buyer is a guest, whom `customer_email` lets you write to."""

    items: list[LineGiven] = Field(min_length=1, max_length=100)
    success_url: str | None = Field(None, max_length=2000)
    cancel_url: str | None = Field(None, max_length=2000)
    customer_email: str | None = Field(None, max_length=320)
    currency: Currency = "usd"
    metadata: Metadata = Field(default_factory=dict)


class BackGiven(shapes.Given):
    """What to give back: all that is left without an amount."""

    payment_intent_id: str = Field(max_length=200, examples=["pi_…"])
    amount: Amount | None = None
    reason: Literal["duplicate", "fraudulent", "requested_by_customer"] | None = None


class PersonGiven(shapes.Given):
    """A person to make."""

    email: str | None = Field(None, max_length=320, examples=["customer@example.com"])
    name: str | None = Field(None, max_length=200)


# --- out -------------------------------------------------------------------------------------------------------------


class Intent(BaseModel):
    """A payment. `client_secret` is there while it can still be paid, `customer_id` is Stripe's."""

    id: str
    amount: Shown
    currency: str
    status: str
    client_secret: str | None
    customer_id: str | None
    metadata: dict[str, str]
    order: str = Field(description="what it pays, at `/v1/orders/{order}`")


class IntentAnswer(BaseModel):
    """What became of a payment."""

    success: Literal[True]
    payment_intent: Intent


class Page(BaseModel):
    """A page to pay on. `link` leads somewhere sensible for ever, `url` for a day."""

    id: str | None
    url: str
    status: str
    link: str
    order: str = Field(description="what it pays, at `/v1/orders/{order}`")


class PageAnswer(BaseModel):
    """A page that was made."""

    success: Literal[True]
    checkout_session: Page


class Back(BaseModel):
    """Money given back."""

    id: str
    amount: Shown
    currency: str
    status: str
    payment_intent_id: str
    reason: str | None


class BackAnswer(BaseModel):
    """What became of a refund."""

    success: Literal[True]
    refund: Back


class Person(BaseModel):
    """A person: `id` is Stripe's, or ours while Stripe does not know them yet; `customer` is ours, for `/v1`."""

    id: str
    email: str | None
    name: str | None
    metadata: dict[str, str]
    customer: str


class PersonAnswer(BaseModel):
    """A person who was made or found."""

    success: Literal[True]
    customer: Person


# --- payments --------------------------------------------------------------------------------------------------------


@router.post("/intent/create", response_model=IntentAnswer, openapi_extra=DESCRIBED)
async def create_intent(request: Request, here: Here, caller: Seller, given: IntentGiven) -> Response:
    """Make a payment that your own page carries out with `client_secret`: `POST /v1/payments`. Needs the scope `sell`."""
    currency = currency_of(given.currency)
    guest = await _guest(request, here, caller)
    asked = {"amount": minor_of(given.amount, currency), "currency": currency, "customer": guest}
    noted = {"description": given.description, "metadata": given.metadata}
    native = shapes.PaymentGiven.model_validate({**asked, **noted})
    return await _intent(here, await payments_api.create_payment(request, here, caller, native))


@router.get("/intent/{payment_intent_id}/status", response_model=IntentAnswer)
async def intent_status(here: Here, _caller: Reader, payment_intent_id: str) -> Response:
    """Return a payment as it is now: `GET /v1/payments/{payment}`. Needs the scope `read`."""
    found = await payments.get(here.store, here.gateway, payment_intent_id)
    return await _intent(here, _json(shapes.payment(found)))


@router.post("/intent/{payment_intent_id}/cancel", response_model=IntentAnswer, openapi_extra=DESCRIBED)
async def cancel_intent(request: Request, here: Here, caller: Seller, payment_intent_id: str) -> Response:
    """Cancel an unpaid payment and its order: `POST /v1/payments/{payment}/cancel`. Needs the scope `sell`."""
    return await _intent(here, await payments_api.cancel_payment(request, here, caller, payment_intent_id))


async def _intent(here: Here, native: Response) -> Response:
    """Show a payment of `/v1` as the agent knows it."""
    payer = (await checkout.get(here.store, orjson.loads(native.body)["order"]))["stripe_customer"]

    def shown(of: dict[str, Any]) -> dict[str, Any]:
        names = ("id", "amount", "currency", "status", "client_secret", "metadata", "order")
        same = {name: of[name] for name in names}
        same["amount"] = exact(of["amount"], of["currency"])
        return {"payment_intent": {**same, "customer_id": payer}}

    return _in_other_words(native, shown)


# --- pages to pay on, and money back ---------------------------------------------------------------------------------


@router.post("/checkout/create", response_model=PageAnswer, openapi_extra=DESCRIBED)
async def create_page(request: Request, here: Here, caller: Seller, given: PageGiven) -> Response:
    """Make an order and Stripe's page to pay it on: `POST /v1/checkouts`. Needs the scope `sell`."""
    currency = currency_of(given.currency)
    items = [_item(one, currency, f"items.{number}") for number, one in enumerate(given.items)]
    met = await _guest(request, here, caller)
    guest = _told(met, given.customer_email)
    native = shapes.CheckoutGiven.model_validate({
        "customer": met, "items": items, "metadata": given.metadata,
        "success_url": given.success_url, "cancel_url": given.cancel_url,
    })  # fmt: skip

    def shown(of: dict[str, Any]) -> dict[str, Any]:
        same = {"status": of["status"], "link": of["link"], "order": of["id"]}
        return {"checkout_session": {"id": of["session"], "url": of["url"] or of["link"], **same}}

    return _in_other_words(await api.sell(request, here, caller, native, guest), shown)


def _item(given: LineGiven, currency: str, where: str) -> shapes.ItemGiven:
    """Return a line as `/v1` takes it; raises `Invalid` that names the line and what is wrong with it."""
    if given.price is not None:
        if given.name is not None or given.amount is not None or given.description is not None:
            raise Invalid("an item has a price, or name and amount, not both", param=f"{where}.price")
        return shapes.ItemGiven.model_validate({"price": given.price, "quantity": given.quantity})
    if given.name is None or given.amount is None:
        missing = "name" if given.name is None else "amount"
        raise Invalid("an item needs name and amount, or a price of the catalogue", param=f"{where}.{missing}")
    name = given.name if not given.description else f"{given.name}, {given.description}"
    if len(name) > NAME_MAX:
        name = name[: NAME_MAX - 1] + "…"
    amount = {"amount": minor_of(given.amount, currency, f"{where}.amount"), "currency": currency}
    return shapes.ItemGiven.model_validate({"name": name, **amount, "quantity": given.quantity})


@router.post("/refund", response_model=BackAnswer, openapi_extra=DESCRIBED)
async def refund(request: Request, here: Here, caller: Refunder, given: BackGiven) -> Response:
    """Give money back, all that is left or `amount`: `POST /v1/refunds`. Needs the scope `refund`."""
    amount_minor = None
    if given.amount is not None:
        paid = await payments.get(here.store, here.gateway, given.payment_intent_id)
        amount_minor = minor_of(given.amount, paid.currency)
    asked = {"payment": given.payment_intent_id, "amount": amount_minor, "reason": given.reason}
    native = shapes.RefundGiven.model_validate(asked)

    def shown(of: dict[str, Any]) -> dict[str, Any]:
        same = {name: of[name] for name in ("id", "amount", "currency", "status", "reason")}
        same["amount"] = exact(of["amount"], of["currency"])
        return {"refund": {**same, "payment_intent_id": of["payment"]}}

    return _in_other_words(await payments_api.create_refund(request, here, caller, native), shown)


# --- people ----------------------------------------------------------------------------------------------------------


@router.post("/customer/create", response_model=PersonAnswer, openapi_extra=DESCRIBED)
async def create_customer(
    request: Request, here: Here, caller: Seller, given: PersonGiven | None = None,
    email: Annotated[str | None, Query(max_length=320)] = None,
    name: Annotated[str | None, Query(max_length=200)] = None,
) -> Response:  # fmt: skip
    """Make a person, here and at Stripe: `POST /v1/customers`. Needs the scope `sell`.

    E-mail and name may stand in the body instead, where no log of addresses keeps them.
    """
    told = given or PersonGiven.model_validate({})
    address = told.email or email
    if address is None:
        raise Invalid("a customer needs an e-mail address", param="email")
    new = customers.checked([], address, told.name or name, None, {})

    async def work(operation: str) -> dict[str, Any]:
        made = await customers.create(here.store, here.vault, new, id_=ids.derived("cst", operation))
        await payers.stripe_customer(here.store, here.gateway, made.id)
        return {"success": True, "customer": await _person(here, made.id)}

    return await once(here.store, caller.key_id, request, work, personal=True)


@router.get("/customer/{customer_id}", response_model=PersonAnswer)
async def get_customer(here: Here, _caller: Reader, customer_id: str) -> Response:
    """Return a person by Stripe's id or by ours: `GET /v1/customers/{customer}`. Needs the scope `read`.

    Nothing is made, here or at Stripe: who has never paid has our id in both places.
    """
    known = await payers.person_of(here.store, customer_id) if customer_id.startswith("cus_") else customer_id
    return _json({"success": True, "customer": await _person(here, known)})


async def _person(here: Here, id_: str) -> dict[str, Any]:
    found = await customers.get(here.store, here.vault, id_)
    shown = {"email": found.email, "name": found.name, "metadata": found.metadata}
    return {"id": found.stripe_customer or found.id, **shown, "customer": found.id}


# --- what they share -------------------------------------------------------------------------------------------------


async def _guest(request: Request, here: Here, caller: Caller) -> shapes.IdentityGiven:
    """Return where a guest is met: the same for repeats under one key, also when the API key was rotated meanwhile."""
    key = request.headers.get("Idempotency-Key")
    seed = ids.new("op") if key is None else f"{(await keys.line(here.store, caller.key_id))[0]}:{checked_key(key)}"
    return shapes.IdentityGiven(channel=GUEST, external_id=ids.hashed("op", seed))


def _told(guest: shapes.IdentityGiven, email: str | None) -> customers.NewCustomer:
    """Return the guest who is to be made, with the address that was told; raises `Invalid` for what is none."""
    try:
        return customers.checked([Identity(GUEST, str(guest.external_id))], email, None, None, {})
    except Invalid as error:
        raise Invalid(error.message, param="customer_email") from None


def _in_other_words(native: Response, shown: Callable[[dict[str, Any]], dict[str, Any]]) -> Response:
    """Return an answer of `/v1` in the agent's shape; that it is a repeat stays told."""
    answer = _json({"success": True, **shown(orjson.loads(native.body))})
    if "Idempotent-Replayed" in native.headers:
        answer.headers["Idempotent-Replayed"] = native.headers["Idempotent-Replayed"]
    return answer


def _json(content: dict[str, Any]) -> Response:
    return Response(orjson.dumps(content), media_type="application/json")
