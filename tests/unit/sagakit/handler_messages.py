"""Messages for the handler of the counter, and what becomes of them."""

from dataclasses import replace
from datetime import timedelta
from typing import Any
from uuid import uuid4

from sagakit.decider import Callback, EffectResult
from sagakit.handling.handler import Disposition
from sagakit.messages.envelope import EffectRow, Lease, Message, Record
from tests.toy_saga import NOW, Counter, Ticked, toy

HANDLED = Disposition.HANDLED
HELD = Disposition.HELD
PARKED = Disposition.PARKED
REPEAT = Disposition.REPEAT
STALE = Disposition.STALE


def tick(counter: Counter, word: str, seq: int | None, key: str = "a", **trace: Any) -> Record:
    return counter.wire.record(Ticked(key, word), seq, **trace)


def call(key: str, word: str, **changes: Any) -> Message:
    """A webhook."""
    return replace(Message(uuid4(), toy(key), trigger=Callback((key, word))), **changes)


def queue(counter: Counter, key: str = "a") -> list[tuple[str, int | None]]:
    return [(row.code, row.seq) for row in counter.parked(key)]


def claimed(counter: Counter) -> EffectRow:
    (row,) = counter.database.claim(10, timedelta(seconds=15), NOW)
    return row


def outcome(row: EffectRow, lease: Lease | None, result: str = "ok") -> Message:
    trigger = EffectResult(row.effect, result)
    return Message(uuid4(), row.saga, trace=row.trace, trigger=trigger, lease=lease)
