"""Reports a process's work as spans, by wrapping handler, publisher and outside calls.

Without tracing none of the wrappers is installed.

Names and attributes: https://opentelemetry.io/docs/specs/semconv/messaging/kafka/ (development).
Spans of a saga also carry `saga.key`, the saga key.
"""

import time
from collections.abc import Callable, Mapping, Sequence
from typing import Any, Generic, TypeVar
from uuid import UUID

from sagakit.decider import Callback
from sagakit.effects.worker import Perform
from sagakit.handling.handler import Disposition, HandlingResult, MessageHandler
from sagakit.identity import split_key
from sagakit.kafka.publisher import PublishFailed
from sagakit.messages.envelope import AppendTimes, EffectRow, Message, OutboxRow
from sagakit.messages.trace_ids import (
    caller_of,
    parent_of,
    process_span_of,
    root_of,
    span_of,
    trace_of,
)
from sagakit.outbox.relay import OutboxPublisher
from sagakit.telemetry.tracing import ExportSpan, Span, SpanKind

S = TypeVar("S")
ParentOf = Callable[[UUID, str], str]
"""Returns the span in which an event was decided, from its cause's id and its source."""


class TracedHandler(Generic[S]):
    """Wraps a handler, and reports a span for each message that was decided or parked.

    Repeats, effect results and messages without a trigger for this participant get no span.
    `starts`: events of this participant that start a flow; with them goes the trace's root span.
    """

    def __init__(
        self, handler: MessageHandler[S], tell: ExportSpan, participant: str, starts: frozenset[str]
    ) -> None:
        self._handler, self._tell, self._starts = handler, tell, starts
        self._participant = participant

    def handle(self, messages: Sequence[Message]) -> list[HandlingResult[S]]:
        """See `handler.Handler.handle`."""
        began_ns = time.time_ns()
        fates = self._handler.handle(messages)
        ended_ns = time.time_ns()
        for handled in fates:
            message = handled.message
            done = handled.disposition is Disposition.HANDLED and handled.state is not None
            if message.lease or not (done or handled.disposition is Disposition.PARKED):
                continue
            if message.event is not None and message.event.type in self._starts:
                self._tell(self._root(message, began_ns, ended_ns))
            self._tell(self._span(handled, began_ns, ended_ns, len(messages)))
        return fates

    def _root(self, message: Message, began_ns: int, ended_ns: int) -> Span:
        key = message.key
        return Span(
            name="saga",
            kind=SpanKind.INTERNAL,
            trace_id=trace_of(key),
            span_id=root_of(key),
            parent=None,
            start_ns=message.record.timestamp_ms * 1_000_000 if message.record else began_ns,
            end_ns=ended_ns,
            attributes={"saga.key": key, "saga.flow": message.trace.flow or ""},
            caller=caller_of(message.trace.traceparent, key),
        )

    def _span(self, handled: HandlingResult[S], began_ns: int, ended_ns: int, batch: int) -> Span:
        message, who = handled.message, self._participant
        name, kind = f"request {who}", SpanKind.SERVER
        attributes: dict[str, str | int] = {"saga.key": message.key}
        record = message.record
        if record is not None:
            name, kind = f"process {record.topic}", SpanKind.CONSUMER
            attributes |= {
                **_messaging("process", record.topic, split_key(message.key)[1], str(message.id)),
                "messaging.destination.partition.id": str(record.partition),
                "messaging.kafka.offset": record.offset,
                "messaging.consumer.group.name": who,
                "saga.batch.messages": batch,
            }
        elif isinstance(message.trigger, Callback):
            name = f"webhook {who}"
        return Span(
            name=name,
            kind=kind,
            trace_id=trace_of(message.key),
            span_id=process_span_of(message.id, who),
            parent=parent_of(message.trace.traceparent, message.key),
            start_ns=began_ns,
            end_ns=ended_ns,
            attributes=attributes,
            error="parked" if handled.disposition is Disposition.PARKED else None,
        )


class TracedPublisher:
    """Wraps a relay's publisher, and reports a span for each acknowledged event of `source`."""

    def __init__(
        self,
        publisher: OutboxPublisher,
        tell: ExportSpan,
        source: str,
        parent: ParentOf = process_span_of,
    ) -> None:
        self._publisher, self._tell = publisher, tell
        self._source, self._parent = source, parent

    def publish(self, rows: Sequence[OutboxRow]) -> AppendTimes:
        """See `kafka.Publisher.publish`."""
        began_ns = time.time_ns()
        try:
            logged = self._publisher.publish(rows)
        except PublishFailed as failure:
            self._export([row for row in rows if row.id in failure.acknowledged], began_ns)
            raise
        self._export(rows, began_ns)
        return logged

    def discard(self) -> None:
        """See `kafka.Publisher.discard`."""
        self._publisher.discard()

    def _export(self, rows: Sequence[OutboxRow], began_ns: int) -> None:
        ended_ns = time.time_ns()
        for row in rows:
            headers = {n: v.decode("utf-8", "replace") for n, v in row.headers if n in _READ}
            if headers.get("ce_source") == self._source and "dlt-topic" not in headers:
                self._tell(self._span(row, headers, began_ns, ended_ns, len(rows)))

    def _span(
        self, row: OutboxRow, headers: Mapping[str, str], began_ns: int, ended_ns: int, batch: int
    ) -> Span:
        cause = headers.get("ce_causationid")
        key = row.saga
        return Span(
            name=f"send {row.topic}",
            kind=SpanKind.PRODUCER,
            trace_id=trace_of(key),
            span_id=span_of(UUID(headers["ce_id"])),
            parent=self._parent(UUID(cause), self._source) if cause else root_of(key),
            start_ns=began_ns,
            end_ns=ended_ns,
            attributes={
                **_messaging("send", row.topic, row.key, headers["ce_id"]),
                "saga.batch.messages": batch,
                "saga.key": key,
                "saga.event.type": headers["ce_type"],
            },
        )


class TracedCalls:
    """Reports a span for each attempt at a call to the outside world."""

    def __init__(self, tell: ExportSpan, participant: str) -> None:
        self._tell, self._participant = tell, participant

    async def __call__(self, row: EffectRow, perform: Perform) -> Any:
        """Perform an effect, and report the attempt."""
        began_ns, error = time.time_ns(), None
        try:
            return await perform(row.effect)
        except BaseException as failure:
            error = type(failure).__name__
            raise
        finally:
            self._tell(self._span(row, began_ns, error))

    def _span(self, row: EffectRow, began_ns: int, error: str | None) -> Span:
        key, cause = row.saga, row.trace.cause
        parent = process_span_of(UUID(cause), self._participant) if cause else root_of(key)
        return Span(
            name=f"{row.effect.kind} {self._participant}",
            kind=SpanKind.CLIENT,
            trace_id=trace_of(key),
            span_id=process_span_of(row.id, f"attempt:{row.attempts}"),
            parent=parent,
            start_ns=began_ns,
            end_ns=time.time_ns(),
            attributes={
                "saga.key": key,
                "saga.effect.key": row.effect.key,
                "saga.effect.attempt": row.attempts + 1,
            },
            error=error,
        )


_READ = frozenset({"ce_id", "ce_type", "ce_source", "ce_causationid", "dlt-topic"})


def _messaging(operation: str, topic: str, key: str, message_id: str) -> dict[str, str | int]:
    return {
        "messaging.system": "kafka",
        "messaging.operation.type": operation,
        "messaging.operation.name": operation,
        "messaging.destination.name": topic,
        "messaging.message.id": message_id,
        "messaging.kafka.message.key": key,
    }
