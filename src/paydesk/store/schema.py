"""What is stored, table by table, in the order in which a payment meets them.

Statements at run time are plain SQL over asyncpg; these tables are the single description that migrations are made
from and compared with. Money is `bigint` minor units, credits are `bigint` of a unit, times are `timestamptz`.
Concurrency lives here: in unique keys, checks and partial indexes, not in Python.
"""

from __future__ import annotations

import sqlalchemy as sa
from sqlalchemy import BigInteger, Boolean, Column, ForeignKey, Index, Integer, LargeBinary, SmallInteger, Table, Text
from sqlalchemy.dialects.postgresql import ARRAY, JSONB, TIMESTAMP, UUID

metadata = sa.MetaData(
    naming_convention={
        "ix": "ix_%(table_name)s_%(column_0_N_name)s",
        "uq": "uq_%(table_name)s_%(column_0_N_name)s",
        "ck": "ck_%(table_name)s_%(constraint_name)s",
        "fk": "fk_%(table_name)s_%(column_0_name)s",
        "pk": "pk_%(table_name)s",
    }
)


def _time(name: str, *, nullable: bool = False, default: str | None = None) -> Column[object]:
    return Column(
        name, TIMESTAMP(timezone=True), nullable=nullable, server_default=sa.text(default) if default else None
    )


def _json(name: str, *, nullable: bool = False) -> Column[object]:
    return Column(name, JSONB, nullable=nullable, server_default=None if nullable else sa.text("'{}'::jsonb"))


def _text(name: str, *, nullable: bool = False, default: str | None = None) -> Column[str]:
    return Column(
        name, Text, nullable=nullable, server_default=sa.text(f"'{default}'") if default is not None else None
    )


# --- the deployment itself -------------------------------------------------------------------------------------------

desk = Table(
    "desk",
    metadata,
    Column("id", SmallInteger, primary_key=True),
    _text("stripe_account", nullable=True),
    Column("livemode", Boolean, nullable=True),
    Column("key_hashes", ARRAY(LargeBinary), nullable=False, server_default=sa.text("'{}'")),
    _time("polled_until", nullable=True),
    Column("clock_offset_s", BigInteger, nullable=False, server_default=sa.text("0")),
    _time("created_at", default="now()"),
    sa.CheckConstraint("id = 1", name="one_row"),
    sa.CheckConstraint("clock_offset_s = 0 OR livemode IS NOT TRUE", name="live_time_is_real_time"),
    comment="one row: whose database this is, and how far desk time is ahead of real time",
)

# --- reception -------------------------------------------------------------------------------------------------------

seen = Table(
    "seen",
    metadata,
    _text("source"),
    _text("external_id"),
    sa.PrimaryKeyConstraint("source", "external_id"),
    comment="every id ever taken in, for ever; bodies may go, this stays",
)

inbox = Table(
    "inbox",
    metadata,
    Column("id", BigInteger, sa.Identity(always=True), primary_key=True),
    _text("source"),
    _text("external_id"),
    _text("kind"),
    Column("lane", SmallInteger, nullable=False),
    Column("body", LargeBinary, nullable=False),
    Column("livemode", Boolean, nullable=False),
    _text("state", default="ready"),
    Column("attempts", SmallInteger, nullable=False, server_default=sa.text("0")),
    Column("alone", Boolean, nullable=False, server_default=sa.text("false")),
    _time("next_at", default="'-infinity'"),
    _text("waits_for", nullable=True),
    _text("detail", nullable=True),
    _time("received_at", default="now()"),
    _time("finished_at", nullable=True),
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
    _time("leased_until", default="'-infinity'"),
    Column("deaths", SmallInteger, nullable=False, server_default=sa.text("0")),
    comment="who works on which bucket of customers, until when (database's real time)",
)

# --- people ----------------------------------------------------------------------------------------------------------

customer = Table(
    "customer",
    metadata,
    _text("id"),
    _text("locale", nullable=True),
    Column("data_key", LargeBinary, nullable=True),
    Column("email_sealed", LargeBinary, nullable=True),
    Column("email_index", LargeBinary, nullable=True),
    Column("name_sealed", LargeBinary, nullable=True),
    _text("stripe_customer", nullable=True),
    _text("merged_into", nullable=True),
    Column("merges", SmallInteger, nullable=False, server_default=sa.text("0")),
    _json("metadata"),
    _time("created_at", default="now()"),
    sa.PrimaryKeyConstraint("id"),
    sa.ForeignKeyConstraint(["merged_into"], ["customer.id"]),
    Index("ix_customer_merged_into", "merged_into", postgresql_where=sa.text("merged_into IS NOT NULL")),
    Index("ix_customer_email_index", "email_index", postgresql_where=sa.text("email_index IS NOT NULL")),
    comment="a person; e-mail and name sealed with a key of their own, so that erasing is destroying the key",
)

identity = Table(
    "identity",
    metadata,
    _text("channel"),
    _text("external_id"),
    Column("customer_id", Text, ForeignKey("customer.id"), nullable=False, index=True),
    _time("created_at", default="now()"),
    sa.PrimaryKeyConstraint("channel", "external_id"),
    comment="where a person can be met: telegram 42, discord 99, web 3f…",
)

stripe_customer = Table(
    "stripe_customer",
    metadata,
    _text("id"),
    Column("customer_id", Text, ForeignKey("customer.id"), nullable=False, index=True),
    _time("created_at", default="now()"),
    sa.PrimaryKeyConstraint("id"),
    comment="the Stripe customers of a person; one of them is the default, named in `customer`",
)

# --- selling ---------------------------------------------------------------------------------------------------------

price = Table(
    "price",
    metadata,
    _text("key"),
    _text("product"),
    _text("stripe_product"),
    _text("stripe_price"),
    Column("amount", BigInteger, nullable=False),
    _text("currency"),
    _time("pushed_at", default="now()"),
    sa.PrimaryKeyConstraint("key"),
    sa.UniqueConstraint("stripe_price"),
    comment="which Stripe price stands for a price of the catalogue, as last pushed",
)

orders = Table(
    "orders",
    metadata,
    _text("id"),
    Column("customer_id", Text, ForeignKey("customer.id"), nullable=False),
    _text("status", default="open"),
    Column("amount", BigInteger, nullable=False),
    _text("currency"),
    Column("livemode", Boolean, nullable=False),
    _text("link_token"),
    _text("channel", nullable=True),
    _text("external_id", nullable=True),
    _text("conversation", nullable=True),
    _text("success_url", nullable=True),
    _text("cancel_url", nullable=True),
    _json("metadata"),
    _text("stripe_customer", nullable=True),
    _text("session", nullable=True),
    _text("session_url", nullable=True),
    _text("session_status", nullable=True),
    _text("session_payment_status", nullable=True),
    _time("session_expires_at", nullable=True),
    Column("session_count", SmallInteger, nullable=False, server_default=sa.text("0")),
    _text("paid_by", nullable=True),
    _time("paid_at", nullable=True),
    _time("canceled_at", nullable=True),
    _time("created_at", default="now()"),
    Column("presented_amount", BigInteger, nullable=True),
    _text("presented_currency", nullable=True),
    _text("capture", default="automatic"),
    Column("save_card", Boolean, nullable=False, server_default=sa.text("false")),
    Column("payment_methods", ARRAY(Text), nullable=True),
    sa.PrimaryKeyConstraint("id"),
    sa.UniqueConstraint("link_token"),
    sa.UniqueConstraint("session"),
    sa.CheckConstraint("amount >= 0", name="amount"),
    Index("ix_orders_customer_id", "customer_id", "created_at"),
    comment="what somebody wants to buy, with one live Checkout session at most",
)

order_line = Table(
    "order_line",
    metadata,
    Column("order_id", Text, ForeignKey("orders.id"), nullable=False),
    Column("position", SmallInteger, nullable=False),
    _text("price_key", nullable=True),
    _text("name"),
    Column("quantity", Integer, nullable=False),
    Column("unit_amount", BigInteger, nullable=False),
    _text("stripe_price", nullable=True),
    sa.PrimaryKeyConstraint("order_id", "position"),
    sa.CheckConstraint("quantity BETWEEN 1 AND 10000", name="quantity"),
    sa.CheckConstraint("unit_amount >= 0", name="unit_amount"),
    comment="a line of an order, as it was sold",
)

payment = Table(
    "payment",
    metadata,
    _text("id"),
    Column("order_id", Text, ForeignKey("orders.id"), nullable=False, index=True),
    _text("status"),
    Column("amount", BigInteger, nullable=False),
    _text("currency"),
    _text("charge", nullable=True),
    _text("balance_transaction", nullable=True),
    _text("card_brand", nullable=True),
    _text("card_last4", nullable=True),
    _text("failure_code", nullable=True),
    _text("failure_message", nullable=True),
    _time("paid_at", nullable=True),
    _time("created_at", default="now()"),
    sa.PrimaryKeyConstraint("id"),
    sa.UniqueConstraint("charge"),
    comment="a Stripe payment intent of an order, with the newest facts about it",
)

refund = Table(
    "refund",
    metadata,
    _text("id"),
    Column("payment_id", Text, ForeignKey("payment.id"), nullable=False, index=True),
    _text("status"),
    Column("amount", BigInteger, nullable=False),
    _text("currency"),
    _text("reason", nullable=True),
    _text("failure_reason", nullable=True),
    _time("created_at"),
    sa.PrimaryKeyConstraint("id"),
    sa.CheckConstraint("amount > 0", name="amount"),
    comment="a Stripe refund with its newest status; what is refunded is the sum of those neither failed nor canceled",
)

dispute = Table(
    "dispute",
    metadata,
    _text("id"),
    Column("payment_id", Text, ForeignKey("payment.id"), nullable=False, index=True),
    _text("status"),
    Column("amount", BigInteger, nullable=False),
    _text("currency"),
    _text("reason", nullable=True),
    _time("evidence_due_at", nullable=True),
    _time("created_at"),
    sa.PrimaryKeyConstraint("id"),
    sa.CheckConstraint("amount >= 0", name="amount"),
    comment="a Stripe dispute with its newest status",
)

balance_transaction = Table(
    "balance_transaction",
    metadata,
    _text("id"),
    Column("payment_id", Text, ForeignKey("payment.id"), nullable=False, index=True),
    _text("kind"),
    _text("about"),
    Column("amount", BigInteger, nullable=False),
    Column("fee", BigInteger, nullable=False),
    Column("net", BigInteger, nullable=False),
    _text("currency"),
    _text("exchange_rate", nullable=True),
    _time("available_on", nullable=True),
    _time("created_at"),
    sa.PrimaryKeyConstraint("id"),
    comment="what a charge, refund or dispute did to the balance at Stripe, in the currency of settlement, with its fee",
)

# --- what it is worth ------------------------------------------------------------------------------------------------

source = Table(
    "source",
    metadata,
    _text("id"),
    Column("customer_id", Text, ForeignKey("customer.id"), nullable=False),
    Column("order_id", Text, ForeignKey("orders.id"), nullable=True, index=True),
    _text("kind"),
    _text("unit"),
    _json("terms"),
    Column("worth", BigInteger, nullable=False, server_default=sa.text("0")),
    Column("posted", BigInteger, nullable=False, server_default=sa.text("0")),
    Column("revision", Integer, nullable=False, server_default=sa.text("0")),
    _time("since", nullable=True),
    sa.PrimaryKeyConstraint("id"),
    sa.CheckConstraint("worth >= 0 AND posted = worth", name="posted_is_worth"),
    Index("ix_source_customer_id", "customer_id"),
    comment="a thing sold, with frozen terms: what it is worth now and how much of it is posted",
)

account = Table(
    "account",
    metadata,
    Column("id", BigInteger, sa.Identity(always=True), primary_key=True),
    _text("owner"),
    _text("unit"),
    _text("kind"),
    Column("balance", BigInteger, nullable=True),
    Column("told_low", Boolean, nullable=False, server_default=sa.text("false")),
    Column("low_mark", BigInteger, nullable=True),
    sa.UniqueConstraint("owner", "unit", "kind"),
    sa.UniqueConstraint("id", "unit"),
    sa.CheckConstraint("kind <> 'wallet' OR balance >= 0", name="wallet_never_below_zero"),
    sa.CheckConstraint("kind <> 'debt' OR balance <= 0", name="debt_never_above_zero"),
    sa.CheckConstraint("kind <> 'held' OR balance >= 0", name="held_never_below_zero"),
    sa.CheckConstraint("(owner = 'system') = (balance IS NULL)", name="system_stores_no_balance"),
    comment="a wallet or debt of a person, or one of the system's own accounts, in one unit",
)

entry = Table(
    "entry",
    metadata,
    Column("id", BigInteger, sa.Identity(always=True), primary_key=True),
    _text("source"),
    Column("revision", Integer, nullable=False),
    _text("reason"),
    _text("unit"),
    Column("from_account", BigInteger, nullable=False),
    Column("to_account", BigInteger, nullable=False),
    Column("amount", BigInteger, nullable=False),
    Column("inbox_id", BigInteger, nullable=True),
    _time("at"),
    _time("created_at", default="now()"),
    Column("transaction", BigInteger, nullable=False, server_default=sa.text("(pg_current_xact_id()::text)::bigint")),
    _text("customer_id", nullable=True),
    _text("memo", nullable=True),
    Column("balance_after", BigInteger, nullable=True),
    sa.UniqueConstraint("source", "revision", "reason"),
    sa.CheckConstraint("amount > 0", name="amount"),
    sa.CheckConstraint("from_account <> to_account", name="two_accounts"),
    Index("ix_entry_customer_id", "customer_id", "id"),
    Index("ix_entry_transaction", "transaction", "id"),
    comment="double entry in one row: an amount leaves one account and enters another of the same unit; append-only",
)

seal = Table(
    "seal",
    metadata,
    Column("number", BigInteger, primary_key=True, autoincrement=False),
    Column("epoch", Integer, nullable=False),
    Column("entries", Integer, nullable=False),
    Column("last_transaction", BigInteger, nullable=False),
    Column("last_entry", BigInteger, nullable=False),
    Column("marks", LargeBinary, nullable=False),
    Column("hash", LargeBinary, nullable=False),
    _time("created_at", default="now()"),
    Column("after_entry", BigInteger, nullable=False, server_default=sa.text("0")),
    _json("totals"),
    sa.CheckConstraint("entries >= 0 AND length(marks) = entries * 16", name="a_mark_for_each_entry"),
    comment="a link of the chain over the ledger: a mark for each entry of a chunk, hashed with the link before",
)

lot = Table(
    "lot",
    metadata,
    _text("id"),
    _text("source"),
    Column("account_id", BigInteger, ForeignKey("account.id"), nullable=False),
    Column("granted", BigInteger, nullable=False),
    Column("remaining", BigInteger, nullable=False),
    Column("held", BigInteger, nullable=False, server_default=sa.text("0")),
    Column("expired", BigInteger, nullable=False, server_default=sa.text("0")),
    Column("priority", SmallInteger, nullable=False, server_default=sa.text("0")),
    Column("free", Boolean, nullable=False, server_default=sa.text("false")),
    _time("expires_at", nullable=True),
    Column("used_up", Boolean, sa.Computed("remaining = 0 AND held = 0", persisted=True), nullable=True),
    _time("created_at", default="now()"),
    sa.PrimaryKeyConstraint("id"),
    sa.CheckConstraint(
        "remaining >= 0 AND held >= 0 AND expired >= 0 AND remaining + held + expired <= granted", name="remaining"
    ),
    Index("ix_lot_account_id", "account_id", postgresql_where=sa.text("NOT used_up")),
    Index("ix_lot_source", "source"),
    comment="credits by where they came from and how long they live; `held` of them are reserved by holds",
)

taken = Table(
    "taken",
    metadata,
    _text("source"),
    Column("revision", Integer, nullable=False),
    _text("lot_id"),
    Column("amount", BigInteger, nullable=False),
    Column("returned", BigInteger, nullable=False, server_default=sa.text("0")),
    _time("at"),
    _time("expires_at", nullable=True),
    sa.PrimaryKeyConstraint("source", "revision", "lot_id"),
    sa.CheckConstraint("returned >= 0 AND returned <= amount", name="returned"),
    comment="which lots a claw-back took from: units given back regain the life they had when taken",
)

hold = Table(
    "hold",
    metadata,
    _text("id"),
    Column("customer_id", Text, ForeignKey("customer.id"), nullable=False, index=True),
    _text("unit"),
    Column("amount", BigInteger, nullable=False),
    Column("used", BigInteger, nullable=True),
    _text("state", default="held"),
    _json("parts"),
    _text("memo", nullable=True),
    _time("expires_at"),
    _time("created_at", default="now()"),
    _time("closed_at", nullable=True),
    sa.PrimaryKeyConstraint("id"),
    sa.CheckConstraint("state IN ('held','settled','released','lapsed')", name="state"),
    sa.CheckConstraint("amount > 0 AND used BETWEEN 0 AND amount", name="amount"),
    comment="credits reserved for something whose price is known only afterwards; `parts` says from which lots",
)

topup = Table(
    "topup",
    metadata,
    Column("customer_id", Text, ForeignKey("customer.id"), nullable=False),
    _text("unit"),
    _text("price_key"),
    Column("below", BigInteger, nullable=False),
    Column("month_limit", BigInteger, nullable=False),
    _text("payment_method", nullable=True),
    Column("enabled", Boolean, nullable=False),
    _text("stopped_because", nullable=True),
    _time("created_at", default="now()"),
    sa.PrimaryKeyConstraint("customer_id", "unit"),
    sa.CheckConstraint("below > 0 AND month_limit > 0", name="amounts"),
    comment="buy again by itself, with a saved card, when a balance falls below so much; at most so much money a month",
)

grant_ = Table(
    "grant_",
    metadata,
    Column("source", Text, ForeignKey("source.id"), nullable=False),
    Column("customer_id", Text, ForeignKey("customer.id"), nullable=False),
    _text("kind"),
    _text("feature"),
    _time("since"),
    Column("seconds", BigInteger, nullable=True),
    sa.PrimaryKeyConstraint("source"),
    Index("ix_grant_customer_id", "customer_id", "feature"),
    comment="a reason why somebody may have a feature: for ever, or for so many seconds",
)

# --- telling the buyer -----------------------------------------------------------------------------------------------

outbox = Table(
    "outbox",
    metadata,
    Column("id", BigInteger, sa.Identity(always=True), primary_key=True),
    _text("dedup_key"),
    Column("customer_id", Text, ForeignKey("customer.id"), nullable=True),
    _text("channel"),
    _text("address"),
    _text("conversation", nullable=True),
    _text("template"),
    _json("params"),
    _text("state", default="ready"),
    Column("attempts", SmallInteger, nullable=False, server_default=sa.text("0")),
    _time("next_at", default="'-infinity'"),
    Column("claim_id", UUID, nullable=True),
    _json("receipt", nullable=True),
    _text("detail", nullable=True),
    Column("inbox_id", BigInteger, nullable=True),
    _time("created_at", default="now()"),
    _time("finished_at", nullable=True),
    _text("about", nullable=True),
    sa.UniqueConstraint("dedup_key"),
    sa.CheckConstraint("state IN ('ready','leased','sent','dead')", name="state"),
    Index("ix_outbox_next_at", "next_at", postgresql_where=sa.text("state IN ('ready','leased')")),
    Index("ix_outbox_thread", "channel", "address", "id", postgresql_where=sa.text("state IN ('ready','leased')")),
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
    _text("outcome"),
    _text("detail", nullable=True),
    _time("at", default="now()"),
    comment="each try of a delivery and how it ended",
)

message = Table(
    "message",
    metadata,
    Column("id", BigInteger, sa.Identity(always=True), primary_key=True),
    _text("channel"),
    _text("external_id"),
    _text("conversation", nullable=True),
    _text("direction"),
    _text("text"),
    Column("buttons", JSONB, nullable=False, server_default=sa.text("'[]'::jsonb")),
    _text("dedup_key", nullable=True),
    _time("created_at", default="now()"),
    Column("version", BigInteger, nullable=False, server_default=sa.text("0")),
    _time("edited_at", nullable=True),
    sa.UniqueConstraint("dedup_key"),
    sa.CheckConstraint("direction IN ('in','out')", name="direction"),
    Index("ix_message_thread", "channel", "external_id", "id"),
    Index("ix_message_edited", "channel", "external_id", "version", postgresql_where=sa.text("version > 0")),
    comment="the thread of the web chat, and of every channel that fetches its messages",
)

timer = Table(
    "timer",
    metadata,
    _text("kind"),
    _text("subject"),
    _time("due"),
    Column("customer_id", Text, nullable=True),
    _text("state", default="waiting"),
    _time("created_at", default="now()"),
    sa.PrimaryKeyConstraint("kind", "subject", "due"),
    sa.CheckConstraint("state IN ('waiting','fired')", name="state"),
    Index("ix_timer_due", "due", postgresql_where=sa.text("state = 'waiting'")),
    comment="what is to happen when desk time has come; it then enters by the same door as everything else",
)

# --- what we ask of Stripe -------------------------------------------------------------------------------------------

stripe_call = Table(
    "stripe_call",
    metadata,
    _text("key"),
    _text("kind"),
    _text("subject"),
    _json("params"),
    _text("state", default="pending"),
    _text("object_id", nullable=True),
    _text("detail", nullable=True),
    _time("first_sent_at", nullable=True),
    _time("created_at", default="now()"),
    sa.PrimaryKeyConstraint("key"),
    sa.CheckConstraint("state IN ('pending','done','refused')", name="state"),
    Index("ix_stripe_call_subject", "subject"),
    comment="a request to Stripe, written before it is made; its key is the idempotency key",
)

# --- who may do what -------------------------------------------------------------------------------------------------

api_key = Table(
    "api_key",
    metadata,
    _text("id"),
    _text("name"),
    Column("hash", LargeBinary, nullable=False),
    Column("scopes", ARRAY(Text), nullable=False),
    _time("created_at", default="now()"),
    _time("last_used_at", nullable=True),
    _time("revoked_at", nullable=True),
    sa.PrimaryKeyConstraint("id"),
    sa.UniqueConstraint("hash"),
)

idempotency_key = Table(
    "idempotency_key",
    metadata,
    _text("scope"),
    _text("key"),
    Column("fingerprint", LargeBinary, nullable=False),
    _text("operation"),
    Column("status", SmallInteger, nullable=True),
    Column("body", LargeBinary, nullable=True),
    _time("locked_until"),
    _time("created_at", default="now()"),
    sa.PrimaryKeyConstraint("scope", "key"),
    comment="answers kept for repeats; `operation` names what a resumed request goes on with",
)

audit = Table(
    "audit",
    metadata,
    Column("id", BigInteger, sa.Identity(always=True), primary_key=True),
    _time("at", default="now()"),
    _text("actor"),
    _text("action"),
    _text("subject"),
    _json("detail"),
    Index("ix_audit_subject", "subject"),
    comment="what a person or key changed by hand",
)
