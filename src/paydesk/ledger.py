"""The ledger: append-only double entry, credits in lots, and one rule for everything: post `worth - posted`.

An entry moves an amount of one unit from one account to another, so every posting sums to zero by construction.
A wallet cannot go below zero: what is taken back beyond it is owed in the person's `debt` account (zero or less),
which the next grant pays first. The system's own accounts store no balance; it is the sum of their entries.

`Book` is pure: it works on what was loaded and remembers what to write. Rows are read and written below it.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from dataclasses import dataclass, field
from datetime import UTC, datetime, timedelta
from typing import Any

from paydesk.store import Tx

SYSTEM = "system"
FOREVER = datetime.max.replace(tzinfo=UTC)

AccountKey = tuple[str, str, str]
"""(owner, unit, kind): kind is `wallet` or `debt` of a person; `sold`, `stripe` or `sales` of the system."""


def money_unit(currency: str) -> str:
    """Return the unit in which a currency is kept, apart from every unit of credits."""
    return f"money:{currency}"


@dataclass(slots=True)
class Account:
    """An account and, for a person's, its balance."""

    id: int
    balance: int | None


@dataclass(slots=True)
class Lot:
    """Credits of one source that are still there, and until when they live (`None`: for ever)."""

    source: str
    account: int
    granted: int
    remaining: int
    priority: int
    expires_at: datetime | None


@dataclass(slots=True)
class Source:
    """A thing sold, with its frozen terms: `worth` is what it is worth now, and what is posted."""

    id: str
    customer: str
    order: str
    kind: str
    unit: str
    terms: Mapping[str, Any]
    worth: int = 0
    revision: int = 0
    since: datetime | None = None


@dataclass(frozen=True, slots=True)
class Entry:
    """An amount that leaves one account and enters another."""

    source: str
    revision: int
    reason: str
    unit: str
    from_account: int
    to_account: int
    amount: int
    inbox_id: int | None


@dataclass(slots=True)
class Book:
    """The accounts and lots of the people in hand; posting changes them and collects entries."""

    accounts: dict[AccountKey, Account]
    lots: dict[str, Lot]
    entries: list[Entry] = field(default_factory=list)
    changed_accounts: dict[int, Account] = field(default_factory=dict)
    changed_lots: dict[str, Lot] = field(default_factory=dict)

    def post(self, source: Source, target: int, since: datetime | None, *, inbox_id: int | None = None) -> bool:
        """Make `source` worth `target` since `since`, by entries for the difference; return whether anything changed.

        Repeating it changes nothing. `target` is never negative.
        """
        if target < 0:
            raise ValueError(f"{source.id} cannot be worth {target}")
        difference = target - source.worth
        if difference == 0 and since == source.since:
            return False
        source.since = since
        source.worth = target
        if difference != 0:
            source.revision += 1
        if source.kind == "money":
            self._move_money(source, difference, inbox_id)
        elif source.kind == "credits":
            self._move_credits(source, difference, inbox_id)
        return True

    def balance(self, owner: str, unit: str, now: datetime) -> int:
        """Return what can be spent at `now`: expired credits are not in it, swept or not."""
        account = self.accounts.get((owner, unit, "wallet"))
        if account is None:
            return 0
        alive = (lot for lot in self.lots.values() if lot.expires_at is None or lot.expires_at > now)
        return sum(lot.remaining for lot in alive if lot.account == account.id)

    def _move_money(self, source: Source, difference: int, inbox_id: int | None) -> None:
        sales, stripe = (SYSTEM, source.unit, "sales"), (SYSTEM, source.unit, "stripe")
        if difference > 0:
            self._move(source, "payment", sales, stripe, difference, inbox_id)
        elif difference < 0:
            self._move(source, "payment_back", stripe, sales, -difference, inbox_id)

    def _move_credits(self, source: Source, difference: int, inbox_id: int | None) -> None:
        if difference > 0:
            self._grant(source, difference, inbox_id)
        elif difference < 0:
            self._take_back(source, -difference, inbox_id)
        lot = self.lots.get(source.id)
        if lot is not None:
            lot.expires_at = expiry(source)
            self.changed_lots[lot.source] = lot

    def _grant(self, source: Source, amount: int, inbox_id: int | None) -> None:
        """Pay what is owed first; the rest becomes the source's lot."""
        sold, wallet, debt = self._keys(source)
        owed = min(amount, -(self.accounts[debt].balance or 0))
        self._move(source, "debt_paid", sold, debt, owed, inbox_id)
        self._move(source, "grant", sold, wallet, amount - owed, inbox_id)
        lot = self.lots.get(source.id)
        if lot is None:
            priority = int(source.terms.get("priority", 0))
            lot = Lot(source.id, self.accounts[wallet].id, 0, 0, priority, expiry(source))
            self.lots[source.id] = lot
        lot.granted += amount - owed
        lot.remaining += amount - owed
        self.changed_lots[lot.source] = lot

    def _take_back(self, source: Source, amount: int, inbox_id: int | None) -> None:
        """Take from the source's own lot, then from others, soonest-expiring first; what is missing is owed."""
        sold, wallet, debt = self._keys(source)
        missing = amount
        wallet_id = self.accounts[wallet].id
        others = [lot for lot in self.lots.values() if lot.account == wallet_id]
        for lot in sorted(others, key=lambda lot: (lot.source != source.id, lot.expires_at or FOREVER, lot.source)):
            taken = min(missing, lot.remaining)
            if taken:
                lot.remaining -= taken
                missing -= taken
                self.changed_lots[lot.source] = lot
        self._move(source, "take_back", wallet, sold, amount - missing, inbox_id)
        self._move(source, "owed", debt, sold, missing, inbox_id)

    def _keys(self, source: Source) -> tuple[AccountKey, AccountKey, AccountKey]:
        unit = source.unit
        return (SYSTEM, unit, "sold"), (source.customer, unit, "wallet"), (source.customer, unit, "debt")

    def _move(
        self, source: Source, reason: str, from_: AccountKey, to: AccountKey, amount: int, inbox_id: int | None
    ) -> None:
        if amount == 0:
            return
        giver, taker = self.accounts[from_], self.accounts[to]
        for account, change in ((giver, -amount), (taker, amount)):
            if account.balance is not None:
                account.balance += change
                self.changed_accounts[account.id] = account
        self.entries.append(
            Entry(source.id, source.revision, reason, source.unit, giver.id, taker.id, amount, inbox_id)
        )


def expiry(source: Source) -> datetime | None:
    """Return when credits of `source` end: so many days of 24 hours after they were paid, or never (`None`)."""
    days = source.terms.get("expires_days")
    return None if days is None or source.since is None else source.since + timedelta(days=int(days))


def accounts_of(sources: Iterable[Source]) -> set[AccountKey]:
    """Return the accounts that posting `sources` may touch."""
    keys: set[AccountKey] = set()
    for source in sources:
        if source.kind == "money":
            keys |= {(SYSTEM, source.unit, "sales"), (SYSTEM, source.unit, "stripe")}
        elif source.kind == "credits":
            keys |= {(SYSTEM, source.unit, "sold")}
            keys |= {(source.customer, source.unit, kind) for kind in ("wallet", "debt")}
    return keys


# --- rows ------------------------------------------------------------------------------------------------------------

LOAD_ACCOUNTS = """
SELECT a.owner, a.unit, a.kind, a.id, a.balance FROM account a
JOIN unnest($1::text[], $2::text[], $3::text[]) AS k (owner, unit, kind) USING (owner, unit, kind)
"""

MAKE_ACCOUNTS = """
INSERT INTO account (owner, unit, kind, balance)
SELECT owner, unit, kind, CASE WHEN owner = 'system' THEN NULL ELSE 0 END
FROM unnest($1::text[], $2::text[], $3::text[]) AS k (owner, unit, kind)
ON CONFLICT DO NOTHING
"""

LOAD_LOTS = """
SELECT source, account_id, granted, remaining, priority, expires_at FROM lot
WHERE (account_id = ANY($1::bigint[]) AND remaining > 0) OR source = ANY($2::text[])
"""

SAVE_ENTRIES = """
INSERT INTO entry (source, revision, reason, unit, from_account, to_account, amount, inbox_id, at)
SELECT n.*, desk_now() FROM unnest($1::text[], $2::int[], $3::text[], $4::text[], $5::bigint[], $6::bigint[],
                                   $7::bigint[], $8::bigint[]) n
"""

SAVE_ACCOUNTS = """
UPDATE account a SET balance = n.balance FROM unnest($1::bigint[], $2::bigint[]) AS n (id, balance) WHERE a.id = n.id
"""

SAVE_LOTS = """
INSERT INTO lot (source, account_id, granted, remaining, priority, expires_at)
SELECT * FROM unnest($1::text[], $2::bigint[], $3::bigint[], $4::bigint[], $5::smallint[], $6::timestamptz[])
ON CONFLICT (source) DO UPDATE SET granted = excluded.granted, remaining = excluded.remaining,
    expires_at = excluded.expires_at
"""

LOAD_SOURCES = """
SELECT id, customer_id, order_id, kind, unit, terms, worth, revision, since FROM source WHERE order_id = ANY($1::text[])
"""

SAVE_SOURCES = """
INSERT INTO source (id, customer_id, order_id, kind, unit, terms, worth, posted, revision, since)
SELECT id, customer_id, order_id, kind, unit, terms, worth, worth, revision, since
FROM unnest($1::text[], $2::text[], $3::text[], $4::text[], $5::text[], $6::jsonb[], $7::bigint[], $8::int[],
            $9::timestamptz[])
    AS n (id, customer_id, order_id, kind, unit, terms, worth, revision, since)
ON CONFLICT (id) DO UPDATE SET worth = excluded.worth, posted = excluded.posted, revision = excluded.revision,
    since = excluded.since
"""


async def load_sources(tx: Tx, orders: Iterable[str]) -> dict[str, Source]:
    """Return the sources of orders, by id."""
    return {row[0]: Source(*row) for row in await tx.fetch(LOAD_SOURCES, sorted(orders))}


async def save_sources(tx: Tx, changed: Iterable[Source]) -> None:
    """Insert new sources with their terms, or write what known ones are worth now."""
    rows = [(s.id, s.customer, s.order, s.kind, s.unit, dict(s.terms), s.worth, s.revision, s.since) for s in changed]
    if rows:
        await tx.execute(SAVE_SOURCES, *(list(column) for column in zip(*rows, strict=True)))


async def open_book(tx: Tx, sources: Iterable[Source]) -> Book:
    """Load the accounts and lots that posting `sources` may touch, making accounts that do not exist yet.

    The caller holds the locks of the customers: nobody else changes their balances meanwhile.
    """
    sources = list(sources)
    keys = sorted(accounts_of(sources))
    if not keys:
        return Book({}, {})
    columns = [list(column) for column in zip(*keys, strict=True)]
    accounts = await _load_accounts(tx, columns)
    if len(accounts) < len(keys):
        await tx.execute(MAKE_ACCOUNTS, *columns)
        accounts = await _load_accounts(tx, columns)
    wallets = [account.id for key, account in accounts.items() if key[2] == "wallet"]
    rows = await tx.fetch(LOAD_LOTS, wallets, [source.id for source in sources])
    return Book(accounts, {row[0]: Lot(*row) for row in rows})


async def _load_accounts(tx: Tx, columns: list[list[str]]) -> dict[AccountKey, Account]:
    return {(row[0], row[1], row[2]): Account(row[3], row[4]) for row in await tx.fetch(LOAD_ACCOUNTS, *columns)}


async def close_book(tx: Tx, book: Book) -> None:
    """Write the entries, balances and lots that posting has changed."""
    if book.entries:
        rows = [
            (e.source, e.revision, e.reason, e.unit, e.from_account, e.to_account, e.amount, e.inbox_id)
            for e in book.entries
        ]
        await tx.execute(SAVE_ENTRIES, *(list(column) for column in zip(*rows, strict=True)))
    if book.changed_accounts:
        balances = sorted(book.changed_accounts.items())
        await tx.execute(SAVE_ACCOUNTS, [id_ for id_, _ in balances], [account.balance for _, account in balances])
    if book.changed_lots:
        lots = [
            (lot.source, lot.account, lot.granted, lot.remaining, lot.priority, lot.expires_at)
            for lot in book.changed_lots.values()
        ]
        await tx.execute(SAVE_LOTS, *(list(column) for column in zip(*lots, strict=True)))


# --- reading ---------------------------------------------------------------------------------------------------------


@dataclass(frozen=True, slots=True)
class Wallet:
    """What a person has of a unit: `balance` can be spent now; expired credits are not in it, swept or not."""

    balance: int
    held: int
    debt: int
    lots: tuple[Lot, ...]


async def wallets(tx: Tx, customer: str, now: datetime) -> dict[str, Wallet]:
    """Return a person's wallets by unit, with the lots that are alive, soonest-ending first."""
    accounts = await tx.fetch("SELECT id, unit, kind, balance FROM account WHERE owner = $1", customer)
    lots = [
        Lot(*row)
        for row in await tx.fetch(
            "SELECT source, account_id, granted, remaining, priority, expires_at FROM lot "
            "WHERE account_id = ANY($1::bigint[]) AND remaining > 0 ORDER BY expires_at, source",
            [account["id"] for account in accounts],
        )
    ]
    alive = [lot for lot in lots if lot.expires_at is None or lot.expires_at > now]
    debts = {account["unit"]: -account["balance"] for account in accounts if account["kind"] == "debt"}
    return {
        account["unit"]: _wallet([lot for lot in alive if lot.account == account["id"]], debts.get(account["unit"], 0))
        for account in accounts
        if account["kind"] == "wallet"
    }


def _wallet(lots: list[Lot], debt: int) -> Wallet:
    return Wallet(sum(lot.remaining for lot in lots), 0, debt, tuple(lots))
