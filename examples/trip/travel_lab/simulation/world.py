"""Plays trips: participants and suppliers in memory, their customers, and what must hold."""

import random
from collections.abc import Callable, Iterable, Iterator, Sequence
from dataclasses import replace
from datetime import timedelta
from functools import cache
from typing import Any, TypeAlias

from saga_lab.fakes.machine import Timer
from saga_lab.simulation.interface import Simulation, key_of
from saga_lab.simulation.outside import Later, Outside
from saga_lab.simulation.world import START, World
from saga_monitor.saga.view import Status
from sagakit import Callback, Command, Contract, Effect, Event, Participant, Store
from sagakit.contract.platform import SagaPaused
from sagakit.flow.model import Flows
from sagakit.messages.envelope import Envelope
from sagakit.store.memory import MemoryStore
from travel.car.decide import Car
from travel.car.service import participant as car
from travel.flight.decide import Flight
from travel.flight.service import participant as flight
from travel.hotel.decide import Hotel
from travel.hotel.service import participant as hotel
from travel.hotel.service import too_early
from travel.itinerary.decide import Itinerary
from travel.itinerary.service import participant as itinerary
from travel_lab.outside.memory import MemorySuppliers
from travel_lab.rules import Books, broken_rules, false_claims, kept
from travel_lab.simulation.story import TripStory, draw
from trips import CONTRACT
from trips.events import StayChangeRequested, TripCancelRequested, TripPlaced


class TravelOutside(Outside):
    """Plays the suppliers. `clock_s`: the world's clock, in Unix seconds."""

    def __init__(self, rng: random.Random, later: Later, trouble: float) -> None:
        super().__init__(rng, later, trouble)
        self.clock_s: Callable[[], float] = START.timestamp
        self.suppliers = MemorySuppliers(lambda: self.clock_s(), self._run_out_later)

    def carry_out(self, effect: Effect) -> Any:
        """Carry out an effect whose call arrived, and return its result."""
        return self.suppliers.perform(effect)

    def books(self, saga: str) -> Books:
        """Return what the suppliers' ledgers hold of a trip."""
        s = self.suppliers
        ledgers = {"car": s.rental, "hotel": s.payer, "flight": s.airline, "mail": s.mail}
        return {name: [b.view() for b in led.bookings(saga)] for name, led in ledgers.items()}

    def false_claims(self, envelope: Envelope) -> Iterable[str]:
        """Return what a new event claims that the ledgers do not say."""
        return false_claims(envelope.event, self.books(envelope.key))

    def _run_out_later(self, saga: str, timer: Timer) -> None:
        """Let a timer run out at its first delivery; a repeated delivery reports the same."""

        @cache
        def report() -> Any:
            return self.suppliers.payer.timer_due(timer)

        self.later(timedelta(seconds=timer.after_s), "hotel", saga, Callback(report))


TripWorld: TypeAlias = World[TravelOutside]


class TripSimulation(Simulation[TravelOutside, TripStory]):
    """Plays trips of every kind. Without people nobody changes, cancels or pauses one."""

    direct = ()
    folded = ("itinerary", "car", "hotel", "flight")

    @property
    def contract(self) -> Contract:
        """The trip's contract."""
        return CONTRACT

    def participants(self) -> Sequence[tuple[Participant[Any], Store[Any]]]:
        """Return the participants, each with a new store in memory."""
        return [
            (itinerary(), MemoryStore(Itinerary())),
            (car(), MemoryStore(Car())),
            (hotel(), MemoryStore(Hotel())),
            (flight(), MemoryStore(Flight())),
        ]

    def outside(self, rng: random.Random, later: Later, trouble: float) -> TravelOutside:
        """Return new suppliers."""
        return TravelOutside(rng, later, trouble)

    def webhook_too_early(self, participant: str, state: Any, report: Any) -> bool:
        """Return whether a report would come before the answer to the hold that it is about."""
        return too_early(state, report) is not None

    def stories(
        self, seed: int, numbers: Iterable[int], flows: Flows, *, people: bool
    ) -> Sequence[TripStory]:
        """Draw the trips of a seed."""
        labels = [flow.label(version) for flow in flows for version in flow.versions]
        rngs = [(random.Random(f"{seed}:story:{n}"), n) for n in numbers]
        stories = [draw(rng, n, rng.choice(labels)) for rng, n in rngs]
        return stories if people else [story.without_people() for story in stories]

    def prepare(
        self, world: TripWorld, seed: int, stories: Sequence[TripStory], *, people: bool
    ) -> None:
        """Give the suppliers the world's clock."""
        world.outside.clock_s = lambda: world.now.timestamp()

    def begin(self, world: TripWorld, story: TripStory) -> None:
        """Place a trip, and schedule what its customer does."""
        saga, change_until = key_of(story), int(world.now.timestamp()) + story.facts.change_until
        trip = replace(story.facts, change_until=change_until)

        def ask(event: Event) -> None:
            command = Command(event.type, "customer", "", event)
            world.submit_command("itinerary", saga, command, story.flow)

        for _ in range(2 if story.twice else 1):
            ask(TripPlaced(trip_id=story.trip_id, trip=trip))
        for after, stay in story.changes:
            change = StayChangeRequested(trip_id=story.trip_id, stay=stay)
            world.after(after, lambda c=change: ask(c))  # type: ignore[misc]
        if story.cancel_after is not None:
            cancel = TripCancelRequested(trip_id=story.trip_id, reason="changed my mind")
            world.after(story.cancel_after, lambda: ask(cancel))
        if story.paused is not None:
            paused = SagaPaused(saga_id=story.trip_id, actor="ada", reason="a question")
            world.after(story.paused[0], lambda: world.publish(paused, saga, story.flow))
            through = sum(story.paused, timedelta())
            world.after(through, lambda: world.operator.resume(saga))

    def violations(self, world: TripWorld, stories: Sequence[TripStory]) -> Iterable[str]:
        """Return what is wrong with trips and ledgers at the end of a run."""
        for story in stories:
            saga = key_of(story)
            yield from (f"{saga}: {wrong}" for wrong in _violations(world, saga, story))


def _violations(world: TripWorld, saga: str, story: TripStory) -> Iterator[str]:
    seen, books = world.monitor.view(saga), world.outside.books(saga)
    if seen.status not in (Status.COMPLETED, Status.CANCELLED):
        yield f"ended nowhere: {seen.status}, awaited {[a.step for a in seen.awaited]}"
    events = [e.event for e in world.log.envelopes() if e.key == saga]
    yield from broken_rules(seen.status, events, books)
    for payer in ("hotel", "flight"):
        known, has = sum(b.held for b in seen.balances if b.name == payer), kept(books[payer])
        if known != has:
            yield f"the monitor knows of {known} for the {payer}, its payer has {has}"
    hindered = any(key == saga for m in world.monitors for key, _, _ in m.emissions)
    if story.benign and not hindered and seen.status is not Status.COMPLETED:
        yield f"{seen.status}, though nothing went wrong"
