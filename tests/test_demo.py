"""Two demos on one folder: the second is refused, the first goes on."""

from __future__ import annotations

import contextlib
import os
import re
import signal
import subprocess
import sys
from pathlib import Path

import httpx

from desk import clean_environ
from paydesk.store import embedded
from sandbox_fixtures import free_port, until


def demo(folder: Path, *more: str) -> list[str]:
    ports = ["--port", str(free_port()), "--sandbox-port", str(free_port())]
    return [sys.executable, "-m", "paydesk", "demo", "--data", str(folder / "tour"), *ports, *more]


def refused(command: list[str]) -> list[str]:
    """Type a command that is refused with one line and status 2; return the processes that the line names."""
    said = subprocess.run(command, env=clean_environ(), capture_output=True, text=True, timeout=60, check=False)
    assert said.returncode == 2, said.stdout + said.stderr
    assert said.stderr.count("\n") == 1
    assert "a demo runs there already" in said.stderr
    named = re.search(r"\(processes ([\d ]+)\)", said.stderr)
    assert named is not None, said.stderr
    return named[1].split()


def test_a_second_demo_on_the_same_folder_is_refused_and_breaks_nothing(tmp_path: Path) -> None:
    command = demo(tmp_path)
    environ = {**clean_environ(), "PAYDESK_MCP_REFUND_MAX": "20.00 usd"}
    first = subprocess.Popen(command, env=environ, stdout=subprocess.PIPE, text=True)
    assert first.stdout is not None
    processes: list[str] = []
    try:
        until(lambda: "Ctrl-C stops everything" in str(first.stdout and first.stdout.readline()), patience_s=120)
        chat = f"http://127.0.0.1:{command[command.index('--port') + 1]}/chat"
        key = (tmp_path / "tour" / "api.key").read_text()
        may = httpx.get(chat.replace("/chat", "/v1/agent"), headers={"Authorization": f"Bearer {key}"}).json()
        assert may["refunds"] == [{"currency": "usd", "amount_max": 2000, "day_max": 2000}]
        for second in (demo(tmp_path), command, demo(tmp_path, "--exit")):
            processes = refused(second)
            assert processes[0] == str(first.pid)
            assert (first.poll(), httpx.get(chat).status_code) == (None, 200)
        first.kill()
        first.wait()
        assert refused(demo(tmp_path)) == processes  # what a killed demo left behind still has the folder
        assert httpx.get(chat).status_code == 200
    finally:
        first.send_signal(signal.SIGTERM)
        for number in map(int, processes[1:]):
            os.kill(number, signal.SIGTERM)
        first.wait()
        first.stdout.close()
    try:
        again = subprocess.run(
            demo(tmp_path, "--exit"), env=clean_environ(), capture_output=True, text=True, check=False
        )
        while again.returncode == 2:  # they take their time to stop
            again = subprocess.run(again.args, env=clean_environ(), capture_output=True, text=True, check=False)
        assert again.returncode == 0, again.stdout + again.stderr
    finally:
        with contextlib.suppress(OSError):
            embedded.remove(tmp_path / "tour" / "service")
