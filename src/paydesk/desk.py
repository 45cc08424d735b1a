"""The desk while facts are settled: what is known of the people in hand, and what has changed. Shared by those who decide."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from datetime import datetime, timedelta
from typing import Any

from paydesk import customers, entitlements, inbox, timers
from paydesk.case import Case
from paydesk.facts import BalanceIs
from paydesk.inbox import Row
from paydesk.ledger import Book, Hold, Source
from paydesk.outbox import Message
from paydesk.rivals import Known
from paydesk.subscriptions import Bill, Invoice, Subscription

OLD_NEWS = timedelta(hours=72)
"""A fact older than this still counts, but messages nobody."""


@dataclass(slots=True)
class Desk:
    """What is known of the people in hand, and what has changed.

    `parts` are the sources of orders, `given` those of subscriptions; `plans` what prices give today, `order_plans` what
    they gave when an order was made; `keys` the catalogue's prices by Stripe price. `changed_bills` and `touched_cases`
    keep what was loaded, `before` what access people had. `made` says
    which calls of ours have made what (`calls.heard_of`). `moved`: somebody became somebody else while we locked them.
    """

    now: datetime
    cases: dict[str, Case]
    payers: dict[str, str]
    sources: dict[str, Source]
    reasons: dict[str, entitlements.Held]
    threads: dict[str, customers.Thread]
    book: Book
    timed: dict[str, str] = field(default_factory=dict)
    parts: dict[str, list[Source]] = field(default_factory=dict)
    holds: dict[str, Hold] = field(default_factory=dict)
    touched_cases: dict[str, Case] = field(default_factory=dict)
    touched_sources: dict[str, Source] = field(default_factory=dict)
    touched_holds: dict[str, Hold] = field(default_factory=dict)
    balances: list[BalanceIs] = field(default_factory=list)
    messages: list[Message] = field(default_factory=list)
    timers: list[timers.Timer] = field(default_factory=list)
    questions: list[inbox.Envelope] = field(default_factory=list)
    made: list[tuple[str, str, str]] = field(default_factory=list)
    bills: dict[str, Bill] = field(default_factory=dict)
    given: dict[str, list[Source]] = field(default_factory=dict)
    plans: dict[str, Mapping[str, Any]] = field(default_factory=dict)
    order_plans: dict[str, Mapping[str, Any]] = field(default_factory=dict)
    keys: dict[str, str] = field(default_factory=dict)
    known_customers: dict[str, str] = field(default_factory=dict)
    changed_bills: dict[str, Bill | None] = field(default_factory=dict)
    new_orders: list[tuple[Subscription, Invoice]] = field(default_factory=list)
    moved: bool = False
    rivals: Known = field(default_factory=Known)
    before: dict[tuple[str, str], entitlements.Access] = field(default_factory=dict)
    _named: dict[tuple[str, str], dict[str, entitlements.Held]] | None = None


def post(
    desk: Desk, source: Source, target: int, since: datetime | None, row: Row, *, until: datetime | None = None
) -> None:
    """Make a source worth `target`, and the entitlement that it is."""
    if not desk.book.post(source, target, since, until=until, inbox_id=row.id):
        return
    desk.touched_sources[source.id] = source
    note_held(desk, source)


def note_held(desk: Desk, source: Source) -> None:
    """Keep the reason that a source is now, if it is one."""
    if source.kind not in entitlements.KINDS:
        return
    customer, feature = source.customer, str(source.terms["feature"])
    note_before(desk, customer, feature)
    held = entitlements.held_by(source)
    own = _by_name(desk).setdefault((customer, feature), {})
    if held is None:
        desk.reasons.pop(source.id, None)
        own.pop(source.id, None)
    else:
        desk.reasons[source.id] = own[source.id] = held
    turns = entitlements.turns(reasons_for(desk, customer, feature), desk.now)
    desk.timers += [timers.Timer(kind, f"{customer}|{feature}", at, customer) for kind, at in turns]


def note_before(desk: Desk, customer: str, feature: str) -> None:
    """Keep what access somebody had before the first change of it, or before it turned by time alone."""
    if (customer, feature) not in desk.before:
        desk.before[customer, feature] = entitlements.access(reasons_for(desk, customer, feature), desk.now)


def reasons_for(desk: Desk, customer: str, feature: str) -> list[entitlements.Held]:
    """Return the reasons of one person for one feature."""
    return list(_by_name(desk).get((customer, feature), {}).values())


def _by_name(desk: Desk) -> dict[tuple[str, str], dict[str, entitlements.Held]]:
    """Return reasons by (customer, feature) and source: hundreds of people are in hand at once."""
    if desk._named is None:
        desk._named = {}
        for held in desk.reasons.values():
            desk._named.setdefault((held.customer, held.feature), {})[held.source] = held
    return desk._named
