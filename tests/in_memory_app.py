"""An app called without a socket, and a saga's decisions in memory behind its routes."""

import asyncio
from collections.abc import Callable
from datetime import datetime, timedelta
from typing import Any, Generic, TypeVar
from uuid import UUID

import httpx2
from fastapi import FastAPI

from sagakit.decider import Decide, Evolve, Trigger, fold
from sagakit.service.definition import Receipt
from sagakit.testing import NOW

S = TypeVar("S")


def ask(
    app: FastAPI, method: str, path: str, *, raise_app_exceptions: bool = True, **request: Any
) -> httpx2.Response:
    """Send one request to an app. `request`: as of `httpx2.AsyncClient.request`."""

    async def call() -> httpx2.Response:
        transport = httpx2.ASGITransport(app, raise_app_exceptions=raise_app_exceptions)
        async with httpx2.AsyncClient(transport=transport, base_url="http://app") as client:
            return await client.request(method, path, **request)

    return asyncio.run(call())


class MemorySubmitter(Generic[S]):
    """A `TriggerPort` with states in memory; remembers message ids as the kit does."""

    def __init__(self, initial: S, decide: Decide[S], evolve: Evolve[S], **states: S) -> None:
        self._initial, self._decide, self._evolve = initial, decide, evolve
        self.states = states
        self.handled: set[UUID] = set()
        self.events: list[Any] = []
        self.early: dict[UUID, datetime] = {}
        self.now = NOW

    async def submit(
        self, key: str, trigger: Trigger, message_id: UUID, *, flow: str | None = None
    ) -> Receipt[S]:
        if message_id in self.handled:
            return Receipt((), await self.state(key), True)
        self.handled.add(message_id)
        return self.tell(key, trigger)

    def tell(self, key: str, trigger: Trigger) -> Receipt[S]:
        state = self.states.get(key, self._initial)
        decision = self._decide(state, trigger, NOW)
        self.states[key] = fold(self._evolve, state, decision.adopted + decision.events)
        self.events += decision.events
        return Receipt(decision.events, self.states[key], False)

    async def state(self, key: str) -> S:
        return self.states.get(key, self._initial)

    async def early_for(self, key: str, message_id: UUID) -> timedelta:
        return self.now - self.early.setdefault(message_id, self.now)

    async def watch(self, key: str, until: Callable[[S], bool], timeout_s: float) -> S:
        return await self.state(key)
