"""Events have an index by whom they are told; whose access may have changed is marked, with the change itself."""

from __future__ import annotations

import sqlalchemy as sa
from alembic import op

revision = "0014"
down_revision = "0013"
branch_labels = None
depends_on = None

# The mark of a person bears the number of the last transaction that changed what an access check reads of them. Whoever
# knows which transactions it has seen knows from the marks whose answers are still what they were.
MARK = """
CREATE FUNCTION mark_access(people text[]) RETURNS void LANGUAGE plpgsql AS $$
BEGIN
    INSERT INTO access_mark (customer_id, transaction_id)
    SELECT DISTINCT person, pg_current_xact_id()::text::bigint FROM unnest(people) AS p (person) ORDER BY person
    ON CONFLICT (customer_id) DO UPDATE SET transaction_id = excluded.transaction_id;
END $$
"""

WHOSE = {
    "grants": "ARRAY(SELECT customer_id FROM changed)",
    "grant_owner": "ARRAY[OLD.customer_id]",
    "customer": "ARRAY[OLD.id]",
    "source": "ARRAY(SELECT customer_id FROM grant_ WHERE source = OLD.id)",
    "subscription": (
        "ARRAY(SELECT g.customer_id FROM source s JOIN grant_ g ON g.source = s.id WHERE s.subscription_id = OLD.id)"
    ),
    "order_line": "ARRAY(SELECT g.customer_id FROM source s JOIN grant_ g ON g.source = s.id WHERE s.order_id = OLD.order_id)",
}

MARKS = """
CREATE FUNCTION mark_access_of_{name}() RETURNS trigger LANGUAGE plpgsql AS $$
BEGIN
    PERFORM mark_access({whose});
    RETURN NULL;
END $$
"""

OF_GRANTS = {"INSERT": "NEW", "UPDATE": "NEW", "DELETE": "OLD"}

OF_ROWS = {
    "grant_owner": ("UPDATE", "grant_", "WHEN (OLD.customer_id <> NEW.customer_id)"),
    "customer": ("UPDATE", "customer", "WHEN (OLD.merged_into IS DISTINCT FROM NEW.merged_into)"),
    "source": (
        "UPDATE",
        "source",
        "WHEN ((OLD.order_id, OLD.subscription_id) IS DISTINCT FROM (NEW.order_id, NEW.subscription_id))",
    ),
    "subscription": ("UPDATE", "subscription", "WHEN (OLD.items IS DISTINCT FROM NEW.items)"),
    "order_line": ("UPDATE", "order_line", "WHEN (OLD.name <> NEW.name)"),
}
"""Row by row, because these hardly ever change: the other changes of these tables cost a comparison each."""


def upgrade() -> None:
    """Apply."""
    _index_events()
    op.create_table(
        "access_mark",
        sa.Column("customer_id", sa.Text(), nullable=False),
        sa.Column("transaction_id", sa.BigInteger(), nullable=False),
        sa.PrimaryKeyConstraint("customer_id", name=op.f("pk_access_mark")),
        comment="the last transaction that changed what an access check reads of a person; written by triggers",
    )
    op.create_index("ix_access_mark_transaction_id", "access_mark", ["transaction_id"], unique=False)
    op.execute(MARK)
    for name, whose in WHOSE.items():
        op.execute(MARKS.format(name=name, whose=whose))
    for change, rows in OF_GRANTS.items():
        op.execute(
            f"CREATE TRIGGER grant_mark_access_{change.lower()} AFTER {change} ON grant_ "
            f"REFERENCING {rows} TABLE AS changed FOR EACH STATEMENT EXECUTE FUNCTION mark_access_of_grants()"
        )
    for name, (change, table, when) in OF_ROWS.items():
        op.execute(
            f"CREATE TRIGGER {name}_mark_access AFTER {change} ON {table} "
            f"FOR EACH ROW {when} EXECUTE FUNCTION mark_access_of_{name}()"
        )


def _index_events() -> None:
    op.drop_index("ix_outbox_next_at", table_name="outbox")
    op.create_index(
        "ix_outbox_next_at",
        "outbox",
        ["channel", "urgent", "next_at"],
        unique=False,
        postgresql_where=sa.text("state IN ('ready','leased') AND NOT behind AND template <> 'event'"),
    )
    op.create_index(
        "ix_outbox_event",
        "outbox",
        ["channel", "address", "next_at"],
        unique=False,
        postgresql_where=sa.text("state IN ('ready','leased') AND template = 'event'"),
    )
