"""Find the rows of sagas that fit a query, a page at a time, the newest event first.

Each term is one condition of fixed text with parameters, so no text of a person becomes SQL. Rows
are read in the order of index `saga_status`, of those statuses alone that can fit; where a term
names few sagas (the beginning of an id, an open intervention), these are looked up.
"""

from collections.abc import Iterator, Sequence
from dataclasses import dataclass, field
from datetime import datetime, timedelta

from sqlalchemy import Connection, text

from saga_monitor.saga.search import TEXT, Term
from saga_monitor.saga.view import ENDED, Status
from saga_monitor.storage.queries import SHOWN, Row, saga_row
from sagakit.identity import is_plain

MAX_COUNT = 10_000
"""More rows than this are not counted."""
TIMEOUT_MS = 2000
"""A search that takes longer is given up."""
IN_FLIGHT = tuple(one.value for one in Status if one not in ENDED)
_LAST = "\U0010ffff"
_WITH_CASE = (
    "s.saga = ANY(ARRAY(SELECT i.saga FROM intervention{} i WHERE i.status IN ('open', 'claimed')))"
)
_STATES = {
    "open": "s.status = ANY(CAST(:in_flight AS text[]))",
    "ended": "s.ended_at IS NOT NULL",
    "pinned": "s.pinned",
    "overdue": "s.next_deadline < CAST(:log_time AS timestamptz)",
    "stuck": "(s.status IN ('intervention', 'unplaced') "
    "OR s.next_deadline < CAST(:log_time AS timestamptz) OR {with_case})",
}
_ONLY_IN_FLIGHT = ("step", "cause")
"""Fields that fit no ended saga without an open intervention."""
_COLUMNS = {
    "age": "started_at",
    "quiet": "updated_at",
    "started": "started_at",
    "ended": "ended_at",
}
_SUMS = {"amount": "b.added", "held": "b.added - b.removed"}
_OPPOSITE = {">": "<", "<": ">", ">=": "<=", "<=": ">="}
_NEWEST_FIRST = "updated_at DESC NULLS LAST, saga"
Place = tuple[datetime | None, str]
"""The end of a page: the time of its last row's newest event, and that row's saga key."""


@dataclass(slots=True)
class _Where:
    """Conditions with their parameters.

    tables: suffix of the tables' names; statuses: that can fit; by_key: few sagas fit, and their
    keys are known; stuck: only stuck sagas fit.
    """

    now: datetime
    flows: Sequence[str]
    tables: str
    conditions: list[str] = field(default_factory=list)
    parameters: Row = field(default_factory=dict)
    statuses: frozenset[str] = frozenset(one.value for one in Status)
    by_key: bool = False
    stuck: bool = False

    @property
    def source(self) -> str:
        """Return the table of the rows, or those of it that can be stuck: few of those ended."""
        table = f"saga{self.tables}"
        if not self.stuck:
            return table
        ended = f"status <> ALL(CAST(:in_flight AS text[])) AND {_WITH_CASE.format(self.tables)}"
        return (
            f"(SELECT * FROM {table} s WHERE s.status = ANY(CAST(:in_flight AS text[])) "
            f"UNION ALL SELECT * FROM {table} s WHERE {ended})"
        )

    def value(self, value: object) -> str:
        """Return a new parameter with this value, as it stands in SQL."""
        name = f"p{len(self.parameters)}"
        self.parameters[name] = value
        return f":{name}"

    def add(self, term: Term) -> None:
        """Add the condition of a term."""
        found = " OR ".join(self._conditions(term))
        if term.negated:
            self.conditions.append(f"({found}) IS NOT TRUE")
            return
        self.conditions.append(f"({found})")
        self.by_key |= term.field in (TEXT, "intervention")
        if term.field == "status":
            self.statuses &= frozenset(map(str, term.values))
        elif term.field in _ONLY_IN_FLIGHT or set(term.values) <= {"open", "overdue"}:
            self.statuses &= frozenset(IN_FLIGHT)
        elif term.values == ("stuck",):
            self.stuck = True

    def _conditions(self, term: Term) -> Iterator[str]:
        for value in term.values:
            match term.field:
                case "cause":
                    yield f"(s.ended_at IS NULL OR {_WITH_CASE.format(self.tables)})"
                case "status":
                    yield f"s.status = {self.value(value)}"
                case "is":
                    with_case = _WITH_CASE.format(self.tables)
                    yield _STATES[str(value)].format(with_case=with_case)
                case "flow":
                    yield self._flow(str(value))
                case "step":
                    name = self.value(f"{value}:")
                    yield f"starts_with(s.awaited, {name})"
                    yield f"strpos(s.awaited, '; ' || {name}) > 0"
                case "event":
                    yield self._exists("timeline", f"x.type = {self.value(value)}")
                case "intervention":
                    yield (
                        f"s.saga = ANY(ARRAY(SELECT i.saga FROM intervention{self.tables} i WHERE "
                        f"i.status IN ('open', 'claimed') AND i.code = {self.value(value)}))"
                    )
                case "amount" | "held":
                    compared = f"{_SUMS[term.field]} {term.operator} {self.value(value)}"
                    yield self._exists("balance", compared.replace("b.", "x."))
                case "text":
                    yield from self._keys(str(value))
                case _:
                    yield self._compared(term, value)

    def _exists(self, table: str, condition: str) -> str:
        return f"EXISTS (SELECT FROM {table}{self.tables} x WHERE x.saga = s.saga AND {condition})"

    def _compared(self, term: Term, value: object) -> str:
        column, operator = _COLUMNS[term.field], term.operator
        if not isinstance(value, datetime):  # older than a span is before a moment
            value, operator = self.now - timedelta(seconds=float(str(value))), _OPPOSITE[operator]
        return f"s.{column} {operator} CAST({self.value(value)} AS timestamptz)"

    def _keys(self, begin: str) -> Iterator[str]:
        """Yield ranges of keys: those whose id begins so, and those that begin so themselves."""
        whole = [begin] if "/" in begin else []
        for key in [*whole, *(f"{flow}/{begin}" for flow in ("", *self.flows))]:
            yield f"(s.saga >= {self.value(key)} AND s.saga < {self.value(key + _LAST)})"

    def _flow(self, written: str) -> str:
        name, _, version = written.partition("/")
        found = f"s.flow = {self.value(name)}"
        return f"({found} AND s.version = {self.value(int(version))})" if version else found


def search(
    connection: Connection,
    terms: Sequence[Term],
    *,
    flows: Sequence[str],
    now: datetime,
    log_time: datetime | None,
    limit: int,
    after: Place | None = None,
    history: bool = False,
) -> tuple[list[Row], int]:
    """Return a page of rows, and how many fit in all, at most MAX_COUNT + 1.

    now: the time from which ages count; after: where the page before ended; history: of the
    archived sagas. Raises OperationalError if it takes too long.
    """
    if not all(is_plain(str(value)) for term in terms for value in term.values):
        return [], 0  # no text of the database is so
    where = _Where(now, flows, "_history" if history else "")
    for term in terms:
        where.add(term)
    every = " AND ".join(where.conditions) or "true"
    rest = _behind(where, after)
    parameters = {
        **where.parameters,
        "log_time": log_time,
        "in_flight": list(IN_FLIGHT),
        "statuses": sorted(where.statuses),
        "limit": limit,
        "most": MAX_COUNT + 1,
    }
    few = f"FROM {where.source} s WHERE s.status = ANY(CAST(:statuses AS text[])) AND {every}"
    page = f"SELECT {SHOWN}, pinned {few} AND {rest}"
    if not (where.by_key or where.stuck):
        page = f"""
            SELECT found.* FROM unnest(CAST(:statuses AS text[])) AS wanted (status)
            CROSS JOIN LATERAL (
                SELECT {SHOWN}, pinned FROM {where.source} s
                WHERE s.status = wanted.status AND {every} AND {rest}
                ORDER BY {_NEWEST_FIRST} LIMIT :limit) AS found
        """
    connection.execute(text(f"SET LOCAL statement_timeout = {TIMEOUT_MS}"))
    rows = connection.execute(text(f"{page} ORDER BY {_NEWEST_FIRST} LIMIT :limit"), parameters)
    found = [saga_row(dict(row._mapping)) for row in rows]
    counted = text(f"SELECT count(*) FROM (SELECT 1 {few} LIMIT :most) AS counted")
    return found, int(connection.execute(counted, parameters).scalar_one())


def _behind(where: _Where, after: Place | None) -> str:
    """Return the condition that a row comes behind a place in the order of the list."""
    if after is None:
        return "true"
    at, key = after
    beyond = f"s.saga > {where.value(key)}"
    if at is None:
        return f"(s.updated_at IS NULL AND {beyond})"
    then = f"CAST({where.value(at)} AS timestamptz)"
    return (
        f"(s.updated_at < {then} OR (s.updated_at = {then} AND {beyond}) OR s.updated_at IS NULL)"
    )
