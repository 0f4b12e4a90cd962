"""Composition root of order. It holds no business rules."""

import asyncio
from pathlib import Path

from fastapi import APIRouter
from pydantic import Field

from sagakit.service.definition import Service, TriggerPort
from sagakit.service.http_settings import Secret
from sagakit.service.program import service_program
from sagakit.service.settings import ServiceSettings
from sagakit.store.ports import Participant
from sagakit.store.postgres import engine_for
from services.order.api import routes
from services.order.batch import batch_routes
from services.order.decide import COMPARE, Order, decide, evolve
from services.order.gateway import FactsComparison
from services.order.store import IdempotencyKeys, store
from services.order.vault import KeyWrap, Vault

KEY_CONNECTIONS = 5


def participant() -> Participant[Order]:
    """Return order's decisions and tables."""
    return Participant("order", decide, evolve, store())


class OrderSettings(ServiceSettings):
    """Adds the key that wraps the customers' keys, and the previous one while it is rotated."""

    key_encryption_key: Secret = Field(description="Wraps the customers' keys in the database")
    key_encryption_key_previous: Secret | None = Field(
        default=None, description="Still unwraps while key_encryption_key is rotated"
    )

    @property
    def key_wrap(self) -> KeyWrap:
        """Return what wraps the customers' keys."""
        valid = (self.key_encryption_key, self.key_encryption_key_previous)
        return KeyWrap([secret.get_secret_value() for secret in valid if secret])


def build(settings: OrderSettings) -> Service[Order]:
    """Wire the order service."""
    engine = engine_for(settings.database_url, pool_size=KEY_CONNECTIONS)

    async def close() -> None:
        await asyncio.to_thread(engine.dispose)

    keys, vault = IdempotencyKeys(engine), Vault(engine, settings.key_wrap)

    def build_routes(port: TriggerPort[Order]) -> APIRouter:
        router = batch_routes(keys, vault, settings.now)(port)
        router.include_router(routes(keys, vault, settings.now)(port))
        return router

    return Service(
        participant(),
        perform={COMPARE: FactsComparison(vault, settings.now).compare},
        routes=build_routes,
        close=close,
    )


PROGRAM = service_program(
    "order",
    build,
    OrderSettings,
    migrations=Path(__file__).parent / "migrations",
)
