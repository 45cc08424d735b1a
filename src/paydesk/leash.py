"""A process that ends when the one that has started it is gone, however that one went: `python -m paydesk.leash`.

The starter keeps the writing end of a pipe and never writes. The kernel closes it with the starter, and whoever waits
at the reading end then gets SIGTERM, which every command takes as the wish to end in order.
"""

from __future__ import annotations

import os
import signal
import sys
import threading

from paydesk.cli import main


def hold(pipe: int) -> None:
    """End this process, with SIGTERM, when the other end of `pipe` is closed."""
    threading.Thread(target=_wait, args=(pipe,), name="leash", daemon=True).start()


def _wait(pipe: int) -> None:
    os.read(pipe, 1)
    os.kill(os.getpid(), signal.SIGTERM)


if __name__ == "__main__":
    hold(int(sys.argv.pop(1)))
    main()
