"""One database, one Stripe account, one mode: fixed at first start, and checked at every other.

A key that was checked before needs no call. A new key is asked which account it belongs to; when Stripe cannot be
reached, a fresh database starts all the same and asks later, one that has an account does not.
"""

from __future__ import annotations

import hashlib
import logging

from paydesk.config import Settings
from paydesk.errors import SettingError, StripeUnavailable
from paydesk.store import Store, Tx
from paydesk.stripe.gateway import Gateway

log = logging.getLogger("paydesk")


async def fix(store: Store, gateway: Gateway, settings: Settings) -> bool:
    """Make sure the database belongs to the key's account and mode; `False` when Stripe must be asked later.

    Raises `SettingError` that names `PAYDESK_DATA` when the key is another account's or of the other mode.
    """
    row = await store.fetchrow("SELECT stripe_account, livemode, key_hashes FROM desk")
    fresh = row is None or row["livemode"] is None
    if row is not None and not fresh and row["livemode"] != gateway.livemode:
        raise SettingError(_refusal(settings, "live mode" if row["livemode"] else "test mode"))
    hashed = hashlib.sha256(gateway.key.reveal().encode()).digest()
    if row is not None and hashed in row["key_hashes"]:
        return True
    await store.execute("UPDATE desk SET livemode = coalesce(livemode, $1)", gateway.livemode)
    try:
        account = await gateway.account()
    except StripeUnavailable as error:
        if row is None or row["stripe_account"] is None:
            log.warning("Stripe does not answer yet; which account this database belongs to is fixed later: %s", error)
            return False
        raise SettingError(
            f"STRIPE_API_KEY is new here and Stripe at {gateway.base} cannot be asked about it: {error}"
        ) from error

    async def work(tx: Tx) -> str:
        await tx.execute("UPDATE desk SET stripe_account = coalesce(stripe_account, $1)", account)
        owner = str(await tx.fetchval("SELECT stripe_account FROM desk"))
        if owner == account:
            await tx.execute("UPDATE desk SET key_hashes = array_append(key_hashes, $1)", hashed)
        return owner

    owner = await store.run(work)
    if owner != account:
        raise SettingError(_refusal(settings, f"Stripe account {owner}"))
    return True


def _refusal(settings: Settings, owner: str) -> str:
    where = (
        "DATABASE_URL names another database"
        if settings.database_url
        else f"PAYDESK_DATA is another folder than {settings.data}"
    )
    return f"STRIPE_API_KEY: this database belongs to {owner}; use its key, or start where {where}"
