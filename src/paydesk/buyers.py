"""Buyer tokens: what a server gives the page of one buyer, so that it may act for them with a publishable key.

A token names the person, the API key that asked for it and its end, under our signature; nothing is stored. It ends by
itself within a day, and within seconds when the key that asked for it is revoked or has expired; a key that was rotated
has only handed over, and its tokens go on. The first key of the settings has no row: what it is goes into what is
signed, so that its tokens end when it is exchanged. A token that was asked for by where somebody can be met names that
too, as a digest, and ends when they are met there no more.
"""

from __future__ import annotations

import hashlib
import re
import time
from datetime import UTC, datetime

from paydesk.customers import Identity
from paydesk.errors import Unauthorized
from paydesk.keys import FIRST_ID
from paydesk.privacy import Vault
from paydesk.store import Store

LIFE_S = 3600
LIFE_S_MAX = 86_400
PURPOSE = "buyer"
_TOKEN = re.compile(
    r"pdc_((?P<customer>cst_[0-9a-z]{26})\.(?P<key>key_[0-9a-z_]{1,40})\.(?P<until>\d{1,12})(?:\.(?P<met>[0-9a-f]{20}))?)"
    r"\.(?P<signature>[0-9a-f]{32})",
    re.ASCII,
)

WHO = """
SELECT coalesce(c.merged_into, c.id) FROM customer c
WHERE c.id = $1 AND NOT EXISTS (
    SELECT FROM api_key
    WHERE id = $2 AND (revoked_at IS NOT NULL OR (expires_at <= now() AND rotated_to IS NULL))
) AND ($3::text IS NULL OR EXISTS (
    SELECT FROM identity i
    WHERE i.customer_id = coalesce(c.merged_into, c.id)
      AND left(encode(sha256(convert_to(i.channel || ':' || i.external_id, 'UTF8')), 'hex'), 20) = $3
))
"""
"""Whose a token is; `$3` is the digest of where they must still be met, as `_digest` makes it."""


class BadToken(Unauthorized):
    """Ask your server for a fresh token: POST /v1/customer_sessions."""

    code = "invalid_customer_token"


def token(
    vault: Vault,
    customer: str,
    key: str,
    life_s: int = LIFE_S,
    *,
    met: Identity | None = None,
    first: bytes | None = None,
) -> tuple[str, datetime]:
    """Return a token for a person, asked for by an API key's id, and when it ends.

    `met` is where they must still be met while it is used; `first` is the digest of the first key, if there is one.
    """
    until = int(time.time()) + life_s
    text = f"{customer}.{key}.{until}" + (f".{_digest(met)}" if met is not None else "")
    return f"pdc_{text}.{vault.signature(PURPOSE, _signed(text, key, first))}", datetime.fromtimestamp(until, UTC)


def _digest(met: Identity) -> str:
    return hashlib.sha256(f"{met.channel}:{met.external_id}".encode()).hexdigest()[:20]


def _signed(text: str, key: str, first: bytes | None) -> str:
    """Return what is signed for a token: for the first key also what that key is."""
    return f"{text}.{(first or b'').hex()}" if key == FIRST_ID else text


async def who(store: Store, vault: Vault, given: str, *, first: bytes | None = None) -> tuple[str, float]:
    """Return whose token it is, as they are known now, and for how many seconds; raises `BadToken`.

    `first` is the digest of the first key as it is now, if there is one.
    """
    found = _TOKEN.fullmatch(given)
    if found is None or not vault.signed(PURPOSE, _signed(found[1], found["key"], first), found["signature"]):
        raise BadToken("Paydesk-Customer is no token of ours: your server asks for one at /v1/customer_sessions")
    left_s = int(found["until"]) - time.time()
    if left_s <= 0:
        raise BadToken("this buyer's token has ended: your server asks for a fresh one at /v1/customer_sessions")
    customer: str | None = await store.fetchval(WHO, found["customer"], found["key"], found["met"])
    if customer is None:
        raise BadToken("this buyer's token was taken back: your server asks for a fresh one at /v1/customer_sessions")
    return customer, left_s
