"""Composition root of inventory, and its API for stock. Nothing is decided here."""

import asyncio
from collections.abc import Callable
from typing import Annotated, Any
from uuid import UUID, uuid4, uuid5

from fastapi import APIRouter, Query
from pydantic import BaseModel, Field
from sqlalchemy import Engine

from sagakit.decision import Verdict
from sagakit.message import NAMESPACE
from sagakit.ports import Participant
from sagakit.postgres import engine_for
from sagakit.service import Door, Service
from sagakit.settings import ServiceSettings
from services.inventory.decide import MAX_QUANTITY, RESTOCK, Reservation, decide, evolve
from services.inventory.store import LIST_STOCK, InventoryStore


class Restock(BaseModel):
    """Units put on hand. The same `id` twice is one delivery."""

    sku: Annotated[str, Field(min_length=1, max_length=120, pattern=r"^[!-~]+$")]
    quantity: Annotated[int, Field(ge=1, le=MAX_QUANTITY)]
    actor: Annotated[str, Field(min_length=1, max_length=128)] = "operator"
    reason: Annotated[str, Field(max_length=500)] = "delivery"
    id: UUID = Field(default_factory=uuid4)


def participant() -> Participant[Reservation]:
    """Inventory's decisions and tables."""
    return Participant("inventory", decide, evolve, InventoryStore())


def build(settings: ServiceSettings) -> Service[Reservation]:
    """Inventory, wired."""
    return Service(participant(), routes=routes(engine_for(settings.database_url, pool_size=2)))


def routes(engine: Engine) -> Callable[[Door[Reservation]], APIRouter]:
    """`POST /stock` and `GET /stock`."""

    def make(door: Door[Reservation]) -> APIRouter:
        router = APIRouter(tags=["stock"])

        @router.post("/stock", status_code=201)
        async def restock(body: Restock) -> dict[str, Any]:
            data = {"sku": body.sku, "quantity": body.quantity}
            verdict = Verdict(RESTOCK, body.actor, body.reason, data)
            message_id = uuid5(NAMESPACE, f"restock:{body.id}")
            receipt = await door.submit(f"sku:{body.sku}", verdict, message_id)
            return {"sku": body.sku, "repeat": receipt.repeat, "id": str(body.id)}

        @router.get("/stock")
        async def levels(sku: Annotated[str | None, Query()] = None) -> list[dict[str, Any]]:
            return await asyncio.to_thread(_levels, sku)

        return router

    def _levels(sku: str | None) -> list[dict[str, Any]]:
        with engine.connect() as connection:
            return [dict(r._mapping) for r in connection.execute(LIST_STOCK, {"sku": sku})]

    return make
