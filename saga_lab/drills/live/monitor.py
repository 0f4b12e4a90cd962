"""Replays the topics into a shadow beside the running monitor, and compares it with the live rows.

The monitor reads on meanwhile. The shadow is brought up to it and compared again until both stand
at the same offsets, or every saga was equal once.
"""

import time
from collections.abc import Callable, Mapping
from contextlib import AbstractContextManager
from dataclasses import dataclass, field, replace

from sqlalchemy import Engine

from saga_lab.application import MONITOR
from saga_lab.chaos.site import NotReached, until
from saga_lab.drills.live.comparison import LiveComparison
from saga_lab.invariants.gather import application_of, contract_on, query
from saga_lab.invariants.interface import Stack
from saga_lab.invariants.rebuild import RebuildComparison
from saga_monitor.replay.bounds import Earliest, Now
from saga_monitor.replay.compare import DiffSummary, FieldDifference, ProjectionDiff
from saga_monitor.replay.pipeline import MonitorAccess, Replay, by_partition
from saga_monitor.replay.source import ReplayPlan, plan_of
from saga_monitor.replay.target import LIVE, Shadow
from saga_monitor.replay.workers import Note, ReplayRequest, replay
from sagakit.kafka.inspector import LogEnds
from sagakit.kafka.log_spans import spans_until
from sagakit.messages.envelope import TopicPartitionKey
from sagakit.replay_mode import replaying
from sagakit.store.postgres import engine_for

SHADOW = "live_drill"
"""The name of the shadow that a live drill makes."""
SETTLE_S = 60.0
"""How long the shadow is brought up to the live projection: longer than any saga keeps moving."""
POSITIONS = 'SELECT topic, "partition", "offset" FROM stream_offset'
TellReplay = Callable[[int], AbstractContextManager[Note]]
"""Type of what tells the progress of a replay that reads so many offsets."""


def rehearse_replay(stack: Stack, workers: int, tell: TellReplay) -> LiveComparison:
    """Replay the topics of a running stack into a shadow, and compare.

    Raises what a replay raises.
    """
    access = access_of(stack)
    shadow, engine = Shadow(access.database_url, SHADOW), engine_for(access.database_url)
    try:
        began = time.monotonic()
        plan = _plan(stack, access)
        with tell(plan.offsets) as note:
            replay(access, shadow, ReplayRequest(), plan, workers=workers, restart=True, note=note)
        rebuilt_s = time.monotonic() - began
        settling = Settling(access, shadow, engine)
        with replaying(), shadow.alone():
            settling.run()
        settled_s = time.monotonic() - began - rebuilt_s
        rows = settling.rows
        compared = RebuildComparison(MONITOR, sum(rows.values()), settling.texts())
        return LiveComparison(compared, rows["saga"], rebuilt_s, settled_s, _lost(plan))
    finally:
        shadow.drop()
        engine.dispose()


def access_of(stack: Stack) -> MonitorAccess:
    """Return where log and database of the stack's monitor are."""
    return MonitorAccess(
        stack["bootstrap_servers"],
        stack["databases"][MONITOR],
        application_of(stack).contract,
        stack["urls"].get("registry"),
        stack["deadlines"][-1][1],
    )


def _plan(stack: Stack, access: MonitorAccess) -> ReplayPlan:
    """Plan to read as far as the monitor has read."""
    log, topics = LogEnds(access.bootstrap_servers), contract_on(stack).topics
    plan = plan_of(log, topics, Earliest(), Now())
    return replace(plan, spans=spans_until(plan.spans, _positions(access)))


def _positions(access: MonitorAccess) -> dict[TopicPartitionKey, int]:
    """Return how far the monitor has read."""
    rows = query(access.database_url, POSITIONS)
    return {(topic, partition): offset for topic, partition, offset in rows}


def _lost(plan: ReplayPlan) -> tuple[str, ...]:
    if not plan.cut:
        return ()
    return (
        f"the log no longer holds the first records of {len(plan.cut)} partitions: sagas that "
        "began before are incomplete in a monitor that is rebuilt without an archive",
    )


@dataclass(slots=True)
class Settling:
    """Compares a shadow with the live projection, round by round, while that one reads on.

    A saga that is equal once is not compared again. differing: saga -> a difference of it, for
    those that differed in each round.
    """

    access: MonitorAccess
    shadow: Shadow
    engine: Engine
    rows: Mapping[str, int] = field(default_factory=dict)
    differing: dict[str, FieldDifference] | None = None

    def run(self) -> None:
        """Compare until both stand at the same offsets, or no saga differs."""
        try:
            until(self._is_settled, "the shadow stands where the live projection does", SETTLE_S)
        except NotReached:
            return  # what differs still has differed in every round

    def texts(self) -> list[str]:
        """Return what differs, as text."""
        return [
            f"{found.saga}: {found.table} {found.row} {found.field}: live {found.one}, rebuilt "
            f"{found.other}"
            for found in (self.differing or {}).values()
        ]

    def _is_settled(self) -> bool:
        self._catch_up()
        found, summary = self._compare()
        self.rows, before = summary.rows, self.differing
        self.differing = {s: d for s, d in found.items() if before is None or s in before}
        return not (self.differing and summary.ahead)

    def _catch_up(self) -> None:
        """Read on to where the live projection is now."""
        self.shadow.extend(_positions(self.access))
        one = Replay(self.access, self.shadow)
        for number in by_partition(self.shadow.remaining()):
            one.run_unit(number, lambda step: None)

    def _compare(self) -> tuple[dict[str, FieldDifference], DiffSummary]:
        with self.engine.begin() as connection:
            projection = self.access.projection(self.engine, self.access.codec())
            diff = ProjectionDiff(connection, projection, LIVE, self.shadow.name)
            found: dict[str, FieldDifference] = {}
            for difference in diff.differences():
                found.setdefault(difference.saga, difference)
            return found, diff.summary
