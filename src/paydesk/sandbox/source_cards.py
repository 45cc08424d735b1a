"""Cards as sources: the older face of a payment method, for charges and customers that came before payment methods.

A card that came by a token is a payment method whose id is `card_…`; the object `card` shows the same thing.
"""

from __future__ import annotations

from .accounts import Account
from .errors import Json
from .params import Shape, text
from .present import VIEWS, public

_BRANDS = {
    "amex": "American Express", "diners": "Diners Club", "discover": "Discover", "jcb": "JCB", "mastercard": "MasterCard",
    "unionpay": "UnionPay", "visa": "Visa",
}  # fmt: skip
# The names of an address's parts, here and on payment methods.
_PARTS = {
    "city": "city",
    "country": "country",
    "line1": "line1",
    "line2": "line2",
    "state": "state",
    "zip": "postal_code",
}
OWNER: Shape = {**{f"address_{part}": text() for part in _PARTS}, "name": text()}


def is_source(method: Json) -> bool:
    """Whether a payment method is a card that came by a token."""
    return str(method["id"]).startswith("card_")


def card_view(method: Json) -> Json:
    """The object `card` of a payment method that came by a token."""
    card, billing = method["card"], method["billing_details"]
    return public({
        "id": method["id"],
        "object": "card",
        **{f"address_{part}": billing["address"][name] for part, name in _PARTS.items()},
        "address_line1_check": billing["address"]["line1"] and (card["checks"]["address_line1_check"] or "unchecked"),
        "address_zip_check": billing["address"]["postal_code"]
        and (card["checks"]["address_postal_code_check"] or "unchecked"),
        "allow_redisplay": method["allow_redisplay"],
        "brand": _BRANDS[card["brand"]],
        "country": card["country"],
        "customer": method["customer"],
        "cvc_check": card["checks"]["cvc_check"],
        "dynamic_last4": None,
        "exp_month": card["exp_month"],
        "exp_year": card["exp_year"],
        "fingerprint": card["fingerprint"],
        "funding": card["funding"],
        "last4": card["last4"],
        "metadata": method["metadata"],
        "name": billing["name"],
        "regulated_status": card["regulated_status"],
        "tokenization_method": None,
    })  # fmt: skip


def billing_of(given: Json, known: Json | None = None) -> Json:
    """`billing_details` with the name and the parts of an address as a card's parameters give them, added to `known`."""
    before = known or {"address": {}}
    address = {name: given[f"address_{part}"] for part, name in _PARTS.items() if f"address_{part}" in given}
    name = {"name": given["name"]} if "name" in given else {}
    return {**before, **name, "address": {**before["address"], **address}}


def _view(account: Account, card_id: str) -> Json | None:
    method = account.find("payment_method", card_id)
    return card_view(method) if method is not None and is_source(method) else None


VIEWS["card"] = _view
