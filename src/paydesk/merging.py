"""Merging: two people turn out to be one. Nothing of either is lost, nothing counts twice.

The second person's lots, holds and debts are posted to the first, and whatever points to the second points to the
first from then on; entries never move. The second's row stays as a signpost: who asks for them is led on, also by
timers set before. Orders keep the Stripe customer they were made for, so refunds, disputes and late events of either
go on as before.
"""

from __future__ import annotations

from paydesk import audit, books, customers, fanout, memberships
from paydesk.customers import Identity
from paydesk.errors import Conflict, Invalid, SettingError
from paydesk.ledger import AccountKey, Cause
from paydesk.privacy import Vault
from paydesk.store import Record, Store, Tx

TRIES_MAX = 5
PERSONAL = ("email", "name")
KINDS = ("wallet", "held", "debt")

MOVE_LOTS = """
UPDATE lot l SET account_id = ours.id
FROM source s, account theirs JOIN account ours ON ours.unit = theirs.unit AND ours.owner = $1 AND ours.kind = 'wallet'
WHERE s.customer_id = $2 AND l.source = s.id AND l.account_id = theirs.id AND theirs.owner = $2
  AND theirs.kind = 'wallet'
"""
"""Used-up lots too: what was taken from them may come back."""

MOVE = (
    "UPDATE orders SET customer_id = $1 WHERE customer_id = $2",
    "UPDATE source SET customer_id = $1 WHERE customer_id = $2",
    "UPDATE grant_ SET customer_id = $1 WHERE customer_id = $2",
    "UPDATE hold SET customer_id = $1 WHERE customer_id = $2",
    "UPDATE identity SET customer_id = $1 WHERE customer_id = $2",
    "UPDATE stripe_customer SET customer_id = $1 WHERE customer_id = $2",
    "DELETE FROM topup t USING topup o WHERE t.customer_id = $2 AND o.customer_id = $1 AND o.unit = t.unit",
    "UPDATE topup SET customer_id = $1 WHERE customer_id = $2",
    "UPDATE subscription SET customer_id = $1 WHERE customer_id = $2",
    """
    WITH theirs AS (DELETE FROM membership WHERE customer_id = $2 RETURNING channel, space, role, wanted, version)
    INSERT INTO membership (customer_id, channel, space, role, wanted, version)
    SELECT $1, channel, space, role, wanted, version FROM theirs
    ON CONFLICT (customer_id, channel, space, role) DO UPDATE SET wanted = membership.wanted OR excluded.wanted,
        version = greatest(membership.version, excluded.version)
    """,
)

STOP_TOPUPS = """
UPDATE topup SET enabled = false, stopped_because = 'two people were merged: its card is with another Stripe customer'
WHERE customer_id = $1 AND enabled
"""

MOVE_MARKS = """
UPDATE account a SET low_mark = CASE WHEN t.enabled AND a.owner = $1 THEN t.below END, told_low = false
FROM topup t WHERE t.customer_id = $1 AND a.owner IN ($1, $2) AND a.unit = t.unit AND a.kind = 'wallet'
  AND a.low_mark IS DISTINCT FROM CASE WHEN t.enabled AND a.owner = $1 THEN t.below END
"""
"""A wallet bears the mark of its top-up, below which it buys again."""

NEEDLESS_CALLS = """
UPDATE stripe_call SET state = 'refused', detail = 'they are ' || $1 || ' now'
WHERE kind = 'customer' AND subject = $2 AND state = 'pending'
"""
"""Nobody goes on with making a Stripe customer for who is somebody else now. Whoever is at it ends it all the same."""

SIGNPOST = "UPDATE customer SET merged_into = $1 WHERE id = $2 OR merged_into = $2"

SAVE_SURVIVOR = """
UPDATE customer SET merges = merges + 1, locale = coalesce(locale, $2), metadata = $3 || metadata,
    stripe_customer = coalesce(stripe_customer, $4), data_key = $5, email_sealed = $6, email_index = $7, name_sealed = $8
WHERE id = $1
"""


async def merge(store: Store, vault: Vault, survivor: str, other: str | Identity, *, actor: str) -> str:
    """Make `other` the same person as `survivor`, and return the id that both are known by from now on.

    Asked again, it changes nothing. Raises `NotFound` for somebody unknown, `Invalid` for a person with themselves,
    and `Conflict` when `survivor` was itself merged into the other: that cannot be turned round.
    """
    await customers.resolve(store, survivor)
    met = isinstance(other, Identity)
    named = await customers.resolve(store, other) if isinstance(other, Identity) else other
    await customers.resolve(store, named)
    for _ in range(TRIES_MAX):
        merged = await store.run(lambda tx: _merge(tx, vault, survivor, named, met, actor))
        if merged is not None:
            return merged
    raise Conflict("these people are being merged with others: ask again", param="customer")


async def _merge(tx: Tx, vault: Vault, survivor: str, other: str, met: bool, actor: str) -> str | None:
    """Lock both in the order of all locks, and merge them unless they are one already. `met`: told by an identity.

    `None` when one of them has become somebody else meanwhile: in a fresh transaction, which holds no lock yet.
    """
    now = await customers.current(tx, {survivor, other})
    first, second = now[survivor], now[other]
    if first == second:
        await _refuse_if_wrong(tx, survivor, other, first, met)
    elif len(await customers.lock(tx, {first, second})) < 2:
        return None
    else:
        await _join(tx, vault, first, second)
        await audit.note(tx, actor, "customer.merge", [first, second], {"into": first, "merged": second})
        await fanout.announce_merge(tx, first, second)
    return first


async def _refuse_if_wrong(tx: Tx, survivor: str, other: str, now: str, met: bool) -> None:
    """Raise unless two who are one already became so by the very merge that is asked for."""
    if survivor != now:
        raise Conflict(f"{survivor} was merged into {now} and cannot take anybody in: name {now}", param="customer")
    if other == survivor:
        # An identity names its person of today: it may have come by the merge that is asked for again.
        merges: int = await tx.fetchval("SELECT merges FROM customer WHERE id = $1", survivor)
        if not met or merges == 0:
            raise Invalid(f"{survivor} cannot be merged with themselves", param="customer")


async def _join(tx: Tx, vault: Vault, survivor: str, other: str) -> None:
    """Move everything; both are locked."""
    rows = await tx.fetch("SELECT * FROM customer WHERE id = ANY($1::text[])", [survivor, other])
    ours, theirs = sorted(rows, key=lambda row: row["id"] != survivor)
    await _move_credits(tx, survivor, other)
    if ours["stripe_customer"] is not None:
        await tx.execute(STOP_TOPUPS, other)
    for statement in (MOVE_LOTS, *MOVE, MOVE_MARKS, NEEDLESS_CALLS):
        await tx.execute(statement, survivor, other)
    await tx.execute(SAVE_SURVIVOR, survivor, theirs["locale"], theirs["metadata"], theirs["stripe_customer"],
                     *_personal(vault, ours, theirs))  # fmt: skip
    await tx.execute(SIGNPOST, survivor, other)
    await memberships.refresh(tx, survivor, again=True)  # passes follow each other; every id has every role


async def _move_credits(tx: Tx, survivor: str, other: str) -> None:
    """Post every unit that the other has."""
    units = [row[0] for row in await tx.fetch("SELECT DISTINCT unit FROM account WHERE owner = $1 ORDER BY 1", other)]
    keys: set[AccountKey] = {(who, unit, kind) for who in (survivor, other) for unit in units for kind in KINDS}
    book = await books.open_accounts(tx, await tx.fetchval("SELECT desk_now()"), keys)
    for number, unit in enumerate(units):
        book.merge(Cause(f"merge:{other}", number, survivor, unit), other)
    await books.close_book(tx, book)


def _personal(vault: Vault, ours: Record, theirs: Record) -> list[bytes | None]:
    """Return data key, sealed e-mail, its index and sealed name: the survivor's own, else the other's sealed anew."""
    key = ours["data_key"]
    sealed = {field: ours[f"{field}_sealed"] for field in PERSONAL}
    index = ours["email_index"]
    for field in PERSONAL:
        text = _opened(vault, theirs, field) if sealed[field] is None else None
        if text is not None:
            key = key or vault.new_data_key(ours["id"])
            sealed[field] = vault.seal(key, ours["id"], field, text)
            index = vault.index(text) if field == "email" else index
    return [key, sealed["email"], index, sealed["name"]]


def _opened(vault: Vault, row: Record, field: str) -> str | None:
    """Return what is sealed, `None` when there is nothing or no key of ours opens it: then it stays where it is."""
    if row[f"{field}_sealed"] is None or row["data_key"] is None:
        return None
    try:
        return vault.open(row["data_key"], row["id"], field, row[f"{field}_sealed"])
    except SettingError:
        return None
