"""What is stored of programs that act for people: the refunds that they ask for, each of which waits for a person."""

from __future__ import annotations

import sqlalchemy as sa
from sqlalchemy import BigInteger, Column, ForeignKey, Index, Table, Text

from paydesk.store.columns import metadata, text, time

refund_request = Table(
    "refund_request",
    metadata,
    text("id"),
    Column("order_id", Text, ForeignKey("orders.id"), nullable=False),
    Column("payment_id", Text, ForeignKey("payment.id"), nullable=False),
    Column("amount", BigInteger, nullable=False),
    text("currency"),
    text("reason"),
    text("key_id"),
    text("agent"),
    text("state", default="waiting"),
    text("decided_by", nullable=True),
    time("busy_until", nullable=True),
    text("detail", nullable=True),
    text("refund_id", nullable=True),
    time("created_at", default="now()"),
    time("expires_at"),
    time("decided_at", nullable=True),
    sa.PrimaryKeyConstraint("id"),
    sa.CheckConstraint("amount > 0", name="amount"),
    sa.CheckConstraint("state IN ('waiting','expired','refused','approved','refunded','failed')", name="state"),
    Index("ix_refund_request_order_id", "order_id"),
    Index("ix_refund_request_created_at", "created_at"),
    Index("uq_refund_request_waiting", "order_id", unique=True, postgresql_where=sa.text("state = 'waiting'")),
    comment="a refund that a program asks for; nothing goes back before a person approves (desk time; busy_until is real)",
)
