"""Webhook endpoints."""

from __future__ import annotations

from urllib.parse import urlsplit

from . import lists
from .accounts import Account
from .calls import Call, Operation, delete, get, listing, post
from .errors import Json, invalid
from .ids import derived_text, random_text
from .params import Shape, choice, flag, items, merged_metadata, metadata, text
from .versions import is_version
from .words import EVENT_TYPES

_COMMON: Shape = {
    "description": text(),
    "enabled_events": items(choice(*EVENT_TYPES), 300),
    "metadata": metadata,
    "url": text(clearable=False),
}


def configured_id(account: Account, url: str) -> str:
    """The id of the endpoint that the command line names: the same at each start."""
    return "we_1" + derived_text(account.key + url, 23)


def use_configured(account: Account, url: str, secret: str) -> None:
    """Have exactly this endpoint from the command line, beside those that were made by the API."""
    wanted = configured_id(account, url)
    for endpoint in list(account.all("webhook_endpoint")):
        if endpoint["_configured"] and endpoint["id"] != wanted:
            account.remove("webhook_endpoint", endpoint["id"])
    known = account.find("webhook_endpoint", wanted)
    if known is None:
        _add(account, url, ["*"], secret=secret, object_id=wanted)
    elif known["_secret"] != secret:
        account.change(known, _secret=secret)


def _add(
    account: Account,
    url: str,
    types: list[str],
    *,
    secret: str,
    object_id: str | None = None,
    given: Json | None = None,
) -> Json:
    params = given or {}
    return account.add("webhook_endpoint", {
        "api_version": params.get("api_version"),
        "application": None,
        "description": params.get("description"),
        "enabled_events": types,
        "metadata": merged_metadata({}, params.get("metadata")),
        "status": "enabled",
        "url": url,
        "_configured": object_id is not None,
        "_secret": secret,
    }, object_id=object_id)  # fmt: skip


def roll_secret(account: Account, endpoint: Json, lives_on_s: float) -> str:
    """Give an endpoint a new secret; the old one signs beside it for so long. Gives the new one."""
    now = account.clock.now()
    still = [old for old in endpoint.get("_rolled", []) if old["until"] > now]
    secret = "whsec_" + random_text(32)
    account.change(
        endpoint, _rolled=[*still, {"secret": endpoint["_secret"], "until": now + lives_on_s}], _secret=secret
    )
    return secret


def _checked(params: Json) -> Json:
    """The parameters, with address, types and version looked at."""
    if "url" in params:
        parts = urlsplit(params["url"])
        if parts.scheme not in ("http", "https") or not parts.hostname:
            raise invalid("Invalid URL: An explicit scheme (such as https) must be provided.", "url", "url_invalid")
    if "enabled_events" in params and not params["enabled_events"]:
        raise invalid("You must listen to at least one event.", "enabled_events")
    version = params.get("api_version")
    if version and not is_version(version):
        raise invalid(f"Invalid Stripe API version: {version}", "api_version")
    return params


def _create(call: Call) -> Json:
    params = _checked(call.params)
    secret = "whsec_" + random_text(32)
    endpoint = _add(call.account, params["url"], params["enabled_events"], secret=secret, given=params)
    return {**endpoint, "secret": secret}


def _retrieve(call: Call) -> Json:
    return call.account.get("webhook_endpoint", call.id, "id", status=404)


def _update(call: Call) -> Json:
    endpoint = call.account.get("webhook_endpoint", call.id, "id", status=404)
    params = _checked(call.params)
    values: Json = {name: params[name] for name in ("description", "enabled_events", "url") if name in params}
    if "disabled" in params:
        values["status"] = "disabled" if params["disabled"] else "enabled"
    if "metadata" in params:
        values["metadata"] = merged_metadata(endpoint["metadata"], params["metadata"])
    call.account.change(endpoint, **values)
    return endpoint


def _delete(call: Call) -> Json:
    call.account.get("webhook_endpoint", call.id, "id", status=404)
    call.account.remove("webhook_endpoint", call.id)
    return {"id": call.id, "object": "webhook_endpoint", "deleted": True}


def _list(call: Call) -> Json:
    return lists.page(call.account, "webhook_endpoint", call.params, "/v1/webhook_endpoints", lambda row: True)


OPERATIONS: list[Operation] = [
    post(
        "/v1/webhook_endpoints", _create, {**_COMMON, "api_version": text(), "connect": flag}, ("enabled_events", "url")
    ),
    listing("/v1/webhook_endpoints", _list, dated=False),
    get("/v1/webhook_endpoints/{id}", _retrieve),
    post("/v1/webhook_endpoints/{id}", _update, {**_COMMON, "disabled": flag}),
    delete("/v1/webhook_endpoints/{id}", _delete),
]
