"""What somebody orders together: lines with their prices, and what follows from them. Pure; money is the catalogue's."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

from paydesk import money
from paydesk.catalog import Catalog, Price, Product
from paydesk.errors import Invalid

QUANTITY_MAX = 10_000
LINES_MAX = 100


@dataclass(frozen=True, slots=True)
class Line:
    """A line of an order: a price of the catalogue, or (`price` is `None`) an ad hoc amount that grants nothing."""

    name: str
    quantity: int
    unit_amount: int
    currency: str
    price: Price | None = None
    product: Product | None = None


def line_of(catalog: Catalog, name: str, quantity: int, stripe_prices: dict[str, str] | None = None) -> Line:
    """Return the line for a price's key, a product's key or a Stripe price id; money comes from the catalogue alone."""
    if type(quantity) is not int or not 1 <= quantity <= QUANTITY_MAX:
        raise Invalid(f"quantity must be a whole number from 1 to {QUANTITY_MAX:,}", param="quantity")
    own = {price.stripe_price: price.key for price in catalog.prices.values() if price.stripe_price is not None}
    price = catalog.price({**(stripe_prices or {}), **own}.get(name, name))
    product = catalog.products[price.product]
    return Line(product.name, quantity, price.amount, price.currency, price, product)


def terms_of(lines: Sequence[Line]) -> tuple[int, str, list[str] | None, dict[str, Any] | None]:
    """Return amount, currency, ways to pay and plan of an order of these lines.

    Raises `Invalid` for mixed currencies, too many lines, no shared way to pay, or a total that Stripe does not take.
    """
    return *_total(lines), _methods(lines), plan_of(lines)


def stars_of(lines: Sequence[Line]) -> int | None:
    """Return what lines cost together in Stars, `None` where one of them is not sold for them."""
    each = [line.price.stars * line.quantity for line in lines if line.price is not None and line.price.stars]
    return sum(each) if len(each) == len(lines) else None


def _methods(lines: Sequence[Line]) -> list[str] | None:
    """Return the ways to pay that the products share; `None` when none names any: then Stripe's settings decide."""
    named = [line.product.payment_methods for line in lines if line.product and line.product.payment_methods]
    if not named:
        return None
    shared = [method for method in named[0] if all(method in methods for methods in named)]
    if not shared:
        raise Invalid("these items cannot be paid in the same way: order them one by one", param="items")
    return shared


def _total(lines: Sequence[Line]) -> tuple[int, str]:
    """Return what lines cost together, and the currency they share."""
    if not 1 <= len(lines) <= LINES_MAX:
        raise Invalid(f"an order has 1 to {LINES_MAX} items", param="items")
    currencies = sorted({line.currency for line in lines})
    if len(currencies) > 1:
        raise Invalid(f"an order has one currency, these items have {' and '.join(currencies)}", param="items")
    amount = sum(line.unit_amount * line.quantity for line in lines)
    if amount > 0:
        try:
            money.check_charge(amount, currencies[0])
        except ValueError as error:
            raise Invalid(f"the total is not what Stripe takes: {error}", param="items") from None
    return amount, currencies[0]


def plan_of(lines: Sequence[Line]) -> dict[str, Any] | None:
    """Return what a subscription's price gives and how it repeats, `None` for what is paid once; raises `Invalid`."""
    repeating = [line.price for line in lines if line.price is not None and line.price.interval is not None]
    if not repeating:
        return None
    if len(lines) > 1:
        raise Invalid("a subscription is ordered by itself: order the other items apart", param="items")
    price, product = repeating[0], lines[0].product
    terms = product.terms() if product is not None else {}
    return {price.key: {**terms, "interval": price.interval, "interval_count": price.interval_count}}
