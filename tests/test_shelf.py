"""A catalogue that is edited while Paydesk runs: taken whole or not at all, and what was sold stays as it was."""

from __future__ import annotations

import json
import logging
import os
from collections.abc import Callable
from pathlib import Path

import pytest

from conftest import CATALOG, settings_for
from desk import running_desk
from paydesk import pushing
from paydesk.service import Service
from paydesk.shelf import Shelf, unpushed
from sandbox_fixtures import Sandbox, until

TEXT = CATALOG.read_text(encoding="utf-8")
CHEAPER = TEXT.replace('"9.99"', '"7.99"')
BAD = TEXT.replace('"9.99"', '"9.999"')


@pytest.fixture
def path(tmp_path: Path) -> Path:
    (tmp_path / "catalog.toml").write_text(TEXT, encoding="utf-8")
    return tmp_path / "catalog.toml"


def amount(shelf: Shelf) -> int:
    return shelf.catalog.prices["credits-10"].amount


def test_an_edit_is_taken_over_once_it_has_rested(path: Path) -> None:
    shelf = Shelf(path, {})
    assert not shelf.look()
    path.write_text(CHEAPER, encoding="utf-8")
    assert (shelf.look(), amount(shelf)) == (False, 999)  # somebody may still be writing
    assert (shelf.look(), amount(shelf)) == (True, 799)
    assert not shelf.look()


def test_a_file_that_is_being_written_is_not_read(path: Path) -> None:
    shelf = Shelf(path, {})
    sold = len(shelf.catalog.products)
    for end in range(200, len(CHEAPER), 200):
        path.write_text(CHEAPER[:end], encoding="utf-8")
        assert not shelf.look()
        assert len(shelf.catalog.products) == sold
    path.write_text(CHEAPER, encoding="utf-8")
    assert [shelf.look(), shelf.look()] == [False, True]


def test_a_bad_edit_is_refused_whole_with_one_line_and_the_next_good_one_is_taken(
    path: Path, caplog: pytest.LogCaptureFixture
) -> None:
    shelf = Shelf(path, {})
    for text in (BAD, None):
        caplog.clear()
        path.unlink() if text is None else path.write_text(text, encoding="utf-8")
        assert [shelf.look() for _ in range(5)] == [False] * 5
        assert [record.levelno for record in caplog.records] == [logging.ERROR]
        assert f"the one before stays in use: {path}" in caplog.text
        assert amount(shelf) == 999
    other = path.with_suffix(".new")
    other.write_text(CHEAPER, encoding="utf-8")
    os.replace(other, path)  # as careful editors write
    assert [shelf.look(), shelf.look()] == [False, True]
    assert amount(shelf) == 799


async def test_prices_that_were_not_pushed_as_they_are_now_are_known(service: Service) -> None:
    assert await unpushed(service.store, service.catalog) == list(service.catalog.prices)
    await pushing.push(service.store, service.gateway, service.catalog)
    assert await unpushed(service.store, service.catalog) == []


def test_a_running_desk_sells_at_the_new_price_and_honours_the_old_order(
    new_database: Callable[[], str], stripe_sandbox: Sandbox, path: Path, capfd: pytest.CaptureFixture[str]
) -> None:
    settings = settings_for(
        new_database(), stripe_sandbox.url, PAYDESK_CATALOG=str(path), STRIPE_EVENTS="poll", PAYDESK_LOG="json"
    )
    with running_desk(settings, stripe_sandbox, "--workers", "2", webhooks=False) as desk:
        log = Log(capfd)
        early, late = desk.buyer(), desk.buyer()
        assert desk.command("catalog", "push").returncode == 0
        order = early.checkout("credits-10")
        path.write_text(CHEAPER.replace("amount = 10 }", "amount = 12 }"), encoding="utf-8")
        log.until("as the catalogue says: credits-10; what mends it: paydesk catalog push", times=2)
        assert "Pay $7.99" in str(late.say("/buy credits-10"))
        cheaper = late.checkout("credits-10")
        assert (order["amount"], cheaper["amount"]) == (999, 799)
        log.until("price credits-10 ($7.99) is not in Stripe")
        assert early.pay(order).status_code == late.pay(cheaper).status_code == 200
        desk.settled(order["id"])
        desk.settled(cheaper["id"])
        assert (early.balance(), late.balance()) == (10, 12)
        path.write_text(BAD, encoding="utf-8")
        log.until("is refused, the one before stays in use", times=2)
        assert "Pay $7.99" in str(late.say("/buy credits-10"))
        assert desk.command("catalog", "push").returncode == 2
    assert all(json.loads(line)["message"] for line in log.text.splitlines())


class Log:
    """What the processes of a desk have logged."""

    def __init__(self, capfd: pytest.CaptureFixture[str]) -> None:
        self._capfd = capfd
        self.text = ""

    def until(self, words: str, *, times: int = 1) -> None:
        until(lambda: self._count(words) == times, what=words)

    def _count(self, words: str) -> int:
        self.text += self._capfd.readouterr().err
        return self.text.count(words)
