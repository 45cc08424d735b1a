"""Tax rates: kept and shown. No tax is computed from them here."""

from __future__ import annotations

from . import lists
from .calls import Call, Operation, get, listing, post
from .errors import Json, invalid
from .events import emit, emit_update
from .params import Shape, choice, flag, measure, merged_metadata, metadata, text

_TYPES = (
    "admissions_tax", "amusement_tax", "attendance_tax", "communications_tax", "digital_excise_tax", "entertainment_tax",
    "get_fund", "gross_receipts_tax", "gst", "hospitality_tax", "hst", "igst", "jct", "lease_tax", "luxury_tax",
    "mass_transit_parking_tax", "nhil", "parking_tax", "pst", "qst", "resort_tax", "retail_delivery_fee", "rst",
    "sales_tax", "service_tax", "tourism_tax", "utility_users_tax", "vat",
)  # fmt: skip
_UPDATE: Shape = {
    "active": flag,
    "country": text(2),
    "description": text(),
    "display_name": text(50, clearable=False),
    "jurisdiction": text(50),
    "metadata": metadata,
    "state": text(),
    "tax_type": choice(*_TYPES),
}
_CREATE: Shape = {**_UPDATE, "inclusive": flag, "percentage": measure}


def _create(call: Call) -> Json:
    if not 0 <= call.params["percentage"] <= 100:
        raise invalid("Percentage must be between 0 and 100.", "percentage")
    rate = call.account.add("tax_rate", {
        **dict.fromkeys(("country", "description", "jurisdiction", "jurisdiction_level", "state", "tax_type")),
        "active": True,
        "effective_percentage": None,
        "flat_amount": None,
        "rate_type": "percentage",
        **call.params,
        "metadata": merged_metadata({}, call.params.get("metadata")),
    })  # fmt: skip
    emit(call.account, "tax_rate.created", rate)
    return rate


def _retrieve(call: Call) -> Json:
    return call.account.get("tax_rate", call.id, "tax_rate", status=404)


def _update(call: Call) -> Json:
    rate, values = _retrieve(call), dict(call.params)
    if "metadata" in values:
        values["metadata"] = merged_metadata(rate["metadata"], values["metadata"])
    emit_update(call.account, "tax_rate.updated", rate, call.account.change(rate, **values))
    return rate


def _list(call: Call) -> Json:
    keep = lists.same(call.params, "active", "inclusive")
    return lists.page(call.account, "tax_rate", call.params, "/v1/tax_rates", keep)


OPERATIONS: list[Operation] = [
    post("/v1/tax_rates", _create, _CREATE, ("display_name", "inclusive", "percentage")),
    listing("/v1/tax_rates", _list, {"active": flag, "inclusive": flag}),
    get("/v1/tax_rates/{id}", _retrieve),
    post("/v1/tax_rates/{id}", _update, _UPDATE),
]
