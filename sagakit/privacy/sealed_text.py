"""Sealed texts: readable only while the key of whom they are about is kept. Pure.

    sealed:1:<key id, 32 hex digits>:<ciphertext, base64url without padding>

A sealed text travels and is stored like any other text. It is opened at the very edge, in the
adapter that hands it to the outside world (`vault`); when its key is gone it is erased wherever it
lies.
"""

import re
from uuid import UUID

_SEALED = re.compile(r"sealed:1:([0-9a-f]{32}):([A-Za-z0-9_-]{22,8000})")
HIDDEN = "[sealed]"


class Erased(Exception):
    """The key of a sealed text is gone for good."""


def is_sealed(text: str) -> bool:
    """Whether it has the form of one; whether it can be opened only the vault can say."""
    return _SEALED.fullmatch(text) is not None


def parts_of(text: str) -> tuple[UUID, str] | None:
    """The key's id and the ciphertext as base64url; None for a text that is not sealed."""
    found = _SEALED.fullmatch(text)
    return (UUID(found[1]), found[2]) if found else None


def sealed_text(key_id: UUID, ciphertext: str) -> str:
    """The reverse of `parts_of`."""
    return f"sealed:1:{key_id.hex}:{ciphertext}"


def without(text: str, *secrets: str) -> str:
    """What somebody outside said, without the secrets he was told."""
    for secret in secrets:
        text = text.replace(secret, HIDDEN) if secret else text
    return text
