"""Find sagas by a person's query, with what blocks each that is in flight."""

from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from datetime import datetime
from typing import Any

from sqlalchemy import exc

from saga_monitor.operations.reads import SagaReader
from saga_monitor.saga.blockers import Cause
from saga_monitor.saga.commands import CommandRefused
from saga_monitor.saga.search import QueryError, Term, parse_query
from saga_monitor.storage import queries
from saga_monitor.storage.search import MAX_COUNT, Place, search
from sagakit.errors import UnprocessableRecord

MAX_QUERY = 500
"""The most characters of a query."""
MOST_ASKED = 500
"""A query for a cause looks at so many sagas, the newest events first."""


@dataclass(frozen=True, slots=True)
class SearchPage:
    """A page of sagas. count: how many fit in all; `more`: at least so many; after: of the next."""

    rows: Sequence[dict[str, Any]]
    count: int
    more: bool
    after: Place | None


class SagaSearch:
    """Answers queries, see `saga.search`."""

    def __init__(self, reader: SagaReader) -> None:
        self._reader = reader
        self.flows = tuple(flow.name for flow in reader.projection.flows)
        self.steps = tuple(dict.fromkeys(s for flow in reader.projection.flows for s in flow.steps))

    def page(
        self, written: str, limit: int, after: Place | None = None, *, history: bool = False
    ) -> SearchPage:
        """Return a page of what a query finds.

        Raises QueryError, and CommandRefused if it takes too long.
        """
        terms = parse_query(written, self.flows)
        causes = [term for term in terms if term.field == "cause"]
        if causes:
            return self._by_cause(terms, causes, limit, after)
        rows, count = self._rows(terms, limit, after, history=history)
        last = rows[-1] if len(rows) == limit else None
        place = (last["updated_at"], last["saga"]) if last else None
        return SearchPage(rows, min(count, MAX_COUNT), count > MAX_COUNT, place)

    def every(self, written: str, most: int, *, history: bool = False) -> Iterator[dict[str, Any]]:
        """Yield what a query finds, at most so many rows. Raises as `page`."""
        after: Place | None = None
        left = most
        while left:
            page = self.page(written, min(left, 1000), after, history=history)
            yield from page.rows
            left -= len(page.rows)
            after = page.after
            if after is None:
                return

    def causes(self, sagas: Sequence[str]) -> dict[str, Cause]:
        """Return what blocks sagas, by key; those that have ended without a case are left out."""
        with self._reader.engine.connect() as connection:
            found = queries.stored(connection, sagas)
        views = []
        for stored in found:
            try:
                views.append(self._reader.projection.view(stored.load()))
            except UnprocessableRecord:  # the page of the saga says why
                continue
        return self._reader.blocking_causes(*views)

    def _rows(
        self, terms: Sequence[Term], limit: int, after: Place | None, *, history: bool = False
    ) -> tuple[list[dict[str, Any]], int]:
        log_time = self._reader.log_time()
        try:
            with self._reader.engine.begin() as connection:
                now = log_time or queries.present_time(connection)
                return search(
                    connection,
                    terms,
                    flows=self.flows,
                    now=now,
                    log_time=log_time,
                    limit=limit,
                    after=after,
                    history=history,
                )
        except exc.OperationalError as error:
            if "statement timeout" not in str(error):
                raise
            detail = "the query takes too long; add a status, a flow, or the beginning of an id"
            raise CommandRefused(422, "too broad", detail) from error

    def _by_cause(
        self, terms: Sequence[Term], causes: Sequence[Term], limit: int, after: Place | None
    ) -> SearchPage:
        """Return the sagas of some causes: nobody keeps causes, so each saga is asked about."""
        rows, _ = self._rows(terms, MOST_ASKED, None)
        found = self.causes([row["saga"] for row in rows])
        fitting = [
            {**row, "blocked_by": found.get(row["saga"])}
            for row in rows
            if all(
                (_kind(found.get(row["saga"])) in term.values) != term.negated for term in causes
            )
        ]
        start = 0
        if after is not None:
            start = next((n for n, r in enumerate(fitting, 1) if r["saga"] == after[1]), 0)
        shown = fitting[start : start + limit]
        end = start + len(shown) < len(fitting)
        place = (shown[-1]["updated_at"], shown[-1]["saga"]) if end else None
        return SearchPage(shown, len(fitting), len(rows) == MOST_ASKED, place)


def _kind(cause: Cause | None) -> str:
    return cause.kind.value if cause else ""


def read_place(written: str | None) -> Place | None:
    """Return the place that a link names: time and saga key. Raises ValueError."""
    if not written:
        return None
    at, _, key = written.partition(" ")
    return (datetime.fromisoformat(at) if at != "-" else None), key


def write_place(place: Place) -> str:
    """Return a place as a link names it, the reverse of `read_place`."""
    at, key = place
    return f"{at.isoformat() if at else '-'} {key}"


__all__ = ["QueryError", "SagaSearch", "SearchPage", "read_place", "write_place"]
