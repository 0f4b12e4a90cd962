"""Reduces a broken seed to fewer sagas and fewer faults, and tells the story that is left."""

from collections.abc import Collection, Iterator
from dataclasses import dataclass, replace
from typing import Any

from saga_lab.simulation.fault_rates import FAULTS
from saga_lab.simulation.interface import Simulation
from saga_lab.simulation.runner import build_world, run_world
from saga_lab.simulation.world import World

SCHEDULES = 20
"""Schedules to try, besides the case's own, before a smaller case counts as passing."""
LINES = 40


@dataclass(frozen=True, slots=True)
class FailingCase:
    """Names a run to repeat. `sagas`: their numbers; `without` and `schedule`: see `World`."""

    simulation: Simulation[Any, Any]
    seed: int
    sagas: tuple[int, ...]
    without: tuple[str, ...] = ()
    schedule: int = 0

    def run(self) -> tuple[World[Any], list[str]]:
        """Run the case; return the world at its end and the violations."""
        world, stories = build_world(
            self.simulation, self.seed, self.sagas, without=self.without, schedule=self.schedule
        )
        return world, run_world(self.simulation, world, stories)

    def command(self) -> str:
        """Return the shell command that runs the case again."""
        text = f"saga sim --seeds 1 --from {self.seed} --only {_listed(self.sagas)}"
        text += f" --without {_listed(self.without)}" if self.without else ""
        return text + (f" --schedule {self.schedule}" if self.schedule else "")


def shrink(case: FailingCase) -> FailingCase:
    """Return the smallest case found: leave out sagas, then faults, while something breaks."""
    smaller = next((c for c in map(_still_broken, _smaller(case)) if c), None)
    return case if smaller is None else shrink(smaller)


def _smaller(case: FailingCase) -> Iterator[FailingCase]:
    if len(case.sagas) > 1:
        yield from (replace(case, sagas=(n,)) for n in case.sagas)
        for left_out in case.sagas:
            yield replace(case, sagas=tuple(n for n in case.sagas if n != left_out))
    world, _ = build_world(case.simulation, case.seed, case.sagas, without=case.without)
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


def story(world: World[Any], found: Collection[str]) -> list[str]:
    """Return the last `LINES` lines of events and faults of the sagas that broke.

    If no violation names a saga, the lines of all sagas are shown.
    """
    sagas = set(world.sagas)
    named = {o for o in sagas if any(o in envelope.replace(":", " ").split() for envelope in found)}
    chosen = named or sagas
    lines = [
        (note.at, f"! {note.text}") for note in world.diary if not note.sagas or note.sagas & chosen
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
