"""Money and shops of a platform's own: what a channel is asked to do about them, and what it tells of them.

Telegram's Stars are shown as an invoice and given back by us; what is bought in Discord's shop is only told, and used up
once. `base` has these words too: whoever writes a channel imports them from there.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from datetime import datetime
from typing import Any, Literal

from paydesk.channels.address import Address

# --- out: actions ----------------------------------------------------------------------------------------------------


@dataclass(frozen=True, slots=True)
class Invoice:
    """Show a pay button in the platform's own money: `amount` of it. Repeating it shows a second one of the same.

    `payload` names what is paid, and comes back in `Paying` and `PaidThere`.
    """

    key: str
    to: Address
    title: str
    description: str
    payload: str
    amount: int


@dataclass(frozen=True, slots=True)
class AnswerPaying:
    """Let a payment in the platform's own money happen, or with `error` not, and say why. Repeating it changes nothing."""

    key: str
    to: Address
    answers: Mapping[str, Any]
    error: str | None = None


@dataclass(frozen=True, slots=True)
class GiveBack:
    """Give back a payment in the platform's own money, all of it, to whom it was. Repeating it changes nothing."""

    key: str
    to: Address
    charge: str


@dataclass(frozen=True, slots=True)
class UseUp:
    """Let something that was bought in the platform's own shop be used up there, so that it can be bought again.

    `bought` is what the platform calls the purchase. Repeating it changes nothing.
    """

    key: str
    to: Address
    bought: str


# --- what there is to buy --------------------------------------------------------------------------------------------


@dataclass(frozen=True, slots=True)
class Article:
    """Something that the platform's own shop has: how it is sold there, and whether people can buy it now."""

    name: str
    kind: Literal["consumable", "durable", "subscription", "other"]
    on_sale: bool


# --- in: what an arrival means ---------------------------------------------------------------------------------------


@dataclass(frozen=True, slots=True)
class Paying:
    """Somebody is about to pay an `Invoice`: to be answered at once, by `AnswerPaying` with these `answers`."""

    who: Address
    payload: str
    currency: str
    amount: int
    answers: Mapping[str, Any]


@dataclass(frozen=True, slots=True)
class PaidThere:
    """Somebody has paid an `Invoice` in the platform's own money, under the `charge` that a refund names."""

    who: Address
    payload: str
    currency: str
    amount: int
    charge: str


@dataclass(frozen=True, slots=True)
class RefundedThere:
    """A payment in the platform's own money went back, all of it: asked for by us, or by whoever runs the platform."""

    payload: str
    amount: int
    charge: str


@dataclass(frozen=True, slots=True)
class BoughtThere:
    """What somebody has bought in the platform's own shop, as it is now: `article` is what is sold, `bought` the purchase.

    It gives from `starts_at` until `ends_at` (`None`: no end is known). `deleted`: it went back. `used_up`: it was used
    up there. `told_at` is when the platform said so: said well after an end, "no end" means that it has begun again.
    """

    who: Address
    article: str
    bought: str
    starts_at: datetime
    ends_at: datetime | None = None
    deleted: bool = False
    used_up: bool = False
    told_at: datetime | None = field(default=None, compare=False)
