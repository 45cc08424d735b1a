"""Logs and figures. No secret passes: keys and tokens are cut out of every line, whoever logs it."""

from __future__ import annotations

import logging
import re
import sys
from contextvars import ContextVar, Token
from datetime import UTC, datetime

import orjson
from prometheus_client import CollectorRegistry, Counter, Gauge, Histogram, generate_latest

from paydesk import ids

REGISTRY = CollectorRegistry()

RECEIVED = Counter("paydesk_events_received_total", "Webhook requests, by answer", ["answer"], registry=REGISTRY)
SETTLED = Counter("paydesk_inbox_rows_total", "Inbox rows finished, by state", ["state"], registry=REGISTRY)
DELIVERED = Counter(
    "paydesk_deliveries_total", "Delivery attempts, by channel and outcome", ["channel", "outcome"], registry=REGISTRY
)
ARRIVED = Counter(
    "paydesk_arrivals_total",
    "Requests of chat platforms, by channel and answer",
    ["channel", "answer"],
    registry=REGISTRY,
)
SETTLE_SECONDS = Histogram("paydesk_settle_seconds", "Time of one settling transaction", registry=REGISTRY)
WAITING = Gauge("paydesk_waiting", "Rows that wait, by queue and state", ["queue", "state"], registry=REGISTRY)
REQUESTS = Counter(
    "paydesk_http_requests_total", "API requests, by route and status", ["route", "status"], registry=REGISTRY
)

_REQUEST: ContextVar[str | None] = ContextVar("request", default=None)


def begin_request() -> Token[str | None]:
    """Give the request that is answered now a number, which stands in every line that is logged until `end_request`."""
    return _REQUEST.set(ids.request())


def end_request(begun: Token[str | None]) -> None:
    """End what `begin_request` began."""
    _REQUEST.reset(begun)


def request_id() -> str:
    """Return the number of the request that is being answered; outside of one, a fresh number."""
    return _REQUEST.get() or ids.request()


_SECRET = re.compile(
    r"\b(sk|rk|pk|whsec|pdk)_[A-Za-z0-9_]{6,}|(?<!\d)\d{6,12}:[A-Za-z0-9_-]{30,}|(?<=://)[^/\s:@]+:[^@\s/]+(?=@)"
)


def redact(text: str) -> str:
    """Return `text` without anything that looks like a key, a bot token or a password in an address."""
    return _SECRET.sub(lambda found: f"{found.group(1) or ''}…", text)


class _Redacted(logging.Formatter):
    """One line per record, as text for people or JSON for machines; secrets cut out, locals never shown."""

    def __init__(self, *, as_json: bool) -> None:
        super().__init__("%(asctime)s %(levelname)-7s %(name)s: %(request)s%(message)s", datefmt="%H:%M:%S")
        self._as_json = as_json

    def format(self, record: logging.LogRecord) -> str:
        number = _REQUEST.get()
        if not self._as_json:
            record.request = f"{number} " if number is not None else ""
            return redact(super().format(record))
        line = {
            "at": datetime.fromtimestamp(record.created, UTC).isoformat(),
            "level": record.levelname.lower(),
            "logger": record.name,
            "message": record.getMessage(),
        }
        if number is not None:
            line["request_id"] = number
        if record.exc_info:
            line["trace"] = self.formatException(record.exc_info)
        return redact(orjson.dumps(line).decode())


def set_up_logging(style: str, *, level: int = logging.INFO, debug_stripe: bool = False) -> None:
    """Log to standard error in `text` or `json`; libraries that log addresses (with keys in them) are quieted."""
    handler = logging.StreamHandler(sys.stderr)
    handler.setFormatter(_Redacted(as_json=style == "json"))
    logging.basicConfig(level=level, handlers=[handler], force=True)
    for noisy in ("httpx", "httpcore", "stripe", "uvicorn.access", "alembic", "asyncio"):
        logging.getLogger(noisy).setLevel(logging.WARNING)
    if debug_stripe:
        logging.getLogger("stripe").setLevel(logging.INFO)


def exposition() -> bytes:
    """Return all figures in Prometheus' text format."""
    return generate_latest(REGISTRY)
