"""Defines sealed texts, readable only while the key of the person they concern is kept. Pure.

    sealed:1:<key id, 32 hex digits>:<ciphertext, base64url without padding>

A sealed text is sent and stored like any other text. Only the adapter that hands it to the outside
world opens it (`key_service_client`). Deleting the key erases the text in every place that stores
it.
"""

import re
from uuid import UUID

_SEALED = re.compile(r"sealed:1:([0-9a-f]{32}):([A-Za-z0-9_-]{22,8000})")


class KeyErased(Exception):
    """The key of a sealed text is gone for good."""


def is_sealed(text: str) -> bool:
    """Tell whether a text has the sealed form; only the key service knows if it can be opened."""
    return _SEALED.fullmatch(text) is not None


def parts_of(text: str) -> tuple[UUID, str] | None:
    """Return the key id and the ciphertext (base64url), or None if the text is not sealed."""
    found = _SEALED.fullmatch(text)
    return (UUID(found[1]), found[2]) if found else None


def sealed_text(key_id: UUID, ciphertext: str) -> str:
    """Build a sealed text from its parts; the reverse of `parts_of`."""
    return f"sealed:1:{key_id.hex}:{ciphertext}"
