"""Turn records into rows: decode once, group by order, fold, one transaction per micro-batch.

Offsets are stored in the same transaction, so the projection never claims to have read a record
that its tables do not hold. Reading a record twice changes nothing.
"""

from collections import defaultdict
from collections.abc import Callable, Iterable, Mapping, Sequence
from dataclasses import dataclass, fields
from types import MappingProxyType
from typing import Any

from sqlalchemy import Engine, exc

from saga_monitor.ingest.watermark import EVERY_PARTITION
from saga_monitor.saga.facts import UNITS, Fact, Saga, fold
from saga_monitor.saga.flow_plan import Plan
from saga_monitor.saga.interpreter import read, view
from saga_monitor.saga.interventions import cases
from saga_monitor.saga.measures import Change
from saga_monitor.saga.pins import pin_of
from saga_monitor.saga.view import Awaited, SagaView, Status
from saga_monitor.storage import store
from saga_monitor.storage.store import CaseRow, SagaRow, TimelineRow, WriteBatch
from sagakit.errors import UnknownFlow, UnprocessableRecord
from sagakit.flow.balances import Units
from sagakit.flow.model import Flows
from sagakit.messages.codec import Codec
from sagakit.messages.envelope import Envelope, Record

_SCALARS = ("str", "int", "bool")
_PRIVATE = ("order_id", "email", "to")
_MAX_TEXT = 300
_MAX_BIGINT = 2**63 - 1
_DETAILS: dict[str, tuple[str, ...]] = {}
"""Event type -> names of its scalar fields; a cache."""


@dataclass(frozen=True, slots=True)
class Applied:
    """The numbers of events and of unreadable records in a micro-batch."""

    events: int
    unreadable: int


class Projection:
    """Writes the events of the topics into the monitor's database.

    `committed` is called after each commit with the records and the changes.
    """

    def __init__(
        self,
        engine: Engine,
        codec: Codec,
        flows: Flows,
        committed: Callable[[Sequence[Record], Sequence[Change]], None] = lambda *_: None,
    ) -> None:
        self._engine = engine
        self._committed = committed
        self._codec = codec
        self.flows = flows
        self._units = tuple(flow.units for flow in flows)
        self._plans = {flow.label(v): Plan.of(flow, v) for flow in flows for v in flow.versions}

    def apply(self, records: Sequence[Record]) -> Applied:
        """Write the records in one transaction.

        If the database refuses the content, halve the batch until the refused record is found, and
        keep that record as unreadable. Raises SQLAlchemyError when a transaction is rolled back:
        call again with the same records.
        """
        try:
            return self._apply(records)
        except (exc.DataError, exc.IntegrityError, ValueError) as error:
            if len(records) > 1:
                middle = len(records) // 2
                first, second = self.apply(records[:middle]), self.apply(records[middle:])
                return Applied(first.events + second.events, first.unreadable + second.unreadable)
            refused = f"the database rejects the record: {str(error)[:300]}"
            return self._write(WriteBatch(unreadable=[(records[0], "refused", refused)]), records)

    def _apply(self, records: Sequence[Record]) -> Applied:
        batch = WriteBatch()
        facts: dict[str, list[Fact]] = defaultdict(list)
        partitions: dict[str, int] = {}
        for record in records:
            try:
                key, fact = self._read(record)
            except UnprocessableRecord as poison:
                batch.unreadable.append((record, poison.code, str(poison)))
                continue
            except Exception as error:  # keep the record; no error of one stops the stream
                told_error = f"{type(error).__name__}: {error}"
                batch.unreadable.append((record, UnprocessableRecord.code, told_error))
                continue
            if fact is not None:
                facts[key].append(fact)
                partitions[key] = _joined(partitions.get(key), record.partition)
                batch.timeline.append(_timeline_row(key, fact, record))
        return self._write(batch, records, facts, partitions)

    def _write(
        self,
        batch: WriteBatch,
        records: Sequence[Record],
        facts: Mapping[str, Sequence[Fact]] = MappingProxyType({}),
        partitions: Mapping[str, int] = MappingProxyType({}),
    ) -> Applied:
        for record in records:
            place = (record.topic, record.partition)
            batch.offsets[place] = max(batch.offsets.get(place, 0), record.offset + 1)
        changes: list[Change] = []
        with self._engine.begin() as connection:
            locked = store.lock(connection, partitions) if facts else {}
            for key, new in facts.items():
                known, partition, was = locked[key]
                saga = fold(known, *new)
                joined = _joined(partition, partitions[key])
                fresh = [f for id_, f in saga.facts.items() if known.facts.get(id_) is not f]
                if fresh or joined != partition:
                    seen = self._add(batch, saga, fresh, joined)
                    if seen is not None:
                        plan = self._plans[seen.flow]
                        changes.append(Change(known.facts, Status(was), saga, seen, plan))
            store.write(connection, batch)
        self._committed(records, changes)
        return Applied(len(batch.timeline), len(batch.unreadable))

    def _add(
        self, batch: WriteBatch, saga: Saga, fresh: Sequence[Fact], partition: int
    ) -> SagaView | None:
        """Add the rows of a saga to the batch; return its view, or None if its flow is unknown.

        fresh: its new facts.
        """
        seen = None
        try:
            seen = self.view(saga)
        except UnknownFlow as error:
            batch.sagas.append(_unknown(saga, fresh, partition, error))
            known = cases(saga.facts.values())
        else:
            batch.sagas.append(_row(saga, fresh, seen, partition))
            known = seen.cases
        batch.cases += [CaseRow.of(saga.order_id, case) for case in known]
        return seen

    def view(self, saga: Saga) -> SagaView:
        """Return the view of a saga under its flow version. Raises UnknownFlow."""
        plan = self._plans.get(saga.flow or "")
        return read(saga, plan) if plan else view(saga, *self.flows.find(saga.flow))

    def understands(self, record: Record) -> bool:
        """Tell if a record is an event of the contract in a flow version known here."""
        try:
            self._read(record)
        except UnprocessableRecord:
            return False
        return True

    def _read(self, record: Record) -> tuple[str, Fact | None]:
        """Return a record's key and fact, None without an order id. Raises UnprocessableRecord."""
        envelope = self._codec.decode(record)
        label = envelope.trace.flow
        if label is not None and label not in self._plans:
            self.flows.find(label)  # raises UnknownFlow, which names the known ones
        if not hasattr(envelope.event, "order_id"):
            return envelope.key, None
        return envelope.key, fact_of(envelope, self._units)


def fact_of(envelope: Envelope, units: Iterable[Units] = ()) -> Fact:
    """Return the fact that the monitor keeps of an event, without mail addresses.

    `units`: of each flow, the declaration of the events that move units.
    """
    event = envelope.event
    moved = next((found for u in units if (found := u.units_moved(event)) is not None), None)
    cause = envelope.causation
    return Fact(
        id=str(envelope.id),
        type=event.type,
        at=envelope.time,
        source=_clean(envelope.source),
        seq=envelope.seq,
        causation=str(cause) if cause else None,
        flow=envelope.trace.flow,
        detail=_detail(event) if moved is None else {**_detail(event), UNITS: moved},
    )


def told(awaited: Awaited) -> str:
    """Describe an awaited step for lists: `payment: PaymentCaptured or PaymentDeclined`."""
    return f"{awaited.step}: {' or '.join(awaited.events)}"


def _row(saga: Saga, fresh: Iterable[Fact], seen: SagaView, partition: int) -> SagaRow:
    flow, _, version = seen.flow.partition("/")
    return SagaRow(
        order_id=saga.order_id,
        flow=flow,
        version=int(version),
        status=seen.status.value,
        facts=store.dump_facts(fresh),
        awaited="; ".join(told(a) for a in seen.awaited) or None,
        next_deadline=seen.due,
        captured_minor=min(seen.ledger.captured_minor, _MAX_BIGINT),
        refunded_minor=min(seen.ledger.refunded_minor, _MAX_BIGINT),
        started_at=seen.started_at,
        ended_at=seen.ended_at,
        updated_at=max(f.at for f in saga.facts.values()),
        partition=partition,
        pinned=seen.pin is not None,
    )


def _unknown(saga: Saga, fresh: Iterable[Fact], partition: int, error: UnknownFlow) -> SagaRow:
    """Return the row of an order whose flow file was removed in flight: shown, not judged."""
    last = max(f.at for f in saga.facts.values())
    facts, nothing = store.dump_facts(fresh), (None, 0, 0, None, None)
    return SagaRow(
        saga.order_id,
        saga.flow,
        None,
        Status.UNPLACED,
        facts,
        str(error),
        *nothing,
        last,
        partition,
        pin_of(saga.facts.values()) is not None,
    )


def _timeline_row(key: str, fact: Fact, record: Record) -> TimelineRow:
    return TimelineRow(
        key,
        fact.id,
        fact.type,
        fact.source,
        fact.seq,
        fact.at,
        fact.causation,
        record.partition,
        record.offset,
        fact.detail,
    )


def _joined(known: int | None, partition: int) -> int:
    return partition if known in (None, partition) else EVERY_PARTITION


def _scalar_fields(event: Any) -> tuple[str, ...]:
    """Return the fields whose (textual) annotation is str, int or bool, optional or not.

    Private fields (`_PRIVATE`) are left out.
    """
    return tuple(
        f.name
        for f in fields(event)
        if str(f.type).removesuffix(" | None") in _SCALARS and f.name not in _PRIVATE
    )


def _detail(event: Any) -> Mapping[str, Any]:
    names = _DETAILS.get(event.type)
    if names is None:
        names = _DETAILS[event.type] = _scalar_fields(event)
    found = {name: getattr(event, name) for name in names}
    return {
        name: _clean(value) if isinstance(value, str) else value
        for name, value in found.items()
        if value is not None
    }


def _clean(value: str) -> str:
    """Replace NUL characters and cut the text to `_MAX_TEXT` characters.

    PostgreSQL text cannot hold NUL, and an event with one must not stop the stream.
    """
    return value.replace("\0", "\N{REPLACEMENT CHARACTER}")[:_MAX_TEXT]
