"""A desk on Discord: people type `/buy` in a server, pay on Stripe's page, and have their role before they are back."""

from __future__ import annotations

import asyncio
import signal
import time
from collections.abc import Callable, Iterator
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Any

import httpx
import pytest

from desk import Buyer, start_service
from discord_fixtures import COINS, NASTY, PATRON, Member, Shop, answer_of, buttons, planted, shop_on, working
from fakes.discord import DiscordFake, Guild
from fakes.discord_gateway import Gateway
from fakes.discord_shapes import asking, happened, member_of, slash
from fakes.discord_wire import HANGING
from paydesk import drift
from paydesk.app import open_service
from paydesk.config import load
from sandbox_fixtures import Sandbox, until


@pytest.fixture(scope="module")
def shop(
    new_database: Callable[[], str], stripe_sandbox: Sandbox, tmp_path_factory: pytest.TempPathFactory
) -> Iterator[Shop]:  # fmt: skip
    """One desk for this module; each test brings new people."""
    with DiscordFake() as fake:
        folder = tmp_path_factory.mktemp("discord")
        with shop_on(fake, planted(fake), folder, new_database(), stripe_sandbox) as running:
            yield running
        assert fake.complaints == []


# --- buying ----------------------------------------------------------------------------------------------------------


def test_who_types_buy_and_pays_is_told_and_has_the_role(shop: Shop) -> None:
    club, vip = shop.servers.club, shop.servers.vip
    ada = shop.member(club)
    asked = ada.types("buy", guild=club, product="vip")
    offer = answer_of(asked)
    assert (asked.thinking, offer["flags"] & 64) == (5, 64), "deferred, and seen by nobody else"
    assert offer["content"].startswith("VIP")
    ada.pays(offer)
    until(lambda: ada.has(club, vip), what="the role")
    until(lambda: ada.told, what="a direct message")
    shop.desk.quiet()
    (told,) = ada.told
    assert told.startswith("✅ You are subscribed to VIP.")
    assert asked.follow_ups == []
    reasons = [one.headers["x-audit-log-reason"] for one in shop.fake.asked("PUT", f"/members/{ada.id}/roles/{vip}")]
    assert len(reasons) == 1
    assert reasons[0].startswith("member%3A")


def test_a_menu_is_tapped_through_and_everybody_reads_their_language(shop: Shop) -> None:
    eva, jan = shop.member(shop.servers.club), shop.member(shop.servers.club)
    eva.locale, jan.locale = "pl", "nl"
    menu = eva.asks("buy", guild=shop.servers.club)
    offer = eva.presses(menu, "10 credits")
    assert offer["id"] == menu["id"], "the answer takes the place of the menu"
    assert [one["label"] for one in buttons(offer)] == ["Zapłać 9,99 USD"]
    eva.pays(offer)
    until(lambda: eva.told, what="a receipt")
    assert eva.told[0].startswith("✅ Zapłacono 9,99\xa0USD.")
    assert "10" in eva.asks("balance")["content"]
    assert "Zapłacono" not in jan.asks("history")["content"]
    assert jan.asks("help")["content"] != shop.member().asks("help")["content"]


def test_after_fifteen_minutes_a_direct_message_answers(shop: Shop) -> None:
    ada = shop.member(shop.servers.club)
    late = asking(shop.fake, ada.id, 2, slash("balance"), at_s=time.time() - 16 * 60)
    assert shop.call(late).json()["type"] == 5
    until(lambda: ada.told, what="a direct message")
    assert len(ada.told) == 1
    assert shop.fake.interactions[late["token"]].original is None


def test_who_takes_no_direct_messages_is_told_where_they_asked_now_or_when_they_ask_again(shop: Shop) -> None:
    shy, away = shop.member(shop.servers.club, closed=True), shop.member(shop.servers.club, closed=True)
    asked = shy.types("buy", product="credits-10")
    shy.pays(answer_of(asked))
    until(lambda: asked.follow_ups, what="a follow-up")
    assert asked.follow_ups[0]["content"].startswith("✅ Paid $9.99.")

    order = away.pays(away.asks("buy", product="credits-10"))
    shop.desk.settled(order)
    forget_who_asked(shop, away)
    assert shop.desk.post("/v1/refunds", {"order": order})["status"] == "succeeded"
    until(lambda: waiting(shop, away), what="a message that waits")
    again = away.types("balance")
    until(lambda: again.original and again.follow_ups, what="both")
    said = [again.original["content"], *(one["content"] for one in again.follow_ups)]  # type: ignore[index]
    assert sorted(text[:10] for text in said) == sorted(["↩️ Refunde", "You have 0"]), said


def test_who_takes_no_direct_messages_is_called_where_they_asked_and_nothing_private_stands_there(shop: Shop) -> None:
    club = shop.servers.club
    shy = shop.member(club, closed=True)
    order = shy.pays(shy.asks("buy", guild=club, product="credits-10"))
    shop.desk.settled(order)
    until(lambda: shy.asked[0].follow_ups, what="the receipt")
    over = "UPDATE channel_note SET value = jsonb_set(value, '{ticket,at}', '0') WHERE key = $1"
    shop.desk.sql(over, f"asked:{shy.id}")
    assert shop.desk.post("/v1/refunds", {"order": order})["status"] == "succeeded"
    until(lambda: waiting(shop, shy), what="a message that waits")
    called = until(lambda: calls(shop, shy), what="a call in the server's channel")
    assert called[0]["content"].startswith(f"<@{shy.id}> There is news for you")
    assert not {"refund", "credit", "9.99", order} & set(called[0]["content"].lower().split())
    sent = [one.json for one in shop.fake.asked("POST", "/messages") if one.json["content"] == called[0]["content"]]
    assert [one["allowed_mentions"] for one in sent] == [{"users": [shy.id]}]
    again = shy.types("balance")
    until(lambda: again.original and again.follow_ups, what="what had waited")
    said = [again.original["content"], *(one["content"] for one in again.follow_ups)]  # type: ignore[index]
    assert any(text.startswith("↩️ Refunded") for text in said)
    assert len(calls(shop, shy)) == 1


def calls(shop: Shop, member: Member) -> list[dict[str, Any]]:
    """What was said to somebody by name in channels of servers."""
    channels = [id_ for id_, one in shop.fake.channels.items() if one.get("guild")]
    told = [message for id_ in channels for message in shop.fake.messages[id_].values()]
    return [one for one in told if f"<@{member.id}>" in one["content"]]


def forget_who_asked(shop: Shop, member: Member) -> None:
    """Let so much time pass that what they asked last is over."""
    shop.desk.sql("DELETE FROM channel_note WHERE key = $1", f"asked:{member.id}")


def waiting(shop: Shop, member: Member) -> list[dict[str, object]]:
    """What waits for somebody to be there."""
    return shop.desk.sql("SELECT * FROM outbox WHERE address = $1 AND state = 'waiting'", member.id)


def test_what_was_deferred_is_answered_though_the_service_dies(shop: Shop) -> None:
    ada = shop.member(shop.servers.club)
    shop.fake.requests.clear()
    shop.fake.fail_next("PATCH", HANGING, path="@original")
    asked = ada.types("buy", product="credits-10")
    until(lambda: shop.fake.asked("PATCH", "@original"), what="an answer under way")
    shop.desk.stop(signal.SIGKILL)
    assert asked.original is None
    for leased in ("lease SET until", "outbox SET next_at", "lane SET leased_until"):
        shop.desk.sql(f"UPDATE {leased} = now()")
    shop.desk.process = start_service(shop.desk.settings, shop.desk.port)
    order = ada.pays(answer_of(asked))
    assert shop.desk.settled(order)["status"] == "fulfilled"
    assert asked.follow_ups == []
    assert len(ada.told) == 1


MEND = "drag the bot's role (Paydesk) above VIP (Server Settings → Roles)"
REPORT = "discord was not as it should be. Roles given again: 1, taken away: 0."

# --- roles -----------------------------------------------------------------------------------------------------------


def roles(guild: Guild, member: Member) -> set[str]:
    """The roles that somebody has in a server."""
    return set(guild.members[member.id])


def look_for_drift(shop: Shop, folder: Path) -> drift.Report:
    """Let a process look now for what the desk looks for every hour."""

    async def look() -> drift.Report:
        async with open_service(load(shop.desk.settings, folder=folder)) as service:
            return (await drift.once(service))["discord"]

    return asyncio.run(look())


def test_in_each_of_two_servers_somebody_has_what_they_bought_there(shop: Shop) -> None:
    club, guild = shop.servers.club, shop.servers.guild
    ada = shop.member(club, guild)
    ada.buys("vip", guild=guild)
    ada.buys("gold", guild=club)
    until(lambda: (roles(club, ada), roles(guild, ada)) == ({shop.servers.vip}, {shop.servers.gold}), what="both roles")

    del club.members[ada.id]  # leaves
    club.members[ada.id] = set()  # and comes back with nothing
    ada.asks("balance", guild=club)
    until(lambda: ada.has(club, shop.servers.vip), what="the role again")
    shop.desk.quiet()
    given = len(shop.fake.asked("PUT", f"/members/{ada.id}/"))
    ada.asks("balance", guild=club)
    shop.desk.quiet()
    assert len(shop.fake.asked("PUT", f"/members/{ada.id}/")) == given, "who has it is not given it again"

    ada.ends()
    until(lambda: not roles(club, ada), what="the end of the role")
    shop.desk.quiet()
    assert roles(guild, ada) == {shop.servers.gold}


def test_who_is_not_in_the_server_is_shown_the_way_and_has_the_role_on_arrival(shop: Shop, tmp_path: Path) -> None:
    club, vip = shop.servers.club, shop.servers.vip
    eve, max_ = shop.member(shop.servers.guild), shop.member(shop.servers.guild)
    for member in (eve, max_):
        member.buys("vip", guild=shop.servers.guild)
    until(lambda: len(eve.told) == len(max_.told) == 2, what="the way in")
    way = shop.fake.told(eve.id)[1]
    assert way["content"].startswith("Your role on Discord waits for you")
    assert [one["url"] for one in buttons(way)] == ["https://discord.gg/club"]

    club.members[eve.id] = set()
    eve.asks("status", guild=club)
    until(lambda: eve.has(club, vip), what="the role on arrival")
    club.members[max_.id] = set()  # says nothing there
    assert look_for_drift(shop, tmp_path).given == 1
    until(lambda: max_.has(club, vip), what="the role after a look")
    assert len(eve.told) == len(max_.told) == 2
    until(lambda: REPORT in shop.alerts(), what="a report")


def test_what_is_changed_by_hand_is_put_right_and_told(shop: Shop, tmp_path: Path) -> None:
    club, vip = shop.servers.club, shop.servers.vip
    ada, ben = shop.member(club), shop.member(club)
    for member in (ada, ben):
        member.buys("vip", guild=club)
        until(lambda member=member: member.has(club, vip), what="the role")
    ben.ends()
    until(lambda: not ben.has(club, vip), what="the end of the role")
    club.members[ada.id].discard(vip)
    club.members[ben.id].add(vip)
    report = look_for_drift(shop, tmp_path)
    assert (report.given, report.taken) == (1, 1)
    until(lambda: ada.has(club, vip) and not ben.has(club, vip), what="what they should have")
    assert look_for_drift(shop, tmp_path).given == 0


def test_a_role_above_the_bot_is_told_once_and_given_when_that_is_mended(shop: Shop) -> None:
    club, vip = shop.servers.club, shop.servers.vip
    ada, ben = shop.member(club), shop.member(club)
    club.roles[vip]["position"] = 20
    for member in (ada, ben):
        member.buys("vip", guild=club)
    until(lambda: len(broken(shop)) == 2, what="two roles that wait")
    until(lambda: [line for line in shop.alerts() if MEND in line], what="an alert")
    assert ada.told[0].startswith("✅"), "what cannot be given holds up no message"

    club.roles[vip]["position"] = 3
    first = str(min(one["id"] for one in broken(shop)))
    assert shop.desk.command("deliveries", "retry", first).returncode == 0
    until(lambda: ada.has(club, vip) and ben.has(club, vip), what="both roles after one was tried again")

    club.members[shop.fake.application].clear()  # somebody takes the bot's rights, and invites it anew
    eva = shop.member(club)
    eva.buys("vip", guild=club)
    until(lambda: broken(shop), what="a role that waits")
    club.members[shop.fake.application] = {next(id_ for id_, one in club.roles.items() if one["name"] == "Paydesk")}
    event = {"type": "APPLICATION_AUTHORIZED", "timestamp": "2026-01-01T00:00:00", "data": {"guild": {"id": club.id}}}
    about = {"version": 1, "application_id": shop.fake.application, "type": 1, "event": event}
    assert shop.call(about).status_code == 204
    until(lambda: eva.has(club, vip), what="the role")
    assert len([line for line in shop.alerts() if "is not set up for" in line]) == 1


def broken(shop: Shop) -> list[dict[str, object]]:
    """What waits until somebody mends a server."""
    return shop.desk.sql("SELECT id FROM outbox WHERE state = 'waiting' AND waits_for LIKE 'mend:%'")


def test_a_late_end_never_beats_a_new_beginning(shop: Shop) -> None:
    club, vip = shop.servers.club, shop.servers.vip
    ada = shop.member(club)
    ada.buys("vip", guild=club)
    until(lambda: ada.has(club, vip), what="the role")
    shop.fake.fail_next("DELETE", 503, "<html>", {"Retry-After": "3600"}, path=ada.id)
    ada.ends()
    until(lambda: shop.fake.asked("DELETE", ada.id), what="the end under way")
    ada.pays(ada.asks("buy", guild=club, product="vip"))
    wanted = "SELECT version FROM membership WHERE customer_id = $1 AND wanted AND version = 3"
    until(lambda: shop.desk.sql(wanted, ada.customer), what="a new beginning")
    shop.hasten()
    shop.desk.quiet()
    assert ada.has(club, vip)
    assert len(shop.fake.asked("DELETE", ada.id)) == 1


def test_two_processes_send_as_one(shop: Shop) -> None:
    buyers = [shop.member(shop.servers.guild) for _ in range(10)]
    shop.fake.limits["members/roles"] = (10, 1.0)
    shop.fake.too_fast = 0
    with working(shop.desk):
        for buyer in buyers:
            person = Buyer(shop.desk, "discord", buyer.id)
            assert person.pay(person.checkout("tiers")).status_code == 200
        everything = set(shop.servers.tiers)
        until(
            lambda: all(roles(shop.servers.guild, one) == everything for one in buyers),
            patience_s=40, what="fifty role changes",
        )  # fmt: skip
        shop.desk.quiet()
    shop.fake.limits.clear()
    assert shop.fake.too_fast <= 1


# --- what comes in ---------------------------------------------------------------------------------------------------


def test_what_is_forged_stale_malformed_or_too_large_leaves_nothing(shop: Shop) -> None:
    ada = shop.member(shop.servers.club)
    shop.desk.quiet()
    good = asking(shop.fake, ada.id, 2, slash("balance"))
    asked, stored = len(shop.fake.requests), shop.desk.sql("SELECT count(*) FROM inbox")
    assert shop.call(good, **{"x-signature-ed25519": "00" * 64}).status_code == 401
    assert shop.call(good, at_s=time.time() - 400).status_code == 401
    for body in (b"{", b"[]", b'{"type": "2"}', b'{"type": 2, "id": "../x", "token": "t"}', b'{"type": 2}'):
        assert shop.call(body).status_code == 400
    assert shop.call({**good, "padding": "x" * 70_000}).status_code == 413
    assert shop.call({**good, "padding": "x" * 2_000_000}).status_code == 413
    time.sleep(0.3)
    assert shop.desk.sql("SELECT count(*) FROM inbox") == stored
    assert len(shop.fake.requests) == asked
    assert ada.told == []


def test_the_same_interaction_twice_counts_once(shop: Shop) -> None:
    ada = shop.member(shop.servers.club)
    payload = asking(shop.fake, ada.id, 2, slash("buy", product="credits-10"))
    for _ in range(3):
        answer = shop.call(payload)
        assert answer.json()["type"] == 5
    shop.fake.answered(payload, answer.json())
    asked = shop.fake.interactions[payload["token"]]
    answer_of(asked)
    shop.desk.quiet()
    assert asked.follow_ups == []
    assert len(shop.desk.sql("SELECT id FROM orders WHERE customer_id = $1", ada.customer)) == 1


def test_names_that_ping_format_or_never_end_do_no_harm(shop: Shop) -> None:
    eve = shop.member(shop.servers.club, name="@everyone {amount} " * 250)
    shop.servers.club.name = NASTY
    menu = eve.asks("buy", guild=shop.servers.club, product="{name} @here " * 400)
    assert len(menu["content"]) <= 2000
    offer = eve.presses(eve.asks("buy"), "@everyone")
    assert "{amount}" in offer["content"]
    eve.pays(offer)
    until(lambda: eve.told, what="a receipt")
    said = [message for channel in shop.fake.messages.values() for message in channel.values()]
    assert not [message for message in said if message["mention_everyone"]]
    shop.servers.club.name = "The Club"


# --- the people of the desk ------------------------------------------------------------------------------------------


def test_those_who_run_the_desk_read_a_line_for_each_trouble_and_bursts_in_one_message(
    shop: Shop, tmp_path: Path
) -> None:  # fmt: skip
    ada = shop.member(shop.servers.club)
    order = ada.buys("credits-10")
    shop.desk.quiet()
    before = len(shop.fake.messages[shop.servers.admins])
    private = next(id_ for id_, one in shop.fake.channels.items() if one.get("recipient") == ada.id)
    shop.fake.refuse_next("PATCH", 400, 50035, path=f"/channels/{private}")
    shop.desk.sql("UPDATE inbox SET state = 'parked', received_at = now() - interval '2 hours', next_at = 'infinity' "
                  "WHERE id = (SELECT min(id) FROM inbox WHERE state = 'ignored')")  # fmt: skip
    disputed(shop, order["id"])
    look_for_drift(shop, tmp_path)
    until(lambda: len(shop.fake.messages[shop.servers.admins]) > before, what="alerts")
    shop.desk.quiet()
    told = [one["content"].splitlines() for one in [*shop.fake.messages[shop.servers.admins].values()][before:]]
    (lines,) = told  # a burst is one message
    assert [line for line in lines if line.startswith("⚠️ Dispute opened (fraudulent): $9.99, order ord")]
    assert [line for line in lines if line.startswith("⚠️ Could not be delivered (discord, disputed ")]
    assert [line for line in lines if line.startswith("⚠️ 1 events have been waiting for more than an hour ")]


def disputed(shop: Shop, order: str) -> None:
    """Let the bank ask for the money of an order back."""
    charge = shop.desk.sql("SELECT charge FROM payment WHERE order_id = $1", order)[0]["charge"]
    key = {"Authorization": f"Bearer {shop.desk.settings['STRIPE_API_KEY']}"}
    about = {"charge": charge, "status": "needs_response"}
    made = httpx.post(f"{shop.desk.sandbox.url}/_sandbox/disputes", json=about, headers=key)
    assert made.status_code == 200, made.text


def test_when_discord_is_away_it_is_told_once_and_nothing_is_lost(shop: Shop) -> None:
    members = [shop.member(shop.servers.club) for _ in range(3)]
    shop.desk.quiet()
    shop.fake.fail_next("PATCH", 503, "<html>", path="@original", times=6)
    asked = [member.types("balance") for member in members]
    for one in asked:
        answer_of(one, patience_s=30)
    until(lambda: len([line for line in shop.alerts() if "discord does not answer" in line]) == 1, what="an alert")


def test_the_doctor_looks_at_discord_and_registers_the_commands(shop: Shop) -> None:
    club, vip = shop.servers.club, shop.servers.vip
    until(lambda: shop.fake.commands, what="the commands that a start registers")
    shop.fake.commands.clear()
    shop.fake.endpoint = f"{shop.desk.url}/webhooks/discord"
    club.roles[vip]["position"] = 20
    shop.fake.offers(COINS, "100 coins", 2)
    lines = discord_lines(shop, "check")
    assert len(lines) == 13
    assert [line for line in lines if not line.startswith("ok ")] == [
        "BAD  Discord: the commands: they are not registered, or others than ours  →  paydesk check --fix",
        "BAD  Discord: role VIP in The Club: the bot cannot give it  →  " + MEND,
        f"BAD  Discord: the SKU {COINS} of coins: 100 coins, of the kind durable  →  name one of the kind consumable ({SKUS})",
        f"BAD  Discord: the SKU {PATRON} of patron: this application has none of that id  →  copy the right id from "
        + SKUS + " into the catalogue",
    ]  # fmt: skip
    shop.fake.offers(COINS, "100 coins", 3)
    shop.fake.offers(PATRON, "Patron", 5)
    club.roles[vip]["position"] = 3
    assert [line for line in discord_lines(shop, "check", "--fix") if not line.startswith("ok ")] == []
    assert [one["name"] for one in shop.fake.commands][:2] == ["start", "buy"]


SKUS = "Developer Portal → Monetization → SKUs"


def discord_lines(shop: Shop, *arguments: str) -> list[str]:
    """What the doctor says of Discord."""
    said = shop.desk.command(*arguments)
    assert "Traceback" not in said.stderr
    return [line for line in said.stdout.splitlines() if "  Discord: " in line]


# --- Discord's own shop ----------------------------------------------------------------------------------------------

CREATED, UPDATED, DELETED = "ENTITLEMENT_CREATE", "ENTITLEMENT_UPDATE", "ENTITLEMENT_DELETE"


def coins_of(shop: Shop, member: Member) -> int:
    """What somebody has to spend."""
    return int(shop.desk.get(f"/v1/customers/{member.customer}/credits", unit="coins")["balance"])


def consumed(shop: Shop, entitlement: dict[str, Any]) -> int:
    """How often a purchase was used up at Discord."""
    return len(shop.fake.asked("POST", f"/entitlements/{entitlement['id']}/consume"))


def test_what_is_bought_in_discords_shop_is_given_once_used_up_once_and_taken_back(shop: Shop) -> None:
    ada = shop.member(shop.servers.club)
    offer = ada.asks("buy", product="coins")
    assert [one["sku_id"] for one in buttons(offer) if one["style"] == 6] == [COINS]
    first, second = shop.fake.sells(ada.id, COINS), shop.fake.sells(ada.id, COINS)
    for _ in range(2):  # each event has a time of its own
        shop.happens(CREATED, first)
    ada.asks("balance")  # who asks brings along what they have bought
    until(lambda: coins_of(shop, ada) == 200, what="both")
    until(lambda: first["consumed"] and second["consumed"], what="their use")
    shop.happens(UPDATED, first)
    shop.desk.quiet()
    assert (consumed(shop, first), consumed(shop, second), coins_of(shop, ada)) == (1, 1, 200)
    paid = "SELECT o.id, o.status, p.currency, p.amount FROM orders o JOIN payment p ON p.order_id = o.id WHERE p.charge = $1"
    (order,) = shop.desk.sql(paid, first["id"])
    assert (order["status"], order["currency"], order["amount"]) == ("fulfilled", "xdp", 1)
    assert [text for text in ada.told if text.startswith("✅ Paid 1 × Discord.")]
    payment = shop.desk.get(f"/v1/payments/premium_{first['id']}")
    assert (payment["status"], payment["amount"], payment["currency"]) == ("succeeded", 1, "xdp")
    assert "1 × Discord" in ada.asks("history")["content"]
    refused = shop.desk.call("POST", "/v1/refunds", json={"order": order["id"]})
    assert (refused.status_code, "Discord gives it back" in refused.text) == (409, True)

    for _ in range(2):
        shop.happens(DELETED, first)
    until(lambda: coins_of(shop, ada) == 100, what="what went back")
    shop.happens(CREATED, first, consumed=False)  # late
    shop.desk.quiet()
    assert coins_of(shop, ada) == 100
    assert shop.desk.get(f"/v1/orders/{order['id']}")["status"] == "refunded"
    assert shop.desk.command("ledger", "check").returncode == 0


def test_a_role_of_discords_shop_lasts_as_long_as_its_entitlement_whatever_is_told_first(shop: Shop) -> None:
    guild, gold = shop.servers.guild, shop.servers.gold
    ada, ben, eva = (shop.member(guild) for _ in range(3))
    begun = "2026-01-01T00:00:00+00:00"
    held, late, refunded = (shop.fake.sells(one.id, PATRON) for one in (ada, ben, eva))
    for member, entitlement in ((ada, held), (eva, refunded)):
        shop.happens(CREATED, entitlement)
        until(lambda member=member: member.has(guild, gold), what="the role")
    ended = {"ends_at": datetime.now(UTC).isoformat()}
    shop.happens(UPDATED, late, starts_at=begun, **ended)
    shop.happens(CREATED, late, starts_at=begun)
    shop.happens(DELETED, refunded)
    shop.happens(UPDATED, held, **ended)
    until(lambda: not ada.has(guild, gold) and not eva.has(guild, gold), what="the end of both roles")
    shop.desk.quiet()
    assert not ben.has(guild, gold)
    assert shop.fake.asked("POST", "/consume")[-1].path.split("/")[-2] not in {held["id"], late["id"], refunded["id"]}
    assert shop.desk.command("ledger", "check").returncode == 0


def test_what_ended_and_has_begun_again_under_the_same_id_is_given_again(shop: Shop) -> None:
    guild, gold = shop.servers.guild, shop.servers.gold
    ada = shop.member(guild)
    held = shop.fake.sells(ada.id, PATRON)
    shop.happens(CREATED, held)
    until(lambda: ada.has(guild, gold), what="the role")
    for ended_ago in (timedelta(hours=3), timedelta(hours=1)):
        held["ends_at"] = (datetime.now(UTC) - ended_ago).isoformat()
        shop.happens(UPDATED, held)
        until(lambda: not ada.has(guild, gold), what="the end of the role")
        before = happened(CREATED, {**held, "ends_at": None}, shop.fake.application)
        before["event"]["timestamp"] = (datetime.now(UTC) - ended_ago * 2).isoformat()
        assert shop.call(before).status_code == 204  # told late: it is older than the end
        shop.desk.quiet()
        assert not ada.has(guild, gold)
        held["ends_at"] = None
        shop.happens(UPDATED, held)
        until(lambda: ada.has(guild, gold), what="the role again")
    shop.desk.quiet()
    assert shop.desk.command("ledger", "check").returncode == 0


def test_what_was_bought_while_nobody_listened_is_found_and_what_nobody_sells_is_told(shop: Shop) -> None:
    ada = shop.member(shop.servers.club)
    shop.desk.stop(signal.SIGKILL)
    bought, unknown = shop.fake.sells(ada.id, COINS), shop.fake.sells(ada.id, "1180218955160375499")
    before = shop.fake.sells(ada.id, COINS)
    before["consumed"] = True  # somebody else has given what it brings
    for leased in ("lease SET until", "outbox SET next_at", "lane SET leased_until"):
        shop.desk.sql(f"UPDATE {leased} = now()")
    shop.desk.process = start_service(shop.desk.settings, shop.desk.port)
    until(lambda: bought["consumed"], what="what was missed", patience_s=20)
    shop.desk.quiet()
    assert coins_of(shop, ada) == 100

    def told() -> list[str]:
        return [one for one in shop.alerts() if unknown["sku_id"] in one and "paydesk events replay" in one]

    (alert,) = until(told, what="an alert")
    catalogue = Path(shop.desk.settings["PAYDESK_CATALOG"])
    sold = catalogue.read_text(encoding="utf-8").replace('"9.99" }', f'"9.99", discord_sku = "{unknown["sku_id"]}" }}')
    catalogue.write_text(sold, encoding="utf-8")
    offers = lambda: [one.get("sku_id") for one in buttons(ada.asks("buy", product="credits-10"))]  # noqa: E731
    until(lambda: unknown["sku_id"] in offers(), what="the edit")
    heard = shop.desk.sql("SELECT external_id FROM inbox WHERE external_id LIKE $1", f"entitlement:{unknown['id']}:%")
    assert heard[0]["external_id"] in alert
    assert shop.desk.command("events", "replay", heard[0]["external_id"]).returncode == 0
    wallet = f"/v1/customers/{ada.customer}/credits"
    until(lambda: shop.desk.get(wallet)["balance"] == 10, what="what was bought before anybody sold it")


def test_what_was_sold_goes_back_though_no_price_names_it_any_more(shop: Shop) -> None:
    ada = shop.member(shop.servers.club)
    ada.asks("balance")
    bought = shop.fake.sells(ada.id, COINS)
    shop.happens(CREATED, bought)
    until(lambda: coins_of(shop, ada) == 100, what="the purchase")
    catalogue = Path(shop.desk.settings["PAYDESK_CATALOG"])
    written = catalogue.read_text(encoding="utf-8")
    catalogue.write_text(written.replace(f', discord_sku = "{COINS}"', ""), encoding="utf-8")
    try:
        until(lambda: 6 not in [one["style"] for one in buttons(ada.asks("buy", product="coins"))], what="the edit")
        shop.happens(DELETED, bought)
        until(lambda: coins_of(shop, ada) == 0, what="what went back")
        shop.desk.quiet()
        assert [one for one in shop.alerts() if COINS in one] == []
    finally:
        catalogue.write_text(written, encoding="utf-8")


# --- a bot that Discord cannot call ----------------------------------------------------------------------------------


def test_a_bot_without_a_public_address_sells_a_role_over_the_gateway(
    new_database: Callable[[], str], stripe_sandbox: Sandbox, tmp_path: Path
) -> None:
    fake = DiscordFake()
    gateway = Gateway(fake)
    with fake:
        settings = {"DISCORD_MODE": "gateway", "DISCORD_PUBLIC_KEY": "", "STRIPE_EVENTS": "poll"}
        with shop_on(fake, planted(fake), tmp_path, new_database(), stripe_sandbox, **settings) as shop:
            until(lambda: gateway.connected, patience_s=30, what="a connection")
            club, vip = shop.servers.club, shop.servers.vip
            assert shop.call(asking(fake, fake.user(), 2, slash("balance"))).status_code == 404
            ada = shop.member(shop.servers.guild)
            payload = asking(fake, ada.id, 2, slash("buy", product="vip"), guild=shop.servers.guild)
            gateway.happens("INTERACTION_CREATE", payload)
            asked = fake.interactions[payload["token"]]
            ada.pays(answer_of(asked))
            until(lambda: len(ada.told) == 2, what="a receipt, and the way in")
            club.members[ada.id] = set()
            gateway.happens("GUILD_MEMBER_ADD", {**member_of(ada.id, "ada", set()), "guild_id": club.id})
            until(lambda: ada.has(club, vip), what="the role on arrival")
            gateway.happens(CREATED, fake.sells(ada.id, COINS))
            until(lambda: coins_of(shop, ada) == 100, what="what was bought in Discord's shop")
    assert fake.complaints == []
