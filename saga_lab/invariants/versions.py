"""Checks invariant 8: every saga runs to its end on its first version. Pure."""

from collections import Counter
from collections.abc import Iterator

from saga_lab.invariants.evidence import Evidence
from saga_lab.invariants.finding import Finding, finding_of


def own_version(evidence: Evidence) -> Finding:
    """Check invariant 8: all events of a saga carry one flow label.

    A completed saga has done every step of that version, and no participant without a step in it
    has published an event of the saga.
    """
    counts = Counter(
        flow.label(version) for flow, version in map(evidence.flow_of, evidence.accepted)
    )
    counts_text = ", ".join(f"{n} on {label}" for label, n in sorted(counts.items()))
    return finding_of(
        8,
        "Every saga finishes on the version it started with",
        f"{len(evidence.accepted)} sagas: {counts_text}",
        (
            f"{saga}: {wrong}"
            for saga in evidence.accepted
            for wrong in _events_of_other_versions(evidence, saga)
        ),
    )


def _events_of_other_versions(evidence: Evidence, saga: str) -> Iterator[str]:
    events = [e for those in evidence.events_by_saga[saga].values() for e in those]
    labels = {e.flow for e in events if e.flow}
    if len(labels) > 1:
        yield f"on {' and '.join(sorted(labels))}"
    flow, version = evidence.flow_of(saga)
    steps = {step.name: step for place in flow.places(version) for step in place}
    foreign = {e.type for e in events if e.event.owner in flow.steps.keys() - steps.keys()}
    if foreign:
        yield f"{', '.join(sorted(foreign))} on {flow.label(version)}, which has no such step"
    if evidence.end_of(saga) == "completed":
        for step in steps.values():
            if not evidence.events(saga, step.done):
                yield f"completed on {flow.label(version)} without {step.done}"
