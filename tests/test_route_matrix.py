"""Every route with every kind of key: who is let in, who is not, and what is somebody else's is not there.

The routes are those that the running application describes: one that has no line here fails the test.
"""

from __future__ import annotations

import secrets
from collections.abc import Iterator
from dataclasses import dataclass
from typing import Any

import httpx
import pytest

from desk import Buyer, Desk
from paydesk.keys import SCOPES
from paydesk.service import Service
from paydesk.web.application import build
from sandbox_fixtures import until

SERVER, BUYER, ANYBODY = "server", "buyer", "anybody"
ANY_SCOPE = "any"
ROUTES = {
    "GET /v1/products": ("read", ANYBODY),
    "GET /v1/config": ("read", ANYBODY),
    "POST /v1/customers": ("sell", SERVER),
    "GET /v1/customers": ("read", SERVER),
    "GET /v1/products/{product}": ("read", ANYBODY),
    "GET /v1/customers/{customer}": ("read", BUYER),
    "PATCH /v1/customers/{customer}": ("sell", SERVER),
    "GET /v1/customers/{customer}/access": ("read", BUYER),
    "GET /v1/customers/{customer}/credits": ("read", BUYER),
    "POST /v1/customers/{customer}/credits/spend": ("spend", SERVER),
    "POST /v1/customers/{customer}/credits/grant": ("admin", SERVER),
    "POST /v1/customers/{customer}/credits/hold": ("spend", SERVER),
    "GET /v1/customers/{customer}/ledger": ("read", SERVER),
    "GET /v1/customers/{customer}/timeline": ("read", SERVER),
    "POST /v1/customers/{customer}/merge": ("admin", SERVER),
    "POST /v1/customers/{customer}/topup": ("sell", SERVER),
    "GET /v1/customers/{customer}/topup": ("read", SERVER),
    "DELETE /v1/customers/{customer}/topup": ("sell", SERVER),
    "POST /v1/customers/{customer}/claims": ("spend", BUYER),
    "GET /v1/customers/{customer}/memberships": ("read", SERVER),
    "POST /v1/customers/{customer}/memberships/sync": ("sell", SERVER),
    "POST /v1/customers/{customer}/identities": ("sell", SERVER),
    "DELETE /v1/customers/{customer}/identities/{channel}/{external_id}": ("admin", SERVER),
    "POST /v1/customer_sessions": ("sell", SERVER),
    "POST /v1/checkouts": ("sell", BUYER),
    "GET /v1/orders": ("read", SERVER),
    "GET /v1/orders/{order}": ("read", BUYER),
    "POST /v1/orders/{order}/cancel": ("sell", SERVER),
    "POST /v1/payments": ("sell", BUYER),
    "GET /v1/payments": ("read", SERVER),
    "GET /v1/payments/{payment}": ("read", BUYER),
    "POST /v1/payments/{payment}/cancel": ("sell", SERVER),
    "POST /v1/payments/{payment}/capture": ("sell", SERVER),
    "POST /v1/refunds": ("refund", SERVER),
    "GET /v1/refunds": ("read", SERVER),
    "GET /v1/refunds/{refund}": ("read", SERVER),
    "POST /v1/subscriptions": ("sell", BUYER),
    "GET /v1/subscriptions": ("read", BUYER),
    "GET /v1/subscriptions/{subscription}": ("read", BUYER),
    "PATCH /v1/subscriptions/{subscription}": ("sell", BUYER),
    "DELETE /v1/subscriptions/{subscription}": ("sell", SERVER),
    "POST /v1/portal": ("sell", BUYER),
    "GET /v1/disputes": ("read", SERVER),
    "GET /v1/disputes/{dispute}": ("read", SERVER),
    "GET /v1/holds": ("read", SERVER),
    "GET /v1/holds/{hold}": ("read", SERVER),
    "POST /v1/holds/{hold}/settle": ("spend", SERVER),
    "POST /v1/holds/{hold}/release": ("spend", SERVER),
    "GET /v1/events": ("read", SERVER),
    "GET /v1/events/{event}": ("read", SERVER),
    "POST /v1/events/{event}/replay": ("admin", SERVER),
    "GET /v1/deliveries": ("read", SERVER),
    "GET /v1/deliveries/{delivery}": ("read", SERVER),
    "POST /v1/deliveries/{delivery}/retry": ("admin", SERVER),
    "GET /v1/status": ("read", SERVER),
    "POST /v1/chat": ("sell", SERVER),
    "GET /v1/chat/messages": ("read", SERVER),
    "POST /v1/webhook_endpoints": ("admin", SERVER),
    "GET /v1/webhook_endpoints": ("admin", SERVER),
    "GET /v1/webhook_endpoints/{endpoint}": ("admin", SERVER),
    "PATCH /v1/webhook_endpoints/{endpoint}": ("admin", SERVER),
    "DELETE /v1/webhook_endpoints/{endpoint}": ("admin", SERVER),
    "POST /v1/webhook_endpoints/{endpoint}/enable": ("admin", SERVER),
    "POST /v1/webhook_endpoints/{endpoint}/rotate": ("admin", SERVER),
    "POST /v1/keys": ("admin", SERVER),
    "GET /v1/keys": ("admin", SERVER),
    "GET /v1/agent": (ANY_SCOPE, SERVER),
    "POST /v1/refund_requests": ("sell", SERVER),
    "GET /v1/refund_requests": ("read", SERVER),
    "GET /v1/refund_requests/{refund_request}": ("read", SERVER),
    "GET /v1/stats": ("read", SERVER),
    "GET /v1/keys/{key}": ("admin", SERVER),
    "POST /v1/keys/{key}/rotate": ("admin", SERVER),
    "POST /v1/keys/{key}/revoke": ("admin", SERVER),
}
"""Each route: the scope that a secret key needs, and who else may."""

WHOSE = "{customer}"
SENT: dict[str, dict[str, Any]] = {
    "GET /v1/customers/{customer}/access": {"feature": "premium"},
    "POST /v1/checkouts": {"customer": WHOSE, "items": [{"price": "credits-10"}]},
    "POST /v1/payments": {"customer": WHOSE, "items": [{"price": "credits-10"}]},
    "POST /v1/subscriptions": {"customer": WHOSE, "price": "plus"},
    "GET /v1/subscriptions": {"customer": WHOSE},
    "PATCH /v1/subscriptions/{subscription}": {"cancel_at_period_end": True},
    "POST /v1/portal": {"customer": WHOSE},
}
"""What is sent to the routes that let buyers in, as query or body. All others are sent nothing, about nothing that there is."""


@dataclass
class Matrix:
    """A desk with one key of each kind, and somebody who has something of everything."""

    http: httpx.Client
    keys: dict[str, str]
    own: dict[str, str]
    tokens: dict[str, str]
    unknown: dict[str, str]
    cases: int = 0

    def ask(self, route: str, key: str | None, whose: dict[str, str], token: str | None = None) -> httpx.Response:
        """Take a route with a key, about what has these ids; what it needs beyond them is not there."""
        method, path = route.split()
        for name in (part[1:-1] for part in path.split("/") if part.startswith("{")):
            path = path.replace("{" + name + "}", whose.get(name, "nothing"))
        headers = {} if key is None else {"Authorization": f"Bearer {key}"}
        if token is not None:
            headers["Paydesk-Customer"] = self.tokens[token]
        sent = {name: whose["customer"] if value == WHOSE else value for name, value in SENT.get(route, {}).items()}
        place = {"GET": "params", "POST": "json", "PATCH": "json"}.get(method)
        options: dict[str, Any] = {} if place is None else {place: sent}
        self.cases += 1
        return self.http.request(method, path, headers=headers, **options)


def made_key(desk: Desk, **wish: Any) -> dict[str, Any]:
    return desk.post("/v1/keys", {"name": "matrix", "rate_per_s": 5000, **wish})


def something_of_everything(desk: Desk, buyer: Buyer) -> dict[str, str]:
    """A person's ids: themselves, an order, a payment, a subscription."""
    buyer.buy("plus")
    order = buyer.checkout("credits-10")["id"]
    payment = desk.post("/v1/payments", {"customer": buyer.who, "items": [{"price": "credits-10"}]})["id"]
    subscription = desk.get("/v1/subscriptions", customer=buyer.id)["data"][0]["id"]
    return {
        "customer": buyer.id,
        "order": order,
        "payment": payment,
        "subscription": subscription,
        "product": "plus",
    }


@pytest.fixture(scope="module")
def matrix(desk: Desk) -> Iterator[Matrix]:
    keys = {scope: made_key(desk, scopes=[scope])["key"] for scope in SCOPES}
    keys["publishable"] = made_key(desk, kind="publishable")["key"]
    keys["unknown"] = f"pdk_{secrets.token_hex(32)}"
    keys["expired"] = made_key(desk, scopes=["admin"], expires_in_s=1)["key"]
    revoked = made_key(desk, scopes=["admin"])
    desk.post(f"/v1/keys/{revoked['id']}/revoke", {})
    keys["revoked"] = revoked["key"]
    ann, bob = desk.buyer(), desk.buyer()
    own = something_of_everything(desk, ann)
    tokens = {
        "own": desk.post("/v1/customer_sessions", {"customer": ann.id})["token"],
        "foreign": desk.post("/v1/customer_sessions", {"customer": bob.who})["token"],
    }
    unknown = {
        "customer": "cst_" + "0" * 26,
        "order": "ord_" + "0" * 26,
        "payment": "pi_nothing",
        "subscription": "sub_no",
    }
    with httpx.Client(base_url=desk.url, timeout=30) as http:
        whole = Matrix(http, keys, own, tokens, unknown)
        until(lambda: whole.ask("GET /v1/status", keys["expired"], {}).status_code == 401, what="a key's end")
        whole.cases = 0
        yield whole
        print(f"\n{whole.cases} cases of {len(ROUTES)} routes")  # noqa: T201


def code_of(answer: httpx.Response) -> tuple[int, str | None]:
    return answer.status_code, answer.json().get("error", {}).get("code")


async def test_every_route_has_its_line(service: Service) -> None:
    app = build(service)
    described = {f"{method.upper()} {path}" for path, calls in app.openapi()["paths"].items() for method in calls}
    assert {route for route in described if " /v1/" in route} == set(ROUTES)
    hidden = {getattr(route, "path", "") for route in app.routes if not getattr(route, "include_in_schema", True)}
    assert not [path for path in hidden if path.startswith("/v1")]


@pytest.mark.parametrize("route", ROUTES)
def test_a_route_lets_in_the_scope_it_names_and_no_other(matrix: Matrix, route: str) -> None:
    scope, others = ROUTES[route]
    for key in (None, "unknown", "expired", "revoked"):
        answer = matrix.ask(route, key and matrix.keys[key], matrix.own)
        assert code_of(answer) == (401, "unauthorized"), key
    whose = {} if others == SERVER else matrix.own
    full = matrix.ask(route, matrix.keys["admin"], whose)
    assert full.status_code < 500, full.text
    assert full.status_code not in (401, 403), full.text
    for one in SCOPES[:-1]:
        answer = matrix.ask(route, matrix.keys[one], whose)
        if scope in (one, ANY_SCOPE):
            assert answer.status_code == full.status_code, answer.text
        else:
            assert code_of(answer) == (403, "forbidden"), one


@pytest.mark.parametrize("route", ROUTES)
def test_a_page_gets_no_further_than_its_buyer(matrix: Matrix, route: str) -> None:
    others, key = ROUTES[route][1], matrix.keys["publishable"]
    alone = matrix.ask(route, key, matrix.own)
    if others == ANYBODY:
        assert alone.status_code == 200, alone.text
        return
    assert code_of(alone) == (403, "forbidden" if others == SERVER else "buyer_required")
    own = matrix.ask(route, key, matrix.own, "own")
    if others == SERVER:
        assert code_of(own) == (403, "forbidden")
        assert code_of(matrix.ask(route, key, matrix.own, "foreign")) == (403, "forbidden")
        return
    assert own.status_code == matrix.ask(route, matrix.keys["admin"], matrix.own).status_code, own.text
    foreign, nobodys = (matrix.ask(route, key, whose, "foreign") for whose in (matrix.own, matrix.unknown))
    assert shape_of(foreign, matrix.own) == shape_of(nobodys, matrix.unknown)
    assert foreign.status_code == 404


def shape_of(answer: httpx.Response, whose: dict[str, str]) -> tuple[int, dict[str, Any], set[str]]:
    """An answer without what differs from call to call."""
    error = dict(answer.json()["error"])
    error.pop("request_id")
    for name, id_ in whose.items():
        error["message"] = error["message"].replace(id_, name)
    return answer.status_code, error, set(answer.headers)


def test_a_secret_key_takes_no_buyer_along(matrix: Matrix) -> None:
    for route in ("GET /v1/products", "GET /v1/customers/{customer}/access"):
        assert code_of(matrix.ask(route, matrix.keys["admin"], matrix.own, "own")) == (400, "invalid_request")
