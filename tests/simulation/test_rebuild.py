"""Each participant is rebuilt from the log of a simulated world with crashes and repeats."""

from collections import defaultdict
from collections.abc import Iterator, Sequence
from dataclasses import replace
from typing import Any

import pytest

from saga_lab.simulation.runner import build_world, run_world
from saga_lab.simulation.world import World
from sagakit.flow.routing import Router, topic, topics_of
from sagakit.handling.handler import Handler
from sagakit.handling.parking import decode_message
from sagakit.messages.envelope import Envelope, OutboxRow, Record
from sagakit.recovery.answered import OwnEvent, step_ends
from sagakit.recovery.own_topic import OwnTopic
from sagakit.recovery.review import Review
from sagakit.store.memory import NO_CONNECTION, MemoryDatabase
from shop.simulation import SIMULATION
from tests.toy_saga import as_record, is_event
from tests.unit.sagakit.test_rebuild_review import Log

SEEDS = range(12)
BATCH = 10
NAMES = tuple(participant.name for participant, _ in SIMULATION.participants())


class RebuiltInMemory:
    """A participant rebuilt from a log: its own records, then what it consumes."""

    def __init__(self, world: World[Any], name: str, own: Sequence[Record]) -> None:
        played = {p.name: (p, store) for p, store in SIMULATION.participants()}
        participant, self.store = played[name]
        participant = replace(participant, store=self.store)
        router = Router(world.flows, name)
        self.database: MemoryDatabase[Any] = MemoryDatabase(self.store, world.now)
        self.given_up: list[str] = []
        topic_fold = OwnTopic(participant, router, world.codec)
        events: dict[str, list[OwnEvent]] = defaultdict(list)
        for begin in range(0, len(own), BATCH):
            with self.database.transaction() as tx:
                batch = topic_fold.fold(tx, own[begin : begin + BATCH], frozenset())
            for key, event in batch.events:
                events[key].append(event)
        for key in sorted({row.key for row in self.database.tables.parked.values()}):
            with self.database.transaction() as tx:
                topic_fold.give_up(tx, key)
            self.given_up.append(key)
        review = Review(Log(events), step_ends(world.flows, name), {})
        handler = Handler(
            participant, self.database, router, world.codec, lambda: world.now, review=review
        )
        for records in _batches(world, topics_of(world.flows, name)):
            handler.handle([decode_message(world.codec, r) for r in records])

    def state(self, key: str) -> Any:
        """The state of a saga."""
        return self.store.load(NO_CONNECTION, {key: []}).get(key)

    @property
    def outbox(self) -> list[OutboxRow]:
        """Events that are published when the service starts."""
        return [row for row in self.database.tables.outbox.values() if is_event(row)]

    @property
    def asked(self) -> list[tuple[str, str]]:
        """Effects that are asked for when the service starts."""
        return sorted(self.database.tables.effects)


def _batches(world: World[Any], topics: Sequence[str]) -> Iterator[list[Record]]:
    """What is on these topics, merged by log time as `read_spans` does."""
    found = [r for r in world.log.records() if r.topic in topics]
    found.sort(key=lambda record: record.timestamp_ms)
    for begin in range(0, len(found), BATCH):
        yield found[begin : begin + BATCH]


def ended(seed: int) -> World[Any]:
    """A world in which nothing is left to do."""
    world, stories = build_world(SIMULATION, seed, 6)
    assert run_world(SIMULATION, world, stories) == []
    return world


def own_records(world: World[Any], name: str) -> list[Record]:
    return [record for record in world.log.records() if record.topic == topic(name)]


@pytest.mark.parametrize("seed", SEEDS)
def test_of_sagas_that_ended_nothing_is_asked_or_said_again(seed: int) -> None:
    world = ended(seed)
    for name in NAMES:
        rebuilt, live = RebuiltInMemory(world, name, own_records(world, name)), world.nodes[name]
        assert (rebuilt.given_up, rebuilt.asked) == ([], []), name
        assert _events(world, rebuilt.outbox) == [], name
        rows, known = rebuilt.database.tables.inbox_rows, live.database.tables.inbox_rows
        # what a person discarded is in the log, and is parked again
        for key in (key for key in known if not rows[key].parked):
            assert rebuilt.state(key) == replace(live.state(key), in_flight=frozenset()), key
            assert (rows[key].sent, rows[key].seen) == (known[key].sent, known[key].seen), name


def test_an_event_that_was_never_published_is_decided_again_under_its_id() -> None:
    again = 0
    for seed in SEEDS:
        world = ended(seed)
        for name in SIMULATION.direct:
            own = own_records(world, name)
            last = world.log.envelope(own[-1]) if own else None
            if last is None or last.seq is None or last.causation is None:
                continue
            found = _events(world, RebuiltInMemory(world, name, own[:-1]).outbox)
            again += [(e.id, e.event.type, e.seq) for e in found] == [
                (last.id, last.event.type, last.seq)
            ]
    assert again


def _events(world: World[Any], rows: Sequence[OutboxRow]) -> list[Envelope]:
    return [world.codec.decode(as_record(row)) for row in rows]
