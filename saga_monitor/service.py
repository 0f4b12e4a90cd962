"""Wire the monitor's process, start its parts together, and stop them in order.

Event loop: Faust and HTTP. Threads: the relay, the watch, the history, and the projection's
transactions. The monitor is passive: orders complete without it. If one part dies the process
exits; restarted, it continues where it stopped.
"""

import asyncio
import logging
import signal
import sys
import threading
from collections.abc import Mapping
from datetime import timedelta
from functools import partial
from pathlib import Path

import structlog
from fastapi import FastAPI
from pydantic import Field
from sqlalchemy import Engine, text

from saga_monitor.api.routes import routes
from saga_monitor.ingest.faust_stream import GROUP, Reader
from saga_monitor.ingest.projection import Projection
from saga_monitor.metrics import HELP, Meter, Position
from saga_monitor.operations.blocker_probe import BlockerProbe, GroupPositions
from saga_monitor.operations.desk import Desk
from saga_monitor.reconciliation.run import HELP as FINDINGS
from saga_monitor.reconciliation.run import Reconciler
from saga_monitor.saga.facts import SOURCE
from saga_monitor.saga.flow_versions import refuse_orphans
from saga_monitor.storage import queries
from saga_monitor.storage.archiver import History
from saga_monitor.supervision.deadline_watch import Voice, Watch
from sagakit.errors import ConfigurationError, FlowError
from sagakit.flow.model import Flows, with_deadlines
from sagakit.flow.routing import topic
from sagakit.kafka.inspector import LogEnds
from sagakit.kafka.publisher import Publisher
from sagakit.messages.trace_ids import span_of
from sagakit.outbox.already_published import find_published
from sagakit.outbox.relay import OutboxPublisher, Relay
from sagakit.retry import retry_transaction
from sagakit.service.process import Server, Threads, codec_for, tune_gc, wait_out_session
from sagakit.service.settings import ServiceSettings
from sagakit.store.migrate import migrate
from sagakit.store.postgres import engine_for
from sagakit.telemetry import logs, metrics, tracing
from sagakit.telemetry.spans import TracedPublisher
from sagakit.web.app import make_app
from schemas import CONTRACT, FLOWS

log = structlog.get_logger(__name__)
MIGRATIONS = Path(__file__).parent / "storage" / "migrations"


class MonitorSettings(ServiceSettings):
    """Adds the monitor's own settings to those of every service."""

    deadlines: dict[str, str] = Field(
        default_factory=dict,
        description='Deadlines other than the flow files\', as JSON: {"payment": "20s"}',
    )
    participants: dict[str, str] = Field(
        default_factory=dict,
        description='Base URLs of the participants, as JSON: {"payment": "http://payment:8080"}',
    )
    history_after_s: float = Field(
        default=30 * 86400.0,
        ge=0,
        description="When finished orders are moved to the history: this long after their last "
        "event, in log time",
    )
    group: str = Field(default=GROUP, description="Consumer group; one per monitor database")


def shortened(flows: Flows, deadlines: Mapping[str, str]) -> Flows:
    """Return the flows with other deadlines. Raises ConfigurationError for a step no flow has."""
    steps = {path.partition(".")[0] for path in deadlines}
    unknown = steps - {step for flow in flows for step in flow.steps}
    try:
        if unknown:
            raise FlowError(f"no flow has a step {', '.join(sorted(unknown))}")
        return Flows(
            *(
                with_deadlines(
                    flow,
                    {p: d for p, d in deadlines.items() if p.partition(".")[0] in flow.steps},
                )
                for flow in flows
            )
        )
    except FlowError as error:
        raise ConfigurationError(f"SAGA_DEADLINES: {error}") from error


def topics_of(flows: Flows) -> list[str]:
    """Return every topic that may carry an event of the flows."""
    return sorted({topic(owner) for flow in flows for owner in flow.owners.values()})


class Monitor:
    """One replica of the monitor."""

    def __init__(self, settings: MonitorSettings) -> None:
        self.settings = settings
        flows = shortened(FLOWS, settings.deadlines)
        servers, codec = settings.bootstrap_servers, codec_for(settings, CONTRACT)
        self.engine: Engine = engine_for(settings.database_url)
        self.meter = Meter(self.engine, lambda: self.position, settings.now)
        self.projection = Projection(self.engine, codec, flows, self.meter.committed)
        broker, topics = LogEnds(servers), topics_of(flows)
        self.reader = Reader(
            settings, topics, self.engine, self.projection, broker, group=settings.group
        )
        self.tracer = tracing.tracer("monitor", settings.instance_id)
        publisher: OutboxPublisher = Publisher(servers, settings.instance_id)
        publisher = metrics.MeasuredPublisher(publisher, "monitor", settings.now)
        if self.tracer:  # parent span: the event whose follow-up is missing
            publisher = TracedPublisher(
                publisher, self.tracer.tell, SOURCE, lambda c, _: span_of(c)
            )
        self.relay = Relay(
            self.engine, publisher, settings.now, find_published=partial(find_published, servers)
        )
        voice = Voice(codec)
        self.watch = Watch(
            self.engine,
            self.projection,
            voice,
            clock=Publisher(servers, f"{settings.instance_id}-clock"),
            ends=broker,
            topics=topics,
            wake=self.relay.wake,
            reading=lambda: self.reader.begun,
        )
        log_of = GroupPositions(servers, flows)
        self.desk = Desk(
            self.engine,
            self.projection,
            voice,
            lambda: self.watch.gate,
            self.relay.wake,
            settings.now,
            BlockerProbe(self.engine, settings.participants, flows, log_of.positions),
        )
        after = timedelta(seconds=settings.history_after_s)
        self.history = History(self.engine, self.desk.log_time, after)
        self.reconciler = Reconciler(
            self.desk, settings.participants, lambda: self.watch.tick_at, settings.now
        )
        self.stop, self._stop_relay = threading.Event(), threading.Event()

    @property
    def position(self) -> Position:
        """The read position of this replica."""
        return Position(self.watch.unread, self.desk.log_time())

    def app(self, threads: Threads) -> FastAPI:
        """Return the HTTP app."""
        checks = {
            "stream": lambda: None if self.reader.running else "the stream does not run yet",
            "relay": lambda: threads.check("relay"),
            "watch": lambda: threads.check("watch"),
            "history": lambda: threads.check("history"),
            "database": self._ping,
        }
        return make_app("monitor", checks, routes(self.desk), self.reconciler.routes())

    def _refuse_orphans(self) -> None:
        with self.engine.connect() as connection:
            refuse_orphans(self.projection.flows, queries.flows(connection))

    def _ping(self) -> str | None:
        try:
            with self.engine.connect() as connection:
                connection.execute(text("SELECT 1"))
        except Exception as error:
            return f"the database does not answer: {error}"
        return None

    async def run(self, ending: asyncio.Event) -> int:
        """Run until `ending` is set or a part dies; return the exit status."""
        loop = asyncio.get_running_loop()

        def failed() -> None:
            loop.call_soon_threadsafe(ending.set)

        threads = Threads(failed)
        await asyncio.to_thread(
            retry_transaction, lambda: migrate(self.engine, MIGRATIONS), self.stop
        )
        await asyncio.to_thread(retry_transaction, self._refuse_orphans, self.stop)
        server = Server(self.app(threads), self.settings)
        serving = asyncio.create_task(server.serve())
        threads.start("relay", lambda: self.relay.run(self._stop_relay))
        threads.start("watch", lambda: self.watch.run(self.stop))
        threads.start("history", lambda: self.history.run(self.stop))
        reading = asyncio.create_task(self.reader.run(ending))
        log.info("running", http_port=self.settings.http_port)
        parts = {serving, reading}
        waiting = asyncio.create_task(ending.wait())
        done, _ = await asyncio.wait({*parts, waiting}, return_when=asyncio.FIRST_COMPLETED)
        log.info("stopping")
        ending.set()
        self.stop.set()
        server.should_exit = True
        await asyncio.wait(parts, timeout=self.settings.drain_s)
        for name in ("watch", "history"):
            await asyncio.to_thread(threads.join, name, self.settings.drain_s)
        self._stop_relay.set()
        self.relay.wake()
        await asyncio.to_thread(threads.join, "relay", self.settings.drain_s)
        waiting.cancel()
        if self.tracer:
            await asyncio.to_thread(self.tracer.close)
        self.engine.dispose()
        died = [t for t in parts if t.done() and not t.cancelled() and t.exception()]
        for task in died:
            log.error("a part died", exc_info=task.exception())
        early = bool(done & parts)
        await wait_out_session(threads.error)
        return 1 if died or early or threads.error else 0


async def _until_told(monitor: Monitor) -> int:
    ending = asyncio.Event()
    for number in (signal.SIGTERM, signal.SIGINT):
        asyncio.get_running_loop().add_signal_handler(number, ending.set)
    return await monitor.run(ending)


def run(settings: MonitorSettings) -> None:
    """Run a replica until SIGTERM or SIGINT, then exit; does not return."""
    logs.configure(json=settings.log_json, participant="monitor", level=settings.log_level)
    for chatty in ("faust", "mode", "aiokafka"):
        logging.getLogger(chatty).setLevel(logging.WARNING)
    try:
        monitor = Monitor(settings)
        metrics.register(metrics.TableGauges(monitor.engine, "monitor"))
        metrics.register(metrics.GaugeReadings(HELP, monitor.meter.read))
        metrics.register(metrics.GaugeReadings(FINDINGS, monitor.reconciler.read))
        tune_gc()
        status = asyncio.run(_until_told(monitor))
    except ConfigurationError as error:
        print(f"saga_monitor: {error}", file=sys.stderr)
        sys.exit(2)
    log.info("stopped", status=status)
    sys.exit(status)
