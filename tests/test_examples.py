"""The examples, each as a process against a played platform: commands, buttons, a purchase, and what comes later."""

from __future__ import annotations

import signal
import subprocess
import sys
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import pytest

import paydesk
from desk import Buyer, Desk, clean_environ
from fakes.discord_bots import BotsDiscord
from fakes.telegram import TOKEN, TelegramFake
from sandbox_fixtures import until

EXAMPLES = Path(__file__).parent.parent / "examples"
ADA, BEN = 4242, 4343


@contextmanager
def running(name: str, folder: Path, **environ: str) -> Iterator[subprocess.Popen[str]]:
    """An example as a process in its own folder; at its end it must go when asked to, without a traceback."""
    source = str(Path(paydesk.__file__).parent.parent)
    log = (folder / "log").open("w+")
    process = subprocess.Popen(
        [sys.executable, str(EXAMPLES / name)], cwd=folder, text=True, stdin=subprocess.PIPE, stdout=log, stderr=log,
        env={**clean_environ(), "PYTHONPATH": source, "USER": "ada", **environ},
        preexec_fn=lambda: signal.signal(signal.SIGINT, signal.SIG_DFL),  # a shell in the background lets it be ignored
    )  # fmt: skip
    try:
        yield process
        time.sleep(0.5)  # what it has just been answered, it shall have read
    finally:
        process.send_signal(signal.SIGINT)
        process.communicate(timeout=60)  # a library may wait for the other side of a connection
        log.seek(0)
        said = log.read()
        log.close()
        sys.stderr.write(said)
    assert "Traceback" not in said


def desk_of(desk: Desk) -> dict[str, str]:
    return {"PAYDESK_URL": desk.url, "PAYDESK_API_KEY": desk.key}


def buy(desk: Desk, link: str, who: Buyer) -> None:
    """Pay what a link in the chat leads to, as its page does."""
    token = link.rpartition("/r/")[2]
    (order,) = desk.sql("SELECT id, amount FROM orders WHERE link_token = $1", token)
    assert desk.call("POST", f"/r/{token}").status_code in (200, 303)
    session = desk.get(f"/v1/orders/{order['id']}")["session"]
    who.pay({"session": session, "amount": order["amount"]})
    desk.settled(order["id"])


# --- Telegram ------------------------------------------------------------------------------------------------------------


@pytest.fixture(scope="module")
def telegram() -> Iterator[TelegramFake]:
    with TelegramFake() as fake:
        yield fake


def types(fake: TelegramFake, person: int, text: str) -> None:
    """Somebody types a command, which Telegram marks as one."""
    fake.says(person, text, entities=[{"type": "bot_command", "offset": 0, "length": len(text.partition(" ")[0])}])


def buttons_of(message: dict[str, Any]) -> list[dict[str, Any]]:
    return [button for row in message.get("reply_markup", {}).get("inline_keyboard", []) for button in row]


@pytest.mark.parametrize("name", ["bot_aiogram.py", "bot_python_telegram_bot.py"])
def test_a_telegram_bot_sells_what_it_does(name: str, desk: Desk, telegram: TelegramFake, tmp_path: Path) -> None:
    telegram.reset()
    person = ADA if name == "bot_aiogram.py" else BEN
    telegram.person(person)
    asks, product = ("/draw", "credits-10") if person == ADA else ("/secret", "access-30d")
    environ = {**desk_of(desk), "TELEGRAM_BOT_TOKEN": TOKEN, "TELEGRAM_API_BASE": telegram.url}
    said: Callable[[], list[dict[str, Any]]] = lambda: telegram.said_to(person)  # noqa: E731
    who = Buyer(desk, "telegram", str(person))
    with running(name, tmp_path, **environ):
        types(telegram, person, "/start")
        until(said, patience_s=30, what="the first answer")
        assert {one["callback_data"] for one in buttons_of(said()[0])} == {"pay:/buy", "pay:/balance", "pay:/help"}

        telegram.presses(person, "pay:/balance")
        until(lambda: len(said()) == 2, what="the balance")
        types(telegram, person, asks)
        until(lambda: len(said()) == 3, what="the offer")
        types(telegram, person, f"/buy {product}")
        until(lambda: len(said()) == 4, what="the link")
        link = next(one["url"] for one in buttons_of(said()[-1]) if "url" in one)
        buy(desk, link, who)
        until(lambda: len(said()) == 5, what="the news")
        types(telegram, person, asks)
        until(lambda: len(said()) == 6, what="what was bought")
        assert said()[5]["text"] in ("( •_•)", "The secret is 42.")
    assert telegram.complaints == []
    if person == ADA:
        assert who.balance() == 9
        return
    with running(name, tmp_path, **environ):  # what was told once is not told again: the next news come next
        types(telegram, person, "/buy supporter-usd")
        until(lambda: len(said()) == 7, patience_s=30, what="another link")
        buy(desk, next(one["url"] for one in buttons_of(said()[-1]) if "url" in one), who)
        until(lambda: "$5.00" in said()[-1]["text"] and len(said()) > 7, what="other news")
    assert len(said()) == 8
    assert telegram.complaints == []


# --- Discord -------------------------------------------------------------------------------------------------------------


def pressable(message: dict[str, Any]) -> list[dict[str, Any]]:
    return [button for row in message["components"] for button in row["components"]]


@pytest.mark.parametrize("name", ["bot_discord_py.py", "bot_hikari.py"])
def test_a_discord_bot_sells_what_it_does(name: str, desk: Desk, tmp_path: Path) -> None:
    product, asks = ("credits-10", "ask") if name == "bot_discord_py.py" else ("access-30d", "secret")
    words = {"question": "Why?"} if asks == "ask" else {}
    with BotsDiscord() as discord:
        person = discord.user("ada")
        discord.guild(person)
        who = Buyer(desk, "discord", person)
        environ = {**desk_of(desk), "DISCORD_BOT_TOKEN": discord.token, "DISCORD_API_BASE": discord.base}
        environ["DISCORD_GATEWAY"] = discord.gateway.url
        with running(name, tmp_path, **environ):
            until(lambda: discord.gateway.connected and discord.commands, patience_s=60, what="the bot")
            assert {"buy", "balance", "history", "billing", "cancel", asks} <= {one["name"] for one in discord.commands}
            discord.types(person, asks, **words)
            until(lambda: discord.answers() or discord.complaints, what="the offer")
            assert discord.complaints == []
            if asks == "ask":
                button = next(one for one in pressable(discord.answers()[0]) if product in one.get("custom_id", ""))
                discord.presses(person, discord.answers()[0], button["custom_id"])
                until(lambda: len(discord.answers()) == 2, what="the link")
            link = next(one["url"] for one in pressable(discord.answers()[-1]) if "url" in one)
            buy(desk, link, who)
            (news,) = until(lambda: discord.told(person), what="the news")
            assert news["content"]
            discord.types(person, asks, **words)
            (shown,) = until(lambda: discord.shown, what="what was bought")
            assert shown["content"] in ("It d", "The secret is 42.")
            before = len(discord.answers())
            discord.types(person, "buy", product="credits-10")
            until(lambda: len(discord.answers()) == before + 1, what="another link")
        assert discord.complaints == []
        assert len(discord.told(person)) == 1
    if asks == "ask":
        assert who.balance() == 9


# --- a terminal ----------------------------------------------------------------------------------------------------------


def test_an_agent_in_a_terminal_sells(desk: Desk, tmp_path: Path) -> None:
    def printed() -> str:
        return (tmp_path / "log").read_text()

    with running("agent.py", tmp_path, **desk_of(desk), LC_ALL="C") as agent:
        assert agent.stdin is not None
        until(lambda: "[1]" in printed(), patience_s=30, what="the first answer")
        agent.stdin.write("/buy credits-10\n")
        agent.stdin.flush()
        until(lambda: "/r/" in printed(), what="the link")
        link = next(word for word in printed().split() if "/r/" in word)
        buy(desk, link, Buyer(desk, "terminal", "ada"))
        until(lambda: "10 credits" in printed().partition(link)[2], what="the news")
        agent.stdin.write("/start\n2\n")
        agent.stdin.flush()
        until(lambda: "10" in printed().rpartition("[3]")[2], what="the balance")


def test_an_agent_says_what_is_wrong_with_its_key(desk: Desk, tmp_path: Path) -> None:
    ended = subprocess.run(
        [sys.executable, str(EXAMPLES / "agent.py"), "--url", desk.url, "--key", "pdk_unknown"],
        cwd=tmp_path, capture_output=True, text=True, timeout=60, check=False,
    )  # fmt: skip
    assert ended.returncode == 1
    assert "API key is unknown" in ended.stderr
    assert "Traceback" not in ended.stderr
