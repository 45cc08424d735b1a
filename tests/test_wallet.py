"""The calls that move credits, from outside: what is refused, how, and that it changed nothing; who may; the reference."""

from __future__ import annotations

import asyncio
import http.client
import json
import re
import secrets
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import replace
from typing import Any

import httpx
import orjson
import pytest

from conftest import CATALOG, settings_for
from desk import Buyer, Desk, running_desk, start_service
from paydesk import ids, wallet
from paydesk.errors import Invalid
from paydesk.web.pages import reference
from race_spend import opened
from sandbox_fixtures import Sandbox
from test_api import error_of

HOLD = "hld_" + "0" * 26
MOVES = ("spend", "grant", "hold")


@pytest.fixture(scope="module")
def rich(desk: Desk) -> Buyer:
    """Somebody with a thousand credits; nothing that is refused takes any."""
    buyer = desk.buyer()
    buyer.say("/start")
    desk.post(credits_path(buyer, "grant"), {"amount": 1000})
    return buyer


@pytest.fixture(scope="module")
def keys(desk: Desk) -> dict[str, str]:
    """A key for each single scope."""
    scopes = ("read", "sell", "spend", "refund", "admin")
    return {one: desk.command("keys", "create", one, "--scope", one).stdout.split()[1] for one in scopes}


def credits_path(buyer: Buyer, what: str) -> str:
    return f"/v1/customers/{buyer.id}/credits/{what}"


def state_of(buyer: Buyer) -> Any:
    """Everything that a refusal must leave as it is."""
    path = f"/v1/customers/{buyer.id}"
    return buyer.desk.get(f"{path}/credits"), buyer.desk.get(f"{path}/ledger")


def refused(buyer: Buyer, what: str, body: Any, status: int = 422) -> dict[str, Any]:
    """The error that a body meets; nothing has changed."""
    before = state_of(buyer)
    content = body if isinstance(body, bytes) else json.dumps(body).encode()
    error = error_of(buyer.desk.call("POST", credits_path(buyer, what), content=content), status, "invalid_request")
    assert state_of(buyer) == before
    return error


# --- bad input -------------------------------------------------------------------------------------------------------

AMOUNTS = [-1, 0, 1.5, 1.0, True, False, None, "5", "five", "", [], {}, [5], 10**15 + 1, 2**63, 2**64, 10**30, 1e30]


@pytest.mark.parametrize("what", MOVES)
@pytest.mark.parametrize("amount", AMOUNTS, ids=repr)
def test_an_amount_is_a_whole_number_of_one_or_more(rich: Buyer, what: str, amount: Any) -> None:
    error = refused(rich, what, {"amount": amount})
    assert error["param"] == "amount"
    assert error["message"].startswith("amount: ")


@pytest.mark.parametrize("amount", [one for one in AMOUNTS if one != 0 or isinstance(one, bool)], ids=repr)
def test_so_is_what_a_hold_is_settled_with(desk: Desk, amount: Any) -> None:
    answer = desk.call("POST", f"/v1/holds/{HOLD}/settle", json={"amount": amount})
    assert error_of(answer, 422, "invalid_request")["param"] == "amount"


@pytest.mark.parametrize("number", ["9" * 5000, "-" + "9" * 5000, "NaN", "Infinity", "1e400"], ids=lambda one: one[:9])
def test_a_number_that_nobody_can_mean_is_refused_by_the_name_of_its_field(rich: Buyer, number: str) -> None:
    order = rich.checkout("credits-10")["id"]
    asked = {
        "/v1/payments": f'{{"customer": "{rich.id}", "currency": "usd", "amount": {number}}}',
        "/v1/refunds": f'{{"order": "{order}", "amount": {number}}}',
        credits_path(rich, "spend"): f'{{"amount": {number}}}',
        f"/v1/holds/{HOLD}/settle": f'{{"amount": {number}}}',
        "/v1/checkouts": f'{{"customer": "{rich.id}", "items": [{{"price": "credits-10", "quantity": {number}}}]}}',
        f"/v1/customers/{rich.id}/topup": f'{{"price": "credits-10", "month_limit": 999, "below": {number}}}',
    }
    for path, body in asked.items():
        answer = rich.desk.call("POST", path, content=body.encode(), headers={"Content-Type": "application/json"})
        field = {"/v1/checkouts": "items.0.quantity"}.get(path, "below" if path.endswith("topup") else "amount")
        assert error_of(answer, 422, "invalid_request")["param"] == field, path


FIELDS = [
    ("spend", {}, "amount"),
    ("spend", {"amount": 1, "units": "credits"}, "units"),
    ("spend", {"amount": 1, "currency": "usd"}, "currency"),
    ("spend", {"amount": 1, "expires_days": 1}, "expires_days"),
    ("spend", {"amount": 1, "customer": "cst_1"}, "customer"),
    ("spend", {"amount": 1, "unit": 5}, "unit"),
    ("spend", {"amount": 1, "unit": None}, "unit"),
    ("spend", {"amount": 1, "unit": "x" * 65}, "unit"),
    ("spend", {"amount": 1, "unit": "credits\x00"}, "unit"),
    ("spend", {"amount": 1, "reason": 5}, "reason"),
    ("spend", {"amount": 1, "reason": "x" * 201}, "reason"),
    ("spend", {"amount": 1, "reason": "\x00"}, "reason"),
    ("grant", {"amount": 1, "expires_days": 0}, "expires_days"),
    ("grant", {"amount": 1, "expires_days": 1.5}, "expires_days"),
    ("grant", {"amount": 1, "expires_days": 40_000}, "expires_days"),
    ("grant", {"amount": 1, "expires_at": "tomorrow"}, "expires_at"),
    ("grant", {"amount": 1, "expires_at": 4_000_000_000}, "expires_at"),
    ("grant", {"amount": 1, "expires_at": "2090-01-01T00:00:00"}, "expires_at"),
    ("grant", {"amount": 1, "lasts_s": 60}, "lasts_s"),
    ("hold", {"amount": 1, "lasts_s": 0}, "lasts_s"),
    ("hold", {"amount": 1, "lasts_s": 7 * 86_400 + 1}, "lasts_s"),
    ("hold", {"amount": 1, "lasts_s": "60"}, "lasts_s"),
]  # fmt: skip


@pytest.mark.parametrize(("what", "body", "param"), FIELDS, ids=[f"{what} {param}" for what, _, param in FIELDS])
def test_a_field_that_is_wrong_or_unknown_is_named(rich: Buyer, what: str, body: dict[str, Any], param: str) -> None:
    error = refused(rich, what, body)
    assert error["param"] == param
    assert error["message"].startswith(f"{param}: ")


@pytest.mark.parametrize("end", ["2001-01-01T00:00:00Z", "9999-12-31T23:59:59-14:00", "0001-01-01T00:00:00+14:00"])
def test_a_gift_ends_in_the_future_and_not_too_far_away(rich: Buyer, end: str) -> None:
    assert refused(rich, "grant", {"amount": 1, "expires_at": end}, 400)["param"] == "expires_at"


def test_a_gift_has_one_end(rich: Buyer) -> None:
    both = {"amount": 1, "expires_days": 1, "expires_at": "2090-01-01T00:00:00Z"}
    assert "not both" in refused(rich, "grant", both)["message"]


UNITS = ["gems", "Credits", "money:usd", "usd", "", " credits", "cr\u00e9dits"]


@pytest.mark.parametrize("what", MOVES)
@pytest.mark.parametrize("unit", UNITS)
def test_a_unit_that_nobody_knows_is_refused(rich: Buyer, what: str, unit: str) -> None:
    assert refused(rich, what, {"amount": 1, "unit": unit}, 400)["param"] == "unit"
    assert rich.desk.sql("SELECT FROM account WHERE unit = $1 AND owner = $2", unit, rich.id) == []


BODIES = [
    b"", b"{", b"null", b"[]", b'"amount"', b"5", b'{"amount": 1} x', b'{"amount": 1, "amount": 1}',
    b'{"amount": 1, "am\\u006funt": 2}', b'{"amount": NaN}', b'{"amount": Infinity}', b'{"amount": 01}',
    b'{"amount": 1, "reason": "\xff"}', b'{"amount": 1, "reason": "\\ud800"}', b'{"amount": ' + b"[" * 5000,
    b'{"amount": ' + b"9" * 10_000 + b"}", b'{"amount": ' + b"9" * 5000, b'{"amount": ' + b"9" * 5000 + b', "amount": 1}',
    b'{"amount": ' + b"9" * 5000 + b', "reason": ' + b"[" * 20_000, b"amount=1", b"\x00", b"{'amount': 1}", b'{"amount": 1,}',
]  # fmt: skip


@pytest.mark.parametrize("body", BODIES, ids=lambda body: repr(body[:20] + body[-20:]))
def test_a_body_that_is_not_strict_json_is_refused(rich: Buyer, body: bytes) -> None:
    refused(rich, "spend", body)


def test_a_body_that_is_too_large_is_refused_whether_it_says_so_or_not(rich: Buyer) -> None:
    large = json.dumps({"amount": 1, "reason": "x" * 70_000}).encode()
    path = credits_path(rich, "spend")
    before = state_of(rich)
    error_of(rich.desk.call("POST", path, content=large), 413, "too_large")
    error_of(rich.desk.call("POST", path, content=iter([large[:40_000], large[40_000:]])), 413, "too_large")
    assert state_of(rich) == before


def test_a_body_that_comes_in_parts_is_read_whole(rich: Buyer) -> None:
    body = json.dumps({"amount": 1, "reason": "x" * 200}).encode()
    connection = http.client.HTTPConnection("127.0.0.1", rich.desk.port, timeout=30)
    connection.putrequest("POST", credits_path(rich, "spend"))
    connection.putheader("Authorization", f"Bearer {rich.desk.key}")
    connection.putheader("Content-Length", str(len(body)))
    connection.endheaders(body[:7])
    for start in range(7, len(body), 50):
        connection.send(body[start : start + 50])
    answer = connection.getresponse()
    assert (answer.status, json.loads(answer.read())["amount"]) == (200, 1)
    connection.close()


@pytest.mark.parametrize("key", ["", "a b", "x" * 256, "caf\u00e9"])
def test_an_idempotency_key_is_visible_characters(rich: Buyer, key: str) -> None:
    answer = rich.desk.call(
        "POST", credits_path(rich, "spend"), json={"amount": 1}, headers={b"Idempotency-Key": key.encode()}
    )
    assert error_of(answer, 400, "invalid_request")["param"] == "Idempotency-Key"


def test_any_visible_key_will_do(rich: Buyer) -> None:
    for key in ("x" * 255, "op:cst_1:a", "';DROP/**/TABLE/**/entry--", "%00", "|"):
        answers = [
            rich.desk.call("POST", credits_path(rich, "spend"), json={"amount": 1}, headers={"Idempotency-Key": key})
            for _ in range(2)
        ]
        assert answers[0].status_code == 200 and answers[0].json() == answers[1].json(), key  # noqa: PT018
        assert "Idempotent-Replayed" in answers[1].headers


# --- who, and whose --------------------------------------------------------------------------------------------------

NOBODY = [
    "cst_" + "0" * 26,
    "cst_nobody",
    "ord_" + "0" * 26,
    "%00",
    "a%20b",
    "..",
    "cst_" + "0" * 26 + "%0A",
    "x" * 5000,
]


@pytest.mark.parametrize("what", MOVES)
@pytest.mark.parametrize("who", NOBODY, ids=lambda who: who[:32])
def test_a_customer_whom_nobody_knows_is_not_found(desk: Desk, what: str, who: str) -> None:
    for unit in ("credits", "gems"):
        answer = desk.call("POST", f"/v1/customers/{who}/credits/{what}", json={"amount": 1, "unit": unit})
        assert error_of(answer, 404, "not_found").get("param") in ("customer", None)


@pytest.mark.parametrize("hold", [HOLD, "hld_nothing", "a%20b", "..", "x" * 5000], ids=lambda hold: hold[:32])
def test_a_hold_that_nobody_knows_is_not_found(desk: Desk, hold: str) -> None:
    for end, body in (("settle", {"amount": 1}), ("release", {})):
        error_of(desk.call("POST", f"/v1/holds/{hold}/{end}", json=body), 404, "not_found")
    error_of(desk.call("GET", f"/v1/holds/{hold}"), 404, "not_found")


MAY = {
    "grant": {"admin"},
    "spend": {"spend", "admin"},
    "hold": {"spend", "admin"},
}


@pytest.mark.parametrize("what", MOVES)
def test_a_key_needs_the_scope(desk: Desk, rich: Buyer, keys: dict[str, str], what: str) -> None:
    for scope, key in keys.items():
        answer = desk.call("POST", credits_path(rich, what), key=key, json={"amount": 1})
        if scope in MAY[what]:
            assert answer.status_code == 200
        else:
            wanted = "admin" if what == "grant" else "spend"
            assert error_of(answer, 403, "forbidden")["message"] == f"this key lacks the scope {wanted}"


def test_holds_are_ended_by_those_who_may_spend_and_seen_by_those_who_may_read(
    desk: Desk, rich: Buyer, keys: dict[str, str]
) -> None:
    for scope, key in keys.items():
        may_end, may_see = scope in ("spend", "admin"), scope in ("read", "admin")
        for end, body in (("settle", {"amount": 1}), ("release", {})):
            answer = desk.call("POST", f"/v1/holds/{HOLD}/{end}", key=key, json=body)
            error_of(answer, *((404, "not_found") if may_end else (403, "forbidden")))
        answer = desk.call("GET", f"/v1/holds/{HOLD}", key=key)
        error_of(answer, *((404, "not_found") if may_see else (403, "forbidden")))
        assert desk.call("GET", f"/v1/customers/{rich.id}/ledger", key=key).status_code == (200 if may_see else 403)


@pytest.mark.parametrize("header", [None, "", "Bearer", "Basic abc", "Bearer pdk_unknown", "Bearer \u00e9"])
def test_without_a_good_key_nothing_is_told(desk: Desk, header: str | None) -> None:
    headers = {} if header is None else {"Authorization": header.encode()}
    for path in (f"/v1/customers/{'cst_' + '0' * 26}/credits/grant", f"/v1/holds/{HOLD}/settle"):
        error_of(httpx.post(desk.url + path, headers=headers, content=b"{"), 401, "unauthorized")


def test_a_revoked_key_spends_nothing_more(desk: Desk, rich: Buyer) -> None:
    id_, key = desk.command("keys", "create", "short-lived", "--scope", "spend").stdout.split()[:2]
    desk.sql("UPDATE api_key SET revoked_at = now() WHERE id = $1", id_)
    error_of(desk.call("POST", credits_path(rich, "spend"), key=key, json={"amount": 1}), 401, "unauthorized")


# --- like every other call -------------------------------------------------------------------------------------------


@pytest.mark.parametrize("method", ["GET", "PUT", "PATCH", "DELETE"])
def test_other_methods_are_not_allowed(desk: Desk, rich: Buyer, method: str) -> None:
    for path in (credits_path(rich, "spend"), f"/v1/holds/{HOLD}/settle"):
        answer = desk.call(method, path)
        error_of(answer, 405, "method_not_allowed")
        assert answer.headers["Allow"] == "POST"


def test_answers_and_errors_carry_what_every_answer_of_the_api_carries(desk: Desk, rich: Buyer) -> None:
    path = credits_path(rich, "spend")
    others = ("date", "content-length", "idempotent-replayed")
    like = {k: v for k, v in desk.call("GET", "/v1/status").headers.items() if k not in others}
    for body in ({"amount": 1}, {"amount": 0}):
        answer = desk.call("POST", path, json=body)
        assert re.fullmatch(r"req_[0-9a-z]{26}", answer.headers["Request-Id"])
        assert {k: v for k, v in answer.headers.items() if k not in others} == {
            **like, "request-id": answer.headers["Request-Id"],
        }  # fmt: skip


def test_paths_that_only_look_alike_are_not_these_calls(desk: Desk, rich: Buyer) -> None:
    for path in (
        f"/v1/customers/{rich.id}/credits/spend/now", f"/v1/customers/{rich.id}/credits/steal",
        f"/v1/customers/{rich.id}/spend", f"/v2/holds/{HOLD}/settle", f"/v1/orders/{HOLD}/settle",
    ):  # fmt: skip
        error_of(desk.call("POST", path, json={"amount": 1}), 404, "not_found")


def test_a_database_that_is_away_is_503_and_nothing_was_spent(
    new_database: Callable[[], str], stripe_sandbox: Sandbox
) -> None:
    with running_desk(settings_for(new_database(), stripe_sandbox.url), stripe_sandbox, webhooks=False) as desk:
        buyer = desk.buyer()
        buyer.say("/start")
        path = credits_path(buyer, "spend")
        desk.post(credits_path(buyer, "grant"), {"amount": 10})
        name = desk.sql("SELECT current_database() AS name")[0]["name"]
        with closed(desk, name):
            answer = desk.call("POST", path, json={"amount": 3}, headers={"Idempotency-Key": "k"})
            error_of(answer, 503, "store_unavailable")
            assert answer.headers["Retry-After"] == "5"
        again = desk.call("POST", path, json={"amount": 3}, headers={"Idempotency-Key": "k"})
        assert (again.status_code, again.json()["balance"]) == (200, 7)


@contextmanager
def closed(desk: Desk, name: str) -> Iterator[None]:
    """Let nobody into the database until the block ends."""
    dsn = desk.settings["DATABASE_URL"].replace(f"@/{name}?", "@/postgres?")
    server = replace(desk, settings={"DATABASE_URL": dsn})
    server.sql(f'ALTER DATABASE "{name}" CONNECTION LIMIT 0')
    server.sql("SELECT pg_terminate_backend(pid) FROM pg_stat_activity WHERE datname = $1", name)
    try:
        yield
    finally:
        server.sql(f'ALTER DATABASE "{name}" CONNECTION LIMIT -1')


# --- units -----------------------------------------------------------------------------------------------------------


@pytest.fixture
def changing(new_database: Callable[[], str], stripe_sandbox: Sandbox, tmp_path: Any) -> Iterator[tuple[Desk, Any]]:
    """A desk and the file of its catalogue."""
    file = tmp_path / "catalog.toml"
    file.write_text(CATALOG.read_text(encoding="utf-8"), encoding="utf-8")
    settings = settings_for(new_database(), stripe_sandbox.url, PAYDESK_CATALOG=str(file))
    with running_desk(settings, stripe_sandbox, webhooks=False) as desk:
        yield desk, file


def test_what_was_sold_can_be_spent_after_it_left_the_catalogue(changing: tuple[Desk, Any]) -> None:
    desk, file = changing
    buyer, other = desk.buyer(), desk.buyer()
    other.say("/start")
    buyer.say("/start")
    desk.post(credits_path(buyer, "grant"), {"amount": 10, "unit": "tokens"})
    file.write_text(file.read_text().replace('unit = "tokens"', 'unit = "gems"'))
    desk.stop()
    desk.process = start_service(desk.settings, desk.port)
    assert desk.post(credits_path(buyer, "spend"), {"amount": 4, "unit": "tokens"})["balance"] == 6
    assert refused(other, "spend", {"amount": 4, "unit": "tokens"}, 400)["param"] == "unit"
    assert desk.post(credits_path(other, "grant"), {"amount": 4, "unit": "gems"})["balance"] == 4


def test_the_wallet_itself_checks_amounts() -> None:
    assert [wallet.checked_amount(amount) for amount in (1, wallet.AMOUNT_MAX)] == [1, wallet.AMOUNT_MAX]
    for amount in (*AMOUNTS, float("nan")):
        with pytest.raises(Invalid) as refusal:
            wallet.checked_amount(amount)
        assert refusal.value.param == "amount"


async def test_a_balance_has_an_end_too(database: str) -> None:
    async with opened(database) as (store, wallets):
        who = ids.new("cst")
        await store.execute("INSERT INTO customer (id) VALUES ($1)", who)
        gifts = (wallet.Give(who, "credits", wallet.AMOUNT_MAX, f"gift {number}") for number in range(1000))
        last = (await asyncio.gather(*map(wallets.run, gifts)))[-1]
        assert last.balance == wallet.BALANCE_MAX
        with pytest.raises(Invalid) as refusal:
            await wallets.run(wallet.Give(who, "credits", 1, "one more"))
        assert refusal.value.param == "amount"
        assert (await wallets.run(wallet.Spend(who, "credits", wallet.AMOUNT_MAX, "k"))).balance == 999 * 10**15


# --- the reference ---------------------------------------------------------------------------------------------------


def test_the_description_names_these_calls_and_their_example_is_taken(desk: Desk, rich: Buyer) -> None:
    description = httpx.get(f"{desk.url}/openapi.json").json()
    found = {one.path: one for group in reference.groups(description, desk.url) for one in group.operations}
    for what in MOVES:
        call = found[f"/v1/customers/{{customer}}/credits/{what}"]
        body = orjson.loads(call.body_example or "")
        assert desk.post(credits_path(rich, what), body, Idempotency_Key=secrets.token_hex(4))["amount"] == 1
        assert f"Needs the scope `{'admin' if what == 'grant' else 'spend'}`" in call.text
        assert call.path_fields[0].path == "customer"
        assert {"200", "402", "409", "422"} <= {status for status, _ in call.responses}
    for end in ("settle", "release"):
        assert found[f"/v1/holds/{{hold}}/{end}"].path_fields[0].path == "hold"
    assert {"/v1/holds/{hold}", "/v1/customers/{customer}/ledger"} <= set(found)
