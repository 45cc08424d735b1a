"""Idempotency keys: the first answer under a key is repeated for a day of the sandbox's clock, then forgotten."""

from __future__ import annotations

import hashlib
from dataclasses import dataclass
from functools import partial

import orjson

from .accounts import Account
from .errors import Json, StripeError, unreadable
from .world import World

_LONGEST_KEY = 255
_KEPT_S = 24 * 3600


@dataclass
class Answer:
    """What is sent back: status and body, and what the headers tell of idempotency."""

    status: int
    body: Json
    original_request: str
    replayed: bool = False
    retry_hint: str | None = "false"


class Answers:
    """The answers that are kept, of all accounts, and the keys whose first request is under way."""

    def __init__(self, world: World) -> None:
        self._under_way: set[tuple[str, str]] = set()
        for account in world.accounts.values():
            _plan_forgetting(account)

    def begin(self, account: Account, key: str) -> None:
        """Take a key for a request; refused while another request has it."""
        if len(key) > _LONGEST_KEY:
            raise unreadable(f"Idempotency keys can be at most {_LONGEST_KEY} characters long.")
        if (account.key, key) in self._under_way:
            raise _in_use(key)
        self._under_way.add((account.key, key))

    def end(self, account: Account, key: str) -> None:
        """Give the key free for the next request."""
        self._under_way.discard((account.key, key))

    def kept(self, account: Account, key: str, path: str, params: Json) -> Answer | None:
        """The answer that this key had, or None; another request under the same key is refused."""
        kept = account.find("_answer", key)
        if kept is None or kept["created"] <= account.clock.now_s() - _KEPT_S:
            return None
        _refuse_another(kept, path, params)
        return Answer(kept["status"], kept["body"], kept["request"], replayed=True, retry_hint=kept.get("retry_hint"))

    def keep(self, account: Account, key: str, path: str, params: Json, answer: Answer) -> None:
        """Keep the first answer of a key."""
        if account.find("_answer", key) is not None:  # a day old: the new answer takes its place at the end of the row
            account.remove("_answer", key)
        first = account.table("_answer").oldest() is None
        account.add("_answer", {
            "path": path, "params": _digest(params), "status": answer.status, "body": answer.body,
            "request": answer.original_request, "retry_hint": answer.retry_hint,
        }, object_id=key)  # fmt: skip
        if first:
            _plan_forgetting(account)


def _plan_forgetting(account: Account) -> None:
    """Forget the oldest answer when its day is over, and then think of the next one."""
    kept = account.table("_answer").oldest()
    if kept is not None:
        account.at(kept["created"] + _KEPT_S, partial(_forget, account))


def _forget(account: Account) -> None:
    kept = account.table("_answer").oldest()
    while kept is not None and kept["created"] + _KEPT_S <= account.clock.now():
        account.remove("_answer", kept["id"])
        kept = account.table("_answer").oldest()
    _plan_forgetting(account)


def _digest(params: Json) -> str:
    return hashlib.sha256(orjson.dumps(params, option=orjson.OPT_SORT_KEYS)).hexdigest()


def _refuse_another(kept: Json, path: str, params: Json) -> None:
    """A key stands for one request: the same path with the same parameters."""
    advice = f"Try using a key other than '{kept['id']}' if you meant to execute a different request."
    if kept["path"] != path:
        raise _misused(
            "Keys for idempotent requests can only be used for the same endpoint they were first used for "
            f"('{path}' vs '{kept['path']}'). {advice}"
        )
    if kept["params"] != _digest(params):
        raise _misused(
            f"Keys for idempotent requests can only be used with the same parameters they were first used with. "
            f"{advice}"
        )


def _misused(message: str) -> StripeError:
    return StripeError(message, kind="idempotency_error", executed=False)


def _in_use(key: str) -> StripeError:
    return StripeError(
        "There is currently another in-progress request using this Idempotent Key (that probably means you submitted "
        f"twice, and the other request is still going through): {key}. Please try again later.",
        status=409,
        kind="idempotency_error",
        code="idempotency_key_in_use",
        executed=False,
    )
