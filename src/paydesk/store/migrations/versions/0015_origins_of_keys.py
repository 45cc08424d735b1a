"""A publishable key may be bound to the origins of the pages that it stands in."""

from __future__ import annotations

import sqlalchemy as sa
from alembic import op
from sqlalchemy.dialects import postgresql

revision = "0015"
down_revision = "0014"
branch_labels = None
depends_on = None


def upgrade() -> None:
    """Apply."""
    kind = postgresql.ARRAY(sa.Text())
    op.add_column("api_key", sa.Column("origins", kind, server_default=sa.text("'{}'"), nullable=False))
