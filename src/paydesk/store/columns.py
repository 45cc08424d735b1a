"""What columns are made of, and the names that constraints get."""

from __future__ import annotations

import sqlalchemy as sa
from sqlalchemy import Column, Text
from sqlalchemy.dialects.postgresql import JSONB, TIMESTAMP

metadata = sa.MetaData(
    naming_convention={
        "ix": "ix_%(table_name)s_%(column_0_N_name)s",
        "uq": "uq_%(table_name)s_%(column_0_N_name)s",
        "ck": "ck_%(table_name)s_%(constraint_name)s",
        "fk": "fk_%(table_name)s_%(column_0_name)s",
        "pk": "pk_%(table_name)s",
    }
)


def time(name: str, *, nullable: bool = False, default: str | None = None) -> Column[object]:
    """Return a column for a moment."""
    return Column(
        name, TIMESTAMP(timezone=True), nullable=nullable, server_default=sa.text(default) if default else None
    )


def json(name: str, *, nullable: bool = False) -> Column[object]:
    """Return a column for a small object, `{}` unless it may be missing."""
    return Column(name, JSONB, nullable=nullable, server_default=None if nullable else sa.text("'{}'::jsonb"))


def text(name: str, *, nullable: bool = False, default: str | None = None) -> Column[str]:
    """Return a column for a text."""
    return Column(
        name, Text, nullable=nullable, server_default=sa.text(f"'{default}'") if default is not None else None
    )
