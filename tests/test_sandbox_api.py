"""The sandbox refuses, pages, expands and counts money as Stripe does."""

# ruff: noqa: F401, F811 (fixtures are imported and then named as arguments)

from __future__ import annotations

from typing import Any

import httpx
import pytest
import stripe

from sandbox_fixtures import Sandbox, price_of, sandbox, session_of, shared_sandbox
from stripe_shapes import problems


def refusal(answer: httpx.Response) -> tuple[int, str | None, str | None]:
    """Status, code and parameter of an error; its body is Stripe's."""
    error = answer.json()["error"]
    assert error["type"] == "invalid_request_error"
    assert error["message"]
    assert error["request_log_url"].endswith(answer.headers["Request-Id"])
    return answer.status_code, error.get("code"), error.get("param")


@pytest.mark.parametrize(
    ("path", "params", "expected"),
    [
        ("/v1/customers", {"colour": "red"}, (400, "parameter_unknown", "colour")),
        ("/v1/customers", {"address[street]": "x"}, (400, "parameter_unknown", "address[street]")),
        ("/v1/products", {}, (400, "parameter_missing", "name")),
        ("/v1/products", {"name": ""}, (400, "parameter_invalid_empty", "name")),
        ("/v1/prices", {"currency": "xxx", "unit_amount": "5", "product_data[name]": "a"}, (400, None, "currency")),
        (
            "/v1/prices",
            {"currency": "usd", "unit_amount": "5", "product": "prod_0"},
            (400, "resource_missing", "product"),
        ),
        ("/v1/payment_intents", {"amount": "100.0", "currency": "usd"}, (400, "parameter_invalid_integer", "amount")),
        ("/v1/payment_intents", {"amount": "1e3", "currency": "usd"}, (400, "parameter_invalid_integer", "amount")),
        ("/v1/payment_intents", {"amount": "0", "currency": "usd"}, (400, "parameter_invalid_integer", "amount")),
        ("/v1/payment_intents", {"amount": "49", "currency": "usd"}, (400, "amount_too_small", "amount")),
        ("/v1/payment_intents", {"amount": "199", "currency": "pln"}, (400, "amount_too_small", "amount")),
        ("/v1/payment_intents", {"amount": "100000000", "currency": "usd"}, (400, "amount_too_large", "amount")),
        ("/v1/payment_intents", {"amount": "500"}, (400, "parameter_missing", "currency")),
        (
            "/v1/payment_intents",
            {"amount": "500", "currency": "usd", "payment_method": "pm_0"},
            (400, "resource_missing", "payment_method"),
        ),
        ("/v1/refunds", {"charge": "ch_0"}, (400, "resource_missing", "charge")),
        ("/v1/checkout/sessions", {"mode": "payment"}, (400, "parameter_missing", "success_url")),
        ("/v1/checkout/sessions", {"success_url": "https://x.example"}, (400, "parameter_missing", "mode")),
        ("/v1/checkout/sessions", {"mode": "payment", "success_url": "nowhere"}, (400, "url_invalid", "success_url")),
        ("/v1/webhook_endpoints", {"url": "nowhere", "enabled_events[]": "*"}, (400, "url_invalid", "url")),
    ],
)
def test_a_wrong_request_is_refused_by_name(sandbox: Sandbox, path: str, params: dict[str, str], expected: Any) -> None:
    assert refusal(sandbox.call("POST", path, params)) == expected


def test_a_missing_object_is_404_in_the_path_and_400_in_the_body(sandbox: Sandbox) -> None:
    assert refusal(sandbox.call("GET", "/v1/customers/cus_0")) == (404, "resource_missing", "id")
    assert refusal(sandbox.call("GET", "/v1/payment_intents/pi_0")) == (404, "resource_missing", "intent")
    line = {"mode": "payment", "success_url": "https://x.example", "line_items[0][quantity]": "1"}
    answer = sandbox.call("POST", "/v1/checkout/sessions", {**line, "line_items[0][price]": "price_0"})
    assert refusal(answer) == (400, "resource_missing", "line_items[0][price]")
    answer = sandbox.call("POST", "/v1/payment_methods/pm_card_visa/attach", {"customer": "cus_0"})
    assert refusal(answer) == (400, "resource_missing", "customer")


def test_an_unknown_address_or_method_is_answered_in_stripes_words(sandbox: Sandbox) -> None:
    for method, path in (("GET", "/v1/nothing"), ("PUT", "/v1/customers"), ("GET", "/nowhere/at/all")):
        answer = sandbox.call(method, path)
        assert refusal(answer)[0] == 404
        assert f"Unrecognized request URL ({method}: {path})" in answer.json()["error"]["message"]


def test_keys_are_asked_for_and_separate_accounts(sandbox: Sandbox) -> None:
    assert httpx.get(f"{sandbox.url}/v1/customers").status_code == 401
    for wrong in ("nonsense", "sk_live_0123456789abcdef", "pk_test_0123456789abcdef"):
        answer = httpx.get(f"{sandbox.url}/v1/customers", auth=(wrong, ""))
        assert answer.status_code == 401
        assert wrong not in answer.text or len(wrong) < 12
    with pytest.raises(stripe.AuthenticationError):
        sandbox.sdk("sk_live_x").v1.customers.list()
    publishable = httpx.get(f"{sandbox.url}/v1/customers", auth=("pk_test_0123456789abcdef", "")).json()["error"]
    assert publishable["code"] == "secret_key_required"
    assert publishable["message"].startswith("This API call cannot be made with a publishable API key.")
    customer = sandbox.call("POST", "/v1/customers").json()["id"]
    assert httpx.get(f"{sandbox.url}/v1/customers/{customer}", auth=(sandbox.key, "")).status_code == 200
    assert sandbox.other().call("GET", f"/v1/customers/{customer}").status_code == 404
    mine, other = (
        sandbox.call("GET", "/v1/account").json()["id"],
        sandbox.other().call("GET", "/v1/account").json()["id"],
    )
    assert mine.startswith("acct_")
    assert mine != other
    assert mine == sandbox.call("GET", "/v1/account").json()["id"]


def test_every_answer_has_a_request_id_and_a_version(sandbox: Sandbox) -> None:
    answer = sandbox.call("POST", "/v1/customers")
    assert answer.headers["Request-Id"].startswith("req_")
    assert answer.headers["Stripe-Version"] == "2026-10-28.endive"
    assert answer.headers["Original-Request"] == answer.headers["Request-Id"]
    assert answer.headers["Stripe-Should-Retry"] == "false"
    assert sandbox.call("GET", "/v1/nothing").headers["Request-Id"].startswith("req_")
    for wrong in ("tomorrow", "2024-13-01", "2024-00-10", "2024-09-32.acacia"):
        assert sandbox.call("GET", "/v1/customers", Stripe_Version=wrong).status_code == 400


def test_nested_parameters_in_every_spelling(sandbox: Sandbox) -> None:
    body = "address[city]=Delft&metadata[a]=1&preferred_locales[]=nl&preferred_locales[]=en&name=J%C3%B3&expand[0]=default_source"
    kind = {"Content-Type": "application/x-www-form-urlencoded"}
    with sandbox.http() as http:
        answer = http.post("/v1/customers", content=body, headers=kind).json()
        assert answer["address"]["city"] == "Delft"
        assert answer["preferred_locales"] == ["nl", "en"]
        assert answer["name"] == "Jó"
        for wrong in ("a[=1", "name=a&name[x]=b", "address=text", "preferred_locales=nl"):
            assert http.post("/v1/customers", content=wrong, headers=kind).status_code == 400, wrong
        assert http.post("/v1/customers", json={"name": "x"}).status_code == 400


def test_metadata_keeps_stripes_limits(sandbox: Sandbox) -> None:
    def create(**metadata: str) -> httpx.Response:
        return sandbox.call("POST", "/v1/customers", {f"metadata[{key}]": value for key, value in metadata.items()})

    customer = create(a="1", b="2").json()["id"]
    path = f"/v1/customers/{customer}"
    assert sandbox.call("POST", path, {"metadata[a]": "", "metadata[c]": "3"}).json()["metadata"] == {
        "b": "2",
        "c": "3",
    }
    assert sandbox.call("POST", path, {"metadata": ""}).json()["metadata"] == {}
    assert create(**{"k" * 40: "v" * 500}).status_code == 200
    assert create(**{"k" * 41: "v"}).status_code == 400
    assert create(k="v" * 501).status_code == 400
    assert create(**{f"k{n}": "v" for n in range(50)}).status_code == 200
    assert create(**{f"k{n}": "v" for n in range(51)}).status_code == 400


def test_lists_walk_both_ways_newest_first(sandbox: Sandbox) -> None:
    made = [sandbox.call("POST", "/v1/customers", {"email": f"{n % 2}@example.com"}).json()["id"] for n in range(25)]
    sdk = sandbox.sdk().v1.customers
    first = sdk.list()
    assert [customer.id for customer in first.data] == made[:-11:-1]
    assert first.has_more
    assert [customer.id for customer in sdk.list({"limit": 10}).auto_paging_iter()] == made[::-1]
    back = sdk.list({"limit": 5, "ending_before": made[10]})
    assert [customer.id for customer in back.data] == made[15:10:-1]
    assert back.has_more
    last = sdk.list({"limit": 5, "ending_before": made[20]})
    assert [customer.id for customer in last.data] == made[24:20:-1]
    assert not last.has_more
    assert len(sdk.list({"limit": 100, "email": "1@example.com"}).data) == 12
    for params in ({"limit": "0"}, {"limit": "101"}, {"limit": "x"}, {"starting_after": "cus_0"},
                   {"starting_after": made[0], "ending_before": made[1]}):  # fmt: skip
        assert sandbox.call("GET", "/v1/customers", params).status_code == 400, params


def test_lists_filter_on_time(sandbox: Sandbox) -> None:
    customer = sandbox.call("POST", "/v1/customers").json()
    for params, count in (
        ({"created[gte]": customer["created"]}, 1),
        ({"created[gt]": customer["created"]}, 0),
        ({"created": customer["created"]}, 1),
        ({"created[lt]": customer["created"]}, 0),
    ):
        assert len(sandbox.call("GET", "/v1/customers", params).json()["data"]) == count, params


def test_expand_goes_four_levels_deep_and_no_further(sandbox: Sandbox) -> None:
    session = session_of(sandbox)
    sandbox.call("POST", f"/v1/payment_pages/{session['id']}/confirm", {"payment_method": "pm_card_visa"})
    path = f"/v1/checkout/sessions/{session['id']}"
    deep = {"expand[]": "payment_intent.latest_charge.balance_transaction.source"}
    intent = sandbox.call("GET", path, deep).json()["payment_intent"]
    assert intent["latest_charge"]["balance_transaction"]["source"]["id"] == intent["latest_charge"]["id"]
    too_deep = {"expand[]": "payment_intent.latest_charge.balance_transaction.source.customer"}
    assert sandbox.call("GET", path, too_deep).status_code == 400
    assert sandbox.call("GET", path, {"expand[]": "status"}).status_code == 400
    listed = sandbox.call("GET", "/v1/checkout/sessions", {"expand[]": "data.line_items"}).json()
    assert listed["data"][0]["line_items"]["data"][0]["price"]["unit_amount"] == 999
    assert "line_items" not in sandbox.call("GET", path).json()


def test_lookup_keys_are_unique_and_can_be_transferred(sandbox: Sandbox) -> None:
    first = price_of(sandbox)
    sandbox.call("POST", f"/v1/prices/{first}", {"lookup_key": "ten"})
    params = {"currency": "usd", "unit_amount": "500", "product_data[name]": "x", "lookup_key": "ten"}
    assert refusal(sandbox.call("POST", "/v1/prices", params)) == (400, None, "lookup_key")
    second = sandbox.call("POST", "/v1/prices", {**params, "transfer_lookup_key": "true"}).json()
    found = sandbox.call("GET", "/v1/prices", {"lookup_keys[]": "ten"}).json()["data"]
    assert [price["id"] for price in found] == [second["id"]]
    assert sandbox.call("GET", f"/v1/prices/{first}").json()["lookup_key"] is None


def test_a_deleted_customer_is_still_told_but_not_used(sandbox: Sandbox) -> None:
    customer = sandbox.call("POST", "/v1/customers").json()["id"]
    gone = {"id": customer, "object": "customer", "deleted": True}
    assert sandbox.call("DELETE", f"/v1/customers/{customer}").json() == gone
    assert sandbox.call("GET", f"/v1/customers/{customer}").json() == gone
    assert sandbox.call("GET", "/v1/customers").json()["data"] == []
    params = {"amount": "500", "currency": "usd", "customer": customer}
    assert sandbox.call("POST", "/v1/payment_intents", params).status_code == 400


def test_the_clock_moves_forward_only(sandbox: Sandbox) -> None:
    before = httpx.get(f"{sandbox.url}/_sandbox/clock").json()
    for wrong in ({"advance": "soon"}, {"to": "2020-01-01T00:00:00Z"}, {}, {"advance": "1d", "to": "2030-01-01"}, [],
                  {"advance": "732d"}, {"advance": "1000000000d"}, {"advance": "9" * 400 + "d"},
                  {"to": "9999-12-31T23:59:59Z"}):  # fmt: skip
        answer = httpx.post(f"{sandbox.url}/_sandbox/clock", json=wrong)
        assert answer.status_code == 400, wrong
        assert answer.json()["error"]["message"]
    assert httpx.get(f"{sandbox.url}/_sandbox/clock").json()["offset_s"] == before["offset_s"]
    sandbox.advance("90s")
    assert httpx.get(f"{sandbox.url}/_sandbox/clock").json()["offset_s"] == before["offset_s"] + 90


def test_a_version_older_than_the_oldest_known_is_refused(sandbox: Sandbox) -> None:
    old = sandbox.call("GET", "/v1/customers", Stripe_Version="2022-11-15")
    assert (old.status_code, "2023-10-16" in old.json()["error"]["message"]) == (400, True)
    assert sandbox.call("GET", "/v1/customers", Stripe_Version="2023-10-16").status_code == 200
    endpoint = {"url": "http://127.0.0.1:9/", "enabled_events[]": "*"}
    older = sandbox.call("POST", "/v1/webhook_endpoints", {**endpoint, "api_version": "2022-11-15"})
    assert older.json()["api_version"] == "2022-11-15", "an endpoint may stand at an older one"
    wrong = sandbox.call("POST", "/v1/webhook_endpoints", {**endpoint, "api_version": "latest"})
    assert wrong.json()["error"]["param"] == "api_version"


def test_a_token_as_source_is_the_customers_card(sandbox: Sandbox) -> None:
    customer = sandbox.call("POST", "/v1/customers", {"source": "tok_visa"}).json()
    methods = sandbox.call("GET", f"/v1/customers/{customer['id']}/payment_methods").json()["data"]
    assert [(one["id"], one["card"]["last4"]) for one in methods] == [(customer["default_source"], "4242")]
    before = sandbox.event_types()
    for wrong in ({"source": "tok_nothing"}, {"source": "pm_card_visa"}, {"source": "tok_chargeDeclined"},
                  {"source": "tok_visa", "payment_method": "pm_card_visa"}):  # fmt: skip
        assert sandbox.call("POST", "/v1/customers", wrong).status_code in (400, 402), wrong
    assert sandbox.event_types() == before


def test_the_balance_is_what_the_transactions_come_to(sandbox: Sandbox) -> None:
    client = sandbox.sdk()
    empty = client.v1.balance.retrieve()
    assert ([one.amount for one in empty.available], empty.available[0].currency) == ([0], "usd")
    paid = {"amount": 1000, "payment_method_types": ["card"], "confirm": True}
    client.v1.payment_intents.create({**paid, "currency": "usd", "payment_method": "pm_card_bypassPending"})
    waiting = client.v1.payment_intents.create({**paid, "currency": "eur", "payment_method": "pm_card_visa"})
    client.v1.refunds.create({"payment_intent": waiting.id, "amount": 400})
    now = sandbox.call("GET", "/v1/balance").json()
    assert not problems(now)
    sums = {name: {one["currency"]: one["amount"] for one in now[name]} for name in ("available", "pending")}
    assert sums == {"available": {"eur": -400, "usd": 941}, "pending": {"eur": 941, "usd": 0}}
