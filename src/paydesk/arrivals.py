"""What people say and do on channels, once it is stored: answered, and acted upon, each arrival once.

An arrival is a row of the inbox like every event, with the same lanes, attempts and parking. What it asks for is done
by functions that are safe to repeat, and its answers leave by the outbox under keys of its own, written together with
its end: a worker that dies in between leaves nothing doubled.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence

from paydesk import alerts, customers, inbox, manners, memberships, outbox, premium, reaching, stars
from paydesk.channels.base import (
    Arrival,
    Asked,
    Away,
    BoughtThere,
    Channel,
    Command,
    Here,
    Mended,
    PaidThere,
    Paying,
    RefundedThere,
    Renumbered,
    Said,
    Undelivered,
)
from paydesk.chat.commands import NOT_UNDERSTOOD, TEXT_MAX, Conversation, Reply
from paydesk.customers import Identity
from paydesk.errors import Invalid
from paydesk.inbox import DONE, Claim, Envelope, Outcome, Receiver, Row
from paydesk.memberships import Place
from paydesk.notebook import note_move, now_at
from paydesk.outbox import Message
from paydesk.shelf import Shelf
from paydesk.store import Store, Tx

BODY_BYTES_MAX = 64 * 1024


def envelope(channel: str, arrival: Arrival, *, livemode: bool) -> Envelope:
    """Return what the inbox keeps of an arrival. Raises `Invalid` for one that is too long."""
    if len(arrival.body) > BODY_BYTES_MAX:
        raise Invalid(f"an arrival has at most {BODY_BYTES_MAX} bytes")
    lane = inbox.lane_of(f"{channel}:{arrival.whose}")
    return Envelope(channel, arrival.external_id, arrival.kind, lane, arrival.body, livemode)


async def keep(receiver: Receiver, channel: str, arrivals: Sequence[Arrival], *, livemode: bool) -> None:
    """Store arrivals; when it returns they are durable. Raises `StoreUnavailable`: then let them arrive again."""
    for arrival in arrivals:
        await receiver.receive(envelope(channel, arrival, livemode=livemode))


MEANT = "SELECT true FROM membership WHERE channel = $1 AND space = $2 LIMIT 1"


class Reception:
    """Answers arrivals. Made once; holds nothing about anybody."""

    def __init__(
        self, store: Store, shelf: Shelf, channels: Mapping[str, Channel], conversation: Conversation
    ) -> None:  # fmt: skip
        self._store = store
        self._shelf = shelf
        self._channels = channels
        self._conversation = conversation

    def takes(self, row: Row) -> bool:
        """Say whether a row of the inbox is an arrival on one of the channels."""
        return row.source in self._channels

    async def handle(self, held: Claim, row: Row) -> Outcome:
        """Do what an arrival asks for, put the answers, and finish its row; return what became of it.

        Raises `StaleClaim` when another worker has it by now: then nothing was put.
        """
        commands = list(self._channels[row.source].understand(row.body))
        told = await self._of_their_money(commands, row)
        messages: list[Message] = []
        for number, command in enumerate(commands):
            messages += await self._answer(command, f"{row.source}:{row.external_id}:{number}", row)
        outcome = DONE if commands else Outcome("ignored", f"{row.kind}: nothing to do")

        async with self._store.transaction() as tx:
            for command in sorted(commands, key=lambda one: not isinstance(one, Said)):  # its answers are lent first
                await _note(tx, self._channels[row.source], command)
            await outbox.put(tx, messages)
            await inbox.put(tx, told)
            await inbox.finish(tx, held, [row], [outcome])
        return outcome

    async def _of_their_money(self, commands: Sequence[Command], row: Row) -> list[Envelope]:
        """Return what commands tell of payments in the platform's own money or shop: it enters by the one door."""
        bought = [one for one in commands if isinstance(one, BoughtThere)]
        told = await premium.envelopes(self._store, self._shelf.catalog, bought, row.received_at, livemode=row.livemode)
        for one in commands:
            if isinstance(one, PaidThere):
                told.append(stars.paid(one, row.received_at, livemode=row.livemode))
            elif isinstance(one, RefundedThere):
                told.append(await stars.gone_back(self._store, one, row.received_at, livemode=row.livemode))
        return told

    async def _answer(self, command: Command, key: str, row: Row) -> list[Message]:
        """Return what is to be said and done because of a command."""
        match command:
            case Said():
                words = command.text.replace("\x00", "")[:TEXT_MAX]  # platforms allow more than anybody answers
                replies = await self._conversation.answer(command.who, words, locale=command.locale)
                if command.edited:  # people correct what they say to others, too
                    replies = [one for one in replies if one.kind != NOT_UNDERSTOOD]
                return [_reply(command, reply, f"reply:{key}:{n}", row) for n, reply in enumerate(replies)]
            case Asked():
                return await self._let_in(command, key, row)
            case Here() if command.space is not None:
                return await self._welcome(command, command.space, key, row)
            case Undelivered():
                return await self._undelivered(row.source, command)
            case Paying():
                return [await self._let_pay(command, key)]
            case BoughtThere():
                return await premium.nobody_sells(self._store, self._shelf.catalog, command, row.external_id)
            case Renumbered():
                await note_move(self._store, row.source, command.old, command.new)
                return []
            case _:
                return []

    async def _let_in(self, asked: Asked, key: str, row: Row) -> list[Message]:
        """Let in who may, turn away who may not, and tell them how they may."""
        who = Identity(asked.who.channel, asked.who.external_id)
        person = await customers.find_or_make(self._store, who)
        if not await self._is_sold(asked.who.channel, asked.space):
            return []  # a group that is none of ours: whoever runs it decides
        for one in await self._wanted(person, asked.who.channel, asked.space):
            if not one.place.role:
                return [memberships.told(one, asked.who.external_id, because=f":{key}")]
        no = memberships.Membership(person, Place(asked.who.channel, asked.space, ""), wanted=False, version=0)
        return [
            memberships.told(no, asked.who.external_id, because=f":{key}"),
            Message(
                f"turned_away:{key}", person, asked.who.channel, asked.who.external_id, "turned_away", inbox_id=row.id
            ),
        ]

    async def _welcome(self, here: Here, space: str, key: str, row: Row) -> list[Message]:
        """Give somebody who is in a space now the roles there that they are to have and do not have."""
        person = await customers.find(self._store, Identity(here.who.channel, here.who.external_id))
        if person is None:
            return []
        wanted = await self._wanted(person, here.who.channel, space)
        missing = [one for one in wanted if one.place.role and one.place.role not in here.roles]
        return [memberships.told(one, here.who.external_id, because=f":{key}") for one in missing]

    async def _is_sold(self, channel: str, space: str) -> bool:
        """Say whether places in a space are sold here, or were."""
        places = [(grant.channel, grant.space) for one in self._shelf.catalog.products.values() for grant in one.grants]
        known = {place for place in places if place[0] == channel}
        if (channel, space) in known:
            return True
        for _, old in known:
            if space == await now_at(self._store, channel, old):
                return True
        return bool(await self._store.fetchval(MEANT, channel, space))

    async def _wanted(self, person: str, channel: str, space: str) -> list[memberships.Membership]:
        async with self._store.transaction() as tx:
            known = await memberships.load(tx, [person])
        there = [one for one in known if one.wanted and one.place.channel == channel]
        return [one for one in there if space in (one.place.space, await now_at(self._store, channel, one.place.space))]

    async def _let_pay(self, paying: Paying, key: str) -> Message:
        """Let somebody pay in the platform's own money, if the order still wants exactly that."""
        refusal = await stars.refusal(self._store, paying)
        person = await customers.find(self._store, Identity(paying.who.channel, paying.who.external_id))
        locale = None if person is None else await customers.locale_of(self._store, person)
        return stars.answer(paying, None if refusal is None else self._conversation.say(refusal, locale), key)

    async def _undelivered(self, channel: str, told: Undelivered) -> list[Message]:
        """Note what a platform told late; only what a person should hear of is passed on."""
        if told.key is not None:
            await outbox.note_undelivered(self._store, told.key, told.reason)
        if told.tell is None:
            return []
        return [alerts.of("undelivered", told.tell, channel=channel, what=told.reason, because=told.tell)]


async def _note(tx: Tx, channel: Channel, command: Command) -> None:
    """Note who is there and who is not, and let go out what waited for that."""
    match command:
        case Said():
            answers = command.answers if channel.lends_answers else None
            await reaching.found(tx, command.who, answers=answers, asked=False)
        case Asked():
            await reaching.found(tx, command.who, asked=False)
        case Here() if command.space is not None:
            await reaching.arrived(tx, command.who, command.space)
        case Here():
            await reaching.found(tx, command.who)
        case Away():
            await reaching.lost(tx, command.who, command.reason, for_ever=command.for_ever)
        case Mended():
            await outbox.wake_all(tx, reaching.waiting_for_mend(channel.name, command.resource))
        case Renumbered():
            await outbox.wake_all(tx, reaching.waiting_for_mend(channel.name, command.old))
        case _:
            pass


def _reply(said: Said, reply: Reply, key: str, row: Row) -> Message:
    params = {
        "text": reply.text,
        "buttons": [button.as_json() for button in reply.buttons],
        "answers": said.answers,
        "kind": reply.kind,
        "facts": dict(reply.facts),
    }
    return Message(
        key, None, said.who.channel, said.who.external_id, manners.REPLY, params, said.who.conversation, row.id
    )  # fmt: skip
