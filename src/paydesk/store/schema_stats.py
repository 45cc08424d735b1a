"""What is stored of statistics: the figures of each day, and which days have to be counted anew."""

from __future__ import annotations

from sqlalchemy import BigInteger, Column, Date, Index, PrimaryKeyConstraint, Table

from paydesk.store.columns import metadata, text

stats_day = Table(
    "stats_day",
    metadata,
    Column("day", Date, nullable=False),
    text("price"),
    text("figure"),
    text("unit"),
    text("channel"),
    Column("number", BigInteger, nullable=False),
    Column("amount", BigInteger, nullable=False),
    PrimaryKeyConstraint("price", "channel", "day", "figure", "unit"),
    Index("ix_stats_day_day", "day"),
    comment="the figures of a day in UTC, counted from the rows of money; `*` is every price, or channel, together",
)

stats_month = Table(
    "stats_month",
    metadata,
    Column("month", Date, nullable=False),
    text("price"),
    text("figure"),
    text("unit"),
    text("channel"),
    Column("number", BigInteger, nullable=False),
    Column("amount", BigInteger, nullable=False),
    PrimaryKeyConstraint("month", "price", "channel", "figure", "unit"),
    comment="the sums of the days of a month, by its first day; written with them",
)

stats_mark = Table(
    "stats_mark",
    metadata,
    Column("day", Date, nullable=False),
    comment="days whose rows have changed since they were counted; written by triggers, with the change itself",
)
