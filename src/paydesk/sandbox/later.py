"""What happens by itself at a later moment of the clock; kept in the file, so that it happens after a restart too."""

from __future__ import annotations

from collections.abc import Callable
from functools import partial

from .accounts import Account
from .clock import Timeline
from .errors import Json

Deed = Callable[[Account, str], None]

# What can happen, by name; filled by the modules that own the deeds. A deed is given the id of what it is about, and
# looks itself whether there is still something to do.
DEEDS: dict[str, Deed] = {}


def later(account: Account, moment: float, deed: str, object_id: str) -> None:
    """Do `deed` to an object when the clock reaches `moment` (seconds since 1970)."""
    row = account.add("_deed", {"at": moment, "deed": deed, "about": object_id, "clock": account.test_clock})
    _plan(account, row)


def resume(account: Account) -> None:
    """Plan again what was waiting when the sandbox stopped."""
    for row in account.all("_deed"):
        _plan(account, row)


def _plan(account: Account, row: Json) -> None:
    """On the time line of the test clock at whose time it was planned, or on that of everything else."""
    own = account.timelines.setdefault(row["clock"], Timeline(account.clock)) if row.get("clock") else None
    (own.at if own else account.at)(row["at"], partial(_do, account, row["id"]))


def _do(account: Account, deed_id: str) -> None:
    row = account.find("_deed", deed_id)
    if row is not None:
        account.remove("_deed", deed_id)
        DEEDS[row["deed"]](account, row["about"])
