"""Bring what follows from the texts up to date with them: the catalogues of translations, and docs/texts.md.

`python scripts/texts.py` writes; a new text stands in each catalogue without a translation until somebody writes one,
and a changed one loses its translation. With `--check` nothing is written, and the exit status is 1 where something
would be.
"""

from __future__ import annotations

import sys
from collections.abc import Iterator
from pathlib import Path

from babel.messages.catalog import Catalog
from babel.messages.pofile import normalize, read_po

from paydesk.chat.texts import TEXTS, channels, forms, links, messages, parts, placeholders, replies, subscriptions
from paydesk.chat.texts.folder import BUILT_IN

ROOT = Path(__file__).parent.parent
FOLDER = ROOT / "src" / "paydesk" / "chat" / "texts"
PAGE = ROOT / "docs" / "texts.md"
MARK = "<!-- what follows is written by scripts/texts.py -->\n"

Entry = tuple[str, str | tuple[str, str]]

GROUPS = (
    ("Messages about orders, credits and passes, and to the people who run the desk", messages.TEMPLATES),
    ("Messages about subscriptions", subscriptions.TEMPLATES),
    ("Messages about channels, most to the people who run the desk", channels.TEMPLATES),
    ("Answers in the conversation", replies.REPLIES),
    ("Buttons", parts.BUTTONS),
    ("Sentences within messages", parts.PARTS),
    ("Pieces of sentences", parts.WORDS),
    ("The payment form, and what else stands in pages of a shop's own", forms.FORMS),
    ("The pages of payable links, and of the link to Stripe's portal", links.LINKS),
)


def entries() -> Iterator[Entry]:
    """Go through everything that is translated: its context, and its English, for one and for more where it counts."""
    yield from TEXTS.items()
    yield from parts.PLURALS.items()
    yield from (("noun", forms) for forms in parts.NOUNS.values())


def catalogue(language: str) -> str:
    """Return the catalogue of a language as it should be: every text, with the translation that it has."""
    path = FOLDER / f"{language}.po"
    with path.open("rb") as source:
        old = read_po(source, locale=language)
    head = (
        "# What Paydesk says. The context of a text is its name; scripts/texts.py adds what is new.\n"
        'msgid ""\nmsgstr ""\n'
        f'"Language: {language}\\n"\n"Content-Type: text/plain; charset=utf-8\\n"\n"Plural-Forms: {old.plural_forms}\\n"\n'
    )
    return head + "".join(f"\n{_entry(old, context, english)}" for context, english in entries())


def _entry(old: Catalog, context: str, english: str | tuple[str, str]) -> str:
    known = old.get(english if isinstance(english, str) else english[0], context)
    told = known.string if known is not None else ""
    lines = [f'msgctxt "{context}"']
    if isinstance(english, str):
        lines += [f"msgid {_quoted(english)}", f"msgstr {_quoted(told if isinstance(told, str) else '')}"]
    else:
        forms = told if isinstance(told, tuple) else ("",) * old.num_plurals
        lines += [f"msgid {_quoted(english[0])}", f"msgid_plural {_quoted(english[1])}"]
        lines += [f"msgstr[{number}] {_quoted(form)}" for number, form in enumerate(forms)]
    return "\n".join(lines) + "\n"


def _quoted(text: str) -> str:
    return str(normalize(text, width=118))


def page() -> str:
    """Return docs/texts.md as it should be: what people have written, and the list of all texts."""
    written = PAGE.read_text(encoding="utf-8").partition(MARK)[0]
    lines = [written + MARK]
    for title, texts in GROUPS:
        lines += [f"### {title}\n", "| name | placeholders | English |", "|---|---|---|"]
        lines += [_row(name, [text]) for name, text in texts.items()] + [""]
    lines += ["### Texts that depend on a number\n", "| name | placeholders | English |", "|---|---|---|"]
    lines += [_row(name, list(forms)) for name, forms in parts.PLURALS.items()]
    lines += ["", "### Units whose names are known\n", ", ".join(f"`{unit}`" for unit in parts.NOUNS) + "."]
    return "\n".join(lines) + "\n"


def _row(name: str, forms: list[str]) -> str:
    has = " ".join(f"`{{{one}}}`" for one in sorted(set().union(*(placeholders(form) for form in forms))))
    return f"| `{name}` | {has} | {' · '.join(form.strip().replace('|', '&#124;') for form in forms)} |"


def main(arguments: list[str]) -> int:
    """Write what is out of date, or only say that something is; return the exit status."""
    wanted = {FOLDER / f"{language}.po": catalogue(language) for language in BUILT_IN if language != "en"}
    wanted[PAGE] = page()
    stale = [path for path, text in wanted.items() if path.read_text(encoding="utf-8") != text]
    for path in stale:
        sys.stdout.write(f"{path.relative_to(ROOT)} is out of date\n")
        if "--check" not in arguments:
            path.write_text(wanted[path], encoding="utf-8")
    return 1 if stale and "--check" in arguments else 0


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
