"""Runs every contender in each round, in rotating order, on fresh servers."""

from collections import defaultdict
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass

from benchmarks.figures import Contender, Figures, median
from benchmarks.orders import orders

SATURATION, BURST, STEADY = "saturation", "burst", "steady"
BELOW_SATURATION = "80 % of own saturation"
"""The modes of a run. `steady` adds the rate to the name of a steady mode."""
SATURATION_SHARE = 0.8
"""The rate of the mode `BELOW_SATURATION`, as a share of the rate at saturation."""
BURST_ORDERS = 2000
"""How many orders a burst has, for every contender."""
MAX_WARM_UP, MIN_ORDERS = 1000, 20
Say = Callable[[str], None]


@dataclass(frozen=True)
class Plan:
    """Describes what to measure.

    `scale`: factor on the numbers of orders that are placed at once; `rates`: orders a second of
    the steady runs, each contender's own if empty; `seconds`: length of a run at a rate;
    `below_saturation`: also run at 80 % of saturation.
    """

    rounds: int = 3
    scale: float = 1.0
    rates: Sequence[int] = ()
    seconds: int = 20
    below_saturation: bool = True


Runs = Mapping[str, Sequence[Figures]]
"""Mode -> the runs of one contender, one per round."""


def compare(contenders: Sequence[Contender], plan: Plan, say: Say) -> dict[str, Runs]:
    """Run all rounds and return contender -> its runs.

    The first contender of a round is the last of the next round. So neither the contender before
    it nor warm caches favour one of them.
    """
    found: dict[str, defaultdict[str, list[Figures]]] = {
        contender.name: defaultdict(list) for contender in contenders
    }
    for number in range(plan.rounds):
        for contender in _rotate(contenders, number):
            for mode, figures in _measure(contender, plan, number, say):
                found[contender.name][mode].append(figures)
    return {name: dict(modes) for name, modes in found.items()}


def medians(found: Mapping[str, Runs]) -> dict[str, dict[str, Figures]]:
    """Return contender -> mode -> medians over the rounds."""
    return {
        name: {mode: median(runs) for mode, runs in modes.items()} for name, modes in found.items()
    }


def steady(rate: float) -> str:
    """Return the name of the steady mode at this rate."""
    return f"{STEADY} {rate:g}/s"


def _rotate(contenders: Sequence[Contender], number: int) -> list[Contender]:
    by = number % len(contenders)
    return [*contenders[by:], *contenders[:by]]


def _measure(contender: Contender, plan: Plan, number: int, say: Say) -> list[tuple[str, Figures]]:
    """Run a warm-up and then all modes of one contender on one deployment."""
    found = []

    def scaled(count: int) -> int:
        return max(MIN_ORDERS, round(count * plan.scale))

    def add(mode: str, figures: Figures) -> None:
        found.append((mode, figures))
        outside = f", the fakes {figures.outside_ms:.2f} ms" if figures.outside_ms else ""
        say(
            f"round {number + 1}, {contender.name}, {mode}: {figures.orders_a_second:.0f} orders/s,"
            f" last end after {figures.seconds:.1f} s, p50 {figures.p50_ms:.0f} ms,"
            f" CPU {figures.cpu_ms:.2f} ms an order{outside}"
        )

    with contender.deploy() as deployment:
        count = scaled(contender.orders)
        deployment.place(orders("warm", 1, min(MAX_WARM_UP, count)))
        full = deployment.place(orders("full", 2, count))
        add(SATURATION, full)
        add(BURST, deployment.place(orders("burst", 98, scaled(BURST_ORDERS))))
        for seed, rate in enumerate(plan.rates or contender.rates, 3):
            placed = orders(f"steady{rate}", seed, max(2, rate * plan.seconds))
            add(steady(rate), deployment.place(placed, rate))
        if plan.below_saturation:
            below = SATURATION_SHARE * full.orders_a_second
            placed = orders("below", 99, max(MIN_ORDERS, round(below * plan.seconds)))
            add(BELOW_SATURATION, deployment.place(placed, below))
    return found
