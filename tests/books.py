"""A book of one person for the tests of the ledger: sources, a clock that goes on, and what must always be true."""

from __future__ import annotations

from collections import Counter
from dataclasses import dataclass, field
from datetime import UTC, datetime, timedelta
from typing import Any

from paydesk.ledger import SYSTEM, Account, Book, Cause, Hold, Source, accounts_of
from paydesk.lots import spendable

NOW = datetime(2026, 5, 1, tzinfo=UTC)
ME, UNIT = "cst_1", "credits"
WALLET, HELD, DEBT = ((ME, UNIT, kind) for kind in ("wallet", "held", "debt"))
SOLD, SPENT, EXPIRED = ((SYSTEM, UNIT, kind) for kind in ("sold", "spent", "expired"))


def source(name: str = "s1", **terms: Any) -> Source:
    """Credits of an order: nothing worth yet."""
    return Source(name, ME, "ord_1", "credits", UNIT, terms)


def book(*owners: str, now: datetime = NOW) -> Book:
    """An empty book of these people."""
    keys = sorted({key for owner in owners or (ME,) for key in accounts_of(owner, UNIT)})
    return Book(now, {key: Account(n, None if key[0] == SYSTEM else 0) for n, key in enumerate(keys, 1)})


@dataclass
class Desk:
    """A book with its sources and holds, on which things happen one after the other."""

    book: Book = field(default_factory=book)
    sources: dict[str, Source] = field(default_factory=dict)
    holds: list[Hold] = field(default_factory=list)
    number: int = 0

    def worth(self, name: str, amount: int, **terms: Any) -> bool:
        """Make a source worth so much; its time is the book's at first."""
        one = self.sources.setdefault(name, source(name, **terms))
        return self.book.post(one, amount, one.since or self.book.now)

    def spend(self, amount: int) -> int:
        """Spend; what can be spent after."""
        return self.book.spend(self._cause("spend"), amount)

    def hold(self, amount: int) -> Hold:
        """Reserve."""
        cause = self._cause("hold")
        self.holds.append(self.book.hold(cause, f"hold_{self.number}", amount, self.book.now + timedelta(hours=1)))
        return self.holds[-1]

    def end(self, hold: Hold, used: int = 0) -> int:
        """Settle a hold, or release it; what can be spent after."""
        cause = Cause(f"hold:{hold.id}", 1, ME, UNIT)
        return self.book.end_hold(hold, cause, used, "settled" if used else "released")

    def later(self, **span: float) -> None:
        """Let time pass; nothing is swept."""
        self.book.now += timedelta(**span)

    def lapse(self) -> int:
        """Sweep what has ended."""
        return self.book.lapse(ME, UNIT)

    def _cause(self, what: str) -> Cause:
        self.number += 1
        return Cause(f"{what}:{self.number}", 0, ME, UNIT)

    # --- looking ---------------------------------------------------------------------------------------------------

    @property
    def wallet(self) -> int:
        return self.book.accounts[WALLET].balance or 0

    @property
    def held(self) -> int:
        return self.book.accounts[HELD].balance or 0

    @property
    def debt(self) -> int:
        return self.book.debt(ME, UNIT)

    @property
    def spendable(self) -> int:
        return self.book.balance(ME, UNIT)

    def lots(self) -> dict[str, int]:
        """What remains, by lot."""
        return {id_: lot.remaining for id_, lot in self.book.lots.items() if lot.remaining}

    def lives(self) -> list[tuple[timedelta | None, int]]:
        """How long what can be spent has to live yet, and how much of it: the same when it could be spent the same."""
        found: Counter[timedelta | None] = Counter()
        for lot in self.book.lots.values():
            if lot.remaining and lot.alive(self.book.now):
                found[None if lot.expires_at is None else lot.expires_at - self.book.now] += lot.remaining
        return sorted(found.items(), key=lambda life: (life[0] is None, life[0] or timedelta()))

    def moved(self, *accounts: tuple[str, str, str], of: str | None = None) -> int:
        """What has come into accounts less what has left them, by all entries or those of one source."""
        ids = {self.book.accounts[key].id for key in accounts}
        return sum(
            entry.amount * ((entry.to_account in ids) - (entry.from_account in ids))
            for entry in self.book.entries
            if of is None or entry.cause.source == of
        )


def broken(desk: Desk) -> list[str]:
    """What is not true of a book, whatever has happened."""
    book, lots = desk.book, desk.book.lots.values()
    held = sum(hold.amount for hold in desk.holds if hold.state == "held")
    keys = Counter((entry.cause.source, entry.cause.revision, entry.reason) for entry in book.entries)
    truths = {
        "a wallet is what remains in its lots": desk.wallet == sum(lot.remaining for lot in lots) >= 0,
        "what is held is in holds and in lots": desk.held == sum(lot.held for lot in lots) == held >= 0,
        "a lot has no more than came in": all(
            min(lot.remaining, lot.held, lot.expired) >= 0 and lot.remaining + lot.held + lot.expired <= lot.granted
            for lot in lots
        ),
        "spendable is what lives": desk.spendable == spendable(lots, book.now) >= 0,
        "a debt is paid before anything can be spent": desk.debt >= 0 and (desk.debt == 0 or desk.spendable == 0),
        "the entries of a source sum to its worth": all(
            -desk.moved(SOLD, of=one.id) == one.worth for one in desk.sources.values()
        ),
        "accounts are the sum of their entries": (desk.moved(WALLET), desk.moved(HELD), desk.moved(DEBT))
        == (desk.wallet, desk.held, -desk.debt),
        "entries are positive and between two accounts": all(
            entry.amount > 0 and entry.from_account != entry.to_account for entry in book.entries
        ),
        "each entry has a key of its own": all(number == 1 for number in keys.values()),
        "ended credits are in ended lots": desk.moved(EXPIRED) == sum(lot.expired for lot in lots),
        "no more is given back than was taken": all(
            0 <= taken.returned <= taken.amount for rows in book.taken.values() for taken in rows
        ),
    }
    return [what for what, holds in truths.items() if not holds]
