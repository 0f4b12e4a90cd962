"""Compare a flow file with an edited one, and tell which sagas the edited one can judge. Pure."""

from collections.abc import Iterator
from dataclasses import dataclass

from saga_monitor.saga.flow_plan import Plan
from sagakit.errors import UnknownFlow
from sagakit.flow.model import Flow, Flows


@dataclass(frozen=True, slots=True)
class FlowChange:
    """A value of a flow file that was edited: its path, and both values; None where it is not."""

    path: str
    was: str | None
    now: str | None


def flow_changes(present: Flow, edited: Flow) -> list[FlowChange]:
    """Return what the edited flow changes in the present one, by path."""
    was, now = dict(_values(present)), dict(_values(edited))
    paths = sorted(was.keys() | now.keys())
    return [FlowChange(p, was.get(p), now.get(p)) for p in paths if was.get(p) != now.get(p)]


def edited_plan(label: str, present: Flow, edited: Flow, version: int | None = None) -> Plan:
    """Return the plan by which the edited flow judges sagas with this label.

    version: the one to judge all sagas by; None: each by its own. Raises UnknownFlow if the edited
    flow does not have the version, or has steps there of which such a saga has no events.
    """
    _, own = Flows(present).find(label)
    wanted = own if version is None else version
    if wanted not in edited.versions:
        raise UnknownFlow(f"version {wanted} is not in the edited flow; add it to [versions]")
    known, needed = _steps(present, own), _steps(edited, wanted)
    if known != needed:
        names = ", ".join(sorted(known ^ needed))
        raise UnknownFlow(
            f"{edited.label(wanted)} and {label} do not have the same steps ({names}), and no "
            "event tells how long a missing one would have taken"
        )
    return Plan.of(edited, wanted)


def _steps(flow: Flow, version: int) -> set[str]:
    return {step for place in flow.versions[version] for step in place}


def _values(flow: Flow) -> Iterator[tuple[str, str]]:
    """Yield the values of a flow file that decide what the monitor does, each with its path."""
    yield "default_version", str(flow.default_version)
    yield "compensation.attempts", str(flow.ceiling.attempts)
    yield "compensation.age", f"{flow.ceiling.age_s:g}s"
    for version, places in flow.versions.items():
        yield f"versions.{version}", ", ".join(" + ".join(place) for place in places)
    for name, step in flow.steps.items():
        path = f"steps.{name}"
        events = (step.kind, step.done, *step.failed, step.undone or "-")
        yield path, ", ".join(events)
        yield f"{path}.deadline", f"{step.deadline_s:g}s"
        yield from ((f"{path}.waits.{event}", f"{s:g}s") for event, s in step.waits.items())
        for event, rule in step.asks.items():
            asked = (
                f"{rule.role} after {rule.remind_s:g}s, {rule.senior} after {rule.escalate_s:g}s"
            )
            yield f"{path}.asks.{event}", asked
    yield from ((f"interventions.{event}", code) for event, code in flow.interventions.items())
    yield from ((f"balances.{balance.name}", str(balance)) for balance in flow.balances)
