"""Source, fold, target: reads spans of the log and folds them into a shadow.

The unit of work is one partition number on all topics: all events of a saga are there, as topics
are co-partitioned. Were they not, the rows' locks would still keep the sagas whole.
"""

from collections import defaultdict
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field
from functools import cache, partial

from sqlalchemy import Engine

from saga_monitor.ingest.projection import BatchCounts, Projection
from saga_monitor.replay.source import (
    in_batches,
    live_log,
    selection,
    skipping,
)
from saga_monitor.replay.target import Shadow
from saga_monitor.saga.other_deadlines import shortened
from sagakit.archive.log_archive import LogArchive, ReadSpans, archived_log, existing_archive
from sagakit.contract.loader import load_contract
from sagakit.contract.model import Contract
from sagakit.kafka.log_spans import OffsetSpan, Spans
from sagakit.messages.codec import Codec
from sagakit.messages.envelope import Record, TopicPartitionKey
from sagakit.retry import retry_transaction
from sagakit.stop_signal import StopSignal
from sagakit.store.postgres import engine_for
from sagakit.store.skipped_records import skips_in

Choose = Callable[[Sequence[Record]], list[Record]]


@dataclass(frozen=True, slots=True)
class MonitorAccess:
    """Says where the monitor's log and database are, and what its events and flows are.

    contracts: packages; deadlines: other than the flow files', by step; archive: path or URL of the
    folder that has what the topics no longer hold.
    """

    bootstrap_servers: str
    database_url: str
    contracts: tuple[str, ...]
    schema_registry_url: str | None = None
    deadlines: Mapping[str, str] = field(default_factory=dict)
    archive: str | None = None

    def log_archive(self) -> LogArchive | None:
        """Return the archive, None if none is named. Raises ArchiveRefused, ConfigurationError."""
        return existing_archive(self.archive) if self.archive else None

    def source(self) -> ReadSpans:
        """Return the live log, after what the archive has. Raises as `log_archive` does."""
        live, archive = live_log(self.bootstrap_servers), self.log_archive()
        return archived_log(archive, live) if archive else live

    def codec(self) -> Codec:
        """Return a codec that decodes; it registers nothing."""
        contract = _loaded(self.contracts)
        if not self.schema_registry_url:
            return Codec(contract)
        from sagakit.messages.schema_registry import ConfluentRegistry  # its client takes 20 MB

        return Codec(contract, ConfluentRegistry(self.schema_registry_url))

    def projection(self, engine: Engine, codec: Codec) -> Projection:
        """Return the fold of the live monitor, with this engine as its target."""
        flows = _loaded(self.contracts).flows
        return Projection(engine, codec, shortened(flows, self.deadlines))


@cache
def _loaded(packages: tuple[str, ...]) -> Contract:
    """Load the contracts once a process, however many partition numbers it folds."""
    return load_contract(*packages)


@dataclass(frozen=True, slots=True)
class FoldCounts:
    """Counts what transactions have brought: records, bytes of these, offsets that were passed."""

    records: int = 0
    events: int = 0
    unreadable: int = 0
    bytes: int = 0
    offsets: int = 0

    def __add__(self, other: "FoldCounts") -> "FoldCounts":
        return FoldCounts(
            self.records + other.records,
            self.events + other.events,
            self.unreadable + other.unreadable,
            self.bytes + other.bytes,
            self.offsets + other.offsets,
        )


def by_partition(spans: Spans) -> dict[int, Spans]:
    """Return the units of work: partition number -> its spans on all topics."""
    units: dict[int, dict[TopicPartitionKey, OffsetSpan]] = defaultdict(dict)
    for place, span in spans.items():
        units[place[1]][place] = span
    return {number: units[number] for number in sorted(units)}


class Replay:
    """Folds units of work into a shadow, in this process.

    saga, flow: fold only the events of these, see `source.selection`.
    """

    def __init__(
        self,
        access: MonitorAccess,
        shadow: Shadow,
        *,
        saga: str | None = None,
        flow: str | None = None,
        source: ReadSpans | None = None,
    ) -> None:
        self._access, self._shadow = access, shadow
        self._codec = access.codec()
        self._source = source or access.source()
        self._chosen = selection(self._codec, saga, flow)
        live = engine_for(access.database_url)
        try:
            self._emptied = skipping(skips_in(live)())
        finally:
            live.dispose()

    def run_unit(self, number: int, note: Callable[[FoldCounts], None]) -> None:
        """Read what is left of one partition number; `note` is called after each transaction."""
        engine = self._shadow.engine(number)
        stop = StopSignal()
        try:
            projection = self._access.projection(engine, self._codec)
            with engine.connect():  # takes the lock, before progress is looked at
                spans = by_partition(self._shadow.remaining()).get(number, {})
            at = {place: span.start for place, span in spans.items()}
            for batch in in_batches(self._source, spans):
                chosen = self._emptied(self._chosen(batch.records))
                apply = partial(projection.apply, chosen, batch.positions)
                counts = retry_transaction(apply, stop)
                passed = sum(offset - at[place] for place, offset in batch.positions.items())
                at |= batch.positions
                note(_step(batch.records, counts, passed))
        finally:
            engine.dispose()


def _step(records: Sequence[Record], counts: BatchCounts, offsets: int) -> FoldCounts:
    read = sum(len(r.value or b"") + len(r.key or b"") for r in records)
    return FoldCounts(len(records), counts.events, counts.unreadable, read, offsets)
