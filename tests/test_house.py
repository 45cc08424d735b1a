"""The rules of the house, as a program: what may import what, how long things are, and what must not stand anywhere."""

from __future__ import annotations

import ast
import re
from collections.abc import Iterator
from pathlib import Path

import pytest

from paydesk import start

ROOT = Path(__file__).parent.parent
SOURCE = ROOT / "src" / "paydesk"
MODULES = sorted(SOURCE.rglob("*.py"))


def tree_of(path: Path) -> ast.Module:
    """What a file says; once more where the collector came in between, which this Python counts as recursion."""
    text = path.read_text(encoding="utf-8")
    try:
        return ast.parse(text)
    except SystemError:
        return ast.parse(text)


TREES = {path: tree_of(path) for path in MODULES}
GENERATED = "store/migrations/versions"

Function = ast.FunctionDef | ast.AsyncFunctionDef


def name_of(path: Path) -> str:
    return path.relative_to(SOURCE).as_posix()


def imports(path: Path) -> Iterator[str]:
    """Every module that a file imports, by its full name."""
    for node in ast.walk(TREES[path]):
        if isinstance(node, ast.Import):
            yield from (alias.name for alias in node.names)
        elif isinstance(node, ast.ImportFrom) and not node.level:
            yield from (f"{node.module}.{alias.name}" for alias in node.names)


def functions(path: Path) -> Iterator[Function]:
    yield from (node for node in ast.walk(TREES[path]) if isinstance(node, Function))


def length(function: Function) -> int:
    """The lines of a function without its docstring."""
    lines = (function.end_lineno or 0) - function.lineno + 1
    if ast.get_docstring(function) is not None:
        docstring = function.body[0]
        lines -= (docstring.end_lineno or 0) - docstring.lineno + 1
    return lines


def test_the_rules_look_at_the_whole_house() -> None:
    assert len(MODULES) > 80
    assert sum(1 for path in MODULES for _ in functions(path)) > 500


def test_no_module_is_longer_than_500_lines() -> None:
    assert {name_of(path): n for path in MODULES if (n := len(path.read_text().splitlines())) > 500} == {}


def test_functions_are_short() -> None:
    lengths = sorted(length(f) for path in MODULES if GENERATED not in str(path) for f in functions(path))
    longest = {
        f"{name_of(p)} {f.name}": length(f)
        for p in MODULES
        if GENERATED not in str(p)
        for f in functions(p)
        if length(f) > 60
    }
    assert longest == {}
    assert lengths[len(lengths) // 2] <= 8
    assert lengths[len(lengths) * 9 // 10] <= 30


def test_every_module_class_and_public_function_says_what_it_guarantees() -> None:
    silent = []
    for path in MODULES:
        nodes = [node for node in ast.walk(TREES[path]) if isinstance(node, (ast.ClassDef, *Function.__args__))]
        nested = {id(child) for f in functions(path) for child in ast.walk(f) if child is not f}
        inner = {
            id(child)
            for node in nodes
            if isinstance(node, ast.ClassDef) and node.name.startswith("_")
            for child in node.body
        }
        spoken = [n for n in nodes if not n.name.startswith("_") and id(n) not in nested | inner]
        silent += [f"{name_of(path)} {node.name}" for node in spoken if ast.get_docstring(node) is None]
        if ast.get_docstring(TREES[path]) is None:
            silent.append(name_of(path))
    assert silent == []


def test_every_function_says_what_it_returns() -> None:
    assert [f"{name_of(path)} {f.name}" for path in MODULES for f in functions(path) if f.returns is None] == []


def test_nothing_is_left_for_later() -> None:
    unfinished = re.compile(r"\b(" + "|".join(("TO" + "DO", "FIX" + "ME", "XX" + "X", "HA" + "CK")) + r")\b")
    files = [
        p for folder in ("src", "tests", "bench", "docs", "examples", "scripts") for p in (ROOT / folder).rglob("*")
    ]
    texts = [path for path in files if path.suffix in (".py", ".md", ".toml", ".sh", ".html", ".css", ".js")]
    assert [path.name for path in texts if unfinished.search(path.read_text(encoding="utf-8"))] == []


# --- who may import what ---------------------------------------------------------------------------------------------


def importers(what: str) -> set[str]:
    """The modules that import `what` or something in it."""
    return {
        name_of(path) for path in MODULES if any(name == what or name.startswith(what + ".") for name in imports(path))
    }


def test_only_the_store_speaks_to_the_database_driver_and_commits() -> None:
    assert {name.split("/")[0] for name in importers("asyncpg")} == {"store"}
    assert {name.split("/")[0] for name in importers("sqlalchemy") | importers("alembic")} == {"store"}
    ending = re.compile(r"\.commit\(|\bCOMMIT\b(?! log)")
    ours = [path for path in MODULES if not name_of(path).startswith(("sandbox/", "store/"))]
    assert [name_of(path) for path in ours if ending.search(path.read_text())] == []
    committing = [name_of(p) for p in MODULES if name_of(p).startswith("store/") and ".commit(" in p.read_text()]
    assert committing == ["store/pool.py"]


def test_only_the_gateway_imports_the_stripe_sdk() -> None:
    assert importers("stripe") == {"stripe/gateway.py"}


def test_the_sandbox_is_a_stranger() -> None:
    inside = [path for path in MODULES if name_of(path).startswith("sandbox/")]
    assert len(inside) > 20
    for path in inside:
        assert [n for n in imports(path) if n.startswith("paydesk") and not n.startswith("paydesk.sandbox")] == [], path
        relative = [node for node in ast.walk(TREES[path]) if isinstance(node, ast.ImportFrom) and node.level > 1]
        assert [
            node.module for node in relative if node.level > len(path.relative_to(SOURCE / "sandbox").parts)
        ] == [], path
    assert importers("paydesk.sandbox") <= {"cli.py", "demo.py"}


MONEY = {
    "settle.py",
    "orders.py",
    "ledger.py",
    "entitlements.py",
    "facts.py",
    "money.py",
    "inbox.py",
    "outbox.py",
    "timers.py",
}


@pytest.mark.parametrize(
    ("who", "never"),
    [
        (MONEY, ("paydesk.web", "paydesk.channels", "paydesk.stripe", "paydesk.chat", "paydesk.sandbox", "fastapi", "httpx")),
        ({"stripe/events.py", "stripe/shapes.py", "stripe/signature.py"}, ("paydesk.store", "paydesk.settle", "paydesk.orders",
         "paydesk.ledger", "paydesk.web")),
        ({"channels/base.py", "channels/web.py"}, ("paydesk.store", "paydesk.settle", "paydesk.orders", "paydesk.ledger")),
        ({"web/api.py", "web/application.py", "web/hooks.py", "web/front.py", "web/once.py"}, ("paydesk.stripe.gateway",)),
    ],
    ids=["money", "stripe's shapes", "channels", "web"],
)  # fmt: skip
def test_the_layers_know_only_what_is_below_them(who: set[str], never: tuple[str, ...]) -> None:
    for path in MODULES:
        if name_of(path) in who:
            assert [n for n in imports(path) if n.startswith(never)] == [], path
    assert who <= {name_of(path) for path in MODULES}


def test_nothing_is_printed_but_by_commands() -> None:
    calls = {
        name_of(path)
        for path in MODULES
        for node in ast.walk(TREES[path])
        if isinstance(node, ast.Call) and isinstance(node.func, ast.Name) and node.func.id == "print"
    }
    assert calls == set()


# --- settings and tests ----------------------------------------------------------------------------------------------

SETTING = re.compile(r"\b(?:PAYDESK|STRIPE)_[A-Z_]*[A-Z]\b|\bDATABASE_URL\b")


def settings_read() -> set[str]:
    """The names of settings that `config.load` reads."""
    tree = TREES[SOURCE / "config.py"]
    texts = [n.value for n in ast.walk(tree) if isinstance(n, ast.Constant) and isinstance(n.value, str)]
    return {text for text in texts if SETTING.fullmatch(text)}


def test_every_setting_is_documented_and_every_documented_one_is_read() -> None:
    read = settings_read()
    assert {"DATABASE_URL", "PAYDESK_CATALOG", "STRIPE_API_KEY", "STRIPE_WEBHOOK_SECRET", "STRIPE_EVENTS"} <= read
    documents = [ROOT / "README.md", *(ROOT / "docs").rglob("*.md")]
    documented = start.ENVIRONMENT + "".join(path.read_text(encoding="utf-8") for path in documents)
    assert {name for name in read if name not in documented} == set()
    assert set(SETTING.findall(start.ENVIRONMENT)) <= read


def test_tests_use_real_parts_and_are_skipped_only_where_a_machine_lacks_something() -> None:
    faked = re.compile("|".join(("monkey" + "patch", "unittest" + r"\.mock", "Magic" + "Mock", "mark.xf" + "ail")))
    skipped = re.compile(r"pytest\.sk" + r"ip\(|mark\.sk" + r"ip\b")
    texts = {path.name: path.read_text(encoding="utf-8") for path in sorted((ROOT / "tests").glob("*.py"))}
    assert len(texts) > 20
    assert [name for name, text in texts.items() if faked.search(text)] == []
    assert {name for name, text in texts.items() if skipped.search(text)} <= {
        "browser.py",
        "test_embedded.py",
        "tools.py",
    }


def test_every_test_of_a_trap_names_it() -> None:
    names = [
        node.name
        for path in sorted((ROOT / "tests").glob("*.py"))
        for node in ast.walk(tree_of(path))
        if isinstance(node, Function) and node.name.startswith("test_t")
    ]
    sprung = {match[1] for name in names if (match := re.match(r"test_(t\d\d)_", name))}
    assert {f"t{n:02}" for n in (*range(1, 11), 17, 45, 46)} <= sprung
