"""A Discord bot with hikari that keeps something for members, and now sells membership.

pip install paydesk hikari
DISCORD_BOT_TOKEN=… PAYDESK_URL=https://pay.example.com PAYDESK_API_KEY=pdk_… python bot_hikari.py
"""

from __future__ import annotations

import asyncio
import json
import logging
import os
from collections.abc import Sequence
from pathlib import Path
from typing import Final

import hikari

from paydesk import AsyncPaymentManager
from paydesk.errors import PaydeskError
from paydesk.library_shapes import Button

ASKED = {"buy": "What there is to buy", "balance": "What I have", "history": "What I bought", "billing": "My subscriptions",
         "plan": "Change one", "cancel": "End one", "help": "Help"}  # fmt: skip
MARK = "pay:"  # how the buttons of the pay desk are told from your own
LATER = Path(os.environ.get("BOT_STATE", "bot_state.json"))  # who is told later messages, and which was the last
SHOW: Final = hikari.ResponseType.MESSAGE_CREATE
THINKING: Final = hikari.ResponseType.DEFERRED_MESSAGE_CREATE
Asked = hikari.CommandInteraction | hikari.ComponentInteraction

log = logging.getLogger("bot")
payments = AsyncPaymentManager()
last_told: dict[str, int] = json.loads(LATER.read_text()) if LATER.exists() else {}
beside: list[asyncio.Task[None]] = []
bot = hikari.GatewayBot(
    os.environ["DISCORD_BOT_TOKEN"],
    intents=hikari.Intents.NONE,
    rest_url=os.environ.get("DISCORD_API_BASE"),
    banner=None,
)


@bot.listen()
async def begin(_event: hikari.StartedEvent) -> None:
    """Tell Discord the commands, and start what runs beside them."""
    me = await bot.rest.fetch_my_user()
    commands = [
        bot.rest.slash_command_builder(name, about) for name, about in {**ASKED, "secret": "For members"}.items()
    ]
    commands[0].add_option(hikari.CommandOption(type=hikari.OptionType.STRING, name="product", description="Which one"))
    await bot.rest.set_application_commands(me.id, commands)
    beside.append(asyncio.create_task(tell_later()))


@bot.listen()
async def end(_event: hikari.StoppingEvent) -> None:
    """Stop it, and let go of the pay desk."""
    for task in beside:
        task.cancel()
    await payments.close()


@bot.listen()
async def asked(event: hikari.InteractionCreateEvent) -> None:
    """A command, or a button of the pay desk: as if its command had been typed."""
    said = event.interaction
    if isinstance(said, hikari.CommandInteraction) and said.command_name == "secret":
        await secret(said)
    elif isinstance(said, hikari.CommandInteraction):
        words = [f"/{said.command_name}", *(str(option.value) for option in said.options or ())]
        await ask(said, " ".join(words))
    elif isinstance(said, hikari.ComponentInteraction) and said.custom_id.startswith(MARK):
        await ask(said, said.custom_id.removeprefix(MARK))


async def secret(said: hikari.CommandInteraction) -> None:
    """What this bot does: it is for those who have a pass."""
    if await payments.access(("discord", said.user.id), "premium"):
        await said.create_initial_response(SHOW, "The secret is 42.", flags=hikari.MessageFlag.EPHEMERAL)
    else:
        await ask(said, "/buy access-30d")


async def ask(said: Asked, text: str) -> None:
    """Pass on what somebody said, once, and show the answers to them alone. Discord waits three seconds, so defer first."""
    await said.create_initial_response(THINKING, flags=hikari.MessageFlag.EPHEMERAL)
    person = said.user.id
    last_told.setdefault(str(person), 0)
    try:
        replies = await payments.say("discord", person, text, said.locale, idempotency_key=f"interaction:{said.id}")
    except PaydeskError:
        log.exception("the pay desk did not answer")
        await said.edit_initial_response("The pay desk is closed for a moment: try again soon.")
        return
    for number, reply in enumerate(replies):
        if number == 0:
            await said.edit_initial_response(plain(reply.text), components=rows(reply.buttons))
        else:
            await said.execute(plain(reply.text), components=rows(reply.buttons), flags=hikari.MessageFlag.EPHEMERAL)


def plain(text: str) -> str:
    """Return words that Discord shows as they are; hikari lets no message call anybody unless asked to."""
    return "".join(f"\\{sign}" if sign in "\\*_`~|>#[<@" else sign for sign in text)[:2000]


def rows(buttons: Sequence[Button]) -> list[hikari.api.MessageActionRowBuilder]:
    """Return the buttons, five in a row; a link opens, the others come back with the mark."""
    made = [bot.rest.build_message_action_row() for _ in range(0, min(len(buttons), 25), 5)]
    for number, one in enumerate(buttons[:25]):
        if one.url:
            made[number // 5].add_link_button(one.url, label=one.label[:80])
        else:
            made[number // 5].add_interactive_button(
                hikari.ButtonStyle.SECONDARY, f"{MARK}{one.command}", label=one.label[:80]
            )
    return made


def remember(person: str, number: int) -> None:
    """Keep which message somebody was told last, so that a restart tells none again."""
    last_told[person] = number
    LATER.write_text(json.dumps(last_told))


async def tell_later() -> None:
    """Send what comes by itself, such as "your payment has arrived", as it comes; at least once."""
    while True:
        for person, after in list(last_told.items()):
            try:
                for message in await payments.messages("discord", person, after=after):
                    if message.direction == "out":
                        channel = await bot.rest.create_dm_channel(int(person))
                        await channel.send(plain(message.text), components=rows(message.buttons))
                    remember(person, message.id)
            except hikari.ForbiddenError:  # they take no direct messages
                last_told.pop(person, None)
            except (PaydeskError, hikari.HikariError) as error:  # the next round tries again
                log.warning("later messages wait: %s", error)
        await asyncio.sleep(1)


if __name__ == "__main__":
    bot.run()
