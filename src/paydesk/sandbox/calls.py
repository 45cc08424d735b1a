"""What a feature module declares for each of its calls, and what its handler is given."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Any

from .errors import Json
from .params import LIST, Shape, items, moment_range, text
from .versions import LATEST

if TYPE_CHECKING:
    from .accounts import Account
    from .world import World

_EXPAND: Shape = {"expand": items(text(clearable=False), 20)}


@dataclass(frozen=True)
class Call:
    """One request to the API, read and checked."""

    world: World
    account: Account
    path: Mapping[str, str]
    params: Json
    given: Mapping[str, Any]
    version: str = LATEST

    @property
    def id(self) -> str:
        """The id in the path."""
        return self.path["id"]


Handler = Callable[[Call], Json]


@dataclass(frozen=True)
class Operation:
    """One call of the API: where it is, what it takes, who answers it."""

    method: str
    path: str
    handler: Handler
    shape: Shape = field(default_factory=dict)
    required: tuple[str, ...] = ()
    open_to_page: bool = False  # the id of a Checkout session in the path is credential enough


def get(path: str, handler: Handler, shape: Shape | None = None, **options: Any) -> Operation:
    """A call that reads one object."""
    return Operation("GET", path, handler, {**_EXPAND, **(shape or {})}, **options)


def listing(
    path: str, handler: Handler, shape: Shape | None = None, *, dated: bool = True, required: tuple[str, ...] = ()
) -> Operation:
    """A call that lists objects, with cursors; `dated` ones take a filter on `created` too."""
    moment: Shape = {"created": moment_range} if dated else {}
    return Operation("GET", path, handler, {**_EXPAND, **LIST, **moment, **(shape or {})}, required)


def post(
    path: str, handler: Handler, shape: Shape | None = None, required: tuple[str, ...] = (), **options: Any
) -> Operation:
    """A call that creates or changes something."""
    return Operation("POST", path, handler, {**_EXPAND, **(shape or {})}, required, **options)


def delete(path: str, handler: Handler) -> Operation:
    """A call that deletes an object."""
    return Operation("DELETE", path, handler)
