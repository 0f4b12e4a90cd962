"""The order API on orders in memory, called as over HTTP."""

from collections.abc import Callable, Sequence
from dataclasses import replace
from datetime import datetime, timedelta
from typing import Any
from uuid import UUID

import httpx2
from fastapi import FastAPI

from sagakit.decider import (
    Observed,
    Trigger,
)
from sagakit.errors import EventTooLarge
from sagakit.identity import split_key
from sagakit.service.definition import Receipt
from sagakit.testing import NOW
from sagakit.web.app import make_app
from schemas.events import (
    OrderFacts,
)
from services.order.api import routes
from services.order.decide import Order, Phase, decide, evolve
from services.order.store import KeyedRequest
from services.order.vault import Opener
from tests.in_memory_app import MemorySubmitter, ask
from tests.memory_key_service import MemoryVault
from tests.unit.services.test_order import SHIPPED


class MemoryOrders(MemorySubmitter[Order]):
    """Orders in memory behind the port that the API submits to."""

    def __init__(self) -> None:
        super().__init__(Order(), decide, evolve)
        self.flows: list[str | None] = []
        self.too_large = False

    async def submit(
        self, key: str, trigger: Trigger, message_id: UUID, *, flow: str | None = None
    ) -> Receipt[Order]:
        if self.too_large:
            raise EventTooLarge("OrderPlaced has 600000 bytes, the limit is 524288")
        receipt = await super().submit(key, trigger, message_id)
        if not receipt.repeat:
            self.flows.append(flow)
        return receipt

    async def watch(self, key: str, until: Callable[[Order], bool], timeout_s: float) -> Order:
        state = await self.state(key)
        if not until(state) and timeout_s > 1 and state.phase is Phase.PLACED:
            self.tell(key, Observed("completed", replace(SHIPPED, order_id=split_key(key)[1])))
        return await self.state(key)


class MemoryKeys:
    def __init__(self) -> None:
        self.keys: dict[str, str] = {}

    def claim(self, requests: Sequence[KeyedRequest], now: datetime) -> list[bool]:
        return [self.keys.setdefault(key, digest) == digest for key, digest in requests]


class Client:
    """Calls an app as over HTTP."""

    def __init__(self, app: FastAPI) -> None:
        self._app = app

    def get(self, url: str) -> httpx2.Response:
        return ask(self._app, "GET", url)

    def post(self, url: str, **body: Any) -> httpx2.Response:
        return ask(self._app, "POST", url, **body)


class OrderApi:
    """The order API, and the orders behind it."""

    def __init__(self) -> None:
        self.submitter = MemoryOrders()
        self.now = NOW
        self.vault = MemoryVault()
        app = make_app(
            "order", {}, routes(MemoryKeys(), self.vault, lambda: self.now)(self.submitter)
        )
        self.http = Client(app)

    def opened(self, facts: OrderFacts) -> OrderFacts:
        email, ship_to = self.vault.open([facts.email, facts.ship_to], Opener("test", ""))
        assert email is not None
        assert ship_to is not None
        return replace(facts, email=email, ship_to=ship_to)

    def place(self, key: str | None = None, **changes: Any) -> Any:
        self.now += timedelta(seconds=1)
        body = {k: v for k, v in (BODY | changes).items() if v is not ...}
        headers = {"Idempotency-Key": key} if key else {}
        return self.http.post("/orders", json=body, headers=headers)


BODY = {
    "order_id": "o1",
    "customer_id": "c1",
    "email": "ada@customer.example",
    "currency": "EUR",
    "lines": [{"sku": "tea", "quantity": 2, "unit_price_minor": 1250}],
    "card_token": "tok_ok",
    "ship_to": "1 Main Street",
}
