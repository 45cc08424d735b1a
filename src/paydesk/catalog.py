"""The catalogue: `catalog.toml` is the truth about what is sold; money, credits and days come from here alone.

`catalog_file` reads it. Changing the file never changes what was already sold: orders freeze their terms (see `orders.py`).
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from paydesk import money
from paydesk.errors import NotFound
from paydesk.storefront import NOBODY, Shop

CREDITS = "credits"
"""The default unit of credits."""

TERMS = {
    "credits": ("unit", "amount", "expires_days", "priority"),
    "pass": ("feature", "days"),
    "feature": ("feature",),
    "role": ("feature", "channel", "space", "role", "days"),
    "member": ("feature", "channel", "space", "days"),
}
"""What of a grant is frozen with what is sold, by its kind."""

DAYS_MAX = 36_500
GRACE_DAYS = 3
"""For how long an unpaid subscription keeps what it gives, where the product does not say."""


@dataclass(frozen=True, slots=True)
class Grant:
    """What one unit of a product gives. `amount` counts credits, `days` the length of a pass.

    Credits `per` cycle come with each paid cycle of a subscription, `trial_amount` of them for a trial. A role or a
    membership is of a `space` (a server, a group) of a channel; its `feature` names it: `discord:<space>:<role>`.
    """

    kind: str
    unit: str = CREDITS
    amount: int = 0
    feature: str = ""
    days: int = 0
    expires_days: int | None = None
    priority: int = 0
    per: str | None = None
    trial_amount: int = 0
    channel: str = ""
    space: str = ""
    role: str = ""

    def terms(self) -> dict[str, Any]:
        """Return the terms as they are frozen with an order."""
        terms = {"kind": self.kind, **{name: getattr(self, name) for name in TERMS[self.kind]}}
        if self.per is not None:
            terms |= {"per": self.per, "trial_amount": self.trial_amount}
        if self.kind in ("role", "member") and not self.days:
            del terms["days"]
        return terms

    def text(self, quantity: int = 1) -> str:
        """Return the grant in a few words, such as `10 credits`."""
        if self.kind == "credits":
            each = " each cycle" if self.per is not None else ""
            return f"{self.amount * quantity:,} {self.unit}{each}"
        if self.kind == "pass":
            return f"{self.days * quantity} days of {self.feature}"
        if self.kind == "role":
            return f"a role on {self.channel.capitalize()}"
        if self.kind == "member":
            return f"membership on {self.channel.capitalize()}"
        return self.feature


@dataclass(frozen=True, slots=True)
class Price:
    """A price of a product: `amount` in the smallest unit of `currency`; with an `interval`, each so often.

    `minutes` and `segment` say which of a product's prices it is: an hour at the weekend. `stars` is what it costs in
    Telegram's own money, for who pays there; `discord_sku` is what stands for it in Discord's own shop.
    """

    key: str
    product: str
    currency: str
    amount: int
    stripe_price: str | None = None
    interval: str | None = None
    interval_count: int = 1
    trial_days: int = 0
    minutes: int | None = None
    segment: str | None = None
    stars: int | None = None
    discord_sku: str | None = None

    def display(self) -> str:
        """Return the price for a person to read, such as `9.99 USD` or `9.99 USD a month`."""
        return money.display(self.amount, self.currency) + self.every()

    def every(self) -> str:
        """Return how often it is paid, in words: nothing for a price that is paid once."""
        if self.interval is None:
            return ""
        return f" a {self.interval}" if self.interval_count == 1 else f" every {self.interval_count} {self.interval}s"


@dataclass(frozen=True, slots=True)
class Product:
    """What is sold: one or more prices, and what each unit grants.

    `grace_days`: how long an unpaid subscription keeps what it gives. `reminders`: whether people are told before a
    renewal, the end of a trial or of a card. `starts`: whether passes run from the purchase or from when they are claimed.
    `promotion_codes`: whether the payment page takes codes.
    """

    key: str
    name: str
    prices: tuple[Price, ...]
    grants: tuple[Grant, ...]
    description: str | None = None
    image: str | None = None
    goods: str = "digital"
    on_dispute: str = "hold"
    payment_methods: tuple[str, ...] = ()
    grace_days: int = GRACE_DAYS
    reminders: bool = True
    starts: str = "purchase"
    promotion_codes: bool = False

    def terms(self) -> dict[str, Any]:
        """Return what of a product counts for what is sold of it from now on."""
        return {
            "product": self.key,
            "name": self.name,
            "grants": [self.grant_terms(grant) for grant in self.grants],
            "grace_days": self.grace_days,
            "reminders": self.reminders,
        }

    def grant_terms(self, grant: Grant) -> dict[str, Any]:
        """Return the terms of one grant, as a source keeps them but for the quantity."""
        starts = {"starts": "claim"} if self.starts == "claim" and grant.kind in ("pass", "role", "member") else {}
        return {**grant.terms(), "on_dispute": self.on_dispute, **starts}


@dataclass(frozen=True, slots=True)
class Catalog:
    """All products, by key, in the order of the file; below how many of a unit people are told; whose shop it is."""

    path: Path
    products: Mapping[str, Product] = field(default_factory=dict)
    low_marks: Mapping[str, int] = field(default_factory=dict)
    shop: Shop = NOBODY

    def units(self) -> set[str]:
        """Return the units of credits that are known: the default one, and what products grant."""
        grants = [one for product in self.products.values() for one in product.grants]
        return {CREDITS} | {one.unit for one in grants if one.kind == "credits"}

    def low_mark(self, unit: str) -> int:
        """Return below how many of a unit their owner is told; 0 for never."""
        return self.low_marks.get(unit, 0)

    @property
    def prices(self) -> dict[str, Price]:
        """Return every price by its key."""
        return {price.key: price for product in self.products.values() for price in product.prices}

    def find_price(self, name: str) -> Price | None:
        """Return the price that `name` means: a price's key, or the key of a product that has one price."""
        product = self.products.get(name)
        if product is not None and len(product.prices) == 1:
            return product.prices[0]
        return self.prices.get(name)

    def price(self, name: str) -> Price:
        """Return the price that `name` means; raises `NotFound` with the nearest right words."""
        found = self.find_price(name)
        if found is None and name in self.products:
            keys = ", ".join(price.key for price in self.products[name].prices)
            raise NotFound(f"{name} has several prices; name one of them: {keys}", param="price")
        if found is None:
            raise NotFound(f"the catalogue has no price {name!r}", param="price")
        return found


TEMPLATE = """\
# What you sell. This file is the truth: amounts, credits and days come from here and nowhere else.
# Check it with `paydesk catalog plan`, send it to Stripe with `paydesk catalog push`.
# Changing it never changes what was already sold.

# What buyers' pages and the web chat say of you. Only the name is needed; docs/shop.md tells of the rest.
# [shop]
# name = "Your shop"
# logo = "logo.svg"
# accent = "#0a6b4b"
# terms = "https://shop.example/terms"
# privacy = "https://shop.example/privacy"
# support = "help@shop.example"

[products.credits-10]
name = "10 credits"
description = "Ten messages, no subscription"
# An amount is a decimal text in the currency's main unit. A product with one price needs no price key.
prices = [{ currency = "usd", amount = "9.99" }]
grants = [{ kind = "credits", amount = 10 }]

[products.credits-50]
name = "50 credits"
prices = [{ currency = "usd", amount = "39.99" }]
# Credits may end after some days; spent soonest-ending first.
grants = [{ kind = "credits", amount = 50, expires_days = 365 }]

[products.access-30d]
name = "30 days of access"
prices = [{ currency = "usd", amount = "29.99" }]
# A pass gives a feature for some days; two passes add up.
grants = [{ kind = "pass", feature = "premium", days = 30 }]

[products.supporter]
name = "Supporter"
# Several prices: each needs a key of its own.
prices = [{ key = "supporter-usd", currency = "usd", amount = "5.00" },
          { key = "supporter-eur", currency = "eur", amount = "5.00" }]
# A feature is given for ever.
grants = [{ kind = "feature", feature = "supporter" }]
""".replace(" \n", "\n")
