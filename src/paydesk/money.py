"""Money as integers in the smallest unit, with the currency's own number of decimals.

The only place that knows exponents, minimums and how an amount is written. Floats never enter: an amount is a
decimal string outside and an integer inside. Facts: Stripe's page on currencies (docs.stripe.com/currencies).
"""

from __future__ import annotations

import re
from copy import copy
from decimal import Decimal
from functools import lru_cache

AMOUNT_MAX = 99_999_999
"""Stripe takes at most eight digits in the smallest unit."""

ZERO_DECIMAL = frozenset(
    ["bif", "clp", "djf", "gnf", "jpy", "kmf", "krw", "mga", "pyg", "rwf", "vnd", "vuv", "xaf", "xof", "xpf"]
)
THREE_DECIMAL = frozenset(["bhd", "jod", "kwd", "omr", "tnd"])
TWO_DECIMAL = frozenset(
    """
    aed afn all amd ang aoa ars aud awg azn bam bbd bdt bgn bmd bnd bob brl bsd btn bwp byn bzd cad cdf chf cny cop
    crc cve czk dkk dop dzd egp etb eur fjd fkp gbp gel gip gmd gtq gyd hkd hnl htg huf idr ils inr isk jmd kes kgs
    khr kyd kzt lak lbp lkr lrd lsl mad mdl mkd mmk mnt mop mur mvr mwk mxn myr mzn nad ngn nio nok npr nzd pab pen
    pgk php pkr pln qar ron rsd rub sar sbd scr sek sgd shp sle sos srd std szl thb tjs top try ttd twd tzs uah ugx
    usd uyu uzs wst xcd xcg yer zar zmw
    """.split()  # noqa: SIM905 - a list of words reads better so
)  # fmt: skip
CURRENCIES = ZERO_DECIMAL | THREE_DECIMAL | TWO_DECIMAL
"""What Stripe charges in. Of a currency that is not here nobody knows the decimals: it is refused, not guessed."""

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

STARS = "xtr"
"""Telegram's own money, by the code that Telegram gives it: whole Stars, which Stripe knows nothing of."""

PREMIUM = "xdp"
"""What is bought in Discord's own shop (Premium Apps): it tells what was bought, never what was paid. One is one purchase."""

THEIRS = (STARS, PREMIUM)
"""Moneys of platforms, which Stripe knows nothing of."""

ENGLISH = "en"
"""The language in which amounts are written where nobody's is known."""

_SYMBOLS = {"usd": "$", "eur": "€", "gbp": "£", "jpy": "¥"}
_AMOUNT = re.compile(r"\d{1,12}(\.\d{1,3})?", re.ASCII)


def share(part: int, whole: int, of: int) -> int:
    """Return what `part` of a `whole` is of the same whole told as `of`, in another currency: rounded half up.

    All of it is all of it, more is no more than that, and something is never nothing.

    >>> share(999, 999, 3946), share(500, 999, 3946), share(1, 3946, 999)
    (3946, 1975, 1)
    """
    if part <= 0 or whole <= 0:
        return 0
    return max(1, min(of, (2 * part * of + whole) // (2 * whole)))


def exponent(currency: str) -> int:
    """Return how many decimals Stripe's smallest unit of `currency` has: 0, 2 or 3."""
    if currency in ZERO_DECIMAL or currency in THEIRS:
        return 0
    return 3 if currency in THREE_DECIMAL else 2


def is_currency(text: str) -> bool:
    """Tell whether `text` is the lower-case code of a currency that Stripe charges in."""
    return text in CURRENCIES


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
    check_steps(minor, currency)
    return minor


def check_steps(amount_minor: int, currency: str) -> None:
    """Raise `ValueError` for digits that nobody can pay: the last of three decimals, the last two of ISK and UGX."""
    if currency in WHOLE_HUNDREDTHS and amount_minor % 100:
        raise ValueError(f"{currency} has no decimals in life: {to_decimal(amount_minor, currency)} must be whole")
    if currency in THREE_DECIMAL and amount_minor % 10:
        raise ValueError(f"the last decimal of {currency} must be 0, {to_decimal(amount_minor, currency)} has another")


def check_charge(amount_minor: int, currency: str) -> None:
    """Raise `ValueError`, with a helpful text, for an amount in the smallest unit that Stripe does not charge."""
    least = MINIMUM_MINOR.get(currency, 1)
    if amount_minor < least:
        raise ValueError(f"{display(amount_minor, currency)} is less than Stripe takes: {display(least, currency)}")
    if amount_minor > AMOUNT_MAX:
        raise ValueError(
            f"{display(amount_minor, currency)} is more than Stripe takes: {display(AMOUNT_MAX, currency)}"
        )
    check_steps(amount_minor, currency)


def to_decimal(amount_minor: int, currency: str) -> Decimal:
    """Return an amount in the currency's main unit, exactly."""
    return Decimal(amount_minor).scaleb(-exponent(currency))


def display(amount_minor: int, currency: str, language: str = ENGLISH) -> str:
    """Return an amount for a person to read: `$9.99`, `¥500`, `19.99 PLN`; in other languages `19,99 zł`, `€ 60,00`.

    Other languages write spaces within an amount that no line breaks at.
    """
    if currency == STARS:
        return f"{number(amount_minor, language)} ⭐"
    if currency == PREMIUM:
        return f"{number(amount_minor, language)} × Discord"
    digits = 0 if currency in WHOLE_HUNDREDTHS else exponent(currency)
    if language != ENGLISH:
        return _display_in(language, amount_minor, currency, digits)
    written = f"{to_decimal(amount_minor, currency):,.{digits}f}"
    symbol = _SYMBOLS.get(currency)
    return f"{symbol}{written}" if symbol else f"{written} {currency.upper()}"


@lru_cache(maxsize=4096)
def _display_in(language: str, amount_minor: int, currency: str, digits: int) -> str:
    """Return an amount as Unicode's CLDR has it, but with Stripe's decimals: CLDR has none for some that have two."""
    from babel import Locale  # only other languages than English need it

    locale = Locale.parse(language)
    pattern = copy(locale.currency_formats["standard"])
    pattern.frac_prec = (digits, digits)
    amount = to_decimal(amount_minor, currency)
    return str(pattern.apply(amount, locale, currency=currency.upper(), currency_digits=False))


def number(number: int, language: str = ENGLISH) -> str:
    """Return a whole number for a person to read: `1,000`, or `1.000` in Dutch."""
    if -1000 < number < 1000 or language == ENGLISH:
        return f"{number:,}"
    from babel.numbers import format_decimal

    return format_decimal(number, locale=language)
