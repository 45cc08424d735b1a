"""People: who somebody is on which channel, their Stripe customers, and the lock that all money work takes.

A person is found by identity (channel and external id), never by e-mail: anybody can type an address.
"""

from __future__ import annotations

import re
from collections.abc import Iterable
from dataclasses import dataclass
from datetime import datetime
from typing import Any

from paydesk import ids
from paydesk.errors import Conflict, Invalid, NotFound
from paydesk.privacy import Vault
from paydesk.store import Record, Store, Tx

CHANNEL = re.compile(r"[a-z][a-z0-9_-]{0,31}", re.ASCII)
ADMIN = "admin"
"""The people who run the desk are told things in a thread of this name."""

RESERVED = ("stripe", ADMIN, "webhook")
"""No channels for people: instructions to Stripe leave by the outbox under this name, alerts and events under those."""

EXTERNAL_ID_MAX = 200
ID = re.compile(r"cst_[0-9a-z]{26}", re.ASCII)
LOCALE = re.compile(r"[a-z]{2,3}([-_][A-Za-z]{2,4})?", re.ASCII)
EMAIL = re.compile(r"[^@\s]{1,64}@[^@\s]{1,250}")


@dataclass(frozen=True, slots=True)
class Identity:
    """Where a person can be met: a channel's name and the person's id there."""

    channel: str
    external_id: str


@dataclass(frozen=True, slots=True)
class Customer:
    """A person as the API shows them."""

    id: str
    identities: tuple[Identity, ...]
    email: str | None
    name: str | None
    locale: str | None
    stripe_customer: str | None
    metadata: dict[str, str]
    created_at: datetime


@dataclass(frozen=True, slots=True)
class Thread:
    """Where a person was last talked with."""

    channel: str
    address: str
    conversation: str | None


def identity(channel: object, external_id: object) -> Identity:
    """Return a checked identity; raises `Invalid` that names the part that is wrong."""
    if not isinstance(channel, str) or not CHANNEL.fullmatch(channel):
        raise Invalid("channel must be a short lower-case name such as telegram", param="channel")
    if channel in RESERVED:
        raise Invalid(f"{channel} is no channel for people", param="channel")
    if isinstance(external_id, int) and not isinstance(external_id, bool):
        external_id = str(external_id)
    if not isinstance(external_id, str) or not 0 < len(external_id) <= EXTERNAL_ID_MAX or not external_id.isprintable():
        raise Invalid(f"external_id must be a text of 1 to {EXTERNAL_ID_MAX} printable characters", param="external_id")
    return Identity(channel, external_id)


# --- the lock --------------------------------------------------------------------------------------------------------


async def lock(tx: Tx, people: Iterable[str]) -> set[str]:
    """Lock people in one order for the rest of the transaction; return those that exist and are nobody else by now.

    Every change of money, entitlements or holds of a person happens under this lock.
    """
    rows = await tx.fetch(
        "SELECT id FROM customer WHERE id = ANY($1::text[]) AND merged_into IS NULL ORDER BY id FOR UPDATE",
        sorted(people),
    )
    return {row["id"] for row in rows}


async def current(tx: Tx, people: Iterable[str]) -> dict[str, str]:
    """Return who people are now: themselves, or the person they were merged into."""
    ids_ = sorted(people)
    if not ids_:
        return {}
    rows = await tx.fetch("SELECT id, coalesce(merged_into, id) FROM customer WHERE id = ANY($1::text[])", ids_)
    return {row[0]: row[1] for row in rows}


async def lock_person(tx: Tx, person: str) -> str:
    """Lock a person, or whom they were merged into, for the rest of the transaction; return who that is."""
    while not await lock(tx, [person]):
        now = (await current(tx, [person])).get(person, person)
        if now == person:  # nobody of that id: what is written about them fails by itself
            break
        person = now
    return person


async def of_orders(tx: Tx, order_ids: Iterable[str]) -> set[str]:
    """Return whose orders these are."""
    rows = await tx.fetch("SELECT DISTINCT customer_id FROM orders WHERE id = ANY($1::text[])", sorted(order_ids))
    return {row["customer_id"] for row in rows}


async def threads(tx: Tx, people: Iterable[str]) -> dict[str, Thread]:
    """Return where each person's newest order was made, which is where they are told things."""
    rows = await tx.fetch(
        "SELECT DISTINCT ON (customer_id) customer_id, channel, external_id, conversation FROM orders "
        "WHERE customer_id = ANY($1::text[]) AND channel IS NOT NULL AND external_id IS NOT NULL "
        "ORDER BY customer_id, created_at DESC",
        sorted(people),
    )
    return {row["customer_id"]: Thread(row["channel"], row["external_id"], row["conversation"]) for row in rows}


# --- find and make ---------------------------------------------------------------------------------------------------

FIND = "SELECT customer_id FROM identity WHERE channel = $1 AND external_id = $2"


async def find(store: Store, who: Identity) -> str | None:
    """Return the id of the person met there, or `None`."""
    found: str | None = await store.fetchval(FIND, who.channel, who.external_id)
    return found


async def meet(store: Store, who: Identity, told: str | None) -> tuple[str, str | None]:
    """Return the id of the person met there, made when they are new, and the language they read.

    `told` is the language that the channel tells: it counts until they choose one, and never afterwards. What is not
    written as a language is left out.
    """
    language = told if told is not None and LOCALE.fullmatch(told) else None
    row = await store.fetchrow(
        "SELECT c.id, c.locale FROM identity i JOIN customer c ON c.id = i.customer_id "
        "WHERE i.channel = $1 AND i.external_id = $2",
        who.channel,
        who.external_id,
    )
    if row is None:
        return await find_or_make(store, who, locale=language), language
    if row["locale"] is None and language is not None:
        await store.execute("UPDATE customer SET locale = $2 WHERE id = $1 AND locale IS NULL", row["id"], language)
    return row["id"], row["locale"] or language


async def find_or_make(store: Store, who: Identity, *, locale: str | None = None, id_: str | None = None) -> str:
    """Return the id of the person met there, made when they are new; two at once make one person."""
    found = await find(store, who)
    if found is not None:
        return found
    return await store.run(lambda tx: _make(tx, who, locale, id_ or ids.new("cst")))


async def _make(tx: Tx, who: Identity, locale: str | None, id_: str) -> str:
    await tx.execute("INSERT INTO customer (id, locale) VALUES ($1, $2) ON CONFLICT DO NOTHING", id_, locale)
    owner: str = await tx.fetchval(
        # The update that changes nothing returns the row of whoever was first, also one committed meanwhile.
        "INSERT INTO identity (channel, external_id, customer_id) VALUES ($1, $2, $3) "
        "ON CONFLICT (channel, external_id) DO UPDATE SET customer_id = identity.customer_id RETURNING customer_id",
        who.channel,
        who.external_id,
        id_,
    )
    if owner != id_:
        await tx.execute("DELETE FROM customer WHERE id = $1", id_)
    return owner


@dataclass(frozen=True, slots=True)
class NewCustomer:
    """What a caller may say of a person; everything checked by `checked`."""

    identities: tuple[Identity, ...]
    email: str | None
    name: str | None
    locale: str | None
    metadata: dict[str, str]


def checked(
    identities: Iterable[Identity], email: str | None, name: str | None, locale: str | None, metadata: dict[str, str]
) -> NewCustomer:
    """Return what may be stored; raises `Invalid` naming the parameter that is wrong."""
    if email is not None and not EMAIL.fullmatch(email):
        raise Invalid("email must be an e-mail address", param="email")
    if name is not None and not (0 < len(name.strip()) <= 200 and name.isprintable()):
        raise Invalid("name must be a text of 1 to 200 printable characters", param="name")
    if locale is not None and not LOCALE.fullmatch(locale):
        raise Invalid("locale must be a language such as en, pl or nl-BE", param="locale")
    return NewCustomer(tuple(dict.fromkeys(identities)), email, name, locale, metadata)


async def create(store: Store, vault: Vault, new: NewCustomer, *, id_: str) -> Customer:
    """Make a person under `id_`, or return the one made under it before.

    Raises `Conflict` when one of the identities is somebody else's.
    """

    async def work(tx: Tx) -> None:
        key = vault.new_data_key(id_) if new.email or new.name else None
        made = await tx.execute(
            "INSERT INTO customer (id, locale, metadata, data_key, email_sealed, email_index, name_sealed) "
            "VALUES ($1, $2, $3, $4, $5, $6, $7) ON CONFLICT DO NOTHING",
            id_,
            new.locale,
            new.metadata,
            key,
            vault.seal(key, id_, "email", new.email) if key and new.email else None,
            vault.index(new.email) if new.email else None,
            vault.seal(key, id_, "name", new.name) if key and new.name else None,
        )
        for who in new.identities if made else ():
            owner = await tx.fetchval(
                "INSERT INTO identity (channel, external_id, customer_id) VALUES ($1, $2, $3) "
                "ON CONFLICT (channel, external_id) DO UPDATE SET customer_id = identity.customer_id RETURNING customer_id",
                who.channel,
                who.external_id,
                id_,
            )
            if owner != (await current(tx, [id_]))[id_]:
                raise Conflict(f"{who.channel} {who.external_id} is known as {owner}", param="identities")

    await store.run(work)
    return await get(store, vault, id_)


async def get(store: Store, vault: Vault, id_: str) -> Customer:
    """Return a person by id, or whom they were merged into; raises `NotFound`."""
    async with store.transaction() as tx:
        row = await tx.fetchrow(
            "SELECT * FROM customer WHERE id = (SELECT coalesce(merged_into, id) FROM customer WHERE id = $1)", id_
        )
        if row is None:
            raise NotFound(f"no customer {id_}", param="customer")
        met = await identities(tx, [row["id"]])
    return of_row(vault, row, met.get(row["id"], ()))


IDENTITIES = """
SELECT customer_id, channel, external_id FROM identity WHERE customer_id = ANY($1::text[])
ORDER BY created_at, channel, external_id
"""


async def identities(tx: Tx, people: list[str]) -> dict[str, tuple[Identity, ...]]:
    """Return where people can be met, those who can be met somewhere."""
    found: dict[str, tuple[Identity, ...]] = {}
    for person, channel, external_id in await tx.fetch(IDENTITIES, people):
        found[person] = (*found.get(person, ()), Identity(channel, external_id))
    return found


def of_row(vault: Vault, row: Record, met: tuple[Identity, ...]) -> Customer:
    """Return a person from their row, and where they can be met."""
    return Customer(
        id=row["id"],
        identities=met,
        email=_opened(vault, row, "email"),
        name=_opened(vault, row, "name"),
        locale=row["locale"],
        stripe_customer=row["stripe_customer"],
        metadata=row["metadata"],
        created_at=row["created_at"],
    )


def _opened(vault: Vault, row: Record, field: str) -> str | None:
    sealed = row[f"{field}_sealed"]
    return None if sealed is None else vault.open(row["data_key"], row["id"], field, sealed)


async def resolve(store: Store, who: Any) -> str:
    """Return the id of an existing person, given an id or an `Identity`; raises `NotFound`."""
    if isinstance(who, Identity):
        found = await find(store, who)
        if found is None:
            raise unknown(who)
        return found
    known = isinstance(who, str) and ID.fullmatch(who) is not None
    found = await store.fetchval("SELECT coalesce(merged_into, id) FROM customer WHERE id = $1", who) if known else None
    if found is None:
        raise unknown(who)
    return str(found)


def unknown(who: Any) -> NotFound:
    """Return the error that says that there is nobody of an id or `Identity`."""
    if isinstance(who, Identity):
        return NotFound(f"nobody is known as {who.channel} {who.external_id}", param="customer")
    named = who if isinstance(who, str) and who.isprintable() else "of that id"
    return NotFound(f"no customer {named}", param="customer")


async def locale_of(store: Store, id_: str) -> str | None:
    """Return the language a person reads, or `None` when they never said."""
    locale: str | None = await store.fetchval("SELECT locale FROM customer WHERE id = $1", id_)
    return locale


async def choose_locale(store: Store, id_: str, locale: str) -> None:
    """Keep the language that a person has chosen to read, whatever was known before."""
    await store.execute(
        "UPDATE customer SET locale = $2 WHERE id = (SELECT coalesce(merged_into, id) FROM customer WHERE id = $1)",
        id_,
        locale,
    )


async def thread_of(store: Store, id_: str, conversation: str | None = None) -> Thread | None:
    """Return where to tell a person things when nobody said: where they bought last, else where they were met last."""
    async with store.transaction() as tx:
        last = (await threads(tx, [id_])).get(id_)
        if last is not None and conversation is None:
            return last
        row = await tx.fetchrow(
            "SELECT channel, external_id FROM identity WHERE customer_id = $1 ORDER BY created_at DESC, channel LIMIT 1",
            id_,
        )
    return Thread(row["channel"], row["external_id"], conversation) if row is not None else None
