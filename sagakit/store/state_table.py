"""Stores a participant's state as one row per saga, loaded and saved set-based."""

from collections.abc import Callable, Mapping, Sequence
from dataclasses import fields
from typing import Any, Generic, TypeVar

from sqlalchemy import MetaData, Table

from sagakit.decider import Trigger
from sagakit.errors import UnreadableState
from sagakit.store.connections import Connection
from sagakit.store.json_rows import KEYS, as_json, driver_sql, recordset, rows_of
from sagakit.store.loaded_states import NONE, LoadedStates

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
        self.table = table
        self._loads = dict(loads or {})
        self.columns = [f.name for f in fields(state) if f.name not in views]  # type: ignore[arg-type]
        columns = ["saga", *self.columns]
        if differing := set(columns) ^ {c.name for c in table.columns}:
            raise TypeError(f"{table.name} and {state.__name__} differ in {sorted(differing)}")
        updates = ", ".join(f"{name} = excluded.{name}" for name in self.columns)
        self._select = driver_sql(
            f"SELECT {', '.join(columns)} FROM {table.name} WHERE saga = ANY({KEYS})"
        )
        self._upsert = driver_sql(
            f"INSERT INTO {table.name} ({', '.join(columns)}) "
            f"SELECT * FROM {recordset(table, columns)} "
            f"ON CONFLICT (saga) DO UPDATE SET {updates}"
        )

    def load(
        self, connection: Connection, wanted: Mapping[str, Sequence[Trigger]]
    ) -> "TableWorking[S]":
        """Return the states of the sagas in `wanted`; the initial state for those without a row."""
        states, unreadable = dict.fromkeys(wanted, self.initial), dict[str, UnreadableState]()
        if wanted:
            for key, *row in connection.execute(self._select, {"keys": as_json(list(wanted))}):
                try:
                    states[key] = self.read(key, row)
                except UnreadableState as reason:
                    del states[key]
                    unreadable[key] = reason
        return TableWorking(self, states, unreadable)

    def read(self, key: str, row: Sequence[Any]) -> S:
        """Return the state of a saga's column values. Raises UnreadableState."""
        try:
            return self.from_row(row)
        except Exception as error:
            raise UnreadableState(
                f"the row of {key} in the table {self.table.name} is no state that this code knows "
                f"({type(error).__name__}: {error}); run the code that wrote it, or correct the row"
            ) from error

    def to_row(self, state: S) -> dict[str, Any]:
        """Return the state's column values, without `saga`."""
        return {name: getattr(state, name) for name in self.columns}

    def from_row(self, row: Sequence[Any]) -> S:
        """Return the state of column values in the order of `to_row`."""
        values = dict(zip(self.columns, row, strict=True))
        for name, load in self._loads.items():
            values[name] = load(values[name])
        return self._state(**values)

    def save(self, connection: Connection, rows: Sequence[Mapping[str, Any]]) -> None:
        """Upsert the rows of states, see `TableWorking.rows`."""
        connection.execute(self._upsert, rows_of(rows))


class TableWorking(LoadedStates[S]):
    """Implements `ports.Working` for a TableStore."""

    def __init__(
        self,
        store: TableStore[S],
        states: dict[str, S],
        unreadable: Mapping[str, UnreadableState] = NONE,
    ) -> None:
        super().__init__(store.initial, states, unreadable)
        self._store = store

    def save(self, connection: Connection) -> None:
        """See `ports.Working`."""
        if changed := self.rows():
            self._store.save(connection, changed)

    def rows(self) -> list[dict[str, Any]]:
        """Return the changed states as rows, in key order."""
        changed = self.changed().items()
        return [{"saga": key, **self._store.to_row(state)} for key, state in changed]
