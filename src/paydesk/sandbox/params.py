"""Form-encoded requests: nested parameters, and the kinds a parameter can be.

A kind is a function `(value, name) → value` that converts the text of the wire or raises Stripe's refusal.
A text that is empty clears the field: kinds give None for it where that is allowed. Kinds with a rule of their own are
objects that say it, so that the tables of parameters can be compared with Stripe's.
"""

from __future__ import annotations

import re
from collections.abc import Callable, Iterator, Mapping
from dataclasses import dataclass
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
_MOST_PAIRS = 5000
_SCRIPTS = ("data", "javascript", "vbscript")


def decode(encoded: str) -> dict[str, Any]:
    """`a[b][0][c]=1&d=2` as nested dicts of texts; list positions stay as keys ("0", "1", …)."""
    nested: dict[str, Any] = {}
    try:
        pairs = parse_qsl(encoded, keep_blank_values=True, max_num_fields=_MOST_PAIRS, errors="strict")
    except UnicodeDecodeError as problem:
        raise unreadable("Invalid request: the parameters are not UTF-8.") from problem
    except ValueError as problem:
        raise unreadable(f"Invalid request: more than {_MOST_PAIRS} parameters.") from problem
    for name, value in pairs:
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
    """The values by their kinds; unknown and missing ones are refused by name, unknown ones first and all together."""
    unknown = list(_unknown(values, shape, prefix))
    if unknown:
        raise unknown_parameters(unknown)
    return _read(values, shape, required, prefix)


def _unknown(values: Mapping[str, Any], shape: Shape, prefix: str) -> Iterator[str]:
    """The names at any depth that no table has."""
    for name, value in values.items():
        if name not in shape:
            yield _full(prefix, name)
        elif isinstance(value, dict):
            yield from _unknown_inside(value, shape[name], _full(prefix, name))


def _unknown_inside(values: Mapping[str, Any], kind: Kind, name: str) -> Iterator[str]:
    if isinstance(kind, Fields):
        yield from _unknown(values, kind.shape, name)
    elif isinstance(kind, Items):
        for position, value in values.items():
            if isinstance(value, dict):
                yield from _unknown_inside(value, kind.each, f"{name}[{position}]")


def _read(values: Mapping[str, Any], shape: Shape, required: tuple[str, ...], prefix: str) -> dict[str, Any]:
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


@dataclass(frozen=True)
class Text:
    """A text of at most `limit` characters; an empty one is None, or refused where it cannot be unset."""

    limit: int
    clearable: bool

    def __call__(self, value: Any, name: str) -> str | None:
        """The text, or None for an empty one."""
        plain = _plain(value, name)
        if len(plain) > self.limit:
            message = f"Invalid string: {plain[:20]}...; must be at most {self.limit} characters"
            raise unreadable(message, name, "parameter_invalid_string")
        if not plain and not self.clearable:
            raise empty(name)
        return plain or None


def text(limit: int = 5000, *, clearable: bool = True) -> Text:
    """The kind of a text."""
    return Text(limit, clearable)


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


@dataclass(frozen=True)
class Whole:
    """A whole number within bounds."""

    least: int
    most: int | None

    def __call__(self, value: Any, name: str) -> int:
        """The number."""
        number = integer(value, name)
        if number < self.least:
            message = f"This value must be greater than or equal to {self.least}."
            raise unreadable(message, name, "parameter_invalid_integer")
        if self.most is not None and number > self.most:
            message = f"This value must be less than or equal to {self.most}."
            raise unreadable(message, name, "parameter_invalid_integer")
        return number


def whole(least: int, most: int | None = None) -> Whole:
    """The kind of a whole number within bounds."""
    return Whole(least, most)


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


@dataclass(frozen=True)
class Choice:
    """One of a few words."""

    allowed: tuple[str, ...]

    def __call__(self, value: Any, name: str) -> str:
        """The word."""
        plain = _plain(value, name)
        if plain not in self.allowed:
            raise unreadable(f"Invalid {name}: must be one of {self._listed()}", name)
        return plain

    def _listed(self) -> str:
        *others, last = self.allowed
        return f"{', '.join(others)}, or {last}" if others else last


def choice(*allowed: str) -> Choice:
    """The kind of one of a few words."""
    return Choice(allowed)


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


@dataclass(frozen=True, eq=False)
class Fields:
    """A hash with the given fields; an empty text clears it, or is refused where it cannot be unset."""

    shape: Shape
    required: tuple[str, ...]
    clearable: bool

    def __call__(self, value: Any, name: str) -> dict[str, Any] | None:
        """The hash with its values read, or None."""
        if value == "":
            if not self.clearable:
                raise empty(name)
            return None
        if not isinstance(value, dict):
            raise unreadable(f"Invalid object: {value}", name)
        return _read(value, self.shape, self.required, name)


def fields(shape: Shape, required: tuple[str, ...] = (), *, clearable: bool = False) -> Fields:
    """The kind of a hash."""
    return Fields(shape, required, clearable)


@dataclass(frozen=True, eq=False)
class Items:
    """A list, on the wire `x[]=…` or `x[0]=…`; an empty text is an empty list."""

    each: Kind
    most: int

    def __call__(self, value: Any, name: str) -> list[Any]:
        """The values in their order."""
        if value == "":
            return []
        if not isinstance(value, dict) or not all(key.isdecimal() for key in value):
            raise unreadable("Invalid array", name)
        if len(value) > self.most:
            raise unreadable(f"Array too long: at most {self.most} items are allowed", name)
        ordered = sorted(value.items(), key=lambda item: int(item[0]))
        return [self.each(one, f"{name}[{position}]") for position, (_, one) in enumerate(ordered)]


def items(each: Kind, most: int = 1000) -> Items:
    """The kind of a list."""
    return Items(each, most)


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
SHIPPING: Shape = {
    "address": fields(ADDRESS),
    **{part: text() for part in ("carrier", "name", "phone", "tracking_number")},
}
LIST: Shape = {"limit": whole(1, 100), "starting_after": text(), "ending_before": text()}


def full_shipping(given: Mapping[str, Any]) -> dict[str, Any]:
    """Where goods are sent, with all of its fields."""
    return {**dict.fromkeys(SHIPPING), **given, "address": full_address(given["address"])}


def full_address(given: Mapping[str, Any] | None) -> dict[str, Any] | None:
    """An address with all of its six fields, or None."""
    return None if given is None else {part: given.get(part) for part in ADDRESS}
