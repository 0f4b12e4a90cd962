"""Names a saga by its flow and its saga id: the saga key. Pure.

A saga key is `<flow>/<saga id>`, such as `errand/2026-000123`: the name of the flow without its
version, a slash, and the saga id. The name holds no slash; the id may hold any number of them. An
event of no saga, or one whose flow is not known, has the key `/<record key>`.
The key of a Kafka record is the bare saga id, so that all events of a saga share a partition.

One rule holds for ids everywhere (`id_fault`): printable characters, in Unicode's form NFC. Between
letters the joiners U+200C and U+200D are taken, which words of Persian and Hindi are written with.
"""

import re
import unicodedata
from functools import lru_cache

MAX_ID_CHARS = 128
MAX_FLOW_CHARS = 100
MAX_SAGA_KEY_CHARS = MAX_FLOW_CHARS + 1 + MAX_ID_CHARS
FLOW_NAME = re.compile(rf"[A-Za-z0-9_.-]{{1,{MAX_FLOW_CHARS}}}")


_JOINERS = "\u200c\u200d"


def is_plain(text: str) -> bool:
    """Tell whether a text is printable and in the form NFC; joiners count between letters."""
    if text.isprintable():
        return text.isascii() or unicodedata.is_normalized("NFC", text)
    return id_fault(text, len(text)) is None


def id_fault(text: str, limit: int) -> str | None:
    """Return what is wrong with an id, with its remedy; None for one of 1 to `limit` characters."""
    if not text.strip():
        return f"is empty: give 1 to {limit} printable characters"
    if len(text) > limit or not _joined_well(text).isprintable():
        return f"is not valid: give 1 to {limit} printable characters"
    if not unicodedata.is_normalized("NFC", text):
        return "is not in Unicode's form NFC, so that it would look like another: normalise it"
    return None


def _joined_well(text: str) -> str:
    """Return the text without the joiners that stand between two letters or marks of letters."""
    if text.isprintable():
        return text
    alphabetic = [False, *map(_is_alphabetic, text), False]  # by position, one on
    return "".join(
        char
        for n, char in enumerate(text)
        if char not in _JOINERS or not (alphabetic[n] and alphabetic[n + 2])
    )


def _is_alphabetic(char: str) -> bool:
    return unicodedata.category(char)[0] in "LM"


def saga_key(flow: str, saga_id: str) -> str:
    """Return the key of a saga of the flow named `flow`; `""` for what belongs to no flow."""
    return f"{flow}/{saga_id}"


def split_key(key: str) -> tuple[str, str]:
    """Return the name of the flow and the saga id in a saga key. Raises ValueError."""
    flow, slash, saga_id = key.partition("/")
    if not slash:
        raise ValueError(f"{key[:80]!r} is no saga key; write it as flow/id, such as errand/{key}")
    return flow, saga_id


@lru_cache(maxsize=256)
def flow_name(label: str | None) -> str:
    """Return the name of the flow in a label `name/version`, `""` if there is none in it."""
    name = (label or "").partition("/")[0]
    return name if FLOW_NAME.fullmatch(name) else ""
