"""Disorder on request: webhooks doubled, shuffled, lost or late; answers that are errors or never come.

What is decided depends on the seed and on the order of what it is decided about, nothing else: the same seed and the
same requests bring the same disorder. Requests and webhooks draw from separate sources, as they interleave freely.
"""

from __future__ import annotations

from dataclasses import dataclass, field
from random import Random
from typing import Any

from .errors import Json, StripeError, lock_timeout, rate_limited
from .versions import is_spoken

_SHUFFLE_MS = 1000
_ERRORS = ("400", "409", "429", "500", "503", "lock_timeout")
_NAMES = ("duplicate", "reorder", "drop", "delay_ms", "api_version", "errors", "timeout", "seed")


@dataclass(frozen=True)
class Mishap:
    """What shall go wrong with a request: an error before or after its work, or no answer though it was done."""

    error: StripeError | None = None
    after_work: bool = False
    unanswered: bool = False


@dataclass(frozen=True)
class Journey:
    """How a webhook travels at first: `copies` 0 is lost for good; `delays_ms` has one number for each copy.

    Shuffled webhooks are sent in the order of their delays, others in the order of their events.
    """

    copies: int = 1
    delays_ms: tuple[int, ...] = (0,)
    shuffled: bool = False

    def shown(self) -> Json:
        """The journey as JSON."""
        return {"copies": self.copies, "delays_ms": list(self.delays_ms)}


@dataclass
class Chaos:
    """One disorder; without settings there is none. ValueError when a setting makes no sense."""

    given: Json = field(default_factory=dict)

    def __post_init__(self) -> None:
        _check(self.given)
        seed = self.given.get("seed", 0)
        self._requests = Random(f"{seed} requests")  # noqa: S311 (repeatable on purpose)
        self._webhooks = Random(f"{seed} webhooks")  # noqa: S311

    @property
    def api_version(self) -> str | None:
        """The version in which every webhook comes, whatever its endpoint asked for."""
        version = self.given.get("api_version")
        return None if version is None else str(version)

    def mishap(self) -> Mishap | None:
        """What goes wrong with the next request, or None."""
        if not self.given.get("errors") and not self.given.get("timeout"):
            return None
        drawn, late = self._requests.random(), self._requests.random() < 0.5
        for name, share in self.given.get("errors", {}).items():
            if drawn < share:
                return Mishap(_error(name), after_work=late and name == "500")
            drawn -= share
        return Mishap(unanswered=True) if drawn < self.given.get("timeout", 0) else None

    def journey(self) -> Journey | None:
        """How the next webhook travels; None for the straight way."""
        given = self.given
        if not any(given.get(name) for name in ("duplicate", "reorder", "drop", "delay_ms")):
            return None
        lost, doubled = (
            self._webhooks.random() < given.get("drop", 0),
            self._webhooks.random() < given.get("duplicate", 0),
        )
        delays = (self._delay_ms(), self._delay_ms())  # always two, so that each webhook draws as often
        copies = 0 if lost else 2 if doubled else 1
        return Journey(copies, delays[:copies], bool(given.get("reorder")))

    def _delay_ms(self) -> int:
        least, most = self.given.get("delay_ms") or (0, 0)
        shuffled = self._webhooks.randint(0, _SHUFFLE_MS) if self.given.get("reorder") else 0
        return self._webhooks.randint(least, most) + shuffled


def _error(name: str) -> StripeError:
    if name == "lock_timeout":
        return lock_timeout()
    if name == "429":
        return rate_limited()
    kind = "api_error" if int(name) >= 500 else "invalid_request_error"
    kept = name in ("400", "500")  # under an idempotency key, as Stripe keeps what was begun
    return StripeError(f"The sandbox's chaos answered {name} here.", status=int(name), kind=kind, executed=kept)


def _check(given: Any) -> None:
    """Refuse settings that cannot be followed, with a text that says which."""
    if not isinstance(given, dict):
        raise ValueError("Send a JSON object; {} ends the disorder.")  # noqa: TRY004 (told to the client)
    unknown = [name for name in given if name not in _NAMES]
    if unknown:
        raise ValueError(f"There is no {unknown[0]!r} here; there are {', '.join(_NAMES)}.")
    for name in ("duplicate", "drop", "timeout"):
        _check_share(name, given.get(name, 0))
    if not isinstance(given.get("reorder", False), bool):
        raise ValueError("reorder is true or false.")  # noqa: TRY004
    if not isinstance(given.get("seed", 0), int) or isinstance(given.get("seed"), bool):
        raise ValueError("seed is a whole number.")  # noqa: TRY004
    version = given.get("api_version")
    if version is not None and not (isinstance(version, str) and is_spoken(version)):
        raise ValueError('api_version is a version such as "2023-10-16".')
    _check_errors(given.get("errors", {}))
    _check_delay(given.get("delay_ms", [0, 0]))


def _check_share(name: str, value: Any) -> None:
    if not isinstance(value, int | float) or isinstance(value, bool) or not 0 <= value <= 1:
        raise ValueError(f"{name} is a share from 0 to 1.")


def _check_errors(errors: Any) -> None:
    if not isinstance(errors, dict) or any(name not in _ERRORS for name in errors):
        raise ValueError(f"errors gives shares to some of {', '.join(_ERRORS)}.")
    for name, share in errors.items():
        _check_share(f"errors.{name}", share)
    if sum(errors.values()) > 1:
        raise ValueError("The shares of all errors together are at most 1.")


def _check_delay(delay: Any) -> None:
    pair = isinstance(delay, list) and len(delay) == 2 and all(isinstance(one, int) for one in delay)
    if not pair or not 0 <= delay[0] <= delay[1]:
        raise ValueError("delay_ms is two whole numbers, [least, most].")
