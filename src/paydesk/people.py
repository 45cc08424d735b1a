"""Changing what is kept of a person: address, name, language, and words of the caller's own."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from paydesk import audit, customers, deeds
from paydesk.customers import Customer
from paydesk.errors import Invalid
from paydesk.privacy import Vault
from paydesk.store import Record, Store, Tx

KEYS_MAX = 40

CHANGE = """
UPDATE customer SET data_key = $2, email_sealed = $3, email_index = $4, name_sealed = $5, locale = $6,
    locale_chosen = locale_chosen OR $7, metadata = $8
WHERE id = $1
"""


def checked(change: Mapping[str, Any]) -> Mapping[str, Any]:
    """Return a change that may be stored: `email`, `name`, `locale` and `metadata` as far as it has them.

    Raises `Invalid` that names the parameter.
    """
    customers.checked((), change.get("email"), change.get("name"), change.get("locale"), {})
    return change


async def change(
    store: Store, vault: Vault, id_: str, change: Mapping[str, Any], *, actor: str, operation: str | None = None
) -> Customer:
    """Change a person and return them: what `change` has not stays, `None` is taken away, empty metadata too.

    The same `operation` changes them once, whatever others have changed meanwhile.
    Raises `NotFound`, and `Invalid` for more metadata than a person can have.
    """

    async def work(tx: Tx) -> None:
        person = await customers.lock_person(tx, id_)
        row = await tx.fetchrow("SELECT * FROM customer WHERE id = $1", person)
        if row is not None and change and await deeds.first(tx, operation):
            await tx.execute(CHANGE, person, *_changed(vault, row, change))
            await audit.note(tx, actor, "customer.change", [person], {"changed": sorted(change)})

    await store.run(work)
    return await customers.get(store, vault, id_)


def _changed(vault: Vault, row: Record, change: Mapping[str, Any]) -> list[object]:
    """Return the values of the statement: what is sealed is sealed with the person's own key, made when they have none."""
    email, name = change.get("email"), change.get("name")
    key = row["data_key"] or (vault.new_data_key(row["id"]) if email or name else None)
    sealed = {
        field: vault.seal(key, row["id"], field, change[field]) if key is not None and change[field] else None
        for field in ("email", "name")
        if field in change
    }
    index = (vault.index(email) if email else None) if "email" in change else row["email_index"]
    metadata = {**row["metadata"], **(change.get("metadata") or {})}
    kept = {word: value for word, value in metadata.items() if value}
    if len(kept) > KEYS_MAX:
        raise Invalid(f"metadata has at most {KEYS_MAX} keys", param="metadata")
    locale = change["locale"] if "locale" in change else row["locale"]
    chosen = bool(change.get("locale"))
    return [
        key, sealed.get("email", row["email_sealed"]), index, sealed.get("name", row["name_sealed"]), locale, chosen, kept,
    ]  # fmt: skip
