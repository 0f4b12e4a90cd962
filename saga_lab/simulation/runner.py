"""Runs seeds: `run_seed` returns a report, and the same seed returns the same report."""

from collections.abc import Collection, Sequence
from dataclasses import dataclass
from typing import Any

from saga_lab.application import Application
from saga_lab.simulation.fault_rates import FaultRates
from saga_lab.simulation.interface import S, Simulation, key_of, simulation_of
from saga_lab.simulation.invariants import violations
from saga_lab.simulation.played_application import O
from saga_lab.simulation.world import World
from sagakit.flow.model import Flows

FAULTY_STEPS = 4_000
MOST_STEPS = 20_000


@dataclass(frozen=True, slots=True)
class SeedReport:
    """Reports the run of one seed. `ends`: saga key -> status; `faults`: fault -> hits."""

    seed: int
    steps: int
    crashes: int
    ends: dict[str, str]
    violations: list[str]
    faults: dict[str, int]


def run_seed_of(
    application: Application,
    seed: int,
    sagas: int | Collection[int],
    without: Collection[str],
    schedule: int,
) -> SeedReport:
    """Run one world of an application, which a process of its own gets by its manifest."""
    simulation = simulation_of(application)
    return run_seed(simulation, seed, sagas, without=without, schedule=schedule)


def run_seed(
    simulation: Simulation[Any, Any],
    seed: int,
    sagas: int | Collection[int] = 6,
    *,
    without: Collection[str] = (),
    schedule: int = 0,
) -> SeedReport:
    """Run one world until nothing is left to do; the arguments are those of `build_world`."""
    world, stories = build_world(simulation, seed, sagas, without=without, schedule=schedule)
    found = run_world(simulation, world, stories)
    ends = {key_of(s): str(world.monitor.view(key_of(s)).status) for s in stories}
    crashes = sum(node.crashes for node in world.nodes.values())
    faults = {fault: n for fault, n in world.hits.items() if n}
    return SeedReport(seed, world.steps, crashes, ends, found, faults)


def run_world(
    simulation: Simulation[Any, Any], world: World[Any], stories: Sequence[Any]
) -> list[str]:
    """Run a world until nothing is left to do and return the violations.

    An exception is a violation too: no input may kill a service.
    """
    try:
        world.run(FAULTY_STEPS, MOST_STEPS)
        return violations(simulation, world, stories)
    except Exception as error:
        return [f"{type(error).__name__}: {error}"]


def build_world(
    simulation: Simulation[O, S],
    seed: int,
    sagas: int | Collection[int],
    *,
    people: bool = True,
    without: Collection[str] = (),
    schedule: int = 0,
    flows: Flows | None = None,
) -> tuple[World[O], Sequence[S]]:
    """Build a world with all its stories scheduled, ready to run.

    `sagas`: how many, or the numbers of the sagas to play. `people`: see `Simulation.stories`.
    `without`, `schedule`, `flows`: see `World`.
    """
    world = World(simulation, seed, None, without, schedule, flows)
    numbers = range(sagas) if isinstance(sagas, int) else sorted(sagas)
    stories = simulation.stories(seed, numbers, world.flows, people=people)
    world.sagas = [key_of(story) for story in stories]
    fault_rates, world.fault_rates = world.fault_rates, FaultRates()
    simulation.prepare(world, seed, stories, people=people)
    world.fault_rates = fault_rates
    for story in stories:
        world.after(story.place_after, lambda s=story: simulation.begin(world, s))  # type: ignore[misc]
        poison_at = story.place_after + story.poisoned_after
        world.after(poison_at, lambda s=story: world.operator.maybe_inject_bad_record(key_of(s)))  # type: ignore[misc]
        world.after(poison_at, lambda s=story: world.registry.maybe_fail(key_of(s)))  # type: ignore[misc]
    return world, stories
