"""Sagas that a copied stack brought along: they have ended before, or go on in the drill and end.

Deadlines that ran for them were those of the home. The drill has its own, and the monitor judges
an event by the deadlines it had when it read it; so the copy's rows are made again with those of
the drill before it begins. Otherwise a saga that waits a day would outlast the drill.
"""

from collections.abc import Callable, Collection, Iterator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import dataclass, replace
from datetime import datetime

from sqlalchemy import text

from saga_lab.application import MONITOR
from saga_lab.chaos.site import NotReached, until
from saga_lab.devstack.stack import Stack
from saga_lab.invariants import Finding
from saga_lab.invariants.gather import codec_of, flows_of, query
from saga_lab.invariants.interface import Stack as StackContent
from saga_lab.workload.run import ACTIVE
from saga_monitor.ingest.projection import Projection
from saga_monitor.saga.view import Status
from saga_monitor.storage import store
from saga_monitor.storage.stored_saga import load_saga
from sagakit.store.postgres import engine_for

COUNT = "SELECT count(*) FROM (SELECT FROM saga UNION ALL SELECT FROM saga_history) AS known"
IN_FLIGHT = "SELECT saga, status, updated_at, next_deadline FROM saga"
WITH_DEADLINES = text(
    "SELECT saga, facts::text, partition FROM saga WHERE next_deadline IS NOT NULL ORDER BY saga"
)
NOT_ENDED = (*ACTIVE, Status.PAUSED)
"""Statuses of a saga that invariant 1 wants to end; an open intervention is an end to it."""
STANDSTILL_S = 240.0
"""A drill waits for copied sagas until none of them has moved for so long: four times its waits."""
END_OF_SAGA = 1
"""The invariant that every saga ends."""


@dataclass(frozen=True, slots=True)
class InFlight:
    """A saga in flight: when its last event was read, and whether a deadline runs for it."""

    status: str
    updated_at: datetime
    has_deadline: bool


@dataclass(frozen=True, slots=True)
class CopiedSagas:
    """The sagas of a copied stack: how many, and those in flight by their keys."""

    total: int
    in_flight: Mapping[str, InFlight]

    def still_in_flight(self, now: Mapping[str, InFlight]) -> dict[str, InFlight]:
        """Return those of them that are in flight now."""
        return {saga: found for saga, found in now.items() if saga in self.in_flight}

    def untouched(self, now: Mapping[str, InFlight]) -> list[str]:
        """Return those that cannot end in a drill: no event came, and no deadline runs or ran.

        They are paused, or wait for a person without a deadline.
        """
        return [
            saga
            for saga, found in sorted(self.still_in_flight(now).items())
            if found == self.in_flight[saga] and not found.has_deadline
        ]


def copied_sagas(content: StackContent) -> CopiedSagas:
    """Return the sagas that the stack has."""
    ((total,),) = query(content["databases"][MONITOR], COUNT)
    return CopiedSagas(total, in_flight(content))


def in_flight(content: StackContent) -> dict[str, InFlight]:
    """Return the sagas in flight by their keys."""
    rows = query(content["databases"][MONITOR], IN_FLIGHT)
    return {
        saga: InFlight(status, updated_at, deadline is not None)
        for saga, status, updated_at, deadline in rows
        if status in NOT_ENDED
    }


def apply_deadlines(stack: Stack) -> None:
    """Make the rows of sagas with a deadline again, by the deadlines that the monitor has now."""
    content = stack.read()
    stack.supervisor.stop([MONITOR])
    engine = engine_for(content["databases"][MONITOR])
    try:
        projection = Projection(engine, codec_of(content), flows_of(content))
        with engine.begin() as connection:
            for saga, facts, partition in connection.execute(WITH_DEADLINES).all():
                store.write(connection, projection.rows(load_saga(saga, facts), partition))
    finally:
        engine.dispose()
    stack.supervisor.start_processes([MONITOR])
    stack.wait_ready([MONITOR])


@contextmanager
def awaited(
    content: StackContent,
    copied: CopiedSagas,
    on_progress: Callable[[], None],
    standstill_s: float = STANDSTILL_S,
) -> Iterator[None]:
    """Wait at the end until the copied sagas have ended, too, or do not move any more."""
    yield
    while True:
        now = copied.still_in_flight(in_flight(content))
        if now.keys() <= set(copied.untouched(now)):
            return

        def have_moved(before: Mapping[str, InFlight] = now) -> bool:
            on_progress()
            return copied.still_in_flight(in_flight(content)) != before

        try:
            until(have_moved, "a copied saga moves", standstill_s)
        except NotReached:  # the invariants judge what is left
            return


def excuse(findings: Sequence[Finding], untouched: Collection[str]) -> list[Finding]:
    """Take from the findings that a copied saga did not end which nothing could end. Pure."""
    return [
        _excused(finding, untouched) if finding.number == END_OF_SAGA and untouched else finding
        for finding in findings
    ]


def _excused(finding: Finding, untouched: Collection[str]) -> Finding:
    kept = tuple(
        violation
        for violation in finding.violations
        if violation.partition(": ended 0 times")[0] not in untouched
    )
    excused = len(finding.violations) - len(kept)
    return replace(
        finding,
        checked_against=f"{finding.checked_against}; {len(untouched)} copied sagas that are "
        "paused or wait without a deadline did not have to end",
        violations=kept,
        found=finding.found - excused,
    )
