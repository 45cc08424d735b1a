"""What is stored, table by table, in the order in which a payment meets them; money is in `schema_money`.

Statements at run time are plain SQL over asyncpg; these tables are the single description that migrations are made
from and compared with. Money is `bigint` minor units, credits are `bigint` of a unit, times are `timestamptz`.
Concurrency lives here: in unique keys, checks and partial indexes, not in Python.
"""

from __future__ import annotations

import sqlalchemy as sa
from sqlalchemy import BigInteger, Boolean, Column, ForeignKey, Index, Integer, LargeBinary, SmallInteger, Table, Text
from sqlalchemy.dialects.postgresql import ARRAY, JSONB, UUID

from paydesk.store import schema_agents, schema_channels, schema_money, schema_stats, schema_subscriptions
from paydesk.store.columns import json, metadata, text, time

__all__ = ["metadata", "schema_agents", "schema_channels", "schema_money", "schema_stats", "schema_subscriptions"]

# --- the deployment itself -------------------------------------------------------------------------------------------

desk = Table(
    "desk",
    metadata,
    Column("id", SmallInteger, primary_key=True),
    text("stripe_account", nullable=True),
    Column("livemode", Boolean, nullable=True),
    Column("key_hashes", ARRAY(LargeBinary), nullable=False, server_default=sa.text("'{}'")),
    time("polled_until", nullable=True),
    Column("clock_offset_s", BigInteger, nullable=False, server_default=sa.text("0")),
    time("created_at", default="now()"),
    sa.CheckConstraint("id = 1", name="one_row"),
    sa.CheckConstraint("clock_offset_s = 0 OR livemode IS NOT TRUE", name="live_time_is_real_time"),
    comment="one row: whose database this is, and how far desk time is ahead of real time",
)

# --- reception -------------------------------------------------------------------------------------------------------

seen = Table(
    "seen",
    metadata,
    text("source"),
    text("external_id"),
    sa.PrimaryKeyConstraint("source", "external_id"),
    comment="every id ever taken in, for ever; bodies may go, this stays",
)

inbox = Table(
    "inbox",
    metadata,
    Column("id", BigInteger, sa.Identity(always=True), primary_key=True),
    text("source"),
    text("external_id"),
    text("kind"),
    Column("lane", SmallInteger, nullable=False),
    Column("body", LargeBinary, nullable=False),
    Column("body_hash", LargeBinary, nullable=True),
    Column("livemode", Boolean, nullable=False),
    text("state", default="ready"),
    Column("attempts", SmallInteger, nullable=False, server_default=sa.text("0")),
    Column("alone", Boolean, nullable=False, server_default=sa.text("false")),
    time("next_at", default="'-infinity'"),
    text("waits_for", nullable=True),
    text("detail", nullable=True),
    time("received_at", default="now()"),
    time("finished_at", nullable=True),
    sa.UniqueConstraint("source", "external_id"),
    sa.CheckConstraint("state IN ('ready','parked','done','ignored','quarantined')", name="state"),
    Index("ix_inbox_lane_next_at", "lane", "next_at", "id", postgresql_where=sa.text("state IN ('ready','parked')")),
    Index("ix_inbox_waits_for", "waits_for", postgresql_where=sa.text("state = 'parked'")),
    Index("ix_inbox_trouble", "id", postgresql_where=sa.text("state IN ('parked','quarantined')")),
    comment="hop 1: what came in, as it came, and what became of it",
)

lane = Table(
    "lane",
    metadata,
    Column("id", SmallInteger, primary_key=True, autoincrement=False),
    Column("claim_id", UUID, nullable=True),
    time("leased_until", default="'-infinity'"),
    Column("deaths", SmallInteger, nullable=False, server_default=sa.text("0")),
    comment="who works on which bucket of customers, until when (database's real time)",
)

# --- people ----------------------------------------------------------------------------------------------------------

customer = Table(
    "customer",
    metadata,
    text("id"),
    text("locale", nullable=True),
    Column("locale_chosen", Boolean, nullable=False, server_default=sa.text("false")),
    Column("data_key", LargeBinary, nullable=True),
    Column("email_sealed", LargeBinary, nullable=True),
    Column("email_index", LargeBinary, nullable=True),
    Column("name_sealed", LargeBinary, nullable=True),
    text("stripe_customer", nullable=True),
    text("merged_into", nullable=True),
    Column("merges", SmallInteger, nullable=False, server_default=sa.text("0")),
    json("metadata"),
    time("created_at", default="now()"),
    sa.PrimaryKeyConstraint("id"),
    sa.ForeignKeyConstraint(["merged_into"], ["customer.id"]),
    Index("ix_customer_merged_into", "merged_into", postgresql_where=sa.text("merged_into IS NOT NULL")),
    Index("ix_customer_email_index", "email_index", postgresql_where=sa.text("email_index IS NOT NULL")),
    Index("ix_customer_created_at", "created_at", "id", postgresql_where=sa.text("merged_into IS NULL")),
    comment="a person; e-mail and name sealed with a key of their own, so that erasing is destroying the key",
)

identity = Table(
    "identity",
    metadata,
    text("channel"),
    text("external_id"),
    Column("customer_id", Text, ForeignKey("customer.id"), nullable=False, index=True),
    time("created_at", default="now()"),
    sa.PrimaryKeyConstraint("channel", "external_id"),
    comment="where a person can be met: telegram 42, discord 99, web 3f…",
)

stripe_customer = Table(
    "stripe_customer",
    metadata,
    text("id"),
    Column("customer_id", Text, ForeignKey("customer.id"), nullable=False, index=True),
    time("created_at", default="now()"),
    sa.PrimaryKeyConstraint("id"),
    comment="the Stripe customers of a person; one of them is the default, named in `customer`",
)

# --- telling the buyer -----------------------------------------------------------------------------------------------

outbox = Table(
    "outbox",
    metadata,
    Column("id", BigInteger, sa.Identity(always=True), primary_key=True),
    text("dedup_key"),
    Column("customer_id", Text, ForeignKey("customer.id"), nullable=True),
    text("channel"),
    text("address"),
    text("conversation", nullable=True),
    text("template"),
    json("params"),
    text("state", default="ready"),
    Column("attempts", SmallInteger, nullable=False, server_default=sa.text("0")),
    time("next_at", default="'-infinity'"),
    Column("claim_id", UUID, nullable=True),
    json("receipt", nullable=True),
    text("detail", nullable=True),
    Column("inbox_id", BigInteger, nullable=True),
    time("created_at", default="now()"),
    time("finished_at", nullable=True),
    text("about", nullable=True),
    text("waits_for", nullable=True),
    Column("urgent", Boolean, nullable=False, server_default=sa.text("false")),
    Column("behind", Boolean, nullable=False, server_default=sa.text("false")),
    sa.UniqueConstraint("dedup_key"),
    sa.CheckConstraint("state IN ('ready','leased','waiting','sent','dead')", name="state"),
    Index(
        "ix_outbox_next_at",
        "channel",
        "urgent",
        "next_at",
        postgresql_where=sa.text("state IN ('ready','leased') AND NOT behind AND template <> 'event'"),
    ),
    Index(
        "ix_outbox_event",
        "channel",
        "address",
        "next_at",
        postgresql_where=sa.text("state IN ('ready','leased') AND template = 'event'"),
    ),
    Index(
        "ix_outbox_behind",
        "channel",
        "address",
        "id",
        postgresql_where=sa.text("state IN ('ready','leased') AND behind"),
    ),
    Index("ix_outbox_waits_for", "waits_for", postgresql_where=sa.text("state = 'waiting'")),
    Index(
        "ix_outbox_thread",
        "channel",
        "address",
        "id",
        postgresql_where=sa.text("state IN ('ready','leased','waiting')"),
    ),
    Index("ix_outbox_dead", "id", postgresql_where=sa.text("state = 'dead'")),
    Index("ix_outbox_customer_id", "customer_id"),
    Index("ix_outbox_about", "about", "id", postgresql_where=sa.text("about IS NOT NULL")),
    comment="hop 2: what is to be said or done outside, once per key",
)

attempt = Table(
    "attempt",
    metadata,
    Column("id", BigInteger, sa.Identity(always=True), primary_key=True),
    Column("outbox_id", BigInteger, ForeignKey("outbox.id"), nullable=False, index=True),
    text("outcome"),
    text("detail", nullable=True),
    time("at", default="now()"),
    comment="each try of a delivery and how it ended",
)

message = Table(
    "message",
    metadata,
    Column("id", BigInteger, sa.Identity(always=True), primary_key=True),
    text("channel"),
    text("external_id"),
    text("conversation", nullable=True),
    text("direction"),
    text("text"),
    Column("buttons", JSONB, nullable=False, server_default=sa.text("'[]'::jsonb")),
    text("dedup_key", nullable=True),
    time("created_at", default="now()"),
    Column("version", BigInteger, nullable=False, server_default=sa.text("0")),
    time("edited_at", nullable=True),
    sa.UniqueConstraint("dedup_key"),
    sa.CheckConstraint("direction IN ('in','out')", name="direction"),
    Index("ix_message_thread", "channel", "external_id", "id"),
    Index("ix_message_edited", "channel", "external_id", "version", postgresql_where=sa.text("version > 0")),
    comment="the thread of the web chat, and of every channel that fetches its messages",
)

timer = Table(
    "timer",
    metadata,
    text("kind"),
    text("subject"),
    time("due"),
    Column("customer_id", Text, nullable=True),
    text("state", default="waiting"),
    time("created_at", default="now()"),
    sa.PrimaryKeyConstraint("kind", "subject", "due"),
    sa.CheckConstraint("state IN ('waiting','fired')", name="state"),
    Index("ix_timer_due", "due", postgresql_where=sa.text("state = 'waiting'")),
    comment="what is to happen when desk time has come; it then enters by the same door as everything else",
)

# --- what we ask of Stripe -------------------------------------------------------------------------------------------

stripe_call = Table(
    "stripe_call",
    metadata,
    text("key"),
    text("kind"),
    text("subject"),
    json("params"),
    text("state", default="pending"),
    text("object_id", nullable=True),
    text("detail", nullable=True),
    time("first_sent_at", nullable=True),
    time("created_at", default="now()"),
    sa.PrimaryKeyConstraint("key"),
    sa.CheckConstraint("state IN ('pending','done','refused')", name="state"),
    Index("ix_stripe_call_subject", "subject"),
    comment="a request to Stripe, written before it is made; its key is the idempotency key",
)

# --- who may do what -------------------------------------------------------------------------------------------------

api_key = Table(
    "api_key",
    metadata,
    text("id"),
    text("kind", default="secret"),
    text("name"),
    text("prefix", default=""),
    Column("hash", LargeBinary, nullable=False),
    Column("scopes", ARRAY(Text), nullable=False),
    Column("origins", ARRAY(Text), server_default=sa.text("'{}'"), nullable=False),
    Column("rate_per_s", Integer, nullable=True),
    time("created_at", default="now()"),
    time("last_used_at", nullable=True),
    time("expires_at", nullable=True),
    time("revoked_at", nullable=True),
    text("rotated_to", nullable=True),
    sa.PrimaryKeyConstraint("id"),
    sa.UniqueConstraint("hash"),
    sa.CheckConstraint("kind IN ('secret','publishable')", name="kind"),
    comment="who may call the API: a hash of each key, how it begins, what it may do, when it ends (database's real time)",
)

idempotency_key = Table(
    "idempotency_key",
    metadata,
    text("scope"),
    text("key"),
    Column("fingerprint", LargeBinary, nullable=False),
    text("operation"),
    Column("status", SmallInteger, nullable=True),
    Column("body", LargeBinary, nullable=True),
    time("locked_until"),
    time("created_at", default="now()"),
    sa.PrimaryKeyConstraint("scope", "key"),
    comment="answers kept for repeats; `operation` names what a resumed request goes on with",
)

audit = Table(
    "audit",
    metadata,
    Column("id", BigInteger, sa.Identity(always=True), primary_key=True),
    time("at", default="now()"),
    text("actor"),
    text("action"),
    text("subject"),
    json("detail"),
    Index("ix_audit_subject", "subject"),
    comment="what a person or key changed by hand",
)
