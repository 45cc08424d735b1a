"""The catalogue: `catalog.toml` is the truth about what is sold; money, credits and days come from here alone.

`load` returns a whole, checked catalogue or raises `CatalogError` with file, line and reason. Unknown keys are
refused. Changing the file never changes what was already sold: orders freeze their terms (see `orders.py`).
"""

from __future__ import annotations

import re
import tomllib
from collections.abc import Iterator, Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from paydesk import money
from paydesk.errors import CatalogError, NotFound

CREDITS = "credits"
"""The default unit of credits."""

PRODUCT_KEYS = {
    "name", "prices", "grants", "description", "image", "goods", "payment_methods", "grace_days", "stock", "on_dispute",
    "starts", "reminders",
}  # fmt: skip
PRICE_KEYS = {
    "key", "currency", "amount", "interval", "trial_days", "minutes", "segment", "stripe_price", "stripe_price_env",
}  # fmt: skip
GRANT_KEYS = {
    "credits": {"kind", "amount", "unit", "expires_days", "priority", "per"},
    "pass": {"kind", "feature", "days"},
    "feature": {"kind", "feature"},
}
NOT_YET = {"interval", "trial_days", "minutes", "segment", "grace_days", "stock", "starts", "reminders", "per"}
KINDS_NOT_YET = {"role", "member", "booking", "ticket"}
CHOICES = {
    "goods": ("digital", "physical", "real_world_service"),
    "on_dispute": ("hold", "wait"),
}
DAYS_MAX = 36_500
CREDITS_MAX = 1_000_000_000

_KEY = re.compile(r"[A-Za-z0-9][A-Za-z0-9._-]{0,63}", re.ASCII)
_BRACE = re.compile(r'"(?:[^"\\\n]|\\.)*"|\'[^\'\n]*\'|#[^\n]*|[{}]')


@dataclass(frozen=True, slots=True)
class Grant:
    """What one unit of a product gives. `amount` counts credits, `days` the length of a pass."""

    kind: str
    unit: str = CREDITS
    amount: int = 0
    feature: str = ""
    days: int = 0
    expires_days: int | None = None
    priority: int = 0

    def terms(self) -> dict[str, Any]:
        """Return the terms as they are frozen with an order."""
        every = {
            "credits": ("unit", "amount", "expires_days", "priority"),
            "pass": ("feature", "days"),
            "feature": ("feature",),
        }
        return {"kind": self.kind, **{name: getattr(self, name) for name in every[self.kind]}}

    def text(self, quantity: int = 1) -> str:
        """Return the grant in a few words, such as `10 credits`."""
        if self.kind == "credits":
            return f"{self.amount * quantity:,} {self.unit}"
        if self.kind == "pass":
            return f"{self.days * quantity} days of {self.feature}"
        return self.feature


@dataclass(frozen=True, slots=True)
class Price:
    """A price of a product: `amount` in the smallest unit of `currency`."""

    key: str
    product: str
    currency: str
    amount: int
    stripe_price: str | None = None

    def display(self) -> str:
        """Return the price for a person to read."""
        return money.display(self.amount, self.currency)


@dataclass(frozen=True, slots=True)
class Product:
    """What is sold: one or more prices, and what each unit grants."""

    key: str
    name: str
    prices: tuple[Price, ...]
    grants: tuple[Grant, ...]
    description: str | None = None
    image: str | None = None
    goods: str = "digital"
    on_dispute: str = "hold"
    payment_methods: tuple[str, ...] = ()


@dataclass(frozen=True, slots=True)
class Catalog:
    """All products, by key, in the order of the file."""

    path: Path
    products: Mapping[str, Product] = field(default_factory=dict)
    low_marks: Mapping[str, int] = field(default_factory=dict)

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


def load(path: Path, environ: Mapping[str, str] | None = None) -> Catalog:
    """Read and check the catalogue at `path`; raises `CatalogError` with file, line and reason."""
    try:
        raw = path.read_text(encoding="utf-8")
    except FileNotFoundError:
        raise CatalogError(f"{path}: there is no catalogue here; make one with: paydesk init") from None
    except (OSError, UnicodeDecodeError) as error:
        raise CatalogError(f"{path}: cannot be read: {error}") from error
    try:
        tree = tomllib.loads(raw)
    except tomllib.TOMLDecodeError as error:
        raise CatalogError(f"{path}: {error}") from error
    return _Reader(path, raw, environ or {}).catalog(tree)


class _Reader:
    """Checks a parsed file piece by piece; knows the text, to name the line of what it refuses."""

    def __init__(self, path: Path, raw: str, environ: Mapping[str, str]) -> None:
        self._path = path
        self._lines = raw.splitlines()
        self._environ = environ
        self._product = ""
        self._row: tuple[str, int] | None = None

    def catalog(self, tree: Mapping[str, Any]) -> Catalog:
        for name in tree:
            if name not in ("products", "units"):
                raise self._refuse(
                    f"unknown key {name!r}; a catalogue has [products.<key>] and [units.<unit>] tables", name
                )
        tables = tree.get("products", {})
        if not isinstance(tables, dict) or not tables:
            raise self._refuse("no products; a product starts with [products.<key>]", "products")
        products = {key: self._read_product(key, table) for key, table in tables.items()}
        catalog = Catalog(self._path, products, self._read_units(tree.get("units", {})))
        self._refuse_twice(products)
        return catalog

    def _read_units(self, tables: Any) -> dict[str, int]:
        """Return below how many of each unit its owner is told."""
        self._product = ""
        if not isinstance(tables, dict) or not all(isinstance(table, dict) for table in tables.values()):
            raise self._refuse("units must be tables: [units.credits]", "units")
        for unit, table in tables.items():
            if not _KEY.fullmatch(unit):
                raise self._refuse(f"the unit {unit!r} may have letters, digits, dot, dash and underscore", unit)
            self._refuse_unknown(table, {"low"})
        return {unit: self._integer(table, "low", 1, CREDITS_MAX) for unit, table in tables.items() if "low" in table}

    def _refuse_twice(self, products: Mapping[str, Product]) -> None:
        taken: dict[str, str] = {}
        for product in products.values():
            self._product = product.key
            for price in product.prices:
                other = taken.setdefault(price.key, product.key)
                if other != product.key or [p.key for p in product.prices].count(price.key) > 1:
                    raise self._refuse(f"the price key {price.key!r} is used twice", price.key)

    def _read_product(self, key: str, table: Any) -> Product:
        self._product = key
        if not _KEY.fullmatch(key):
            raise self._refuse(f"the product key {key!r} may have letters, digits, dot, dash and underscore", key)
        if not isinstance(table, dict):
            raise self._refuse(f"products.{key} must be a table", key)
        self._refuse_unknown(table, PRODUCT_KEYS)
        for name, choices in CHOICES.items():
            if table.get(name, choices[0]) not in choices:
                raise self._refuse(f"{name} must be one of {', '.join(choices)}", name)
        prices = self._rows(table, "prices")
        if not prices:
            raise self._refuse("a product needs at least one price", "prices")
        return Product(
            key=key,
            name=self._text(table, "name", length_max=120),
            prices=tuple(self._read_price(row, key, only=len(prices) == 1) for row in self._each("prices", prices)),
            grants=tuple(self._read_grant(row) for row in self._each("grants", self._rows(table, "grants"))),
            description=self._text(table, "description", length_max=500) if "description" in table else None,
            image=self._text(table, "image", length_max=2000) if "image" in table else None,
            goods=table.get("goods", "digital"),
            on_dispute=table.get("on_dispute", "hold"),
            payment_methods=self._methods(table),
        )

    def _read_price(self, row: Mapping[str, Any], product: str, *, only: bool) -> Price:
        self._refuse_unknown(row, PRICE_KEYS)
        key = row.get("key", product if only else None)
        if not isinstance(key, str) or not _KEY.fullmatch(key):
            raise self._refuse(
                "each of several prices needs a key of letters, digits, dot, dash and underscore", "prices"
            )
        currency = row.get("currency")
        if not isinstance(currency, str) or not money.is_currency(currency):
            raise self._refuse('currency must be three lower-case letters that Stripe knows, such as "usd"', "currency")
        try:
            amount = money.to_minor(row.get("amount", ""), currency)
        except ValueError as error:
            raise self._refuse(str(error), "amount") from None
        minimum = money.MINIMUM_MINOR.get(currency, 1)
        if 0 < amount < minimum:
            least = money.display(minimum, currency)
            raise self._refuse(f"Stripe takes at least {least} (or nothing: 0)", "amount")
        return Price(key, product, currency, amount, self._stripe_price(row))

    def _stripe_price(self, row: Mapping[str, Any]) -> str | None:
        if "stripe_price_env" in row:
            name = self._text(row, "stripe_price_env", length_max=100)
            if name not in self._environ:
                raise self._refuse(f"stripe_price_env names {name}, which is not set", "stripe_price_env")
            return self._environ[name]
        return self._text(row, "stripe_price", length_max=200) if "stripe_price" in row else None

    def _read_grant(self, row: Mapping[str, Any]) -> Grant:
        kind = row.get("kind")
        if kind in tuple(KINDS_NOT_YET):
            raise self._refuse(f"the kind {kind} is not sold by this version of Paydesk yet", "kind")
        if not isinstance(kind, str) or kind not in GRANT_KEYS:
            raise self._refuse(f"a grant's kind must be one of {', '.join(GRANT_KEYS)}, not {kind!r}", "kind")
        self._refuse_unknown(row, GRANT_KEYS[kind])
        if kind == "credits":
            return Grant(
                kind,
                unit=self._name(row, "unit") if "unit" in row else CREDITS,
                amount=self._integer(row, "amount", 1, CREDITS_MAX),
                expires_days=self._integer(row, "expires_days", 1, DAYS_MAX) if "expires_days" in row else None,
                priority=self._integer(row, "priority", -100, 100) if "priority" in row else 0,
            )
        if kind == "pass":
            return Grant(kind, feature=self._name(row, "feature"), days=self._integer(row, "days", 1, DAYS_MAX))
        return Grant(kind, feature=self._name(row, "feature"))

    def _methods(self, table: Mapping[str, Any]) -> tuple[str, ...]:
        methods = table.get("payment_methods", [])
        if not isinstance(methods, list) or not all(isinstance(m, str) and _KEY.fullmatch(m) for m in methods):
            raise self._refuse('payment_methods must be a list such as ["card", "ideal"]', "payment_methods")
        return tuple(methods)

    def _rows(self, table: Mapping[str, Any], name: str) -> list[Mapping[str, Any]]:
        rows = table.get(name, [])
        if not isinstance(rows, list) or not all(isinstance(row, dict) for row in rows):
            raise self._refuse(f"{name} must be a list of tables: {name} = [{{ … }}]", name)
        return rows

    def _each(self, name: str, rows: list[Mapping[str, Any]]) -> Iterator[Mapping[str, Any]]:
        """Go through rows, remembering which one is in hand."""
        for number, row in enumerate(rows):
            self._row = (name, number)
            yield row
        self._row = None

    def _text(self, row: Mapping[str, Any], name: str, *, length_max: int) -> str:
        value = row.get(name)
        if not isinstance(value, str) or not value.strip() or len(value) > length_max or "\x00" in value:
            raise self._refuse(f"{name} must be a text of 1 to {length_max} characters", name)
        return value.strip()

    def _name(self, row: Mapping[str, Any], name: str) -> str:
        value = row.get(name)
        if not isinstance(value, str) or not _KEY.fullmatch(value):
            raise self._refuse(f"{name} must be a name of letters, digits, dot, dash and underscore", name)
        return value

    def _integer(self, row: Mapping[str, Any], name: str, least: int, most: int) -> int:
        value = row.get(name)
        if type(value) is not int or not least <= value <= most:
            raise self._refuse(f"{name} must be a whole number from {least} to {most:,}", name)
        return value

    def _refuse_unknown(self, table: Mapping[str, Any], known: set[str]) -> None:
        for name in table:
            if name not in known:
                raise self._refuse(f"unknown key {name!r}; known here: {', '.join(sorted(known))}", name)
            if name in NOT_YET:
                raise self._refuse(f"{name} is not sold by this version of Paydesk yet", name)

    def _refuse(self, reason: str, word: str) -> CatalogError:
        where = f"products.{self._product}: " if self._product else ""
        return CatalogError(f"{self._path}:{self._line_of(word)}: {where}{reason}")

    def _line_of(self, word: str) -> int:
        """Return the line of `word` in the row or product in hand, else the line where that begins."""
        start, end = self._lines_of_row(*self._lines_of_product())
        pattern = re.compile(rf"(?<![\w-])[\"']?{re.escape(word)}(?![\w-])")
        return next((n for n in range(start, end + 1) if pattern.search(self._lines[n - 1])), start)

    def _lines_of_product(self) -> tuple[int, int]:
        """Return the first and last line of the product in hand; of the file before there is one."""
        header = re.compile(rf"\s*\[products\.[\"']?{re.escape(self._product)}[\"']?\s*\]")
        start = next((n for n, line in enumerate(self._lines, 1) if header.match(line)), None)
        if start is None:
            return 1, len(self._lines)
        after = (
            n for n in range(start + 1, len(self._lines) + 1) if self._lines[n - 1].lstrip().startswith("[products.")
        )
        return start, next(after, len(self._lines) + 1) - 1

    def _lines_of_row(self, start: int, end: int) -> tuple[int, int]:
        """Return the lines of the price or grant in hand within those of its product."""
        if self._row is None:
            return start, end
        name, number = self._row
        text = "\n".join(self._lines[start - 1 : end])
        begins = re.search(rf"^\s*{name}\s*=", text, re.MULTILINE)
        if begins is None:
            return start, end
        braces = [found for found in _BRACE.finditer(text, begins.end()) if found[0] in "{}"][
            2 * number : 2 * number + 2
        ]
        lines = [start + text.count("\n", 0, brace.start()) for brace in braces]
        return (lines[0], lines[-1]) if lines else (start, end)


TEMPLATE = """\
# What you sell. This file is the truth: amounts, credits and days come from here and nowhere else.
# Check it with `paydesk catalog plan`, send it to Stripe with `paydesk catalog push`.
# Changing it never changes what was already sold.

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
