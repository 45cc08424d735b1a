"""Credit notes: what a finalised invoice is lowered by, before it is paid or after.

While an invoice is open a note lowers what is left to pay. What goes beyond that was paid already: it is refunded, put
on the customer's balance, or given back elsewhere.
"""

from __future__ import annotations

from decimal import Decimal

from .accounts import Account
from .coupons import half_up
from .customer_balance import move_balance
from .errors import Json, invalid
from .events import emit, emit_update
from .ids import new_id
from .invoice_payments import ask_for_rest, payments_of
from .invoices import mark_paid
from .lists import list_of
from .money import written
from .params import merged_metadata
from .refunds import refund_charge

_CREDITABLE = ("open", "paid", "uncollectible")
_SUMS = ("credit_amount", "out_of_band_amount", "refund_amount")


def note_values(account: Account, given: Json) -> Json:
    """The fields of a credit note from its parameters; nothing is kept yet. Refused when the invoice has not so much."""
    invoice = account.get("invoice", given["invoice"], "invoice")
    if invoice["status"] not in _CREDITABLE:
        raise invalid(
            f"You can only create a credit note for an invoice that is open, paid or uncollectible. This one is "
            f"{invoice['status']}.", "invoice",
        )  # fmt: skip
    note_id = new_id("credit_note")
    lines = _lines(invoice, given)
    subtotal, off = sum(line["amount"] for line in lines), sum(line["discount_amount"] for line in lines)
    total = subtotal - off if lines else _named_amount(given)
    _check_total(invoice, total, given)
    before = min(total, invoice["amount_remaining"]) if invoice["status"] != "paid" else 0
    _check_parts(account, invoice, total - before, given)
    sums = {"amount": total, "total": total, "total_excluding_tax": total, "discount_amount": off,
            "subtotal": subtotal if lines else total, "subtotal_excluding_tax": subtotal if lines else total}  # fmt: skip
    return {
        **_unset(account, invoice, note_id),
        **sums,
        "currency": invoice["currency"],
        "customer": invoice["customer"],
        "discount_amounts": _summed(lines),
        "effective_at": given.get("effective_at", account.clock.now_s()),
        "id": note_id,
        "invoice": invoice["id"],
        "lines": list_of(lines, f"/v1/credit_notes/{note_id}/lines"),
        "memo": given.get("memo"),
        "metadata": merged_metadata({}, given.get("metadata")),
        "out_of_band_amount": given.get("out_of_band_amount"),
        "post_payment_amount": total - before,
        "pre_payment_amount": before,
        "pretax_credit_amounts": [{**one, "type": "discount"} for one in _summed(lines)],
        "reason": given.get("reason"),
        "type": "pre_payment" if total == before else "mixed" if before else "post_payment",
    }


def _unset(account: Account, invoice: Json, note_id: str) -> Json:
    """The fields of a note that say nothing yet, or are the same for each."""
    number = f"{invoice['number']}-CN-{len(invoice.get('_notes', [])) + 1:02d}"
    return {
        "amount_shipping": 0,
        "customer_account": None,
        "customer_balance_transaction": None,
        "number": number,
        "pdf": f"{account.public_url}/i/{invoice['id']}/pdf?note={note_id}",
        "refunds": [],
        "shipping_cost": None,
        "status": "issued",
        "total_taxes": [],
        "voided_at": None,
    }


def _named_amount(given: Json) -> int:
    """The amount of a note without lines: named itself, or the sum of where it goes."""
    parts = sum(given.get(name, 0) for name in _SUMS) + sum(_refunded(one) for one in given.get("refunds") or [])
    amount = int(given.get("amount", parts))
    if not amount:
        raise invalid("You must specify at least one of: amount, lines, or shipping_cost.", "amount")
    return amount


def _refunded(given: Json) -> int:
    return int(given.get("amount_refunded", 0))


def _check_total(invoice: Json, total: int, given: Json) -> None:
    """Refuse a note of another amount than its lines come to, or of more than the invoice still has."""
    if "amount" in given and given["amount"] != total:
        raise invalid(f"The credit note amount ({given['amount']}) does not match the total of its lines ({total}).",
                      "amount")  # fmt: skip
    rest = invoice["total"] - invoice["pre_payment_credit_notes_amount"] - invoice["post_payment_credit_notes_amount"]
    if not 0 < total <= rest:
        raise invalid(
            f"The credit note amount ({written(total, invoice['currency'])}) must be greater than zero and at most the "
            f"amount of the invoice that has not been credited ({written(rest, invoice['currency'])}).", "amount",
        )  # fmt: skip


def _check_parts(account: Account, invoice: Json, after: int, given: Json) -> None:
    """What was paid already has to go somewhere, and no more than that."""
    known = [account.get("refund", one["refund"], "refunds") for one in given.get("refunds") or []]
    linked = sum(_refunded(one) or row["amount"] for one, row in zip(given.get("refunds") or [], known, strict=True))
    parts = sum(given.get(name, 0) for name in _SUMS) + linked
    if parts != after:
        currency = invoice["currency"]
        raise invalid(
            f"The sum of credit amount, refund amount and out of band amount ({written(parts, currency)}) must equal the "
            f"post payment credit note amount ({written(after, currency)}).",
        )  # fmt: skip


def _lines(invoice: Json, given: Json) -> list[Json]:
    known = {line["id"]: line for line in invoice["lines"]["data"]}
    return [_line(known, one, f"lines[{place}]") for place, one in enumerate(given.get("lines") or [])]


def _line(known: dict[str, Json], given: Json, param: str) -> Json:
    """One line of a note: a part of a line of the invoice, or something of its own."""
    of_invoice = given["type"] == "invoice_line_item"
    line = known.get(given.get("invoice_line_item") or "")
    if of_invoice and line is None:
        raise invalid(f"No such invoice line item: '{given.get('invoice_line_item')}'", f"{param}[invoice_line_item]",
                      "resource_missing")  # fmt: skip
    amount = _line_amount(line, given, param)
    off = _discounts(line, amount) if line else []
    unit = given.get("unit_amount_decimal", given.get("unit_amount"))
    return {
        "id": new_id("credit_note_line_item"),
        "object": "credit_note_line_item",
        "amount": amount,
        "description": given.get("description") or (line["description"] if line else None),
        "discount_amount": sum(one["amount"] for one in off),
        "discount_amounts": off,
        "invoice_line_item": line["id"] if line else None,
        "livemode": False,
        "metadata": merged_metadata({}, given.get("metadata")),
        "pretax_credit_amounts": [{**one, "type": "discount"} for one in off],
        "quantity": given.get("quantity"),
        "tax_rates": [],
        "taxes": [],
        "type": given["type"],
        "unit_amount": given.get("unit_amount"),
        "unit_amount_decimal": None if unit is None else str(unit),
    }


def _discounts(line: Json, amount: int) -> list[Json]:
    """The share of an invoice line's discounts that falls on so much of it."""
    known = line["discount_amounts"] if line["amount"] else []
    return [{**one, "amount": _share(one["amount"], amount, line["amount"])} for one in known]


def _line_amount(line: Json | None, given: Json, param: str) -> int:
    """What a line comes to: its amount, units of a price, or so many of the invoice line's own."""
    unit = given.get("unit_amount_decimal", given.get("unit_amount"))
    if line is not None and "amount" in given:
        amount = int(given["amount"])
    elif line is not None and unit is None:
        whole = int(line["quantity"] or 1)
        amount = _share(line["amount"], int(given["quantity"]) if "quantity" in given else whole, whole)
    elif unit is not None and "quantity" in given:
        amount = half_up(Decimal(unit) * given["quantity"])
    else:
        raise invalid(
            "A credit note line needs a quantity and a unit amount.", f"{param}[quantity]", "parameter_missing"
        )
    if line is not None and amount > line["amount"]:
        raise invalid("You cannot credit more than the amount of the invoice line item.", f"{param}[amount]")
    return amount


def _summed(lines: list[Json]) -> list[Json]:
    """The discounts of all lines, by discount."""
    off: dict[str, int] = {}
    for line in lines:
        for one in line["discount_amounts"]:
            off[one["discount"]] = off.get(one["discount"], 0) + one["amount"]
    return [{"amount": amount, "discount": discount} for discount, amount in off.items()]


def _share(amount: int, part: int, whole: int) -> int:
    """So much of an amount as `part` is of `whole`, halves rounded up."""
    return half_up(Decimal(amount) * part / whole)


def issue(account: Account, values: Json, given: Json) -> Json:
    """Keep a note, tell it, and let its invoice and its customer have what it gives back."""
    invoice = account.get("invoice", values["invoice"], "invoice")
    note = account.add("credit_note", values, object_id=values["id"])
    account.change(note, **_give_back(account, invoice, note, given))
    emit(account, "credit_note.created", note)
    account.change(invoice, _notes=[*invoice.get("_notes", []), note["id"]])
    _lower(account, invoice, note, 1)
    return note


def _give_back(account: Account, invoice: Json, note: Json, given: Json) -> Json:
    """Refund or credit what was paid already; gives the fields of the note that tell of it."""
    values: Json = {"refunds": [_linked(account, one) for one in given.get("refunds") or []]}
    if given.get("refund_amount"):
        refunds = _refund(account, invoice, given["refund_amount"])
        values["refunds"] += [_link(row, row["amount"]) for row in refunds]
    if given.get("credit_amount"):
        customer = account.get("customer", invoice["customer"], "customer")
        moved = move_balance(account, customer, -given["credit_amount"], invoice["currency"], "credit_note",
                             invoice=invoice["id"])  # fmt: skip
        account.change(moved, credit_note=note["id"])
        values["customer_balance_transaction"] = moved["id"]
    return values


def _linked(account: Account, given: Json) -> Json:
    row = account.get("refund", given["refund"], "refunds")
    return _link(row, _refunded(given) or row["amount"])


def _link(refund: Json, amount: int) -> Json:
    return {"amount_refunded": amount, "payment_record_refund": None, "refund": refund["id"], "type": "refund"}


def _refund(account: Account, invoice: Json, amount: int) -> list[Json]:
    """Refund so much of the invoice's payments, the newest first."""
    made = []
    for payment in reversed(payments_of(account, invoice)):
        intent = account.find("payment_intent", payment["payment"]["payment_intent"])
        charge = account.find("charge", (intent or {}).get("latest_charge") or "")
        part = min(amount, charge["amount"] - charge["amount_refunded"]) if charge and charge["paid"] else 0
        if charge is not None and part:
            made.append(refund_charge(account, charge, {"amount": part}))
            amount -= part
    if amount:
        raise invalid("The refund amount is greater than what was paid for this invoice and not refunded.",
                      "refund_amount")  # fmt: skip
    return made


def _lower(account: Account, invoice: Json, note: Json, sign: int) -> None:
    """Take a note off its invoice (`sign` 1), or put it back (-1); an invoice with nothing left to pay is paid."""
    before, after = sign * note["pre_payment_amount"], sign * note["post_payment_amount"]
    previous = account.change(
        invoice,
        amount_due=invoice["amount_due"] - before,
        amount_remaining=invoice["amount_remaining"] - before,
        post_payment_credit_notes_amount=invoice["post_payment_credit_notes_amount"] + after,
        pre_payment_credit_notes_amount=invoice["pre_payment_credit_notes_amount"] + before,
    )
    emit_update(account, "invoice.updated", invoice, previous)
    if invoice["status"] != "paid" and not invoice["amount_remaining"]:
        mark_paid(account, invoice)
    elif invoice["status"] != "paid" and before:
        ask_for_rest(account, invoice)


def void_note(account: Account, note: Json) -> None:
    """Take a note back; only one of an invoice that is still open. Tells it."""
    invoice = account.get("invoice", note["invoice"], "invoice")
    if note["status"] == "void":
        raise invalid("This credit note has already been voided.", "id")
    if invoice["status"] != "open" or note["post_payment_amount"]:
        raise invalid("You can only void a credit note of an invoice that is open.", "id")
    account.change(note, status="void", voided_at=account.clock.now_s())
    emit(account, "credit_note.voided", note)
    _lower(account, invoice, note, -1)
