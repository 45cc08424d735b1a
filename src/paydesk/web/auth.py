"""Who calls, and what they may do: closed by default.

A route names a scope and thereby refuses publishable keys; only one that says so lets a buyer in (`require_buyer_or`), or
everybody with a publishable key (`require_anybody_or`). What a buyer names is then checked with `must_be`, so that what
is somebody else's is not found, exactly as if there were no such thing.
"""

from __future__ import annotations

import secrets
import time
from collections import OrderedDict
from collections.abc import Iterable
from dataclasses import dataclass

from starlette.requests import Request

from paydesk import buyers, customers
from paydesk.config import Secret
from paydesk.customers import Identity
from paydesk.errors import Forbidden, Invalid, NotFound, TooMany, Unauthorized
from paydesk.keys import FIRST_ID, PUBLISHABLE, SCOPES, digest
from paydesk.privacy import Vault
from paydesk.store import Store
from paydesk.web import browsers
from paydesk.web.asgi import Scope
from paydesk.web.limits import Buckets, Meter, Meters, Rate, address_of, tell

CACHE_S = 5.0
CACHE_MAX = 10_000
FIRST_RATE = Rate(burst=200_000, per_s=100_000)
KEY_RATE = Rate(burst=200, per_s=100)
"""What a secret key may do unless it has a rate of its own."""
PAGE_RATE = Rate(burst=100, per_s=20)
"""What a publishable key may do from one address, unless it has a rate of its own; and from all of them together:"""
PAGES_RATE = Rate(burst=2000, per_s=1000)
GUESS_RATE = Rate(burst=200, per_s=2)
"""How many unknown keys an address may try."""


PAGE = "buyer:"
"""What stands before a person's id when the idempotency keys of their own page are meant."""


@dataclass(frozen=True, slots=True)
class Caller:
    """Who calls: a key's id, what it may do, and for a publishable key with a buyer's token who the buyer is.

    A key with `origins` works in pages of those alone.
    """

    key_id: str
    scopes: frozenset[str]
    publishable: bool = False
    customer: str | None = None
    origins: frozenset[str] = frozenset()

    def require(self, scope: str) -> None:
        """Raise `Forbidden` unless this is a secret key with `scope`; `admin` has every other."""
        if scope not in self.scopes and "admin" not in self.scopes:
            if self.publishable:
                raise Forbidden("a publishable key may not do this: let your server ask, with a secret key")
            raise Forbidden(f"this key lacks the scope {scope}")

    def require_buyer_or(self, scope: str) -> None:
        """Raise `Forbidden` unless this is a buyer, or a secret key with `scope`."""
        if not self.publishable:
            self.require(scope)
        elif self.customer is None:
            raise Forbidden(
                "a publishable key needs a buyer for this: send their token as Paydesk-Customer", code="buyer_required"
            )

    def require_anybody_or(self, scope: str) -> None:
        """Raise `Forbidden` unless this is a publishable key, or a secret one with `scope`."""
        if not self.publishable:
            self.require(scope)

    def require_secret(self, _scope: str) -> None:
        """Raise `Forbidden` unless this is a secret key, whatever its scopes."""
        if self.publishable:
            raise Forbidden("this is for secret keys alone")

    def must_be(self, owner: str, what: str, named: str) -> None:
        """Raise `NotFound`, as for an unknown `what` of the id `named`, when a buyer asks for what is `owner`'s."""
        if self.publishable and owner != self.customer:
            raise NotFound(f"no {what} {named}", param=what)

    def must_send_only(self, sent: Iterable[str], *names: str) -> None:
        """Raise `Forbidden` when a buyer sends another field than these: the rest is for servers to say."""
        beyond = sorted(set(sent) - set(names)) if self.publishable else []
        if beyond:
            raise Forbidden(f"{beyond[0]} is for your server to say, with a secret key", code="secret_key_required")

    def keys_of(self, customer: str) -> str:
        """Return whose idempotency keys count: a person's, and those of their own page apart from the servers'."""
        return f"{PAGE}{customer}" if self.publishable else customer


ME = "me"
"""What a buyer may call themselves, wherever the id of a person is meant."""


async def person_of(store: Store, caller: Caller, who: str | Identity) -> str:
    """Return the id of the person who is meant, as `customers.resolve`; for a buyer there is nobody but themselves."""
    if caller.customer is not None and who == ME:
        return caller.customer
    person = await customers.resolve(store, who)
    if caller.publishable and person != caller.customer:
        raise customers.unknown(who)
    return person


FIRST = Caller(FIRST_ID, frozenset(SCOPES))
"""Who calls with the first key of `PAYDESK_API_KEY`."""


@dataclass(slots=True)
class _Known:
    """A key that was looked up, and until when that is believed."""

    caller: Caller
    meter: Meter
    rate: Rate
    until_s: float


class Keys:
    """Looks keys and tokens up, and counts what each key does.

    The first key of `PAYDESK_API_KEY` has every scope. A revoked key dies within five seconds. One that is over is no
    guess, and is refused from memory: whoever goes on asking with it costs the database a look every few seconds.
    """

    def __init__(self, store: Store, vault: Vault, first: Secret | None) -> None:
        self._store = store
        self._vault = vault
        self._first = digest(first.reveal()) if first is not None else None
        self._known: OrderedDict[bytes | None, _Known] = OrderedDict()
        self._over: OrderedDict[bytes, tuple[float, str]] = OrderedDict()
        self._first_meter = Meter(FIRST_RATE)
        self._meters = Meters()
        self._pages = Meters()
        self._guesses = Buckets(GUESS_RATE)
        self._buyers: OrderedDict[str, tuple[float, str]] = OrderedDict()

    async def caller(self, scope: Scope) -> Caller:
        """Return who sent a request, counted; what is left of the limit is told with the answer (`limits.told`).

        Raises `Unauthorized`, `TooMany`, and `Invalid` for a buyer's token with a secret key.
        """
        authorization = buyer = None
        for name, value in scope["headers"]:
            if name == b"authorization" and authorization is None:
                authorization = value
            elif name == b"paydesk-customer" and buyer is None:
                buyer = value
        known = self._known.get(authorization)
        if known is None or known.until_s <= time.monotonic():
            known = await self._look_up(authorization, known is not None, scope)
        caller = known.caller
        if caller.origins:
            browsers.require_origin(scope, caller.origins)
        if caller.publishable:  # one address that asks too much is stopped before it takes from what all have together
            tell(scope, self._pages.of(f"{caller.key_id} {address_of(Request(scope))}", known.rate).take())
        tell(scope, known.meter.take())
        if buyer is None:
            return caller
        if not caller.publishable:
            raise Invalid("Paydesk-Customer goes with a publishable key (pdk_pub_…)", param="Paydesk-Customer")
        return await self._with_buyer(caller, buyer.decode("latin-1"))

    async def _look_up(self, authorization: bytes | None, was_known: bool, scope: Scope) -> _Known:
        """Return the key of a header as the database has it now, and remember it for a few seconds."""
        hashed = digest(_key(authorization))
        if self._first is not None and secrets.compare_digest(hashed, self._first):
            found = _Known(FIRST, self._first_meter, FIRST_RATE, time.monotonic() + CACHE_S)
        else:
            self._refuse_what_is_over(hashed)
            if not was_known:
                self._stop_guessing(scope)
            found = await self._stored(hashed, scope)
        self._known[authorization] = found
        self._known.move_to_end(authorization)
        if len(self._known) > CACHE_MAX:
            self._known.popitem(last=False)
        return found

    async def _stored(self, hashed: bytes, scope: Scope) -> _Known:
        row = await self._store.fetchrow(LOOK_UP, hashed)
        if row is None:
            why = await self._store.fetchval(WHY, hashed)
            if why is None:
                self._guesses.take(address_of(Request(scope)))
                raise Unauthorized("this API key is unknown")
            self._over[hashed] = (time.monotonic() + CACHE_S, why)
            if len(self._over) > CACHE_MAX:
                self._over.popitem(last=False)
            raise Unauthorized(why)
        publishable = row["kind"] == PUBLISHABLE
        caller = Caller(row["id"], frozenset(row["scopes"]), publishable, origins=frozenset(row["origins"]))
        own = row["rate_per_s"]
        usual = PAGE_RATE if caller.publishable else KEY_RATE
        rate = usual if own is None else Rate(burst=2 * own, per_s=own)
        meter = self._meters.of(caller.key_id, PAGES_RATE if caller.publishable else rate)
        left_s = CACHE_S if row["left_s"] is None else float(row["left_s"])
        return _Known(caller, meter, rate, time.monotonic() + min(CACHE_S, left_s))

    def _refuse_what_is_over(self, hashed: bytes) -> None:
        until_s, why = self._over.get(hashed, (0.0, ""))
        if until_s > time.monotonic():
            raise Unauthorized(why)
        self._over.pop(hashed, None)

    def _stop_guessing(self, scope: Scope) -> None:
        wait_s = self._guesses.wait_s(address_of(Request(scope)))
        if wait_s > 0:
            raise TooMany("too many unknown API keys came from your address", retry_after_s=int(wait_s) + 1)

    async def _with_buyer(self, caller: Caller, token: str) -> Caller:
        until_s, customer = self._buyers.get(token, (0.0, ""))
        if until_s <= time.monotonic():
            self._buyers.pop(token, None)
            customer, left_s = await buyers.who(self._store, self._vault, token, first=self._first)
            self._buyers[token] = (time.monotonic() + min(CACHE_S, left_s), customer)
            if len(self._buyers) > CACHE_MAX:
                self._buyers.popitem(last=False)
        return Caller(caller.key_id, caller.scopes, publishable=True, customer=customer)


LOOK_UP = """
UPDATE api_key SET last_used_at = now()
WHERE hash = $1 AND revoked_at IS NULL AND (expires_at IS NULL OR expires_at > now())
RETURNING id, kind, scopes, origins, rate_per_s, extract(epoch FROM expires_at - now()) AS left_s
"""
WHY = """
SELECT CASE WHEN revoked_at IS NOT NULL THEN 'this API key is revoked' ELSE 'this API key has expired' END
FROM api_key WHERE hash = $1
"""


def _key(authorization: bytes | None) -> str:
    """Return the key in an `Authorization` header; raises `Unauthorized`."""
    scheme, _, key = (authorization or b"").decode("latin-1").partition(" ")
    if scheme.lower() != "bearer" or not key.startswith("pdk_"):
        raise Unauthorized("send an API key: Authorization: Bearer pdk_…")
    return key.strip()
