"""What Telegram tells us: by webhook or poll, forged, twice, through outages and deaths; nothing lost, nothing doubled."""

from __future__ import annotations

import signal
import subprocess
import sys
from collections.abc import Callable, Iterator
from typing import Any

import httpx
import pytest

from desk import Desk, clean_environ, start_service
from fakes.telegram import BOT, TelegramFake
from sandbox_fixtures import Sandbox, until
from telegram_desk import ATTIC, LOUNGE, OFFICE, SECRET, Line, Person, office, started, telegram_settings

Json = dict[str, Any]


@pytest.fixture(scope="module")
def fake() -> Iterator[TelegramFake]:
    with TelegramFake() as played:
        for room, kind in ((LOUNGE, "supergroup"), (ATTIC, "group"), (OFFICE, "supergroup")):
            played.room(room, kind)
        yield played
        assert played.complaints == [], played.complaints


@pytest.fixture(scope="module")
def line(fake: TelegramFake) -> Iterator[Line]:
    """The line to Telegram."""
    made = Line(fake.url)
    yield made
    made.down()


@pytest.fixture(scope="module")
def desk(new_database: Callable[[], str], stripe_sandbox: Sandbox, fake: TelegramFake, line: Line) -> Iterator[Desk]:
    """A desk that is called by Telegram; tests that come later let it poll."""
    mode = {"TELEGRAM_MODE": "webhook", "TELEGRAM_WEBHOOK_SECRET": SECRET, "TELEGRAM_API_BASE": line.url}
    running = started(telegram_settings(new_database(), stripe_sandbox, fake, **mode), stripe_sandbox)
    yield running
    running.stop()


def arrivals(desk: Desk) -> int:
    return int(desk.sql("SELECT count(*) AS n FROM inbox WHERE source = 'telegram'")[0]["n"])


def handled(desk: Desk, update: Json) -> bool:
    """Whether an update was taken in and acted upon."""
    rows = desk.sql("SELECT state FROM inbox WHERE external_id = $1", f"{BOT['id']}:{update['update_id']}")
    return [row["state"] for row in rows] == ["done"]


def check(desk: Desk, *more: str) -> dict[str, str]:
    """What `paydesk check` says about Telegram, a line for each thing that it looks at."""
    printed = desk.command("check", *more).stdout
    lines = [one for one in printed.splitlines() if "elegram" in one or "TELEGRAM" in one]
    found = {one[5:].partition(": ")[0]: one for one in lines}
    assert len(found) >= len(lines) - 1, printed  # the rule of the platform has a colon of its own
    return found


# --- called by Telegram ----------------------------------------------------------------------------------------------


def test_an_update_that_is_called_in_is_answered_once_however_often_it_comes(desk: Desk, fake: TelegramFake) -> None:
    ada = Person(fake, desk)
    until(lambda: fake.webhook["url"] == f"{desk.url}/webhooks/telegram", what="the webhook")
    update = fake.says(ada.number, "/start")
    ada.hears("Hello")
    headers = {"X-Telegram-Bot-Api-Secret-Token": SECRET}
    for _ in range(3):
        assert httpx.post(f"{desk.url}/webhooks/telegram", json=update, headers=headers).status_code == 200
    ada.asks("/balance")
    assert len(ada.read()) == 2
    ada.buys("credits-10")
    ada.hears("Paid $9.99")


def test_what_somebody_corrects_is_answered_as_if_said_anew_and_once(desk: Desk, fake: TelegramFake) -> None:
    ada = Person(fake, desk)
    ada.asks("/start")
    typed = fake.says(ada.number, "hm")
    ada.hears("I did not")
    corrected = fake.edits(ada.number, typed, "/balance")
    until(lambda: handled(desk, corrected), what="the correction")
    desk.quiet()
    heard = len(ada.read())
    headers = {"X-Telegram-Bot-Api-Secret-Token": SECRET}
    for _ in range(2):
        assert httpx.post(f"{desk.url}/webhooks/telegram", json=corrected, headers=headers).status_code == 200
    wish = fake.edits(ada.number, fake.edits(ada.number, typed, "well, perhaps"), "10 credits, please!")
    place = fake.edits(ada.number, typed, None, location={"latitude": 52.4, "longitude": 16.9})
    until(lambda: handled(desk, wish) and arrived(desk, place), what="all of them")
    desk.quiet()
    (offer,) = ada.read()[heard:]
    assert offer["text"].startswith("10 credits")


def arrived(desk: Desk, update: Json) -> bool:
    """Whether an update was taken in, whatever it meant."""
    return bool(desk.sql("SELECT 1 FROM inbox WHERE external_id = $1", f"{BOT['id']}:{update['update_id']}"))


def test_what_is_forged_malformed_or_too_large_is_refused_and_nothing_of_it_stored(desk: Desk) -> None:
    desk.quiet()
    before = arrivals(desk)
    good = {"X-Telegram-Bot-Api-Secret-Token": SECRET}
    update = b'{"update_id": 5, "message": {"text": "/buy"}}'
    cases: list[tuple[int, str, dict[str, str], bytes]] = [
        (401, "POST", {}, update),
        (401, "POST", {"X-Telegram-Bot-Api-Secret-Token": SECRET[:-1]}, update),
        (401, "POST", {"X-Telegram-Bot-Api-Secret-Token": SECRET + "x"}, update),
        (405, "GET", good, b""),
        (405, "PUT", good, update),
        (400, "POST", good, b"{"),
        (400, "POST", good, b"[]"),
        (400, "POST", good, b'{"update_id": "7"}'),
        (400, "POST", good, b'{"update_id": -1}'),
        (400, "POST", good, b"\xff\xfe"),
        (413, "POST", good, b" " * (1024 * 1024 + 1)),
        (400, "POST", {**good, "Content-Encoding": "gzip"}, update),
    ]
    for status, method, headers, body in cases:
        answer = httpx.request(method, f"{desk.url}/webhooks/telegram", headers=headers, content=body)
        assert answer.status_code == status, (status, method, body[:40], answer.text)
    assert arrivals(desk) == before


# --- from webhook to poll --------------------------------------------------------------------------------------------


def test_the_doctor_has_a_line_for_each_thing_and_mends_what_it_can(desk: Desk, fake: TelegramFake) -> None:
    ada = Person(fake, desk)
    update = fake.says(ada.number, "/start")
    ada.hears("Hello")
    good = check(desk)
    assert all(line.startswith("ok ") for line in good.values()), good
    assert "@desk_bot" in good["Telegram bot"]
    assert good["Telegram webhook"].endswith("/webhooks/telegram")
    assert {"TELEGRAM_ADMIN_CHAT", f"Telegram chat {LOUNGE}", f"Telegram chat {ATTIC}"} <= set(good)
    assert good["telegram"].endswith("a price has no `stars`: attic, lounge, tokens")

    desk.settings["TELEGRAM_MODE"] = "poll"
    fake.members[LOUNGE][BOT["id"]]["can_invite_users"] = False
    bad = check(desk)
    assert bad["Telegram intake"].startswith("BAD")
    assert "paydesk check --fix" in bad["Telegram intake"]
    assert "Invite users via link" in bad[f"Telegram chat {LOUNGE}"]
    assert "BAD" not in check(desk, "--fix")["Telegram intake"]
    assert fake.webhook["url"] == ""
    fake.members[LOUNGE][BOT["id"]]["can_invite_users"] = True
    fake.waiting.append(update)  # the same one comes once more, by the other way
    desk.stop()
    desk.process = start_service(desk.settings, desk.port)
    ada.asks("/balance")
    assert len([text for text in ada.texts() if "Hello" in text]) == 1


# --- outages and deaths ----------------------------------------------------------------------------------------------


def test_telegram_away_or_short_of_breath_loses_nothing_and_doubles_nothing(
    desk: Desk, fake: TelegramFake, line: Line
) -> None:
    ada, ben = Person(fake, desk), Person(fake, desk)
    offer = ada.asks("/buy credits-10")[0]
    line.down()
    order = ada.pays(offer)
    fake.says(ben.number, "/balance")
    until(lambda: desk.get(f"/v1/orders/{order['id']}")["status"] == "fulfilled", what="the order")
    slow = {"ok": False, "error_code": 429, "description": "Too Many Requests: retry after 1",
            "parameters": {"retry_after": 1}}  # fmt: skip
    fake.fail_next("sendMessage", 429, slow, times=3)
    fake.fail_next("getUpdates", 502, b"<html>Bad Gateway</html>")
    line.up()
    ada.hears("Paid $9.99", patience_s=30)
    ben.hears("You have nothing yet", patience_s=30)
    desk.quiet()
    assert (len(ada.read()), len(ben.read())) == (2, 1)


def test_killed_before_telegram_was_told_that_an_update_is_safe_it_comes_again_and_counts_once(
    desk: Desk, fake: TelegramFake
) -> None:
    ada, ben = Person(fake, desk), Person(fake, desk)
    ada.asks("/start")
    fake.fail_next("getUpdates", 500, {"ok": False, "error_code": 500, "description": "Internal"}, times=1000)
    told = fake.says(ada.number, "/balance")
    until(lambda: len(ada.read()) == 2, what="an answer")
    desk.quiet()
    assert told in fake.waiting, "Telegram has not been told that it is safe"
    assert desk.stop(signal.SIGKILL) == -signal.SIGKILL
    fake.says(ben.number, "/balance")
    fake.forgive()
    desk.sql("DELETE FROM lease")  # as after half a minute
    desk.process = start_service(desk.settings, desk.port)
    ben.hears("You have nothing yet")
    desk.quiet()
    assert len(ada.read()) == 2
    assert handled(desk, told)
    assert fake.waiting == []


def test_of_two_processes_one_polls_and_sends_and_the_other_takes_over(desk: Desk, fake: TelegramFake) -> None:
    ada = Person(fake, desk)
    command = [sys.executable, "-m", "paydesk", "work"]
    other = subprocess.Popen(command, env={**clean_environ(), **desk.settings})
    try:
        until(lambda: len(fake.commands) and fake.asked("setMyCommands"), what="the other process")
        for _ in range(3):
            ada.asks("/balance")
        assert len(ada.read()) == 3
        desk.stop()
        assert len(ada.asks("/balance")) == 1
        until(lambda: len(ada.read()) == 4, what="the other process")
    finally:
        other.terminate()
        other.wait(20)
    desk.process = start_service(desk.settings, desk.port)
    assert not [told for told in office(fake) if "another program" in told], "nobody was told of a second poller"
    assert desk.sql("SELECT id FROM inbox WHERE state = 'quarantined'") == []
