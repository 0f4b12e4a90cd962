"""Draws the probability of each fault from the seed. Shrinking a seed disables faults by name."""

import random
from collections.abc import Collection
from dataclasses import dataclass, fields, replace


@dataclass
class FaultRates:
    """Holds one probability per fault; all are zero when the faults are off.

    A value is the chance at each occasion, except for the last five: poison is drawn once per
    saga, second and switch are 1 or 0 for the whole run, skew_s is in seconds.

    crash: a process dies at a named point, or a monitor loses its gate; trouble: a call or its
    answer is lost; repeat: a published row or a delivered webhook is sent again; forget: offsets
    are not stored; linger: a polled batch, a claimed effect or an answer stays in memory for a
    while; pause: a process stops, possibly past its leases, or a monitor stops reading; stale: a
    former leader of the relay publishes its batch again, later; disorder: a relay publishes past a
    row that was refused; outage: no broker for a while; poison: garbage under a saga's key, or a
    participant too old for the saga's events; registry: drawn once per saga, the schema registry
    does not answer a participant for a while, or lacks the schema of the saga's events; second: a
    second process consumes the same records, as after a rebalance, and a second monitor emits;
    switch: processes start with an older flow file and move to today's one by one; skew_s: each
    process clock is off by up to this much.
    """

    crash: float = 0.0
    trouble: float = 0.0
    repeat: float = 0.0
    forget: float = 0.0
    linger: float = 0.0
    pause: float = 0.0
    stale: float = 0.0
    disorder: float = 0.0
    outage: float = 0.0
    poison: float = 0.0
    registry: float = 0.0
    second: float = 0.0
    switch: float = 0.0
    skew_s: float = 0.0

    @classmethod
    def draw(cls, rng: random.Random, without: Collection[str] = ()) -> "FaultRates":
        """Draw the fault_rates from the seed: some runs have no faults, others many.

        `without` sets fault_rates to zero afterwards, so it does not alter the draw of the others.
        """
        drawn = cls(
            crash=rng.choice((0.0, 0.01, 0.05, 0.2)),
            trouble=rng.choice((0.0, 0.02, 0.1, 0.3)),
            repeat=rng.choice((0.0, 0.02, 0.1, 0.3)),
            forget=rng.choice((0.0, 0.02, 0.1, 0.3)),
            linger=rng.choice((0.0, 0.1, 0.5)),
            pause=rng.choice((0.0, 0.0, 0.003, 0.02)),
            stale=rng.choice((0.0, 0.0, 0.1)),
            disorder=rng.choice((0.0, 0.0, 0.0, 0.2)),
            outage=rng.choice((0.0, 0.0, 0.002)),
            poison=rng.choice((0.0, 0.0, 0.0, 0.3)),
            second=rng.choice((0.0, 1.0)),
            skew_s=rng.choice((0.0, 0.0, 5.0, 7200.0)),
        )
        if rng.random() < 0.05:
            drawn = cls()
        elif rng.random() < 0.5:
            drawn.switch = 1.0
        if not drawn.calm():
            drawn.registry = rng.choice((0.0, 0.0, 0.0, 0.3))
        return replace(drawn, **dict.fromkeys(without, 0.0))

    def named(self) -> list[str]:
        """Return the names of the faults that can happen."""
        return [f.name for f in fields(self) if getattr(self, f.name)]

    def calm(self) -> bool:
        """Return whether no fault can happen."""
        return not self.named()


FAULTS = tuple(f.name for f in fields(FaultRates))
"""The names of all faults."""
