"""The calls for credit notes."""

from __future__ import annotations

from . import lists
from .calls import Call, Operation, get, listing, post
from .credit_notes import issue, note_values, void_note
from .errors import Json
from .events import emit_update
from .params import Kind, Shape, choice, decimal, fields, integer, items, merged_metadata, metadata, text, whole

_LINE: Shape = {
    "amount": whole(1),
    "description": text(),
    "invoice_line_item": text(clearable=False),
    "metadata": metadata,
    "quantity": whole(1),
    "type": choice("custom_line_item", "invoice_line_item"),
    "unit_amount": whole(0),
    "unit_amount_decimal": decimal,
}
_REFUND: Kind = fields({"amount_refunded": whole(1), "refund": text(clearable=False), "type": choice("refund")})
_CREATE: Shape = {
    "amount": whole(1),
    "credit_amount": whole(0),
    "effective_at": integer,
    "email_type": choice("credit_note", "none"),
    "invoice": text(clearable=False),
    "lines": items(fields(_LINE, ("type",)), 100),
    "memo": text(),
    "metadata": metadata,
    "out_of_band_amount": whole(0),
    "reason": choice("duplicate", "fraudulent", "order_change", "product_unsatisfactory"),
    "refund_amount": whole(0),
    "refunds": items(_REFUND, 100),
}


def _create(call: Call) -> Json:
    return issue(call.account, note_values(call.account, call.params), call.params)


def _preview(call: Call) -> Json:
    """What a note would be; nothing is kept."""
    values = note_values(call.account, call.params)
    return {"object": "credit_note", "created": call.account.clock.now_s(), "livemode": False, **values}


def _preview_lines(call: Call) -> Json:
    lines = note_values(call.account, call.params)["lines"]["data"]
    return lists.window(lines, call.params, "/v1/credit_notes/preview/lines")


def _retrieve(call: Call) -> Json:
    return call.account.get("credit_note", call.id, "id", status=404)


def _update(call: Call) -> Json:
    note, values = _retrieve(call), dict(call.params)
    if "metadata" in values:
        values["metadata"] = merged_metadata(note["metadata"], values["metadata"])
    emit_update(call.account, "credit_note.updated", note, call.account.change(note, **values))
    return note


def _void(call: Call) -> Json:
    note = _retrieve(call)
    void_note(call.account, note)
    return note


def _list(call: Call) -> Json:
    keep = lists.same(call.params, "customer", "invoice")
    return lists.page(call.account, "credit_note", call.params, "/v1/credit_notes", keep)


def _lines(call: Call) -> Json:
    return lists.window(_retrieve(call)["lines"]["data"], call.params, f"/v1/credit_notes/{call.id}/lines")


OPERATIONS: list[Operation] = [
    post("/v1/credit_notes", _create, _CREATE, ("invoice",)),
    listing("/v1/credit_notes", _list, {"customer": text(), "invoice": text()}),
    get("/v1/credit_notes/preview", _preview, _CREATE, required=("invoice",)),
    listing("/v1/credit_notes/preview/lines", _preview_lines, _CREATE, dated=False, required=("invoice",)),
    get("/v1/credit_notes/{id}", _retrieve),
    post("/v1/credit_notes/{id}", _update, {"memo": text(), "metadata": metadata}),
    listing("/v1/credit_notes/{id}/lines", _lines, dated=False),
    post("/v1/credit_notes/{id}/void", _void),
]
