"""The paths under `/api`, as a platform with credits calls them: `{"success": true, "data": {…}}`, or false and an error.

A `user_id` is the platform's own, an identity of channel `app`: who is unknown has no credits and no subscriptions, and
becomes a person with their first purchase. Amounts are integers in the smallest unit, as in that platform and in `/v1`.
A page may call what its buyer may do, with a publishable key and the buyer's token: for anybody else nothing is found.
"""

from __future__ import annotations

import re
from typing import Annotated, Any, Generic, Literal, TypeVar

import orjson
from fastapi import APIRouter, Path, Query, Request
from pydantic import BaseModel, ConfigDict, Field
from starlette.responses import Response

from paydesk import books, customers, ids, stats, stats_subscriptions, subscribed, wallet
from paydesk.catalog import CREDITS, Product
from paydesk.customers import Identity
from paydesk.errors import InsufficientCredits, Invalid
from paydesk.web import api, shapes, stats_api, subscriptions_api
from paydesk.web.api import Admin, AnybodyOrReader, BuyerOrReader, BuyerOrSeller, Here, Spender
from paydesk.web.auth import ME, Caller, person_of
from paydesk.web.exactly import ExactRoute, Metadata
from paydesk.web.once import DESCRIBED, checked_key

router = APIRouter(
    prefix="/api", tags=["Documented paths: /api"], route_class=ExactRoute,
    generate_unique_id_function=lambda route: f"platform_{route.name}",
)  # fmt: skip

APP = "app"
_NUMBER = re.compile(r"0|[1-9]\d{0,14}", re.ASCII)

UserId = Annotated[
    Annotated[int, Field(ge=0, lt=2**63)] | Annotated[str, Field(min_length=1, max_length=customers.EXTERNAL_ID_MAX)],
    Field(description="the platform's id of a user", examples=[123]),
]
PriceId = Annotated[str, Field(max_length=200, description="a price's key, or its id in Stripe", examples=["plus"])]
T = TypeVar("T")


# --- in --------------------------------------------------------------------------------------------------------------


class CheckoutSessionGiven(shapes.Given):
    """Who buys what on Stripe's page. `mode` may be left out: it follows from the price."""

    user_id: UserId
    price_id: PriceId
    quantity: int = Field(1, ge=1, le=10_000)
    success_url: str | None = Field(None, max_length=2000)
    cancel_url: str | None = Field(None, max_length=2000)
    mode: Literal["payment", "subscription"] | None = None
    metadata: Metadata = Field(default_factory=dict)


class BeginGiven(shapes.Given):
    """What to begin for whom, with a saved way to pay: its id, `default`, or none (then the answer says how to pay)."""

    user_id: UserId
    price_id: PriceId
    quantity: int = Field(1, ge=1, le=10_000)
    payment_method: str | None = Field(None, pattern=r"^[A-Za-z0-9_]{1,200}$", examples=["default"])
    metadata: Metadata = Field(default_factory=dict)


class CreditsGiven(shapes.Given):
    """How many credits, and a word of yours about it."""

    amount: int = Field(ge=1, le=wallet.AMOUNT_MAX, examples=[10])
    reason: str | None = Field(None, max_length=200, description="a word of yours, kept in the ledger")


# --- out -------------------------------------------------------------------------------------------------------------


class Answer(BaseModel, Generic[T]):
    """What every call here answers when it is done."""

    success: Literal[True]
    data: T


class Session(BaseModel):
    """A page to pay on. `link` leads somewhere sensible for ever, `url` for a day."""

    session_id: str | None
    url: str
    link: str
    status: str
    order: str


class Subscribed(BaseModel):
    """A subscription; times are ISO 8601. `until` is when what it gives ends, as far as is known."""

    id: str
    user_id: UserId | None
    status: str
    price_id: str | None
    product: str | None
    quantity: int
    current_period_start: str | None
    current_period_end: str | None
    cancel_at_period_end: bool
    cancel_at: str | None
    trial_end: str | None
    ended_at: str | None
    until: str | None
    created_at: str


class Begun(Subscribed):
    """A subscription that has begun; while it is to be paid, `client_secret` or `url` lets the buyer go on."""

    client_secret: str | None
    url: str | None


class Subscriptions(BaseModel):
    """What a user is subscribed to, newest first."""

    user_id: UserId
    subscriptions: list[Subscribed]


class PortalPage(BaseModel):
    """Where a user sees bills and changes cards, for a short time."""

    user_id: UserId
    url: str


class ShownPrice(BaseModel):
    """A price: `id` is what `price_id` takes, `amount` is in the smallest unit."""

    id: str
    stripe_price_id: str | None
    amount: int
    currency: str
    display: str
    interval: str | None
    interval_count: int
    trial_days: int


class ShownProduct(BaseModel):
    """What is sold. `credits` is what one of it gives, each cycle if it repeats."""

    id: str
    name: str
    description: str | None
    image: str | None
    credits: int
    prices: list[ShownPrice]


class Products(BaseModel):
    """The catalogue."""

    products: list[ShownProduct]


class Credits(BaseModel):
    """What a user can spend."""

    user_id: UserId
    balance: int


class Balance(Credits):
    """What became of credits: `balance` is what can be spent afterwards."""

    amount: int
    transaction_id: str


class Paid(BaseModel):
    """What was paid for subscriptions in a currency, in its smallest unit, and what of it went back."""

    currency: str
    gross: int
    refunded: int


class Summary(BaseModel):
    """A user's subscriptions in figures: how many in which status, what they bring in a month, what was paid."""

    user_id: UserId
    total: int
    live: int = Field(description="how many are not over")
    active: int
    trialing: int
    past_due: int
    unpaid: int
    paused: int
    canceled: int
    ending: int = Field(description="how many end with their period")
    renews_at: str | None
    mrr: list[stats_api.AmountShown]
    paid: list[Paid]


class Dashboard(BaseModel):
    """The figures of a period; what each means stands in `/v1/stats`."""

    model_config = ConfigDict(populate_by_name=True)

    begins: str = Field(alias="from", examples=["2026-01-01T00:00:00.000Z"])
    to: str
    timezone: str
    totals: list[stats_api.MoneyShown] = Field(description="one for each currency; they are never added together")
    subscriptions: stats_api.SubscriptionsShown
    credits: list[stats_api.CreditsShown]


# --- selling ---------------------------------------------------------------------------------------------------------


@router.post("/stripe/create-checkout-session", response_model=Answer[Session], openapi_extra=DESCRIBED)
async def create_checkout_session(
    request: Request, here: Here, caller: BuyerOrSeller, given: CheckoutSessionGiven
) -> Response:
    """Make an order and Stripe's page to pay it on: `POST /v1/checkouts`. Needs the scope `sell`, or a buyer's token."""
    item = shapes.ItemGiven.model_validate({"price": given.price_id, "quantity": given.quantity})
    line = await api.line_of(here, item)
    mode = "subscription" if line.price is not None and line.price.interval is not None else "payment"
    if given.mode not in (None, mode):
        raise Invalid(f"{given.price_id} is sold with the mode {mode}", param="mode")
    native = shapes.CheckoutGiven.model_validate({
        "customer": _named(caller, given.user_id), "items": [item], "success_url": given.success_url,
        "cancel_url": given.cancel_url, **_noted(given),
    })  # fmt: skip
    made = await api.create_checkout(request, here, caller, native)
    of = orjson.loads(made.body)
    same = {"status": of["status"], "link": of["link"], "order": of["id"]}
    return _done({"session_id": of["session"], "url": of["url"] or of["link"], **same}, made)


@router.post("/stripe/create-subscription", response_model=Answer[Begun], openapi_extra=DESCRIBED)
async def create_subscription(request: Request, here: Here, caller: BuyerOrSeller, given: BeginGiven) -> Response:
    """Begin a subscription: `POST /v1/subscriptions`. Needs the scope `sell`, or a buyer's token.

    Only a server may pay with a saved card: for a page the answer says how the buyer pays.
    """
    who = _named(caller, given.user_id)
    native = shapes.SubscriptionGiven.model_validate(
        {"customer": who, "price": given.price_id, "quantity": given.quantity, **_noted(given)}
    )
    made = await subscriptions_api.create_subscription(request, here, caller, native)
    of = orjson.loads(made.body)
    shown = _subscription(of, _shown_id(str(given.user_id)))
    return _done({**shown, "client_secret": of["client_secret"], "url": of["url"]}, made)


@router.delete("/stripe/subscriptions/{id}", response_model=Answer[Subscribed], openapi_extra=DESCRIBED)
async def cancel_subscription(
    request: Request, here: Here, caller: BuyerOrSeller,
    subscription: Annotated[str, Path(alias="id")], at: Literal["now", "period_end"] | None = None,
) -> Response:  # fmt: skip
    """End a subscription now, or with its period: `DELETE /v1/subscriptions/{subscription}`.

    Needs the scope `sell`, or a buyer's token: a buyer's ends with the period, which is paid for.
    """
    if caller.publishable:
        caller.must_send_only(["at"] if at == "now" else [])
        change = shapes.SubscriptionChange.model_validate({"cancel_at_period_end": True})
        ended = await subscriptions_api.change_subscription(request, here, caller, subscription, change)
    else:
        ended = await subscriptions_api.end_subscription(request, here, caller, subscription, at or "now")
    of = orjson.loads(ended.body)
    return _done(_subscription(of, await _user_of(here, of["customer"])), ended)


@router.get("/stripe/customer-portal", response_model=Answer[PortalPage])
async def customer_portal(
    request: Request, here: Here, caller: BuyerOrSeller,
    user_id: Annotated[str, Query(max_length=200)], return_url: Annotated[str | None, Query(max_length=2000)] = None,
) -> Response:  # fmt: skip
    """Return a short-lived address of Stripe's customer portal: `POST /v1/portal`.

    Needs the scope `sell`, or a buyer's token.
    """
    native = shapes.PortalGiven.model_validate({"customer": _named(caller, user_id), "return_url": return_url})
    opened = await subscriptions_api.open_portal(request, here, caller, native)
    return _done({"user_id": _shown_id(user_id), "url": orjson.loads(opened.body)["url"]}, opened)


@router.get("/stripe/products", response_model=Answer[Products])
async def list_products(here: Here, _caller: AnybodyOrReader) -> Response:
    """List what is sold, as the catalogue says now: `GET /v1/products`. Needs the scope `read`, or a publishable key."""
    return _done({"products": [_product(one) for one in here.catalog.products.values()]})


@router.get("/stripe/subscriptions/{id}", response_model=Answer[Subscriptions])
async def list_subscriptions(here: Here, caller: BuyerOrReader, user_id: Annotated[str, Path(alias="id")]) -> Response:
    """List the newest subscriptions of a user, whose id it is, a hundred at most: `GET /v1/subscriptions`.

    Needs the scope `read`, or a buyer's token.
    """
    person = await _known(here, caller, user_id)
    found = [] if person is None else await subscribed.listed(here.store, person)
    shown = [_subscription(shapes.subscription(one), _shown_id(user_id)) for one in found]
    return _done({"user_id": _shown_id(user_id), "subscriptions": shown})


# --- credits ---------------------------------------------------------------------------------------------------------


@router.get("/financial/credits/{user_id}", response_model=Answer[Credits])
async def get_credits(here: Here, caller: BuyerOrReader, user_id: str) -> Response:
    """Return what a user can spend: `GET /v1/customers/{customer}/credits`. Needs the scope `read`, or a buyer's token."""
    person = await _known(here, caller, user_id)
    async with here.store.transaction() as tx:
        wallets = {} if person is None else await books.wallets(tx, person, here.clock.now())
    balance = wallets[CREDITS].balance if CREDITS in wallets else 0
    return _done({"user_id": _shown_id(user_id), "balance": balance})


@router.post("/financial/credits/{user_id}/add", response_model=Answer[Balance], openapi_extra=DESCRIBED)
async def add_credits(request: Request, here: Here, caller: Admin, user_id: str, given: CreditsGiven) -> Response:
    """Give credits for nothing: `POST /v1/customers/{customer}/credits/grant`. Needs the scope `admin`."""
    key = _key(request)  # refused before anybody is made
    person = await customers.find_or_make(here.store, _identity(user_id))
    give = wallet.Give(person, CREDITS, given.amount, key, given.reason, actor=caller.key_id)
    return await _moved(here, user_id, give)


@router.post("/financial/credits/{user_id}/spend", response_model=Answer[Balance], openapi_extra=DESCRIBED)
async def spend_credits(request: Request, here: Here, _caller: Spender, user_id: str, given: CreditsGiven) -> Response:
    """Take credits: `POST /v1/customers/{customer}/credits/spend`. Needs the scope `spend`.

    402 `insufficient_credits`, and nothing changed, when there are too few.
    """
    person = await customers.find(here.store, _identity(user_id))
    if person is None:
        raise InsufficientCredits(f"{given.amount:,} credits are asked for, 0 can be spent", param="amount")
    return await _moved(here, user_id, wallet.Spend(person, CREDITS, given.amount, _key(request), given.reason))


async def _moved(here: Here, user_id: str, operation: wallet.Operation) -> Response:
    done = await here.wallets.run(operation)
    credit = {"user_id": _shown_id(user_id), "balance": done.balance}
    answer = _done({**credit, "amount": done.amount, "transaction_id": done.id})
    if done.replayed:
        answer.headers["Idempotent-Replayed"] = "true"
    return answer


def _key(request: Request) -> str:
    given = request.headers.get("Idempotency-Key")
    return ids.new("op") if given is None else checked_key(given)


# --- figures ---------------------------------------------------------------------------------------------------------


@router.get("/financial/subscriptions/{user_id}/summary", response_model=Answer[Summary])
async def subscription_summary(here: Here, caller: BuyerOrReader, user_id: str) -> Response:
    """Return a user's subscriptions in figures. Needs the scope `read`, or a buyer's token."""
    person = await _known(here, caller, user_id)
    found = await stats_subscriptions.summary(here.store, here.catalog.prices, person or "")
    return _done({"user_id": _shown_id(user_id), **found.as_json()})


@router.get("/financial/admin/dashboard", response_model=Answer[Dashboard])
async def dashboard(
    here: Here,
    _caller: Admin,
    begins: Annotated[str | None, Query(alias="from", max_length=40)] = None,
    ends: Annotated[str | None, Query(alias="to", max_length=40)] = None,
) -> Response:
    """Return revenue, subscriptions and credits of a period, the last 30 days unless you say: `GET /v1/stats`.

    Needs the scope `admin`.
    """
    found = await stats.report(here.store, here.catalog, stats.checked(here.clock.now(), begins, ends))
    return _done({name: value for name, value in found.as_json().items() if name not in ("by", "data")})


# --- what they share -------------------------------------------------------------------------------------------------


def _identity(user_id: str | int) -> Identity:
    """Return where a user of the platform is met; raises `Invalid` for what is no id."""
    return customers.identity(APP, user_id)


def _named(caller: Caller, user_id: str | int) -> shapes.IdentityGiven | str:
    """Return a user as `/v1` takes them; a buyer may say `me`."""
    if caller.publishable and user_id == ME:
        return ME
    return shapes.IdentityGiven(channel=APP, external_id=_identity(user_id).external_id)


async def _known(here: Here, caller: Caller, user_id: str) -> str | None:
    """Return who a user is, `None` for one who has never bought; a buyer finds nobody but themselves."""
    who = ME if caller.publishable and user_id == ME else _identity(user_id)
    if caller.publishable:
        return await person_of(here.store, caller, who)
    return await customers.find(here.store, _identity(user_id))


def _noted(given: CheckoutSessionGiven | BeginGiven) -> dict[str, Any]:
    """Return what was sent of the fields that only a server may send: to `/v1` what is left out is not sent."""
    return given.model_dump(include={"metadata", "payment_method"}, exclude_unset=True)


def _shown_id(user_id: str) -> str | int:
    """Return a user's id as the platform writes it: a plain number is a number."""
    return int(user_id) if _NUMBER.fullmatch(user_id) else user_id


async def _user_of(here: Here, customer: str) -> str | int | None:
    """Return the id under which the platform knows a person, `None` for somebody from elsewhere."""
    met = (await customers.get(here.store, here.vault, customer)).identities
    return next((_shown_id(one.external_id) for one in met if one.channel == APP), None)


def _subscription(of: dict[str, Any], user_id: str | int | None) -> dict[str, Any]:
    """Show a subscription of `/v1` as the platform knows it: it has one price."""
    item = of["items"][0]
    names = ("id", "status", "cancel_at", "trial_end", "ended_at", "until", "created_at")
    return {
        **{name: of[name] for name in names},
        "user_id": user_id,
        "price_id": item["price"] or item["stripe_price"],
        "product": item["product"],
        "quantity": item["quantity"],
        "current_period_start": item["current_period_start"],
        "current_period_end": item["current_period_end"],
        "cancel_at_period_end": of["cancel_at"] is not None,
    }


def _product(of: Product) -> dict[str, Any]:
    """Show a product of the catalogue."""
    given = sum(grant.amount or 0 for grant in of.grants if grant.kind == "credits" and grant.unit == CREDITS)
    prices = [
        {"id": one.key, "stripe_price_id": one.stripe_price, "amount": one.amount, "currency": one.currency,
         "display": one.display(), "interval": one.interval, "interval_count": one.interval_count,
         "trial_days": one.trial_days}
        for one in of.prices
    ]  # fmt: skip
    shown = {"id": of.key, "name": of.name, "description": of.description, "image": of.image}
    return {**shown, "credits": given, "prices": prices}


def _done(data: dict[str, Any], native: Response | None = None) -> Response:
    """Return what was done; that the answer of `/v1` behind it is a repeat stays told."""
    answer = Response(orjson.dumps({"success": True, "data": data}), media_type="application/json")
    if native is not None and "Idempotent-Replayed" in native.headers:
        answer.headers["Idempotent-Replayed"] = native.headers["Idempotent-Replayed"]
    return answer
