"""A purchase survives a kill at every point where it touches the world."""

from __future__ import annotations

from collections import Counter
from collections.abc import Callable
from pathlib import Path

import pytest

from conftest import settings_for
from faults import Flow, Journal, Run, every_point, report
from flows import BY_API, IN_CHAT
from paydesk.config import load
from sandbox_fixtures import running_sandbox

POINTS_MIN = 150


@pytest.mark.parametrize("flow", [IN_CHAT, BY_API], ids=["in the chat", "by the API"])
def test_every_io_point_of_a_purchase(
    flow: Flow, new_database: Callable[[], str], tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    with running_sandbox() as sandbox:  # its own: the flow moves the clock
        data = str(tmp_path / "data")
        settings = load(settings_for(new_database(), sandbox.url, PAYDESK_DATA=data), folder=tmp_path)
        run = Run(flow, settings, Journal(tmp_path / "journal"))
        points = every_point(run)
    kinds = Counter(name for _, name in run.journal.lines("killed"))
    report(capsys, f"{points} points of {flow.name} killed (seed {run.seed}): {dict(sorted(kinds.items()))}")
    assert run.found() == []
    assert kinds.total() == points >= POINTS_MIN
