"""Turn records into rows: decode once, group by saga, fold, one transaction per micro-batch.

Offsets are stored in the same transaction, so the projection never claims to have read a record
that its tables do not hold. Reading a record twice changes nothing.
"""

from collections import Counter
from collections.abc import Callable, Iterable, Mapping, Sequence
from dataclasses import dataclass, field, fields, replace
from types import MappingProxyType
from typing import Any

from sqlalchemy import Engine

from saga_monitor.ingest.watermark import EVERY_PARTITION
from saga_monitor.saga.balance import LISTED
from saga_monitor.saga.facts import STARTS, Fact, Saga, event_key, fold, keep_first
from saga_monitor.saga.flow_plan import Plan
from saga_monitor.saga.interpreter import interpret
from saga_monitor.saga.interventions import interventions_of
from saga_monitor.saga.measures import Change
from saga_monitor.saga.pins import pin_of
from saga_monitor.saga.view import AwaitedStep, SagaView, Status
from saga_monitor.storage import store
from saga_monitor.storage.store import (
    BalanceRow,
    InterventionRow,
    SagaRow,
    TimelineRow,
    UnreadableRecord,
    WriteBatch,
)
from saga_monitor.storage.stored_saga import StoredSaga, dump_facts, load_status, reading
from sagakit.errors import RegistryUnavailable, UnknownFlow, UnprocessableRecord
from sagakit.flow.balances import Balance
from sagakit.flow.model import Flows
from sagakit.handling.parking import parking_key
from sagakit.identity import split_key
from sagakit.messages.codec import Codec
from sagakit.messages.envelope import Envelope, Record, TopicPartitionKey
from sagakit.retry import is_refused, is_too_much

_SCALARS = ("str", "int", "bool")
_MAX_TEXT = 300
_MAX_BIGINT = 2**63 - 1
_DETAILS: dict[str, tuple[str, ...]] = {}
"""Event type -> names of its scalar fields; a cache."""


@dataclass(frozen=True, slots=True)
class BatchCounts:
    """Numbers of events and of unreadable records in a micro-batch."""

    events: int
    unreadable: int


@dataclass(slots=True)
class News:
    """Holds what the records of a batch say of one saga. partition: of all of them."""

    partition: int
    facts: list[Fact] = field(default_factory=list)
    timeline: list[TimelineRow] = field(default_factory=list)
    records: list[Record] = field(default_factory=list)

    def add(self, key: str, fact: Fact, record: Record) -> None:
        """Add what a record says."""
        self.facts.append(fact)
        self.timeline.append(_timeline_row(key, fact, record))
        self.records.append(record)
        self.partition = _merge_partitions(self.partition, record.partition)


class Projection:
    """Writes the events of the topics into the monitor's database.

    `on_commit` is called after each commit with the records and the changes, `ignored` with numbers
    of records that are no events of the contract.
    """

    def __init__(
        self,
        engine: Engine,
        codec: Codec,
        flows: Flows,
        on_commit: Callable[[Sequence[Record], Sequence[Change]], None] = lambda *_: None,
        ignored: Callable[[int], object] = lambda _: None,
    ) -> None:
        self._engine = engine
        self._on_commit = on_commit
        self._codec = codec
        self._ignored = ignored
        self._defaults = {flow.name: flow.label(flow.default_version) for flow in flows}
        self.flows = flows
        self._starts = {flow.start for flow in flows}
        self._balances = balances_of(flows)
        self._repeated = repeated_types(flows)
        self._plans = {flow.label(v): Plan.of(flow, v) for flow in flows for v in flow.versions}

    def apply(
        self,
        records: Sequence[Record],
        positions: Mapping[TopicPartitionKey, int] = MappingProxyType({}),
        *,
        again: bool = False,
    ) -> BatchCounts:
        """Write the records in one transaction, with the offsets behind them unless `again`.

        positions: partition -> the next offset to read, where that is past the last record's, as
        behind the markers of transactions.

        If the database refuses a value, the batch is halved until the record with that value is
        found, and that record is kept as unreadable. A batch that takes too long is halved as well,
        down to one record. Raises SQLAlchemyError when a transaction is
        rolled back, and RegistryUnavailable: call again with the same records.
        """
        try:
            return self._apply(records, positions, again)
        except Exception as error:
            too_much = len(records) > 1 and is_too_much(error)
            if not records or not (is_refused(error) or too_much):
                raise
            if len(records) > 1:
                middle = len(records) // 2
                first = self.apply(records[:middle], again=again)
                second = self.apply(records[middle:], positions, again=again)
                return BatchCounts(
                    first.events + second.events, first.unreadable + second.unreadable
                )
            refused = f"the database refuses a value of this record: {str(error)[:300]}"
            return self.give_up(records[0], refused, "refused", again=again)

    def give_up(
        self,
        record: Record,
        error: str,
        code: str = UnprocessableRecord.code,
        *,
        again: bool = False,
    ) -> BatchCounts:
        """Keep a record as unreadable without reading it. Raises as `apply`."""
        unreadable = self._unreadable(record, code, error)
        batch = WriteBatch(unreadable=[unreadable], offsets=_offsets_behind([record], again))
        return self._write(batch, [record])

    def _apply(
        self, records: Sequence[Record], positions: Mapping[TopicPartitionKey, int], again: bool
    ) -> BatchCounts:
        batch = WriteBatch(offsets={**_offsets_behind(records, again), **positions})
        news: dict[str, News] = {}
        for record in records:
            if self._codec.is_foreign(record):
                self._ignored(1)
                continue
            try:
                key, fact = self._read(record)
            except UnprocessableRecord as error:
                batch.unreadable.append(self._unreadable(record, error.code, str(error)))
                continue
            except RegistryUnavailable:
                raise  # it says nothing about the record
            except Exception as error:  # an error in one record must not stop the stream
                message = f"{type(error).__name__}: {error}"
                code = UnprocessableRecord.code
                batch.unreadable.append(self._unreadable(record, code, message))
                continue
            if fact is not None:
                if key not in news:
                    news[key] = News(record.partition)
                news[key].add(key, fact, record)
        return self._write(batch, records, news)

    def _unreadable(self, record: Record, code: str, error: str) -> UnreadableRecord:
        return UnreadableRecord(record, parking_key(self._codec, record), code, error)

    def _write(
        self,
        batch: WriteBatch,
        records: Sequence[Record],
        news: Mapping[str, News] = MappingProxyType({}),
    ) -> BatchCounts:
        changes: list[Change] = []
        events = 0
        with self._engine.begin() as connection:
            partitions = {key: new.partition for key, new in news.items()}
            locked = store.lock(connection, partitions) if news else {}
            for key, new in news.items():
                try:
                    with reading(key):
                        change = self._add_news(batch, *locked[key], new)
                except UnprocessableRecord as error:
                    unreadable = (self._unreadable(r, error.code, str(error)) for r in new.records)
                    batch.unreadable += unreadable
                else:
                    events += len(new.facts)
                    changes += [change] if change else []
            store.write(connection, batch)
        self._on_commit(records, changes)
        return BatchCounts(events, len(batch.unreadable))

    def _add_news(
        self, batch: WriteBatch, stored: StoredSaga, partition: int, old_status: str, new: News
    ) -> Change | None:
        """Add the rows that change by the news of a saga to the batch; return what changes.

        Whatever fails here fails before a row is added.
        """
        known, old = stored.load(), load_status(old_status)
        saga = keep_first(fold(known, *new.facts), self._repeated)
        merged = _merge_partitions(partition, new.partition)
        fresh = [f for at, f in saga.facts.items() if known.facts.get(at) is not f]
        change = None
        if fresh or merged != partition:
            view = self._add(batch, saga, fresh, merged, old)
            if view is not None:
                change = Change(known.facts, old, saga, view, self._plans[view.flow])
        dropped = {f.key for f in new.facts if f.key not in saga.facts}
        batch.timeline += (
            row for row in new.timeline if event_key(row.event_id, row.type) not in dropped
        )
        return change

    def _add(
        self,
        batch: WriteBatch,
        saga: Saga,
        fresh: Sequence[Fact],
        partition: int,
        old: Status = Status.UNPLACED,
    ) -> SagaView | None:
        """Add the rows of a saga to the batch; return its view, or None if its flow is unknown.

        fresh: its new facts; old: its status before them.
        """
        view, balances = None, None
        try:
            view = self.view(saga)
        except UnknownFlow as error:
            row = _unknown_flow_row(saga, fresh, partition, error)
            interventions = interventions_of(saga.facts.values())
        else:
            row = _saga_row(saga, fresh, view, partition)
            interventions = view.interventions
            balances = _balance_rows(view) if self._may_move(view, fresh, old) else None
        batch.interventions += [InterventionRow.of(saga.key, one) for one in interventions]
        batch.sagas.append(row)
        if balances is not None:
            batch.balances[saga.key] = balances
        return view

    def _may_move(self, view: SagaView, fresh: Iterable[Fact], old: Status) -> bool:
        """Return True if new facts move a balance, or the saga's flow was not known before."""
        moving = self._plans[view.flow].moving
        return old == Status.UNPLACED or any(fact.type in moving for fact in fresh)

    def rows(self, saga: Saga, partition: int) -> WriteBatch:
        """Return the rows that the facts of a saga alone make, without those of its timeline."""
        batch = WriteBatch()
        self._add(batch, saga, tuple(saga.facts.values()), partition)
        return batch

    def view(self, saga: Saga) -> SagaView:
        """Return the view of a saga under its flow version.

        Raises UnknownFlow, and UnreadableState for facts that cannot be interpreted.
        """
        label = saga.flow or self._defaults.get(split_key(saga.key)[0], "")
        plan = self._plans.get(label)
        if plan is None:
            types = (fact.type for fact in saga.facts.values())
            plan = Plan.of(*self.flows.find(saga.flow, *types))
        with reading(saga.key):
            return interpret(saga, plan)

    def plan_of(self, view: SagaView) -> Plan:
        """Return the plan by which a saga was interpreted."""
        return self._plans[view.flow]

    def understands(self, record: Record) -> bool:
        """Return True for an event of the contract in a flow version that is known here.

        Asks no schema registry, which may not answer: UnknownRecords does.
        """
        if self._codec.asks_registry(record):
            return False
        try:
            self.check(record)
        except UnprocessableRecord:
            return False
        return True

    def check(self, record: Record) -> None:
        """Raise what makes a record unreadable, if anything, or RegistryUnavailable."""
        self._read(record)

    def _read(self, record: Record) -> tuple[str, Fact | None]:
        """Return a record's saga key, and the fact of an event of a saga.

        Raises UnprocessableRecord.
        """
        envelope = self._codec.decode(record)
        if envelope.event.saga_id_field is None:
            return envelope.key, None
        label, type_ = envelope.trace.flow, envelope.event.type
        if label is None:
            is_placed = envelope.key[:1] != "/"
        else:
            is_placed = label in self._plans and self.flows.may_carry(label, type_)
        if not is_placed:
            self.flows.find(label, type_)  # raises UnknownFlow, which names the known ones
        fact = fact_of(envelope, self._balances)
        if type_ in self._starts:
            fact = replace(fact, detail={**fact.detail, STARTS: record.offset})
        return envelope.key, fact


def _offsets_behind(records: Iterable[Record], again: bool) -> dict[TopicPartitionKey, int]:
    """Return partition -> offset of the next record to read, after these; empty if `again`."""
    found: dict[TopicPartitionKey, int] = {}
    for record in () if again else records:
        place = (record.topic, record.partition)
        found[place] = max(found.get(place, 0), record.offset + 1)
    return found


def repeated_types(flows: Flows) -> frozenset[str]:
    """Return the event types of those who start sagas that mark no step and move no balance.

    Whoever may start a saga may say any number of them under one id.
    """
    return frozenset(
        event
        for flow in flows
        for event, owner in flow.owners.items()
        if owner == flow.owners[flow.start]
        and owner not in flow.steps
        and not any(event in Plan.of(flow, version).moving for version in flow.versions)
    )


def balances_of(flows: Flows) -> tuple[Balance, ...]:
    """Return the balances of all flows."""
    return tuple(balance for flow in flows for balance in flow.balances)


def fact_of(envelope: Envelope, balances: Iterable[Balance] = ()) -> Fact:
    """Return the fact that the monitor keeps of an event, without personal data.

    `balances`: of all flows; the lists that move them are kept as amounts by kind.
    """
    event = envelope.event
    moved = {
        balance.list_key(balance.paths[event.type]): _clean_kinds(amounts)
        for balance in balances
        if (amounts := balance.listed(event)) is not None
    }
    detail = _scalar_values(event)
    cause = envelope.causation
    return Fact(
        id=str(envelope.id),
        type=event.type,
        at=envelope.time,
        source=_clean(envelope.source),
        seq=envelope.seq,
        causation=str(cause) if cause else None,
        flow=envelope.trace.flow,
        detail={**detail, LISTED: moved} if moved else detail,
    )


def awaited_text(awaited: AwaitedStep) -> str:
    """Describe an awaited step for lists: `dispatch: VisitBooked or VisitRefused`."""
    return f"{awaited.step}: {' or '.join(awaited.events)}"


def _saga_row(saga: Saga, fresh: Iterable[Fact], view: SagaView, partition: int) -> SagaRow:
    flow, _, version = view.flow.partition("/")
    return SagaRow(
        saga=saga.key,
        flow=flow,
        version=int(version),
        status=view.status.value,
        facts=dump_facts(fresh),
        awaited="; ".join(awaited_text(a) for a in view.awaited) or None,
        next_deadline=view.due,
        started_at=view.started_at,
        ended_at=view.ended_at,
        updated_at=max(f.at for f in saga.facts.values()),
        partition=partition,
        pinned=view.pin is not None,
    )


def _unknown_flow_row(
    saga: Saga, fresh: Iterable[Fact], partition: int, error: UnknownFlow
) -> SagaRow:
    """Return the row of a saga in flight whose flow file was removed: listed, never judged."""
    last = max(f.at for f in saga.facts.values())
    facts, nothing = dump_facts(fresh), (None, None, None)
    return SagaRow(
        saga.key,
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


def _balance_rows(view: SagaView) -> list[BalanceRow]:
    return [
        BalanceRow(view.key, b.name, b.kind, min(b.added, _MAX_BIGINT), min(b.removed, _MAX_BIGINT))
        for b in view.balances
    ]


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


def _merge_partitions(known: int | None, partition: int) -> int:
    """Return EVERY_PARTITION if the events of a saga lie on different partitions."""
    return partition if known in (None, partition) else EVERY_PARTITION


def _scalar_fields(event: Any) -> tuple[str, ...]:
    """Return the fields of type str, int or bool, optional or not.

    Without the saga id and personal data. The annotations of generated events are text.
    """
    return tuple(
        f.name
        for f in fields(event)
        if str(f.type).removesuffix(" | None") in _SCALARS
        and f.name not in (event.saga_id_field, *event.pii)
    )


def _scalar_values(event: Any) -> Mapping[str, Any]:
    names = _DETAILS.get(event.type)
    if names is None:
        names = _DETAILS[event.type] = _scalar_fields(event)
    found = {name: getattr(event, name) for name in names}
    return {
        name: _clean(value) if isinstance(value, str) else value
        for name, value in found.items()
        if value is not None
    }


def _clean_kinds(amounts: Mapping[str, int]) -> Mapping[str, int]:
    found = Counter[str]()
    for kind, amount in amounts.items():
        found[_clean(kind)] += amount
    return dict(found)


def _clean(value: str) -> str:
    """Replace NUL characters, which PostgreSQL text cannot hold, and cut to `_MAX_TEXT`."""
    return value.replace("\0", "\N{REPLACEMENT CHARACTER}")[:_MAX_TEXT]
