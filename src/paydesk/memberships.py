"""Who is to be let in where: a role in a server, a place in a group; it follows what people have access to.

One row for each person and place says whether they are to be in there, and its `version` grows with each change. What
changes goes out by the outbox to every id that the person has on that channel; somebody who has none there yet is let
in when one arrives. Before and after it acts, a delivery asks again what is wanted, so that a late one never wins.
"""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, replace
from datetime import datetime

from paydesk import customers, deeds, entitlements, outbox, paging, timers
from paydesk.desk import Desk, reasons_for
from paydesk.entitlements import Held
from paydesk.outbox import Delivery, Message
from paydesk.paging import Cut, Listed, Only
from paydesk.store import Record, Store, Tx

GRANT, REVOKE = "grant", "revoke"
KINDS = ("role", "member")
NOBODY = "no adapter"
"""How the reason begins for which a delivery is dead whose channel is not plugged in."""


@dataclass(frozen=True, slots=True, order=True)
class Place:
    """A role in a space of a channel; an empty role is being in there at all."""

    channel: str
    space: str
    role: str

    @property
    def feature(self) -> str:
        """Return the feature by which people have access to it."""
        return f"{self.channel}:{self.space}:{self.role}" if self.role else f"{self.channel}:{self.space}"


@dataclass(frozen=True, slots=True)
class Membership:
    """Whether a person is to be let in somewhere, and how often that has changed."""

    customer: str
    place: Place
    wanted: bool
    version: int


def place_of(feature: str) -> Place | None:
    """Return the place that a feature names, `None` for every other feature.

    >>> place_of("discord:1001:2001")
    Place(channel='discord', space='1001', role='2001')
    """
    channel, _, rest = feature.partition(":")
    space, _, role = rest.partition(":")
    return Place(channel, space, role) if space else None


# --- what changes: pure ----------------------------------------------------------------------------------------------


def changes(
    reasons: Mapping[tuple[str, str], Sequence[Held]],
    known: Sequence[Membership],
    now: datetime,
    *,
    again: bool = False,
) -> list[Membership]:
    """Return the memberships that are to change, for reasons by (customer, feature): what has no reasons left, too.

    With `again`, those that stay wanted count as changed: whoever left and came back is let in once more.
    """
    rows = {(one.customer, one.place): one for one in known}
    found = []
    for (customer, feature), held in sorted(reasons.items()):
        place = place_of(feature)
        if place is None:
            continue
        before = rows.get((customer, place))
        if before is None and not any(one.kind in KINDS for one in held):
            continue
        wanted = entitlements.access(held, now).allowed
        if before is None:
            before = Membership(customer, place, wanted=False, version=0)
        if wanted != before.wanted or (again and wanted):
            found.append(replace(before, wanted=wanted, version=before.version + 1))
    return found


# --- following -------------------------------------------------------------------------------------------------------

LOAD = "SELECT customer_id, channel, space, role, wanted, version FROM membership WHERE customer_id = ANY($1::text[])"

LISTED = Listed(
    "membership", "m.customer_id, m.channel, m.space, m.role, m.wanted, m.version", "membership m",
    ("m.channel", "m.space", "m.role"), "m.changed_at", "concat_ws(':', m.channel, m.space, nullif(m.role, ''))",
    upwards=True,
)  # fmt: skip

SAVE = """
INSERT INTO membership (customer_id, channel, space, role, wanted, version, changed_at)
SELECT n.*, (SELECT desk_now()) FROM unnest($1::text[], $2::text[], $3::text[], $4::text[], $5::boolean[], $6::int[]) n
ON CONFLICT (customer_id, channel, space, role) DO UPDATE SET wanted = excluded.wanted, version = excluded.version,
    changed_at = excluded.changed_at
"""

MET = "SELECT customer_id, channel, external_id FROM identity WHERE customer_id = ANY($1::text[]) ORDER BY 1, 2, 3"

AGAIN = """
UPDATE membership SET version = version + 1, changed_at = desk_now() WHERE customer_id = $1 AND channel = $2 AND wanted
RETURNING customer_id, channel, space, role, wanted, version
"""


async def follow(tx: Tx, desk: Desk) -> None:
    """Note whose roles and places have begun or ended, and tell the channels to make it so. Their people are locked."""
    reasons = {name: reasons_for(desk, *name) for name in desk.before if place_of(name[1]) is not None}
    if not reasons:
        return
    known = await load(tx, {customer for customer, _ in reasons})
    desk.messages += await _save(tx, changes(reasons, known, desk.now))


async def refresh(tx: Tx, person: str, *, again: bool = False) -> list[Membership]:
    """Make a person's memberships what their reasons say now, and set the timers of what ends; return all that are wanted.

    For whatever changes reasons outside the money path. The person is locked.
    """
    now = await tx.fetchval("SELECT desk_now()")
    reasons: dict[tuple[str, str], list[Held]] = defaultdict(list)
    for held in await entitlements.load(tx, [person]):
        reasons[person, held.feature].append(held)
    turns = [(feature, turn) for (_, feature), held in reasons.items() for turn in entitlements.turns(held, now)]
    await timers.put(tx, [timers.Timer(kind, f"{person}|{feature}", at, person) for feature, (kind, at) in turns])
    known = await load(tx, [person])
    for one in known:
        reasons.setdefault((person, one.place.feature), [])
    await outbox.put(tx, await _save(tx, changes(reasons, known, now, again=again)))
    return [one for one in await load(tx, [person]) if one.wanted]


async def load(tx: Tx, people: Iterable[str]) -> list[Membership]:
    """Return the memberships of people, wanted or not, in the order of their places."""
    rows = await tx.fetch(LOAD + " ORDER BY 1, 2, 3, 4", sorted(people))
    return [_membership(row) for row in rows]


async def listed(store: Store, person: str, cut: Cut) -> tuple[list[Membership], bool]:
    """Return a person's memberships, wanted or not, in the order of their places, and whether there are more.

    A cursor is the feature of one; times are when it last began or ended to be wanted.
    """
    async with store.transaction() as tx:
        page = await paging.read(tx, LISTED, [Only("m.customer_id = {}", (person,), steady=True)], cut)
    return [_membership(row) for row in page.rows], page.has_more


def _membership(row: Record) -> Membership:
    return Membership(row[0], Place(row[1], row[2], row[3]), row[4], row[5])


async def _save(tx: Tx, changed: Sequence[Membership]) -> list[Message]:
    """Write rows, and return what is to be told: each to every id that its person has on the channel."""
    if not changed:
        return []
    rows = [(m.customer, m.place.channel, m.place.space, m.place.role, m.wanted, m.version) for m in changed]
    await tx.execute(SAVE, *(list(column) for column in zip(*rows, strict=True)))
    ids: dict[tuple[str, str], list[str]] = defaultdict(list)
    for customer, channel, external_id in await tx.fetch(MET, sorted({m.customer for m in changed})):
        ids[customer, channel].append(external_id)
    return [told(one, id_) for one in changed for id_ in ids[one.customer, one.place.channel]]


def told(one: Membership, external_id: str, *, because: str = "") -> Message:
    """Return the instruction to make a membership so for one of its person's ids; once for each version.

    What is done about one role of one person waits in a line of its own: it holds up no message, and no other role.
    """
    place = one.place
    key = f"member:{one.customer}|{place.feature}:{one.version}:{external_id}{because}"
    params = {"space": place.space, "role": place.role, "version": one.version}
    return Message(key, one.customer, place.channel, external_id, GRANT if one.wanted else REVOKE, params,
                   f"{place.space}|{place.role}")  # fmt: skip


# --- people come and go ----------------------------------------------------------------------------------------------


async def arrived(tx: Tx, person: str, who: customers.Identity) -> None:
    """Let a person in everywhere on a channel where they can be met from now on. They are locked."""
    await _tell(tx, person, who, wanted=True)


async def left(tx: Tx, person: str, who: customers.Identity) -> None:
    """Take from an id that is a person's no more what it has because of them. They are locked."""
    await _tell(tx, person, who, wanted=False)


async def _tell(tx: Tx, person: str, who: customers.Identity, *, wanted: bool) -> None:
    rows = [_membership(row) for row in await tx.fetch(AGAIN, person, who.channel)]
    await outbox.put(tx, [told(replace(one, wanted=wanted), who.external_id) for one in rows])


async def sync(store: Store, person: str, *, operation: str | None = None) -> list[Membership]:
    """Let a person in once more everywhere where they are to be, and out where not; return where they are to be.

    It is done once for each `operation`.
    """

    async def work(tx: Tx) -> list[Membership]:
        now = await customers.lock_person(tx, person)
        return await refresh(tx, now, again=await deeds.first(tx, operation))

    return await store.run(work)


# --- deliveries ------------------------------------------------------------------------------------------------------

WANTED = """
SELECT m.customer_id, m.wanted FROM identity i JOIN membership m ON m.customer_id = i.customer_id
WHERE i.channel = $1 AND i.external_id = $2 AND m.channel = $1 AND m.space = $3 AND m.role = $4
"""

WAKE = f"""
UPDATE outbox SET state = 'ready', attempts = 0, next_at = '-infinity', finished_at = NULL
WHERE state = 'dead' AND template IN ('{GRANT}', '{REVOKE}') AND detail LIKE '{NOBODY}%' AND channel = ANY($1::text[])
"""


async def stands(store: Store, delivery: Delivery) -> bool:
    """Say whether a delivery does what is wanted now, for whoever has that id now: people are merged, ids move."""
    row = await _wanted(store, delivery)
    return (row is not None and bool(row[1])) == (delivery.template == GRANT)


async def check(store: Store, delivery: Delivery) -> None:
    """Put right what a delivery has done that came too late: meanwhile something else was decided."""
    row = await _wanted(store, delivery)
    wanted = row is not None and bool(row[1])
    if wanted == (delivery.template == GRANT):
        return
    place = Place(delivery.channel, delivery.params["space"], delivery.params["role"])
    customer = str(row[0]) if row is not None else str(delivery.customer)
    one = Membership(customer, place, wanted, int(delivery.params["version"]))
    async with store.transaction() as tx:
        await outbox.put(tx, [told(one, delivery.address, because=f":after:{delivery.id}")])


async def _wanted(store: Store, delivery: Delivery) -> Record | None:
    params = delivery.params
    return await store.fetchrow(WANTED, delivery.channel, delivery.address, params["space"], params["role"])


async def wake(store: Store, channels: Iterable[str]) -> int:
    """Make deliveries due again that no adapter could carry out, for channels that have one now; return how many."""
    return await store.execute(WAKE, sorted(channels))
