"""What Ctrl-C and SIGTERM do to a command: end it at once as long as it has started nothing, then end it in order.

An interruption that is raised as an exception gets lost where the interpreter is importing: so it is none before there
is something to be stopped.
"""

from __future__ import annotations

import os
import signal
import threading
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from types import FrameType
from typing import Any

INTERRUPTED = 130
"""The exit status of what a signal has ended half-way, as shells count: 128 and the number of SIGINT."""
STOPPED = "paydesk: stopped"

Handler = Callable[[int, FrameType | None], Any]


@contextmanager
def at_once() -> Iterator[None]:
    """Meanwhile either signal ends the process with a line: for as long as there is nothing that must be stopped."""
    with _handled(_end, _end):
        yield


@contextmanager
def in_order() -> Iterator[None]:
    """Meanwhile either signal is a `KeyboardInterrupt`, or what `asyncio.run` makes of one: cleaning up happens."""
    with _handled(signal.default_int_handler, lambda *_: signal.raise_signal(signal.SIGINT)):
        yield


@contextmanager
def _handled(on_interrupt: Handler, on_terminate: Handler) -> Iterator[None]:
    if threading.current_thread() is not threading.main_thread():  # only there one may say what signals do
        yield
        return
    handlers = {signal.SIGINT: on_interrupt, signal.SIGTERM: on_terminate}
    before = {number: signal.signal(number, handler) for number, handler in handlers.items()}
    try:
        yield
    finally:
        for number, handler in before.items():
            signal.signal(number, handler)


def _end(_number: int, _frame: FrameType | None) -> None:
    os.write(2, f"{STOPPED}\n".encode())
    os._exit(INTERRUPTED)
