"""Buyer tokens: what a server gives the page of one buyer, so that it may act for them with a publishable key.

A token names the person, the API key that asked for it and its end, under our signature; nothing is stored. It ends by
itself within a day, and within seconds when the key that asked for it is revoked.
"""

from __future__ import annotations

import re
import time
from datetime import UTC, datetime

from paydesk.errors import Unauthorized
from paydesk.privacy import Vault
from paydesk.store import Store

LIFE_S = 3600
LIFE_S_MAX = 86_400
PURPOSE = "buyer"
_TOKEN = re.compile(r"pdc_((cst_[0-9a-z]{26})\.(key_[0-9a-z_]{1,40})\.(\d{1,12}))\.([0-9a-f]{32})", re.ASCII)

WHO = """
SELECT coalesce(merged_into, id) FROM customer
WHERE id = $1 AND NOT EXISTS (SELECT FROM api_key WHERE id = $2 AND revoked_at IS NOT NULL)
"""


class BadToken(Unauthorized):
    """Ask your server for a fresh token: POST /v1/customer_sessions."""

    code = "invalid_customer_token"


def token(vault: Vault, customer: str, key: str, life_s: int = LIFE_S) -> tuple[str, datetime]:
    """Return a token for a person, asked for by an API key's id, and when it ends."""
    until = int(time.time()) + life_s
    text = f"{customer}.{key}.{until}"
    return f"pdc_{text}.{vault.signature(PURPOSE, text)}", datetime.fromtimestamp(until, UTC)


async def who(store: Store, vault: Vault, given: str) -> tuple[str, float]:
    """Return whose token it is, as they are known now, and for how many seconds; raises `BadToken`."""
    found = _TOKEN.fullmatch(given)
    if found is None or not vault.signed(PURPOSE, found[1], found[5]):
        raise BadToken("Paydesk-Customer is no token of ours: your server asks for one at /v1/customer_sessions")
    left_s = int(found[4]) - time.time()
    if left_s <= 0:
        raise BadToken("this buyer's token has ended: your server asks for a fresh one at /v1/customer_sessions")
    customer: str | None = await store.fetchval(WHO, found[2], found[3])
    if customer is None:
        raise BadToken("this buyer's token was taken back: your server asks for a fresh one at /v1/customer_sessions")
    return customer, left_s
