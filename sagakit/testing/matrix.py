"""Holds a participant's decision for every trigger in every state, and plays each cell.

`decide` is total, so the matrix has no blank cell: `DecisionMatrix.check_complete` names each one
that is missing. A test plays the cells one by one (`pairs` are their names).
"""

from collections.abc import Iterable, Iterator, Mapping
from dataclasses import dataclass
from itertools import product
from typing import Any, get_args

from sagakit.decider import (
    NOTHING,
    Callback,
    Command,
    Decision,
    Do,
    EffectResult,
    Observed,
    Trigger,
    Undo,
)
from sagakit.flow.model import Flows
from sagakit.flow.routing import rules_of
from sagakit.store.ports import Participant
from sagakit.testing.scenario import Given, given

Row = dict[str, Decision]
ROUTED = {"do": Do, "undo": Undo, "verdict": Command}
HANDLED_BY_THE_KIT = frozenset({"pause", "resume"})
"""Kinds of routing rules of which `decide` is never told."""


@dataclass(frozen=True, slots=True)
class Past:
    """Describes a state: own events so far, and the keys of pending effects."""

    events: tuple[Any, ...] = ()
    in_flight: tuple[str, ...] = ()


@dataclass(frozen=True, slots=True)
class Arrival:
    """Describes a trigger that comes while effects are pending, or on another initial state."""

    trigger: Trigger
    in_flight: tuple[str, ...] = ()
    initial: Any = None


def emits(*events: Any) -> Decision:
    """Return the decision to emit these events, without effects."""
    return Decision(events)


def row_of(states: Iterable[str], **decisions: Decision) -> Row:
    """Return a row of a matrix: a decision for every state, none for those not named.

    A keyword is a state's name with `_` for what stands between its words.

    Raises:
        KeyError: a keyword is the name of no state.
    """
    names = {name.replace(", ", "_").replace(" ", "_"): name for name in states}
    unknown = decisions.keys() - names.keys()
    if unknown:
        raise KeyError(f"no such states: {sorted(unknown)}; there are {sorted(names)}")
    return {name: decisions.get(keyword, NOTHING) for keyword, name in names.items()}


@dataclass(frozen=True)
class DecisionMatrix:
    """Pairs every trigger with every state of one participant.

    initial: the state of an unknown saga. states: name -> own events, or a `Past`. triggers:
    name -> a trigger, or an `Arrival`. cells: trigger name -> state name -> the decision. phases:
    all values that `state.phase` has; a state that has the name of a phase has to be in it.
    """

    participant: Participant[Any]
    initial: Any
    states: Mapping[str, tuple[Any, ...] | Past]
    triggers: Mapping[str, Trigger | Arrival]
    cells: Mapping[str, Mapping[str, Decision]]
    phases: Iterable[Any] = ()

    @property
    def pairs(self) -> list[tuple[str, str]]:
        """Trigger name and state name of every cell there has to be."""
        return list(product(self.triggers, self.states))

    @property
    def columns(self) -> list[Trigger]:
        """The triggers alone."""
        return [self._arrival(name).trigger for name in self.triggers]

    def given(self, state: str, arrival: Arrival | None = None) -> Given:
        """Return the state of this name, as `arrival` finds it."""
        past = self.states[state]
        if not isinstance(past, Past):
            past = Past(past)
        initial, in_flight = self.initial, past.in_flight
        if arrival:
            in_flight += arrival.in_flight
            initial = self.initial if arrival.initial is None else arrival.initial
        return given(self.participant, initial, *past.events, in_flight=in_flight)

    def check(self, trigger: str, state: str) -> Given:
        """Play one cell, and return the state it leads to.

        Raises:
            AssertionError: the cell is blank, or the participant decides otherwise.
        """
        expected = self.cells.get(trigger, {}).get(state)
        assert expected is not None, f"blank cell: {_cell(trigger, state)}"
        arrival = self._arrival(trigger)
        decision = self.given(state, arrival).when(arrival.trigger)
        return decision.then(*expected.events, effects=expected.effects, adopted=expected.adopted)

    def check_complete(self) -> None:
        """Check that every cell is filled in, no other is, and every phase is reached.

        Raises:
            AssertionError: it names the cells, or the phases.
        """
        filled = {(trigger, state) for trigger, cells in self.cells.items() for state in cells}
        wanted = set(self.pairs)
        blank = [_cell(*pair) for pair in self.pairs if pair not in filled]
        assert not blank, f"blank cells: {'; '.join(blank)}"
        unknown = sorted(_cell(*pair) for pair in filled - wanted)
        assert not unknown, f"cells of no trigger or state: {'; '.join(unknown)}"
        phases = set(self.phases)
        reached = {name: self.given(name).state.phase for name in self.states} if phases else {}
        assert set(reached.values()) == phases, f"the states reach {sorted(set(reached.values()))}"
        for name, phase in reached.items():
            assert name not in phases or name == phase, f"state {name!r} is in phase {phase!r}"

    def check_triggers(self) -> None:
        """Check that every kind of trigger is a column: `decide` is total.

        Raises:
            AssertionError: it names the kinds.
        """
        missing = {*get_args(Trigger)} - {type(trigger) for trigger in self.columns}
        assert not missing, f"no such column: {_names(missing)}"

    def check_routing(self, flows: Flows) -> None:
        """Check that all that any version of the flows routes to the participant is a column.

        Raises:
            AssertionError: it names the trigger, and the flow version.
        """
        kinds = {type(trigger) for trigger in self.columns}
        observed = {trigger.name for trigger in self.columns if isinstance(trigger, Observed)}
        for label, kind, name in routed(flows, self.participant.name):
            if kind == "observe":
                assert name in observed, f"no column Observed({name!r}), which {label} routes"
            else:
                assert ROUTED[kind] in kinds, f"no column {kind}, which {label} routes"

    def check_results(self, answers: Iterable[type[Any]]) -> None:
        """Check that every type of a gateway's answers comes in a column, as a result or callback.

        Raises:
            AssertionError: it names the types.
        """
        results = [t.result for t in self.columns if isinstance(t, EffectResult | Callback)]
        missing = {*answers} - {type(result) for result in results}
        assert not missing, f"no column brings: {_names(missing)}"

    def _arrival(self, name: str) -> Arrival:
        found = self.triggers[name]
        return found if isinstance(found, Arrival) else Arrival(found)


def routed(flows: Flows, participant: str) -> Iterator[tuple[str, str, str]]:
    """Yield flow version, kind and name of each trigger that flows route to a participant."""
    for flow in flows:
        for version in flow.versions:
            for rules in rules_of(flow, version, participant).values():
                for rule in rules:
                    if rule.kind not in HANDLED_BY_THE_KIT:
                        yield f"{flow.name}/{version}", rule.kind, rule.name


def _cell(trigger: str, state: str) -> str:
    return f"trigger {trigger!r} in state {state!r}"


def _names(types: Iterable[type[Any]]) -> str:
    return ", ".join(sorted(found.__name__ for found in types))
