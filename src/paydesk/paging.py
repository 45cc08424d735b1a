"""Lists a page at a time, newest first, by a cursor: what is added meanwhile moves nothing that is still to be read.

A page is read from an index in the order of the list, beginning at the cursor, and only what was asked for stands in
the statement: how much there is does not matter.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from datetime import datetime

from paydesk.errors import Invalid
from paydesk.store import Record, Tx

LIMIT = 20
LIMIT_MAX = 100
ID_MAX = 2**63 - 1


@dataclass(frozen=True, slots=True)
class Cut:
    """Which part of a list: at most `limit`, older than one or newer than one, from `since` up to before `until`."""

    limit: int = LIMIT
    starting_after: str | None = None
    ending_before: str | None = None
    since: datetime | None = None
    until: datetime | None = None


@dataclass(frozen=True, slots=True)
class Listed:
    """What is listed: where it is read from, and what its order and its cursors are.

    `key` are the columns that order it, the last of them unique; `at` is its time, `id` what a cursor names. `number`
    reads a cursor that is a number. It is read the newest first, or with `upwards` from the least `key` on.
    """

    what: str
    columns: str
    tables: str
    key: tuple[str, ...]
    at: str
    id: str
    number: Callable[[str], int] | None = None
    upwards: bool = False


@dataclass(frozen=True, slots=True)
class Only:
    """A condition, with `{}` for each of its values. A `steady` one, such as whose it is, must be true of a cursor too."""

    condition: str
    values: tuple[object, ...] = ()
    steady: bool = False


@dataclass(frozen=True, slots=True)
class Page:
    """A part of a list, newest first, and whether there is more of it in the direction that was asked for."""

    rows: list[Record]
    has_more: bool


async def read(tx: Tx, listed: Listed, only: Sequence[Only], cut: Cut) -> Page:
    """Return a part of a list; raises `Invalid` for two cursors, and for one that names nothing of this list."""
    if cut.starting_after is not None and cut.ending_before is not None:
        raise Invalid("give starting_after or ending_before, not both", param="ending_before")
    backwards = cut.ending_before is not None
    rising = backwards != listed.upwards
    wanted = [*only]
    if cut.since is not None:
        wanted.append(Only(f"{listed.at} >= {{}}", (cut.since,)))
    if cut.until is not None:
        wanted.append(Only(f"{listed.at} < {{}}", (cut.until,)))
    where, values = _where(wanted)
    place = await _place(tx, listed, [one for one in only if one.steady], cut)
    if place:
        marks = ", ".join(f"${len(values) + number}" for number in range(1, len(place) + 1))
        where.append(f"({', '.join(listed.key)}) {'>' if rising else '<'} ({marks})")
        values += place
    order = ", ".join(f"{column} {'ASC' if rising else 'DESC'}" for column in listed.key)
    rows = await tx.fetch(
        f"SELECT {listed.columns} FROM {listed.tables} WHERE {' AND '.join(['true', *where])} "
        f"ORDER BY {order} LIMIT ${len(values) + 1}",
        *values,
        cut.limit + 1,
    )
    found = rows[: cut.limit]
    return Page(found[::-1] if backwards else found, len(rows) > cut.limit)


def _where(wanted: Sequence[Only]) -> tuple[list[str], list[object]]:
    """Return conditions with their places numbered, and the values that belong there."""
    where: list[str] = []
    values: list[object] = []
    for one in wanted:
        marks = [f"${number}" for number in range(len(values) + 1, len(values) + len(one.values) + 1)]
        where.append(one.condition.format(*marks))
        values += one.values
    return where, values


async def _place(tx: Tx, listed: Listed, steady: Sequence[Only], cut: Cut) -> list[object]:
    """Return where in the order the cursor stands, nothing without one."""
    param, cursor = "starting_after", cut.starting_after
    if cursor is None:
        param, cursor = "ending_before", cut.ending_before
    if cursor is None:
        return []
    where, values = _where(steady)
    named = cursor if listed.number is None else number_of(listed.number, cursor, listed.what, param)
    row = await tx.fetchrow(
        f"SELECT {', '.join(listed.key)} FROM {listed.tables} "
        f"WHERE {' AND '.join([*where, f'{listed.id} = ${len(values) + 1}'])} ORDER BY 1 DESC LIMIT 1",
        *values,
        named,
    )
    if row is None:
        raise Invalid(f"{param}: this list has no {listed.what} {cursor}", param=param)
    return [*row]


def number_of(read_number: Callable[[str], int], text: str, what: str, param: str) -> int:
    """Return a cursor as a number; raises `Invalid` that names the parameter."""
    try:
        return read_number(text)
    except ValueError:
        raise Invalid(f"{param}: this list has no {what} {text}", param=param) from None


def plain_number(text: str) -> int:
    """Return the number that an id of ours is; raises `ValueError`."""
    if not text.isascii() or not text.isdigit() or int(text[:20]) > ID_MAX:
        raise ValueError(text)
    return int(text)
