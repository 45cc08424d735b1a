"""The sandbox as a process: its file survives restarts and crashes, its start is quick and clear."""

# ruff: noqa: F401, F811 (fixtures are imported and then named as arguments)

from __future__ import annotations

import ast
import json
import signal
import sqlite3
import subprocess
import sys
import threading
from contextlib import closing
from pathlib import Path

import httpx

import paydesk.sandbox
from sandbox_fixtures import Receiver, confirm, free_port, new_key, receiver, running_sandbox, session_of, until


def test_a_file_keeps_everything_across_a_restart(tmp_path: Path, receiver: Receiver) -> None:
    file, port = str(tmp_path / "sandbox.db"), free_port()
    with running_sandbox("--data", file, port=port) as sandbox:
        key, account = sandbox.key, sandbox.call("GET", "/v1/account").json()["id"]
        paid, open_one = session_of(sandbox), session_of(sandbox)
        confirm(sandbox, paid["id"])
        sandbox.call("POST", "/v1/customers", {"name": "A"}, Idempotency_Key="once")
        sandbox.advance("2h")
        before = sandbox.events()
        assert sandbox.stop() == 0
    with running_sandbox("--data", file, port=port) as sandbox:
        sandbox.key = key
        assert sandbox.call("GET", "/v1/account").json()["id"] == account
        assert sandbox.events() == before
        assert sandbox.call("GET", f"/v1/checkout/sessions/{paid['id']}").json()["payment_status"] == "paid"
        assert 7190 < httpx.get(f"{sandbox.url}/_sandbox/clock").json()["offset_s"] < 7210
        again = sandbox.call("POST", "/v1/customers", {"name": "A"}, Idempotency_Key="once")
        assert again.headers["Idempotent-Replayed"] == "true"
        assert confirm(sandbox, open_one["id"]).status_code == 200
        sandbox.advance("25h")
        assert "checkout.session.expired" not in sandbox.event_types()


def test_waiting_webhooks_and_expiries_survive_a_kill(tmp_path: Path, receiver: Receiver) -> None:
    file, port = str(tmp_path / "sandbox.db"), free_port()
    with running_sandbox("--data", file, port=port) as sandbox:
        key = sandbox.key
        receiver.answers = [500, 500]
        sandbox.call("POST", "/v1/webhook_endpoints", {"url": receiver.url, "enabled_events[]": "customer.created"})
        sandbox.call("POST", "/v1/customers", {"name": "A"})
        session = session_of(sandbox)
        until(lambda: receiver.hooks, what="the first attempt")
        sandbox.stop(signal.SIGKILL)
    with running_sandbox("--data", file, "--gap-factor", "0.1", port=port) as sandbox:
        sandbox.key = key
        until(lambda: len(receiver.hooks) >= 3, what="the attempts after the restart")
        assert len({json.loads(hook.body)["id"] for hook in receiver.hooks}) == 1
        sandbox.advance("25h")
        assert sandbox.call("GET", f"/v1/checkout/sessions/{session['id']}").json()["status"] == "expired"


def test_every_answered_request_survives_a_kill_under_load(tmp_path: Path) -> None:
    file, port = str(tmp_path / "sandbox.db"), free_port()
    answered: list[str] = []
    with running_sandbox("--data", file, port=port) as sandbox:
        key = sandbox.key
        with sandbox.http() as http:
            answered = [http.post("/v1/customers").json()["id"] for _ in range(200)]
            sandbox.stop(signal.SIGKILL)
    with running_sandbox("--data", file, port=port) as sandbox, sandbox.http(key) as http:
        newer = http.get("/v1/customers", params={"limit": 100}).json()
        older = http.get("/v1/customers", params={"limit": 100, "starting_after": answered[100]}).json()
    assert [row["id"] for row in newer["data"] + older["data"]] == answered[::-1]


def test_the_configured_webhook_serves_every_account(receiver: Receiver) -> None:
    secret = "whsec_" + "x" * 24
    with running_sandbox("--webhook", receiver.url, "--webhook-secret", secret) as sandbox:
        for _ in range(2):
            sandbox.key = new_key()
            sandbox.call("POST", "/v1/customers")
        until(lambda: len(receiver.hooks) == 2, what="both webhooks")
        assert all(hook.signed_with(secret) for hook in receiver.hooks)


def test_reset_forgets_everything(tmp_path: Path) -> None:
    with running_sandbox("--data", str(tmp_path / "sandbox.db")) as sandbox:
        customer = sandbox.call("POST", "/v1/customers").json()["id"]
        sandbox.advance("3d")
        assert httpx.post(f"{sandbox.url}/_sandbox/reset").json()["counts"] == {}
        assert sandbox.call("GET", f"/v1/customers/{customer}").status_code == 404
        assert httpx.get(f"{sandbox.url}/_sandbox/clock").json()["offset_s"] == 0


def test_a_port_in_use_and_a_bad_file_are_one_clear_line(tmp_path: Path) -> None:
    bad = tmp_path / "bad.db"
    bad.write_bytes(b"this is no database at all" * 50)
    with running_sandbox() as sandbox:
        for arguments, words in (
            (["--port", str(sandbox.port)], "--port"),
            (["--port", str(free_port()), "--data", str(bad)], "bad.db"),
        ):
            done = subprocess.run(
                [sys.executable, "-m", "paydesk.sandbox", *arguments], capture_output=True, text=True, timeout=20
            )
            assert done.returncode == 1
            assert len(done.stderr.strip().splitlines()) == 1
            assert words in done.stderr


def test_a_file_in_no_folder_is_refused(tmp_path: Path) -> None:
    for command in (["paydesk.sandbox"], ["paydesk", "sandbox"]):
        arguments = ["--port", str(free_port()), "--data", str(tmp_path / "nowhere" / "sandbox.db")]
        done = subprocess.run([sys.executable, "-m", *command, *arguments], capture_output=True, text=True, timeout=30)
        assert (done.returncode, len(done.stderr.strip().splitlines())) == (2, 1), done.stderr
        assert "there is no folder" in done.stderr
        assert not (tmp_path / "nowhere").exists()


def test_a_file_serves_one_process_and_one_format(tmp_path: Path) -> None:
    file, old = tmp_path / "sandbox.db", tmp_path / "old.db"
    with closing(sqlite3.connect(old)) as other:
        other.executescript("CREATE TABLE object (id TEXT); PRAGMA user_version = 1;")
    with running_sandbox("--data", str(file)) as sandbox:
        customer = sandbox.call("POST", "/v1/customers").json()["id"]
        for path, words in ((file, "another process has it open"), (old, "choose another file")):
            command = [sys.executable, "-m", "paydesk.sandbox", "--port", str(free_port()), "--data", str(path)]
            done = subprocess.run(command, capture_output=True, text=True, timeout=30)
            assert (done.returncode, words in done.stderr) == (1, True), done.stderr
        assert sandbox.call("GET", f"/v1/customers/{customer}").status_code == 200


def test_a_file_of_the_format_before_is_taken_over(tmp_path: Path, receiver: Receiver) -> None:
    file, port = tmp_path / "sandbox.db", free_port()
    with running_sandbox("--data", str(file), port=port) as sandbox:
        key = sandbox.key
        receiver.answers = [500]
        sandbox.call("POST", "/v1/webhook_endpoints", {"url": receiver.url, "enabled_events[]": "customer.created"})
        customer = sandbox.call("POST", "/v1/customers").json()["id"]
        until(lambda: receiver.hooks, what="the first attempt")
        counts = sandbox.state()["counts"]
        sandbox.stop()
    with closing(sqlite3.connect(file)) as older:
        older.executescript("DROP INDEX object_of_kind; UPDATE object SET name = NULL WHERE kind = '_delivery'; "
                            "PRAGMA user_version = 2;")  # fmt: skip
    with running_sandbox("--data", str(file), "--gap-factor", "0.1", port=port) as sandbox:
        sandbox.key = key
        until(lambda: len(receiver.hooks) == 2, what="the attempt that was waiting")
        assert sandbox.call("GET", f"/v1/customers/{customer}").status_code == 200
        assert sandbox.state()["counts"] == counts


def test_objects_are_found_changed_and_removed_after_a_restart(tmp_path: Path) -> None:
    """What stands in the file is read when it is asked for: by id, by name, by list, by search, by a later change."""
    file, port = str(tmp_path / "sandbox.db"), free_port()
    price = {"currency": "usd", "unit_amount": "500", "product_data[name]": "x", "lookup_key": "basic"}
    with running_sandbox("--data", file, port=port) as sandbox:
        key = sandbox.key
        made = [sandbox.call("POST", "/v1/customers", {"email": f"a{n}@x.yz"}).json()["id"] for n in range(30)]
        basic = sandbox.call("POST", "/v1/prices", price).json()["id"]
        coupon = sandbox.call("POST", "/v1/coupons", {"percent_off": "10", "duration": "once"}).json()["id"]
    with running_sandbox("--data", file, port=port) as sandbox:
        sandbox.key = key
        assert sandbox.call("GET", "/v1/prices", {"lookup_keys[]": "basic"}).json()["data"][0]["id"] == basic
        middle = sandbox.call("GET", "/v1/customers", {"starting_after": made[20], "limit": "3"}).json()["data"]
        assert [row["id"] for row in middle] == made[17:20][::-1]
        found = sandbox.call("GET", "/v1/customers/search", {"query": "email:'a7@x.yz'"}).json()["data"]
        assert [row["id"] for row in found] == [made[7]]
        sandbox.call("POST", f"/v1/customers/{made[0]}", {"name": "Ada"})
        assert sandbox.call("POST", "/v1/prices", price).status_code == 400
        sandbox.call("DELETE", f"/v1/coupons/{coupon}")
        newest = sandbox.call("POST", "/v1/customers").json()["id"]
    with running_sandbox("--data", file, port=port) as sandbox:
        sandbox.key = key
        assert sandbox.call("GET", f"/v1/customers/{made[0]}").json()["name"] == "Ada"
        assert sandbox.call("GET", "/v1/coupons").json()["data"] == []
        listed = sandbox.call("GET", "/v1/customers", {"limit": "100"}).json()["data"]
        assert [row["id"] for row in listed] == [newest, *made[::-1]]


def test_a_signal_ends_it_in_order() -> None:
    for sig in (signal.SIGINT, signal.SIGTERM):
        with running_sandbox() as sandbox:
            assert sandbox.call("GET", "/v1/customers").status_code == 200
            assert sandbox.stop(sig) == 0


def test_the_sandbox_imports_nothing_of_paydesk() -> None:
    folder = Path(str(paydesk.sandbox.__file__)).parent
    for file in folder.glob("*.py"):
        for node in ast.walk(ast.parse(file.read_text())):
            if isinstance(node, ast.ImportFrom):
                assert node.level < 2, file
                assert node.level == 1 or not str(node.module).startswith("paydesk"), file
            elif isinstance(node, ast.Import):
                assert not any(alias.name.startswith("paydesk") for alias in node.names), file


def test_others_are_answered_while_the_clock_moves_far() -> None:
    with running_sandbox() as sandbox:
        price = sandbox.call("POST", "/v1/prices", {
            "currency": "usd", "unit_amount": "500", "recurring[interval]": "day", "product_data[name]": "x",
        }).json()["id"]  # fmt: skip
        customer = sandbox.call("POST", "/v1/customers", {"source": "tok_visa"}).json()
        params = {"customer": customer["id"], "items[0][price]": price}
        card = {"default_payment_method": customer["default_source"]}
        assert sandbox.call("POST", "/v1/subscriptions", params | card).status_code == 200
        moving = threading.Thread(target=sandbox.advance, args=("700d",))
        moving.start()

        def under_way() -> bool:
            answered = sandbox.other().call("GET", "/v1/customers").status_code == 200
            return answered and 0 < httpx.get(f"{sandbox.url}/_sandbox/clock").json()["offset_s"] < 600 * 86400

        until(under_way, what="an answer on the way")
        moving.join()
        assert sandbox.state()["counts"]["invoice"] == 701
