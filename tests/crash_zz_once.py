"""Take each flow once uncut and print findings, points and times."""
import time, sys
from pathlib import Path
import pytest
from conftest import settings_for
from faults import Journal, Run, report
from flows_money import MONEY_FLOWS
from crash_money import moments
from paydesk.config import load
from sandbox_fixtures import running_sandbox

@pytest.mark.parametrize("name", MONEY_FLOWS)
def test_once(name, new_database, tmp_path, capsys):
    with running_sandbox() as sandbox:
        settings = load(settings_for(new_database(), sandbox.url, PAYDESK_DATA=str(tmp_path/'data')), folder=tmp_path)
        run = Run(MONEY_FLOWS[name], settings, Journal(tmp_path / "journal"))
        names = run.points()
        t=time.time()
        run.end()
        report(capsys, f"{name}: {len(names)} points, {len(moments(names))} moments, end {time.time()-t:.2f}")
    assert run.found() == []
