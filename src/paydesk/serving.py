"""Running as a process: HTTP with uvicorn, or background work alone, until SIGINT or SIGTERM."""

from __future__ import annotations

import asyncio
import contextlib
import errno
import logging
import os
import signal
import socket
from collections.abc import Callable
from functools import partial
from pathlib import Path
from types import FrameType
from typing import Any, cast

import uvicorn
from uvicorn.protocols.http.httptools_impl import HttpToolsProtocol
from uvicorn.supervisors import Multiprocess

from paydesk.app import background, create_app, from_environment, open_service
from paydesk.config import Settings, require_stripe
from paydesk.errors import SettingError
from paydesk.store import embedded
from paydesk.web.asgi import Scope
from paydesk.web.front import Front
from paydesk.web.whole import WHOLE

log = logging.getLogger("paydesk")

APP = "paydesk.serving:one_of_many"


def serve(settings: Settings, *, host: str, port: int, workers: int, work: bool) -> None:
    """Serve until told to stop. Raises `SettingError` for a setting that prevents it, before anything listens."""
    require_stripe(settings)
    if not settings.stripe_webhook_secrets and settings.stripe_events != "poll":
        log.warning("STRIPE_WEBHOOK_SECRET is not set: there is no webhook route, payments will not be noticed")
    listener = _listen(host, port)
    if workers > 1:
        _serve_many(settings, listener, workers, work=work)
        return
    app = create_app(settings, work=work)
    server = _Server(_config(app, listener), app.abandon)
    logging.getLogger("uvicorn.error").addFilter(_says_more_than_failed)
    with contextlib.suppress(SystemExit):  # uvicorn's way to say that the start failed; why is in `failure`
        server.run(sockets=[listener])
    if app.failure is not None:
        raise app.failure
    log.info("stopped")


class _Server(uvicorn.Server):
    """A server that says where it listens once it answers, and nothing when it does not start.

    A signal ends it in order at any moment: a start that is under way is given up, with `abandon`, not waited for.
    """

    def __init__(self, config: uvicorn.Config, abandon: Callable[[], None]) -> None:
        super().__init__(config)
        self._abandon = abandon
        self._loop: asyncio.AbstractEventLoop | None = None

    async def startup(self, sockets: list[socket.socket] | None = None) -> None:
        """Start to answer, then tell."""
        self._loop = asyncio.get_running_loop()
        await super().startup(sockets)
        if self.started and sockets and not self.should_exit:
            log.info("Paydesk listens on %s", _address(sockets[0]))

    def handle_exit(self, sig: int, frame: FrameType | None) -> None:
        """Take a signal. It is ours alone, and not sent to ourselves again; a second Ctrl-C does not wait."""
        self.force_exit = self.should_exit and sig == signal.SIGINT
        self.should_exit = True
        if self._loop is None:
            self._abandon()
        else:
            self._loop.call_soon_threadsafe(self._abandon)


def _address(listener: socket.socket) -> str:
    host, port = listener.getsockname()[:2]
    return f"http://[{host}]:{port}" if ":" in host else f"http://{host}:{port}"


def _says_more_than_failed(record: logging.LogRecord) -> bool:
    """Drop uvicorn's line that the start failed: ours, with the reason, follows."""
    return record.getMessage() != "Application startup failed. Exiting."


def _serve_many(settings: Settings, listener: socket.socket, workers: int, *, work: bool) -> None:
    """Serve with several processes; the database is ours meanwhile, so that no child stops it under another."""
    os.environ["PAYDESK_FOLDER"] = str(Path.cwd())
    os.environ["PAYDESK_PUBLIC_URL"] = settings.public_url
    os.environ["PAYDESK_NO_WORK"] = "0" if work else "1"
    server = embedded.start(settings.data, say=log.info) if settings.database_url is None else None
    try:
        asyncio.run(_rehearse(settings))
        log.info("Paydesk listens on %s, with %d processes", _address(listener), workers)
        config = _config(APP, listener, workers=workers)
        Multiprocess(config, sockets=[listener]).run()
        log.info("stopped")
    finally:
        if server is not None:
            server.release()


def one_of_many() -> Front:
    """Return the application in one of several processes; a signal ends its start too, besides what the server does."""
    front, loop = from_environment(), asyncio.get_running_loop()
    logging.getLogger("uvicorn.error").addFilter(_says_more_than_failed)
    for number in (signal.SIGINT, signal.SIGTERM):
        signal.signal(number, _also(signal.getsignal(number), partial(loop.call_soon_threadsafe, front.abandon)))
    return front


def _also(before: Any, more: Callable[[], object]) -> Callable[[int, FrameType | None], None]:
    def handle(number: int, frame: FrameType | None) -> None:
        if callable(before):
            before(number, frame)
        more()

    return handle


async def _rehearse(settings: Settings) -> None:
    """Open the service once before there are many, so that what prevents it is said once, and by us."""
    async with open_service(settings):
        pass


def _config(app: object, listener: socket.socket, *, workers: int = 1) -> uvicorn.Config:
    return uvicorn.Config(
        app,  # type: ignore[arg-type]
        factory=isinstance(app, str),
        workers=workers,
        fd=None,
        loop="uvloop",
        http=_Protocol,
        lifespan="on",
        access_log=False,
        log_config=None,
        log_level="warning",
        server_header=False,
        proxy_headers=False,  # nothing here trusts an address that a client can write
        date_header=True,
        timeout_graceful_shutdown=5,
        backlog=2048,
    )


class _OneWrite:
    """A connection that sends the head of an answer together with the first part of its body.

    The server writes them apart, which is one more system call and one more packet for every answer. A head whose body is
    not there yet leaves at the end of the loop's turn, as before.
    """

    def __init__(self, transport: Any) -> None:
        self._transport = transport
        self.is_closing = transport.is_closing  # asked after every answer
        self._soon = asyncio.get_running_loop().call_soon
        self._head = b""

    def __getattr__(self, name: str) -> Any:
        """Everything else is the connection's own."""
        return getattr(self._transport, name)

    def write(self, data: bytes) -> None:
        """Send `data`, a head together with what follows it."""
        if self._head:
            head, self._head = self._head, b""
            self._transport.writelines((head, data))
        elif data.endswith(b"\r\n\r\n"):
            self._head = data
            self._soon(self._flush)
        else:
            self._transport.write(data)

    def close(self) -> None:
        """Close the connection after what was written."""
        self._flush()
        self._transport.close()

    def _flush(self) -> None:
        head, self._head = self._head, b""
        if head and not self._transport.is_closing():
            self._transport.write(head)


class _Protocol(HttpToolsProtocol):
    """HTTP as the server speaks it, on connections that write once, and that take answers which are written out already."""

    def connection_made(self, transport: Any) -> None:
        """Take a new connection."""
        super().connection_made(cast(asyncio.Transport, _OneWrite(transport)))
        self._extensions = {WHOLE: self._answer_whole}

    def on_message_begin(self) -> None:
        """Begin a request; whoever answers it is told that it may do so whole."""
        super().on_message_begin()
        self.scope["extensions"] = self._extensions  # type: ignore[typeddict-item]

    def _answer_whole(self, scope: Scope, head: bytes, body: bytes) -> bool:
        """Send a 200 with these headers at once, instead of two messages whose headers are looked through one by one.

        Return `False` and send nothing where it is not as simple: the answer is then sent as every other.
        """
        cycle = self.cycle
        if (
            cycle.scope is not scope or cycle.response_started or cycle.disconnected or not cycle.keep_alive
            or cycle.waiting_for_100_continue or self.flow.write_paused
        ):  # fmt: skip
            return False
        cycle.response_started = cycle.response_complete = True
        ours = b"".join([b"%b: %b\r\n" % header for header in self.server_state.default_headers])
        self.transport.write(b"".join((b"HTTP/1.1 200 OK\r\n", ours, head, b"\r\n", body)))
        cycle.message_event.set()
        self.on_response_complete()
        return True


def _listen(host: str, port: int) -> socket.socket:
    """Return a listening socket; one line when the port is taken, or the host is not this machine."""
    family = socket.AF_INET6 if ":" in host else socket.AF_INET
    listener = socket.socket(family, socket.SOCK_STREAM)
    listener.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
    try:
        listener.bind((host, port))
    except OSError as error:
        listener.close()
        if isinstance(error, socket.gaierror) or error.errno == errno.EADDRNOTAVAIL:
            raise SettingError(
                f"--host {host}: no address of this machine ({error.strerror}); 127.0.0.1 is for this machine alone, "
                "0.0.0.0 for everybody"
            ) from error
        raise SettingError(f"--port {port}: cannot listen there ({error.strerror}); try --port {port + 1}") from error
    listener.set_inheritable(True)
    return listener


def work(settings: Settings) -> None:
    """Do background work until told to stop."""
    require_stripe(settings)
    asyncio.run(_work(settings))
    log.info("stopped")


async def _work(settings: Settings) -> None:
    """Work until a signal, which also ends a start that is under way."""
    working = asyncio.create_task(_work_on(settings))
    loop = asyncio.get_running_loop()
    for number in (signal.SIGINT, signal.SIGTERM):
        loop.add_signal_handler(number, working.cancel)
    with contextlib.suppress(asyncio.CancelledError):
        await working


async def _work_on(settings: Settings) -> None:
    async with open_service(settings) as service, background(service, work=True):
        log.info("working")
        await asyncio.Event().wait()
