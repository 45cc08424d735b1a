"""Sending the catalogue to Stripe: `plan` says what would change, `push` makes it so, and repeating it changes nothing.

A price is found by its lookup key `paydesk:<price>`. Prices cannot be changed in Stripe: another amount is a new
price that takes the lookup key over, and the old one is left alone, so that links made with it are still honoured.
"""

from __future__ import annotations

import hashlib
from dataclasses import dataclass
from typing import Any

import orjson

from paydesk import money
from paydesk.catalog import Catalog, Price, Product
from paydesk.errors import NotFound
from paydesk.store import Store
from paydesk.stripe.gateway import Gateway

PREFIX = "paydesk:"


@dataclass(frozen=True, slots=True)
class Change:
    """A difference between the catalogue and Stripe: `create`, `update`, `replace` or `problem`."""

    action: str
    what: str
    product: Product
    price: Price | None = None
    there: str | None = None
    """The id of the price that stands in Stripe for it now."""

    def as_json(self) -> dict[str, Any]:
        """Return the change as a command prints it."""
        return {
            "action": self.action,
            "what": self.what,
            "product": self.product.key,
            "price": self.price and self.price.key,
        }


def product_id(product: Product) -> str:
    """Return the Stripe product's id, which we choose: the same product is found again without any record."""
    return f"paydesk_{product.key.replace('.', '_')}"


async def plan(gateway: Gateway, catalog: Catalog) -> list[Change]:
    """Return what `push` would change in Stripe, in its order; nothing is changed."""
    products = await gateway.products([product_id(product) for product in catalog.products.values()])
    prices = await gateway.prices_by_lookup_key([PREFIX + key for key in catalog.prices])
    changes: list[Change] = []
    for product in catalog.products.values():
        changes += _product_changes(product, products.get(product_id(product)))
        for price in product.prices:
            change = await _price_change(gateway, product, price, prices.get(PREFIX + price.key))
            changes += [change] if change is not None else []
    return changes


def _product_changes(product: Product, there: dict[str, Any] | None) -> list[Change]:
    if there is None:
        return [Change("create", f"product {product.key} ({product.name})", product)]
    wanted = _product_params(product)
    differing = sorted(name for name, value in wanted.items() if (there.get(name) or None) != (value or None))
    return [Change("update", f"product {product.key}: {', '.join(differing)}", product)] if differing else []


async def _price_change(
    gateway: Gateway, product: Product, price: Price, there: dict[str, Any] | None
) -> Change | None:
    if price.stripe_price is not None:
        return await _check_named(gateway, product, price)
    told = f"price {price.key} ({money.display(price.amount, price.currency)})"
    if there is None:
        return Change("create", told, product, price)
    if not _costs(there, price):
        was = money.display(there["unit_amount"] or 0, there["currency"])
        return Change("replace", f"{told}, was {was}", product, price, there["id"])
    if not there["active"]:
        return Change("update", f"{told} is archived in Stripe and is sold again", product, price, there["id"])
    return None


def _costs(there: dict[str, Any], price: Price) -> bool:
    """Tell whether a Stripe price costs what the catalogue says."""
    repeats = there.get("recurring")
    every = (repeats["interval"], repeats["interval_count"]) if repeats else (None, 1)
    return (there["unit_amount"], there["currency"], every) == (
        price.amount, price.currency, (price.interval, price.interval_count)
    )  # fmt: skip


async def _check_named(gateway: Gateway, product: Product, price: Price) -> Change | None:
    """Compare a price that the shop made in Stripe itself; we never change it."""
    try:
        there = await gateway.price(price.stripe_price or "")
    except NotFound:
        return Change("problem", f"price {price.key}: Stripe does not know {price.stripe_price}", product, price)
    if not there["active"]:
        return Change("problem", f"price {price.key}: {price.stripe_price} is archived in Stripe", product, price)
    if _costs(there, price):
        return None
    has = money.display(there["unit_amount"] or 0, there["currency"])
    return Change(
        "problem",
        f"price {price.key}: {price.stripe_price} costs {has}, the catalogue says {price.display()}",
        product,
        price,
    )


async def push(store: Store, gateway: Gateway, catalog: Catalog) -> list[Change]:
    """Make Stripe's products and prices those of the catalogue, note their ids, and return what was changed."""
    changes = await plan(gateway, catalog)
    noted = {row["key"]: row["stripe_price"] for row in await store.fetch("SELECT key, stripe_price FROM price")}
    for change in changes:
        if change.action != "problem":
            await _apply(gateway, change, noted)
    await _note(store, await gateway.prices_by_lookup_key([PREFIX + key for key in catalog.prices]), catalog)
    return changes


async def _apply(gateway: Gateway, change: Change, noted: dict[str, str]) -> None:
    """Make one change. `noted` are the Stripe prices that we pushed last: a deleted one must not be answered again."""
    product, price = change.product, change.price
    params = _product_params(product)
    if price is None and change.action == "create":
        await gateway.create_product({"id": product_id(product), **params}, _key("product", product.key, params))
    elif price is None:
        await gateway.update_product(product_id(product), params)
    elif change.action == "update" and change.there is not None:
        await gateway.sell_again(change.there)
    else:
        params = {
            "product": product_id(product),
            "currency": price.currency,
            "unit_amount": price.amount,
            "lookup_key": PREFIX + price.key,
            "transfer_lookup_key": True,
            "metadata": {"paydesk_price": price.key},
            **repeating(price),
        }
        after = change.there or noted.get(price.key)
        await gateway.create_price(params, _key("price", price.key, {**params, "after": after}))


async def _note(store: Store, there: dict[str, dict[str, Any]], catalog: Catalog) -> None:
    """Keep which Stripe price stands for which price, so that either name can be sold."""
    rows = [
        (key, price.product, there[PREFIX + key]["product"], there[PREFIX + key]["id"], price.amount, price.currency)
        for key, price in catalog.prices.items()
        if PREFIX + key in there
    ]
    if rows:
        await store.execute(
            "INSERT INTO price (key, product, stripe_product, stripe_price, amount, currency) "
            "SELECT * FROM unnest($1::text[], $2::text[], $3::text[], $4::text[], $5::bigint[], $6::text[]) "
            "ON CONFLICT (key) DO UPDATE SET stripe_product = excluded.stripe_product, "
            "stripe_price = excluded.stripe_price, amount = excluded.amount, currency = excluded.currency, pushed_at = now()",
            *(list(column) for column in zip(*rows, strict=True)),
        )
        await store.execute(
            "INSERT INTO stripe_price (id, key) SELECT * FROM unnest($1::text[], $2::text[]) ON CONFLICT DO NOTHING",
            [row[3] for row in rows],
            [row[0] for row in rows],
        )


def _product_params(product: Product) -> dict[str, Any]:
    params: dict[str, Any] = {"name": product.name, "active": True}
    if product.description is not None:
        params["description"] = product.description
    if product.image is not None:
        params["images"] = [product.image]
    return params


def repeating(price: Price) -> dict[str, Any]:
    """Return the parameter that makes a price repeat, where it does."""
    if price.interval is None:
        return {}
    return {"recurring": {"interval": price.interval, "interval_count": price.interval_count}}


def _key(kind: str, name: str, params: dict[str, Any]) -> str:
    """Return an idempotency key that changes with what is asked for."""
    content = hashlib.sha256(orjson.dumps(params, option=orjson.OPT_SORT_KEYS)).hexdigest()[:24]
    return f"catalog:{kind}:{name}:{content}"
