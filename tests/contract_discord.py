"""The Discord that our tests talk to is honest: two clients of other people's use it unchanged, and wrong calls are refused."""

from __future__ import annotations

import asyncio
import json
import time
import warnings
from collections.abc import AsyncIterator, Iterator
from typing import Any

import hikari
import httpx
import pytest

from fakes.discord import DiscordFake
from fakes.discord_shapes import asking, pressed, slash

with warnings.catch_warnings():
    warnings.filterwarnings("ignore", "'audioop' is deprecated", DeprecationWarning)  # it can also speak
    import discord
    import discord.http


SKU = "1180218955160375406"


@pytest.fixture(scope="module")
def running() -> Iterator[DiscordFake]:
    with DiscordFake() as fake:
        yield fake


@pytest.fixture
def fake(running: DiscordFake) -> Iterator[DiscordFake]:
    running.forget()
    yield running
    assert running.complaints == []


# --- hikari ----------------------------------------------------------------------------------------------------------


@pytest.fixture
async def rest(fake: DiscordFake) -> AsyncIterator[hikari.api.RESTClient]:
    app = hikari.RESTApp(url=fake.base, max_retries=0, max_rate_limit=5)
    await app.start()
    async with app.acquire(fake.token, hikari.TokenType.BOT) as client:
        yield client
    await app.close()


async def test_hikari_gives_roles_says_things_and_registers_commands(
    fake: DiscordFake, rest: hikari.api.RESTClient
) -> None:
    ada = fake.user()
    guild = fake.guild(ada)
    role = fake.role(guild, "VIP", 3)
    assert (await rest.fetch_my_user()).is_bot
    await rest.add_role_to_member(int(guild.id), int(ada), int(role), reason="paid:ord_1")
    member = await rest.fetch_member(int(guild.id), int(ada))
    assert int(role) in member.role_ids
    await rest.remove_role_from_member(int(guild.id), int(ada), int(role))
    assert guild.members[ada] == set()
    assert {one.name for one in await rest.fetch_roles(int(guild.id))} == {"@everyone", "Paydesk", "VIP"}

    private = await rest.create_dm_channel(int(ada))
    row = rest.build_message_action_row().add_link_button("https://pay.example/r/1", label="Pay")
    first = await rest.create_message(private.id, "Hello", component=row, nonce="n1")
    again = await rest.create_message(private.id, "Hello", nonce="n1")
    assert first.id == again.id
    edited = await rest.edit_message(private.id, first.id, "Paid")
    assert (edited.content, [one["content"] for one in fake.told(ada)]) == ("Paid", ["Paid"])

    command = rest.slash_command_builder("buy", "Buy something").set_name_localizations({"pl": "kup"})
    registered = await rest.set_application_commands(int(fake.application), [command])
    assert [one.name for one in registered] == [
        one.name for one in await rest.fetch_application_commands(int(fake.application))
    ]


async def test_hikari_lists_what_was_bought(fake: DiscordFake, rest: hikari.api.RESTClient) -> None:
    ada, ben = fake.user(), fake.user()
    first, second = fake.sells(ada, SKU), fake.sells(ada, "1180218955160375499", ends_at="2026-02-01T00:00:00+00:00")
    fake.sells(ben, SKU)["deleted"] = True
    all_of_them = await rest.fetch_entitlements(int(fake.application))
    assert [str(one.id) for one in all_of_them] == list(fake.entitlements)
    adas = await rest.fetch_entitlements(int(fake.application), user=int(ada))
    assert [(str(one.id), str(one.sku_id), one.is_deleted) for one in adas] == [
        (first["id"], SKU, False), (second["id"], "1180218955160375499", False)
    ]  # fmt: skip
    assert adas[0].starts_at is not None
    assert (adas[0].ends_at, adas[1].ends_at and adas[1].ends_at.isoformat()) == (None, "2026-02-01T00:00:00+00:00")
    some = await rest.fetch_entitlements(int(fake.application), skus=[int(SKU)], exclude_deleted=True)
    assert [str(one.id) for one in some] == [first["id"]]
    fake.entitlements.clear()


async def test_hikari_maps_every_refusal(fake: DiscordFake, rest: hikari.api.RESTClient) -> None:
    ada, shy = fake.user(), fake.user(closed=True)
    guild = fake.guild(ada, shy, top=5)
    above, managed = fake.role(guild, "Above", 9), fake.role(guild, "Boost", 1, managed=True)

    async def code_of(call: Any) -> tuple[type[hikari.HikariError], int]:
        with pytest.raises(hikari.ClientHTTPResponseError) as caught:
            await call
        return type(caught.value), int(caught.value.code)  # type: ignore[attr-defined]

    give = rest.add_role_to_member
    assert await code_of(give(int(guild.id), int(ada), int(above))) == (hikari.ForbiddenError, 50013)
    assert await code_of(give(int(guild.id), int(ada), int(managed))) == (hikari.BadRequestError, 50028)
    assert await code_of(give(int(guild.id), int(ada), 123456789)) == (hikari.NotFoundError, 10011)
    assert await code_of(give(987654321, int(ada), int(above))) == (hikari.NotFoundError, 10004)
    low = fake.role(guild, "Low", 1)
    assert await code_of(give(int(guild.id), int(fake.user()), int(low))) == (hikari.NotFoundError, 10007)
    private = await rest.create_dm_channel(int(shy))
    assert await code_of(rest.create_message(private.id, "Hello")) == (hikari.ForbiddenError, 50007)
    fake.limits["members/roles"] = (1, 30.0)
    await give(int(guild.id), int(ada), int(low))
    with pytest.raises(hikari.RateLimitTooLongError):
        await give(int(guild.id), int(ada), int(low))


async def test_hikari_reads_our_interactions_as_discords_and_answers_them(fake: DiscordFake) -> None:
    ada = fake.user()
    guild = fake.guild(ada)
    bot = hikari.RESTBot(fake.token, hikari.TokenType.BOT, banner=None, public_key=fake.public_key, rest_url=fake.base)
    seen: list[str] = []

    async def on_command(asked: hikari.CommandInteraction) -> Any:
        seen.append(f"{asked.command_name} {asked.options[0].value} {asked.locale} {asked.member and asked.member.id}")  # type: ignore[index]
        return asked.build_deferred_response().set_flags(hikari.MessageFlag.EPHEMERAL)

    async def on_button(asked: hikari.ComponentInteraction) -> Any:
        seen.append(asked.custom_id)
        return asked.build_deferred_response(hikari.ResponseType.DEFERRED_MESSAGE_UPDATE)

    bot.set_listener(hikari.CommandInteraction, on_command)
    bot.set_listener(hikari.ComponentInteraction, on_button)
    bot.rest.start()
    command = asking(fake, ada, 2, slash("buy", product="credits-10"), guild=guild, locale="pl")
    stays = {**(await _message(fake, ada)), "flags": 64}
    button = asking(fake, ada, 3, pressed("/balance"), guild=guild, message=stays)
    for payload in (command, button):
        headers, body = fake.signed(payload)
        stamp, signature = headers["x-signature-timestamp"], bytes.fromhex(headers["x-signature-ed25519"])
        answer = await bot.on_interaction(body, signature, stamp.encode())
        assert answer.status_code == 200
        fake.answered(payload, json.loads(answer.payload or b"{}"))
    assert seen == [f"buy credits-10 pl {ada}", "/balance"]
    refused = await bot.on_interaction(b'{"type":1}', b"\x00" * 64, str(int(time.time())).encode())
    assert refused.status_code in (400, 401)
    follow = bot.rest.execute_webhook
    await bot.rest.edit_interaction_response(int(fake.application), command["token"], "Pay here")
    await follow(int(fake.application), command["token"], "And this", flags=hikari.MessageFlag.EPHEMERAL)
    asked = fake.interactions[command["token"]]
    assert asked.original is not None
    assert (asked.original["content"], [one["content"] for one in asked.follow_ups]) == ("Pay here", ["And this"])
    callback = bot.rest.create_interaction_response
    with pytest.raises(hikari.BadRequestError):
        await callback(int(command["id"]), command["token"], hikari.ResponseType.DEFERRED_MESSAGE_CREATE)
    await bot.rest.close()


async def _message(fake: DiscordFake, user: str) -> dict[str, Any]:
    """A message of the bot's, as Discord tells it."""
    headers = {"Authorization": f"Bot {fake.token}", "User-Agent": "DiscordBot (tests, 1)"}
    async with httpx.AsyncClient(base_url=fake.base, headers=headers, trust_env=False) as client:
        channel = (await client.post("/users/@me/channels", json={"recipient_id": user})).json()["id"]
        told: dict[str, Any] = (await client.post(f"/channels/{channel}/messages", json={"content": "Hi"})).json()
    return told


# --- discord.py ------------------------------------------------------------------------------------------------------


async def test_discord_py_does_the_same(fake: DiscordFake) -> None:
    ada, shy = fake.user(), fake.user(closed=True)
    guild = fake.guild(ada, shy, top=5)
    role, above = fake.role(guild, "VIP", 3), fake.role(guild, "Above", 9)
    discord.http.Route.BASE = fake.base  # its own way to another address
    http = discord.http.HTTPClient(asyncio.get_running_loop())
    try:
        assert (await http.static_login(fake.token))["id"] == fake.application
        await http.add_role(guild.id, ada, role, reason="paid:ord_1")
        assert (await http.get_member(guild.id, ada))["roles"] == [role]
        await http.remove_role(guild.id, ada, role)
        private = await http.start_private_message(int(ada))
        said = discord.http.handle_message_parameters("Hello", nonce="7")
        first, again = (
            await http.send_message(private["id"], params=said),
            await http.send_message(private["id"], params=said),
        )
        assert first["id"] == again["id"]
        await http.edit_message(private["id"], first["id"], params=discord.http.handle_message_parameters("Paid"))
        assert [one["content"] for one in fake.told(ada)] == ["Paid"]
        commands = [{"name": "buy", "description": "Buy something", "type": 1}]
        assert [one["name"] for one in await http.bulk_upsert_global_commands(int(fake.application), commands)] == [
            "buy"
        ]
        for call, code in (
            (lambda: http.add_role(guild.id, ada, above), 50013),
            (lambda: http.add_role(guild.id, fake.user(), role), 10007),
            (lambda: http.add_role(guild.id, ada, 123456789), 10011),
        ):
            with pytest.raises(discord.HTTPException) as caught:
                await call()
            assert caught.value.code == code
        view = discord.ui.View().add_item(discord.ui.Button(sku_id=int(SKU), style=discord.ButtonStyle.premium))
        await http.send_message(private["id"], params=discord.http.handle_message_parameters("100 coins", view=view))
        assert fake.told(ada)[-1]["components"][0]["components"][0]["sku_id"] == SKU
        fake.offers(SKU, "100 coins", 3)
        assert [(one["id"], one["type"]) for one in await http.get_skus(fake.application)] == [(SKU, 3)]
        bought = fake.sells(ada, SKU)
        shop = int(fake.application)
        assert [one["id"] for one in await http.get_entitlements(shop, user_id=int(ada))] == [bought["id"]]
        await http.consume_entitlement(shop, bought["id"])
        assert (await http.get_entitlement(shop, bought["id"]))["consumed"] is True
        with pytest.raises(discord.NotFound):
            await http.get_entitlement(shop, "123456789")
        fake.entitlements.clear()
        closed = await http.start_private_message(int(shy))
        with pytest.raises(discord.Forbidden) as caught:
            await http.send_message(closed["id"], params=discord.http.handle_message_parameters("Hello"))
        assert caught.value.code == 50007
        with pytest.raises(discord.LoginFailure):
            await discord.http.HTTPClient(asyncio.get_running_loop()).static_login("wrong")
    finally:
        await http.close()


# --- what must be refused --------------------------------------------------------------------------------------------

WRONG: list[tuple[str, str, str, Any]] = [
    ("a recipient that is no id", "POST", "/users/@me/channels", {"recipient_id": "ada"}),
    ("5,000 characters", "POST", "/channels/1/messages", {"content": "x" * 5000}),
    ("a nonce of 40", "POST", "/channels/1/messages", {"content": "x", "nonce": "n" * 40}),
    ("a guild that is no id", "PUT", "/guilds/abc/members/1/roles/1", None),
    ("an unknown path", "GET", "/nowhere", None),
    ("a command without a name", "PUT", "/applications/1142009356217749514/commands", [{"description": "x"}]),
    (
        "a button without a style",
        "POST",
        "/channels/1/messages",
        {"content": "x", "components": [{"type": 1, "components": [{"type": 2}]}]},
    ),
]


@pytest.mark.parametrize(("what", "method", "path", "body"), WRONG, ids=[what for what, *_ in WRONG])
async def test_wrong_calls_are_refused(running: DiscordFake, what: str, method: str, path: str, body: Any) -> None:
    headers = {"Authorization": f"Bot {running.token}", "User-Agent": "DiscordBot (tests, 1)"}
    async with httpx.AsyncClient(base_url=running.base, headers=headers, trust_env=False) as client:
        answer = await client.request(method, path, json=body)
    assert answer.status_code == 400
    assert len(running.complaints) == 1
    running.complaints.clear()


async def test_no_token_no_name_and_what_the_description_leaves_out_are_refused(running: DiscordFake) -> None:
    named = {"User-Agent": "DiscordBot (tests, 1)"}
    async with httpx.AsyncClient(base_url=running.base, trust_env=False) as client:
        assert (await client.get("/users/@me", headers=named)).status_code == 400
        assert (await client.get("/users/@me", headers={**named, "Authorization": "Bot other"})).status_code == 401
        nameless = {"Authorization": f"Bot {running.token}", "User-Agent": "curl"}
        assert (await client.get("/users/@me", headers=nameless)).status_code == 400
        ada = running.user()
        running.guild(ada)
        ours = {**named, "Authorization": f"Bot {running.token}"}
        channel = (await client.post("/users/@me/channels", headers=ours, json={"recipient_id": ada})).json()["id"]
        same = {"type": 2, "style": 2, "label": "x", "custom_id": "/x"}
        for wrong in (
            {"content": "x" * 2001},
            {"content": "x", "components": [{"type": 1, "components": [same, same]}]},
        ):
            assert (await client.post(f"/channels/{channel}/messages", headers=ours, json=wrong)).json()[
                "code"
            ] == 50035
    assert len(running.complaints) == 4
    running.complaints.clear()
