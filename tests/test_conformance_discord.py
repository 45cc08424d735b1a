"""Discord does what every channel has to do."""

from __future__ import annotations

import json
import time
from collections.abc import Iterator, Sequence
from typing import Any

import pytest

from fakes.discord import DiscordFake
from fakes.discord_shapes import asking, pressed, slash
from fakes.discord_wire import CUT
from paydesk.channels import discord
from paydesk.channels.base import Address, Channel, Raw, Start
from paydesk.channels.conformance import ChannelContract

PUBLIC = "https://pay.example.com"


class Pad:
    """Notes in memory."""

    def __init__(self) -> None:
        self.noted: dict[str, Any] = {}

    async def get(self, key: str) -> Any:
        return self.noted.get(key)

    async def put(self, key: str, value: Any) -> None:
        self.noted[key] = json.loads(json.dumps(value))


@pytest.fixture(scope="module")
def running() -> Iterator[DiscordFake]:
    with DiscordFake() as fake:
        yield fake


class TestDiscord(ChannelContract):
    """The contract, on a played Discord with one server and one person in it."""

    @pytest.fixture(autouse=True)
    def _plant(self, running: DiscordFake) -> Iterator[None]:
        running.forget()
        self.fake = running
        ada = running.user()
        self.person = Address("discord", ada)
        self.guild = running.guild(ada)
        self.space, self.role = self.guild.id, running.role(self.guild, "VIP", 3)
        yield
        assert running.complaints == []

    def make(self) -> Channel:
        pad = Pad()
        return discord.make(Start(self.fake.environ(), lambda name: pad, PUBLIC))

    def genuine(self) -> Sequence[Raw]:
        ada = self.person.external_id
        asked = [
            asking(self.fake, ada, 2, slash("buy", product="vip"), guild=self.guild),
            asking(self.fake, ada, 3, pressed("/balance")),
        ]
        return [self._raw(*self.fake.signed(payload)) for payload in [{"type": 1, "version": 1}, *asked]]

    def forged(self) -> Sequence[Raw]:
        payload = asking(self.fake, self.person.external_id, 2, slash("balance"))
        headers, body = self.fake.signed(payload)
        return [
            self._raw({**headers, "x-signature-ed25519": "0" * 128}, body),
            self._raw(headers, body + b" "),
            self._raw({}, body),
            self._raw(*self.fake.signed(payload, time.time() - 400)),
            self._raw(*self.fake.signed(b"{")),
        ]

    def seen(self) -> list[str]:
        """What people read: Discord shows the sign behind a backslash."""
        return [one["content"].replace("\\", "") for one in self.fake.told(self.person.external_id)]

    def links(self) -> list[str]:
        rows = [row for one in self.fake.told(self.person.external_id) for row in one.get("components", [])]
        return [button["url"] for row in rows for button in row["components"] if "url" in button]

    def cut_off(self) -> None:
        self.fake.fail_next("POST", CUT, times=10)

    def _raw(self, headers: dict[str, str], body: bytes) -> Raw:
        return Raw("POST", f"{PUBLIC}/webhooks/discord", headers, "", body)
