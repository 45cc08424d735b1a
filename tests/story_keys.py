"""API keys come and go: each ends when it is to, and the idempotency keys of money hold when one is exchanged.

Those belong to the person whom the money is about, for ever.
"""

from __future__ import annotations

import secrets
from typing import Any

import httpx
import pytest

from desk import Buyer, Desk
from sandbox_fixtures import until
from story_holds import end, held, wallet_of
from story_payments import PAID, at_stripe, refused
from story_wallet import ann, ask, done

__all__ = ["ann", "held"]


@pytest.fixture(scope="module")
def other_key(desk: Desk) -> str:
    """The API key that comes after the one in use."""
    return desk.command("keys", "create", "next", "--scope", "admin").stdout.split()[1]


def post(desk: Desk, path: str, body: dict[str, Any], key: str, api_key: str | None = None) -> httpx.Response:
    """A request under an idempotency key, with this API key."""
    return desk.call("POST", path, json=body, headers={"Idempotency-Key": key}, key=api_key)


def payments_of(desk: Desk, buyer: Buyer) -> list[dict[str, Any]]:
    whose = desk.sql("SELECT stripe_customer FROM customer WHERE id = $1", buyer.id)[0]["stripe_customer"]
    return at_stripe(desk, "payment_intents", customer=whose)


def refused_soon(desk: Desk, key: str, path: str = "/v1/status") -> None:
    """Wait until an API key is refused: for some seconds it is believed as it was looked up."""
    until(lambda: desk.call("GET", path, key=key).status_code == 401, what="a key's end")


def replays(again: httpx.Response, first: httpx.Response) -> bool:
    """Whether an answer is the first one once more."""
    return again.content == first.content and again.headers.get("Idempotent-Replayed") == "true"


def test_a_payment_and_its_refund_are_made_once_though_the_api_key_was_exchanged(desk: Desk, other_key: str) -> None:
    buyer, key = desk.buyer(), secrets.token_hex(8)
    body = {"customer": buyer.who, "amount": 2000, "currency": "usd", **PAID}
    first = post(desk, "/v1/payments", body, key)
    assert first.status_code == 201
    assert replays(post(desk, "/v1/payments", body, key, other_key), first)
    assert len(payments_of(desk, buyer)) == 1
    back = {"payment": first.json()["id"], "amount": 300}
    refund = post(desk, "/v1/refunds", back, f"{key}-back")
    assert replays(post(desk, "/v1/refunds", back, f"{key}-back", other_key), refund)
    assert [one["amount"] for one in at_stripe(desk, "refunds", payment_intent=back["payment"])] == [300]


def test_a_checkout_is_made_once_though_the_api_key_was_exchanged(desk: Desk, other_key: str) -> None:
    buyer, key = desk.buyer(), secrets.token_hex(8)
    body = {"customer": buyer.who, "items": [{"price": "credits-10"}]}
    first = post(desk, "/v1/checkouts", body, key)
    assert replays(post(desk, "/v1/checkouts", body, key, other_key), first)


def test_under_another_api_key_too_the_same_key_is_not_for_another_request(desk: Desk, other_key: str) -> None:
    buyer, key = desk.buyer(), secrets.token_hex(8)
    body = {"customer": buyer.who, "amount": 2000, "currency": "usd", **PAID}
    payment = post(desk, "/v1/payments", body, key).json()["id"]
    for path, other in (("/v1/payments", {**body, "amount": 2001}), ("/v1/refunds", {"payment": payment})):
        error = refused(post(desk, path, other, key, other_key), 409, "idempotency_mismatch")
        assert error["param"] == "Idempotency-Key"
    assert len(payments_of(desk, buyer)) == 1
    assert at_stripe(desk, "refunds", payment_intent=payment) == []


def test_the_same_key_of_two_people_is_two_keys(desk: Desk) -> None:
    key = secrets.token_hex(8)
    for buyer in (desk.buyer(), desk.buyer()):
        answer = post(desk, "/v1/payments", {"customer": buyer.who, "amount": 2000, "currency": "usd", **PAID}, key)
        assert answer.status_code == 201
        assert "Idempotent-Replayed" not in answer.headers
        assert len(payments_of(desk, buyer)) == 1


def test_a_key_goes_with_its_person_when_they_are_merged(desk: Desk) -> None:
    one, two, key = desk.buyer(), desk.buyer(), secrets.token_hex(8)
    bodies = [{"customer": buyer.who, "amount": 2000, "currency": "usd", **PAID} for buyer in (one, two)]
    first, other = (post(desk, "/v1/payments", body, key) for body in bodies)
    desk.post(f"/v1/customers/{one.id}/merge", {"customer": two.id})
    assert replays(post(desk, "/v1/payments", bodies[0], key), first)
    assert replays(post(desk, "/v1/payments", bodies[1], key), other)
    refused(post(desk, "/v1/payments", {**bodies[0], "amount": 2001}, key), 409, "idempotency_mismatch")


def test_a_repeat_of_a_change_shows_how_it_stands_and_changes_nothing(desk: Desk) -> None:
    ann = desk.post("/v1/customers", {})
    path = f"/v1/customers/{ann['id']}"
    wishes = [({"email": f"{one}@example.com"}, {"Idempotency-Key": secrets.token_hex(8)}) for one in ("old", "new")]
    for body, once in wishes:
        assert desk.call("PATCH", path, json=body, headers=once).json()["email"] == body["email"]
    again = desk.call("PATCH", path, json=wishes[0][0], headers=wishes[0][1])
    assert (again.status_code, again.json()["email"]) == (200, "new@example.com")
    assert again.headers["Idempotent-Replayed"] == "true"
    assert desk.get(path)["email"] == "new@example.com"
    body = {"email": "third@example.com"}
    refused(desk.call("PATCH", path, json=body, headers=wishes[0][1]), 409, "idempotency_mismatch")


def test_a_repeat_of_a_merge_merges_nobody_else(desk: Desk) -> None:
    ann, bob, key = desk.buyer(), desk.buyer(), secrets.token_hex(8)
    ann.say("/start")
    bob.say("/start")
    path, body = f"/v1/customers/{ann.id}/merge", {"customer": bob.who}
    first = post(desk, path, body, key).json()
    desk.call("DELETE", f"/v1/customers/{ann.id}/identities/web/{bob.external_id}")
    bob.say("/start")
    assert post(desk, path, body, key).json() == {**first, "identities": [ann.who]}
    assert bob.id != ann.id


def test_a_refused_request_leaves_its_key_free(desk: Desk) -> None:
    key, body = secrets.token_hex(8), {"customer": desk.buyer().who, "amount": 2000, "currency": "usd"}
    assert post(desk, "/v1/payments", {**body, **PAID, "payment_method": "pm_nothing"}, key).status_code == 400
    assert post(desk, "/v1/payments", {**body, **PAID}, key).status_code == 201


def test_what_is_asked_for_a_person_is_done_once_though_the_api_key_was_exchanged(desk: Desk, other_key: str) -> None:
    ann, bob, key = desk.buyer(), desk.buyer(), secrets.token_hex(8)
    order = ann.checkout("credits-10")
    bob.say("/start")
    asked: list[tuple[str, dict[str, Any]]] = [
        (f"/v1/orders/{order['id']}/cancel", {}),
        ("/v1/chat", {**ann.who, "text": "/buy credits-10"}),
        (f"/v1/customers/{ann.id}/claims", {}),
        (f"/v1/customers/{ann.id}/identities", {"channel": "app", "external_id": key}),
        (f"/v1/customers/{ann.id}/merge", {"customer": bob.id}),
    ]
    for number, (path, body) in enumerate(asked):
        first = post(desk, path, body, f"{key}-{number}")
        assert first.is_success, first.text
        assert replays(post(desk, path, body, f"{key}-{number}", other_key), first), path
    assert len(desk.sql("SELECT 1 FROM orders WHERE customer_id = $1", ann.id)) == 2


def test_a_subscription_is_changed_once_though_the_api_key_was_exchanged(desk: Desk, other_key: str) -> None:
    buyer, key = desk.buyer(), secrets.token_hex(8)
    buyer.buy("plus")
    path = f"/v1/subscriptions/{desk.get('/v1/subscriptions', customer=buyer.id)['data'][0]['id']}"
    for method, body in (("PATCH", {"cancel_at_period_end": True}), ("DELETE", None)):
        options: dict[str, Any] = {"json": body, "headers": {"Idempotency-Key": f"{key}-{method}"}}
        first = desk.call(method, path, **options)
        assert first.status_code == 200, first.text
        assert replays(desk.call(method, path, key=other_key, **options), first)
    refused(desk.call("PATCH", path, json={"pause": True}, headers={"Idempotency-Key": f"{key}-DELETE"}),
            409, "idempotency_mismatch")  # fmt: skip


# --- holds -----------------------------------------------------------------------------------------------------------


def ended(desk: Desk, hold: dict[str, Any], amount: int | None, key: str, api_key: str | None = None) -> httpx.Response:
    """Settle a hold, or release it without an amount, under a key."""
    path = f"/v1/holds/{hold['id']}/{'release' if amount is None else 'settle'}"
    return post(desk, path, {} if amount is None else {"amount": amount}, key, api_key)


@pytest.mark.parametrize("amount", [3, None])
def test_a_hold_is_ended_once_under_its_key_and_told_so_again(
    desk: Desk, ann: Buyer, held: dict[str, Any], amount: int | None, other_key: str
) -> None:
    first = ended(desk, held, amount, "end")
    assert "Idempotent-Replayed" not in first.headers
    done(ask(ann, "spend", {"amount": 1}))
    assert replays(ended(desk, held, amount, "end", other_key), first)
    assert wallet_of(ann) == (9 - (amount or 0), 0, 0)


@pytest.mark.parametrize(("first", "then"), [(3, 2), (3, None), (None, 3), (0, 1)])
def test_the_key_of_an_end_is_for_no_other_end(
    desk: Desk, ann: Buyer, held: dict[str, Any], first: int | None, then: int | None
) -> None:
    done(ended(desk, held, first, "end"))
    before = wallet_of(ann)
    error = refused(ended(desk, held, then, "end"), 409, "idempotency_mismatch")
    assert error["param"] == "Idempotency-Key"
    assert wallet_of(ann) == before


def test_the_key_of_one_hold_ends_no_other_and_a_spends_key_ends_none(
    desk: Desk, ann: Buyer, held: dict[str, Any]
) -> None:
    second = done(ask(ann, "hold", {"amount": 5}, "second"))
    done(ask(ann, "spend", {"amount": 1}, "spend"))
    done(ended(desk, held, 3, "end"))
    for key in ("end", "second", "spend"):
        refused(ended(desk, second, 3, key), 409, "idempotency_mismatch")
    assert desk.get(f"/v1/holds/{second['id']}")["status"] == "held"
    done(ended(desk, second, 3, "another"))


@pytest.mark.parametrize("amount", [3, None], ids=["settled", "released"])
def test_the_key_of_an_end_spends_holds_and_gives_nothing(
    ann: Buyer, desk: Desk, held: dict[str, Any], amount: int | None
) -> None:
    done(ended(desk, held, amount, "end"))
    done(ask(ann, "spend", {"amount": 1}))  # from now on her purse is known, and a spend takes the short way
    before = wallet_of(ann)
    for what in ("spend", "hold", "grant"):
        refused(ask(ann, what, {"amount": 1}, "end"), 409, "idempotency_mismatch")
    assert wallet_of(ann) == before


@pytest.mark.parametrize("what", ["spend", "hold", "grant"])
def test_the_key_of_a_payment_moves_no_credits_and_the_reverse(desk: Desk, ann: Buyer, what: str) -> None:
    done(ask(ann, "grant", {"amount": 10}))
    done(ask(ann, "spend", {"amount": 1}))
    body = {"customer": ann.who, "amount": 2000, "currency": "usd", **PAID}
    assert post(desk, "/v1/payments", body, f"pay-{what}").status_code == 201
    refused(ask(ann, what, {"amount": 1}, f"pay-{what}"), 409, "idempotency_mismatch")
    done(ask(ann, what, {"amount": 1}, f"move-{what}"))
    refused(post(desk, "/v1/payments", body, f"move-{what}"), 409, "idempotency_mismatch")
    assert len(payments_of(desk, ann)) == 1


def test_the_key_of_an_end_is_none_for_a_payment(desk: Desk, ann: Buyer, held: dict[str, Any]) -> None:
    done(ended(desk, held, 3, "end"))
    body = {"customer": ann.who, "amount": 2000, "currency": "usd", **PAID}
    refused(post(desk, "/v1/payments", body, "end"), 409, "idempotency_mismatch")


def test_a_refused_end_leaves_its_key_free(desk: Desk, ann: Buyer, held: dict[str, Any]) -> None:
    refused(ended(desk, held, 5, "end"), 400, "invalid_request")
    assert done(ended(desk, held, 4, "end"))["used"] == 4


def test_settling_nothing_releases(desk: Desk, ann: Buyer, held: dict[str, Any]) -> None:
    first = done(end(desk, held, "settle", 0))
    assert (first["status"], first["used"], first["balance"]) == ("released", 0, 10)
    assert wallet_of(ann) == (10, 0, 0)
    for again in (end(desk, held, "settle", 0), end(desk, held, "release")):
        assert done(again) == first
        assert again.headers["Idempotent-Replayed"] == "true"


# --- API keys that end ---------------------------------------------------------------------------------------------------


def test_a_key_is_changed_for_its_successor_while_both_work(desk: Desk) -> None:
    old = desk.post("/v1/keys", {"name": "bot", "scopes": ["sell", "read"], "rate_per_s": 7})
    path, once = f"/v1/keys/{old['id']}/rotate", {"Idempotency-Key": secrets.token_hex(8)}
    first = desk.call("POST", path, json={"overlap_s": 2}, headers=once)
    new = first.json()
    same = ("kind", "name", "scopes", "rate_per_s")
    assert [new[name] for name in same] == [old[name] for name in same]
    assert (new["status"], new["expires_at"], desk.get(f"/v1/keys/{old['id']}")["rotated_to"]) == (
        "valid",
        None,
        new["id"],
    )
    assert new["key"].startswith(new["prefix"])
    assert new["key"] != old["key"]
    assert [desk.call("GET", "/v1/status", key=one["key"]).status_code for one in (old, new)] == [200, 200]
    refused_soon(desk, old["key"])
    assert desk.get(f"/v1/keys/{old['id']}")["status"] == "expired"
    again = desk.call("POST", path, json={"overlap_s": 2}, headers=once).json()
    assert {**again, "last_used_at": None} == new
    refused(desk.call("POST", path, json={}), 409, "conflict")
    assert desk.call("GET", "/v1/status", key=new["key"]).status_code == 200


def test_what_is_about_nobody_is_done_once_though_the_api_key_was_rotated(desk: Desk) -> None:
    keys = [desk.post("/v1/keys", {"name": "agent", "scopes": ["sell"]})]
    key = secrets.token_hex(8)
    pay = {"amount": 20, "currency": "usd"}
    asked = [
        ("/v1/customers", {"email": "ann@example.com"}),
        ("/payments/intent/create", {**pay, "description": key}),
        ("/payments/checkout/create", {"items": [{"name": key, "amount": 20}], "customer_email": "ann@example.com"}),
    ]
    first = [post(desk, path, body, f"{key}{path}", keys[0]["key"]) for path, body in asked]
    for _ in range(2):
        keys.append(desk.post(f"/v1/keys/{keys[-1]['id']}/rotate", {}))
    for one in (keys[2], keys[1], keys[0]):
        for (path, body), made in zip(asked, first, strict=True):
            again = post(desk, path, body, f"{key}{path}", one["key"])
            assert again.is_success
            assert again.json() == made.json()
            assert again.headers["Idempotent-Replayed"] == "true"
    refused(post(desk, "/v1/customers", {}, f"{key}/v1/customers", keys[2]["key"]), 409, "idempotency_mismatch")
    later = [post(desk, "/v1/customers", {}, key, one["key"]).json()["id"] for one in (keys[2], keys[0])]
    assert later[0] == later[1], "nor is it done again by who comes with the older key"
    stranger = desk.post("/v1/keys", {"name": "agent", "scopes": ["sell"]})["key"]
    assert post(desk, "/v1/customers", {}, key, stranger).json()["id"] not in later


def test_a_key_is_shown_once_and_made_once(desk: Desk) -> None:
    once = {"Idempotency-Key": secrets.token_hex(8)}
    body = {"name": "made-once", "scopes": ["read"]}
    first, again = (desk.call("POST", "/v1/keys", json=body, headers=once).json() for _ in range(2))
    assert first == again
    listed = [one for one in desk.get("/v1/keys", limit=100)["data"] if one["name"] == "made-once"]
    assert [one["id"] for one in listed] == [first["id"]]
    assert first["key"] not in str(listed) + str(desk.sql("SELECT * FROM api_key, idempotency_key"))
    assert first["key"].startswith(listed[0]["prefix"])
    page = desk.get("/v1/keys", limit=1)
    assert page["has_more"] is True
    older = desk.get("/v1/keys", limit=1, starting_after=page["data"][0]["id"])["data"]
    assert older != page["data"]
    assert desk.get("/v1/keys", ending_before=older[0]["id"])["data"] == page["data"]
    assert desk.get("/v1/keys", **{"from": "2000-01-01", "to": "2000-01-02"}) == {"data": [], "has_more": False}


@pytest.mark.parametrize(
    ("body", "param"),
    [
        ({"name": "x"}, "scopes"),
        ({"name": "x", "scopes": ["all"]}, "scopes.0"),
        ({"name": "x", "kind": "publishable", "scopes": ["read"]}, "scopes"),
        ({"name": " ", "scopes": ["read"]}, "name"),
        ({"name": "x", "scopes": ["read"], "rate_per_s": 0}, "rate_per_s"),
        ({"name": "x", "scopes": ["read"], "expires_in_s": 0}, "expires_in_s"),
        ({"name": "x", "scopes": ["read"], "colour": "red"}, "colour"),
    ],
)
def test_a_wish_for_a_key_that_cannot_be_granted_is_named(desk: Desk, body: dict[str, Any], param: str) -> None:
    answer = desk.call("POST", "/v1/keys", json=body)
    assert answer.status_code in (400, 422), answer.text
    assert answer.json()["error"]["param"] == param


# --- what is not there -----------------------------------------------------------------------------------------------


def test_a_unit_that_nobody_knows_is_named_and_one_that_is_only_sold_is_empty(desk: Desk, ann: Buyer) -> None:
    path = f"/v1/customers/{ann.id}/credits"
    assert refused(desk.call("GET", path, params={"unit": "tockens"}), 400, "invalid_request")["param"] == "unit"
    assert desk.get(path, unit="tokens")["balance"] == 0
