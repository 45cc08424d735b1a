"""Agents: refunds that they ask for, and people approve."""

from __future__ import annotations

import sqlalchemy as sa
from alembic import op
from sqlalchemy.dialects import postgresql

revision = "0008"
down_revision = "0007"
branch_labels = None
depends_on = None


def upgrade() -> None:
    """Apply."""
    op.create_table(
        "refund_request",
        sa.Column("id", sa.Text(), nullable=False),
        sa.Column("order_id", sa.Text(), nullable=False),
        sa.Column("payment_id", sa.Text(), nullable=False),
        sa.Column("amount", sa.BigInteger(), nullable=False),
        sa.Column("currency", sa.Text(), nullable=False),
        sa.Column("reason", sa.Text(), nullable=False),
        sa.Column("key_id", sa.Text(), nullable=False),
        sa.Column("agent", sa.Text(), nullable=False),
        sa.Column("state", sa.Text(), server_default=sa.text("'waiting'"), nullable=False),
        sa.Column("decided_by", sa.Text(), nullable=True),
        sa.Column("busy_until", postgresql.TIMESTAMP(timezone=True), nullable=True),
        sa.Column("detail", sa.Text(), nullable=True),
        sa.Column("refund_id", sa.Text(), nullable=True),
        sa.Column("created_at", postgresql.TIMESTAMP(timezone=True), server_default=sa.text("now()"), nullable=False),
        sa.Column("expires_at", postgresql.TIMESTAMP(timezone=True), nullable=False),
        sa.Column("decided_at", postgresql.TIMESTAMP(timezone=True), nullable=True),
        sa.CheckConstraint("amount > 0", name=op.f("ck_refund_request_amount")),
        sa.CheckConstraint(
            "state IN ('waiting','expired','refused','approved','refunded','failed')",
            name=op.f("ck_refund_request_state"),
        ),
        sa.ForeignKeyConstraint(["order_id"], ["orders.id"], name=op.f("fk_refund_request_order_id")),
        sa.ForeignKeyConstraint(["payment_id"], ["payment.id"], name=op.f("fk_refund_request_payment_id")),
        sa.PrimaryKeyConstraint("id", name=op.f("pk_refund_request")),
        comment="a refund that a program asks for; nothing goes back before a person approves (desk time; busy_until is real)",
    )
    op.create_index("ix_refund_request_order_id", "refund_request", ["order_id"])
    op.create_index("ix_refund_request_created_at", "refund_request", ["created_at"])
    op.create_index(
        "uq_refund_request_waiting",
        "refund_request",
        ["order_id"],
        unique=True,
        postgresql_where=sa.text("state = 'waiting'"),
    )
