"""Runs the order saga as `saga up` does, and places orders over HTTP.

Payment, carrier and mail server are the fakes, reached over HTTP and SMTP. Their CPU is told apart.
"""

import asyncio
import time
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass

import aiohttp
import httpx2

from benchmarks.figures import Figures, WrongEnds, quantiles_ms
from benchmarks.platform_contender import PlatformDeployment
from benchmarks.testbed import Meter, start_testbed
from saga_lab.workload import key_of
from services.notification.decide import MailKind
from shop.workload import ShopOrder

PLACED = 201
ALL_MAILS = 100_000


@dataclass(frozen=True)
class OverHttp:
    """Contender `platform`, over HTTP and SMTP. `orders`: how many are placed at once."""

    name: str = "platform"
    orders: int = 300

    @contextmanager
    def deploy(self) -> Iterator["HttpDeployment"]:
        """See `Contender`."""
        with start_testbed(only=()) as testbed:
            yield HttpDeployment(testbed)


class HttpDeployment(PlatformDeployment):
    """The running stack, with its fakes."""

    def place(self, orders: Sequence[ShopOrder], rate: float | None = None) -> Figures:
        """See `Deployment`. The latency is that from the request to the confirmation mail."""
        self._add_stock(orders)
        fakes = self.testbed.outside
        meter, outside = Meter(self.testbed, fakes), Meter(self.testbed, only=fakes)
        begun = time.perf_counter()
        posted_at = asyncio.run(_post(self.testbed.url("order"), orders, rate))
        self._wait(orders)
        seconds = time.perf_counter() - begun
        cpu, memory = meter.read(len(orders))
        outside_cpu, _ = outside.read(len(orders))
        ends = self._ends(orders)
        p50_ms, p99_ms = quantiles_ms(self._confirmed_after_s(posted_at))
        return Figures(
            len(orders), seconds, p50_ms, p99_ms, cpu, memory, ends, sum(outside_cpu.values())
        )

    def _confirmed_after_s(self, posted_at: dict[str, float]) -> list[float]:
        """Return the seconds from each request to its confirmation mail, where there is one."""
        found = httpx2.get(f"{self.testbed.url('mail')}/v1/mails", params={"limit": ALL_MAILS})
        return [
            mail["received_at"] - posted_at[mail["reference"]]
            for mail in found.raise_for_status().json()["data"]
            if mail["kind"] == MailKind.CONFIRMED and mail["reference"] in posted_at
        ]


async def _post(url: str, orders: Sequence[ShopOrder], rate: float | None) -> dict[str, float]:
    """Place orders at once, or `rate` a second. Return when each saga's request was sent."""
    posted_at: dict[str, float] = {}

    async def place(order: ShopOrder, after_s: float) -> None:
        body = {**order.facts.to_dict(), "order_id": order.order_id, "flow": order.flow}
        del body["total_minor"]
        await asyncio.sleep(after_s)
        posted_at[key_of(order)] = time.time()
        async with client.post(f"{url}/orders", json=body) as answer:
            if answer.status != PLACED:
                raise WrongEnds(f"{order.order_id}: {answer.status} {await answer.text()}")

    async with (
        aiohttp.ClientSession(connector=aiohttp.TCPConnector(limit=0)) as client,
        asyncio.TaskGroup() as group,
    ):
        for number, order in enumerate(orders):
            group.create_task(place(order, number / rate if rate else 0.0))
    return posted_at
