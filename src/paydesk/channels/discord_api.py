"""Asking Discord: in turn, with the bot's token where it belongs, and with the one error when it says no."""

from __future__ import annotations

import logging
from collections.abc import Mapping
from importlib.metadata import version
from typing import Any
from urllib.parse import quote

from paydesk.channels.base import DeliveryError, RetryLater
from paydesk.channels.discord_failures import Aim, asked_wait_s, failure
from paydesk.channels.discord_rates import Pace
from paydesk.channels.discord_settings import DiscordSettings
from paydesk.channels.http import Answer, Wire

log = logging.getLogger(__name__)

REASON_MAX = 512
NOBODYS = ("/webhooks/", "/interactions/")
"""Calls that an interaction's token in the path allows: the bot's own token has no business there."""


class Api:
    """Discord's HTTP API for one bot."""

    def __init__(self, settings: DiscordSettings, pace: Pace | None = None) -> None:
        # Discord asks every bot to say who it is in this form.
        agent = f"DiscordBot ({settings.public_url or 'paydesk'}, {version('paydesk')})"
        self._token = settings.token
        self._wire = Wire(settings.api_base, "dc", {"user-agent": agent})
        self._pace = pace or Pace()

    async def ask(
        self, method: str, path: str, aim: Aim, *, json: Any = None, query: Mapping[str, str] | None = None,
        reason: str | None = None,
    ) -> Any:  # fmt: skip
        """Ask and return the answer's JSON (`{}` where it is none); raises the error that the failure table names.

        `reason` is shown in the server's audit log.
        """
        answer = await self.answer(method, path, aim, json=json, query=query, reason=reason)
        error = failure(answer, aim)
        if error is not None:
            raise error
        return answer.parsed

    async def answer(
        self, method: str, path: str, aim: Aim, *, json: Any = None, query: Mapping[str, str] | None = None,
        reason: str | None = None,
    ) -> Answer:  # fmt: skip
        """Ask and return the answer, whatever it is; raises only where there is none, or it is not our turn."""
        await self._pace.turn(method, path)
        headers = {} if path.startswith(NOBODYS) else {"authorization": f"Bot {self._token.reveal()}"}
        if reason:
            headers["x-audit-log-reason"] = _reason(reason)
        try:
            answer = await self._wire.call(
                method, path, json=json, query=query, headers=headers, repeatable=aim.repeatable
            )
        except DeliveryError:
            self._pace.unheard(method, path)
            raise
        self._learn(method, path, answer, aim)
        return answer

    def _learn(self, method: str, path: str, answer: Answer, aim: Aim) -> None:
        self._pace.heard(method, path, answer)
        if answer.status != 429:
            return
        error: DeliveryError | None = failure(answer, aim)
        if isinstance(error, RetryLater) and error.everyone:
            log.warning("Discord: everything rests: %s", error)
            self._pace.rest(error.after_s or 1.0)
        else:
            self._pace.emptied(method, path, asked_wait_s(answer) or 1.0)

    async def close(self) -> None:
        """Close the connections."""
        await self._wire.close()


def _reason(text: str) -> str:
    """Return a reason as Discord takes it in a header: URL-encoded, at most 512 signs, no sign cut in half."""
    short = text
    while len(quote(short)) > REASON_MAX:
        short = short[: REASON_MAX if len(short) > REASON_MAX else -1]
    return quote(short)
