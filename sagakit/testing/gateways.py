"""Checks what every gateway promises the kit, whatever it calls.

An effect is performed at least once. So a gateway gives one result for one key however often it is
asked, and raises where the outcome is unknown: a result it only assumed would be booked.
"""

import asyncio
from collections.abc import Collection
from typing import Any

from sagakit.decider import Effect
from sagakit.effects.worker import Perform


async def check_idempotent(perform: Perform, effect: Effect, times: int = 3) -> Any:
    """Perform an effect one call after the other, then all at once; return its one result.

    Raises:
        AssertionError: two calls gave different results.
    """
    first = await perform(effect)
    for _ in range(times - 1):
        again = await perform(effect)
        assert again == first, f"{effect.key}: first {first}, then {again}"
    for again in await asyncio.gather(*(perform(effect) for _ in range(times))):
        assert again == first, f"{effect.key}: first {first}, side by side {again}"
    return first


async def check_failure_is_unknown(
    perform: Perform, effect: Effect, errors: Collection[type[Exception]]
) -> Exception:
    """Perform an effect whose provider fails, and return the error, which is one of `errors`.

    Another error passes through.

    Raises:
        AssertionError: a result came back though the outcome is unknown.
    """
    try:
        result = await perform(effect)
    except tuple(errors) as error:
        return error
    raise AssertionError(f"{effect.key}: {result} was returned while the outcome is unknown")
