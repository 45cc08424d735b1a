"""Every answer has a number, and the same number stands in the error and in what was logged while it was answered."""

from __future__ import annotations

import json
import os
import signal
import subprocess
import sys
from collections.abc import Callable
from pathlib import Path

import httpx
import pytest

from conftest import settings_for
from desk import clean_environ
from sandbox_fixtures import Sandbox, free_port, until

ANSWERED_BY_EACH_PART = [
    ("GET", "/v1/products"), ("GET", "/v1/nothing"), ("GET", "/healthz"), ("GET", "/docs"), ("GET", "/static/nothing"),
    ("GET", "/v1/customers/x/access?feature=a"), ("POST", "/v1/customers/x/credits/spend"), ("POST", "/webhooks/stripe"),
    ("GET", "/webhooks/stripe"), ("POST", "/webhooks/telegram"),
]  # fmt: skip


@pytest.mark.parametrize("style", ["json", "text"])
def test_the_number_of_a_request_stands_in_its_answer_and_in_the_log(
    new_database: Callable[[], str], stripe_sandbox: Sandbox, tmp_path: Path, style: str
) -> None:
    settings = settings_for(
        new_database(), stripe_sandbox.url, PAYDESK_LOG=style, STRIPE_API_BASE=f"http://127.0.0.1:{free_port()}",
        TELEGRAM_BOT_TOKEN="123456789:" + "A" * 35, TELEGRAM_MODE="webhook", TELEGRAM_WEBHOOK_SECRET="s" * 16,
        TELEGRAM_API_BASE=f"http://127.0.0.1:{free_port()}",
    )  # fmt: skip
    port, log = free_port(), tmp_path / "log"
    environ = {**clean_environ(), **settings, "PAYDESK_PUBLIC_URL": f"http://127.0.0.1:{port}"}
    command = [sys.executable, "-m", "paydesk", "serve", "--port", str(port), "--no-work"]
    with log.open("wb") as file:
        process = subprocess.Popen(command, env=environ, stderr=file, stdout=file)
    try:
        with httpx.Client(base_url=f"http://127.0.0.1:{port}", timeout=30) as client:
            until(lambda: _ready(client), patience_s=60, what="the service")
            client.headers["Authorization"] = f"Bearer {settings['PAYDESK_API_KEY']}"
            numbers = []
            for method, path in ANSWERED_BY_EACH_PART:
                answer = client.request(method, path)
                numbers.append(answer.headers["Request-Id"])
                if "error" in answer.text and answer.headers["Content-Type"] == "application/json":
                    assert answer.json()["error"]["request_id"] == numbers[-1], (method, path)
            assert len(set(numbers)) == len(ANSWERED_BY_EACH_PART)
            who = {"channel": "web", "external_id": "7"}
            failed = client.post("/v1/payments", json={"customer": who, "amount": 2000, "currency": "usd"})
            assert failed.status_code == 503
    finally:
        process.send_signal(signal.SIGTERM)
        process.wait(30)
    number = failed.headers["Request-Id"]
    lines = log.read_text(encoding="utf-8").splitlines()
    about = [line for line in lines if number in line]
    assert any("stripe_unavailable" in line for line in about), os.linesep.join(lines)
    assert any("Stripe said no (customer)" in line for line in about), "what was logged deeper down has the number too"
    if style == "json":
        assert {json.loads(line)["request_id"] for line in about} == {number}


def _ready(client: httpx.Client) -> bool:
    try:
        return client.get("/readyz").status_code == 200
    except httpx.HTTPError:
        return False
