"""A Discord to talk to, which does what its documentation says: who may give which role, closed direct messages, nonces,
interactions that end. `discord_wire` checks what is asked of it.
"""

from __future__ import annotations

import base64
import json
import re
import time
from collections import defaultdict
from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Any

from cryptography.hazmat.primitives.asymmetric.ed25519 import Ed25519PrivateKey

from fakes.discord_shapes import command_of, entitlement_of, guild_of, member_of, message_of, role_of, sku_of, user_of
from fakes.discord_wire import Answer, DiscordWire, Refused, Request, checked

EPOCH_MS = 1_420_070_400_000
MANAGE_ROLES, KICK, ADMIN = 1 << 28, 1 << 1, 1 << 3
HIDDEN = "9" * 18
"""The channel of what only its reader sees."""


@dataclass
class Guild:
    id: str
    name: str
    owner: str
    roles: dict[str, dict[str, Any]] = field(default_factory=dict)
    members: dict[str, set[str]] = field(default_factory=dict)


@dataclass
class Interaction:
    """What was asked: `thinking` once it was deferred, `original` once it was answered."""

    id: str
    at_s: float
    source: dict[str, Any] | None = None
    thinking: int | None = None
    original: dict[str, Any] | None = None
    follow_ups: list[dict[str, Any]] = field(default_factory=list)


class DiscordFake(DiscordWire):
    """Use it with `with`. All ids are texts; `closed` are people who take no direct messages."""

    def __init__(self) -> None:
        super().__init__()
        self.application = "1142009356217749514"
        self.token = base64.b64encode(self.application.encode()).decode() + ".GpX2ab.x8Zq_planted_secret_of_the_bot"
        self.key = Ed25519PrivateKey.generate()
        self.public_key = self.key.public_key().public_bytes_raw().hex()
        self.endpoint: str | None = None
        self.users: dict[str, str] = {self.application: "paydesk"}
        self.closed: set[str] = set()
        self.guilds: dict[str, Guild] = {}
        self.channels: dict[str, dict[str, Any]] = {}
        self.messages: dict[str, dict[str, dict[str, Any]]] = defaultdict(dict)
        self.nonces: dict[tuple[str, str], str] = {}
        self.commands: list[dict[str, Any]] = []
        self.interactions: dict[str, Interaction] = {}
        self.entitlements: dict[str, dict[str, Any]] = {}
        self.skus: dict[str, dict[str, Any]] = {}
        self._count = 0

    def environ(self, **more: str) -> dict[str, str]:
        """The settings of a desk that talks to this Discord."""
        keys = {"DISCORD_APPLICATION_ID": self.application, "DISCORD_PUBLIC_KEY": self.public_key}
        return {"DISCORD_BOT_TOKEN": self.token, "DISCORD_API_BASE": self.base, **keys, **more}

    # --- planting ----------------------------------------------------------------------------------------------------

    def new_id(self, at_s: float | None = None) -> str:
        self._count += 1
        ms = int((at_s if at_s is not None else time.time()) * 1000) - EPOCH_MS
        return str((ms << 22) | (self._count & 0xFFF))

    def user(self, name: str = "ada", *, closed: bool = False) -> str:
        id_ = self.new_id()
        self.users[id_] = name
        self.closed |= {id_} if closed else set()
        return id_

    def guild(
        self, *members: str, name: str = "The Shop", permissions: int = MANAGE_ROLES | KICK, top: int = 10
    ) -> Guild:
        guild = Guild(self.new_id(), name, self.user("owner"))
        self.guilds[guild.id] = guild
        guild.roles[guild.id] = role_of(guild.id, "@everyone", 0)
        bot = self.role(guild, "Paydesk", top, permissions=permissions, managed=True)
        guild.members = {self.application: {bot}, guild.owner: set(), **{one: set() for one in members}}
        return guild

    def role(self, guild: Guild, name: str, position: int, *, permissions: int = 0, managed: bool = False) -> str:
        id_ = self.new_id()
        guild.roles[id_] = role_of(id_, name, position, permissions, managed)
        return id_

    def channel(self, guild: Guild) -> str:
        id_ = self.new_id()
        self.channels[id_] = {"guild": guild.id}
        return id_

    def told(self, user: str) -> list[dict[str, Any]]:
        """The direct messages that somebody has."""
        return [
            m for id_, one in self.channels.items() if one.get("recipient") == user for m in self.messages[id_].values()
        ]

    # --- what Discord does -------------------------------------------------------------------------------------------

    def do(self, request: Request) -> Answer:
        method, parts = request.method, request.path.strip("/").split("/")
        match parts:
            case ["guilds", guild, *rest]:
                return self._in_guild(method, self._guild(guild), rest)
            case ["channels", channel, "messages"]:
                return 200, self._post(channel, request.json)
            case ["channels", channel, "messages", message]:
                return 200, self._edit(channel, message, request.json)
            case ["applications", application, "commands"]:
                return 200, self._commands(method, application, request.json)
            case ["applications", self.application, "skus"]:
                return 200, list(self.skus.values())
            case ["applications", application, "entitlements", *rest]:
                return self._entitled(application, rest, request.query)
            case ["interactions", interaction, token, "callback"]:
                return self._callback(interaction, token, request.json)
            case ["webhooks", _, token]:
                return 200, self._follow(self._interaction(token), request.json)
            case ["webhooks", _, token, "messages", "@original"]:
                return 200, self._edit_original(self._interaction(token), request.json)
        return 200, self._own(request)

    def _own(self, request: Request) -> Any:
        if request.path == "/users/@me":
            return {**user_of(self.application, "paydesk", bot=True), "mfa_enabled": False, "locale": "en-US"}
        if request.path == "/applications/@me":
            about = {"verify_key": self.public_key, "interactions_endpoint_url": self.endpoint, "flags": 0}
            return {"id": self.application, "name": "Paydesk", **about}
        if request.path == "/users/@me/channels":
            return self._open_private(str(request.json["recipient_id"]))
        raise Refused(404, 0)

    def _in_guild(self, method: str, guild: Guild, rest: list[str]) -> Answer:
        match rest:
            case []:
                return 200, guild_of(guild)
            case ["roles"]:
                return 200, [*guild.roles.values()]
            case ["members", user] if method == "GET":
                return 200, member_of(user, self.users.get(user, ""), self._member(guild, user))
            case ["members", user]:
                return self._kick(guild, user)
            case ["members", user, "roles", role]:
                return self._change_role(method, guild, user, role)
        raise Refused(404, 0)

    def _guild(self, guild: str) -> Guild:
        if guild not in self.guilds:
            raise Refused(404, 10004)
        if self.application not in self.guilds[guild].members:
            raise Refused(403, 50001)
        return self.guilds[guild]

    def _member(self, guild: Guild, user: str) -> set[str]:
        if user not in self.users:
            raise Refused(404, 10013)
        if user not in guild.members:
            raise Refused(404, 10007)
        return guild.members[user]

    def _bot_may(self, guild: Guild, right: int, above: int) -> None:
        own = [guild.roles[role] for role in (*guild.members[self.application], guild.id)]
        rights = 0
        for role in own:
            rights |= int(role["permissions"])
        if not rights & (right | ADMIN) or max(role["position"] for role in own) <= above:
            raise Refused(403, 50013)

    def _change_role(self, method: str, guild: Guild, user: str, role: str) -> Answer:
        if role not in guild.roles:
            raise Refused(404, 10011)
        if guild.roles[role]["managed"] or role == guild.id:
            raise Refused(400, 50028)
        has = self._member(guild, user)
        self._bot_may(guild, MANAGE_ROLES, guild.roles[role]["position"])
        (has.add if method == "PUT" else has.discard)(role)
        return 204, None

    def _kick(self, guild: Guild, user: str) -> Answer:
        theirs = self._member(guild, user)
        self._bot_may(guild, KICK, max((guild.roles[role]["position"] for role in theirs), default=0))
        if user == guild.owner:
            raise Refused(403, 50013)
        del guild.members[user]
        return 204, None

    def _open_private(self, user: str) -> dict[str, Any]:
        if user not in self.users:
            raise Refused(400, 50033)
        found = next((id_ for id_, one in self.channels.items() if one.get("recipient") == user), None) or self.new_id()
        self.channels[found] = {"recipient": user}
        return {
            "id": found,
            "type": 1,
            "flags": 0,
            "last_message_id": None,
            "recipients": [user_of(user, self.users[user])],
        }

    def _post(self, channel: str, told: dict[str, Any]) -> dict[str, Any]:
        if channel not in self.channels:
            raise Refused(404, 10003)
        user, guild = self.channels[channel].get("recipient"), self.channels[channel].get("guild")
        if guild is not None:
            self._guild(guild)
        elif user in self.closed:
            raise Refused(403, 50007)
        elif not any(user in one.members for one in self.guilds.values()):
            raise Refused(403, 50278)
        nonce = str(told.get("nonce"))
        if told.get("enforce_nonce") and (channel, nonce) in self.nonces:
            return self.messages[channel][self.nonces[channel, nonce]]
        message = self._message(channel, told)
        self.nonces[channel, nonce] = message["id"]
        return message

    def _message(self, channel: str, told: dict[str, Any], was: dict[str, Any] | None = None) -> dict[str, Any]:
        """Keep a message as told; what Discord's description does not say of it is looked at here."""
        content, rows = told.get("content") or "", told.get("components") or []
        buttons = [button for row in rows for button in row["components"]]
        ids = [button["custom_id"] for button in buttons if button.get("custom_id")]
        sound = all(_sound(button) for button in buttons)
        if len(content.encode("utf-16-le")) > 4000 or len(rows) > 5 or len(ids) != len(set(ids)) or not sound:
            self.complaints.append(f"a message that Discord refuses: {told}")
            raise Refused(400, 50035)
        if not content:
            raise Refused(400, 50006)
        pings = "everyone" in (told.get("allowed_mentions") or {"parse": ["everyone"]}).get("parse", [])
        message = message_of(was["id"] if was else self.new_id(), channel, self.application, told)
        message["mention_everyone"] = pings and re.search(r"(?<!\\)@(everyone|here)", content) is not None
        self.messages[channel][message["id"]] = message
        return message

    def _edit(self, channel: str, id_: str, told: dict[str, Any]) -> dict[str, Any]:
        if id_ not in self.messages[channel]:
            raise Refused(404, 10008)
        return self._message(channel, told, self.messages[channel][id_])

    def _commands(self, method: str, application: str, told: Any) -> list[dict[str, Any]]:
        if application != self.application:
            raise Refused(404, 10002)
        if method == "PUT":
            names = [(one.get("type", 1), one["name"]) for one in told]
            if len(names) != len(set(names)) or not all(re.fullmatch(r"[-_\w]{1,32}", name) for _, name in names):
                raise Refused(400, 50035)
            self.commands = [command_of(self.new_id(), application, one) for one in told]
        return self.commands

    # --- the shop ----------------------------------------------------------------------------------------------------

    def offers(self, sku: str, name: str, kind: int, *, on_sale: bool = True) -> None:
        """Have something in Discord's own shop: 2 is bought once, 3 used up, 5 repeats, with a group (6) beside it."""
        self.skus[sku] = sku_of(sku, self.application, name, kind, on_sale=on_sale)
        if kind == 5:
            group = str(int(sku) - 4096)
            self.skus[group] = sku_of(group, self.application, name, 6, on_sale=on_sale)

    def sells(self, user: str, sku: str, *, at_s: float | None = None, ends_at: str | None = None) -> dict[str, Any]:
        """Let somebody buy something in Discord's own shop; gives the entitlement."""
        id_ = self.new_id(at_s)
        self.entitlements[id_] = entitlement_of(id_, self.application, user, sku, ends_at)
        return self.entitlements[id_]

    def _entitled(self, application: str, rest: list[str], query: Mapping[str, str]) -> Answer:
        if application != self.application:
            raise Refused(404, 10002)
        match rest:
            case []:
                return 200, self._listed(query)
            case [id_] if id_ in self.entitlements:
                return 200, self.entitlements[id_]
            case [id_, "consume"] if id_ in self.entitlements and not self.entitlements[id_]["consumed"]:
                self.entitlements[id_]["consumed"] = True
                return 204, None
        raise Refused(404, 0)

    def _listed(self, query: Mapping[str, str]) -> list[dict[str, Any]]:
        """A page of what was bought, oldest first behind `after`."""
        skus = [sku for sku in query.get("sku_ids", "").split(",") if sku]
        left_out = {
            name for name in ("exclude_ended", "exclude_deleted") if query.get(name, "false").lower() in ("true", "1")
        }
        found = [
            one for id_, one in sorted(self.entitlements.items(), key=lambda item: int(item[0]))
            if int(id_) > int(query.get("after", 0)) and query.get("user_id") in (None, one["user_id"])
            and (not skus or one["sku_id"] in skus) and not ("exclude_deleted" in left_out and one["deleted"])
            and not ("exclude_ended" in left_out and one["ends_at"] is not None)
        ]  # fmt: skip
        return found[: int(query.get("limit", 100))]

    # --- interactions ------------------------------------------------------------------------------------------------

    def interaction(self, payload: dict[str, Any]) -> dict[str, Any]:
        """Note that somebody asked: from now on it can be answered with its token."""
        at_s = ((int(payload["id"]) >> 22) + EPOCH_MS) / 1000
        self.interactions[payload["token"]] = Interaction(payload["id"], at_s, payload.get("message"))
        return payload

    def signed(self, payload: Any, at_s: float | None = None) -> tuple[dict[str, str], bytes]:
        """The headers and body of a request as Discord makes it."""
        body = payload if isinstance(payload, bytes) else json.dumps(payload).encode()
        stamp = str(int(at_s if at_s is not None else time.time()))
        return {"x-signature-ed25519": self.key.sign(stamp.encode() + body).hex(), "x-signature-timestamp": stamp}, body

    def answered(self, payload: dict[str, Any], answer: Any) -> None:
        """Take the answer to a request as Discord would: checked as the call is that does the same."""
        path = f"/interactions/{payload['id']}/{payload['token']}/callback"
        checked("post", path, json.dumps(answer).encode(), {}, {})
        self._callback(payload["id"], payload["token"], answer)

    def _callback(self, id_: str, token: str, told: dict[str, Any]) -> Answer:
        found = self.interactions.get(token)
        if found is None or found.id != id_ or time.time() - found.at_s > 3:
            raise Refused(404, 10062)
        if found.thinking is not None:
            raise Refused(400, 40060)
        found.thinking = told["type"]
        return 204, None

    def _interaction(self, token: str) -> Interaction:
        found = self.interactions.get(token)
        if found is not None and time.time() - found.at_s > 900:
            raise Refused(401, 50027)
        if found is None or found.thinking is None:
            raise Refused(404, 10015)
        return found

    def _edit_original(self, found: Interaction, told: dict[str, Any]) -> dict[str, Any]:
        was = found.source if found.thinking == 6 else found.original
        found.original = self._message(HIDDEN, {**told, "flags": 64}, was)
        return found.original

    def _follow(self, found: Interaction, told: dict[str, Any]) -> dict[str, Any]:
        found.follow_ups.append(self._message(HIDDEN, told))
        return found.follow_ups[-1]


def _sound(button: dict[str, Any]) -> bool:
    """Whether a button has what its kind has, and nothing else: a link, what it says when pressed, or what it sells."""
    if button["style"] == 6:
        return bool(button.get("sku_id")) and not (button.get("label") or button.get("url") or button.get("custom_id"))
    return bool(button.get("url")) == (button["style"] == 5) != bool(button.get("custom_id"))
