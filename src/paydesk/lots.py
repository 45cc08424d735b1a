"""Credits in lots: where they came from, how long they live, and in which order they are spent. Pure.

Spent soonest-ending first; of those that end together first by priority, then free ones before paid ones. A lot that
has ended cannot be spent, swept or not.
"""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import dataclass
from datetime import UTC, datetime

FOREVER = datetime.max.replace(tzinfo=UTC)


@dataclass(slots=True)
class Lot:
    """Credits of one source. `remaining` can be spent until `expires_at` (`None`: for ever), `held` are reserved.

    `granted` is what once came in, `expired` what ended unspent and has been swept.
    """

    id: str
    source: str
    account: int
    granted: int
    remaining: int
    held: int
    expired: int
    priority: int
    free: bool
    expires_at: datetime | None

    def alive(self, now: datetime) -> bool:
        """Say whether its credits can be spent at `now`."""
        return self.expires_at is None or self.expires_at > now


@dataclass(slots=True)
class Taken:
    """Credits that a claw-back of `source` took from a lot (or owed: `DEBT`), and how many have been given back since.

    `at` and `expires_at` say what life they had when they were taken: given back, they have it again.
    """

    source: str
    revision: int
    lot: str
    amount: int
    returned: int
    at: datetime
    expires_at: datetime | None

    @property
    def outstanding(self) -> int:
        """What has not been given back."""
        return self.amount - self.returned

    def ended(self) -> bool:
        """Say whether these credits had ended already when they were taken."""
        return self.expires_at is not None and self.expires_at <= self.at


DEBT = "debt"


def order_of_spending(lot: Lot) -> tuple[datetime, int, bool, str]:
    """Return the key by which lots are spent."""
    return (lot.expires_at or FOREVER, lot.priority, not lot.free, lot.id)


def order_of_taking(taken: Taken) -> tuple[int, bool, bool, datetime, str]:
    """Return the key that puts a source's claw-backs as they happened: its own lots, others', what was owed last."""
    others = not f"{taken.lot}/".startswith(f"{taken.source}/")
    return (taken.revision, taken.lot == DEBT, others, taken.expires_at or FOREVER, taken.lot)


def spendable(lots: Iterable[Lot], now: datetime) -> int:
    """Return how many credits can be spent at `now`."""
    return sum(lot.remaining for lot in lots if lot.remaining and lot.alive(now))


def pick(lots: Iterable[Lot], amount: int, now: datetime) -> list[tuple[Lot, int]]:
    """Return from which lots `amount` credits come, as many as there are; `lots` are in the order of spending."""
    picked = []
    for lot in lots:
        if amount == 0:
            break
        if lot.remaining and lot.alive(now):
            share = min(amount, lot.remaining)
            picked.append((lot, share))
            amount -= share
    return picked
