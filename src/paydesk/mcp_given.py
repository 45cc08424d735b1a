"""What tools are given, as models that check every call and make the JSON Schema that clients show to their model.

Nothing here takes a price, a name of one's own or an amount to pay: what is sold is named by its price in the
catalogue. Unknown fields are refused by name, types are not guessed, and every text has an end.
"""

from __future__ import annotations

from typing import Annotated, Literal

from pydantic import AfterValidator, BaseModel, ConfigDict, Field, StringConstraints

from paydesk.mcp_desk import CUSTOMER

CREDITS_MAX = 10**15


def seen(text: str) -> str:
    """Return a text that a person may read in a terminal; raises `ValueError` for what steers one or turns words."""
    if not text.isprintable():
        raise ValueError("only characters that can be seen, in one line")
    return text


Id = Annotated[str, StringConstraints(min_length=1, max_length=200, pattern=r"^[^\x00-\x1f/?#]+$")]
Word = Annotated[str, StringConstraints(min_length=1, max_length=64, pattern=r"^[^\x00-\x1f]+$")]
Line = Annotated[str, StringConstraints(min_length=1, max_length=200), AfterValidator(seen)]

KEY = "names what is paid for, such as the id of the message: the same again takes nothing more"


class Given(BaseModel):
    """What one call brings."""

    model_config = ConfigDict(extra="forbid", strict=True)


class Search(Given):
    """What to look for; everything that is sold without a word."""

    query: str = Field("", max_length=200, description="words of a name, a description or a key; all must be there")
    currency: str | None = Field(None, pattern=r"^[a-z]{3}$", description="only prices in this currency, such as eur")
    kind: Literal["credits", "pass", "feature", "role", "member"] | None = Field(
        None, description="only what gives this"
    )
    limit: int = Field(20, ge=1, le=100)


class OfCustomer(Given):
    """Whose."""

    customer: Id = Field(description=CUSTOMER)


class Item(Given):
    """What of the catalogue, and how many. What it costs is the catalogue's to say."""

    price: Id = Field(description="a price as search_catalog names it")
    quantity: int = Field(1, ge=1, le=10_000)


class PayLink(OfCustomer):
    """Who buys what."""

    items: list[Item] = Field(min_length=1, max_length=20)
    conversation: Line | None = Field(
        None, description="the thread in which the buyer is told, where there are several"
    )
    idempotency_key: Line | None = Field(
        None, description="names this sale: the same again is the same order; without one, the open order for the same"
    )


class OfOrder(Given):
    """Which order."""

    order: Id = Field(description="an order's id (ord_…)")


class Orders(OfCustomer):
    """Whose orders, and how many."""

    limit: int = Field(10, ge=1, le=50)


class Access(OfCustomer):
    """Who, and what they may."""

    feature: Word = Field(description="a feature as the catalogue names it, such as premium")


class Spend(OfCustomer):
    """How many credits of which unit, what for, and the key that makes a repeat harmless."""

    amount: int = Field(ge=1, le=CREDITS_MAX)
    unit: Word = "credits"
    reason: Line | None = Field(None, description="a word about it, kept in the ledger")
    idempotency_key: Line = Field(description=KEY)


class Hold(Spend):
    """The same, and for how long it is reserved."""

    lasts_s: int = Field(900, ge=1, le=86_400, description="after so many seconds it goes back by itself")


class OfHold(Given):
    """Which hold."""

    hold: Id = Field(description="a hold's id (hld_…)")


class Settle(OfHold):
    """How much of a hold was used."""

    amount: int = Field(ge=0, le=CREDITS_MAX, description="what was used, at most what is held; the rest goes back")


class Why(OfCustomer):
    """Whose trace, of what, and how much of it."""

    feature: Word | None = Field(None, description="only what is about this feature")
    limit: int = Field(50, ge=1, le=200, description="so many of the newest steps")


class Refund(OfOrder):
    """What to give back, and why."""

    amount: str | None = Field(
        None, pattern=r"^[0-9]{1,9}(\.[0-9]{1,3})?$",
        description='in the main unit of the order\'s currency, such as "4.50"; all that is left without one',
    )  # fmt: skip
    reason: Annotated[str, StringConstraints(min_length=3, max_length=500), AfterValidator(seen)] = Field(
        description="what the person who decides should know, in one line"
    )


class OfRefundRequest(Given):
    """Which request."""

    refund_request: Id = Field(description="a request's id (rrq_…)")
