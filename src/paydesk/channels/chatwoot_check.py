"""The look at a Chatwoot account: the token, the account, labels, attributes, the webhook. It mends what it can."""

from __future__ import annotations

import hmac
from collections.abc import Awaitable, Mapping
from typing import Any

from paydesk.channels.base import DeliveryError, Finding, Misconfigured
from paydesk.channels.chatwoot_calls import Calls
from paydesk.channels.chatwoot_settings import CONTACT, CONVERSATION, LABELS, Names, Settings

COLORS = {
    "payment-pending": "#f59e0b",
    "payment-paid": "#16a34a",
    "payment-failed": "#dc2626",
    "payment-refunded": "#6b7280",
    "status-booked": "#2563eb",
}

TYPES = {"payment_date": "date", "customer_since": "date", "payment_link": "link", "has_paid_lesson": "checkbox",
         "lesson_minutes": "number"}  # fmt: skip
"""How agents see an attribute; others are text. Numbers of the server's enum: see `_definition`."""

_DISPLAY = {"text": 0, "number": 1, "link": 4, "date": 5, "checkbox": 7}


async def missing_labels(calls: Calls, names: Names) -> dict[str, str]:
    """Return the labels that the account does not have yet, with their colours."""
    has = await calls.labels()
    return {names.of(name): color for name, color in COLORS.items() if names.of(name) and names.of(name) not in has}


async def missing_attributes(calls: Calls, names: Names) -> list[dict[str, Any]]:
    """Return the definitions of attributes that the account does not have yet."""
    has = await calls.attributes()
    wanted = [("conversation_attribute", name) for name in CONVERSATION] + [("contact_attribute", n) for n in CONTACT]
    return [
        _definition(model, name, names.of(name))
        for model, name in wanted
        if names.of(name) and (model, names.of(name)) not in has
    ]


def _definition(model: str, name: str, own: str) -> dict[str, Any]:
    title = own.replace("_", " ").capitalize()
    return {
        "attribute_display_name": title,
        "attribute_display_type": _DISPLAY[TYPES.get(name, "text")],
        "attribute_description": f"{title}, written by Paydesk",
        "attribute_key": own,
        "attribute_model": 0 if model == "conversation_attribute" else 1,
    }


async def prepare(calls: Calls, names: Names) -> None:
    """Make the labels and attribute definitions that are missing; making them takes an administrator's token."""
    for title, color in (await missing_labels(calls, names)).items():
        await calls.make_label(title, color)
    for definition in await missing_attributes(calls, names):
        await calls.make_attribute(definition)


async def look(calls: Calls, settings: Settings, webhook_url: str, *, fix: bool) -> list[Finding]:
    """Look at everything, and with `fix` mend what can be mended; stops where the token does not let us in."""
    try:
        profile = await calls.profile()
    except DeliveryError as error:
        mend = error.mend if isinstance(error, Misconfigured) else "look whether CHATWOOT_URL can be reached from here"
        return [Finding(False, "Chatwoot's token", str(error), mend)]
    found = [_account(profile, settings)]
    if not found[0].ok:
        return found
    found.append(await _tried("Chatwoot's labels", _labels(calls, settings.names, fix=fix)))
    found.append(await _tried("Chatwoot's attributes", _attributes(calls, settings.names, fix=fix)))
    found.append(await _tried("Chatwoot's webhook", _webhook(calls, settings, webhook_url, fix=fix)))
    if settings.unsigned:
        found.append(_weaker())
    if settings.admin_conversation is not None:
        found.append(await _tried("Chatwoot's admin conversation", _admin(calls, settings.admin_conversation)))
    return found


async def _tried(what: str, look_at: Awaitable[Finding]) -> Finding:
    """Return a finding, or what kept us from looking."""
    try:
        finding = await look_at
    except DeliveryError as error:
        return Finding(
            False, what, str(error), "use the access token of an administrator, or do it in Chatwoot by hand"
        )
    return finding


def _account(profile: Mapping[str, Any], settings: Settings) -> Finding:
    accounts = {str(one.get("id")): one.get("role") for one in profile.get("accounts") or () if isinstance(one, dict)}
    who = f"{profile.get('name')} of account {settings.account}"
    if settings.account not in accounts:
        seen = f"{profile.get('name')} is in the accounts {', '.join(sorted(accounts)) or 'none'}"
        return Finding(False, "Chatwoot's account", seen, "put one of these numbers into CHATWOOT_ACCOUNT_ID")
    return Finding(True, "Chatwoot's account", f"{who} ({accounts[settings.account]})")


async def _labels(calls: Calls, names: Names, *, fix: bool) -> Finding:
    missing = await missing_labels(calls, names)
    if missing and fix:
        for title, color in missing.items():
            await calls.make_label(title, color)
        missing = await missing_labels(calls, names)
    if missing:
        return Finding(False, "Chatwoot's labels", f"missing: {', '.join(missing)}", "paydesk check --fix makes them")
    return Finding(True, "Chatwoot's labels", ", ".join(names.all_of(LABELS)))


async def _attributes(calls: Calls, names: Names, *, fix: bool) -> Finding:
    missing = await missing_attributes(calls, names)
    if missing and fix:
        for definition in missing:
            await calls.make_attribute(definition)
        missing = await missing_attributes(calls, names)
    if missing:
        seen = f"not shown to agents: {', '.join(one['attribute_key'] for one in missing)}"
        return Finding(False, "Chatwoot's attributes", seen, "paydesk check --fix defines them")
    return Finding(True, "Chatwoot's attributes", ", ".join(names.all_of((*CONVERSATION, *CONTACT))))


async def _webhook(calls: Calls, settings: Settings, url: str, *, fix: bool) -> Finding:
    """Look for the webhook that calls us, and whether we know its secret; no secret is ever shown."""
    ours = await _ours(calls, url)
    if ours is None and fix:
        await calls.make_webhook(url)
        ours = await _ours(calls, url)
    if ours is None:
        mend = f"paydesk check --fix makes one, or let a webhook or an agent bot call {url} for message_created"
        return Finding(False, "Chatwoot's webhook", f"no webhook of the account calls {url}", mend)
    if not settings.secrets or not _known(str(ours.get("secret") or ""), settings):
        mend = (
            "copy the webhook's secret (Settings, Integrations, Webhooks) into CHATWOOT_WEBHOOK_SECRET, and start again"
        )
        return Finding(False, "Chatwoot's webhook", "CHATWOOT_WEBHOOK_SECRET is not its secret", mend)
    return Finding(True, "Chatwoot's webhook", f"it calls {url}")


async def _ours(calls: Calls, url: str) -> Mapping[str, Any] | None:
    for one in await calls.webhooks():
        if str(one.get("url")).partition("?")[0] == url and "message_created" in (one.get("subscriptions") or ()):
            return one
    return None


def _known(secret: str, settings: Settings) -> bool:
    """Tell whether a webhook's secret is one of ours; an older server shows none, and then we cannot tell."""
    return not secret or any(hmac.compare_digest(secret.encode(), own.reveal().encode()) for own in settings.secrets)


def _weaker() -> Finding:
    seen = "CHATWOOT_UNSIGNED is on: whoever sees the webhook's address can speak in anybody's name"
    mend = "update Chatwoot to 4.13 or newer, which signs what it sends, and turn it off"
    return Finding(True, "Chatwoot's signatures", seen, mend)


async def _admin(calls: Calls, conversation: str) -> Finding:
    try:
        await calls.conversation(conversation)
    except DeliveryError as error:
        mend = "put the number of a conversation that is there into CHATWOOT_ADMIN_CONVERSATION"
        return Finding(False, "Chatwoot's admin conversation", str(error), mend)
    return Finding(True, "Chatwoot's admin conversation", conversation)
