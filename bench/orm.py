"""What endpoints written in the usual way share: an engine on DATABASE_URL, and a session for each request."""

import os
from collections.abc import AsyncIterator
from typing import Any

import asyncpg
from sqlalchemy.ext.asyncio import AsyncSession, async_sessionmaker, create_async_engine


async def connect() -> Any:
    """Open one connection; asyncpg itself reads DATABASE_URL, so that every form of it (sockets too) works."""
    return await asyncpg.connect(os.environ["DATABASE_URL"])


engine = create_async_engine("postgresql+asyncpg://", async_creator=connect, pool_size=20, max_overflow=0)
sessions = async_sessionmaker(engine, expire_on_commit=False)


async def open_session() -> AsyncIterator[AsyncSession]:
    """Give each request its own session."""
    async with sessions() as session:
        yield session
