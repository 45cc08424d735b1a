"""API keys as they are kept: made, listed, rotated, revoked. Only a hash is stored, so a key can be shown once.

A **secret** key is for servers and has scopes. A **publishable** key stands in web pages for everybody to read: it has no
scope, and opens what everybody may see and, together with a buyer's token, what that buyer may do; bound to origins it
works in pages of those alone. Keys end by the database's own clock, which no sandbox moves.
"""

from __future__ import annotations

import hashlib
import re
import secrets
from dataclasses import dataclass
from datetime import datetime
from typing import Any

from paydesk import audit, ids
from paydesk.clock import iso
from paydesk.errors import Conflict, Invalid, NotFound
from paydesk.paging import Cut, Listed, read
from paydesk.privacy import Vault
from paydesk.store import Record, Store, Tx

SCOPES = ("read", "sell", "spend", "refund", "admin")
SECRET, PUBLISHABLE = "secret", "publishable"
MARKS = {SECRET: "pdk_", PUBLISHABLE: "pdk_pub_"}
"""How keys begin. What follows is hexadecimal, so no secret key begins like a publishable one."""

FIRST_ID = "key_env"
"""The id of the first key, which stands in the settings (`PAYDESK_API_KEY`) and has no row."""

NAME_MAX = 100
KEYS_MAX = 1000
RATE_MAX = 10_000
LIFE_S_MAX = 3660 * 86_400
OVERLAP_S = 86_400
OVERLAP_S_MAX = 30 * 86_400
SHOWN_DIGITS = 8
ORIGINS_MAX = 20
COLUMNS = (
    "id, kind, name, prefix, scopes, origins, rate_per_s, created_at, last_used_at, expires_at, revoked_at, rotated_to, "
    "CASE WHEN revoked_at IS NOT NULL THEN 'revoked' WHEN expires_at <= now() THEN 'expired' ELSE 'valid' END AS status"
)
_ORIGIN = re.compile(
    r"https://[a-z0-9.-]{1,253}(:[1-9]\d{0,4})?|http://(localhost|127\.0\.0\.1)(:[1-9]\d{0,4})?", re.ASCII
)
PORT_MAX = 65_535
_USUAL_PORT = {"https": "443", "http": "80"}
LIST = Listed("key", COLUMNS, "api_key", ("created_at", "id"), "created_at", "id")


@dataclass(frozen=True, slots=True)
class Key:
    """A key, without what it is: `prefix` is how it begins, so that a person recognises it.

    `status` is `valid`, `expired` or `revoked`; `rate_per_s` is `None` for the usual limit; without `origins` a
    publishable key works in every page.
    """

    id: str
    kind: str
    name: str
    prefix: str
    scopes: tuple[str, ...]
    origins: tuple[str, ...]
    rate_per_s: int | None
    created_at: datetime
    last_used_at: datetime | None
    expires_at: datetime | None
    revoked_at: datetime | None
    rotated_to: str | None
    status: str


@dataclass(frozen=True, slots=True)
class Wish:
    """What a new key is to be like: checked by `checked`."""

    name: str
    scopes: tuple[str, ...] = ()
    kind: str = SECRET
    expires_in_s: int | None = None
    rate_per_s: int | None = None
    origins: tuple[str, ...] = ()


def checked(wish: Wish) -> Wish:
    """Return a wish that can be granted; raises `Invalid` that names what cannot."""
    if not 0 < len(wish.name.strip()) <= NAME_MAX or not wish.name.isprintable():
        raise Invalid(f"a key's name has 1 to {NAME_MAX} printable characters", param="name")
    if wish.kind not in MARKS:
        raise Invalid(f"a key is {SECRET} or {PUBLISHABLE}", param="kind")
    if wish.kind == PUBLISHABLE and wish.scopes:
        raise Invalid("a publishable key has no scopes: it may do what a buyer may", param="scopes")
    unknown = sorted(set(wish.scopes) - set(SCOPES))
    if unknown or (wish.kind == SECRET and not wish.scopes):
        raise Invalid(f"scopes are {', '.join(SCOPES)}; unknown: {', '.join(unknown) or 'none given'}", param="scopes")
    if wish.origins and wish.kind != PUBLISHABLE:
        raise Invalid("only a publishable key has origins: a secret key stands in no page", param="origins")
    strange = [one for one in wish.origins if not _is_origin(one)]
    if strange or len(wish.origins) > ORIGINS_MAX:
        told = strange[0][:100] if strange else f"{len(wish.origins)} of them"
        raise Invalid(f"origins are 1 to {ORIGINS_MAX} like https://shop.example, not {told!r}", param="origins")
    if wish.expires_in_s is not None and not 0 < wish.expires_in_s <= LIFE_S_MAX:
        raise Invalid(f"a key lasts 1 to {LIFE_S_MAX} seconds, or for ever", param="expires_in_s")
    if wish.rate_per_s is not None and not 0 < wish.rate_per_s <= RATE_MAX:
        raise Invalid(f"a key's rate is 1 to {RATE_MAX} requests a second", param="rate")
    return wish


def _is_origin(text: str) -> bool:
    """Say whether browsers may name an origin this way: they leave out the port that goes without saying."""
    if not _ORIGIN.fullmatch(text):
        return False
    scheme, _, port = text.partition(":")[0], *text.rpartition(":")[1:]
    return not port.isdigit() or (int(port) <= PORT_MAX and port != _USUAL_PORT[scheme])


def digest(key: str) -> bytes:
    """Return what is stored of a key: a plain hash is enough for 256 random bits."""
    return hashlib.sha256(key.encode("utf-8", "surrogateescape")).digest()


def fresh(kind: str = SECRET) -> str:
    """Return a new key of 256 random bits."""
    return MARKS[kind] + secrets.token_hex(32)


def derived(vault: Vault, kind: str, operation: str) -> str:
    """Return the key that an operation makes, always the same: nobody without our keys can make it."""
    halves = (vault.signatures("api_key", f"{operation}:{half}")[-1] for half in ("left", "right"))
    return MARKS[kind] + "".join(halves)


async def create(store: Store, wish: Wish, key: str, *, actor: str, operation: str | None = None) -> Key:
    """Keep a new key, and return it; the same operation makes one, however often it is repeated.

    Raises `Invalid`, and `Conflict` when there are too many.
    """
    checked(wish)
    id_ = ids.derived("key", operation) if operation is not None else ids.new("key")

    async def work(tx: Tx) -> Key:
        known = await _find(tx, id_)
        if known is not None:
            return known
        if await tx.fetchval("SELECT count(*) FROM api_key WHERE revoked_at IS NULL") >= KEYS_MAX:
            raise Conflict(f"there are {KEYS_MAX} keys already: revoke some first")
        await _insert(tx, id_, wish, key)
        await audit.note(tx, actor, "key.create", [id_], {"kind": wish.kind, "scopes": list(wish.scopes)})
        return await _get(tx, id_)

    return await store.run(work)


async def rotate(
    store: Store, id_: str, key: str, *, overlap_s: int = OVERLAP_S, actor: str, operation: str | None = None
) -> Key:
    """Keep `key` as the successor of a key, with its name, scopes, origins, limit and end; the old one ends after the overlap.

    Without an overlap the old one is revoked at once, and with it the buyers' tokens that it asked for. The same
    operation does it once. Raises `NotFound`, and `Conflict` for a key that is over or has a successor.
    """
    if not 0 <= overlap_s <= OVERLAP_S_MAX:
        raise Invalid(f"the overlap is 0 to {OVERLAP_S_MAX} seconds", param="overlap_s")
    next_id = ids.derived("key", operation) if operation is not None else ids.new("key")

    async def work(tx: Tx) -> Key:
        await tx.execute("SELECT FROM api_key WHERE id = $1 FOR UPDATE", id_)
        old = await _get(tx, id_)
        if old.rotated_to == next_id:
            return await _get(tx, next_id)
        if old.rotated_to is not None:
            raise Conflict(f"{id_} has a successor already: {old.rotated_to}")
        if old.status != "valid":
            raise Conflict(f"{id_} is {old.status}: make a new key instead")
        wish = Wish(old.name, old.scopes, old.kind, None, old.rate_per_s, old.origins)
        await _insert(tx, next_id, wish, key, until=old.expires_at)
        await tx.execute(
            "UPDATE api_key SET rotated_to = $2, expires_at = least(expires_at, now() + make_interval(secs => $3)), "
            "revoked_at = CASE WHEN $3 = 0 THEN now() END WHERE id = $1",
            id_,
            next_id,
            overlap_s,
        )
        await audit.note(tx, actor, "key.rotate", [id_], {"to": next_id, "overlap_s": overlap_s})
        return await _get(tx, next_id)

    return await store.run(work)


LINE = """
WITH RECURSIVE line (id, step) AS (
    SELECT $1::text, 0 UNION SELECT k.id, line.step + 1 FROM api_key k JOIN line ON k.rotated_to = line.id
)
SELECT id FROM line ORDER BY step DESC
"""


async def line(tx: Tx | Store, id_: str) -> list[str]:
    """Return the ids of the keys that were rotated to this one, the first of all first; a key itself is the last."""
    return [row["id"] for row in await tx.fetch(LINE, id_)]


async def _insert(tx: Tx, id_: str, wish: Wish, key: str, until: datetime | None = None) -> None:
    """Write a key that ends at `until`, or as its wish says."""
    await tx.execute(
        "INSERT INTO api_key (id, kind, name, prefix, hash, scopes, rate_per_s, expires_at, origins) "
        "VALUES ($1, $2, $3, $4, $5, $6, $7, coalesce($9, now() + make_interval(secs => $8)), $10)",
        id_,
        wish.kind,
        wish.name,
        key[: len(MARKS[wish.kind]) + SHOWN_DIGITS],
        digest(key),
        sorted(set(wish.scopes)),
        wish.rate_per_s,
        wish.expires_in_s,
        until,
        sorted(set(wish.origins)),
    )


async def get(store: Store, id_: str) -> Key:
    """Return a key; raises `NotFound`."""
    async with store.transaction() as tx:
        return await _get(tx, id_)


async def listed(store: Store, cut: Cut) -> tuple[list[Key], bool]:
    """Return a part of the keys, newest first, and whether there is more; raises `Invalid` for a cursor that is none."""
    async with store.transaction() as tx:
        page = await read(tx, LIST, (), cut)
    return [_key(row) for row in page.rows], page.has_more


async def every(store: Store) -> list[Key]:
    """Return all keys, newest first."""
    return [_key(row) for row in await store.fetch(f"SELECT {COLUMNS} FROM api_key ORDER BY created_at DESC, id DESC")]


async def revoke(store: Store, id_: str, *, actor: str) -> Key:
    """Revoke a key, and return it; again, nothing changes. Raises `NotFound`."""

    async def work(tx: Tx) -> Key:
        done = await tx.execute("UPDATE api_key SET revoked_at = now() WHERE id = $1 AND revoked_at IS NULL", id_)
        if done:
            await audit.note(tx, actor, "key.revoke", [id_])
        return await _get(tx, id_)

    return await store.run(work)


def shown(of: Key) -> dict[str, Any]:
    """Show a key, without what it is."""
    return {
        "id": of.id,
        "object": "key",
        "kind": of.kind,
        "name": of.name,
        "prefix": of.prefix,
        "scopes": list(of.scopes),
        "origins": list(of.origins),
        "rate_per_s": of.rate_per_s,
        "status": of.status,
        "created_at": iso(of.created_at),
        "last_used_at": iso(of.last_used_at),
        "expires_at": iso(of.expires_at),
        "revoked_at": iso(of.revoked_at),
        "rotated_to": of.rotated_to,
    }


async def _find(tx: Tx, id_: str) -> Key | None:
    row = await tx.fetchrow(f"SELECT {COLUMNS} FROM api_key WHERE id = $1", id_)
    return None if row is None else _key(row)


async def _get(tx: Tx, id_: str) -> Key:
    found = await _find(tx, id_)
    if found is None:
        raise NotFound(f"no key {id_}", param="key")
    return found


def _key(row: Record) -> Key:
    values: dict[str, Any] = dict(row.items())
    return Key(**{**values, "scopes": tuple(values["scopes"]), "origins": tuple(values["origins"])})
