"""A participant's state as one row an order, loaded and saved set-based."""

from collections.abc import Callable, Mapping, Sequence
from dataclasses import fields
from typing import Any, Generic, TypeVar

import orjson
from sqlalchemy import ARRAY, Connection, MetaData, Table, text
from sqlalchemy.dialects import postgresql

from sagakit.decision import Trigger

S = TypeVar("S")
FieldCodec = tuple[Callable[[Any], Any], Callable[[Any], Any]]


def unnest(table: Table, columns: Sequence[str]) -> tuple[str, str]:
    """`FROM unnest(...)` over one array parameter a column, and the select list that goes with it.

    JSONB travels as text arrays, since psycopg cannot tell a JSON list from an array of JSON;
    arrays of arrays have to be of one length in SQL, so those travel as JSON text as well.
    """
    arrays, picks = [], []
    for name in columns:
        kind = table.c[name].type
        sql = kind.compile(dialect=postgresql.dialect())  # type: ignore[no-untyped-call]
        if sql.endswith("[]"):
            arrays.append(f"CAST(:{name} AS text[])")
            picks.append(f"ARRAY(SELECT jsonb_array_elements_text(u.{name}::jsonb))::{sql}")
        elif sql == "JSONB":
            arrays.append(f"CAST(:{name} AS text[])")
            picks.append(f"u.{name}::jsonb")
        else:
            arrays.append(f"CAST(:{name} AS {sql}[])")
            picks.append(f"u.{name}")
    names = ", ".join(columns)
    return f"unnest({', '.join(arrays)}) AS u({names})", ", ".join(picks)


def as_array(table: Table, name: str, values: Sequence[Any]) -> list[Any]:
    """The parameter for one column of `unnest`."""
    kind = table.c[name].type
    if isinstance(kind, postgresql.JSONB | ARRAY):
        return [None if v is None else orjson.dumps(v).decode() for v in values]
    return list(values)


class TableStore(Generic[S]):
    """Table `table`: `order_id` and a column for each field of the frozen dataclass `state`, but
    for `views`, which are not stored. `codecs`: field -> (state value -> column value, and back).
    """

    def __init__(
        self,
        table: Table,
        state: type[S],
        codecs: Mapping[str, FieldCodec] | None = None,
        views: Sequence[str] = ("in_flight",),
    ) -> None:
        self.metadata: MetaData = table.metadata
        self.initial: S = state()
        self._state = state
        self._table = table
        self._codecs = dict(codecs or {})
        self._fields = [f.name for f in fields(state) if f.name not in views]  # type: ignore[arg-type]
        columns = ["order_id", *self._fields]
        missing = set(columns) ^ {c.name for c in table.columns}
        if missing:
            raise TypeError(f"{table.name} and {state.__name__} differ in {sorted(missing)}")
        source, picks = unnest(table, columns)
        updates = ", ".join(f"{name} = excluded.{name}" for name in self._fields)
        self._select = text(
            f"SELECT {', '.join(columns)} FROM {table.name} WHERE order_id = ANY(:keys)"
        )
        self._upsert = text(
            f"INSERT INTO {table.name} ({', '.join(columns)}) SELECT {picks} FROM {source} "
            f"ON CONFLICT (order_id) DO UPDATE SET {updates}"
        )

    def load(
        self, connection: Connection, wanted: Mapping[str, Sequence[Trigger]]
    ) -> "TableWorking[S]":
        """The states of the orders in `wanted`; the initial state where there is no row."""
        rows = connection.execute(self._select, {"keys": list(wanted)})
        return TableWorking(self, {row[0]: self._from_row(row[1:]) for row in rows})

    def _from_row(self, row: Sequence[Any]) -> S:
        values = dict(zip(self._fields, row, strict=True))
        for name, (_, load) in self._codecs.items():
            values[name] = load(values[name])
        return self._state(**values)

    def save(self, connection: Connection, states: Mapping[str, S]) -> None:
        """Upsert all, in key order."""
        keys = sorted(states)
        parameters: dict[str, Any] = {"order_id": keys}
        for name in self._fields:
            values = [getattr(states[key], name) for key in keys]
            if name in self._codecs:
                dump = self._codecs[name][0]
                values = [dump(v) for v in values]
            parameters[name] = as_array(self._table, name, values)
        connection.execute(self._upsert, parameters)


class TableWorking(Generic[S]):
    """See `ports.Working`."""

    def __init__(self, store: TableStore[S], states: dict[str, S]) -> None:
        self._store, self._states = store, states
        self._changed: set[str] = set()

    def get(self, key: str) -> S:
        """See `ports.Working`."""
        return self._states.get(key, self._store.initial)

    def put(self, key: str, state: S, events: tuple[Any, ...]) -> None:
        """See `ports.Working`. Where nothing was decided there is no row to be made or written: an
        order somebody only looked at would else differ from one rebuilt from its events."""
        if state != self.get(key):
            self._states[key] = state
            self._changed.add(key)

    def save(self, connection: Connection) -> None:
        """See `ports.Working`."""
        if self._changed:
            self._store.save(connection, {key: self._states[key] for key in self._changed})
