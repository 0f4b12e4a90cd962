"""Runs a service's process: wires all parts once, starts them together, stops them in order.

Threads: consumer loop, relay and `newer`. Event loop: HTTP, effects and inlet. SIGTERM stops
polling, finishes the batch, closes the consumer, drains effects in hand and publishes the outbox. A
part that dies ends the process; its supervisor starts it again, and nothing is lost.
"""

import asyncio
import contextlib
import gc
import random
import signal
import sys
import threading
from collections.abc import Callable, Sequence
from functools import partial
from pathlib import Path
from typing import Any, Generic, TypeVar
from uuid import uuid4

import structlog
import uvicorn
from fastapi import FastAPI
from sqlalchemy import text

from sagakit.contract.model import Contract
from sagakit.effects.worker import EffectWorker, perform_plain
from sagakit.errors import TopicRecreated
from sagakit.flow.model import Flows
from sagakit.flow.routing import Router, topics_of
from sagakit.handling.auto_redrive import AutoRedrive
from sagakit.handling.consumer_loop import ConsumerLoop
from sagakit.handling.handler import Disposition, Handler, HandlingResult, MessageHandler
from sagakit.handling.request_batcher import RequestBatcher
from sagakit.kafka.consumer import SESSION_S, BusConsumer
from sagakit.kafka.publisher import Publisher
from sagakit.messages.codec import Codec
from sagakit.messages.envelope import Message, Record
from sagakit.messages.schema_registry import HttpRegistry
from sagakit.messages.trace_ids import log_fields
from sagakit.outbox.already_published import find_published
from sagakit.outbox.relay import OutboxPublisher, Relay
from sagakit.retry import retry_transaction
from sagakit.service.definition import Service, TriggerSubmitter
from sagakit.service.settings import ServiceSettings
from sagakit.store.migrate import migrate
from sagakit.store.postgres import PostgresDatabase, engine_for
from sagakit.telemetry import logs, metrics, tracing
from sagakit.telemetry.spans import TracedCalls, TracedHandler, TracedPublisher
from sagakit.web import ledger_pages
from sagakit.web.admin import admin
from sagakit.web.app import make_app

S = TypeVar("S")
log = structlog.get_logger(__name__)


def codec_for(settings: ServiceSettings, contract: Contract) -> Codec:
    """Create the codec, with the schema registry if one is configured."""
    url = settings.schema_registry_url
    return Codec(contract, HttpRegistry(url) if url else None)


def tune_gc() -> None:
    """Reduce garbage collection once all parts are wired.

    Objects that exist now are never garbage, and those of a batch rarely form cycles. Collecting
    them seldom saves a tenth of a busy process's CPU (see benchmarks).
    """
    gc.collect()
    gc.freeze()
    gc.set_threshold(50_000, 20, 50)


async def wait_out_session(error: BaseException | None) -> None:
    """After TopicRecreated, wait until the consumer's session has expired.

    Rejoining sooner returns the old assignment, which may date from when the topic did not exist.
    """
    if isinstance(error, TopicRecreated):
        await asyncio.sleep(SESSION_S + 2)


class RelayWaker(Generic[S]):
    """Wraps a handler: wakes the relay if there are events to publish, and logs parked records."""

    def __init__(self, handler: MessageHandler[S], wake: Callable[[], None]) -> None:
        self._handler, self._wake = handler, wake

    def handle(self, messages: Sequence[Message]) -> list[HandlingResult[S]]:
        """See `handler.Handler.handle`."""
        fates = self._handler.handle(messages)
        if any(f.events for f in fates):
            self._wake()
        for parked in (f.message for f in fates if f.fate is Disposition.PARKED):
            log.warning("a record is parked", **log_fields(parked.key, parked.id))
        return fates


class Threads:
    """Starts threads, and ends the process at an error in any of them."""

    def __init__(self, failed: Callable[[], None]) -> None:
        self._failed = failed
        self._threads: dict[str, threading.Thread] = {}
        self.error: BaseException | None = None

    def start(self, name: str, work: Callable[[], None]) -> None:
        """Run `work` in a thread."""

        def guarded() -> None:
            try:
                work()
            except BaseException as error:
                log.error("thread died", thread=name, exc_info=error)
                self.error = error
                self._failed()

        self._threads[name] = threading.Thread(target=guarded, name=name, daemon=True)
        self._threads[name].start()

    def join(self, name: str, timeout_s: float) -> None:
        """Wait up to `timeout_s` for a thread to end."""
        self._threads[name].join(timeout_s)

    def check(self, name: str) -> str | None:
        """Return None if the thread runs, else the problem; used for readiness."""
        thread = self._threads.get(name)
        return None if thread and thread.is_alive() else f"{name} does not run"


class ServiceProcess(Generic[S]):
    """Wires and runs one replica of a service."""

    def __init__(
        self,
        service: Service[S],
        settings: ServiceSettings,
        *,
        flows: Flows,
        contract: Contract,
        migrations: Path,
    ) -> None:
        participant = service.participant
        self.service, self.settings, self._migrations = service, settings, migrations
        self.stop, self._stop_relay = threading.Event(), threading.Event()
        self.engine = engine_for(settings.database_url)
        self.database = PostgresDatabase(self.engine, participant.store, settings.now)
        codec = codec_for(settings, contract)
        self.tracer = tracing.tracer(participant.name, settings.instance_id)
        publisher: OutboxPublisher = Publisher(settings.bootstrap_servers, settings.instance_id)
        publisher = metrics.MeasuredPublisher(publisher, participant.name, settings.now)
        if self.tracer:
            publisher = TracedPublisher(publisher, self.tracer.tell, participant.name)
        stands = partial(find_published, settings.bootstrap_servers)
        self.relay = Relay(self.engine, publisher, settings.now, find_published=stands)
        self.handler = Handler(
            participant,
            self.database,
            Router(flows, participant.name),
            codec,
            settings.now,
            lease=lambda row: self.worker.lease(row),
            added=lambda rows: self.worker.added(rows),
        )
        measured: MessageHandler[S] = RelayWaker(self.handler, self.relay.wake)
        measured = metrics.MeasuredHandler(measured, participant.name, settings.now)
        if self.tracer:
            starts = frozenset(f.start for f in flows if f.owners[f.start] == participant.name)
            measured = TracedHandler(measured, self.tracer.tell, participant.name, starts)
        self.batcher = RequestBatcher(measured, self.stop)
        calls = TracedCalls(self.tracer.tell, participant.name) if self.tracer else perform_plain
        self.worker = EffectWorker(
            self.database,
            self.batcher,
            service.perform,
            settings.now,
            self.stop,
            token=uuid4(),
            rng=random.Random(),
            wrapper=metrics.MeasuredCalls(participant.name, calls),
        )
        self.bus = BusConsumer(
            settings.bootstrap_servers,
            participant.name,
            settings.instance_id,
            topics_of(flows, participant.name),
            lambda partitions: self.loop.assigned(partitions),
        )
        self.newer = AutoRedrive(self.engine, codec, self.handler.router, self._redrive)
        self.loop = ConsumerLoop(
            self.bus, codec, measured, self.engine, self.stop, urgent=self._urgent
        )
        metrics.register(metrics.TableGauges(self.engine, participant.name))

    def app(self, threads: Threads) -> FastAPI:
        """Build the HTTP app."""
        name = self.service.participant.name
        checks = {
            "consumer": lambda: threads.check("consumer"),
            "relay": lambda: threads.check("relay"),
            "database": self._ping,
        }
        kept = ledger_pages.routes(self.engine, self.service.books, self.service.ledgers)
        routers = [admin(self.engine, self._redrive), kept]
        if self.service.routes:
            door = TriggerSubmitter(self.service.participant, self.database, self.batcher)
            routers.append(self.service.routes(door))
        return make_app(name, checks, *routers)

    def _urgent(self, record: Record) -> bool:
        """Tell from a record's headers whether it may give this participant work."""
        told = dict(record.headers)
        label, event = (told.get(name, b"").decode("latin-1") for name in ("flow", "ce_type"))
        return self.handler.router.listens(label or None, event or None)

    def _redrive(self, key: str) -> list[HandlingResult[S]]:
        fates = self.handler.redrive(key)
        self.relay.wake()
        return fates

    def _ping(self) -> str | None:
        try:
            with self.engine.connect() as connection:
                connection.execute(text("SELECT 1"))
        except Exception as error:
            return f"the database does not answer: {error}"
        return None

    async def run(self) -> int:
        """Run until SIGTERM, SIGINT or the death of a part; return the exit status."""
        loop = asyncio.get_running_loop()
        ending = asyncio.Event()
        for number in (signal.SIGTERM, signal.SIGINT):
            loop.add_signal_handler(number, ending.set)

        def failed() -> None:
            loop.call_soon_threadsafe(ending.set)

        threads = Threads(failed)
        await asyncio.to_thread(
            retry_transaction, lambda: migrate(self.engine, self._migrations), self.stop
        )
        batcher = asyncio.create_task(self.batcher.run())
        effects = asyncio.create_task(self.worker.run())
        threads.start("relay", lambda: self.relay.run(self._stop_relay))
        threads.start("consumer", self._consume)
        threads.start("newer", lambda: self.newer.run(self.stop))
        server = Server(self.app(threads), self.settings)
        serving = asyncio.create_task(server.serve())
        log.info("running", http_port=self.settings.http_port)
        parts = {batcher, effects, serving}
        done, _ = await asyncio.wait(
            {*parts, asyncio.create_task(ending.wait())}, return_when=asyncio.FIRST_COMPLETED
        )
        log.info("stopping")
        self.stop.set()
        server.should_exit = True
        for reader in ("consumer", "newer"):
            await asyncio.to_thread(threads.join, reader, self.settings.drain_s)
        await self.worker.drain(self.settings.drain_s)
        await asyncio.wait({serving}, timeout=self.settings.drain_s)
        self._stop_relay.set()
        self.relay.wake()
        await asyncio.to_thread(threads.join, "relay", self.settings.drain_s)
        batcher.cancel()
        effects.cancel()
        if self.service.close:
            await self.service.close()
        if self.tracer:
            await asyncio.to_thread(self.tracer.close)
        died = [t for t in done & parts if not t.cancelled() and t.exception()]
        for task in died:
            log.error("a part died", exc_info=task.exception())
        await wait_out_session(threads.error)
        return 1 if died or threads.error else 0

    def _consume(self) -> None:
        try:
            self.loop.run()
        finally:
            with contextlib.suppress(RuntimeError):
                self.bus.close()


class Server(uvicorn.Server):
    """Runs uvicorn without its signal handlers: the process handles signals itself."""

    def __init__(self, app: FastAPI, settings: ServiceSettings) -> None:
        super().__init__(
            uvicorn.Config(
                app,
                host=settings.http_host,
                port=settings.http_port,
                log_config=None,
                timeout_graceful_shutdown=5,
            )
        )

    @contextlib.contextmanager
    def capture_signals(self) -> Any:
        """Install no signal handlers."""
        yield


def run(
    service: Service[Any],
    settings: ServiceSettings,
    *,
    flows: Flows,
    contract: Contract,
    migrations: Path,
) -> None:
    """Run a replica of a service until it is told to stop; does not return."""
    logs.configure(
        json=settings.log_json, participant=service.participant.name, level=settings.log_level
    )
    process = ServiceProcess(
        service, settings, flows=flows, contract=contract, migrations=migrations
    )
    tune_gc()
    status = asyncio.run(process.run())
    log.info("stopped", status=status)
    sys.exit(status)
