"""Build the evidence bundle of a saga: a JSON document that can be kept, sent and replayed.

| key | holds |
|---|---|
| format | 1 |
| saga, flow | the saga key `flow/id`, and `name/version` |
| deadlines | of its steps and waits, in seconds |
| timeline | every event in log time, with its partition and offset |
| view | what the monitor derives from the timeline: status, steps, awaited events, interventions |
| kept_rows | what each participant keeps of it: effects, outbox rows, parked records |
| blocked_by | the cause that blocks it |

`replay` folds the timeline again: today's code must derive the same view. Pure: no I/O, no clock.
"""

from collections.abc import Mapping
from datetime import datetime
from typing import Any

import orjson

from saga_monitor.saga.facts import Fact, Saga, fold
from saga_monitor.saga.flow_plan import Plan
from saga_monitor.saga.interpreter import interpret
from saga_monitor.saga.view import SagaView
from sagakit.flow.model import Flow, Flows, with_deadlines

FORMAT = 1
_FACT_FIELDS = ("type", "source", "seq", "causation", "flow", "detail")


def bundle(
    saga: Saga, view: SagaView, flow: Flow, places: Mapping[str, tuple[int, int]]
) -> dict[str, Any]:
    """Return the keys of the bundle that come from the log.

    places: `event_key` -> partition and offset.
    """
    return {
        "format": FORMAT,
        "saga": saga.key,
        "flow": view.flow,
        "deadlines": _deadlines(flow),
        "timeline": [_fact_json(fact, places.get(fact.key)) for fact in saga.timeline()],
        "view": view,
    }


def to_json(document: Mapping[str, Any]) -> bytes:
    """Encode the document as indented JSON."""
    return orjson.dumps(document, option=orjson.OPT_INDENT_2)


def replay(document: Mapping[str, Any], flows: Flows) -> dict[str, Any]:
    """Return the view that today's code derives from the events of a bundle.

    Only the fields of the bundle's own `view` are returned; later fields are left out.

    Raises ValueError for another format, UnknownFlow, and FlowError if the flow has other steps.
    """
    if document.get("format") != FORMAT:
        raise ValueError(
            f"the bundle has format {document.get('format')!r}, this version reads {FORMAT}; "
            "export it again with `saga evidence`"
        )
    facts = (_fact(entry) for entry in document["timeline"])
    saga = fold(Saga(document["saga"]), *facts)
    flow, version = flows.find(document["flow"])
    view = interpret(saga, Plan.of(with_deadlines(flow, document["deadlines"]), version))
    found: dict[str, Any] = orjson.loads(orjson.dumps(view))
    return {name: found.get(name) for name in document["view"]}


def _deadlines(flow: Flow) -> dict[str, str]:
    """Return the flow's deadlines in the form that `with_deadlines` takes."""
    found = {step.name: f"{step.deadline_s}s" for step in flow.steps.values()}
    for step in flow.steps.values():
        found |= {f"{step.name}.{wait}": f"{s}s" for wait, s in step.waits.items()}
    return found


def _fact_json(fact: Fact, place: tuple[int, int] | None) -> dict[str, Any]:
    partition, offset = place or (None, None)
    entry = {name: getattr(fact, name) for name in _FACT_FIELDS}
    return {"id": fact.id, "at": fact.at, "partition": partition, "offset": offset, **entry}


def _fact(entry: Mapping[str, Any]) -> Fact:
    named = {name: entry[name] for name in _FACT_FIELDS}
    return Fact(id=entry["id"], at=datetime.fromisoformat(entry["at"]), **named)
