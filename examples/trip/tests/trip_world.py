"""One trip in a world without faults: real participants and monitor, suppliers in memory."""

from dataclasses import dataclass, fields, replace
from datetime import timedelta
from typing import Any

from trip_examples import TRIP

from saga_lab.simulation.fault_rates import FaultRates
from saga_lab.simulation.interface import key_of
from saga_lab.simulation.invariants import violations
from saga_lab.simulation.runner import build_world
from saga_monitor.saga.view import Status
from travel_lab.rules import kept
from travel_lab.simulation import SIMULATION, TripStory
from trips.events import Stay

FAULTS = [rate.name for rate in fields(FaultRates)]
HOUR = timedelta(hours=1)
MOST_STEPS = 100_000


@dataclass(frozen=True)
class Outcome:
    """Reports what became of a trip.

    `paid`: minor units that hotel payer and airline keep; `mails`: kind -> text; `cases`: the codes
    of the interventions that were opened.
    """

    status: Status
    events: list[Any]
    paid: tuple[int, int]
    mails: dict[str, str]
    stay: str | None
    cases: set[str]

    @property
    def types(self) -> list[str]:
        """The events' types, in log order."""
        return [event.type for event in self.events]


def play(
    *, window: timedelta = 24 * HOUR, people: dict[str, Any] | None = None, **facts: Any
) -> Outcome:
    """Play a trip to its end, and check every invariant.

    `facts`: what the trip has instead of the example's; `people`: fields of its story.
    """
    trip = replace(TRIP, **facts, change_until=int(window.total_seconds()))
    story = TripStory("t1", "trip/1", trip, **(people or {}))
    world, _ = build_world(SIMULATION, 0, (), without=FAULTS)
    SIMULATION.prepare(world, 0, [story], people=True)
    saga = key_of(story)
    world.sagas = [saga]
    SIMULATION.begin(world, story)
    world.run(1, MOST_STEPS)
    assert violations(SIMULATION, world, [story]) == []
    books = world.outside.books(saga)
    events = sorted(
        (e for e in world.log.envelopes() if e.key == saga), key=lambda e: (e.time, e.id)
    )
    captured = [e.event for e in events if e.event.type == "HotelCaptured"]
    return Outcome(
        world.monitor.view(saga).status,
        [e.event for e in events],
        (kept(books["hotel"]), kept(books["flight"])),
        {row["key"].partition(":mail:")[2]: row["detail"] for row in books["mail"]},
        captured[0].stay.hotel if captured else None,
        {one.code for one in world.monitor.view(saga).interventions},
    )


def changes(*stays: tuple[timedelta, Stay]) -> dict[str, Any]:
    """Return the story of a customer who asks for other stays."""
    return {"changes": stays}


def cancels(after: timedelta) -> dict[str, Any]:
    """Return the story of a customer who cancels."""
    return {"cancel_after": after}
