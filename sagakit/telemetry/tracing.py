"""Exports spans to OpenTelemetry, with ids of W3C trace context handed from cause to event.

No other module of the kit imports OpenTelemetry, and this one only if tracing is enabled. Trace
context: https://www.w3.org/TR/trace-context/.

Ids are derived: a trace id from the saga key, so a webhook days later is in the same trace, and
a replay repeats ids instead of inventing others (docs/decisions/0015). A span is created when its
work is over, and nothing is kept meanwhile: an event's headers determine the ids of its span and
of its parent. One trace is one saga:

    saga             the root; reported by the owner of the event that starts the flow
      request, webhook   a call to a participant from outside (without a parent)
      send             publication of an event; its span id is in the event's `traceparent`
        process          a participant handles that event
          send             an event it decided
          charge           one of its effects, each attempt
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
"""Environment variable with the address that spans go to (OTLP over HTTP); unset: no tracing.

The exporter reads the other variables."""
FLUSH_MS = 5_000


class SpanKind(Enum):
    """The kind of a span, by OpenTelemetry's names."""

    INTERNAL = "INTERNAL"
    SERVER = "SERVER"
    CLIENT = "CLIENT"
    PRODUCER = "PRODUCER"
    CONSUMER = "CONSUMER"


@dataclass(frozen=True, slots=True)
class Span:
    """Describes finished work.

    Ids in hex; times in ns since 1970. `parent`: None for a root. `error`: its type, if the work
    failed. `caller`: a span of another trace (trace id, span id) that led to it.
    """

    name: str
    kind: SpanKind
    trace_id: str
    span_id: str
    parent: str | None
    start_ns: int
    end_ns: int
    attributes: Mapping[str, str | int]
    error: str | None = None
    caller: tuple[str, str] | None = None


class Tracer:
    """Exports spans in the background, without blocking the caller.

    Spans that the collector does not take in time are dropped.
    """

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
        """Queue a span for export."""
        self._processor.on_end(self._readable(span))

    def close(self) -> None:
        """Export the remaining spans, for FLUSH_MS at most."""
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
    """Return a tracer if ENDPOINT is set; otherwise None, with SDK and exporter not loaded."""
    return Tracer(participant, instance) if os.environ.get(ENDPOINT) else None


ExportSpan = Callable[[Span], None]
"""Queues a span for export."""
