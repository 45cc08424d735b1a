"""A purchase survives a kill at every moment at which it touches the world."""

from __future__ import annotations

from collections import Counter
from collections.abc import Callable
from pathlib import Path

import pytest

from conftest import settings_for
from faults import Flow, Journal, Run, every_moment, report
from flows import BY_API, IN_CHAT
from paydesk.config import load
from sandbox_fixtures import running_sandbox

POINTS_MIN = 400
MOMENTS_MIN = 80
CLOSE = 5
"""By so many points may one run be shorter than another: events that are heard at once share their commits by chance."""


@pytest.mark.parametrize("flow", [IN_CHAT, BY_API], ids=["in the chat", "by the API"])
def test_every_moment_of_a_purchase(
    flow: Flow, new_database: Callable[[], str], tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    """Takes a minute: some hundred processes, each of which lives a whole purchase and mends another."""
    with running_sandbox() as sandbox:  # its own: the flow moves the clock
        data = str(tmp_path / "data")
        settings = load(settings_for(new_database(), sandbox.url, PAYDESK_DATA=data), folder=tmp_path)
        run = Run(flow, settings, Journal(tmp_path / "journal"))
        names, chosen = every_moment(run)
    kinds = Counter(name for _, name in run.journal.lines("killed"))
    report(capsys, f"{len(chosen)} moments ({len(names)} points) of {flow.name} killed (seed {run.seed}): "
                   f"{dict(sorted(kinds.items()))}")  # fmt: skip
    assert run.found() == []
    assert len(names) >= POINTS_MIN
    assert kinds.total() >= max(MOMENTS_MIN, len(chosen) - CLOSE)
    assert {name.partition(":")[0] for name in kinds} == {name.partition(":")[0] for name in names}
