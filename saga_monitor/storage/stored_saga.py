"""Reads and writes `saga.facts`, and says so where the row of a saga cannot be read.

Such a row ends nothing: what needs the saga is refused or set aside, and all others go on.
"""

from collections.abc import Iterable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from typing import Any

import orjson

from saga_monitor.saga.facts import STARTS, Fact, Saga, log_time, unix_ms
from saga_monitor.saga.view import Status
from sagakit.errors import UnprocessableRecord, UnreadableState
from sagakit.identity import split_key

_TEXT = (str, type(None))
REMEDY = (
    "correct the row, or rebuild the monitor from the topics: `saga replay`, or start it on an "
    "empty database"
)


@dataclass(frozen=True, slots=True)
class StoredSaga:
    """A saga as its row holds it. facts: the JSON text of `saga.facts`."""

    key: str
    facts: str

    @property
    def id(self) -> str:
        """Return the saga id, without the flow."""
        return split_key(self.key)[1]

    def load(self) -> Saga:
        """Return the saga. Raises UnreadableState."""
        return load_saga(self.key, self.facts)


@contextmanager
def reading(saga: str) -> Iterator[None]:
    """Raise UnreadableState for whatever fails while a stored saga is read or interpreted."""
    try:
        yield
    except UnprocessableRecord:
        raise
    except Exception as error:  # whatever it is, it is about this saga
        raise UnreadableState(
            f"the row of {saga} in the table saga of the monitor cannot be read "
            f"({type(error).__name__}: {str(error)[:300]}); {REMEDY}"
        ) from error


def load_saga(saga: str, facts: str) -> Saga:
    """Build a saga from the JSON text of `saga.facts`. Raises UnreadableState."""
    with reading(saga):
        known: dict[str, list[Any]] = orjson.loads(facts)
        return Saga(saga, {key: _load_fact(key, *values) for key, values in known.items()})


def _load_fact(
    key: str, at: int, source: Any, seq: Any, causation: Any, flow: Any, detail: Any
) -> Fact:
    id_, _, type_ = key.partition(" ")
    if (
        not type_
        or type(source) is not str
        or not (seq is None or type(seq) is int)
        or type(causation) not in _TEXT
        or type(flow) not in _TEXT
        or type(detail) is not dict
        or type(detail.get(STARTS, 0)) is not int
    ):
        raise ValueError(f"{key[:100]!r} is no fact")
    return Fact(id_, type_, log_time(at), source, seq, causation, flow, detail)


def dump_facts(found: Iterable[Fact]) -> dict[str, Any]:
    """Return the facts in the form of `saga.facts`, the reverse of `load_saga`."""
    return {f.key: [unix_ms(f.at), f.source, f.seq, f.causation, f.flow, f.detail] for f in found}


def load_status(status: str) -> Status:
    """Return the status in a row: UNPLACED if no status has this name, until it is written."""
    return Status(status) if status in _STATUSES else Status.UNPLACED


_STATUSES = frozenset(status.value for status in Status)
