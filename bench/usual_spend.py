"""Spending as it is usually written: FastAPI, an ORM session, the wallet's row locked, an entry, commit.

Durable like Paydesk's and exact, so the comparison is fair; it has no idempotency keys. It makes its tables anew at
every start, in the schema `bench_spend` of DATABASE_URL. Run by uvicorn.
"""

from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from datetime import datetime
from typing import Annotated

from fastapi import Depends, FastAPI, HTTPException
from pydantic import BaseModel
from sqlalchemy import BigInteger, ForeignKey, func, select, text
from sqlalchemy.ext.asyncio import AsyncSession
from sqlalchemy.orm import DeclarativeBase, Mapped, mapped_column

from bench.orm import engine, open_session
from bench.spend import BALANCE, WALLETS, customer

SCHEMA = "bench_spend"


class Base(DeclarativeBase):
    """The tables of this endpoint."""


class Wallet(Base):
    """What a customer has."""

    __tablename__ = "wallet"
    __table_args__ = {"schema": SCHEMA}  # noqa: RUF012  (SQLAlchemy reads it as it is)

    customer: Mapped[str] = mapped_column(primary_key=True)
    balance: Mapped[int] = mapped_column(BigInteger)


class Entry(Base):
    """What was spent."""

    __tablename__ = "entry"
    __table_args__ = {"schema": SCHEMA}  # noqa: RUF012  (SQLAlchemy reads it as it is)

    id: Mapped[int] = mapped_column(BigInteger, primary_key=True)
    customer: Mapped[str] = mapped_column(ForeignKey(Wallet.customer), index=True)
    amount: Mapped[int] = mapped_column(BigInteger)
    created_at: Mapped[datetime] = mapped_column(server_default=func.now())


class Spending(BaseModel):
    """What is asked for."""

    amount: int


@asynccontextmanager
async def lifespan(_: FastAPI) -> AsyncIterator[None]:
    """Make the tables and wallets anew, and close the pool at the end."""
    async with engine.begin() as connection:
        await connection.execute(text(f"DROP SCHEMA IF EXISTS {SCHEMA} CASCADE"))
        await connection.execute(text(f"CREATE SCHEMA {SCHEMA}"))
        await connection.run_sync(Base.metadata.create_all)
        rows = [{"customer": customer(number), "balance": BALANCE} for number in range(WALLETS)]
        await connection.execute(Wallet.__table__.insert(), rows)  # type: ignore[attr-defined]
    yield
    await engine.dispose()


app = FastAPI(lifespan=lifespan)


@app.get("/readyz")
async def ready() -> dict[str, bool]:
    """Say that the tables are there."""
    return {"ready": True}


@app.post("/v1/customers/{who}/credits/spend")
async def spend(
    who: str, asked: Spending, session: Annotated[AsyncSession, Depends(open_session)]
) -> dict[str, int | str]:
    """Lock the wallet, take from it, write it down; answer when it is committed."""
    wallet = (
        await session.execute(select(Wallet).where(Wallet.customer == who).with_for_update())
    ).scalar_one_or_none()
    if wallet is None:
        raise HTTPException(404, "no such wallet")
    if wallet.balance < asked.amount:
        raise HTTPException(402, "not enough")
    wallet.balance -= asked.amount
    session.add(Entry(customer=who, amount=asked.amount))
    await session.commit()
    return {"customer": who, "balance": wallet.balance}
