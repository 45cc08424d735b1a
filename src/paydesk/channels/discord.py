"""Discord: slash commands and buttons over HTTP, private answers, direct messages, and roles in servers.

`discord_interactions` reads what comes in, `discord_messages` says things, `discord_roles` gives roles, `discord_shop`
knows what was bought in Discord's own shop, `discord_failures` what every refusal means, `discord_rates` asks no faster
than allowed; `discord_gateway` is for bots that Discord cannot call.
"""

from __future__ import annotations

import asyncio
import logging
from collections.abc import Mapping, Sequence
from typing import Any

from paydesk.channels import discord_interactions
from paydesk.channels.base import (
    Action,
    Address,
    Article,
    Channel,
    Command,
    DeliveryError,
    Edit,
    Finding,
    Grant,
    Inbound,
    Keep,
    Limits,
    Misconfigured,
    NeedsUser,
    Raw,
    Receipt,
    Refused,
    Revoke,
    Send,
    Start,
    UseUp,
)
from paydesk.channels.discord_api import Api
from paydesk.channels.discord_commands import wanted
from paydesk.channels.discord_failures import Aim
from paydesk.channels.discord_ids import NAME, is_id
from paydesk.channels.discord_messages import Messages
from paydesk.channels.discord_rates import PER_S
from paydesk.channels.discord_roles import Roles
from paydesk.channels.discord_servers import findings
from paydesk.channels.discord_settings import DiscordSettings, read_settings
from paydesk.channels.discord_shop import Shop

log = logging.getLogger(__name__)

LOOK = Aim("look")


class Discord(Channel):
    """One bot. Discord counts a bot's calls together, so one process at a time sends."""

    name = NAME
    edits = True
    admits = True
    shop = True
    one_sender = True
    lends_answers = True
    limits = Limits(per_s=PER_S, at_once=16)

    def __init__(self, settings: DiscordSettings, start: Start) -> None:
        self._settings = settings
        self._api = Api(settings)
        self._messages = Messages(self._api, start.notes(NAME))
        self._roles = Roles(self._api, settings)
        self._shop = Shop(self._api)
        if settings.admin_channel is not None:
            self.admin = Address(NAME, settings.admin_channel, settings.admin_channel)

    def __repr__(self) -> str:
        return f"Discord({self._settings.application or 'bot'})"

    async def deliver(self, action: Action, last: Receipt | None) -> Receipt:
        """Carry out an action, or raise what the failure table says."""
        _require_ids(action)
        if isinstance(action, Send):
            return await self._messages.send(action)
        if isinstance(action, Edit):
            return await self._messages.edit(action, last)
        if isinstance(action, Grant):
            return await self._roles.grant(action)
        if isinstance(action, Revoke):
            return await self._roles.revoke(action)
        if isinstance(action, UseUp):
            return await self._shop.use_up(action, await self._id())
        raise Refused("Discord has no money of its own here")

    def read(self, request: Raw) -> Inbound | None:
        """Verify and answer an interaction; without the public key there is no such route."""
        key = self._settings.public_key
        return discord_interactions.read(request, key) if key is not None else None

    async def poll(self, keep: Keep) -> None:
        """Look what was bought, and listen at the gateway where the settings ask for it, for ever."""
        looking = asyncio.create_task(self._look(keep), name="look what was bought on Discord")
        try:
            if self._settings.gateway:
                from paydesk.channels.discord_gateway import listen

                await listen(self._settings, self._api, keep)
            await looking
        finally:
            looking.cancel()

    async def _look(self, keep: Keep) -> None:
        await self._shop.follow(keep, self._id)

    def understand(self, body: bytes) -> Sequence[Command]:
        """Return what a stored arrival means."""
        return discord_interactions.understand(body)

    async def actual(self, person: Address, space: str) -> set[str]:
        """Return the roles somebody has in a server, `""` among them for being there."""
        if not is_id(person.external_id) or not is_id(space):
            return set()
        return await self._roles.held(person, space)

    async def start(self) -> None:
        """Register the commands where they differ."""
        await self._register()

    async def close(self) -> None:
        """Close the connections."""
        await self._api.close()

    # --- looking ---------------------------------------------------------------------------------------------------------

    async def preflight(self, spaces: Mapping[str, set[str]], *, fix: bool) -> list[Finding]:
        """Look at the token, the application, the commands, and the bot's rights in each server where roles are sold."""
        try:
            application = await self._application()
        except DeliveryError as error:
            return [_failed("Discord: the bot", error)]
        found = [*self._application_findings(application), await self._commands_finding(fix=fix)]
        for space, roles in sorted(spaces.items()):
            found += await self._server_findings(space, roles)
        return found

    def _application_findings(self, application: Mapping[str, Any]) -> list[Finding]:
        settings = self._settings
        found = [Finding(True, "Discord: the bot", f"{application['name']} ({application['id']})")]
        if settings.application not in (None, application["id"]):
            mend = f"DISCORD_APPLICATION_ID={application['id']}"
            found.append(Finding(False, "Discord: the application", f"the token belongs to {application['id']}", mend))
        if settings.public_key_hex not in (None, application["verify_key"]):
            mend = f"DISCORD_PUBLIC_KEY={application['verify_key']}"
            found.append(Finding(False, "Discord: the public key", "it is another application's", mend))
        found.append(self._address_finding(application.get("interactions_endpoint_url")))
        return found

    def _address_finding(self, there: str | None) -> Finding:
        """Say where Discord sends interactions: to us, or to the gateway. It takes an address only by its own portal."""
        what = "Discord: where interactions go"
        portal = "Developer Portal → General Information → Interactions Endpoint URL"
        if self._settings.gateway:
            mend = f"{portal}: empty it, because DISCORD_MODE=gateway" if there else None
            return Finding(not there, what, there or "the gateway", mend)
        ours = f"{self._settings.public_url}/webhooks/discord"
        if self._settings.public_key is None:
            mend = "set DISCORD_PUBLIC_KEY (General Information), or DISCORD_MODE=gateway"
            return Finding(False, what, "DISCORD_PUBLIC_KEY is not set: commands are not answered", mend)
        return Finding(there == ours, what, there or "nowhere", None if there == ours else f"{portal}: {ours}")

    async def _commands_finding(self, *, fix: bool) -> Finding:
        what = "Discord: the commands"
        try:
            if fix:
                changed = await self._register()
                return Finding(True, what, "registered now" if changed else "registered")
            missing = wanted(await self._commands()) is not None
        except DeliveryError as error:
            return _failed(what, error)
        seen = "they are not registered, or others than ours" if missing else "registered"
        return Finding(not missing, what, seen, "paydesk check --fix" if missing else None)

    async def _server_findings(self, space: str, roles: set[str]) -> list[Finding]:
        if not is_id(space):
            mend = "put the server's id into the catalogue (right-click the server → Copy Server ID)"
            return [Finding(False, f"Discord: the server {space}", "this is no id of Discord's", mend)]
        try:
            server = await self._roles.server(space)
        except DeliveryError as error:
            return [_failed(f"Discord: the server {space}", error)]
        return [*findings(server, roles, self._settings.invite(space))]

    async def articles(self) -> Mapping[str, Article]:
        """Return what Discord's shop has of this application, by SKU."""
        return await self._shop.articles(await self._id())

    # --- commands --------------------------------------------------------------------------------------------------------

    async def _register(self) -> bool:
        """Register the commands where they differ, and say whether they did."""
        commands = wanted(await self._commands())
        if commands is None:
            return False
        await self._api.ask("PUT", f"/applications/{await self._id()}/commands", Aim("commands"), json=commands)
        log.info("Discord: %d commands registered", len(commands))
        return True

    async def _commands(self) -> list[dict[str, Any]]:
        path = f"/applications/{await self._id()}/commands"
        commands: list[dict[str, Any]] = await self._api.ask("GET", path, LOOK, query={"with_localizations": "true"})
        return commands

    async def _id(self) -> str:
        return self._settings.application or str((await self._application())["id"])

    async def _application(self) -> Mapping[str, Any]:
        application: Mapping[str, Any] = await self._api.ask("GET", "/applications/@me", LOOK)
        return application


def _require_ids(action: Action) -> None:
    """Raise where an id is none of Discord's: it would be part of an address that is called."""
    if not is_id(action.to.external_id) or not (action.to.conversation is None or is_id(action.to.conversation)):
        raise NeedsUser("this is no id of Discord's", for_ever=True, rule="dc-bad-id")
    if isinstance(action, Grant | Revoke) and not (is_id(action.space) and (not action.role or is_id(action.role))):
        mend = "put the ids of the server and the role into the catalogue (Copy ID in Discord)"
        raise Misconfigured("no id of Discord's", resource=f"{action.space}|{action.role}", mend=mend, rule="dc-bad-id")


def _failed(what: str, error: DeliveryError) -> Finding:
    mend = error.mend if isinstance(error, Misconfigured) else "look again in a minute"
    return Finding(False, what, str(error), mend)


def make(start: Start) -> Channel:
    """Return the channel; raises `SettingError` that names a malformed setting, or what is to be installed."""
    settings = read_settings(start)
    if settings.gateway:
        from paydesk.channels.discord_gateway import require

        require()
    return Discord(settings, start)
