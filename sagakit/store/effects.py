"""Checks effects as they are stored: a payload of JSON, and a key that no other call has. Pure."""

import re
from collections.abc import Iterable, Sequence
from dataclasses import replace

import orjson

from sagakit.decider import Effect
from sagakit.errors import EffectKeyClash
from sagakit.messages.envelope import EffectRow
from sagakit.store.json_rows import as_json

_NUL = re.compile(r"(?<!\\)(?:\\\\)*\\u0000")
"""An escaped NUL in JSON text, which PostgreSQL does not store."""


def as_stored(effect: Effect) -> Effect:
    """Return an effect as it is read back, with its payload as JSON has it. Raises ValueError."""
    for name, value in (("key", effect.key), ("kind", effect.kind)):
        if not isinstance(value, str) or not value:
            raise ValueError(f"the {name} of {effect} is {value!r}; an effect needs a text there")
    try:
        payload = as_json(effect.payload)
        if _NUL.search(payload):
            raise ValueError("a text holds the character NUL")
    except ValueError as error:
        raise ValueError(
            f"the payload of effect {effect.key!r}: {error}; put only JSON values into it"
        ) from error
    return replace(effect, payload=orjson.loads(payload))


def check_repeats(rows: Sequence[EffectRow], pending: Iterable[Effect]) -> None:
    """Raise EffectKeyClash unless each row repeats the pending effect of its saga and key."""
    there = {effect.idempotency_key: effect for effect in pending}
    for row in rows:
        if there.get(row.effect.idempotency_key) != row.effect:
            raise EffectKeyClash(
                f"the effect key {row.effect.key!r} of {row.saga!r} is taken by another call, "
                "which is pending; give each call of a saga its own key",
                row.id,
            )
