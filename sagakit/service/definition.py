"""Defines a service's parts, and the `TriggerPort` that submits triggers of webhooks and people."""

import asyncio
from collections.abc import Awaitable, Callable, Mapping, Sequence
from dataclasses import dataclass, field, replace
from datetime import timedelta
from typing import Any, Generic, Protocol, TypeVar
from uuid import UUID

from fastapi import APIRouter
from sqlalchemy import TextClause

from sagakit.decider import Observed, Trigger
from sagakit.effects.worker import Perform
from sagakit.errors import RequestTimedOut
from sagakit.gathering import Gatherer
from sagakit.handling.handler import Disposition
from sagakit.handling.request_batcher import RequestBatcher
from sagakit.handling.waiters import SagaWaiters
from sagakit.messages.envelope import Message, Trace
from sagakit.own_threads import OwnThreads
from sagakit.store.json_rows import driver_sql
from sagakit.store.ports import Participant
from sagakit.store.postgres import IN_FLIGHT, PostgresDatabase
from sagakit.web.ledger_pages import Ledger

S = TypeVar("S")
MOST_READ = 200
"""The most states of one transaction."""
READ_THREADS = 1
"""The gatherer reads one batch of states at a time."""
ANSWER_S = 10.0
"""How long the request of a webhook or a person waits for its trigger to be handled."""


NOTED_FOR = timedelta(days=90)
"""How long a webhook of a saga that never came to be known stays noted."""
EARLY = driver_sql("""
    WITH old AS (DELETE FROM early_webhook WHERE first_at < now() - :kept)
    INSERT INTO early_webhook (id, saga) VALUES (:id, :saga)
    ON CONFLICT (id) DO UPDATE SET deliveries = early_webhook.deliveries + 1
    RETURNING clock_timestamp() - first_at
""")


@dataclass(frozen=True, slots=True)
class Receipt(Generic[S]):
    """Reports a handled trigger.

    `events`: own events decided. `state`: after them. `repeat`: this message id came before.
    """

    events: tuple[Any, ...]
    state: S
    repeat: bool


class TriggerPort(Protocol[S]):
    """Submits triggers of webhooks and people to the handler that takes bus events.

    `key`: the saga key, see `sagakit.identity`.
    """

    async def submit(
        self, key: str, trigger: Trigger, message_id: UUID, *, flow: str | None = None
    ) -> Receipt[S]:
        """Handle a trigger in a transaction as bus events are, and return its receipt.

        Raises what `decide` raised; then nothing has been written. Raises RequestTimedOut if the
        result is not known in time.
        """
        ...

    async def state(self, key: str) -> S:
        """Return the committed state of a saga, with its effects in flight."""
        ...

    async def watch(self, key: str, until: Callable[[S], bool], timeout_s: float) -> S:
        """Return the state once `until` holds, or the current one at the timeout.

        Raises TooManyWaiting.
        """
        ...

    async def early_for(self, key: str, message_id: UUID) -> timedelta:
        """Note a report that comes too early, and return since when it is delivered."""
        ...


@dataclass(frozen=True)
class Service(Generic[S]):
    """Describes a participant with its connections to the outside world.

    `books`, `ledgers`: see `web.ledger_pages`.
    """

    participant: Participant[S]
    perform: Mapping[str, Perform] = field(default_factory=dict)
    routes: Callable[[TriggerPort[S]], APIRouter] | None = None
    close: Callable[[], Awaitable[None]] | None = None
    books: Mapping[str, TextClause] = field(default_factory=dict)
    ledgers: Mapping[str, Ledger] = field(default_factory=dict)


class TriggerSubmitter(Generic[S]):
    """Implements `TriggerPort` with the process's database and inlet."""

    def __init__(
        self,
        participant: Participant[S],
        database: PostgresDatabase[S],
        batcher: RequestBatcher[S],
        waiters: SagaWaiters,
    ) -> None:
        self._participant, self._database, self._batcher = participant, database, batcher
        self._waiters, self._reading = waiters, OwnThreads("states", READ_THREADS)
        self.state = Gatherer(self._states, MOST_READ)
        """See `TriggerPort`. What is asked for at once is read together."""

    async def submit(
        self, key: str, trigger: Trigger, message_id: UUID, *, flow: str | None = None
    ) -> Receipt[S]:
        """See `TriggerPort`."""
        message = Message(message_id, key, trace=Trace(flow), trigger=trigger)
        try:
            async with asyncio.timeout(ANSWER_S):
                handled = await self._batcher.submit(message)
        except TimeoutError as error:
            raise RequestTimedOut(
                f"not handled within {ANSWER_S:g} s, the database does not take it now; it may be "
                "handled yet: send the same again"
            ) from error
        state = handled.state if handled.state is not None else await self.state(key)
        return Receipt(handled.events, state, handled.disposition is Disposition.REPEAT)

    async def _states(self, keys: Sequence[str]) -> list[S]:
        return await self._reading.run(self._read, keys)

    async def early_for(self, key: str, message_id: UUID) -> timedelta:
        """See `TriggerPort`."""
        return await self._reading.run(self._note_early, key, message_id)

    def _note_early(self, key: str, message_id: UUID) -> timedelta:
        with self._database.connections.use() as connection:
            named = {"id": message_id, "saga": key, "kept": NOTED_FOR}
            row = connection.execute(EARLY, named).fetchone()
        assert row is not None
        since: timedelta = row[0]
        return since

    def _read(self, keys: Sequence[str]) -> list[S]:
        with self._database.connections.use() as connection:
            wanted = {key: [Observed("read", None)] for key in keys}
            working = self._participant.store.load(connection, wanted)
            rows = connection.execute(IN_FLIGHT, {"keys": list(wanted)})
            flying = {key: frozenset(calls) for key, calls in rows}
            return [
                replace(working.get(key), in_flight=flying.get(key, frozenset()))  # type: ignore[type-var]
                for key in keys
            ]

    async def watch(self, key: str, until: Callable[[S], bool], timeout_s: float) -> S:
        """See `TriggerPort`."""
        loop = asyncio.get_running_loop()
        deadline = loop.time() + timeout_s
        state = await self.state(key)
        if until(state):
            return state
        with self._waiters.wait_for(key) as waiting:
            state = await self.state(key)  # it may have changed before this request was waiting
            while not until(state) and (left := deadline - loop.time()) > 0:
                await waiting.change(left)
                state = await self.state(key)
        return state
