"""Any valid events, on PostgreSQL: what a database cannot hold is set aside, its neighbours not.

The values are the widest that Avro takes: 64 bits, texts with any character, times of any year."""

from dataclasses import replace
from itertools import count
from typing import Any

import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from sagakit.messages.envelope import Record
from tests.avro import any_event
from tests.bad_input.apps import SERVICES, RunningApps
from tests.bad_input.events import placed, sent
from tests.bad_input.test_events import Reading

FUZZ = settings(
    derandomize=True,
    database=None,
    deadline=None,
    max_examples=100,
    suppress_health_check=[HealthCheck.too_slow],
)
batches = st.lists(st.tuples(any_event, st.booleans()), min_size=1, max_size=6)
numbers = count()


def events_of(found: list[tuple[Any, bool]], key: str) -> list[Any]:
    """Those marked are of one order; the others keep their own."""
    about = [(e, same) for e, same in found if hasattr(e, "order_id")]
    return [replace(e, order_id=key if same else f"{key}-{n}") for n, (e, same) in enumerate(about)]


def of_placed_orders(events: list[Any]) -> list[Any]:
    """The start event of each order, then its events, with the facts that the order has."""
    starts = {e.order_id: placed(e.order_id) for e in events}
    with_facts = [e for e in events if getattr(e, "order", None) is not None]
    starts |= {e.order_id: replace(placed(e.order_id), order=e.order) for e in with_facts}
    carrying = [
        replace(e, order=starts[e.order_id].order) if e in with_facts else e for e in events
    ]
    return [*starts.values(), *carrying]


@pytest.mark.parametrize("name", SERVICES)
def test_a_participant_handles_or_parks_any_events(apps: RunningApps, name: str) -> None:
    reading = Reading(apps.processes[name])

    @FUZZ
    @given(batches)
    def check(found: list[tuple[Any, bool]]) -> None:
        key = f"fuzz-{name}-{next(numbers)}"
        before, after = (sent(placed(f"{key}-{n}")) for n in ("before", "after"))
        events = of_placed_orders(events_of(found, key))
        first, *rest, last = reading.reads(before, *map(sent, events), after)
        assert (first.disposition, last.disposition) == ("handled", "handled")
        for one in rest:
            if one.disposition == "parked" and one.message.record:
                assert reading.parked(one.message.record.offset).code in (
                    "undecodable",
                    "queued",
                    "conflict",
                )

    check()


def test_the_monitor_shows_or_sets_aside_any_events(apps: RunningApps) -> None:
    projection = apps.monitor.projection
    offsets = count(1)

    def record(one: Any) -> Record:
        return Record(one.topic, 0, next(offsets), 1, one.key, one.value, one.headers)

    @FUZZ
    @given(batches)
    def check(found: list[tuple[Any, bool]]) -> None:
        key = f"fuzz-{next(numbers)}"
        good = sent(placed(f"{key}-good"))
        records = [record(sent(event)) for event in events_of(found, key)]
        counts = projection.apply([record(good), *records])
        assert counts.events + counts.unreadable == len(records) + 1
        with apps.monitor.engine.connect() as connection:
            saga, seen = apps.monitor.sagas.load(connection, f"order/{key}-good")
        assert (len(saga.facts), seen.flow) == (1, "order/1")

    check()
