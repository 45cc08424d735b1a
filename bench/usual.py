"""The endpoint as it is usually written: FastAPI, the Stripe SDK's check, an ORM session, select, insert, commit.

Durable like Paydesk's and correct for duplicates, so the comparison is fair. It makes its table anew at every start, in
the schema `bench_usual` of DATABASE_URL. Run by uvicorn.
"""

import os
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from datetime import datetime
from typing import Annotated, Any

import stripe
from fastapi import Depends, FastAPI, HTTPException, Request
from sqlalchemy import func, text
from sqlalchemy.dialects.postgresql import JSONB
from sqlalchemy.exc import IntegrityError
from sqlalchemy.ext.asyncio import AsyncSession
from sqlalchemy.orm import DeclarativeBase, Mapped, mapped_column

from bench.orm import engine, open_session

SCHEMA = "bench_usual"
SECRET = os.environ["STRIPE_WEBHOOK_SECRET"]


class Base(DeclarativeBase):
    """The tables of this endpoint."""


class StripeEvent(Base):
    """One event as received; its primary key is Stripe's id."""

    __tablename__ = "stripe_event"
    __table_args__ = {"schema": SCHEMA}  # noqa: RUF012  (SQLAlchemy reads it as it is)

    id: Mapped[str] = mapped_column(primary_key=True)
    type: Mapped[str]
    payload: Mapped[dict[str, Any]] = mapped_column(JSONB)
    received_at: Mapped[datetime] = mapped_column(server_default=func.now())


@asynccontextmanager
async def lifespan(_: FastAPI) -> AsyncIterator[None]:
    """Make the table anew, and close the pool at the end."""
    async with engine.begin() as connection:
        await connection.execute(text(f"DROP SCHEMA IF EXISTS {SCHEMA} CASCADE"))
        await connection.execute(text(f"CREATE SCHEMA {SCHEMA}"))
        await connection.run_sync(Base.metadata.create_all)
    yield
    await engine.dispose()


app = FastAPI(lifespan=lifespan)


@app.get("/readyz")
async def ready() -> dict[str, bool]:
    """Say that the table is there."""
    return {"ready": True}


@app.post("/webhooks/stripe")
async def webhook(request: Request, session: Annotated[AsyncSession, Depends(open_session)]) -> dict[str, bool]:
    """Check, look whether the event is known, else store it; answer when it is committed."""
    payload = await request.body()
    try:
        event = stripe.Webhook.construct_event(payload, request.headers.get("stripe-signature", ""), SECRET)
    except (ValueError, stripe.SignatureVerificationError) as error:
        raise HTTPException(400, "bad signature or body") from error
    if await session.get(StripeEvent, event.id) is None:
        session.add(StripeEvent(id=event.id, type=event.type, payload=event.to_dict()))
        try:
            await session.commit()
        except IntegrityError:  # the same event came twice at once, and the other one won
            await session.rollback()
    return {"received": True}
