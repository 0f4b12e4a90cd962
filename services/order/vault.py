"""Keeps the customers' keys, which seal personal data; deleting a key erases the data.

Each customer has one key, created when a text is first sealed. AES-SIV (RFC 5297) is deterministic,
since the same order placed twice has to give the same event: equal texts of one customer look
equal, and nothing else of them shows but their length. Erasing deletes the key and keeps who asked
for it and why. This is the only state that cannot be rebuilt from the topics.

Keys are stored wrapped with a key that is not in the database (`SAGA_KEY_ENCRYPTION_KEY`), so that
a dump opens nothing.
"""

import binascii
from base64 import urlsafe_b64decode, urlsafe_b64encode
from collections.abc import Sequence
from dataclasses import dataclass
from datetime import datetime
from typing import Any
from uuid import UUID, uuid4

from cryptography.exceptions import InvalidTag
from cryptography.hazmat.primitives.ciphers.aead import AESSIV
from cryptography.hazmat.primitives.hashes import SHA512
from cryptography.hazmat.primitives.kdf.hkdf import HKDF
from sqlalchemy import Connection, Engine, text

from sagakit.errors import SagaError
from sagakit.identity import split_key
from sagakit.privacy.sealed_text import parts_of, sealed_text

KEY_BITS = 512
MAX_LISTED = 20
"""The most order ids that an Erasure lists of each kind."""

_CURRENT = text(
    "SELECT customer_id, key_id, key FROM customer_key"
    " WHERE customer_id = ANY(:customers) AND key IS NOT NULL"
)
_MAKE = text(
    "INSERT INTO customer_key (key_id, customer_id, key, made_at)"
    " VALUES (:key_id, :customer, :key, :now)"
    " ON CONFLICT (customer_id) WHERE key IS NOT NULL DO NOTHING"
)
_KEYS = text(
    "WITH noted AS (INSERT INTO audit (action, actor, address, subjects)"
    " VALUES ('open', :caller, :address, :subjects))"
    " SELECT key_id, key FROM customer_key WHERE key_id = ANY(:ids) AND key IS NOT NULL"
)
# In the order of the ids, so that two who ask for the same keys do not block each other.
_KEPT = text(
    "SELECT key_id FROM customer_key WHERE key_id = ANY(:ids) AND key IS NOT NULL"
    " ORDER BY key_id FOR SHARE"
)
_ERASE = text(
    "UPDATE customer_key SET key = NULL, erased_at = :now, actor = :actor, reason = :reason"
    " WHERE customer_id = :customer AND key IS NOT NULL"
)
_ERASED_AT = text("SELECT max(erased_at) FROM customer_key WHERE customer_id = :customer")
_ORDERS = text(
    "SELECT saga FROM orders WHERE customer_id = :customer"
    " AND (CAST(:in_clear AS boolean) AND in_clear"
    " OR NOT CAST(:in_clear AS boolean) AND phase = 'placed')"
    f" ORDER BY saga LIMIT {MAX_LISTED}"
)


_WRAPPING_BYTES = 64


class KeyNotUnwrapped(SagaError):
    """A customer's key was wrapped with another key-encryption key; the texts are not erased."""


class KeyWrap:
    """Wraps with the first of these secrets, and unwraps with any."""

    def __init__(self, secrets: Sequence[str]) -> None:
        self._ciphers = [AESSIV(_derived(secret)) for secret in secrets]

    def wrap(self, key_id: UUID, key: bytes) -> bytes:
        """Return the key in the form that is stored. It belongs to this id alone."""
        return self._ciphers[0].encrypt(key, [key_id.bytes])

    def unwrap(self, key_id: UUID, wrapped: bytes) -> bytes:
        """Return the key. Raises KeyNotUnwrapped."""
        for cipher in self._ciphers:
            try:
                return cipher.decrypt(wrapped, [key_id.bytes])
            except InvalidTag:
                continue
        raise KeyNotUnwrapped(
            f"the key {key_id} was wrapped with another key-encryption key; set "
            "SAGA_KEY_ENCRYPTION_KEY, or SAGA_KEY_ENCRYPTION_KEY_PREVIOUS, to that one"
        )


def _derived(secret: str) -> bytes:
    hkdf = HKDF(SHA512(), _WRAPPING_BYTES, salt=None, info=b"saga customer keys 1")
    return hkdf.derive(secret.encode())


CustomerTexts = tuple[str, Sequence[str]]
"""A customer, and texts about them."""


@dataclass(frozen=True, slots=True)
class Opener:
    """Holds who opens sealed texts: the name it gives itself, and the address it asks from."""

    caller: str
    address: str


@dataclass(frozen=True, slots=True)
class Erasure:
    """The result of a request to erase. erased_at: None if refused, or if no key ever existed;
    in_flight: orders that still need the data; in_clear: orders that were published unsealed. Both
    list at most SHOWN orders."""

    erased_at: datetime | None
    in_flight: tuple[str, ...] = ()
    in_clear: tuple[str, ...] = ()


class Vault:
    """Stores the keys in order's own database."""

    def __init__(self, engine: Engine, wrap: KeyWrap) -> None:
        self._engine, self._wrap = engine, wrap
        self._open_engine = engine.execution_options(isolation_level="AUTOCOMMIT")

    def seal(self, wanted: Sequence[CustomerTexts], now: datetime) -> list[list[str]]:
        """Return each customer's texts sealed with their key; create the keys that are missing."""
        customers = sorted({customer for customer, _ in wanted})
        with self._engine.begin() as connection:
            keys = self._current_keys(connection, customers)
            made = [self._new_key(one) for one in customers if one not in keys]
            if made:  # in the order of customers, so that two who make the same keys do not block
                connection.execute(_MAKE, [{**row, "now": now} for row in made])
                keys = self._current_keys(connection, customers)
        return [[seal_text(*keys[one], clear) for clear in texts] for one, texts in wanted]

    def _new_key(self, customer: str) -> dict[str, Any]:
        key_id = uuid4()
        key = self._wrap.wrap(key_id, AESSIV.generate_key(KEY_BITS))
        return {"customer": customer, "key_id": key_id, "key": key}

    def _current_keys(
        self, connection: Connection, customers: Sequence[str]
    ) -> dict[str, tuple[UUID, bytes]]:
        """Return customer -> the id of their key, and the key."""
        rows = connection.execute(_CURRENT, {"customers": customers})
        unwrap = self._wrap.unwrap
        return {one: (key_id, unwrap(key_id, bytes(key))) for one, key_id, key in rows}

    def open(self, texts: Sequence[str], by: Opener) -> list[str | None]:
        """Return the texts in clear; None where the key is gone or was never in this vault.

        One statement reads the keys and keeps in `audit` who asked for them.
        """
        ids = list({found[0] for t in texts if (found := parts_of(t))})
        asked = {"ids": ids, "subjects": [str(key_id) for key_id in ids]}
        with self._open_engine.connect() as connection:
            rows = connection.execute(_KEYS, {**asked, "caller": by.caller, "address": by.address})
            keys = {key_id: self._wrap.unwrap(key_id, bytes(key)) for key_id, key in rows}
        return [open_text(keys, text_) for text_ in texts]

    def kept(self, texts: Sequence[str]) -> list[bool]:
        """Tell of each sealed text whether its key is kept; an erasure under way is waited for."""
        ids = [found[0] if (found := parts_of(t)) else None for t in texts]
        with self._engine.begin() as connection:
            asked = {"ids": sorted({key_id for key_id in ids if key_id})}
            known = set(connection.execute(_KEPT, asked).scalars())
        return [key_id in known for key_id in ids]

    def erase(
        self, customer: str, actor: str, reason: str, now: datetime, *, force: bool = False
    ) -> Erasure:
        """Delete the customer's key; while orders are in flight, only with `force`. Orders that
        still need the data then fail and are undone.

        The key is deleted before the orders are looked for, and it comes back if there are any. So
        an order that is placed meanwhile is either seen here, or sees that its key is gone
        (`kept`).
        """
        who = {"customer": customer}
        with self._engine.connect() as connection, connection.begin() as transaction:
            connection.execute(_ERASE, {**who, "actor": actor, "reason": reason, "now": now})
            in_flight, clear = (
                tuple(
                    split_key(saga)[1]
                    for saga in connection.execute(_ORDERS, {**who, "in_clear": flag}).scalars()
                )
                for flag in (False, True)
            )
            if in_flight and not force:
                transaction.rollback()
                return Erasure(None, in_flight, clear)
            return Erasure(connection.execute(_ERASED_AT, who).scalar(), in_flight, clear)


def seal_text(key_id: UUID, key: bytes, clear: str) -> str:
    """Seal a text. One key gives equal texts equal ciphertexts; an empty text stays empty."""
    if not clear:
        return clear
    ciphertext = AESSIV(key).encrypt(clear.encode(), [key_id.bytes])
    return sealed_text(key_id, urlsafe_b64encode(ciphertext).decode().rstrip("="))


def open_text(keys: dict[UUID, bytes], text_: str) -> str | None:
    """Open a sealed text; return None without its key, or if it was not sealed with that key."""
    found = parts_of(text_)
    if found is None or found[0] not in keys:
        return None
    key_id, ciphertext = found
    try:
        raw = urlsafe_b64decode(ciphertext + "=" * (-len(ciphertext) % 4))
        return AESSIV(keys[key_id]).decrypt(raw, [key_id.bytes]).decode()
    except (InvalidTag, binascii.Error, ValueError):
        return None
