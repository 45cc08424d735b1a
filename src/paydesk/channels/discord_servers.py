"""What the bot may do in a server, worked out from what Discord tells of it. Pure.

A bot gives only roles below its own highest one; of two in the same place the older one is higher. Administrator gives
every permission, and does not lift that. (Discord's documentation, Permissions.)
"""

from __future__ import annotations

from collections.abc import Collection, Iterator, Mapping, Set
from dataclasses import dataclass
from typing import Any

from paydesk.channels.base import Finding

KICK_MEMBERS = 1 << 1
ADMINISTRATOR = 1 << 3
MANAGE_ROLES = 1 << 28


@dataclass(frozen=True, slots=True)
class Role:
    """A role of a server, as far as giving it matters."""

    id: str
    name: str
    position: int
    permissions: int
    managed: bool

    @property
    def height(self) -> tuple[int, int]:
        """Return what orders roles: the greater, the higher."""
        return self.position, -int(self.id)


@dataclass(frozen=True, slots=True)
class Server:
    """A server as the bot sees it: its roles, and those that the bot itself has."""

    id: str
    name: str
    owner: str
    roles: Mapping[str, Role]
    mine: Set[str]

    @property
    def permissions(self) -> int:
        """Return what the bot may do in the whole server, as bits."""
        found = 0
        for role in self._own():
            found |= role.permissions
        return ~0 if found & ADMINISTRATOR else found

    @property
    def top(self) -> Role | None:
        """Return the bot's highest role, @everyone where it has no other."""
        return max(self._own(), key=lambda role: role.height, default=None)

    def _own(self) -> list[Role]:
        """Everybody has the role whose id is the server's: @everyone."""
        return [role for role in self.roles.values() if role.id in self.mine or role.id == self.id]


def server_of(guild: Mapping[str, Any], me: Mapping[str, Any]) -> Server:
    """Return the server that Discord's guild is, and the bot as its member."""
    roles = [
        Role(str(one["id"]), str(one["name"]), int(one["position"]), int(one["permissions"]), bool(one["managed"]))
        for one in guild["roles"]
    ]
    named = {role.id: role for role in roles}
    return Server(str(guild["id"]), str(guild["name"]), str(guild["owner_id"]), named, frozenset(me["roles"]))


def obstacle(server: Server, role_id: str) -> str | None:
    """Return what mends it when the bot cannot give a role, `None` when nothing is in the way."""
    if not server.permissions & MANAGE_ROLES:
        return f"give the bot the permission Manage Roles in {server.name} (Server Settings → Roles)"
    if role_id == server.id:
        return "sell another role: everybody has @everyone"
    role = server.roles.get(role_id)
    if role is None:
        return f"there is no role {role_id} in {server.name}: put the id of an existing one into the catalogue"
    if role.managed:
        return f"sell another role: {role.name} belongs to an integration, and nobody can give it"
    top = server.top
    if top is None or top.height <= role.height:
        return f"drag the bot's role ({top.name if top else 'none'}) above {role.name} (Server Settings → Roles)"
    return None


def findings(server: Server, roles: Collection[str], invite: str | None) -> Iterator[Finding]:
    """Yield what a look at a server found, a line for each role that is sold there."""
    for role_id in sorted(filter(None, roles)):
        mend, role = obstacle(server, role_id), server.roles.get(role_id)
        what = f"Discord: role {role.name if role else role_id} in {server.name}"
        yield Finding(mend is None, what, "the bot can give it" if mend is None else "the bot cannot give it", mend)
    if "" in roles:
        kicks = bool(server.permissions & KICK_MEMBERS)
        mend = None if kicks else f"give the bot the permission Kick Members in {server.name}"
        yield Finding(kicks, f"Discord: coming into {server.name}", _may(kicks, "put people out"), mend)
        mend = None if invite else "set DISCORD_INVITE to an invite that does not expire (https://discord.gg/…)"
        yield Finding(bool(invite), f"Discord: the way into {server.name}", invite or "no invite is known", mend)


def _may(can: bool, what: str) -> str:
    return f"the bot can {what}" if can else f"the bot cannot {what}"
