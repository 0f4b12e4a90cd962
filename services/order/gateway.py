"""Compares facts that are sealed with facts in clear, which takes the customer's key."""

import asyncio
from typing import Any

from sagakit.decider import Effect
from sagakit.store.ports import Clock
from schemas.events import OrderFacts
from services.order.decide import Compared
from services.order.privacy import CustomerKeys, has_digest

ComparisonAnswer = Compared
"""The answer to a comparison of facts."""


class FactsComparison:
    """Performs the effect `compare`."""

    def __init__(self, keys: CustomerKeys, clock: Clock) -> None:
        self._keys, self._clock = keys, clock

    async def compare(self, effect: Effect) -> ComparisonAnswer:
        """Tell whether the facts have the digest, as they are, sealed, or opened."""
        facts: Any = effect.payload["order"]
        order, wanted = OrderFacts.from_dict(facts), str(effect.payload["digest"])
        same = await asyncio.to_thread(has_digest, self._keys, wanted, order, self._clock())
        return Compared(same)
