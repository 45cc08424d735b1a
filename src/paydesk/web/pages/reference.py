"""The API reference as a page shows it, made from the application's own OpenAPI description. Pure.

What is read here is only what the description may contain; a part it does not know is shown by its plain name.
"""

from __future__ import annotations

import inspect
import json
import re
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from typing import Any

from paydesk import errors

Schema = Mapping[str, Any]

METHODS = ("get", "post", "patch", "put", "delete")
SHOWN_REASONS = {
    "200": "done",
    "201": "made",
    "202": "taken, and being done",
    "204": "done, nothing to say",
    "422": "a field is missing or malformed; `param` names it",
}
LIMITS = (
    ("minLength", "{} or more characters"),
    ("maxLength", "up to {} characters"),
    ("minimum", "{:,.0f} or more"),
    ("maximum", "up to {:,.0f}"),
    ("minItems", "{} or more entries"),
    ("maxItems", "up to {} entries"),
    ("maxProperties", "up to {} entries"),
    ("pattern", "matches {}"),
)
MAXIMUM_SHOWN = 2**53
DEPTH_MAX = 6
PLACEHOLDERS = {
    "customer": "cst_…", "order": "ord_…", "payment": "pi_…", "refund": "re_…", "hold": "hld_…", "event": "evt_…",
    "delivery": "1",
}  # fmt: skip
_NOT_LETTERS = re.compile(r"[^a-z0-9]+")
_TOKENS = re.compile(
    r'(?P<name>"(?:[^"\\]|\\.)*"(?=:))|(?P<text>"(?:[^"\\]|\\.)*")|(?P<value>\b(?:true|false|null|\d+(?:\.\d+)?)\b)'
)


@dataclass(frozen=True, slots=True)
class Field:
    """A parameter or a field of a body. `path` is written with dots, `[]` marks the entries of a list."""

    path: str
    kind: str
    required: bool
    text: str
    notes: tuple[str, ...]


@dataclass(frozen=True, slots=True)
class Operation:
    """One call."""

    anchor: str
    method: str
    path: str
    title: str
    text: str
    path_fields: tuple[Field, ...]
    query_fields: tuple[Field, ...]
    body_fields: tuple[Field, ...]
    body_example: str | None
    answer_example: str | None
    curl: str
    responses: tuple[tuple[str, str], ...]


@dataclass(frozen=True, slots=True)
class Group:
    """Calls that belong together."""

    anchor: str
    name: str
    operations: tuple[Operation, ...]


@dataclass(frozen=True, slots=True)
class ErrorRow:
    """An error of the API: its status, its stable code, and what the caller should do."""

    status: int
    code: str
    text: str


def groups(description: Mapping[str, Any], base: str) -> list[Group]:
    """Return every call, in the order of the description, grouped by its first tag. `base` starts every address."""
    found: dict[str, list[Operation]] = {}
    reader = Reader(description, base)
    for path, calls in description["paths"].items():
        for method in (method for method in METHODS if method in calls):
            name = (calls[method].get("tags") or ["Other"])[0]
            found.setdefault(name, []).append(reader.operation(method, path, calls[method]))
    return [Group(_anchor(name), name, tuple(operations)) for name, operations in found.items()]


def error_rows() -> list[ErrorRow]:
    """Return the errors that a caller can meet, by status."""
    kinds = [kind for _, kind in inspect.getmembers(errors, inspect.isclass) if issubclass(kind, errors.PaydeskError)]
    shown = [kind for kind in kinds if kind.status != 500]
    rows = [ErrorRow(kind.status, kind.code, inspect.getdoc(kind) or "") for kind in shown]
    return sorted(rows, key=lambda row: (row.status, row.code))


def colored(text: str) -> list[tuple[str, str]]:
    """Return JSON cut into pieces of `(kind, piece)`, for a template to color; joined they are the text again."""
    pieces, end = [], 0
    for token in _TOKENS.finditer(text):
        pieces += [("plain", text[end : token.start()]), (token.lastgroup or "plain", token.group())]
        end = token.end()
    return [(kind, piece) for kind, piece in (*pieces, ("plain", text[end:])) if piece]


class Reader:
    """Reads operations of one description, following its references."""

    def __init__(self, description: Mapping[str, Any], base: str) -> None:
        self._schemas = description.get("components", {}).get("schemas", {})
        self._answers = description.get("components", {}).get("responses", {})
        self._base = base

    def operation(self, method: str, path: str, call: Mapping[str, Any]) -> Operation:
        """Return one call."""
        body = call.get("requestBody", {}).get("content", {}).get("application/json", {}).get("schema")
        parameters = call.get("parameters", [])
        example = None if body is None else json.dumps(self.example(body), indent=2, ensure_ascii=False)
        title = str(call.get("summary", path)).capitalize()
        return Operation(
            anchor=_anchor(f"{method} {path}"),
            method=method.upper(),
            path=path,
            title=title,
            text=str(call.get("description", "")),
            path_fields=self._parameters(parameters, "path"),
            query_fields=self._parameters(parameters, "query"),
            body_fields=() if body is None else tuple(self._fields(body, "", 0)),
            body_example=example,
            answer_example=_answer(call),
            curl=_curl(method, self._address(path, parameters), example),
            responses=tuple(self._responses(call)),
        )

    def _responses(self, call: Schema) -> Iterator[tuple[str, str]]:
        for status, response in call.get("responses", {}).items():
            told = self._answers.get(response.get("$ref", "").rpartition("/")[2], response)
            yield status, str(told.get("description") or SHOWN_REASONS.get(status, ""))

    def _parameters(self, parameters: Sequence[Schema], place: str) -> tuple[Field, ...]:
        return tuple(
            self._field(one["name"], one.get("schema", {}), bool(one.get("required")), one.get("description"))
            for one in parameters
            if one.get("in") == place
        )

    def _fields(self, schema: Schema, prefix: str, depth: int) -> Iterator[Field]:
        """Yield a body's fields, those of inner objects right below the field that holds them."""
        schema = self._object_in(schema)
        required = schema.get("required", ())
        for name, inner in schema.get("properties", {}).items():
            path = f"{prefix}{name}"
            yield self._field(path, inner, name in required, None)
            listed = self._main(inner).get("items")
            if depth < DEPTH_MAX:
                yield from self._fields(listed or inner, f"{path}[]." if listed else f"{path}.", depth + 1)

    def _field(self, path: str, schema: Schema, required: bool, text: str | None) -> Field:
        main = self._main(schema)
        words = text or schema.get("description") or (main.get("description") if "properties" not in main else None)
        return Field(path, self._kind(schema), required, str(words or ""), tuple(_notes(schema, main)))

    def _kind(self, schema: Schema) -> str:
        """Return a type in words, such as `text or integer`."""
        choices = schema.get("anyOf") or schema.get("oneOf")
        if choices:
            return " or ".join(dict.fromkeys(self._kind(one) for one in choices if one.get("type") != "null"))
        schema = self._resolved(schema)
        kind = schema.get("type", "anything")
        if kind == "array":
            return f"list of {self._kind(schema.get('items', {}))}"
        return {"string": "text", "number": "number", "boolean": "true or false"}.get(kind, str(kind))

    def example(self, schema: Schema, depth: int = 0) -> Any:
        """Return a value that fits: the given example, else what the type suggests; of optional fields those with one."""
        if schema.get("examples"):
            return schema["examples"][0]
        main = self._main(schema)
        if main.get("examples"):
            return main["examples"][0]
        if "const" in main or "enum" in main:
            return main.get("const", *main.get("enum", ())[:1])
        if depth and any(one.get("type") == "null" for one in schema.get("anyOf", ())):
            return None
        if "properties" in main and depth < DEPTH_MAX:
            required = main.get("required", ())
            wanted = {
                name: inner for name, inner in main["properties"].items()
                if name in required or inner.get("examples") or inner.get("default") not in (None, [], {})
            }  # fmt: skip
            return {name: self.example(inner, depth + 1) for name, inner in wanted.items()}
        if main.get("type") == "array":
            return [self.example(main.get("items", {}), depth + 1)]
        plain = {"string": "…", "integer": 1, "number": 1, "boolean": True, "object": {}}
        return schema.get("default", main.get("default", plain.get(main.get("type", ""))))

    def _address(self, path: str, parameters: Sequence[Schema]) -> str:
        """Return a call's address with placeholders, and with the parameters that it must have."""
        for name, value in PLACEHOLDERS.items():
            path = path.replace("{" + name + "}", value)
        must = [one for one in parameters if one.get("in") == "query" and one.get("required")]
        query = "&".join(f"{one['name']}={_sample(one)}" for one in must)
        return f"{self._base}{path}" + (f"?{query}" if query else "")

    def _resolved(self, schema: Schema) -> Schema:
        while "$ref" in schema:
            schema = self._schemas.get(schema["$ref"].rpartition("/")[2], {})
        return schema

    def _main(self, schema: Schema) -> Schema:
        """Return what a field is when it is given: the first of several types, never `null`."""
        choices = [one for one in schema.get("anyOf") or schema.get("oneOf") or () if one.get("type") != "null"]
        return self._main(choices[0]) if choices else self._resolved(schema)

    def _object_in(self, schema: Schema) -> Schema:
        main = self._main(schema)
        return main if main.get("properties") else {}


def _notes(schema: Schema, main: Schema) -> Iterator[str]:
    """Yield a field's limits and its default, in words."""
    for name, words in LIMITS:
        limit = main.get(name)
        if limit is not None and not (name == "maximum" and limit > MAXIMUM_SHOWN):
            yield words.format(limit)
    if main.get("enum"):
        yield "one of " + ", ".join(str(value) for value in main["enum"])
    default = schema.get("default", main.get("default"))
    if default not in (None, [], {}):
        yield f"default {json.dumps(default, ensure_ascii=False)}"


def _answer(call: Schema) -> str | None:
    """Return the example of what is answered when all is well."""
    done = [one for status, one in call.get("responses", {}).items() if status.startswith("2")]
    example = done[0].get("content", {}).get("application/json", {}).get("example") if done else None
    return None if example is None else json.dumps(example, indent=2, ensure_ascii=False)


def _sample(parameter: Schema) -> str:
    samples = {"channel": "telegram", "external_id": "42", "feature": "premium"}
    return samples.get(parameter["name"], "…")


def _curl(method: str, address: str, body: str | None) -> str:
    """Return a command that makes the call."""
    quoted = f"'{address}'" if "?" in address or "…" in address else address
    lines = [f"curl {quoted}" if method == "get" else f"curl -X {method.upper()} {quoted}"]
    lines.append('-H "Authorization: Bearer $PAYDESK_API_KEY"')
    if method == "post":
        lines.append('-H "Idempotency-Key: $(uuidgen)"')
    if body is not None:
        lines += ['-H "Content-Type: application/json"', "-d '" + body.replace("'", "'\\''") + "'"]
    return " \\\n  ".join(lines)


def _anchor(words: str) -> str:
    return _NOT_LETTERS.sub("-", words.lower()).strip("-")
