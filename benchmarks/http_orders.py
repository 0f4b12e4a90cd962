"""Places orders over HTTP and measures what they cost, for any contender with an order API.

Provider, carrier and mail server are the fakes, reached over HTTP and SMTP. Their CPU is told
apart. The mail server's ledger says when each order was confirmed.
"""

import asyncio
import time
from collections.abc import Callable, Mapping, Sequence, Set

import aiohttp
import httpx2

from benchmarks.figures import Figures, WrongEnds, quantiles_ms
from benchmarks.testbed import Meter, Testbed
from saga_lab.workload import End
from shop.workload import ShopOrder

PLACED = 201
CONFIRMED = "confirmed"
MAX_CONNECTIONS = 500
"""How many requests are in flight at most; those of a burst beyond it wait for a connection."""
ALL_MAILS = 100_000
STALL_S, POLL_S = 60.0, 0.2


def measure(
    testbed: Testbed,
    orders: Sequence[ShopOrder],
    rate: float | None,
    *,
    reference: Callable[[ShopOrder], str],
    wait: Callable[[], object],
    ends: Callable[[], dict[str, int]],
) -> Figures:
    """Place the orders, at once or `rate` a second, and return the figures.

    `reference`: what a mail calls its order; `wait`: returns after the last end; `ends`: checks the
    tables and returns orders per kind. The latency is that from the request to the confirmation
    mail. Raises WrongEnds.
    """
    fakes = testbed.outside
    meter, outside = Meter(testbed, fakes), Meter(testbed, only=fakes)
    begun = time.perf_counter()
    sent_at = asyncio.run(_post(testbed, orders, rate))
    wait()
    seconds = time.perf_counter() - begun
    cpu, memory = meter.read(len(orders))
    outside_cpu, _ = outside.read(len(orders))
    sent_at = {reference(o): sent_at[o.order_id] for o in orders if o.end is End.COMPLETED}
    confirmed_at = _confirmed_at(testbed.url("mail"), sent_at.keys())
    latencies_s = [confirmed_at[name] - at for name, at in sent_at.items()]
    return Figures(
        len(orders),
        seconds,
        *quantiles_ms(latencies_s),
        cpu,
        memory,
        ends(),
        sum(outside_cpu.values()),
    )


def _confirmed_at(mail_url: str, wanted: Set[str]) -> Mapping[str, float]:
    """Return reference -> the Unix time of its confirmation mail, once all wanted ones are there.

    Raises WrongEnds if one is missing after `STALL_S`.
    """
    begun = time.monotonic()
    while True:
        found = httpx2.get(f"{mail_url}/v1/mails", params={"limit": ALL_MAILS}, timeout=STALL_S)
        confirmed_at = {
            mail["reference"]: mail["received_at"]
            for mail in found.raise_for_status().json()["data"]
            if mail["kind"] == CONFIRMED
        }
        if not (missing := wanted - confirmed_at.keys()):
            return confirmed_at
        if time.monotonic() - begun > STALL_S:
            some = min(missing)
            raise WrongEnds(f"{len(missing)} orders have no confirmation mail, {some} among them")
        time.sleep(POLL_S)


async def _post(
    testbed: Testbed, orders: Sequence[ShopOrder], rate: float | None
) -> dict[str, float]:
    """Place orders at once, or `rate` a second. Return order id -> the Unix time of its request."""
    sent_at: dict[str, float] = {}
    url = f"{testbed.url('order')}/orders"

    async def place(order: ShopOrder, after_s: float) -> None:
        body = {**order.facts.to_dict(), "order_id": order.order_id, "flow": order.flow}
        del body["total_minor"]
        await asyncio.sleep(after_s)
        sent_at[order.order_id] = time.time()
        async with client.post(url, json=body) as answer:
            if answer.status != PLACED:
                raise WrongEnds(f"{order.order_id}: {answer.status} {await answer.text()}")

    async with (
        aiohttp.ClientSession(
            headers=testbed.headers,
            connector=aiohttp.TCPConnector(limit=MAX_CONNECTIONS),
            timeout=aiohttp.ClientTimeout(total=None, sock_read=STALL_S),
        ) as client,
        asyncio.TaskGroup() as group,
    ):
        for number, order in enumerate(orders):
            group.create_task(place(order, number / rate if rate else 0.0))
    return sent_at
