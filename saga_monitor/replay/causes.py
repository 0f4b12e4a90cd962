"""Finds the event that made a difference between two projections of a saga. Pure.

Where their facts differ it is the first fact, in log time, that is not the same in both. Where the
facts are the same, a row was changed by other means, or was folded by other code or other
deadlines: then it is the event after which the facts alone give the field its value.
"""

from collections.abc import Callable, Iterator, Mapping
from dataclasses import dataclass
from itertools import accumulate
from typing import Any

from saga_monitor.saga.facts import Fact, Saga, fold
from saga_monitor.storage.store import WriteBatch

RowsOf = Callable[[Saga], WriteBatch]
"""The rows that a saga's facts make, see `Projection.rows`."""


@dataclass(frozen=True, slots=True)
class RowKey:
    """A row: its table, the saga, and the rest of its key by column."""

    table: str
    saga: str
    rest: Mapping[str, Any]


def cause(key: RowKey, field: str, one: Saga, other: Saga, rows_of: RowsOf) -> Fact | None:
    """Return the event that made the difference, None if no event did.

    one, other: the saga in both projections, without facts where it is missing.
    """
    if event_id := key.rest.get("event_id"):
        return one.find(event_id, key.rest["type"]) or other.find(event_id, key.rest["type"])
    return first_difference(one, other) or last_change(key, field, one, rows_of)


def first_difference(one: Saga, other: Saga) -> Fact | None:
    """Return the first fact, in log time, that is not the same in both; None without any."""
    both = fold(one, *other.facts.values())
    return next(
        (f for f in both.timeline() if one.facts.get(f.key) != other.facts.get(f.key)), None
    )


def last_change(key: RowKey, field: str, saga: Saga, rows_of: RowsOf) -> Fact | None:
    """Return the event after which the facts give a field its value; None if none changes it."""
    found, before = None, None
    for fact, value in _values(key, field, saga, rows_of):
        if value != before:
            found, before = fact, value
    return found


def _values(key: RowKey, field: str, saga: Saga, rows_of: RowsOf) -> Iterator[tuple[Fact, Any]]:
    facts = saga.timeline()
    known = accumulate(facts, fold, initial=Saga(saga.key))
    next(known)
    for fact, then in zip(facts, known, strict=True):
        yield fact, _value(key, field, rows_of(then))


def _value(key: RowKey, field: str, rows: WriteBatch) -> Any:
    tables: Mapping[str, Any] = {
        "saga": rows.sagas,
        "balance": rows.balances.get(key.saga, ()),
        "intervention": rows.interventions,
    }
    for row in tables.get(key.table, ()):
        if all(getattr(row, column) == value for column, value in key.rest.items()):
            return getattr(row, field, True)
    return None
