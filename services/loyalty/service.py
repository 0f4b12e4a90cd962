"""Composition root of loyalty, with its API for a card's points. It holds no business rules."""

import asyncio
from collections.abc import Callable
from pathlib import Path

from fastapi import APIRouter, Response
from sqlalchemy import Engine

from sagakit.identity import is_plain
from sagakit.service.definition import Service, TriggerPort
from sagakit.service.program import service_program
from sagakit.service.settings import ServiceSettings
from sagakit.store.ports import Participant
from sagakit.store.postgres import engine_for
from sagakit.web.app import problem
from sagakit.web.identity.requires import requires
from sagakit.web.identity.scopes import Scope
from services.loyalty.decide import Points, decide, evolve
from services.loyalty.store import card_totals, store

READ_CONNECTIONS = 2


def participant() -> Participant[Points]:
    """Return loyalty's decisions and tables."""
    return Participant("loyalty", decide, evolve, store())


def build(settings: ServiceSettings) -> Service[Points]:
    """Wire the loyalty service."""
    engine = engine_for(settings.database_url, pool_size=READ_CONNECTIONS)

    async def close() -> None:
        await asyncio.to_thread(engine.dispose)

    return Service(participant(), routes=api(engine), close=close)


def api(engine: Engine) -> Callable[[TriggerPort[Points]], APIRouter]:
    """Return the builder of `GET /cards/{card}`."""

    def routes(port: TriggerPort[Points]) -> APIRouter:
        router = APIRouter(tags=["cards"], dependencies=requires(Scope.READ))

        @router.get("/cards/{card}", response_model=None)
        async def read_card(card: str) -> Response | dict[str, str | int]:
            """Return the points on a card, and the number of orders that brought them."""
            if not is_plain(card):
                return problem(404, "no such card", "a card has printable characters only")
            orders, total = await asyncio.to_thread(card_totals, engine, card)
            if not orders:
                return problem(
                    404, "no such card", f"no points were ever granted on card {card[:80]!r}"
                )
            return {"loyalty_card": card, "points": total, "orders": orders}

        return router

    return routes


PROGRAM = service_program(
    "loyalty",
    build,
    ServiceSettings,
    migrations=Path(__file__).parent / "migrations",
)
