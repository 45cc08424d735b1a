"""Roles: who has which, giving and taking them, and what is in the way when the bot may not."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from paydesk.channels.base import Address, DeliveryError, Grant, Misconfigured, NeedsUser, Receipt, Refused, Revoke
from paydesk.channels.discord_api import Api
from paydesk.channels.discord_failures import NO_MEMBER, NO_RIGHT, Aim, code_of, failure
from paydesk.channels.discord_servers import KICK_MEMBERS, Server, obstacle, server_of
from paydesk.channels.discord_settings import DiscordSettings


class Roles:
    """Gives and takes roles. Being in a server at all is the role `""`: nobody can be put in, but put out."""

    def __init__(self, api: Api, settings: DiscordSettings) -> None:
        self._api = api
        self._settings = settings
        self._me: str | None = None

    async def grant(self, grant: Grant) -> Receipt:
        """Give the role; raises `NeedsUser` while the person is not in the server."""
        if not grant.role:
            if not await self.held(grant.to, grant.space):
                raise self._outside(grant.space)
            return Receipt()
        return await self._change("PUT", grant, "grant")

    async def revoke(self, revoke: Revoke) -> Receipt:
        """Take the role, or put the person out of the server. Whoever is not there needs nothing taken."""
        return await self._change("DELETE", revoke, "revoke" if revoke.role else "remove")

    async def _change(self, method: str, action: Grant | Revoke, what: str) -> Receipt:
        path = f"/guilds/{action.space}/members/{action.to.external_id}" + (
            f"/roles/{action.role}" if action.role else ""
        )
        try:
            await self._api.ask(method, path, Aim(what, f"{action.space}|{action.role}"), reason=action.key)
        except NeedsUser as error:
            if error.rule != f"dc-{NO_MEMBER}":
                raise
            raise self._outside(action.space) from error
        except Misconfigured as error:
            if error.rule != f"dc-{NO_RIGHT}":
                raise
            raise await self._explained(error, action) from error
        return Receipt()

    def _outside(self, server: str) -> NeedsUser:
        """Return the error for somebody who is not in a server, with the invite by which they come in."""
        invite = self._settings.invite(server)
        reason = f"not in the server {server}" + (f": they come in by {invite}" if invite else "")
        return NeedsUser(reason, way_in_url=invite, rule=f"dc-{NO_MEMBER}")

    async def _explained(self, error: Misconfigured, action: Grant | Revoke) -> DeliveryError:
        """Return the error with what a look at the server found: which right, or which role is too low."""
        try:
            server = await self.server(action.space)
        except DeliveryError:
            return error
        if not action.role:
            if action.to.external_id == server.owner:
                return Refused(f"the owner of {server.name} cannot be put out", done=True, rule=error.rule)
            kicks = server.permissions & KICK_MEMBERS
            mend = "drag the bot's role above theirs" if kicks else "give the bot the permission Kick Members"
            return Misconfigured(str(error), resource=error.resource, mend=f"{mend} in {server.name}", rule=error.rule)
        mend = obstacle(server, action.role) or error.mend
        return Misconfigured(str(error), resource=error.resource, mend=mend, rule=error.rule)

    async def held(self, person: Address, space: str) -> set[str]:
        """Return the roles somebody has, `""` among them while they are in the server; nothing while they are not."""
        aim = Aim("look", space)
        answer = await self._api.answer("GET", f"/guilds/{space}/members/{person.external_id}", aim)
        if code_of(answer) in (NO_MEMBER, 10013):
            return set()
        error = failure(answer, aim)
        if error is not None:
            raise error
        return {"", *answer.parsed["roles"]}

    async def server(self, space: str) -> Server:
        """Return what the bot sees of a server."""
        guild: Mapping[str, Any] = await self._api.ask("GET", f"/guilds/{space}", Aim("look", space))
        if self._me is None:
            self._me = str((await self._api.ask("GET", "/users/@me", Aim("look")))["id"])
        me = await self._api.ask("GET", f"/guilds/{space}/members/{self._me}", Aim("look", space))
        return server_of(guild, me)
