"""The edge between our memory and the world: every statement, commit and send passes `point`.

Two rules hold here and nowhere else. No network call may start while a database transaction is open
(`outside_transaction` raises). And every input or output has a name and an order, so that a test can stop the
process at each of them, before and after.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator
from contextlib import contextmanager
from contextvars import ContextVar

_open: ContextVar[bool] = ContextVar("transaction_open", default=False)
_observer: Callable[[str], None] | None = None


def observe(observer: Callable[[str], None] | None) -> None:
    """Let `observer` be called with a name before and after each input or output; `None` ends it."""
    global _observer
    _observer = observer


def point(name: str) -> None:
    """Mark one side of an input or output, such as `"commit:before"`. Costs one comparison when nobody observes."""
    if _observer is not None:
        _observer(name)


@contextmanager
def transaction_open() -> Iterator[None]:
    """Mark that this task holds an open transaction until the block ends."""
    token = _open.set(True)
    try:
        yield
    finally:
        _open.reset(token)


def outside_transaction(what: str) -> None:
    """Raise `RuntimeError` when called while this task holds an open transaction: the network waits outside."""
    if _open.get():
        raise RuntimeError(f"{what} while a transaction is open: the network waits outside")
