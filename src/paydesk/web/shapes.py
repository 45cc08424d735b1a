"""JSON in and out: what the API takes, checked and strict, and how it shows things (CONTRACT §5)."""

from __future__ import annotations

from collections.abc import Iterable
from typing import Annotated, Any, Literal

from pydantic import AfterValidator, BaseModel, ConfigDict, Field, WithJsonSchema, field_validator

from paydesk import money, showing
from paydesk.books import Wallet
from paydesk.catalog import Catalog, Product
from paydesk.clock import iso
from paydesk.customers import Customer
from paydesk.library_asking import mark_in
from paydesk.lots import Lot
from paydesk.showing import payment as payment
from paydesk.showing import refund as refund
from paydesk.showing import subscription as subscription
from paydesk.store import Record


class Given(BaseModel):
    """What a caller sends: unknown fields are refused by name, types are not guessed, and texts can be stored."""

    model_config = ConfigDict(extra="forbid", strict=True)

    @field_validator("*")
    @classmethod
    def storable(cls, value: object) -> object:
        """Refuse the one character that no database text can hold."""
        if "\x00" in (value if isinstance(value, str) else ""):
            raise ValueError("a text must not contain the character NUL")
        return value


def _unmarked(metadata: dict[str, str]) -> dict[str, str]:
    wrong = mark_in(metadata)
    if wrong is not None:
        raise ValueError(wrong)
    return metadata


Metadata = Annotated[
    dict[
        Annotated[str, Field(min_length=1, max_length=40, pattern=r"^[^\[\]\x00]+$")],
        Annotated[str, Field(max_length=500, pattern=r"^[^\x00]*$")],
    ],
    Field(max_length=40),
    AfterValidator(_unmarked),
    WithJsonSchema({
        "type": "object",
        "maxProperties": 40,
        "propertyNames": {"minLength": 1, "maxLength": 40, "pattern": r"^[^\[\]\x00]+$"},
        "additionalProperties": {"type": "string", "maxLength": 500, "pattern": r"^[^\x00]*$"},
    }),  # as generators of clients read it, who know no `patternProperties`
]  # fmt: skip
"""What a caller notes. Keys that begin with `paydesk_` are refused: our own marks are put in afterwards."""
ExternalId = Annotated[str | int, Field(description="the person's id on the channel", examples=["42"])]


StepKind = Literal[
    "order", "payment", "subscription", "invoice", "refund_request", "event", "entry", "grant", "lost", "membership",
    "delivery",
]  # fmt: skip
"""What a step of somebody's trace may be."""

COUPON = r"^[A-Za-z0-9_-]{1,200}$"


class IdentityGiven(Given):
    """Where a person can be met."""

    channel: str = Field(examples=["telegram"])
    external_id: ExternalId


class CustomerGiven(Given):
    """A person to make."""

    identities: list[IdentityGiven] = Field(default=[], max_length=20)
    email: str | None = Field(None, max_length=320, examples=["ann@example.com"])
    name: str | None = Field(None, max_length=200)
    locale: str | None = Field(None, max_length=12, examples=["en"])
    metadata: Metadata = {}


class CustomerChange(Given):
    """What is to change of a person: what is not sent stays, `null` takes it away."""

    email: str | None = Field(None, max_length=320, examples=["ann@example.com"])
    name: str | None = Field(None, max_length=200)
    locale: str | None = Field(None, max_length=12, examples=["pl"])
    metadata: Metadata = {}


class ItemGiven(Given):
    """A line: a price of the catalogue, or an ad hoc amount (`name`, `amount`, `currency`) that grants nothing."""

    price: str | None = Field(None, max_length=200, examples=["credits-10"])
    quantity: int = Field(1, ge=1, le=10_000)
    name: str | None = Field(None, min_length=1, max_length=120)
    amount: int | None = Field(None, ge=1, le=money.AMOUNT_MAX, description="in the smallest unit")
    currency: str | None = Field(None, pattern=r"^[a-z]{3}$")


class CheckoutGiven(Given):
    """Who buys what. The buyer is an id, or an identity that becomes a person when nobody knows it yet."""

    customer: IdentityGiven | str = Field(examples=[{"channel": "telegram", "external_id": "42"}])
    items: list[ItemGiven] = Field(min_length=1, max_length=100)
    success_url: str | None = Field(None, max_length=2000)
    cancel_url: str | None = Field(None, max_length=2000)
    conversation: str | None = Field(None, max_length=200)
    metadata: Metadata = {}
    save_card: bool = Field(False, description="keep the card for paying later, when the buyer is not there")
    form: bool = Field(False, description="paid in the payment form at `form`: no page at Stripe is made yet")
    coupon: str | None = Field(None, pattern=COUPON, description="a coupon's id in Stripe")
    promotion_code: str | None = Field(None, pattern=COUPON, description="as buyers type it, or its id in Stripe")
    allow_promotion_codes: bool = Field(False, description="let the buyer type a code on Stripe's page")
    payment_method_collection: Literal["always", "if_required"] = Field(
        "always", description="if_required begins a trial, or what a coupon makes free, without a card"
    )


class PaymentGiven(Given):
    """Who pays what, by a payment intent: an amount (which grants nothing), or items as for a checkout."""

    customer: IdentityGiven | str = Field(examples=[{"channel": "telegram", "external_id": "42"}])
    amount: int | None = Field(None, ge=1, le=money.AMOUNT_MAX, description="in the smallest unit", examples=[10_000])
    currency: str | None = Field(None, pattern=r"^[a-z]{3}$", examples=["usd"])
    description: str | None = Field(None, min_length=1, max_length=120)
    items: list[ItemGiven] | None = Field(None, min_length=1, max_length=100)
    capture_method: Literal["automatic", "manual"] = Field("automatic", description="manual reserves, for a week")
    payment_method: str | None = Field(None, pattern=r"^[A-Za-z0-9_]{1,200}$", examples=["pm_card_visa"])
    confirm: bool = Field(False, description="pay now, with payment_method")
    off_session: bool = Field(False, description="the buyer is not there")
    setup_future_usage: Literal["on_session", "off_session"] | None = None
    return_url: str | None = Field(None, max_length=2000)
    conversation: str | None = Field(None, max_length=200)
    metadata: Metadata = {}


class CaptureGiven(Given):
    """How much of what is reserved to take: all of it without an amount."""

    amount: int | None = Field(None, ge=1, le=money.AMOUNT_MAX, description="in the smallest unit")


class RefundGiven(Given):
    """What to give back: of a payment or of an order, all that is left without an amount."""

    payment: str | None = Field(None, max_length=200, examples=["pi_…"])
    order: str | None = Field(None, max_length=200)
    amount: int | None = Field(None, ge=1, le=money.AMOUNT_MAX, description="in the smallest unit")
    reason: Literal["duplicate", "fraudulent", "requested_by_customer"] | None = None


class SubscriptionGiven(Given):
    """What to begin for whom, with a saved way to pay: its id, `default`, or none (then the answer says how to pay)."""

    customer: IdentityGiven | str = Field(examples=[{"channel": "telegram", "external_id": "42"}])
    price: str = Field(max_length=200, examples=["vip-month"])
    quantity: int = Field(1, ge=1, le=10_000)
    payment_method: str | None = Field(None, pattern=r"^[A-Za-z0-9_]{1,200}$", examples=["default"])
    trial: bool = Field(True, description="false: paid from today, although the price has a trial")
    coupon: str | None = Field(None, pattern=COUPON, description="a coupon's id in Stripe")
    promotion_code: str | None = Field(None, pattern=COUPON, description="as buyers type it, or its id in Stripe")
    conversation: str | None = Field(None, max_length=200)
    metadata: Metadata = {}


class SubscriptionChange(Given):
    """One change: another price or quantity, a pause or its end, an end with the period or its taking back.

    What costs more counts `now`, for the rest of the period; what costs less at `period_end`, unless you say `when`.
    """

    price: str | None = Field(None, max_length=200, examples=["pro"])
    quantity: int | None = Field(None, ge=1, le=10_000)
    when: Literal["now", "period_end"] | None = None
    proration: Literal["always_invoice", "none"] | None = None
    pause: bool | None = Field(None, description="true: no money is collected; false: it is again")
    cancel_at_period_end: bool | None = None


class PortalGiven(Given):
    """Who wants to see their billing, and where the portal leads back to."""

    customer: IdentityGiven | str = Field(examples=[{"channel": "telegram", "external_id": "42"}])
    return_url: str | None = Field(None, max_length=2000)


class ChatGiven(Given):
    """What somebody said to an agent or bot that passes it on."""

    channel: str = Field(examples=["telegram"])
    external_id: ExternalId
    text: str = Field(max_length=4000, examples=["/buy credits-10"])
    locale: str | None = Field(None, max_length=12)
    conversation: str | None = Field(None, max_length=200)


# --- what a buyer may say and see ------------------------------------------------------------------------------------

CHECKOUT_OF_BUYER = (
    "customer", "items", "success_url", "cancel_url", "save_card", "promotion_code", "allow_promotion_codes",
    "form",
)  # fmt: skip
ITEM_OF_BUYER = ("price", "quantity")
PAYMENT_OF_BUYER = ("customer", "items", "return_url", "setup_future_usage")
SUBSCRIPTION_OF_BUYER = ("customer", "price", "quantity", "promotion_code")
CHANGE_OF_BUYER = ("cancel_at_period_end",)
_INTERNAL: dict[str, Any] = {
    "metadata": {},
    "stripe_customer": None,
    "fee": None,
    "net": None,
    "settlement_currency": None,
}


def fields_of(items: Iterable[BaseModel]) -> set[str]:
    """Return which fields were sent in any of these."""
    return {name for item in items for name in item.model_fields_set}


def for_buyer(shown: dict[str, Any], buyer: bool) -> dict[str, Any]:
    """Return something as its buyer sees it: what the shop has noted, and what it pays, is left empty."""
    return {name: _INTERNAL.get(name, value) for name, value in shown.items()} if buyer else shown


# --- out -------------------------------------------------------------------------------------------------------------


def page(rows: list[dict[str, Any]], limit: int) -> dict[str, Any]:
    """Return a list answer: `rows` was read with one more than `limit`, to know whether there are more."""
    return {"data": rows[:limit], "has_more": len(rows) > limit}


def product(of: Product) -> dict[str, Any]:
    """Show a product of the catalogue."""
    return {
        "key": of.key,
        "name": of.name,
        "description": of.description,
        "image": of.image,
        "goods": of.goods,
        "prices": [
            {"key": p.key, "currency": p.currency, "amount": p.amount, "display": p.display(),
             "interval": p.interval, "interval_count": p.interval_count, "trial_days": p.trial_days}
            for p in of.prices
        ],
        "grants": [grant.terms() for grant in of.grants],
    }  # fmt: skip


def products(of: Catalog) -> dict[str, Any]:
    """Show the catalogue."""
    return {"data": [product(each) for each in of.products.values()], "has_more": False}


def customer(of: Customer) -> dict[str, Any]:
    """Show a person."""
    return {
        "id": of.id,
        "identities": [{"channel": i.channel, "external_id": i.external_id} for i in of.identities],
        "email": of.email,
        "name": of.name,
        "locale": of.locale,
        "stripe_customer": of.stripe_customer,
        "metadata": of.metadata,
        "created_at": iso(of.created_at),
    }


def order(row: Record, lines: list[Record], public_url: str) -> dict[str, Any]:
    """Show an order: `url` is Stripe's page, `link` is ours and never dies, `form` is the payment form."""
    url = row["session_url"] if row["status"] == "open" else None
    token = row["link_token"]
    return {
        **showing.order(row, lines),
        "url": url,
        "link": f"{public_url}/r/{token}",
        "form": f"{public_url}/pay/{token}",
    }


def wallet(unit: str, of: Wallet) -> dict[str, Any]:
    """Show a wallet of one unit."""
    return {
        "unit": unit,
        "balance": of.balance,
        "held": of.held,
        "debt": of.debt,
        "lots": [_lot(lot) for lot in of.lots],
    }


def _lot(of: Lot) -> dict[str, Any]:
    return {
        "source": of.source,
        "remaining": of.remaining,
        "priority": of.priority,
        "expires_at": iso(of.expires_at),
    }


def event(row: Record) -> dict[str, Any]:
    """Show an inbox row, without its body."""
    return {
        "id": row["external_id"],
        "source": row["source"],
        "type": row["kind"],
        "state": row["state"],
        "detail": row["detail"],
        "attempts": row["attempts"],
        "livemode": row["livemode"],
        "received_at": iso(row["received_at"]),
        "finished_at": iso(row["finished_at"]),
    }


def delivery(row: Record) -> dict[str, Any]:
    """Show an outbox row."""
    return {
        "id": str(row["id"]),
        "channel": row["channel"],
        "customer": row["customer_id"],
        "template": row["template"],
        "state": "waiting" if row["state"] in ("ready", "leased") else row["state"],
        "attempts": row["attempts"],
        "detail": row["detail"],
        "created_at": iso(row["created_at"]),
        "finished_at": iso(row["finished_at"]),
    }
