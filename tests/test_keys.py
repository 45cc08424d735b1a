"""Keys as they are counted and looked up: limits to the request, guesses by address, and ends that are believed."""

from __future__ import annotations

import secrets
from contextlib import suppress
from typing import Any

import pytest

from paydesk import buyers, customers, keys
from paydesk.customers import Identity
from paydesk.errors import Forbidden, NotFound, TooMany, Unauthorized
from paydesk.keys import MARKS, PUBLISHABLE, SECRET, Wish
from paydesk.service import Service
from paydesk.web.auth import GUESS_RATE, Caller, Keys, person_of
from paydesk.web.limits import Meter, Meters, Rate, tell, told
from test_limits import Watch

NAMES = ("ratelimit-limit", "ratelimit-remaining", "ratelimit-reset")


def left(meter: Meter) -> tuple[int, int, int, float]:
    """Count one: the limit, what remains, the seconds until all is back, and the seconds to wait."""
    headers, wait_s = meter.take()
    assert tuple(name.decode() for name, _ in headers) == NAMES
    limit, remaining, reset = (int(value) for _, value in headers)
    return limit, remaining, reset, wait_s


def test_a_meter_tells_exactly_what_it_lets_through() -> None:
    watch = Watch()
    meter = Meter(Rate(burst=3, per_s=0.5), watch)
    assert [left(meter) for _ in range(3)] == [(3, 2, 2, 0), (3, 1, 4, 0), (3, 0, 6, 0)]
    assert left(meter) == (3, 0, 6, 2)
    watch.now_s += 1
    assert left(meter) == (3, 0, 5, 1)
    watch.now_s += 1
    assert left(meter) == (3, 0, 6, 0)
    watch.now_s += 1000
    assert left(meter) == (3, 2, 2, 0)


def test_meters_are_kept_by_key_and_the_oldest_is_forgotten() -> None:
    meters, rate = Meters(keys_max=2), Rate(1, 1)
    first = meters.of("a", rate)
    assert meters.of("a", Rate(1, 1)) is first
    assert meters.of("a", Rate(2, 1)) is not first
    second = meters.of("a", Rate(2, 1))
    meters.of("b", rate)
    assert meters.of("a", Rate(2, 1)) is second
    meters.of("c", rate)
    assert meters.of("a", Rate(2, 1)) is second
    assert len(meters) == 2


def test_of_two_limits_the_first_is_told_or_the_one_that_was_reached() -> None:
    scope: dict[str, Any] = {}
    assert told(scope) == ()
    tell(scope, (((b"ratelimit-limit", b"1"),), 0))
    tell(scope, (((b"ratelimit-limit", b"2"),), 0))
    assert told(scope) == ((b"ratelimit-limit", b"1"),)
    with pytest.raises(TooMany) as refused:
        tell(scope, (((b"ratelimit-limit", b"3"),), 0.2))
    assert (refused.value.retry_after_s, told(scope)) == (1, ((b"ratelimit-limit", b"3"),))


# --- who calls -------------------------------------------------------------------------------------------------------


def asked_with(key: str, address: str = "203.0.113.7", **headers: str) -> dict[str, Any]:
    """A request with a key, from an address."""
    sent = {"authorization": f"Bearer {key}", **{name.replace("_", "-"): text for name, text in headers.items()}}
    return {
        "type": "http",
        "client": (address, 1),
        "headers": [(name.encode(), value.encode()) for name, value in sent.items()],
    }


def test_a_publishable_key_never_looks_like_a_secret_one() -> None:
    assert not any(keys.fresh(SECRET).startswith(MARKS[PUBLISHABLE]) for _ in range(200))
    assert keys.fresh(PUBLISHABLE).startswith("pdk_pub_")


def test_a_caller_is_refused_unless_a_route_says_otherwise() -> None:
    page = Caller("key_p", frozenset(), publishable=True)
    buyer = Caller("key_p", frozenset(), publishable=True, customer="cst_a")
    server = Caller("key_s", frozenset({"read"}))
    for one in (page, buyer):
        for scope in keys.SCOPES:
            with pytest.raises(Forbidden):
                one.require(scope)
        one.require_anybody_or("read")
    with pytest.raises(Forbidden, match="send their token as Paydesk-Customer"):
        page.require_buyer_or("read")
    buyer.require_buyer_or("admin")
    server.require_buyer_or("read")
    for require in (server.require, server.require_buyer_or, server.require_anybody_or):
        with pytest.raises(Forbidden, match="lacks the scope sell"):
            require("sell")
    server.must_be("cst_b", "order", "ord_1")
    buyer.must_be("cst_a", "order", "ord_1")
    for one in (page, buyer):
        with pytest.raises(NotFound, match="no order ord_1"):
            one.must_be("cst_b", "order", "ord_1")


async def test_whoever_guesses_keys_is_stopped_and_nobody_else(service: Service) -> None:
    desk = Keys(service.store, service.vault, None)
    known, late = keys.fresh(), keys.fresh()
    for key in (known, late):
        await keys.create(service.store, Wish("server", ("read",)), key, actor="test")
    assert (await desk.caller(asked_with(known))).scopes == {"read"}
    for _ in range(GUESS_RATE.burst * 2):
        with suppress(Unauthorized, TooMany):
            await desk.caller(asked_with(f"pdk_{secrets.token_hex(32)}"))
    for key in (late, f"pdk_{secrets.token_hex(32)}"):
        with pytest.raises(TooMany) as stopped:
            await desk.caller(asked_with(key))
        assert stopped.value.retry_after_s >= 1
    await desk.caller(asked_with(known))  # whom we know is not asked again
    await desk.caller(asked_with(late, "203.0.113.8"))


async def test_a_key_that_is_over_is_refused_from_memory_for_a_while(service: Service) -> None:
    desk, key = Keys(service.store, service.vault, None), keys.fresh()
    made = await keys.create(service.store, Wish("server", ("read",)), key, actor="test")
    await keys.revoke(service.store, made.id, actor="test")
    for sent in (key, f"{key} "):
        with pytest.raises(Unauthorized, match="is revoked"):
            await desk.caller(asked_with(sent))
        await service.store.execute("DELETE FROM api_key WHERE id = $1", made.id)  # asked now, it would be unknown


async def test_keys_that_were_ours_are_no_guesses(service: Service) -> None:
    desk, key = Keys(service.store, service.vault, None), keys.fresh()
    made = await keys.create(service.store, Wish("server", ("read",)), key, actor="test")
    await keys.revoke(service.store, made.id, actor="test")
    for _ in range(int(GUESS_RATE.burst * 1.5)):
        with pytest.raises(Unauthorized, match="is revoked"):
            await desk.caller(asked_with(key))


async def test_a_key_ends_to_the_moment_whatever_is_remembered_of_it(service: Service) -> None:
    desk, key = Keys(service.store, service.vault, None), keys.fresh()
    made = await keys.create(service.store, Wish("server", ("read",), expires_in_s=60), key, actor="test")
    await service.store.execute("UPDATE api_key SET expires_at = now() + interval '0.5 s' WHERE id = $1", made.id)
    assert (await desk.caller(asked_with(key))).key_id == made.id
    await service.store.fetchval("SELECT pg_sleep(0.6)")
    with pytest.raises(Unauthorized, match="has expired"):
        await desk.caller(asked_with(key))


async def test_a_buyer_is_the_person_of_their_token_and_knows_nobody_else(service: Service) -> None:
    desk, key = Keys(service.store, service.vault, None), keys.fresh(PUBLISHABLE)
    made = await keys.create(service.store, Wish("page", kind=PUBLISHABLE), key, actor="test")
    ann = await customers.find_or_make(service.store, Identity("app", "ann"))
    await customers.find_or_make(service.store, Identity("app", "bob"))
    token, _ = buyers.token(service.vault, ann, "key_env")
    caller = await desk.caller(asked_with(key, paydesk_customer=token))
    assert caller == Caller(made.id, frozenset(), publishable=True, customer=ann)
    for who in ("me", ann, Identity("app", "ann")):
        assert await person_of(service.store, caller, who) == ann
    with pytest.raises(NotFound, match="nobody is known as app bob"):
        await person_of(service.store, caller, Identity("app", "bob"))
    server = Caller("key_s", frozenset({"read"}))
    with pytest.raises(NotFound, match="no customer me"):
        await person_of(service.store, server, "me")


async def test_a_token_that_has_ended_is_none(service: Service) -> None:
    ann = await customers.find_or_make(service.store, Identity("app", "ann"))
    token, _ = buyers.token(service.vault, ann, "key_env", life_s=-1)
    with pytest.raises(Unauthorized, match="has ended"):
        await buyers.who(service.store, service.vault, token)


async def test_a_token_of_the_first_key_ends_when_that_key_is_exchanged(service: Service) -> None:
    ann = await customers.find_or_make(service.store, Identity("app", "ann"))
    old, new = keys.digest("pdk_old"), keys.digest("pdk_new")
    token, _ = buyers.token(service.vault, ann, keys.FIRST_ID, first=old)
    assert (await buyers.who(service.store, service.vault, token, first=old))[0] == ann
    for first in (new, None):
        with pytest.raises(Unauthorized, match="no token of ours"):
            await buyers.who(service.store, service.vault, token, first=first)


async def test_a_token_ends_with_its_key_unless_that_has_handed_over(service: Service) -> None:
    ann = await customers.find_or_make(service.store, Identity("app", "ann"))
    made = [
        await keys.create(service.store, Wish("server", ("sell",), expires_in_s=60), keys.fresh(), actor="test")
        for _ in range(3)
    ]
    expired, rotated, exchanged = (buyers.token(service.vault, ann, one.id)[0] for one in made)
    await keys.rotate(service.store, made[1].id, keys.fresh(), actor="test")
    await keys.rotate(service.store, made[2].id, keys.fresh(), overlap_s=0, actor="test")
    assert (await buyers.who(service.store, service.vault, expired))[0] == ann
    await service.store.execute("UPDATE api_key SET expires_at = now() WHERE id = ANY($1)", [one.id for one in made])
    assert (await buyers.who(service.store, service.vault, rotated))[0] == ann
    for token in (expired, exchanged):
        with pytest.raises(Unauthorized, match="was taken back"):
            await buyers.who(service.store, service.vault, token)


async def test_a_rotated_key_ends_no_later_than_it_would_have(service: Service) -> None:
    made = await keys.create(service.store, Wish("guest", ("read",), expires_in_s=60), keys.fresh(), actor="test")
    after = await keys.rotate(service.store, made.id, keys.fresh(), actor="test")
    assert after.expires_at == made.expires_at
    old = await keys.get(service.store, made.id)
    assert (old.status, old.expires_at) == ("valid", made.expires_at)


async def test_what_is_done_with_keys_is_noted(service: Service) -> None:
    made = await keys.create(service.store, Wish("server", ("read",)), keys.fresh(), actor="key_a")
    after = await keys.rotate(service.store, made.id, keys.fresh(), actor="key_b")
    for _ in range(2):
        await keys.revoke(service.store, after.id, actor="key_c")
    rows = await service.store.fetch("SELECT actor, action, subject FROM audit ORDER BY id")
    assert [tuple(row.values()) for row in rows] == [
        ("key_a", "key.create", made.id),
        ("key_b", "key.rotate", made.id),
        ("key_c", "key.revoke", after.id),
    ]
