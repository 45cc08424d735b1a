"""Parameters that change little are accepted, kept and shown; the unknown ones stay refused."""

# ruff: noqa: F401, F811 (fixtures are imported and then named as arguments)

from __future__ import annotations

import pytest

from sandbox_fixtures import Sandbox, sandbox, session_of, shared_sandbox
from stripe_shapes import problems


def test_a_session_says_back_what_its_page_was_asked_for(sandbox: Sandbox) -> None:
    session = session_of(sandbox, **{
        "adaptive_pricing[enabled]": "true",
        "after_expiration[recovery][enabled]": "true",
        "automatic_tax[enabled]": "true",
        "branding_settings[button_color]": "#ff0000",
        "consent_collection[terms_of_service]": "required",
        "custom_fields[0][key]": "vat", "custom_fields[0][label][custom]": "VAT", "custom_fields[0][label][type]": "custom",
        "custom_fields[0][type]": "text", "custom_fields[0][text][maximum_length]": "9",
        "custom_fields[1][key]": "size", "custom_fields[1][label][custom]": "Size", "custom_fields[1][label][type]": "custom",
        "custom_fields[1][type]": "dropdown", "custom_fields[1][dropdown][options][0][label]": "Big",
        "custom_fields[1][dropdown][options][0][value]": "big",
        "invoice_creation[enabled]": "true", "invoice_creation[invoice_data][description]": "d",
        "name_collection[individual][enabled]": "true",
        "permissions[update_shipping_details]": "server_only",
        "saved_payment_method_options[payment_method_save]": "enabled",
        "shipping_address_collection[allowed_countries][]": "NL",
        "tax_id_collection[enabled]": "true",
        "wallet_options[link][display]": "never",
    })  # fmt: skip
    assert problems(session) == []
    assert session["automatic_tax"]["enabled"] is True
    assert session["custom_fields"][0]["text"]["maximum_length"] == 9
    assert session["shipping_address_collection"] == {"allowed_countries": ["NL"]}
    assert session["invoice_creation"]["invoice_data"]["description"] == "d"


@pytest.mark.parametrize(
    "wrong",
    [{"automatic_tax[colour]": "red"}, {"automatic_tax[liability][type]": "self"}, {"custom_fields[0][key]": "a"},
     {"tax_id_collection": "true"}, {"colour": "red"}],
)  # fmt: skip
def test_what_stripe_does_not_know_is_refused_there_too(sandbox: Sandbox, wrong: dict[str, str]) -> None:
    params = {"mode": "payment", "success_url": "https://example.com", "line_items[0][quantity]": "1", **wrong}
    assert sandbox.call("POST", "/v1/checkout/sessions", params).status_code == 400


def test_a_customer_may_come_with_a_method(sandbox: Sandbox) -> None:
    token = {"payment_method": "pm_card_visa", "invoice_settings[default_payment_method]": "pm_card_visa"}
    customer = sandbox.call("POST", "/v1/customers", token).json()
    assert problems(customer) == []
    method = sandbox.call("GET", f"/v1/customers/{customer['id']}/payment_methods").json()["data"][0]["id"]
    assert customer["invoice_settings"]["default_payment_method"] == method
    assert sandbox.event_types() == ["customer.created", "payment_method.attached"]
    declined = sandbox.call("POST", "/v1/customers", {"payment_method": "pm_card_chargeDeclined"})
    assert declined.status_code == 402
    assert sandbox.call("POST", "/v1/customers", {"payment_method": method}).status_code == 400
    assert len(sandbox.call("GET", "/v1/customers").json()["data"]) == 1


def test_a_product_has_its_measures(sandbox: Sandbox) -> None:
    sizes = {f"package_dimensions[{name}]": "1.5" for name in ("height", "length", "weight", "width")}
    product = sandbox.call("POST", "/v1/products", {"name": "x", **sizes}).json()
    assert problems(product) == []
    assert product["package_dimensions"]["width"] == 1.5
    assert len(sandbox.call("GET", "/v1/products", {"type": "service"}).json()["data"]) == 1
    assert sandbox.call("GET", "/v1/products", {"type": "good"}).json()["data"] == []


def test_a_customers_own_coupon_lowers_invoices_until_it_is_taken(sandbox: Sandbox) -> None:
    coupon = sandbox.call("POST", "/v1/coupons", {"percent_off": "50", "duration": "forever"}).json()["id"]
    method = {"payment_method": "pm_card_visa", "invoice_settings[default_payment_method]": "pm_card_visa"}
    customer = sandbox.call("POST", "/v1/customers", {**method, "coupon": coupon}).json()
    assert problems(customer) == []
    assert customer["discount"]["source"]["coupon"] == coupon
    price = {"currency": "usd", "unit_amount": "2000", "product_data[name]": "x", "recurring[interval]": "month"}
    item = {"customer": customer["id"], "items[0][price]": sandbox.call("POST", "/v1/prices", price).json()["id"]}

    def amount_paid() -> int:
        answer = sandbox.call("POST", "/v1/subscriptions", {**item, "expand[]": "latest_invoice"})
        assert answer.status_code == 200, answer.text
        return int(answer.json()["latest_invoice"]["amount_paid"])

    assert amount_paid() == 1000
    path = f"/v1/customers/{customer['id']}/discount"
    assert sandbox.call("DELETE", path).json()["deleted"] is True
    assert sandbox.call("DELETE", path).status_code == 404
    assert amount_paid() == 2000
    assert sandbox.call("POST", "/v1/customers", {"coupon": "nothing"}).status_code == 400
    old = sandbox.call(
        "POST", f"/v1/customers/{customer['id']}", {"coupon": coupon}, Stripe_Version="2023-10-16"
    ).json()
    assert old["discount"]["coupon"]["id"] == coupon
