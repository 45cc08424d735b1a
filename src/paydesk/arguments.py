"""What may be typed after a command: texts, places and addresses that are refused at once when they make no sense."""

from __future__ import annotations

import re
from pathlib import Path
from typing import Any
from urllib.parse import urlsplit

import click
from click.types import StringParamType

_SPAN = re.compile(r"(\d{1,9})([smhd])", re.ASCII)
_SECONDS = {"s": 1, "m": 60, "h": 3600, "d": 86_400}
_SECRET = re.compile(r"whsec_[!-~]{8,}", re.ASCII)


class Text(StringParamType):
    """A text in one line, of 1 to `length_max` characters that can be seen."""

    name = "text"

    def __init__(self, length_max: int = 300) -> None:
        self._length_max = length_max

    def convert(self, value: Any, param: click.Parameter | None, ctx: click.Context | None) -> str:
        """Return the text without white space around it, or fail with what is expected."""
        text = str(value).strip()
        if not 0 < len(text) <= self._length_max or not text.isprintable():
            self.fail(f"give 1 to {self._length_max} printable characters in one line", param, ctx)
        return text


class Place(click.Path):
    """A file or folder that has a name."""

    def __init__(self, *, file_okay: bool = True, dir_okay: bool = True) -> None:
        super().__init__(path_type=Path, file_okay=file_okay, dir_okay=dir_okay)

    def convert(self, value: Any, param: click.Parameter | None, ctx: click.Context | None) -> Any:
        """Return the path, or fail with what is expected."""
        if not str(value).strip():
            self.fail("give the name of a file or folder; the folder you are in is .", param, ctx)
        return super().convert(value, param, ctx)


class Address(StringParamType):
    """The address of a web server, http or https."""

    name = "url"

    def convert(self, value: Any, param: click.Parameter | None, ctx: click.Context | None) -> str:
        """Return the address, or fail with a good one."""
        text = str(value)
        try:
            parts = urlsplit(text)
            sound = parts.scheme in ("http", "https") and bool(parts.hostname) and parts.port != 0
        except ValueError:  # a bracket too few, a port out of range
            sound = False
        if not sound or not text.isprintable() or " " in text:
            self.fail(f"{text!r} is no web address; a good one is http://127.0.0.1:8000/webhooks/stripe", param, ctx)
        return text


class SigningSecret(StringParamType):
    """A webhook's signing secret as Stripe writes it."""

    name = "whsec_…"

    def convert(self, value: Any, param: click.Parameter | None, ctx: click.Context | None) -> str:
        """Return the secret, or fail without repeating what was given."""
        if not _SECRET.fullmatch(str(value)):
            self.fail("a signing secret is whsec_ and at least 8 more letters or digits", param, ctx)
        return str(value)


class Span(StringParamType):
    """A length of time such as 90s, 30m, 24h or 7d, as whole seconds."""

    name = "time"

    def convert(self, value: Any, param: click.Parameter | None, ctx: click.Context | None) -> Any:
        """Return the seconds, or fail with what is expected."""
        found = _SPAN.fullmatch(str(value).strip())
        if found is None:
            self.fail(f"{value!r} is no length of time: write it like 90s, 30m, 24h or 7d", param, ctx)
        return int(found[1]) * _SECONDS[found[2]]
