"""What the API answers about credits and operation, as models; see `answers`."""

from __future__ import annotations

from typing import Annotated, Literal

from pydantic import Field

from paydesk.web.answers import Amount, Answer, Credits, Currency, CustomerId, OrderId, Time, Unit

# --- credits ---------------------------------------------------------------------------------------------------------


class Lot(Answer):
    """Credits by where they came from and when they end."""

    source: str
    remaining: Credits
    priority: int
    expires_at: Time | None


class OneWallet(Answer):
    """What there is of one unit: `balance` can be spent."""

    unit: Unit
    balance: Credits
    held: int
    debt: int
    lots: list[Lot]


class Wallet(OneWallet):
    """What somebody has: of the unit that was asked for, and of all others."""

    units: dict[str, OneWallet]


class Moved(Answer):
    """Credits that were spent or given; `expires_at` stands with what was given."""

    id: str
    object: Literal["credit_operation"]
    type: str = Field(examples=["spend"])
    customer: CustomerId
    unit: Unit
    amount: Credits
    balance: Credits
    reason: str | None
    created_at: Time
    expires_at: Time | None = None


class Hold(Answer):
    """Credits that are reserved."""

    id: str = Field(examples=["hld_4c8v1n6t0b5w1j7de7h3kq2m9x"])
    object: Literal["hold"]
    status: Literal["held", "settled", "released", "lapsed"]
    customer: CustomerId
    unit: Unit
    amount: Credits
    used: int | None
    reason: str | None
    expires_at: Time
    created_at: Time | None
    balance: Credits


class Entry(Answer):
    """An entry of the ledger: an amount leaves one account and enters another. Credits have a unit, money a currency."""

    id: str = Field(examples=["1042"])
    object: Literal["ledger_entry"]
    type: str = Field(examples=["grant"])
    customer: CustomerId | None
    unit: Unit | None
    currency: str | None
    amount: Credits
    from_: str = Field(alias="from", examples=["sold"])
    to: str = Field(examples=["wallet"])
    balance: int | None
    source: str
    reason: str | None
    created_at: Time


class TopUp(Answer):
    """How credits are bought again by themselves."""

    object: Literal["topup"]
    customer: CustomerId
    unit: Unit
    price: str = Field(examples=["credits-10"])
    below: Credits
    month_limit: int = Field(examples=[5000])
    payment_method: str | None
    enabled: bool
    stopped_because: str | None


# --- operation -------------------------------------------------------------------------------------------------------


class Event(Answer):
    """What came in, and what became of it."""

    id: str = Field(examples=["evt_1PqWk2LmN0xYz"])
    source: str = Field(examples=["stripe"])
    type: str = Field(examples=["payment_intent.succeeded"])
    state: Literal["ready", "parked", "done", "ignored", "quarantined"]
    detail: str | None
    attempts: int
    livemode: bool
    received_at: Time
    finished_at: Time | None


class Delivery(Answer):
    """What is to be said or done outside."""

    id: str = Field(examples=["7"])
    channel: str = Field(examples=["telegram"])
    customer: str | None
    template: str = Field(examples=["paid"])
    state: Literal["waiting", "sent", "dead"]
    attempts: int
    detail: str | None
    created_at: Time
    finished_at: Time | None


class InboxCounts(Answer):
    """What waits of what came in."""

    waiting: int
    parked: int
    quarantined: int


class OutboxCounts(Answer):
    """What waits of what is to leave."""

    waiting: int
    held: int
    dead: int


class TimerCounts(Answer):
    """What is to happen later."""

    waiting: int
    due: int


class Status(Answer):
    """How much waits where."""

    inbox: InboxCounts
    outbox: OutboxCounts
    timers: TimerCounts


class WebhookEndpoint(Answer):
    """Where our own events are sent."""

    id: str = Field(examples=["we_6t0b5w1j7de7h3kq2m9x4c8v1n"])
    object: Literal["webhook_endpoint"]
    url: str = Field(examples=["https://example.com/paydesk"])
    description: str | None
    enabled_events: list[str] = Field(examples=[["order.*"]])
    status: Literal["enabled", "disabled"]
    disabled_at: Time | None
    disabled_because: str | None
    failures: int
    failing_since: Time | None
    old_secret_until: Time | None
    created_at: Time


class WebhookEndpointWithSecret(WebhookEndpoint):
    """An endpoint with its secret, which is shown once."""

    secret: str = Field(examples=["whsec_…"])


class Deleted(Answer):
    """What was deleted."""

    id: str = Field(examples=["we_6t0b5w1j7de7h3kq2m9x4c8v1n"])
    object: str = Field(examples=["webhook_endpoint"])
    deleted: Literal[True]


# --- conversation ----------------------------------------------------------------------------------------------------


class Button(Answer):
    """A button: `url` is opened, `command` is said."""

    label: str = Field(examples=["Pay $9.99"])
    url: str | None = None
    command: str | None = None


class Reply(Answer):
    """What Paydesk says."""

    text: str
    buttons: list[Button]


class Replies(Answer):
    """What Paydesk answers."""

    replies: list[Reply]


class Message(Answer):
    """A message of a thread."""

    id: Annotated[int, Field(examples=[7])]
    direction: Literal["in", "out"]
    text: str
    buttons: list[Button]
    conversation: str | None
    created_at: Time


# --- keys and programs -----------------------------------------------------------------------------------------------


class Key(Answer):
    """An API key, without what it is."""

    id: str = Field(examples=["key_9x4c8v1n6t0b5w1j7de7h3kq2m"])
    object: Literal["key"]
    kind: Literal["secret", "publishable"]
    name: str = Field(examples=["my-bot"])
    prefix: str | None
    scopes: list[str] = Field(examples=[["read", "sell"]])
    origins: list[str] = Field(examples=[["https://shop.example"]])
    rate_per_s: int | None
    status: str = Field(examples=["active"])
    created_at: Time
    last_used_at: Time | None
    expires_at: Time | None
    revoked_at: Time | None
    rotated_to: str | None


class KeyItself(Key):
    """A key that was just made, with the key itself, which is shown once."""

    key: str = Field(examples=["pdk_…"])


class CustomerSession(Answer):
    """A token for one buyer's page."""

    object: Literal["customer_session"]
    customer: CustomerId
    token: str
    expires_at: Time


class ShopSaid(Answer):
    """What the catalogue says of the shop. `support` is an address, or `mailto:` with an e-mail address."""

    name: str = Field(examples=["Kawa i Lekcje"])
    logo: str | None
    accent: str | None = Field(examples=["#7a3cff"])
    terms: str | None
    privacy: str | None
    support: str | None = Field(examples=["mailto:help@kawa.example"])


class PageConfig(Answer):
    """What a page has to know. `shop` is `null` where the catalogue says nothing of it."""

    object: Literal["config"]
    livemode: bool
    shop: ShopSaid | None
    stripe_publishable_key: str | None
    stripe_api_version: str
    public_url: str
    currencies: list[str]
    languages: list[str]
    language: str


class RefundLimit(Answer):
    """How much programs may ask to give back in a currency: at once, and all together within 24 hours."""

    currency: Currency
    amount_max: Amount
    day_max: Amount


class Agent(Answer):
    """What a key may do for a program that acts for people."""

    key: str = Field(examples=["key_9x4c8v1n6t0b5w1j7de7h3kq2m"])
    scopes: list[str] = Field(examples=[["read", "sell"]])
    refunds: list[RefundLimit]


class RefundRequest(Answer):
    """A refund that somebody's program asks for. Nothing goes back before a person approves it."""

    id: str = Field(examples=["rrq_4x8k2m9c1v6n0t5b7h3w1j7deq"])
    object: Literal["refund_request"]
    status: Literal["waiting", "expired", "refused", "approved", "refunded", "failed"]
    order: OrderId
    customer: CustomerId
    amount: Amount
    currency: Currency
    reason: str
    agent: str = Field(examples=["support-bot"])
    key: str
    decided_by: str | None
    detail: str | None
    refund: str | None
    refund_status: str | None
    created_at: Time
    expires_at: Time
    decided_at: Time | None
