"""W3C trace context (https://www.w3.org/TR/trace-context/) handed from cause to event, and spans of
what was done. The only module that knows OpenTelemetry, and only where it is switched on.

Ids are derived: an order's trace from its key, so a webhook days later is in it, and a replay
repeats it instead of inventing another (docs/adr/0015). Spans are made when they are over, and
nothing is kept of them meanwhile: whoever knows an event's headers knows the ids of its span and of
its parent. One trace is one order:

    order            the root; told by the owner of the event the flow starts with
      request, webhook   somebody at a participant's door (what has no parent)
      send             an event's publication; its id is in the event's `traceparent`
        process          a participant handles that event
          send             an event it decided
          charge           an effect of its, each attempt
"""

import os
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from enum import Enum
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from opentelemetry.sdk.trace import ReadableSpan
    from opentelemetry.sdk.trace.export import SpanExporter

ENDPOINT = "OTEL_EXPORTER_OTLP_ENDPOINT"
"""Where it is set, spans go there (OTLP over HTTP). The exporter reads the other variables."""
FLUSH_MS = 5_000


class Kind(Enum):
    """Of a span, by OpenTelemetry's names."""

    INTERNAL = "INTERNAL"
    SERVER = "SERVER"
    CLIENT = "CLIENT"
    PRODUCER = "PRODUCER"
    CONSUMER = "CONSUMER"


@dataclass(frozen=True, slots=True)
class Span:
    """Something that was done. Ids in hex; times in ns since 1970; parent: None for a root; error:
    its type, where it failed; caller: a trace and span elsewhere that led to it."""

    name: str
    kind: Kind
    trace_id: str
    span_id: str
    parent: str | None
    start_ns: int
    end_ns: int
    attributes: Mapping[str, str | int]
    error: str | None = None
    caller: tuple[str, str] | None = None


class Tracer:
    """Takes spans and exports them in the background. Never in anybody's way: what the collector
    does not take in time is dropped."""

    def __init__(
        self, participant: str, instance: str, exporter: "SpanExporter | None" = None
    ) -> None:
        from opentelemetry.exporter.otlp.proto.http.trace_exporter import OTLPSpanExporter
        from opentelemetry.sdk.resources import Resource
        from opentelemetry.sdk.trace.export import BatchSpanProcessor

        named = {"service.name": participant, "service.instance.id": instance}
        self._resource = Resource.create({**named, "service.namespace": "saga"})
        self._processor = BatchSpanProcessor(exporter or OTLPSpanExporter())

    def tell(self, span: Span) -> None:
        """Have it exported."""
        self._processor.on_end(self._readable(span))

    def close(self) -> None:
        """Export what is left, for FLUSH_MS at most."""
        self._processor.force_flush(FLUSH_MS)
        self._processor.shutdown()  # type: ignore[no-untyped-call]

    def _readable(self, span: Span) -> "ReadableSpan":
        from opentelemetry.sdk.trace import ReadableSpan
        from opentelemetry.trace import Link, SpanContext, SpanKind, Status, StatusCode, TraceFlags

        def context(trace_id: str, span_id: str, remote: bool = False) -> SpanContext:
            flags = TraceFlags(TraceFlags.SAMPLED)
            return SpanContext(int(trace_id, 16), int(span_id, 16), remote, flags)

        failed = {"error.type": span.error} if span.error else {}
        return ReadableSpan(
            name=span.name,
            context=context(span.trace_id, span.span_id),
            parent=context(span.trace_id, span.parent) if span.parent else None,
            resource=self._resource,
            attributes={**span.attributes, **failed},
            links=[Link(context(*span.caller, True))] if span.caller else (),
            kind=SpanKind[span.kind.value],
            status=Status(StatusCode.ERROR, span.error) if span.error else Status(),
            start_time=span.start_ns,
            end_time=span.end_ns,
        )


def tracer(participant: str, instance: str) -> Tracer | None:
    """Where it is switched on; elsewhere neither SDK nor exporter are even loaded."""
    return Tracer(participant, instance) if os.environ.get(ENDPOINT) else None


Tell = Callable[[Span], None]
"""Has a span exported."""
