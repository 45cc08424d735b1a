"""Searches: Stripe's query language over the fields that each kind of object lets one search by.

A query is up to ten clauses joined by AND or by OR, never both: `email:"a@example.com" AND -metadata["k"]:"v"`.
`:` compares, `~` finds a part of a text (three characters or more), `>`, `<`, `>=` and `<=` compare numbers, a `-` in
front turns a clause round, `null` is a value that is not there. Texts are compared without regard to case.
"""

from __future__ import annotations

import base64
import binascii
import re
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from functools import partial
from itertools import islice
from typing import Any

from .accounts import Account
from .calls import Call, Operation, get
from .errors import Json, invalid
from .params import Shape, text, whole

_MOST_CLAUSES = 10
_SHORTEST_PART = 3
_CLAUSE = re.compile(
    r"""\s*(?P<turned>-)?(?P<field>[a-z_][a-z_.0-9]*)(?:\[(?P<key>'(?:\\.|[^'\\])*'|"(?:\\.|[^"\\])*")\])?
        \s*(?P<sign>:|~|>=|<=|>|<)\s*(?P<value>'(?:\\.|[^'\\])*'|"(?:\\.|[^"\\])*"|[^\s'"]+)""",
    re.VERBOSE,
)
_JOINT = re.compile(r"\s+(AND|OR)\s+", re.IGNORECASE)
_SIGNS: dict[str, Callable[[Any, Any], bool]] = {
    ":": lambda have, want: have == want,
    "~": lambda have, want: want in have,
    ">": lambda have, want: have > want,
    "<": lambda have, want: have < want,
    ">=": lambda have, want: have >= want,
    "<=": lambda have, want: have <= want,
}

# What each kind can be searched by: field → kind of its value.
_TEXT, _TOKEN, _NUMBER, _FLAG = "text", "token", "number", "flag"
_ALWAYS = {"created": _NUMBER, "metadata": _TOKEN}
_FIELDS: dict[str, dict[str, str]] = {
    "charge": {
        "amount": _NUMBER, "billing_details.address.postal_code": _TOKEN, "currency": _TOKEN, "customer": _TOKEN,
        "disputed": _FLAG, "payment_method_details.card.brand": _TOKEN, "payment_method_details.card.exp_month": _NUMBER,
        "payment_method_details.card.exp_year": _NUMBER, "payment_method_details.card.fingerprint": _TOKEN,
        "payment_method_details.card.last4": _TOKEN, "refunded": _FLAG, "status": _TOKEN,
    },
    "customer": {"email": _TEXT, "name": _TEXT, "phone": _TEXT},
    "invoice": {
        "currency": _TOKEN, "customer": _TOKEN, "last_finalization_error_code": _TOKEN,
        "last_finalization_error_type": _TOKEN, "number": _TOKEN, "receipt_number": _TOKEN, "status": _TOKEN,
        "subscription": _TOKEN, "total": _NUMBER,
    },
    "payment_intent": {"amount": _NUMBER, "currency": _TOKEN, "customer": _TOKEN, "status": _TOKEN},
    "price": {"active": _FLAG, "currency": _TOKEN, "lookup_key": _TOKEN, "product": _TOKEN, "type": _TOKEN},
    "product": {"active": _FLAG, "description": _TEXT, "name": _TEXT, "shippable": _FLAG, "url": _TEXT},
    "subscription": {"canceled_at": _NUMBER, "customer": _TOKEN, "status": _TOKEN},
}  # fmt: skip


@dataclass(frozen=True)
class Clause:
    """One comparison of a query; `value` None stands for `null`."""

    field: str
    key: str | None
    sign: str
    value: str | int | bool | None
    turned: bool

    def holds(self, row: Json) -> bool:
        """Whether an object fits."""
        return self._fits(row) != self.turned

    def _fits(self, row: Json) -> bool:
        have = _value(row, self.field)
        if self.key is not None:
            have = (have or {}).get(self.key)
        if self.value is None or have is None:
            return have is None and self.value is None and self.sign == ":"
        if isinstance(self.value, str):
            have = str(have).lower()
        return _SIGNS[self.sign](have, self.value)


def _value(row: Json, field: str) -> Any:
    """The value of a dotted field; None when something on the way is missing."""
    if field == "subscription" and "parent" in row:
        field = "parent.subscription_details.subscription"
    value: Any = row
    for part in field.split("."):
        value = value.get(part) if isinstance(value, dict) else None
    return value


def parse(query: str, kind: str) -> Callable[[Json], bool]:
    """A query as a filter; one that cannot be understood is refused."""
    clauses, joints, place = [], set(), 0
    while True:
        match = _CLAUSE.match(query, place)
        if match is None:
            raise _wrong(f"We were unable to parse your search query near character {place}: {query}")
        clauses.append(_clause(match, kind))
        place = match.end()
        joint = _JOINT.match(query, place)
        if joint is None:
            break
        joints.add(joint[1].upper())
        place = joint.end()
    if query[place:].strip():
        raise _wrong(f"We were unable to parse your search query near character {place}: {query}")
    if len(joints) > 1:
        raise _wrong("You may not combine AND and OR in one search query.")
    if len(clauses) > _MOST_CLAUSES:
        raise _wrong(f"A search query has at most {_MOST_CLAUSES} clauses.")
    every = any if joints == {"OR"} else all
    return lambda row: every(clause.holds(row) for clause in clauses)


def _clause(match: re.Match[str], kind: str) -> Clause:
    field, key, sign = match["field"], match["key"], match["sign"]
    sort = {**_ALWAYS, **_FIELDS[kind]}.get(field)
    if sort is None or (field == "metadata") != (key is not None):
        raise _wrong(f"Field `{field}` is an unsupported search field for resource `{kind}s`.")
    allowed = {_TEXT: (":", "~"), _TOKEN: (":",), _FLAG: (":",), _NUMBER: (":", ">", "<", ">=", "<=")}[sort]
    if sign not in allowed:
        raise _wrong(f"The operator `{sign}` cannot be used with the field `{field}`; use one of {', '.join(allowed)}.")
    value = _read_value(match["value"], sort, field)
    if sign == "~" and (not isinstance(value, str) or len(value) < _SHORTEST_PART):
        raise _wrong(f"A search for a part of `{field}` needs at least {_SHORTEST_PART} characters.")
    return Clause(field, None if key is None else _unquoted(key), sign, value, bool(match["turned"]))


def _read_value(given: str, sort: str, field: str) -> str | int | bool | None:
    """The value of a clause by the kind of its field."""
    if given == "null":
        return None
    plain = _unquoted(given)
    if sort == _NUMBER:
        if not re.fullmatch(r"-?\d{1,18}", plain):
            raise _wrong(f"The field `{field}` is compared with whole numbers, not {given}.")
        return int(plain)
    if sort == _FLAG:
        if plain not in ("true", "false"):
            raise _wrong(f"The field `{field}` is `true` or `false`.")
        return plain == "true"
    if plain == given:
        raise _wrong(f"The value of `{field}` must stand in quotes.")
    return plain.lower()


def _unquoted(given: str) -> str:
    return re.sub(r"\\(.)", r"\1", given[1:-1]) if given[:1] in "'\"" else given


def _wrong(message: str) -> Exception:
    return invalid(message, "query")


def _search(kind: str, url: str, call: Call) -> Json:
    """One page of what a query finds, newest first."""
    keep, limit = parse(call.params["query"], kind), call.params.get("limit", 10)
    found = list(islice(_found(call.account, kind, keep, call.params.get("page")), limit + 1))
    more = len(found) > limit
    return {
        "object": "search_result",
        "data": found[:limit],
        "has_more": more,
        "next_page": _page_after(found[limit - 1]) if more else None,
        "url": url,
    }


def _found(account: Account, kind: str, keep: Callable[[Json], bool], page: str | None) -> Iterator[Json]:
    table = account.table(kind)
    start = len(table.order) if page is None else table.place.get(_last_of(page), -1)
    if start < 0:
        raise invalid("Invalid page token.", "page")
    newest = account.clock.now() - account.settings.search_delay_s
    for row in table.walk(start, forward=False):
        if not row.get("deleted") and account.changed_at.get(row["id"], 0) <= newest and keep(row):
            yield row


def _page_after(row: Json) -> str:
    return base64.urlsafe_b64encode(row["id"].encode()).decode().rstrip("=")


def _last_of(page: str) -> str:
    """The id after which a page begins; an empty text for a token that is none."""
    try:
        return base64.b64decode(page + "=" * (-len(page) % 4), altchars=b"-_", validate=True).decode()
    except (binascii.Error, UnicodeDecodeError):
        return ""


def _operation(kind: str) -> Operation:
    url = f"/v1/{kind}s/search"
    shape: Shape = {"query": text(clearable=False), "limit": whole(1, 100), "page": text(clearable=False)}
    return get(url, partial(_search, kind, url), shape, required=("query",))


OPERATIONS: list[Operation] = [_operation(kind) for kind in _FIELDS]
