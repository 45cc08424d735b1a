"""The migrated database is exactly the schema that the code describes, whoever migrates it and however many at once."""

from __future__ import annotations

import asyncio
import subprocess
import sys
from collections.abc import Callable
from typing import Any

import asyncpg
import pytest
import sqlalchemy as sa
from sqlalchemy.ext.asyncio import create_async_engine
from sqlalchemy.pool import NullPool

from conftest import _create
from paydesk.errors import SettingError
from paydesk.store import embedded
from paydesk.store.migrate import head, migrate
from paydesk.store.schema import metadata

CONSTRAINTS = """
SELECT conrelid::regclass::text || ' ' || conname, pg_get_constraintdef(oid) FROM pg_constraint
WHERE connamespace = 'public'::regnamespace AND conrelid <> 0 AND conrelid::regclass::text <> 'alembic_version'
"""
INDEXES = "SELECT indexname, indexdef FROM pg_indexes WHERE schemaname = 'public' AND tablename <> 'alembic_version'"
COLUMNS = """
SELECT table_name || '.' || column_name,
       concat_ws(' ', data_type, udt_name, is_nullable, column_default, is_identity, identity_generation)
FROM information_schema.columns WHERE table_schema = 'public' AND table_name <> 'alembic_version'
"""


@pytest.fixture
def empty(server: embedded.Embedded) -> str:
    """The address of a database with nothing in it."""
    return _create(server, None)


async def on(dsn: str, work: Callable[[sa.Connection], Any]) -> Any:
    """Do something with SQLAlchemy's view of a database."""
    engine = create_async_engine(
        "postgresql+asyncpg://", async_creator=lambda: asyncpg.connect(dsn), poolclass=NullPool
    )
    async with engine.begin() as connection:
        result = await connection.run_sync(work)
    await engine.dispose()
    return result


async def look(dsn: str, sql: str) -> dict[str, str]:
    connection = await asyncpg.connect(dsn)
    try:
        return {row[0]: row[1] for row in await connection.fetch(sql)}
    finally:
        await connection.close()


async def test_migrations_make_the_tables_that_the_code_describes(database: str) -> None:
    from alembic.autogenerate import compare_metadata
    from alembic.migration import MigrationContext

    options = {"compare_type": True, "compare_server_default": True}
    differences = await on(
        database, lambda sync: compare_metadata(MigrationContext.configure(sync, opts=options), metadata)
    )
    assert differences == []


@pytest.mark.parametrize("what", [CONSTRAINTS, INDEXES, COLUMNS], ids=["constraints", "indexes", "columns"])
async def test_a_migrated_database_has_every_rule_of_one_made_from_the_description(
    database: str, empty: str, what: str
) -> None:
    await on(empty, metadata.create_all)
    described, migrated = await look(empty, what), await look(database, what)
    assert migrated == described


def test_each_revision_follows_the_one_before(revisions: list[Any]) -> None:
    assert [step.revision for step in revisions] == sorted(step.revision for step in revisions)
    assert [step.down_revision for step in revisions] == [None, *(step.revision for step in revisions[:-1])]
    assert revisions[-1].revision == head()


@pytest.fixture
def revisions() -> list[Any]:
    """Every migration, oldest first."""
    from alembic.script import ScriptDirectory

    from paydesk.store.migrate import alembic_config

    return list(ScriptDirectory.from_config(alembic_config(None)).walk_revisions())[::-1]


MIGRATE = "import asyncio, sys; from paydesk.store.migrate import migrate; print(asyncio.run(migrate(sys.argv[1])))"


def test_of_several_processes_that_start_at_once_one_migrates_and_the_others_wait(empty: str) -> None:
    running = [
        subprocess.Popen([sys.executable, "-c", MIGRATE, empty], stdout=subprocess.PIPE, text=True) for _ in range(3)
    ]
    said = sorted(process.communicate(timeout=60)[0].strip() for process in running)
    assert said == ["False", "False", "True"]
    assert [process.returncode for process in running] == [0, 0, 0]
    assert asyncio.run(look(empty, "SELECT version_num, '' FROM alembic_version")) == {head(): ""}
    assert asyncio.run(look(empty, "SELECT 'lanes', count(*) FROM lane")) == {"lanes": 1024}


async def test_migrating_again_changes_nothing_and_a_newer_database_is_refused(database: str) -> None:
    assert await migrate(database) is False
    connection = await asyncpg.connect(database)
    await connection.execute("UPDATE alembic_version SET version_num = '9999'")
    await connection.close()
    with pytest.raises(SettingError, match=r"at schema 9999.*install the newer Paydesk"):
        await migrate(database)


async def test_live_time_is_real_time_and_there_is_one_desk(database: str) -> None:
    connection = await asyncpg.connect(database)
    try:
        await connection.execute("UPDATE desk SET clock_offset_s = 3600")
        ahead = await connection.fetchval("SELECT extract(epoch FROM desk_now() - now())::int")
        assert ahead == 3600
        with pytest.raises(asyncpg.CheckViolationError, match="live_time_is_real_time"):
            await connection.execute("UPDATE desk SET livemode = true")
        with pytest.raises(asyncpg.IntegrityConstraintViolationError):
            await connection.execute("INSERT INTO desk (id) VALUES (2)")
    finally:
        await connection.close()
