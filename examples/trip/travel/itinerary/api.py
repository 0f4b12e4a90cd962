"""Takes what customers want over HTTP: a trip, another stay, a cancellation.

Each request may be repeated: it says how things should be, so a repeat changes nothing.
"""

from collections.abc import Callable
from typing import Annotated
from uuid import uuid4

from fastapi import APIRouter, HTTPException, Path, Response
from pydantic import BaseModel, ConfigDict, Field

from sagakit import Clock, Command, Event, Receipt, Scope, TriggerPort, requires, saga_key
from travel.itinerary.decide import Itinerary, is_open
from trips import FLOWS
from trips.events import Stay, StayChangeRequested, TripCancelRequested, TripFacts, TripPlaced

(FLOW,) = FLOWS
DAY_S = 86_400
Text = Annotated[str, Field(min_length=1, max_length=128, pattern=r"^[!-~ ]+$")]
Minor = Annotated[int, Field(ge=1, le=10**12)]
TripId = Annotated[str, Path(pattern=r"^[A-Za-z0-9_-]{1,64}$")]


class _Request(BaseModel):
    model_config = ConfigDict(extra="forbid")


class StayRequest(_Request):
    """A stay at a hotel."""

    hotel: Text
    nights: int = Field(ge=1, le=365)
    amount_minor: Minor

    def stay(self) -> Stay:
        """Return the stay; the number of a change is given when it is decided."""
        return Stay(number=0, **self.model_dump())


class TripRequest(_Request):
    """A trip. `window_s`: seconds in which the stay may be changed."""

    email: Text
    currency: str = Field(pattern="^[A-Z]{3}$")
    car_class: Text
    stay: StayRequest
    hotel_card: Text
    flight: Text
    fare_minor: Minor
    flight_card: Text
    window_s: int = Field(DAY_S, ge=0, le=DAY_S)

    def facts(self, change_until: int) -> TripFacts:
        """Return the trip in the form that events carry."""
        plain = self.model_dump(exclude={"stay", "window_s"})
        return TripFacts(**plain, stay=self.stay.stay(), change_until=change_until)

    def is_same(self, placed: TripFacts) -> bool:
        """Return whether this is the trip that was placed."""
        return self.facts(placed.change_until) == placed


def routes(clock: Clock) -> Callable[[TriggerPort[Itinerary]], APIRouter]:
    """Return the builder of the routes under `/trips`."""

    def build(port: TriggerPort[Itinerary]) -> APIRouter:
        router = APIRouter(
            prefix="/trips/{trip_id}", tags=["trips"], dependencies=requires(Scope.PLACE)
        )

        async def ask(event: Event, trip_id: str, reason: str = "") -> Receipt[Itinerary]:
            label = FLOW.label(FLOW.default_version)
            command = Command(event.type, "customer", reason, event)
            return await port.submit(saga_key(FLOW.name, trip_id), command, uuid4(), flow=label)

        @router.put("", status_code=202)
        async def place(trip_id: TripId, asked: TripRequest) -> Response:
            """Book a trip. Answers 409 if the id is taken by another trip."""
            trip = asked.facts(int(clock().timestamp()) + asked.window_s)
            receipt = await ask(TripPlaced(trip_id=trip_id, trip=trip), trip_id)
            if receipt.state.trip is None or not asked.is_same(receipt.state.trip):
                raise HTTPException(409, f"trip {trip_id} is another trip; use another id")
            return Response(status_code=202)

        @router.put("/stay", status_code=202)
        async def change(trip_id: TripId, asked: StayRequest) -> Response:
            """Ask for another stay. Answers 409 once it is too late, 404 for an unknown trip."""
            event = StayChangeRequested(trip_id=trip_id, stay=asked.stay())
            _check(await ask(event, trip_id), trip_id, open_at=clock)
            return Response(status_code=202)

        @router.delete("", status_code=202)
        async def cancel(trip_id: TripId, reason: Text = "the customer cancelled") -> Response:
            """Ask for a cancellation; it applies until the flight is bought."""
            event = TripCancelRequested(trip_id=trip_id, reason=reason)
            _check(await ask(event, trip_id, reason), trip_id)
            return Response(status_code=202)

        return router

    return build


def _check(receipt: Receipt[Itinerary], trip_id: str, open_at: Clock | None = None) -> None:
    """Raise HTTPException unless the trip is known and, with `open_at`, may be changed then."""
    if receipt.state.trip is None:
        raise HTTPException(404, f"trip {trip_id} is not known; book it first")
    if open_at is not None and not is_open(receipt.state, open_at()):
        raise HTTPException(409, f"trip {trip_id} can no longer be changed")
