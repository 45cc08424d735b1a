"""Two currencies in one payment: what the buyer is shown elsewhere (adaptive pricing), and what the seller is paid in.

The rates are fixed, so that a test knows them. A buyer's country is told as Stripe's tests tell it: by an e-mail address
like `jo+location_FR@example.com`.
"""

from __future__ import annotations

import re
from decimal import ROUND_HALF_UP, Decimal

from .errors import Json
from .money import decimals, step_minor

# What one US dollar buys.
_PER_DOLLAR = {
    "usd": "1", "eur": "0.92", "gbp": "0.79", "pln": "3.95", "czk": "23.1", "huf": "362", "ron": "4.57", "bgn": "1.80",
    "sek": "10.4", "nok": "10.7", "dkk": "6.86", "isk": "138", "chf": "0.88", "try": "32.2", "uah": "41", "cad": "1.36",
    "mxn": "18.2", "brl": "5.4", "aud": "1.5", "nzd": "1.63", "jpy": "155", "krw": "1380", "inr": "83.4", "sgd": "1.35",
    "hkd": "7.81", "twd": "32.4", "thb": "36.5", "kwd": "0.307", "bhd": "0.377", "ugx": "3720",
}  # fmt: skip
_EURO = "AT BE CY DE EE ES FI FR GR HR IE IT LT LU LV MT NL PT SI SK"
_CURRENCY_OF = dict.fromkeys(_EURO.split(), "eur") | {
    "US": "usd", "GB": "gbp", "PL": "pln", "CZ": "czk", "HU": "huf", "RO": "ron", "BG": "bgn", "SE": "sek", "NO": "nok",
    "DK": "dkk", "IS": "isk", "CH": "chf", "TR": "try", "UA": "uah", "CA": "cad", "MX": "mxn", "BR": "brl", "AU": "aud",
    "NZ": "nzd", "JP": "jpy", "KR": "krw", "IN": "inr", "SG": "sgd", "HK": "hkd", "TW": "twd", "TH": "thb", "KW": "kwd",
    "BH": "bhd", "UG": "ugx",
}  # fmt: skip
_LOCATION = re.compile(r"\+location_([A-Z]{2})@")
KNOWN = frozenset(_PER_DOLLAR)


def rate(source: str, target: str) -> Decimal | None:
    """What one whole unit of `source` is worth in `target`, to six digits; None where one of them has no rate here."""
    if source not in KNOWN or target not in KNOWN:
        return None
    exact = Decimal(_PER_DOLLAR[target]) / Decimal(_PER_DOLLAR[source])
    return exact.quantize(Decimal("0.000001"), ROUND_HALF_UP).normalize()


def exchanged(amount_minor: int, source: str, target: str, at_rate: Decimal) -> int:
    """An amount in the smallest unit of `target`, rounded half up to a step that this currency has."""
    step = step_minor(target)
    exact = Decimal(amount_minor).scaleb(-decimals(source)) * at_rate
    return int((exact.scaleb(decimals(target)) / step).quantize(Decimal(1), ROUND_HALF_UP)) * step


def presentment(session: Json, email: str | None) -> Json | None:
    """Amount and currency that a session's page shows to a buyer elsewhere; None where nothing changes."""
    found = _LOCATION.search(email or "")
    target = _CURRENCY_OF.get(found[1]) if found else None
    if not session["adaptive_pricing"]["enabled"] or session["mode"] != "payment" or not session["amount_total"]:
        return None
    known = rate(session["currency"], target) if target and target != session["currency"] else None
    if target is None or known is None:
        return None
    shown = exchanged(session["amount_total"], session["currency"], target, known)
    return {"presentment_amount": shown, "presentment_currency": target}


def share(whole: Json, amount_minor: int, of_minor: int) -> dict[str, Json]:
    """`presentment_details` for a part of an amount that has them (a refund of a charge); nothing for others."""
    details = whole.get("presentment_details")
    if not details:
        return {}
    part = Decimal(details["presentment_amount"]) * amount_minor / of_minor
    shown = int(part.quantize(Decimal(1), ROUND_HALF_UP))
    return {"presentment_details": {**details, "presentment_amount": shown}}


def as_it_was_presented(row: Json) -> None:
    """Change an object to the form of before 2025-03-31: its amounts in the currency that the buyer was shown."""
    details = row.get("presentment_details")
    if not details:
        return
    source, target = row["currency"], details["presentment_currency"]
    whole = row["amount_total"] if row["object"] == "checkout.session" else row["amount"]
    at_rate = rate(source, target) or Decimal(1)
    if row["object"] == "checkout.session":
        row["currency_conversion"] = {
            "amount_subtotal": row["amount_subtotal"], "amount_total": whole, "fx_rate": str(at_rate),
            "source_currency": source,
        }  # fmt: skip
    for name, amount in row.items():
        if name.startswith("amount") and isinstance(amount, int):
            equal = amount == whole
            row[name] = details["presentment_amount"] if equal else exchanged(amount, source, target, at_rate)
    row["currency"] = target
