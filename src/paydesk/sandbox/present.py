"""How an object leaves the sandbox: without its own fields, with the asked-for fields expanded.

`EXPANDABLE` says which field of which kind holds the id of another object; `INCLUDABLE` which lists come when asked.
"""

from __future__ import annotations

import copy
from collections.abc import Callable
from typing import Any

from .accounts import Account
from .errors import Json, invalid

_DEEPEST = 4

# (kind of object, field) → the kind that the id in this field names.
EXPANDABLE: dict[tuple[str, str], str] = {
    ("balance_transaction", "source"): "charge",
    ("charge", "balance_transaction"): "balance_transaction",
    ("charge", "customer"): "customer",
    ("charge", "failure_balance_transaction"): "balance_transaction",
    ("charge", "payment_intent"): "payment_intent",
    ("checkout.session", "customer"): "customer",
    ("checkout.session", "invoice"): "invoice",
    ("checkout.session", "payment_intent"): "payment_intent",
    ("checkout.session", "setup_intent"): "setup_intent",
    ("checkout.session", "subscription"): "subscription",
    ("customer", "default_source"): "card",
    ("customer", "invoice_settings.default_payment_method"): "payment_method",
    ("item", "price.product"): "product",
    ("payment_intent", "customer"): "customer",
    ("payment_intent", "latest_charge"): "charge",
    ("payment_intent", "payment_method"): "payment_method",
    ("payment_method", "customer"): "customer",
    ("price", "product"): "product",
    ("product", "default_price"): "price",
    ("refund", "balance_transaction"): "balance_transaction",
    ("refund", "charge"): "charge",
    ("refund", "failure_balance_transaction"): "balance_transaction",
    ("refund", "payment_intent"): "payment_intent",
    ("refund", "payment_method"): "payment_method",
}
# (kind of object, field) → what makes the list; filled by the modules that own the lists.
INCLUDABLE: dict[tuple[str, str], Callable[[Account, Json], Json]] = {}


def public(row: Json) -> Json:
    """A copy of an object without the sandbox's own fields."""
    return {name: copy.deepcopy(value) for name, value in row.items() if not name.startswith("_")}


def rendered(account: Account, row: Json, expand: list[str]) -> Json:
    """The answer for an object or a list of objects, with every path of `expand` followed."""
    answer = _rendered_list(row) if row.get("object") == "list" else public(row)
    for path in expand:
        if path.count(".") >= _DEEPEST:
            raise invalid(
                f"You cannot expand more than {_DEEPEST} levels of a property. Property: {path}",
                "expand",
                "property_too_deep",
            )
        _expand(account, answer, path.split("."), path)
    return answer


def _rendered_list(row: Json) -> Json:
    return {**row, "data": [public(item) for item in row["data"]]}


def _expand(account: Account, node: Json, parts: list[str], path: str) -> None:
    """Follow one path from an object; what cannot be expanded is refused by name."""
    if not parts:
        return
    if node.get("object") == "list" and parts[0] == "data":
        for item in node["data"]:
            _expand(account, item, parts[1:], path)
        return
    for length in range(len(parts), 0, -1):
        if _expand_field(account, node, parts[:length], parts[length:], path):
            return
    raise invalid(f"This property cannot be expanded ({path}).", "expand")


def _expand_field(account: Account, node: Json, field: list[str], rest: list[str], path: str) -> bool:
    """Expand one field (dotted inside plain hashes); False when this kind has no such field."""
    kind = str(node.get("object", ""))
    holder, name = _holder(node, field), field[-1]
    include = INCLUDABLE.get((kind, ".".join(field)))
    if include is not None:
        if name not in node:
            node[name] = _rendered_list(include(account, node))
    elif (kind, ".".join(field)) in EXPANDABLE:
        if holder is not None and isinstance(holder.get(name), str):
            holder[name] = _looked_up(account, EXPANDABLE[kind, ".".join(field)], holder[name])
    elif holder is None or not isinstance(holder.get(name), dict) or "object" not in holder[name]:
        return False
    if holder is not None and isinstance(holder.get(name), dict):
        _expand(account, holder[name], rest, path)
    return True


def _holder(node: Json, field: list[str]) -> Json | None:
    """The hash in which the last part of a dotted field stands, or None."""
    for part in field[:-1]:
        inner: Any = node.get(part)
        if not isinstance(inner, dict):
            return None
        node = inner
    return node


def _looked_up(account: Account, kind: str, object_id: str) -> Json | str:
    """The object with this id, as it is shown; the id itself when it is of another kind and unknown."""
    row = account.find(kind, object_id) or account.find("refund", object_id)
    return object_id if row is None else public(row)
