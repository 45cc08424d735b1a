"""The JavaScript client in Node against a running desk, its types in TypeScript, and how its files are served."""

from __future__ import annotations

import json
import shutil
import subprocess
from pathlib import Path

import httpx

from desk import Desk
from paydesk.web.pages.assets import FOLDER, FOR_OTHERS
from tools import node, node_package

HERE = Path(__file__).parent
EXAMPLE = HERE.parent / "examples" / "react"
TYPESCRIPT, REACT_TYPES = "5.9.3", "19.3.0"


def test_the_client_in_node(desk: Desk) -> None:
    key = desk.post("/v1/keys", {"name": "page", "kind": "publishable"})["key"]
    command = [node(), str(HERE / "client_story.mjs"), str(FOLDER), desk.url, desk.key, key, desk.sandbox.url]
    ran = subprocess.run(command, capture_output=True, text=True, timeout=120, check=False)
    assert ran.returncode == 0, ran.stderr
    assert json.loads(ran.stdout) == {
        "version": "2023-10-16",
        "debug": False,
        "asked": True,
        "poor": ["insufficient_credits", 402, True],
        "wrong": [404, "not_found"],
        "gone": 404,
        "forbidden": 403,
        "preview": ["US$\u00a010,00 per maand", "subscription"],
        "tries": 3,
        "later": [429, 3600],
        "slow": "timeout",
        "failed": "not_found",
    }


def test_its_types_are_those_that_callers_need(tmp_path: Path) -> None:
    compiler = node_package("typescript", TYPESCRIPT) / "node_modules" / ".bin" / "tsc"
    react = node_package("@types/react", REACT_TYPES) / "node_modules"
    modules = tmp_path / "node_modules"
    shutil.copy(EXAMPLE / ".npmrc", tmp_path)
    (tmp_path / "package.json").write_text(json.dumps({"private": True, "dependencies": {"paydesk": f"file:{FOLDER}"}}))
    install = ["npm", "install", "--offline", "--no-audit", "--no-fund"]
    installed = subprocess.run(install, cwd=tmp_path, capture_output=True, text=True, timeout=120, check=False)
    assert installed.returncode == 0, installed.stderr
    for name in ("@types", "csstype"):
        (modules / name).symlink_to(react / name)
    shutil.copy(HERE / "client_types.ts", tmp_path)
    shutil.copy(EXAMPLE / "Shop.tsx", tmp_path)
    options = ["--noEmit", "--strict", "--target", "es2022", "--module", "esnext", "--moduleResolution", "bundler",
               "--jsx", "react-jsx", "--lib", "es2022,dom,dom.iterable"]  # fmt: skip
    command = [str(compiler), *options, "client_types.ts", "Shop.tsx"]
    checked = subprocess.run(command, cwd=tmp_path, capture_output=True, text=True, timeout=120, check=False)
    assert (checked.returncode, checked.stdout) == (0, "")


def test_its_files_may_be_loaded_by_every_page_and_are_kept_by_their_version(desk: Desk) -> None:
    for name in FOR_OTHERS:
        answer = httpx.get(f"{desk.url}/static/{name}", headers={"Origin": "https://shop.example"})
        assert answer.status_code == 200, name
        assert answer.headers["access-control-allow-origin"] == "*"
        assert answer.headers["cross-origin-resource-policy"] == "cross-origin"
        assert answer.headers["content-type"].startswith(
            "text/javascript" if name.endswith(".js") else "application/typescript"
        )
        again = httpx.get(f"{desk.url}/static/{name}", headers={"If-None-Match": answer.headers["etag"]})
        assert (again.status_code, again.content) == (304, b"")
    own = httpx.get(f"{desk.url}/static/pay.js")
    assert "access-control-allow-origin" not in own.headers
    assert own.headers["cross-origin-resource-policy"] == "same-origin"
    assert httpx.get(f"{desk.url}/static/package.json").status_code == 404


def test_the_form_tells_scripts_of_any_origin_what_is_wrong(desk: Desk) -> None:
    unknown = httpx.post(f"{desk.url}/pay/0000000000000000/press")
    assert (unknown.status_code, unknown.json()["error"]["code"]) == (404, "not_found")
    assert unknown.headers["access-control-allow-origin"] == "*"
    for query in ("price=nothing", "price=credits-10&quantity=0", "price=credits-10&quantity=1e3", ""):
        assert httpx.get(f"{desk.url}/pay/preview?{query}").status_code in (400, 404), query
    shown = httpx.get(f"{desk.url}/pay/preview?price=vip-month").json()
    assert shown["hosted_only"] is True
    config = httpx.get(f"{desk.url}/pay/config?locale=pl").json()
    assert config["texts"]["form_paid"] == "Opłacone"
    assert config["stripe_js"] == f"{desk.sandbox.url}/v3/"
    order = desk.buyer().checkout("credits-10")
    page = httpx.get(order["link"].replace("/r/", "/pay/"))
    content_policy = page.headers["content-security-policy"]
    assert f"script-src 'self' {desk.sandbox.url};" in content_policy
    assert "'unsafe-inline'" not in content_policy.replace("style-src-attr 'unsafe-inline'", "")
    assert desk.settings["STRIPE_API_KEY"].removeprefix("sk_test_") not in page.text + json.dumps(config)
