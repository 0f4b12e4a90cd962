"""Rebuilds a participant into an empty database: what it said, then what it was told.

First its own topic is folded by `evolve`: states, the number of its events in each saga, and what
they answered. Then the usual handler reads what the participant consumes, with an empty inbox, in
those states. What own events have answered is left out (`answered`); what was lost in flight is
decided again: its effects wait in the new database under the same idempotency keys, its events in
the outbox under the same ids. Both leave it when the service is started.

A restored backup is brought up to date in the same way: own events that its rows stand for already
are told by their numbers, consumed ones by its inbox.
"""

from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from functools import partial
from pathlib import Path
from typing import Generic, Protocol, TypeVar

from sagakit.archive.log_archive import LogArchive, ReadSpans, archived_log
from sagakit.flow.model import Flows
from sagakit.flow.routing import Router, topic, topics_of
from sagakit.handling.consumer_loop import ConsumerLoop
from sagakit.handling.handler import Handler
from sagakit.kafka.group_guard import GroupGuard
from sagakit.kafka.inspector import LogEnds
from sagakit.kafka.log_spans import LogBatch, Spans, batches_of, read_spans
from sagakit.messages.codec import Codec
from sagakit.messages.envelope import TopicPartitionKey
from sagakit.recovery.answered import step_ends
from sagakit.recovery.log_reader import LogReader
from sagakit.recovery.lost import LostSagas
from sagakit.recovery.own_topic import OwnTopic
from sagakit.recovery.plan import RebuildPlan, WholeLog, plan_of
from sagakit.recovery.review import Review
from sagakit.recovery.target import RebuildRefused, RebuildReport, RebuildTarget
from sagakit.replay_mode import replaying
from sagakit.retry import retry_transaction
from sagakit.stop_signal import StopSignal
from sagakit.store.migrate import migrate
from sagakit.store.ports import Clock, Participant
from sagakit.store.postgres import PostgresDatabase, PostgresTransaction

S = TypeVar("S")
BATCH = 2000
"""So many records are folded in one transaction."""
SILENCE_S = 120.0
"""A log that brings nothing for so long is given up; the rebuild then goes on when run again."""
COORDINATOR_S = 30.0
"""How long a rebuild waits until a broker coordinates the service's group."""


class ProgressNote(Protocol):
    """Is told how many offsets were read, after each transaction; `before`: by an earlier run."""

    def __call__(self, offsets: int, *, before: bool = False) -> None: ...


def ignore_progress(offsets: int, *, before: bool = False) -> None:
    """Note nothing."""


@dataclass(frozen=True)
class Rebuilt(Generic[S]):
    """Says what is rebuilt. `migrations`: of the participant's tables; None without any."""

    participant: Participant[S]
    migrations: Path | None
    codec: Codec
    flows: Flows


class Rebuild(Generic[S]):
    """Rebuilds a participant from the log of `bootstrap_servers` into a target.

    archive: has what the topics dropped; it is read before them. for_trial: no service will ever
    start on the target, so the participant may run meanwhile.
    """

    def __init__(
        self,
        what: Rebuilt[S],
        bootstrap_servers: str,
        target: RebuildTarget,
        clock: Clock,
        archive: LogArchive | None = None,
        *,
        for_trial: bool = False,
    ) -> None:
        self._what, self._servers, self._for_trial = what, bootstrap_servers, for_trial
        live: ReadSpans = partial(read_spans, bootstrap_servers, timeout_s=SILENCE_S)
        read = archived_log(archive, live) if archive else live
        self._log = WholeLog(LogEnds(bootstrap_servers), read, archive)
        self._target = target
        self._name = what.participant.name
        self._router = Router(what.flows, self._name)
        self._own = OwnTopic(what.participant, self._router, what.codec)
        self._database = PostgresDatabase(target.writer, what.participant.store, clock)
        self._database.connections = target.connections  # one session has the lock, and writes all

    def plan(self) -> RebuildPlan:
        """Ask what there is to read. Raises ArchiveRefused, KafkaException and TimeoutError."""
        return plan_of(self._log, self._name, topics_of(self._what.flows, self._name))

    def refuse_running(self) -> None:
        """Raise RebuildRefused if a replica of the service runs. Raises KafkaException."""
        guard = GroupGuard(self._servers, self._name, COORDINATOR_S)
        if clients := guard.clients_in_time(StopSignal()):
            raise RebuildRefused(
                f"{self._name} is running ({', '.join(sorted(clients))[:200]}) and would be told "
                "what the new database has to be told; stop every replica first"
            )

    def check_usable(self) -> None:
        """See `RebuildTarget.check_usable`."""
        self._target.check_usable()

    def run(self, plan: RebuildPlan, note: ProgressNote = ignore_progress) -> RebuildReport:
        """Rebuild, or go on with it; return what was made.

        Raises RebuildRefused, RecordsGone, ArchiveRefused, TimeoutError and KafkaException.
        """
        if not self._for_trial:
            self.refuse_running()
        with replaying():
            left = self._target.begin(plan)
            retry_transaction(
                lambda: migrate(self._target.reader, self._what.migrations), StopSignal()
            )
            note(plan.offsets - left.offsets, before=True)
            if any(span.offsets for span in left.own.values()):
                self._target.drop_checks()
                self._fold_own(left, note)
            retry_transaction(self._give_up_waiting, StopSignal())
            self._target.restore_checks()
            self._consume(left, note)
            self._target.finish()
        return self._target.report()

    def _read(self, spans: Spans) -> Iterator[LogBatch]:
        return batches_of(self._log.read(spans), BATCH)

    # --- what it said -----------------------------------------------------------------------------

    def _fold_own(self, plan: RebuildPlan, note: ProgressNote) -> None:
        stop, at = StopSignal(), {place: span.start for place, span in plan.own.items()}
        cut = {partition for name, partition in plan.cut if name == topic(self._name)}
        for batch in self._read(plan.own):
            retry_transaction(partial(self._fold_batch, batch, cut), stop)
            note(sum(offset - at[place] for place, offset in batch.positions.items()))
            at |= batch.positions

    def _fold_batch(self, batch: LogBatch, cut: set[int]) -> None:
        with self._database.connections.use() as connection:
            with connection.transaction():
                tx = PostgresTransaction(connection, self._database)
                folded = self._own.fold(tx, batch.records, cut)
                self._target.note_events(connection, folded.events)
                if self._target.from_backup:
                    self._target.drop_published(connection, batch.records)
                self._target.note_progress(connection, batch.positions, own=True)
                self._target.note_lost(folded.lost)
            tx.committed()

    def _give_up_waiting(self) -> None:
        """Fold own events that still wait for one before them, which the log does not hold."""
        with self._database.connections.use() as connection:
            while sagas := self._target.sagas_waiting(connection):
                for saga in sagas:
                    with connection.transaction():
                        tx = PostgresTransaction(connection, self._database)
                        folded = self._own.give_up(tx, saga)
                        self._target.note_events(connection, folded.events)
                        self._target.note_lost(folded.lost)
                    tx.committed()

    # --- what it was told -------------------------------------------------------------------------

    def _consume(self, plan: RebuildPlan, note: ProgressNote) -> None:
        stop, name = StopSignal(), self._name
        review = Review(self._target, step_ends(self._what.flows, name), plan.since_ms)
        handler = Handler(
            self._what.participant,
            self._database,
            self._router,
            self._what.codec,
            self._database.clock,
            review=review,
        )
        lost = LostSagas(handler, self._database, self._what.flows, plan, self._target.note_lost)
        progress = _Progress(self._target, plan.consumed, note)
        reader = LogReader(self._read(plan.consumed), stop, progress)
        loop = ConsumerLoop(reader, self._what.codec, lost, self._target.reader, stop)
        loop.assigned(list(plan.consumed))
        loop.run()
        while sagas := self._target.discard_again():
            for saga in sorted(sagas):
                handler.redrive(saga)


class _Progress:
    """Stores progress after the rows: a record that is read again is a repeat to the inbox.

    In the transaction of the rows, the redrive of a gap that was filled could be missed.
    """

    def __init__(self, target: RebuildTarget, spans: Spans, note: ProgressNote) -> None:
        self._target, self._tell = target, note
        self._at = {place: span.start for place, span in spans.items()}

    def __call__(self, positions: Mapping[TopicPartitionKey, int]) -> None:
        with self._target.connections.use() as connection:
            self._target.note_progress(connection, positions, own=False)
        self._tell(sum(offset - self._at[place] for place, offset in positions.items()))
        self._at |= positions
