"""Invoice items: what waits to be put on a customer's next invoice, prorations among them."""

from __future__ import annotations

from decimal import Decimal
from typing import Any

from . import lists
from .accounts import Account
from .calls import Call, Operation, delete, get, listing, post
from .catalog import ONCE_PRICE_DATA, add_price
from .coupons import DISCOUNTS, chosen, half_up, in_currency, redeem
from .errors import Json, invalid, missing_parameter
from .events import emit, emit_update
from .invoice_lines import line_of_invoice_item, price_amount, pricing_of, product_name
from .invoices import set_lines
from .live_customers import live_customer
from .money import currency_code
from .params import Shape, choice, decimal, fields, flag, integer, items, merged_metadata, metadata, text, whole
from .subscription_rows import Maker

_PERIOD = fields({"end": integer, "start": integer}, ("end", "start"))
ITEM: Shape = {
    "amount": integer,
    "currency": text(3, clearable=False),
    "description": text(),
    "discountable": flag,
    "discounts": DISCOUNTS,
    "metadata": metadata,
    "period": _PERIOD,
    "price_data": ONCE_PRICE_DATA,
    "pricing": fields({"price": text(clearable=False)}),
    "quantity": whole(0, 999_999),
    "tax_behavior": choice("exclusive", "inclusive", "unspecified"),
    "tax_rates": items(text(), 5),
    "unit_amount_decimal": decimal,
}
# A preview names a price in the older way, and nothing is kept of what it describes.
PREVIEW_ITEM: Shape = {
    **{name: kind for name, kind in ITEM.items() if name != "pricing"},
    "price": text(clearable=False), "unit_amount": integer,
}  # fmt: skip
_CREATE: Shape = {
    **ITEM, "customer": text(clearable=False), "invoice": text(clearable=False), "subscription": text(clearable=False),
}  # fmt: skip
_UPDATE: Shape = {
    name: ITEM[name]
    for name in ("amount", "description", "discountable", "discounts", "metadata", "period", "quantity")
}


def item_values(account: Account, customer: Json, amount: int, currency: str, **more: Any) -> Json:
    """The fields of an invoice item that stands for an amount (smallest unit, negative is a credit)."""
    now = account.clock.now_s()
    return {
        "amount": amount,
        "currency": currency,
        "customer": customer["id"],
        "customer_account": None,
        "date": now,
        "description": None,
        "discountable": amount >= 0,
        "discounts": [],
        "frozen_fields": None,
        "invoice": None,
        "metadata": {},
        "net_amount": amount,
        "parent": None,
        "period": {"end": now, "start": now},
        "pricing": None,
        "proration": False,
        "proration_details": None,
        "quantity": 1,
        "quantity_decimal": str(more.get("quantity", 1)),
        "tax_rates": [],
        "test_clock": customer["test_clock"],
        **more,
    }


def proration_values(account: Account, subscription: Json, customer: Json, part: Json) -> Json:
    """The invoice item of a proration as `credit_lines` worked it out."""
    item, (start, end) = part["item"], part["period"]
    return item_values(
        account, customer, part["amount"], subscription["currency"], description=part["description"],
        discountable=False, period={"end": end, "start": start}, pricing=pricing_of(item["price"]), proration=True,
        parent={"subscription_details": {"subscription": subscription["id"], "subscription_item": item["id"]},
                "type": "subscription_details"},
        proration_details={"credited_items": part["credited_items"], "discount_amounts": []}, quantity=item["quantity"],
    )  # fmt: skip


def add_item(account: Account, customer: Json, values: Json, *, waits: bool = True) -> Json:
    """Keep an invoice item and tell it; it waits for the customer's next invoice."""
    row = account.add("invoiceitem", values)
    del row["created"]  # Stripe calls it `date`
    if waits:
        account.change(customer, _pending=[*customer.get("_pending", []), row["id"]],
                       currency=customer["currency"] or row["currency"])  # fmt: skip
    emit(account, "invoiceitem.created", row)
    return row


def given_values(account: Account, customer: Json, given: Json, currency: str | None = None,
                 made: Maker = add_price) -> Json:  # fmt: skip
    """The fields of an invoice item from the parameters: an amount, or a price or a unit's amount with a quantity."""
    ways = [name for name in ("amount", "price", "price_data", "pricing", "unit_amount", "unit_amount_decimal")
            if name in given]  # fmt: skip
    if len(ways) > 1:
        raise invalid(f"You may only specify one of these parameters: {', '.join(ways)}.", ways[0])
    price = _price(account, given, made)
    quantity = given.get("quantity", 1)
    unit = given.get("unit_amount_decimal", given.get("unit_amount"))
    if price is not None:
        amount, currency = price_amount(price, quantity), price["currency"]
    elif unit is not None:
        amount = half_up(Decimal(unit) * quantity)
    elif "amount" in given:
        amount = given["amount"]
    else:
        raise missing_parameter("amount")
    if price is None and not (given.get("currency") or currency):
        raise missing_parameter("currency")
    code = currency_code(str(given.get("currency") or currency))
    if price is not None and code != price["currency"]:
        raise invalid("The currency of the price does not match the currency of the invoice item.", "currency")
    period = given.get("period")
    more = {"period": {"end": period["end"], "start": period["start"]}} if period else {}
    return item_values(
        account, customer, amount, code, description=given.get("description") or (
            product_name(account, price) if price else None),
        discountable=given.get("discountable", amount >= 0), metadata=merged_metadata({}, given.get("metadata")),
        pricing=pricing_of(price) if price else None, quantity=quantity, **more,
    )  # fmt: skip


def _price(account: Account, given: Json, made: Maker) -> Json | None:
    chosen_price = (given.get("pricing") or {}).get("price") or given.get("price")
    if chosen_price:
        price = account.get("price", chosen_price, "pricing[price]")
        if price["type"] == "recurring":
            raise invalid("The price specified is recurring; invoice items take one-time prices.", "pricing[price]")
        return price
    if given.get("price_data"):
        return made(account, given["price_data"], "price_data")
    return None


def _create(call: Call) -> Json:
    account, given = call.account, call.params
    if "customer" not in given:
        raise missing_parameter("customer")
    customer = live_customer(account, given["customer"])
    invoice = account.get("invoice", given["invoice"], "invoice") if given.get("invoice") else None
    if invoice is not None and (invoice["status"] != "draft" or invoice["customer"] != customer["id"]):
        raise invalid("The invoice is not a draft of this customer; items can only be added to drafts.", "invoice")
    subscription = _subscription(account, customer, given)
    owner = invoice or subscription
    values = given_values(account, customer, given, (owner or customer)["currency"])
    if owner is not None and values["currency"] != owner["currency"]:
        raise invalid(
            f"The currency of the invoice item does not match the currency of the {owner['object']}.", "currency"
        )
    if subscription is not None:
        values["parent"] = {
            "subscription_details": {"subscription": given["subscription"], "subscription_item": None},
            "type": "subscription_details",
        }
    if given.get("discounts"):
        picked = in_currency(chosen(account, given["discounts"], customer["id"]), values["currency"])
        values["discounts"] = [redeem(account, one)["id"] for one in picked]
    row = add_item(account, customer, values, waits=invoice is None)
    if invoice is not None:
        put_on(account, invoice, row)
    return row


def _subscription(account: Account, customer: Json, given: Json) -> Json | None:
    """The subscription whose next invoice an item shall wait for; it must be the customer's."""
    if not given.get("subscription"):
        return None
    subscription = account.get("subscription", given["subscription"], "subscription")
    if subscription["customer"] != customer["id"]:
        raise invalid(f"The subscription {subscription['id']} does not belong to the customer {customer['id']}.",
                      "subscription")  # fmt: skip
    return subscription


def put_on(account: Account, invoice: Json, row: Json) -> None:
    """Put an invoice item on a draft."""
    line = line_of_invoice_item(row)
    account.change(row, invoice=invoice["id"])
    reckon(account, invoice, [*invoice["lines"]["data"], line])


def reckon(account: Account, invoice: Json, lines: list[Json]) -> None:
    """Give a draft other lines, add up again and tell it."""
    before = {name: invoice[name] for name in ("amount_due", "subtotal", "total")}
    discounts = [account.get("discount", one, "discount") for one in invoice["discounts"]]
    set_lines(account, invoice, lines, discounts)
    account.save(invoice)
    emit_update(account, "invoice.updated", invoice,
                {name: value for name, value in before.items() if invoice[name] != value})  # fmt: skip


def _existing(call: Call) -> Json:
    return call.account.get("invoiceitem", call.id, "id", status=404, noun="invoice item")


def _waiting(call: Call) -> tuple[Json, Json | None]:
    """The item, with its draft; one on a finalised invoice cannot be changed."""
    row = _existing(call)
    invoice = call.account.find("invoice", row["invoice"] or "")
    if invoice is not None and invoice["status"] != "draft":
        raise invalid("The invoice item is on an invoice that is finalized and can no longer be changed.", "id")
    return row, invoice


def _update(call: Call) -> Json:
    row, invoice = _waiting(call)
    values = {name: value for name, value in call.params.items() if name not in ("discounts", "metadata")}
    if "quantity" in values:
        values["quantity_decimal"] = str(values["quantity"])
        if "amount" not in values and row["pricing"]:
            values["amount"] = half_up(Decimal(row["pricing"]["unit_amount_decimal"]) * values["quantity"])
    if "discounts" in call.params:
        picked = in_currency(chosen(call.account, call.params["discounts"], row["customer"]), row["currency"])
        values["discounts"] = [redeem(call.account, one)["id"] for one in picked]
    if "metadata" in call.params:
        values["metadata"] = merged_metadata(row["metadata"], call.params["metadata"])
    call.account.change(row, **values, net_amount=values.get("amount", row["net_amount"]))
    if invoice is not None:
        others = _other_lines(invoice, row)
        reckon(call.account, invoice, [*others, line_of_invoice_item(row)])
    return row


def _other_lines(invoice: Json, row: Json) -> list[Json]:
    return [line for line in invoice["lines"]["data"]
            if (line["parent"].get("invoice_item_details") or {}).get("invoice_item") != row["id"]]  # fmt: skip


def _delete(call: Call) -> Json:
    row, invoice = _waiting(call)
    account = call.account
    emit(account, "invoiceitem.deleted", row)
    customer = account.find("customer", row["customer"])
    if customer is not None and row["id"] in customer.get("_pending", []):
        account.change(customer, _pending=[one for one in customer["_pending"] if one != row["id"]])
    if invoice is not None:
        reckon(account, invoice, _other_lines(invoice, row))
    account.remove("invoiceitem", row["id"])
    return {"id": row["id"], "object": "invoiceitem", "deleted": True}


def _list(call: Call) -> Json:
    keep = lists.same(call.params, "customer", "invoice")
    pending = call.params.get("pending")
    return lists.page(call.account, "invoiceitem", call.params, "/v1/invoiceitems",
                      lambda row: keep(row) and (pending is None or pending == (row["invoice"] is None)))  # fmt: skip


OPERATIONS: list[Operation] = [
    post("/v1/invoiceitems", _create, _CREATE),
    listing("/v1/invoiceitems", _list, {"customer": text(), "invoice": text(), "pending": flag}),
    get("/v1/invoiceitems/{id}", _existing),
    post("/v1/invoiceitems/{id}", _update, _UPDATE),
    delete("/v1/invoiceitems/{id}", _delete),
]
