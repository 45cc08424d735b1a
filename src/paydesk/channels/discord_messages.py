"""Messages: an answer to who asked, else a direct message, else a channel of the desk's own people.

An interaction's first answer takes the place of "thinking…", every further one follows it; both are seen by their
reader alone. After 15 minutes the interaction is over, and a direct message says it instead. Who has closed their
direct messages is answered through their last interaction, while it lasts; after that they can only be called, by name,
in the channel where they asked, to come and look.
"""

from __future__ import annotations

import contextlib
import hashlib
import time
from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

from paydesk.channels.base import (
    DeliveryError,
    Edit,
    Gone,
    Misconfigured,
    NeedsUser,
    Notes,
    Receipt,
    Refused,
    RetryLater,
    Send,
)
from paydesk.channels.discord_api import Api
from paydesk.channels.discord_failures import OPENING_S, Aim
from paydesk.channels.discord_ids import is_id
from paydesk.channels.discord_interactions import EPHEMERAL
from paydesk.channels.discord_texts import TEXT_MAX, message

TICKET_S = 14.5 * 60
"""How long an interaction's token is used: Discord lets it live 15 minutes."""

SETTLING_S = 10.0
"""How long Discord may not know yet that we have deferred: our answer may be quicker than our deferral."""

NONCE_ATTEMPTS = 3
"""Repeats of one message that come soon enough for Discord to know its nonce: it keeps it for a few minutes."""

OPEN_TICKETS = 20

ASIDE = "look_aside"
"""The kind of message that calls somebody to look, in front of others."""


@dataclass(frozen=True, slots=True)
class Ticket:
    """What an interaction gave us to answer it with: good for `TICKET_S` seconds after `at`."""

    application: str
    token: str
    interaction: str
    at: float

    @property
    def age_s(self) -> float:
        """Return the seconds since the token was given out."""
        return time.time() - self.at

    @property
    def good(self) -> bool:
        """Tell whether it can still be used."""
        return self.age_s < TICKET_S

    def as_json(self) -> dict[str, Any]:
        """Return what `ticket_of` reads."""
        return {"application": self.application, "token": self.token, "interaction": self.interaction, "at": self.at}


def ticket_of(answers: Mapping[str, Any] | None) -> Ticket | None:
    """Return the ticket in what an arrival said, `None` where there is none that is still good."""
    if not answers:
        return None
    application, token, interaction, at = (answers.get(key) for key in ("application", "token", "interaction", "at"))
    if not is_id(application) or not is_id(interaction) or not isinstance(token, str) or type(at) not in (int, float):
        return None
    ticket = Ticket(str(application), token, str(interaction), float(at or 0))
    return ticket if ticket.good else None


def nonce_of(key: str) -> str:
    """Return the key in the 25 signs that Discord takes."""
    return hashlib.blake2b(key.encode(), digest_size=12).hexdigest()


class Messages:
    """Says things to people. Notes: `dm:<user>` is the channel of their direct messages, `asked:<user>` who asked last."""

    def __init__(self, api: Api, notes: Notes) -> None:
        self._api = api
        self._notes = notes
        self._opens_at_s = 0.0

    async def send(self, send: Send) -> Receipt:
        """Say it and return where it stands; raises what the failure table says."""
        body = message(send.text, send.buttons)
        if send.kind == ASIDE:
            body = calling(send.to.external_id, body)
        ticket = ticket_of(send.answers)
        if ticket is not None:
            try:
                return await self._answer(send, ticket, body)
            except Gone:  # the interaction is over
                pass
        if send.kind == ASIDE and send.to.conversation:
            return await self._call_out(send.to.conversation, send, body)
        if send.to.conversation:
            return await self._post(send.to.conversation, send, body)
        try:
            return await self._tell(send, body)
        except NeedsUser as error:
            return await self._whisper(send, body, error)

    async def edit(self, edit: Edit, last: Receipt | None) -> Receipt:
        """Change the message in `last`; raises `Gone` where it cannot be changed any more."""
        data = last.data if last is not None else {}
        if data.get("number", -1) > edit.number:
            return Receipt(dict(data))
        body = message(edit.text, edit.buttons)
        if "answer" in data:
            await self._edit_answer(edit, str(data["answer"]), body)
        elif is_id(data.get("channel")) and is_id(data.get("message")):
            aim = Aim("edit", data["channel"])
            await self._api.ask("PATCH", f"/channels/{data['channel']}/messages/{data['message']}", aim, json=body)
        else:
            raise Gone("there is no message to edit")
        return Receipt({**data, "number": edit.number})

    # --- answers -----------------------------------------------------------------------------------------------------

    async def _answer(self, send: Send, ticket: Ticket, body: dict[str, Any]) -> Receipt:
        try:
            if not await self._is_first(send, ticket):
                return await self._follow_up(ticket, body)
            await self._api.ask("PATCH", _original(ticket), Aim("answer"), json=body)
        except Gone as error:
            if ticket.age_s < SETTLING_S:
                raise RetryLater("not deferred yet", 1.0, counted=False, rule=error.rule) from error
            raise
        return Receipt({"answer": ticket.interaction})

    async def _is_first(self, send: Send, ticket: Ticket) -> bool:
        """Tell whether this is the first answer to an interaction; noted before it is sent, so that a repeat is known."""
        key = f"asked:{send.to.external_id}"
        noted = await self._notes.get(key) or {}
        firsts = dict(noted.get("firsts", {}))
        first: str | None = firsts.get(ticket.interaction)
        if first is None:
            firsts[ticket.interaction] = send.key
            firsts = dict(list(firsts.items())[-OPEN_TICKETS:])
            place = (send.answers or {}).get("place") or noted.get("place")
            await self._notes.put(key, {"ticket": ticket.as_json(), "firsts": firsts, "place": place})
        return first in (None, send.key)

    async def _follow_up(self, ticket: Ticket, body: dict[str, Any]) -> Receipt:
        path = f"/webhooks/{ticket.application}/{ticket.token}"
        told = await self._api.ask("POST", path, Aim("answer", repeatable=False), json={**body, "flags": EPHEMERAL})
        return Receipt({"follow_up": told.get("id")})

    async def _whisper(self, send: Send, body: dict[str, Any], closed: NeedsUser) -> Receipt:
        """Say to who takes no direct messages what they can still be told where they asked us last."""
        noted = await self._notes.get(f"asked:{send.to.external_id}") or {}
        ticket = ticket_of(noted.get("ticket"))
        if ticket is not None:
            with contextlib.suppress(Gone):  # it is over
                return await self._follow_up(ticket, body)
        closed.aside = noted.get("place")
        raise closed

    async def _edit_answer(self, edit: Edit, interaction: str, body: dict[str, Any]) -> None:
        noted = await self._notes.get(f"asked:{edit.to.external_id}") or {}
        ticket = ticket_of(noted.get("ticket"))
        if ticket is None or ticket.interaction != interaction:
            raise Gone("what only its reader saw cannot be edited any more")
        await self._api.ask("PATCH", _original(ticket), Aim("edit"), json=body)

    # --- direct messages and channels --------------------------------------------------------------------------------

    async def _tell(self, send: Send, body: dict[str, Any]) -> Receipt:
        """Send a direct message; a channel that is not there any more is opened anew, once."""
        user = send.to.external_id
        noted = await self._notes.get(f"dm:{user}")
        if is_id(noted):
            try:
                return await self._post(noted, send, body)
            except Misconfigured as error:
                if error.rule != "dc-10003":
                    raise
        return await self._post(await self._open(user), send, body)

    async def _open(self, user: str) -> str:
        """Open somebody's direct messages and note the channel; opening too many at once makes all of them wait."""
        wait_s = self._opens_at_s - time.monotonic()
        if wait_s > 0:
            raise RetryLater("direct messages were opened too fast", wait_s, counted=False, rule="dc-40003")
        try:
            told = await self._api.ask("POST", "/users/@me/channels", Aim("open"), json={"recipient_id": user})
        except DeliveryError as error:
            if error.rule == "dc-40003":
                self._opens_at_s = time.monotonic() + (getattr(error, "after_s", None) or OPENING_S)
            raise
        await self._notes.put(f"dm:{user}", told["id"])
        return str(told["id"])

    async def _call_out(self, channel: str, send: Send, body: dict[str, Any]) -> Receipt:
        """Call somebody in front of others. Where the bot may not write, nothing is broken: they are not called."""
        try:
            return await self._post(channel, send, body)
        except Misconfigured as error:
            if error.resource == "*":
                raise
            raise Refused(str(error), done=True, rule=error.rule) from error

    async def _post(self, channel: str, send: Send, body: dict[str, Any]) -> Receipt:
        aim = Aim("message", channel, repeatable=send.attempt <= NONCE_ATTEMPTS)
        nonce = {"nonce": nonce_of(send.key), "enforce_nonce": True}
        told = await self._api.ask("POST", f"/channels/{channel}/messages", aim, json={**body, **nonce})
        return Receipt({"channel": channel, "message": told["id"]})


def calling(user: str, body: Mapping[str, Any]) -> dict[str, Any]:
    """Return the body of a message that calls one person by name, and pings nobody else."""
    return {**body, "content": f"<@{user}> {body['content']}"[:TEXT_MAX], "allowed_mentions": {"users": [user]}}


def _original(ticket: Ticket) -> str:
    return f"/webhooks/{ticket.application}/{ticket.token}/messages/@original"
