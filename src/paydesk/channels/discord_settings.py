"""The settings of the Discord channel, read once at the start."""

from __future__ import annotations

import re
from collections.abc import Mapping
from dataclasses import dataclass, field
from urllib.parse import urlsplit

from cryptography.hazmat.primitives.asymmetric.ed25519 import Ed25519PublicKey

from paydesk.channels.base import Start
from paydesk.channels.discord_ids import SNOWFLAKE
from paydesk.config import Secret
from paydesk.errors import SettingError

API_BASE = "https://discord.com/api/v10"
API_PATH = "/api/v10"


@dataclass(frozen=True, slots=True)
class DiscordSettings:
    """What the channel runs with. `api_base` ends in the version's path; `invites` is a link by server, `""` for any."""

    token: Secret
    api_base: str = API_BASE
    application: str | None = None
    public_key: Ed25519PublicKey | None = field(default=None, repr=False)
    public_key_hex: str | None = None
    admin_channel: str | None = None
    gateway: bool = False
    public_url: str = ""
    invites: Mapping[str, str] = field(default_factory=dict)

    def invite(self, server: str) -> str | None:
        """Return the link by which people come into a server, `None` where the settings name none."""
        return self.invites.get(server) or self.invites.get("")


def read_settings(start: Start) -> DiscordSettings:
    """Return the settings in `start.environ`; raises `SettingError` that names a malformed one and shows a good value."""
    environ = start.environ
    hex_key = _matching(environ, "DISCORD_PUBLIC_KEY", r"[0-9a-fA-F]{64}", "64 hex digits, from General Information")
    return DiscordSettings(
        token=_token(environ),
        api_base=_api_base(environ),
        application=_id(environ, "DISCORD_APPLICATION_ID"),
        public_key=Ed25519PublicKey.from_public_bytes(bytes.fromhex(hex_key)) if hex_key else None,
        public_key_hex=hex_key.lower() if hex_key else None,
        admin_channel=_id(environ, "DISCORD_ADMIN_CHANNEL"),
        gateway=_mode(environ) == "gateway",
        public_url=start.public_url,
        invites=_invites(environ),
    )


def _matching(environ: Mapping[str, str], name: str, pattern: str, good: str) -> str | None:
    text = environ.get(name, "").strip()
    if text and not re.fullmatch(pattern, text):
        raise SettingError(f"{name} is malformed: {name} is {good}")
    return text or None


def _id(environ: Mapping[str, str], name: str) -> str | None:
    return _matching(environ, name, SNOWFLAKE.pattern, "an id such as 1142009356217749514 (Copy ID in Discord)")


def _token(environ: Mapping[str, str]) -> Secret:
    name = "DISCORD_BOT_TOKEN"
    text = _matching(
        environ, name, r"[\x21-\x7e]{8,}", "the bot's token alone, MTE0MjAw….GpX2….x8Zq… (Bot → Reset Token)"
    )
    if text is None:
        raise SettingError(f"{name} is not set: {name}=MTE0MjAw….GpX2….x8Zq… (Bot → Reset Token)")
    return Secret(text)


def _mode(environ: Mapping[str, str]) -> str:
    text = environ.get("DISCORD_MODE", "").strip().lower() or "http"
    if text not in ("http", "gateway"):
        raise SettingError("DISCORD_MODE is malformed: DISCORD_MODE=http|gateway")
    return text


def _api_base(environ: Mapping[str, str]) -> str:
    text = environ.get("DISCORD_API_BASE", "").strip().rstrip("/") or API_BASE
    try:
        parts = urlsplit(text)
        sound = parts.scheme in ("http", "https") and bool(parts.hostname) and parts.port != 0
    except ValueError:  # a bracket too few, a port out of range
        sound = False
    if not sound or parts.query or parts.fragment or parts.username or not text.isascii() or " " in text:
        raise SettingError(f"DISCORD_API_BASE is malformed: DISCORD_API_BASE={API_BASE}")
    return text if parts.path else text + API_PATH


def _invites(environ: Mapping[str, str]) -> dict[str, str]:
    """Read `https://discord.gg/abc` (every server) or `SERVER=https://discord.gg/abc,SERVER=…`."""
    invites = {}
    for part in filter(None, (one.strip() for one in environ.get("DISCORD_INVITE", "").split(","))):
        server, _, link = part.rpartition("=")
        if not re.fullmatch(r"https://[\w.-]+/[\w/-]+", link) or (server and not SNOWFLAKE.fullmatch(server)):
            raise SettingError(
                "DISCORD_INVITE is malformed: DISCORD_INVITE=https://discord.gg/AbCdEf (or SERVER_ID=https://…,…)"
            )
        invites[server] = link
    return invites
