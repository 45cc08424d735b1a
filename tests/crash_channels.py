"""What is done on platforms survives a kill at every moment: Stars that are paid and go back, a role that is lent."""

from __future__ import annotations

from collections.abc import Callable
from functools import partial
from pathlib import Path

import pytest

from conftest import CATALOG, settings_for
from faults import CLOSE, Journal, Run, killed_at_every_moment
from flows_outside import ROLE, STARS, role_catalog, telegram_at
from paydesk.config import load
from sandbox_fixtures import running_sandbox
from stage import DOOR, running_stage

STARS_CATALOG = CATALOG.with_name("catalog_telegram.toml")
MOMENTS = 18


def test_every_moment_of_a_purchase_in_stars(
    new_database: Callable[[], str], tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    with running_sandbox() as sandbox, running_stage("telegram") as stage:
        settings = settings_for(
            new_database(), sandbox.url, PAYDESK_DATA=str(tmp_path / "data"), PAYDESK_CATALOG=str(STARS_CATALOG),
            **{DOOR: stage.door},
        )  # fmt: skip
        channels = partial(telegram_at, stage.facts["url"])
        run = Run(STARS, load(settings, folder=tmp_path), Journal(tmp_path / "journal"), channels=lambda: [channels()])
        _, kinds = killed_at_every_moment(run, capsys, most=MOMENTS)
    assert kinds.total() >= MOMENTS - CLOSE
    assert {"send:before", "send:after"} <= set(kinds)


def test_every_moment_of_a_role_that_is_lent(
    new_database: Callable[[], str], tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    with running_sandbox() as sandbox, running_stage("discord") as stage:  # its own sandbox: the flow moves the clock
        discord = {name: value for name, value in stage.facts.items() if name.startswith("DISCORD_")}
        settings = settings_for(
            new_database(), sandbox.url, PAYDESK_DATA=str(tmp_path / "data"),
            PAYDESK_CATALOG=str(role_catalog(tmp_path, stage)), **{DOOR: stage.door}, **discord,
        )  # fmt: skip
        run = Run(ROLE, load(settings, folder=tmp_path), Journal(tmp_path / "journal"))
        _, kinds = killed_at_every_moment(run, capsys, most=MOMENTS)
    assert kinds.total() >= MOMENTS - CLOSE
