"""Asking Telegram's Bot API: one call for every method, a result or the error of the contract that it is.

The token is part of every address, so no address is ever logged or told.
"""

from __future__ import annotations

import logging
import re
import time
from collections.abc import Mapping
from typing import Any

from paydesk.channels.base import RetryLater
from paydesk.channels.http import Wire
from paydesk.channels.telegram_failures import Asking, failure
from paydesk.config import Secret

CALL_S_MAX = 10.0
POLL_S = 25
POLL_MARGIN_S = 10.0

_IN_ADDRESS = re.compile(r"/bot\d+(?::|%3A)[A-Za-z0-9_-]+")


def _hide(record: logging.LogRecord) -> bool:
    """Cut the token out of a line in which the HTTP client logs an address."""
    said = record.getMessage()
    hidden = _IN_ADDRESS.sub("/bot…", said)
    if hidden != said:
        record.msg, record.args = hidden, None
    return True


class Bot:
    """The Bot API for one bot. `chat_id` and `user_id` stand in `params` as Telegram wants them."""

    def __init__(self, api_base: str, token: Secret) -> None:
        logging.getLogger("httpx").addFilter(_hide)
        self._address = f"{api_base}/bot{token.reveal()}"
        self._wire = Wire(self._address, "tg", call_s_max=CALL_S_MAX)
        self._poll_wire: Wire | None = None
        self._resting: dict[str, float] = {}

    async def ask(
        self, method: str, params: Mapping[str, Any] | None = None, *, repeatable: bool = True,
        call_s_max: float | None = None,
    ) -> Any:  # fmt: skip
        """Return the result of `method`, or raise the error that tells what is to be done next."""
        return await self._ask(self._wire, method, params or {}, repeatable, call_s_max)

    async def updates(self, offset: int | None, kinds: list[str]) -> list[Any]:
        """Return what has arrived, waiting for it at most `POLL_S` seconds; what lies below `offset` is forgotten."""
        if self._poll_wire is None:
            self._poll_wire = Wire(self._address, "tg", call_s_max=POLL_S + POLL_MARGIN_S)
        params = {"timeout": POLL_S, "allowed_updates": kinds, **({} if offset is None else {"offset": offset})}
        found = await self._ask(self._poll_wire, "getUpdates", params, True, None)
        return found if isinstance(found, list) else []

    async def _ask(
        self, wire: Wire, method: str, params: Mapping[str, Any], repeatable: bool, call_s_max: float | None
    ) -> Any:
        answer = await wire.call("POST", f"/{method}", json=params, repeatable=repeatable, call_s_max=call_s_max)
        parsed = answer.parsed
        if answer.status == 200 and isinstance(parsed, dict) and parsed.get("ok") is True:
            return parsed.get("result")
        chat = params.get("chat_id")
        error = failure(Asking(method, None if chat is None else str(chat), repeatable), answer)
        if isinstance(error, RetryLater) and not error.counted:
            self._rest(error, "" if chat is None else str(chat))
        raise error

    def _rest(self, limit: RetryLater, chat: str) -> None:
        """Note that a chat rests. Telegram does not say whether a limit is the bot's: two chats at once are taken for it."""
        now = time.monotonic()
        self._resting = {other: until for other, until in self._resting.items() if until > now}
        limit.everyone = not chat or any(other != chat for other in self._resting)
        self._resting[chat] = now + (limit.after_s or 0.0)

    async def close(self) -> None:
        """Close the connections."""
        await self._wire.close()
        if self._poll_wire is not None:
            await self._poll_wire.close()
