"""Bad records through the loop that consumers run, on PostgreSQL, with good orders all round."""

import threading
from collections.abc import Sequence
from typing import Any

import pytest
from sqlalchemy import text

from sagakit.handling.consumer_loop import ConsumerLoop
from sagakit.handling.handler import HandlingResult
from sagakit.messages.codec import Codec
from sagakit.messages.envelope import Message, Record
from sagakit.service.process import ServiceProcess
from schemas import CONTRACT
from tests.bad_input.apps import RunningApps
from tests.bad_input.case import Case, Sent
from tests.bad_input.events import EVENTS, placed, sent

CODEC = Codec(CONTRACT)
GOOD = "a good neighbour"


class Bus:
    """Hands out records once, then ends the loop."""

    def __init__(self, records: Sequence[Record], stop: threading.Event) -> None:
        self.records, self.stop, self.stored = list(records), stop, list[Record]()

    def poll(self, limit: int, timeout_s: float) -> list[Record]:
        found, self.records = self.records[:limit], self.records[limit:]
        if not found:
            self.stop.set()
        return found

    def store(self, records: Sequence[Record]) -> None:
        self.stored += records

    def commit(self) -> None:
        pass


class Reading:
    """A process's handler behind the loop; remembers the fates."""

    def __init__(self, process: ServiceProcess[Any]) -> None:
        self.process = process
        self.fates: dict[int, HandlingResult[Any]] = {}
        self._offset = 0

    def handle(self, messages: Sequence[Message]) -> list[HandlingResult[Any]]:
        handled = self.process.handler.handle(messages)
        self.fates |= {h.message.record.offset: h for h in handled if h.message.record}
        return handled

    def reads(self, *found: Sent) -> list[HandlingResult[Any]]:
        """All in one poll; their fates in order."""
        stop = threading.Event()
        records = [self.record(*one) for one in found]
        bus = Bus(records, stop)
        ConsumerLoop(bus, CODEC, self, self.process.engine, stop).run()
        assert bus.stored == records, "every record is done with"
        return [self.fates[r.offset] for r in records]

    def record(self, topic: str, key: bytes | None, value: bytes | None, headers: Any) -> Record:
        with self.process.engine.connect() as connection:
            last = connection.execute(text('SELECT max("offset") FROM parked')).scalar() or 0
        self._offset = max(self._offset, last) + 1
        return Record(topic, 0, self._offset, 1_767_323_045_000, key, value, headers)

    def parked(self, offset: int) -> Any:
        with self.process.engine.connect() as connection:
            query = text('SELECT code, error FROM parked WHERE "offset" = :offset')
            return connection.execute(query, {"offset": offset}).one()


def judge(reading: Reading, case: Case, handled: HandlingResult[Any]) -> None:
    assert handled.message.record is not None
    if case.gets in ("handled", "repeat"):
        assert handled.disposition == case.gets
    elif case.gets[0].isupper():
        (event,) = handled.events
        assert event.type == case.gets
        for word in case.words:
            assert word in event.reason
    else:
        row = reading.parked(handled.message.record.offset)
        assert (handled.disposition, row.code) == ("parked", case.gets), row
        for word in case.words:
            assert word in row.error, row.error


@pytest.mark.parametrize("case", EVENTS, ids=str)
def test_a_bad_record_gets_its_answer_and_its_neighbours_theirs(
    apps: RunningApps, case: Case
) -> None:
    reading = Reading(apps.processes[case.where.partition(",")[0]])
    key = str(case)
    before, after = (sent(placed(f"{key}-{n}")) for n in ("before", "after"))
    first, *bad, last = reading.reads(before, *case.given(key), after)
    assert (first.disposition, last.disposition) == ("handled", "handled")
    judge(reading, case, bad[-1])


def test_all_at_once(apps: RunningApps) -> None:
    """Every bad record in one poll with good orders: each gets what it gets alone."""
    reading = Reading(apps.processes["inventory"])
    cases = [case for case in EVENTS if case.where.startswith("inventory") and case.gets != "gap"]
    found: list[Sent] = []
    ends = []
    for case in cases:
        found += [*case.given(f"all-{case}"[:120]), sent(placed(f"all-{case}-good"[:128]))]
        ends.append(len(found) - 2)
    fates = reading.reads(*found)
    for case, end in zip(cases, ends, strict=True):
        assert fates[end + 1].disposition == "handled", f"the neighbour of {case}"
        if case.gets != "bad_key":  # those of one key queue up behind each other
            judge(reading, case, fates[end])
