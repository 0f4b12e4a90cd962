"""Define the rules by which an application's ledgers and books are compared. Pure.

A ledger is what the outside world stores of the participants' calls; a book is what a participant
stores itself. An application names its rules in its manifest (`monitor.reconciliation`), and the
monitor finds them by SAGA_RECONCILIATION. A row is a dataclass; one about a saga has a field
`saga`.
"""

from abc import ABC, abstractmethod
from collections.abc import Collection, Iterable, Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any, ClassVar

Rows = Mapping[str, Sequence[Any]]
"""Name of a ledger or book -> its rows."""


@dataclass(frozen=True, slots=True)
class ComparedSaga:
    """A saga by its events. quiet: none of them came within the settling time.

    balances: (added, removed) by name of a balance, over all its kinds.
    """

    saga: str
    status: str
    quiet: bool
    balances: Mapping[str, tuple[int, int]] = field(default_factory=dict)


@dataclass(frozen=True, slots=True)
class RowsOfSaga:
    """All rows about one saga. row: None if the log has no start event of it."""

    saga: str
    row: ComparedSaga | None
    rows: Rows

    def of(self, name: str) -> Sequence[Any]:
        """Return the saga's rows of a ledger or book."""
        return self.rows.get(name, ())


@dataclass(frozen=True, slots=True)
class Work:
    """Work that a participant has for a saga: a pending effect of this kind.

    `kind` is empty for events that are not published yet.
    """

    participant: str
    kind: str


@dataclass(frozen=True, slots=True)
class Correction:
    """An event that tells a participant what to correct in its books.

    state: the figures of the ledger as text; one event is published for each of its states.
    """

    event: Any
    state: str


@dataclass(frozen=True, slots=True)
class Difference:
    """A difference between ledger and books, about a saga or about something else, such as a shelf.

    subject: a saga, or the name of the other thing; correction: None if a person has to correct it.
    """

    kind: str
    subject: str
    what: str
    about_saga: bool = True
    correction: Correction | None = None


class Rules(ABC):
    """Compares an application's ledgers with its books.

    ledgers, books: name -> type of its rows; known_by: names whose rows are compared even if the
    log has no start event of their saga.
    """

    ledgers: ClassVar[Mapping[str, type[Any]]] = {}
    books: ClassVar[Mapping[str, type[Any]]] = {}
    known_by: ClassVar[Collection[str]] = ()

    @abstractmethod
    def compare_saga(self, rows: RowsOfSaga) -> Iterable[Difference]:
        """Return the differences of one settled saga."""

    def compare_part(self, rows: RowsOfSaga, work: Collection[Work]) -> Iterable[Difference]:
        """Return the differences of a quiet saga for which participants still have work.

        What such work may change is left out; by default that is everything.
        """
        return ()

    def compare_rest(self, rows: Rows) -> Iterable[Difference]:
        """Return the differences in rows that are about no saga; by default there are none."""
        return ()
