"""Computes recovery times, stalls and unexplained ends of a chaos run. Pure."""

import statistics
from collections import Counter, defaultdict
from collections.abc import Collection, Iterator, Mapping, Sequence
from dataclasses import dataclass
from itertools import pairwise

from saga_lab.chaos.runner import InjectedFault
from saga_lab.workload import End, key_of
from saga_lab.workload.outcomes import SagaOutcome


@dataclass(frozen=True, slots=True)
class Recovery:
    """Median and longest times of one kind of fault, in seconds; None if never measured.

    `ready_s`: from the heal until the target's probe is ready; `recovery_s`: from the heal until
    the first saga placed after it is seen to have completed.
    """

    kind: str
    times: int
    ready_s: float | None
    recovery_s: float | None
    longest_recovery_s: float | None


def recoveries(
    faults: Sequence[InjectedFault],
    placed_at: Mapping[str, float],
    completed_at: Mapping[str, float],
) -> list[Recovery]:
    """Return one row per kind. All times are seconds on the same clock."""
    by_kind: dict[str, list[InjectedFault]] = defaultdict(list)
    for fault in faults:
        by_kind[fault.planned.kind.name].append(fault)
    rows = []
    for kind, of_kind in sorted(by_kind.items()):
        ready = [f.ready_at - f.healed_at for f in of_kind if f.ready_at and f.healed_at]
        recovered = [
            seconds
            for f in of_kind
            if f.healed_at
            and (seconds := recovery_s(f.healed_at, placed_at, completed_at)) is not None
        ]
        times = (_median(ready), _median(recovered), max(recovered, default=None))
        rows.append(Recovery(kind, len(of_kind), *times))
    return rows


def recovery_s(
    healed_at: float, placed_at: Mapping[str, float], completed_at: Mapping[str, float]
) -> float | None:
    """Return seconds from the heal to the first completion of a saga placed after it, or None."""
    ends = [at for saga, at in completed_at.items() if placed_at[saga] >= healed_at]
    return min(ends) - healed_at if ends else None


def longest_stall_s(ended_at: Collection[float], until_s: float) -> float:
    """Return the longest time without an end, from the first end to `until_s`."""
    ends = sorted(at for at in ended_at if at < until_s)
    stalls = (after - before for before, after in pairwise([*ends, until_s]))
    return max(stalls, default=0.0)


def _median(values: Sequence[float]) -> float | None:
    return statistics.median(values) if values else None


def unexplained_ends(outcomes: Sequence[SagaOutcome], timed_out: Collection[str]) -> Iterator[str]:
    """Yield sagas whose end differs from their kind's, unless a passed deadline explains it."""
    for outcome in outcomes:
        if not (outcome.as_expected or _explained(outcome, timed_out)):
            saga = outcome.saga
            yield (f"{key_of(saga)} ({saga.entrance}, {saga.flow}): {outcome.end}, not {saga.end}")


def _explained(outcome: SagaOutcome, timed_out: Collection[str]) -> bool:
    """Return True for a saga that was cancelled because one of its deadlines passed."""
    return outcome.end == End.CANCELLED and key_of(outcome.saga) in timed_out


def end_counts(outcomes: Sequence[SagaOutcome]) -> dict[str, int]:
    """Count sagas by their end."""
    return dict(sorted(Counter(str(outcome.end) for outcome in outcomes).items()))


def unexpected_ends(outcomes: Sequence[SagaOutcome]) -> dict[str, int]:
    """Count sagas whose end differs from their kind's, by `kind: end`."""
    ends = (f"{o.saga.kind.name}: {o.end}" for o in outcomes if not o.as_expected)
    return dict(sorted(Counter(ends).items()))
