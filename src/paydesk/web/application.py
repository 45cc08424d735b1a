"""The application behind the webhooks: API, pages, health and figures; numbered requests, limits, and errors as JSON."""

from __future__ import annotations

import logging
from collections.abc import Mapping
from logging import INFO, WARNING
from typing import Any

from fastapi import Depends, FastAPI, Request
from fastapi import HTTPException as Refusal
from fastapi.exceptions import RequestValidationError
from fastapi.routing import APIRoute
from fastapi.utils import generate_unique_id
from starlette.datastructures import MutableHeaders
from starlette.exceptions import HTTPException
from starlette.responses import JSONResponse, PlainTextResponse, Response
from starlette.types import ASGIApp, Message, Receive, Scope, Send

from paydesk import customers, refusals, status
from paydesk.errors import Invalid, PaydeskError, StoreUnavailable, StripeRefused, TooLarge
from paydesk.service import Service
from paydesk.telemetry import exposition, request_id
from paydesk.web import (
    access,
    agents_api,
    buyers_api,
    credits_api,
    documented_paths,
    endpoints_api,
    keys_api,
    lists_api,
    operation_api,
    pages,
    parameters,
    payments_api,
    people_api,
    stats_api,
    subscriptions_api,
    topup_api,
    wallet,
)
from paydesk.web.api import router, service_of
from paydesk.web.auth import Keys
from paydesk.web.description import complete
from paydesk.web.limits import told
from paydesk.web.merging_api import router as merging_router

log = logging.getLogger("paydesk.api")

BODY_BYTES_MAX = 256 * 1024


def build(service: Service) -> FastAPI:
    """Return the application for a running service."""
    return bind(without_service(), service)


def bind(app: FastAPI, service: Service) -> FastAPI:
    """Let an application answer for a running service from now on; return it."""
    app.state.service = service
    app.state.keys = Keys(service.store, service.vault, service.settings.api_key)
    return app


def without_service() -> FastAPI:
    """Return all routes and what stands in front of them, which cost most of the time: `bind` it before it is called."""
    app = Described(
        title="Paydesk",
        version="1",
        description="The pay desk for chat products.",
        docs_url=None,
        redoc_url=None,
        dependencies=[Depends(parameters.known), Depends(parameters.well_told)],
        generate_unique_id_function=_name_of,
    )
    app.include_router(router)
    app.include_router(lists_api.router)
    app.include_router(operation_api.router)
    app.include_router(credits_api.router)
    app.include_router(payments_api.router)
    app.include_router(subscriptions_api.router)
    app.include_router(merging_router)
    app.include_router(topup_api.router)
    app.include_router(people_api.router)
    app.include_router(endpoints_api.router)
    app.include_router(keys_api.router)
    app.include_router(buyers_api.router)
    app.include_router(agents_api.router)
    app.include_router(stats_api.router)
    app.include_router(documented_paths.router)
    app.add_api_route("/healthz", _healthy, include_in_schema=False)
    app.add_api_route("/readyz", _ready, include_in_schema=False)
    app.add_api_route("/metrics", _metrics, include_in_schema=False)
    app.router.routes.extend(pages.routes(service_of))
    app.add_exception_handler(PaydeskError, _refused)
    app.add_exception_handler(RequestValidationError, _malformed)
    app.add_exception_handler(HTTPException, _http_error)
    app.add_exception_handler(Exception, _failed)
    app.add_middleware(Numbered)
    return app


def _name_of(route: APIRoute) -> str:
    """Return what a generated client calls a call: our own by the name of its function."""
    return route.name if route.path_format.startswith("/v1") else generate_unique_id(route)


class Described(FastAPI):
    """An application whose description also tells of the calls that are answered in front of it."""

    def openapi(self) -> dict[str, Any]:
        """Return the OpenAPI description."""
        if self.openapi_schema is None:
            wallet.describe(super().openapi())
            access.describe(super().openapi())
            complete(super().openapi(), self.state.service.settings.public_url)
        return super().openapi()


# --- every request ---------------------------------------------------------------------------------------------------


class Numbered:
    """Gives every request a number, which stands in the answer, in errors and in the log; refuses what nobody takes.

    Plain ASGI: streams pass untouched. A body is counted while it is read, whatever length it told.
    """

    def __init__(self, app: ASGIApp) -> None:
        self._app = app

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        """Answer one request."""
        if scope["type"] != "http":
            await self._app(scope, receive, send)
            return
        number = scope.setdefault("state", {})["id"] = request_id()

        async def numbered(message: Message) -> None:
            if message["type"] == "http.response.start":
                headers = MutableHeaders(scope=message)
                headers["Request-Id"] = number
                headers.raw.extend(told(scope))
                if _is_call(scope["path"]):
                    headers["Cache-Control"] = "no-store"
                    headers["X-Content-Type-Options"] = "nosniff"
            await send(message)

        try:
            _refuse_early(scope)
        except PaydeskError as error:
            await _told(scope["path"], error.body(number), error.status)(scope, receive, numbered)
            return
        await self._app(scope, _counted(receive), numbered)


def _refuse_early(scope: Scope) -> None:
    """Raise for a request that says itself that it is too large, or whose address no database could hold."""
    length = dict(scope["headers"]).get(b"content-length", b"0")
    if not length.isdigit() or int(length[:20]) > BODY_BYTES_MAX:
        raise TooLarge(f"a request has at most {BODY_BYTES_MAX} bytes")
    if "\x00" in scope["path"] or b"%00" in scope["query_string"]:
        raise Invalid("an address must not contain the character NUL")


def _counted(receive: Receive) -> Receive:
    """Return `receive`, which raises 413 when a body that did not tell its length turns out too large."""
    size = 0

    async def counted() -> Message:
        nonlocal size
        message = await receive()
        size += len(message.get("body", b""))
        if size > BODY_BYTES_MAX:
            raise Refusal(413, f"a request has at most {BODY_BYTES_MAX} bytes")
        return message

    return counted


# --- health and figures ----------------------------------------------------------------------------------------------


async def _healthy() -> Response:
    return PlainTextResponse("ok\n")


async def _ready(request: Request) -> Response:
    try:
        await service_of(request).store.fetchval("SELECT 1")
    except StoreUnavailable as error:
        return PlainTextResponse(f"{error}\n", 503)
    return PlainTextResponse("ok\n")


async def _metrics(request: Request) -> Response:
    await status.measure(service_of(request).store)
    return Response(exposition(), media_type="text/plain; version=0.0.4; charset=utf-8")


# --- errors ----------------------------------------------------------------------------------------------------------


def _is_call(path: str) -> bool:
    """Say whether a path is meant for programs, which are told everything as JSON."""
    return path.startswith("/v1") or documented_paths.tells(path)


def _wants_page(request: Request) -> bool:
    return not _is_call(request.url.path) and "text/html" in request.headers.get("accept", "")


def _told(path: str, body: dict[str, Any], status: int, headers: Mapping[str, str] | None = None) -> JSONResponse:
    """Return an error as JSON, in the words of whoever calls that path."""
    told = documented_paths.refusal(path, body) if documented_paths.tells(path) else body
    return JSONResponse(told, status, headers=headers)


def _body(code: str, message: str, request: Request, param: str | None = None) -> dict[str, Any]:
    return PaydeskError(message, param=param, code=code).body(request.state.id)


async def _refused(request: Request, error: Exception) -> Response:
    assert isinstance(error, PaydeskError)  # noqa: S101 - registered for this class
    error = await _for_the_caller(request, error)
    log.log(WARNING if error.status >= 500 else INFO, "%s %s %d %s: %s", request.method, request.url.path,
            error.status, error.code, error.message)  # fmt: skip
    headers = {"Retry-After": str(error.retry_after_s)} if error.retry_after_s is not None else {}
    return _told(request.url.path, error.body(request.state.id), error.status, headers)


async def _for_the_caller(request: Request, error: PaydeskError) -> PaydeskError:
    """Return what a caller is told of a refusal of Stripe's: our name of a parameter, and the buyer's own language."""
    if not isinstance(error, StripeRefused):
        return error
    told = refusals.by_our_names(error)
    if isinstance(told, StripeRefused) and told.decline_code is not None:
        here = service_of(request)
        locale = await customers.locale_of(here.store, getattr(request.state, "scope", "").removeprefix("buyer:"))
        said = here.conversation.sentence(told.message, locale)
        told.message = said[:1].upper() + said[1:]  # in some languages it is what stands behind a colon
    return told


async def _malformed(request: Request, error: Exception) -> Response:
    assert isinstance(error, RequestValidationError)  # noqa: S101 - registered for this class
    param, words = _wrong(error)
    log.info("%s %s 422 invalid_request: %s", request.method, request.url.path, param or "the body")
    return _told(request.url.path, _body("invalid_request", words, request, param), 422)


def _wrong(error: RequestValidationError) -> tuple[str | None, str]:
    """Return the field that is refused first, and why: of a field that may be several things, what it was nearest to."""
    found = error.errors()
    first = found[0]
    if first["type"] == "json_invalid":
        where = f" at character {first['loc'][1]}" if len(first["loc"]) > 1 else ""
        return None, f"the body is not JSON: {first['ctx']['error']}{where}"
    same = [one for one in found if one["loc"][:2] == first["loc"][:2]]
    param, told = max(((_field(one, error.body), one["msg"]) for one in same), key=lambda one: len(one[0]))
    name = ".".join(param) or None
    return name, f"{name or 'the body'}: {told.removeprefix('Value error, ')}"


def _field(one: Mapping[str, Any], body: Any) -> list[str]:
    """Return the path of a field as it was sent: pydantic's names of the types that it may have are no part of it."""
    place, *parts = one["loc"]
    if place != "body":
        return [str(part) for part in parts[:1]]
    found: list[str] = []
    for number, part in enumerate(parts, 1):
        inside = part in body if isinstance(body, dict) else isinstance(body, list) and isinstance(part, int)
        if inside or (one["type"] == "missing" and number == len(parts)):
            found.append(str(part))
        if inside:
            body = body[part]
    return found


async def _http_error(request: Request, error: Exception) -> Response:
    assert isinstance(error, HTTPException)  # noqa: S101 - registered for this class
    if _wants_page(request):
        return await pages.not_found(request, error)
    if error.status_code == 400:  # FastAPI's own, of a body that is too deep, too long a number, or no text
        words = "the body is not the JSON we take: it is nested too deeply, has too long a number, or is not UTF-8"
        return _told(request.url.path, _body("invalid_request", words, request), 400)
    code = {404: "not_found", 405: "method_not_allowed", 413: "too_large"}.get(error.status_code, "http_error")
    return _told(request.url.path, _body(code, str(error.detail), request), error.status_code, error.headers)


async def _failed(request: Request, error: Exception) -> Response:
    log.error("%s %s failed", request.method, request.url.path, exc_info=error)
    if _wants_page(request):
        return await pages.failed(request, error)
    body = _body("internal_error", "something went wrong here; it is in the log", request)
    return _told(request.url.path, body, 500)
