"""The API of webhook endpoints: where our own events are sent. A secret is in an answer once, when it is made."""

from __future__ import annotations

from typing import Annotated, Any

from fastapi import APIRouter, Request
from pydantic import Field
from starlette.responses import Response

from paydesk import dialing, endpoints
from paydesk.clock import iso
from paydesk.endpoints import DESCRIPTION_MAX, EVERYTHING, Endpoint, Wish
from paydesk.errors import NotFound
from paydesk.web import shapes
from paydesk.web.api import Admin, Here
from paydesk.web.once import once
from paydesk.web.parameters import Part

router = APIRouter(prefix="/v1/webhook_endpoints", tags=["Webhooks"])

Url = Annotated[str, Field(max_length=dialing.URL_MAX, examples=["https://example.com/paydesk"])]
Events = Annotated[list[str], Field(max_length=100, examples=[["order.*", "credits.spent"]])]


class EndpointGiven(shapes.Given):
    """An endpoint to register. `enabled_events` are types of events, `order.*` for all of a kind, `*` for all."""

    url: Url
    enabled_events: Events = Field([EVERYTHING])
    description: str | None = Field(None, max_length=DESCRIPTION_MAX)


class EndpointChange(shapes.Given):
    """What is to change; an empty description takes it away, `disabled` stops sending, or begins again."""

    url: Url | None = None
    enabled_events: Events | None = None
    description: str | None = Field(None, max_length=DESCRIPTION_MAX)
    disabled: bool | None = None


@router.post("", status_code=201)
async def create_endpoint(request: Request, here: Here, caller: Admin, given: EndpointGiven) -> Response:
    """Register an endpoint. The answer has its `secret`, with which every event is signed: keep it, it is shown once."""
    allowed = dialing.allowed_hosts(here.settings.environ)
    url, events = dialing.checked_url(given.url, allowed), endpoints.checked_events(given.enabled_events)
    wish = Wish(url, events, given.description)

    async def work(operation: str) -> dict[str, Any]:
        made, secret = await endpoints.create(
            here.store, here.vault, wish, operation=operation, actor=caller.key_id
        )  # fmt: skip
        return {**shown(made), "secret": secret}

    return await once(here.store, caller.key_id, request, work, status=201, personal=True)


@router.get("")
async def list_endpoints(here: Here, _caller: Admin, part: Part) -> dict[str, Any]:
    """List endpoints, newest first."""
    found, more = await endpoints.listed(here.store, part)
    return {"data": [shown(one) for one in found], "has_more": more}


@router.get("/{endpoint}")
async def get_endpoint(here: Here, _caller: Admin, endpoint: str) -> dict[str, Any]:
    """Return an endpoint, and since when it has been failing, if it has."""
    return shown(await endpoints.get(here.store, endpoint))


@router.patch("/{endpoint}")
async def change_endpoint(
    request: Request, here: Here, caller: Admin, endpoint: str, given: EndpointChange
) -> Response:
    """Change an endpoint: its address, what it wants to hear, whether it is sent anything."""
    allowed = dialing.allowed_hosts(here.settings.environ)
    url = None if given.url is None else dialing.checked_url(given.url, allowed)
    events = None if given.enabled_events is None else endpoints.checked_events(given.enabled_events)

    async def work(operation: str) -> dict[str, Any]:
        wish = Wish(url, events, given.description)
        after = await endpoints.change(here.store, endpoint, wish, actor=caller.key_id, operation=operation)
        if given.disabled is not None:
            turn = endpoints.disable if given.disabled else endpoints.enable
            after = await turn(here.store, endpoint, actor=caller.key_id, operation=f"{operation}:turn")
            here.bell.ring("outbox")
        return shown(after)

    return await once(here.store, caller.key_id, request, work)


@router.post("/{endpoint}/enable")
async def enable_endpoint(request: Request, here: Here, caller: Admin, endpoint: str) -> Response:
    """Send an endpoint events again, first what waits for it. Enabling one that is enabled changes nothing."""

    async def work(operation: str) -> dict[str, Any]:
        after = await endpoints.enable(here.store, endpoint, actor=caller.key_id, operation=operation)
        here.bell.ring("outbox")
        return shown(after)

    return await once(here.store, caller.key_id, request, work)


@router.post("/{endpoint}/rotate")
async def rotate_secret(request: Request, here: Here, caller: Admin, endpoint: str) -> Response:
    """Give an endpoint another secret, shown once. For 24 hours events are signed with both, so that you can change over."""

    async def work(operation: str) -> dict[str, Any]:
        after, secret = await endpoints.rotate(
            here.store, here.vault, endpoint, operation=operation, actor=caller.key_id
        )  # fmt: skip
        return {**shown(after), "secret": secret}

    return await once(here.store, caller.key_id, request, work, personal=True)


@router.delete("/{endpoint}")
async def delete_endpoint(request: Request, here: Here, caller: Admin, endpoint: str) -> Response:
    """Forget an endpoint. Deleting it again changes nothing."""

    async def work(_operation: str) -> dict[str, Any]:
        try:
            await endpoints.delete(here.store, endpoint, actor=caller.key_id)
        except NotFound:
            if not await endpoints.was_deleted(here.store, endpoint):
                raise
        return {"id": endpoint, "object": "webhook_endpoint", "deleted": True}

    return await once(here.store, caller.key_id, request, work)


def shown(of: Endpoint) -> dict[str, Any]:
    """Show an endpoint, without its secret."""
    return {
        "id": of.id,
        "object": "webhook_endpoint",
        "url": of.url,
        "description": of.description,
        "enabled_events": list(of.events),
        "status": "enabled" if of.disabled_at is None else "disabled",
        "disabled_at": iso(of.disabled_at),
        "disabled_because": of.disabled_because,
        "failures": of.failures,
        "failing_since": iso(of.failing_since),
        "old_secret_until": iso(of.old_secret_until),
        "created_at": iso(of.created_at),
    }
