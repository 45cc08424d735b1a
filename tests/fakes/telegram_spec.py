"""Telegram's Bot API as its own description has it (tests/specs/telegram-bot-api.json): what a call and a result look like."""

from __future__ import annotations

import json
import re
from pathlib import Path
from typing import Any
from urllib.parse import parse_qsl, urlsplit

import orjson
from jsonschema import Draft202012Validator

from fakes.base import Asked

API = json.loads((Path(__file__).parent.parent / "specs" / "telegram-bot-api.json").read_text())
PLAIN = {"Integer": "integer", "Float": "number", "Boolean": "boolean", "String": "string"}

Json = dict[str, Any]


def of(name: str) -> Json:
    """The schema of a type by its name."""
    if name.startswith("Array of "):
        return {"type": "array", "items": of(name.removeprefix("Array of "))}
    return {"type": PLAIN[name]} if name in PLAIN else {"$ref": f"#/$defs/{name}"} if name in API["types"] else {}


def shape(item: Json) -> Json:
    """The schema of a method's parameters, or of a type's fields."""
    if item.get("subtypes"):
        return {"anyOf": [of(name) for name in item["subtypes"]]}
    fields = item.get("fields", [])
    return {
        "type": "object",
        "properties": {field["name"]: {"anyOf": [of(name) for name in field["types"]]} for field in fields},
        "required": [field["name"] for field in fields if field["required"]],
        **({} if item.get("x-partial") else {"additionalProperties": False}),
    }


DEFS = {name: shape(item) for name, item in API["types"].items()}
ASKING = {name: Draft202012Validator({**shape(item), "$defs": DEFS}) for name, item in API["methods"].items()}
RESULT = {
    name: Draft202012Validator({"anyOf": [of(returned) for returned in item["returns"]], "$defs": DEFS})
    for name, item in API["methods"].items()
}
UPDATE = Draft202012Validator({**of("Update"), "$defs": DEFS})


def decoded(asked: Asked) -> Json:
    """The parameters of a call: JSON as it is, forms (as the big libraries send them) by the types of the fields."""
    if "json" in asked.headers.get("content-type", ""):
        parameters: Json = orjson.loads(asked.body)
        return parameters
    texts = dict(parse_qsl(asked.body.decode() or asked.query, keep_blank_values=True))
    types = {field["name"]: field["types"] for field in API["methods"].get(asked.label, {}).get("fields", [])}
    return {name: _typed(text, types.get(name, [])) for name, text in texts.items()}


def _typed(text: str, types: list[str]) -> Any:
    if "Integer" in types and re.fullmatch(r"-?\d+", text):
        return int(text)
    if types == ["Boolean"]:
        return text.lower() in ("true", "1")
    return text if "String" in types or not types else json.loads(text)


def wrong(method: str, p: Json) -> list[str]:
    """What the description's words forbid: lengths, and what does not go together."""
    found = []
    if method in ("sendMessage", "editMessageText") and "text" in p:
        length = len(str(p["text"]).encode("utf-16-le", "surrogatepass")) // 2
        found += ["message text is empty"] if not str(p["text"]).strip() else []
        found += ["message is too long"] if length > 4096 else []
    markup = p.get("reply_markup")
    rows = markup.get("inline_keyboard", []) if isinstance(markup, dict) else []
    keys = [key for row in rows for key in row if isinstance(key, dict)]
    found += ["too many buttons"] if len(keys) > 100 else []
    for key in keys:
        host = urlsplit(key.get("url", "")).hostname or ""
        found += ["exactly one of url and callback_data"] if ("url" in key) == ("callback_data" in key) else []
        found += ["BUTTON_DATA_INVALID"] if len(str(key.get("callback_data", "x")).encode()) not in range(1, 65) else []
        found += ["BUTTON_URL_INVALID"] if "url" in key and "." not in host else []
    if method == "createChatInviteLink" and p.get("creates_join_request") and "member_limit" in p:
        found.append("member_limit cannot be set when creates_join_request is")
    if method == "sendInvoice":
        lengths = [(p.get("title", ""), 32), (p.get("description", ""), 255), (p.get("payload", ""), 128)]
        found += ["a text of the invoice is too long or empty" for text, most in lengths if not 1 <= len(text) <= most]
        found += ["XTR takes one price"] if p.get("currency") == "XTR" and len(p.get("prices", [])) != 1 else []
    secret = p.get("secret_token", "") if method == "setWebhook" else ""
    found += ["secret token contains unallowed characters"] if not re.fullmatch(r"[A-Za-z0-9_-]{0,256}", secret) else []
    return found
