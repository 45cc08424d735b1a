"""Bringing the schema up to date at start, by whoever comes first.

An advisory lock lets one process migrate while the others wait. Alembic and SQLAlchemy are imported only when there
is something to do, so that an ordinary start stays quick.
"""

from __future__ import annotations

from pathlib import Path
from typing import Any

import asyncpg

from paydesk.errors import SettingError, StoreUnavailable
from paydesk.store.pool import AWAY, SESSION_SETTINGS

VERSIONS = Path(__file__).parent / "migrations" / "versions"
LOCK = 0x7061796465736B  # "paydesk"


def head() -> str:
    """Return the newest revision that this code knows: the prefix of the last file in `migrations/versions`."""
    return max(path.name.split("_", 1)[0] for path in VERSIONS.glob("[0-9]*.py"))


async def migrate(dsn: str) -> bool:
    """Bring the database to `head()`; return whether something was done.

    Raises `SettingError` when the database is newer than this code.
    """
    connection = await _connect(dsn)
    try:
        await connection.execute("SELECT pg_advisory_lock($1)", LOCK)
        current = await _current(connection)
        if current == head():
            return False
        if current is not None and current > head():
            raise SettingError(
                f"the database is at schema {current}, this Paydesk knows {head()}: install the newer Paydesk"
            )
        await _upgrade(dsn)
        return True
    finally:
        await connection.close()


async def _connect(dsn: str) -> Any:
    """Return a connection without time limits: a migration takes as long as it takes."""
    settings = {**SESSION_SETTINGS, "statement_timeout": "0", "lock_timeout": "0"}
    try:
        return await asyncpg.connect(dsn, server_settings=settings, timeout=30)
    except AWAY as error:
        raise StoreUnavailable(f"{type(error).__name__}: {error}") from error
    except (asyncpg.PostgresError, ValueError) as error:
        raise SettingError(f"DATABASE_URL: the database refuses us: {error}") from error


async def _current(connection: Any) -> str | None:
    if await connection.fetchval("SELECT to_regclass('alembic_version')") is None:
        return None
    version: str | None = await connection.fetchval("SELECT version_num FROM alembic_version")
    return version


async def _upgrade(dsn: str) -> None:
    from alembic import command
    from sqlalchemy.ext.asyncio import create_async_engine
    from sqlalchemy.pool import NullPool

    engine = create_async_engine("postgresql+asyncpg://", async_creator=lambda: _connect(dsn), poolclass=NullPool)
    async with engine.begin() as connection:
        await connection.run_sync(lambda sync: command.upgrade(alembic_config(sync), "head"))
    await engine.dispose()


def alembic_config(connection: object) -> Any:
    """Return Alembic's configuration for our folder, running on `connection`."""
    from alembic.config import Config

    config = Config()
    config.set_main_option("script_location", str(VERSIONS.parent))
    config.attributes["connection"] = connection
    return config
