"""The API of keys. A key is in an answer once: when it is made."""

from __future__ import annotations

from typing import Any, Literal

from fastapi import APIRouter, Request
from pydantic import Field
from starlette.responses import Response

from paydesk import keys
from paydesk.keys import LIFE_S_MAX, NAME_MAX, ORIGINS_MAX, OVERLAP_S, OVERLAP_S_MAX, RATE_MAX, Wish
from paydesk.web import shapes
from paydesk.web.api import Admin, Here
from paydesk.web.once import once
from paydesk.web.parameters import Part

router = APIRouter(prefix="/v1/keys", tags=["Keys"])

ScopeName = Literal["read", "sell", "spend", "refund", "admin"]


class KeyGiven(shapes.Given):
    """A key to make: a secret one with scopes, or a publishable one without."""

    name: str = Field(max_length=NAME_MAX, examples=["my-bot"])
    kind: Literal["secret", "publishable"] = "secret"
    scopes: list[ScopeName] = Field(default=[], max_length=10, examples=[["read", "sell"]])
    origins: list[str] = Field(
        default=[], max_length=ORIGINS_MAX, examples=[["https://shop.example"]],
        description="of a publishable key: the origins whose pages it works in; without, it works in all",
    )  # fmt: skip
    expires_in_s: int | None = Field(None, ge=1, le=LIFE_S_MAX, description="for ever without")
    rate_per_s: int | None = Field(None, ge=1, le=RATE_MAX, description="requests a second, instead of the usual limit")


class RotateGiven(shapes.Given):
    """For how long the old key goes on working beside the new one."""

    overlap_s: int = Field(OVERLAP_S, ge=0, le=OVERLAP_S_MAX)


@router.post("", status_code=201)
async def create_key(request: Request, here: Here, caller: Admin, given: KeyGiven) -> Response:
    """Make a key. The answer has the `key` itself: keep it, it is shown once."""
    scopes, origins = tuple(given.scopes), tuple(given.origins)
    wish = keys.checked(Wish(given.name, scopes, given.kind, given.expires_in_s, given.rate_per_s, origins))

    async def work(operation: str) -> dict[str, Any]:
        key = keys.derived(here.vault, wish.kind, operation)
        made = await keys.create(here.store, wish, key, actor=caller.key_id, operation=operation)
        return {**keys.shown(made), "key": key}

    return await once(here.store, caller.key_id, request, work, status=201, personal=True)


@router.get("")
async def list_keys(here: Here, _caller: Admin, part: Part) -> dict[str, Any]:
    """List keys, newest first, without what they are: `prefix` is how each begins."""
    found, more = await keys.listed(here.store, part)
    return {"data": [keys.shown(one) for one in found], "has_more": more}


@router.get("/{key}")
async def get_key(here: Here, _caller: Admin, key: str) -> dict[str, Any]:
    """Return a key, without what it is."""
    return keys.shown(await keys.get(here.store, key))


@router.post("/{key}/rotate", status_code=201)
async def rotate_key(
    request: Request, here: Here, caller: Admin, key: str, given: RotateGiven | None = None
) -> Response:
    """Make a key's successor, shown once, with its name, scopes, origins, limit and end; the old one ends after `overlap_s`.

    `overlap_s` is in seconds. Without an overlap the old one is revoked at once.

    409 for a key that is revoked, has expired, or has a successor.
    """
    overlap_s = OVERLAP_S if given is None else given.overlap_s
    kind = (await keys.get(here.store, key)).kind

    async def work(operation: str) -> dict[str, Any]:
        fresh = keys.derived(here.vault, kind, operation)
        made = await keys.rotate(
            here.store, key, fresh, overlap_s=overlap_s, actor=caller.key_id, operation=operation
        )  # fmt: skip
        return {**keys.shown(made), "key": fresh}

    return await once(here.store, caller.key_id, request, work, status=201, personal=True)


@router.post("/{key}/revoke")
async def revoke_key(request: Request, here: Here, caller: Admin, key: str) -> Response:
    """Revoke a key: it stops working within five seconds, for ever. Again, nothing changes."""

    async def work(_operation: str) -> dict[str, Any]:
        return keys.shown(await keys.revoke(here.store, key, actor=caller.key_id))

    return await once(here.store, caller.key_id, request, work)
