"""A payment's money may be worth less than nothing: a bank can take what had been refunded before."""

from __future__ import annotations

from alembic import op

revision = "0016"
down_revision = "0015"
branch_labels = None
depends_on = None


def upgrade() -> None:
    """Apply."""
    op.drop_constraint(op.f("ck_source_posted_is_worth"), "source", type_="check")
    rule = "(worth >= 0 OR kind = 'money') AND posted = worth"
    op.create_check_constraint(op.f("ck_source_posted_is_worth"), "source", rule)
