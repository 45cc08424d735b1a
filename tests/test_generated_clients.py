"""`/openapi.json` is good enough to generate clients from: two real generators make one each, and each sells something."""

from __future__ import annotations

import json
import subprocess
from pathlib import Path
from typing import Any

import httpx
import pytest

from desk import Desk
from outside import ENVIRON
from tools import node, node_package, python_with

PYTHON_GENERATOR, TYPES_GENERATOR, TYPESCRIPT = "0.29.1", "7.13.0", "5.9.3"
HERE = Path(__file__).parent


@pytest.fixture(scope="module")
def description(desk: Desk, tmp_path_factory: pytest.TempPathFactory) -> Path:
    """The description as it is served, in a file."""
    file = tmp_path_factory.mktemp("description") / "openapi.json"
    file.write_bytes(httpx.get(f"{desk.url}/openapi.json").content)
    return file


def run(command: list[str], folder: Path) -> str:
    """What a command says; the test fails when it fails."""
    ran = subprocess.run(command, cwd=folder, capture_output=True, text=True, timeout=240, check=False, env=ENVIRON)
    assert ran.returncode == 0, ran.stdout + ran.stderr
    return ran.stdout + ran.stderr


def test_a_generated_python_client_sells(desk: Desk, description: Path, tmp_path: Path) -> None:
    python = python_with("openapi-python-client", PYTHON_GENERATOR)
    quiet = tmp_path / "config.yml"
    quiet.write_text("post_hooks: []\n")
    generate = ["generate", "--path", str(description), "--meta", "none", "--output-path", str(tmp_path / "made")]
    said = run(
        [str(python), "-m", "openapi_python_client", *generate, "--config", str(quiet), "--fail-on-warning"], tmp_path
    )
    assert "WARNING" not in said, said
    told = run([str(python), str(HERE / "generated_client_story.py"), str(tmp_path), desk.url, desk.key], tmp_path)
    sold: dict[str, Any] = json.loads(told)
    order = desk.get(f"/v1/orders/{sold['order']}")
    assert (order["amount"], order["currency"], order["customer"]) == (999, "usd", sold["customer"])
    assert sold == {
        "order": order["id"], "customer": order["customer"], "status": "open", "listed": [order["id"]],
        "missing": ["not_found", "order"], "spent": "insufficient_credits",
    }  # fmt: skip


def test_generated_types_fit_a_sale(description: Path, tmp_path: Path) -> None:
    generator = (
        node_package("openapi-typescript", TYPES_GENERATOR) / "node_modules" / "openapi-typescript" / "bin" / "cli.js"
    )
    compiler = node_package("typescript", TYPESCRIPT) / "node_modules" / ".bin" / "tsc"
    made = ["--output", str(tmp_path / "paydesk.d.ts"), "--default-non-nullable", "false"]
    run([node(), str(generator), str(description), *made], tmp_path)
    (tmp_path / "sale.ts").write_text((HERE / "generated_types.ts").read_text())
    run([str(compiler), "--noEmit", "--strict", "--skipLibCheck", "false", "--target", "es2022", "sale.ts"], tmp_path)
