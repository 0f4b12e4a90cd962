"""Stores a participant's state as one row per saga, loaded and saved set-based."""

from collections.abc import Callable, Mapping, Sequence
from dataclasses import fields
from typing import Any, Generic, TypeVar

from sqlalchemy import Connection, MetaData, Table, text

from sagakit.decider import Trigger
from sagakit.store.json_rows import KEYS, as_json, recordset, rows_of

S = TypeVar("S")
Load = Callable[[Any], Any]


class TableStore(Generic[S]):
    """Stores states in `table`: `saga`, and a column per field of the dataclass `state`.

    `views`: fields that are not stored. `loads`: field -> function from column value to state
    value, for fields where they differ (`rows_of` says what is written). Raises TypeError if the
    columns do not match the fields.
    """

    def __init__(
        self,
        table: Table,
        state: type[S],
        loads: Mapping[str, Load] | None = None,
        views: Sequence[str] = ("in_flight",),
    ) -> None:
        self.metadata: MetaData = table.metadata
        self.initial: S = state()
        self._state = state
        self._table = table
        self._loads = dict(loads or {})
        self._fields = [f.name for f in fields(state) if f.name not in views]  # type: ignore[arg-type]
        columns = ["saga", *self._fields]
        missing = set(columns) ^ {c.name for c in table.columns}
        if missing:
            raise TypeError(f"{table.name} and {state.__name__} differ in {sorted(missing)}")
        updates = ", ".join(f"{name} = excluded.{name}" for name in self._fields)
        self._select = text(
            f"SELECT {', '.join(columns)} FROM {table.name} WHERE saga = ANY({KEYS})"
        )
        self._upsert = text(
            f"INSERT INTO {table.name} ({', '.join(columns)}) "
            f"SELECT * FROM {recordset(table, columns)} "
            f"ON CONFLICT (saga) DO UPDATE SET {updates}"
        )

    def load(
        self, connection: Connection, wanted: Mapping[str, Sequence[Trigger]]
    ) -> "TableWorking[S]":
        """Return the states of the sagas in `wanted`; the initial state for those without a row."""
        if not wanted:
            return TableWorking(self, {})
        rows = connection.execute(self._select, {"keys": as_json(list(wanted))})
        return TableWorking(self, {row[0]: self.from_row(row[1:]) for row in rows})

    def to_row(self, state: S) -> dict[str, Any]:
        """Return the state's column values, without `saga`."""
        return {name: getattr(state, name) for name in self._fields}

    def from_row(self, row: Sequence[Any]) -> S:
        """Return the state of column values in the order of `to_row`."""
        values = dict(zip(self._fields, row, strict=True))
        for name, load in self._loads.items():
            values[name] = load(values[name])
        return self._state(**values)

    def save(self, connection: Connection, states: Mapping[str, S]) -> None:
        """Upsert all states in key order."""
        rows = [{"saga": key, **self.to_row(states[key])} for key in sorted(states)]
        connection.execute(self._upsert, rows_of(rows))


class TableWorking(Generic[S]):
    """Implements `ports.Working`."""

    def __init__(self, store: TableStore[S], states: dict[str, S]) -> None:
        self._store, self._states = store, states
        self._changed: set[str] = set()

    def get(self, key: str) -> S:
        """See `ports.Working`."""
        return self._states.get(key, self._store.initial)

    def put(self, key: str, state: S, events: tuple[Any, ...]) -> None:
        """See `ports.Working`. An unchanged state is not written.

        Otherwise a saga that only received events without effect would have a row here, and none in
        a database rebuilt from its own events.
        """
        if state != self.get(key):
            self._states[key] = state
            self._changed.add(key)

    def save(self, connection: Connection) -> None:
        """See `ports.Working`."""
        if self._changed:
            self._store.save(connection, {key: self._states[key] for key in self._changed})
