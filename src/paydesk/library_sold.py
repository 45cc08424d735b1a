"""What the library shows of sales: the catalogue, payments, refunds, orders, pages to pay on, subscriptions."""

from __future__ import annotations

from dataclasses import dataclass
from datetime import datetime
from decimal import Decimal
from typing import Any

from paydesk import money
from paydesk.library_shapes import Amount, Json, Shown, moment, perhaps

# --- what is sold ----------------------------------------------------------------------------------------------------


@dataclass(frozen=True, slots=True)
class PaymentItem(Shown):
    """A line to pay: a name and an amount of your own, which grants nothing, or a `price` of the catalogue.

    `amount` is for one, in the main unit of `currency` (default: the session's). `description` is shown behind the name.
    """

    name: str | None = None
    amount: Amount | None = None
    quantity: int = 1
    description: str | None = None
    currency: str | None = None
    price: str | None = None


@dataclass(frozen=True, slots=True)
class Price(Shown):
    """A price of the catalogue; `display` is the amount as a person reads it."""

    key: str
    amount: Decimal
    currency: str
    amount_minor: int
    display: str

    @classmethod
    def of(cls, body: Json) -> Price:
        """Read the API's JSON."""
        currency, minor = body["currency"], body["amount"]
        return cls(body["key"], money.to_decimal(minor, currency), currency, minor, body["display"])


@dataclass(frozen=True, slots=True)
class Product(Shown):
    """A product of the catalogue. `grants` are what it gives, as the catalogue has it."""

    key: str
    name: str
    description: str | None
    image: str | None
    goods: str
    prices: tuple[Price, ...]
    grants: tuple[dict[str, Any], ...]

    @classmethod
    def of(cls, body: Json) -> Product:
        """Read the API's JSON."""
        prices = tuple(Price.of(one) for one in body["prices"])
        return cls(body["key"], body["name"], body["description"], body["image"], body["goods"], prices,
                   tuple(body["grants"]))  # fmt: skip


# --- money -----------------------------------------------------------------------------------------------------------


@dataclass(frozen=True, slots=True)
class Failure(Shown):
    """Why a payment failed, in Stripe's words: `message` may be shown to the buyer."""

    code: str | None
    message: str


@dataclass(frozen=True, slots=True)
class PaymentIntent(Shown):
    """A payment. `status` is Stripe's (`requires_payment_method` … `succeeded`, `canceled`).

    `client_secret` is there while it can still be paid: your page goes on with it. `fee` and `net` are in
    `settlement_currency`, `None` until Stripe has told them.
    """

    id: str
    status: str
    amount: Decimal
    currency: str
    amount_minor: int
    client_secret: str | None
    customer: str
    order: str
    amount_capturable: Decimal
    amount_received: Decimal
    amount_refunded: Decimal
    capture_method: str
    next_action: dict[str, Any] | None
    failure: Failure | None
    fee: Decimal | None
    net: Decimal | None
    settlement_currency: str | None
    metadata: dict[str, str]
    livemode: bool
    created_at: datetime

    @classmethod
    def of(cls, body: Json) -> PaymentIntent:
        """Read the API's JSON."""
        currency, settled, failure = body["currency"], body["settlement_currency"], body["failure"]
        names = ("id", "status", "currency", "client_secret", "customer", "order", "capture_method", "next_action",
                 "metadata", "livemode")  # fmt: skip
        sums = ("amount", "amount_capturable", "amount_received", "amount_refunded")
        amounts: dict[str, Any] = {name: money.to_decimal(body[name], currency) for name in sums}
        return cls(
            **{name: body[name] for name in names},
            **amounts,
            amount_minor=body["amount"],
            failure=None if failure is None else Failure(failure["code"], failure["message"]),
            fee=_settled(body["fee"], settled),
            net=_settled(body["net"], settled),
            settlement_currency=settled,
            created_at=moment(body["created_at"]),
        )


def _settled(minor: int | None, currency: str | None) -> Decimal | None:
    return None if minor is None or currency is None else money.to_decimal(minor, currency)


@dataclass(frozen=True, slots=True)
class Refund(Shown):
    """Money given back. `status`: `pending`, `succeeded`, `failed`, `canceled` or `requires_action`."""

    id: str
    status: str
    amount: Decimal
    currency: str
    amount_minor: int
    payment: str
    order: str
    reason: str | None
    failure_reason: str | None
    created_at: datetime

    @classmethod
    def of(cls, body: Json) -> Refund:
        """Read the API's JSON."""
        names = ("id", "status", "currency", "payment", "order", "reason", "failure_reason")
        return cls(
            **{name: body[name] for name in names},
            amount=money.to_decimal(body["amount"], body["currency"]),
            amount_minor=body["amount"],
            created_at=moment(body["created_at"]),
        )


@dataclass(frozen=True, slots=True)
class OrderItem(Shown):
    """A line of an order; `amount` is for one, `price` is `None` for a line of your own."""

    name: str
    amount: Decimal
    quantity: int
    price: str | None


@dataclass(frozen=True, slots=True)
class Order(Shown):
    """What somebody wants to buy, or has bought.

    `status`: `open`, `pending`, `paid`, `fulfilled`, `canceled`, `expired`, `refunded`, `partially_refunded` or
    `disputed`. `link` is our own address, which never dies; `url` is Stripe's page while the order is open.
    """

    id: str
    status: str
    amount: Decimal
    currency: str
    amount_minor: int
    customer: str
    items: tuple[OrderItem, ...]
    session: str | None
    url: str | None
    link: str
    conversation: str | None
    metadata: dict[str, str]
    livemode: bool
    created_at: datetime
    paid_at: datetime | None
    canceled_at: datetime | None

    @classmethod
    def of(cls, body: Json) -> Order:
        """Read the API's JSON."""
        currency = body["currency"]
        items = tuple(
            OrderItem(one["name"], money.to_decimal(one["amount"], currency), one["quantity"], one["price"])
            for one in body["items"]
        )
        names = (
            "id",
            "status",
            "currency",
            "customer",
            "session",
            "url",
            "link",
            "conversation",
            "metadata",
            "livemode",
        )
        return cls(
            **{name: body[name] for name in names},
            amount=money.to_decimal(body["amount"], currency),
            amount_minor=body["amount"],
            items=items,
            created_at=moment(body["created_at"]),
            paid_at=perhaps(body["paid_at"]),
            canceled_at=perhaps(body["canceled_at"]),
        )


@dataclass(frozen=True, slots=True)
class CheckoutSession(Shown):
    """A page to pay on. `url` leads to it for a day; `link` always leads somewhere sensible, so keep that one.

    `id` is Stripe's (`cs_…`), `order` is ours: `retrieve_order(session.order)` tells what became of it.
    """

    id: str
    url: str
    link: str
    status: str
    order: str
    customer: str
    amount: Decimal
    currency: str
    amount_minor: int
    metadata: dict[str, str]

    @classmethod
    def of(cls, body: Json) -> CheckoutSession:
        """Read the API's JSON of an order."""
        minor, currency = body["amount"], body["currency"]
        return cls(body["session"], body["url"] or body["link"], body["link"], body["status"], body["id"], body["customer"],
                   money.to_decimal(minor, currency), currency, minor, body["metadata"])  # fmt: skip


@dataclass(frozen=True, slots=True)
class SubscriptionItem(Shown):
    """What a subscription is for; times are those of the current period."""

    price: str | None
    product: str | None
    quantity: int
    current_period_start: datetime | None
    current_period_end: datetime | None


@dataclass(frozen=True, slots=True)
class Subscription(Shown):
    """A subscription. `status` is Stripe's; `until` is when what it gives ends, as far as is known.

    After `create_subscription`, `client_secret` and `url` say how the buyer pays when nobody could be charged; they are
    `None` everywhere else. `pending_change` and `latest_invoice` are as the API shows them.
    """

    id: str
    status: str
    customer: str
    order: str | None
    items: tuple[SubscriptionItem, ...]
    until: datetime | None
    cancel_at: datetime | None
    trial_end: datetime | None
    ended_at: datetime | None
    grace_ends_at: datetime | None
    paused: bool
    pending_change: dict[str, Any] | None
    latest_invoice: dict[str, Any] | None
    client_secret: str | None
    url: str | None
    livemode: bool
    created_at: datetime

    @classmethod
    def of(cls, body: Json) -> Subscription:
        """Read the API's JSON."""
        items = tuple(
            SubscriptionItem(one["price"], one["product"], one["quantity"], perhaps(one["current_period_start"]),
                             perhaps(one["current_period_end"]))
            for one in body["items"]
        )  # fmt: skip
        names = ("id", "status", "customer", "order", "paused", "pending_change", "latest_invoice", "livemode")
        ends = ("until", "cancel_at", "trial_end", "ended_at", "grace_ends_at")
        times: dict[str, Any] = {name: perhaps(body[name]) for name in ends}
        return cls(
            **{name: body[name] for name in names},
            **times,
            items=items,
            client_secret=body.get("client_secret"),
            url=body.get("url"),
            created_at=moment(body["created_at"]),
        )
