"""Defines a flow: its steps, their order in each version, their deadlines. Pure.

`loader` reads it from its file; `routing` derives the routes of a participant from it.
"""

import math
import re
from collections.abc import Iterator, Mapping
from dataclasses import dataclass, field, replace

from sagakit.errors import ConfigurationError, FlowError, UnknownFlow
from sagakit.flow.approvals import ApprovalRule
from sagakit.flow.balances import NO_UNITS, Units
from sagakit.flow.toml_values import seconds

COMPENSATABLE, PIVOT, RETRIABLE = "compensatable", "pivot", "retriable"
COMPLETED, UNDONE = "completed", "undone"


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

    captured, refunded: event types that report money taken or given back -> the field with the
    movement's id. A movement is often reported twice (an `undone` repeated for a second undo, a
    capture by answer and webhook); with the same id it counts once. pause, resume: events between
    which no new step starts.
    """

    name: str
    start: str
    cancel: str
    compensate: str
    verdict: str
    default_version: int
    versions: Mapping[int, tuple[tuple[str, ...], ...]]
    steps: Mapping[str, Step]
    observes: Mapping[str, tuple[str, ...]]
    owners: Mapping[str, str]
    captured: Mapping[str, str] = field(default_factory=dict)
    refunded: Mapping[str, str] = field(default_factory=dict)
    pause: str | None = None
    resume: str | None = None
    units: Units = NO_UNITS
    ceiling: Ceiling = Ceiling()

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


class Flows:
    """Holds the flows of a deployment and finds one by its `flow` header."""

    def __init__(self, *flows: Flow) -> None:
        if not flows:
            raise FlowError("no flow is declared: give at least one flow file")
        self._by_name = {flow.name: flow for flow in flows}
        if len(self._by_name) < len(flows):
            names = ", ".join(sorted(flow.name for flow in flows))
            raise FlowError(f"a flow is declared twice (found: {names}); give each its own name")
        self._default = flows[0]

    def __iter__(self) -> Iterator[Flow]:
        return iter(self._by_name.values())

    def check_participant(self, name: str) -> None:
        """Raise ConfigurationError if no flow has this participant: it would read nothing."""
        known = {n for flow in self for n in (*flow.participants, flow.owners[flow.start])}
        if name not in known:
            raise ConfigurationError(
                f"no flow has a participant {name!r} (known: {', '.join(sorted(known))}); correct "
                "the name, or add a step or an [observes] entry to a flow file"
            )

    def find(self, label: str | None) -> tuple[Flow, int]:
        """Return the flow and version of a header; without one, the first flow's default version.

        Raises UnknownFlow, which lists the known flows and versions.
        """
        if label is None:
            return self._default, self._default.default_version
        name, _, number = label.partition("/")
        flow = self._by_name.get(name)
        if flow and re.fullmatch("[0-9]{1,9}", number) and int(number) in flow.versions:
            return flow, int(number)
        known = ", ".join(f.label(v) for f in self for v in f.versions)
        raise UnknownFlow(
            f"flow {label[:80]!r} is not known here (known: {known}); "
            "deploy the flow file that declares it, then redrive"
        )


def with_deadlines(flow: Flow, overrides: Mapping[str, str]) -> Flow:
    """Return the flow with other deadlines: `{"payment": "20s", "payment.PaymentPending": "1m"}`.

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
