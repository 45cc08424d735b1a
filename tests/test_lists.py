"""The API's lists: every one is read whole a page at a time, both ways, while things are added; filters; bad cursors."""

from __future__ import annotations

import json
import secrets
from collections.abc import Callable
from datetime import UTC, datetime, timedelta
from typing import Any

import pytest

from desk import Buyer, Desk
from paydesk import listing
from paydesk.clock import Clock
from paydesk.paging import Cut, Listed, Only, read
from paydesk.store import Store
from test_api import error_of

ROWS = 30_000


def walked(desk: Desk, path: str, between: Callable[[], object] = lambda: None, **params: Any) -> list[str]:
    """The ids of a whole list, read three at a time; `between` happens after the first page."""
    seen: list[str] = []
    while True:
        page = desk.get(path, limit=3, **params)
        seen += [one["id"] for one in page["data"]]
        if not page["has_more"]:
            return seen
        between()
        between = lambda: None  # noqa: E731
        params["starting_after"] = seen[-1]


@pytest.fixture(scope="module")
def spender(desk: Desk) -> Buyer:
    """Somebody with seven of everything that can be listed."""
    buyer = desk.buyer("telegram")
    for number in range(7):
        paid = {"customer": buyer.who, "amount": 2000 + number, "currency": "usd", "payment_method": "pm_card_visa"}
        payment = desk.post("/v1/payments", {**paid, "confirm": True})["id"]
        desk.post("/v1/refunds", {"payment": payment, "amount": 500})
    person = f"/v1/customers/{buyer.id}/credits"
    desk.post(f"{person}/grant", {"amount": 100})
    for _ in range(7):
        desk.post(f"{person}/hold", {"amount": 1})
    desk.quiet()
    return buyer


@pytest.mark.parametrize("what", ["orders", "payments", "refunds", "holds", "deliveries"])
def test_a_list_is_whole_both_ways_while_things_are_added(desk: Desk, spender: Buyer, what: str) -> None:
    path, of = f"/v1/{what}", {"customer": spender.id}
    whole = [one["id"] for one in desk.get(path, limit=100, **of)["data"]]
    assert len(whole) >= 7
    assert walked(desk, path, lambda: spender.checkout("credits-10"), **of) == whole
    later = [one["id"] for one in desk.get(path, limit=100, **of)["data"]]
    assert later[-len(whole) :] == whole
    page = desk.get(path, limit=2, ending_before=later[4], **of)
    assert ([one["id"] for one in page["data"]], page["has_more"]) == (later[2:4], True)
    page = desk.get(path, limit=4, ending_before=later[2], **of)
    assert ([one["id"] for one in page["data"]], page["has_more"]) == (later[:2], False)


def test_the_ledger_and_the_events_are_whole_both_ways(desk: Desk, spender: Buyer) -> None:
    for path in (f"/v1/customers/{spender.id}/ledger", "/v1/events"):
        whole = walked(desk, path)
        assert len(set(whole)) == len(whole) > 7
        page = desk.get(path, limit=2, ending_before=whole[5])
        assert [one["id"] for one in page["data"]] == whole[3:5]


def test_the_timeline_is_whole_both_ways_with_what_stands_in_no_row(desk: Desk) -> None:
    buyer = desk.buyer()
    for price in ("bundle", "access-30d"):
        buyer.buy(price)
    path = f"/v1/customers/{buyer.id}/timeline"
    whole = desk.get(path, limit=100)["data"]
    assert {"order", "payment", "event", "entry", "grant", "delivery"} <= {step["what"] for step in whole}
    assert [step["at"] for step in whole] == sorted((step["at"] for step in whole), reverse=True)
    cursors = [step["cursor"] for step in whole]
    assert len(set(cursors)) == len(cursors) > 10
    read, after = [], {}
    while True:
        page = desk.get(path, limit=3, **after)
        read += [step["cursor"] for step in page["data"]]
        if not page["has_more"]:
            break
        after = {"starting_after": read[-1]}
    assert read == cursors
    page = desk.get(path, limit=3, ending_before=cursors[7])
    assert ([step["cursor"] for step in page["data"]], page["has_more"]) == (cursors[4:7], True)
    middle = whole[len(whole) // 2]["at"]
    later, before = desk.get(path, limit=100, **{"from": middle}), desk.get(path, limit=100, to=middle)
    assert [*later["data"], *before["data"]] == whole
    grants = desk.get(path, what="grant")["data"]
    assert grants == [step for step in whole if step["what"] == "grant"] != []
    elsewhere = desk.buyer()
    elsewhere.say("/start")
    there = f"/v1/customers/{elsewhere.id}/timeline"
    for cursor in (cursors[0], "order:ord_unknown", "x"):
        answer = desk.call("GET", there, params={"starting_after": cursor})
        assert error_of(answer, 400, "invalid_request")["param"] == "starting_after"


def test_lists_are_of_a_status_a_channel_a_payment_a_time(desk: Desk, spender: Buyer) -> None:
    of = {"customer": spender.id}
    payments = desk.get("/v1/payments", status="succeeded", **of)["data"]
    assert {one["status"] for one in payments} == {"succeeded"}
    assert desk.get("/v1/payments", status="processing", **of)["data"] == []
    one = payments[0]
    assert [found["id"] for found in desk.get("/v1/payments", order=one["order"])["data"]] == [one["id"]]
    assert desk.get(f"/v1/payments/{one['id']}") == one, "a list shows what a look at one shows"
    refunds = desk.get("/v1/refunds", payment=one["id"])["data"]
    assert [(found["payment"], found["amount"]) for found in refunds] == [(one["id"], 500)]
    assert desk.get("/v1/refunds", order=one["order"])["data"] == refunds
    assert {order["status"] for order in desk.get("/v1/orders", status="open", channel="telegram")["data"]} == {"open"}
    assert desk.get("/v1/orders", channel="discord", **of)["data"] == []
    assert len(desk.get("/v1/holds", status="held", **of)["data"]) == 7
    now = datetime.now(UTC)
    for path in ("/v1/orders", "/v1/payments", "/v1/holds", f"/v1/customers/{spender.id}/ledger"):
        named = {} if "ledger" in path else of
        tomorrow, yesterday = (now + timedelta(days=days) for days in (1, -1))
        assert desk.get(path, to=yesterday.date().isoformat(), **named)["data"] == []
        assert desk.get(path, **{"from": tomorrow.isoformat()}, **named)["data"] == []
        assert desk.get(path, **{"from": yesterday.isoformat()}, to=tomorrow.isoformat(), **named)["data"]


def test_people_are_found_by_place_channel_and_address_and_changed(desk: Desk) -> None:
    email, channel = f"{secrets.token_hex(6)}@example.com", f"c{secrets.token_hex(4)}"
    made = [
        desk.post("/v1/customers", {"identities": [{"channel": channel, "external_id": str(n)}], "email": email})
        for n in range(4)
    ]
    assert walked(desk, "/v1/customers", channel=channel) == [one["id"] for one in made[::-1]]
    assert desk.get("/v1/customers", email=email.upper(), limit=100)["data"] == made[::-1]
    assert desk.get("/v1/customers", channel=channel, external_id="2")["data"] == [made[2]]
    assert desk.get("/v1/customers", channel=channel, external_id="9")["data"] == []
    assert error_of(desk.call("GET", "/v1/customers?external_id=2"), 400, "invalid_request")["param"] == "channel"
    path = f"/v1/customers/{made[0]['id']}"
    changed = desk.call("PATCH", path, json={"email": None, "name": "Ann", "metadata": {"plan": "a", "no": ""}}).json()
    assert (changed["email"], changed["name"], changed["metadata"]) == (None, "Ann", {"plan": "a"})
    changed = desk.call("PATCH", path, json={"locale": "pl", "metadata": {"plan": "", "b": "2"}}).json()
    assert (changed["name"], changed["locale"], changed["metadata"]) == ("Ann", "pl", {"b": "2"})
    assert desk.get(path) == changed
    assert [one["id"] for one in desk.get("/v1/customers", email=email)["data"]] == [one["id"] for one in made[:0:-1]]
    assert error_of(desk.call("PATCH", path, json={"email": "no"}), 400, "invalid_request")["param"] == "email"
    assert error_of(desk.call("PATCH", path, json={"mail": "a@b.c"}), 422, "invalid_request")["param"] == "mail"


def test_a_merged_person_is_listed_once(desk: Desk) -> None:
    channel = f"c{secrets.token_hex(4)}"
    first, second = (
        desk.post("/v1/customers", {"identities": [{"channel": channel, "external_id": str(n)}]})["id"] for n in (1, 2)
    )
    desk.post(f"/v1/customers/{first}/merge", {"customer": second})
    assert walked(desk, "/v1/customers", channel=channel) == [first]


def test_memberships_are_whole_both_ways_by_their_features(desk: Desk) -> None:
    buyer, other = desk.buyer(), desk.buyer()
    places = [("discord", "1001", ""), *(("discord", "1001", f"200{n}") for n in range(5)), ("telegram", "-100123", "")]
    for who in (buyer, other):
        who.say("/start")
        for number, (channel, space, role) in enumerate(places):
            desk.sql(
                "INSERT INTO membership (customer_id, channel, space, role, wanted, changed_at) "
                "VALUES ($1, $2, $3, $4, $5, now() - $6::int * interval '1 day')",
                who.id, channel, space, role, number % 2 == 0, number,
            )  # fmt: skip
    path = f"/v1/customers/{buyer.id}/memberships"
    whole = [one["feature"] for one in desk.get(path, limit=100)["data"]]
    assert whole == [":".join(part for part in place if part) for place in places]
    read, after = [], {}
    while True:
        page = desk.get(path, limit=3, **after)
        read += [one["feature"] for one in page["data"]]
        if not page["has_more"]:
            break
        desk.sql("UPDATE membership SET changed_at = now() WHERE space = '-100123'")  # what changes meanwhile stays in
        after = {"starting_after": read[-1]}
    assert read == whole
    page = desk.get(path, limit=2, ending_before=whole[4])
    assert ([one["feature"] for one in page["data"]], page["has_more"]) == (whole[2:4], True)
    lately = desk.get(path, **{"from": (datetime.now(UTC) - timedelta(hours=36)).isoformat()})["data"]
    assert [one["feature"] for one in lately] == [*whole[:2], whole[-1]]
    other_place = desk.sql(
        "UPDATE membership SET role = '9' WHERE customer_id = $1 AND role = '2001' RETURNING role", other.id
    )
    for cursor in (f"discord:1001:{other_place[0]['role']}", "discord:", "x"):
        answer = desk.call("GET", path, params={"starting_after": cursor})
        assert error_of(answer, 400, "invalid_request")["param"] == "starting_after"


def test_what_somebody_was_sent_before_a_merge_is_the_survivors(desk: Desk) -> None:
    buyers = desk.buyer("telegram"), desk.buyer("telegram")
    for buyer in buyers:
        buyer.buy("credits-10")
    desk.quiet()
    both = [desk.get("/v1/deliveries", customer=one.id, limit=100)["data"] for one in buyers]
    assert all(both)
    desk.post(f"/v1/customers/{buyers[0].id}/merge", {"customer": buyers[1].id})
    before = {one["id"] for found in both for one in found}
    for buyer in buyers:
        assert before <= set(walked(desk, "/v1/deliveries", customer=buyer.id)), "either id leads to all of it"


BAD = [
    ("/v1/orders", {"starting_after": "ord_nothing"}, 400, "starting_after"),
    ("/v1/orders", {"ending_before": "ord_nothing"}, 400, "ending_before"),
    ("/v1/payments", {"starting_after": "pi_\u017c"}, 400, "starting_after"),
    ("/v1/refunds", {"starting_after": "x" * 301}, 422, "starting_after"),
    ("/v1/subscriptions", {"starting_after": "-1"}, 400, "starting_after"),
    ("/v1/disputes", {"starting_after": "dp_1"}, 400, "starting_after"),
    ("/v1/customers", {"starting_after": "cst_1"}, 400, "starting_after"),
    ("/v1/keys", {"ending_before": "key_nothing"}, 400, "ending_before"),
    ("/v1/webhook_endpoints", {"starting_after": "we_nothing"}, 400, "starting_after"),
    ("/v1/refund_requests", {"starting_after": "rrq_nothing"}, 400, "starting_after"),
    ("/v1/refund_requests", {"status": "done"}, 422, "status"),
    ("/v1/deliveries", {"starting_after": "9" * 40}, 400, "starting_after"),
    ("/v1/deliveries", {"ending_before": "one"}, 400, "ending_before"),
    ("/v1/events", {"starting_after": "a", "ending_before": "b"}, 400, "ending_before"),
    ("/v1/orders", {"limit": "101"}, 422, "limit"),
    ("/v1/orders", {"limit": "1e2"}, 422, "limit"),
    ("/v1/orders", {"limit": ["5", "6"]}, 400, "limit"),
    ("/v1/orders", {"status": "done"}, 422, "status"),
    ("/v1/orders", {"from": "yesterday"}, 422, "from"),
    ("/v1/orders", {"to": "0001-01-01T00:00:00+14:00"}, 422, "to"),
    ("/v1/orders", {"from": "1700000000"}, 422, "from"),
    ("/v1/orders", {"created[gte]": "1"}, 400, "created[gte]"),
    ("/v1/orders", {"page": "2"}, 400, "page"),
    ("/v1/products", {"limit": "5"}, 400, "limit"),
    ("/v1/orders", {"customer": "cst_nobody"}, 404, "customer"),
    ("/v1/holds", {}, 422, "customer"),
    ("/v1/customers/cst_1/access", {"feature": "a", "until": "now"}, 400, "until"),
]


@pytest.mark.parametrize(("path", "params", "status", "param"), BAD, ids=[f"{p} {q}" for p, q, _, _ in BAD])
def test_what_a_list_does_not_know_is_refused_by_name(
    desk: Desk, path: str, params: dict[str, Any], status: int, param: str
) -> None:
    code = "not_found" if status == 404 else "invalid_request"
    assert error_of(desk.call("GET", path, params=params), status, code)["param"] == param


def test_a_cursor_of_somebody_elses_list_is_refused(desk: Desk, spender: Buyer) -> None:
    other = desk.buyer()
    strange = other.checkout("credits-10")["id"]
    answer = desk.call("GET", "/v1/orders", params={"customer": spender.id, "starting_after": strange})
    assert error_of(answer, 400, "invalid_request")["param"] == "starting_after"
    for cursor in ("99999999", desk.get(f"/v1/customers/{spender.id}/ledger")["data"][0]["id"]):
        answer = desk.call("GET", f"/v1/customers/{other.id}/ledger", params={"starting_after": cursor})
        assert error_of(answer, 400, "invalid_request")["param"] == "starting_after"
    for _ in range(2):
        spender.checkout("credits-10")
    own = desk.get("/v1/orders", customer=spender.id, status="open")["data"]
    desk.post(f"/v1/orders/{own[0]['id']}/cancel", {})
    after = desk.get("/v1/orders", customer=spender.id, status="open", starting_after=own[0]["id"])["data"]
    assert [one["id"] for one in after] == [one["id"] for one in own[1:]], "what has changed is still a place in a list"


def test_spending_takes_nothing_from_its_address(desk: Desk, spender: Buyer) -> None:
    answer = desk.call("POST", f"/v1/customers/{spender.id}/credits/spend?amount=5", json={"amount": 1})
    assert error_of(answer, 400, "invalid_request")["param"] == "amount"


# --- however much there is -------------------------------------------------------------------------------------------

FILL = """
INSERT INTO customer (id, created_at) SELECT 'cst_' || lpad(i::text, 26, '0'), now() - i * interval '1 min'
FROM generate_series(1, $1::int / 10) i
"""
FILL_MORE = (
    """INSERT INTO orders (id, customer_id, amount, currency, livemode, link_token, created_at)
    SELECT 'ord_' || i, 'cst_' || lpad((1 + i % ($1::int / 10))::text, 26, '0'), 100, 'usd', false, 'l' || i,
    now() - i * interval '1 s' FROM generate_series(1, $1::int) i""",
    """INSERT INTO payment (id, order_id, status, amount, currency, created_at)
    SELECT 'pi_' || i, 'ord_' || i, 'succeeded', 100, 'usd', now() - i * interval '1 s' FROM generate_series(1, $1::int) i""",
    """INSERT INTO refund (id, payment_id, status, amount, currency, created_at)
    SELECT 're_' || i, 'pi_' || i, 'succeeded', 50, 'usd', now() - i * interval '1 s' FROM generate_series(1, $1::int) i""",
    """INSERT INTO hold (id, customer_id, unit, amount, expires_at, created_at)
    SELECT 'hld_' || i, 'cst_' || lpad('1', 26, '0'), 'credits', 1, now(), now() - i * interval '1 s'
    FROM generate_series(1, $1::int) i""",
)
SOMEBODY = "cst_" + "1".rjust(26, "0")
DEEP: list[tuple[Listed, list[Only], str]] = [
    (listing.CUSTOMERS, [Only("c.merged_into IS NULL")], "cst_" + "1500".rjust(26, "0")),
    (listing.ORDERS, [], "ord_15000"),
    (listing.ORDERS, [Only("o.customer_id = {}", (SOMEBODY,), True)], "ord_15000"),
    (listing.PAYMENTS, [], "pi_15000"),
    (listing.REFUNDS, [], "re_15000"),
    (listing.HOLDS, [Only("h.customer_id = {}", (SOMEBODY,), True)], "hld_15000"),
]


class Explaining:
    """A transaction that explains what it is asked for, and notes the plan's nodes and how many rows they read."""

    def __init__(self, tx: Any) -> None:
        self._tx = tx
        self.nodes: list[dict[str, Any]] = []

    async def fetch(self, sql: str, *args: object) -> list[Any]:
        told = (await self._tx.fetch(f"EXPLAIN (ANALYZE, FORMAT JSON) {sql}", *args))[0][0]
        waiting = [(told if isinstance(told, list) else json.loads(told))[0]["Plan"]]
        while waiting:
            node = waiting.pop()
            self.nodes.append(node)
            waiting += node.get("Plans", [])
        return list(await self._tx.fetch(sql, *args))

    async def fetchrow(self, sql: str, *args: object) -> Any:
        return await self._tx.fetchrow(sql, *args)


async def test_a_page_is_read_from_an_index_however_much_there_is(database: str) -> None:
    store = await Store.open(database, clock=Clock())
    try:
        async with store.transaction() as tx:
            for statement in (FILL, *FILL_MORE):
                await tx.execute(statement, ROWS)
            await tx.execute("ANALYZE")
        for listed, only, cursor in DEEP:
            async with store.transaction() as tx:
                explaining = Explaining(tx)
                page = await read(explaining, listed, only, Cut(20, starting_after=cursor))  # type: ignore[arg-type]
            touched = sum(node["Actual Rows"] * node["Actual Loops"] for node in explaining.nodes)
            kinds = {node["Node Type"] for node in explaining.nodes}
            assert only or "Sort" not in kinds, (listed.what, kinds)
            assert touched < 1000, (listed.what, touched)
            if not only:
                assert len(page.rows) == 20
                assert page.has_more
    finally:
        await store.close()
