"""Every command from outside, as a person types it: what it does, what it says, and how it refuses."""

from __future__ import annotations

import asyncio
import json
import os
import secrets
import shutil
import socket
import subprocess
import sys
import tomllib
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import asyncpg
import pytest

from conftest import CATALOG, settings_for
from desk import Buyer, clean_environ, running_desk
from paydesk.store import embedded
from sandbox_fixtures import Sandbox, free_port, new_key, until

COMMANDS = [
    "demo", "init", "serve", "work", "sandbox", "check", "catalog plan", "catalog push", "events list", "events show",
    "events replay", "deliveries list", "deliveries retry", "why", "ledger check", "keys create", "keys list", "keys rotate",
    "keys revoke", "stats", "mcp", "approvals list", "approvals approve", "approvals refuse",
]  # fmt: skip


@dataclass
class Said:
    """How a command ended: its exit status, what it printed, and the lines it complained with."""

    status: int
    out: str
    err: str

    @property
    def complaint(self) -> str:
        """The one line on standard error."""
        lines = self.err.splitlines()
        assert len(lines) == 1, self.err
        return lines[0]

    @property
    def data(self) -> Any:
        return json.loads(self.out)


@dataclass
class Shop:
    """A folder with settings, in which commands are typed."""

    folder: Path
    settings: dict[str, str]

    def run(self, *arguments: str, **settings: str) -> Said:
        """Type `paydesk …`; no command ever shows a traceback, or a secret."""
        environ = {**clean_environ(), **self.settings, **settings}
        command = [sys.executable, "-m", "paydesk", *arguments]
        done = subprocess.run(
            command, cwd=self.folder, env=environ, capture_output=True, text=True, timeout=120, check=False
        )
        assert "Traceback" not in done.stdout + done.stderr, done.stderr
        for name in ("STRIPE_API_KEY", "PAYDESK_API_KEY", "STRIPE_WEBHOOK_SECRET"):
            assert not environ.get(name) or environ[name] not in done.stdout + done.stderr
        return Said(done.returncode, done.stdout, done.stderr)

    def sql(self, statement: str, *args: Any) -> list[dict[str, Any]]:
        return rows_of(self.settings["DATABASE_URL"], statement, *args)


def rows_of(dsn: str, statement: str, *args: Any) -> list[dict[str, Any]]:
    """Run a statement on a database."""

    async def look() -> list[dict[str, Any]]:
        connection = await asyncpg.connect(dsn)
        try:
            return [dict(row) for row in await connection.fetch(statement, *args)]
        finally:
            await connection.close()

    return asyncio.run(look())


@pytest.fixture
def shop(new_database: Callable[[], str], stripe_sandbox: Sandbox, tmp_path: Path) -> Shop:
    """A shop of its own."""
    return Shop(tmp_path, settings_for(new_database(), stripe_sandbox.url))


@pytest.fixture(scope="module")
def sold(
    new_database: Callable[[], str], stripe_sandbox: Sandbox, tmp_path_factory: pytest.TempPathFactory
) -> Iterator[tuple[Shop, Buyer]]:
    """A running desk, commands beside it, and somebody who has bought credits and a pass."""
    with running_desk(settings_for(new_database(), stripe_sandbox.url), stripe_sandbox) as desk:
        buyer = desk.buyer()
        buyer.say("/start")
        buyer.buy("credits-10")
        buyer.buy("access-30d")
        yield Shop(tmp_path_factory.mktemp("sold"), desk.settings), buyer


# --- help, init ------------------------------------------------------------------------------------------------------


def test_help_names_every_command(shop: Shop) -> None:
    said = shop.run("--help")
    assert said.status == 0
    for command in COMMANDS:
        assert f"\n  {command.split()[0]} " in said.out
    assert shop.run("--version").out.startswith("paydesk")


@pytest.mark.parametrize("command", COMMANDS)
def test_every_command_has_help_with_an_example_and_json_where_it_prints_data(command: str) -> None:
    from click.testing import CliRunner

    from paydesk.cli import main

    result = CliRunner().invoke(main, [*command.split(), "--help"])
    assert result.exit_code == 0
    assert "Example: " in result.output
    assert f"paydesk {command}" in result.output
    prints_data = command.split()[-1] in (
        "list",
        "plan",
        "push",
        "check",
        "why",
        "create",
        "rotate",
        "revoke",
        "approve",
        "refuse",
        "stats",
    )
    assert ("--json" in result.output) == prints_data


def test_wrong_use_is_exit_2(shop: Shop) -> None:
    assert shop.run("sell").status == 2
    assert shop.run("events", "list", "--limit", "many").status == 2
    assert shop.run("sandbox", "--webhook", "http://127.0.0.1:9/").status == 2
    assert shop.run("keys", "create", "bot").status == 2


def test_init_writes_two_good_files_and_keeps_what_is_there(shop: Shop) -> None:
    said = shop.run("init", "shop")
    assert said.status == 0
    catalogue, example = shop.folder / "shop" / "catalog.toml", shop.folder / "shop" / ".env.example"
    assert tomllib.loads(catalogue.read_text())["products"]
    assert "STRIPE_API_KEY" in example.read_text()
    catalogue.write_text("# mine")
    again = shop.run("init", "shop")
    assert (again.status, again.out.count("is there already and stays")) == (0, 2)
    assert catalogue.read_text() == "# mine"


def test_init_where_nothing_can_be_written_is_one_line(shop: Shop) -> None:
    (shop.folder / "file").write_text("")
    said = shop.run("init", "file/shop")
    assert said.status == 2
    assert "cannot write there" in said.complaint


# --- serve refuses ---------------------------------------------------------------------------------------------------

BAD_SETTINGS = {
    "no key": ({"STRIPE_API_KEY": ""}, "STRIPE_API_KEY is not set"),
    "a malformed key": ({"STRIPE_API_KEY": "pk_test_0123456789"}, "STRIPE_API_KEY is malformed"),
    "a malformed secret": ({"STRIPE_WEBHOOK_SECRET": "0123456789"}, "STRIPE_WEBHOOK_SECRET is malformed"),
    "a malformed address": ({"PAYDESK_PUBLIC_URL": "pay.example.com"}, "PAYDESK_PUBLIC_URL is malformed"),
    "another database engine": ({"DATABASE_URL": "mysql://127.0.0.1/x"}, "DATABASE_URL is malformed"),
    "no database there": ({"DATABASE_URL": "postgresql://paydesk@127.0.0.1:1/x"}, "DATABASE_URL: the database does not answer"),
    "no encryption keys": ({"PAYDESK_ENCRYPTION_KEYS": ""}, "PAYDESK_ENCRYPTION_KEYS is not set"),
    "a data folder that is a file": ({"DATABASE_URL": "", "PAYDESK_DATA": "/dev/null"}, "PAYDESK_DATA"),
    "no catalogue": ({"PAYDESK_CATALOG": "nothing.toml"}, "there is no catalogue here; make one with: paydesk init"),
}  # fmt: skip


@pytest.mark.parametrize(("settings", "reason"), BAD_SETTINGS.values(), ids=BAD_SETTINGS)
def test_serve_with_a_bad_setting_is_exit_2_and_one_line_that_names_it(
    shop: Shop, settings: dict[str, str], reason: str
) -> None:
    said = shop.run("serve", "--port", str(free_port()), **settings)
    assert said.status == 2
    assert reason in said.complaint


def test_serve_without_a_database_of_that_name_or_for_that_role_is_one_line(shop: Shop) -> None:
    address = shop.settings["DATABASE_URL"]
    name = address.split("@/")[1].split("?")[0]
    for wrong in (address.replace(name, "no_such_database"), address.replace("//paydesk@", "//nobody_here@")):
        said = shop.run("serve", "--port", str(free_port()), DATABASE_URL=wrong)
        assert said.status == 2
        assert "DATABASE_URL: the database refuses us" in said.complaint


@pytest.mark.parametrize("workers", ["1", "2"])
def test_serve_with_a_bad_catalogue_is_exit_2_and_one_line_with_file_line_and_reason(shop: Shop, workers: str) -> None:
    (shop.folder / "bad.toml").write_text(
        '[products.ten]\nname = "Ten"\nprices = [{ currency = "usd", amount = 9.99 }]\n'
    )
    said = shop.run("serve", "--port", str(free_port()), "--workers", workers, PAYDESK_CATALOG="bad.toml")
    assert said.status == 2
    assert f"{shop.folder / 'bad.toml'}:3: products.ten: an amount is written as a decimal string" in said.complaint


def test_a_port_that_is_taken_is_one_line(shop: Shop) -> None:
    with socket.create_server(("127.0.0.1", 0)) as taken:
        port = str(taken.getsockname()[1])
        said = shop.run("serve", "--port", port)
        assert said.status == 2
        assert f"--port {port}: cannot listen there" in said.complaint
        sandbox = shop.run("sandbox", "--port", port)
        assert sandbox.status == 2
        assert f"Port {port}" in sandbox.complaint
        demo = shop.run("demo", "--exit", "--port", port)
        assert demo.status == 2
        assert f"--port {port} cannot be used" in demo.complaint


def test_a_key_of_another_account_or_mode_stops_the_start_and_names_the_setting(shop: Shop) -> None:
    assert shop.run("catalog", "plan").status == 0
    other = shop.run("serve", "--port", str(free_port()), STRIPE_API_KEY=new_key())
    assert other.status == 2
    assert "this database belongs to Stripe account acct_" in other.complaint
    assert "DATABASE_URL names another database" in other.complaint
    live = shop.run("serve", "--port", str(free_port()), STRIPE_API_KEY="sk_live_" + secrets.token_hex(8))
    assert live.status == 2
    assert "this database belongs to test mode" in live.complaint


def test_with_the_embedded_database_another_account_names_paydesk_data(shop: Shop, stripe_sandbox: Sandbox) -> None:
    own = {"DATABASE_URL": "", "PAYDESK_DATA": str(shop.folder / "data"), "PAYDESK_ENCRYPTION_KEYS": ""}
    try:
        assert shop.run("catalog", "plan", **own).status == 0
        other = shop.run("serve", "--port", str(free_port()), STRIPE_API_KEY=new_key(), **own)
        assert other.status == 2
        assert f"PAYDESK_DATA is another folder than {shop.folder / 'data'}" in other.complaint
    finally:
        embedded.remove(shop.folder / "data")


# --- catalogue -------------------------------------------------------------------------------------------------------


def test_catalog_plan_tells_push_does_and_a_changed_price_is_replaced(shop: Shop, stripe_sandbox: Sandbox) -> None:
    shutil.copy(CATALOG, shop.folder / "catalog.toml")
    shop.settings["PAYDESK_CATALOG"] = "catalog.toml"
    planned = shop.run("catalog", "plan", "--json").data
    assert {(step["action"]) for step in planned} == {"create"}
    assert [step["product"] for step in planned if step["price"] == "supporter-jpy"] == ["supporter"]
    assert shop.run("catalog", "push", "--json").data == planned
    assert shop.run("catalog", "plan").out == "Stripe has exactly this catalogue.\n"
    assert shop.run("catalog", "push").out == "Stripe has exactly this catalogue.\n"
    text = (shop.folder / "catalog.toml").read_text()
    (shop.folder / "catalog.toml").write_text(text.replace('"9.99"', '"8.99"').replace('"10 credits"', '"Ten credits"'))
    assert [(s["action"], s["what"]) for s in shop.run("catalog", "push", "--json").data] == [
        ("update", "product credits-10: name"), ("replace", "price credits-10 ($8.99), was $9.99"),
    ]  # fmt: skip
    assert shop.run("catalog", "plan", "--json").data == []
    prices = stripe_sandbox.sdk(shop.settings["STRIPE_API_KEY"]).v1.prices.list({"product": "paydesk_credits-10"})
    assert [(p.unit_amount, p.lookup_key) for p in prices.data] == [(899, "paydesk:credits-10"), (999, None)]
    (shop.folder / "catalog.toml").write_text(text)
    assert [s["action"] for s in shop.run("catalog", "push", "--json").data] == ["update", "replace"]
    assert shop.run("catalog", "plan", "--json").data == []


def test_catalog_plan_finds_a_named_stripe_price_that_costs_something_else(shop: Shop, stripe_sandbox: Sandbox) -> None:
    sdk = stripe_sandbox.sdk(shop.settings["STRIPE_API_KEY"])
    price = sdk.v1.prices.create({"currency": "usd", "unit_amount": 500, "product_data": {"name": "Ten"}})
    (shop.folder / "catalog.toml").write_text(
        '[products.ten]\nname = "Ten"\nprices = [{ currency = "usd", amount = "9.99", stripe_price_env = "TEN" }]\n'
    )
    shop.settings["PAYDESK_CATALOG"] = "catalog.toml"
    dearer = shop.run("catalog", "plan", TEN=price.id)
    assert (dearer.status, f"{price.id} costs $5.00, the catalogue says $9.99" in dearer.out) == (1, True)
    unknown = shop.run("catalog", "push", TEN="price_nothing")
    assert (unknown.status, "Stripe does not know price_nothing" in unknown.out) == (1, True)


# --- operation -------------------------------------------------------------------------------------------------------


def test_events_are_listed_shown_and_replayed_without_a_second_effect(sold: tuple[Shop, Buyer]) -> None:
    shop, buyer = sold
    listed = shop.run("events", "list", "--state", "done", "--json").data
    assert {"checkout.session.completed", "payment_intent.succeeded"} <= {event["type"] for event in listed}
    assert listed[0]["id"] in shop.run("events", "list").out
    event = next(event for event in listed if event["type"] == "checkout.session.completed")
    assert json.loads(shop.run("events", "show", event["id"]).out)["id"] == event["id"]
    replayed = shop.run("events", "replay", event["id"])
    assert (replayed.status, replayed.out) == (0, "1 of 1 events are ready again\n")
    buyer.desk.quiet()
    assert buyer.balance() == 10
    assert shop.run("events", "replay", "evt_nothing").status == 1
    nothing = shop.run("events", "show", "evt_nothing")
    assert (nothing.status, nothing.complaint) == (1, "paydesk: no event evt_nothing")
    bogus = shop.run("events", "list", "--state", "bogus")
    assert bogus.status == 2
    assert "state is one of ready, parked, done, ignored, quarantined" in bogus.complaint


def test_deliveries_are_listed_and_retried(sold: tuple[Shop, Buyer]) -> None:
    shop, buyer = sold
    listed = shop.run("deliveries", "list", "--json").data
    assert {delivery["template"] for delivery in listed} == {"paid"}
    one = listed[0]["id"]
    assert one in shop.run("deliveries", "list", "--state", "sent").out
    shop.sql("UPDATE outbox SET state = 'dead' WHERE id = $1", int(one))
    assert shop.run("deliveries", "list", "--state", "dead", "--json").data[0]["id"] == one
    assert shop.run("deliveries", "retry", one).out == f"{one} is ready\n"
    buyer.desk.quiet()
    assert shop.run("deliveries", "list", "--state", "dead").out == "No deliveries.\n"
    assert len([text for text in buyer.told() if "Paid" in text]) == 2
    assert shop.run("deliveries", "retry", "99999999").complaint == "paydesk: no delivery 99999999"
    assert shop.run("deliveries", "retry", "abc").status == 2


def test_why_traces_order_event_entry_grant_and_delivery(sold: tuple[Shop, Buyer]) -> None:
    shop, buyer = sold
    steps = shop.run("why", buyer.id, "--json").data
    assert {step["what"] for step in steps} == {"order", "payment", "event", "entry", "grant", "delivery"}
    assert [step["at"] for step in steps] == sorted(step["at"] for step in steps)
    by_identity = shop.run("why", f"web:{buyer.external_id}", "premium").out
    assert "feature=premium" in by_identity
    assert (
        buyer.id in shop.run("why", "cst_nobody").complaint
        or "no customer cst_nobody" in shop.run("why", "cst_nobody").complaint
    )
    assert shop.run("why", "web:nobody").status == 1


def test_ledger_check_proves_it_and_names_the_first_bad_row_when_somebody_changed_one(
    sold: tuple[Shop, Buyer], server: embedded.Embedded
) -> None:
    shop, buyer = sold
    until(lambda: shop.sql("SELECT FROM seal HAVING sum(entries) = (SELECT count(*) FROM entry)"), what="the last seal")
    good = shop.run("ledger", "check")
    assert good.status == 0
    assert "entries prove the ledger" in good.out
    name = shop.settings["DATABASE_URL"].split("@/")[1].split("?")[0]
    admin = server.admin_dsn.replace("@/postgres", f"@/{name}")
    entry = shop.sql("SELECT id, amount FROM entry WHERE reason = 'grant' ORDER BY id LIMIT 1")[0]
    change = "SET LOCAL session_replication_role = replica; UPDATE entry SET amount = {} WHERE id = {}"
    behind_its_back(admin, change.format(entry["amount"] + 5, entry["id"]))
    bad = shop.run("ledger", "check")
    assert bad.status == 1
    assert "DO NOT prove the ledger" in bad.out
    assert f"of {buyer.id} (credits wallet): balance 10, entries sum to 15" in bad.out
    assert f"BAD  every sealed entry is as it was sealed: entry {entry['id']} (grant of " in bad.out
    as_json = shop.run("ledger", "check", "--json")
    assert as_json.status == 1
    assert as_json.data["ok"] is False
    behind_its_back(admin, change.format(entry["amount"], entry["id"]))
    assert shop.run("ledger", "check", "--json").data["findings"] == {}


@pytest.mark.parametrize(
    ("damage", "finding"),
    [
        ("UPDATE account SET balance = balance + 1 WHERE kind = 'wallet'", "balance 11, entries sum to 10"),
        ("UPDATE lot SET remaining = remaining - 1", "balance 10, lots hold 9"),
        ("UPDATE source SET worth = 7, posted = 7 WHERE kind = 'credits'", "worth 7, entries post 10"),
        ("UPDATE orders SET paid_at = NULL, status = 'open'", "is open"),
        ("DELETE FROM grant_", "and not granted"),
    ],
)  # fmt: skip
def test_ledger_check_finds_every_kind_of_damage(sold: tuple[Shop, Buyer], damage: str, finding: str) -> None:
    from paydesk import proof
    from paydesk.store import Tx

    shop, _ = sold

    async def damaged() -> list[str]:
        connection = await asyncpg.connect(shop.settings["DATABASE_URL"])
        transaction = connection.transaction()
        await transaction.start()
        try:
            await connection.execute(damage)
            return [found for found in (await proof.sums(Tx(connection))).values() if found]
        finally:
            await transaction.rollback()
            await connection.close()

    assert finding in " ".join(asyncio.run(damaged()))


def behind_its_back(admin: str, statement: str) -> None:
    """Change what is never changed, as only a superuser can."""

    async def change() -> None:
        connection = await asyncpg.connect(admin)
        async with connection.transaction():
            await connection.execute(statement)
        await connection.close()

    asyncio.run(change())


def test_a_key_is_shown_once_works_and_dies_when_revoked(sold: tuple[Shop, Buyer]) -> None:
    shop, buyer = sold
    made = shop.run("keys", "create", "my-bot", "--scope", "read", "--json").data
    assert made["key"].startswith("pdk_")
    assert buyer.desk.call("GET", "/v1/status", key=made["key"]).status_code == 200
    listed = shop.run("keys", "list").out
    assert made["id"] in listed
    assert "my-bot" in listed
    assert made["key"] not in listed + shop.run("keys", "list", "--json").out
    assert made["key"] not in str(shop.sql("SELECT * FROM api_key"))
    assert shop.run("keys", "revoke", made["id"]).status == 0
    assert shop.run("keys", "revoke", made["id"]).complaint.startswith(f"paydesk: no valid key {made['id']};")
    unknown = shop.run("keys", "create", "my-bot", "--scope", "everything")
    assert unknown.status == 2
    assert "scopes are read, sell, spend, refund, admin; unknown: everything" in unknown.complaint


def test_a_key_is_changed_for_its_successor_by_command(sold: tuple[Shop, Buyer]) -> None:
    shop, buyer = sold
    old = shop.run("keys", "create", "bot", "--scope", "read", "--rate", "50", "--expires", "90d", "--json").data
    assert (old["rate_per_s"], old["status"], old["expires_at"][:2]) == (50, "valid", "20")
    new = shop.run("keys", "rotate", old["id"], "--overlap", "90m", "--json").data
    same = ("name", "scopes", "rate_per_s", "expires_at")
    assert [new[name] for name in same] == [old[name] for name in same]
    for key in (old["key"], new["key"]):
        assert buyer.desk.call("GET", "/v1/status", key=key).status_code == 200
    again = shop.run("keys", "rotate", old["id"])
    assert (again.status, again.complaint) == (1, f"paydesk: {old['id']} has a successor already: {new['id']}")
    assert shop.run("keys", "rotate", "key_nothing").complaint == "paydesk: no key key_nothing"
    wrong = shop.run("keys", "rotate", new["id"], "--overlap", "soon")
    assert wrong.status == 2
    assert "write it like 90s, 30m, 24h or 7d" in wrong.err
    assert shop.run("keys", "rotate", new["id"], "--overlap", "31d").status == 2


def test_a_publishable_key_by_command_has_no_scope_and_is_seen_to_be_one(sold: tuple[Shop, Buyer]) -> None:
    shop, buyer = sold
    made = shop.run("keys", "create", "shop-page", "--publishable", "--json").data
    assert made["key"].startswith("pdk_pub_")
    assert buyer.desk.call("GET", "/v1/config", key=made["key"]).status_code == 200
    line = next(one for one in shop.run("keys", "list").out.splitlines() if made["id"] in one)
    assert all(word in line for word in ("shop-page", "publishable", "valid", made["prefix"]))
    both = shop.run("keys", "create", "page", "--publishable", "--scope", "read")
    assert (both.status, "has no scopes" in both.complaint) == (2, True)


# --- the doctor ------------------------------------------------------------------------------------------------------


def test_check_is_content_with_a_good_desk_but_for_channels_that_are_sold_for_and_not_set_up(
    sold: tuple[Shop, Buyer],
) -> None:
    shop, _ = sold
    assert shop.run("catalog", "push").status == 0
    said = shop.run("check")
    assert said.status == 1, said.out
    bad = [line for line in said.out.splitlines() if not line.startswith("ok ")]
    assert [line.split("→")[-1].strip() for line in bad] == ["set DISCORD_BOT_TOKEN", "set TELEGRAM_BOT_TOKEN"]
    assert {finding["what"] for finding in shop.run("check", "--json").data} == {
        "STRIPE_WEBHOOK_SECRET", "PAYDESK_PUBLIC_URL", "catalogue", "Stripe", "clock", "webhook endpoint", "API version",
        "catalogue in Stripe", "database", "events' shape", "discord", "telegram",
    }  # fmt: skip


def test_check_tells_what_is_wrong_with_its_mend_and_exits_1(shop: Shop) -> None:
    said = shop.run("check", STRIPE_WEBHOOK_SECRET="", PAYDESK_CATALOG="nothing.toml")
    assert said.status == 1
    bad = {line.split(": ")[0][5:]: line for line in said.out.splitlines() if line.startswith("BAD")}
    assert set(bad) == {"STRIPE_WEBHOOK_SECRET", "catalogue", "webhook endpoint", "catalogue in Stripe"}
    assert all("→" in line for line in bad.values())
    missing = shop.run("check", STRIPE_API_KEY="")
    assert missing.status == 1
    assert "BAD  STRIPE_API_KEY" in missing.out
    away = shop.run(
        "check", STRIPE_API_BASE=f"http://127.0.0.1:{free_port()}", DATABASE_URL="postgresql://x@127.0.0.1:1/x"
    )
    assert away.status == 1
    assert "Stripe did not answer" in away.out
    assert "BAD  database: DATABASE_URL: the database does not answer" in away.out


def test_check_tells_of_events_that_nobody_looked_at(shop: Shop) -> None:
    shop.sql("INSERT INTO seen VALUES ('stripe', 'evt_1')")
    shop.sql("INSERT INTO inbox (source, external_id, kind, lane, body, livemode, state) "
             "VALUES ('stripe', 'evt_1', 'x', 1, '', false, 'quarantined')")  # fmt: skip
    said = shop.run("check")
    assert said.status == 1
    assert "1 events quarantined  →  paydesk events list --state quarantined" in said.out


# --- the demo --------------------------------------------------------------------------------------------------------


def test_demo_takes_the_whole_tour_and_leaves_nothing_running(shop: Shop) -> None:
    port, sandbox_port = free_port(), free_port()
    try:
        said = shop.run("demo", "--exit", "--port", str(port), "--sandbox-port", str(sandbox_port), "--data", "tour")
        assert said.status == 0, said.out + said.err
        for step in ("sandbox is ready", "serve is ready", "chat: /buy", "link:", "paid:", "event:", "ledger:", "grant:",
                     "message:", "balance", "nothing waits"):  # fmt: skip
            assert step in said.out
        for number in (port, sandbox_port):
            with socket.create_server(("127.0.0.1", number)):
                pass
        kept = {path.name: path.stat().st_mode & 0o777 for path in (shop.folder / "tour").iterdir() if path.is_file()}
        assert {kept[name] for name in ("api.key", "stripe.key", "webhook.secret")} == {0o600}
        assert os.stat(shop.folder / "tour").st_mode & 0o077 == 0
    finally:
        embedded.remove(shop.folder / "tour" / "service")
