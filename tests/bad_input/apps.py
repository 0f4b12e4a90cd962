"""Every HTTP app as its process builds it, each on a port of its own,
on one real PostgreSQL. There is no Kafka behind them: what is published stays in the outbox."""

import asyncio
import logging
import signal
import socket
import subprocess
import threading
from collections.abc import Callable, Coroutine, Iterator, Mapping
from contextlib import ExitStack, contextmanager
from dataclasses import dataclass
from functools import partial
from pathlib import Path
from typing import Any

import pytest
import uvicorn
from fastapi import FastAPI

from saga_lab.devstack.ports import HOST, free_port
from saga_lab.devstack.postgres import create_databases, database_url, postgres_process
from saga_lab.fakes import base, callbacks
from saga_monitor.service import MIGRATIONS, Monitor, MonitorSettings
from sagakit.service.definition import Service
from sagakit.service.process import ServiceProcess
from sagakit.service.settings import ServiceSettings
from sagakit.store.migrate import migrate
from sagakit.telemetry import metrics
from sagakit.web.app import NoLoops
from services.inventory import service as inventory
from services.loyalty import service as loyalty
from services.order import service as order
from services.payment import service as payment
from services.shipping import service as shipping
from shop.outside import carrier, charges, mail, provider
from tests.stack import PATIENCE_S, until

NOWHERE = f"{HOST}:9"
PASSWORD = "0123456789abcdef"
SECRET = "the provider's and the carrier's secret"


@dataclass(frozen=True)
class RunningApps:
    """`urls`: name -> where its API listens; `apps`: the same apps, to be asked in process;
    `monitor` and `processes` to be looked into."""

    urls: Mapping[str, str]
    apps: Mapping[str, FastAPI]
    processes: Mapping[str, ServiceProcess[Any]]
    monitor: Monitor
    postgres: str

    def database(self, name: str) -> str:
        """URL of a new empty database."""
        create_databases(self.postgres, [name])
        return f"{self.postgres.rpartition('/')[0]}/{name}"


@contextmanager
def postgres(home: Path) -> Iterator[str]:
    """A PostgreSQL server of our own; its URL."""
    port = free_port()
    process = postgres_process(home / "data", port, PASSWORD)
    with (home / "log").open("wb") as log:
        child = subprocess.Popen(process.command, stdout=log, stderr=log, cwd="/")
    try:
        until(lambda: process.ready() is None, "PostgreSQL ready")
        yield database_url(port, "postgres", PASSWORD)
    finally:
        child.send_signal(signal.SIGINT)  # TERM would wait for every client to leave
        child.wait(PATIENCE_S)


@contextmanager
def serving(
    make: Callable[[], FastAPI], *beside: Coroutine[Any, Any, Any]
) -> Iterator[tuple[str, FastAPI]]:
    """Make an app and serve it in a thread with an event loop, other tasks beside it; its URL."""
    listening = socket.socket()
    listening.bind((HOST, 0))
    made: list[tuple[FastAPI, uvicorn.Server]] = []

    async def run() -> None:
        app = make()
        config = uvicorn.Config(app, log_config=None, access_log=False, ws="none")
        made.append((app, uvicorn.Server(config)))
        tasks = [asyncio.create_task(task) for task in beside]
        await made[0][1].serve(sockets=[listening])
        for task in tasks:
            task.cancel()

    thread = threading.Thread(target=lambda: asyncio.run(run()), daemon=True)
    thread.start()
    try:
        until(lambda: bool(made) and made[0][1].started, "the server listens")
        yield f"http://{HOST}:{listening.getsockname()[1]}", made[0][0]
    finally:
        made[0][1].should_exit = True
        thread.join(PATIENCE_S)
        listening.close()


SERVICES: Mapping[str, Any] = {
    "order": order,
    "inventory": inventory,
    "payment": payment,
    "shipping": shipping,
    "loyalty": loyalty,
}
ROOT = Path(order.__file__).parents[2]


def a_process(name: str, url: str) -> ServiceProcess[Any]:
    """A service's process on a migrated database, as `python -m sagakit` builds it."""
    module = SERVICES[name]
    wanted = {
        "order": "OrderSettings",
        "payment": "PaymentSettings",
        "shipping": "ShippingSettings",
    }.get(name)
    kind = getattr(module, wanted) if wanted else ServiceSettings
    settings = kind(
        bootstrap_servers=NOWHERE,
        database_url=url,
        contract="schemas",
        provider_url=f"http://{NOWHERE}",
        carrier_url=f"http://{NOWHERE}",
        webhook_secret=SECRET,
        key_encryption_key=SECRET,
    )
    service: Service[Any] = module.build(settings)
    migrations = ROOT / "services" / name / "migrations"
    process = ServiceProcess(service, settings)
    process.bus.close()  # there is no broker to look for
    migrate(process.engine, migrations)
    return process


def a_monitor(url: str) -> Monitor:
    """The monitor on a migrated database."""
    settings = MonitorSettings(bootstrap_servers=NOWHERE, database_url=url, contract="schemas")
    monitor = Monitor(settings)
    migrate(monitor.engine, MIGRATIONS)
    return monitor


WORLD = {
    "provider": (charges.SCHEMA, (provider.router, callbacks.router)),
    "carrier": (carrier.SCHEMA, (carrier.router, carrier.control, callbacks.router)),
    "mail": (mail.SCHEMA, (mail.router,)),
}


def of_the_world(name: str, home: Path) -> FastAPI:
    """Provider, carrier or mail server, with a ledger of its own; nobody takes its webhooks."""
    schema, routers = WORLD[name]
    ledger = base.Ledger(home / f"{name}.db", schema + callbacks.SCHEMA)
    app = base.create_app(ledger, *routers)
    settings = base.CallbackSettings(
        port=0, db=home, webhook_url=f"http://{NOWHERE}", webhook_secret=SECRET
    )
    owed = app.state.callbacks = callbacks.Callbacks(ledger, settings, app)
    if name == "provider":
        app.state.charges = charges.Charges(ledger, owed)
    elif name == "carrier":
        app.state.labels = carrier.Labels(ledger, owed, 3600.0)
    else:
        app.state.mailbox = mail.Mailbox(ledger, app.state.trouble)
    return app


@contextmanager
def running_apps(home: Path) -> Iterator[RunningApps]:
    """All of it, closed again at the end."""
    with ExitStack() as open_, pytest.MonkeyPatch.context() as patch:
        patch.setattr(metrics, "register", lambda collector: None)  # it would outlive the database
        patch.setattr(logging.getLogger("librdkafka"), "disabled", True)
        server = open_.enter_context(postgres(home))
        names = (*SERVICES, "monitor")
        create_databases(server, names)
        where = {name: f"{server.rpartition('/')[0]}/{name}" for name in names}
        processes = {name: a_process(name, where[name]) for name in SERVICES}
        monitor = a_monitor(where["monitor"])
        makers: dict[str, Callable[[], FastAPI]] = {
            **{name: partial(process.app, NoLoops()) for name, process in processes.items()},
            "monitor": partial(monitor.app, NoLoops()),
            **{name: partial(of_the_world, name, home) for name in WORLD},
        }
        urls, apps = {}, {}
        for name, make in makers.items():
            beside = [processes[name].batcher.run()] if name in processes else []
            urls[name], apps[name] = open_.enter_context(serving(make, *beside))
        yield RunningApps(urls, apps, processes, monitor, server)
        for process in processes.values():
            process.engine.dispose()
        monitor.engine.dispose()
