"""The tools: which there are, what scope each needs, what clients are told of them, and how a call is carried out.

A call that goes wrong is answered with a text that a model can go on with, never with a trace or what was sent.
"""

from __future__ import annotations

import inspect
import logging
from collections.abc import Awaitable, Callable, Sequence
from dataclasses import dataclass
from typing import Any

import mcp_types as types
import orjson
from pydantic import BaseModel, ValidationError

from paydesk import mcp_given as given
from paydesk.errors import Forbidden, PaydeskError
from paydesk.mcp_clerk import Clerk, hint

log = logging.getLogger("paydesk.mcp")

MESSAGE_MAX = 600

LOOKS = types.ToolAnnotations(read_only_hint=True, idempotent_hint=True, open_world_hint=False)
ADDS = types.ToolAnnotations(read_only_hint=False, destructive_hint=False, idempotent_hint=True, open_world_hint=False)
TAKES = types.ToolAnnotations(read_only_hint=False, destructive_hint=True, idempotent_hint=True, open_world_hint=False)

WHOSE = ("customer", "conversation")
"""What cannot be said where one person alone is served."""

Call = Callable[[Clerk, Any], Awaitable[BaseModel]]


@dataclass(frozen=True, slots=True)
class Tool:
    """One tool: the method of the clerk that does it, what it takes, the scope of its key, and what it is like."""

    call: Call
    takes: type[given.Given]
    scope: str
    hints: types.ToolAnnotations
    refunds: bool = False

    @property
    def name(self) -> str:
        """Return its name, which is the method's."""
        return self.call.__name__

    def described(self, *, pinned: bool) -> types.Tool:
        """Return what clients are told; without `customer` where one person alone is served."""
        takes = self.takes.model_json_schema()
        takes["description"] = inspect.getdoc(self.takes)
        if pinned:
            takes["properties"] = {name: one for name, one in takes["properties"].items() if name not in WHOSE}
            takes["required"] = [name for name in takes.get("required", ()) if name not in WHOSE]
        answer = inspect.get_annotations(self.call, eval_str=True)["return"]
        return types.Tool(
            name=self.name,
            title=self.name.replace("_", " ").capitalize(),
            description=inspect.getdoc(self.call),
            input_schema=takes,
            output_schema=answer.model_json_schema(mode="serialization"),
            annotations=self.hints,
        )


TOOLS = (
    Tool(Clerk.search_catalog, given.Search, "read", LOOKS),
    Tool(Clerk.get_order, given.OfOrder, "read", LOOKS),
    Tool(Clerk.list_orders, given.Orders, "read", LOOKS),
    Tool(Clerk.get_customer, given.OfCustomer, "read", LOOKS),
    Tool(Clerk.check_access, given.Access, "read", LOOKS),
    Tool(Clerk.explain, given.Why, "read", LOOKS),
    Tool(Clerk.create_pay_link, given.PayLink, "sell", ADDS),
    Tool(Clerk.cancel_order, given.OfOrder, "sell", TAKES),
    Tool(Clerk.spend_credits, given.Spend, "spend", TAKES),
    Tool(Clerk.hold_credits, given.Hold, "spend", ADDS),
    Tool(Clerk.settle_hold, given.Settle, "spend", TAKES),
    Tool(Clerk.release_hold, given.OfHold, "spend", ADDS),
    Tool(Clerk.request_refund, given.Refund, "sell", ADDS, refunds=True),
    Tool(Clerk.get_refund_request, given.OfRefundRequest, "read", LOOKS, refunds=True),
)


def offered(scopes: Sequence[str], *, refunds: bool, read_only: bool) -> dict[str, Tool]:
    """Return the tools that a key may use, by name: every tool reads before it writes, so it also needs `read`."""
    return {
        tool.name: tool
        for tool in TOOLS
        if tool.scope in scopes and "read" in scopes
        if refunds or not tool.refunds
        if tool.scope == "read" or not read_only
    }


async def carry_out(tool: Tool, clerk: Clerk, arguments: dict[str, Any]) -> types.CallToolResult:
    """Return the answer of a call, or what was wrong with it."""
    try:
        asked = tool.takes.model_validate(_for_the_one(tool, clerk, arguments))
        answer = await tool.call(clerk, asked)
    except ValidationError as refused:
        return wrong(_refusals(refused))
    except PaydeskError as error:
        if error.status >= 500:
            log.warning("%s: %s", tool.name, error.message)
        return wrong(told_of(error))
    except Exception as error:  # whatever it is, the model learns no more than that
        log.error("%s failed", tool.name, exc_info=error)
        return wrong(
            "internal_error: something went wrong here, and it is in the log. Do not repeat it; tell a person."
        )
    told = answer.model_dump(mode="json")
    text = types.TextContent(type="text", text=orjson.dumps(told).decode())
    return types.CallToolResult(content=[text], structured_content=told)


def told_of(error: PaydeskError) -> str:
    """Return an error as a model reads it: its code, what it is about, what happened, and what to do next."""
    about = f" ({error.param})" if error.param is not None else ""
    return f"{error.code}{about}: {error.message[:MESSAGE_MAX].rstrip('.')}. {hint(error)}".rstrip()


def wrong(text: str) -> types.CallToolResult:
    """Return an error that a model reads."""
    return types.CallToolResult(content=[types.TextContent(type="text", text=text)], is_error=True)


def _for_the_one(tool: Tool, clerk: Clerk, arguments: dict[str, Any]) -> dict[str, Any]:
    """Return the arguments, about the one person who is served where there is only one.

    Raises for another person, and for a conversation: it could be somebody else's.
    """
    if clerk.only is None or "customer" not in tool.takes.model_fields:
        return arguments
    if arguments.get("customer", clerk.only) != clerk.only or "conversation" in arguments:
        raise Forbidden(f"one customer alone is served here: leave {' and '.join(WHOSE)} out", code="foreign_customer")
    return {**arguments, "customer": clerk.only}


def _refusals(refused: ValidationError) -> str:
    """Return what is wrong with the arguments, without repeating them."""
    errors = refused.errors(include_url=False, include_input=False, include_context=False)
    lines = [f"{_place(error['loc'])}: {error['msg']}" for error in errors[:5]]
    return f"invalid_arguments: {'; '.join(lines)}. See the tool's schema; prices and amounts are the catalogue's."


def _place(where: Sequence[int | str]) -> str:
    return ".".join(str(part)[:60] for part in where) or "arguments"
