"""API keys: `pdk_` and 256 random bits, shown once, stored as a hash, with scopes; closed by default."""

from __future__ import annotations

import hashlib
import secrets
import time
from collections.abc import Sequence
from dataclasses import dataclass

from paydesk import ids
from paydesk.config import Secret
from paydesk.errors import Forbidden, Invalid, Unauthorized
from paydesk.store import Record, Store

SCOPES = ("read", "sell", "spend", "refund", "admin")
NAME_MAX = 100
CACHE_S = 5.0
CACHE_MAX = 1000


@dataclass(frozen=True, slots=True)
class Caller:
    """Who calls: a key's id and what it may do."""

    key_id: str
    scopes: frozenset[str]

    def require(self, scope: str) -> None:
        """Raise `Forbidden` unless the key has `scope`; `admin` has every other."""
        if scope not in self.scopes and "admin" not in self.scopes:
            raise Forbidden(f"this key lacks the scope {scope}")


FIRST = Caller("key_env", frozenset(SCOPES))
"""Who calls with the first key of `PAYDESK_API_KEY`."""


class Keys:
    """Looks keys up. The first key of `PAYDESK_API_KEY` has every scope. A revoked key dies within five seconds."""

    def __init__(self, store: Store, first: Secret | None) -> None:
        self._store = store
        self._first = digest(first.reveal()) if first is not None else None
        self._cache: dict[bytes, tuple[float, Caller]] = {}

    async def caller(self, authorization: str | None) -> Caller:
        """Return who sent this `Authorization` header; raises `Unauthorized`."""
        scheme, _, key = (authorization or "").partition(" ")
        if scheme.lower() != "bearer" or not key.startswith("pdk_"):
            raise Unauthorized("send an API key: Authorization: Bearer pdk_…")
        hashed = digest(key.strip())
        if self._first is not None and secrets.compare_digest(hashed, self._first):
            return FIRST
        cached = self._cache.get(hashed)
        if cached is not None and cached[0] > time.monotonic():
            return cached[1]
        caller = await self._look_up(hashed)
        if len(self._cache) >= CACHE_MAX:
            self._cache.clear()
        self._cache[hashed] = (time.monotonic() + CACHE_S, caller)
        return caller

    async def _look_up(self, hashed: bytes) -> Caller:
        row = await self._store.fetchrow(
            "UPDATE api_key SET last_used_at = now() WHERE hash = $1 AND revoked_at IS NULL RETURNING id, scopes",
            hashed,
        )
        if row is None:
            raise Unauthorized("this API key is unknown or revoked")
        return Caller(row["id"], frozenset(row["scopes"]))


def digest(key: str) -> bytes:
    """Return what is stored of a key: a plain hash is enough for 256 random bits."""
    return hashlib.sha256(key.encode("utf-8", "surrogateescape")).digest()


async def create(store: Store, name: str, scopes: Sequence[str]) -> tuple[str, str]:
    """Make a key and return its id and the key itself, which is shown this once."""
    if not 0 < len(name.strip()) <= NAME_MAX or not name.isprintable():
        raise Invalid(f"a key's name has 1 to {NAME_MAX} printable characters", param="name")
    unknown = sorted(set(scopes) - set(SCOPES))
    if unknown or not scopes:
        raise Invalid(f"scopes are {', '.join(SCOPES)}; unknown: {', '.join(unknown) or 'none given'}", param="scopes")
    key = f"pdk_{secrets.token_hex(32)}"
    id_ = ids.new("key")
    await store.execute(
        "INSERT INTO api_key (id, name, hash, scopes) VALUES ($1, $2, $3, $4)",
        id_,
        name,
        digest(key),
        sorted(set(scopes)),
    )
    return id_, key


async def listed(store: Store) -> list[Record]:
    """Return every key, without what it is."""
    return await store.fetch(
        "SELECT id, name, scopes, created_at, last_used_at, revoked_at FROM api_key ORDER BY created_at"
    )


async def revoke(store: Store, id_: str) -> bool:
    """Revoke a key; `False` when there is none with this id that is still valid."""
    done = await store.execute("UPDATE api_key SET revoked_at = now() WHERE id = $1 AND revoked_at IS NULL", id_)
    return done == 1
