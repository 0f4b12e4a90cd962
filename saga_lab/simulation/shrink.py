"""Reduces a broken seed to fewer orders and fewer faults, and tells the story that is left."""

from collections.abc import Collection, Iterator
from dataclasses import dataclass, replace

from saga_lab.simulation.fault_rates import FAULTS
from saga_lab.simulation.runner import build_world, run_world
from saga_lab.simulation.world import World

SCHEDULES = 20
"""Schedules to try, besides the case's own, before a smaller case counts as passing."""
LINES = 40


@dataclass(frozen=True, slots=True)
class FailingCase:
    """Names a run to repeat. `orders`: order numbers; `without` and `schedule`: see `World`."""

    seed: int
    orders: tuple[int, ...]
    without: tuple[str, ...] = ()
    schedule: int = 0

    def run(self) -> tuple[World, list[str]]:
        """Run the case; return the world at its end and the violations."""
        orders = self.orders
        world, stories = build_world(
            self.seed, orders, without=self.without, schedule=self.schedule
        )
        return world, run_world(world, stories)

    def command(self) -> str:
        """Return the shell command that runs the case again."""
        text = f"saga sim --seeds 1 --from {self.seed} --only {_listed(self.orders)}"
        text += f" --without {_listed(self.without)}" if self.without else ""
        return text + (f" --schedule {self.schedule}" if self.schedule else "")


def shrink(case: FailingCase) -> FailingCase:
    """Return the smallest case found: leave out orders, then faults, while something breaks."""
    smaller = next((c for c in map(_still_broken, _smaller(case)) if c), None)
    return case if smaller is None else shrink(smaller)


def _smaller(case: FailingCase) -> Iterator[FailingCase]:
    if len(case.orders) > 1:
        yield from (replace(case, orders=(n,)) for n in case.orders)
        for left_out in case.orders:
            yield replace(case, orders=tuple(n for n in case.orders if n != left_out))
    world, _ = build_world(case.seed, case.orders, without=case.without)
    left = world.drawn_rates.named()
    if len(left) > 1:
        yield replace(case, without=FAULTS)
    yield from (replace(case, without=(*case.without, fault)) for fault in left)


def _still_broken(case: FailingCase) -> FailingCase | None:
    for schedule in (case.schedule, *range(SCHEDULES)):
        tried = replace(case, schedule=schedule)
        if tried.run()[1]:
            return tried
    return None


def story(world: World, found: Collection[str]) -> list[str]:
    """Return the last `LINES` lines of events and faults of the orders that broke.

    If no violation names an order, the lines of all orders are shown.
    """
    orders = set(world.outside.behaviours)
    named = {
        o for o in orders if any(o in envelope.replace(":", " ").split() for envelope in found)
    }
    chosen = named or orders
    lines = [
        (note.at, f"! {note.text}")
        for note in world.diary
        if not note.orders or note.orders & chosen
    ]
    seen = set()
    for record in world.log.records():
        envelope = world.log.envelope(record)
        if envelope and envelope.key in chosen:
            again = " again" if envelope.id in seen else ""
            seen.add(envelope.id)
            lines.append(
                (
                    envelope.time,
                    f"  {envelope.key}: {envelope.source} says {envelope.event.type}{again}",
                )
            )
    lines_text = [f"{at:%d %H:%M:%S.%f}"[:-3] + f" {text}" for at, text in sorted(lines)]
    return lines_text[-LINES:]


def _listed(items: Collection[object]) -> str:
    return ",".join(map(str, items))
