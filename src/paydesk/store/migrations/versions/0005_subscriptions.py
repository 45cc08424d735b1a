"""Subscriptions with their invoices, what prices give, who is to be let in where; reasons that end at a moment."""

from __future__ import annotations

import sqlalchemy as sa
from alembic import op
from sqlalchemy import Text
from sqlalchemy.dialects import postgresql

revision = "0005"
down_revision = "0004"
branch_labels = None
depends_on = None


def upgrade() -> None:
    """Apply."""
    _create_tables()
    _create_subscriptions()
    _change_tables()


def _create_tables() -> None:
    op.create_table(
        "plan",
        sa.Column("key", Text(), nullable=False),
        sa.Column("terms", postgresql.JSONB(astext_type=Text()), server_default=sa.text("'{}'::jsonb"), nullable=False),
        sa.Column("noted_at", postgresql.TIMESTAMP(timezone=True), server_default=sa.text("now()"), nullable=False),
        sa.PrimaryKeyConstraint("key", name=op.f("pk_plan")),
        comment="what each price of the catalogue gives today: terms for what is sold of it from now on",
    )
    op.create_table(
        "stripe_price",
        sa.Column("id", Text(), nullable=False),
        sa.Column("key", Text(), nullable=False),
        sa.PrimaryKeyConstraint("id", name=op.f("pk_stripe_price")),
        comment="every Stripe price that ever stood for a price of the catalogue: old ones still bill",
    )
    op.create_table(
        "membership",
        sa.Column("customer_id", Text(), nullable=False),
        sa.Column("channel", Text(), nullable=False),
        sa.Column("space", Text(), nullable=False),
        sa.Column("role", Text(), nullable=False),
        sa.Column("wanted", sa.Boolean(), nullable=False),
        sa.Column("version", sa.Integer(), server_default=sa.text("1"), nullable=False),
        sa.Column("changed_at", postgresql.TIMESTAMP(timezone=True), server_default=sa.text("now()"), nullable=False),
        sa.CheckConstraint("version > 0", name=op.f("ck_membership_version")),
        sa.ForeignKeyConstraint(["customer_id"], ["customer.id"], name=op.f("fk_membership_customer_id")),
        sa.PrimaryKeyConstraint("customer_id", "channel", "space", "role", name=op.f("pk_membership")),
        comment="whether a person is to have a role in a server, or be in a group (an empty role): once per person and space",
    )


def _create_subscriptions() -> None:
    op.create_table(
        "subscription",
        sa.Column("id", Text(), nullable=False),
        sa.Column("customer_id", Text(), nullable=False),
        sa.Column("order_id", Text(), nullable=True),
        sa.Column("stripe_customer", Text(), nullable=False),
        sa.Column("status", Text(), nullable=False),
        sa.Column("livemode", sa.Boolean(), nullable=False),
        sa.Column("items", postgresql.JSONB(astext_type=Text()), server_default=sa.text("'{}'::jsonb"), nullable=False),
        sa.Column("started_at", postgresql.TIMESTAMP(timezone=True), nullable=False),
        sa.Column("trial_end", postgresql.TIMESTAMP(timezone=True), nullable=True),
        sa.Column("cancel_at", postgresql.TIMESTAMP(timezone=True), nullable=True),
        sa.Column("ended_at", postgresql.TIMESTAMP(timezone=True), nullable=True),
        sa.Column("paused", Text(), nullable=True),
        sa.Column("resumes_at", postgresql.TIMESTAMP(timezone=True), nullable=True),
        sa.Column("payment_method", Text(), nullable=True),
        sa.Column("card_ends_at", postgresql.TIMESTAMP(timezone=True), nullable=True),
        sa.Column("asked_at", postgresql.TIMESTAMP(timezone=True), nullable=False),
        sa.Column("unpaid_since", postgresql.TIMESTAMP(timezone=True), nullable=True),
        sa.ForeignKeyConstraint(["customer_id"], ["customer.id"], name=op.f("fk_subscription_customer_id")),
        sa.ForeignKeyConstraint(["order_id"], ["orders.id"], name=op.f("fk_subscription_order_id")),
        sa.PrimaryKeyConstraint("id", name=op.f("pk_subscription")),
        comment="a Stripe subscription as it was when somebody last looked; its items keep the terms they were first seen with",
    )
    op.create_index("ix_subscription_customer_id", "subscription", ["customer_id"], unique=False)
    op.create_index("ix_subscription_order_id", "subscription", ["order_id"], unique=False)
    op.create_table(
        "invoice",
        sa.Column("id", Text(), nullable=False),
        sa.Column("subscription_id", Text(), nullable=False),
        sa.Column("order_id", Text(), nullable=False),
        sa.Column("status", Text(), nullable=False),
        sa.Column("billing_reason", Text(), nullable=False),
        sa.Column("total", sa.BigInteger(), nullable=False),
        sa.Column("currency", Text(), nullable=False),
        sa.Column("paid_at", postgresql.TIMESTAMP(timezone=True), nullable=True),
        sa.Column("period_start", postgresql.TIMESTAMP(timezone=True), nullable=False),
        sa.Column("period_end", postgresql.TIMESTAMP(timezone=True), nullable=False),
        sa.Column("lines", postgresql.JSONB(astext_type=Text()), server_default=sa.text("'{}'::jsonb"), nullable=False),
        sa.Column("attempts", sa.Integer(), server_default=sa.text("0"), nullable=False),
        sa.Column("next_attempt_at", postgresql.TIMESTAMP(timezone=True), nullable=True),
        sa.Column("failure", Text(), nullable=True),
        sa.Column("url", Text(), nullable=True),
        sa.Column("created_at", postgresql.TIMESTAMP(timezone=True), nullable=False),
        sa.Column("asked_at", postgresql.TIMESTAMP(timezone=True), nullable=False),
        sa.Column("due_at", postgresql.TIMESTAMP(timezone=True), nullable=True),
        sa.Column("credited_before", sa.BigInteger(), server_default=sa.text("0"), nullable=False),
        sa.Column("credited", sa.BigInteger(), server_default=sa.text("0"), nullable=False),
        sa.ForeignKeyConstraint(["order_id"], ["orders.id"], name=op.f("fk_invoice_order_id")),
        sa.ForeignKeyConstraint(["subscription_id"], ["subscription.id"], name=op.f("fk_invoice_subscription_id")),
        sa.PrimaryKeyConstraint("id", name=op.f("pk_invoice")),
        sa.UniqueConstraint("order_id", name=op.f("uq_invoice_order_id")),
        comment="a Stripe invoice of a subscription as it was when somebody last looked; its order has the money",
    )
    op.create_index(op.f("ix_invoice_subscription_id"), "invoice", ["subscription_id"], unique=False)


def _change_tables() -> None:
    op.add_column("grant_", sa.Column("until", postgresql.TIMESTAMP(timezone=True), nullable=True))
    op.create_table_comment(
        "grant_",
        "a reason why somebody may have a feature: for ever, for so many seconds, or until a moment",
        existing_comment="a reason why somebody may have a feature: for ever, or for so many seconds",
        schema=None,
    )
    op.add_column("orders", sa.Column("mode", Text(), server_default=sa.text("'payment'"), nullable=False))
    op.add_column("orders", sa.Column("trial_days", sa.SmallInteger(), nullable=True))
    op.add_column("orders", sa.Column("plan", postgresql.JSONB(astext_type=Text()), nullable=True))
    op.create_table_comment(
        "orders",
        "what somebody wants to buy, with one live Checkout session at most; or an invoice of a subscription",
        existing_comment="what somebody wants to buy, with one live Checkout session at most",
        schema=None,
    )
    op.add_column("source", sa.Column("until", postgresql.TIMESTAMP(timezone=True), nullable=True))
    op.add_column("source", sa.Column("claimed_at", postgresql.TIMESTAMP(timezone=True), nullable=True))
    op.add_column("source", sa.Column("subscription_id", Text(), nullable=True))
    op.create_index(
        "ix_source_subscription_id",
        "source",
        ["subscription_id"],
        unique=False,
        postgresql_where=sa.text("subscription_id IS NOT NULL"),
    )
    op.create_check_constraint(op.f("ck_orders_mode"), "orders", "mode IN ('payment','subscription','invoice')")
