"""Checks invariant 5: outbox to topic loses no event and keeps the order per producer. Pure."""

from collections.abc import Iterator
from uuid import UUID

from saga_lab.invariants.evidence import Evidence
from saga_lab.invariants.finding import Finding, finding_of


def nothing_lost(evidence: Evidence) -> Finding:
    """Check invariant 5: no gap or inversion, nothing pending, no sent record missing."""
    counted = [e for e in evidence.log if e.seq is not None]
    chains = {(e.source, e.saga) for e in counted}
    return finding_of(
        5,
        "No event is lost, and each producer's events stand in the order they were decided",
        f"{len(evidence.log)} events on the topics in {len(chains)} sequences "
        f"({len(evidence.log) - len(evidence.by_id)} repeats, {evidence.unreadable} unreadable), "
        f"{len(evidence.sent)} rows sent by {len(evidence.outbox)} outboxes, all empty",
        [*_out_of_order(evidence), *_left(evidence), *_missing(evidence)],
    )


def _out_of_order(evidence: Evidence) -> Iterator[str]:
    """Yield gaps and conflicts in each producer's sequence per saga.

    A repeat is allowed (delivery is at least once), but its first record has to be in sequence.
    """
    seen: dict[tuple[str, str], list[UUID]] = {}
    for logged in evidence.log:
        if logged.seq is None:
            continue
        chain = seen.setdefault((logged.source, logged.saga), [])
        where = f"{logged.saga}: event {logged.seq} of {logged.source} ({logged.type})"
        if logged.seq > len(chain) + 1:
            yield f"{where} stands behind {len(chain)}"
        if logged.seq > len(chain):
            chain += [logged.id] * (logged.seq - len(chain))
        elif chain[logged.seq - 1] != logged.id:
            yield f"{where} is {logged.id}, and {chain[logged.seq - 1]} as well"


def _left(evidence: Evidence) -> Iterator[str]:
    for service, rows in evidence.outbox.items():
        if rows:
            yield f"{service}: {rows} rows are still in its outbox"
    for service, rows in evidence.effects.items():
        if rows:
            yield f"{service}: {rows} effects are still pending"


def _missing(evidence: Evidence) -> Iterator[str]:
    for row in evidence.sent:
        if row.mark not in evidence.marks:
            yield f"{row.saga}: {row.service} sent an event to {row.topic} that is not there"
