"""Parses the flow file's sections `balances`: what a saga holds, and must hold at its end.

    [balances.seats]
    step = "cabin"              # its undo is not over before the balance is zero
    amount = "count"
    kind = "fare_class"         # tells one kind from another
    id = "booking_id"           # a movement with the same id counts once
    adds = ["SeatsBooked"]
    removes = ["SeatsFreed"]
    completed = "one_movement"  # what an ended saga holds: see RULES
    cancelled = "zero"

An event that moves several kinds at once lists them; then `amount` and `kind` are fields of the
list's elements: `adds = { SeatsBooked = "booking.seats" }`. Pure: text in, `Balance` out.
"""

from collections import Counter
from collections.abc import Collection, Mapping
from dataclasses import dataclass, field
from typing import Any

from sagakit.errors import FlowError
from sagakit.flow.toml_values import name_of, reject_unknown_keys, table, text, texts

ONE_MOVEMENT, POSITIVE, ZERO, ANY = "one_movement", "positive", "zero", "any"
RULES = (ONE_MOVEMENT, POSITIVE, ZERO, ANY)
"""Rules for what an ended saga holds: the amount of exactly one added movement, more than zero,
nothing, or any amount."""
_KEYS = {"step", "amount", "kind", "id", "adds", "removes", "kept", "completed", "cancelled"}


@dataclass(frozen=True, slots=True)
class Movement:
    """One amount of one kind that an event adds to a balance, or removes from it."""

    adds: bool
    id: str
    kind: str
    amount: int


@dataclass(frozen=True, slots=True)
class Balance:
    """Declares which events move a balance, and what an ended saga holds.

    adds, removes: event type -> dotted path of the list in it, "" if the event itself moves one
    amount; ids: event type -> field with the movement's id, without one the event's id counts;
    kind: "" if there is only one; step: the step whose undo has to bring the balance to zero, None
    if no undo waits for it; kept: event type -> field which says, unless null, that the rest is
    never given back, so that the undo is over and a person settles it; paths: adds and removes.
    """

    name: str
    amount: str
    adds: Mapping[str, str]
    removes: Mapping[str, str]
    completed: str
    cancelled: str
    kind: str = ""
    ids: Mapping[str, str] = field(default_factory=dict)
    step: str | None = None
    kept: Mapping[str, str] = field(default_factory=dict)
    paths: Mapping[str, str] = field(init=False, repr=False, compare=False)

    def __post_init__(self) -> None:
        object.__setattr__(self, "paths", {**self.adds, **self.removes})

    def rule(self, status: str) -> str:
        """Return the rule for a saga with this status: `any` while it has not ended."""
        if status == "completed":
            return self.completed
        return self.cancelled if status == "cancelled" else ANY

    def list_key(self, path: str) -> str:
        """Return the text that identifies the amounts read from a list, whatever the balance."""
        return f"{path}: {self.amount} by {self.kind}" if self.kind else f"{path}: {self.amount}"

    def listed(self, event: Any) -> dict[str, int] | None:
        """Return the amounts in an event's list, by kind; None if it moves none by a list."""
        path, found = self.paths.get(event.type), event
        if not path:
            return None
        for name in path.split("."):
            found = getattr(found, name)
        amounts = Counter[str]()
        for element in found:
            amounts[str(getattr(element, self.kind)) if self.kind else ""] += int(
                getattr(element, self.amount)
            )
        return dict(amounts)

    def movements(
        self,
        event: str,
        event_id: str,
        values: Mapping[str, Any],
        listed: Mapping[str, int] | None = None,
    ) -> list[Movement]:
        """Return the movements of an event of this type.

        values: its fields; listed: the amounts in its list, by kind.
        """
        adds, id_ = event in self.adds, str(values.get(self.ids.get(event, "")) or event_id)
        if listed is None:
            kind = str(values.get(self.kind) or "")
            listed = {kind: int(values.get(self.amount) or 0)}
        return [Movement(adds, id_, kind, amount) for kind, amount in listed.items()]


def read_balances(raw: Mapping[str, Any]) -> tuple[Balance, ...]:
    """Parse the table `balances`. Raises ValueError."""
    return tuple(_balance(name_of("balances", name), raw[name]) for name in raw)


def _balance(name: str, value: Any) -> Balance:
    where = f"balances.{name}"
    raw = table(where, value)
    reject_unknown_keys(where, raw, _KEYS)
    for key in ("amount", "adds", "completed", "cancelled"):
        if key not in raw:
            raise ValueError(f"{where}: the key {key!r} is missing; add it")
    adds, removes = (_paths(f"{where}.{key}", raw.get(key, [])) for key in ("adds", "removes"))
    return Balance(
        name=name,
        amount=_field(f"{where}.amount", raw["amount"]),
        adds=adds,
        removes=removes,
        completed=_rule(f"{where}.completed", raw["completed"]),
        cancelled=_rule(f"{where}.cancelled", raw["cancelled"]),
        kind=_field(f"{where}.kind", raw["kind"]) if "kind" in raw else "",
        ids=_ids(f"{where}.id", raw.get("id", {}), {**adds, **removes}),
        step=text(f"{where}.step", raw["step"]) if "step" in raw else None,
        kept=_ids(f"{where}.kept", raw.get("kept", {}), removes),
    )


def _paths(where: str, value: Any) -> dict[str, str]:
    if not isinstance(value, dict):
        return dict.fromkeys(texts(where, value), "")
    return {event: _field(f"{where}: {event}", path, dotted=True) for event, path in value.items()}


def _ids(where: str, value: Any, events: Collection[str]) -> dict[str, str]:
    if not isinstance(value, dict):
        return dict.fromkeys(events, _field(where, value))
    return {event: _field(f"{where}: {event}", name) for event, name in value.items()}


def _field(where: str, value: Any, *, dotted: bool = False) -> str:
    parts = value.split(".") if isinstance(value, str) and dotted else [value]
    if not all(isinstance(part, str) and part.isidentifier() for part in parts):
        what = "the path of a list, as in booking.seats" if dotted else "a field name"
        raise ValueError(f"{where} = {value!r} is not {what}; name what the event's schema has")
    return str(value)


def _rule(where: str, value: Any) -> str:
    if value not in RULES:
        raise ValueError(f"{where} is {value!r}; write {', '.join(RULES)}")
    return str(value)


def check_balances(
    flow: str, balances: Collection[Balance], owners: Mapping[str, str], steps: Mapping[str, Any]
) -> None:
    """Validate the balances of a flow.

    Raises FlowError for an event that adds and removes, an event whose owner is not a step, the id
    of an event that moves nothing, an unknown step, and a step whose undo has to end at zero while
    the balance need not.
    """
    for balance in balances:
        where = f"flow {flow}, balances.{balance.name}"
        if not balance.adds:
            raise FlowError(f"{where}: no event adds to it; list one in adds")
        for event in balance.paths:
            if event in balance.adds and event in balance.removes:
                raise FlowError(f"{where}: {event} both adds and removes; list it once")
            if owners[event] not in steps:
                raise FlowError(
                    f"{where}: {event} is owned by {owners[event]}, which is not a step of this "
                    "flow and could not undo it; remove the event, or add the step"
                )
        for event in balance.kept.keys() - balance.removes.keys():
            raise FlowError(
                f"{where}.kept: {event} does not remove from this balance; remove it, or list it "
                "in removes"
            )
        for event in balance.ids.keys() - balance.paths.keys():
            raise FlowError(
                f"{where}.id: {event} does not move this balance; remove it, or list it in adds or "
                "removes"
            )
        if balance.step is not None and balance.step not in steps:
            raise FlowError(
                f"{where}: step {balance.step} is not declared; add [steps.{balance.step}], or "
                "correct the name"
            )
        if balance.step is not None and balance.cancelled != ZERO:
            raise FlowError(
                f"{where}: the undo of step {balance.step} has to bring it to zero, and cancelled "
                f'is {balance.cancelled!r}; write cancelled = "zero", or remove step'
            )
