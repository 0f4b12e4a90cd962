"""The keys of customers: what seals their personal data, and what erases it.

One key a customer, made with the first order. AES-SIV (RFC 5297), since the same order placed
twice has to be the same event: of one customer, equal texts look equal, and that is all there is to
see. Erasing deletes the key and keeps who asked for it and why. This table alone of all cannot be
rebuilt from the topics.
"""

import binascii
from base64 import urlsafe_b64decode, urlsafe_b64encode
from collections.abc import Sequence
from dataclasses import dataclass
from datetime import datetime
from uuid import UUID, uuid4

from cryptography.exceptions import InvalidTag
from cryptography.hazmat.primitives.ciphers.aead import AESSIV
from sqlalchemy import Engine, text

from sagakit.privacy.sealed_text import parts_of, sealed_text

KEY_BITS = 512
SHOWN = 20
"""How many order ids are named."""

_CURRENT = text(
    "SELECT key_id, key FROM customer_key WHERE customer_id = :customer AND key IS NOT NULL"
)
_MAKE = text(
    "INSERT INTO customer_key (key_id, customer_id, key, made_at)"
    " VALUES (:key_id, :customer, :key, :now)"
    " ON CONFLICT (customer_id) WHERE key IS NOT NULL DO NOTHING"
)
_KEYS = text("SELECT key_id, key FROM customer_key WHERE key_id = ANY(:ids) AND key IS NOT NULL")
_ERASE = text(
    "UPDATE customer_key SET key = NULL, erased_at = :now, actor = :actor, reason = :reason"
    " WHERE customer_id = :customer AND key IS NOT NULL"
)
_ERASED_AT = text("SELECT max(erased_at) FROM customer_key WHERE customer_id = :customer")
_ORDERS = text(
    "SELECT order_id FROM orders WHERE customer_id = :customer"
    " AND (CAST(:in_clear AS boolean) AND in_clear"
    " OR NOT CAST(:in_clear AS boolean) AND phase = 'placed')"
    f" ORDER BY order_id LIMIT {SHOWN}"
)


@dataclass(frozen=True, slots=True)
class Erasure:
    """What became of a wish to erase. erased_at: None where it was not done, or there is nothing;
    in_flight: orders that still need the data; in_clear: orders that somebody published unsealed.
    At most SHOWN of each."""

    erased_at: datetime | None
    in_flight: tuple[str, ...] = ()
    in_clear: tuple[str, ...] = ()


class Vault:
    """The keys, in order's own database."""

    def __init__(self, engine: Engine) -> None:
        self._engine = engine

    def seal(self, customer: str, texts: Sequence[str], now: datetime) -> list[str]:
        """The texts, sealed with the customer's key; made where there is none."""
        with self._engine.begin() as connection:
            row = connection.execute(_CURRENT, {"customer": customer}).first()
            if row is None:
                made = {"key_id": uuid4(), "key": AESSIV.generate_key(KEY_BITS), "now": now}
                connection.execute(_MAKE, {**made, "customer": customer})
                row = connection.execute(_CURRENT, {"customer": customer}).one()
        return [sealed(row[0], bytes(row[1]), text_) for text_ in texts]

    def open(self, texts: Sequence[str]) -> list[str | None]:
        """The texts in clear; None where the key is gone, or it never was one of ours."""
        ids = list({found[0] for t in texts if (found := parts_of(t))})
        with self._engine.connect() as connection:
            rows = connection.execute(_KEYS, {"ids": ids}).all()
        keys = {key_id: bytes(key) for key_id, key in rows}
        return [opened(keys, text_) for text_ in texts]

    def erase(
        self, customer: str, actor: str, reason: str, now: datetime, *, force: bool = False
    ) -> Erasure:
        """Delete the customer's key. While orders are in flight only with `force`: whatever of them
        still needs the data fails then, and is undone."""
        who = {"customer": customer}
        with self._engine.begin() as connection:
            flying, clear = (
                tuple(connection.execute(_ORDERS, {**who, "in_clear": flag}).scalars())
                for flag in (False, True)
            )
            if flying and not force:
                return Erasure(None, flying, clear)
            connection.execute(_ERASE, {**who, "actor": actor, "reason": reason, "now": now})
            return Erasure(connection.execute(_ERASED_AT, who).scalar(), flying, clear)


def sealed(key_id: UUID, key: bytes, clear: str) -> str:
    """Under this key the same text is always sealed to the same; an empty one stays empty."""
    if not clear:
        return clear
    ciphertext = AESSIV(key).encrypt(clear.encode(), [key_id.bytes])
    return sealed_text(key_id, urlsafe_b64encode(ciphertext).decode().rstrip("="))


def opened(keys: dict[UUID, bytes], text_: str) -> str | None:
    """The reverse; None without the key, or for what was never sealed with it."""
    found = parts_of(text_)
    if found is None or found[0] not in keys:
        return None
    key_id, ciphertext = found
    try:
        raw = urlsafe_b64decode(ciphertext + "=" * (-len(ciphertext) % 4))
        return AESSIV(keys[key_id]).decrypt(raw, [key_id.bytes]).decode()
    except (InvalidTag, binascii.Error, ValueError):
        return None
