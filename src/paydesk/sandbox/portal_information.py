"""What a customer may change of the own billing information in the portal, as its configuration allows."""

from __future__ import annotations

from typing import Any

from .errors import Json

# Each field of the form: the update that allows it, its name on the wire, its label, and what browsers fill in.
_FIELDS = (
    ("name", "name", "Name", "name"),
    ("email", "email", "Email", "email"),
    ("phone", "phone", "Phone", "tel"),
    ("address", "address[line1]", "Address line 1", "address-line1"),
    ("address", "address[line2]", "Address line 2", "address-line2"),
    ("address", "address[postal_code]", "Postal code", "postal-code"),
    ("address", "address[city]", "City", "address-level2"),
    ("address", "address[state]", "State", "address-level1"),
    ("address", "address[country]", "Country", "country"),
)


def may_change(features: Json) -> list[str]:
    """The updates that are allowed: none when the feature is off."""
    update = features["customer_update"]
    return list(update["allowed_updates"]) if update["enabled"] else []


def form_fields(features: Json, customer: Json, given: Json | None = None) -> list[Json]:
    """The fields of the form with their values: those just given, or those that the customer has."""
    allowed = may_change(features)
    return [
        {"name": name, "label": label, "autocomplete": filled, "value": _value(given or customer, name)}
        for update, name, label, filled in _FIELDS
        if update in allowed
    ]


def _value(holder: Json, name: str) -> Any:
    first, _, part = name.partition("[")
    inner = holder.get(first)
    return (inner or {}).get(part.rstrip("]")) if part else inner


def allowed_changes(features: Json, form: Json) -> Json:
    """What a form may change; fields that the configuration does not allow are left out."""
    allowed = may_change(features)
    changes: Json = {name: form[name] for name in ("name", "email", "phone") if name in allowed and name in form}
    parts = form.get("address")
    if "address" in allowed and isinstance(parts, dict):
        changes["address"] = parts if any(parts.values()) else ""
    return changes
