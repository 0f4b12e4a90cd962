"""Compare the outside world's ledgers with our books, by an application's rules. Pure.

A saga is compared once it has settled: no event of it came for the settling time. While a
participant has work in progress for it, the application's rules say what can be compared all the
same. So sagas may start during a run. A correction tells a participant what to correct; if the
difference persists after that, an intervention is opened.
"""

from collections import defaultdict
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field, fields
from typing import Any

from saga_monitor.reconciliation.rules import (
    ComparedSaga,
    Difference,
    Rows,
    RowsOfSaga,
    Rules,
    Work,
)


@dataclass(frozen=True, slots=True)
class Books:
    """The input. sagas: started ones; busy: saga -> work in progress for it."""

    sagas: Mapping[str, ComparedSaga]
    busy: Mapping[str, frozenset[Work]] = field(default_factory=dict)
    rows: Rows = field(default_factory=dict)


@dataclass(frozen=True, slots=True)
class Comparison:
    """The result. judged, unsettled: numbers of sagas compared, and not or only in part."""

    findings: tuple[Difference, ...]
    judged: int
    unsettled: int


def compare(rules: Rules, books: Books) -> Comparison:
    """Return all differences, sorted by kind and subject."""
    of_sagas, rest = _grouped(rules, books.rows)
    sagas = {*books.sagas, *(s for name in rules.known_by for s in of_sagas.get(name, {}))}
    quiet = [saga for saga in sagas if saga not in books.sagas or books.sagas[saga].quiet]
    found = list(rules.compare_rest(rest))
    for saga in sorted(quiet):
        rows = {name: groups[saga] for name, groups in of_sagas.items() if saga in groups}
        of_saga = RowsOfSaga(saga, books.sagas.get(saga), rows)
        busy = books.busy.get(saga)
        found += rules.compare_part(of_saga, busy) if busy else rules.compare_saga(of_saga)
    found.sort(key=lambda f: (f.kind, f.subject, f.what))
    judged = sum(saga not in books.busy for saga in quiet)
    return Comparison(tuple(found), judged, len(sagas) - judged)


def _grouped(rules: Rules, rows: Rows) -> tuple[Mapping[str, Mapping[str, list[Any]]], Rows]:
    """Return the rows about sagas, by name and saga, and the other rows, by name."""
    of_sagas: dict[str, dict[str, list[Any]]] = {}
    rest: dict[str, Sequence[Any]] = {}
    for name, shape in {**rules.ledgers, **rules.books}.items():
        if not any(column.name == "saga" for column in fields(shape)):
            rest[name] = rows.get(name, ())
            continue
        groups: dict[str, list[Any]] = defaultdict(list)
        for row in rows.get(name, ()):
            groups[row.saga].append(row)
        of_sagas[name] = groups
    return of_sagas, rest
