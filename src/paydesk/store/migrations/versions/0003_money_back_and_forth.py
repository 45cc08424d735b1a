"""Money that goes back and forth: refunds, disputes, fees, lots that can be held, claw-backs that can be undone, the chain."""

from __future__ import annotations

import sqlalchemy as sa
from alembic import op
from sqlalchemy import Text
from sqlalchemy.dialects import postgresql

revision = "0003"
down_revision = "0002"
branch_labels = None
depends_on = None

REQUIRE = """
CREATE FUNCTION require(held boolean) RETURNS boolean LANGUAGE plpgsql AS $$
BEGIN
    IF held IS NOT TRUE THEN
        RAISE EXCEPTION 'what was remembered is not so any more' USING ERRCODE = 'serialization_failure';
    END IF;
    RETURN true;
END $$
"""
"""Lets a single statement say no after all: nothing of it is then written."""


def upgrade() -> None:
    """Apply."""
    op.execute(REQUIRE)
    _create_ledger_tables()
    _create_topup_table()
    _create_payment_tables()
    _change_orders()
    _change_entries()
    _change_lots()
    _change_messages()


def _create_ledger_tables() -> None:
    op.create_table(
        "seal",
        sa.Column("number", sa.BigInteger(), autoincrement=False, nullable=False),
        sa.Column("epoch", sa.Integer(), nullable=False),
        sa.Column("entries", sa.Integer(), nullable=False),
        sa.Column("last_transaction", sa.BigInteger(), nullable=False),
        sa.Column("last_entry", sa.BigInteger(), nullable=False),
        sa.Column("marks", sa.LargeBinary(), nullable=False),
        sa.Column("hash", sa.LargeBinary(), nullable=False),
        sa.Column("created_at", postgresql.TIMESTAMP(timezone=True), server_default=sa.text("now()"), nullable=False),
        sa.CheckConstraint("entries > 0 AND length(marks) = entries * 16", name=op.f("ck_seal_a_mark_for_each_entry")),
        sa.PrimaryKeyConstraint("number", name=op.f("pk_seal")),
        comment="a link of the chain over the ledger: a mark for each entry of a chunk, hashed with the link before",
    )
    op.create_table(
        "taken",
        sa.Column("source", sa.Text(), nullable=False),
        sa.Column("revision", sa.Integer(), nullable=False),
        sa.Column("lot_id", sa.Text(), nullable=False),
        sa.Column("amount", sa.BigInteger(), nullable=False),
        sa.Column("returned", sa.BigInteger(), server_default=sa.text("0"), nullable=False),
        sa.Column("at", postgresql.TIMESTAMP(timezone=True), nullable=False),
        sa.Column("expires_at", postgresql.TIMESTAMP(timezone=True), nullable=True),
        sa.CheckConstraint("returned >= 0 AND returned <= amount", name=op.f("ck_taken_returned")),
        sa.PrimaryKeyConstraint("source", "revision", "lot_id", name=op.f("pk_taken")),
        comment="which lots a claw-back took from: units given back regain the life they had when taken",
    )
    op.create_table(
        "hold",
        sa.Column("id", sa.Text(), nullable=False),
        sa.Column("customer_id", sa.Text(), nullable=False),
        sa.Column("unit", sa.Text(), nullable=False),
        sa.Column("amount", sa.BigInteger(), nullable=False),
        sa.Column("used", sa.BigInteger(), nullable=True),
        sa.Column("state", sa.Text(), server_default=sa.text("'held'"), nullable=False),
        sa.Column("parts", postgresql.JSONB(astext_type=Text()), server_default=sa.text("'{}'::jsonb"), nullable=False),
        sa.Column("memo", sa.Text(), nullable=True),
        sa.Column("expires_at", postgresql.TIMESTAMP(timezone=True), nullable=False),
        sa.Column("created_at", postgresql.TIMESTAMP(timezone=True), server_default=sa.text("now()"), nullable=False),
        sa.Column("closed_at", postgresql.TIMESTAMP(timezone=True), nullable=True),
        sa.CheckConstraint("state IN ('held','settled','released','lapsed')", name=op.f("ck_hold_state")),
        sa.CheckConstraint("amount > 0 AND used BETWEEN 0 AND amount", name=op.f("ck_hold_amount")),
        sa.ForeignKeyConstraint(["customer_id"], ["customer.id"], name=op.f("fk_hold_customer_id")),
        sa.PrimaryKeyConstraint("id", name=op.f("pk_hold")),
        comment="credits reserved for something whose price is known only afterwards; `parts` says from which lots",
    )
    op.create_index(op.f("ix_hold_customer_id"), "hold", ["customer_id"], unique=False)


def _create_topup_table() -> None:
    op.create_table(
        "topup",
        sa.Column("customer_id", sa.Text(), nullable=False),
        sa.Column("unit", sa.Text(), nullable=False),
        sa.Column("price_key", sa.Text(), nullable=False),
        sa.Column("below", sa.BigInteger(), nullable=False),
        sa.Column("month_limit", sa.BigInteger(), nullable=False),
        sa.Column("payment_method", sa.Text(), nullable=True),
        sa.Column("enabled", sa.Boolean(), nullable=False),
        sa.Column("stopped_because", sa.Text(), nullable=True),
        sa.Column("created_at", postgresql.TIMESTAMP(timezone=True), server_default=sa.text("now()"), nullable=False),
        sa.CheckConstraint("below > 0 AND month_limit > 0", name=op.f("ck_topup_amounts")),
        sa.ForeignKeyConstraint(["customer_id"], ["customer.id"], name=op.f("fk_topup_customer_id")),
        sa.PrimaryKeyConstraint("customer_id", "unit", name=op.f("pk_topup")),
        comment="buy again by itself, with a saved card, when a balance falls below so much; at most so much money a month",
    )


def _create_payment_tables() -> None:
    op.create_table(
        "balance_transaction",
        sa.Column("id", sa.Text(), nullable=False),
        sa.Column("payment_id", sa.Text(), nullable=False),
        sa.Column("kind", sa.Text(), nullable=False),
        sa.Column("about", sa.Text(), nullable=False),
        sa.Column("amount", sa.BigInteger(), nullable=False),
        sa.Column("fee", sa.BigInteger(), nullable=False),
        sa.Column("net", sa.BigInteger(), nullable=False),
        sa.Column("currency", sa.Text(), nullable=False),
        sa.Column("exchange_rate", sa.Text(), nullable=True),
        sa.Column("available_on", postgresql.TIMESTAMP(timezone=True), nullable=True),
        sa.Column("created_at", postgresql.TIMESTAMP(timezone=True), nullable=False),
        sa.ForeignKeyConstraint(["payment_id"], ["payment.id"], name=op.f("fk_balance_transaction_payment_id")),
        sa.PrimaryKeyConstraint("id", name=op.f("pk_balance_transaction")),
        comment="what a charge, refund or dispute did to the balance at Stripe, in the currency of settlement, with its fee",
    )
    op.create_index(op.f("ix_balance_transaction_payment_id"), "balance_transaction", ["payment_id"], unique=False)
    op.create_table(
        "dispute",
        sa.Column("id", sa.Text(), nullable=False),
        sa.Column("payment_id", sa.Text(), nullable=False),
        sa.Column("status", sa.Text(), nullable=False),
        sa.Column("amount", sa.BigInteger(), nullable=False),
        sa.Column("currency", sa.Text(), nullable=False),
        sa.Column("reason", sa.Text(), nullable=True),
        sa.Column("evidence_due_at", postgresql.TIMESTAMP(timezone=True), nullable=True),
        sa.Column("created_at", postgresql.TIMESTAMP(timezone=True), nullable=False),
        sa.CheckConstraint("amount >= 0", name=op.f("ck_dispute_amount")),
        sa.ForeignKeyConstraint(["payment_id"], ["payment.id"], name=op.f("fk_dispute_payment_id")),
        sa.PrimaryKeyConstraint("id", name=op.f("pk_dispute")),
        comment="a Stripe dispute with its newest status",
    )
    op.create_index(op.f("ix_dispute_payment_id"), "dispute", ["payment_id"], unique=False)
    op.create_table(
        "refund",
        sa.Column("id", sa.Text(), nullable=False),
        sa.Column("payment_id", sa.Text(), nullable=False),
        sa.Column("status", sa.Text(), nullable=False),
        sa.Column("amount", sa.BigInteger(), nullable=False),
        sa.Column("currency", sa.Text(), nullable=False),
        sa.Column("reason", sa.Text(), nullable=True),
        sa.Column("failure_reason", sa.Text(), nullable=True),
        sa.Column("created_at", postgresql.TIMESTAMP(timezone=True), nullable=False),
        sa.CheckConstraint("amount > 0", name=op.f("ck_refund_amount")),
        sa.ForeignKeyConstraint(["payment_id"], ["payment.id"], name=op.f("fk_refund_payment_id")),
        sa.PrimaryKeyConstraint("id", name=op.f("pk_refund")),
        comment="a Stripe refund with its newest status; what is refunded is the sum of those neither failed nor canceled",
    )
    op.create_index(op.f("ix_refund_payment_id"), "refund", ["payment_id"], unique=False)


def _change_orders() -> None:
    op.add_column("orders", sa.Column("presented_amount", sa.BigInteger(), nullable=True))
    op.add_column("orders", sa.Column("presented_currency", sa.Text(), nullable=True))
    op.add_column("orders", sa.Column("capture", sa.Text(), server_default=sa.text("'automatic'"), nullable=False))
    op.add_column("orders", sa.Column("save_card", sa.Boolean(), server_default=sa.text("false"), nullable=False))
    op.add_column("orders", sa.Column("payment_methods", postgresql.ARRAY(sa.Text()), nullable=True))
    op.add_column("account", sa.Column("low_mark", sa.BigInteger(), nullable=True))
    op.add_column("account", sa.Column("told_low", sa.Boolean(), server_default=sa.text("false"), nullable=False))
    op.add_column("customer", sa.Column("merges", sa.SmallInteger(), server_default=sa.text("0"), nullable=False))
    merged = sa.text("merged_into IS NOT NULL")
    op.create_index("ix_customer_merged_into", "customer", ["merged_into"], unique=False, postgresql_where=merged)
    op.alter_column("source", "order_id", existing_type=sa.TEXT(), nullable=True)
    op.create_check_constraint(op.f("ck_account_held_never_below_zero"), "account", "kind <> 'held' OR balance >= 0")
    for table in ("account", "lot", "customer"):  # room on each page, so that a changed balance stays where it was
        op.execute(f"ALTER TABLE {table} SET (fillfactor = 70)")


def _change_entries() -> None:
    """Give entries their person. They are read by person now; what accounts hold is proved from all of them."""
    op.add_column("entry", sa.Column("customer_id", sa.Text(), nullable=True))
    op.add_column("entry", sa.Column("memo", sa.Text(), nullable=True))
    op.add_column("entry", sa.Column("balance_after", sa.BigInteger(), nullable=True))
    op.execute("ALTER TABLE entry DISABLE TRIGGER entry_append_only")
    op.execute("UPDATE entry e SET customer_id = s.customer_id FROM source s WHERE s.id = e.source")
    op.execute("ALTER TABLE entry ENABLE TRIGGER entry_append_only")
    op.drop_index("ix_entry_from_account", table_name="entry")
    op.drop_index("ix_entry_to_account", table_name="entry")
    op.create_index("ix_entry_customer_id", "entry", ["customer_id", "id"], unique=False)
    op.create_index("ix_entry_transaction", "entry", ["transaction"], unique=False, postgresql_using="brin")
    # Each would lock the row of a system account, the same one for everybody; `ledger check` proves the units instead.
    op.drop_constraint(op.f("fk_entry_to"), "entry", type_="foreignkey")
    op.drop_constraint(op.f("fk_entry_from"), "entry", type_="foreignkey")


def _change_lots() -> None:
    """Let a source have several lots: units given back live as long as they had to live when they were taken."""
    op.add_column("lot", sa.Column("id", sa.Text(), nullable=True))
    op.execute("UPDATE lot SET id = source")
    op.alter_column("lot", "id", existing_type=sa.TEXT(), nullable=False)
    op.drop_constraint(op.f("pk_lot"), "lot", type_="primary")
    op.create_primary_key(op.f("pk_lot"), "lot", ["id"])
    op.drop_constraint(op.f("ck_lot_remaining"), "lot", type_="check")
    op.drop_index("ix_lot_account_id", table_name="lot")
    for name in ("held", "expired"):
        op.add_column("lot", sa.Column(name, sa.BigInteger(), server_default=sa.text("0"), nullable=False))
    op.add_column("lot", sa.Column("free", sa.Boolean(), server_default=sa.text("false"), nullable=False))
    computed = sa.Computed("remaining = 0 AND held = 0", persisted=True)
    op.add_column("lot", sa.Column("used_up", sa.Boolean(), computed, nullable=True))
    op.create_check_constraint(
        op.f("ck_lot_remaining"),
        "lot",
        "remaining >= 0 AND held >= 0 AND expired >= 0 AND remaining + held + expired <= granted",
    )
    op.create_index("ix_lot_source", "lot", ["source"], unique=False)
    op.create_index("ix_lot_account_id", "lot", ["account_id"], unique=False, postgresql_where=sa.text("NOT used_up"))
    op.execute(
        "COMMENT ON TABLE lot IS "
        "'credits by where they came from and how long they live; `held` of them are reserved by holds'"
    )


def _change_messages() -> None:
    """Let the news of an order be one message, which is edited."""
    op.add_column("outbox", sa.Column("about", sa.Text(), nullable=True))
    known = sa.text("about IS NOT NULL")
    op.create_index("ix_outbox_about", "outbox", ["about", "id"], unique=False, postgresql_where=known)
    op.add_column("message", sa.Column("version", sa.BigInteger(), server_default=sa.text("0"), nullable=False))
    op.add_column("message", sa.Column("edited_at", postgresql.TIMESTAMP(timezone=True), nullable=True))
    edited = sa.text("version > 0")
    columns = ["channel", "external_id", "version"]
    op.create_index("ix_message_edited", "message", columns, unique=False, postgresql_where=edited)
