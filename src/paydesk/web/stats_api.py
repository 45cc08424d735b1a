"""`GET /v1/stats`: what was earned, given back and kept; subscriptions and credits. `docs/statistics.md` defines each figure."""

from __future__ import annotations

from typing import Annotated, Any, Literal

from fastapi import APIRouter, Query
from pydantic import BaseModel, ConfigDict, Field

from paydesk import stats
from paydesk.web.api import Here, Reader

router = APIRouter(prefix="/v1")

Rate = Annotated[str | None, Field(description="a share with four places; null of nothing", examples=["0.0312"])]
Word = Annotated[str | None, Query(min_length=1, max_length=200, pattern=r"^[^\x00]*$")]
Moment = Annotated[str | None, Query(max_length=40, examples=["2026-01-01", "2026-01-31T12:00:00Z"])]


class DisputesShown(BaseModel):
    """Disputes opened in the period, by how they stand now; amounts are what is gone of them."""

    opened: int
    won: int
    lost: int
    open: int
    inquiries: int
    amount_lost: int
    amount_open: int


class OrdersShown(BaseModel):
    """Orders made in the period, by their status now."""

    model_config = ConfigDict(extra="allow")

    made: int
    open: int
    pending: int
    paid: int
    fulfilled: int
    canceled: int
    expired: int
    refunded: int
    partially_refunded: int
    disputed: int


class MoneyShown(BaseModel):
    """What happened in one currency, in its smallest unit."""

    currency: str = Field(examples=["usd"])
    gross: int = Field(description="what successful payments brought", examples=[125_000])
    refunded: int = Field(examples=[5_000])
    disputed: int = Field(description="what lost disputes took", examples=[0])
    fees: int = Field(description="what Stripe kept, as far as its balance transactions are known", examples=[3_925])
    net: int = Field(description="gross - refunded - disputed - fees", examples=[116_075])
    successful: int = Field(examples=[50])
    failed: int = Field(description="payments that were refused and never succeeded", examples=[2])
    success_rate: Rate
    refunds: int = Field(examples=[2])
    refund_rate: Rate
    refund_rate_by_amount: Rate
    average_payment: int | None = Field(examples=[2_500])
    disputes: DisputesShown
    orders: OrdersShown


class RowShown(MoneyShown):
    """A row of the breakdown: it has the field that `by` names, besides its currency."""

    day: str | None = Field(None, examples=["2026-01-31"])
    product: str | None = Field(None, description="null of what is not in the catalogue", examples=["credits-10"])
    channel: str | None = Field(None, description="null of what was not sold in a thread", examples=["telegram"])


class AmountShown(BaseModel):
    """An amount in the smallest unit of its currency."""

    currency: str = Field(examples=["usd"])
    amount: int = Field(examples=[99_900])


class SubscriptionsShown(BaseModel):
    """Subscriptions of the period; `trialing`, `past_due` and `mrr` are as of now."""

    active: int
    new: int
    churned: int
    active_before: int
    churn_rate: Rate
    trialing: int
    past_due: int
    mrr: list[AmountShown]


class CreditsShown(BaseModel):
    """What happened to a unit of credits; `outstanding` is as of now."""

    unit: str = Field(examples=["credits"])
    granted: int
    spent: int
    expired: int
    clawed_back: int
    outstanding: int


class StatsShown(BaseModel):
    """Statistics of a period."""

    model_config = ConfigDict(populate_by_name=True)

    begins: str = Field(alias="from", examples=["2026-01-01T00:00:00.000Z"])
    to: str = Field(examples=["2026-02-01T00:00:00.000Z"])
    timezone: str = Field(examples=["UTC"])
    by: Literal["day", "currency", "product", "channel"] | None
    totals: list[MoneyShown] = Field(description="one for each currency; currencies are never added together")
    data: list[RowShown] = Field(description="the breakdown that `by` asks for; what is all zero is left out")
    subscriptions: SubscriptionsShown | None = Field(description="null where a part of the desk is asked for")
    credits: list[CreditsShown] | None = Field(description="null where a part of the desk is asked for")


@router.get("/stats", tags=["Statistics"], response_model=StatsShown, response_model_exclude_unset=True)
async def get_stats(
    here: Here,
    _caller: Reader,
    begins: Annotated[str | None, Query(alias="from", max_length=40, examples=["2026-01-01"])] = None,
    to: Moment = None,
    by: Word = None,
    currency: Word = None,
    product: Word = None,
    channel: Word = None,
    timezone: Word = None,
) -> dict[str, Any]:
    """Return statistics of a period, from `from` to before `to`: the last 30 days unless it is said.

    A moment is a date or an ISO time, in `timezone` (UTC) unless it says its own. `by` is day, currency, product or
    channel; `currency`, `product` and `channel` ask for a part. Amounts are integers in the smallest unit, rates are
    decimal strings. Every figure is exact at the moment of the answer.
    """
    ask = stats.checked(
        here.clock.now(), begins, to, by=by, currency=currency, product=product, channel=channel, timezone=timezone
    )
    return (await stats.report(here.store, here.catalog, ask)).as_json()
