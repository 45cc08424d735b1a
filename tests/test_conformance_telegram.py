"""The Telegram channel keeps what every channel promises."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import replace

import orjson
import pytest

from fakes.telegram import TelegramFake
from paydesk.channels.base import Address, Channel, Raw
from paydesk.channels.conformance import ChannelContract
from telegram_fixtures import ADA, GROUP, PUBLIC, SECRET, channel_at

HEADER = "x-telegram-bot-api-secret-token"


def called(update: object, secret: str = SECRET) -> Raw:
    """A request as Telegram makes it."""
    body = update if isinstance(update, bytes) else orjson.dumps(update)
    return Raw("POST", f"{PUBLIC}/webhooks/telegram", {HEADER: secret}, "", body)


class TestTelegram(ChannelContract):
    person = Address("", str(ADA))
    space = str(GROUP)
    role = ""

    @pytest.fixture(autouse=True)
    def _played(self) -> Iterator[None]:
        """A Telegram where somebody asks to be let into a group; it finds nothing wrong with what it is asked."""
        with TelegramFake() as self.fake:
            self.fake.person(ADA)
            self.fake.room(GROUP)
            self.fake.asks_in(ADA, GROUP)
            self.url = self.fake.url
            yield
            assert self.fake.complaints == [], self.fake.complaints

    def make(self) -> Channel:
        return channel_at(self.url, TELEGRAM_MODE="webhook", TELEGRAM_WEBHOOK_SECRET=SECRET)

    def genuine(self) -> Sequence[Raw]:
        updates = (
            self.fake.says(ADA, "/buy"),
            self.fake.says(ADA, "long " * 900, caption="x" * 70_000),
            self.fake.presses(ADA, "/buy credits-10"),
            self.fake.blocks(ADA),
            self.fake.asks_in(ADA, GROUP),
            self.fake.moves(ADA, GROUP, "member"),
        )
        return [called(update) for update in updates]

    def forged(self) -> Sequence[Raw]:
        good = called(self.fake.says(ADA, "/buy"))
        return [
            replace(good, headers={}),
            replace(good, headers={HEADER: SECRET[:-1]}),
            replace(good, headers={HEADER: "ż"}),
            replace(good, method="GET"),
            called(b"{"),
            called(b"[]"),
            called(b'{"update_id": "1"}'),
        ]

    def seen(self) -> list[str]:
        return [message["text"] for message in self.fake.said_to(ADA)]

    def links(self) -> list[str]:
        rows = [row for one in self.fake.said_to(ADA) for row in one.get("reply_markup", {}).get("inline_keyboard", [])]
        return [button["url"] for row in rows for button in row if "url" in button]

    def cut_off(self) -> None:
        self.url = "http://127.0.0.1:9"
