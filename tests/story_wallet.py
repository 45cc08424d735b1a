"""Credits through HTTP: spent, given, listed; each request once by its key, and what is refused changes nothing."""

from __future__ import annotations

import json
import secrets
from collections.abc import Callable
from datetime import UTC, datetime, timedelta
from typing import Any

import httpx
import pytest

from conftest import settings_for
from desk import Buyer, Desk, running_desk
from sandbox_fixtures import running_sandbox, until
from story_time import advance
from test_api import error_of


@pytest.fixture
def ann(desk: Desk) -> Buyer:
    """Somebody who has spoken, and has nothing."""
    buyer = desk.buyer()
    buyer.say("/start")
    return buyer


def ask(buyer: Buyer, what: str, body: dict[str, Any], key: str | None = None) -> httpx.Response:
    """Spend, grant or hold, under an idempotency key if there is one."""
    headers = {} if key is None else {"Idempotency-Key": key}
    return buyer.desk.call("POST", f"/v1/customers/{buyer.id}/credits/{what}", json=body, headers=headers)


def done(answer: httpx.Response) -> dict[str, Any]:
    """What was answered; the test fails when it was refused."""
    assert answer.status_code == 200, answer.text
    return dict(answer.json())


def now_at(desk: Desk) -> datetime:
    """What time it is for a desk: its sandbox may be ahead."""
    offset_s: int = desk.sql("SELECT clock_offset_s FROM desk")[0]["clock_offset_s"]
    return datetime.now(UTC) + timedelta(seconds=offset_s)


def near(text: str, moment: datetime) -> bool:
    """Whether a time in an answer is this one, give or take what a request takes."""
    return abs(datetime.fromisoformat(text) - moment) < timedelta(seconds=30)


def test_what_is_given_can_be_spent_and_every_answer_says_what_is_left(ann: Buyer) -> None:
    given = done(ask(ann, "grant", {"amount": 10, "reason": "welcome"}))
    assert given["id"].startswith("opr_")
    assert near(given.pop("created_at"), now_at(ann.desk))
    assert given == {
        "id": given["id"], "object": "credit_operation", "type": "grant", "customer": ann.id, "unit": "credits",
        "amount": 10, "balance": 10, "reason": "welcome", "expires_at": None,
    }  # fmt: skip
    spent = done(ask(ann, "spend", {"amount": 3, "reason": "an answer"}))
    assert near(spent.pop("created_at"), now_at(ann.desk))
    assert spent == {
        "id": spent["id"], "object": "credit_operation", "type": "spend", "customer": ann.id, "unit": "credits",
        "amount": 3, "balance": 7, "reason": "an answer",
    }  # fmt: skip
    assert spent["id"] != given["id"]
    assert ann.balance() == 7


def test_what_was_bought_is_spent_soonest_ending_first_and_free_before_paid(ann: Buyer) -> None:
    ann.buy("credits-50")  # ends in 30 days
    ann.buy("credits-10")
    done(ask(ann, "grant", {"amount": 5}))
    done(ask(ann, "grant", {"amount": 5, "expires_days": 7}))
    assert done(ask(ann, "spend", {"amount": 57}))["balance"] == 13
    lots = ann.desk.get(f"/v1/customers/{ann.id}/credits")["lots"]
    assert [(lot["remaining"], lot["source"].split(":")[0] == "op") for lot in lots] == [(3, True), (10, False)]


def test_units_are_apart(ann: Buyer) -> None:
    done(ask(ann, "grant", {"amount": 10}))
    assert done(ask(ann, "grant", {"amount": 500, "unit": "tokens"}))["balance"] == 500
    assert done(ask(ann, "spend", {"amount": 400, "unit": "tokens"}))["balance"] == 100
    error_of(ask(ann, "spend", {"amount": 11}), 402, "insufficient_credits")
    assert (ann.balance(), ann.balance("tokens")) == (10, 100)


def test_more_than_there_is_is_402_and_nothing_has_changed(ann: Buyer) -> None:
    done(ask(ann, "grant", {"amount": 2}))
    before = ann.desk.get(f"/v1/customers/{ann.id}/ledger")
    error = error_of(ask(ann, "spend", {"amount": 3}), 402, "insufficient_credits")
    assert error["param"] == "amount"
    assert "3 credits are asked for, 2 can be spent" in error["message"]
    error_of(ask(ann, "hold", {"amount": 3}), 402, "insufficient_credits")
    assert ann.balance() == 2
    assert ann.desk.get(f"/v1/customers/{ann.id}/ledger") == before
    assert done(ask(ann, "spend", {"amount": 2}))["balance"] == 0


# --- once ------------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize("what", ["spend", "grant", "hold"])
def test_a_repeat_gets_the_first_answer_and_changes_nothing(ann: Buyer, what: str) -> None:
    done(ask(ann, "grant", {"amount": 10}))
    body = {"amount": 4, "reason": "once"}
    key = secrets.token_hex(8)
    first = ask(ann, what, body, key)
    done(ask(ann, "spend", {"amount": 1}))
    again = ask(ann, what, {**body, "unit": "credits"}, key)
    assert done(again) == done(first)
    assert "Idempotent-Replayed" not in first.headers
    assert again.headers["Idempotent-Replayed"] == "true"
    assert ann.balance() == {"spend": 5, "grant": 13, "hold": 5}[what]
    rows = ann.desk.sql("SELECT FROM idempotency_key WHERE key = $1", key)
    assert rows == [], "the ledger itself remembers"


OTHERS = [
    ("spend", {"amount": 2}, "spend", {"amount": 3}),
    ("spend", {"amount": 2}, "spend", {"amount": 2, "reason": "else"}),
    ("spend", {"amount": 2}, "spend", {"amount": 2, "unit": "tokens"}),
    ("spend", {"amount": 2}, "grant", {"amount": 2}),
    ("spend", {"amount": 2}, "hold", {"amount": 2}),
    ("grant", {"amount": 2}, "grant", {"amount": 2, "expires_days": 1}),
    ("grant", {"amount": 2, "expires_days": 1}, "grant", {"amount": 2, "expires_days": 2}),
    ("grant", {"amount": 2, "expires_at": "2090-01-01T00:00:00Z"}, "grant", {"amount": 2, "expires_at": "2090-01-01T00:00:01Z"}),
    ("hold", {"amount": 2}, "hold", {"amount": 2, "lasts_s": 60}),
    ("hold", {"amount": 2}, "spend", {"amount": 2}),
    ("grant", {"amount": 2}, "spend", {"amount": 2}),
    ("grant", {"amount": 2}, "hold", {"amount": 2}),
]  # fmt: skip


@pytest.mark.parametrize(("what", "body", "then", "other"), OTHERS)
def test_the_same_key_for_another_request_is_refused(
    ann: Buyer, what: str, body: dict[str, Any], then: str, other: dict[str, Any]
) -> None:
    done(ask(ann, "grant", {"amount": 5}))
    done(ask(ann, "grant", {"amount": 5, "unit": "tokens"}))
    first = done(ask(ann, what, body, "one"))
    before = ann.balance()
    error = error_of(ask(ann, then, other, "one"), 409, "idempotency_mismatch")
    assert error["param"] == "Idempotency-Key"
    assert ann.balance() == before
    assert done(ask(ann, what, body, "one")) == first, "the refused request took nothing from the first"


def test_keys_of_one_customer_are_not_anothers(desk: Desk, ann: Buyer) -> None:
    other = desk.buyer()
    other.say("/start")
    for buyer in (ann, other):
        assert done(ask(buyer, "grant", {"amount": 5}, "welcome"))["balance"] == 5
    assert "Idempotent-Replayed" in ask(ann, "grant", {"amount": 5}, "welcome").headers


def test_without_a_key_each_request_counts(ann: Buyer) -> None:
    first, second = (done(ask(ann, "grant", {"amount": 5})) for _ in range(2))
    assert first["id"] != second["id"]
    assert ann.balance() == 10


def test_a_402_does_not_outlive_the_top_up(ann: Buyer) -> None:
    error_of(ask(ann, "spend", {"amount": 5}, "wish"), 402, "insufficient_credits")
    done(ask(ann, "grant", {"amount": 5}))
    answer = ask(ann, "spend", {"amount": 5}, "wish")
    assert done(answer)["balance"] == 0
    assert "Idempotent-Replayed" not in answer.headers


def test_a_key_holds_although_the_gift_it_made_has_ended(timed: Desk) -> None:
    buyer = timed.buyer()
    buyer.say("/start")
    end = now_at(timed) + timedelta(hours=30)
    by_days, by_time = {"amount": 5, "expires_days": 1}, {"amount": 5, "expires_at": end.isoformat()}
    first = [done(ask(buyer, "grant", body, key)) for body, key in ((by_days, "d"), (by_time, "t"))]
    advance(timed, "31h")
    assert [done(ask(buyer, "grant", body, key)) for body, key in ((by_days, "d"), (by_time, "t"))] == first
    error_of(ask(buyer, "grant", {"amount": 5, "expires_at": end.isoformat()}), 400, "invalid_request")


# --- time and debt ---------------------------------------------------------------------------------------------------


def test_t38_what_has_ended_cannot_be_spent_before_any_sweep(new_database: Callable[[], str]) -> None:
    with (
        running_sandbox() as sandbox,
        running_desk(settings_for(new_database(), sandbox.url), sandbox, "--no-work", webhooks=False) as desk,
    ):
        buyer = desk.buyer()
        buyer.say("/start")
        given = done(ask(buyer, "grant", {"amount": 5, "expires_days": 1}))
        assert near(given["expires_at"], now_at(desk) + timedelta(days=1))
        done(ask(buyer, "grant", {"amount": 2}))
        done(ask(buyer, "spend", {"amount": 1}))
        advance(desk, "24h")
        error = error_of(ask(buyer, "spend", {"amount": 3}), 402, "insufficient_credits")
        assert "2 can be spent" in error["message"]
        assert buyer.balance() == 2
        assert done(ask(buyer, "spend", {"amount": 2}))["balance"] == 0
        swept = desk.sql("SELECT FROM lot WHERE expired > 0")
        assert swept == [], "nobody has swept"


def test_ended_credits_are_swept_and_the_ledger_says_so(timed: Desk) -> None:
    buyer = timed.buyer()
    buyer.say("/start")
    done(ask(buyer, "grant", {"amount": 5, "expires_days": 1, "reason": "a day"}))
    advance(timed, "25h")
    until(lambda: ledger(buyer)[0]["type"] == "expired", what="the sweep")
    entry = ledger(buyer)[0]
    assert (entry["amount"], entry["from"], entry["to"]) == (5, "wallet", "expired")
    assert timed.get(f"/v1/customers/{buyer.id}/credits")["lots"] == []


def test_who_gave_what_is_audited_once(ann: Buyer) -> None:
    for _ in range(2):
        done(ask(ann, "grant", {"amount": 3, "reason": "sorry"}, "gift"))
    done(ask(ann, "spend", {"amount": 1}))
    audited = ann.desk.sql("SELECT actor, action, detail::text AS detail FROM audit WHERE subject = $1", ann.id)
    assert [(row["actor"], row["action"]) for row in audited] == [("key_env", "credits.grant")]
    assert json.loads(audited[0]["detail"]) == {
        "amount": 3, "unit": "credits", "reason": "sorry", "operation": f"op:{ann.id}:gift",
    }  # fmt: skip


def test_t38_a_debt_is_paid_by_the_next_grant(ann: Buyer) -> None:
    order = ann.buy("credits-10")
    done(ask(ann, "spend", {"amount": 8}))
    refund_at_stripe(ann.desk, order)
    until(lambda: ann.desk.get(f"/v1/customers/{ann.id}/credits")["debt"] == 8, what="the debt")
    assert ann.balance() == 0
    error_of(ask(ann, "spend", {"amount": 1}), 402, "insufficient_credits")
    assert done(ask(ann, "grant", {"amount": 3}, "first"))["balance"] == 0
    assert done(ask(ann, "grant", {"amount": 3}, "first"))["balance"] == 0
    assert done(ask(ann, "grant", {"amount": 9}))["balance"] == 4
    wallet = ann.desk.get(f"/v1/customers/{ann.id}/credits")
    assert (wallet["balance"], wallet["debt"]) == (4, 0)
    assert done(ask(ann, "spend", {"amount": 4}))["balance"] == 0


def refund_at_stripe(desk: Desk, order: dict[str, Any]) -> None:
    """Refund an order in full, as somebody does in the dashboard."""
    intent = desk.at_stripe("GET", f"/v1/checkout/sessions/{order['session']}").json()["payment_intent"]
    answer = desk.at_stripe("POST", "/v1/refunds", {"payment_intent": intent})
    assert answer.status_code == 200, answer.text


# --- the ledger ------------------------------------------------------------------------------------------------------


def ledger(buyer: Buyer, **params: Any) -> list[dict[str, Any]]:
    """A person's entries, newest first."""
    return list(buyer.desk.get(f"/v1/customers/{buyer.id}/ledger", **params)["data"])


def test_the_ledger_lists_what_was_posted_newest_first(ann: Buyer) -> None:
    ann.buy("credits-10")
    done(ask(ann, "spend", {"amount": 4, "reason": "an answer"}, "k1"))
    spent, bought = ledger(ann, unit="credits")
    assert spent.pop("id").isdigit()
    assert near(spent.pop("created_at"), now_at(ann.desk))
    assert spent == {
        "object": "ledger_entry", "type": "spend", "customer": ann.id, "unit": "credits", "currency": None, "amount": 4,
        "from": "wallet", "to": "spent", "balance": 6, "source": f"op:{ann.id}:k1", "reason": "an answer",
    }  # fmt: skip
    assert (bought["type"], bought["amount"], bought["from"], bought["to"]) == ("grant", 10, "sold", "wallet")
    money = next(entry for entry in ledger(ann) if entry["type"] == "payment")
    assert (money["unit"], money["currency"], money["amount"]) == (None, "usd", 999)


def test_the_ledger_is_read_page_by_page(ann: Buyer) -> None:
    done(ask(ann, "grant", {"amount": 100}))
    for amount in range(1, 8):
        done(ask(ann, "spend", {"amount": amount}))
    path, seen, cursor = f"/v1/customers/{ann.id}/ledger", [], {}
    for has_more in (True, True, False):
        page = ann.desk.get(path, limit=3, **cursor)
        assert page["has_more"] is has_more
        seen += [entry["amount"] for entry in page["data"]]
        cursor = {"starting_after": page["data"][-1]["id"]}
    assert seen == [7, 6, 5, 4, 3, 2, 1, 100]
    refused = ann.desk.call("GET", path, params={"starting_after": "yesterday"})
    assert error_of(refused, 400, "invalid_request")["param"] == "starting_after"


def test_a_ledger_is_its_customers_alone(desk: Desk, ann: Buyer) -> None:
    done(ask(ann, "grant", {"amount": 1}))
    other = desk.buyer()
    other.say("/start")
    assert ledger(other) == []
    error_of(desk.call("GET", "/v1/customers/cst_nobody/ledger"), 404, "not_found")
