"""Statistics counted once more, from the rows as they lie there, one by one: nothing of how Paydesk counts is used."""

from __future__ import annotations

import json
from collections import Counter, defaultdict
from collections.abc import Callable, Iterator
from datetime import datetime
from typing import Any
from zoneinfo import ZoneInfo

TABLES = (
    "orders",
    "order_line",
    "payment",
    "refund",
    "dispute",
    "balance_transaction",
    "entry",
    "account",
    "subscription",
)
Row = dict[str, Any]
GONE = ("failed", "canceled")


class Recount:
    """Every row of money, and what they amount to in a period."""

    def __init__(self, rows: dict[str, list[Row]], products: dict[str, str]) -> None:
        self.rows = rows
        self.products = products
        self.orders = {row["id"]: row for row in rows["orders"]}
        self.payments = {row["id"]: row for row in rows["payment"]}
        self.lines: dict[str, list[Row]] = defaultdict(list)
        for row in sorted(rows["order_line"], key=lambda one: one["position"]):
            self.lines[row["order_id"]].append(row)

    # --- money -----------------------------------------------------------------------------------------------------

    def money(
        self, begins: datetime, ends: datetime, by: str | None = None, zone: str = "UTC", **only: str
    ) -> dict[tuple[str | None, str], Counter[str]]:
        """Figures by (label, currency): those that are not zero. `only`: a currency, channel or product."""
        found: dict[tuple[str | None, str], Counter[str]] = defaultdict(Counter)
        for at, order, currency, figures, before in self._events():
            if not begins <= at < ends or only.get("currency", currency) != currency:
                continue
            if "channel" in only and order["channel"] != only["channel"]:
                continue
            if by == "product" or "product" in only:
                for product, share in self._shares(order, figures, before):
                    if only.get("product", product) == product:
                        label = product if by == "product" else self._label(by, at, order, currency, zone)
                        found[label, currency].update(share)
            else:
                found[self._label(by, at, order, currency, zone), currency].update(figures)
        return {key: Counter({name: n for name, n in figures.items() if n}) for key, figures in found.items()}

    def _label(self, by: str | None, at: datetime, order: Row, currency: str, zone: str) -> str | None:
        if by == "day":
            return at.astimezone(ZoneInfo(zone)).date().isoformat()
        return {"channel": order["channel"], "currency": currency}.get(by or "")

    def _events(self) -> Iterator[tuple[datetime, Row, str, dict[str, int], int]]:
        """What happened: when, with which order, in which currency, what it adds, and the sum of the parts before it."""
        for one in self.rows["payment"]:
            order = self.orders[one["order_id"]]
            if one["status"] == "succeeded":
                yield one["paid_at"], order, one["currency"], {"gross": one["amount"], "successful": 1}, 0
            elif one["status"] == "failed" or (one["status"] == "canceled" and one["failure_code"]):
                yield one["created_at"], order, one["currency"], {"failed": 1}, 0
        for one in self.rows["refund"]:
            if one["status"] not in GONE:
                back = {"refunded": one["amount"], "refunds": 1}
                before = self._before("refund", one, "amount", lambda e: e["status"] not in GONE)
                yield one["created_at"], self._order_of(one), one["currency"], back, before
        for one in self.rows["dispute"]:
            before = self._before("dispute", one, "amount", lambda e, of=one: e["status"] == of["status"])
            gone = _dispute(one["status"], one["amount"])
            yield one["created_at"], self._order_of(one), one["currency"], gone, before
        for one in self.rows["balance_transaction"]:
            before = self._before("balance_transaction", one, "fee", lambda _: True)
            yield one["created_at"], self._order_of(one), one["currency"], {"fees": one["fee"]}, before
        for one in self.rows["orders"]:
            rail = (one["paid_by"] or "").partition("_")[0]
            paid_in = {"stars": "xtr", "premium": "xdp"}.get(rail, one["currency"])
            yield one["created_at"], one, paid_in, {f"order {one['status']}": 1}, 0

    def _before(self, table: str, of: Row, amount: str, counts: Callable[[Row], bool]) -> int:
        """What the earlier parts of the same payment come to."""
        own = [one for one in self.rows[table] if one["payment_id"] == of["payment_id"] and counts(one)]
        return sum(one[amount] for one in own if (one["created_at"], one["id"]) < (of["created_at"], of["id"]))

    def _order_of(self, row: Row) -> Row:
        return self.orders[self.payments[row["payment_id"]]["order_id"]]

    def _shares(self, order: Row, figures: dict[str, int], earlier: int) -> list[tuple[str | None, dict[str, int]]]:
        """What of an event belongs to which product: amounts as they cost, everything else to each of them."""
        weights: dict[str, int] = {}
        for line in self.lines[order["id"]]:
            key = line["price_key"] or ""
            weights[key] = weights.get(key, 0) + line["quantity"] * line["unit_amount"]
        weights = weights or {"": 1}
        if not sum(weights.values()):
            weights[next(iter(weights))] = 1
        total, upto, shares = sum(weights.values()), 0, []
        for key, weight in weights.items():
            before, upto = upto, upto + weight
            share = {
                name: _part(earlier + n, upto, total)
                - _part(earlier + n, before, total)
                - _part(earlier, upto, total)
                + _part(earlier, before, total)
                if name in AMOUNTS
                else n
                for name, n in figures.items()
            }
            shares.append((self.products.get(key, key) or None, share))
        return shares

    # --- the ledger ------------------------------------------------------------------------------------------------

    def system_balance(self, unit: str, kind: str) -> int:
        """What a system account holds: the sum of its entries."""
        ids = {
            row["id"]
            for row in self.rows["account"]
            if (row["owner"], row["unit"], row["kind"]) == ("system", unit, kind)
        }
        entries = self.rows["entry"]
        return sum(e["amount"] for e in entries if e["to_account"] in ids) - sum(
            e["amount"] for e in entries if e["from_account"] in ids
        )

    def credits(self, begins: datetime, ends: datetime) -> dict[str, dict[str, int]]:
        """What happened to each unit of credits, by the reasons of its entries, and what people have now."""
        sold = {row["id"] for row in self.rows["account"] if row["owner"] == "system" and row["kind"] == "sold"}
        found: dict[str, Counter[str]] = defaultdict(Counter)
        for row in self.rows["account"]:
            if row["owner"] != "system" and row["unit"] != "money":
                found[row["unit"]]["outstanding"] += row["balance"]
        for entry in self.rows["entry"]:
            if begins <= entry["at"] < ends and not entry["unit"].startswith("money:"):
                found[entry["unit"]].update(_moved(entry["reason"], entry["amount"], entry["from_account"] in sold))
        names = ("granted", "spent", "expired", "clawed_back", "outstanding")
        return {unit: {name: figures[name] for name in names} for unit, figures in found.items()}

    def subscriptions(self, begins: datetime, ends: datetime) -> dict[str, int]:
        """How many there are, came and went."""
        own = [row for row in self.rows["subscription"] if not row["status"].startswith("incomplete")]

        def at(row: Row, moment: datetime) -> bool:
            over = row["ended_at"] if row["status"] == "canceled" else None
            return bool(row["started_at"] < moment and (over is None or over >= moment))

        return {
            "active": sum(at(row, ends) for row in own),
            "active_before": sum(at(row, begins) for row in own),
            "new": sum(begins <= row["started_at"] < ends for row in own),
            "churned": sum(row["status"] == "canceled" and begins <= row["ended_at"] < ends for row in own),
            "trialing": sum(row["status"] == "trialing" for row in own),
            "past_due": sum(row["status"] == "past_due" for row in own),
        }


AMOUNTS = ("gross", "refunded", "fees", "amount_lost", "amount_open")


def _part(amount: int, upto: int, total: int) -> int:
    """A share, cut towards zero."""
    whole = abs(amount) * upto // total
    return whole if amount >= 0 else -whole


def _dispute(status: str, amount: int) -> dict[str, int]:
    if status.startswith("warning"):
        return {"inquiries": 1}
    if status in ("needs_response", "under_review"):
        return {"open": 1, "amount_open": amount}
    return {"lost": 1, "amount_lost": amount} if status == "lost" else {"won": 1} if status == "won" else {}


def _moved(reason: str, amount: int, from_sold: bool) -> dict[str, int]:
    match reason:
        case "grant":
            return {"granted": amount}
        case "debt_paid":
            return {"granted": amount} if from_sold else {}
        case "grant_expired":
            return {"granted": amount, "expired": amount}
        case "take_back" | "owed":
            return {"clawed_back": amount}
        case "take_expired":
            return {"clawed_back": amount, "expired": -amount}
        case "spend" | "settle":
            return {"spent": amount}
        case "expired":
            return {"expired": amount}
        case _:
            return {}


def figures_of(row: Row) -> Counter[str]:
    """What the API shows of money, in the words of the recount: what is not zero."""
    shown = {name: row[name] for name in ("gross", "refunded", "fees", "successful", "failed", "refunds")}
    shown |= {
        name: row["disputes"][name] for name in ("won", "lost", "open", "inquiries", "amount_lost", "amount_open")
    }
    shown |= {f"order {status}": n for status, n in row["orders"].items() if status != "made"}
    return Counter({name: n for name, n in shown.items() if n})


def shown(rows: list[Row], by: str | None) -> dict[tuple[str | None, str], Counter[str]]:
    """Rows of the API by (label, currency)."""
    return {(row[by] if by else None, row["currency"]): figures_of(row) for row in rows}


def counted(found: dict[tuple[str | None, str], Counter[str]]) -> dict[tuple[str | None, str], Counter[str]]:
    """Leave out what is all zero."""
    return {key: figures for key, figures in found.items() if figures}


def recount(look: Callable[[str], list[Row]], products: dict[str, str]) -> Recount:
    """Read every row, by a function that runs a statement."""
    return Recount({table: [dict(row) for row in look(f"SELECT * FROM {table}")] for table in TABLES}, products)


def items_of(row: Row) -> list[Row]:
    """The items of a subscription."""
    items = row["items"]
    return list((json.loads(items) if isinstance(items, str) else items)["data"])
