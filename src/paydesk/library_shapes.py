"""What the library takes and returns: small frozen values with types, the same in process and from afar.

Amounts of money are `Decimal` in the currency's main unit, with its own number of decimals (`Decimal("9.99")`, yen
`Decimal("500")`); `amount_minor` is the same as an integer in the smallest unit. Times are aware and in UTC.
`to_dict()` gives plain JSON: amounts as decimal strings, times in ISO 8601.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, fields
from datetime import datetime
from decimal import Decimal
from typing import Any, Literal

from paydesk.clock import iso

Json = Mapping[str, Any]
Amount = str | int | float | Decimal
"""Money in the currency's main unit: `"9.99"`, `Decimal("9.99")`, `9.99` or `10`. A float counts as it is printed."""


@dataclass(frozen=True, slots=True)
class Shown:
    """What every result can do."""

    def to_dict(self) -> dict[str, Any]:
        """Return the value as plain JSON: amounts as decimal strings, times in ISO 8601 with `Z`."""
        return {one.name: _plain(getattr(self, one.name)) for one in fields(self)}


def _plain(value: object) -> object:
    if isinstance(value, Shown):
        return value.to_dict()
    if isinstance(value, Decimal):
        return str(value)
    if isinstance(value, datetime):
        return iso(value)
    return [_plain(one) for one in value] if isinstance(value, tuple) else value


def moment(text: str) -> datetime:
    """Return a time of the API."""
    return datetime.fromisoformat(text)


def perhaps(text: str | None) -> datetime | None:
    """Return a time of the API, or `None`."""
    return None if text is None else moment(text)


# --- people ----------------------------------------------------------------------------------------------------------


@dataclass(frozen=True, slots=True)
class Identity(Shown):
    """Where a person can be met: a channel's name such as `telegram`, and their id there."""

    channel: str
    external_id: str


@dataclass(frozen=True, slots=True)
class Customer(Shown):
    """A person. `stripe_customer` is their default customer at Stripe, once they have one."""

    id: str
    identities: tuple[Identity, ...]
    email: str | None
    name: str | None
    locale: str | None
    stripe_customer: str | None
    metadata: dict[str, str]
    created_at: datetime

    @classmethod
    def of(cls, body: Json) -> Customer:
        """Read the API's JSON."""
        met = tuple(Identity(one["channel"], one["external_id"]) for one in body["identities"])
        return cls(body["id"], met, body["email"], body["name"], body["locale"], body["stripe_customer"], body["metadata"],
                   moment(body["created_at"]))  # fmt: skip


Who = str | Identity | tuple[str, str | int] | Customer
"""A person: an id (`cst_…`), a customer, or where they are met, such as `("telegram", 42)`. An id saves a request."""


@dataclass(frozen=True, slots=True)
class Access(Shown):
    """Whether a person has a feature now, until when (`None`: no end is known), and why. True when they have it."""

    allowed: bool
    until: datetime | None
    because: tuple[str, ...]

    def __bool__(self) -> bool:
        """Say whether they have it, so that `if payments.access(…)` means what it says."""
        return self.allowed

    @classmethod
    def of(cls, body: Json) -> Access:
        """Read the API's JSON."""
        return cls(body["allowed"], perhaps(body["until"]), tuple(body["because"]))


# --- credits ---------------------------------------------------------------------------------------------------------


@dataclass(frozen=True, slots=True)
class Lot(Shown):
    """Credits of one purchase or gift, with their own end; spent soonest-ending first."""

    source: str
    remaining: int
    priority: int
    expires_at: datetime | None


@dataclass(frozen=True, slots=True)
class Credits(Shown):
    """What a person has of a unit: `balance` can be spent, `held` is reserved, `debt` is owed and paid first."""

    unit: str
    balance: int
    held: int
    debt: int
    lots: tuple[Lot, ...]

    @classmethod
    def of(cls, body: Json) -> Credits:
        """Read the API's JSON."""
        lots = tuple(
            Lot(one["source"], one["remaining"], one["priority"], perhaps(one["expires_at"])) for one in body["lots"]
        )
        return cls(body["unit"], body["balance"], body["held"], body["debt"], lots)


@dataclass(frozen=True, slots=True)
class CreditOperation(Shown):
    """Credits spent or given, durably. `balance` is what can be spent afterwards."""

    id: str
    type: str
    customer: str
    unit: str
    amount: int
    balance: int
    reason: str | None
    created_at: datetime
    expires_at: datetime | None

    @classmethod
    def of(cls, body: Json) -> CreditOperation:
        """Read the API's JSON."""
        names = ("id", "type", "customer", "unit", "amount", "balance", "reason")
        times: dict[str, Any] = {
            "created_at": moment(body["created_at"]),
            "expires_at": perhaps(body.get("expires_at")),
        }
        return cls(**{name: body[name] for name in names}, **times)


@dataclass(frozen=True, slots=True)
class Hold(Shown):
    """Credits set aside. `status`: `held`, `settled` (`used` of them were taken), `released`, or `lapsed` by itself."""

    id: str
    status: str
    customer: str
    unit: str
    amount: int
    used: int | None
    balance: int
    reason: str | None
    expires_at: datetime
    created_at: datetime

    @classmethod
    def of(cls, body: Json) -> Hold:
        """Read the API's JSON."""
        names = ("id", "status", "customer", "unit", "amount", "used", "balance", "reason")
        times: dict[str, Any] = {name: moment(body[name]) for name in ("expires_at", "created_at")}
        return cls(**{name: body[name] for name in names}, **times)


# --- conversation ----------------------------------------------------------------------------------------------------


@dataclass(frozen=True, slots=True)
class Button(Shown):
    """A button: opens `url`, or says `command` as if it were typed; one of the two is `None`."""

    label: str
    url: str | None
    command: str | None

    @classmethod
    def of(cls, body: Json) -> Button:
        """Read the API's JSON."""
        return cls(body["label"], body.get("url"), body.get("command"))


@dataclass(frozen=True, slots=True)
class Reply(Shown):
    """An answer in the conversation: plain words (escape them for your platform) and buttons."""

    text: str
    buttons: tuple[Button, ...]

    @classmethod
    def of(cls, body: Json) -> Reply:
        """Read the API's JSON."""
        return cls(body["text"], tuple(Button.of(one) for one in body["buttons"]))


@dataclass(frozen=True, slots=True)
class Message(Shown):
    """A message that came by itself, such as "your payment has arrived". `id` grows; ask for those `after` the last."""

    id: int
    direction: Literal["in", "out"]
    text: str
    buttons: tuple[Button, ...]
    conversation: str | None
    created_at: datetime

    @classmethod
    def of(cls, body: Json) -> Message:
        """Read the API's JSON."""
        buttons = tuple(Button.of(one) for one in body["buttons"])
        return cls(
            body["id"], body["direction"], body["text"], buttons, body["conversation"], moment(body["created_at"])
        )
