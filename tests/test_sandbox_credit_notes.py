"""Credit notes lower what an open invoice asks for, and give back what a paid one took; tax rates are kept."""

# ruff: noqa: F401, F811 (fixtures are imported and then named as arguments)

from __future__ import annotations

from typing import Any

import httpx
import pytest

from sandbox_fixtures import Sandbox, sandbox, shared_sandbox
from test_sandbox_sources import assert_events_have_shapes, call, refusal

_OWN_LINE = {"lines[0][type]": "custom_line_item", "lines[0][quantity]": "1", "lines[0][unit_amount]": "800",
             "lines[0][description]": "Too late"}  # fmt: skip


def open_invoice(sandbox: Sandbox, amount: int = 2000, **more: Any) -> dict[str, Any]:
    customer = call(sandbox, "POST", "customers", source="tok_visa")["id"]
    call(sandbox, "POST", "invoiceitems", customer=customer, amount=amount, currency="usd", **more)
    draft = call(sandbox, "POST", "invoices", customer=customer, pending_invoice_items_behavior="include")
    return call(sandbox, "POST", f"invoices/{draft['id']}/finalize")


def sums(sandbox: Sandbox, invoice: dict[str, Any]) -> dict[str, int]:
    shown = call(sandbox, "GET", f"invoices/{invoice['id']}")
    names = ("amount_due", "amount_paid", "amount_remaining", "post_payment_credit_notes_amount",
             "pre_payment_credit_notes_amount")  # fmt: skip
    return {name: shown[name] for name in names}


def test_a_note_lowers_an_open_invoice_and_can_be_taken_back(sandbox: Sandbox) -> None:
    invoice = open_invoice(sandbox)
    note = call(sandbox, "POST", "credit_notes", invoice=invoice["id"], reason="duplicate", memo="m", **_OWN_LINE)
    assert (note["type"], note["total"], note["status"]) == ("pre_payment", 800, "issued")
    assert note["number"] == f"{invoice['number']}-CN-01"
    assert "−$8.00" in httpx.get(invoice["hosted_invoice_url"]).text
    assert sums(sandbox, invoice) == {
        "amount_due": 1200, "amount_paid": 0, "amount_remaining": 1200, "post_payment_credit_notes_amount": 0,
        "pre_payment_credit_notes_amount": 800,
    }  # fmt: skip
    updated = call(sandbox, "POST", f"credit_notes/{note['id']}", memo="n", **{"metadata[a]": "b"})
    assert (updated["memo"], updated["metadata"]) == ("n", {"a": "b"})
    assert call(sandbox, "POST", f"credit_notes/{note['id']}/void")["status"] == "void"
    assert sums(sandbox, invoice)["amount_remaining"] == 2000
    assert refusal(sandbox, f"credit_notes/{note['id']}/void")[0] == 400
    paid = call(sandbox, "POST", f"invoices/{invoice['id']}/pay")
    assert (paid["status"], paid["amount_paid"]) == ("paid", 2000)
    told = [one for one in sandbox.event_types() if one.startswith("credit_note")]
    assert told == ["credit_note.created", "credit_note.updated", "credit_note.voided"]
    assert_events_have_shapes(sandbox)


def test_a_lowered_invoice_takes_only_what_is_left_and_a_whole_note_pays_it(sandbox: Sandbox) -> None:
    invoice = open_invoice(sandbox)
    call(sandbox, "POST", "credit_notes", invoice=invoice["id"], amount=500)
    call(sandbox, "POST", f"invoices/{invoice['id']}/pay")
    charges = call(sandbox, "GET", "charges")["data"]
    assert [one["amount"] for one in charges] == [1500]
    other = open_invoice(sandbox)
    call(sandbox, "POST", "credit_notes", invoice=other["id"], amount=2000)
    settled = call(sandbox, "GET", f"invoices/{other['id']}")
    assert (settled["status"], settled["amount_paid"], settled["amount_due"]) == ("paid", 0, 0)
    assert len(call(sandbox, "GET", "charges")["data"]) == 1


def test_what_was_paid_is_refunded_credited_and_given_back_elsewhere(sandbox: Sandbox) -> None:
    invoice = open_invoice(sandbox)
    call(sandbox, "POST", f"invoices/{invoice['id']}/pay")
    parts = {"refund_amount": 1000, "credit_amount": 300, "out_of_band_amount": 200}
    note = call(sandbox, "POST", "credit_notes", invoice=invoice["id"], amount=1500, **parts, **{
        "expand[0]": "refunds.refund", "expand[1]": "customer_balance_transaction",
    })  # fmt: skip
    assert (note["type"], note["post_payment_amount"], note["out_of_band_amount"]) == ("post_payment", 1500, 200)
    assert [(one["amount_refunded"], one["refund"]["amount"]) for one in note["refunds"]] == [(1000, 1000)]
    moved = note["customer_balance_transaction"]
    assert (moved["amount"], moved["type"], moved["credit_note"]) == (-300, "credit_note", note["id"])
    assert call(sandbox, "GET", f"customers/{invoice['customer']}")["balance"] == -300
    assert sums(sandbox, invoice)["post_payment_credit_notes_amount"] == 1500
    assert refusal(sandbox, "credit_notes", invoice=invoice["id"], amount=501, credit_amount=501)[4] == "amount"
    assert refusal(sandbox, f"credit_notes/{note['id']}/void")[0] == 400
    refund = call(sandbox, "POST", "refunds", charge=call(sandbox, "GET", "charges")["data"][0]["id"], amount=500)
    linked = {"refunds[0][refund]": refund["id"], "refunds[0][amount_refunded]": "500"}
    last = call(sandbox, "POST", "credit_notes", invoice=invoice["id"], **linked)
    assert (last["total"], last["refunds"][0]["refund"]) == (500, refund["id"])
    older = sandbox.call("GET", f"/v1/credit_notes/{last['id']}", Stripe_Version="2023-10-16").json()
    assert older["refund"] == refund["id"]
    assert not {"refunds", "total_taxes", "post_payment_amount"} & set(older)
    listed = call(sandbox, "GET", "credit_notes", invoice=invoice["id"])["data"]
    assert [one["id"] for one in listed] == [last["id"], note["id"]]


def test_lines_of_the_invoice_are_credited_with_their_share_of_its_discounts(sandbox: Sandbox) -> None:
    coupon = call(sandbox, "POST", "coupons", percent_off=25, duration="once")["id"]
    invoice = open_invoice(sandbox, **{"discounts[0][coupon]": coupon})
    line = {"lines[0][type]": "invoice_line_item", "lines[0][invoice_line_item]": invoice["lines"]["data"][0]["id"]}
    preview = call(sandbox, "GET", "credit_notes/preview", invoice=invoice["id"], **line, **{"lines[0][amount]": 400})
    assert (preview["subtotal"], preview["discount_amount"], preview["total"]) == (400, 100, 300)
    whole = call(sandbox, "GET", "credit_notes/preview/lines", invoice=invoice["id"], **line)["data"]
    assert [(one["amount"], one["discount_amount"]) for one in whole] == [(2000, 500)]
    assert call(sandbox, "GET", "credit_notes")["data"] == [], "a preview is not kept"
    note = call(sandbox, "POST", "credit_notes", invoice=invoice["id"], **line, **{"lines[0][amount]": 400})
    assert sums(sandbox, invoice)["amount_remaining"] == 1200
    assert [one["amount"] for one in call(sandbox, "GET", f"credit_notes/{note['id']}/lines")["data"]] == [400]
    assert refusal(sandbox, "credit_notes", invoice=invoice["id"], **line, **{"lines[0][amount]": 2001})[0] == 400


def test_a_note_that_cannot_be_is_refused(sandbox: Sandbox) -> None:
    invoice = open_invoice(sandbox)
    draft = call(sandbox, "POST", "invoices", customer=invoice["customer"])["id"]
    assert refusal(sandbox, "credit_notes", invoice=draft, amount=1)[4] == "invoice"
    assert refusal(sandbox, "credit_notes", invoice="in_0", amount=1)[2] == "resource_missing"
    assert refusal(sandbox, "credit_notes", invoice=invoice["id"])[4] == "amount"
    assert refusal(sandbox, "credit_notes", invoice=invoice["id"], amount=2001)[4] == "amount"
    assert refusal(sandbox, "credit_notes", invoice=invoice["id"], amount=500, refund_amount=500)[0] == 400
    assert refusal(sandbox, "credit_notes", invoice=invoice["id"], amount=5, **_OWN_LINE)[4] == "amount"
    line = {"lines[0][type]": "invoice_line_item", "lines[0][invoice_line_item]": "il_0"}
    assert refusal(sandbox, "credit_notes", invoice=invoice["id"], **line)[4] == "lines[0][invoice_line_item]"
    assert sums(sandbox, invoice)["amount_remaining"] == 2000


def test_tax_rates_are_kept_changed_and_listed(sandbox: Sandbox) -> None:
    rate = call(sandbox, "POST", "tax_rates", display_name="VAT", inclusive="true", percentage="19.5", country="DE")
    assert (rate["percentage"], rate["inclusive"], rate["active"], rate["country"]) == (19.5, True, True, "DE")
    other = call(sandbox, "POST", "tax_rates", display_name="GST", inclusive="false", percentage="5")
    assert call(sandbox, "POST", f"tax_rates/{rate['id']}", active="false", **{"metadata[a]": "b"})["active"] is False
    assert [one["id"] for one in call(sandbox, "GET", "tax_rates", active="true")["data"]] == [other["id"]]
    assert [one["id"] for one in call(sandbox, "GET", "tax_rates", inclusive="true")["data"]] == [rate["id"]]
    assert refusal(sandbox, "tax_rates", display_name="x", inclusive="true", percentage="101")[4] == "percentage"
    assert refusal(sandbox, "tax_rates", inclusive="true", percentage="1")[2] == "parameter_missing"
    assert sandbox.event_types() == ["tax_rate.created", "tax_rate.created", "tax_rate.updated"]
    assert_events_have_shapes(sandbox)
