"""Reading `catalog.toml`: a whole, checked catalogue, or one line that says where and why it is refused."""

from __future__ import annotations

import re
import tomllib
from collections.abc import Callable, Iterator, Mapping
from pathlib import Path
from typing import Any, TypeVar

from paydesk import money, storefront
from paydesk.catalog import CREDITS, DAYS_MAX, GRACE_DAYS, Catalog, Grant, Price, Product
from paydesk.errors import CatalogError
from paydesk.storefront import Shop

SHOP_KEYS = {"name", "logo", "accent", "terms", "privacy", "support"}
PRODUCT_KEYS = {
    "name", "prices", "grants", "description", "image", "goods", "payment_methods", "grace_days", "stock", "on_dispute",
    "starts", "reminders", "promotion_codes",
}  # fmt: skip
PRICE_KEYS = {
    "key", "currency", "amount", "interval", "interval_count", "trial_days", "minutes", "segment", "stars",
    "discord_sku", "stripe_price", "stripe_price_env",
}  # fmt: skip
GRANT_KEYS = {
    "credits": {"kind", "amount", "unit", "expires_days", "priority", "per", "trial_amount"},
    "pass": {"kind", "feature", "days"},
    "feature": {"kind", "feature"},
    "role": {"kind", "channel", "space", "role", "days"},
    "member": {"kind", "channel", "space", "days"},
}
NOT_YET = {"stock"}
KINDS_NOT_YET = {"booking", "ticket"}
CHOICES = {
    "goods": ("digital", "physical", "real_world_service"),
    "on_dispute": ("hold", "wait"),
    "starts": ("purchase", "claim"),
}
INTERVALS = {"day": 1095, "week": 156, "month": 36, "year": 3}
"""How a price may repeat, and how many of them Stripe takes at most (three years): docs.stripe.com/api/prices/object."""

ONCE_ONLY = ("blik", "p24", "eps", "multibanco", "oxxo", "wechat_pay", "affirm", "afterpay_clearpay")
"""Ways to pay that Stripe takes for single payments only, never for a subscription:
docs.stripe.com/payments/payment-methods/payment-method-support. iDEAL and Bancontact are not among them: Stripe keeps
the bank account behind them as SEPA debit."""

TRIAL_DAYS_MAX = 730
MINUTES_MAX = 1440
STARS_MAX = 10_000
"""What one invoice in Stars may cost (core.telegram.org/bots/api#labeledprice)."""
CREDITS_MAX = 1_000_000_000
SHOP = "[shop]"
"""What is in hand while the shop's own table is read; no product has such a key."""

T = TypeVar("T")
_KEY = re.compile(r"[A-Za-z0-9][A-Za-z0-9._-]{0,63}", re.ASCII)
_SPACE = re.compile(r"[A-Za-z0-9@-][A-Za-z0-9._-]{0,63}", re.ASCII)
_SKU = re.compile(r"[1-9][0-9]{0,19}", re.ASCII)
_HEADERS = ("[products.", "[units.", "[shop]")
_BRACE = re.compile(r'"(?:[^"\\\n]|\\.)*"|\'[^\'\n]*\'|#[^\n]*|[{}]')


def load(path: Path, environ: Mapping[str, str] | None = None) -> Catalog:
    """Read and check the catalogue at `path`; raises `CatalogError` with file, line and reason."""
    try:
        raw = path.read_text(encoding="utf-8-sig")  # some editors begin a file with a mark
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
            if name not in ("products", "units", "shop"):
                raise self._refuse(
                    f"unknown key {name!r}; a catalogue has [shop], [products.<key>] and [units.<unit>] tables", name
                )
        tables = tree.get("products", {})
        if not isinstance(tables, dict) or not tables:
            raise self._refuse("no products; a product starts with [products.<key>]", "products")
        products = {key: self._read_product(key, table) for key, table in tables.items()}
        units = self._read_units(tree.get("units", {}))
        catalog = Catalog(self._path, products, units, self._read_shop(tree.get("shop")))
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

    def _read_shop(self, table: Any) -> Shop:
        """Return what buyers' pages say of the shop."""
        if table is None:
            return storefront.NOBODY
        self._product = SHOP
        if not isinstance(table, dict):
            raise self._refuse('shop must be a table: [shop], and below it name = "…"', "shop")
        self._refuse_unknown(table, SHOP_KEYS)
        name = self._text(table, "name", length_max=storefront.NAME_MAX)
        if not name.isprintable():
            raise self._refuse("name must be a text that can be seen, on one line", "name")
        address = storefront.checked_address
        return Shop(
            name=name,
            logo=self._of_shop(table, "logo", lambda text: storefront.read_logo(text, self._path.parent)),
            accent=self._of_shop(table, "accent", storefront.checked_accent),
            terms=self._of_shop(table, "terms", address),
            privacy=self._of_shop(table, "privacy", address),
            support=self._of_shop(table, "support", storefront.checked_support),
        )

    def _of_shop(self, table: Mapping[str, Any], name: str, checked: Callable[[str], T]) -> T | None:
        if name not in table:
            return None
        try:
            return checked(self._text(table, name, length_max=storefront.ADDRESS_MAX))
        except ValueError as error:
            raise self._refuse(f"{name} {error}", name) from None

    def _refuse_twice(self, products: Mapping[str, Product]) -> None:
        taken: dict[str, str] = {}
        skus: dict[str, str] = {}
        for product in products.values():
            self._product = product.key
            for price in product.prices:
                other = taken.setdefault(price.key, product.key)
                if other != product.key or [p.key for p in product.prices].count(price.key) > 1:
                    raise self._refuse(f"the price key {price.key!r} is used twice", price.key)
                if price.discord_sku is not None and skus.setdefault(price.discord_sku, price.key) != price.key:
                    raise self._refuse(f"the SKU {price.discord_sku} stands for two prices", price.discord_sku)

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
        rows = self._rows(table, "prices")
        if not rows:
            raise self._refuse("a product needs at least one price", "prices")
        prices = tuple(self._read_price(row, key, only=len(rows) == 1) for row in self._each("prices", rows))
        self._refuse_unfit_methods(table, prices)
        grants = tuple(self._read_grant(row, prices) for row in self._each("grants", self._rows(table, "grants")))
        self._refuse_unfit_skus(prices, grants)
        if table.get("starts") == "claim" and any(price.interval is not None for price in prices):
            raise self._refuse('starts = "claim" is for what is paid once', "starts")
        return Product(
            key=key,
            name=self._text(table, "name", length_max=120),
            prices=prices,
            grants=grants,
            description=self._text(table, "description", length_max=500) if "description" in table else None,
            image=self._text(table, "image", length_max=2000) if "image" in table else None,
            goods=table.get("goods", "digital"),
            on_dispute=table.get("on_dispute", "hold"),
            payment_methods=self._methods(table),
            grace_days=self._integer(table, "grace_days", 0, 365) if "grace_days" in table else GRACE_DAYS,
            reminders=self._flag(table, "reminders"),
            starts=table.get("starts", "purchase"),
            promotion_codes="promotion_codes" in table and self._flag(table, "promotion_codes"),
        )

    def _refuse_unfit_methods(self, table: Mapping[str, Any], prices: tuple[Price, ...]) -> None:
        """Refuse ways to pay that Stripe does not take for a subscription."""
        repeating = [price.key for price in prices if price.interval is not None]
        unfit = [method for method in self._methods(table) if method in ONCE_ONLY] if repeating else []
        if unfit:
            raise self._refuse(
                f"{unfit[0]} cannot pay for the subscription {repeating[0]}: Stripe takes it for single payments only; "
                "offer it on a product that is paid once",
                "payment_methods",
            )

    def _refuse_unfit_skus(self, prices: tuple[Price, ...], grants: tuple[Grant, ...]) -> None:
        """Refuse to sell credits of a cycle in a shop that does not tell when a cycle is paid."""
        repeating = any(price.interval is not None and price.discord_sku is not None for price in prices)
        if repeating and any(grant.kind == "credits" for grant in grants):
            raise self._refuse(
                "Discord does not tell when a cycle is paid: sell credits there by a price that is paid once",
                "discord_sku",
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
        minutes = self._integer(row, "minutes", 1, MINUTES_MAX) if "minutes" in row else None
        segment = self._segment(row) if "segment" in row else None
        stars = self._stars(row) if "stars" in row else None
        sku = self._sku(row) if "discord_sku" in row else None
        return Price(
            key, product, currency, amount, self._stripe_price(row), *self._repeats(row), minutes, segment, stars, sku
        )

    def _sku(self, row: Mapping[str, Any]) -> str:
        sku = row["discord_sku"]
        if not isinstance(sku, str) or not _SKU.fullmatch(sku):
            raise self._refuse('discord_sku is the id of a SKU, as a text: "1180218955160375406"', "discord_sku")
        return sku

    def _stars(self, row: Mapping[str, Any]) -> int:
        if "interval" in row:
            raise self._refuse("stars are for what is paid once: a subscription is paid by card", "stars")
        return self._integer(row, "stars", 1, STARS_MAX)

    def _segment(self, row: Mapping[str, Any]) -> str:
        segment = self._text(row, "segment", length_max=64)
        if not _KEY.fullmatch(segment):
            raise self._refuse("segment must be a short name such as weekend", "segment")
        return segment

    def _repeats(self, row: Mapping[str, Any]) -> tuple[str | None, int, int]:
        """Return the interval of a price, how many of them, and the days of its trial."""
        interval = row.get("interval")
        if interval is None:
            for name in ("trial_days", "interval_count"):
                if name in row:
                    raise self._refuse(f"{name} needs an interval: only subscriptions have it", name)
            return None, 1, 0
        if interval not in INTERVALS:
            raise self._refuse(f"interval must be one of {', '.join(INTERVALS)}", "interval")
        count = self._integer(row, "interval_count", 1, INTERVALS[interval]) if "interval_count" in row else 1
        return interval, count, self._integer(row, "trial_days", 1, TRIAL_DAYS_MAX) if "trial_days" in row else 0

    def _stripe_price(self, row: Mapping[str, Any]) -> str | None:
        if "stripe_price_env" in row:
            name = self._text(row, "stripe_price_env", length_max=100)
            if name not in self._environ:
                raise self._refuse(f"stripe_price_env names {name}, which is not set", "stripe_price_env")
            return self._environ[name]
        return self._text(row, "stripe_price", length_max=200) if "stripe_price" in row else None

    def _read_grant(self, row: Mapping[str, Any], prices: tuple[Price, ...]) -> Grant:
        kind = row.get("kind")
        if kind in tuple(KINDS_NOT_YET):
            raise self._refuse(f"the kind {kind} is not sold by this version of Paydesk yet", "kind")
        if not isinstance(kind, str) or kind not in GRANT_KEYS:
            raise self._refuse(f"a grant's kind must be one of {', '.join(GRANT_KEYS)}, not {kind!r}", "kind")
        self._refuse_unknown(row, GRANT_KEYS[kind])
        if kind == "credits":
            return self._read_credits(row, prices)
        days = self._integer(row, "days", 1, DAYS_MAX) if "days" in row or kind == "pass" else 0
        if days and any(price.interval is not None for price in prices):
            raise self._refuse(
                "a subscription gives for as long as it lasts: take the days away, or the interval", "days"
            )
        if kind in ("role", "member"):
            return self._read_role(row, kind, days)
        return Grant(kind, feature=self._name(row, "feature"), days=days)

    def _read_credits(self, row: Mapping[str, Any], prices: tuple[Price, ...]) -> Grant:
        per = row.get("per")
        if per not in (None, "cycle"):
            raise self._refuse('per must be "cycle"', "per")
        if per is not None and any(price.interval is None for price in prices):
            raise self._refuse('per = "cycle" needs an interval on every price of the product', "per")
        if "trial_amount" in row and per is None:
            raise self._refuse('trial_amount needs per = "cycle"', "trial_amount")
        if per is None and any(price.interval is not None for price in prices):
            raise self._refuse('credits of a subscription come with per = "cycle"', "amount")
        return Grant(
            "credits",
            unit=self._name(row, "unit") if "unit" in row else CREDITS,
            amount=self._integer(row, "amount", 1, CREDITS_MAX),
            expires_days=self._integer(row, "expires_days", 1, DAYS_MAX) if "expires_days" in row else None,
            priority=self._integer(row, "priority", -100, 100) if "priority" in row else 0,
            per=per,
            trial_amount=self._integer(row, "trial_amount", 0, CREDITS_MAX) if "trial_amount" in row else 0,
        )

    def _read_role(self, row: Mapping[str, Any], kind: str, days: int) -> Grant:
        """Return a role or membership; its feature names it, so that everybody can ask for access to it."""
        channel, space = self._name(row, "channel"), row.get("space")
        if not isinstance(space, str) or not _SPACE.fullmatch(space):
            raise self._refuse('space must be the id of a server or group, as a text such as "-1001234567890"', "space")
        role = self._name(row, "role") if kind == "role" else ""
        feature = f"{channel}:{space}:{role}" if role else f"{channel}:{space}"
        return Grant(kind, feature=feature, days=days, channel=channel, space=space, role=role)

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

    def _flag(self, row: Mapping[str, Any], name: str) -> bool:
        value = row.get(name, True)
        if not isinstance(value, bool):
            raise self._refuse(f"{name} is true or false", name)
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
        where = f"{'' if self._product == SHOP else 'products.'}{self._product}: " if self._product else ""
        return CatalogError(f"{self._path}:{self._line_of(word)}: {where}{reason}")

    def _line_of(self, word: str) -> int:
        """Return the line of `word` in the row or product in hand, else the line where that begins."""
        start, end = self._lines_of_row(*self._lines_of_product())
        pattern = re.compile(rf"(?<![\w-])[\"']?{re.escape(word)}(?![\w-])")
        return next((n for n in range(start, end + 1) if pattern.search(self._lines[n - 1])), start)

    def _lines_of_product(self) -> tuple[int, int]:
        """Return the first and last line of the product, or of the shop, in hand; of the file before there is one."""
        table = r"shop" if self._product == SHOP else rf"products\.[\"']?{re.escape(self._product)}[\"']?"
        header = re.compile(rf"\s*\[{table}\s*\]")
        start = next((n for n, line in enumerate(self._lines, 1) if header.match(line)), None)
        if start is None:
            return 1, len(self._lines)
        after = (n for n in range(start + 1, len(self._lines) + 1) if self._lines[n - 1].lstrip().startswith(_HEADERS))
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
