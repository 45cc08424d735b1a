"""What a newcomer mistypes: one line that helps and status 2, never a traceback, and nothing made."""

from __future__ import annotations

import asyncio
import os
import subprocess
import sys
from pathlib import Path

import asyncpg
import pytest

from conftest import settings_for
from desk import clean_environ
from paydesk import keys
from paydesk.errors import Invalid

SECRET = "whsec_0123456789"
SENSELESS = {
    "an address without a scheme": (["sandbox", "--webhook", "notaurl", "--webhook-secret", SECRET], "no web address"),
    "an empty address": (["sandbox", "--webhook", "", "--webhook-secret", SECRET], "no web address"),
    "an address without a host": (["sandbox", "--webhook", "http://", "--webhook-secret", SECRET], "no web address"),
    "another scheme": (["sandbox", "--webhook", "ftp://x/y", "--webhook-secret", SECRET], "no web address"),
    "a port out of range": (["sandbox", "--webhook", "http://x:99999/", "--webhook-secret", SECRET], "no web address"),
    "an empty secret": (["sandbox", "--webhook", "http://x/", "--webhook-secret", ""], "a signing secret is whsec_"),
    "a secret that is none": (["sandbox", "--webhook", "http://x/", "--webhook-secret", "a"], "a signing secret is whsec_"),
    "an address without its secret": (["sandbox", "--webhook", "http://x/"], "go together"),
    "a file without a name": (["sandbox", "--data", ""], "give the name of a file or folder"),
    "a port that is none": (["sandbox", "--port", "http"], "--port"),
    "a host that nobody has": (["serve", "--host", "no-host.invalid"], "--host no-host.invalid: no address of this machine"),
    "a host of another machine": (["serve", "--host", "192.0.2.1"], "--host 192.0.2.1: no address of this machine"),
    "an empty host": (["serve", "--host", ""], "--host"),
    "no worker": (["serve", "--workers", "0"], "--workers"),
    "a folder without a name": (["init", ""], "give the name of a file or folder"),
    "a demo without a folder": (["demo", "--data", " "], "give the name of a file or folder"),
    "a demo in the folder itself": (["demo", "--data", "."], "a folder of the demo's own"),
    "a demo on one port": (["demo", "--port", "8", "--sandbox-port", "8"], "they must differ"),
    "a key without a name": (["keys", "create", "", "--scope", "read"], "1 to 100 printable characters"),
    "a key with a blank name": (["keys", "create", "  ", "--scope", "read"], "1 to 100 printable characters"),
    "a key named in two lines": (["keys", "create", "a\nb", "--scope", "read"], "1 to 100 printable characters"),
    "a key with an endless name": (["keys", "create", "a" * 101, "--scope", "read"], "1 to 100 printable characters"),
    "a name that is no text": (["keys", "create", os.fsdecode(b"\xff"), "--scope", "read"], "1 to 100 printable characters"),
    "a key without scopes": (["keys", "create", "bot"], "--scope"),
    "a scope that is none": (["keys", "create", "bot", "--scope", ""], "scopes are read, sell"),
    "no key": (["keys", "revoke", ""], "KEY_ID"),
    "no event": (["events", "show", ""], "EVENT_ID"),
    "an event that is no text": (["events", "show", os.fsdecode(b"\xff")], "EVENT_ID"),
    "no event to replay": (["events", "replay"], "EVENT_IDS"),
    "an empty event to replay": (["events", "replay", ""], "EVENT_IDS"),
    "a state that is none": (["events", "list", "--state", "lost"], "state is one of ready"),
    "no rows": (["events", "list", "--limit", "0"], "--limit"),
    "a delivery that is no number": (["deliveries", "retry", "one"], "no delivery one"),
    "an empty delivery": (["deliveries", "retry", ""], "DELIVERY_IDS"),
    "nobody": (["why", ""], "CUSTOMER"),
    "a channel that is none": (["why", "TELEGRAM:7"], "channel must be a short lower-case name"),
    "no feature": (["why", "web:7", ""], "FEATURE"),
    "a word too many": (["ledger", "check", "all"], "unexpected extra argument"),
    "half a command": (["catalog"], "catalog [OPTIONS] COMMAND"),
}  # fmt: skip


@pytest.fixture(scope="module")
def settings_here(new_database: object) -> dict[str, str]:
    assert callable(new_database)
    return settings_for(new_database(), "http://127.0.0.1:9")


def typed(folder: Path, settings: dict[str, str], *arguments: str, stdout: object = subprocess.PIPE) -> tuple[int, str]:
    """Type a command; return its status and what it complained."""
    environ = {**clean_environ(), **settings}
    done = subprocess.run(
        [sys.executable, "-m", "paydesk", *arguments],
        cwd=folder, env=environ, stdout=stdout, stderr=subprocess.PIPE, timeout=60, check=False,
    )  # type: ignore[call-overload]  # fmt: skip
    complaint = done.stderr.decode("utf-8", "replace") + (done.stdout or b"").decode("utf-8", "replace")
    assert "Traceback" not in complaint, complaint
    return done.returncode, complaint


@pytest.mark.parametrize(("arguments", "help_"), SENSELESS.values(), ids=SENSELESS)
def test_what_makes_no_sense_is_exit_2_with_a_line_that_helps(
    tmp_path: Path, settings_here: dict[str, str], arguments: list[str], help_: str
) -> None:
    status, complaint = typed(tmp_path, settings_here, *arguments)
    assert status == 2, complaint
    assert help_ in complaint


def test_what_was_refused_has_made_nothing(settings_here: dict[str, str]) -> None:
    async def count() -> int:
        connection = await asyncpg.connect(settings_here["DATABASE_URL"])
        try:
            return int(await connection.fetchval("SELECT count(*) FROM api_key"))
        finally:
            await connection.close()

    assert asyncio.run(count()) == 0


@pytest.mark.parametrize("command", ["check", "serve", "work", "catalog plan", "demo", "init", "keys list"])
def test_in_a_folder_that_was_removed_it_is_one_line(
    tmp_path: Path, settings_here: dict[str, str], command: str
) -> None:
    gone = tmp_path / "gone"
    gone.mkdir()
    script = f"cd {gone} && rmdir {gone} && exec {sys.executable} -m paydesk {command}"
    done = subprocess.run(
        ["sh", "-c", script], env={**clean_environ(), **settings_here}, capture_output=True, text=True, check=False
    )
    assert (done.returncode, done.stderr.count("\n")) == (2, 1), done.stderr


def test_a_full_disk_is_one_line(tmp_path: Path, settings_here: dict[str, str]) -> None:
    with Path("/dev/full").open("wb") as full:
        status, complaint = typed(tmp_path, settings_here, "keys", "list", stdout=full)
    assert (status, complaint) == (1, "paydesk: No space left on device\n")


@pytest.mark.parametrize("name", ["", " ", "a\nb", "a" * 101, "\x00"])
def test_a_key_needs_a_name_that_can_be_read(name: str) -> None:
    with pytest.raises(Invalid, match="a key's name has 1 to 100 printable characters"):
        keys.checked(keys.Wish(name, ("read",)))
