"""Records that nobody waits for wait for each other; one that somebody waits for never does."""

import threading
from collections.abc import Sequence
from typing import Any, cast

import pytest
from sqlalchemy import Engine

from sagakit.errors import RegistryUnavailable, Undecodable
from sagakit.flow.routing import Router
from sagakit.handling.consumer_loop import BATCH, LINGER_S, ConsumerLoop
from sagakit.handling.handler import HandlingResult
from sagakit.messages.codec import Codec
from sagakit.messages.envelope import Envelope, Message, Record
from schemas import CONTRACT, FLOWS


def record(offset: int, urgent: bool = False) -> Record:
    return Record("order.events", 0, offset, 0, b"o-1", b"", (("urgent", b"1"),) * urgent)


class Bus:
    """Hands out what it was given, a list a call; `waits`: how long each call would have waited."""

    def __init__(self, stop: threading.Event, *arrivals: list[Record]) -> None:
        self._stop, self._arrivals = stop, list(arrivals)
        self.waits: list[float] = []
        self.limits: list[int] = []

    def poll(self, limit: int, timeout_s: float) -> list[Record]:
        self.waits.append(timeout_s)
        self.limits.append(limit)
        if not self._arrivals:
            self._stop.set()
            return []
        return self._arrivals.pop(0)

    def store(self, records: Sequence[Record]) -> None:
        """They are handled."""

    def commit(self) -> None:
        """Nothing is committed singly here."""


class Seen:
    """A handler that only notes the batches it was given, by their offsets."""

    def __init__(self) -> None:
        self.batches: list[list[int]] = []

    def handle(self, messages: Sequence[Message]) -> list[HandlingResult[Any]]:
        self.batches.append([m.record.offset for m in messages if m.record])
        return []


def handled(*arrivals: list[Record]) -> tuple[list[list[int]], Bus]:
    stop, seen = threading.Event(), Seen()
    bus = Bus(stop, *arrivals)
    engine: Any = None
    loop = ConsumerLoop(bus, Codec(CONTRACT), seen, engine, stop, urgent=lambda r: bool(r.headers))
    loop.run()
    return seen.batches, bus


def test_what_is_urgent_is_handled_at_once() -> None:
    batches, _ = handled([record(1, urgent=True)], [record(2, urgent=True)])
    assert batches == [[1], [2]]


def test_a_record_that_is_not_urgent_waits_and_is_handled_in_order_with_the_next() -> None:
    batches, bus = handled([record(1)], [record(2)], [record(3, urgent=True)], [record(4)])
    assert batches == [[1, 2, 3], [4]]
    assert all(wait_s <= LINGER_S for wait_s in bus.waits[1:3])


def test_a_full_batch_waits_for_nobody() -> None:
    batches, bus = handled([record(n) for n in range(BATCH - 1)], [record(BATCH - 1)])
    assert [len(batch) for batch in batches] == [BATCH]
    assert bus.limits[1] == 1


@pytest.mark.parametrize(
    ("label", "event", "listens"),
    [
        ("order/1", "OrderPlaced", True),
        ("order/1", "ShipmentPickedUp", True),
        ("order/1", "PaymentCaptured", False),
        ("order/2", "PaymentCaptured", True),
        ("order/99", "PaymentCaptured", True),
        (None, "PaymentCaptured", True),
        ("order/1", None, True),
    ],
)
def test_an_event_is_urgent_for_the_participants_that_it_may_trigger(
    label: str | None, event: str | None, listens: bool
) -> None:
    assert Router(FLOWS, "inventory").listens(label, event) is listens


def test_a_batch_waits_for_a_schema_registry_that_does_not_answer() -> None:
    class Unsure(Codec):
        """Its registry answers from the third time on."""

        asked = 0

        def decode(self, record: Record) -> Envelope:
            self.asked += 1
            if self.asked < 3:
                raise RegistryUnavailable("no answer")
            raise Undecodable("now it is known")

    stop, seen, engine = threading.Event(), Seen(), cast(Engine, None)
    bus = Bus(stop, [record(0, urgent=True)])
    ConsumerLoop(bus, Unsure(CONTRACT), seen, engine, stop).run()
    assert seen.batches == [[0]]
