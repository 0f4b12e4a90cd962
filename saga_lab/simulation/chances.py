"""How likely what is: drawn per seed, each switched off by name to shrink a broken seed."""

import random
from collections.abc import Collection
from dataclasses import dataclass, fields, replace


@dataclass
class Chances:
    """All zero when the faults are off. Chances at each occasion, but for the last four.

    crash: a process dies at a named point; trouble: a call or its answer is lost; repeat: something
    published or delivered is so again; forget: offsets are not stored; linger: a batch, a claimed
    effect or an answer stays in hand for a while; pause: a process stands still, past its leases;
    stale: a former leader of the relay publishes its batch again, later; disorder: a relay goes on
    behind a row that was refused; outage: no broker for a while; poison: garbage under an order's
    key, or a participant too old for what comes of it; second: a second process consumes the same
    records, as after a rebalance, and a second monitor speaks; switch: processes begin with an
    older flow file and go over to today's one by one; skew_s: clocks of processes are off by up to
    this many seconds.
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
    second: float = 0.0
    switch: float = 0.0
    skew_s: float = 0.0

    @classmethod
    def draw(cls, rng: random.Random, without: Collection[str] = ()) -> "Chances":
        """Some runs are calm, some are hell. The draw is the same whatever is left out."""
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
        return replace(drawn, **dict.fromkeys(without, 0.0))

    def named(self) -> list[str]:
        """The faults that can happen."""
        return [f.name for f in fields(self) if getattr(self, f.name)]

    def calm(self) -> bool:
        """Nothing goes wrong."""
        return not self.named()


FAULTS = tuple(f.name for f in fields(Chances))
"""Their names."""
