"""Composition root of inventory, with its API, which adds stock and lists it."""

import asyncio
from collections.abc import Callable
from pathlib import Path
from typing import Annotated, Any
from uuid import uuid5

from fastapi import APIRouter, Query, Response
from pydantic import AfterValidator, BaseModel, ConfigDict, Field

from sagakit.actors import personal_actor
from sagakit.decider import Command
from sagakit.identity import is_plain, saga_key
from sagakit.messages.envelope import NAMESPACE
from sagakit.service.definition import Service, TriggerPort
from sagakit.service.program import service_program
from sagakit.service.settings import ServiceSettings
from sagakit.store.ports import Participant
from sagakit.store.postgres import engine_for
from sagakit.web.app import problem
from sagakit.web.identity.requires import requires
from sagakit.web.identity.scopes import Scope
from sagakit.web.login import LoggedIn, actor_of
from services.inventory.decide import (
    MAX_RESTOCK,
    MAX_STOCK_SKU,
    RESTOCK,
    Reservation,
    can_be_stocked,
    decide,
    evolve,
)
from services.inventory.store import BOOKS, InventoryStore, StockReader

READ_CONNECTIONS = 2


def participant() -> Participant[Reservation]:
    """Return inventory's decisions and tables."""
    return Participant("inventory", decide, evolve, InventoryStore())


def build(settings: ServiceSettings) -> Service[Reservation]:
    """Wire the inventory service."""
    engine = engine_for(settings.database_url, pool_size=READ_CONNECTIONS)

    async def close() -> None:
        await asyncio.to_thread(engine.dispose)

    routes = api(StockReader(engine))
    return Service(participant(), routes=routes, close=close, books=BOOKS)


def _check_printable(value: str) -> str:
    if not is_plain(value) or not value.strip():
        raise ValueError("must not be empty, and must have printable characters only")
    return value


def _check_sku(value: str) -> str:
    if not can_be_stocked(value):
        raise ValueError(f"must have 1 to {MAX_STOCK_SKU} printable characters")
    return value


Sku = Annotated[str, AfterValidator(_check_sku)]
Words = Annotated[str, Field(max_length=500), AfterValidator(_check_printable)]


class Restock(BaseModel):
    """Units to add to the stock. `id` names the delivery: sent again, it counts once (the latest
    200 deliveries of a SKU are remembered)."""

    model_config = ConfigDict(strict=True, extra="forbid")

    sku: Sku
    quantity: int = Field(ge=1, le=MAX_RESTOCK)
    actor: Annotated[Words, AfterValidator(personal_actor)]
    reason: Words
    id: Annotated[str, Field(max_length=128), AfterValidator(_check_printable)]


def api(reader: StockReader) -> Callable[[TriggerPort[Reservation]], APIRouter]:
    """Return the builder of `POST /stock` and `GET /stock`."""

    def routes(port: TriggerPort[Reservation]) -> APIRouter:
        router = APIRouter(tags=["stock"])

        @router.post("/stock", status_code=201, dependencies=requires(Scope.OPERATE))
        async def put_in(delivery: Restock, response: Response, user: LoggedIn) -> dict[str, Any]:
            """Add units; answer the stock with 201, or with 200 if this id was counted before."""
            data = {"sku": delivery.sku, "quantity": delivery.quantity}
            trigger = Command(RESTOCK, actor_of(delivery.actor, user), delivery.reason, data)
            message_id = uuid5(NAMESPACE, f"restock:{delivery.id}")
            key = saga_key("", f"sku:{delivery.sku}")  # a delivery belongs to no saga
            receipt = await port.submit(key, trigger, message_id)
            response.status_code = 200 if receipt.repeat else 201
            (row,) = await asyncio.to_thread(reader.page, delivery.sku, "", 1)
            return {**row, "repeat": receipt.repeat}

        @router.get("/stock", response_model=None, dependencies=requires(Scope.READ))
        async def list_stock(
            sku: str | None = None,
            after: str = "",
            limit: Annotated[int, Query(ge=1, le=100_000)] = 1000,
        ) -> Response | dict[str, Any]:
            """List units, sorted by SKU. Pass a page's last SKU as `after` to get the next page."""
            if "\0" in (sku or "") + after:
                return problem(404, "no such stock", "a SKU has printable characters only")
            rows = await asyncio.to_thread(reader.page, sku, after, limit)
            if sku is not None and not rows:
                return problem(
                    404, "no such stock", f"no stock was ever added for SKU {sku[:80]!r}"
                )
            return {"data": rows}

        return router

    return routes


PROGRAM = service_program(
    "inventory",
    build,
    ServiceSettings,
    migrations=Path(__file__).parent / "migrations",
)
