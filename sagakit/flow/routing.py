"""Derives the triggers of a participant from the flow. Pure.

Do(step i) on `done` of all steps of place i-1 (for the first place: on `start`). Undo(place i) when
every step of place i+1 has `failed` or is `undone`; if one of several parallel steps fails, its
siblings are undone first. Undo of the last place at or before the pivot on the flow's `cancel`
event and on the platform's CompensationRequested. So an undo always enters at the last undoable
place and runs back, newest step first. SagaPaused and SagaResumed reach every step; the kit alone
acts on them, see `handling.pause`.
"""

from collections import defaultdict
from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from typing import Any

from sagakit.decider import Command, Do, Observed, Trigger, Undo
from sagakit.flow.model import COMPLETED, REFUSED, UNDONE, Flow, Flows, Step
from sagakit.flow.platform_events import (
    COMPENSATION_REQUESTED,
    SAGA_PAUSED,
    SAGA_RESUMED,
    VERDICT_GIVEN,
)

Needs = tuple[tuple[str, ...], ...]
"""Conditions of a rule: it fires once one event of every inner tuple has been seen."""


_PAUSES = {"pause": True, "resume": False, "undo": False}
"""Kind of rule -> whether the saga is paused after it. An undo ends a pause."""


@dataclass(frozen=True, slots=True)
class Rule:
    """Says what an event triggers once `needs` are met.

    `kind` is do, undo, observe, verdict, pause or resume; `name` becomes `Observed.name`.
    """

    kind: str
    needs: Needs = ()
    name: str = ""


@dataclass(frozen=True, slots=True)
class RoutingResult:
    """Holds the result of routing one event.

    triggers: of this participant; marks: the joining marks to store for the saga; paused: True if
    the event pauses the saga, False if it ends a pause, None if neither.
    """

    triggers: tuple[Trigger, ...]
    marks: frozenset[str]
    paused: bool | None = None


def rules_of(flow: Flow, version: int, participant: str) -> dict[str, tuple[Rule, ...]]:
    """Return event type -> rules, for one participant in one version of a flow."""
    found: dict[str, list[Rule]] = defaultdict(list)

    def add(events: Iterable[str], rule: Rule) -> None:
        for event in events:
            if rule not in found[event]:
                found[event].append(rule)

    places = flow.places(version)
    last_undoable = flow.pivot_place(version)
    for i, place in enumerate(places):
        step = next((s for s in place if s.name == participant), None)
        if step is None:
            continue
        previous: Needs = tuple((s.done,) for s in places[i - 1]) if i else ((flow.start,),)
        add(_all(previous), Rule("do", _join(previous)))
        if i <= last_undoable:
            add(_all(tuple(s.failed for s in place if s is not step)), Rule("undo"))
            if i < last_undoable:
                behind = _ends(places[i + 1])
                add(_all(behind), Rule("undo", _join(behind)))
            else:
                add((COMPENSATION_REQUESTED, flow.cancel), Rule("undo"))
        add((VERDICT_GIVEN,), Rule("verdict"))
        add((SAGA_PAUSED,), Rule("pause"))
        add((SAGA_RESUMED,), Rule("resume"))
    for name in flow.observes.get(participant, ()):
        seen: Needs = ((name,),)
        if name == COMPLETED:
            seen = tuple((s.done,) for s in places[-1])
        elif name == UNDONE:
            seen = flow.ends(version)
        elif name == REFUSED:
            seen = ((flow.start,),)
        add(_all(seen), Rule("observe", _join(seen), name))
    return {event: tuple(rules) for event, rules in found.items()}


def topics_of(flows: Flows, participant: str) -> tuple[str, ...]:
    """Return the topics that a participant consumes: those of the events it has rules for.

    And those of the start events of their flows, which say what a saga is about.
    """
    owners = set()
    for flow in flows:
        ruled = {e for version in flow.versions for e in rules_of(flow, version, participant)}
        owners |= {flow.owners[event] for event in (*ruled, flow.start) if ruled}
    return tuple(sorted(topic(owner) for owner in owners))


def topic(owner: str) -> str:
    """Return the topic of an owner's events."""
    return f"{owner}.events"


def is_void(event: Any) -> bool:
    """Tell whether an event marks no step done, because the field named by `void_when` is true.

    Such a step was done after its undo and is undone again, so nothing builds on it.
    """
    return event.void_when is not None and bool(getattr(event, event.void_when))


class Router:
    """Routes events to one participant, with rules derived once for all flows and versions."""

    def __init__(self, flows: Flows, participant: str) -> None:
        self.participant = participant
        self._flows = flows
        self._starts = frozenset(flow.start for flow in flows)
        self._rules: Mapping[str, Mapping[str, tuple[Rule, ...]]] = {
            flow.label(v): rules_of(flow, v, participant) for flow in flows for v in flow.versions
        }
        self._start_of = {flow.label(v): flow.start for flow in flows for v in flow.versions}

    def label(self, header: str | None, event: Any, known: str | None = None) -> str | None:
        """Return the `name/version` of an event's flow; None for an event of no saga.

        Without a `flow` header it is that of its saga so far, `known`; an event that starts another
        flow runs on that one. Raises UnknownFlow.
        """
        if event.saga_id_field is None:
            return None
        if header is None and known and self._flows.may_carry(known, event.type):
            header = known
        if header and header in self._rules and self._flows.may_carry(header, event.type):
            return header
        flow, version = self._flows.find(header, event.type)
        return flow.label(version)

    def is_start(self, event: Any) -> bool:
        """Tell whether an event starts a saga; False if there is none."""
        return event is not None and event.type in self._starts

    def knows(self, label: str | None) -> bool:
        """Tell whether a `name/version` is of a flow file that is known here."""
        return label in self._start_of

    def starts(self, label: str | None, event: Any) -> bool:
        """Tell whether an event starts the sagas of a `name/version`."""
        return label is not None and bool(event.type == self._start_of.get(label))

    def listens(self, label: str | None, event: str | None) -> bool:
        """Return True if this participant has a rule for an event type under a `flow` header.

        True also for an unknown header or event type. Other events only count in the sequence.
        """
        rules = self._rules.get(label) if label else None
        return rules is None or event is None or event in rules

    def route(
        self,
        label: str,
        event: Any,
        marks: frozenset[str] = frozenset(),
        *,
        refused: bool = False,
    ) -> RoutingResult:
        """Return the triggers that `event` has for this participant, given the saga's `marks`.

        `refused`: it is a start event, and the log has another one of the saga before it.
        """
        triggers: list[Trigger] = []
        paused: bool | None = None
        void = is_void(event)
        for rule in self._rules[label].get(event.type, ()):
            if refused != (rule.name == REFUSED):
                continue
            if void and (rule.kind == "do" or rule.name == COMPLETED):
                continue
            if rule.needs:
                marks |= {event.type}
                if not all(any(e in marks for e in any_of) for any_of in rule.needs):
                    continue
            paused = _PAUSES.get(rule.kind, paused)
            trigger = self._trigger(rule, event)
            if trigger is not None:
                triggers.append(trigger)
        return RoutingResult(tuple(triggers), marks, paused)

    def _trigger(self, rule: Rule, event: Any) -> Trigger | None:
        match rule.kind:
            case "do":
                return Do(event)
            case "undo":
                return Undo(event, getattr(event, "reason", event.type))
            case "observe":
                return Observed(rule.name, event)
            case "verdict" if event.step == self.participant:
                return Command(event.verdict, event.actor, event.reason, event)
        return None


def _ends(steps: Iterable[Step]) -> Needs:
    return tuple((*s.failed, *([s.undone] if s.undone else ())) for s in steps)


def _all(needs: Needs) -> tuple[str, ...]:
    return tuple(event for any_of in needs for event in any_of)


def _join(needs: Needs) -> Needs:
    """Return the needs if there are several; a single need is met by the event itself."""
    return needs if len(needs) > 1 else ()
