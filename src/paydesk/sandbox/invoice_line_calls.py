"""Lines of a draft in the API: added, changed and removed, one or several at once.

A line that is added is an invoice item of the draft. Lines of a subscription's items can be changed, but neither
removed nor given discounts of their own.
"""

from __future__ import annotations

from decimal import Decimal

from .accounts import Account
from .calls import Call, Operation, post
from .catalog import PRICE_DATA, add_price
from .coupons import DISCOUNTS, chosen, half_up, in_currency, redeem
from .errors import Json, invalid, missing_parameter, no_such
from .events import emit, emit_update
from .invoice_items import add_item, given_values, reckon
from .invoice_lines import line_of_invoice_item, price_amount, pricing_of
from .params import Shape, choice, fields, flag, integer, items, merged_metadata, metadata, text, whole

_PRICE_PARTS = ("currency", "product", "product_data", "tax_behavior", "unit_amount", "unit_amount_decimal")
_LINE: Shape = {
    "amount": integer,
    "description": text(),
    "discountable": flag,
    "discounts": DISCOUNTS,
    "metadata": metadata,
    "period": fields({"end": integer, "start": integer}, ("end", "start")),
    "price_data": fields({name: PRICE_DATA[name] for name in _PRICE_PARTS}, ("currency",)),
    "pricing": fields({"price": text(clearable=False)}),
    "quantity": whole(0, 999_999),
}


def _draft(call: Call) -> Json:
    invoice = call.account.get("invoice", call.id, "invoice", status=404)
    if invoice["status"] != "draft":
        raise invalid(f"This invoice has the status {invoice['status']}; only the lines of a draft can be changed.",
                      None, "invoice_not_editable")  # fmt: skip
    return invoice


def _line_of(invoice: Json, line_id: str, param: str, status: int = 400) -> Json:
    for line in invoice["lines"]["data"]:
        if line["id"] == line_id:
            return dict(line)
    raise no_such("invoice line item", line_id, param, status)


def _item_of(account: Account, line: Json) -> Json | None:
    """The invoice item behind a line, if there is one."""
    parent = line["parent"]
    details = parent.get("invoice_item_details") or parent.get("subscription_item_details") or {}
    return account.find("invoiceitem", details.get("invoice_item") or "")


def _set_metadata(call: Call, invoice: Json) -> None:
    if "invoice_metadata" in call.params:
        merged = merged_metadata(invoice["metadata"], call.params["invoice_metadata"])
        emit_update(call.account, "invoice.updated", invoice, call.account.change(invoice, metadata=merged))


def _add(call: Call) -> Json:
    account, invoice = call.account, _draft(call)
    customer = account.get("customer", invoice["customer"], "customer")
    made = [_added(account, invoice, customer, given, f"lines[{place}]")
            for place, given in enumerate(call.params["lines"])]  # fmt: skip
    for row in made:
        account.change(row, invoice=invoice["id"])
    reckon(account, invoice, [*invoice["lines"]["data"], *map(line_of_invoice_item, made)])
    _set_metadata(call, invoice)
    return invoice


def _added(account: Account, invoice: Json, customer: Json, given: Json, param: str) -> Json:
    """The invoice item of a new line: one that waits, or a new one."""
    if given.get("invoice_item"):
        row = account.get("invoiceitem", given["invoice_item"], f"{param}[invoice_item]", noun="invoice item")
        if row["id"] not in customer.get("_pending", []) or row["currency"] != invoice["currency"]:
            raise invalid("The invoice item must wait for an invoice of this customer, in the invoice's currency.",
                          f"{param}[invoice_item]")  # fmt: skip
        account.change(customer, _pending=[one for one in customer["_pending"] if one != row["id"]])
        return row
    values = given_values(account, customer, given, invoice["currency"])
    if values["currency"] != invoice["currency"]:
        raise invalid("The currency of the line does not match the currency of the invoice.", param)
    if given.get("discounts"):
        picked = in_currency(chosen(account, given["discounts"], customer["id"]), invoice["currency"])
        values["discounts"] = [redeem(account, one)["id"] for one in picked]
    return add_item(account, customer, values, waits=False)


def _update_all(call: Call) -> Json:
    account, invoice = call.account, _draft(call)
    changed = {}
    for place, given in enumerate(call.params["lines"]):
        line = _line_of(invoice, given["id"], f"lines[{place}][id]")
        changed[line["id"]] = _changed(account, invoice, line, given, f"lines[{place}]")
    reckon(account, invoice, [changed.get(line["id"], line) for line in invoice["lines"]["data"]])
    _set_metadata(call, invoice)
    return invoice


def _update_one(call: Call) -> Json:
    account, invoice = call.account, _draft(call)
    line = _line_of(invoice, call.path["line"], "line_item_id", 404)
    changed = _changed(account, invoice, line, call.params, "")
    reckon(account, invoice, [changed if one["id"] == line["id"] else one for one in invoice["lines"]["data"]])
    return _line_of(invoice, line["id"], "line_item_id")


def _changed(account: Account, invoice: Json, line: Json, given: Json, param: str) -> Json:
    """A line with new values; what it and its invoice item have in common is changed on both."""
    values: Json = {name: given[name] for name in ("description", "discountable", "period") if name in given}
    values |= _new_amount(account, invoice, line, given, param)
    if "metadata" in given:
        values["metadata"] = merged_metadata(line["metadata"], given["metadata"])
    row = _item_of(account, line)
    if row is not None:
        more = {}
        if "discounts" in given:
            picked = in_currency(chosen(account, given["discounts"], invoice["customer"]), invoice["currency"])
            more["discounts"] = [redeem(account, one)["id"] for one in picked]
        account.change(row, **values, **more, net_amount=values.get("amount", row["net_amount"]))
    elif given.get("discounts"):
        raise invalid("The line of a subscription item has the discounts of that item.", "discounts")
    return {**line, **values, "subtotal": values.get("amount", line["subtotal"])}


def _new_amount(account: Account, invoice: Json, line: Json, given: Json, param: str) -> Json:
    """Amount, quantity and pricing as far as the parameters change them."""
    ways = [name for name in ("amount", "price_data", "pricing") if given.get(name) is not None]
    if len(ways) > 1:
        raise invalid(f"You may only specify one of these parameters: {', '.join(ways)}.", ways[0])
    quantity = given.get("quantity", line["quantity"])
    counted = {"quantity": quantity, "quantity_decimal": None if quantity is None else str(quantity)}
    if "amount" in ways:
        return {**counted, "amount": given["amount"], "pricing": None}
    if ways:
        price = _price(account, given, f"{param}[{ways[0]}]" if param else ways[0])
        if price["currency"] != invoice["currency"]:
            raise invalid("The currency of the price does not match the currency of the invoice.", ways[0])
        return {**counted, "amount": price_amount(price, quantity or 1), "pricing": pricing_of(price)}
    if "quantity" in given and line["pricing"]:
        unit = Decimal(line["pricing"]["unit_amount_decimal"])
        return {**counted, "amount": half_up(unit * int(given["quantity"]))}
    return counted if "quantity" in given else {}


def _price(account: Account, given: Json, param: str) -> Json:
    if given.get("price_data"):
        return add_price(account, given["price_data"], param)
    if not given["pricing"].get("price"):
        raise missing_parameter(f"{param}[price]")
    price = account.get("price", given["pricing"]["price"], f"{param}[price]")
    if price["type"] == "recurring":
        raise invalid("The price specified is recurring; invoice items take one-time prices.", f"{param}[price]")
    return price


def _remove(call: Call) -> Json:
    account, invoice = call.account, _draft(call)
    customer = account.get("customer", invoice["customer"], "customer")
    gone = []
    for place, given in enumerate(call.params["lines"]):
        line = _line_of(invoice, given["id"], f"lines[{place}][id]")
        row = _item_of(account, line)
        if row is None:
            raise invalid("The line of a subscription item cannot be removed.", f"lines[{place}][id]")
        gone.append((line["id"], row, given["behavior"]))
    for _, row, behavior in gone:
        _let_go(account, customer, row, behavior)
    removed = {line_id for line_id, _, _ in gone}
    reckon(account, invoice, [line for line in invoice["lines"]["data"] if line["id"] not in removed])
    _set_metadata(call, invoice)
    return invoice


def _let_go(account: Account, customer: Json, row: Json, behavior: str) -> None:
    """An invoice item whose line is removed is deleted, or waits again."""
    if behavior == "delete":
        emit(account, "invoiceitem.deleted", row)
        account.remove("invoiceitem", row["id"])
    else:
        account.change(row, invoice=None)
        account.change(customer, _pending=[*customer.get("_pending", []), row["id"]])


_LINES: Shape = {"invoice_metadata": metadata}
_REMOVED = fields({"behavior": choice("delete", "unassign"), "id": text(clearable=False)}, ("behavior", "id"))
OPERATIONS: list[Operation] = [
    post("/v1/invoices/{id}/add_lines", _add,
         {**_LINES, "lines": items(fields({**_LINE, "invoice_item": text(clearable=False)}), 250)}, ("lines",)),
    post("/v1/invoices/{id}/update_lines", _update_all,
         {**_LINES, "lines": items(fields({**_LINE, "id": text(clearable=False)}, ("id",)), 250)}, ("lines",)),
    post("/v1/invoices/{id}/remove_lines", _remove, {**_LINES, "lines": items(_REMOVED, 250)}, ("lines",)),
    post("/v1/invoices/{id}/lines/{line}", _update_one, _LINE),
]  # fmt: skip
