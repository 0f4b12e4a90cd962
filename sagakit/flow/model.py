"""Defines a flow: its steps, their order in each version, their deadlines. Pure.

`loader` reads it from its file; `routing` derives the routes of a participant from it.
"""

import math
import re
from collections.abc import Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass, field, replace

from sagakit.errors import ConfigurationError, FlowError, UnknownFlow
from sagakit.flow.approvals import ApprovalRule
from sagakit.flow.balances import Balance
from sagakit.flow.toml_values import seconds

COMPENSATABLE, PIVOT, RETRIABLE = "compensatable", "pivot", "retriable"
COMPLETED, UNDONE, REFUSED = "completed", "undone", "refused"
MOMENTS = (COMPLETED, UNDONE, REFUSED)
"""A participant may observe these beside event types; see `routing`."""


@dataclass(frozen=True, slots=True)
class Ceiling:
    """Limits how long an undo may show no progress before an intervention is opened.

    `attempts`: undo requests since the last progress; `age_s`: seconds since then. Requests go on
    after the ceiling is reached.
    """

    attempts: int = 8
    age_s: float = math.inf

    def is_reached(self, attempts: int, age_s: float) -> bool:
        """Return True if either limit is reached; the age counts only after a first request."""
        return attempts >= self.attempts or (attempts > 0 and age_s >= self.age_s)


@dataclass(frozen=True, slots=True)
class Step:
    """Describes one participant's part of a flow.

    `waits`: event type -> seconds to which that event extends the deadline; `asks`: for the events
    among them that ask a person, the roles to ask.
    """

    name: str
    kind: str
    done: str
    failed: tuple[str, ...] = ()
    undone: str | None = None
    deadline_s: float = 3600.0
    waits: Mapping[str, float] = field(default_factory=dict)
    asks: Mapping[str, ApprovalRule] = field(default_factory=dict)

    def with_wait(self, event: str, for_s: float) -> "Step":
        """Return the step with another wait on `event`; its reminder and escalation scale too."""
        asks = dict(self.asks)
        if event in asks:
            asks[event] = asks[event].scale(for_s / self.waits[event])
        return replace(self, waits={**self.waits, event: for_s}, asks=asks)


@dataclass(frozen=True, slots=True)
class Flow:
    """Describes a declared flow. `versions`: number -> places in order, each a tuple of step names.

    balances: what its sagas hold, each judged apart; interventions: event type -> code of the
    intervention that it opens.
    """

    name: str
    start: str
    cancel: str
    default_version: int
    versions: Mapping[int, tuple[tuple[str, ...], ...]]
    steps: Mapping[str, Step]
    observes: Mapping[str, tuple[str, ...]]
    owners: Mapping[str, str]
    balances: tuple[Balance, ...] = ()
    ceiling: Ceiling = Ceiling()
    interventions: Mapping[str, str] = field(default_factory=dict)

    def places(self, version: int) -> tuple[tuple[Step, ...], ...]:
        """Return the steps of a version in order; parallel steps share a place."""
        return tuple(tuple(self.steps[n] for n in place) for place in self.versions[version])

    def pivot_place(self, version: int) -> int:
        """Return the index of the last place with a step that is not retriable.

        After it the saga only goes forward. -1: no place can be undone.
        """
        places = self.places(version)
        return max(
            (i for i, p in enumerate(places) if any(s.kind != RETRIABLE for s in p)), default=-1
        )

    def ends(self, version: int) -> tuple[tuple[str, ...], ...]:
        """Return the events that make a saga `undone`.

        For each step of the first place: any one of its `failed` and `undone` events.
        """
        return tuple(
            (*s.failed, *([s.undone] if s.undone else [])) for s in self.places(version)[0]
        )

    def label(self, version: int) -> str:
        """Return `name/version`, the value of the `flow` header."""
        return f"{self.name}/{version}"

    @property
    def participants(self) -> tuple[str, ...]:
        """Return all participants: those with a step, then those that only observe."""
        return tuple(dict.fromkeys((*self.steps, *self.observes)))

    def named_events(self) -> Iterator[tuple[str, str]]:
        """Yield each event type that the flow file names, with its place in the file."""
        yield "start", self.start
        yield "cancel", self.cancel
        for step in self.steps.values():
            where = f"step {step.name}"
            yield where, step.done
            yield from ((where, event) for event in (*step.failed, *step.waits))
            if step.undone:
                yield where, step.undone
        for balance in self.balances:
            yield from ((f"balances.{balance.name}", event) for event in balance.paths)
        yield from (("interventions", event) for event in self.interventions)
        for participant, names in self.observes.items():
            where = f"observes.{participant}"
            yield from ((where, name) for name in names if name not in MOMENTS)


class Flows:
    """Holds the flows of a deployment; finds one by the `flow` header, or by an event's type."""

    def __init__(self, *flows: Flow) -> None:
        if not flows:
            raise FlowError(
                "no flow is declared; add a file flows/<name>.toml to the contract's package"
            )
        self._by_name: dict[str, Flow] = {}
        self._started: dict[str, Flow] = {}
        for flow in flows:
            if flow.name in self._by_name:
                raise FlowError(
                    f"flow {flow.name}, name: a flow of this name is declared twice; give each its "
                    "own name"
                )
            self._by_name[flow.name] = flow
            other = self._started.setdefault(flow.start, flow)
            if other is not flow:
                raise FlowError(
                    f"flow {flow.name}, start: {flow.start} starts the flow {other.name} too; give "
                    "each flow a start event of its own"
                )
        self._named = _by_event((f, {event for _, event in f.named_events()}) for f in flows)
        self._ranks: tuple[Mapping[str, Sequence[Flow]], ...] = (
            {event: (flow,) for event, flow in self._started.items()},
            self._named,
            _by_event((flow, flow.owners) for flow in flows),
        )

    def __iter__(self) -> Iterator[Flow]:
        return iter(self._by_name.values())

    def may_carry(self, label: str, event: str) -> bool:
        """Return False if an event type starts another flow than that of a `name/version`."""
        started = self._started.get(event)
        return started is None or label.startswith(f"{started.name}/")

    def check_participant(self, name: str) -> None:
        """Raise ConfigurationError if no flow has this participant: it would read nothing."""
        known = {n for flow in self for n in (*flow.participants, flow.owners[flow.start])}
        if name not in known:
            raise ConfigurationError(
                f"no flow has a participant {name!r} (known: {', '.join(sorted(known))}); correct "
                "the name, or add a step or an [observes] entry to a flow file"
            )

    def find(self, label: str | None, *events: str) -> tuple[Flow, int]:
        """Return the flow and version of a `flow` header, or of event types without a header.

        Without a header it is the default version of the flow that one of the types starts; else of
        the only flow that names one of them, else of the only one whose contract has one. Without
        types it is the only flow there is. Raises UnknownFlow, which says what is known, also for
        the header of a flow that does not name an event which starts another.
        """
        if label is None:
            flow = self._find_by_event(events)
            return flow, flow.default_version
        name, _, number = label.partition("/")
        found = self._by_name.get(name)
        if found and re.fullmatch("[0-9]{1,9}", number) and int(number) in found.versions:
            for event in events:
                self._check_start(event, found)
            return found, int(number)
        known = ", ".join(f.label(v) for f in self for v in f.versions)
        raise UnknownFlow(
            f"flow {label[:80]!r} is not known here (known: {known}); "
            "deploy the flow file that declares it, then redrive"
        )

    def _check_start(self, event: str, flow: Flow) -> None:
        started = self._started.get(event)
        if started and flow not in (started, *self._named[event]):
            raise UnknownFlow(
                f"{event} starts the flow {started.name}, and its header `flow` names "
                f"{flow.name}, which has no such event; publish it with "
                f"{started.label(started.default_version)}, or without that header"
            )

    def _find_by_event(self, events: Sequence[str]) -> Flow:
        shown = ", ".join(sorted(set(events))[:5]) or "a saga without events"
        found = set(self._by_name) if not events else set[str]()
        for flows_of in self._ranks:
            named = [flows_of.get(event, ()) for event in events]
            found = found or {flows[0].name for flows in named if len(flows) == 1}
        if len(found) == 1:
            return self._by_name[found.pop()]
        if possible := found or {flow.name for flows in named for flow in flows}:
            raise UnknownFlow(
                f"{shown}: without the header `flow` it may belong to any of "
                f"{', '.join(sorted(possible))}; publish it with that header"
            )
        raise UnknownFlow(
            f"{shown}: no flow names it, and it has no header `flow`; publish it with that header, "
            "or deploy the flow file that names it, then redrive"
        )


def _by_event(named: Iterable[tuple[Flow, Iterable[str]]]) -> dict[str, list[Flow]]:
    found: dict[str, list[Flow]] = {}
    for flow, events in named:
        for event in events:
            found.setdefault(event, []).append(flow)
    return found


def with_deadlines(flow: Flow, overrides: Mapping[str, str]) -> Flow:
    """Return the flow with other deadlines: `{"dispatch": "20s", "dispatch.AnswerAwaited": "1m"}`.

    Raises FlowError for a step or wait that the flow does not have, and for an invalid duration.
    """
    steps = dict(flow.steps)
    for path, written in overrides.items():
        name, _, wait = path.partition(".")
        step = steps.get(name)
        if step is None or (wait and wait not in step.waits):
            raise FlowError(
                f"flow {flow.name} has no deadline {path!r}; name a step, or a wait as step.Event"
            )
        try:
            value = seconds(written)
        except ValueError as error:
            raise FlowError(f"deadline {path}: {error}") from error
        steps[name] = step.with_wait(wait, value) if wait else replace(step, deadline_s=value)
    return replace(flow, steps=steps)
