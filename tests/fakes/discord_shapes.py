"""Discord's objects as its API shows them, and the interactions that it sends."""

from __future__ import annotations

import secrets
from collections.abc import Mapping
from datetime import UTC, datetime
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from fakes.discord import DiscordFake, Guild

SINCE = "2026-01-01T00:00:00+00:00"

CODES = {
    "0": "General error",
    "10002": "Unknown application",
    "10003": "Unknown channel",
    "10004": "Unknown guild",
    "10007": "Unknown member",
    "10008": "Unknown message",
    "10011": "Unknown role",
    "10013": "Unknown user",
    "10015": "Unknown webhook",
    "10062": "Unknown interaction",
    "30046": "Maximum number of edits to messages older than 1 hour reached. Try again later",
    "40003": "You are opening direct messages too fast",
    "40060": "Interaction has already been acknowledged",
    "50001": "Missing access",
    "50005": "Cannot edit a message authored by another user",
    "50006": "Cannot send an empty message",
    "50007": "Cannot send messages to this user",
    "50013": "You lack permissions to perform that action",
    "50027": "Invalid webhook token provided",
    "50028": "Invalid role",
    "50033": "Invalid Recipient(s)",
    "50035": "Invalid form body",
    "50278": "Cannot send messages to this user due to having no mutual guilds",
    "130000": "API resource is currently overloaded. Try again a little later",
    "200000": "Message was blocked by automatic moderation",
    "240000": "Message blocked by harmful links filter",
}
"""The codes that the fake answers with, and what stands beside them."""


def user_of(id_: str, name: str, *, bot: bool = False) -> dict[str, Any]:
    blank = {"avatar": None, "discriminator": "0", "public_flags": 0, "flags": 0, "primary_guild": None}
    return {"id": id_, "username": name, "global_name": name, "bot": bot, **blank}


def role_of(id_: str, name: str, position: int, permissions: int = 0, managed: bool = False) -> dict[str, Any]:
    colors = {"primary_color": 0, "secondary_color": None, "tertiary_color": None}
    blank = {
        "color": 0,
        "colors": colors,
        "hoist": False,
        "mentionable": False,
        "icon": None,
        "unicode_emoji": None,
        "flags": 0,
    }
    return {"id": id_, "name": name, "position": position, "permissions": str(permissions), "managed": managed, **blank}


def member_of(id_: str, name: str, roles: set[str]) -> dict[str, Any]:
    blank = {"avatar": None, "banner": None, "communication_disabled_until": None, "flags": 0, "nick": None}
    more = {"pending": False, "premium_since": None, "mute": False, "deaf": False, "joined_at": SINCE}
    return {"user": user_of(id_, name, bot=name == "paydesk"), "roles": sorted(roles), **blank, **more}


def guild_of(guild: Guild) -> dict[str, Any]:
    about = {"owner_id": guild.owner, "features": [], "preferred_locale": "en-US"}
    return {"id": guild.id, "name": guild.name, "roles": [*guild.roles.values()], **about}


def message_of(id_: str, channel: str, author: str, told: Mapping[str, Any]) -> dict[str, Any]:
    rows = [
        {**row, "id": 1, "components": [{"id": 2, **button} for button in row["components"]]}
        for row in told.get("components") or []
    ]
    blank = {"mentions": [], "mention_roles": [], "attachments": [], "embeds": [], "pinned": False, "tts": False}
    times = {"timestamp": SINCE, "edited_timestamp": None}
    nonce = {"nonce": told["nonce"]} if told.get("nonce") is not None else {}
    return {
        "id": id_, "channel_id": channel, "type": 0, "author": user_of(author, "paydesk", bot=True), "mention_everyone": False,
        "content": told.get("content") or "", "components": rows, "flags": told.get("flags") or 0, **nonce, **blank, **times,
    }  # fmt: skip


def entitlement_of(id_: str, application: str, user: str, sku: str, ends_at: str | None = None) -> dict[str, Any]:
    starts_at = datetime.fromtimestamp(((int(id_) >> 22) + 1_420_070_400_000) / 1000, UTC).isoformat()
    bought = {"sku_id": sku, "application_id": application, "user_id": user, "type": 8}
    return {"id": id_, **bought, "deleted": False, "consumed": False, "starts_at": starts_at, "ends_at": ends_at}


def sku_of(id_: str, application: str, name: str, kind: int, *, on_sale: bool) -> dict[str, Any]:
    flags = (1 << 2 if on_sale else 0) | (1 << 8 if kind in (5, 6) else 0)
    more = {"dependent_sku_id": None, "manifest_labels": None, "access_type": 1, "features": [], "release_date": None}
    slug = name.lower().replace(" ", "-")
    return {"id": id_, "type": kind, "application_id": application, "name": name, "slug": slug, "flags": flags, **more}


def command_of(id_: str, application: str, told: Mapping[str, Any]) -> dict[str, Any]:
    """A command as it is told back: with what Discord adds, and without what is empty."""
    rights = told.get("default_member_permissions")
    kept = {key: value for key, value in told.items() if value not in (None, False, [])}
    if "options" in kept:
        kept["options"] = [{k: v for k, v in one.items() if v is not False} for one in kept["options"]]
    added = {"id": told.get("id") or id_, "application_id": application, "version": id_, "nsfw": False}
    return {
        "type": 1,
        "description": "",
        **kept,
        **added,
        "default_member_permissions": None if rights is None else str(rights),
    }


# --- what Discord sends ----------------------------------------------------------------------------------------------


def asking(
    fake: DiscordFake, user: str, kind: int, data: dict[str, Any] | None, *, guild: Guild | None = None, locale: str = "en-US",
    at_s: float | None = None, message: dict[str, Any] | None = None,
) -> dict[str, Any]:  # fmt: skip
    """An interaction, as Discord sends it over HTTP and over the gateway, noted at the fake."""
    channel = {"id": fake.new_id(), "type": 0 if guild else 1}
    place: dict[str, Any] = {"user": user_of(user, fake.users[user])}
    if guild is not None:
        fake.channels[channel["id"]] = {"guild": guild.id}
        member = {**member_of(user, fake.users[user], guild.members.get(user, set())), "permissions": "0"}
        about = {"id": guild.id, "locale": "en-US", "features": []}
        place = {"guild_id": guild.id, "guild": about, "guild_locale": "en-US", "member": member}
    token = "aW50ZXJhY3Rpb24" + secrets.token_urlsafe(60)
    return fake.interaction({
        "id": fake.new_id(at_s), "application_id": fake.application, "type": kind, "token": token,
        "version": 1, "locale": locale, "channel_id": channel["id"], "channel": {**channel, "name": "shop", "permissions": "0"},
        "app_permissions": "0", "authorizing_integration_owners": {"0": guild.id if guild else "0"},
        "entitlements": [one for one in fake.entitlements.values() if one["user_id"] == user and not one["deleted"]],
        "context": 0 if guild else 1, "attachment_size_limit": 10485760, **place,
        **({"data": data} if data is not None else {}), **({"message": message} if message is not None else {}),
    })  # fmt: skip


def happened(name: str, told: dict[str, Any], application: str) -> dict[str, Any]:
    """A webhook event, as Discord sends it."""
    event = {"type": name, "timestamp": datetime.now(UTC).isoformat(), "data": told}
    return {"version": 1, "application_id": application, "type": 1, "event": event}


def slash(name: str, command_id: str = "1142009356217749515", **options: Any) -> dict[str, Any]:
    """What a slash command carries."""
    given = [{"name": key, "type": 3, "value": value} for key, value in options.items()]
    return {"id": command_id, "name": name, "type": 1, **({"options": given} if given else {})}


def pressed(custom_id: str) -> dict[str, Any]:
    """What a pressed button carries."""
    return {"custom_id": custom_id, "component_type": 2, "id": 2}
