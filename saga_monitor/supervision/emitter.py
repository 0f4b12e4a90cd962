"""Turn the monitor's emissions into outbox rows."""

from dataclasses import dataclass
from datetime import datetime

from saga_monitor.saga.deadlines import Emission
from saga_monitor.saga.facts import SOURCE, Saga
from sagakit.messages.codec import Codec
from sagakit.messages.envelope import Envelope, OutboxRow, Trace
from sagakit.messages.trace_ids import event_traceparent
from sagakit.telemetry import metrics


@dataclass(frozen=True)
class Emitter:
    """Encodes emissions.

    The monitor's events carry no sequence number: two replicas may emit the same event, and
    consumers recognize the repeat by its id.
    """

    codec: Codec

    def outbox_row(self, saga: Saga, flow: str, emission: Emission, at: datetime) -> OutboxRow:
        """Return the outbox row of an emission; the caller holds the lock on the saga's row."""
        first = next(iter(saga.timeline()), None)
        correlation = first.id if first else str(emission.id)
        trace = Trace(
            flow, correlation=correlation, traceparent=event_traceparent(emission.id, saga.key)
        )
        envelope = Envelope(
            id=emission.id,
            key=saga.key,
            source=SOURCE,
            seq=None,
            time=at,
            event=emission.event,
            causation=emission.cause,
            trace=trace,
        )
        metrics.EVENTS.labels("monitor", emission.event.type).inc()
        return self.codec.encode(envelope)
