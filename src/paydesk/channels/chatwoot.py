"""Chatwoot: conversations of a help desk, with the state of a payment shown beside them as labels and attributes.

A message is said first, under a key by which it is found again, and only then are labels and attributes set: whatever
fails in between, a repeat finds the message and goes on. Chatwoot cannot change a message that was sent.
"""

from __future__ import annotations

import asyncio
from collections.abc import Mapping, Sequence
from typing import Any

from paydesk.channels import chatwoot_check as check
from paydesk.channels.base import (
    Action,
    Address,
    Channel,
    Command,
    Finding,
    Inbound,
    Limits,
    Misconfigured,
    NeedsUser,
    Raw,
    Receipt,
    Refused,
    Send,
    Start,
    Unknown,
)
from paydesk.channels.chatwoot_calls import Calls
from paydesk.channels.chatwoot_inbound import BY_AGENT, NAME, OF_BOT, Door
from paydesk.channels.chatwoot_settings import Settings, settings_of
from paydesk.channels.chatwoot_status import Status, show, status_of
from paydesk.channels.chatwoot_texts import message
from paydesk.channels.http import CALL_S_MAX, Wire

ADMIN = "desk"
"""The external id of the people of the desk: what is told them is a private note."""

FOR_PEOPLE = ("not_understood", "support")
"""Answers after which a conversation that is a bot's is given to the agents."""


def make(start: Start) -> ChatwootChannel:
    """Build the channel from its settings; raises `SettingError` that names a bad one."""
    return ChatwootChannel(settings_of(start.environ), start.public_url)


class ChatwootChannel(Channel):
    """One account of one Chatwoot. Its people are contacts, by the number of the contact."""

    name = NAME
    wants_facts = True
    # The server takes 3,000 requests a minute from one address, and 200 messages a minute in one conversation; what
    # shows a payment's state takes up to seven requests.
    limits = Limits(per_s=8.0, at_once=8, chat_gap_s=0.3)

    def __init__(self, settings: Settings, public_url: str, *, call_s_max: float = CALL_S_MAX) -> None:
        token = {"api_access_token": settings.token.reveal()}
        self._calls = Calls(Wire(settings.url, "cw", token, call_s_max=call_s_max), settings.account)
        self._call_s_max = call_s_max
        self._settings = settings
        self._door = Door(settings)
        self._webhook_url = f"{public_url}/webhooks/{NAME}"
        if settings.admin_conversation is not None:
            self.admin = Address(NAME, ADMIN, settings.admin_conversation)

    # --- out -------------------------------------------------------------------------------------------------------

    async def deliver(self, action: Action, last: Receipt | None) -> Receipt:
        """Say a message, and let its conversation show what it tells of a payment: see `Channel.deliver`."""
        if not isinstance(action, Send):
            raise Refused("Chatwoot has neither roles nor messages that can be changed", rule="cw-cannot")
        try:
            async with asyncio.timeout(self._call_s_max):
                return await self._carry_out(action)
        except TimeoutError as late:  # each call was in time, all of them together were not
            reason, repeatable = f"not done within {self._call_s_max:g} seconds", self._calls.keeps_keys
            raise Unknown(reason, repeatable=repeatable, rule="cw-unknown-outcome") from late

    async def _carry_out(self, action: Send) -> Receipt:
        private = self._is_private(action)
        status = None if private else status_of(action.kind, action.facts, self._settings.names)
        conversation, number = await self._say(action, private=private, look=action.attempt > 1 or status is not None)
        if status is not None:
            await self._show(action, conversation, status)
        if action.kind in FOR_PEOPLE and action.answers == OF_BOT:
            await self._calls.open(conversation)
        return Receipt({"conversation": conversation, "message": number})

    def _is_private(self, send: Send) -> bool:
        """Tell whether only agents are to see a message: what the desk is told, and an agent's mistake.

        What an agent asked for by a note goes to the customer only when it is something to pay: a button with a link.
        """
        if send.to.external_id == ADMIN:
            return True
        asked = bool(send.answers and send.answers.get("agent") is BY_AGENT["agent"])
        return asked and not any(button.url for button in send.buttons)

    async def _say(self, send: Send, *, private: bool, look: bool) -> tuple[str, int]:
        """Say a message where it belongs, or in another conversation of the contact when that is gone."""
        gone = send.to.conversation
        if gone is not None:
            try:
                return gone, await self._say_in(gone, send, private=private, look=look)
            except NeedsUser as missing:
                if send.to.external_id == ADMIN:
                    raise self._no_admin(missing) from missing
        conversation = await self._latest(send.to.external_id, gone)
        return conversation, await self._say_in(conversation, send, private=private, look=look)

    async def _say_in(self, conversation: str, send: Send, *, private: bool, look: bool) -> int:
        content = message(send.text, send.buttons)
        found = await self._calls.find(conversation, send.key, content) if look else None
        if found is not None:
            return found
        return await self._calls.say(conversation, content, send.key, private=private)

    async def _latest(self, contact: str, gone: str | None) -> str:
        """Return the contact's conversation that is open, else the latest one; never the one that is gone."""
        there = [one for one in await self._calls.conversations_of(contact) if str(one.get("id")) != gone]
        if not there:
            raise NeedsUser(f"contact {contact} has no conversation (any more)", rule="cw-404")
        best = max(there, key=lambda one: (one.get("status") == "open", one.get("last_activity_at") or 0, one["id"]))
        return str(best["id"])

    async def _show(self, send: Send, conversation: str, status: Status) -> None:
        """Let a conversation show a payment's state; what cannot be is told to the agents, once, and the message stands."""
        try:
            await show(self._calls, conversation, send.to.external_id, status)
        except Refused as refused:
            note = f"⚠️ {refused} Please look at it: {', '.join(sorted(status.on))}, order {send.facts.get('order')}."
            key, content = f"{send.key}:note", message(note, ())
            if await self._calls.find(conversation, key, content) is None:
                await self._calls.say(conversation, content, key, private=True)
            tell = f"Conversation {conversation}: {refused}"
            raise Refused(str(refused), tell=tell, done=True, rule=refused.rule) from refused

    def _no_admin(self, missing: NeedsUser) -> Misconfigured:
        conversation = self._settings.admin_conversation
        mend = "put the number of a conversation that is there into CHATWOOT_ADMIN_CONVERSATION"
        return Misconfigured(str(missing), resource=f"conversation {conversation}", mend=mend, rule="cw-404")

    # --- in --------------------------------------------------------------------------------------------------------

    def read(self, request: Raw) -> Inbound | None:
        """Verify a webhook's call: see `Channel.read`. Without a secret there is no such route."""
        return self._door.read(request)

    def understand(self, body: bytes) -> Sequence[Command]:
        """Return what an event means: see `Channel.understand`."""
        return self._door.understand(body)

    # --- around ----------------------------------------------------------------------------------------------------

    async def preflight(self, spaces: Mapping[str, Any], *, fix: bool) -> list[Finding]:
        """Look at token, account, labels, attributes, webhook and admin conversation; with `fix`, make what is missing."""
        return await check.look(self._calls, self._settings, self._webhook_url, fix=fix)

    async def start(self) -> None:
        """Make the labels and attribute definitions that are missing."""
        await check.prepare(self._calls, self._settings.names)

    async def close(self) -> None:
        """Let go of the connections."""
        await self._calls.close()
