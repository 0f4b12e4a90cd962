"""The monitor is gone, or stands still, for ten hours of a virtual day while orders flow. Back,
it undoes what is truly overdue, and nothing else."""

from collections.abc import Callable, Iterable
from datetime import timedelta

import pytest

from saga_lab.simulation.invariants import violations
from saga_lab.simulation.world import START
from saga_monitor.ingest.watermark import Watermark
from saga_monitor.saga.view import Status
from shop.simulation import SIMULATION, OrderWorld
from shop.simulation.outside import Behaviour
from shop.simulation.story import OrderStory
from tests.simulation.fault_free import calm_world, run, stand_still, story

STOPS, BACK = START + timedelta(hours=20), START + timedelta(hours=30)
PAYMENT_STOPS, PAYMENT_BACK = START + timedelta(hours=22), START + timedelta(hours=24)
"""Longer than its deadline of five minutes, and over before the monitor is back."""


def stories() -> tuple[list[OrderStory], list[OrderStory]]:
    """Those that go well, and those that are truly overdue when the monitor comes back."""
    minutes = timedelta(minutes=1)
    good, numbers = Behaviour(), iter(range(1000))
    confirmed_late = Behaviour(charge="later", delay=timedelta(hours=6))
    healthy = [
        *(story(next(numbers), STOPS + n * 5 * minutes, good) for n in range(120)),
        *(story(next(numbers), PAYMENT_STOPS + n * minutes, good) for n in range(20)),
        *(story(next(numbers), STOPS - n * 5 * minutes, confirmed_late) for n in range(20)),
    ]
    unconfirmed = Behaviour(charge="action_never")  # waits for 24 h
    overdue = [story(next(numbers), START + n * 10 * minutes, unconfirmed) for n in range(30)]
    return healthy, overdue


def gone(world: OrderWorld) -> None:
    """The process ends, and another begins on its database."""
    monitor = world.monitors.pop()

    def back() -> None:
        monitor.watermark = Watermark()
        world.monitors.append(monitor)

    world.after(BACK - STOPS, back)


def stopped(world: OrderWorld) -> None:
    """Nothing is read, and yet it looks at the clock and at the ends of the log."""
    world.monitor.reads_from = BACK


def play(how: str, stories: Iterable[OrderStory]) -> OrderWorld:
    """A world without any other fault, to its rest."""
    world = calm_world(stories)
    world.after(STOPS - START, lambda: {"gone": gone, "stopped": stopped}[how](world))

    stand_still(world, "payment", PAYMENT_STOPS - START, PAYMENT_BACK - PAYMENT_STOPS)
    run(world)
    return world


@pytest.mark.parametrize("how", ["gone", "stopped"])
def test_ten_hours_without_a_monitor(how: str, tell: Callable[[str], None]) -> None:
    healthy, overdue = stories()
    world = play(how, [*healthy, *overdue])
    assert violations(SIMULATION, world, [*healthy, *overdue]) == []

    def ends(stories: list[OrderStory]) -> set[Status]:
        return {seen.status for s in stories if (seen := world.monitor.view(s.saga))}

    assert ends(healthy) == {Status.COMPLETED}
    assert ends(overdue) == {Status.CANCELLED}
    asked = [e for e in world.log.envelopes() if e.event.type == "CompensationRequested"]
    assert {e.key for e in asked} == {s.saga for s in overdue}
    assert min(e.time for e in asked) > BACK
    took_s = (max(e.time for e in asked) - BACK).total_seconds()
    meanwhile = sum(STOPS < e.time <= BACK for e in world.log.envelopes())
    assert meanwhile > 5 * len(healthy)
    tell(
        f"{how} for {BACK - STOPS}: {meanwhile} events meanwhile, {len(healthy)} orders healthy "
        f"and left alone, {len(overdue)} overdue and undone within {took_s:.1f} s of its return"
    )
