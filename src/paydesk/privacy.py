"""Personal data at rest: sealed with a key per person, which is itself sealed by the master key.

AES-256-GCM throughout; table, column and row are bound in, so a sealed value moved elsewhere does not open. An
e-mail can be looked up by a keyed hash (blind index) without being readable. Erasing a person is destroying their
data key: old backups become unreadable too.
"""

from __future__ import annotations

import base64
import hashlib
import hmac
import os
from collections.abc import Sequence
from pathlib import Path

from cryptography.exceptions import InvalidTag
from cryptography.hazmat.primitives.ciphers.aead import AESGCM

from paydesk.config import Secret
from paydesk.errors import SettingError

NONCE_BYTES = 12
KEY_ID_BYTES = 4


class Vault:
    """Seals and opens. `keys` are the master keys, newest first: new data keys use the first, old ones still open."""

    def __init__(self, keys: Sequence[Secret]) -> None:
        if not keys:
            raise SettingError("PAYDESK_ENCRYPTION_KEYS is not set: 32 random bytes in URL-safe base64")
        raw = [_decode(key) for key in keys]
        self._raw = raw
        self._masters = {_key_id(key): AESGCM(key) for key in raw}
        self._newest = _key_id(raw[0])
        self._oldest = raw[-1]  # the blind index must not change when keys rotate

    def new_data_key(self, person: str) -> bytes:
        """Return a fresh data key for `person`, sealed by the newest master key."""
        nonce = os.urandom(NONCE_BYTES)
        sealed = self._masters[self._newest].encrypt(nonce, os.urandom(32), f"data_key:{person}".encode())
        return self._newest + nonce + sealed

    def seal(self, data_key: bytes, person: str, field: str, text: str) -> bytes:
        """Return `text` sealed for this person and field."""
        nonce = os.urandom(NONCE_BYTES)
        return nonce + self._open_key(data_key, person).encrypt(nonce, text.encode(), f"{field}:{person}".encode())

    def open(self, data_key: bytes, person: str, field: str, sealed: bytes) -> str:
        """Return the text sealed for this person and field; raises `SettingError` when our keys do not open it."""
        try:
            opened = self._open_key(data_key, person).decrypt(
                sealed[:NONCE_BYTES], sealed[NONCE_BYTES:], f"{field}:{person}".encode()
            )
        except InvalidTag:
            raise SettingError("PAYDESK_ENCRYPTION_KEYS does not open this database's personal data") from None
        return opened.decode()

    def index(self, email: str) -> bytes:
        """Return the blind index of an e-mail address: equal for equal addresses, whatever their case."""
        return hmac.digest(self._oldest, b"email:" + email.strip().lower().encode(), "sha256")[:16]

    def signature(self, purpose: str, text: str) -> str:
        """Return what only we can put under a text, for one purpose: 32 hexadecimal digits."""
        return self.signatures(purpose, text)[0]

    def signatures(self, purpose: str, text: str) -> list[str]:
        """Return what we may have put under a text, by each of our keys, newest first: it outlives a new key."""
        signed = f"signature:{purpose}:{text}".encode()
        return [hmac.digest(key, signed, "sha256").hex()[:32] for key in self._raw]

    def signed(self, purpose: str, text: str, signature: str) -> bool:
        """Say whether a signature is ours, by any of our keys."""
        return any(hmac.compare_digest(ours, signature) for ours in self.signatures(purpose, text))

    def _open_key(self, data_key: bytes, person: str) -> AESGCM:
        master = self._masters.get(data_key[:KEY_ID_BYTES])
        if master is None:
            raise SettingError("PAYDESK_ENCRYPTION_KEYS lacks a key that this database's personal data was sealed with")
        nonce = data_key[KEY_ID_BYTES : KEY_ID_BYTES + NONCE_BYTES]
        sealed = data_key[KEY_ID_BYTES + NONCE_BYTES :]
        try:
            return AESGCM(master.decrypt(nonce, sealed, f"data_key:{person}".encode()))
        except InvalidTag:
            raise SettingError("PAYDESK_ENCRYPTION_KEYS does not open this database's personal data") from None


def keys_beside(data: Path) -> tuple[Secret, ...]:
    """Return the master key kept in the data folder, made there (mode 0600) when there is none yet."""
    path = data / "encryption.key"
    try:
        return (Secret(path.read_text(encoding="ascii").strip()),)
    except FileNotFoundError:
        pass
    data.mkdir(mode=0o700, parents=True, exist_ok=True)
    key = base64.urlsafe_b64encode(os.urandom(32)).decode()
    try:
        with os.fdopen(os.open(path, os.O_WRONLY | os.O_CREAT | os.O_EXCL, 0o600), "w") as file:
            file.write(key + "\n")
            file.flush()
            os.fsync(file.fileno())
    except FileExistsError:  # another process was faster
        return keys_beside(data)
    return (Secret(key),)


def _decode(key: Secret) -> bytes:
    raw = base64.urlsafe_b64decode(key.reveal().rstrip("=") + "=")
    if len(raw) != 32:
        raise SettingError("PAYDESK_ENCRYPTION_KEYS is malformed: each key is 32 random bytes in URL-safe base64")
    return raw


def _key_id(key: bytes) -> bytes:
    return hashlib.sha256(b"id:" + key).digest()[:KEY_ID_BYTES]
