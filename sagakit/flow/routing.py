"""Who is told what: the triggers of a participant, derived from the flow. Pure.

Do(step i) on `done` of place i-1 (of the first place: on `start`). Undo(place i) when all of place
i+1 have `failed` or are `undone`; a failure among steps side by side undoes its siblings first.
Undo of the last place at or before the pivot on the flow's `compensate` and `cancel` events. So an
undo always enters at the far end and runs back, newest step first. A flow's `pause` and `resume`
tell every step; what they do is the kit's alone, see `holding`.
"""

from collections import defaultdict
from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from typing import Any

from sagakit.decider import Do, Observed, Trigger, Undo, Verdict
from sagakit.flow.model import COMPLETED, UNDONE, Flow, Flows, Step

Needs = tuple[tuple[str, ...], ...]
"""All of these, of each any one event: what must have been seen before the rule fires."""


_PAUSES = {"pause": True, "resume": False, "undo": False}
"""Kinds of rules after which a step is paused, or no longer: what is undone waits for nobody."""


@dataclass(frozen=True, slots=True)
class Rule:
    """`kind` is do, undo, observe, verdict, pause or resume; `name` is what an observer calls the
    moment."""

    kind: str
    needs: Needs = ()
    name: str = ""


@dataclass(frozen=True, slots=True)
class Routed:
    """The triggers of one event, the joining marks to remember for the order, and whether it is
    paused (True) or goes on (False) from here; None: neither."""

    triggers: tuple[Trigger, ...]
    marks: frozenset[str]
    paused: bool | None = None


def rules_of(flow: Flow, version: int, participant: str) -> dict[str, tuple[Rule, ...]]:
    """Event type -> rules, for one participant in one version of a flow."""
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
                add((flow.compensate, flow.cancel), Rule("undo"))
        add((flow.verdict,), Rule("verdict"))
        if flow.pause and flow.resume:
            add((flow.pause,), Rule("pause"))
            add((flow.resume,), Rule("resume"))
    for name in flow.observes.get(participant, ()):
        seen: Needs = ((name,),)
        if name == COMPLETED:
            seen = tuple((s.done,) for s in places[-1])
        elif name == UNDONE:
            seen = flow.ends(version)
        add(_all(seen), Rule("observe", _join(seen), name))
    return {event: tuple(rules) for event, rules in found.items()}


def topics_of(flows: Flows, participant: str) -> tuple[str, ...]:
    """The topics a participant consumes: those of the owners of what it is told."""
    owners = {
        flow.owners[event]
        for flow in flows
        for version in flow.versions
        for event in rules_of(flow, version, participant)
    }
    return tuple(sorted(topic(owner) for owner in owners))


def topic(owner: str) -> str:
    """The topic of an owner's events."""
    return f"{owner}.events"


class Router:
    """The routes of one participant, worked out once for all flows and versions."""

    def __init__(self, flows: Flows, participant: str) -> None:
        self.participant = participant
        self._flows = flows
        self._rules: Mapping[str, Mapping[str, tuple[Rule, ...]]] = {
            flow.label(v): rules_of(flow, v, participant) for flow in flows for v in flow.versions
        }

    def label(self, header: str | None) -> str:
        """The flow an event belongs to. Raises UnknownFlow."""
        if header is not None and header in self._rules:
            return header
        flow, version = self._flows.find(header)
        return flow.label(version)

    def listens(self, label: str | None, event: str | None) -> bool:
        """Whether an event of this type, with this `flow` header, may be more to this participant
        than one it has to have seen. True where that cannot be told."""
        rules = self._rules.get(label) if label else None
        return rules is None or event is None or event in rules

    def route(self, label: str, event: Any, marks: frozenset[str] = frozenset()) -> Routed:
        """The triggers this participant gets from `event` of an order that has `marks`."""
        triggers: list[Trigger] = []
        paused: bool | None = None
        for rule in self._rules[label].get(event.type, ()):
            if rule.needs:
                marks |= {event.type}
                if not all(any(e in marks for e in any_of) for any_of in rule.needs):
                    continue
            paused = _PAUSES.get(rule.kind, paused)
            trigger = self._trigger(rule, event)
            if trigger is not None:
                triggers.append(trigger)
        return Routed(tuple(triggers), marks, paused)

    def _trigger(self, rule: Rule, event: Any) -> Trigger | None:
        match rule.kind:
            case "do":
                # done too late, after its undo: it will be undone once more, nobody builds on it
                return None if getattr(event, "late", False) else Do(event)
            case "undo":
                return Undo(event, getattr(event, "reason", event.type))
            case "observe":
                return Observed(rule.name, event)
            case "verdict" if event.step == self.participant:
                return Verdict(event.verdict, event.actor, event.reason, event)
        return None


def _ends(steps: Iterable[Step]) -> Needs:
    return tuple((*s.failed, *([s.undone] if s.undone else ())) for s in steps)


def _all(needs: Needs) -> tuple[str, ...]:
    return tuple(event for any_of in needs for event in any_of)


def _join(needs: Needs) -> Needs:
    """Joining is only needed where several steps stand side by side."""
    return needs if len(needs) > 1 else ()
