"""Plays the four suppliers in memory, behind the gateways that call them in production."""

from collections.abc import Awaitable, Callable, Mapping
from typing import Any

from saga_lab.fakes.machine import AccountStep, ErrorAnswer, Timer
from sagakit import Effect, EffectFailed
from travel.car import decide as car
from travel.car.gateway import Rental
from travel.flight import decide as flight
from travel.flight.gateway import Airline
from travel.hotel import decide as hotel
from travel.hotel.gateway import REPORTS, Payer
from travel.itinerary import decide as itinerary
from travel.itinerary.gateway import MailService
from travel.supplier import NEVER_CANCELLED, kept
from travel_lab.outside import machine
from travel_lab.outside.machine import Account, Asked, Booking, Step

Started = Callable[[str, Timer], None]
"""Type of a function that is called when a timer starts for a saga."""


class MemorySupplier:
    """Has the methods of `travel.supplier.Supplier` and keeps its accounts by booking key."""

    def __init__(
        self,
        clock_s: Callable[[], float],
        started: Started = lambda saga, timer: None,
        *,
        paid_at_once: bool = False,
    ) -> None:
        self.accounts: dict[str, Account] = {}
        self._clock_s, self._started, self._paid_at_once = clock_s, started, paid_at_once

    def bookings(self, saga: str) -> list[Booking]:
        """Return a saga's bookings, without what was cancelled before it was made."""
        found = (account.booking for account in self.accounts.values())
        return [booking for booking in found if booking and booking.reference == saga]

    async def book(self, effect: Effect, **asked: Any) -> Mapping[str, Any]:
        """See `Supplier`."""
        account = self._account(effect.idempotency_key)
        content = Asked(effect.saga, **asked)
        new_id, paid = self._new_id(), self._paid_at_once
        step = machine.book(account, content, new_id, self._clock_s(), paid_at_once=paid)
        for timer in step.timers:
            self._started(effect.saga, timer)
        return self._answer(step)

    async def capture(self, effect: Effect, booked_as: str) -> Mapping[str, Any]:
        """See `Supplier`."""
        account = self._account(effect.key_of(booked_as))
        return self._answer(machine.capture(account, self._new_id()))

    async def cancel(self, effect: Effect, booked_as: str) -> Mapping[str, Any]:
        """See `Supplier`."""
        step = machine.cancel(self._account(effect.key_of(booked_as)), self._new_id())
        match step:
            case AccountStep(Account(booking=Booking() as booking), ErrorAnswer() as error) if (
                error.status,
                error.code,
            ) in NEVER_CANCELLED:
                self._keep(step)
                return kept(booking.view())
        return self._answer(step)

    async def look(self, effect: Effect, booked_as: str) -> Mapping[str, Any] | None:
        """See `Supplier`."""
        booking = self._account(effect.key_of(booked_as)).booking
        return booking.view() if booking and booking.reference == effect.saga else None

    def timer_due(self, timer: Timer) -> Any:
        """Let a timer run out; return the report for `Callback`, None if there is none."""
        step = machine.timer_due(self._account(timer.subject), timer.kind)
        self._keep(step)
        for webhook in step.webhooks:
            _, report = REPORTS[webhook.event_type](webhook.about.view())
            return report
        return None

    def _account(self, key: str) -> Account:
        return self.accounts.get(key, Account(key))

    def _new_id(self) -> str:
        return f"bk_{len(self.accounts) + 1}"

    def _keep(self, step: Step) -> None:
        self.accounts[step.account.key] = step.account

    def _answer(self, step: Step) -> Mapping[str, Any]:
        self._keep(step)
        match step.answer:
            case ErrorAnswer(status, code, message):
                raise EffectFailed(f"{status} {code}: {message}")
            case Booking() as booking if not step.answer_lost:
                return booking.view()
        raise EffectFailed("the answer was lost")


class MemorySuppliers:
    """Holds the four suppliers, and performs effects by the gateways."""

    def __init__(self, clock_s: Callable[[], float], started: Started) -> None:
        self.rental = MemorySupplier(clock_s)
        self.payer = MemorySupplier(clock_s, started)
        self.airline = MemorySupplier(clock_s, paid_at_once=True)
        self.mail = MemorySupplier(clock_s)
        rental, payer = Rental(self.rental), Payer(self.payer)
        airline, mail = Airline(self.airline), MailService(self.mail)
        self._perform: Mapping[str, Callable[[Effect], Awaitable[Any]]] = {
            car.RESERVE: rental.reserve,
            car.CANCEL: rental.cancel,
            hotel.HOLD: payer.hold,
            hotel.VOID: payer.release,
            hotel.CAPTURE: payer.capture,
            hotel.RELEASE: payer.release,
            hotel.LOOK: payer.look,
            flight.BUY: airline.buy,
            flight.REFUND: airline.refund,
            itinerary.MAIL: mail.mail,
        }

    def perform(self, effect: Effect) -> Any:
        """Perform an effect at once: nothing in memory is waited for. Raises EffectFailed."""
        performing = self._perform[effect.kind](effect).__await__()
        try:
            next(performing)
        except StopIteration as done:
            return done.value
        raise AssertionError(f"{effect.kind} waits for something")
