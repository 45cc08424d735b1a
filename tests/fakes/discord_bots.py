"""What a whole bot asks Discord for, besides what Paydesk's own channel does: its application, and answers to its answers."""

from __future__ import annotations

from typing import Any

from openapi_core.testing import MockRequest

from fakes.discord import DiscordFake
from fakes.discord_gateway import Gateway, Line
from fakes.discord_shapes import asking, pressed, slash
from fakes.discord_wire import Answer, Request

COMMAND, COMPONENT = 2, 3
LOADING = 5
EPHEMERAL = 64


class BotsGateway(Gateway):
    """A gateway that tells a bot all about itself."""

    @property
    def url(self) -> str:
        """Where it is."""
        return str(self._where()["url"])

    async def _dispatch(self, line: Line, name: str, told: dict[str, Any]) -> None:
        if name == "READY":
            more = {"mfa_enabled": False, "locale": "en-US", "verified": True, "email": None}
            told = {**told, "user": {**told["user"], **more}}
        await super()._dispatch(line, name, told)


class BotsDiscord(DiscordFake):
    """A Discord with a gateway, for discord.py and hikari."""

    def __init__(self) -> None:
        super().__init__()
        self.gateway = BotsGateway(self)
        self.extra["/oauth2/applications/@me"] = self._about

    def _about(self) -> dict[str, Any]:
        """The application, which discord.py wants before anything else."""
        owner = {"id": "1", "username": "owner", "discriminator": "0", "avatar": None}
        texts = {"id": self.application, "name": "Bot", "description": "", "summary": "", "verify_key": self.public_key}
        return {**texts, "icon": None, "bot_public": True, "bot_require_code_grant": False, "flags": 0, "owner": owner}

    def _checked(self, request: Request) -> MockRequest | None:
        if request.query.get("with_response") in ("1", "True"):  # as libraries write it, and Discord takes it
            request.query["with_response"] = "true"
        if request.path.startswith(("/interactions/", "/webhooks/")):  # here discord.py does not say who it is
            request.headers["user-agent"] = "DiscordBot (bot, 1)"
        return super()._checked(request)

    def do(self, request: Request) -> Answer:
        status, body = super().do(request)
        if request.path.startswith("/interactions/") and "with_response" in request.query:
            _, _, id_, _, _ = request.path.split("/")
            kind, data = request.json["type"], request.json.get("data") or {}
            marks = {
                "response_message_loading": kind == LOADING,
                "response_message_ephemeral": data.get("flags") == EPHEMERAL,
            }
            if kind == 4:
                self.shown.append(data)
            return 200, {"interaction": {"id": id_, "type": COMMAND, **marks}}
        return status, body

    @property
    def shown(self) -> list[dict[str, Any]]:
        """The messages that were the answer itself, not put off."""
        return self.__dict__.setdefault("_shown", [])

    def types(self, user: str, name: str, **options: str) -> None:
        """Somebody gives a slash command, in a private chat with the bot."""
        self.gateway.happens("INTERACTION_CREATE", asking(self, user, COMMAND, slash(name, **options)))

    def presses(self, user: str, message: dict[str, Any], custom_id: str) -> None:
        """Somebody presses a button under a message."""
        self.gateway.happens("INTERACTION_CREATE", asking(self, user, COMPONENT, pressed(custom_id), message=message))

    def answers(self) -> list[dict[str, Any]]:
        """What was shown because of an interaction, oldest first."""
        late = [message for one in self.interactions.values() for message in (one.original, *one.follow_ups)]
        return [message for message in late if message is not None]
