"""One database, one Stripe account, one mode: fixed at first start, and checked at every other.

A key that was checked before needs no call. A new key is asked which account it belongs to; when Stripe cannot be
reached, a fresh database starts all the same and asks later, one that has an account does not.
"""

from __future__ import annotations

import hashlib
import logging

from paydesk.config import Settings
from paydesk.errors import SettingError, StripeUnavailable
from paydesk.store import Record, Store, Tx
from paydesk.stripe.gateway import Gateway

log = logging.getLogger("paydesk")

FIX = """
UPDATE desk SET stripe_account = $1, livemode = $2, clock_offset_s = CASE WHEN $2 THEN 0 ELSE clock_offset_s END
WHERE stripe_account IS NULL
"""
NOTE_MODE = """
UPDATE desk SET livemode = $1, clock_offset_s = CASE WHEN $1 THEN 0 ELSE clock_offset_s END
WHERE stripe_account IS NULL
"""
KNOW_KEY = """
UPDATE desk SET key_hashes = array_append(key_hashes, $3)
WHERE stripe_account = $1 AND livemode = $2 AND NOT $3 = ANY (key_hashes)
"""
SOMETHING_STORED = """
SELECT EXISTS (SELECT FROM customer) OR EXISTS (SELECT FROM orders) OR EXISTS (SELECT FROM inbox)
       OR EXISTS (SELECT FROM stripe_call)
"""


async def fix(store: Store, gateway: Gateway, settings: Settings) -> bool:
    """Make sure the database belongs to the key's account and mode; `False` when Stripe must be asked later.

    Account and mode are written together, once Stripe has told whose the key is: a key that Stripe refuses leaves no
    trace. Raises `SettingError` that names `PAYDESK_DATA` when the key is another account's or of the other mode.
    """
    hashed = hashlib.sha256(gateway.key.reveal().encode()).digest()
    row = await store.fetchrow("SELECT stripe_account, livemode, key_hashes FROM desk")
    if row is not None and hashed in row["key_hashes"] and row["livemode"] == gateway.livemode:
        return True
    fresh = row is None or row["stripe_account"] is None
    if row is not None and row["livemode"] not in (None, gateway.livemode):
        await _refuse_other_mode(store, settings, livemode=row["livemode"], fresh=fresh)
    try:
        account = await gateway.account()
    except StripeUnavailable as error:
        if not fresh:
            raise SettingError(
                f"STRIPE_API_KEY is new here and Stripe at {gateway.base} cannot be asked about it: {error}"
            ) from error
        await store.execute(NOTE_MODE, gateway.livemode)
        log.warning("Stripe does not answer yet; which account this database belongs to is fixed later: %s", error)
        return False
    await _write(store, settings, account, hashed, livemode=gateway.livemode)
    return True


async def _refuse_other_mode(store: Store, settings: Settings, *, livemode: bool, fresh: bool) -> None:
    """Raise for a key of the other mode, unless the mode was only noted and nothing was done in it."""
    if not fresh or await store.fetchval(SOMETHING_STORED):
        raise SettingError(_refusal(settings, "live mode" if livemode else "test mode"))


async def _write(store: Store, settings: Settings, account: str, hashed: bytes, *, livemode: bool) -> None:
    """Write down whose the database is, in one transaction; who comes second finds the first one's."""

    async def work(tx: Tx) -> Record:
        await tx.execute(FIX, account, livemode)
        await tx.execute(KNOW_KEY, account, livemode, hashed)
        return (await tx.fetch("SELECT stripe_account, livemode FROM desk"))[0]

    owner = await store.run(work)
    if owner["stripe_account"] != account:
        raise SettingError(_refusal(settings, f"Stripe account {owner['stripe_account']}"))
    if owner["livemode"] != livemode:
        raise SettingError(_refusal(settings, "live mode" if owner["livemode"] else "test mode"))


def _refusal(settings: Settings, owner: str) -> str:
    where = (
        "DATABASE_URL names another database"
        if settings.database_url
        else f"PAYDESK_DATA is another folder than {settings.data}"
    )
    return f"STRIPE_API_KEY: this database belongs to {owner}; use its key, or start where {where}"
