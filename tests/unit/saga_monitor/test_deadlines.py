"""What the monitor says when, and how it knows how far the log is read."""

from collections.abc import Sequence
from dataclasses import replace
from datetime import datetime, timedelta
from typing import Any

import pytest
from aiokafka.partitioner import murmur2 as kafka_murmur2  # type: ignore[import-untyped]

from saga_monitor.ingest.watermark import EVERY_PARTITION, Tick, Watermark, murmur2, take_tick
from saga_monitor.saga.deadlines import due_emissions
from saga_monitor.saga.facts import Saga, fold, log_time, unix_ms
from saga_monitor.saga.flow_plan import Plan
from saga_monitor.saga.interpreter import interpret
from saga_monitor.saga.view import LONGEST_BACKOFF_S, backoff
from sagakit.contract.platform import CompensationRequested, InterventionOpened
from sagakit.flow.model import Ceiling
from schemas import FLOWS
from tests.histories import ORDER, after, facts, saga_of, seen

RESERVED = ("OrderPlaced", "InventoryReserved")
(FLOW,) = FLOWS
CEILING = FLOW.ceiling.attempts
SHIPPED = (*RESERVED, "PaymentCaptured", "ShipmentCreated", "ShipmentPickedUp")


def emitted(saga: Saga, read_through: datetime | None) -> list[Any]:
    return [e.event for e in due_emissions(saga, seen(saga), read_through)]


# --- judging ------------------------------------------------------------------------------------


@pytest.mark.parametrize("read_through", [None, after(0), after(300), after(300.001)])
def test_nothing_is_emitted_before_the_log_is_read_past_the_deadline(
    read_through: datetime | None,
) -> None:
    assert emitted(saga_of(*RESERVED), read_through) == []


def test_a_step_overdue_in_log_time_is_undone() -> None:
    assert emitted(saga_of(*RESERVED), after(300.002)) == [
        CompensationRequested(
            saga_id=ORDER,
            step="payment",
            code="deadline",
            reason="payment has been due since 2026-01-02T03:00:00.001+00:00, "
            "awaited: PaymentCaptured or PaymentDeclined",
            actor="saga_monitor",
            attempt=1,
        )
    ]


def test_two_monitors_say_the_same_under_the_same_id_whenever_they_judge() -> None:
    saga = saga_of(*RESERVED)
    assert due_emissions(saga, seen(saga), after(301)) == due_emissions(
        saga, seen(saga), after(9999)
    )


def test_an_event_that_came_in_time_keeps_the_monitor_silent() -> None:
    assert emitted(saga_of(*RESERVED, "PaymentCaptured"), after(301)) == []


def test_ended_orders_are_left_alone() -> None:
    assert emitted(saga_of("OrderPlaced", "InventoryRejected"), after(10**7)) == []
    assert emitted(saga_of(*SHIPPED, "ShippedMailSent"), after(10**7)) == []


def test_an_open_wait_has_its_own_deadline() -> None:
    waiting = saga_of(*RESERVED, "PaymentActionRequired")
    assert emitted(waiting, after(23 * 3600)) == []
    [request] = emitted(waiting, after(24 * 3600 + 1))
    assert request.step == "payment"


def test_asking_again_with_growing_pauses_while_no_sign_of_life_comes() -> None:
    saga, now = saga_of(*RESERVED), 300.002
    pauses = []
    for attempt in range(1, 8):
        [emission] = due_emissions(saga, seen(saga), after(now))
        assert emission.event.attempt == attempt
        [fact] = facts("CompensationRequested", {"step": emission.event.step, "attempt": attempt})
        saga = fold(saga, _sighted(fact, str(emission.id), now))
        [item] = seen(saga).awaited
        assert item.due is not None
        pauses.append((item.due - after(now)).total_seconds())
        now += pauses[-1] + 0.001
        if attempt == 1:  # the request enters at the far end, which is shipping
            saga = fold(saga, facts("ShipmentCancelled")[0])
    assert pauses[1:] == sorted(pauses[1:])
    assert pauses[-1] == LONGEST_BACKOFF_S


def test_what_the_step_behind_repeats_is_no_sign_of_life() -> None:
    """Asked again, shipping says again that it is undone; payment, asked by it, still says
    nothing: the pauses grow all the same."""
    asking = {"step": "payment", "attempt": 1}
    again = {"step": "payment", "attempt": 2}
    story = (
        *RESERVED,
        "PaymentCaptured",
        "OrderCancelRequested",
        "ShipmentCancelled",
        300,
        "CompensationRequested",
        asking,
        "ShipmentCancelled",
        300,
        "CompensationRequested",
        again,
        "ShipmentCancelled",
    )
    awaited = seen(saga_of(*story)).next
    assert awaited is not None
    assert (awaited.step, awaited.tries) == ("payment", 2)
    assert awaited.due is not None
    assert awaited.due - after(600) > backoff(300, 2)


def test_a_sign_of_life_restarts_the_pauses() -> None:
    asked = (*RESERVED, "PaymentCaptured", "ShipmentFailed", 300, "CompensationRequested")
    payment = {"step": "payment", "attempt": 1}
    quiet = seen(saga_of(*asked, payment))
    assert quiet.next is not None
    assert quiet.next.tries == 1
    alive = seen(saga_of(*asked, payment, 10, "PaymentRefundStarted"))
    assert alive.next is not None
    assert (alive.next.tries, alive.next.attempt) == (0, 2)


def test_past_the_ceiling_a_person_is_called_once_and_asking_goes_on() -> None:
    payment = {"step": "payment"}
    story: list[Any] = [*RESERVED, "PaymentCaptured", "ShipmentFailed"]
    for attempt in range(1, CEILING + 1):
        story += [4000, "CompensationRequested", {**payment, "attempt": attempt}]
    saga = saga_of(*story)
    request, opened = due_emissions(saga, seen(saga), after(10**6))
    assert isinstance(request.event, CompensationRequested)
    assert request.event.attempt == CEILING + 1
    assert isinstance(opened.event, InterventionOpened)
    assert opened.event.code == "undo_stalled"
    [fact] = facts("InterventionOpened", {"code": "undo_stalled"})
    [again] = emitted(fold(saga, _sighted(fact, str(opened.id), 10**6)), after(10**7))
    assert isinstance(again, CompensationRequested)


@pytest.mark.parametrize(("age_s", "called"), [(4300.0, True), (4301.0, False)])
def test_a_person_is_called_as_well_when_it_has_been_silent_for_too_long(
    age_s: float, called: bool
) -> None:
    story = (*RESERVED, "PaymentCaptured", "ShipmentFailed", 4000, "CompensationRequested")
    saga = saga_of(*story, {"step": "payment", "attempt": 1})
    impatient = replace(FLOW, ceiling=Ceiling(age_s=age_s))
    events = [
        e.event for e in due_emissions(saga, interpret(saga, Plan.of(impatient, 1)), after(10**6))
    ]
    assert [isinstance(e, InterventionOpened) for e in events] == [False, *[True] * called]


def test_past_the_pivot_a_person_is_called_once_and_nothing_is_undone() -> None:
    saga = saga_of(*SHIPPED)
    [emission] = due_emissions(saga, seen(saga), after(3700))
    assert isinstance(emission.event, InterventionOpened)
    assert emission.event.code == "overdue_past_pivot"
    [fact] = facts("InterventionOpened", {"code": "overdue_past_pivot"})
    emitted_once = fold(saga, _sighted(fact, str(emission.id), 3700))
    assert emitted(emitted_once, after(10**7)) == []
    assert seen(emitted_once).next is None


def test_a_step_before_the_pivot_is_judged_once_the_log_is_read_through_the_pivot() -> None:
    # The monitor has read the pivot, and not yet the late PaymentCaptured in another partition.
    saga = saga_of(*RESERVED, 6000, "ShipmentCreated", "ShipmentPickedUp")
    pivot = max(fact.at for fact in saga.facts.values())
    assert emitted(saga, after(5999)) == []
    assert emitted(saga, pivot) == []
    [intervention] = emitted(saga, pivot + timedelta(milliseconds=1))
    assert (intervention.code, "payment" in intervention.reason) == ("overdue_past_pivot", True)


def test_a_contradiction_is_reported_when_the_log_is_read_through_both_its_sides() -> None:
    saga = saga_of(*SHIPPED, 10, "InventoryReleased")
    assert emitted(saga, after(9)) == []
    assert [event.code for event in emitted(saga, after(11))] == ["undone_past_pivot"]


def test_somebody_elses_request_is_not_taken_for_the_monitors() -> None:
    forged = replace(
        facts("CompensationRequested", {"step": "shipping", "attempt": 2**31 - 1})[0], at=after(1)
    )
    [request] = emitted(fold(saga_of(*RESERVED), forged), after(10**6))
    assert (request.step, request.attempt) == ("shipping", 1)


def test_backoff_doubles_and_ends() -> None:
    assert [backoff(60, n).total_seconds() for n in (1, 2, 3, 99)] == [60, 120, 240, 3600]
    assert backoff(86400, 3).total_seconds() == 86400


# --- the watermark ------------------------------------------------------------------------------

ENDS = {("a.events", 0): 10, ("b.events", 0): 5, ("a.events", 1): 0, ("b.events", 1): 7}


def tick(second: float, ends: dict[tuple[str, int], int] | None = None) -> Tick:
    return Tick(after(second), ENDS if ends is None else ends)


def test_a_partition_is_read_through_when_all_topics_are() -> None:
    watermark = Watermark().after(
        tick(1), {("a.events", 0): 10, ("b.events", 0): 4, ("b.events", 1): 7}
    )
    assert watermark.of_partition(0) is None
    assert watermark.of_partition(1) == after(1)
    assert watermark.of_partition(EVERY_PARTITION) is None
    watermark = watermark.after(tick(2), {("a.events", 0): 10, ("b.events", 0): 5})
    assert (watermark.of_partition(0), watermark.of_partition(1)) == (after(2), after(1))
    assert watermark.of_partition(EVERY_PARTITION) == after(1)


def test_a_monitor_that_is_always_a_little_behind_makes_headway() -> None:
    watermark, stored = Watermark(), 0
    for second in range(10):
        ends = {("a.events", 0): 100 * (second + 1)}
        watermark = watermark.after(tick(second, ends), {("a.events", 0): stored})
        stored = 100 * second + 50  # never quite there
    assert watermark.of_partition(0) is not None
    assert watermark.of_partition(0) < after(9)  # type: ignore[operator]


def test_a_monitor_that_stands_still_learns_nothing_new() -> None:
    stored = {("a.events", 0): 10}
    watermark = Watermark().after(tick(1, {("a.events", 0): 10}), stored)
    for second in range(2, 100):
        watermark = watermark.after(tick(second, {("a.events", 0): 11}), stored)
    assert watermark.of_partition(0) == after(1)


def test_where_topics_have_different_numbers_of_partitions_a_saga_needs_all_read() -> None:
    # Given a topic with two partitions and one with four, on which the saga has another number
    saga = next(f"o{n}" for n in range(99) if murmur2(f"o{n}".encode()) % 4 == 3)
    ends = {("a.events", n): 5 for n in range(2)} | {("b.events", n): 5 for n in range(4)}
    # When its answer on the smaller topic is unread
    behind = Watermark().after(tick(1, ends), {**ends, ("a.events", 1): 4})
    # Then nothing is known of it, though all is read of the partition that it was read from
    assert behind.of_saga(saga, 3) is None
    assert behind.of_partition(3) is None
    assert behind.after(tick(2, ends), ends).of_saga(saga, 3) == after(2)


def test_an_order_published_to_another_partition_needs_both_read() -> None:
    theirs = murmur2(ORDER.encode()) % 2
    watermark = Watermark({0: after(5), 1: after(9)})
    assert watermark.of_saga(ORDER, theirs) == watermark.of_partition(theirs)
    assert watermark.of_saga(ORDER, 1 - theirs) == after(5)
    assert Watermark({1 - theirs: after(9)}, {theirs: tick(1)}).of_saga(ORDER, 1 - theirs) is None


def test_the_ends_are_asked_for_after_the_time() -> None:
    asked: list[str] = []

    class Broker:
        def append_clock_record(self, topic: str) -> int:
            asked.append(topic)
            return 1_000

        def ends(self, topics: Sequence[str]) -> dict[tuple[str, int], int]:
            asked.extend(topics)
            return {}

        def readable_ends(self, topics: Sequence[str]) -> dict[tuple[str, int], int]:
            raise AssertionError("not asked for")

        def ids(self, topics: Sequence[str]) -> dict[str, str]:
            raise AssertionError("not asked for")

    assert take_tick(Broker(), Broker(), ["a.events"]) == Tick(log_time(1_000), {})
    assert asked == ["saga.clock", "a.events"]


def test_hash_of_keys_is_kafkas() -> None:
    for key in (b"", b"a", b"ab", b"abc", b"abcd", "größe-7".encode(), bytes(range(256))):
        assert murmur2(key) == kafka_murmur2(key) & 0x7FFFFFFF


def test_log_time_is_exact() -> None:
    assert unix_ms(log_time(1_767_322_800_123)) == 1_767_322_800_123


def _sighted(fact: Any, event_id: str, seconds: float) -> Any:
    return replace(fact, id=event_id, at=after(seconds))
