"""Composition root of order. It holds no business rules."""

import asyncio
from pathlib import Path

from fastapi import APIRouter

from sagakit.service.definition import Service, TriggerPort
from sagakit.service.program import service_program
from sagakit.service.settings import ServiceSettings
from sagakit.store.ports import Participant
from sagakit.store.postgres import engine_for
from services.order.api import routes
from services.order.batch import batch_routes
from services.order.decide import Order, decide, evolve
from services.order.store import IdempotencyKeys, store
from services.order.vault import Vault

KEY_CONNECTIONS = 5


def participant() -> Participant[Order]:
    """Return order's decisions and tables."""
    return Participant("order", decide, evolve, store())


def build(settings: ServiceSettings) -> Service[Order]:
    """Wire the order service."""
    engine = engine_for(settings.database_url, pool_size=KEY_CONNECTIONS)

    async def close() -> None:
        await asyncio.to_thread(engine.dispose)

    keys, vault = IdempotencyKeys(engine), Vault(engine)

    def build_routes(port: TriggerPort[Order]) -> APIRouter:
        router = batch_routes(keys, vault, settings.now)(port)
        router.include_router(routes(keys, vault, settings.now)(port))
        return router

    return Service(
        participant(),
        routes=build_routes,
        close=close,
    )


PROGRAM = service_program(
    "order",
    build,
    ServiceSettings,
    migrations=Path(__file__).parent / "migrations",
)
