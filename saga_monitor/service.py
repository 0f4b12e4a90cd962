"""Wire the parts of the monitor's process into the loops of one lifecycle.

Event loop: Faust and HTTP. Threads: the relay, the watch, the history, and the projection's
transactions. The monitor is passive: sagas complete without it. If one part dies the process
exits; restarted, it continues where it stopped.
"""

import asyncio
import logging
from datetime import timedelta
from functools import partial
from pathlib import Path

import structlog
from fastapi import FastAPI
from pydantic import Field
from sqlalchemy import Engine

from saga_monitor import GROUP
from saga_monitor.api.routes import routers
from saga_monitor.ingest.faust_stream import StreamReader
from saga_monitor.ingest.projection import Projection
from saga_monitor.ingest.unknown_records import UnknownRecords
from saga_monitor.ingest.watermark import CLOCK_TOPIC
from saga_monitor.metrics import HELP, Meter, Position
from saga_monitor.operations.backtest import Backtester
from saga_monitor.operations.blocker_probe import BlockerProbe, GroupPositions
from saga_monitor.operations.case_watch import CaseWatch
from saga_monitor.operations.commands import CommandHandler
from saga_monitor.operations.participants import ParticipantReader
from saga_monitor.operations.reads import SagaReader
from saga_monitor.reconciliation.rules_reference import load_rules
from saga_monitor.reconciliation.run import HELP as FINDINGS
from saga_monitor.reconciliation.run import Reconciler
from saga_monitor.reconciliation.sources import BookReader
from saga_monitor.saga.facts import SOURCE
from saga_monitor.saga.flow_versions import refuse_orphans
from saga_monitor.saga.other_deadlines import shortened
from saga_monitor.storage import queries
from saga_monitor.storage.archiver import Archiver
from saga_monitor.supervision.deadline_watch import DeadlineWatch
from saga_monitor.supervision.emitter import Emitter
from saga_monitor.web.people import People
from saga_monitor.web.problem_pages import ProblemPages
from saga_monitor.web.routes import ui_routers
from saga_monitor.web.site import SiteOperations, Website
from sagakit.contract.loader import load_contract
from sagakit.flow.platform_events import PLATFORM
from sagakit.flow.toml_values import MAX_DURATION_S
from sagakit.kafka.client import KafkaException
from sagakit.kafka.inspector import LogEnds
from sagakit.kafka.publisher import Publisher
from sagakit.kafka.topic_guard import HELP as TOPIC_FAULTS
from sagakit.messages.registry_guard import HELP as REGISTRY_FAULTS
from sagakit.messages.registry_guard import RegistryGuard
from sagakit.messages.trace_ids import span_of
from sagakit.outbox.already_published import find_published
from sagakit.outbox.relay import OutboxPublisher, Relay
from sagakit.retry import retry_transaction
from sagakit.service.cluster_guard import ClusterGuard
from sagakit.service.lifecycle import Lifecycle, Loop, StartStep
from sagakit.service.process import (
    STANDS_S,
    checks_of,
    codec_for,
    http_loop,
    own_sessions,
    process_gauges,
    session_rest_s,
    thread_loop,
)
from sagakit.service.program import Program
from sagakit.service.settings import KAFKA_NAME, ServiceSettings, TextsByName, UrlsByName
from sagakit.stop_signal import StopSignal
from sagakit.store.postgres import engine_for
from sagakit.telemetry import metrics, tracing
from sagakit.telemetry.spans import TracedPublisher
from sagakit.web.app import Health, make_app
from sagakit.web.identity.audit import RefusalAudit

log = structlog.get_logger(__name__)
MIGRATIONS = Path(__file__).parent / "storage" / "migrations"


class MonitorSettings(ServiceSettings):
    """Adds the monitor's own settings to those of every service."""

    deadlines: TextsByName = Field(
        default_factory=dict,
        description='Deadlines other than the flow files\', as JSON: {"dispatch": "20s"}',
    )
    participants: UrlsByName = Field(
        default_factory=dict,
        description='Base URLs of the participants, as JSON: {"dispatch": "http://dispatch:8080"}',
    )
    history_after_s: float = Field(
        default=30 * 86400.0,
        ge=0,
        le=MAX_DURATION_S,
        description="When finished sagas are moved to the history: this long after their last "
        "event, in log time",
    )
    reconciliation: str = Field(
        default="",
        description="The rules by which ledgers and books are compared, as module:ATTRIBUTE; "
        "without them nothing is reconciled",
    )
    group: str = Field(
        default=GROUP, pattern=KAFKA_NAME, description="Consumer group; one per monitor database"
    )


class Monitor:
    """One replica of the monitor, for the contracts that its settings name.

    Raises ConfigurationError for a deadline that no flow has, ContractError or FlowError for a
    contract.
    """

    def __init__(self, settings: MonitorSettings) -> None:
        self.settings, self._streaming = settings, StopSignal()
        contract = load_contract(*settings.contracts)
        flows = shortened(contract.flows, settings.deadlines)
        servers = settings.bootstrap_servers
        codec = codec_for(settings, contract, PLATFORM)
        self.registry = RegistryGuard(codec, "monitor")
        self.engine: Engine = engine_for(settings.database_url)
        self.meter = Meter(self.engine, lambda: self.position, settings.now)
        ignored = metrics.count_foreign("monitor")
        self.projection = Projection(self.engine, codec, flows, self.meter.count_commit, ignored)
        self._broker, self._topics = broker, topics = LogEnds(servers), contract.topics
        self._ticks = Publisher(servers, f"{settings.instance_id}-clock")
        self.reader = StreamReader(
            settings,
            topics,
            self.engine,
            self.projection,
            broker,
            self._streaming,
            group=settings.group,
        )
        self.cluster = self._cluster_guard()
        self.tracer = tracing.tracer("monitor", settings.instance_id)
        self.relay = self._relay()
        emitter = Emitter(codec)
        self.watch = DeadlineWatch(
            self.engine,
            self.projection,
            emitter,
            clock=self._ticks,
            inspector=broker,
            topics=topics,
            wake=self.relay.wake,
            started_partitions=lambda: self.reader.started_partitions,
            clocks=self.reader.clocks,
        )
        self.refusals = RefusalAudit(self.engine)
        peers, token = settings.participants, settings.token_to_send
        self._positions = GroupPositions(servers, flows).of_participant
        self.sagas = SagaReader(
            self.engine,
            self.projection,
            lambda: self.watch.watermark,
            BlockerProbe(self.engine, peers, flows, self._positions, token),
        )
        self.backtester = Backtester(self.sagas, contract)
        self.commands = CommandHandler(self.sagas, emitter, self.relay.wake, settings.now)
        self.archiver = Archiver(
            self.engine, self.sagas.log_time, timedelta(seconds=settings.history_after_s)
        )
        self.cases = CaseWatch(self.commands, peers, token)
        self.reconciler = Reconciler(
            self.sagas,
            self.commands,
            load_rules(settings.reconciliation),
            BookReader(peers, token),
            lambda: self.watch.tick_at,
            settings.now,
        )

    def _relay(self) -> Relay:
        settings, servers = self.settings, self.settings.bootstrap_servers
        publisher: OutboxPublisher = Publisher(servers, settings.instance_id)
        publisher = metrics.MeasuredPublisher(publisher, "monitor", settings.now)
        if self.tracer:  # parent span: the event whose follow-up is missing
            publisher = TracedPublisher(
                publisher, self.tracer.tell, SOURCE, lambda c, _: span_of(c)
            )
        found = partial(find_published, servers)
        return Relay(self.engine, publisher, settings.now, find_published=found)

    def _cluster_guard(self) -> ClusterGuard:
        def join_as(client_id: str) -> None:
            self.reader.client_id = client_id

        group, clock = self.settings.group, [CLOCK_TOPIC]
        return ClusterGuard(
            self.settings, "monitor", group, self._topics, self.engine, join_as, alone=clock
        )

    @property
    def position(self) -> Position:
        """The read position of this replica."""
        differences = self.reader.clocks.differences().values()
        widest = max((abs(by.total_seconds()) for by in differences), default=0.0)
        return Position(self.watch.unread, self.watch.hidden, self.sagas.log_time(), widest)

    def app(self, health: Health) -> FastAPI:
        """Return the HTTP app."""
        checks = {
            "stream": lambda: None if self.reader.running else "the stream does not read yet",
            "topics": self.reader.refused.problem,
            **checks_of(self.engine),
        }
        authenticator = self.settings.authenticator(self.settings.now)
        people = People(self.engine, authenticator)
        peers = ParticipantReader(self.settings.participants, self.settings.token_to_send)
        site = Website(
            SiteOperations(self.sagas, self.commands, peers, self._positions, self.settings.now)
        )
        routes = (
            *routers(self.sagas, self.commands, self.backtester),
            self.reconciler.routes(),
            *ui_routers(site, people),
        )
        app = make_app(
            "monitor",
            checks,
            *routes,
            health=health,
            access=self.settings.access,
            authenticator=authenticator and authenticator.also(people),
            refusals=self.refusals,
        )
        app.add_middleware(ProblemPages, site=site)
        return app

    def lifecycle(self, migrated: StartStep) -> Lifecycle:
        """Return the lifecycle of this process; `migrated` waits for the migrations."""
        lifecycle = Lifecycle(
            [
                [thread_loop("relay", self.relay.run, wake=self.relay.wake)],
                [
                    http_loop(self.settings, lambda: self.app(lifecycle)),
                    thread_loop("watch", self.watch.run, wake=self._ticks.discard),
                    thread_loop("cases", self.cases.run),
                    thread_loop("history", self.archiver.run),
                    thread_loop("unknown", UnknownRecords(self.engine, self.projection).run),
                    thread_loop("cluster", self.cluster.run),
                    thread_loop("registry", self.registry.run),
                    thread_loop("refusals", self.refusals.run),
                    Loop(
                        "stream",
                        self.reader.run,
                        self._streaming,
                        wake=self.reader.end,
                        ready_s=STANDS_S,
                    ),
                ],
            ],
            drain_s=self.settings.drain_s,
            steps=[
                migrated,
                own_sessions(self.engine),
                StartStep("flow versions in flight are compared", self._refuse_orphans),
                StartStep("a broker is waited for", self._wait_for_broker),
                self.cluster.step(),
            ],
            close=[self._close],
            rest_s=session_rest_s,
        )
        return lifecycle

    def _refuse_orphans(self, stop: StopSignal) -> None:
        def refuse() -> None:
            with self.engine.connect() as connection:
                refuse_orphans(self.projection.flows, queries.flows(connection))

        retry_transaction(refuse, stop)

    def _wait_for_broker(self, stop: StopSignal) -> None:
        """Wait until a broker answers: Faust gives up at once where none does."""
        retry_transaction(
            lambda: self._broker.ids(self._topics),
            stop,
            lambda error: isinstance(error, KafkaException),
        )

    async def _close(self) -> None:
        if self.tracer:
            await asyncio.to_thread(self.tracer.close)
        self.engine.dispose()


def wire(settings: MonitorSettings, migrated: StartStep) -> Lifecycle:
    """Wire a replica, and register its metrics. Raises ConfigurationError."""
    for chatty in ("faust", "mode", "aiokafka"):
        logging.getLogger(chatty).setLevel(logging.WARNING)
    monitor = Monitor(settings)
    metrics.register(metrics.TableGauges(monitor.engine, "monitor"))
    metrics.register(metrics.GaugeReadings(HELP, monitor.meter.read))
    metrics.register(metrics.GaugeReadings(TOPIC_FAULTS, monitor.cluster.topics.read))
    metrics.register(metrics.GaugeReadings(REGISTRY_FAULTS, monitor.registry.read))
    metrics.register(metrics.GaugeReadings(FINDINGS, monitor.reconciler.read))
    lifecycle = monitor.lifecycle(migrated)
    metrics.register(process_gauges(lifecycle))
    return lifecycle


PROGRAM = Program("monitor", MonitorSettings, MIGRATIONS, wire)
