"""Find what blocks sagas by asking the participants and the broker.

Each participant concerned is asked once about all sagas, and the broker is asked how far each
participant has read. One that does not answer in time is reported as silent.
"""

import threading
import time
from collections import defaultdict
from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass, field
from datetime import datetime

import httpx2
from pydantic import TypeAdapter, ValidationError
from sqlalchemy import Engine

from saga_monitor.saga.blockers import BROKER, Cause, KeptRows, Lag, blocking_cause
from saga_monitor.saga.facts import SOURCE
from saga_monitor.saga.view import ENDED, SagaView, Status
from saga_monitor.storage import queries
from sagakit.flow.model import Flows
from sagakit.flow.routing import topic, topics_of
from sagakit.kafka.inspector import KafkaException, positions  # type: ignore[attr-defined]
from sagakit.shared_secret import bearer_header
from sagakit.urls import redacted

ANSWER_S = 3.0
"""Timeout of a request to a participant or to the broker."""
FRESH_S = 1.0
"""Lifetime of cached positions; participants commit theirs every second."""

Positions = Mapping[tuple[str, int], tuple[int, int]]
"""(topic, partition) -> the offset that a group has committed, and the end offset."""
_ANSWER = TypeAdapter(dict[str, KeptRows])


class GroupPositions:
    """Returns how far participants have read; asks the broker at most once per FRESH_S for each."""

    def __init__(self, bootstrap_servers: str, flows: Flows) -> None:
        self._servers, self._flows = bootstrap_servers, flows
        self._cache: dict[str, tuple[float, Positions]] = {}
        self._locks: dict[str, threading.Lock] = defaultdict(threading.Lock)

    def of_participant(self, participant: str) -> Positions:
        """Return a participant's positions on the topics it reads. Raises KafkaException."""
        with self._locks[participant]:
            at, cached = self._cache.get(participant, (0.0, {}))
            if cached and time.monotonic() - at < FRESH_S:
                return cached
            topics = topics_of(self._flows, participant)
            found = positions(self._servers, participant, topics, ANSWER_S)
            self._cache[participant] = (time.monotonic(), found)
            return found


@dataclass(slots=True)
class Answers:
    """Answers of the participants and the broker.

    kept_rows: saga key -> respondent -> what it keeps of the saga; positions: by participant.
    """

    kept_rows: dict[str, dict[str, KeptRows]] = field(default_factory=lambda: defaultdict(dict))
    positions: dict[str, Positions] = field(default_factory=dict)


class BlockerProbe:
    """Finds what blocks sagas.

    participants: name -> base URL of any of its replicas; token: what it sends them, with the
    scope `read`.
    """

    def __init__(
        self,
        engine: Engine,
        participants: Mapping[str, str],
        flows: Flows,
        positions_of: Callable[[str], Positions],
        token: str | None = None,
    ) -> None:
        self._engine, self._flows, self._positions_of = engine, flows, positions_of
        self._urls = {name: url.rstrip("/") for name, url in participants.items()}
        self._client = httpx2.Client(
            timeout=ANSWER_S, trust_env=False, headers=bearer_header(token)
        )

    def causes(self, views: Sequence[SagaView], now: datetime | None) -> dict[str, Cause]:
        """Return saga key -> what blocks it, for the sagas that have a cause.

        `now`: log time up to which the log is read, if known. Nobody is asked about sagas that
        have ended. Raises SQLAlchemyError.
        """
        found = {v.key: blocking_cause(v, {}, {}, now) for v in views if v.status in ENDED}
        if in_flight := [view for view in views if view.status not in ENDED]:
            found |= self._causes_in_flight(in_flight, now)
        return {saga: cause for saga, cause in found.items() if cause is not None}

    def _causes_in_flight(
        self, in_flight: Sequence[SagaView], now: datetime | None
    ) -> dict[str, Cause | None]:
        answers = self._ask(in_flight)
        with self._engine.connect() as connection:
            for saga, own in queries.own_kept_rows(connection, [v.key for v in in_flight]):
                answers.kept_rows[saga][SOURCE] = own
            causes = [(v.key, item.cause) for v in in_flight for item in v.awaited]
            places = queries.places(connection, causes)
        return {
            view.key: blocking_cause(
                view,
                answers.kept_rows[view.key],
                dict(self._lags(view, places, answers.positions)),
                now,
            )
            for view in in_flight
        }

    def kept_rows(self, saga: str) -> dict[str, KeptRows]:
        """Return what each participant keeps of a saga, ended or not."""
        with ThreadPoolExecutor(max(1, len(self._urls))) as threads:
            futures = {who: threads.submit(self._fetch, who, [saga]) for who in self._urls}
        return {who: _rows_of(future.result(), saga) for who, future in futures.items()}

    def _ask(self, views: Iterable[SagaView]) -> Answers:
        wanted: dict[str, list[str]] = defaultdict(list)
        steps: set[str] = set()
        for view in views:
            steps |= {item.step for item in view.awaited}
            for who in self._concerned(view):
                if who in self._urls:
                    wanted[who].append(view.key)
        answers = Answers()
        with ThreadPoolExecutor(max(1, len(wanted) + len(steps))) as threads:
            fetched = {
                who: threads.submit(self._fetch, who, sagas) for who, sagas in wanted.items()
            }
            positions = {step: threads.submit(self._positions_of, step) for step in steps}
        for who, future in fetched.items():
            rows = future.result()
            for saga in wanted[who]:
                answers.kept_rows[saga][who] = _rows_of(rows, saga)
        for step, positions_future in positions.items():
            try:
                answers.positions[step] = positions_future.result()
            except KafkaException as error:
                for view in views:
                    answers.kept_rows[view.key][BROKER] = KeptRows(silent=str(error))
        return answers

    def _concerned(self, view: SagaView) -> set[str]:
        """Return the participants that may know why a saga makes no progress."""
        if view.status == Status.UNPLACED:
            flow, _ = self._flows.find(view.flow)
            return {flow.owners[flow.start]}
        return {item.step for item in view.awaited}

    def _fetch(self, who: str, sagas: Sequence[str]) -> dict[str, KeptRows]:
        """Return what a participant keeps of these sagas; under "" the reason if it is silent."""
        url = self._urls[who]
        try:
            answer = self._client.post(f"{url}/admin/blockers", json={"sagas": list(sagas)})
            answer.raise_for_status()
            return _ANSWER.validate_json(answer.content)
        except httpx2.HTTPStatusError as error:
            reason = f"{url} answers {error.response.status_code}"
        except httpx2.HTTPError as error:
            reason = f"{url}: {type(error).__name__}: {error}".rstrip(": ")
        except ValidationError as error:
            reason = f"{url} sent an answer of the wrong form: {error.errors()[0]['msg']}"
        return {"": KeptRows(silent=redacted(reason))}

    def _lags(
        self, view: SagaView, places: queries.Places, read: Mapping[str, Positions]
    ) -> Iterator[tuple[str, Lag]]:
        """Yield the steps whose participant has not read the event that made them due.

        An event on a topic that the participant does not read, such as its own, causes no lag.
        read: participant -> its positions.
        """
        flow, _ = self._flows.find(view.flow)
        for item in view.awaited:
            place = places.get((view.key, item.cause))
            if place is None or item.step not in read:
                continue
            event, partition, offset = place
            name = topic(flow.owners[event])
            if (name, partition) in read[item.step]:
                committed, end = read[item.step][name, partition]
                if committed <= offset:
                    yield item.step, Lag(name, partition, end - committed)


def _rows_of(fetched: Mapping[str, KeptRows], saga: str) -> KeptRows:
    return fetched.get(saga, fetched.get("", KeptRows()))
