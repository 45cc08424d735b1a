"""Ids and secrets: random, unguessable, and telling at a glance what they name."""

from __future__ import annotations

import hashlib
import random
import secrets

LETTERS = "0123456789abcdefghjkmnpqrstvwxyz"
_OURS = bytes.maketrans(b"ABCDEFGHIJKLMNOPQRSTUVWXYZ234567", LETTERS.encode())
_LETTERS = LETTERS.encode() * 8  # a letter for each byte, each letter for as many


def new(prefix: str) -> str:
    """Return a fresh id such as `ord_7h3k…` with 130 random bits: two never collide."""
    return f"{prefix}_{secrets.token_bytes(26).translate(_LETTERS).decode()}"


def request() -> str:
    """Return an id for a request: it names, and keeps no secret, so it need not ask the system for chance."""
    return f"req_{random.randbytes(26).translate(_LETTERS).decode()}"  # noqa: S311 - a name, guarding nothing


def derived(prefix: str, seed: str) -> str:
    """Return the id that belongs to `seed`, always the same: a resumed operation finds what it made."""
    number = int.from_bytes(hashlib.sha256(f"{prefix}:{seed}".encode()).digest()[:17])
    letters = []
    for _ in range(26):
        number, rest = divmod(number, 32)
        letters.append(LETTERS[rest])
    return f"{prefix}_{''.join(letters)}"


def hashed(prefix: str, seed: str) -> str:
    """Return the id that belongs to `seed`, always the same, as 128 bits in hexadecimal: quicker than `derived`."""
    return f"{prefix}_{hashlib.sha256(seed.encode()).hexdigest()[:32]}"


def token() -> str:
    """Return a link token with 130 random bits."""
    return new("l").removeprefix("l_")
