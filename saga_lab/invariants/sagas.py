"""Checks invariants 1 and 7: how orders end, and what must never be undone. Pure."""

from collections import Counter
from collections.abc import Iterator
from datetime import timedelta

from saga_lab.invariants.evidence import Evidence, Logged
from saga_lab.invariants.finding import Finding, finding_of

DEADLINE, SYSTEM_TIMEOUT = "deadline", "system_timeout"
"""Mark the monitor's own events: code of a CompensationRequested, actor of a VerdictGiven."""


def one_end(evidence: Evidence) -> Finding:
    """Check invariant 1: every accepted order reaches exactly one of the three ends.

    The monitor has to report the same end.
    """
    ends = {order_id: evidence.end_of(order_id) for order_id in evidence.accepted}
    counts = Counter(ends.values())
    return finding_of(
        1,
        "Every accepted order ends in exactly one end",
        f"{len(ends)} orders placed on the log: {counts['completed']} completed, "
        f"{counts['cancelled']} cancelled, {counts['intervention']} with a person; "
        f"the monitor's {len(evidence.sagas)} sagas say the same",
        _wrong_ends(evidence, ends),
    )


def _wrong_ends(evidence: Evidence, ends: dict[str, str]) -> Iterator[str]:
    for order_id, end in ends.items():
        seen = evidence.sagas.get(order_id, "unknown")
        if end in ("both", "neither"):
            events = [e.type for e in evidence.events(order_id, "OrderCompleted", "OrderCancelled")]
            yield f"{order_id}: ended {len(events)} times {events or ''}; the monitor says {seen}"
        elif seen != end:
            yield f"{order_id}: {end} on the log, {seen} for the monitor"


def nothing_healthy_undone(evidence: Evidence) -> Finding:
    """Check invariant 7: nothing is undone past the pivot, nor before its deadline in log time.

    A slow observer must not undo a healthy order.
    """
    requests = [e for e in evidence.by_id.values() if is_timeout(e)]
    pivots = [o for o in evidence.events_by_saga if evidence.events(o, "ShipmentPickedUp")]
    return finding_of(
        7,
        "Nothing is undone past the pivot, nothing healthy is undone",
        f"{len(pivots)} parcels picked up, {len(requests)} deadlines that passed, "
        "each against the log's own times",
        [
            *(
                violation
                for order_id in pivots
                for violation in _undone_past_pivot(evidence, order_id)
            ),
            *(
                violation
                for request in requests
                for violation in _undone_too_early(evidence, request)
            ),
        ],
    )


def _undone_past_pivot(evidence: Evidence, order_id: str) -> Iterator[str]:
    """Yield undo events of an order that was picked up.

    Refunds of late captures are allowed: that money goes back whatever the order's end.
    """
    refunds = evidence.events(order_id, "PaymentRefunded", "PaymentRefundProgressed")
    late = [e for e in evidence.events(order_id, "PaymentCaptured") if e.event.late]
    kept_minor = sum(e.event.amount_minor for e in refunds)
    kept_minor -= sum(e.event.amount_minor for e in late)
    if kept_minor > 0:
        yield f"{order_id}: picked up, and yet {kept_minor} minor units were given back"
    for released in evidence.events(order_id, "InventoryReleased"):
        if released.event.lines:
            yield f"{order_id}: picked up, and yet its stock was released"
    for cancelled in evidence.events(order_id, "ShipmentCancelled"):
        yield f"{order_id}: picked up, and yet told cancelled ({cancelled.event.reason})"


def is_timeout(logged: Logged) -> bool:
    """Return True for an undo request or an automatic verdict of the monitor after a deadline."""
    if logged.type == "VerdictGiven":
        return bool(logged.event.actor == SYSTEM_TIMEOUT)
    return logged.type == "CompensationRequested" and logged.event.code == DEADLINE


def _undone_too_early(evidence: Evidence, request: Logged) -> Iterator[str]:
    """Yield contradictions between a timeout and the log's times.

    The request names as its cause the event whose answer is missing; the deadline counts from that
    event's log-append time. The request must come after the deadline, and no answer before it.
    """
    cause = evidence.by_id.get(request.cause) if request.cause else None
    if cause is None:
        yield f"{request.order_id}: a deadline passed, but its cause {request.cause} is on no topic"
        return
    step = evidence.steps_at(request.order_id, request.at)[request.event.step]
    deadline = cause.at + timedelta(seconds=step.waits.get(cause.type, step.deadline_s))
    if request.at <= deadline:
        yield f"{request.order_id}: {step.name} was judged at {request.at}, due {deadline}"
    awaited = (step.done, *step.failed, *([step.undone] if step.undone else ()))
    for answer in evidence.events(request.order_id, *awaited):
        if cause.at < answer.at <= deadline:
            yield (
                f"{request.order_id}: {step.name} was judged overdue at {deadline}, "
                f"but {answer.type} stood in the log at {answer.at}"
            )
