"""Searches of the sandbox: the query language, pages, the delay, and what is refused."""

# ruff: noqa: F401, F811 (fixtures are imported and then named as arguments)

from __future__ import annotations

from collections.abc import Iterator

import httpx
import pytest

from sandbox_fixtures import Sandbox, running_sandbox, sandbox, shared_sandbox


def found(sandbox: Sandbox, query: str, path: str = "/v1/customers/search") -> list[str]:
    answer = sandbox.call("GET", path, {"query": query, "limit": "100"})
    assert answer.status_code == 200, answer.text
    return [row["id"] for row in answer.json()["data"]]


@pytest.mark.parametrize(
    ("query", "expected"),
    [
        ('email:"amy@example.com"', "a"),
        ("email:'AMY@example.com'", "a"),
        ('name:"Bo"', "b"),
        ('name~"oth"', "c"),
        ('metadata["team"]:"red"', "ac"),
        ("metadata['team']:null", "b"),
        ("-metadata['team']:null", "ac"),
        ('metadata["team"]:"red" AND name:"Amy"', "a"),
        ('name:"Amy" OR name:"Bo"', "ab"),
        ('-name:"Amy"', "bc"),
        ("created>0", "abc"),
        ("created>9999999999", ""),
        ("created>=1 AND created<9999999999 AND -email:null", "abc"),
        ('name:"It\'s"', ""),
        ("name:'It\\'s'", ""),
    ],
)
def test_a_query_finds_what_it_says(sandbox: Sandbox, query: str, expected: str) -> None:
    people = {
        sandbox.call("POST", "/v1/customers", {"name": name, "email": f"{name.lower()}@example.com", **more}).json()["id"]: short
        for short, name, more in (
            ("a", "Amy", {"metadata[team]": "red"}), ("b", "Bo", {}), ("c", "Dorothy", {"metadata[team]": "Red"}),
        )
    }  # fmt: skip
    assert "".join(sorted(people[one] for one in found(sandbox, query))) == expected


@pytest.mark.parametrize(
    "query",
    ["", "email", "email:amy", 'colour:"red"', 'email>"a"', 'name~"ab"', 'name:"a" AND', 'metadata:"x"', "created:soon",
     'name:"a" AND name:"b" OR name:"c"', " AND ".join(['name:"a"'] * 11), 'name:"a', 'name["k"]:"v"'],
)  # fmt: skip
def test_a_query_that_makes_no_sense_is_refused(sandbox: Sandbox, query: str) -> None:
    answer = sandbox.call("GET", "/v1/customers/search", {"query": query})
    assert answer.status_code == 400
    assert answer.json()["error"]["param"] == "query"


def test_other_kinds_are_searched_by_their_own_fields(sandbox: Sandbox) -> None:
    product = sandbox.call("POST", "/v1/products", {"name": "Ten credits"}).json()["id"]
    price = sandbox.call("POST", "/v1/prices", {"currency": "usd", "unit_amount": "500", "product": product}).json()[
        "id"
    ]
    params = {"amount": "700", "currency": "usd", "payment_method": "pm_card_visa", "confirm": "true"}
    intent = sandbox.call("POST", "/v1/payment_intents", params).json()
    assert found(sandbox, 'active:"true" AND name~"credit"', "/v1/products/search") == [product]
    assert found(sandbox, f'product:"{product}"', "/v1/prices/search") == [price]
    assert found(sandbox, 'amount>600 AND status:"succeeded"', "/v1/payment_intents/search") == [intent["id"]]
    card = 'payment_method_details.card.last4:"4242" AND refunded:"false"'
    assert found(sandbox, card, "/v1/charges/search") == [intent["latest_charge"]]


def test_pages_follow_one_another(sandbox: Sandbox) -> None:
    made = [sandbox.call("POST", "/v1/customers", {"name": "Same"}).json()["id"] for _ in range(7)]
    sdk = sandbox.sdk().v1.customers
    first = sdk.search({"query": 'name:"Same"', "limit": 3})
    assert first.has_more
    assert [row.id for row in first.auto_paging_iter()] == made[::-1]
    wrong = sandbox.call("GET", "/v1/customers/search", {"query": 'name:"Same"', "page": "nonsense"})
    assert (wrong.status_code, wrong.json()["error"]["param"]) == (400, "page")


def test_a_delay_hides_what_was_just_written() -> None:
    with running_sandbox() as own:
        httpx.post(f"{own.url}/_sandbox/settings", json={"search_delay_s": 60}).raise_for_status()
        customer = own.call("POST", "/v1/customers", {"name": "New"}).json()["id"]
        assert found(own, 'name:"New"') == []
        assert len(own.call("GET", "/v1/customers").json()["data"]) == 1
        own.advance("61s")
        assert found(own, 'name:"New"') == [customer]
        own.call("POST", f"/v1/customers/{customer}", {"name": "Newer"})
        assert found(own, 'name~"New"') == []
