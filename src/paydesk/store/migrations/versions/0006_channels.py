"""Channels: what they note, who sends, whom they cannot reach, who wants our events; messages that wait for somebody."""

from __future__ import annotations

import sqlalchemy as sa
from alembic import op
from sqlalchemy import Text
from sqlalchemy.dialects import postgresql

revision = "0006"
down_revision = "0005"
branch_labels = None
depends_on = None


def upgrade() -> None:
    """Apply."""
    _create_tables()
    _change_tables()


def _create_tables() -> None:
    op.create_table(
        "channel_note",
        sa.Column("channel", sa.Text(), nullable=False),
        sa.Column("key", sa.Text(), nullable=False),
        sa.Column("value", postgresql.JSONB(astext_type=Text()), server_default=sa.text("'{}'::jsonb"), nullable=False),
        sa.Column("noted_at", postgresql.TIMESTAMP(timezone=True), server_default=sa.text("now()"), nullable=False),
        sa.PrimaryKeyConstraint("channel", "key", name=op.f("pk_channel_note")),
        comment="what a channel wants to find again after a restart: ids, links, how far it has read",
    )
    op.create_table(
        "lease",
        sa.Column("name", sa.Text(), nullable=False),
        sa.Column("holder", sa.UUID(), nullable=False),
        sa.Column("until", postgresql.TIMESTAMP(timezone=True), nullable=False),
        sa.PrimaryKeyConstraint("name", name=op.f("pk_lease")),
        comment="what only one process at a time may do, and which one does (database's real time)",
    )
    op.create_table(
        "unreachable",
        sa.Column("channel", sa.Text(), nullable=False),
        sa.Column("external_id", sa.Text(), nullable=False),
        sa.Column("reason", sa.Text(), nullable=False),
        sa.Column("for_ever", sa.Boolean(), server_default=sa.text("false"), nullable=False),
        sa.Column("since", postgresql.TIMESTAMP(timezone=True), server_default=sa.text("now()"), nullable=False),
        sa.PrimaryKeyConstraint("channel", "external_id", name=op.f("pk_unreachable")),
        comment="whom a channel cannot tell things now: they blocked us, closed their messages, said STOP",
    )
    op.create_table(
        "webhook_endpoint",
        sa.Column("id", sa.Text(), nullable=False),
        sa.Column("url", sa.Text(), nullable=False),
        sa.Column("description", sa.Text(), nullable=True),
        sa.Column("events", sa.ARRAY(sa.Text()), nullable=False),
        sa.Column("data_key", sa.LargeBinary(), nullable=False),
        sa.Column("secret_sealed", sa.LargeBinary(), nullable=False),
        sa.Column("old_secret_sealed", sa.LargeBinary(), nullable=True),
        sa.Column("old_secret_until", postgresql.TIMESTAMP(timezone=True), nullable=True),
        sa.Column("failures", sa.Integer(), server_default=sa.text("0"), nullable=False),
        sa.Column("failing_since", postgresql.TIMESTAMP(timezone=True), nullable=True),
        sa.Column("disabled_at", postgresql.TIMESTAMP(timezone=True), nullable=True),
        sa.Column("disabled_because", sa.Text(), nullable=True),
        sa.Column("created_at", postgresql.TIMESTAMP(timezone=True), server_default=sa.text("now()"), nullable=False),
        sa.PrimaryKeyConstraint("id", name=op.f("pk_webhook_endpoint")),
        comment="where our own events are sent; each has a secret, and for a while two",
    )


def _change_tables() -> None:
    op.add_column("customer", sa.Column("locale_chosen", sa.Boolean(), server_default=sa.text("false"), nullable=False))
    op.add_column("orders", sa.Column("stars", sa.Integer(), nullable=True))
    op.add_column("outbox", sa.Column("waits_for", sa.Text(), nullable=True))
    op.add_column("outbox", sa.Column("urgent", sa.Boolean(), server_default=sa.text("false"), nullable=False))
    op.drop_index(
        op.f("ix_outbox_next_at"),
        table_name="outbox",
        postgresql_where="(state = ANY (ARRAY['ready'::text, 'leased'::text]))",
    )
    op.create_index(
        "ix_outbox_next_at",
        "outbox",
        ["channel", "urgent", "next_at"],
        unique=False,
        postgresql_where=sa.text("state IN ('ready','leased')"),
    )
    op.drop_index("ix_outbox_thread", table_name="outbox")
    op.create_index(
        "ix_outbox_thread",
        "outbox",
        ["channel", "address", "id"],
        unique=False,
        postgresql_where=sa.text("state IN ('ready','leased','waiting')"),
    )
    op.create_index(
        "ix_outbox_waits_for", "outbox", ["waits_for"], unique=False, postgresql_where=sa.text("state = 'waiting'")
    )
    op.drop_constraint(op.f("ck_outbox_state"), "outbox")
    op.create_check_constraint(op.f("ck_outbox_state"), "outbox", "state IN ('ready','leased','waiting','sent','dead')")
