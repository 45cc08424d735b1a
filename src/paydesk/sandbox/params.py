"""Form-encoded requests: nested parameters, and the kinds a parameter can be.

A kind is a function `(value, name) → value` that converts the text of the wire or raises Stripe's refusal.
A text that is empty clears the field: kinds give None for it where that is allowed.
"""

from __future__ import annotations

import re
from collections.abc import Callable, Mapping
from decimal import Decimal, InvalidOperation
from typing import Any
from urllib.parse import parse_qsl, urlsplit

from .errors import missing_parameter, unknown_parameters, unreadable

Kind = Callable[[Any, str], Any]
Shape = Mapping[str, Kind]

_NAME = re.compile(r"([^\[\]]+)((?:\[[^\[\]]*\])*)")
_PART = re.compile(r"\[([^\[\]]*)\]")
_INTEGER = re.compile(r"-?\d{1,18}")
_DEEPEST = 12
_SCRIPTS = ("data", "javascript", "vbscript")


def decode(encoded: str) -> dict[str, Any]:
    """`a[b][0][c]=1&d=2` as nested dicts of texts; list positions stay as keys ("0", "1", …)."""
    nested: dict[str, Any] = {}
    for name, value in parse_qsl(encoded, keep_blank_values=True, max_num_fields=5000):
        _place(nested, _parts(name), value, name)
    return nested


def _parts(name: str) -> list[str]:
    match = _NAME.fullmatch(name)
    parts = [match[1], *_PART.findall(match[2])] if match else []
    if not parts or len(parts) > _DEEPEST:
        raise unreadable(f"Invalid parameter name: {name}", name)
    return parts


def _place(nested: dict[str, Any], parts: list[str], value: str, name: str) -> None:
    """Put one value into the nested dicts; `[]` takes the next free position."""
    for part in parts[:-1]:
        nested = nested.setdefault(part or str(len(nested)), {})
        if not isinstance(nested, dict):
            raise unreadable(f"Invalid parameter name: {name}", name)
    last = parts[-1] or str(len(nested))
    if isinstance(nested.get(last), dict):
        raise unreadable(f"Invalid parameter name: {name}", name)
    nested[last] = value


def read(values: Mapping[str, Any], shape: Shape, required: tuple[str, ...] = (), prefix: str = "") -> dict[str, Any]:
    """The values by their kinds; unknown and missing ones are refused by name."""
    unknown = [_full(prefix, name) for name in values if name not in shape]
    if unknown:
        raise unknown_parameters(unknown)
    for name in required:
        if name not in values:
            raise missing_parameter(_full(prefix, name))
    return {name: shape[name](value, _full(prefix, name)) for name, value in values.items()}


def _full(prefix: str, name: str) -> str:
    return f"{prefix}[{name}]" if prefix else name


def _plain(value: Any, name: str) -> str:
    if not isinstance(value, str):
        raise unreadable("Invalid string: " + str(value), name)
    return value


def text(limit: int = 5000, *, clearable: bool = True) -> Kind:
    """A text of at most `limit` characters; an empty one is None, or refused where it cannot be unset."""

    def kind(value: Any, name: str) -> str | None:
        plain = _plain(value, name)
        if len(plain) > limit:
            raise unreadable(
                f"Invalid string: {plain[:20]}...; must be at most {limit} characters", name, "parameter_invalid_string"
            )
        if not plain and not clearable:
            raise empty(name)
        return plain or None

    return kind


def empty(name: str) -> Exception:
    """The refusal of an empty text for a parameter that cannot be unset."""
    return unreadable(
        f"You passed an empty string for '{name}'. We assume empty values are an attempt to unset a parameter; however "
        f"'{name}' cannot be unset. You should remove '{name}' from your request or supply a non-empty value.",
        name,
        "parameter_invalid_empty",
    )


def integer(value: Any, name: str) -> int:
    """A whole number; `100.0`, `1e3` and an empty text are refused."""
    plain = _plain(value, name)
    if not _INTEGER.fullmatch(plain):
        raise unreadable(f"Invalid integer: {plain}", name, "parameter_invalid_integer")
    return int(plain)


def whole(least: int, most: int | None = None) -> Kind:
    """A whole number within bounds."""

    def kind(value: Any, name: str) -> int:
        number = integer(value, name)
        if number < least:
            message = f"This value must be greater than or equal to {least}."
            raise unreadable(message, name, "parameter_invalid_integer")
        if most is not None and number > most:
            message = f"This value must be less than or equal to {most}."
            raise unreadable(message, name, "parameter_invalid_integer")
        return number

    return kind


def decimal(value: Any, name: str) -> Decimal:
    """A decimal number with at most twelve places."""
    plain = _plain(value, name)
    try:
        number = Decimal(plain)
    except InvalidOperation:
        number = Decimal("NaN")
    if not number.is_finite() or int(number.as_tuple().exponent) < -12:
        raise unreadable(f"Invalid decimal: {plain}", name, "parameter_invalid_decimal")
    return number


def measure(value: Any, name: str) -> float:
    """A decimal number as JSON has it."""
    return float(decimal(value, name))


def flag(value: Any, name: str) -> bool:
    """`true` or `false`; older SDKs of Python send `True` and `False`."""
    plain = _plain(value, name)
    if plain not in ("true", "false", "True", "False"):
        raise unreadable(f"Invalid boolean: {plain}", name)
    return plain in ("true", "True")


def choice(*allowed: str) -> Kind:
    """One of a few words."""
    listed = allowed[0] if len(allowed) == 1 else ", ".join(allowed[:-1]) + ", or " + allowed[-1]

    def kind(value: Any, name: str) -> str:
        plain = _plain(value, name)
        if plain not in allowed:
            raise unreadable(f"Invalid {name}: must be one of {listed}", name)
        return plain

    return kind


def url(value: Any, name: str) -> str | None:
    """An http or https address, or any scheme of an app; empty clears it."""
    plain = _plain(value, name)
    if not plain:
        return None
    parts = urlsplit(plain)
    if not parts.scheme or parts.scheme in _SCRIPTS or not (parts.netloc or parts.path) or " " in plain:
        raise unreadable("Not a valid URL", name, "url_invalid")
    return plain


def email(value: Any, name: str) -> str | None:
    """Something that can be an e-mail address; empty clears it."""
    plain = _plain(value, name)
    if plain and not re.fullmatch(r"[^@\s]+@[^@\s]+\.[^@\s]+", plain):
        raise unreadable(f"Invalid email address: {plain}", name, "email_invalid")
    return plain or None


def fields(shape: Shape, required: tuple[str, ...] = ()) -> Kind:
    """A hash with the given fields; an empty text clears it."""

    def kind(value: Any, name: str) -> dict[str, Any] | None:
        if value == "":
            return None
        if not isinstance(value, dict):
            raise unreadable(f"Invalid object: {value}", name)
        return read(value, shape, required, name)

    return kind


def items(each: Kind, most: int = 1000) -> Kind:
    """A list, on the wire `x[]=…` or `x[0]=…`; an empty text is an empty list."""

    def kind(value: Any, name: str) -> list[Any]:
        if value == "":
            return []
        if not isinstance(value, dict) or not all(key.isdecimal() for key in value):
            raise unreadable("Invalid array", name)
        if len(value) > most:
            raise unreadable(f"Array too long: at most {most} items are allowed", name)
        ordered = sorted(value.items(), key=lambda item: int(item[0]))
        return [each(one, f"{name}[{position}]") for position, (_, one) in enumerate(ordered)]

    return kind


def metadata(value: Any, name: str) -> dict[str, str] | None:
    """Key-value pairs: at most 50, keys up to 40 characters, values up to 500. Empty text clears all (None)."""
    if value == "":
        return None
    if not isinstance(value, dict):
        raise unreadable(f"Invalid object: {value}", name)
    for key, entry in value.items():
        _check_pair(key, entry, name)
    return dict(value)


def _check_pair(key: str, entry: Any, name: str) -> None:
    full = f"{name}[{key}]"
    if not isinstance(entry, str):
        raise unreadable(f"Metadata values can only be text, not an object: {full}", full)
    if len(key) > 40:
        raise unreadable(f"Metadata keys can be at most 40 characters long: {key}", name)
    if len(entry) > 500:
        raise unreadable(f"Metadata values can have up to 500 characters, but you passed in a value that is "
                         f"{len(entry)} characters. Invalid value: {entry[:20]}...", full)  # fmt: skip


def merged_metadata(old: Mapping[str, str], new: Mapping[str, str] | None) -> dict[str, str]:
    """Metadata after an update: empty values remove their keys, None removes all; over 50 keys are refused."""
    if new is None:
        return {}
    merged = {key: value for key, value in {**old, **new}.items() if value != ""}
    if len(merged) > 50:
        raise unreadable(f"You can only have 50 metadata keys, but this would make {len(merged)}.", "metadata")
    return merged


def moment_range(value: Any, name: str) -> dict[str, int]:
    """A filter on time: a number of seconds, or a hash of `gt`, `gte`, `lt`, `lte`."""
    if isinstance(value, str):
        return {"gte": integer(value, name), "lte": integer(value, name)}
    return read(value, {"gt": integer, "gte": integer, "lt": integer, "lte": integer}, (), name)


ADDRESS: Shape = {part: text() for part in ("city", "country", "line1", "line2", "postal_code", "state")}
LIST: Shape = {"limit": whole(1, 100), "starting_after": text(), "ending_before": text()}


def full_address(given: Mapping[str, Any] | None) -> dict[str, Any] | None:
    """An address with all of its six fields, or None."""
    return None if given is None else {part: given.get(part) for part in ADDRESS}
