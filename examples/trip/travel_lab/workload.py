"""Places trips of every kind and plays their customers: the `workload` of the manifest.

A trip's content (car class, cards, mailbox) chooses how the suppliers treat it, as
`travel_lab.outside.machine` says; the customer does the rest.
"""

import random
from collections.abc import Sequence
from dataclasses import dataclass, field
from typing import Any

from saga_lab.workload import End, Entrance, SagaKind, StackClient, Workload, key_of, mixed
from trips import FLOWS

(FLOW,) = FLOWS
OPEN_S, SHORT_S = 86_400, 1
"""Change windows: a day, for trips that do not live to see its end, and as good as none."""


@dataclass(frozen=True, slots=True)
class TripKind(SagaKind):
    """Describes a kind of trip.

    `window_s`: for how long the stay may be changed; `act`: what the customer does (`change`,
    `cancel`), once the step `when` has the status `is_at`; without a step at once.
    """

    car: str = "compact"
    hotel_card: str = "tok"
    flight_card: str = "tok"
    mailbox: str = ""
    window_s: int = SHORT_S
    act: str = ""
    when: str = ""
    is_at: str = ""


DONE, UNDONE = End.COMPLETED, End.CANCELLED
KINDS: tuple[TripKind, ...] = (
    TripKind("plain", DONE, "nothing special", share=10),
    # car
    TripKind("no_car", UNDONE, "the rental has no car", car="refused"),
    TripKind("car_500", DONE, "the rental fails twice", car="500:2"),
    TripKind("car_lost", DONE, "reserved, but the answer is lost", car="lost"),
    # hotel
    TripKind("declined", UNDONE, "the pre-authorisation is declined", hotel_card="refused"),
    TripKind("hold_lost", DONE, "held, but the answer is lost", hotel_card="lost"),
    TripKind(
        "changed", DONE, "the customer takes another hotel", share=3, window_s=3, act="change"
    ),
    TripKind(
        "change_declined",
        DONE,
        "the other hotel is above the card's limit",
        hotel_card="limit:50000",
        window_s=3,
        act="change",
    ),
    TripKind(
        "expired",
        UNDONE,
        "the pre-authorisation expires in the change window",
        share=2,
        hotel_card="expires:1",
        window_s=OPEN_S,
    ),
    TripKind(
        "silent", UNDONE, "the payer is silent: times out", hotel_card="silent", times_out=True
    ),
    # flight
    TripKind("sold_out", UNDONE, "the flight is sold out", share=2, flight_card="refused"),
    TripKind("flight_500", DONE, "the airline fails three times", flight_card="500:3"),
    TripKind("flight_lost", DONE, "bought, but the answer is lost", flight_card="lost"),
    TripKind(
        "undo_500",
        UNDONE,
        "sold out, and car and hotel fail twice to undo it",
        car="undo-500:2",
        hotel_card="undo-500:2",
        flight_card="refused",
    ),
    # the customer
    TripKind("cancelled_at_once", UNDONE, "cancelled at once", window_s=OPEN_S, act="cancel"),
    TripKind(
        "cancelled",
        UNDONE,
        "cancelled in the change window",
        share=2,
        window_s=OPEN_S,
        act="cancel",
        when="hotel",
        is_at="waiting",
    ),
    TripKind(
        "cancelled_too_late",
        DONE,
        "cancelled when the flight is bought: refused",
        mailbox="500:4+",
        act="cancel",
        when="flight",
        is_at="done",
    ),
    TripKind("bounced_mail", DONE, "the mail cannot be delivered", mailbox="refused+"),
)


@dataclass(frozen=True, slots=True)
class PlannedTrip:
    """Describes a trip to place. `body`: of its `PUT`; `other_stay`: what a change asks for."""

    saga_id: str
    kind: TripKind
    body: dict[str, Any]
    other_stay: dict[str, Any]
    flow: str = FLOW.label(FLOW.default_version)
    entrance: Entrance = field(default=Entrance.HTTP)

    @property
    def end(self) -> End:
        """Return the expected end."""
        return self.kind.end


class Trips(Workload[PlannedTrip]):
    """Plays customers over the HTTP API of itinerary."""

    @property
    def kinds(self) -> Sequence[TripKind]:
        """Every kind of trip."""
        return KINDS

    def sagas(self, run: str, seed: int, count: int) -> Sequence[PlannedTrip]:
        """Draw the trips of a run."""
        in_turn = mixed(KINDS)
        return [_trip(run, seed, number, in_turn[number % len(in_turn)]) for number in range(count)]

    async def place(self, stack: StackClient, saga: PlannedTrip) -> str | None:
        """Book a trip."""
        answer = await stack.ask("itinerary", "PUT", f"/trips/{saga.saga_id}", saga.body)
        return None if answer.status_code == 202 else f"http {answer.status_code}"

    def start_events(self, saga: PlannedTrip) -> Sequence[Any]:
        """Return nothing: only itinerary publishes trips."""
        return ()

    async def act(self, stack: StackClient, saga: PlannedTrip) -> bool:
        """Change or cancel a trip, if its kind says so and its moment has come."""
        kind = saga.kind
        if not kind.act:
            return True
        if kind.when:
            seen = await stack.saga(key_of(saga))
            steps = seen["steps"] if seen else ()
            if not any(s["name"] == kind.when and s["status"] == kind.is_at for s in steps):
                return False
        path = f"/trips/{saga.saga_id}"
        if kind.act == "change":
            answer = await stack.ask("itinerary", "PUT", f"{path}/stay", saga.other_stay)
        else:
            answer = await stack.ask("itinerary", "DELETE", path)
        return answer.status_code in (202, 409)  # 409: too late to change


def _trip(run: str, seed: int, number: int, kind: TripKind) -> PlannedTrip:
    chance = random.Random(f"{seed}/{number}")
    saga_id = f"{run}-{number:04d}-{kind.name}"
    body = {
        "email": f"{kind.mailbox}{saga_id}@customer.example",
        "currency": chance.choice(("EUR", "JPY", "USD")),
        "car_class": kind.car,
        "stay": {"hotel": "Ritz", "nights": 2, "amount_minor": chance.randint(10_000, 50_000)},
        "hotel_card": kind.hotel_card,
        "flight": f"XY {number}",
        "fare_minor": chance.randint(10_000, 90_000),
        "flight_card": kind.flight_card,
        "window_s": kind.window_s,
    }
    other = {"hotel": "Plaza", "nights": 3, "amount_minor": chance.randint(50_001, 90_000)}
    return PlannedTrip(saga_id, kind, body, other)


WORKLOAD = Trips()
