"""A desk that sells roles on a played Discord, and the people there: they type commands, press buttons, pay, come and go."""

from __future__ import annotations

import json
import subprocess
import sys
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import httpx

from conftest import settings_for
from desk import CARD, Desk, clean_environ, running_desk
from fakes.discord import DiscordFake, Guild, Interaction
from fakes.discord_shapes import asking, happened, pressed, slash
from sandbox_fixtures import Sandbox, until

NASTY = "@everyone **{amount}** <@1> `%s` [x](https://evil.example) {}"
"""A product's name that pings, formats and fills in, if anybody lets it."""

COINS, PATRON = "1180218955160375406", "1180218955160375407"
"""What stands for two of the products in Discord's own shop."""

CATALOGUE = """
[products.vip]
name = "VIP"
grace_days = 3
prices = [{{ key = "vip-month", currency = "pln", amount = "19.99", interval = "month" }}]
grants = [{{ kind = "role", channel = "discord", space = "{club}", role = "{vip}" }},
          {{ kind = "feature", feature = "vip" }}]

[products.silver]
name = "Silver"
prices = [{{ key = "silver-month", currency = "usd", amount = "10.00", interval = "month" }}]
grants = [{{ kind = "role", channel = "discord", space = "{guild}", role = "{silver}" }}]

[products.gold]
name = "Gold"
prices = [{{ key = "gold-once", currency = "usd", amount = "99.00" }}]
grants = [{{ kind = "role", channel = "discord", space = "{guild}", role = "{gold}" }}]

[products.tiers]
name = "Every tier"
prices = [{{ currency = "usd", amount = "5.00" }}]
grants = [{tiers}]

[products.credits-10]
name = "10 credits"
prices = [{{ currency = "usd", amount = "9.99" }}]
grants = [{{ kind = "credits", amount = 10 }}]

[products.coins]
name = "100 coins"
prices = [{{ currency = "usd", amount = "4.99", discord_sku = "{coins}" }}]
grants = [{{ kind = "credits", amount = 100, unit = "coins" }}]

[products.patron]
name = "Patron"
prices = [{{ currency = "usd", amount = "5.00", interval = "month", discord_sku = "{patron}" }}]
grants = [{{ kind = "role", channel = "discord", space = "{guild}", role = "{gold}" }}]

[products.nasty]
name = {nasty}
prices = [{{ currency = "usd", amount = "1.00" }}]
grants = [{{ kind = "credits", amount = 1 }}]
"""


@dataclass
class Servers:
    """Two servers, each with its tiers, and the channel where the people of the desk are told things."""

    club: Guild
    guild: Guild
    vip: str
    silver: str
    gold: str
    tiers: list[str]
    admins: str

    def catalogue(self) -> str:
        """What is sold in them."""
        ids = {"club": self.club.id, "guild": self.guild.id, "vip": self.vip, "silver": self.silver, "gold": self.gold,
               "coins": COINS, "patron": PATRON}  # fmt: skip
        grant = '{{ kind = "role", channel = "discord", space = "{}", role = "{}" }}'
        tiers = ", ".join(grant.format(self.guild.id, role) for role in self.tiers)
        return CATALOGUE.format(**ids, tiers=tiers, nasty=json.dumps(NASTY))


def planted(fake: DiscordFake) -> Servers:
    """Two servers of a fresh fake."""
    club, guild = fake.guild(name="The Club"), fake.guild(name="The Guild")
    vip, silver, gold = fake.role(club, "VIP", 3), fake.role(guild, "Silver", 3), fake.role(guild, "Gold", 4)
    tiers = [fake.role(guild, f"Tier {number}", 2) for number in range(5)]
    return Servers(club, guild, vip, silver, gold, tiers, fake.channel(club))


@dataclass
class Shop:
    """A running desk, its Discord and the servers there."""

    desk: Desk
    fake: DiscordFake
    servers: Servers

    def member(self, *guilds: Guild, name: str = "ada", closed: bool = False) -> Member:
        """Somebody new, in these servers."""
        id_ = self.fake.user(name, closed=closed)
        for guild in guilds:
            guild.members[id_] = set()
        return Member(self, id_)

    def alerts(self) -> list[str]:
        """The lines that the people of the desk were told in their channel, oldest first."""
        messages = self.fake.messages[self.servers.admins].values()
        return [line for message in messages for line in message["content"].splitlines()]

    def call(self, payload: Any, *, at_s: float | None = None, **headers: str) -> httpx.Response:
        """Call the desk as Discord does."""
        signed, body = self.fake.signed(payload, at_s)
        return httpx.post(f"{self.desk.url}/webhooks/discord", content=body, headers={**signed, **headers}, timeout=30)

    def happens(self, name: str, told: dict[str, Any], **changes: Any) -> None:
        """Let Discord tell of an entitlement, with what has changed of it."""
        answer = self.call(happened(name, {**told, **changes}, self.fake.application))
        assert answer.status_code == 204, answer.text

    def hasten(self) -> None:
        """Let what is to be tried again later be tried now."""
        self.desk.sql("UPDATE outbox SET next_at = '-infinity' WHERE state = 'ready'")


@dataclass
class Member:
    """Somebody on Discord."""

    shop: Shop
    id: str
    locale: str = "en-US"
    asked: list[Interaction] = field(default_factory=list, repr=False)

    @property
    def customer(self) -> str:
        """Their id at the desk."""
        found = self.shop.desk.get("/v1/customers", channel="discord", external_id=self.id)["data"]
        return str(found[0]["id"])

    @property
    def told(self) -> list[str]:
        """The direct messages that they have, oldest first."""
        return [message["content"] for message in self.shop.fake.told(self.id)]

    def types(self, command: str, *, guild: Guild | None = None, **options: str) -> Interaction:
        """Type a command and have it deferred; the answer follows."""
        return self._asks(2, slash(command, **options), guild=guild)

    def asks(self, command: str, *, guild: Guild | None = None, **options: str) -> dict[str, Any]:
        """Type a command; gives the message that answers it."""
        return answer_of(self.types(command, guild=guild, **options))

    def presses(self, message: dict[str, Any], label: str) -> dict[str, Any]:
        """Press a button under a message; gives the message as it is then."""
        button = next(one for one in buttons(message) if label in one["label"])
        return answer_of(self._asks(3, pressed(button["custom_id"]), message=message))

    def _asks(self, kind: int, data: dict[str, Any], **more: Any) -> Interaction:
        payload = asking(self.shop.fake, self.id, kind, data, locale=self.locale, **more)
        answer = self.shop.call(payload)
        assert answer.status_code == 200, answer.text
        self.shop.fake.answered(payload, answer.json())
        self.asked.append(self.shop.fake.interactions[payload["token"]])
        return self.asked[-1]

    @property
    def reads(self) -> list[dict[str, Any]]:
        """All that they can read: answers, what followed them, and direct messages."""
        answers = [one.original for one in self.asked if one.original is not None]
        return [*answers, *(more for one in self.asked for more in one.follow_ups), *self.shop.fake.told(self.id)]

    def buys(self, product: str, *, guild: Guild | None = None, card: str = CARD) -> dict[str, Any]:
        """Order something in the chat and pay it on Stripe's page; gives the order when it is settled."""
        order = self.pays(self.asks("buy", guild=guild, product=product), card)
        return self.shop.desk.settled(order, "fulfilled") if card == CARD else self.shop.desk.get(f"/v1/orders/{order}")

    def pays(self, offer: dict[str, Any], card: str = CARD) -> str:
        """Press the pay button of an offer and pay on the hosted page; gives the order's id."""
        desk, link = self.shop.desk, link_of(offer)
        hosted = httpx.post(link)
        assert hosted.status_code in (200, 303), hosted.text
        order = desk.sql("SELECT * FROM orders WHERE link_token = $1", link.rpartition("/")[2])[0]
        form = {"payment_method": card, "expected_amount": str(order["amount"])}
        paid = desk.at_stripe("POST", f"/v1/payment_pages/{order['session']}/confirm", form)
        assert paid.is_success == (card == CARD), paid.text
        return str(order["id"])

    def has(self, guild: Guild, role: str) -> bool:
        """Whether they have a role in a server."""
        return role in guild.members.get(self.id, set())

    def subscription(self) -> str:
        """Their newest subscription at Stripe."""
        rows = "SELECT id FROM subscription WHERE customer_id = $1 ORDER BY started_at DESC LIMIT 1"
        return str(self.shop.desk.sql(rows, self.customer)[0]["id"])

    def ends(self) -> None:
        """End their newest subscription at once, at Stripe, as its portal does."""
        answer = self.shop.desk.at_stripe("DELETE", f"/v1/subscriptions/{self.subscription()}")
        assert answer.status_code == 200, answer.text


def answer_of(asked: Interaction, *, patience_s: float = 10) -> dict[str, Any]:
    """The message that answers what was asked."""
    message: dict[str, Any] = until(lambda: asked.original, patience_s=patience_s, what="an answer")
    return message


def buttons(message: dict[str, Any]) -> list[dict[str, Any]]:
    """The buttons under a message."""
    return [button for row in message["components"] for button in row["components"]]


def link_of(message: dict[str, Any]) -> str:
    """Where the pay button of an offer leads."""
    return next(str(button["url"]) for button in buttons(message) if "/r/" in button.get("url", ""))


@contextmanager
def shop_on(
    fake: DiscordFake, servers: Servers, folder: Path, database: str, sandbox: Sandbox, **more: str
) -> Iterator[Shop]:
    """A desk that sells the roles of these servers. Stripe calls it, unless it polls."""
    catalogue = folder / "catalog.toml"
    catalogue.write_text(servers.catalogue(), encoding="utf-8")
    ours = fake.environ(
        PAYDESK_CATALOG=str(catalogue), DISCORD_ADMIN_CHANNEL=servers.admins,
        DISCORD_INVITE=f"{servers.club.id}=https://discord.gg/club", **more,
    )  # fmt: skip
    called = more.get("STRIPE_EVENTS") != "poll"
    with running_desk(settings_for(database, sandbox.url, **ours), sandbox, webhooks=called) as desk:
        yield Shop(desk, fake, servers)


@contextmanager
def working(desk: Desk) -> Iterator[subprocess.Popen[bytes]]:
    """One more process beside the service: `paydesk work`."""
    command = [sys.executable, "-m", "paydesk", "work"]
    process = subprocess.Popen(command, env={**clean_environ(), **desk.settings, "PYTHONUNBUFFERED": "1"})
    try:
        yield process
    finally:
        process.terminate()
        process.wait(30)
