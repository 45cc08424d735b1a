"""What tools answer: structured, with a JSON Schema each. Amounts stand twice, in the smallest unit and as people write it.

No e-mail address and no name of a person is in any answer: what a model has not read it cannot tell.
"""

from __future__ import annotations

from typing import Any

from pydantic import BaseModel

from paydesk import money


class Offer(BaseModel):
    """A price of the catalogue: `price` is what create_pay_link takes."""

    price: str
    product: str
    name: str
    description: str | None
    amount: int
    currency: str
    costs: str
    gives: list[dict[str, Any]]


class Offers(BaseModel):
    """What was found, and whether there is more."""

    offers: list[Offer]
    more: bool


class OrderLine(BaseModel):
    """One line of an order."""

    price: str | None
    name: str
    quantity: int
    amount: int


class Order(BaseModel):
    """An order as it is now. `pay_link` is where the buyer pays; it says what became of it afterwards."""

    id: str
    status: str
    customer: str
    items: list[OrderLine]
    amount: int
    currency: str
    costs: str
    pay_link: str
    created_at: str
    paid_at: str | None

    @classmethod
    def of(cls, told: dict[str, Any]) -> Order:
        """Return an order as the API has told it."""
        costs = money.display(told["amount"], told["currency"])
        return cls.model_validate({**told, "costs": costs, "pay_link": told["link"]})


class OrderStep(BaseModel):
    """An order in a list."""

    id: str
    status: str
    amount: int
    currency: str
    costs: str
    created_at: str


class OrderList(BaseModel):
    """The newest orders first."""

    orders: list[OrderStep]
    more: bool


class Allowed(BaseModel):
    """Whether a person may have a feature now, until when, and what gives it."""

    allowed: bool
    feature: str
    until: str | None
    because: list[str]


class Wallet(BaseModel):
    """Credits of one unit: `balance` can be spent, `held` is reserved, `debt` is paid first from what comes in."""

    unit: str
    balance: int
    held: int
    debt: int


class Subscription(BaseModel):
    """A subscription that is not over."""

    id: str
    status: str
    prices: list[str]
    until: str | None
    cancel_at: str | None
    paused: bool


class Person(BaseModel):
    """Who somebody is here, and what they have."""

    id: str
    met_at: list[str]
    credits: list[Wallet]
    access: list[Allowed]
    subscriptions: list[Subscription]


class Spent(BaseModel):
    """What was taken, and what is left."""

    customer: str
    unit: str
    amount: int
    balance: int


class Held(BaseModel):
    """A hold: `held`, `settled` with what was `used`, `released` or `expired`; and what can be spent besides."""

    id: str
    status: str
    customer: str
    unit: str
    amount: int
    used: int | None
    balance: int
    expires_at: str | None


class Trace(BaseModel):
    """What happened, oldest first; `earlier` steps were left out."""

    steps: list[dict[str, Any]]
    earlier: int


class RefundRequest(BaseModel):
    """A refund that was asked for: `next` says what happens now."""

    id: str
    status: str
    order: str
    amount: int
    currency: str
    gives_back: str
    decided_by: str | None
    detail: str | None
    refund: str | None
    expires_at: str
    next: str

    @classmethod
    def of(cls, told: dict[str, Any]) -> RefundRequest:
        """Return a request as the API has told it."""
        back = money.display(told["amount"], told["currency"])
        return cls.model_validate({**told, "gives_back": back, "next": NEXT[told["status"]]})


NEXT = {
    "waiting": "It waits for a person of the desk: nothing has gone back. Tell the buyer so; do not promise the refund.",
    "approved": "A person has approved it; it is being carried out. Look again in a minute.",
    "refunded": "The money is on its way back; the buyer is told in their thread.",
    "refused": "A person has refused it: do not ask again for the same.",
    "expired": "Nobody has answered in time; it may be asked for once more.",
    "failed": "It was approved, and could not be carried out; detail says why. A person must look.",
}
