"""Writes `unbuilt_params.py` and `unbuilt_calls.py` of `src/paydesk/sandbox`: what Stripe takes and the sandbox does not.

Compares the sandbox's tables with the calls and parameters that the installed official SDK declares. Run it after a
change of either: `python scripts/unbuilt_params.py`; `--check` only says whether the files are up to date (status 1 when
one is not).
"""

from __future__ import annotations

import sys
import textwrap
from collections import defaultdict
from pathlib import Path

_ROOT = Path(__file__).resolve().parent.parent
sys.path[:0] = [str(_ROOT / "src"), str(_ROOT / "tests")]

from paydesk.sandbox.app import OPERATIONS  # noqa: E402 (found by the line above)
from stripe_params import Difference, declared_calls, differences, normal  # noqa: E402

_FOLDER = _ROOT / "src" / "paydesk" / "sandbox"
_HEAD = '''"""What Stripe's API takes and the sandbox does not build; written by `scripts/unbuilt_params.py`, not by hand.

Each entry names parameters (or words, for parameters that take one of a few) and the places where they are real: a
call, and the hash or parameter inside it, between semicolons. `[]` is any place of a list.
"""
'''
_CALLS_HEAD = '''"""The calls of Stripe's API that the sandbox does not build; written by `scripts/unbuilt_params.py`.

Each entry names methods and the paths that have exactly these; `{}` is an id.
"""
'''
_WORD = "the word "


def written() -> str:
    """The text of the module."""
    found = [difference for operation in OPERATIONS for difference in differences(operation)]
    params: dict[str, set[str]] = defaultdict(set)
    words: dict[str, set[str]] = defaultdict(set)
    for one in found:
        if one.what == "not in the sandbox":
            parent, name = _split(one)
            params[parent].add(name)
        elif one.what.startswith(_WORD) and one.what.endswith(" is not in the sandbox"):
            words[f"{one.call} {one.param}"].add(one.what.split()[2])
    return f"{_HEAD}\n{_table('PARAMS', params)}\n{_table('WORDS', words)}"


def written_calls() -> str:
    """The text of the module of calls."""
    built = {normal(operation.method, operation.path) for operation in OPERATIONS}
    methods: dict[str, set[str]] = defaultdict(set)
    for call in set(declared_calls()) - built:
        method, path = call.split()
        methods[path].add(method)
    paths: dict[tuple[str, ...], list[str]] = defaultdict(list)
    for path, found in methods.items():
        paths[tuple(sorted(found))].append(path)
    rows = "".join(_row(names, [" ".join(sorted(where))]) for names, where in sorted(paths.items()))
    return f"{_CALLS_HEAD}\nCALLS: tuple[tuple[str, str], ...] = (\n{rows})  # fmt: skip\n"


def _split(one: Difference) -> tuple[str, str]:
    """The place where a parameter stands, and its own name."""
    parent, bracket, name = one.param.rpartition("[")
    return (f"{one.call} {parent}", name.rstrip("]")) if bracket else (one.call, one.param)


def _table(name: str, found: dict[str, set[str]]) -> str:
    """Names and the places that have exactly these, as source."""
    places: dict[tuple[str, ...], list[str]] = defaultdict(list)
    for place, names in found.items():
        places[tuple(sorted(names))].append(place)
    rows = "".join(_row(names, sorted(where)) for names, where in sorted(places.items()))
    return f"{name}: tuple[tuple[str, str], ...] = (\n{rows})  # fmt: skip\n"


def _row(names: tuple[str, ...], where: list[str]) -> str:
    return f"    (\n{_wrapped(' '.join(names))},\n{_wrapped('; '.join(where))},\n    ),\n"


def _wrapped(text: str) -> str:
    """A long text as source, in lines."""
    lines = textwrap.wrap(text, 118, break_long_words=False, break_on_hyphens=False)
    quote = '"' if len(lines) == 1 else '"""'
    return "        " + quote + "\n        ".join(lines) + quote


def main() -> None:
    """Write the files, or only look at them."""
    for name, text in (("unbuilt_params.py", written()), ("unbuilt_calls.py", written_calls())):
        if "--check" not in sys.argv:
            (_FOLDER / name).write_text(text)
        elif (_FOLDER / name).read_text() != text:
            sys.exit(f"{name} is not up to date: run python scripts/unbuilt_params.py")


if __name__ == "__main__":
    main()
