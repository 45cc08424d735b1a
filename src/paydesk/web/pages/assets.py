"""Files that never change while we run: styles, scripts, pictures, types. Read once, served with their own hash as version.

`address` gives the versioned address, which browsers may keep for a year; without the version they ask each time.
The client and the elements are served as a package too, for npm: `/static/paydesk.tgz`.
"""

from __future__ import annotations

import gzip
import hashlib
import io
import tarfile
from dataclasses import dataclass
from pathlib import Path

from starlette.requests import Request
from starlette.responses import Response
from starlette.routing import BaseRoute, Route

from paydesk.errors import NotFound

FOLDER = Path(__file__).parent / "static"
MEDIA_TYPES = {
    ".css": "text/css; charset=utf-8",
    ".js": "text/javascript; charset=utf-8",
    ".svg": "image/svg+xml",
    ".tgz": "application/gzip",
    ".ts": "application/typescript; charset=utf-8",
}
MODULES = tuple(sorted(path.name for path in FOLDER.glob("paydesk*") if path.suffix in (".js", ".ts")))
"""The client, the elements, and their types."""

PACKAGE = "paydesk.tgz"
FOR_OTHERS = (*MODULES, PACKAGE)
"""What pages of other origins may load."""

KEPT = "public, max-age=31536000, immutable"
ASKED = "public, no-cache"


@dataclass(frozen=True, slots=True)
class Asset:
    """A file as it is served: its bytes, media type and version (the start of their SHA-256)."""

    body: bytes
    media_type: str
    version: str


def _asset_of(suffix: str, body: bytes) -> Asset:
    return Asset(body, MEDIA_TYPES[suffix], hashlib.sha256(body).hexdigest()[:16])


def package() -> bytes:
    """Return the package as `npm pack` makes one, of the files it is made of here; the same files are the same bytes."""
    packed = io.BytesIO()
    with gzip.GzipFile(fileobj=packed, mode="wb", mtime=0) as zipped, tarfile.open(fileobj=zipped, mode="w") as archive:
        for name in ("package.json", *MODULES):
            body = (FOLDER / name).read_bytes()
            entry = tarfile.TarInfo(f"package/{name}")
            entry.size, entry.mode = len(body), 0o644
            archive.addfile(entry, io.BytesIO(body))
    return packed.getvalue()


ASSETS = {
    PACKAGE: _asset_of(".tgz", package()),
    **{path.name: _asset_of(path.suffix, path.read_bytes()) for path in FOLDER.iterdir() if path.suffix in MEDIA_TYPES},
}


def address(name: str) -> str:
    """Return the versioned address of a file; raises `KeyError` for one that does not exist."""
    return f"/static/{name}?v={ASSETS[name].version}"


def routes() -> list[BaseRoute]:
    """Return the routes of the files, and of the icon that browsers ask for by themselves."""
    return [
        Route("/static/{name}", _asset, methods=["GET"]),
        Route("/favicon.svg", _icon, methods=["GET"]),
        Route("/favicon.ico", _icon, methods=["GET"]),
    ]


async def _asset(request: Request) -> Response:
    return _answer(request, request.path_params["name"])


async def _icon(request: Request) -> Response:
    return _answer(request, "favicon.svg")


def _answer(request: Request, name: str) -> Response:
    """Serve a file by name, or say that the browser's copy is still good."""
    asset = ASSETS.get(name)
    if asset is None:
        raise NotFound(f"no file {name[:100]}")
    etag = f'"{asset.version}"'
    headers = {
        "ETag": etag,
        "Cache-Control": KEPT if request.query_params.get("v") == asset.version else ASKED,
        "X-Content-Type-Options": "nosniff",
        "Cross-Origin-Resource-Policy": "cross-origin" if name in FOR_OTHERS else "same-origin",
        **({"Access-Control-Allow-Origin": "*"} if name in FOR_OTHERS else {}),
    }
    if etag in request.headers.get("if-none-match", ""):
        return Response(status_code=304, headers=headers)
    return Response(asset.body, media_type=asset.media_type, headers=headers)
