"""When the order application's workload takes an order for over."""

import asyncio
from typing import Any

import httpx2
import pytest

from saga_lab.workload import StackClient
from shop.workload import KINDS, WORKLOAD, Shop

URLS = {"provider": "http://provider"}


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
    amounts = {"added": captured_minor, "removed": captured_minor, "held": 0}
    money = [{"name": "money", "kind": "EUR", **amounts}]
    seen: dict[str, Any] = {"status": "cancelled", "balances": money}

    def answer(request: httpx2.Request) -> httpx2.Response:
        assert request.url.params["reference"] == f"order/{order.order_id}"
        if charges is None:
            return httpx2.Response(503)
        return httpx2.Response(200, json={"data": [{"status": status} for status in charges]})

    async def settled() -> bool:
        async with httpx2.AsyncClient(transport=httpx2.MockTransport(answer)) as http:
            return await WORKLOAD.is_settled(StackClient(http, URLS), order, seen)

    assert asyncio.run(settled()) == over
