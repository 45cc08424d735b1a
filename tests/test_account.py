"""Whose a database is: written down once Stripe has told, and not by a key that Stripe refuses or cannot be asked about."""

from __future__ import annotations

from collections.abc import AsyncIterator
from pathlib import Path

import pytest

from conftest import settings_for
from paydesk import account
from paydesk.clock import Clock
from paydesk.config import load
from paydesk.errors import PaydeskError, SettingError
from paydesk.store import Store
from paydesk.stripe.gateway import Gateway
from sandbox_fixtures import Sandbox, free_port

LIVE = "sk_live_0123456789abcdef"  # the sandbox refuses live keys, as Stripe refuses one that was revoked


@pytest.fixture
async def store(database: str) -> AsyncIterator[Store]:
    opened = await Store.open(database, clock=Clock())
    yield opened
    await opened.close()


async def fix(store: Store, folder: Path, base: str, **more: str) -> bool:
    """Start with these settings, as far as account and mode go."""
    settings = load(settings_for(store.dsn, base, **more), folder=folder)
    gateway = Gateway(settings)
    try:
        return await account.fix(store, gateway, settings)
    finally:
        await gateway.close()


async def owner(store: Store) -> tuple[str | None, bool | None, int]:
    row = await store.fetchrow("SELECT stripe_account, livemode, cardinality(key_hashes) AS keys FROM desk")
    assert row is not None
    return row["stripe_account"], row["livemode"], row["keys"]


async def test_a_key_that_stripe_refuses_leaves_no_trace(store: Store, stripe_sandbox: Sandbox, tmp_path: Path) -> None:
    with pytest.raises(PaydeskError):
        await fix(store, tmp_path, stripe_sandbox.url, STRIPE_API_KEY=LIVE)
    assert await owner(store) == (None, None, 0)
    assert await fix(store, tmp_path, stripe_sandbox.url)
    told = await owner(store)
    assert (str(told[0])[:5], *told[1:]) == ("acct_", False, 1)
    with pytest.raises(SettingError, match="this database belongs to test mode"):
        await fix(store, tmp_path, stripe_sandbox.url, STRIPE_API_KEY=LIVE)
    with pytest.raises(SettingError, match="this database belongs to Stripe account acct_"):
        await fix(store, tmp_path, stripe_sandbox.url)
    assert await owner(store) == told


async def test_a_mode_that_was_only_noted_may_change_as_long_as_nothing_is_stored(
    store: Store, stripe_sandbox: Sandbox, tmp_path: Path
) -> None:
    nobody = f"http://127.0.0.1:{free_port()}"
    assert not await fix(store, tmp_path, nobody)
    await store.execute("UPDATE desk SET clock_offset_s = 60")  # the sandbox's, which real time has no use for
    assert not await fix(store, tmp_path, nobody, STRIPE_API_KEY=LIVE)
    assert await owner(store) == (None, True, 0)
    await store.execute("INSERT INTO customer (id) VALUES ('cst_first')")
    with pytest.raises(SettingError, match="this database belongs to live mode"):
        await fix(store, tmp_path, stripe_sandbox.url)
    await store.execute("DELETE FROM customer")
    assert await fix(store, tmp_path, stripe_sandbox.url)
    assert (await owner(store))[1:] == (False, 1)
