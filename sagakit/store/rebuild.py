"""Rebuilds a participant's state from its own topic, and compares it with the live one.

State is the fold of own events (`decider`), so the topic restores a lost database. This module has
neither a producer nor a gateway: a rebuild cannot touch the outside world.
"""

from collections import defaultdict
from collections.abc import Iterable, Iterator, Mapping, Sequence
from contextlib import contextmanager
from itertools import islice
from typing import Any, TypeVar

from sqlalchemy import Connection as CoreConnection
from sqlalchemy import Engine, Table, select, text, union_all

from sagakit.decider import Observed, Trigger, fold
from sagakit.errors import UnprocessableRecord
from sagakit.flow.facts import facts_of
from sagakit.flow.model import Flows
from sagakit.flow.routing import Router
from sagakit.messages.codec import Codec
from sagakit.messages.envelope import Envelope, Record
from sagakit.store.connections import Connection, Connections
from sagakit.store.ports import Participant

S = TypeVar("S")
BATCH = 500
NOT_REBUILT = {"rebuilt": False}
"""The `info` of a table or column that holds no state: no event carries it, or it is about reading.
"""
SELECT_CHECKS = """
    SELECT conrelid::regclass::text, quote_ident(conname), pg_get_constraintdef(oid)
    FROM pg_constraint WHERE contype = 'c' AND connamespace = 'public'::regnamespace
    AND conrelid <> 0
"""
"""Selects the CHECK constraints of a database: table, name, definition."""
CHECKS = text(SELECT_CHECKS)


def rebuild(
    participant: Participant[S],
    codec: Codec,
    flows: Flows,
    records: Iterable[Record],
    engine: Engine,
) -> int:
    """Fold records into the participant's tables in an empty database; return the number of events.

    `records`: the participant's own topic, each partition in order. Events published twice are
    folded once. Records that were parked at the time (not an event, unknown flow) and events of
    other owners are skipped.
    """
    participant.store.metadata.create_all(engine)
    folded = 0
    own = _own_events(participant.name, codec, flows, records)
    connections = Connections(engine)
    with _checked_at_the_end(engine):
        while batch := list(islice(own, BATCH)):
            with connections.use() as connection, connection.transaction():
                _fold_batch(participant, connection, batch)
            folded += len(batch)
    return folded


@contextmanager
def _checked_at_the_end(engine: Engine) -> Iterator[None]:
    """Drop CHECK constraints and add them again at the end, when they check every row.

    Partitions are read one after the other, so rows that sagas share may violate a constraint in
    between: units leave before the partition is read in which they came in.
    """
    with engine.begin() as connection:
        checks = connection.execute(CHECKS).all()
        for table, name, _ in checks:
            connection.execute(text(f"ALTER TABLE {table} DROP CONSTRAINT {name}"))
    yield
    with engine.begin() as connection:
        for table, name, definition in checks:
            connection.execute(text(f"ALTER TABLE {table} ADD CONSTRAINT {name} {definition}"))


def _own_events(
    name: str, codec: Codec, flows: Flows, records: Iterable[Record]
) -> Iterator[Envelope]:
    router, labels = Router(flows, name), dict[str, str | None]()
    started, starts = dict[str, str](), {flow.start for flow in flows}
    seen: dict[str, int] = defaultdict(int)
    for record in records:
        try:
            envelope = codec.decode(record)
            key, label = envelope.key, envelope.trace.flow
            if label is not None or envelope.source != name:
                labels[key] = router.label(label, envelope.event, labels.get(key))
        except UnprocessableRecord:
            continue
        if envelope.event.owner != name:
            continue
        if envelope.event.type in starts:
            facts = f"{envelope.id} {facts_of(envelope.event)}"
            if started.setdefault(key, facts) != facts:
                continue  # a start event that the log has another one of before it is refused
        if envelope.source == name and envelope.seq is not None:
            if envelope.seq <= seen[envelope.key]:
                continue
            seen[envelope.key] = envelope.seq
        yield envelope


def _fold_batch(participant: Participant[S], connection: Connection, batch: list[Envelope]) -> None:
    wanted: dict[str, list[Trigger]] = defaultdict(list)
    for envelope in batch:
        wanted[envelope.key].append(Observed(envelope.event.type, envelope.event))
    working = participant.store.load(connection, wanted)
    for envelope in batch:
        events = (envelope.event,)
        state = working.get(envelope.key)
        if envelope.source != participant.name:
            # another publisher's event of our own type: folded only if `decide` adopts it
            seen = Observed(envelope.event.type, envelope.event)
            events = participant.decide(state, seen, envelope.time).adopted
        working.put(envelope.key, fold(participant.evolve, state, events), events)
    working.save(connection)


def differences(
    table: Table, live: Engine, rebuilt: Engine, limit: int = 20, *, also_in: Sequence[Table] = ()
) -> list[str]:
    """Return the rows that differ between both databases, as text; empty if there are none.

    also_in: tables of the same columns to which rows may have been moved; a row may be in any of
    them.
    """
    query = union_all(*(select(each) for each in (table, *also_in)))
    found: list[str] = []
    with live.connect() as a, rebuilt.connect() as b:
        keep = tuple(table.primary_key.columns.keys())
        rows = _paired(_rows(a, query, keep), _rows(b, query, keep))
        for key, mine, theirs in rows:
            if _given(mine) != _given(theirs):
                found.append(f"{table.name} {key}: live {mine}, rebuilt {theirs}")
            if len(found) >= limit:
                break
    return found


def _given(value: Any) -> Any:
    """Return a value without JSON nulls: code older than a field does not write the field."""
    if isinstance(value, Mapping):
        return {name: _given(inner) for name, inner in value.items() if inner is not None}
    return [_given(inner) for inner in value] if isinstance(value, list) else value


def _rows(
    connection: CoreConnection, query: Any, keys: tuple[str, ...]
) -> dict[tuple[Any, ...], Any]:
    found = connection.execute(query).mappings()
    return {tuple(row[k] for k in keys): dict(row) for row in found}


def _paired(
    a: dict[tuple[Any, ...], Any], b: dict[tuple[Any, ...], Any]
) -> Iterator[tuple[tuple[Any, ...], Any, Any]]:
    for key in sorted(a.keys() | b.keys()):
        yield key, a.get(key), b.get(key)
