"""The application behind the webhooks: API, pages, health and figures; numbered requests, limits, and errors as JSON."""

from __future__ import annotations

import logging
from typing import Any

from fastapi import FastAPI, Request
from fastapi import HTTPException as Refusal
from fastapi.exceptions import RequestValidationError
from starlette.datastructures import MutableHeaders
from starlette.exceptions import HTTPException
from starlette.responses import JSONResponse, PlainTextResponse, Response
from starlette.types import ASGIApp, Message, Receive, Scope, Send

from paydesk import ids, status
from paydesk.errors import Invalid, PaydeskError, StoreUnavailable, TooLarge
from paydesk.service import Service
from paydesk.telemetry import exposition
from paydesk.web import (
    access,
    credits_api,
    endpoints_api,
    pages,
    payments_api,
    people_api,
    stats_api,
    subscriptions_api,
    topup_api,
    wallet,
)
from paydesk.web.api import router, service_of
from paydesk.web.auth import Keys
from paydesk.web.merging_api import router as merging_router

log = logging.getLogger("paydesk.api")

BODY_BYTES_MAX = 256 * 1024


def build(service: Service) -> FastAPI:
    """Return the application for a running service."""
    app = Described(
        title="Paydesk", version="1", description="The pay desk for chat products.", docs_url=None, redoc_url=None
    )
    app.state.service = service
    app.state.keys = Keys(service.store, service.settings.api_key)
    app.include_router(router)
    app.include_router(credits_api.router)
    app.include_router(payments_api.router)
    app.include_router(subscriptions_api.router)
    app.include_router(merging_router)
    app.include_router(topup_api.router)
    app.include_router(people_api.router)
    app.include_router(endpoints_api.router)
    app.include_router(stats_api.router)
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


class Described(FastAPI):
    """An application whose description also tells of the calls that are answered in front of it."""

    def openapi(self) -> dict[str, Any]:
        """Return the OpenAPI description."""
        if self.openapi_schema is None:
            wallet.describe(super().openapi())
            access.describe(super().openapi())
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
        number = scope.setdefault("state", {})["id"] = ids.new("req")

        async def numbered(message: Message) -> None:
            if message["type"] == "http.response.start":
                headers = MutableHeaders(scope=message)
                headers["Request-Id"] = number
                if scope["path"].startswith("/v1"):
                    headers["Cache-Control"] = "no-store"
                    headers["X-Content-Type-Options"] = "nosniff"
            await send(message)

        try:
            _refuse_early(scope)
        except PaydeskError as error:
            await JSONResponse(error.body(number), error.status)(scope, receive, numbered)
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


def _wants_page(request: Request) -> bool:
    return not request.url.path.startswith("/v1") and "text/html" in request.headers.get("accept", "")


def _body(code: str, message: str, request: Request, param: str | None = None) -> dict[str, object]:
    return PaydeskError(message, param=param, code=code).body(request.state.id)


async def _refused(request: Request, error: Exception) -> Response:
    assert isinstance(error, PaydeskError)  # noqa: S101 - registered for this class
    if error.status >= 500:
        log.warning("%s %s: %s", request.state.id, request.url.path, error.message)
    headers = {"Retry-After": str(error.retry_after_s)} if error.retry_after_s is not None else {}
    return JSONResponse(error.body(request.state.id), error.status, headers=headers)


async def _malformed(request: Request, error: Exception) -> Response:
    assert isinstance(error, RequestValidationError)  # noqa: S101 - registered for this class
    first = error.errors()[0]
    where = [str(part) for part in first["loc"] if part not in ("body", "query", "path")]
    param = ".".join(where) or None
    return JSONResponse(_body("invalid_request", f"{param or 'the body'}: {first['msg']}", request, param), 422)


async def _http_error(request: Request, error: Exception) -> Response:
    assert isinstance(error, HTTPException)  # noqa: S101 - registered for this class
    if _wants_page(request):
        return await pages.not_found(request, error)
    code = {404: "not_found", 405: "method_not_allowed", 413: "too_large"}.get(error.status_code, "http_error")
    return JSONResponse(_body(code, str(error.detail), request), error.status_code, headers=error.headers)


async def _failed(request: Request, error: Exception) -> Response:
    log.error("%s %s failed", request.state.id, request.url.path, exc_info=error)
    if _wants_page(request):
        return await pages.failed(request, error)
    return JSONResponse(_body("internal_error", "something went wrong here; it is in the log", request), 500)
