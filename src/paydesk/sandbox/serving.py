"""Running the sandbox as a server of its own."""

from __future__ import annotations

import signal
import socket
import sqlite3
from collections.abc import Callable
from ipaddress import ip_address
from pathlib import Path
from types import FrameType

import uvicorn

from .app import create_app
from .listening import Listener


class CannotStart(Exception):
    """The sandbox cannot run; the text says why, in one line. `exit_status` is 2 when an option makes no sense."""

    def __init__(self, message: str, exit_status: int = 1) -> None:
        super().__init__(message)
        self.exit_status = exit_status


class _Server(uvicorn.Server):
    """A server that says when it is ready."""

    def __init__(self, config: uvicorn.Config, ready: Callable[[], None] | None) -> None:
        super().__init__(config)
        self._ready = ready

    async def startup(self, sockets: list[socket.socket] | None = None) -> None:
        """Start to answer, then tell."""
        await super().startup(sockets)
        if self._ready is not None and self.started:
            self._ready()

    def handle_exit(self, sig: int, frame: FrameType | None) -> None:
        """Stop in order, and return from `run` as after any finished work; a second SIGINT does not wait."""
        self.force_exit = self.should_exit and sig == signal.SIGINT
        self.should_exit = True


def serve(
    host: str = "127.0.0.1",
    port: int = 12111,
    data: Path | None = None,
    webhook: tuple[str, str] | None = None,
    ready: Callable[[], None] | None = None,
    *,
    public_url: str | None = None,
    gap_factor: float = 1.0,
) -> None:
    """Answer until SIGINT or SIGTERM; raises CannotStart when the port or the file cannot be used."""
    if data is not None and not data.parent.is_dir():
        raise CannotStart(f"--data {data}: there is no folder {data.parent}; create it first.", exit_status=2)
    listener = _listener(host, port)
    address = public_url or _address(listener)
    try:
        app = create_app(public_url=address, data=data, webhook=webhook, gap_factor=gap_factor)
    except (sqlite3.Error, OSError) as problem:
        listener.close()
        raise CannotStart(f"The data file {data} cannot be used: {problem}.") from problem
    config = uvicorn.Config(app, log_level="warning", access_log=False, timeout_graceful_shutdown=3, ws=Listener)
    _Server(config, ready).run(sockets=[listener])


def _address(listener: socket.socket) -> str:
    """The address for a browser on this machine."""
    host, port = listener.getsockname()[:2]
    if ip_address(host).is_unspecified:
        host = "127.0.0.1"
    return f"http://[{host}]:{port}" if ":" in host else f"http://{host}:{port}"


def _listener(host: str, port: int) -> socket.socket:
    family = socket.AF_INET6 if ":" in host else socket.AF_INET
    listener = socket.socket(family, socket.SOCK_STREAM)
    listener.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
    try:
        listener.bind((host, port))
    except OSError as problem:
        listener.close()
        raise CannotStart(
            f"Port {port} on {host} cannot be used: {problem.strerror}. Choose another with --port."
        ) from problem
    listener.listen(2048)
    return listener
