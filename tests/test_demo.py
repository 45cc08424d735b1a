"""The demo beside others: a second one on its folder, one that was killed, and what is set for somebody's real shop."""

from __future__ import annotations

import contextlib
import re
import socket
import subprocess
import sys
from pathlib import Path

import httpx
import pytest

from desk import clean_environ
from paydesk.demo import last_words
from paydesk.store import embedded, postmaster
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


def test_a_second_demo_is_refused_and_one_that_was_killed_leaves_the_folder_to_the_next(tmp_path: Path) -> None:
    """Meanwhile nobody's own bot, mailbox or monitor is spoken to: they are set, and the demo is somebody else's."""
    command = demo(tmp_path)
    with socket.create_server(("127.0.0.1", 0)) as outside, (tmp_path / "said").open("w+") as said:
        outside.setblocking(False)
        address = f"http://127.0.0.1:{outside.getsockname()[1]}"
        environ = {**clean_environ(), **theirs(address), "PAYDESK_MCP_REFUND_MAX": "20.00 usd"}
        first = subprocess.Popen(command, env=environ, stdout=said, stderr=said, text=True)
        try:
            until(lambda: "Ctrl-C stops everything" in (tmp_path / "said").read_text(), patience_s=120)
            chat = f"http://127.0.0.1:{command[command.index('--port') + 1]}/chat"
            key = (tmp_path / "tour" / "api.key").read_text()
            may = httpx.get(chat.replace("/chat", "/v1/agent"), headers={"Authorization": f"Bearer {key}"}).json()
            assert may["refunds"] == [{"currency": "usd", "amount_max": 2000, "day_max": 2000}]
            for second in (demo(tmp_path), command, demo(tmp_path, "--exit")):
                assert refused(second)[0] == str(first.pid)
                assert (first.poll(), httpx.get(chat).status_code) == (None, 200)
            assert re.search(r"catalogue: \d+ lines of news for Stripe", (tmp_path / "said").read_text())
        finally:
            first.kill()
            first.wait()
        try:
            again = subprocess.run(
                demo(tmp_path, "--exit"), env=environ, capture_output=True, text=True, timeout=180, check=False
            )
            assert again.returncode == 0, again.stdout + again.stderr
            assert "catalogue: Stripe has exactly this one" in again.stdout
            with pytest.raises(BlockingIOError):
                outside.accept()
            with pytest.raises(httpx.ConnectError):
                httpx.get(chat)
            assert not postmaster.members((tmp_path / "tour" / "service" / "pg").resolve())
        finally:
            with contextlib.suppress(OSError):
                embedded.remove(tmp_path / "tour" / "service")


def theirs(address: str) -> dict[str, str]:
    """Settings of somebody's real shop, as they stand in a shell."""
    return {
        "TELEGRAM_BOT_TOKEN": "123456789:" + "A" * 35, "TELEGRAM_API_BASE": address, "DISCORD_BOT_TOKEN": "garbage",
        "CHATWOOT_URL": "garbage", "SMTP_URL": "garbage", "TWILIO_ACCOUNT_SID": "garbage", "STRIPE_DEBUG": "perhaps",
        "DATABASE_URL": "garbage", "HTTP_PROXY": address, "ALL_PROXY": address,
    }  # fmt: skip


def test_a_demo_that_does_not_start_says_why(tmp_path: Path) -> None:
    (tmp_path / "tour").mkdir()
    (tmp_path / "tour" / "catalog.toml").write_text("products = 7\n")
    ended = subprocess.run(
        demo(tmp_path, "--exit"), env=clean_environ(), capture_output=True, text=True, timeout=120, check=False
    )
    assert ended.returncode == 1
    reason = ended.stdout.splitlines()[-1]
    assert reason.startswith("✗ serve did not start: ")
    assert "catalog.toml" in reason


def test_the_last_words_of_a_log_are_without_time_and_level(tmp_path: Path) -> None:
    log = tmp_path / "demo.log"
    for text, words in (
        ("06:24:35 INFO    paydesk: working\n06:24:36 ERROR   paydesk.store: no space left\n\n", "no space left"),
        ("paydesk: PAYDESK_LOG is malformed\n", "PAYDESK_LOG is malformed"),
        ("paydesk: the reason\npaydesk: stopped\n", "the reason"),
        ("", "it said nothing"),
    ):
        log.write_text(text)
        assert last_words(log) == words
