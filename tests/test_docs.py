"""The calls that the how-to guides show work as they are written: each is run by curl against a desk."""

from __future__ import annotations

import json
import os
import re
import subprocess
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import pytest

from conftest import settings_for
from desk import Desk, running_desk
from sandbox_fixtures import Sandbox, until

ROOT = Path(__file__).parents[1]
CALLS_MIN = {"README.md": 2, "docs/credits-and-refunds.md": 15, "docs/subscriptions.md": 1, "docs/keys.md": 3}
ANN = {"channel": "telegram", "external_id": "42"}
BOB = {"channel": "discord", "external_id": "99"}

LOUD = 'curl() { command curl --fail-with-body "$@"; }\n'
"""A refusal is the end of a command: the guides' own curl would print it and go on."""

_BLOCK = re.compile(r"^```sh\n(.*?)^```", re.MULTILINE | re.DOTALL)
_CALLS = re.compile(r"^(curl|desk) ", re.MULTILINE)
_COMMENT = re.compile(r"(^|\s)#.*$", re.MULTILINE)
_PLACEHOLDER = re.compile(r"\b(cst|hld|pi|ord|sub)_…")
_PROMISED = re.compile(r'"(\w+)": "(\w+_)…"')


@pytest.fixture(scope="module")
def shop(new_database: Callable[[], str], stripe_sandbox: Sandbox) -> Iterator[Desk]:
    """A desk where Ann and Bob are known, and she has credits to spend."""
    with running_desk(settings_for(new_database(), stripe_sandbox.url), stripe_sandbox) as desk:
        wallet = f"/v1/customers/{desk.post('/v1/customers', {'identities': [ANN]})['id']}/credits"
        desk.post("/v1/customers", {"identities": [BOB]})
        desk.post(f"{wallet}/grant", {"amount": 1000})
        desk.post(f"{wallet}/grant", {"amount": 1000, "unit": "tokens"})
        yield desk


# --- what the guides say -----------------------------------------------------------------------------------------------


def commands(guide: str) -> list[str]:
    """The commands of a guide's blocks of calls in their order, each with the lines it goes over."""
    found: list[str] = []
    for block in _BLOCK.findall((ROOT / guide).read_text()):
        if not _CALLS.search(block) and "desk()" not in block:
            continue
        command = ""
        for line in block.splitlines():
            command += line + "\n"
            if line.lstrip().startswith("#") and found:  # it goes on about the command above
                found[-1] += command
                command = ""
            elif _is_whole(command):
                found.append(command)
                command = ""
        assert command == "", f"{guide}: a command does not end: {command}"
    return [command for command in found if command.strip()]


def _is_whole(command: str) -> bool:
    return (
        not command.endswith("\\\n")
        and subprocess.run(["bash", "-n", "-c", command], capture_output=True).returncode == 0
    )


# --- what stands for their placeholders ----------------------------------------------------------------------------------


def filled(shop: Desk, command: str) -> str:
    """A command with the desk's address and key, and with a fresh thing for each placeholder."""
    command = _COMMENT.sub("", command).replace("http://127.0.0.1:8000", shop.url).replace("pdk_…", shop.key)
    return _PLACEHOLDER.sub(lambda found: MAKERS[found[1]](shop, command), command)


def ann(shop: Desk, _command: str) -> str:
    return str(shop.get("/v1/customers", **ANN)["data"][0]["id"])


def a_hold(shop: Desk, command: str) -> str:
    return str(shop.post(f"/v1/customers/{ann(shop, command)}/credits/hold", {"amount": 20})["id"])


def a_payment(shop: Desk, command: str) -> str:
    """A payment: one whose money is only reserved for what ends that, else one that is paid."""
    ends = "/capture" in command or "/cancel" in command
    return str(paid(shop, "manual" if ends else "automatic")["id"])


def an_order(shop: Desk, _command: str) -> str:
    return str(paid(shop, "automatic")["order"])


def paid(shop: Desk, capture: str) -> dict[str, Any]:
    body = {"customer": ANN, "amount": 2000, "currency": "usd", "payment_method": "pm_card_visa", "confirm": True}
    made = shop.post("/v1/payments", {**body, "capture_method": capture})
    if capture == "automatic":
        shop.settled(made["order"], "paid")
    return made


def a_subscription(shop: Desk, _command: str) -> str:
    buyer = shop.buyer()
    buyer.pay(buyer.checkout("vip-month"))
    return str(until(lambda: buyer.say("/start") and shop.get("/v1/subscriptions", customer=buyer.id)["data"])[0]["id"])


MAKERS: dict[str, Callable[[Desk, str], str]] = {
    "cst": ann, "hld": a_hold, "pi": a_payment, "ord": an_order, "sub": a_subscription,
}  # fmt: skip


# --- running them ----------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize("guide", CALLS_MIN)
def test_every_call_of_a_guide_is_answered_as_it_says(shop: Desk, guide: str) -> None:
    environ = {**os.environ, "PAYDESK_API_KEY": shop.key}
    before, called = LOUD, 0
    for command in commands(guide):
        words = filled(shop, command)
        ran = subprocess.run(["bash", "-euc", before + words], env=environ, capture_output=True, text=True, timeout=30)
        assert ran.returncode == 0, f"{command}\n{ran.stdout}\n{ran.stderr}"
        if not ran.stdout:  # it sets up what the next ones need
            before += words
            continue
        called += 1
        answer = json.loads(ran.stdout)
        for name, prefix in _PROMISED.findall(command):
            assert answer[name].startswith(prefix), f"{command}\n{ran.stdout}"
    assert called >= CALLS_MIN[guide], "a guide has lost calls, or they are not found any more"
