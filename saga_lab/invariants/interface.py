"""Defines what an application offers for its own checks: the `invariants` of its manifest."""

from collections.abc import Callable, Iterator, Mapping, Sequence
from typing import Any

from saga_lab.application import FILE_NAME, Application, ManifestError, resolve
from saga_lab.invariants.evidence import Evidence
from saga_lab.invariants.finding import Finding

Stack = Mapping[str, Any]
"""The content of `stack.json`."""
UndonePastPivot = Callable[[Evidence, str], Iterator[str]]
"""(evidence, saga id) -> what was undone of a saga that is past its pivot."""


def undone_past_pivot(evidence: Evidence, saga: str) -> Iterator[str]:
    """Yield the events by which steps of a saga past its pivot report that they were undone."""
    plan = evidence.plan_of(saga)
    undone = [s.undone for place in plan.places[: plan.last_undoable + 1] for s in place]
    for logged in evidence.events(saga, *(event for event in undone if event)):
        yield f"past its pivot, and yet undone: {logged.type}"


class OwnInvariants:
    """Checks an application's own ledgers, beside the checks of every saga.

    `ends`: event type -> `completed` or `cancelled`, where a participant publishes the end of every
    saga, and exactly once. Without them the end is derived from the events of the steps.
    """

    ends: Mapping[str, str] = {}

    @property
    def checks(self) -> Sequence[Callable[[Evidence], Finding]]:
        """The checks, each a pure function that finds what `gather` returned in `evidence.own`."""
        return ()

    def gather(self, stack: Stack) -> Any:
        """Fetch the evidence of the application's ledgers; by default there is none."""
        return None

    def undone_past_pivot(self, evidence: Evidence, saga: str) -> Iterator[str]:
        """Yield what was undone of a saga past its pivot; by default every undo counts."""
        return undone_past_pivot(evidence, saga)


def own_invariants(application: Application) -> OwnInvariants:
    """Return the invariants that the manifest names, else none. Raises ManifestError."""
    if application.invariants is None:
        return OwnInvariants()
    own = resolve(application, "lab.invariants", application.invariants)
    if not isinstance(own, OwnInvariants):
        raise ManifestError(
            f"{application.folder / FILE_NAME}: lab.invariants: {application.invariants} is no "
            "OwnInvariants; make it an instance of a subclass of saga_lab.invariants.OwnInvariants"
        )
    return own
