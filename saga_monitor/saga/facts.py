"""A saga as the monitor knows it: a grow-only set of facts. Pure: no I/O, no clock.

`fold` is set union, so any permutation, duplication or interleaving of the same events folds to
the same saga. What the facts mean for a flow is read off them in `view`.
"""

from collections.abc import Iterable, Mapping
from dataclasses import dataclass, field
from datetime import UTC, datetime, timedelta
from typing import Any
from uuid import UUID, uuid5

from sagakit.flow.balances import MOVES
from sagakit.flow.model import Flow
from sagakit.messages.envelope import NAMESPACE

SOURCE = "saga_monitor"
"""The `source` and the actor of the events the monitor itself emits."""
_EPOCH = datetime(1970, 1, 1, tzinfo=UTC)


def log_time(unix_ms: int) -> datetime:
    """A LogAppendTime, exact to the millisecond."""
    return _EPOCH + timedelta(milliseconds=unix_ms)


def unix_ms(at: datetime) -> int:
    """The reverse of `log_time`."""
    return (at - _EPOCH) // timedelta(milliseconds=1)


@dataclass(frozen=True, slots=True)
class Fact:
    """One event as far as the monitor needs it.

    id: the event's id, as text; at: log time (LogAppendTime), aware; seq: place among the events
    of its source and order, where the source counts; causation: id of what brought it about;
    flow: label of the `flow` header; detail: the event's small scalar fields.
    """

    id: str
    type: str
    at: datetime
    source: str = ""
    seq: int | None = None
    causation: str | None = None
    flow: str | None = None
    detail: Mapping[str, Any] = field(default_factory=dict)

    @property
    def place(self) -> tuple[int, datetime, str]:
        """Where it stands among the events of one participant: its own count, then log time.

        A republished event comes late in log time; its count still says where it belongs.
        """
        return (self.seq or 0, self.at, self.id)


@dataclass(frozen=True, slots=True)
class Saga:
    """Everything seen of one order. `facts`: event id -> fact."""

    order_id: str
    facts: Mapping[str, Fact] = field(default_factory=dict)

    @property
    def flow(self) -> str | None:
        """The label its earliest labelled event carries; None where no event carries one."""
        labelled = [(f.at, f.id, f.flow) for f in self.facts.values() if f.flow]
        return min(labelled)[2] if labelled else None

    def timeline(self) -> list[Fact]:
        """The facts in log time, and within one millisecond causes first."""
        return sorted(self.facts.values(), key=lambda f: (f.at, self._depth(f), *f.place))

    def _depth(self, fact: Fact) -> int:
        """How many known events led to it."""
        seen: set[str] = set()
        cause = fact.causation
        while cause is not None and cause in self.facts and cause not in seen:
            seen.add(cause)
            cause = self.facts[cause].causation
        return len(seen)


def fold(saga: Saga, *facts: Fact) -> Saga:
    """The saga with `facts` in it. Of the same event seen twice the earlier sighting stays."""
    merged = dict(saga.facts)
    for fact in facts:
        known = merged.get(fact.id)
        if known is None or _sighting(fact) < _sighting(known):
            merged[fact.id] = fact
    return Saga(saga.order_id, merged)


def emission_id(order_id: str, what: str, step: str, attempt: int = 1) -> UUID:
    """The id of an event the monitor emits: the same from every monitor and after every restart."""
    return uuid5(NAMESPACE, f"{SOURCE}:{order_id}:{what}:{step}:{attempt}")


# --- money --------------------------------------------------------------------------------------


@dataclass(frozen=True, slots=True)
class Ledger:
    """Money moved for one order, in minor units of `currency`."""

    captured_minor: int = 0
    refunded_minor: int = 0
    currency: str | None = None

    @property
    def held_minor(self) -> int:
        """What is still ours: captured and not given back."""
        return self.captured_minor - self.refunded_minor


def ledger(facts: Iterable[Fact], flow: Flow) -> Ledger:
    """What the facts say was captured and refunded, in the words of the flow's ledger."""
    known = list(facts)
    captured = [f for f in known if f.type in flow.captured]
    currency = None
    for fact in captured:
        currency = fact.detail.get("currency", currency)
    refunded = _movements(known, flow.refunded)
    return Ledger(sum(charges(captured, flow).values()), sum(refunded.values()), currency)


def charges(facts: Iterable[Fact], flow: Flow) -> dict[str, int]:
    """Capture -> what it took, in minor units."""
    return _movements(facts, flow.captured)


def _movements(facts: Iterable[Fact], names: Mapping[str, str]) -> dict[str, int]:
    """Of a movement told more than once with several amounts, the largest counts."""
    moved: dict[str, int] = {}
    for fact in facts:
        if fact.type in names:
            movement = str(fact.detail.get(names[fact.type]) or fact.id)
            amount = int(fact.detail.get("amount_minor", 0))
            moved[movement] = max(moved.get(movement, 0), amount)
    return moved


# --- units --------------------------------------------------------------------------------------

UNITS = "units"
"""Where a fact keeps the units it moves: kind -> how many."""


@dataclass(frozen=True, slots=True)
class Stock:
    """Units moved for one order, by kind."""

    reserved: Mapping[str, int]
    released: Mapping[str, int]
    shipped: Mapping[str, int]

    @property
    def left(self) -> dict[str, int]:
        """Set aside, and neither put back nor handed over; kinds with none are left out."""
        found = dict(self.reserved)
        for gone in (self.released, self.shipped):
            for kind, units in gone.items():
                found[kind] = found.get(kind, 0) - units
        return {kind: units for kind, units in sorted(found.items()) if units}


def stock(facts: Iterable[Fact], flow: Flow) -> Stock | None:
    """What the facts say of units; None where one was read before units were kept."""
    told: dict[str, dict[str, int]] = {move: {} for move in MOVES}
    for fact in facts:
        move = flow.units.moves.get(fact.type)
        if move is None:
            continue
        if UNITS not in fact.detail:
            return None
        for kind, units in fact.detail[UNITS].items():
            told[move][kind] = told[move].get(kind, 0) + units
    return Stock(**told)


def _sighting(fact: Fact) -> tuple[datetime, str]:
    # Two sightings in one millisecond differ in nothing but what a broken publisher put into them;
    # the text settles which one stays, whatever order they come in.
    return fact.at, repr(fact)
