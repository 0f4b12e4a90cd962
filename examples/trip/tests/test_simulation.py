"""Simulated runs full of faults end as they must, and a planted bug is found."""

from collections.abc import Callable
from typing import Any

import pytest

from saga_lab.simulation.runner import run_seed
from sagakit import Decision
from travel.car import decide as car
from travel.flight import decide as flight
from travel.hotel import decide as hotel
from travel.payload import effect_of
from travel_lab.simulation import SIMULATION
from trips.events import FlightCancelled

SEEDS = range(12)
MOST_SEEDS = 60


@pytest.mark.parametrize("seed", SEEDS)
def test_a_run_full_of_faults_ends_as_it_must(seed: int) -> None:
    assert run_seed(SIMULATION, seed).violations == []


def _void_nothing(trip_id: str, stay: Any) -> Any:
    return effect_of(hotel.VOID, f"{hotel.VOID}:{stay.number}", trip_id, holds=[])


def _fence_while_buying(state: Any, trip_id: str, reason: str) -> Decision:
    return Decision((FlightCancelled(trip_id=trip_id, amount_minor=0, reason=reason),))


def _forget_the_cancellation(state: Any, trip_id: str, reason: str) -> Decision:
    undo = TRUE_CAR_UNDO(state, trip_id, reason)
    return Decision(undo.events)


TRUE_CAR_UNDO = car._undo
BUGS: dict[str, tuple[Any, str, Callable[..., Any]]] = {
    "a replaced hold stays": (hotel, "_void", _void_nothing),
    "an undo tells of no ticket while one is bought": (flight, "_undo", _fence_while_buying),
    "a car is never given back": (car, "_undo", _forget_the_cancellation),
}


@pytest.mark.parametrize("bug", BUGS)
def test_a_planted_bug_is_found(bug: str, monkeypatch: pytest.MonkeyPatch) -> None:
    module, name, broken = BUGS[bug]
    monkeypatch.setattr(module, name, broken)
    assert any(run_seed(SIMULATION, seed).violations for seed in range(MOST_SEEDS))
