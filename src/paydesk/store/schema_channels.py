"""What is stored of channels: what they noted, who sends for them, whom they cannot reach, who wants our events."""

from __future__ import annotations

import sqlalchemy as sa
from sqlalchemy import ARRAY, UUID, BigInteger, Boolean, Column, Integer, LargeBinary, Table, Text

from paydesk.store.columns import json, metadata, text, time

channel_note = Table(
    "channel_note",
    metadata,
    text("channel"),
    text("key"),
    json("value"),
    time("noted_at", default="now()"),
    sa.PrimaryKeyConstraint("channel", "key"),
    comment="what a channel wants to find again after a restart: ids, links, how far it has read",
)

lease = Table(
    "lease",
    metadata,
    text("name"),
    Column("holder", UUID, nullable=False),
    time("until"),
    sa.PrimaryKeyConstraint("name"),
    comment="what only one process at a time may do, and which one does (database's real time)",
)

unreachable = Table(
    "unreachable",
    metadata,
    text("channel"),
    text("external_id"),
    text("reason"),
    Column("for_ever", Boolean, nullable=False, server_default=sa.text("false")),
    Column("deleted", Boolean, nullable=False, server_default=sa.text("false")),
    time("since", default="now()"),
    sa.PrimaryKeyConstraint("channel", "external_id"),
    comment="whom a channel cannot tell things now: they blocked us, closed their messages, said STOP",
)

unpruned = Table(
    "unpruned",
    metadata,
    text("sweep"),
    Column("row_id", BigInteger, nullable=False),
    sa.PrimaryKeyConstraint("sweep", "row_id"),
    comment="what was not finished yet when the sweep of old words went by: it is looked at again until it is",
)

webhook_endpoint = Table(
    "webhook_endpoint",
    metadata,
    text("id"),
    text("url"),
    text("description", nullable=True),
    Column("events", ARRAY(Text), nullable=False),
    Column("data_key", LargeBinary, nullable=False),
    Column("secret_sealed", LargeBinary, nullable=False),
    Column("old_secret_sealed", LargeBinary, nullable=True),
    time("old_secret_until", nullable=True),
    Column("failures", Integer, nullable=False, server_default=sa.text("0")),
    time("failing_since", nullable=True),
    time("disabled_at", nullable=True),
    text("disabled_because", nullable=True),
    time("created_at", default="now()"),
    sa.PrimaryKeyConstraint("id"),
    comment="where our own events are sent; each has a secret, and for a while two",
)
