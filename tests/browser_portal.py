"""The customer portal in a real browser: card, plan, cancellation, change of mind, receipts."""

# ruff: noqa: F401, F811 (fixtures are imported and then named as arguments)

from __future__ import annotations

from typing import Any

import pytest
from playwright.sync_api import Page, expect

from browser import browser, page
from sandbox_fixtures import Sandbox, sandbox, shared_sandbox
from stripe_shapes import problems


def call(sandbox: Sandbox, path: str, **params: str) -> dict[str, Any]:
    answer = sandbox.call("POST", path, params)
    assert answer.status_code == 200, answer.text
    assert not problems(answer.json()), problems(answer.json())
    return dict(answer.json())


def plan(sandbox: Sandbox, name: str, amount: int) -> str:
    return str(call(sandbox, "/v1/prices", currency="usd", unit_amount=str(amount), **{
        "product_data[name]": name, "recurring[interval]": "month",
    })["id"])  # fmt: skip


@pytest.fixture
def subscription(sandbox: Sandbox) -> dict[str, Any]:
    """A paid subscription of Ada's, and a larger plan beside it."""
    customer = call(sandbox, "/v1/customers", email="ada@example.com", name="Ada", payment_method="pm_card_visa", **{
        "invoice_settings[default_payment_method]": "pm_card_visa",
    })["id"]  # fmt: skip
    made = call(sandbox, "/v1/subscriptions", customer=customer, **{"items[0][price]": plan(sandbox, "Basic", 900)})
    plan(sandbox, "Large", 2900)
    assert made["status"] == "active"
    return made


def portal(sandbox: Sandbox, subscription: dict[str, Any], **more: str) -> str:
    """The address of a fresh portal session."""
    session = call(sandbox, "/v1/billing_portal/sessions", customer=subscription["customer"],
                   return_url="https://shop.example/account", **more)  # fmt: skip
    return str(session["url"])


def now(sandbox: Sandbox, subscription: dict[str, Any]) -> dict[str, Any]:
    return dict(sandbox.call("GET", f"/v1/subscriptions/{subscription['id']}").json())


def ends(sandbox: Sandbox, subscription: dict[str, Any]) -> tuple[int | None, bool]:
    """When a subscription is to end, and whether that moves along with its period."""
    shown = now(sandbox, subscription)
    return shown["cancel_at"], shown["cancel_at_period_end"]


def test_a_customer_cancels_and_changes_her_mind(sandbox: Sandbox, subscription: dict[str, Any], page: Page) -> None:
    page.goto(portal(sandbox, subscription))
    expect(page.get_by_role("heading", name="Basic")).to_be_visible()
    expect(page.get_by_text("$9.00 per month")).to_be_visible()
    expect(page.get_by_text("Visa ···· 4242")).to_be_visible()
    expect(page.get_by_role("link", name="Return to Paydesk sandbox")).to_have_attribute(
        "href", "https://shop.example/account"
    )
    page.get_by_role("link", name="Cancel subscription").click()
    page.get_by_role("button", name="Cancel subscription").click()
    expect(page.get_by_text("Cancels ")).to_be_visible()
    end = subscription["items"]["data"][0]["current_period_end"]
    assert ends(sandbox, subscription) == (end, False), "with flexible billing the portal names the time"
    page.get_by_role("button", name="Don't cancel subscription").click()
    expect(page.get_by_text("Your plan renews on")).to_be_visible()
    assert ends(sandbox, subscription) == (None, False)


def test_with_classic_billing_the_portal_cancels_at_the_end_of_the_period(
    sandbox: Sandbox, subscription: dict[str, Any], page: Page
) -> None:
    classic = call(sandbox, "/v1/subscriptions", customer=subscription["customer"], **{
        "items[0][price]": plan(sandbox, "Old", 700), "billing_mode[type]": "classic"})  # fmt: skip
    page.goto(f"{portal(sandbox, classic)}/cancel/{classic['id']}")
    page.get_by_role("button", name="Cancel subscription").click()
    expect(page.get_by_text("Cancels ")).to_be_visible()
    assert ends(sandbox, classic) == (classic["items"]["data"][0]["current_period_end"], True)


def test_a_customer_changes_the_plan(sandbox: Sandbox, subscription: dict[str, Any], page: Page) -> None:
    page.goto(portal(sandbox, subscription))
    page.get_by_role("link", name="Update subscription").click()
    page.get_by_role("link", name="Select Large").click()
    expect(page.get_by_role("heading", name="Confirm your updates")).to_be_visible()
    page.get_by_role("button", name="Confirm").click()
    expect(page.get_by_role("heading", name="Large")).to_be_visible()
    assert now(sandbox, subscription)["items"]["data"][0]["price"]["unit_amount"] == 2900


QUANTITY = "features[subscription_update][default_allowed_updates]"


def countable(sandbox: Sandbox, *allowed: str, **more: str) -> str:
    """A configuration in which these things of a subscription may be changed."""
    given = {f"{QUANTITY}[{place}]": word for place, word in enumerate(allowed)}
    return str(call(sandbox, "/v1/billing_portal/configurations", **{
        "features[subscription_update][enabled]": "true",
        "features[subscription_update][proration_behavior]": "always_invoice", **given, **more})["id"])  # fmt: skip


def test_a_customer_changes_the_quantity(sandbox: Sandbox, subscription: dict[str, Any], page: Page) -> None:
    page.goto(portal(sandbox, subscription, configuration=countable(sandbox, "quantity")))
    page.get_by_role("link", name="Update subscription").click()
    assert page.get_by_text("Large").count() == 0, "only the quantity may be changed"
    for _ in range(3):
        page.get_by_role("button", name="One more").click()
    page.get_by_role("button", name="One less").click()
    expect(page.get_by_role("spinbutton", name="Quantity of Basic")).to_have_value("3")
    page.get_by_role("button", name="Change the quantity of Basic").click()
    expect(page.get_by_role("heading", name="Basic × 3")).to_be_visible()
    expect(page.get_by_text("$27.00 per month")).to_be_visible()
    expect(page.get_by_text("Instead of Basic, $9.00 per month")).to_be_visible()
    expect(page.get_by_text("Next invoice")).to_be_visible()
    expect(page.get_by_text("$18.00", exact=True)).to_be_visible()
    page.get_by_role("button", name="Confirm").click()
    expect(page.get_by_role("heading", name="Basic × 3")).to_be_visible()
    changed = now(sandbox, subscription)
    assert changed["items"]["data"][0]["quantity"] == 3
    invoice = sandbox.call("GET", f"/v1/invoices/{changed['latest_invoice']}").json()
    assert (invoice["status"], invoice["total"]) == ("paid", 1800)


def test_another_plan_is_taken_in_the_quantity_that_is_allowed(
    sandbox: Sandbox, subscription: dict[str, Any], page: Page
) -> None:
    large = sandbox.call("GET", "/v1/prices", {"limit": "1"}).json()["data"][0]
    product = "features[subscription_update][products][0]"
    configuration = countable(sandbox, "price", **{
        f"{product}[product]": large["product"], f"{product}[prices][0]": large["id"],
        f"{product}[adjustable_quantity][enabled]": "true", f"{product}[adjustable_quantity][maximum]": "5"})  # fmt: skip
    shown = sandbox.call("GET", f"/v1/billing_portal/configurations/{configuration}").json()
    assert not problems(shown)
    kept = shown["features"]["subscription_update"]["products"][0]["adjustable_quantity"]
    assert kept == {"enabled": True, "maximum": 5, "minimum": 1}
    address = portal(sandbox, subscription, configuration=configuration)
    for quantity in ("6", "0", "many"):
        refused = page.request.post(
            f"{address}/plan/{subscription['id']}", form={"price": large["id"], "quantity": quantity}
        )
        assert (refused.status, "The quantity must be between 1 and 5." in refused.text()) == (400, True)
    page.goto(f"{address}/plan/{subscription['id']}")
    assert page.get_by_role("spinbutton", name="Quantity of Basic").count() == 0, (
        "how many of the present plan is not to be changed"
    )
    page.get_by_role("spinbutton", name="Quantity of Large").fill("2")
    page.get_by_role("button", name="Select Large").click()
    page.get_by_role("button", name="Confirm").click()
    expect(page.get_by_role("heading", name="Large × 2")).to_be_visible()
    assert now(sandbox, subscription)["items"]["data"][0]["quantity"] == 2


def test_a_quantity_that_may_not_be_changed_stays(sandbox: Sandbox, subscription: dict[str, Any], page: Page) -> None:
    basic = subscription["items"]["data"][0]["price"]["id"]
    address = portal(sandbox, subscription, configuration=countable(sandbox, "price"))
    form = {"price": basic, "quantity": "2"}
    assert page.request.post(f"{address}/plan/{subscription['id']}", form=form).status == 404
    large = sandbox.call("GET", "/v1/prices", {"limit": "1"}).json()["data"][0]["id"]
    wrong = page.request.post(f"{address}/plan/{subscription['id']}", form={"price": large, "quantity": "2"})
    assert (wrong.status, "The quantity must be 1." in wrong.text()) == (400, True)
    assert now(sandbox, subscription)["items"]["data"][0]["quantity"] == 1


def test_a_new_card_is_charged_from_now_on(sandbox: Sandbox, subscription: dict[str, Any], page: Page) -> None:
    page.goto(portal(sandbox, subscription))
    page.get_by_role("link", name="Add payment method").click()
    for number in ("4000000000000002", "4000002500003155"):
        page.get_by_label("Card number").fill("")
        page.get_by_label("Card number").press_sequentially(number)
        page.get_by_label("Expiration").press_sequentially("1240")
        page.get_by_label("CVC").press_sequentially("123")
        page.get_by_role("button", name="Add").click()
        if number.endswith("0002"):
            expect(page.get_by_role("alert")).to_have_text("Your card was declined.")
    page.get_by_role("button", name="Complete authentication").click()
    expect(page.get_by_text("Visa ···· 3155")).to_be_visible()
    customer = sandbox.call("GET", f"/v1/customers/{subscription['customer']}",
                            {"expand[]": "invoice_settings.default_payment_method"}).json()  # fmt: skip
    assert customer["invoice_settings"]["default_payment_method"]["card"]["last4"] == "3155"


def test_a_receipt_is_shown_and_printed(sandbox: Sandbox, subscription: dict[str, Any], page: Page) -> None:
    page.goto(portal(sandbox, subscription))
    page.get_by_role("link", name="Paid").click()
    expect(page.get_by_role("heading", name="Receipt")).to_be_visible()
    expect(page.get_by_text("$9.00 paid")).to_be_visible()
    page.emulate_media(media="print")
    expect(page.get_by_role("button", name="Print")).to_be_hidden()


def test_a_flow_begins_at_its_own_page_and_leads_back(
    sandbox: Sandbox, subscription: dict[str, Any], page: Page
) -> None:
    url = portal(sandbox, subscription, **{
        "flow_data[type]": "subscription_cancel",
        "flow_data[subscription_cancel][subscription]": subscription["id"],
        "flow_data[after_completion][type]": "redirect",
        "flow_data[after_completion][redirect][return_url]": f"{sandbox.url}/?done",
    })  # fmt: skip
    page.goto(url)
    page.get_by_role("button", name="Cancel subscription").click()
    page.wait_for_url("**/?done")
    assert ends(sandbox, subscription)[0] is not None


def test_the_portal_keeps_to_its_configuration(sandbox: Sandbox, subscription: dict[str, Any], page: Page) -> None:
    bare = call(sandbox, "/v1/billing_portal/configurations", name="Bare", **{
        "features[invoice_history][enabled]": "true", "metadata[a]": "b",
    })  # fmt: skip
    call(sandbox, f"/v1/billing_portal/configurations/{bare['id']}", default_return_url="https://shop.example")
    page.goto(portal(sandbox, subscription, configuration=bare["id"]))
    expect(page.get_by_role("heading", name="Invoice history")).to_be_visible()
    for name in ("Cancel subscription", "Update subscription", "Add payment method"):
        assert page.get_by_role("link", name=name).count() == 0
    assert page.goto(f"{page.url}/cancel/{subscription['id']}").status == 404  # type: ignore[union-attr]
    listed = sandbox.call("GET", "/v1/billing_portal/configurations", {"is_default": "false"}).json()
    assert [row["id"] for row in listed["data"]] == [bare["id"]]
    assert not problems(listed)
    types = sandbox.event_types()
    assert "billing_portal.configuration.created" in types
    assert "billing_portal.session.created" in types


def test_another_customers_subscription_is_not_shown(
    sandbox: Sandbox, subscription: dict[str, Any], page: Page
) -> None:
    other = call(sandbox, "/v1/customers", email="eve@example.com")["id"]
    url = portal(sandbox, {"customer": other})
    assert page.goto(f"{url}/cancel/{subscription['id']}").status == 404  # type: ignore[union-attr]
    assert page.goto(f"{sandbox.url}/p/session/test_nothing").status == 404  # type: ignore[union-attr]


@pytest.mark.parametrize("width", [1280, 390])
def test_the_portal_fits_the_screen(sandbox: Sandbox, subscription: dict[str, Any], page: Page, width: int) -> None:
    page.set_viewport_size({"width": width, "height": 844})
    home = portal(sandbox, subscription, configuration=countable(sandbox, "price", "quantity", **{
        "features[payment_method_update][enabled]": "true", "features[subscription_cancel][enabled]": "true"}))  # fmt: skip
    for part in ("", "/card", f"/cancel/{subscription['id']}", f"/plan/{subscription['id']}"):
        page.goto(home + part)
        assert page.evaluate("document.documentElement.scrollWidth") == width, part


def test_a_customer_mends_the_billing_information(sandbox: Sandbox, subscription: dict[str, Any], page: Page) -> None:
    page.goto(portal(sandbox, subscription))
    page.get_by_role("link", name="Update information").click()
    page.get_by_label("Email").fill("ada@lovelace.example")
    page.get_by_label("Address line 1").fill("1 Saint James's Square")
    page.get_by_label("City").fill("London")
    page.get_by_label("Country").fill("GB")
    page.get_by_role("button", name="Save").click()
    expect(page.get_by_text("1 Saint James's Square, London, GB")).to_be_visible()
    customer = sandbox.call("GET", f"/v1/customers/{subscription['customer']}").json()
    assert (customer["email"], customer["address"]["country"], customer["name"]) == (
        "ada@lovelace.example",
        "GB",
        "Ada",
    )
    assert sandbox.event_types()[-1] == "customer.updated"


def test_what_the_configuration_does_not_allow_is_not_there(
    sandbox: Sandbox, subscription: dict[str, Any], page: Page
) -> None:
    features = {"features[customer_update][enabled]": "true", "features[customer_update][allowed_updates][]": "phone"}
    configuration = call(sandbox, "/v1/billing_portal/configurations", **features)["id"]
    address = portal(sandbox, subscription, configuration=configuration)
    page.goto(f"{address}/information")
    expect(page.get_by_label("Phone")).to_be_visible()
    expect(page.get_by_label("Email")).to_have_count(0)
    assert page.request.post(f"{address}/information", form={"email": "x@y.example", "phone": "123"}).ok
    customer = sandbox.call("GET", f"/v1/customers/{subscription['customer']}").json()
    assert (customer["email"], customer["phone"]) == ("ada@example.com", "123")
    page.goto(address)
    expect(page.get_by_role("button", name="Pause subscription")).to_have_count(0)
    assert page.request.post(f"{address}/pause/{subscription['id']}").status == 404


def test_a_customer_pauses_and_resumes(sandbox: Sandbox, subscription: dict[str, Any], page: Page) -> None:
    features = {"features[subscription_pause][enabled]": "true", "features[invoice_history][enabled]": "true"}
    configuration = call(sandbox, "/v1/billing_portal/configurations", **features)["id"]
    page.goto(portal(sandbox, subscription, configuration=configuration))
    page.get_by_role("button", name="Pause subscription").click()
    expect(page.get_by_text("Paused")).to_be_visible()
    assert now(sandbox, subscription)["status"] == "paused"
    page.get_by_role("button", name="Resume subscription").click()
    expect(page.get_by_text("Your plan renews on")).to_be_visible()
    assert now(sandbox, subscription)["status"] == "active"
    assert {"customer.subscription.paused", "customer.subscription.resumed"} <= set(sandbox.event_types())
