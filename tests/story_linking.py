"""Somebody who is met in two chats says so: by a link that is signed, ends soon and works once; and ids go safely, too."""

from __future__ import annotations

import secrets
import time

import pytest

from desk import Buyer, Desk
from paydesk import linking
from paydesk.config import Secret
from paydesk.privacy import Vault

SURE = "Is the other one you?"


def link_of(buyer: Buyer) -> str:
    """The words that somebody is given to say in another chat."""
    words = str(buyer.say("/link")[-1]["text"])
    assert words.startswith("/start link_")
    assert len(words.removeprefix("/start ")) == 64
    return words


def vault_of(desk: Desk) -> Vault:
    """The desk's own keys."""
    return Vault([Secret(desk.settings["PAYDESK_ENCRYPTION_KEYS"])])


def test_who_is_new_in_the_other_chat_is_linked_at_once(desk: Desk) -> None:
    ann, there = desk.buyer(), desk.buyer("telegram")
    ann.buy("credits-10")
    words = link_of(ann)
    assert there.say(words)[0]["text"].startswith("Done: you are one person")
    assert there.id == ann.id
    assert there.balance() == 10
    assert there.say(words)[0]["text"].startswith("Done"), "said again by the same person it changes nothing"
    assert desk.sql("SELECT actor FROM audit WHERE action = 'customer.merge' AND subject = $1", ann.id) == [
        {"actor": "chat:telegram"}
    ]


def test_who_has_something_there_is_asked_first(desk: Desk) -> None:
    ann, bob = desk.buyer(), desk.buyer("telegram")
    ann.buy("credits-10")
    bob.buy("credits-10")
    first, second = ann.id, bob.id
    words = link_of(ann)
    (asked,) = bob.say(words)
    assert asked["text"].endswith(SURE)
    assert (ann.id, bob.id) == (first, second), "nothing has happened yet"
    assert bob.say(asked["buttons"][0]["command"])[0]["text"].startswith("Done")
    assert ann.id == bob.id == first
    assert (ann.balance(), bob.balance()) == (20, 20)


def test_a_link_works_once(desk: Desk) -> None:
    ann, bob, eve = desk.buyer(), desk.buyer("telegram"), desk.buyer("discord")
    ann.say("/start")
    words = link_of(ann)
    assert bob.say(words)[0]["text"].startswith("Done")
    assert eve.say(words)[0]["text"].startswith("This link was used already")
    assert eve.id != ann.id == bob.id


def test_a_link_ends_and_nobody_else_can_make_one(desk: Desk) -> None:
    ann, eve = desk.buyer(), desk.buyer("telegram")
    ann.say("/start")
    old = linking.make(vault_of(desk), ann.id, at_s=time.time() - linking.LIFE_S - 1)
    assert eve.say(f"/start {old}")[0]["text"].startswith("This link has ended")
    good = link_of(ann).removeprefix("/start ")
    strange = Vault([Secret(43 * "A")])
    other = good[:-1] + ("0" if good[-1] != "0" else "1")
    longer = good[:31] + ("z" if good[31] != "z" else "y") + good[32:]  # it would last for centuries
    for forged in (
        other,
        longer,
        f"link_{good[5:].upper()}",
        good[:-1],
        good + "0",
        "link_",
        "link_x y",
        linking.make(strange, ann.id),
    ):
        assert eve.say(f"/start {forged}")[0]["text"].startswith("This is no link of ours"), forged
    assert eve.id != ann.id
    assert eve.say(f"/start {good}")[0]["text"].startswith("Done"), "and the good one is as good as before"


def test_an_id_is_linked_and_unlinked_by_the_api(desk: Desk) -> None:
    ann, bob = desk.buyer(), desk.buyer("telegram")
    ann.say("/start")
    bob.say("/start")
    path = f"/v1/customers/{ann.id}/identities"
    taken = desk.call("POST", path, json=bob.who)
    assert (taken.status_code, taken.json()["error"]["param"]) == (409, "external_id")
    new = {"channel": "telegram", "external_id": f"a/{bob.external_id}"}
    for _ in range(2):
        assert desk.post(path, new)["identities"] == [ann.who, new]
    there = Buyer(desk, "telegram", new["external_id"])
    order = there.buy("credits-10")
    assert ann.balance() == 10
    where = f"{path}/telegram/a%2F{bob.external_id}"
    assert desk.call("DELETE", where).json()["identities"] == [ann.who]
    assert desk.call("DELETE", where).status_code == 404
    assert desk.sql("SELECT channel, external_id FROM orders WHERE id = $1", order["id"]) == [
        {"channel": None, "external_id": None}
    ]
    there.say("/start")
    assert there.id != ann.id, "whoever speaks from there now is somebody new"
    assert there.balance() == 0
    last = desk.call("DELETE", f"{path}/web/{ann.external_id}")
    assert last.status_code == 409
    assert ann.balance() == 10


def test_a_repeat_of_a_link_does_not_link_again_what_was_unlinked_since(desk: Desk) -> None:
    ann, bob = desk.buyer(), desk.buyer("telegram")
    once = {"Idempotency-Key": secrets.token_hex(8)}
    made = {"identities": [ann.who, bob.who]}
    first = desk.call("POST", "/v1/customers", json=made, headers=once).json()
    path, there = f"/v1/customers/{ann.id}/identities", f"/telegram/{bob.external_id}"
    desk.call("DELETE", path + there)
    again = desk.call("POST", "/v1/customers", json=made, headers=once)
    assert again.headers["Idempotent-Replayed"] == "true"
    assert (again.json()["id"], again.json()["identities"]) == (first["id"], [ann.who])
    desk.post(path, bob.who, **once)
    desk.call("DELETE", path + there)
    again = desk.call("POST", path, json=bob.who, headers=once)
    assert again.headers["Idempotent-Replayed"] == "true"
    assert again.json()["identities"] == [ann.who]
    bob.say("/start")
    assert bob.id != ann.id


@pytest.mark.parametrize("scope", ["read", "spend", "sell"])
def test_only_an_admins_key_unlinks(desk: Desk, scope: str) -> None:
    ann = desk.buyer()
    ann.say("/start")
    key = desk.command("keys", "create", "one", "--scope", scope).stdout.split()[1]
    path = f"/v1/customers/{ann.id}/identities/web/{ann.external_id}"
    assert desk.call("DELETE", path, key=key).status_code == 403
