"""Which spans and measures the wrappers tell of what is handled, published and called."""

import asyncio
import subprocess
import sys
from collections.abc import Callable, Sequence
from dataclasses import replace
from typing import Any
from uuid import UUID, uuid4

import pytest
from prometheus_client import REGISTRY
from structlog.testing import capture_logs

from sagakit.decider import Callback, Effect
from sagakit.effects.worker import perform_plain
from sagakit.handling.parking import decode_message
from sagakit.kafka.publisher import PublishFailed
from sagakit.messages.envelope import AppendTimes, EffectRow, Message, OutboxRow, Trace
from sagakit.messages.trace_ids import log_fields, process_span_of, root_of, span_of, trace_of
from sagakit.service.process import ParkingLog
from sagakit.telemetry import tracing
from sagakit.telemetry.metrics import MeasuredCalls, MeasuredPublisher
from sagakit.telemetry.spans import TracedCalls, TracedHandler, TracedPublisher
from sagakit.telemetry.tracing import Span, SpanKind
from tests.toy_saga import NOW, Counter, Started, Ticked, event_id, toy

ELSEWHERE = "0af7651916cd43dd8448eb211c80319c"


class Broker:
    """Takes all rows, or only the first `takes`."""

    def __init__(self, takes: int | None = None) -> None:
        self.takes, self.forgot = takes, False

    def publish(self, rows: Sequence[OutboxRow]) -> AppendTimes:
        if self.takes is not None:
            raise PublishFailed({row.id: None for row in rows[: self.takes]}, "no more")
        return {row.id: None for row in rows}

    def discard(self) -> None:
        self.forgot = True


def traced(counter: Counter, spans: list[Span], *starts: str) -> TracedHandler[Any]:
    return TracedHandler(counter.handler, spans.append, "counter", frozenset(starts))


def published(counter: Counter, spans: list[Span], broker: Broker) -> None:
    TracedPublisher(broker, spans.append, "counter").publish(counter.outbox)


def test_the_span_of_a_handled_event_is_between_its_publication_and_the_next() -> None:
    counter, spans = Counter(), list[Span]()
    cause = event_id("left", "a", 1)
    parent = f"00-{trace_of(toy('a'))}-{span_of(cause)}-01"
    record = counter.wire.record(Ticked("a", "one"), 1, traceparent=parent)
    traced(counter, spans).handle([decode_message(counter.wire.codec, record)])
    published(counter, spans, Broker())
    process, send = spans
    assert (process.name, process.kind) == (f"process {record.topic}", SpanKind.CONSUMER)
    assert (process.parent, process.span_id) == (span_of(cause), process_span_of(cause, "counter"))
    assert (send.name, send.kind, send.parent) == (
        *(f"send {counter.outbox[0].topic}", SpanKind.PRODUCER, process.span_id),
    )
    [own] = counter.published
    assert own.trace.traceparent == f"00-{send.trace_id}-{send.span_id}-01"
    assert {s.trace_id for s in spans} == {trace_of(toy("a"))}
    assert send.attributes["messaging.message.id"] == str(own.id)


def test_the_span_of_a_webhook_is_a_child_of_its_orders_root_span() -> None:
    counter, spans = Counter(), list[Span]()
    message = Message(uuid4(), toy("a"), trigger=Callback(("a", "paid")))
    traced(counter, spans).handle([message])
    published(counter, spans, Broker())
    webhook, send = spans
    assert (webhook.name, webhook.kind) == ("webhook counter", SpanKind.SERVER)
    assert webhook.parent == root_of(toy("a"))
    assert send.parent == webhook.span_id


def test_the_root_is_exported_once_by_who_owns_the_start_and_names_the_caller() -> None:
    counter, spans = Counter(), list[Span]()
    record = counter.wire.record(
        Started("a"), None, traceparent=f"00-{ELSEWHERE}-b7ad6b7169203331-01"
    )
    message = decode_message(counter.wire.codec, record)
    handler = traced(counter, spans, "Started")
    handler.handle([message])
    handler.handle([message])
    roots = [s for s in spans if s.parent is None]
    assert [(s.span_id, s.trace_id) for s in roots] == [(root_of(toy("a")), trace_of(toy("a")))]
    assert roots[0].caller == (ELSEWHERE, "b7ad6b7169203331")
    assert [s.parent for s in spans if s.parent] == [root_of(toy("a"))]


def test_a_repeated_event_has_no_span_and_a_parked_event_a_failed_one() -> None:
    counter, spans = Counter(), list[Span]()
    one = decode_message(counter.wire.codec, counter.wire.record(Ticked("a", "one"), 1))
    gap = decode_message(counter.wire.codec, counter.wire.record(Ticked("a", "three"), 3))
    traced(counter, spans).handle([one, one, gap])
    assert [s.error for s in spans] == [None, "parked"]


def test_dead_letter_records_and_what_the_broker_does_not_have_are_no_publications() -> None:
    counter, spans = Counter(), list[Span]()
    counter.reads(
        counter.wire.record(Ticked("a", "one"), 1),
        counter.wire.record(Ticked("a", "two"), 2),
        counter.wire.raw("left.events", b"b", b"garbage", (("ce_source", b"counter"),)),
    )
    with pytest.raises(PublishFailed):
        published(counter, spans, Broker(takes=1))
    assert [s.span_id for s in spans] == [span_of(counter.published[0].id)]
    spans.clear()
    published(counter, spans, Broker())
    assert [s.span_id for s in spans] == [span_of(e.id) for e in counter.published]


def test_each_attempt_at_an_effect_is_a_span_under_what_decided_it() -> None:
    spans, cause = list[Span](), uuid4()
    row = EffectRow(uuid4(), Effect("pay", "pay", {}, toy("a")), Trace(cause=str(cause)))

    async def fails(effect: Effect) -> None:
        raise TimeoutError

    async def answers(effect: Effect) -> str:
        return "paid"

    calls = MeasuredCalls("spans", TracedCalls(spans.append, "counter"))
    with pytest.raises(TimeoutError):
        asyncio.run(calls(row, fails))
    assert asyncio.run(calls(replace(row, attempts=1), answers)) == "paid"
    assert [(s.name, s.kind, s.error) for s in spans] == [
        ("pay counter", SpanKind.CLIENT, "TimeoutError"),
        ("pay counter", SpanKind.CLIENT, None),
    ]
    assert {s.parent for s in spans} == {process_span_of(cause, "counter")}
    assert len({s.span_id for s in spans}) == 2
    for outcome in ("failed", "answered"):
        labels = {"participant": "spans", "kind": "pay", "outcome": outcome}
        assert REGISTRY.get_sample_value("saga_effect_seconds_count", labels) == 1
    assert asyncio.run(perform_plain(row, answers)) == "paid"


def test_the_relays_lag_is_measured_of_what_the_broker_has() -> None:
    counter = Counter()
    counter.reads(*(counter.wire.record(Ticked("a", str(n)), n) for n in (1, 2)))

    def lag(what: str) -> float:
        labels = {"participant": "lagging"}
        return REGISTRY.get_sample_value(f"saga_relay_lag_seconds_{what}", labels) or 0.0

    late: Callable[[], Any] = lambda: NOW.replace(hour=NOW.hour + 1)  # noqa: E731
    relay = MeasuredPublisher(Broker(takes=1), "lagging", late)
    with pytest.raises(PublishFailed):
        relay.publish(counter.outbox)
    assert (lag("count"), lag("sum")) == (1, 3600)
    MeasuredPublisher(Broker(), "lagging", late).publish(counter.outbox)
    assert lag("count") == 3
    broker = Broker()
    MeasuredPublisher(TracedPublisher(broker, print, "counter"), "lagging", late).discard()
    assert broker.forgot


def test_without_an_endpoint_neither_sdk_nor_exporter_is_loaded(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    monkeypatch.delenv(tracing.ENDPOINT, raising=False)
    assert tracing.tracer("payment", "payment-1") is None
    look = (
        "import sys, services.payment.service, sagakit.service.process; "
        "print({'opentelemetry.sdk', 'opentelemetry.exporter'} & sys.modules.keys())"
    )
    found = subprocess.run([sys.executable, "-c", look], capture_output=True, check=True, text=True)
    assert found.stdout == "set()\n"


def test_a_span_is_exported_with_all_its_fields() -> None:
    from opentelemetry.sdk.trace.export.in_memory_span_exporter import InMemorySpanExporter

    exporter = InMemorySpanExporter()
    tracer = tracing.Tracer("counter", "counter-1", exporter)
    of = trace_of(toy("a"))
    span = Span("pay", SpanKind.CLIENT, of, "1" * 16, root_of(toy("a")), 1, 2, {"n": 1}, "Timeout")
    tracer.tell(replace(span, caller=(ELSEWHERE, "2" * 16)))
    tracer.close()
    [found] = exporter.get_finished_spans()
    assert found.context is not None
    assert found.parent is not None
    assert f"{found.context.trace_id:032x}" == of
    assert f"{found.context.span_id:016x}" == "1" * 16
    assert f"{found.parent.span_id:016x}" == root_of(toy("a"))
    assert [f"{link.context.trace_id:032x}" for link in found.links] == [ELSEWHERE]
    assert found.resource.attributes["service.name"] == "counter"
    assert dict(found.attributes or {}) == {"n": 1, "error.type": "Timeout"}


def test_what_a_log_line_says_of_an_order() -> None:
    id_ = UUID(int=7)
    expected = {"saga": toy("a"), "trace_id": trace_of(toy("a")), "event_id": str(id_)}
    assert log_fields(toy("a"), id_) == expected


def test_what_is_parked_is_logged_with_order_trace_and_event() -> None:
    counter = Counter()
    gap = decode_message(counter.wire.codec, counter.wire.record(Ticked("a", "three"), 3))
    with capture_logs() as lines:
        ParkingLog(counter.handler).handle([gap])
    assert lines == [
        {"event": "a record is parked", "log_level": "warning", **log_fields(toy("a"), gap.id)}
    ]
