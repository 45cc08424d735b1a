"""What is real at Stripe and not built here, calls and parameters: refused in words of its own, never called unknown."""

from __future__ import annotations

import re
from collections.abc import Iterator, Mapping
from functools import cache
from typing import Any

from .errors import StripeError, unknown_url
from .unbuilt_calls import CALLS
from .unbuilt_params import PARAMS, WORDS

CODE = "sandbox_unsupported"
_PLACE = re.compile(r"\[\d+\]")
# The list of method types has two names; the words of both are the same.
_OLDER_NAME = re.compile(r"(?<!allowed_)payment_method_types\[\]$")


def refuse_unbuilt(method: str, path: str, given: Mapping[str, Any]) -> None:
    """Refuse the first parameter or word that Stripe has for this call (`/v1/customers/{id}`) and the sandbox has not."""
    known = _of_call(f"{method} {path}")
    if known is None:
        return
    names, words = known
    for full, value in _walked(given, ""):
        name = _PLACE.sub("[]", full)
        if name in names:
            raise _unsupported(f"the parameter '{full}'", full, "Leave it out here")
        if isinstance(value, str) and value in words.get(_OLDER_NAME.sub("allowed_payment_method_types[]", name), ()):
            raise _unsupported(f"the value '{value}' of '{full}'", full, "Leave it out here")


def refused_call(method: str, path: str) -> StripeError:
    """The refusal of an address that leads to no call here: 400 when Stripe has one there, else 404."""
    if any(pattern.fullmatch(path) for pattern in _unbuilt_paths().get(method, ())):
        return _unsupported(f"the call '{method} {path}'", None, "Do without it here")
    return unknown_url(method, path)


@cache
def _unbuilt_paths() -> dict[str, list[re.Pattern[str]]]:
    """By method: the paths of the calls that are not built."""
    found: dict[str, list[re.Pattern[str]]] = {}
    for methods, paths in CALLS:
        for method in methods.split():
            found.setdefault(method, []).extend(re.compile(path.replace("{}", "[^/]+")) for path in paths.split())
    return found


def _walked(given: Mapping[str, Any], prefix: str) -> Iterator[tuple[str, Any]]:
    """Every parameter at any depth, with its name on the wire; a hash comes before what is in it."""
    for name, value in given.items():
        full = f"{prefix}[{name}]" if prefix else name
        yield full, value
        if isinstance(value, dict):
            yield from _walked(value, full)


def _unsupported(what: str, param: str | None, advice: str) -> StripeError:
    return StripeError(
        f"This sandbox does not support {what} yet; Stripe does. {advice}, or try this part in Stripe's own test mode.",
        code=CODE, param=param, executed=False,
    )  # fmt: skip


def _of_call(call: str) -> tuple[set[str], dict[str, set[str]]] | None:
    """The names and the words of one call; None when all of it is built."""
    return _calls().get(call)


@cache
def _calls() -> dict[str, tuple[set[str], dict[str, set[str]]]]:
    """By call: the full names of parameters, and by full name the words, that are not built."""
    calls: dict[str, tuple[set[str], dict[str, set[str]]]] = {}
    for listed, places in PARAMS:
        for place in _listed(places):
            method, path, *rest = place.split(" ")
            names = calls.setdefault(f"{method} {path}", (set(), {}))[0]
            names.update(f"{rest[0]}[{name}]" if rest else name for name in listed.split())
    for listed, places in WORDS:
        for place in _listed(places):
            method, path, param = place.split(" ")
            calls.setdefault(f"{method} {path}", (set(), {}))[1].setdefault(param, set()).update(listed.split())
    return calls


def _listed(places: str) -> list[str]:
    """The places of an entry, whose text goes over several lines."""
    return " ".join(places.split()).split("; ")
