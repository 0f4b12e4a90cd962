"""Both stores write without a lock only what nobody has written meanwhile."""

from contextlib import suppress
from dataclasses import replace
from typing import Any
from uuid import uuid4

import pytest

from sagakit.errors import StaleState
from sagakit.handling.handler import Disposition, decode_message
from sagakit.messages.codec import Codec
from sagakit.messages.envelope import (
    Lease,
)
from sagakit.store.ports import Changes
from tests.store_subjects import LATER, LEASE, Subject, effect, row
from tests.toy_saga import (
    CONTRACT,
    NOW,
    Count,
    Ticked,
    Wire,
    handler_on,
    table_store,
)

# --- without locks --------------------------------------------------------------------------------


def optimistic(subject: Subject, key: str, word: str, between: Any = lambda: None) -> None:
    """One transaction without locks; `between` happens after it has read."""
    with subject.database.transaction(optimistic=True) as tx:
        inbox_row = tx.lock([key])[key]
        working = tx.load({key: []})
        between()
        inbox_row.sent += 1
        working.put(key, Count((*working.get(key).words, word)), ())
        tx.write(Changes([inbox_row], [row(key, word.encode())]), working)


def test_a_saga_is_written_without_a_lock_also_from_the_cache(subject: Subject) -> None:
    for word in ("one", "two", "three"):
        optimistic(subject, "a", word)
    assert subject.state("a") == Count(("one", "two", "three"))
    assert subject.inbox_row("a").sent == 3
    assert [r.value for r in subject.outbox()] == [b"one", b"two", b"three"]


@pytest.mark.parametrize("cached", [False, True])
def test_a_saga_that_was_written_meanwhile_is_not_written_again(
    subject: Subject, cached: bool
) -> None:
    """Neither after a read nor from the cache; the next one reads what is there."""
    if cached:
        optimistic(subject, "a", "one")
    with pytest.raises(StaleState):
        optimistic(subject, "a", "lost", lambda: subject.write(["a"], outbox=[row("a")]))
    assert subject.inbox_row("a").sent == int(cached)
    assert b"lost" not in {r.value for r in subject.outbox()}
    optimistic(subject, "a", "again")
    assert subject.state("a").words[-1] == "again"


def test_a_saga_whose_state_was_not_loaded_is_not_decided_on_an_empty_one(
    subject: Subject,
) -> None:
    """Given a batch under lock that only advances a sequence, the next one reads the state."""
    optimistic(subject, "a", "one")
    with subject.database.transaction() as tx:
        inbox_row = tx.lock(["a"])["a"]
        tx.write(Changes([inbox_row]), tx.load({}))
    optimistic(subject, "a", "two")
    assert subject.state("a") == Count(("one", "two"))


def test_an_effect_that_another_holds_by_now_is_not_finished_without_a_lock(
    subject: Subject,
) -> None:
    subject.write(["a"], effects=[effect("e1")])
    (slow,) = subject.claim()
    (quick,) = subject.claim(now=NOW + LEASE)
    assert slow.lease
    assert quick.lease

    def outcome(lease: Lease) -> None:
        with subject.database.transaction(optimistic=True) as tx:
            inbox_rows = tx.lock(["a"])
            if lease.effect_id in tx.finish([lease]):
                changes = Changes(list(inbox_rows.values()), [row("a")], [effect("e2")])
                tx.write(changes, tx.load({}))

    with suppress(StaleState):  # the memory says it at once, and writes nothing either
        outcome(slow.lease)
    assert subject.outbox() == []
    outcome(quick.lease)
    assert len(subject.outbox()) == 1
    assert [found.effect.key for found in subject.claim(now=LATER)] == ["e2"]


def test_an_effect_that_is_finished_can_be_added_again_under_its_key(subject: Subject) -> None:
    subject.write(["toy/o1"], effects=[effect("e1")])
    (first,) = subject.claim()
    assert first.lease
    again = effect("e1", id=uuid4(), effect=replace(effect("e1").effect, payload={"n": 2}))
    with subject.database.transaction(optimistic=True) as tx:
        inbox_rows = tx.lock(["toy/o1"])
        tx.finish([first.lease])
        tx.write(Changes(list(inbox_rows.values()), [], [again]), tx.load({}))
    assert [found.id for found in subject.claim()] == [again.id]


def test_a_replica_that_remembers_too_little_handles_under_lock(subject: Subject) -> None:
    """Given a saga that this replica handled last, and another one since; when the next event comes
    here; then it is neither a gap nor decided on what was."""
    store = getattr(subject.database, "store", None) or table_store()
    handler, wire = handler_on(subject.database, store), Wire(Codec(CONTRACT))
    messages = [
        decode_message(wire.codec, wire.record(Ticked("o1", f"word {n}"), n)) for n in (1, 2, 3)
    ]
    handler.handle(messages[:1])
    with subject.other_process():
        handler_on(subject.database, store).handle(messages[1:2])
    (last,) = handler.handle(messages[2:])
    assert last.disposition is Disposition.HANDLED
    assert len(subject.state("toy/o1").words) == 3
    assert subject.queue("toy/o1") == []
