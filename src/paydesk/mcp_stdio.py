"""Lines from standard input for an event loop, which can be stopped at any moment.

They are read by a thread that nobody waits for: a read that is under way would else keep the process from ending. Who
is started later (the embedded database) finds an empty standard input instead of ours.
"""

from __future__ import annotations

import asyncio
import os
import threading
from collections.abc import AsyncIterator, Iterator
from contextlib import contextmanager, suppress

LINE_BYTES_MAX = 1024 * 1024
"""A longer line is dropped: nothing that is said here is nearly as long."""

READ_BYTES = 65_536


class Lines:
    """Lines as they come, to iterate over once."""

    def __init__(self, descriptor: int) -> None:
        self._descriptor = descriptor
        self._loop = asyncio.get_running_loop()
        self._lines: asyncio.Queue[str | None] = asyncio.Queue()
        self._ended = False

    def start(self) -> None:
        """Begin to read."""
        threading.Thread(target=self._read, name="stdin", daemon=True).start()

    def end(self) -> bool:
        """Let the lines end, as if the other side had closed; `False` when they were ended before."""
        ended, self._ended = self._ended, True
        self._lines.put_nowait(None)
        return not ended

    async def __aiter__(self) -> AsyncIterator[str]:
        """Give each line, until the other side has closed."""
        while (line := await self._lines.get()) is not None:
            yield line

    def _read(self) -> None:
        with suppress(RuntimeError):  # the loop has ended
            try:
                for line in split(self._chunks()):
                    self._loop.call_soon_threadsafe(self._lines.put_nowait, line)
            finally:
                self._loop.call_soon_threadsafe(self._lines.put_nowait, None)

    def _chunks(self) -> Iterator[bytes]:
        with suppress(OSError):  # a terminal that has gone away
            while chunk := os.read(self._descriptor, READ_BYTES):
                yield chunk


def split(chunks: Iterator[bytes]) -> Iterator[str]:
    """Give the lines in `chunks`; of one that is too long an empty line, of a last one without its end as it is."""
    rest, dropping = b"", False
    for chunk in chunks:
        *whole, rest = (rest + chunk).split(b"\n")
        for line in whole:
            yield "" if dropping or len(line) > LINE_BYTES_MAX else line.decode("utf-8", "replace")
            dropping = False
        if len(rest) > LINE_BYTES_MAX:
            rest, dropping = b"", True
    if rest and not dropping:
        yield rest.decode("utf-8", "replace")


@contextmanager
def own_input() -> Iterator[int]:
    """Give a descriptor of standard input that is ours alone; whoever reads number 0 meanwhile finds nothing."""
    ours = os.dup(0)
    nothing = os.open(os.devnull, os.O_RDONLY)
    os.dup2(nothing, 0)
    os.close(nothing)
    try:
        yield ours
    finally:
        os.dup2(ours, 0)
