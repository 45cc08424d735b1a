"""Whatever is killed at whatever moment: a shop's server hears of every fact, at least once and always under one id."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path

import pytest

from conftest import settings_for
from faults import CLOSE, Journal, Run, killed_at_every_moment
from flows_outside import EVENTS, PLATFORM
from paydesk.config import load
from paydesk.dialing import ALLOW
from sandbox_fixtures import running_sandbox
from stage import DOOR, running_stage

MOMENTS = 18


def test_every_moment_of_what_a_shop_is_told(
    new_database: Callable[[], str], tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    with running_sandbox() as sandbox, running_stage("shop") as stage:
        settings = settings_for(
            new_database(), sandbox.url, PAYDESK_DATA=str(tmp_path / "data"),
            **{DOOR: stage.door, PLATFORM: stage.facts["url"], ALLOW: "127.0.0.1"},
        )  # fmt: skip
        run = Run(EVENTS, load(settings, folder=tmp_path), Journal(tmp_path / "journal"))
        _, kinds = killed_at_every_moment(run, capsys, most=MOMENTS)
    assert kinds.total() >= MOMENTS - CLOSE
