"""Every parameter of every call of the sandbox, nested ones too, compared with the official SDK's declaration.

What the sandbox takes and Stripe does not know, or requires differently, is a fault unless it stands in `ON_PURPOSE`.
What Stripe takes and the sandbox refuses must stand in `LEFT_OUT`, so that nothing is forgotten by accident.
"""

# ruff: noqa: F401, F811 (fixtures are imported and then named as arguments)

from __future__ import annotations

import re
from functools import cache

import pytest

from paydesk.sandbox.app import OPERATIONS
from paydesk.sandbox.calls import Operation
from paydesk.sandbox.params import Fields, Items
from sandbox_fixtures import Sandbox, sandbox, shared_sandbox
from stripe_params import Difference, declared_calls, differences

# What differs on purpose: a pattern over `POST /v1/… param: what`, and why.
ON_PURPOSE = {
    r" : no such call in the SDK": "calls of Stripe's own pages and of its CLI, and calls of older versions",
    r"payment_method_types(\[\])?: (unknown to Stripe|words)": "the name of the list before it was renamed",
    r"payment_method_data\[(card\]|type\]: the word card)": "what Stripe's own pages send",
    r"/confirm client_secret: unknown": "what Stripe.js sends",
    r"ui_mode: the word (hosted|embedded) is unknown": "the words of the releases before dahlia",
    r"/v1/customers(/{id})? (coupon|promotion_code): unknown": "the words of the releases before basil",
    r"(?<!pages) mode: required here only": "a session without a mode is refused in fact",
    r"(attach|sessions) customer: required here only": "there are no customer accounts here",
    r"payment_methods type: required here only": "methods are not cloned here",
    r"confirm mandate_data\[.*required here only": "required of a secret key; a page may leave it out",
    r"/v1/charges (amount|currency): required here only": "a charge without them is refused in fact",
    r"(card\[|sources/{id} )exp_(month|year)": "a number in fact",
    r"the word jp_bank_account": "what the official CLI says for Japan",
    r"endpoints api_version: words": "the versions that the sandbox speaks",
}  # fmt: skip
# Calls whose tables other tests look after as well.
_BILLING = re.compile(r"/v1/(coupons|credit_notes|customers/{\w+}/(balance|discount|cash)|invoice|invoiceitems|plans|prices|"
                      r"products|promotion_codes|subscription|test_helpers)")  # fmt: skip
_OTHER_METHODS = r"""acss_debit affirm afterpay_clearpay alipay alma amazon_pay au_becs_debit bacs_debit bancontact billie
    bizum boleto cashapp crypto custom customer_balance demo_pay eps fpx giropay grabpay interac_present kakao_pay klarna
    konbini kr_card link mb_way mobilepay multibanco naver_pay nz_bank_account oxxo pay_by_bank payco paynow paypal paypay
    payto pix promptpay revolut_pay samsung_pay satispay scalapay sequra sofort sunbit swish twint upi us_bank_account
    wechat_pay zip card_present""".split()  # noqa: SIM905
# Patterns over the name of a parameter that Stripe knows and the sandbox refuses as unknown, and what they belong to.
LEFT_OUT = {
    rf"(^|\[)({'|'.join(_OTHER_METHODS)})(\]|$)": "methods that the sandbox does not play",
    r"(^|\[)(application_fee_amount|application_fee_percent|on_behalf_of|transfer_data|payment_record)(\]|$)": "Connect",
    r"^(application_fee|destination)$": "Connect, in its older words",
    r"(^|\[)(customer_account|payment_details|hooks|amount_details|radar_options|managed_payments)(\]|$)": "previews",
    r"^payment_method$|^origin$|^currency$|^cash_balance$": "cloned methods and cash balances",
    r"(^|\[)(tax|tax_details|tax_id_data|tax_rates|default_tax_rates)(\]|$)": "tax is not computed",
    r"^(source|validate)$|^customer$": "sources, the API before payment methods",
    r"^(account|account_holder_(name|type)|bank_account|cvc_update|owner|person|pii)$": "sources and tokens of banks",
    r"^confirmation_token$": "Stripe.js confirms with the method itself",
    r"payment_method_configuration$|payment_method_configuration\]$": "methods are chosen by the request alone",
    r"payment_method_options\[(card|blik|ideal|p24|sepa_debit)\]": "options that change nothing here",
    r"^(flow_directions|attach_to_self|single_use|excluded_payment_method_types)$": "rare",
    r"^(amount_to_confirm|allowed_payment_method_types)$": "rare ways to confirm",
    r"^(shipping_options|collected_information|line_items|payment_intent_data)$": "nothing of an order is changed",
    r"^optional_items$": "no upsells",
    r"\[currency_options\]$|^fixed_amount$": "shipping rates have one currency",
    r"^subscription_data\[pending_invoice_item_interval\]$": "rare billing",
    r"^subscription_data\[invoice_settings\]\[(account_tax_ids|issuer\]\[account)\]$": "tax ids and Connect",
    r"^invoice_settings\[(custom_fields|rendering_options)\]$": "what is only printed",
    r"^card\[networks\]$|\[card\]\[networks\]$": "cards of two networks",
    r"^(intended_submission_method|evidence\[(appeal|enhanced_evidence)\])$": "appeals",
    r"^features\[subscription_(pause|cancel)\]|^flow_data\[subscription_pause\]$|^after_expiration$": "the portal's pause",
    r"^payment_method_data$": "others",
}  # fmt: skip


@cache
def found() -> list[Difference]:
    return [difference for operation in OPERATIONS for difference in differences(operation)]


def _is_left_out(difference: Difference) -> bool:
    return difference.what == "not in the sandbox" or difference.what.endswith("is not in the sandbox")


def _reasons(difference: Difference) -> list[str]:
    if difference.what == "not in the sandbox":
        return [pattern for pattern in LEFT_OUT if re.search(pattern, difference.param)]
    return [pattern for pattern in ON_PURPOSE if re.search(pattern, str(difference))]


def test_what_the_sandbox_takes_stripe_takes() -> None:
    wrong = [one for one in found() if not _is_left_out(one) and not _reasons(one) and not _BILLING.search(one.call)]
    assert wrong == []


def test_what_the_sandbox_does_not_take_is_left_out_knowingly() -> None:
    left_out = [one for one in found() if one.what == "not in the sandbox" and not _BILLING.search(one.call)]
    assert [str(one) for one in left_out if not _reasons(one)] == []


def test_billing_takes_nothing_that_stripe_does_not_know() -> None:
    wrong = [str(one) for one in found() if _BILLING.search(one.call) and one.what == "unknown to Stripe"]
    assert [
        one
        for one in wrong
        if "payment_method_types" not in one
        and "expand" not in one
        and "pricing" not in one
        and "iterations" not in one
    ] == []


def test_no_reason_outlives_its_difference() -> None:
    used = {pattern for one in found() for pattern in _reasons(one)}
    assert set(ON_PURPOSE) | set(LEFT_OUT) <= used


def test_the_comparison_sees_what_is_wrong() -> None:
    known = next(one for one in OPERATIONS if (one.method, one.path) == ("POST", "/v1/refunds"))
    planted = Operation(
        "POST", "/v1/refunds", known.handler, {**known.shape, "colour": known.shape["reason"]}, ("amount",)
    )
    seen = {str(one) for one in differences(planted)} - {str(one) for one in differences(known)}
    assert seen == {"POST /v1/refunds colour: unknown to Stripe", "POST /v1/refunds amount: required here only"}
    assert len(declared_calls()) > 300


def hashes(shape: object, prefix: str = "") -> list[str]:
    """The names of all hashes below a table, on the wire."""
    names: list[str] = []
    for name, kind in dict(shape).items() if isinstance(shape, dict) else ():
        full = f"{prefix}[{name}]" if prefix else name
        while isinstance(kind, Items):
            kind, full = kind.each, f"{full}[0]"
        if isinstance(kind, Fields):
            names += [full, *hashes(dict(kind.shape), full)]
    return names


NESTED = [(one, name) for one in OPERATIONS for name in hashes(dict(one.shape))]


def test_an_unknown_parameter_is_named_wherever_it_stands(sandbox: Sandbox) -> None:
    """Every hash of every call, about four hundred of them."""
    assert len(NESTED) > 300
    with sandbox.http() as client:
        for operation, name in NESTED:
            path = re.sub(r"{\w+}", "x_1", operation.path)
            needed = {one: "1" for one in operation.required if one != name.split("[")[0]}
            given = {**needed, f"{name}[foo]": "1"}
            place = "data" if operation.method == "POST" else "params"
            error = client.request(operation.method, path, **{place: given}).json()["error"]
            _judge(operation, name, error)


def _judge(operation: Operation, name: str, error: dict[str, object]) -> None:
    full = f"{name}[foo]"
    told = (error["type"], error["code"], error["param"], error["message"])
    expected = ("invalid_request_error", "parameter_unknown", full, f"Received unknown parameter: {full}")
    assert told == expected, f"{operation.method} {operation.path} {name}"


@pytest.mark.parametrize(
    ("call", "params", "param"),
    [
        ("/v1/checkout/sessions", {"line_items[0][price_data][foo]": "1"}, "line_items[0][price_data][foo]"),
        ("/v1/payment_intents", {"payment_method_options[card]": "yes"}, "payment_method_options[card]"),
        ("/v1/payment_intents", {"automatic_payment_methods[enabled]": "maybe"}, "automatic_payment_methods[enabled]"),
        ("/v1/payment_intents", {"shipping[address]": "here", "shipping[name]": "Jo"}, "shipping[address]"),
        ("/v1/payment_intents", {"metadata[a][b]": "1"}, "metadata[a]"),
        ("/v1/payment_intents", {"amount[0]": "1"}, "amount"),
        ("/v1/webhook_endpoints", {"enabled_events[]": "charge.succeded", "url": "https://x.example"}, "enabled_events[0]"),
        ("/v1/customers", {"address[city][0]": "Rome"}, "address[city]"),
    ],
)  # fmt: skip
def test_a_wrong_kind_is_refused_by_name(sandbox: Sandbox, call: str, params: dict[str, str], param: str) -> None:
    needed = {"/v1/payment_intents": {"amount": "500", "currency": "usd"}, "/v1/checkout/sessions": {"mode": "payment"}}
    answer = sandbox.call("POST", call, {**{k: v for k, v in needed.get(call, {}).items() if k not in param}, **params})
    assert answer.status_code == 400
    assert answer.json()["error"]["param"] == param
