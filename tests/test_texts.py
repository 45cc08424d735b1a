"""What Paydesk says: templates filled with whatever people and banks call things, and nothing of it is executed."""

from __future__ import annotations

from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from paydesk.chat import texts
from paydesk.chat.texts import Texts
from paydesk.telemetry import redact

EVIL = ["{u.__class__}", "{amount}", "{0}", "{", "}", "{{", "%s %(amount)s", "<script>alert(1)</script>", "*_`[x](http://y)",
        "/cancel", "x" * 5000, "\u202eevil", "${7*7}", "{{7*7}}", "\r\n\r\n", "🎟️", ""]  # fmt: skip
SHOWN = {"x" * 5000: "x" * 199 + "…", "\u202eevil": "evil", "\r\n\r\n": ""}
"""What of a name is not shown as it is: more than fits, signs that turn the direction, and breaks of lines."""

ORDER: dict[str, Any] = {"order": "ord_7h3kabcdefghjkmnpqrstvwxyz", "amount": 999, "currency": "usd"}


@pytest.mark.parametrize("name", EVIL, ids=[repr(name)[:20] for name in EVIL])
def test_a_name_is_put_in_as_it_is_and_never_read_as_a_template(name: str) -> None:
    grant = {"kind": "feature", "feature": name, "worth": 1}
    text, _ = texts.render("paid", {**ORDER, "grants": [grant], "balances": {}}, "en")
    shown = SHOWN.get(name, name)
    assert text == f"✅ Paid $9.99. You got {shown}. Reference 7H3KABCD."
    ended, buttons = texts.render("pass_ended", {"feature": name}, None)
    assert ended == f"Your access to {shown} has ended. /buy brings it back."
    assert [button.command for button in buttons] == ["/buy"]


@pytest.mark.parametrize("reason", EVIL, ids=[repr(reason)[:20] for reason in EVIL])
def test_a_banks_reason_is_told_as_it_is(reason: str) -> None:
    text, _ = texts.render("payment_failed", {**ORDER, "reason": reason}, None)
    told = SHOWN.get(reason, reason) if len(reason) < 300 else "x" * 299 + "…"
    assert (told if reason else "the bank did not say why.") in text
    assert text.endswith("Nothing was charged, and the link still works.")


@given(st.text(), st.dictionaries(st.text(min_size=1), st.text()))
def test_filling_puts_every_value_in_and_leaves_no_known_placeholder(template: str, values: dict[str, str]) -> None:
    filled = texts.fill(template, values)
    assert isinstance(filled, str)
    assert texts.fill("{a}{b}{a}", {"a": "{b}", "b": "{a}"}) == "{b}{a}{b}"


SUBSCRIBED = {"subscription": "sub_1", "name": "Club", "renews": "2026-06-01T12:00:00Z", "price": 999, "price_currency": "usd",
              "until": "2026-06-04T12:00:00Z", "ends": "2026-06-04T12:00:00Z", "trial_end": "2026-06-01T12:00:00Z",
              "card_ends": "2026-06-30T12:00:00Z", "stripe_price": "price_1"}  # fmt: skip


CHANNEL = {"channel": "Discord", "resource": "1|2", "mend": "put its role above", "number": 3, "what": "grant",
           "given_number": 1, "taken_number": 2, "url": "https://t.me/+x", "plan": "Pro"}  # fmt: skip


@pytest.mark.parametrize("language", ["en", "pl", "nl"])
@pytest.mark.parametrize("template", texts.TEMPLATES)
def test_every_template_is_whole_when_its_values_are_there(template: str, language: str) -> None:
    grant = {"kind": "credits", "unit": "credits", "worth": 10, "before": 4, "whole": 30}
    bought = SUBSCRIBED | {
        "unit": "credits",
        "balance": 2,
        "because": "No funds.",
        "customer": "cst_1",
        "feature": "premium",
        "name": "Plus",
        "subscription": "sub_1",
        "stays": "sub_2",
        "price": "plus",
        **CHANNEL,
    }
    params = {**ORDER, **bought, "grants": [grant], "balances": {"credits": 10}, "debts": {"credits": 3},
              "paid_off": {"credits": 2}, "paid": 999, "refunded": 400, "due": "2026-06-01T12:00:00+00:00",
              "reason": "Insufficient funds."}  # fmt: skip
    spoken = Texts(language)
    whole, _ = spoken.render(template, params, None)
    bare, _ = spoken.render(template, {**ORDER, **bought}, None)
    for text in (whole, bare):
        assert "{" not in text
        assert "  " not in text
        assert text == text.strip()
        assert (text == texts.render(template, params if text == whole else {**ORDER, **bought}, None)[0]) == (
            language == "en"
        ), "it is said in another language"
    if language != "en":
        return
    if template in ("refunded", "dispute_lost"):
        assert "20 credits. You now have 10 credits. You owe 3 credits; what comes in next pays that first." in whole
    if template == "disputed":
        assert "Held back" not in whole, "what had gone back before is not held back"
    if template in ("refund_failed", "dispute_won"):
        assert "Yours again: 6 credits. You now have 10 credits." in whole


@pytest.mark.parametrize(
    ("language", "because", "labels"),
    [
        ("en", "Your card was declined.", ["Use another card", "Try again"]),
        ("pl", "karta została odrzucona.", ["Inna karta", "Spróbuj ponownie"]),
        ("nl", "je kaart is geweigerd.", ["Een andere kaart", "Opnieuw proberen"]),
    ],
)
def test_a_refused_change_is_told_with_what_mends_it_and_what_asks_again(
    language: str, because: str, labels: list[str]
) -> None:
    params = {
        "subscription": "sub_1",
        "name": EVIL[-2] + "\n",
        "because": "Your card was declined.",
        "again": "/plan 3f9a1c2d",
    }
    text, buttons = Texts(language).render("change_declined", params, None, "https://shop.example/billing/x")
    assert because in text
    assert "\n" not in text
    assert [(one.label, one.url, one.command) for one in buttons] == [
        (labels[0], "https://shop.example/billing/x", None),
        (labels[1], None, "/plan 3f9a1c2d"),
    ]
    planned, none = Texts(language).render(
        "change_planned", {**params, **SUBSCRIBED, "plan": "Pro", "again": None}, None
    )
    assert "Pro" in planned
    assert none == ()


@pytest.mark.parametrize(
    ("grant", "worth", "said"),
    [
        ({"kind": "pass", "feature": "premium", "whole": 30 * 86_400}, 20 * 86_400, "10 days of premium"),
        ({"kind": "pass", "feature": "premium", "whole": 86_400}, 80_000, "2 hours of premium"),
        ({"kind": "pass", "feature": "premium", "whole": 86_400}, 0, "1 day of premium"),
        ({"kind": "feature", "feature": "vip", "whole": 1}, 0, "vip"),
        ({"kind": "credits", "unit": "credits", "whole": 1}, 0, "1 credit"),
    ],
)
def test_what_was_taken_back_is_said_in_words(grant: dict[str, Any], worth: int, said: str) -> None:
    params = {**ORDER, "paid": 999, "refunded": 999, "grants": [{**grant, "worth": worth, "before": grant["whole"]}]}
    text, _ = texts.render("refunded", params, None)
    assert f"Refunded: $9.99, all of it. Taken back: {said}. Your bank" in text


@pytest.mark.parametrize(
    ("known", "said"),
    [
        ({}, "Your subscription is now Club."),
        ({"renews": "2026-06-01T12:00:00Z"}, "Your subscription is now Club. It renews on 1 June 2026, 12:00 UTC."),
        (
            {"renews": "2026-06-01T12:00:00Z", "price": 999, "price_currency": "usd"},
            "Your subscription is now Club. It renews on 1 June 2026, 12:00 UTC for $9.99.",
        ),
        ({"until": "2026-06-04T12:00:00Z"}, "Your subscription is now Club. It ends on 4 June 2026, 12:00 UTC."),
    ],
)
def test_what_comes_next_is_said_as_far_as_it_is_known(known: dict[str, Any], said: str) -> None:
    assert texts.render("plan_changed", {"subscription": "sub_1", "name": "Club", **known}, None) == (said, ())


def test_the_link_that_mends_a_payment_is_a_button_and_without_it_there_is_none() -> None:
    params = {**SUBSCRIBED, **ORDER}
    _, (button,) = texts.render("grace_24", params, None, "https://pay.example.com/r/l")
    assert (button.label, button.url) == ("Pay $9.99", "https://pay.example.com/r/l")
    assert texts.render("grace_24", params, None)[1] == ()
    assert texts.render("renewed", params, None, "https://pay.example.com/r/l")[1] == ()


@pytest.mark.parametrize("name", EVIL, ids=[repr(name)[:20] for name in EVIL])
def test_a_products_name_is_never_read_as_a_template(name: str) -> None:
    text, _ = texts.render("plan_changed", {"subscription": "sub_1", "name": name}, None)
    assert text == f"Your subscription is now {SHOWN.get(name, name)}."


def test_an_unknown_template_is_a_mistake_of_ours() -> None:
    with pytest.raises(KeyError):
        texts.render("no_such_template", ORDER, None)


@pytest.mark.parametrize(
    ("grants", "balances", "said"),
    [
        ([], {}, "Thank you! "),
        ([("credits", "credits", 1)], {"credits": 11}, "You got 1 credit. You now have 11 credits. "),
        ([("credits", "tokens", 1000)], {"tokens": 1}, "You got 1,000 tokens. You now have 1 token. "),
        ([("pass", "premium", 86_400)], {}, "You got 1 day of premium. "),
        ([("credits", "credits", 5), ("pass", "premium", 7 * 86_400), ("feature", "vip", 1)], {"credits": 5},
         "You got 5 credits, 7 days of premium and vip. You now have 5 credits. "),
    ],
)  # fmt: skip
def test_what_was_got_is_said_in_words(grants: list[tuple[str, str, int]], balances: dict[str, int], said: str) -> None:
    given_now = [{"kind": kind, "unit": name, "feature": name, "worth": worth} for kind, name, worth in grants]
    assert texts.given(given_now, balances) == said


@pytest.mark.parametrize(
    ("line", "kept"),
    [
        ("key sk_test_51AbCdEf0123 failed", "key sk… failed"),
        ("Bearer pdk_0123456789abcdef0123", "Bearer pdk…"),
        ("whsec_0123456789abcdef", "whsec…"),
        (
            "https://api.telegram.org/bot123456789:AAF_abcdefghijklmnopqrstuvwxyz012345/send",
            "https://api.telegram.org/bot…/send",
        ),
        ("postgresql://paydesk:hunter2@db/paydesk", "postgresql://…@db/paydesk"),
        ("rk_live_0123456789", "rk…"),
        ("order ord_7h3k is paid", "order ord_7h3k is paid"),
    ],
)
def test_a_line_of_the_log_loses_its_secrets_and_nothing_else(line: str, kept: str) -> None:
    assert redact(line) == kept
