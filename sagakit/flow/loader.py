"""Parses and validates the flow file. Pure: text in, `Flow` out."""

import itertools
import tomllib
from collections.abc import Mapping
from types import MappingProxyType
from typing import Any

from sagakit.errors import FlowError
from sagakit.flow.approvals import ask_problem, read_approval_rule
from sagakit.flow.balances import check_balances, read_balances
from sagakit.flow.model import (
    COMPENSATABLE,
    PIVOT,
    RETRIABLE,
    Ceiling,
    Flow,
    Step,
)
from sagakit.flow.platform_events import UNDERSTOOD
from sagakit.flow.toml_values import (
    duration,
    name_of,
    number,
    ordinal,
    quote,
    reject_unknown_keys,
    table,
    text,
    texts,
)

_EVENTS = ("start", "cancel")
_SECTIONS = ("versions", "steps", "observes", "balances", "compensation", "interventions")
_KEYS = {"name", "default_version", *_SECTIONS, *_EVENTS}
_STEP_KEYS = {"kind", "done", "failed", "undone", "deadline", "waits", "asks"}


def load(
    content: str, owners: Mapping[str, str], foreign: Mapping[str, str] = MappingProxyType({})
) -> Flow:
    """Return the flow that a TOML text declares.

    `owners`: event type -> participant that emits it; `foreign`: event types of other contracts ->
    their package. Raises FlowError, which names the place in the file and the remedy.
    """
    try:
        raw = tomllib.loads(content)
    except (tomllib.TOMLDecodeError, RecursionError, ValueError) as error:
        raise FlowError(f"the flow file is not valid TOML: {error}; correct it there") from error
    name = quote(raw.get("name", "?")).strip("'")
    try:
        reject_unknown_keys("the flow file", raw, _KEYS)
        flow = Flow(
            name=name_of("name", raw["name"]),
            start=text("start", raw["start"]),
            cancel=text("cancel", raw["cancel"]),
            default_version=number("default_version", raw["default_version"]),
            versions={
                ordinal(f"version {quote(n)}", n): _places(n, v)
                for n, v in table("versions", raw["versions"]).items()
            },
            steps={n: _step(n, s) for n, s in table("steps", raw["steps"]).items()},
            observes={
                n: texts(f"observes.{n}", v)
                for n, v in table("observes", raw.get("observes", {})).items()
            },
            owners={**UNDERSTOOD, **owners},
            balances=read_balances(table("balances", raw.get("balances", {}))),
            ceiling=_ceiling(table("compensation", raw.get("compensation", {}))),
            interventions={
                event: name_of(f"interventions.{event}", code)
                for event, code in table("interventions", raw.get("interventions", {})).items()
            },
        )
    except KeyError as error:
        raise FlowError(f"flow {name}: the key {error} is missing; add it") from error
    except ValueError as error:
        raise FlowError(f"flow {name}, {error}") from error
    _validate(flow, foreign)
    return flow


def _places(version: str, value: Any) -> tuple[tuple[str, ...], ...]:
    where = f"version {version}"
    if not isinstance(value, list):
        raise ValueError(f"{where} must be a list of steps, not {quote(value)}")
    return tuple(texts(where, p) if isinstance(p, list) else (text(where, p),) for p in value)


def _step(name: str, value: Any) -> Step:
    where = f"step {name}"
    raw = table(where, value)
    reject_unknown_keys(where, raw, _STEP_KEYS)
    for key in ("kind", "done", "deadline"):
        if key not in raw:
            raise ValueError(f"{where}: the key {key!r} is missing; add it")
    kind = raw["kind"]
    if kind not in (COMPENSATABLE, PIVOT, RETRIABLE):
        raise ValueError(f"{where}: kind is {kind!r}; write compensatable, pivot or retriable")
    waits = table(f"{where}: waits", raw.get("waits", {}))
    return Step(
        name=name,
        kind=kind,
        done=text(f"{where}: done", raw["done"]),
        failed=texts(f"{where}: failed", raw.get("failed", [])),
        undone=text(f"{where}: undone", raw["undone"]) if "undone" in raw else None,
        deadline_s=duration(f"{where}: deadline", raw["deadline"]),
        waits={event: duration(f"{where}: waits.{event}", v) for event, v in waits.items()},
        asks={
            event: read_approval_rule(f"steps.{name}.asks.{event}", value)
            for event, value in table(f"{where}: asks", raw.get("asks", {})).items()
        },
    )


def _ceiling(raw: dict[str, Any]) -> Ceiling:
    reject_unknown_keys("compensation", raw, {"attempts", "age"})
    found = Ceiling()
    attempts = number("compensation.attempts", raw.get("attempts", found.attempts))
    if attempts < 1:
        raise ValueError(f"compensation.attempts is {attempts}; write 1 or more")
    if "age" not in raw:
        return Ceiling(attempts)
    return Ceiling(attempts, duration("compensation.age", raw["age"]))


def _validate(flow: Flow, foreign: Mapping[str, str]) -> None:
    for where, event in flow.named_events():
        if event in foreign and event not in flow.owners:
            raise FlowError(
                f"flow {flow.name}, {where}: {event} is an event of another contract, "
                f"{foreign[event]}; name an event of this flow's own contract"
            )
        if event not in flow.owners:
            raise FlowError(
                f"flow {flow.name}, {where}: {event} has no schema with an owner; "
                f"add {event}.avsc with an owner to the contract, or correct the name"
            )
    for step in flow.steps.values():
        _validate_step(flow, step)
    check_balances(flow.name, flow.balances, flow.owners, flow.steps)
    for event in flow.interventions:
        if flow.owners[event] not in flow.steps:
            raise FlowError(
                f"flow {flow.name}, interventions: {event} is owned by {flow.owners[event]}, which "
                "is not a step of this flow; name an event of a step"
            )
    for participant, names in flow.observes.items():
        if not names:
            raise FlowError(
                f"flow {flow.name}, observes.{participant}: lists no event; list one or remove it"
            )
    if flow.default_version not in flow.versions:
        raise FlowError(
            f"flow {flow.name}: default_version {flow.default_version} is not declared; "
            "add it to [versions], or name a version that is declared there"
        )
    for version in flow.versions:
        _validate_version(flow, version)


def _validate_step(flow: Flow, step: Step) -> None:
    where = f"flow {flow.name}, step {step.name}"
    if step.kind != RETRIABLE and step.undone is None:
        raise FlowError(
            f"{where}: a {step.kind} step needs `undone`, the event that says it is undone"
        )
    if step.kind == RETRIABLE and (step.undone or step.failed):
        raise FlowError(
            f"{where}: a retriable step is retried until done; remove `failed` and `undone`"
        )
    marks = (step.done, *step.failed, *step.waits, *([step.undone] if step.undone else []))
    for event in marks:
        if marks.count(event) > 1:
            raise FlowError(
                f"{where}: {event} has more than one meaning here; use a separate event for each"
            )
        if flow.owners[event] != step.name:
            raise FlowError(
                f"{where}: {event} is owned by {flow.owners[event]}, not by this step; "
                f"name an event of {step.name}"
            )
    for event, asked in step.asks.items():
        if wrong := ask_problem(event, asked, step.waits.get(event)):
            raise FlowError(f"{where}: {wrong}")


def _validate_version(flow: Flow, version: int) -> None:
    where = f"flow {flow.name}, version {version}"
    places = flow.versions[version]
    names = [name for place in places for name in place]
    if not names or any(not place for place in places):
        raise FlowError(f"{where}: has no steps, or an empty place; list a step in every place")
    for name in names:
        if name not in flow.steps:
            raise FlowError(f"{where}: step {name} is not declared; add [steps.{name}]")
        if names.count(name) > 1:
            raise FlowError(f"{where}: step {name} is listed twice; list it once")
    rank = {COMPENSATABLE: 0, PIVOT: 1, RETRIABLE: 2}
    ranks = [rank[flow.steps[name].kind] for name in names]
    if ranks.count(1) > 1:
        raise FlowError(f"{where}: has more than one pivot; keep one")
    for place in places:
        if len({flow.steps[name].kind for name in place}) > 1:
            raise FlowError(
                f"{where}: the place {', '.join(place)} has steps of different kinds; give "
                "each kind its own place, as one could fail when another can no longer be undone"
            )
    for before, after in itertools.pairwise(names):
        if rank[flow.steps[before].kind] > rank[flow.steps[after].kind]:
            raise FlowError(
                f"{where}: {before} ({flow.steps[before].kind}) comes before {after} "
                f"({flow.steps[after].kind}); list compensatable steps, then the pivot, then "
                "retriable ones"
            )
