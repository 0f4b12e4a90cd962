"""Read sagas for people and programs: views, blockers, evidence."""

from collections.abc import Callable
from dataclasses import asdict, dataclass
from datetime import datetime
from typing import Any

from sqlalchemy import Connection, Engine

from saga_monitor.ingest.projection import Projection
from saga_monitor.ingest.watermark import EVERY_PARTITION, Watermark
from saga_monitor.operations.blocker_probe import BlockerProbe
from saga_monitor.saga.blockers import Cause, CauseKind, KeptRows
from saga_monitor.saga.commands import CommandRefused
from saga_monitor.saga.evidence import bundle
from saga_monitor.saga.facts import SOURCE, Saga, event_key
from saga_monitor.saga.time_travel import Basis, MomentToCome, NotKnownThen, Point, saga_at
from saga_monitor.saga.times import read_time
from saga_monitor.saga.view import SagaView
from saga_monitor.storage import lineage, queries, store
from sagakit.errors import UnknownFlow, UnprocessableRecord
from sagakit.identity import is_plain


@dataclass(frozen=True, slots=True)
class DescribedSaga:
    """Holds a saga and its view, and in `body` all that is shown of it."""

    saga: Saga
    view: SagaView
    body: dict[str, Any]


class SagaReader:
    """Loads sagas from the monitor's tables. `probe` finds what blocks them."""

    def __init__(
        self,
        engine: Engine,
        projection: Projection,
        watermark: Callable[[], Watermark],
        probe: BlockerProbe,
    ) -> None:
        self.engine = engine
        self.projection = projection
        self._watermark = watermark
        self._probe = probe

    def log_time(self) -> datetime | None:
        """Return the log time up to which every partition is read; None: cannot tell."""
        return self._watermark().of_partition(EVERY_PARTITION)

    def load(
        self,
        connection: Connection,
        key: str,
        *,
        lock: bool = False,
        allow_unknown: bool = False,
    ) -> tuple[Saga, SagaView]:
        """Return a saga and its view. Raises CommandRefused and UnreadableState.

        lock: lock it until the end of the transaction, to emit an event about it. That moves it
        back from the history tables, as reading the event would do.
        allow_unknown: return an empty saga for a saga without events.
        """
        find = _find_locked if lock else queries.find
        saga = find(connection, key) or Saga(key)
        if not saga.facts and not allow_unknown:
            detail = f"no event of saga {key!r} was read yet; check the id, or try again"
            raise CommandRefused(404, "unknown saga", detail)
        return saga, self._view(saga)

    def _view(self, saga: Saga) -> SagaView:
        try:
            return self.projection.view(saga)
        except UnknownFlow as error:
            raise CommandRefused(409, "unknown flow", f"saga {saga.key}: {error}") from error

    def load_at(
        self, connection: Connection, key: str, written: str, basis: Basis
    ) -> tuple[Saga, SagaView, Point]:
        """Return a saga and its view as of a time that a person wrote, and what that time is.

        Raises CommandRefused.
        """
        try:
            at = read_time(written)
        except ValueError as error:
            raise CommandRefused(422, "not a time", f"at: {error}") from error
        known, _ = self.load(connection, key)
        timeline = queries.timeline(connection, key)
        read_at = {event_key(row["event_id"], row["type"]): row["read_at"] for row in timeline}
        now = queries.present_time(connection)
        log_time = self.log_time()
        try:
            saga, point = saga_at(known, at, basis, read_at, now=now, read_through=log_time)
        except MomentToCome as error:
            raise CommandRefused(422, "in the future", f"at: {error}") from error
        except NotKnownThen as error:
            raise CommandRefused(404, "not known then", str(error)) from error
        return saga, self._view(saga), point

    def describe(self, key: str) -> DescribedSaga:
        """Return a saga as it is, with all that is shown of it. Raises CommandRefused."""
        with self.engine.connect() as connection:
            saga, view = self.load(connection, key)
            body = _body(connection, saga, view, self.log_time())
        return DescribedSaga(
            saga, view, {**body, "blocked_by": self.blocking_causes(view).get(key)}
        )

    def describe_at(self, key: str, at: str, basis: Basis) -> DescribedSaga:
        """Return a saga as it was, with all that is shown of it. Raises CommandRefused."""
        with self.engine.connect() as connection:
            saga, view, point = self.load_at(connection, key, at, basis)
            body = _body(connection, saga, view, self.log_time(), point)
        return DescribedSaga(saga, view, {**body, "blocked_by": None, "point": point})

    def blocking_causes(self, *views: SagaView) -> dict[str, Cause]:
        """Return saga key -> what blocks it, for sagas in flight or with an open intervention."""
        return self._probe.causes(views, self.log_time())

    def blocked_sagas(self, stuck: bool, limit: int) -> list[dict[str, Any]]:
        """Return sagas in flight or with an open intervention, each with what blocks it.

        The most overdue are first.
        """
        with self.engine.connect() as connection:
            found = queries.blocked(connection, stuck, self.log_time(), limit)
        views, unknown = [], {}
        for row, stored in found:
            try:
                views.append(self.projection.view(stored.load()))
            except UnprocessableRecord as error:  # its flow is unknown, or its row unreadable
                unknown[row["saga"]] = Cause(CauseKind.MONITOR, SOURCE, str(error))
        causes = {**self.blocking_causes(*views), **unknown}
        return [{**row, "blocked_by": causes.get(row["saga"])} for row, _ in found]

    def evidence(self, key: str) -> dict[str, Any]:
        """Return all that is known of a saga (see `saga.evidence`). Raises CommandRefused."""
        with self.engine.connect() as connection:
            saga, view = self.load(connection, key)
            timeline = queries.timeline(connection, key)
            own_rows = queries.own_kept_rows(connection, [key])
            _, own = next(own_rows, (key, KeptRows()))
        places = {
            event_key(row["event_id"], row["type"]): (row["partition"], row["offset"])
            for row in timeline
        }
        flow, _ = self.projection.flows.find(view.flow)
        return {
            **bundle(saga, view, flow, places),
            "read_through": self.log_time(),
            "blocked_by": self.blocking_causes(view).get(key),
            "kept_rows": {SOURCE: own, **self._probe.kept_rows(key)},
        }


def _body(
    connection: Connection,
    saga: Saga,
    view: SagaView,
    log_time: datetime | None,
    point: Point | None = None,
) -> dict[str, Any]:
    timeline = queries.timeline(connection, saga.key)
    rows = {event_key(row["event_id"], row["type"]): row for row in timeline}
    types = {fact.id: fact.type for fact in saga.timeline()}
    shown = asdict(view)
    when = {point.basis.column: point.at} if point else {}
    return {
        "saga": shown.pop("key"),
        "id": saga.id,
        **shown,
        "open_interventions": view.open_interventions,
        "next_deadline": view.due,
        "read_through": log_time,
        "timeline": [
            {**row, "caused_by": types.get(row["causation"])}
            for fact in saga.timeline()
            if (row := rows.get(fact.key))
        ],
        "links": lineage.of_saga(connection, saga.key, **when),
        "history": queries.is_history(connection, saga.key),
    }


def _find_locked(connection: Connection, key: str) -> Saga | None:
    if not is_plain(key):
        return None
    stored, *_ = store.lock(connection, {key: EVERY_PARTITION})[key]
    return stored.load()
