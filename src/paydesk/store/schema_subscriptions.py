"""What is stored of subscriptions: what repeats, what was billed for it, and who is to be let in where."""

from __future__ import annotations

import sqlalchemy as sa
from sqlalchemy import BigInteger, Boolean, Column, ForeignKey, Index, Integer, Table, Text

from paydesk.store.columns import json, metadata, text, time

plan = Table(
    "plan",
    metadata,
    text("key"),
    json("terms"),
    time("noted_at", default="now()"),
    sa.PrimaryKeyConstraint("key"),
    comment="what each price of the catalogue gives today: terms for what is sold of it from now on",
)

stripe_price = Table(
    "stripe_price",
    metadata,
    text("id"),
    text("key"),
    sa.PrimaryKeyConstraint("id"),
    comment="every Stripe price that ever stood for a price of the catalogue: old ones still bill",
)

subscription = Table(
    "subscription",
    metadata,
    text("id"),
    Column("customer_id", Text, ForeignKey("customer.id"), nullable=False),
    Column("order_id", Text, ForeignKey("orders.id"), nullable=True),
    text("stripe_customer"),
    text("status"),
    Column("livemode", Boolean, nullable=False),
    json("items"),
    time("started_at"),
    time("trial_end", nullable=True),
    time("cancel_at", nullable=True),
    time("ended_at", nullable=True),
    text("paused", nullable=True),
    time("resumes_at", nullable=True),
    text("payment_method", nullable=True),
    time("card_ends_at", nullable=True),
    time("asked_at"),
    time("unpaid_since", nullable=True),
    sa.PrimaryKeyConstraint("id"),
    Index("ix_subscription_customer_id", "customer_id"),
    Index("ix_subscription_order_id", "order_id"),
    Index("ix_subscription_started_at", "started_at", "id"),
    comment="a Stripe subscription as it was when somebody last looked; its items keep the terms they were first seen with",
)

invoice = Table(
    "invoice",
    metadata,
    text("id"),
    Column("subscription_id", Text, ForeignKey("subscription.id"), nullable=False, index=True),
    Column("order_id", Text, ForeignKey("orders.id"), nullable=False),
    text("status"),
    text("billing_reason"),
    Column("total", BigInteger, nullable=False),
    text("currency"),
    time("paid_at", nullable=True),
    time("period_start"),
    time("period_end"),
    json("lines"),
    Column("attempts", Integer, nullable=False, server_default=sa.text("0")),
    time("next_attempt_at", nullable=True),
    text("failure", nullable=True),
    text("url", nullable=True),
    time("created_at"),
    time("asked_at"),
    time("due_at", nullable=True),
    Column("credited_before", BigInteger, nullable=False, server_default=sa.text("0")),
    Column("credited", BigInteger, nullable=False, server_default=sa.text("0")),
    sa.PrimaryKeyConstraint("id"),
    sa.UniqueConstraint("order_id"),
    comment="a Stripe invoice of a subscription as it was when somebody last looked; its order has the money",
)

membership = Table(
    "membership",
    metadata,
    Column("customer_id", Text, ForeignKey("customer.id"), nullable=False),
    text("channel"),
    text("space"),
    text("role"),
    Column("wanted", Boolean, nullable=False),
    Column("version", Integer, nullable=False, server_default=sa.text("1")),
    time("changed_at", default="now()"),
    sa.PrimaryKeyConstraint("customer_id", "channel", "space", "role"),
    sa.CheckConstraint("version > 0", name="version"),
    comment="whether a person is to have a role in a server, or be in a group (an empty role): once per person and space",
)
