"""Wraps the customers' keys with a key that is not in the database, so that a dump opens nothing.

The key comes from `SAGA_KEY_ENCRYPTION_KEY`. While it is rotated, keys that were wrapped with the
previous one are unwrapped too.
"""

from collections.abc import Sequence
from uuid import UUID

from cryptography.exceptions import InvalidTag
from cryptography.hazmat.primitives.ciphers.aead import AESSIV
from cryptography.hazmat.primitives.hashes import SHA512
from cryptography.hazmat.primitives.kdf.hkdf import HKDF

from sagakit.errors import SagaError

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
