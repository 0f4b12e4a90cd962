"""Places orders, acts as the shop's people, and knows when an order's money has settled."""

import time
from collections.abc import Mapping, Sequence
from datetime import datetime
from typing import Any
from urllib.parse import quote
from uuid import uuid5

import httpx2

from saga_lab.workload import End, StackClient, Workload, key_of
from sagakit.messages.envelope import NAMESPACE
from schemas.events import OrderFacts, OrderPlaced
from shop.workload.kinds import KINDS, ActionMoment, OrderKind, PersonAction
from shop.workload.orders import Shop, ShopOrder, stock_for

ACTOR = "shop"


class Trade(Workload[ShopOrder]):
    """The order application's workload: HTTP of the order API, inventory and the provider."""

    @property
    def kinds(self) -> Sequence[OrderKind]:
        """Every kind of order."""
        return KINDS

    def sagas(self, run: str, seed: int, count: int) -> Sequence[ShopOrder]:
        """Build orders of every kind."""
        return Shop(run, seed).orders(count)

    async def prepare(self, stack: StackClient, sagas: Sequence[ShopOrder]) -> None:
        """Put stock on hand once per run: the first order's id and the SKU are the key."""
        for sku, quantity in stock_for(sagas).items():
            body = {
                "sku": sku,
                "quantity": quantity,
                "actor": ACTOR,
                "reason": "stock for the orders to come",
                "id": str(uuid5(NAMESPACE, f"{sagas[0].order_id}:{sku}")),
            }
            answer = await stack.ask("inventory", "POST", "/stock", body)
            answer.raise_for_status()

    async def place(self, stack: StackClient, saga: ShopOrder) -> str | None:
        """Place an order, and the second one under its id if there is one."""
        answer = await _post(stack, saga, saga.facts)
        if answer.status_code == 422:
            return End.REFUSED
        if answer.status_code not in (200, 201):
            return f"http {answer.status_code}"
        if saga.second is not None:
            expected = 200 if saga.second == saga.facts else 409
            answer = await _post(stack, saga, saga.second)
            if answer.status_code != expected:
                return f"second: http {answer.status_code}"
        return None

    def start_events(self, saga: ShopOrder) -> Sequence[OrderPlaced]:
        """Return the order as an event, and the second one under its id if there is one."""
        placed_at = datetime.fromtimestamp(int(time.time())).astimezone()
        return [
            OrderPlaced(order_id=saga.order_id, order=facts, placed_at=placed_at)
            for facts in (saga.facts, saga.second)
            if facts is not None
        ]

    async def act(self, stack: StackClient, saga: ShopOrder) -> bool:
        """Cancel or judge an order, if its kind says so and its moment has come."""
        if saga.kind.acts is None:
            return True
        when, action = saga.kind.acts
        return await _is_moment(stack, saga, when) and await _do(stack, saga, action)

    async def is_settled(
        self, stack: StackClient, saga: ShopOrder, seen: Mapping[str, Any]
    ) -> bool:
        """Return False while a late capture is to be refunded, or may still come."""
        money = [row for row in seen["balances"] if row["name"] == "money"]
        came_and_went = any(row["added"] for row in money) and not any(r["held"] for r in money)
        late = saga.kind.captured_late and seen["status"] == End.CANCELLED and not came_and_went
        return not (late and await _may_be_captured(stack, saga))


async def _post(stack: StackClient, order: ShopOrder, facts: OrderFacts) -> httpx2.Response:
    body = {**facts.to_dict(), "order_id": order.order_id, "flow": order.flow}
    del body["total_minor"]
    return await stack.ask("order", "POST", "/orders", body)


async def _is_moment(stack: StackClient, order: ShopOrder, when: ActionMoment) -> bool:
    if when in (ActionMoment.PLACED, ActionMoment.ASKED):
        return True  # an action that comes too early is refused and retried
    seen = await stack.saga(key_of(order))
    wanted = "waiting" if when is ActionMoment.LABELLED else "done"
    steps = seen["steps"] if seen else ()
    return any(s["name"] == "shipping" and s["status"] == wanted for s in steps)


async def _do(stack: StackClient, order: ShopOrder, action: PersonAction) -> bool:
    """Return True when the action is accepted or a cancellation is answered 409 (too late)."""
    reason = f"the kind {order.kind.name} says so"
    if action is PersonAction.CANCEL:
        path = f"/orders/{quote(order.order_id, safe='')}/cancel"
        answer = await stack.ask("order", "POST", path, {"actor": ACTOR, "reason": reason})
        return answer.status_code in (202, 409)
    return await stack.judge(key_of(order), "payment", action, actor=ACTOR, reason=reason)


async def _may_be_captured(stack: StackClient, order: ShopOrder) -> bool:
    """Return False if all charges were declined or none exists: the undo came before the call.

    No answer counts as True: the provider is asked once, since retrying would delay other orders.
    """
    found = await stack.try_once("provider", "/v1/charges", reference=key_of(order))
    return found is None or any(charge["status"] != "declined" for charge in found["data"])
