"""Where a person can be met: ids on channels come, go, and turn out to be one person's.

A person who is met in two chats says so with a link: made in the one, opened in the other. It is signed, lasts a quarter
of an hour, and works once. Whoever opens it becomes one person with whoever made it (`merging`).
"""

from __future__ import annotations

import secrets
from dataclasses import dataclass
from hmac import compare_digest

from paydesk import audit, customers, deeds, ids, memberships, merging
from paydesk.clock import wall_s
from paydesk.customers import Identity
from paydesk.errors import Conflict, Invalid, NotFound
from paydesk.privacy import Vault
from paydesk.store import Store, Tx

PREFIX = "link_"
"""How a link begins; with it a link has 64 characters, which is what a start parameter of Telegram holds."""

NOT_OURS = "this is no link of ours: make one with /link in the other chat"
ENDED = "this link has ended: make a fresh one with /link in the other chat"
USED = "this link was used already: make a fresh one with /link in the other chat"
"""Why a link is refused."""

LIFE_S = 900
PERSON, END, NONCE, MARK = 26, 7, 6, 20
"""How many letters tell who made it, when it ends, which one it is, and that it is ours."""

USE = "INSERT INTO seen (source, external_id) VALUES ('link', $1) ON CONFLICT DO NOTHING"

HAS = """
SELECT EXISTS (SELECT FROM orders WHERE customer_id = $1) OR EXISTS (SELECT FROM account WHERE owner = $1)
    OR EXISTS (SELECT FROM subscription WHERE customer_id = $1)
"""

FORGET = """
UPDATE orders SET channel = NULL, external_id = NULL, conversation = NULL
WHERE customer_id = $1 AND channel = $2 AND external_id = $3
"""
"""Orders that were made in a chat are told in that chat; nobody else may read there about them."""

UNSAID = """
UPDATE outbox SET state = 'dead', detail = 'the address is theirs no more', finished_at = now()
WHERE customer_id = $1 AND channel = $2 AND address = $3 AND state IN ('ready','waiting')
  AND template NOT IN ('grant','revoke','give_back')
"""
"""What waits to be said there is not said any more."""


# --- links -----------------------------------------------------------------------------------------------------------


@dataclass(frozen=True, slots=True)
class Link:
    """A link that was checked: who made it, and the name under which it is used once."""

    person: str
    name: str


def make(vault: Vault, person: str, *, at_s: float | None = None) -> str:
    """Return a link to a person, made now (or at `at_s`, in seconds since 1970)."""
    end = int(at_s if at_s is not None else wall_s()) + LIFE_S
    text = person.removeprefix("cst_") + _letters(end, END) + _letters(secrets.randbits(5 * NONCE), NONCE)
    return PREFIX + text + _marks(vault, text)[0]


def read(vault: Vault, link: str) -> Link:
    """Return a link that is ours and still lasts; raises `Invalid` for every other text."""
    text, mark = link.removeprefix(PREFIX)[:-MARK], link[-MARK:]
    if len(link) != len(PREFIX) + PERSON + END + NONCE + MARK or not set(text + mark) <= set(ids.LETTERS):
        raise Invalid(NOT_OURS, param="link")
    if not any(compare_digest(mark, ours) for ours in _marks(vault, text)):
        raise Invalid(NOT_OURS, param="link")
    if _number(text[PERSON : PERSON + END]) <= wall_s():
        raise Invalid(ENDED, param="link")
    return Link(f"cst_{text[:PERSON]}", text)


async def accept(store: Store, vault: Vault, link: Link, opener: str, *, sure: bool, actor: str) -> str | None:
    """Make whoever opens a link one person with whoever made it, and return that person's id.

    `None`: the opener has something of their own, and is to be asked first (`sure`). Opened again by the same person it
    changes nothing; by anybody else it is refused with `Conflict`. A link is used up even when the merge then fails.
    """
    now = await customers.resolve(store, link.person)
    opened = await customers.resolve(store, opener)
    if now == opened:
        return now
    if not sure and await store.fetchval(HAS, opened):
        return None
    if not await store.execute(USE, link.name):
        raise Conflict(USED, param="link")
    return await merging.merge(store, vault, now, opened, actor=actor)


def _marks(vault: Vault, text: str) -> list[str]:
    """Return what may tell that a text is ours, by each of our keys: the end of a signature, in our letters."""
    return [_letters(int(signature, 16), MARK) for signature in vault.signatures("link", text)]


def _letters(number: int, length: int) -> str:
    """Return the last `length` letters of a number, five bits each."""
    return "".join(ids.LETTERS[number >> 5 * place & 31] for place in reversed(range(length)))


def _number(letters: str) -> int:
    number = 0
    for letter in letters:
        number = number << 5 | ids.LETTERS.index(letter)
    return number


# --- ids -------------------------------------------------------------------------------------------------------------


async def link(store: Store, person: str, who: Identity, *, actor: str, operation: str | None = None) -> str:
    """Let a person be met at one more place, once for each `operation`; return the person's id.

    Raises `Conflict` when somebody else is met there.
    """

    async def work(tx: Tx) -> str:
        now = await customers.lock_person(tx, person)
        if not await deeds.first(tx, operation):
            return now
        made = await tx.execute(
            "INSERT INTO identity (channel, external_id, customer_id) VALUES ($1, $2, $3) ON CONFLICT DO NOTHING",
            who.channel, who.external_id, now,
        )  # fmt: skip
        owner = await tx.fetchval(customers.FIND, who.channel, who.external_id)
        if owner != now:
            raise Conflict(f"{who.channel} {who.external_id} is {owner}: merge the two", param="external_id")
        await memberships.arrived(tx, now, who)
        if made:
            await audit.note(tx, actor, "customer.link", [now], {"channel": who.channel})
        return now

    return await store.run(work)


async def unlink(store: Store, person: str, who: Identity, *, actor: str) -> str:
    """Let a person be met somewhere no more, and take from that id what it has because of them; return the person's id.

    Orders made there are told elsewhere from now on. Raises `NotFound` when they are not met there, and `Conflict` for
    the last place: what they have would be nobody's.
    """

    async def work(tx: Tx) -> str:
        now = await customers.lock_person(tx, person)
        met = await tx.fetch("SELECT channel, external_id FROM identity WHERE customer_id = $1", now)
        if (who.channel, who.external_id) not in {(row[0], row[1]) for row in met}:
            raise NotFound(f"{now} is not known as {who.channel} {who.external_id}", param="external_id")
        if len(met) == 1:
            raise Conflict("this is the only place where they are met: link another one first", param="external_id")
        await memberships.left(tx, now, who)
        await tx.execute("DELETE FROM identity WHERE channel = $1 AND external_id = $2", who.channel, who.external_id)
        await tx.execute(FORGET, now, who.channel, who.external_id)
        await tx.execute(UNSAID, now, who.channel, who.external_id)
        await audit.note(tx, actor, "customer.unlink", [now], {"channel": who.channel})
        return now

    return await store.run(work)
