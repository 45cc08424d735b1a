"""The rows of the ledger: loading the accounts and lots that somebody's credits are in, and writing what changed.

Whoever opens a book holds the locks of its people: nobody else changes their balances meanwhile.
"""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Iterable
from dataclasses import dataclass
from datetime import datetime

from paydesk.ledger import Account, AccountKey, Book, Hold, Source, accounts_of
from paydesk.lots import Lot, Taken, order_of_spending
from paydesk.store import Tx

LOAD_ACCOUNTS = """
SELECT a.owner, a.unit, a.kind, a.id, a.balance, a.told_low, a.low_mark FROM account a
JOIN unnest($1::text[], $2::text[], $3::text[]) AS k (owner, unit, kind) USING (owner, unit, kind)
"""

MAKE_ACCOUNTS = """
INSERT INTO account (owner, unit, kind, balance)
SELECT owner, unit, kind, CASE WHEN owner = 'system' THEN NULL ELSE 0 END
FROM unnest($1::text[], $2::text[], $3::text[]) AS k (owner, unit, kind)
ON CONFLICT DO NOTHING
"""

LOT = "id, source, account_id, granted, remaining, held, expired, priority, free, expires_at"

LOAD_LOTS = f"SELECT {LOT} FROM lot WHERE account_id = ANY($1::bigint[]) AND NOT used_up"

LOAD_LOTS_OF_SOURCES = f"""
SELECT {LOT} FROM lot WHERE source = ANY($1::text[])
UNION SELECT {LOT} FROM lot WHERE id IN (SELECT lot_id FROM taken WHERE source = ANY($1::text[]))
"""

LOAD_TAKEN = """
SELECT source, revision, lot_id, amount, returned, at, expires_at FROM taken
WHERE source = ANY($1::text[])
"""

SAVE_ENTRIES = """
INSERT INTO entry (source, revision, reason, unit, from_account, to_account, amount, inbox_id, customer_id, memo,
                   balance_after, at)
SELECT n.*, $12::timestamptz FROM unnest($1::text[], $2::int[], $3::text[], $4::text[], $5::bigint[], $6::bigint[],
    $7::bigint[], $8::bigint[], $9::text[], $10::text[], $11::bigint[]) n
"""

SAVE_ACCOUNTS = """
UPDATE account a SET balance = n.balance, told_low = n.told_low
FROM unnest($1::bigint[], $2::bigint[], $3::boolean[]) AS n (id, balance, told_low) WHERE a.id = n.id
"""

SAVE_LOTS = f"""
INSERT INTO lot ({LOT})
SELECT * FROM unnest($1::text[], $2::text[], $3::bigint[], $4::bigint[], $5::bigint[], $6::bigint[], $7::bigint[],
    $8::smallint[], $9::boolean[], $10::timestamptz[])
ON CONFLICT (id) DO UPDATE SET account_id = excluded.account_id, granted = excluded.granted,
    remaining = excluded.remaining, held = excluded.held, expired = excluded.expired, expires_at = excluded.expires_at
"""

SAVE_TAKEN = """
INSERT INTO taken (source, revision, lot_id, amount, returned, at, expires_at)
SELECT * FROM unnest($1::text[], $2::int[], $3::text[], $4::bigint[], $5::bigint[], $6::timestamptz[], $7::timestamptz[])
ON CONFLICT (source, revision, lot_id) DO UPDATE SET returned = excluded.returned
"""

LOAD_SOURCES = """
SELECT id, customer_id, order_id, kind, unit, terms, worth, revision, since, until, claimed_at, subscription_id FROM source
WHERE order_id = ANY($1::text[]) OR id = ANY($2::text[]) OR subscription_id = ANY($3::text[])
"""

SAVE_SOURCES = """
INSERT INTO source (id, customer_id, order_id, kind, unit, terms, worth, posted, revision, since, until, claimed_at,
                    subscription_id)
SELECT id, customer_id, order_id, kind, unit, terms, worth, worth, revision, since, until, claimed_at, subscription_id
FROM unnest($1::text[], $2::text[], $3::text[], $4::text[], $5::text[], $6::jsonb[], $7::bigint[], $8::int[],
            $9::timestamptz[], $10::timestamptz[], $11::timestamptz[], $12::text[])
    AS n (id, customer_id, order_id, kind, unit, terms, worth, revision, since, until, claimed_at, subscription_id)
ON CONFLICT (id) DO UPDATE SET worth = excluded.worth, posted = excluded.posted, revision = excluded.revision,
    since = excluded.since, until = excluded.until, claimed_at = excluded.claimed_at
"""


# --- sources ---------------------------------------------------------------------------------------------------------


async def load_sources(
    tx: Tx, orders: Iterable[str], ids: Iterable[str] = (), subscriptions: Iterable[str] = ()
) -> dict[str, Source]:
    """Return the sources of orders and subscriptions, and those with these ids, by id."""
    rows = await tx.fetch(LOAD_SOURCES, sorted(orders), sorted(ids), sorted(subscriptions))
    return {row[0]: Source(*row) for row in rows}


async def save_sources(tx: Tx, changed: Iterable[Source]) -> None:
    """Insert new sources with their terms, or write what known ones are worth now."""
    rows = [
        (s.id, s.customer, s.order, s.kind, s.unit, dict(s.terms), s.worth, s.revision, s.since, s.until, s.claimed_at,
         s.subscription)
        for s in changed
    ]  # fmt: skip
    if rows:
        await tx.execute(SAVE_SOURCES, *columns(rows))


# --- the book --------------------------------------------------------------------------------------------------------


async def open_book(tx: Tx, now: datetime, sources: Iterable[Source], wallets: Iterable[tuple[str, str]] = ()) -> Book:
    """Load what posting `sources` may touch, and the wallets of (customer, unit)."""
    sources = list(sources)
    keys = {key for source in sources for key in accounts_of(source.customer, source.unit, source.kind)}
    keys |= {key for customer, unit in wallets for key in accounts_of(customer, unit)}
    return await open_accounts(tx, now, keys, sources=[s.id for s in sources if s.kind == "credits"])


async def open_accounts(
    tx: Tx, now: datetime, keys: Iterable[AccountKey], *, sources: Iterable[str] = (), make: bool = True
) -> Book:
    """Load accounts with the lots in them, and the lots and claw-backs of `sources`; accounts are made if need be."""
    ordered = sorted(keys)
    if not ordered:
        return Book(now)
    wanted = columns(ordered)
    accounts = await _load_accounts(tx, wanted)
    if make and len(accounts) < len(ordered):
        await tx.execute(MAKE_ACCOUNTS, *wanted)
        accounts = await _load_accounts(tx, wanted)
    wallets = [account.id for key, account in accounts.items() if key[2] == "wallet"]
    lots = await tx.fetch(LOAD_LOTS, wallets) if wallets else []
    taken: dict[str, list[Taken]] = defaultdict(list)
    of_sources = sorted(sources)
    if of_sources:
        lots += await tx.fetch(LOAD_LOTS_OF_SOURCES, of_sources)
        for row in await tx.fetch(LOAD_TAKEN, of_sources):
            taken[row[0]].append(Taken(*row))
    return Book(now, accounts, {row[0]: Lot(*row) for row in lots}, taken)


async def _load_accounts(tx: Tx, wanted: list[list[object]]) -> dict[AccountKey, Account]:
    rows = await tx.fetch(LOAD_ACCOUNTS, *wanted)
    return {(row[0], row[1], row[2]): Account(row[3], row[4], row[5], row[6]) for row in rows}


async def close_book(tx: Tx, book: Book) -> None:
    """Write the entries, balances, lots and claw-backs that posting has changed, all at the one time of the book."""
    if book.entries:
        await tx.execute(SAVE_ENTRIES, *columns(
            (e.cause.source, e.cause.revision, e.reason, e.cause.unit, e.from_account, e.to_account, e.amount,
             e.cause.inbox_id, e.cause.customer, e.cause.memo, e.balance_after)
            for e in book.entries
        ), book.now)  # fmt: skip
    if book.changed_accounts:
        accounts = sorted(book.changed_accounts.items())
        await tx.execute(SAVE_ACCOUNTS, *columns((id_, one.balance, one.told_low) for id_, one in accounts))
    if book.changed_lots:
        await tx.execute(SAVE_LOTS, *columns(
            (lot.id, lot.source, lot.account, lot.granted, lot.remaining, lot.held, lot.expired, lot.priority, lot.free,
             lot.expires_at)
            for lot in book.changed_lots.values()
        ))  # fmt: skip
    if book.changed_taken:
        rows = book.changed_taken.values()
        await tx.execute(SAVE_TAKEN, *columns(
            (row.source, row.revision, row.lot, row.amount, row.returned, row.at, row.expires_at) for row in rows
        ))  # fmt: skip


def columns(rows: Iterable[Iterable[object]]) -> list[list[object]]:
    """Return rows as columns: what a statement unnests."""
    return [list(column) for column in zip(*rows, strict=True)]


# --- holds -----------------------------------------------------------------------------------------------------------

LOAD_HOLDS = """
SELECT id, customer_id, unit, amount, state, parts, memo, expires_at, used, created_at FROM hold WHERE id = ANY($1::text[])
"""

SAVE_HOLDS = """
INSERT INTO hold (id, customer_id, unit, amount, state, parts, memo, expires_at, used, created_at, closed_at)
SELECT n.*, desk_now(), CASE WHEN n.state <> 'held' THEN desk_now() END
FROM unnest($1::text[], $2::text[], $3::text[], $4::bigint[], $5::text[], $6::jsonb[], $7::text[], $8::timestamptz[],
            $9::bigint[]) AS n (id, customer_id, unit, amount, state, parts, memo, expires_at, used)
ON CONFLICT (id) DO UPDATE SET state = excluded.state, used = excluded.used, closed_at = excluded.closed_at
"""


async def load_holds(tx: Tx, ids: Iterable[str]) -> dict[str, Hold]:
    """Return holds by id, those that exist."""
    ordered = sorted(ids)
    return {row[0]: Hold(*row) for row in await tx.fetch(LOAD_HOLDS, ordered)} if ordered else {}


async def save_holds(tx: Tx, changed: Iterable[Hold]) -> None:
    """Insert holds, or write how they ended."""
    rows = [(h.id, h.customer, h.unit, h.amount, h.state, h.parts, h.memo, h.expires_at, h.used) for h in changed]
    if rows:
        await tx.execute(SAVE_HOLDS, *columns(rows))


# --- reading ---------------------------------------------------------------------------------------------------------


@dataclass(frozen=True, slots=True)
class Wallet:
    """What a person has of a unit: `balance` can be spent now; expired credits are not in it, swept or not."""

    balance: int
    held: int
    debt: int
    lots: tuple[Lot, ...]


async def wallets(tx: Tx, customer: str, now: datetime) -> dict[str, Wallet]:
    """Return a person's wallets by unit, with the lots that are alive, in the order in which they are spent."""
    accounts = await tx.fetch("SELECT id, unit, kind, balance FROM account WHERE owner = $1", customer)
    ids = [account["id"] for account in accounts if account["kind"] == "wallet"]
    lots = sorted((Lot(*row) for row in await tx.fetch(LOAD_LOTS, ids)), key=order_of_spending)
    alive = [lot for lot in lots if lot.remaining and lot.alive(now)]
    balances = {(account["unit"], account["kind"]): account["balance"] for account in accounts}
    found = {}
    for account in accounts:
        if account["kind"] == "wallet":
            unit = account["unit"]
            own = tuple(lot for lot in alive if lot.account == account["id"])
            held, debt = balances.get((unit, "held"), 0), -balances.get((unit, "debt"), 0)
            found[unit] = Wallet(sum(lot.remaining for lot in own), held, debt, own)
    return found
