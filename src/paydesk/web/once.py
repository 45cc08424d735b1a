"""Idempotency keys: a POST with a key takes effect once, and its repeats get the first answer.

A key belongs to the person whom the request is about, so it holds when the caller's API key is exchanged for another;
where no person is meant it belongs to the API key, and to those that this one is rotated to. What spends credits keeps
its keys in the ledger (`wallet`): they are the same person's, and no key is for both. Key and a fingerprint of the
request go together: the same key with another request is refused. While the first is under way, repeats get 409 for at
most a minute; then the same key resumes the stored operation, which finds what it has already made by the operation's
name. Only 2xx answers are kept: a 402 does not outlive the top-up. An answer with personal data is not kept either, it
is shown anew: what is sealed in one table must not lie open in another.
"""

from __future__ import annotations

import hashlib
import re
from collections.abc import Awaitable, Callable
from dataclasses import dataclass
from typing import Any

import orjson
from starlette.requests import Request
from starlette.responses import Response

from paydesk import customers, ids, keys, wallet
from paydesk.errors import Conflict, Invalid, PaydeskError
from paydesk.store import Record, Store, Tx
from paydesk.web.auth import PAGE

LOCK_S = 60
_KEY = re.compile(r"[\x21-\x7e]{1,255}", re.ASCII)

DESCRIBED: dict[str, Any] = {
    "parameters": [{
        "name": "Idempotency-Key", "in": "header", "required": False,
        "description": "a word of yours for this request: repeated with the same, it takes effect once",
        "schema": {"type": "string", "minLength": 1, "maxLength": 255, "pattern": "^[!-~]+$"},
    }]
}  # fmt: skip
"""What the description of a call says of the key that it takes: FastAPI's `openapi_extra`."""

Operation = Callable[[str], Awaitable[Any]]
"""Does the work under a name; the same name again goes on where it stopped. Returns what is answered as JSON."""


@dataclass(frozen=True, slots=True)
class _Started:
    """The operation to run, resume or (when `done`) repeat, the scope of its key, and the answer that was kept of it."""

    operation: str
    scope: str
    done: bool = False
    body: bytes | None = None


async def once(
    store: Store,
    scope: str,
    request: Request,
    work: Operation,
    *,
    status: int = 200,
    personal: bool = False,
    show: Operation | None = None,
    also: str | None = None,
) -> Response:
    """Run `work` once for the request's `Idempotency-Key`, or without protection when there is none.

    `scope` is whose key it is: a person's id, their page's (`Caller.keys_of`), or an API key's. The same key of another
    scope is another key. `also` is a scope where the key may have been used before it was known who is meant
    (`newcomers`): a key there is the same key.
    An answer that `show` can make is not kept: a repeat of what is done only shows, and never works again, since others
    may have changed it meanwhile. A `personal` answer is not kept either: for a repeat `work` is run again, which is
    only for work that finds what it made and changes nothing then.
    """
    request.state.scope = scope
    key = request.headers.get("Idempotency-Key")
    if key is None:
        return _response(orjson.dumps(await work(ids.new("op"))), status)
    checked_key(key)
    fingerprint = hashlib.sha256(f"{request.method} {_target(request)}\n".encode() + await request.body()).digest()
    started = await store.run(lambda tx: _start(tx, scope, key, fingerprint, also))
    if started.body is not None:
        return _response(started.body, status, replayed=True)
    if started.done and show is not None:
        return _response(orjson.dumps(await show(started.operation)), status, replayed=True)
    try:
        body = orjson.dumps(await work(started.operation))
    except PaydeskError as error:
        await _give_up(store, started.scope, key, forget=error.status < 500 and not error.resumable)
        raise
    await store.execute(
        "UPDATE idempotency_key SET status = $3, body = $4 WHERE scope = $1 AND key = $2",
        started.scope,
        key,
        status,
        None if personal or show is not None else body,
    )
    return _response(body, status, replayed=started.done)


def _target(request: Request) -> str:
    """Return what a request is about besides its body: two that differ in their query are two requests."""
    return f"{request.url.path}?{request.url.query}" if request.url.query else request.url.path


def checked_key(key: str) -> str:
    """Return an `Idempotency-Key`; raises `Invalid` unless it has 1 to 255 visible characters."""
    if not _KEY.fullmatch(key):
        raise Invalid("Idempotency-Key must be 1 to 255 visible characters", param="Idempotency-Key")
    return key


async def _start(tx: Tx, scope: str, key: str, fingerprint: bytes, also: str | None) -> _Started:
    """Return what to do: run the operation, resume it, or give the answer that is already there."""
    if also is not None:  # nobody's row may be there yet to be locked: two who begin at once wait for each other here
        await tx.execute("SELECT pg_advisory_xact_lock(hashtextextended($1, 0))", also)
    scopes = [*await _scopes(tx, scope), *([also] if also is not None else [])]
    row = await _kept(tx, scopes, key, fingerprint)
    if row is None and customers.ID.fullmatch(scopes[0]) and await wallet.used(tx, scopes, key):
        raise _other_request()
    if row is None:
        operation: str | None = await tx.fetchval(
            "INSERT INTO idempotency_key (scope, key, fingerprint, operation, locked_until) "
            f"VALUES ($1, $2, $3, $4, now() + interval '{LOCK_S} s') ON CONFLICT DO NOTHING RETURNING operation",
            scopes[0],
            key,
            fingerprint,
            ids.new("op"),
        )
        if operation is not None:
            return _Started(operation, scopes[0])
        row = await _kept(tx, scopes, key, fingerprint)  # somebody was quicker
    if row is None:
        raise Conflict(
            "a request with this Idempotency-Key has just failed: send it again", code="idempotency_key_in_use"
        )
    if row["status"] is not None:
        return _Started(row["operation"], row["scope"], done=True, body=row["body"])
    if row["locked"]:
        raise Conflict("the first request with this Idempotency-Key is under way", code="idempotency_key_in_use")
    await tx.execute(
        f"UPDATE idempotency_key SET locked_until = now() + interval '{LOCK_S} s' WHERE scope = $1 AND key = $2",
        row["scope"],
        key,
    )
    return _Started(row["operation"], row["scope"])


async def _scopes(tx: Tx, scope: str) -> list[str]:
    """Return the scopes in which a key may have been used, the one to write first.

    A person who was merged into another keeps their keys, those of their page too: under the lock of both nobody is
    merged meanwhile. An API key has those of the keys that were rotated to it.
    """
    page = PAGE if scope.startswith(PAGE) else ""
    named = scope.removeprefix(page)
    if not customers.ID.fullmatch(named):
        return await keys.line(tx, scope)
    person = await customers.lock_person(tx, named)
    others = await tx.fetch("SELECT id FROM customer WHERE merged_into = $1 ORDER BY id", person)
    return [page + person, *(page + other["id"] for other in others)]


async def _kept(tx: Tx, scopes: list[str], key: str, fingerprint: bytes) -> Record | None:
    """Return the row of an earlier request with this key; raises `Conflict` when it was another request."""
    rows = await tx.fetch(
        "SELECT *, locked_until > now() AS locked FROM idempotency_key WHERE scope = ANY($1::text[]) AND key = $2 "
        "FOR UPDATE",
        scopes,
        key,
    )
    same = [row for row in rows if row["fingerprint"] == fingerprint]
    if rows and not same:
        raise _other_request()
    return same[0] if same else None


def _other_request() -> Conflict:
    return Conflict(
        "this Idempotency-Key was used for another request", param="Idempotency-Key", code="idempotency_mismatch"
    )


async def _give_up(store: Store, scope: str, key: str, *, forget: bool) -> None:
    """Forget a key whose request was refused; keep one whose outcome is unknown, to be resumed at once."""
    if forget:
        await store.execute("DELETE FROM idempotency_key WHERE scope = $1 AND key = $2 AND status IS NULL", scope, key)
    else:
        await store.execute("UPDATE idempotency_key SET locked_until = now() WHERE scope = $1 AND key = $2", scope, key)


def _response(body: bytes, status: int, *, replayed: bool = False) -> Response:
    headers = {"Idempotent-Replayed": "true"} if replayed else {}
    return Response(body, status, headers=headers, media_type="application/json")
