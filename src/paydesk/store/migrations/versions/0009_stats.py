"""Statistics: the figures of each day, and marks on the days whose rows have changed, set with the change itself."""

from __future__ import annotations

import sqlalchemy as sa
from alembic import op

revision = "0009"
down_revision = "0008"
branch_labels = None
depends_on = None

DAY = "({moment} AT TIME ZONE 'UTC')::date"

MARK = """
CREATE FUNCTION mark_stats_of_{table}() RETURNS trigger LANGUAGE plpgsql AS $$
BEGIN
    IF TG_OP = 'INSERT' THEN
        INSERT INTO stats_mark (day) SELECT DISTINCT {days} FROM new_rows r {joins} WHERE {given};
    ELSE
        INSERT INTO stats_mark (day) SELECT DISTINCT {days}
        FROM (SELECT * FROM new_rows UNION ALL SELECT * FROM old_rows) r {joins} WHERE {given};
    END IF;
    RETURN NULL;
END $$
"""
"""One statement marks each day once, however many rows it changes. Both days count where a moment is moved."""

MARK_ORDERS = """
CREATE FUNCTION mark_stats_of_orders() RETURNS trigger LANGUAGE plpgsql AS $$
BEGIN
    IF TG_OP = 'INSERT' THEN
        INSERT INTO stats_mark (day) SELECT DISTINCT (created_at AT TIME ZONE 'UTC')::date FROM new_rows;
    ELSE
        INSERT INTO stats_mark (day) SELECT DISTINCT (n.created_at AT TIME ZONE 'UTC')::date
        FROM new_rows n JOIN old_rows o USING (id)
        WHERE (n.status, n.amount, n.currency, n.channel, n.paid_by)
              IS DISTINCT FROM (o.status, o.amount, o.currency, o.channel, o.paid_by);
        INSERT INTO stats_mark (day) SELECT DISTINCT (m.moment AT TIME ZONE 'UTC')::date
        FROM new_rows n JOIN old_rows o USING (id) JOIN payment p ON p.order_id = n.id, LATERAL (
            SELECT p.created_at UNION ALL SELECT p.paid_at
            UNION ALL SELECT created_at FROM refund WHERE payment_id = p.id
            UNION ALL SELECT created_at FROM dispute WHERE payment_id = p.id
            UNION ALL SELECT created_at FROM balance_transaction WHERE payment_id = p.id) AS m (moment)
        WHERE n.channel IS DISTINCT FROM o.channel AND m.moment IS NOT NULL;
    END IF;
    RETURN NULL;
END $$
"""
"""The figures of money are told by the channel of its order: when a thread is unlinked, all their days have changed."""

MARKED_BY = {
    "payment": ("m.moment", "CROSS JOIN LATERAL (VALUES (r.paid_at), (r.created_at)) AS m (moment)"),
    "refund": ("r.created_at", ""),
    "dispute": ("r.created_at", ""),
    "balance_transaction": ("r.created_at", ""),
}

MARK_ENTRY = """
CREATE FUNCTION mark_stats_of_entry() RETURNS trigger LANGUAGE plpgsql AS $$
BEGIN
    INSERT INTO stats_mark (day) SELECT DISTINCT (at AT TIME ZONE 'UTC')::date FROM new_rows;
    RETURN NULL;
END $$
"""

MARK_ALL = """
INSERT INTO stats_mark (day) SELECT DISTINCT (moment AT TIME ZONE 'UTC')::date FROM (
    SELECT created_at FROM orders UNION ALL SELECT created_at FROM payment UNION ALL SELECT paid_at FROM payment
    UNION ALL SELECT created_at FROM refund UNION ALL SELECT created_at FROM dispute
    UNION ALL SELECT created_at FROM balance_transaction UNION ALL SELECT at FROM entry) AS m (moment)
WHERE moment IS NOT NULL
"""


def upgrade() -> None:
    """Apply."""
    _create_tables()
    _create_indexes()
    for table, (moment, joins) in MARKED_BY.items():
        op.execute(MARK.format(table=table, days=DAY.format(moment=moment), joins=joins, given=f"{moment} IS NOT NULL"))
    op.execute(MARK_ORDERS)
    op.execute(MARK_ENTRY)
    for table in ("orders", *MARKED_BY, "entry"):
        op.execute(
            f"CREATE TRIGGER {table}_mark_new AFTER INSERT ON {table} REFERENCING NEW TABLE AS new_rows "
            f"FOR EACH STATEMENT EXECUTE FUNCTION mark_stats_of_{table}()"
        )
    for table in ("orders", *MARKED_BY):
        op.execute(
            f"CREATE TRIGGER {table}_mark_changed AFTER UPDATE ON {table} "
            "REFERENCING NEW TABLE AS new_rows OLD TABLE AS old_rows "
            f"FOR EACH STATEMENT EXECUTE FUNCTION mark_stats_of_{table}()"
        )
    op.execute(MARK_ALL)


def _create_tables() -> None:
    op.create_table(
        "stats_day",
        sa.Column("day", sa.Date(), nullable=False),
        sa.Column("price", sa.Text(), nullable=False),
        sa.Column("figure", sa.Text(), nullable=False),
        sa.Column("unit", sa.Text(), nullable=False),
        sa.Column("channel", sa.Text(), nullable=False),
        sa.Column("number", sa.BigInteger(), nullable=False),
        sa.Column("amount", sa.BigInteger(), nullable=False),
        sa.PrimaryKeyConstraint("price", "channel", "day", "figure", "unit", name=op.f("pk_stats_day")),
        comment="the figures of a day in UTC, counted from the rows of money; `*` is every price, or channel, together",
    )
    op.create_index("ix_stats_day_day", "stats_day", ["day"], unique=False)
    op.create_table(
        "stats_month",
        sa.Column("month", sa.Date(), nullable=False),
        sa.Column("price", sa.Text(), nullable=False),
        sa.Column("figure", sa.Text(), nullable=False),
        sa.Column("unit", sa.Text(), nullable=False),
        sa.Column("channel", sa.Text(), nullable=False),
        sa.Column("number", sa.BigInteger(), nullable=False),
        sa.Column("amount", sa.BigInteger(), nullable=False),
        sa.PrimaryKeyConstraint("month", "price", "channel", "figure", "unit", name=op.f("pk_stats_month")),
        comment="the sums of the days of a month, by its first day; written with them",
    )
    op.create_table(
        "stats_mark",
        sa.Column("day", sa.Date(), nullable=False),
        comment="days whose rows have changed since they were counted; written by triggers, with the change itself",
    )


def _create_indexes() -> None:
    for table in ("orders", "payment", "refund", "dispute"):
        op.create_index(f"ix_{table}_created_at", table, ["created_at", "id"], unique=False)
    op.create_index("ix_balance_transaction_created_at", "balance_transaction", ["created_at"], unique=False)
    op.create_index(
        "ix_payment_paid_at", "payment", ["paid_at"], unique=False, postgresql_where=sa.text("paid_at IS NOT NULL")
    )
    op.create_index(
        "ix_entry_at", "entry", ["at"], unique=False, postgresql_using="brin", postgresql_with={"autosummarize": "on"}
    )
