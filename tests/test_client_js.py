"""The JavaScript client in Node against a running desk, its types in TypeScript, and how its files are served."""

from __future__ import annotations

import json
import re
import shutil
import subprocess
import tomllib
from pathlib import Path
from typing import Any

import httpx

from desk import Desk
from paydesk.web.pages.assets import FOLDER, FOR_OTHERS
from tools import node, node_package

HERE = Path(__file__).parent
EXAMPLES = HERE.parent / "examples"
GUIDE = HERE.parent / "docs" / "javascript.md"
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
        "declined": [402, "card_declined", "generic_decline"],
        "cursor": [400, "starting_after"],
        "gone": 404,
        "forbidden": 403,
        "preview": ["US$\u00a010,00 per maand", "subscription"],
        "tries": 3,
        "later": [429, 3600],
        "slow": "timeout",
        "failed": "not_found",
    }


def test_it_has_every_call_of_the_api(desk: Desk) -> None:
    ran = subprocess.run(
        [node(), str(HERE / "client_calls.mjs"), str(FOLDER)], capture_output=True, text=True, timeout=60
    )
    assert ran.returncode == 0, ran.stderr
    there = {
        f"{method.upper()} {path}"
        for path, calls in description_of(desk)["paths"].items()
        if path.startswith(("/v1/", "/api/"))
        for method in calls
    }
    assert len(there) > 70
    patterns = {name: re.compile(re.sub(r"\\{.*?\\}", "(?:[A-Z]+|me)", re.escape(name))) for name in there}
    asked = {f"{method} {path}" for method, path in json.loads(ran.stdout) if not path.startswith("/pay/")}
    called = {name: {one for one, pattern in patterns.items() if pattern.fullmatch(name)} for name in asked}
    assert [name for name, found in called.items() if not found] == []
    assert there - set().union(*called.values()) == set()


AS_TYPED = {
    "Credits": "Wallet", "Wallet": "OneWallet", "CreditOperation": "Moved", "InboxEvent": "Event", "Config": "PageConfig",
    "AccessReason": "Reason", "MoneyStats": "MoneyShown", "StatsRow": "RowShown", "SubscriptionStats": "SubscriptionsShown",
    "CreditStats": "CreditsShown", "Stats": "StatsShown", "PlatformSession": "Session", "PlatformPrice": "ShownPrice",
    "PlatformProduct": "ShownProduct", "PlatformSubscription": "Subscribed", "NewPlatformSubscription": "Begun",
    "PlatformCredits": "Credits", "PlatformBalance": "Balance", "PlatformSummary": "Summary", "PlatformDashboard": "Dashboard",
}  # fmt: skip
"""What the API's description calls what a type describes, where the names differ."""
OF_THE_FORM = {"FormConfig", "FormPreview", "FormOrder", "Pressed", "ListedPrice"}
"""What the form's own calls answer, which are not in the description, and what the client itself makes."""


def test_its_types_are_what_the_description_says(desk: Desk) -> None:
    schemas = description_of(desk)["components"]["schemas"]
    types = types_of("paydesk-shapes.d.ts") | types_of("paydesk-operation.d.ts") | types_of("paydesk-platform.d.ts")
    looked_at = 0
    for name, (parent, fields) in types.items():
        if name in OF_THE_FORM or name == "List" or name.endswith("Given"):
            continue
        if (described := schemas.get(AS_TYPED.get(name, name))) is None:
            assert name in {"StripeService"}, f"{name} is described nowhere"
            continue
        typed = {**(types[parent][1] if parent else {}), **fields}
        properties = {
            field: "null" in json.dumps(one.get("anyOf", "")) for field, one in described["properties"].items()
        }
        nullable = {field: text == "Rate" or text.endswith("| null") for field, text in typed.items()}
        assert nullable == properties, name
        looked_at += 1
    assert looked_at > 45


def description_of(desk: Desk) -> dict[str, Any]:
    return dict(httpx.get(f"{desk.url}/openapi.json").json())


def types_of(name: str) -> dict[str, tuple[str | None, dict[str, str]]]:
    """The interfaces of a file: what each extends, and its fields with their types."""
    found = re.findall(
        r"^export interface (\w+)(?:<T>)?(?: extends (\w+))? \{\n(.*?)^\}", (FOLDER / name).read_text(), re.M | re.S
    )
    return {
        name: (parent or None, dict(re.findall(r"^  (\w+)\??: (.*?);$", body, re.M))) for name, parent, body in found
    }


def installed(desk: Desk, folder: Path) -> Path:
    """The folder where npm has put the package that a desk serves, as a new user installs it."""
    packed = folder / "paydesk.tgz"
    packed.write_bytes(httpx.get(f"{desk.url}/static/paydesk.tgz").content)
    (folder / "package.json").write_text(json.dumps({"private": True, "type": "module"}))
    install = ["npm", "install", "--offline", "--no-audit", "--no-fund", f"./{packed.name}"]
    done = subprocess.run(install, cwd=folder, capture_output=True, text=True, timeout=120, check=False)
    assert done.returncode == 0, done.stderr
    return folder / "node_modules" / "paydesk"


def test_its_types_are_those_that_callers_need(desk: Desk, tmp_path: Path) -> None:
    compiler = node_package("typescript", TYPESCRIPT) / "node_modules" / ".bin" / "tsc"
    package = installed(desk, tmp_path)
    told = json.loads((package / "package.json").read_text())
    ours = tomllib.loads((HERE.parent / "pyproject.toml").read_text())["project"]
    assert (told["version"], told["license"]) == (ours["version"], ours["license"])
    (package.parent / "@types").mkdir()
    for name, package_of in (
        ("@types/react", "@types/react"),
        ("@types/react-dom", "@types/react-dom"),
        ("csstype", "@types/react"),
    ):
        (package.parent / name).symlink_to(node_package(package_of, REACT_TYPES) / "node_modules" / name)
    shutil.copy(HERE / "client_types.ts", tmp_path)
    for name in ("react/Shop.tsx", "react/main.tsx"):
        shutil.copy(EXAMPLES / name, tmp_path)
    for name in ("components", "pages", "services"):
        shutil.copytree(EXAMPLES / "platform" / name, tmp_path / name)
    for module, files in {
        "esnext --moduleResolution bundler": ["client_types.ts", "main.tsx", "pages/billing.tsx"],
        "nodenext --moduleResolution nodenext": ["client_types.ts", "Shop.tsx"],
    }.items():
        options = (
            f"--noEmit --strict --exactOptionalPropertyTypes --target es2022 --jsx react-jsx --module {module}".split()
        )
        command = [str(compiler), *options, "--lib", "es2022,dom,dom.iterable", *files]
        checked = subprocess.run(command, cwd=tmp_path, capture_output=True, text=True, timeout=120, check=False)
        assert (checked.returncode, checked.stdout) == (0, ""), module


def test_what_the_guide_prints_runs(desk: Desk, tmp_path: Path) -> None:
    """The guide's blocks, one after the other, over the package that npm has installed; a page's with a page's key."""
    installed(desk, tmp_path)
    blocks = re.findall(r"^```js\n(.*?)^```", GUIDE.read_text(), re.DOTALL | re.MULTILINE)
    assert len(blocks) >= 6
    environ = {
        "PATH": str(Path(node()).parent), "PAYDESK_URL": desk.url, "PAYDESK_API_KEY": desk.key,
        "PAYDESK_PUBLISHABLE_KEY": desk.post("/v1/keys", {"name": "page", "kind": "publishable"})["key"],
    }  # fmt: skip
    (tmp_path / "guide.js").write_text("\n".join(blocks))
    ran = subprocess.run(
        [node(), "guide.js"], cwd=tmp_path, env=environ, capture_output=True, text=True, timeout=60, check=False
    )
    assert (ran.returncode, ran.stderr) == (0, "")
    assert "insufficient_credits" in ran.stdout


def test_its_files_may_be_loaded_by_every_page_and_are_kept_by_their_version(desk: Desk) -> None:
    for name in FOR_OTHERS:
        answer = httpx.get(f"{desk.url}/static/{name}", headers={"Origin": "https://shop.example"})
        assert answer.status_code == 200, name
        assert answer.headers["access-control-allow-origin"] == "*"
        assert answer.headers["cross-origin-resource-policy"] == "cross-origin"
        kind = {".js": "text/javascript", ".ts": "application/typescript", ".tgz": "application/gzip"}[
            Path(name).suffix
        ]
        assert answer.headers["content-type"].startswith(kind)
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
