"""Checks invariants 1 and 7: how sagas end, and what must never be undone. Pure."""

from collections import Counter
from collections.abc import Iterator
from datetime import timedelta

from saga_lab.invariants.evidence import Evidence, Logged
from saga_lab.invariants.finding import Finding, finding_of
from saga_lab.invariants.interface import UndonePastPivot, undone_past_pivot

DEADLINE, SYSTEM_TIMEOUT = "deadline", "system_timeout"
"""Mark the monitor's own events: code of a CompensationRequested, actor of a VerdictGiven."""


def one_end(evidence: Evidence) -> Finding:
    """Check invariant 1: every accepted saga reaches exactly one of the three ends.

    The monitor has to report the same end.
    """
    ends = {saga: evidence.end_of(saga) for saga in evidence.accepted}
    counts = Counter(ends.values())
    return finding_of(
        1,
        "Every accepted saga ends in exactly one end",
        f"{len(ends)} sagas started on the log: {counts['completed']} completed, "
        f"{counts['cancelled']} cancelled, {counts['intervention']} with a person; "
        f"the monitor's {len(evidence.sagas)} sagas say the same",
        _wrong_ends(evidence, ends),
    )


def _wrong_ends(evidence: Evidence, ends: dict[str, str]) -> Iterator[str]:
    for saga, end in ends.items():
        seen = evidence.sagas.get(saga, "unknown")
        if end in ("both", "neither"):
            events = [e.type for e in evidence.events(saga, *evidence.ends)]
            yield f"{saga}: ended {len(events)} times {events or ''}; the monitor says {seen}"
        elif seen != end:
            yield f"{saga}: {end} on the log, {seen} for the monitor"


def nothing_healthy_undone(
    evidence: Evidence, past_pivot: UndonePastPivot = undone_past_pivot
) -> Finding:
    """Check invariant 7: nothing is undone past the pivot, nor before its deadline in log time.

    A slow observer must not undo a healthy saga. `past_pivot`: what counts as undone past it.
    """
    requests = [e for e in evidence.by_id.values() if is_timeout(e)]
    pivots = [saga for saga in evidence.accepted if evidence.is_past_pivot(saga)]
    return finding_of(
        7,
        "Nothing is undone past the pivot, nothing healthy is undone",
        f"{len(pivots)} sagas past their pivot, {len(requests)} deadlines that passed, "
        "each against the log's own times",
        [
            *(f"{saga}: {what}" for saga in pivots for what in past_pivot(evidence, saga)),
            *(
                violation
                for request in requests
                for violation in _undone_too_early(evidence, request)
            ),
        ],
    )


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
        yield f"{request.saga}: a deadline passed, but its cause {request.cause} is on no topic"
        return
    step = evidence.steps_at(request.saga, request.at)[request.event.step]
    deadline = cause.at + timedelta(seconds=step.waits.get(cause.type, step.deadline_s))
    if request.at <= deadline:
        yield f"{request.saga}: {step.name} was judged at {request.at}, due {deadline}"
    awaited = (step.done, *step.failed, *([step.undone] if step.undone else ()))
    for answer in evidence.events(request.saga, *awaited):
        if cause.at < answer.at <= deadline:
            yield (
                f"{request.saga}: {step.name} was judged overdue at {deadline}, "
                f"but {answer.type} stood in the log at {answer.at}"
            )
