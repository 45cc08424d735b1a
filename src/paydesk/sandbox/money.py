"""What the sandbox knows of currencies: which exist, their decimals, the least amount, how they are written."""

from __future__ import annotations

from .errors import invalid

ZERO_DECIMAL = frozenset("bif clp djf gnf jpy kmf krw mga pyg rwf vnd vuv xaf xof xpf".split())  # noqa: SIM905
THREE_DECIMAL = frozenset("bhd jod kwd omr tnd".split())  # noqa: SIM905
CURRENCIES = ZERO_DECIMAL | THREE_DECIMAL | frozenset(
    """
    aed afn all amd ang aoa ars aud awg azn bam bbd bdt bgn bmd bnd bob brl bsd btn bwp byn bzd cad cdf chf cny cop
    crc cve czk dkk dop dzd egp etb eur fjd fkp gbp gel gip gmd gtq gyd hkd hnl htg huf idr ils inr isk jmd kes kgs
    khr kyd kzt lak lbp lkr lrd lsl mad mdl mkd mmk mnt mop mur mvr mwk mxn myr mzn nad ngn nio nok npr nzd pab pen
    pgk php pkr pln qar ron rsd rub sar sbd scr sek sgd shp sle sos srd std szl thb tjs top try ttd twd tzs uah ugx
    usd uyu uzs wst xcd xcg yer zar zmw
    """.split()  # noqa: SIM905
)  # fmt: skip
# No decimals in life, but sent as if they had two.
SPECIAL = frozenset({"isk", "ugx"})
MAXIMUM_MINOR = 99_999_999

_MINIMUM_MINOR = {
    "usd": 50, "eur": 50, "gbp": 30, "pln": 200, "jpy": 50, "dkk": 250, "sek": 300, "nok": 300, "hkd": 400, "mxn": 1000,
    "aud": 50, "brl": 50, "cad": 50, "chf": 50, "czk": 1500, "huf": 17500, "inr": 50, "myr": 200, "nzd": 50, "ron": 200,
    "sgd": 50, "thb": 1000, "aed": 200, "bgn": 100,
    # Where Stripe names no sum of its own it asks for the worth of half a dollar; here at fixed rates.
    "bhd": 190, "clp": 475, "cop": 200_000, "idr": 800_000, "ils": 185, "isk": 6900, "krw": 690, "kwd": 160,
    "php": 2900, "try": 1610, "twd": 1620, "uah": 2050, "ugx": 186_000, "vnd": 12_500, "zar": 900,
}  # fmt: skip
_SYMBOLS = {
    "usd": "$", "eur": "€", "gbp": "£", "jpy": "¥", "inr": "₹", "krw": "₩", "ils": "₪", "vnd": "₫", "php": "₱",
    "ngn": "₦", "cad": "CA$", "aud": "A$", "nzd": "NZ$", "mxn": "MX$", "hkd": "HK$", "brl": "R$", "sgd": "S$",
    "twd": "NT$", "pln": "zł", "czk": "Kč", "uah": "₴", "chf": "CHF", "cny": "CN¥",
}  # fmt: skip


def decimals(currency: str) -> int:
    """Number of decimals of a lower-case currency: 0, 2 or 3."""
    if currency in ZERO_DECIMAL:
        return 0
    return 3 if currency in THREE_DECIMAL else 2


def currency_code(value: str, param: str = "currency") -> str:
    """The lower-case code of a currency Stripe supports; refused otherwise."""
    code = value.lower()
    if code not in CURRENCIES:
        known = ", ".join(sorted(CURRENCIES))
        raise invalid(f"Invalid currency: {code}. Stripe currently supports these currencies: {known}", param)
    return code


def minimum_minor(currency: str) -> int:
    """The least amount that can be charged, in the smallest unit; 1 where none is known."""
    return _MINIMUM_MINOR.get(currency, 1)


def written(amount_minor: int, currency: str) -> str:
    """An amount as a buyer reads it: `$9.99`, `€1,200.00`, `¥500`."""
    places = decimals(currency)
    sign = "-" if amount_minor < 0 else ""
    number = f"{abs(amount_minor) / 10**places:,.{places}f}"
    symbol = _SYMBOLS.get(currency, currency.upper())
    gap = "\u00a0" if len(symbol) > 1 and symbol[-1].isalpha() else ""
    return f"{sign}{symbol}{gap}{number}"


def step_minor(currency: str) -> int:
    """The least step between two amounts: the last digit of three decimals is 0, the last two of ISK and UGX are."""
    return 10 if currency in THREE_DECIMAL else 100 if currency in SPECIAL else 1


def check_steps(amount_minor: int, currency: str, param: str = "amount") -> None:
    """Refuse digits that a currency does not have."""
    step = step_minor(currency)
    if amount_minor % step:
        raise invalid(
            f"Invalid amount. Amounts in {currency} must be divisible by {step}.", param, "parameter_invalid_integer"
        )


def check_amount(amount_minor: int, currency: str, param: str = "amount") -> None:
    """Refuse an amount that cannot be charged: zero or less, below the minimum, or too many digits."""
    if amount_minor < 1:
        raise invalid("This value must be greater than or equal to 1.", param, "parameter_invalid_integer")
    check_steps(amount_minor, currency, param)
    least = minimum_minor(currency)
    if amount_minor < least:
        raise invalid(f"Amount must be at least {written(least, currency)} {currency}", param, "amount_too_small")
    if amount_minor > MAXIMUM_MINOR:
        most = written(MAXIMUM_MINOR, currency)
        raise invalid(f"Amount must be no more than {most} {currency}", param, "amount_too_large")
