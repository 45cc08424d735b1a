"""What the API answers, as models: they describe, and nobody builds an answer from them, so they cost no call anything.

Every field is always there; what may be missing is `null`. New fields may be added, so a client ignores what it does
not know. The tests hold every answer against these.
"""

from __future__ import annotations

from datetime import datetime
from typing import Annotated, Any, Literal

from pydantic import BaseModel, ConfigDict, Field

CustomerId = Annotated[str, Field(examples=["cst_3k9w1v7mq2c8n4x6t0b5h1j7de"])]
OrderId = Annotated[str, Field(examples=["ord_8f2m6p0a4r1s9z3y7d5g1k2hwx"])]
PaymentId = Annotated[str, Field(examples=["pi_3PqWk2LmN0xYz"])]
SubscriptionId = Annotated[str, Field(examples=["sub_1PqWk2LmN0xYz"])]
Amount = Annotated[int, Field(description="in the smallest unit", examples=[999])]
Currency = Annotated[str, Field(examples=["usd"])]
Credits = Annotated[int, Field(examples=[10])]
Unit = Annotated[str, Field(examples=["credits"])]
Time = Annotated[datetime, Field(examples=["2030-01-31T12:00:00.000Z"])]
Metadata = Annotated[dict[str, str], Field(examples=[{}])]
Link = Annotated[str, Field(examples=["https://pay.example.com/r/5x8k2m9q"])]


class Answer(BaseModel):
    """What all answers have in common: a client takes fields that it does not know."""

    model_config = ConfigDict(extra="allow")


class Problem(Answer):
    """What went wrong. `param` names what to change; `decline_code` and `payment` stand with a declined card."""

    code: str = Field(description="stable, for programs", examples=["invalid_request"])
    message: str = Field(description="for people", examples=["quantity: Input should be greater than or equal to 1"])
    request_id: str = Field(description="stands in our log too", examples=["req_7h3kq2m9x4c8v1n6t0b5w1j7de"])
    param: str | None = Field(None, description="what is refused")
    decline_code: str | None = Field(None, description="the bank's reason")
    payment: str | None = Field(None, description="the payment, which can still be paid")


class Error(Answer):
    """Every error that there is."""

    error: Problem


# --- catalogue -------------------------------------------------------------------------------------------------------


class Price(Answer):
    """A price of a product."""

    key: str = Field(examples=["credits-10"])
    currency: Currency
    amount: Amount
    display: str = Field(description="for people", examples=["9.99 USD"])
    interval: str | None = Field(description="of a subscription: `day`, `week`, `month` or `year`")
    interval_count: int = Field(description="it is paid every so many intervals", examples=[1])
    trial_days: int = Field(description="days before the first payment; 0 for none", examples=[0])


class Grant(Answer):
    """What a product gives: credits, a pass, a feature, a role, a place, a booking or a ticket, with its own terms."""

    kind: str = Field(examples=["credits"])


class Product(Answer):
    """A product of the catalogue."""

    key: str = Field(examples=["credits-10"])
    name: str = Field(examples=["10 credits"])
    description: str | None
    image: str | None
    goods: str = Field(examples=["digital"])
    prices: list[Price]
    grants: list[Grant]


# --- people ----------------------------------------------------------------------------------------------------------


class Identity(Answer):
    """Where a person can be met."""

    channel: str = Field(examples=["telegram"])
    external_id: str = Field(examples=["42"])


class Customer(Answer):
    """A person."""

    id: CustomerId
    identities: list[Identity]
    email: str | None = Field(examples=["ann@example.com"])
    name: str | None
    locale: str | None = Field(examples=["en"])
    stripe_customer: str | None
    metadata: Metadata
    created_at: Time


class Step(Answer):
    """A step of the trace. What else it has depends on `what`. `cursor` is what `starting_after` takes."""

    at: Time
    what: str = Field(examples=["order"])
    id: str = Field(examples=["ord_8f2m6p0a4r1s9z3y7d5g1k2hwx"])
    cursor: str = Field(examples=["order:ord_8f2m6p0a4r1s9z3y7d5g1k2hwx"])


class Membership(Answer):
    """A role in a server or a place in a group, and whether the person is to have it."""

    channel: str = Field(examples=["telegram"])
    space: str = Field(examples=["-1001234567890"])
    role: str | None
    feature: str
    wanted: bool
    version: int


class Claimed(Answer):
    """What has been started by a claim."""

    source: str
    kind: str = Field(examples=["pass"])
    feature: str = Field(examples=["premium"])
    since: Time
    until: Time | None


class Reason(Answer):
    """Why somebody may have a feature."""

    source: str
    kind: str = Field(examples=["pass"])
    text: str = Field(examples=["30 days of access, bought, until 2 March"])
    order: str | None
    subscription: str | None
    product: str | None
    since: Time
    until: Time | None


class Access(Answer):
    """Whether somebody may have a feature now."""

    allowed: bool
    until: Time | None
    because: list[str]
    reasons: list[Reason]


# --- selling ---------------------------------------------------------------------------------------------------------


class OrderItem(Answer):
    """A line of an order: `amount` is for one."""

    price: str | None = Field(examples=["credits-10"])
    name: str = Field(examples=["10 credits"])
    quantity: int
    amount: Amount


class Order(Answer):
    """An order. `url` is Stripe's page while it can be paid there, `link` is ours and never dies, `form` our payment form."""

    id: OrderId
    status: Literal[
        "open", "pending", "paid", "fulfilled", "canceled", "expired", "refunded", "partially_refunded", "disputed"
    ]
    customer: CustomerId
    items: list[OrderItem]
    amount: Amount
    currency: Currency
    session: str | None = Field(examples=["cs_test_a1B2c3"])
    conversation: str | None
    metadata: Metadata
    livemode: bool
    created_at: Time
    paid_at: Time | None
    canceled_at: Time | None
    url: str | None = Field(examples=["https://checkout.stripe.com/c/pay/cs_test_a1B2c3"])
    link: Link
    form: Annotated[str, Field(examples=["https://pay.example.com/pay/5x8k2m9q"])]


class Failure(Answer):
    """Why the last try to pay failed."""

    code: str | None = Field(examples=["insufficient_funds"])
    message: str = Field(examples=["Your card has insufficient funds."])


class Card(Answer):
    """The card that paid."""

    brand: str | None = Field(examples=["visa"])
    last4: str = Field(examples=["4242"])


class Payment(Answer):
    """A payment. `status` is Stripe's; `client_secret` lets the buyer's page go on while it can be paid."""

    id: PaymentId
    object: Literal["payment"]
    order: OrderId
    customer: CustomerId
    status: str = Field(examples=["succeeded"])
    amount: Amount
    currency: Currency
    amount_capturable: int
    amount_received: Amount
    amount_refunded: int
    capture_method: str = Field(examples=["automatic"])
    client_secret: str | None
    next_action: dict[str, Any] | None
    failure: Failure | None
    card: Card | None
    fee: int | None
    net: int | None
    settlement_currency: str | None
    metadata: Metadata
    livemode: bool
    created_at: Time


class Refund(Answer):
    """Money that goes back."""

    id: str = Field(examples=["re_3PqWk2LmN0xYz"])
    object: Literal["refund"]
    payment: PaymentId
    order: OrderId
    amount: Amount
    currency: Currency
    status: str = Field(examples=["succeeded"])
    reason: str | None
    failure_reason: str | None
    created_at: Time


class Dispute(Answer):
    """What a buyer's bank disputes."""

    id: str = Field(examples=["dp_1PqWk2LmN0xYz"])
    object: Literal["dispute"]
    payment: PaymentId
    order: OrderId
    amount: Amount
    currency: Currency
    status: str = Field(examples=["needs_response"])
    reason: str | None = Field(examples=["fraudulent"])
    evidence_due_at: Time | None
    created_at: Time


# --- subscriptions ---------------------------------------------------------------------------------------------------


class SubscriptionItem(Answer):
    """What is subscribed to."""

    price: str | None = Field(examples=["vip-month"])
    stripe_price: str = Field(examples=["price_1PqWk2LmN0xYz"])
    product: str | None = Field(examples=["vip"])
    quantity: int
    current_period_start: Time | None
    current_period_end: Time | None


class PendingChange(Answer):
    """A change of plan that waits for the end of the cycle, here or in a schedule at Stripe.

    `price` is the catalogue's, `null` where it has none that is known; `stripe_price` is told of a schedule.
    """

    price: str | None = Field(examples=["vip-month"])
    stripe_price: str | None
    quantity: int
    at: Time


class Invoice(Answer):
    """A subscription's newest invoice; `url` is where it can be paid."""

    id: str = Field(examples=["in_1PqWk2LmN0xYz"])
    status: str = Field(examples=["paid"])
    total: Amount
    currency: Currency
    order: OrderId
    failure: str | None
    url: str | None


class Subscription(Answer):
    """A subscription: `until` is when what it gives ends, as far as is known, `grace_ends_at` while it is unpaid."""

    id: SubscriptionId
    object: Literal["subscription"]
    status: str = Field(examples=["active"])
    customer: CustomerId
    order: str | None
    items: list[SubscriptionItem]
    cancel_at: Time | None
    trial_end: Time | None
    ended_at: Time | None
    paused: bool
    grace_ends_at: Time | None
    until: Time | None
    pending_change: PendingChange | None
    latest_invoice: Invoice | None
    livemode: bool
    created_at: Time


class NewSubscription(Subscription):
    """A subscription that has just begun: what the buyer needs to go on with where it is `incomplete`."""

    client_secret: str | None
    url: str | None


class Portal(Answer):
    """A short-lived address."""

    customer: CustomerId
    url: str = Field(examples=["https://billing.stripe.com/p/session/test_a1B2c3"])
