"""Whose pages buyers see: the shop's name, logo, colour and addresses, as `[shop]` of the catalogue says.

Pure but for reading the logo's file. A colour is kept as the shop wrote it where it fills an area, and darkened or
lightened wherever a line, a link or a word in it has to be seen: 3 : 1 and 4.5 : 1, as WCAG 2.2 asks.
"""

from __future__ import annotations

import hashlib
import re
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from functools import lru_cache
from pathlib import Path
from urllib.parse import urlsplit

NAME_MAX = 60
ADDRESS_MAX = 500
LOGO_BYTES_MAX = 256 * 1024
MAILTO = "mailto:"

TYPES = {
    ".png": "image/png",
    ".jpg": "image/jpeg",
    ".jpeg": "image/jpeg",
    ".webp": "image/webp",
    ".svg": "image/svg+xml",
}
"""What a logo may be, by the end of its file's name."""

_SVG = re.compile(rb"(?:\xef\xbb\xbf)?\s*(?:<svg[\s>]|<(?:\?xml|!DOCTYPE|!--).*?<svg[\s>])", re.DOTALL)
_COLOUR = re.compile(r"#[0-9a-fA-F]{6}", re.ASCII)
_FILE = re.compile(r"[A-Za-z0-9][A-Za-z0-9._-]{0,99}(/[A-Za-z0-9][A-Za-z0-9._-]{0,99}){0,4}", re.ASCII)
_ADDRESS = re.compile(r"https://[!#$%&*+,./:;=?@_~A-Za-z0-9()-]+", re.ASCII)
_HOST = re.compile(r"[a-z0-9]([a-z0-9.-]*[a-z0-9])?", re.ASCII)
_EMAIL = re.compile(r"[A-Za-z0-9._%+-]{1,64}@[A-Za-z0-9-]+(\.[A-Za-z0-9-]+)+", re.ASCII)


@dataclass(frozen=True, slots=True)
class Logo:
    """A picture: at an address elsewhere, or a file of ours with its bytes, media type and version (of its SHA-256)."""

    elsewhere: str | None = None
    body: bytes = b""
    media_type: str = ""
    version: str = ""

    @property
    def address(self) -> str:
        """Where a page finds it."""
        return self.elsewhere or f"/shop/logo?v={self.version}"


@dataclass(frozen=True, slots=True)
class Shop:
    """What buyers' pages say of the shop. Without a name they are Paydesk's own; what is `None` is not shown."""

    name: str = ""
    logo: Logo | None = None
    accent: str | None = None
    terms: str | None = None
    privacy: str | None = None
    support: str | None = None

    @property
    def links(self) -> tuple[tuple[str, str], ...]:
        """What stands at the foot of every page: the name of its text, and the address."""
        named = (("shop_terms", self.terms), ("shop_privacy", self.privacy), ("shop_support", self.support))
        return tuple((text, address) for text, address in named if address is not None)

    @property
    def email(self) -> str | None:
        """Where buyers write to for help, if that is an e-mail address."""
        support = self.support or ""
        return support.removeprefix(MAILTO) if support.startswith(MAILTO) else None

    def as_json(self, public_url: str) -> dict[str, str | None] | None:
        """Return what a page has to know of the shop, with a logo's whole address; `None` for nobody's."""
        if not self.name:
            return None
        logo = None if self.logo is None else self.logo.elsewhere or public_url + self.logo.address
        named = {"terms": self.terms, "privacy": self.privacy, "support": self.support}
        return {"name": self.name, "logo": logo, "accent": self.accent, **named}

    @property
    def logo_origin(self) -> str | None:
        """The origin that pages must be let load a picture from, if it is not ours."""
        if self.logo is None or self.logo.elsewhere is None:
            return None
        parts = urlsplit(self.logo.elsewhere)
        return f"{parts.scheme}://{parts.netloc}"


NOBODY = Shop()
"""A desk whose catalogue says nothing of the shop."""


# --- what may be written ---------------------------------------------------------------------------------------------


def checked_address(text: str) -> str:
    """Return an address that a page may lead to; raises `ValueError` unless it is https and plain."""
    parts = urlsplit(text)
    if len(text) > ADDRESS_MAX or not _ADDRESS.fullmatch(text) or not _HOST.fullmatch(parts.hostname or ""):
        raise ValueError('is an address such as "https://shop.example/terms"')
    if "@" in parts.netloc or not _has_good_port(text):
        raise ValueError("is an address without a user's name, and with a port that exists")
    return text


def _has_good_port(text: str) -> bool:
    try:
        return urlsplit(text).port != 0
    except ValueError:
        return False


def checked_support(text: str) -> str:
    """Return where buyers find help, an e-mail address as `mailto:`; raises `ValueError`."""
    if _EMAIL.fullmatch(text):
        return MAILTO + text
    try:
        return checked_address(text)
    except ValueError:
        raise ValueError('is an e-mail address, or an address such as "https://shop.example/help"') from None


def checked_accent(text: str) -> str:
    """Return a colour in lower case; raises `ValueError`."""
    if not _COLOUR.fullmatch(text):
        raise ValueError('is a colour of six hexadecimal digits such as "#0a6b4b"')
    return text.lower()


def read_logo(text: str, folder: Path) -> Logo:
    """Return a logo: at an https address, or a picture in `folder`, read now; raises `ValueError` that says what is wrong."""
    if "://" in text:
        return Logo(elsewhere=checked_address(text))
    media_type = TYPES.get(Path(text).suffix.lower())
    if not _FILE.fullmatch(text) or media_type is None:
        raise ValueError(
            "is an https address, or a file beside the catalogue that ends with " + ", ".join(sorted(TYPES))
        )
    path = folder / text
    if path.exists() and not (path.is_file() and path.resolve().is_relative_to(folder.resolve())):
        raise ValueError(f"names {text}, which is no file of the catalogue's folder")
    try:
        with path.open("rb") as file:
            body = file.read(LOGO_BYTES_MAX + 1)
    except OSError as error:
        raise ValueError(f"names {text}, which cannot be read: {error.strerror}") from None
    if len(body) > LOGO_BYTES_MAX:
        raise ValueError(f"names {text}, which is larger than {LOGO_BYTES_MAX // 1024} KiB")
    if not _is(media_type, body):
        raise ValueError(f"names {text}, which is no {media_type.removeprefix('image/').removesuffix('+xml')} picture")
    return Logo(None, body, media_type, hashlib.sha256(body).hexdigest()[:16])


def _is(media_type: str, body: bytes) -> bool:
    """Say whether a file is what its name says, by how it begins."""
    if media_type == "image/svg+xml":
        return _SVG.match(body) is not None
    begins = {"image/png": b"\x89PNG\r\n\x1a\n", "image/jpeg": b"\xff\xd8\xff", "image/webp": b"RIFF"}[media_type]
    return body.startswith(begins) and (media_type != "image/webp" or body[8:12] == b"WEBP")


# --- colours ---------------------------------------------------------------------------------------------------------

Rgb = tuple[int, int, int]

GROUNDS = {
    "light": ("#f6f4ef", "#ffffff", "#eeebe3"),
    "dark": ("#0e1311", "#171e1b", "#202925"),
}
"""What lies behind the accent on our pages (`--canvas`, `--surface`, `--sunken` of paydesk.css), by colour scheme."""

BLACK, WHITE = (0, 0, 0), (255, 255, 255)
SEEN, READ = 3.0, 4.5
STEPS = 50


@lru_cache(maxsize=8)
def stylesheet(accent: str) -> str:
    """Return the styles that give every page a checked colour, in light and in dark."""
    rules = {
        scheme: "".join(f"{name}:{value};" for name, value in shades(accent, scheme).items()) for scheme in GROUNDS
    }
    return f":root{{{rules['light']}}}\n@media (prefers-color-scheme: dark){{:root{{{rules['dark']}}}}}\n"


def theme_version(accent: str) -> str:
    """Return the version of a colour's styles: another colour, or another way to make them, is another version."""
    return hashlib.sha256(stylesheet(accent).encode()).hexdigest()[:16]


def shades(accent: str, scheme: str) -> Mapping[str, str]:
    """Return the custom properties of one colour scheme.

    The accent itself fills buttons, with black or white on it, whichever is read more easily; `--accent-edge` is seen
    on every ground (rings, borders), and `--accent-text` is read on every ground.
    """
    own, grounds = _rgb(accent), [_rgb(one) for one in GROUNDS[scheme]]
    towards = BLACK if scheme == "light" else WHITE
    ink = max((WHITE, BLACK), key=lambda one: contrast(one, own))
    soft = _mixed(grounds[1], own, 0.14)
    return {
        "--accent": accent,
        "--accent-hover": _hex(_mixed(own, BLACK if ink == WHITE else WHITE, 0.16)),
        "--accent-ink": _hex(ink),
        "--accent-edge": _hex(_moved(own, towards, grounds, SEEN)),
        "--accent-soft": _hex(soft),
        "--accent-text": _hex(_moved(own, towards, [*grounds, soft], READ)),
    }


def contrast(one: Rgb, other: Rgb) -> float:
    """Return the contrast of two colours as WCAG counts it: 1 for the same, 21 for black on white."""
    darker, lighter = sorted((_luminance(one), _luminance(other)))
    return (lighter + 0.05) / (darker + 0.05)


def _luminance(colour: Rgb) -> float:
    linear = [
        part / 12.92 if part <= 0.04045 else ((part + 0.055) / 1.055) ** 2.4 for part in (one / 255 for one in colour)
    ]
    return 0.2126 * linear[0] + 0.7152 * linear[1] + 0.0722 * linear[2]


def _moved(colour: Rgb, towards: Rgb, grounds: Sequence[Rgb], least: float) -> Rgb:
    """Return the colour nearest to this one, on the way to black or white, that contrasts enough with all grounds."""
    on_the_way = (_mixed(colour, towards, step / STEPS) for step in range(STEPS + 1))
    return next(one for one in on_the_way if all(contrast(one, ground) >= least for ground in grounds))


def _mixed(one: Rgb, other: Rgb, share: float) -> Rgb:
    red, green, blue = (round(a + (b - a) * share) for a, b in zip(one, other, strict=True))
    return red, green, blue


def _rgb(text: str) -> Rgb:
    return int(text[1:3], 16), int(text[3:5], 16), int(text[5:7], 16)


def _hex(colour: Rgb) -> str:
    return "#" + bytes(colour).hex()
