"""A sandbox that is killed while it works: its file is whole afterwards, and holds every answer it gave."""

from __future__ import annotations

import signal
import sqlite3
import threading
import time
from contextlib import closing
from pathlib import Path

import httpx
import pytest

from sandbox_fixtures import Sandbox, free_port, running_sandbox

_WORKERS = 4


def work(sandbox: Sandbox, answered: list[str], stop: threading.Event) -> None:
    """Pay until the sandbox is gone; notes every intent that was answered as paid."""
    params = {"amount": "2000", "currency": "usd", "confirm": "true", "payment_method": "pm_card_visa"}
    with sandbox.http() as client:
        while not stop.is_set():
            try:
                answer = client.post("/v1/payment_intents", data=params)
            except httpx.HTTPError:
                return
            if answer.status_code == 200:
                answered.append(answer.json()["id"])


def kill_under_load(sandbox: Sandbox, after_s: float) -> list[str]:
    """Let the workers pay, then kill the process; gives the intents that were answered."""
    answered: list[str] = []
    stop = threading.Event()
    workers = [threading.Thread(target=work, args=(sandbox, answered, stop)) for _ in range(_WORKERS)]
    for worker in workers:
        worker.start()
    time.sleep(after_s)
    sandbox.stop(signal.SIGKILL)
    stop.set()
    for worker in workers:
        worker.join(30)
    return answered


def check(path: Path) -> None:
    with closing(sqlite3.connect(path)) as file:
        assert file.execute("PRAGMA integrity_check").fetchone() == ("ok",)


@pytest.mark.parametrize("after_s", [0.3, 0.7, 1.1])
def test_a_killed_sandbox_keeps_every_answer(tmp_path: Path, after_s: float) -> None:
    data, port = tmp_path / "sandbox.db", free_port()
    with running_sandbox("--data", str(data), port=port) as sandbox:
        key = sandbox.key
        answered = kill_under_load(sandbox, after_s)
    assert answered
    check(data)
    with running_sandbox("--data", str(data), port=port) as again:
        again.key = key
        paged: dict[str, dict[str, object]] = {}
        after: dict[str, str] = {}
        while True:
            shown = again.call("GET", "/v1/payment_intents", {"limit": "100", **after}).json()
            paged |= {row["id"]: row for row in shown["data"]}
            if not shown["has_more"]:
                break
            after = {"starting_after": shown["data"][-1]["id"]}
        assert set(answered) <= set(paged)
        assert {row["status"] for row in paged.values()} == {"succeeded"}
        for row in list(paged.values())[:25]:  # the newest: never half a request, so each charge has its transaction
            charge = again.call("GET", f"/v1/charges/{row['latest_charge']}").json()
            assert again.call("GET", f"/v1/balance_transactions/{charge['balance_transaction']}").status_code == 200
        params = {"amount": "500", "currency": "usd", "confirm": "true", "payment_method": "pm_card_visa"}
        assert again.call("POST", "/v1/payment_intents", params).status_code == 200


def test_what_was_to_happen_later_still_happens_after_a_crash(tmp_path: Path) -> None:
    data, port = tmp_path / "sandbox.db", free_port()
    with running_sandbox("--data", str(data), port=port) as sandbox:
        key = sandbox.key
        params = {"amount": "2000", "currency": "usd", "confirm": "true", "payment_method": "pm_card_refundFail"}
        charge = sandbox.call("POST", "/v1/payment_intents", params).json()["latest_charge"]
        refund = sandbox.call("POST", "/v1/refunds", {"charge": charge}).json()["id"]
        sandbox.stop(signal.SIGKILL)
    with running_sandbox("--data", str(data), port=port) as again:
        again.key = key
        again.advance("2h")
        assert again.call("GET", f"/v1/refunds/{refund}").json()["status"] == "failed"
        assert again.event_types()[-1] == "refund.failed"
