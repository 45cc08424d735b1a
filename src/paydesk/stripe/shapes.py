"""Where things stand in Stripe's objects, in every API version we read: 2023-10-16 to 2026-10-28.endive.

The only place that knows where a field moved. Readers return our types or raise `Shape`, which names the field.
"""

from __future__ import annotations

import re
from collections.abc import Iterator, Mapping
from typing import Any

from paydesk import money

OLDEST, NEWEST = "2023-10-16", "2026-10-28.endive"
"""The first and the last version that we read; releases of one name do not differ in what we read."""

REFERENCE = "paydesk_order"
"""The metadata key that carries our order id on sessions, intents and charges."""

Object = Mapping[str, Any]
_ORDER = re.compile(r"ord_[0-9a-z]{26}", re.ASCII)


class Shape(ValueError):
    """An object lacks something that its kind always has; the message names it."""


def text(of: Object, name: str) -> str:
    """Return a text field that must be there."""
    value = of.get(name)
    if not isinstance(value, str) or not value or "\x00" in value:
        raise Shape(f"{of.get('object', 'object')} has no {name}")
    return value


def one_of(of: Object, name: str, known: tuple[str, ...]) -> str:
    """Return a text field that must be there and be one of those we know."""
    value = text(of, name)
    if value not in known:
        raise Shape(f"{of.get('object', 'object')} has the {name} {value[:40]!r}, which is not one we know")
    return value


def words(of: Object, name: str) -> str | None:
    """Return a text for people, cut and without what a database refuses, or `None`."""
    value = of.get(name)
    if not isinstance(value, str):
        return None
    return value.replace("\x00", "").encode("utf-8", "replace").decode()[:500]


def number(of: Object, name: str) -> int:
    """Return an integer field that must be there."""
    value = of.get(name)
    if type(value) is not int:
        raise Shape(f"{of.get('object', 'object')} has no integer {name}")
    return value


def id_of(of: Object, name: str) -> str | None:
    """Return the id in an expandable field: an id, an object with an id, or nothing."""
    value = of.get(name)
    if isinstance(value, Mapping):
        value = value.get("id")
    if not isinstance(value, str) or not value:
        return None
    if "\x00" in value:
        raise Shape(f"{of.get('object', 'object')} has a {name} that cannot be stored")
    return value


def reference(of: Object) -> str | None:
    """Return our order id from an object's metadata, else a session's `client_reference_id`; `None` if not ours."""
    metadata = of.get("metadata")
    ours = metadata.get(REFERENCE) if isinstance(metadata, Mapping) else None
    ours = ours or of.get("client_reference_id")
    return ours if isinstance(ours, str) and _ORDER.fullmatch(ours) else None


def latest_charge(intent: Object) -> str | None:
    """Return the id of an intent's newest charge: `latest_charge`, or in older shapes the first of `charges`."""
    found = id_of(intent, "latest_charge")
    charges = intent.get("charges")
    if found is None and isinstance(charges, Mapping) and charges.get("data"):
        return id_of({"charge": charges["data"][0]}, "charge")
    return found


def ordered(session: Object) -> tuple[int, str]:
    """Return what a session's lines cost, in the currency it was made in and before any coupon."""
    conversion = session.get("currency_conversion")
    if isinstance(conversion, Mapping):  # before presentment_details: the session's own amounts are then the buyer's
        return _before_coupons(conversion), text(conversion, "source_currency")
    return _before_coupons(session), text(session, "currency")


def _before_coupons(of: Object) -> int:
    return number(of, "amount_subtotal" if of.get("amount_subtotal") is not None else "amount_total")


def charged(session: Object) -> int | None:
    """Return what is paid in the currency it was made in, where a coupon made that another amount than was ordered."""
    conversion = session.get("currency_conversion")
    paid = number(conversion if isinstance(conversion, Mapping) else session, "amount_total")
    return None if paid == ordered(session)[0] else paid


def presented(of: Object) -> tuple[int | None, str | None]:
    """Return the amount of a session, intent, charge or refund as the buyer was shown it, where that is another currency."""
    if isinstance(of.get("currency_conversion"), Mapping):
        return number(of, "amount_total"), text(of, "currency")
    details = of.get("presentment_details")
    if not isinstance(details, Mapping) or details.get("presentment_currency") == of.get("currency"):
        return None, None
    return number(details, "presentment_amount"), text(details, "presentment_currency")


def presents_only(event: Object) -> bool:
    """Tell whether an event's version shows intents, charges and refunds in the buyer's currency, and in no other."""
    version = event.get("api_version")
    return isinstance(version, str) and version[:10] < _BASIL


def in_both(dispute: Object, intent: Object) -> tuple[tuple[int, str], tuple[int | None, str | None]]:
    """Return what is disputed of an intent, in the currency of the intent and in the one that the buyer was shown.

    A dispute has one currency: in the other one it is its share of the whole.
    """
    amount, currency = number(dispute, "amount"), text(dispute, "currency")
    shown, shown_in = presented(intent)
    if shown is None or shown_in is None:
        return (amount, currency), (None, None)
    whole, made_in = number(intent, "amount_received"), text(intent, "currency")
    if currency == shown_in:
        return (money.share(amount, shown, whole), made_in), (amount, currency)
    return (amount, currency), (money.share(amount, whole, shown), shown_in)


def card(charge: Object) -> tuple[str | None, str | None]:
    """Return brand and last four digits of the card a charge was made with, or the method's name and nothing."""
    details = charge.get("payment_method_details")
    if not isinstance(details, Mapping):
        return None, None
    kind = details.get("type")
    inner = details.get(kind) if isinstance(kind, str) else None
    if kind == "card" and isinstance(inner, Mapping):
        return words(inner, "brand"), words(inner, "last4")
    return words(details, "type"), None


# --- versions --------------------------------------------------------------------------------------------------------

_VERSION = re.compile(r"\d{4}-\d{2}-\d{2}(\.[a-z]+)?", re.ASCII)
_INTENT_CHARGES, _BASIL, _CLOVER = "2022-11-15", "2025-03-31", "2025-09-30"

STOOD_UNTIL = {
    ("payment_intent", "charges"): _INTENT_CHARGES,
    ("payment_intent", "invoice"): _BASIL,
    ("charge", "invoice"): _BASIL,
    ("checkout.session", "shipping_details"): _BASIL,
    ("invoice", "payment_intent"): _BASIL,
    ("invoice", "subscription"): _BASIL,
    ("subscription", "current_period_end"): _BASIL,
    ("discount", "coupon"): _CLOVER,
}
"""Fields that objects had until a version moved or removed them."""

STANDS_SINCE = {
    ("invoice", "parent"): _BASIL,
    ("subscription_item", "current_period_end"): _BASIL,
    ("discount", "source"): _CLOVER,
}
"""Fields to which a version moved something."""


def reads(version: object) -> bool:
    """Tell whether we read events of a version: from the oldest on, and what is newer only under the newest's name."""
    if not isinstance(version, str) or not _VERSION.fullmatch(version):
        return False
    date, _, name = version.partition(".")
    if name == NEWEST[11:]:
        return True
    return name != "preview" and OLDEST <= date <= NEWEST[:10]


def other_shape(event: Object) -> str | None:
    """Return what in an event has the shape of another version than the event tells, or `None`."""
    version, data = event.get("api_version"), event.get("data")
    if not isinstance(version, str):
        return None
    date = version[:10]
    for found in _objects(data.get("object") if isinstance(data, Mapping) else None):
        kind = str(found.get("object"))
        for name in found:
            if STOOD_UNTIL.get((kind, name), "9") <= date:
                return f"{kind}.{name} stood there only before {STOOD_UNTIL[kind, name]}"
            if STANDS_SINCE.get((kind, name), "0") > date:
                return f"{kind}.{name} stands there only since {STANDS_SINCE[kind, name]}"
    return None


def _objects(value: Any) -> Iterator[Object]:
    """Go through an object and every object in it."""
    if isinstance(value, Mapping):
        if "object" in value:
            yield value
        for one in value.values():
            yield from _objects(one)
    elif isinstance(value, list):
        for one in value:
            yield from _objects(one)
