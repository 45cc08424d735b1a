"""How the sandbox's tables of parameters differ from what the official SDK declares for the same calls.

Every service of the SDK names method, path and a typed hash for each of its calls; the sandbox's `Operation`s have a
`Shape`. Both are walked to the bottom, and every difference is a `Difference`: the parameter in the words of an error
(`line_items[][price_data][currency]`), and what is different.
"""

from __future__ import annotations

import ast
import importlib
import inspect
import pkgutil
import re
import sys
from collections.abc import Iterator
from dataclasses import dataclass
from decimal import Decimal
from functools import cache
from types import UnionType
from typing import Any, Literal, NotRequired, Union, get_args, get_origin, get_type_hints

import stripe
from stripe import RequestOptions
from typing_extensions import is_typeddict

from paydesk.sandbox import params as kinds
from paydesk.sandbox.calls import Operation

# What the sandbox reads as one of these, the SDK declares as one of the types named here.
_PLAIN: dict[Any, set[Any]] = {
    kinds.integer: {int}, kinds.flag: {bool}, kinds.url: {str}, kinds.email: {str}, kinds.decimal: {Decimal, str},
    kinds.measure: {float}, kinds.Text: {str}, kinds.Whole: {int},
}  # fmt: skip


@dataclass(frozen=True, order=True)
class Difference:
    """One parameter of one call that the sandbox and the SDK see differently."""

    call: str
    param: str
    what: str

    def __str__(self) -> str:
        return f"{self.call} {self.param}: {self.what}"


def differences(operation: Operation) -> list[Difference]:
    """Where the table of one call differs from the SDK's, in no order that means anything."""
    call = f"{operation.method} {operation.path}"
    declared = declared_calls().get(normal(operation.method, operation.path))
    if declared is None:
        return [Difference(call, "", "no such call in the SDK")]
    return [
        Difference(call, param, what) for param, what in _of_hash(operation.shape, operation.required, declared, "")
    ]


def normal(method: str, path: str) -> str:
    """A call with `{}` for every id in its path, whatever the id is called."""
    return f"{method.upper()} {re.sub(r'{[^}]*}', '{}', path)}"


@cache
def declared_calls() -> dict[str, type]:
    """The typed hash of every call that the SDK knows, by `POST /v1/customers/{}`."""
    found: dict[str, type] = {}
    for module in pkgutil.walk_packages(stripe.__path__, "stripe."):
        if module.name.endswith("_service"):
            tree = ast.parse(inspect.getsource(importlib.import_module(module.name)))
            found |= dict(_calls_of(tree))
    return found


def _calls_of(tree: ast.AST) -> Iterator[tuple[str, type]]:
    modules = {
        alias.name: str(node.module)
        for node in ast.walk(tree)
        if isinstance(node, ast.ImportFrom)
        for alias in node.names
    }
    for node in ast.walk(tree):
        if isinstance(node, ast.FunctionDef):
            for call in ast.walk(node):
                named = _request(call)
                if named is not None:
                    hint = next(ast.unparse(one.annotation or one) for one in node.args.args if one.arg == "params")
                    name = re.findall(r"\w+Params\b", hint)[-1]
                    yield named, getattr(importlib.import_module(modules[name]), name)


def _request(call: ast.AST) -> str | None:
    """`POST /v1/…` of a line `self._request("post", "/v1/…", …)`."""
    if not isinstance(call, ast.Call) or not ast.unparse(call.func).endswith("._request"):
        return None
    texts = [node.value for node in ast.walk(call) if isinstance(node, ast.Constant) and isinstance(node.value, str)]
    path = next((text for text in texts if text.startswith("/v1/")), None)
    method = call.args[0]
    return normal(method.value, path) if path and isinstance(method, ast.Constant) else None


@cache
def _hints(cls: type) -> dict[str, Any]:
    """The parameters of a typed hash; `NotRequired` stays."""
    own = {name: hint for name, hint in cls.__annotations__.items() if name not in RequestOptions.__annotations__}
    holder = type("Holder", (), {"__annotations__": own})
    return get_type_hints(holder, globalns=vars(sys.modules[cls.__module__]), localns={}, include_extras=True)


def _of_hash(shape: kinds.Shape, required: tuple[str, ...], cls: type, prefix: str) -> Iterator[tuple[str, str]]:
    hints = _hints(cls)
    for name in sorted(set(shape) | set(hints)):
        full = f"{prefix}[{name}]" if prefix else name
        if name not in hints:
            yield full, "unknown to Stripe"
        elif name not in shape:
            yield full, "not in the sandbox"
        else:
            yield from _of_kind(shape[name], hints[name], full)
            if (name in required) != (get_origin(hints[name]) is not NotRequired):
                yield full, "required here only" if name in required else "required by Stripe"


def _options(hint: Any) -> tuple[Any, ...]:
    if get_origin(hint) is NotRequired:
        return _options(get_args(hint)[0])
    return (
        tuple(one for part in get_args(hint) for one in _options(part))
        if get_origin(hint) in (Union, UnionType)
        else (hint,)
    )


def _of_kind(kind: kinds.Kind, hint: Any, full: str) -> Iterator[tuple[str, str]]:
    options = _options(hint)
    hashes = [one for one in options if is_typeddict(one)]
    lists = [one for one in options if get_origin(one) is list]
    if isinstance(kind, kinds.Fields) and hashes:
        if kind.clearable != any(get_origin(one) is Literal and "" in get_args(one) for one in options):
            yield full, "can be unset here only" if kind.clearable else "can be unset at Stripe"
        yield from _of_hash(kind.shape, kind.required, hashes[0], full)
    elif isinstance(kind, kinds.Items) and lists:
        yield from _of_kind(kind.each, get_args(lists[0])[0], f"{full}[]")
    elif kind is kinds.metadata:
        if not any(get_origin(one) is dict for one in options):
            yield full, f"metadata here, {options} at Stripe"
    elif kind is kinds.moment_range:
        if not (int in options and hashes):
            yield full, f"a range of time here, {options} at Stripe"
    else:
        yield from _of_plain(kind, options, full)


def _of_plain(kind: kinds.Kind, options: tuple[Any, ...], full: str) -> Iterator[tuple[str, str]]:
    words = {word for one in options if get_origin(one) is Literal for word in get_args(one)} - {""}
    if isinstance(kind, kinds.Choice):
        if not words:
            yield full, f"words here, {options} at Stripe"
        for word in sorted(set(kind.allowed) - words if words else ()):
            yield full, f"the word {word} is unknown to Stripe"
        for word in sorted(words - set(kind.allowed)):
            yield full, f"the word {word} is not in the sandbox"
    elif words and str not in (set(options) - {Any}) | ({str} if int in options else set()):
        yield full, "words at Stripe"
    else:
        wanted = _PLAIN.get(kind) or _PLAIN.get(type(kind)) or set()
        if words and not any(one in options for one in wanted - {str}):
            yield full, "words at Stripe"
        elif not wanted & set(options):
            yield full, f"{kind} here, {options} at Stripe"
