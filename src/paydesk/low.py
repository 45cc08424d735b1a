"""Low balances: whoever falls below a mark is told once, until something comes in again.

A mark is a unit's (`[units.X] low` in the catalogue) or that of a person's own top-up, whichever is higher. Balances
fall by spending, by refunds and disputes, and by ending unspent: whoever writes a book asks `fallen` first. Who is below
already when a mark is new is found by `sweep`.
"""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Callable, Mapping
from functools import partial

from paydesk import audit, customers, timers
from paydesk.ledger import Account, Book
from paydesk.store import Store, Tx
from paydesk.timers import Timer

KIND = "low_balance"
ACTOR = "catalogue"
PEOPLE_MAX = 500

Marks = Callable[[str], int]
"""Returns a unit's mark; 0 where nobody is told."""


def nobody(_unit: str) -> int:
    """Mark no unit."""
    return 0


def mark_of(account: Account, of_unit: int) -> int:
    """Return below what balance somebody has to be told; nobody who knows already."""
    return 0 if account.told_low else max(account.low_mark or 0, of_unit)


def fallen(book: Book, marks: Marks) -> list[Timer]:
    """Return what tells the people whose balance a book has lowered below their mark, and note that they are told.

    Money that went back lets nothing be bought again: there the next spend decides.
    """
    moved: dict[int, int] = defaultdict(int)
    taken_back = set()
    for entry in book.entries:
        moved[entry.from_account] -= entry.amount
        moved[entry.to_account] += entry.amount
        if entry.reason == "take_back":
            taken_back.add(entry.from_account)
    low = []
    for (owner, unit, kind), account in book.accounts.items():
        if kind != "wallet" or moved[account.id] >= 0 or (account.low_mark is not None and account.id in taken_back):
            continue
        if book.balance(owner, unit) < mark_of(account, marks(unit)):
            account.told_low = True
            low.append(Timer(KIND, f"{owner}|{unit}", book.now, owner))
    return low


# --- a mark that is new ------------------------------------------------------------------------------------------------

NEWS = """
SELECT m.unit, m.low FROM unnest($1::text[], $2::bigint[]) AS m (unit, low)
WHERE m.low IS DISTINCT FROM (SELECT (detail->>'low')::bigint FROM audit
                              WHERE action = 'unit.low' AND subject = m.unit ORDER BY id DESC LIMIT 1)
"""

IS_LOW = """
a.unit = $1 AND a.kind = 'wallet' AND NOT a.told_low AND a.low_mark IS NULL
AND (SELECT coalesce(sum(l.remaining), 0) FROM lot l WHERE l.account_id = a.id AND NOT l.used_up
     AND (l.expires_at IS NULL OR l.expires_at > desk_now())) < $2
AND EXISTS (SELECT FROM entry e WHERE e.customer_id = a.owner AND e.to_account = a.id)
"""
"""Who has less than the mark, has had some, and was not told; who buys again by themselves is not in want."""

FIND = f"SELECT a.owner FROM account a WHERE {IS_LOW} AND a.owner > $3 ORDER BY a.owner LIMIT {PEOPLE_MAX}"
NOTE = (
    f"UPDATE account a SET told_low = true WHERE {IS_LOW} AND a.owner = ANY($3::text[]) RETURNING a.owner, desk_now()"
)


async def sweep(store: Store, low_marks: Mapping[str, int]) -> int:
    """Tell those who are below a mark that the catalogue did not have before; return how many that were.

    A mark is noted when everybody is told: after a crash it goes on, and nobody is told twice.
    """
    told = 0
    units = sorted(low_marks)
    for unit, mark in await store.fetch(NEWS, units, [low_marks[unit] for unit in units]):
        after: str | None = ""
        while after is not None:
            found, after = await store.run(partial(_tell, unit=unit, mark=mark, after=after))
            told += found
    return told


async def _tell(tx: Tx, unit: str, mark: int, after: str) -> tuple[int, str | None]:
    """Tell some people, those after an id; return how many, and after whom to go on, `None` when that was all."""
    people = [row["owner"] for row in await tx.fetch(FIND, unit, mark, after)]
    locked = await customers.lock(tx, people)
    rows = await tx.fetch(NOTE, unit, mark, sorted(locked))
    await timers.put(tx, [Timer(KIND, f"{owner}|{unit}", now, owner) for owner, now in rows])
    if len(people) == PEOPLE_MAX:
        return len(rows), people[-1]
    await audit.note(tx, ACTOR, "unit.low", [unit], {"low": mark})
    return len(rows), None
