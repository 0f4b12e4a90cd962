"""Draws the plan of one trip: its content, how the suppliers treat it, what the customer does.

Everything is drawn from the seed before the run starts.
"""

import random
from dataclasses import dataclass, replace
from datetime import timedelta

from trips.events import Stay, TripFacts

WINDOWS_S = (10, 600, 86_400)
LIMIT_MINOR = 60_000
"""Above it the card `limit:60000` holds nothing."""
CARDS = ("tok",) * 10 + ("refused", f"limit:{LIMIT_MINOR}", "silent", "lost", "500:2", "books:1")
FLIGHT_CARDS = ("tok",) * 8 + ("refused", "lost", "500:2", "undo-500:2", "undo-refused", "books:1")
CARS = ("compact",) * 8 + ("refused", "lost", "500:2", "undo-500:2", "undo-refused")


@dataclass(frozen=True, slots=True)
class TripStory:
    """Plans one trip.

    `facts`: their `change_until` is seconds from the placing; `place_after`: when it is placed;
    `changes`: when another stay is asked for, in seconds from then on; `cancel_after`: when it is
    cancelled, None: not at all; `twice`: it is placed a second time; `paused`: when, and for how
    long; `poisoned_after`: delay until garbage arrives, if the `poison` fault hits.
    """

    trip_id: str
    flow: str
    facts: TripFacts
    place_after: timedelta = timedelta()
    changes: tuple[tuple[timedelta, Stay], ...] = ()
    cancel_after: timedelta | None = None
    twice: bool = False
    paused: tuple[timedelta, timedelta] | None = None
    poisoned_after: timedelta = timedelta()

    @property
    def saga_id(self) -> str:
        """Return the saga id."""
        return self.trip_id

    @property
    def benign(self) -> bool:
        """Return whether the trip must complete when no fault hinders it."""
        good = ("tok", "lost", "500:2", "undo-500:2", "compact")
        treated = all(
            subject in good
            for subject in (self.facts.hotel_card, self.facts.flight_card, self.facts.car_class)
        )
        return treated and self.cancel_after is None

    def without_people(self) -> "TripStory":
        """Return the story in which nobody does anything but place the trip."""
        return replace(self, changes=(), cancel_after=None, paused=None)


def draw(rng: random.Random, number: int, flow: str) -> TripStory:
    """Draw a story for trip `number`."""
    window_s = rng.choice(WINDOWS_S)
    card = rng.choice((*CARDS, f"expires:{rng.choice((1, window_s // 2, 2 * window_s))}"))
    facts = TripFacts(
        email=f"{rng.choice(('c', 'c', 'c', 'refused+'))}{number}@customer.example",
        currency=rng.choice(("EUR", "JPY")),
        car_class=rng.choice(CARS),
        stay=_stay(rng),
        hotel_card=card,
        flight=f"XY {number}",
        fare_minor=rng.randint(1, 90_000),
        flight_card=rng.choice(FLIGHT_CARDS),
        change_until=window_s,
    )
    changes = rng.choice((0, 0, 0, 1, 1, 2, 3))
    return TripStory(
        f"t{number}",
        flow,
        facts,
        place_after=_soon(rng, 60),
        changes=tuple((_soon(rng, 1.2 * window_s), _stay(rng)) for _ in range(changes)),
        cancel_after=_soon(rng, rng.choice((0.1, 5, 1.2 * window_s)))
        if rng.random() < 0.3
        else None,
        twice=rng.random() < 0.2,
        paused=(_soon(rng, 120), _soon(rng, 86_400)) if rng.random() < 0.15 else None,
        poisoned_after=_soon(rng, 120),
    )


def _stay(rng: random.Random) -> Stay:
    hotel = rng.choice(("Ritz", "Inn", "Plaza"))
    return Stay(number=0, hotel=hotel, nights=2, amount_minor=rng.randint(1, 90_000))


def _soon(rng: random.Random, within_s: float) -> timedelta:
    return timedelta(milliseconds=rng.randint(0, int(within_s * 1000)))
