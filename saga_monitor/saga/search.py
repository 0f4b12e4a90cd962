"""Read a person's query for sagas, such as `flow:errand status:undoing age>2h e-17`. Pure.

A query is terms separated by spaces, and a saga has to fit each of them. A term is `field:value`,
`field:one,other`, `field>value` or `field<value`, with `-` before it for those that do not fit; any
other word is the beginning of an id. Quotes keep spaces together: `"two words"`.
"""

import re
from collections.abc import Iterable, Iterator, Mapping
from dataclasses import dataclass
from datetime import datetime
from enum import Enum, auto

from saga_monitor.saga.blockers import CauseKind
from saga_monitor.saga.times import read_time
from saga_monitor.saga.view import Status
from sagakit.flow.toml_values import seconds

MAX_TERMS = 20
STATES = ("stuck", "overdue", "pinned", "open", "ended")
"""States of a saga beside its status. open: in flight."""
_WORD = re.compile(r'\s*(?P<term>(?:"[^"]*"?|[^\s"])+)')
_TERM = re.compile(r"(?P<not>-?)(?P<field>[a-z]+)(?P<operator>:|>=|<=|>|<)(?P<value>.*)", re.S)


class Value(Enum):
    """Names what a field is compared with."""

    NAME = auto()
    FLOW = auto()
    STATUS = auto()
    CAUSE = auto()
    STATE = auto()
    SPAN = auto()
    MOMENT = auto()
    NUMBER = auto()


FIELDS: Mapping[str, tuple[Value, str]] = {
    "flow": (Value.FLOW, "the flow, or one version of it: flow:errand, flow:errand/2"),
    "status": (Value.STATUS, "status:waiting,paused"),
    "is": (Value.STATE, "is:stuck, is:overdue, is:pinned, is:open, is:ended"),
    "step": (Value.NAME, "a step that is awaited: step:dispatch"),
    "cause": (Value.CAUSE, "what blocks it: cause:gateway"),
    "age": (Value.SPAN, "since its start: age>2h"),
    "quiet": (Value.SPAN, "since its last event: quiet>10m"),
    "started": (Value.MOMENT, "started>2026-11-26T05:00Z"),
    "ended": (Value.MOMENT, "ended<2026-11-26T05:00Z"),
    "amount": (Value.NUMBER, "the most that a balance has had, in its own unit: amount>100"),
    "held": (Value.NUMBER, "the most that a balance holds now: held>0"),
    "event": (Value.NAME, "it has an event of this type: event:VerdictGiven"),
    "intervention": (Value.NAME, "it has one with this code that is open: intervention:manual"),
}
"""Field -> what it is compared with, and what it means."""
TEXT = "text"
"""The field of a word without a field: the beginning of an id."""
_COMPARED = (Value.SPAN, Value.MOMENT, Value.NUMBER)


class QueryError(ValueError):
    """A query that cannot be read. start, end: the place of the fault in it."""

    def __init__(self, start: int, end: int, expected: str) -> None:
        super().__init__(expected)
        self.start, self.end, self.expected = start, end, expected


@dataclass(frozen=True, slots=True)
class Term:
    """One condition. operator: `:`, `>`, `<`, `>=` or `<=`; values: any of them fits."""

    field: str
    operator: str
    values: tuple[str | float | datetime, ...]
    negated: bool = False


def parse_query(text: str, flows: Iterable[str]) -> tuple[Term, ...]:
    """Return the terms of a query. flows: names of those that there are. Raises QueryError."""
    known = tuple(flows)
    words = list(_words(text))
    if len(words) > MAX_TERMS:
        start, _, _ = words[MAX_TERMS]
        raise QueryError(start, len(text), f"at most {MAX_TERMS} terms")
    return tuple(_term(start, end, word, known) for start, end, word in words)


def complete(text: str, flows: Iterable[str], steps: Iterable[str]) -> list[str]:
    """Return what a query may go on as, each as the whole text."""
    before, space, last = text.rpartition(" ")
    head = before + space
    field, colon, value = last.lstrip("-").partition(":")
    sign = "-" if last.startswith("-") else ""
    if not colon:
        return [
            f"{head}{sign}{name}{'>' if kind in _COMPARED else ':'}"
            for name, (kind, _) in FIELDS.items()
            if name.startswith(field)
        ]
    names: Mapping[str, Iterable[str]] = {
        "flow": flows,
        "step": steps,
        "status": [one.value for one in Status],
        "cause": [one.value for one in CauseKind],
        "is": STATES,
    }
    chosen, comma, part = value.rpartition(",")
    return [
        f"{head}{sign}{field}:{chosen}{comma}{name}"
        for name in names.get(field, ())
        if name.startswith(part) and name not in chosen.split(",")
    ]


def _words(text: str) -> Iterator[tuple[int, int, str]]:
    for found in _WORD.finditer(text):
        yield found.start("term"), found.end("term"), found["term"]


def _term(start: int, end: int, word: str, flows: tuple[str, ...]) -> Term:
    if word.count('"') % 2:
        raise QueryError(start, end, 'a closing " is missing')
    found = _TERM.fullmatch(word)
    if found is None or found["field"] not in FIELDS:
        if found is not None and found["operator"] != ":":
            raise QueryError(start, end, _fields_text())
        return Term(TEXT, ":", (word.replace('"', ""),))
    field, operator, written = found["field"], found["operator"], found["value"].replace('"', "")
    kind, meaning = FIELDS[field]
    at = start + found.start("value")
    if not written:
        raise QueryError(at, end, f"a value, such as {meaning}")
    if (kind in _COMPARED) != (operator != ":"):
        signs = "> or <" if kind in _COMPARED else ":"
        raise QueryError(start, end, f"{signs} behind {field}, such as {meaning}")
    if kind in _COMPARED:
        values: tuple[str | float | datetime, ...] = (_number(kind, written, at, end, meaning),)
    else:
        values = tuple(_name(kind, one, at, end, flows) for one in written.split(",") if one)
    return Term(field, operator, values, negated=bool(found["not"]))


def _number(kind: Value, written: str, at: int, end: int, meaning: str) -> float | datetime:
    try:
        if kind is Value.SPAN:
            return seconds(written)
        if kind is Value.MOMENT:
            return read_time(written)
        if not re.fullmatch(r"-?[0-9]{1,18}", written):
            raise ValueError("a whole number")
        return float(written)
    except ValueError as error:
        raise QueryError(at, end, f"{error}; such as {meaning}") from error


def _name(kind: Value, written: str, at: int, end: int, flows: tuple[str, ...]) -> str:
    known: Mapping[Value, Iterable[str]] = {
        Value.STATUS: [one.value for one in Status],
        Value.CAUSE: [one.value for one in CauseKind],
        Value.STATE: STATES,
        Value.FLOW: flows,
    }
    name = written.partition("/")[0] if kind is Value.FLOW else written
    if kind in known and name not in (allowed := tuple(known[kind])):
        raise QueryError(at, end, f"one of {', '.join(allowed)}")
    if kind is Value.FLOW and not re.fullmatch(r"[^/]+(/[0-9]{1,4})?", written):
        raise QueryError(at, end, "a flow and a version, such as errand/2")
    return written


def _fields_text() -> str:
    return f"one of the fields {', '.join(FIELDS)}"
