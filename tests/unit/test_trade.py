"""When a trade takes an order for over."""

import asyncio
from typing import Any

import httpx
import pytest

from sandbox.shop import KINDS, Shop
from sandbox.shop.trade import Trade

STACK = {
    "bootstrap_servers": "127.0.0.1:1",
    "urls": {"monitor": "http://monitor", "provider": "http://provider"},
}


@pytest.mark.parametrize(
    ("captured_minor", "charges", "over"),
    [
        (500, ["captured"], True),
        (0, ["pending"], False),
        (0, ["voided"], False),
        (0, [], True),
        (0, ["declined"], True),
        (0, None, False),
    ],
    ids=["came and went", "to come", "to come all the same", "never asked", "refused", "unknown"],
)
def test_a_late_capture_is_waited_for_unless_nobody_ever_asked_for_the_money(
    captured_minor: int, charges: list[str] | None, over: bool
) -> None:
    order = Shop("t", kinds=[kind for kind in KINDS if kind.captured_late]).order(0)
    money = {"captured_minor": captured_minor, "refunded_minor": captured_minor}
    saga = {"status": "cancelled", "ledger": money, "started_at": None, "ended_at": None}

    def answer(request: httpx.Request) -> httpx.Response:
        told: Any = saga
        if request.url.host == "provider":
            assert request.url.params["order_id"] == order.order_id
            if charges is None:
                return httpx.Response(503)
            told = {"data": [{"status": status} for status in charges]}
        return httpx.Response(200, json=told)

    async def looked() -> bool:
        trade = Trade(STACK, [order])
        async with httpx.AsyncClient(transport=httpx.MockTransport(answer)) as trade._client:
            await trade._look(order)
        return order.order_id in trade.outcomes

    assert asyncio.run(looked()) == over
