"""Places a shop's orders on a running stack, acts as its people, and waits for every end.

It uses public interfaces only: HTTP of `order`, `inventory`, the monitor and the provider, and
Kafka. A request that fails (a service restarts) is repeated. There is no deadline: a trade waits as
long as some order moves.
"""

import asyncio
import time
from collections import Counter
from collections.abc import Awaitable, Callable, Coroutine, Mapping, Sequence
from dataclasses import replace
from datetime import datetime
from typing import Any
from urllib.parse import quote
from uuid import uuid5

import httpx2

from saga_lab.workload.deadlines import Deadlines
from saga_lab.workload.kinds import ActionMoment, End, PersonAction
from saga_lab.workload.orders import Entrance, ShopOrder, stock_for
from saga_lab.workload.outcomes import OrderOutcome, Progress, outcome_of
from sagakit.contract.model import Contract
from sagakit.kafka.publisher import Publisher, PublishFailed
from sagakit.messages.codec import Codec
from sagakit.messages.envelope import NAMESPACE, OutboxRow
from schemas import CONTRACT
from schemas.events import OrderFacts, OrderPlaced

AGAIN_S = 0.3
AT_ONCE = 16
CHUNK = 25
ACTIVE = ("unplaced", "running", "waiting", "undoing")
"""Monitor statuses of an order that has not ended."""
STANDSTILL_S = 240.0
"""Seconds without any progress until the trade gives up: longer than any rehearsed outage."""
ACTOR = "shop"
Stack = Mapping[str, Any]
"""The content of `stack.json`."""
Pace = Callable[[], Awaitable[None]]
"""Type of a function that is awaited before each order is placed."""


async def no_pacing() -> None:
    """Return at once: the pace that places orders as fast as they are accepted."""


class Trade:
    """Runs `orders` once. `told` is called with the progress while orders are in flight. With
    `deadlines`, orders that have to time out are placed first, on near deadlines; the others follow
    when these have ended, on far ones. Without, all run on the monitor's current deadlines.

    `placed_at`, `ended_at`: order -> when it was handed over for placing, and when its outcome was
    recorded (`time.monotonic` seconds).
    """

    def __init__(
        self,
        stack: Stack,
        orders: Sequence[ShopOrder],
        report_progress: Callable[[Progress], None] = lambda progress: None,
        contract: Contract = CONTRACT,
        pace: Pace = no_pacing,
        deadlines: Deadlines | None = None,
        standstill_s: float = STANDSTILL_S,
    ) -> None:
        self._urls: Mapping[str, str] = stack["urls"]
        self._orders = orders
        self._deadlines = deadlines
        self._standstill_s = standstill_s
        self._moved_at = 0.0
        self._seen: object = None
        self._report_progress = report_progress
        self._pace = pace
        self._codec = Codec(contract)
        self._publisher = Publisher(stack["bootstrap_servers"], "shop")
        self._gate, self._looking = asyncio.Semaphore(AT_ONCE), asyncio.Semaphore(AT_ONCE)
        self._placed: dict[str, ShopOrder] = {}
        self.progress = Progress(len(orders))
        self.outcomes: dict[str, OrderOutcome] = {}
        self.placed_at: dict[str, float] = {}
        self.ended_at: dict[str, float] = {}

    def run(self) -> list[OrderOutcome]:
        """Stock, place, act and wait; return the outcomes. If nothing moves for `standstill_s`
        seconds, the outcome of an unfinished order is its current status at the monitor."""
        return asyncio.run(self._run())

    async def _run(self) -> list[OrderOutcome]:
        async with httpx2.AsyncClient(timeout=10, trust_env=False) as client:
            self._client = client
            self._moved_at = time.monotonic()
            work = asyncio.create_task(self._work())
            while not work.done() and time.monotonic() - self._moved_at < self._standstill_s:
                await asyncio.wait({work}, timeout=1.0)
            if work.done():
                work.result()
            else:
                work.cancel()
                await asyncio.gather(work, return_exceptions=True)
                await self._give_up()
        return [self.outcomes[order.order_id] for order in self._orders]

    async def _work(self) -> None:
        await self._stock()
        if self._deadlines is None:
            await self._trade(self._orders)
            return
        timing_out = [order for order in self._orders if order.kind.times_out]
        answered = [order for order in self._orders if not order.kind.times_out]
        for orders, begin in (
            (timing_out, self._deadlines.near),
            (answered, self._deadlines.far),
        ):
            if orders:
                await asyncio.to_thread(begin)
                await self._trade(orders)

    async def _trade(self, orders: Sequence[ShopOrder]) -> None:
        """Place these orders and wait until they have ended."""
        async with asyncio.TaskGroup() as group:
            group.create_task(self._watch(orders))
            began = time.monotonic()
            async with asyncio.TaskGroup() as placing:
                due: asyncio.Queue[ShopOrder | None] = asyncio.Queue()
                placing.create_task(self._publish(due, group))
                for order in orders:
                    await self._pace()
                    self.placed_at[order.order_id] = time.monotonic()
                    if order.entrance is Entrance.HTTP:
                        placing.create_task(self._post(order, group))
                    else:
                        due.put_nowait(order)
                due.put_nowait(None)
            self.progress.placing_s += time.monotonic() - began

    # --- placing --------------------------------------------------------------------------------

    async def _stock(self) -> None:
        """Put stock on hand once per run: the first order's id and the SKU are the key."""
        for sku, quantity in stock_for(self._orders).items():
            await restock(self._ask, self._urls, sku, quantity, f"{self._orders[0].order_id}:{sku}")

    async def _post(self, order: ShopOrder, group: asyncio.TaskGroup) -> None:
        async with self._gate:
            answer = await self._place(order, order.facts)
            if answer.status_code == 422:
                self._end(OrderOutcome(order, End.REFUSED))
            elif answer.status_code not in (200, 201):
                self._end(OrderOutcome(order, f"http {answer.status_code}"))
            elif order.second is not None:
                expected = 200 if order.second == order.facts else 409
                answer = await self._place(order, order.second)
                if answer.status_code != expected:
                    self._end(OrderOutcome(order, f"second: http {answer.status_code}"))
        self._is_placed(order, group)

    async def _place(self, order: ShopOrder, facts: OrderFacts) -> httpx2.Response:
        body = {**facts.to_dict(), "order_id": order.order_id, "flow": order.flow}
        del body["total_minor"]
        return await self._ask("POST", f"{self._urls['order']}/orders", body)

    async def _publish(
        self, due: "asyncio.Queue[ShopOrder | None]", group: asyncio.TaskGroup
    ) -> None:
        """Publish straight to the topic, as an external system does: key, body, flow header."""
        over = False
        while not over:
            waiting = [await due.get()]
            while len(waiting) < CHUNK and not due.empty():
                waiting.append(due.get_nowait())
            over = waiting[-1] is None
            chunk = [order for order in waiting if order is not None]
            events = [row for order in chunk for row in self._rows(order)]
            rows = [replace(row, id=n) for n, row in enumerate(events)]
            while True:
                try:
                    await asyncio.to_thread(self._publisher.publish, rows)
                    break
                except PublishFailed:
                    await asyncio.sleep(AGAIN_S)
            for order in chunk:
                self._is_placed(order, group)

    def _rows(self, order: ShopOrder) -> list[OutboxRow]:
        placed_at = datetime.fromtimestamp(int(time.time())).astimezone()
        return [
            OutboxRow(
                "order.events",
                order.order_id,
                (("flow", order.flow.encode()),),
                self._codec.body(
                    OrderPlaced(order_id=order.order_id, order=facts, placed_at=placed_at)
                ),
            )
            for facts in (order.facts, order.second)
            if facts is not None
        ]

    def _is_placed(self, order: ShopOrder, group: asyncio.TaskGroup) -> None:
        self._placed[order.order_id] = order
        self.progress.placed += 1
        if order.kind.acts is not None and order.order_id not in self.outcomes:
            group.create_task(self._act(order, *order.kind.acts))

    # --- people ---------------------------------------------------------------------------------

    async def _act(self, order: ShopOrder, when: ActionMoment, action: PersonAction) -> None:
        """Retry the action from its moment on until it is accepted or the order has an outcome."""
        while order.order_id not in self.outcomes:
            if await self._is_moment(order, when) and await self._do(order, action):
                return
            await asyncio.sleep(AGAIN_S)

    async def _is_moment(self, order: ShopOrder, when: ActionMoment) -> bool:
        if when in (ActionMoment.PLACED, ActionMoment.ASKED):
            return True  # an action that comes too early is refused and retried
        seen = await self._saga(order)
        wanted = "waiting" if when is ActionMoment.LABELLED else "done"
        steps = seen["steps"] if seen else ()
        return any(s["name"] == "shipping" and s["status"] == wanted for s in steps)

    async def _do(self, order: ShopOrder, action: PersonAction) -> bool:
        """Return True when the action is accepted or a cancellation is answered 409 (too late)."""
        who = {"actor": ACTOR, "reason": f"the kind {order.kind.name} says so"}
        if action is PersonAction.CANCEL:
            url = f"{self._urls['order']}/orders/{quote(order.order_id)}/cancel"
            answer = await self._ask("POST", url, who)
            return answer.status_code in (202, 409)
        verdict = {**who, "order_id": order.order_id, "step": "payment", "verdict": action}
        answer = await self._ask("POST", f"{self._urls['monitor']}/verdicts", verdict)
        return answer.status_code == 202

    # --- waiting --------------------------------------------------------------------------------

    async def _watch(self, orders: Sequence[ShopOrder]) -> None:
        while any(order.order_id not in self.outcomes for order in orders):
            active = await self._active()
            self._note((self.progress.placed, len(self.outcomes), active))
            ended = [
                o for i, o in self._placed.items() if i not in active and i not in self.outcomes
            ]
            await asyncio.gather(*(self._look(order) for order in ended))
            self._tell()
            await asyncio.sleep(AGAIN_S)

    def _note(self, seen: object) -> None:
        """Restart the standstill clock when an order was placed, has ended, or has a new event."""
        if seen != self._seen:
            self._seen, self._moved_at = seen, time.monotonic()

    async def _active(self) -> dict[str, str]:
        """Map each order in flight to the time of its last update at the monitor."""
        found: dict[str, str] = {}
        for status in ACTIVE:
            url = f"{self._urls['monitor']}/sagas?status={status}&limit=10000"
            answer = await self._ask("GET", url)
            found |= {r["order_id"]: r["updated_at"] for r in answer.raise_for_status().json()}
        return found

    async def _look(self, order: ShopOrder) -> None:
        """Record the outcome of an ended order; a late capture has to be refunded first."""
        async with self._looking:
            seen = await self._saga(order)
        if seen is None or seen["status"] in ACTIVE:
            return
        money = seen["ledger"]
        came_and_went = money["refunded_minor"] == money["captured_minor"] > 0
        late = order.kind.captured_late and seen["status"] == End.CANCELLED and not came_and_went
        if late and await self._may_be_captured(order):
            return
        self._end(outcome_of(order, seen))

    async def _may_be_captured(self, order: ShopOrder) -> bool:
        """Return False if all charges were declined or none exists: the undo came before the call.
        Ask the provider once; no answer counts as True, since retrying would delay other orders."""
        url = f"{self._urls['provider']}/v1/charges"
        try:
            answer = await self._client.get(url, params={"order_id": order.order_id})
        except httpx2.TransportError:
            return True
        return not answer.is_success or any(
            charge["status"] != "declined" for charge in answer.json()["data"]
        )

    def _tell(self) -> None:
        self.progress.ends = Counter(outcome.end for outcome in self.outcomes.values())
        self._report_progress(self.progress)

    async def _give_up(self) -> None:
        """Record the current status of every unfinished order as its outcome."""
        for order in self._orders:
            if order.order_id not in self.outcomes:
                try:
                    seen = await asyncio.wait_for(self._saga(order), AGAIN_S * 10)
                except TimeoutError:
                    seen = None
                outcome = f"still {seen['status']}" if seen else "never seen"
                self._end(OrderOutcome(order, outcome))

    def _end(self, outcome: OrderOutcome) -> None:
        self.outcomes.setdefault(outcome.order.order_id, outcome)
        self.ended_at.setdefault(outcome.order.order_id, time.monotonic())
        self.progress.ended = len(self.outcomes)

    async def _saga(self, order: ShopOrder) -> Mapping[str, Any] | None:
        answer = await self._ask("GET", f"{self._urls['monitor']}/sagas/{quote(order.order_id)}")
        found: Mapping[str, Any] | None = answer.json() if answer.status_code == 200 else None
        return found

    def _ask(self, method: str, url: str, body: Any = None) -> Coroutine[Any, Any, httpx2.Response]:
        return ask(self._client, method, url, body)


Ask = Callable[..., Coroutine[Any, Any, httpx2.Response]]


async def ask(
    client: httpx2.AsyncClient, method: str, url: str, body: Any = None
) -> httpx2.Response:
    """Repeat a request until its answer is below 500; every request here is idempotent."""
    while True:
        try:
            answer = await client.request(method, url, json=body)
            if answer.status_code < 500:
                return answer
        except httpx2.TransportError:
            pass  # no connection: a restart or a rehearsed outage
        await asyncio.sleep(AGAIN_S)


async def restock(
    request: Ask, urls: Mapping[str, str], sku: str, quantity: int, cause: str
) -> None:
    """Put units on hand, once for each `cause`. Raises httpx2.HTTPStatusError."""
    body = {
        "sku": sku,
        "quantity": quantity,
        "actor": ACTOR,
        "reason": "stock for the orders to come",
        "id": str(uuid5(NAMESPACE, cause)),
    }
    answer = await request("POST", f"{urls['inventory']}/stock", body)
    answer.raise_for_status()
