"""Wires the parts of a service's process into the loops of one lifecycle.

Threads: consumer loop, relay and automatic redrive. Event loop: HTTP, effects and requests. A stop
first ends what brings work (consumer, HTTP, effects), then requests, then the relay, which
publishes what is left. A part that dies ends the process; its supervisor starts it again, and
nothing is lost.
"""

import asyncio
import contextlib
import math
import random
from collections.abc import Callable, Iterator, Mapping, Sequence
from functools import partial
from typing import Any, Generic, TypeVar
from uuid import uuid4

import structlog
from fastapi import FastAPI
from sqlalchemy import Engine, text

from sagakit.bounded_call import BoundedCall
from sagakit.contract.loader import load_contract
from sagakit.contract.model import Contract
from sagakit.effects.worker import EffectWorker, perform_plain
from sagakit.errors import TopicRecreated
from sagakit.flow.routing import Router, topic, topics_of
from sagakit.handling.auto_redrive import AutoRedrive
from sagakit.handling.consumer_loop import ConsumerLoop
from sagakit.handling.handler import Disposition, Handler, HandlingResult, MessageHandler
from sagakit.handling.request_batcher import RequestBatcher
from sagakit.handling.waiters import SagaWaiters, WakingHandler
from sagakit.kafka.consumer import SESSION_S, BusConsumer
from sagakit.kafka.publisher import Publisher
from sagakit.kafka.topic_guard import HELP
from sagakit.messages.codec import Codec
from sagakit.messages.envelope import Message, Record
from sagakit.messages.registry_guard import HELP as REGISTRY_FAULTS
from sagakit.messages.registry_guard import RegistryGuard
from sagakit.messages.trace_ids import log_fields
from sagakit.outbox.already_published import find_published
from sagakit.outbox.relay import OutboxPublisher, Relay
from sagakit.recovery.backup_guard import BackupGuard
from sagakit.retry import WAITS, retry_transaction
from sagakit.service.cluster_guard import ClusterGuard
from sagakit.service.definition import Service, TriggerSubmitter
from sagakit.service.lifecycle import Lifecycle, Loop, StartStep, in_thread
from sagakit.service.settings import ServiceSettings
from sagakit.stop_signal import StopSignal
from sagakit.store.database_clock import DatabaseClock
from sagakit.store.pooler import refuse_transaction_pooler
from sagakit.store.postgres import PostgresDatabase, engine_for
from sagakit.store.skipped_records import skips_in
from sagakit.telemetry import metrics, tracing
from sagakit.telemetry.spans import TracedCalls, TracedHandler, TracedPublisher
from sagakit.web import ledger_pages
from sagakit.web.admin import admin
from sagakit.web.app import Health, make_app
from sagakit.web.identity.audit import RefusalAudit
from sagakit.web.server import HttpServer

S = TypeVar("S")
ANSWER_S = 2.0
"""How long a probe waits for the database, in seconds."""
STANDS_S = 30.0
"""A consumer whose transaction takes longer makes its process not ready, in seconds."""
WRITABLE = text("""
    SELECT current_setting('transaction_read_only') = 'on', string_agg(name, ', ')
      FILTER (WHERE NOT has_table_privilege(to_regclass(name), 'INSERT'))
    FROM unnest(ARRAY['inbox', 'outbox', 'effects']) AS name
""")
log = structlog.get_logger(__name__)


def codec_for(settings: ServiceSettings, contract: Contract, owner: str) -> Codec:
    """Create the codec of an owner of events, with the schema registry if one is configured."""
    url = settings.schema_registry_url
    if not url:
        return Codec(contract)
    from sagakit.messages.schema_registry import ConfluentRegistry  # its client takes 20 MB

    return Codec(contract, metrics.MeasuredRegistry(ConfluentRegistry(url, owner), owner))


def session_rest_s(error: BaseException) -> float:
    """Return how long to wait after TopicRecreated: until the consumer's session has expired.

    Rejoining sooner returns the old assignment, which may date from when the topic did not exist.
    """
    return SESSION_S + 2 if isinstance(error, TopicRecreated) else 0.0


def thread_loop(
    name: str,
    run: Callable[[StopSignal], Any],
    stop: StopSignal | None = None,
    wake: Callable[[], None] = lambda: None,
    ready_s: float = math.inf,
) -> Loop:
    """Describe a loop that runs in a thread of its own."""
    stop = stop or StopSignal()
    return Loop(name, lambda: in_thread(name, lambda: run(stop)), stop, wake=wake, ready_s=ready_s)


def http_loop(settings: ServiceSettings, app: Callable[[], FastAPI]) -> Loop:
    """Describe the loop that serves HTTP, from before the steps of the start."""
    server = HttpServer(settings.http_host, settings.http_port)
    return Loop(
        "http",
        lambda: server.run(app()),
        bound_s=None,  # if the event loop stands, nobody answers
        wake=server.end,
        early=True,
    )


class DatabaseCheck:
    """Tells what is wrong with the database of a process; used for readiness."""

    def __init__(self, engine: Engine) -> None:
        self._engine = engine
        self._ask = BoundedCall("database check", self._find, ANSWER_S)

    def __call__(self) -> str | None:
        """Return None if the database answers and takes writes, else the problem."""
        try:
            return self._ask()
        except TimeoutError:
            return f"the database does not answer within {ANSWER_S:g} s"
        except Exception as error:
            return f"the database does not answer: {error}"

    def _find(self) -> str | None:
        with self._engine.connect() as connection:
            read_only, missing = connection.execute(WRITABLE).one()
        if read_only:
            self._engine.dispose()  # new connections may find the primary
            return "the database is read-only; a failover may be under way"
        if missing:
            return f"the database grants no right to write {missing}; grant it"
        return None


def checks_of(engine: Engine) -> dict[str, Callable[[], str | None]]:
    """Return the checks of readiness that every process has."""
    return {"database": DatabaseCheck(engine), "transactions": WAITS.problem}


def own_sessions(engine: Engine) -> StartStep:
    """Describe the step that refuses a pooler in transaction mode."""

    def check(stop: StopSignal) -> None:
        retry_transaction(lambda: refuse_transaction_pooler(engine), stop)

    return StartStep("connections are compared", check)


def process_gauges(lifecycle: Lifecycle) -> metrics.GaugeReadings:
    """Return what a process knows of itself, also while its database is away."""

    def read() -> Iterator[tuple[str, Mapping[str, str], float]]:
        yield "saga_wait_s", {}, WAITS.longest()[0]
        for loop, age_s in lifecycle.ages().items():
            yield "saga_loop_age_s", {"loop": loop}, age_s

    return metrics.GaugeReadings(metrics.PROCESS_HELP, read)


class ParkingLog(Generic[S]):
    """Wraps a handler, and logs parked records."""

    def __init__(self, handler: MessageHandler[S]) -> None:
        self._handler = handler

    def handle(self, messages: Sequence[Message]) -> list[HandlingResult[S]]:
        """See `handler.Handler.handle`."""
        fates = self._handler.handle(messages)
        for parked in (f.message for f in fates if f.disposition is Disposition.PARKED):
            log.warning("a record is parked", **log_fields(parked.key, parked.id))
        return fates


class ServiceProcess(Generic[S]):
    """Wires and runs one replica of a service.

    Raises ContractError or FlowError for the contract that its settings name.
    """

    def __init__(self, service: Service[S], settings: ServiceSettings) -> None:
        participant = service.participant
        contract = load_contract(*settings.contracts)
        (flows := contract.flows).check_participant(participant.name)
        self.service, self.settings = service, settings
        self._consuming, self._requesting, self._performing = (StopSignal() for _ in range(3))
        self.engine = engine_for(settings.database_url)
        self.clock = DatabaseClock(self.engine, settings.now)
        self.database = PostgresDatabase(self.engine, participant.store, self.clock)
        codec = codec_for(settings, contract, participant.name)
        self.registry = RegistryGuard(codec, participant.name)
        self.tracer = tracing.tracer(participant.name, settings.instance_id)
        self.relay = self._relay()
        self.handler = Handler(
            participant,
            self.database,
            Router(flows, participant.name),
            codec,
            settings.now,
            lease=lambda row: self.worker.lease(row),
            added=lambda rows: self.worker.added(rows),
        )
        measured: MessageHandler[S] = ParkingLog(self.handler)
        measured = metrics.MeasuredHandler(measured, participant.name, settings.now)
        if self.tracer:
            starts = frozenset(f.start for f in flows if f.owners[f.start] == participant.name)
            measured = TracedHandler(measured, self.tracer.tell, participant.name, starts)
        self.waiters = SagaWaiters()
        measured = WakingHandler(measured, self.waiters)
        self.batcher = RequestBatcher(measured, self._requesting)
        calls = TracedCalls(self.tracer.tell, participant.name) if self.tracer else perform_plain
        self.worker = EffectWorker(
            self.database,
            self.batcher,
            service.perform,
            self.clock,
            self._performing,
            token=uuid4(),
            rng=random.Random(),
            wrapper=metrics.MeasuredCalls(participant.name, calls),
        )
        topics = topics_of(flows, participant.name)
        self.bus, self.cluster = self._consumer(topics)
        self.rows = BackupGuard(
            settings.bootstrap_servers, participant.name, topics, codec, self.engine
        )
        redrive, self.refusals = self.handler.redrive, RefusalAudit(self.engine)
        self.auto_redrive = AutoRedrive(self.engine, codec, self.handler.router, redrive)
        self.loop = ConsumerLoop(
            self.bus,
            codec,
            measured,
            self.engine,
            self._consuming,
            urgent=self._urgent,
            ignored=metrics.count_foreign(participant.name),
        )
        metrics.register(metrics.TableGauges(self.engine, participant.name))
        metrics.register(metrics.GaugeReadings(HELP, self.cluster.topics.read))
        metrics.register(metrics.GaugeReadings(REGISTRY_FAULTS, self.registry.read))

    def _consumer(self, topics: Sequence[str]) -> tuple[BusConsumer, ClusterGuard]:
        settings, name = self.settings, self.service.participant.name
        bus = BusConsumer(
            settings.bootstrap_servers,
            name,
            settings.instance_id,
            topics,
            lambda partitions: self.loop.assigned(partitions),
            metrics.count_lost(name),
            skipped=partial(retry_transaction, skips_in(self.engine), self._consuming.event),
            static=settings.static_membership,
        )
        watched = {*topics, topic(name)}
        return bus, ClusterGuard(settings, name, name, watched, self.engine, bus.join_as)

    def _relay(self) -> Relay:
        settings, name = self.settings, self.service.participant.name
        publisher: OutboxPublisher = Publisher(settings.bootstrap_servers, settings.instance_id)
        publisher = metrics.MeasuredPublisher(publisher, name, settings.now)
        if self.tracer:
            publisher = TracedPublisher(publisher, self.tracer.tell, name)
        return Relay(
            self.engine,
            publisher,
            settings.now,
            commits=self.database.commits,
            find_published=partial(find_published, settings.bootstrap_servers),
        )

    def app(self, health: Health) -> FastAPI:
        """Build the HTTP app."""
        name = self.service.participant.name
        kept = ledger_pages.routes(self.engine, self.service.books, self.service.ledgers)
        routers = [admin(self.engine, self.handler.redrive), kept]
        if self.service.routes:
            submitter = TriggerSubmitter(
                self.service.participant, self.database, self.batcher, self.waiters
            )
            routers.append(self.service.routes(submitter))
        checks = {**checks_of(self.engine), "topics": self.bus.problem}
        return make_app(
            name,
            checks,
            *routers,
            health=health,
            access=self.settings.access,
            authenticator=self.settings.authenticator(self.settings.now),
            refusals=self.refusals,
        )

    def _urgent(self, record: Record) -> bool:
        """Tell from a record's headers whether it may give this participant work."""
        headers = dict(record.headers)
        label, event = (headers.get(name, b"").decode("latin-1") for name in ("flow", "ce_type"))
        return self.handler.router.listens(label or None, event or None)

    def lifecycle(self, migrated: StartStep) -> Lifecycle:
        """Return the lifecycle of this process; `migrated` waits for the migrations."""
        requests = Loop("requests", self.batcher.run, self._requesting, early=True)
        lifecycle = Lifecycle(
            [
                [thread_loop("relay", self.relay.run, wake=self.relay.wake)],
                [requests],
                [
                    http_loop(self.settings, lambda: self.app(lifecycle)),
                    Loop("effects", self._perform, self._performing, wake=self.worker.wake),
                    thread_loop("redrive", self.auto_redrive.run),
                    thread_loop("clock", self.clock.run),
                    thread_loop("refusals", self.refusals.run),
                    thread_loop("cluster", self.cluster.run),
                    thread_loop("registry", self.registry.run),
                    thread_loop("consumer", self._consume, self._consuming, ready_s=STANDS_S),
                ],
            ],
            drain_s=self.settings.drain_s,
            steps=[
                migrated,
                own_sessions(self.engine),
                StartStep("the clock is compared with the database's", self.clock.compare_at_start),
                self.cluster.step(),
                StartStep("rows are compared with what was read", self.rows.refuse),
            ],
            close=[self._close],
            rest_s=session_rest_s,
        )
        metrics.register(process_gauges(lifecycle))
        return lifecycle

    async def _perform(self) -> None:
        """Perform effects until the stop, then finish those in hand."""
        await self.worker.run()
        await self.worker.drain(self.settings.drain_s)

    def _consume(self, stop: StopSignal) -> None:
        self.rows.refuse_before_reading(stop)
        try:
            self.loop.run()
        finally:
            with contextlib.suppress(RuntimeError):
                self.bus.close()

    async def _close(self) -> None:
        if self.service.close:
            await self.service.close()
        if self.tracer:
            await asyncio.to_thread(self.tracer.close)
