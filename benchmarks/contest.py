"""Rounds in which every contender has its turn, each time in another order, on fresh servers."""

from collections import defaultdict
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass

from benchmarks.figures import Contender, Figures, median
from benchmarks.orders import orders

FULL, STEADY, NEARLY = "saturation", "steady", "80 % of own saturation"
"""The modes. `STEADY` is told with its rate."""
NEARLY_FULL = 0.8
MAX_WARM_UP = 1000
Say = Callable[[str], None]


@dataclass(frozen=True)
class Plan:
    """What is measured. `scale`: of each contender's saturation run; `rates`: orders a second."""

    rounds: int = 3
    scale: float = 1.0
    rates: Sequence[int] = (50,)
    seconds: int = 20
    nearly: bool = True


Runs = Mapping[str, Sequence[Figures]]
"""Mode -> the runs of one contender, a round each."""


def contest(contenders: Sequence[Contender], plan: Plan, say: Say) -> dict[str, Runs]:
    """Contender -> its runs. Who began goes last in the next round: neighbours and caches favour
    nobody."""
    found: dict[str, defaultdict[str, list[Figures]]] = {
        contender.name: defaultdict(list) for contender in contenders
    }
    for number in range(plan.rounds):
        for contender in _rotated(contenders, number):
            for mode, figures in _turn(contender, plan, number, say):
                found[contender.name][mode].append(figures)
    return {name: dict(modes) for name, modes in found.items()}


def medians(found: Mapping[str, Runs]) -> dict[str, dict[str, Figures]]:
    """Contender -> mode -> medians over the rounds."""
    return {
        name: {mode: median(runs) for mode, runs in modes.items()} for name, modes in found.items()
    }


def steady(rate: float) -> str:
    """The name of a steady mode."""
    return f"{STEADY} {rate:g}/s"


def _rotated(contenders: Sequence[Contender], number: int) -> list[Contender]:
    by = number % len(contenders)
    return [*contenders[by:], *contenders[:by]]


def _turn(contender: Contender, plan: Plan, number: int, say: Say) -> list[tuple[str, Figures]]:
    """One contender's modes on one deployment, after what a long run has behind it."""
    count = max(20, round(contender.orders * plan.scale))
    found = []

    def told(mode: str, figures: Figures) -> None:
        found.append((mode, figures))
        say(
            f"round {number + 1}, {contender.name}, {mode}: {figures.orders_a_second:.0f} orders/s,"
            f" p50 {figures.p50_ms:.0f} ms, CPU {figures.cpu_ms:.2f} ms an order"
        )

    with contender.deployed() as deployment:
        deployment.place(orders("warm", 1, min(MAX_WARM_UP, count)))
        full = deployment.place(orders("full", 2, count))
        told(FULL, full)
        for seed, rate in enumerate(plan.rates, 3):
            placed = orders(f"steady{rate}", seed, rate * plan.seconds)
            told(steady(rate), deployment.place(placed, rate))
        if plan.nearly:
            below = NEARLY_FULL * full.orders_a_second
            placed = orders("nearly", 99, max(20, round(below * plan.seconds)))
            told(NEARLY, deployment.place(placed, below))
    return found
