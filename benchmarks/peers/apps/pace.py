"""Places the orders of a driver at a rate, as `benchmarks.orders.due` does for the others."""

import asyncio
import time
from collections.abc import AsyncIterator

POLL_S = 0.002


async def due(count: int, rate: float | None) -> AsyncIterator[range]:
    """Yield the numbers below `count` to place now.

    `rate`: orders a second; without it all are due at once.
    """
    begun, sent = time.perf_counter(), 0
    while sent < count:
        past_s = time.perf_counter() - begun
        upto = count if rate is None else min(count, int(past_s * rate) + 1)
        if upto > sent:
            yield range(sent, upto)
            sent = upto
        else:
            await asyncio.sleep(POLL_S)
