"""Money as integers in the smallest unit, with the currency's own number of decimals.

The only place that knows exponents, minimums and how an amount is written. Floats never enter: an amount is a
decimal string outside and an integer inside. Facts: Stripe's page on currencies (docs.stripe.com/currencies).
"""

from __future__ import annotations

import re
from decimal import Decimal

AMOUNT_MAX = 99_999_999
"""Stripe takes at most eight digits in the smallest unit."""

ZERO_DECIMAL = frozenset(
    ["bif", "clp", "djf", "gnf", "jpy", "kmf", "krw", "mga", "pyg", "rwf", "vnd", "vuv", "xaf", "xof", "xpf"]
)
THREE_DECIMAL = frozenset(["bhd", "jod", "kwd", "omr", "tnd"])
# Written without decimals in life, but sent to Stripe in hundredths whose last two digits are 00.
WHOLE_HUNDREDTHS = frozenset(["isk", "ugx"])

MINIMUM_MINOR = {
    "usd": 50,
    "eur": 50,
    "gbp": 30,
    "pln": 200,
    "jpy": 50,
    "dkk": 250,
    "sek": 300,
    "nok": 300,
    "hkd": 400,
    "mxn": 1000,
}

_SYMBOLS = {"usd": "$", "eur": "€", "gbp": "£", "jpy": "¥"}
_AMOUNT = re.compile(r"\d{1,12}(\.\d{1,3})?", re.ASCII)
_CURRENCY = re.compile(r"[a-z]{3}", re.ASCII)


def exponent(currency: str) -> int:
    """Return how many decimals Stripe's smallest unit of `currency` has: 0, 2 or 3."""
    if currency in ZERO_DECIMAL:
        return 0
    return 3 if currency in THREE_DECIMAL else 2


def is_currency(text: str) -> bool:
    """Tell whether `text` looks like a lower-case three-letter currency code."""
    return _CURRENCY.fullmatch(text) is not None


def to_minor(amount: str, currency: str) -> int:
    """Return a decimal string such as `"9.99"` in the smallest unit of `currency`.

    Raises `ValueError` with a helpful text for a float, a sign, too many decimals, or an amount out of range.
    """
    if not isinstance(amount, str) or not _AMOUNT.fullmatch(amount):
        raise ValueError(f'an amount is written as a decimal string such as "9.99", not {amount!r}')
    scaled = Decimal(amount).scaleb(exponent(currency))
    minor = int(scaled)
    if scaled != minor:
        raise ValueError(f"{currency} has {exponent(currency)} decimals, {amount!r} has more")
    if minor > AMOUNT_MAX:
        raise ValueError(f"{amount} {currency} is more than the {AMOUNT_MAX} smallest units that Stripe takes")
    if currency in WHOLE_HUNDREDTHS and minor % 100:
        raise ValueError(f"{currency} has no decimals in life: {amount!r} must be whole")
    if currency in THREE_DECIMAL and minor % 10:
        raise ValueError(f"the last decimal of {currency} must be 0, {amount!r} has another")
    return minor


def to_decimal(amount_minor: int, currency: str) -> Decimal:
    """Return an amount in the currency's main unit, exactly."""
    return Decimal(amount_minor).scaleb(-exponent(currency))


def display(amount_minor: int, currency: str) -> str:
    """Return an amount for a person to read, such as `$9.99`, `¥500` or `19.99 PLN`."""
    digits = 0 if currency in WHOLE_HUNDREDTHS else exponent(currency)
    number = f"{to_decimal(amount_minor, currency):,.{digits}f}"
    symbol = _SYMBOLS.get(currency)
    return f"{symbol}{number}" if symbol else f"{number} {currency.upper()}"
