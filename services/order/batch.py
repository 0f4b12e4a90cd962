"""Places many orders in one request. Each is placed by itself; a failure affects no other."""

import asyncio
import hashlib
import json
from collections.abc import Callable
from typing import Annotated, Any

from fastapi import APIRouter, Body
from pydantic import BaseModel, ConfigDict, Field, ValidationError

from sagakit.service.definition import TriggerPort
from sagakit.store.ports import Clock
from sagakit.web.identity.requires import requires
from sagakit.web.identity.scopes import Scope
from sagakit.web.login import Subject
from schemas.rules import MAX_ORDER_ID, id_problems, printable
from services.order.api import (
    IdempotencyStore,
    NewOrder,
    OrderPlacement,
    OrderStatus,
    own_key,
)
from services.order.decide import Order
from services.order.privacy import CustomerKeys
from services.order.problem import (
    Problem,
    ProblemError,
    ProblemRoute,
    field_problems,
    invalid_request,
    validation_problem,
)

MAX_BATCH = 500


class NewBatch(BaseModel):
    """Orders to place in one request, under one batch id."""

    model_config = ConfigDict(extra="forbid")

    batch_id: str = Field(
        description="Yours to choose, 1 to 128 printable characters; each order carries it. The "
        "same batch sent again places nothing twice.",
        examples=["import-2026-11-21"],
    )
    orders: list[dict[str, Any]] = Field(
        min_length=1,
        max_length=MAX_BATCH,
        description="Each as for `POST /orders`, and judged by itself.",
        json_schema_extra={"items": {"$ref": "#/components/schemas/NewOrder"}},
    )


class BatchItem(BaseModel):
    """The result of one order of a batch."""

    order_id: str | None = Field(None, description="As it was given.")
    status: int = Field(description="As `POST /orders` answers: 201, 200, 409 or 422.")
    order: OrderStatus | None = None
    problem: Problem | None = None


class BatchResult(BaseModel):
    """The results of a batch: one item per order, in the sequence of the request."""

    batch_id: str
    results: list[BatchItem]


def batch_routes(
    keys: IdempotencyStore, vault: CustomerKeys, clock: Clock
) -> Callable[[TriggerPort[Order]], APIRouter]:
    """Return the builder of the batch route."""

    def build(port: TriggerPort[Order]) -> APIRouter:
        router = APIRouter(tags=["orders"], route_class=ProblemRoute)
        placement = OrderPlacement(port, keys, vault, clock)

        @router.post(
            "/batches",
            summary="Place many orders",
            dependencies=requires(Scope.PLACE),
            response_model_exclude_none=True,
            responses={
                409: {"model": Problem, "description": "The batch id was used with other orders."},
                422: {"model": Problem, "description": "No batch; of an order, its item says so."},
            },
        )
        async def place_batch(asked: Annotated[NewBatch, Body()], who: Subject) -> BatchResult:
            """Place each order by itself: an invalid or conflicting order affects no other.
            Safe to repeat. The monitor's `GET /batches/BATCH` shows the orders' progress."""
            if wrong := id_problems("batch_id", asked.batch_id):
                raise ProblemError(invalid_request(field_problems(wrong)))
            request = hashlib.sha256(json.dumps(asked.orders, sort_keys=True).encode()).hexdigest()
            # the line feed avoids clashes: no Idempotency-Key and no batch id holds one
            key = own_key(who, f"batch\n{asked.batch_id}")
            if not await placement.claimed((key, request)):
                raise ProblemError(_reused(asked.batch_id))
            tasks = (_item(order, placement, asked.batch_id) for order in asked.orders)
            return BatchResult(batch_id=asked.batch_id, results=await asyncio.gather(*tasks))

        return router

    return build


async def _item(given: dict[str, Any], placement: OrderPlacement, batch_id: str) -> BatchItem:
    named = given.get("order_id")
    order_id = printable(named, MAX_ORDER_ID) if isinstance(named, str) else None
    try:
        status, order = await placement.place(NewOrder.model_validate(given), batch_id=batch_id)
    except ValidationError as error:
        problem = validation_problem(error.errors())
    except ProblemError as refused:
        problem = refused.problem
    else:
        return BatchItem(order_id=order_id, status=status, order=order)
    return BatchItem(order_id=order_id, status=problem.status, problem=problem)


def _reused(batch_id: str) -> Problem:
    return Problem(
        title="Conflict",
        status=409,
        code="batch_id_reuse",
        detail=f"batch {batch_id} was sent with other orders; send these under another batch id",
    )
