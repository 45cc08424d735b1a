"""A Discord bot with discord.py that answers questions, and now is paid for what an answer really costs.

pip install paydesk discord.py
DISCORD_BOT_TOKEN=… PAYDESK_URL=https://pay.example.com PAYDESK_API_KEY=pdk_… python bot_discord_py.py
"""

from __future__ import annotations

import asyncio
import json
import logging
import os
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import discord
from discord import app_commands
from discord.gateway import DiscordWebSocket
from discord.http import Route
from yarl import URL

from paydesk import AsyncPaymentManager
from paydesk.errors import InsufficientCredits, NotFound, PaydeskError
from paydesk.library_shapes import Button

ASKED = {
    "balance": "What I have",
    "history": "What I bought",
    "billing": "My subscriptions",
    "plan": "Change one",
    "cancel": "End one",
    "help": "Help",
}
MARK = "pay:"  # how the buttons of the pay desk are told from your own
LATER = Path(os.environ.get("BOT_STATE", "bot_state.json"))  # who is told later messages, and which was the last
MOST = 5  # credits that an answer costs at most

log = logging.getLogger("bot")
payments = AsyncPaymentManager()
last_told: dict[str, int] = json.loads(LATER.read_text()) if LATER.exists() else {}
Asked = discord.Interaction[discord.Client]


class Bot(discord.Client):
    """The bot: its commands, the pay desk's, and what comes later."""

    def __init__(self) -> None:
        super().__init__(intents=discord.Intents.none())
        self.tree = app_commands.CommandTree(self)
        self.tree.command(name="ask", description="Ask me something")(question)
        self.tree.command(name="buy", description="What there is to buy")(buy)
        for name, about in ASKED.items():
            self.tree.command(name=name, description=about)(passed_on(name))

    async def setup_hook(self) -> None:
        """Tell Discord the commands, and start what runs beside them."""
        await self.tree.sync()
        self.later = asyncio.create_task(tell_later(self))

    async def on_interaction(self, asked: Asked) -> None:
        """A button of the pay desk: as if its command had been typed."""
        data: Any = asked.data or {}
        pressed = str(data.get("custom_id", ""))
        if pressed.startswith(MARK):
            await ask(asked, pressed.removeprefix(MARK))

    async def close(self) -> None:
        """Let go of the pay desk too."""
        await payments.close()
        await super().close()


async def question(asked: Asked, question: str) -> None:
    """What this bot does: credits are set aside first, and taken when it is known how many."""
    person = ("discord", asked.user.id)
    try:
        held = await payments.hold(person, MOST, reason="an answer", idempotency_key=f"ask:{asked.id}")
    except (InsufficientCredits, NotFound):
        await ask(asked, "/buy")
        return
    answer = "It depends."[: len(question)]
    await payments.settle(held, 1 + len(answer) // 10)
    await asked.response.send_message(answer, ephemeral=True)


async def buy(asked: Asked, product: str = "") -> None:
    """What there is to buy."""
    await ask(asked, f"/buy {product}".strip())


def passed_on(name: str) -> Any:
    """Return what a command does that is only passed on."""

    async def command(asked: Asked) -> None:
        await ask(asked, f"/{name}")

    return command


async def ask(asked: Asked, text: str) -> None:
    """Pass on what somebody said, once, and show the answers to them alone. Discord waits three seconds, so defer first."""
    await asked.response.defer(ephemeral=True, thinking=True)
    person, language = asked.user.id, asked.locale.value
    last_told.setdefault(str(person), 0)
    try:
        replies = await payments.say("discord", person, text, language, idempotency_key=f"interaction:{asked.id}")
    except PaydeskError:
        log.exception("the pay desk did not answer")
        await asked.followup.send("The pay desk is closed for a moment: try again soon.", ephemeral=True)
        return
    for reply in replies:
        await asked.followup.send(plain(reply.text), view=view(reply.buttons), ephemeral=True)


def plain(text: str) -> str:
    """Return words that Discord shows as they are, and that call nobody."""
    return discord.utils.escape_mentions(discord.utils.escape_markdown(text))[:2000]


def view(buttons: Sequence[Button]) -> discord.ui.View:
    """Return the buttons; a link opens, the others come back with the mark."""
    shown = discord.ui.View(timeout=None)
    for one in buttons[:25]:
        custom_id = None if one.url else f"{MARK}{one.command}"
        shown.add_item(discord.ui.Button(label=one.label[:80], url=one.url, custom_id=custom_id))
    return shown


def remember(person: str, number: int) -> None:
    """Keep which message somebody was told last, so that a restart tells none again."""
    last_told[person] = number
    LATER.write_text(json.dumps(last_told))


async def tell_later(bot: discord.Client) -> None:
    """Send what comes by itself, such as "your payment has arrived", as it comes; at least once."""
    while True:
        for person, after in list(last_told.items()):
            try:
                for message in await payments.messages("discord", person, after=after):
                    if message.direction == "out":
                        channel = await bot.create_dm(discord.Object(int(person)))
                        await channel.send(plain(message.text), view=view(message.buttons))
                    remember(person, message.id)
            except discord.Forbidden:  # they take no direct messages
                last_told.pop(person, None)
            except (PaydeskError, discord.DiscordException, OSError) as error:  # the next round tries again
                log.warning("later messages wait: %s", error)
        await asyncio.sleep(1)


if __name__ == "__main__":
    Route.BASE = os.environ.get("DISCORD_API_BASE", Route.BASE)
    DiscordWebSocket.DEFAULT_GATEWAY = URL(os.environ.get("DISCORD_GATEWAY", str(DiscordWebSocket.DEFAULT_GATEWAY)))
    Bot().run(os.environ["DISCORD_BOT_TOKEN"])
