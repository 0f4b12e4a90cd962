"""Writes the facts of a trip into effects and rows, and reads them back. Pure."""

from collections.abc import Mapping
from typing import Any

from sagakit import Effect
from trips.events import Stay, TripFacts


def effect_of(
    kind: str,
    key: str,
    trip_id: str,
    trip: TripFacts | None = None,
    stay: Stay | None = None,
    **more: Any,
) -> Effect:
    """Return an effect whose payload has the facts, so that its result needs nothing else."""
    known = (("trip", trip), ("stay", stay))
    facts = {name: fact.to_dict() for name, fact in known if fact is not None}
    return Effect(kind, key, {"trip_id": trip_id, **facts, **more})


def trip_id_in(effect: Effect) -> str:
    """Return the trip's id."""
    return str(effect.payload["trip_id"])


def trip_in(effect: Effect) -> TripFacts:
    """Return the trip's facts."""
    payload: Any = effect.payload
    return TripFacts.from_dict(payload["trip"])


def stay_in(effect: Effect) -> Stay:
    """Return the stay that the effect is about."""
    payload: Any = effect.payload
    return Stay.from_dict(payload["stay"])


def trip_from(row: Mapping[str, Any] | None) -> TripFacts | None:
    """Return the trip's facts in a column."""
    return None if row is None else TripFacts.from_dict(dict(row))


def stay_from(row: Mapping[str, Any] | None) -> Stay | None:
    """Return the stay in a column."""
    return None if row is None else Stay.from_dict(dict(row))
