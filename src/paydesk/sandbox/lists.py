"""Pages of objects: newest first, cursors both ways, filters."""

from __future__ import annotations

from collections.abc import Callable
from itertools import islice
from typing import Any

from .accounts import Account, Table
from .errors import Json, invalid, no_such

Filter = Callable[[Json], bool]


def page(account: Account, kind: str, params: Json, url: str, keep: Filter) -> Json:
    """One page of a kind's objects that pass `keep` and the `created` filter, as Stripe's list object.

    A filter on a customer whom there never was is refused."""
    if params.get("customer"):
        account.get("customer", params["customer"], "customer")
    limit = params.get("limit", 10)
    found = list(islice(_matching(account, kind, params, keep), limit + 1))
    data = found[:limit]
    if params.get("ending_before"):
        data.reverse()
    return list_of(data, url, has_more=len(found) > limit)


def list_of(data: list[Json], url: str, *, has_more: bool = False) -> Json:
    """Stripe's list object around some objects."""
    return {"object": "list", "data": data, "has_more": has_more, "url": url}


def _matching(account: Account, kind: str, params: Json, keep: Filter) -> Any:
    """The objects from the cursor on, in walking direction."""
    after, before = params.get("starting_after"), params.get("ending_before")
    if after and before:
        raise invalid("You cannot parameterize both starting_after and ending_before.", "starting_after")
    table = account.table(kind)
    start = _cursor(table, kind, params)
    moments = params.get("created", {})
    rows = table.walk(start, forward=bool(before))
    return (row for row in rows if not row.get("deleted") and keep(row) and in_range(moment_of(row), moments))


def moment_of(row: Json) -> int:
    """When an object was made; invoice items call it `date`."""
    return int(row["created"] if "created" in row else row["date"])


def window(rows: list[Json], params: Json, url: str) -> Json:
    """One page of rows that have their own fixed order, as a list object."""
    limit, ids = params.get("limit", 10), [row["id"] for row in rows]
    for name in ("starting_after", "ending_before"):
        if params.get(name) and params[name] not in ids:
            raise no_such("item", params[name], name)
    if params.get("ending_before"):
        end = ids.index(params["ending_before"])
        return list_of(rows[max(0, end - limit) : end], url, has_more=end > limit)
    start = ids.index(params["starting_after"]) + 1 if params.get("starting_after") else 0
    return list_of(rows[start : start + limit], url, has_more=start + limit < len(rows))


def _cursor(table: Table, kind: str, params: Json) -> int:
    for name in ("starting_after", "ending_before"):
        object_id = params.get(name)
        if object_id:
            if object_id not in table.place:
                raise no_such(kind, object_id, name)
            return table.place[object_id]
    return len(table.order)


def in_range(moment: int, bounds: dict[str, int]) -> bool:
    """Whether a time in seconds lies within the given `gt`, `gte`, `lt`, `lte`."""
    return (
        moment > bounds.get("gt", -1)
        and moment >= bounds.get("gte", 0)
        and ("lt" not in bounds or moment < bounds["lt"])
        and ("lte" not in bounds or moment <= bounds["lte"])
    )


def same(params: Json, *names: str) -> Filter:
    """A filter that compares the named fields with the parameters of the same name that were given."""
    wanted = {name: params[name] for name in names if params.get(name) is not None}
    return lambda row: all(row.get(name) == value for name, value in wanted.items())
