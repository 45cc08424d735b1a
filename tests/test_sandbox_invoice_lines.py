"""Lines of a draft: added, changed and removed over the API, with the invoice items behind them."""

# ruff: noqa: F401, F811 (fixtures are imported and then named as arguments)

from __future__ import annotations

from typing import Any

import pytest

from billing_fixtures import Biller, biller, billing_sandbox


def draft(biller: Biller, customer: str) -> str:
    return str(biller.post("invoices", customer=customer, currency="usd")["id"])


def amounts(invoice: dict[str, Any]) -> list[int]:
    return [line["amount"] for line in invoice["lines"]["data"]]


def test_lines_are_added_changed_and_removed(biller: Biller) -> None:
    customer, price = biller.customer(), biller.price(700, "")
    waiting = biller.post("invoiceitems", customer=customer, amount="250", currency="usd")["id"]
    invoice = draft(biller, customer)
    biller.news()
    added = biller.post(f"invoices/{invoice}/add_lines", **{
        "lines[0][invoice_item]": waiting, "lines[1][amount]": "1000", "lines[1][description]": "Setup",
        "lines[2][pricing][price]": price, "lines[2][quantity]": "2",
        "lines[3][price_data][currency]": "usd", "lines[3][price_data][unit_amount]": "99",
        "lines[3][price_data][product_data][name]": "Sticker", "invoice_metadata[order]": "7",
    })  # fmt: skip
    assert amounts(added) == [250, 1000, 1400, 99]
    assert (added["total"], added["metadata"]) == (2749, {"order": "7"})
    assert biller.news().count("invoiceitem.created") == 3
    ids = [line["id"] for line in added["lines"]["data"]]
    changed = biller.post(f"invoices/{invoice}/update_lines", **{
        "lines[0][id]": ids[1], "lines[0][amount]": "900", "lines[1][id]": ids[2], "lines[1][quantity]": "3",
    })  # fmt: skip
    assert amounts(changed) == [250, 900, 2100, 99]
    item = changed["lines"]["data"][2]["parent"]["invoice_item_details"]["invoice_item"]
    assert biller.get(f"invoiceitems/{item}")["amount"] == 2100
    line = biller.post(f"invoices/{invoice}/lines/{ids[3]}", description="Big sticker", **{"metadata[size]": "xl"})
    assert (line["description"], line["metadata"]) == ("Big sticker", {"size": "xl"})
    left = biller.post(f"invoices/{invoice}/remove_lines", **{
        "lines[0][id]": ids[0], "lines[0][behavior]": "unassign", "lines[1][id]": ids[1], "lines[1][behavior]": "delete",
    })  # fmt: skip
    assert (amounts(left), left["total"]) == ([2100, 99], 2199)
    assert [one["id"] for one in biller.all("invoiceitems", pending="true")] == [waiting]
    biller.post(f"invoices/{invoice}/finalize")
    assert biller.post(f"invoices/{invoice}/pay")["amount_paid"] == 2199


def test_a_discount_of_a_line_lowers_that_line_alone(biller: Biller) -> None:
    coupon = biller.post("coupons", percent_off="50", duration="once")["id"]
    customer = biller.customer()
    invoice = draft(biller, customer)
    added = biller.post(f"invoices/{invoice}/add_lines", **{"lines[0][amount]": "1000", "lines[1][amount]": "500"})
    line = added["lines"]["data"][0]["id"]
    biller.post(f"invoices/{invoice}/lines/{line}", **{"discounts[0][coupon]": coupon})
    assert biller.get(f"invoices/{invoice}")["total"] == 1000


def test_what_cannot_be_is_refused(biller: Biller) -> None:
    customer = biller.customer()
    invoice = draft(biller, customer)
    path = f"/v1/invoices/{invoice}"
    assert biller.refused("POST", f"{path}/add_lines")[1:] == ("parameter_missing", "lines")
    other = biller.post("invoiceitems", customer=biller.customer(), amount="1", currency="usd")["id"]
    assert biller.refused("POST", f"{path}/add_lines", {"lines[0][invoice_item]": other})[2] == "lines[0][invoice_item]"
    gone = {"lines[0][id]": "il_none", "lines[0][behavior]": "delete"}
    assert biller.refused("POST", f"{path}/remove_lines", gone) == (400, "resource_missing", "lines[0][id]")
    assert biller.refused("POST", f"{path}/lines/il_none", {"amount": "1"})[0] == 404
    taxed = {"lines[0][amount]": "5", "lines[0][tax_rates][0]": "txr_1"}
    assert biller.refused("POST", f"{path}/add_lines", taxed)[1] == "sandbox_unsupported"
    biller.post(f"invoices/{invoice}/add_lines", **{"lines[0][amount]": "1000"})
    biller.post(f"invoices/{invoice}/finalize", auto_advance="false")
    late = {"lines[0][amount]": "5"}
    assert biller.refused("POST", f"{path}/add_lines", late)[:2] == (400, "invoice_not_editable")


def test_the_line_of_a_subscription_stays_and_can_be_changed(biller: Biller) -> None:
    biller.freeze("2026-04-01T00:00:00")
    customer = biller.customer()
    subscription = biller.subscribe(customer, biller.price(1000))
    biller.advance("2026-05-01T00:10:00")
    invoice = biller.all("invoices", subscription=subscription["id"])[0]
    assert invoice["status"] == "draft"
    line = invoice["lines"]["data"][0]["id"]
    path = f"invoices/{invoice['id']}"
    gone = {"lines[0][id]": line, "lines[0][behavior]": "delete"}
    assert biller.refused("POST", f"/v1/{path}/remove_lines", gone)[0] == 400
    assert biller.post(f"{path}/lines/{line}", amount="800")["amount"] == 800
    biller.post(f"{path}/add_lines", **{"lines[0][amount]": "150", "lines[0][description]": "Extra"})
    biller.advance("2026-05-01T02:00:00")
    assert biller.get(path)["amount_paid"] == 950
