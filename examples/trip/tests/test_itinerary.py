"""Tests what itinerary decides, for every trigger in every state."""

from dataclasses import replace
from functools import partial
from typing import Any

import pytest
from trip_examples import BOOKED, CANCEL, INN, PLACED, REASON, RITZ, TRIP

from sagakit import Callback, Command, Decision, Do, EffectResult, Observed, Participant, Undo
from sagakit.testing import NOW, DecisionMatrix, MemoryStore, Past, emits, given, row_of
from travel.itinerary.decide import Itinerary, Mailed, decide, evolve
from travel.payload import effect_of
from trips import FLOWS
from trips.events import (
    CarReleased,
    FlightCancelRefused,
    ItinerarySent,
    NoticeSent,
    StayChangeRefused,
    StayChangeRequested,
)

ITINERARY = Participant("itinerary", decide, evolve, MemoryStore(Itinerary()))
CHANGE = StayChangeRequested(trip_id="t1", stay=INN)
REFUSED = StayChangeRefused(trip_id="t1", stay=INN, reason=REASON)
UNDONE = CarReleased(trip_id="t1", reason=REASON)
ELSEWHERE = replace(PLACED, trip=replace(TRIP, email="bob@customer.example"))
TOO_LATE = FlightCancelRefused(trip_id="t1", reason=REASON)
SENT = ItinerarySent(trip_id="t1")
TOLD = NoticeSent(trip_id="t1", kind="cancelled")


def mail(kind: str, reason: str = REASON) -> Any:
    """Return the call that sends a mail."""
    key, to = f"mail:{kind}", TRIP.email
    return effect_of("mail", key, "t1", to=to, mail=kind, reason=reason)


def sends(kind: str, reason: str = REASON) -> Decision:
    """Return the decision to send a mail."""
    return Decision(effects=(mail(kind, reason),))


STATES: dict[str, Any] = {
    "unknown": (),
    "placed": (PLACED,),
    "changed": (PLACED, CHANGE),
    "cancelled": (PLACED, CANCEL),
    "sent": (PLACED, SENT),
    "told": (PLACED, TOLD),
    "telling": Past((PLACED, CANCEL), ("mail:cancelled",)),
    "sending": Past((PLACED,), ("mail:itinerary",)),
}
row = partial(row_of, STATES)
ALL = tuple(STATES)
KNOWN = ALL[1:]


def known(decision: Decision, **other: Decision) -> dict[str, Decision]:
    """Return a row that is the same for every trip that is placed, but for `other`."""
    return row(**{**dict.fromkeys(KNOWN, decision), **other})


NONE = Decision()
MATRIX = DecisionMatrix(
    ITINERARY,
    Itinerary(),
    STATES,
    triggers={
        "place": Command("TripPlaced", "customer", "", PLACED),
        "change": Command("StayChangeRequested", "customer", "", replace(CHANGE, stay=INN)),
        "cancel": Command("TripCancelRequested", "customer", "", CANCEL),
        "read in the log": Observed("TripPlaced", PLACED),
        "another in the log": Observed("TripPlaced", ELSEWHERE),
        "do": Do(BOOKED),
        "undone": Observed("undone", UNDONE),
        "change refused": Observed("StayChangeRefused", REFUSED),
        "cancel refused": Observed("FlightCancelRefused", TOO_LATE),
        "sent": EffectResult(mail("itinerary", ""), Mailed()),
        "told": EffectResult(mail("cancelled"), Mailed()),
        "bounced": EffectResult(mail("cancelled"), Mailed("no such mailbox")),
        "undo": Undo(UNDONE, REASON),
        "callback": Callback(Mailed()),
        "verdict": Command("approve", "bob", "fine"),
    },
    cells={
        "place": row(unknown=emits(PLACED)),
        "change": row(**dict.fromkeys(("placed", "sent", "told", "sending"), emits(CHANGE))),
        "cancel": known(emits(CANCEL), cancelled=NONE, telling=NONE),
        "read in the log": row(unknown=Decision(adopted=(PLACED,))),
        "another in the log": row(**dict.fromkeys(ALL, Decision(adopted=(ELSEWHERE,)))),
        "do": known(sends("itinerary", ""), sent=NONE, sending=NONE),
        "undone": known(sends("cancelled"), told=NONE, telling=NONE),
        "change refused": known(sends("change-refused:1")),
        "cancel refused": known(sends("cancel-refused")),
        "sent": row(**dict.fromkeys(ALL, emits(SENT)) | {"sent": NONE}),
        "told": row(**dict.fromkeys(ALL, emits(TOLD)) | {"told": NONE}),
        "bounced": row(
            **dict.fromkeys(ALL, emits(replace(TOLD, refused="no such mailbox"))) | {"told": NONE}
        ),
        "undo": row(),
        "callback": row(),
        "verdict": row(),
    },
)


def test_the_matrix_is_complete() -> None:
    MATRIX.check_complete()
    MATRIX.check_triggers()
    MATRIX.check_routing(FLOWS)
    MATRIX.check_results([Mailed])


@pytest.mark.parametrize(("trigger", "state"), MATRIX.pairs)
def test_each_cell_of_the_matrix(trigger: str, state: str) -> None:
    MATRIX.check(trigger, state)


def test_each_change_has_a_number_of_its_own() -> None:
    again = Command("StayChangeRequested", "customer", "", replace(CHANGE, stay=RITZ))
    given(ITINERARY, Itinerary(), PLACED, CHANGE).when(again).then(
        replace(CHANGE, stay=replace(RITZ, number=2))
    )


def test_nothing_is_changed_when_the_window_is_over() -> None:
    over = replace(PLACED, trip=replace(TRIP, change_until=int(NOW.timestamp())))
    given(ITINERARY, Itinerary(), over).when(
        Command("StayChangeRequested", "customer", "", CHANGE)
    ).then_nothing()
