"""Builds the AsyncAPI 3.0 document of the contract, and answers the queries all documents share."""

import json
import re
from collections.abc import Iterable, Iterator, Mapping
from typing import Any

from sagakit.contract.model import inline
from sagakit.flow.routing import rules_of, topic, topics_of
from schemas import CONTRACT, EVENT_TYPES, FLOWS, OWNERS, RELEASED

MONITOR = "saga"
"""The owner of the events that the saga monitor and people emit."""


def doc(event: str) -> str:
    """Return the documentation of an event, from its schema."""
    return str(CONTRACT.schemas[event]["doc"])


def events_of(owner: str) -> list[str]:
    """Return the events that an owner emits."""
    return [event for event, by in OWNERS.items() if by == owner]


def participants() -> list[str]:
    """Return the participants of all flows."""
    return list(dict.fromkeys(name for flow in FLOWS for name in flow.participants))


def owners() -> list[str]:
    """Return the owners of topics: the participants and the monitor."""
    return sorted(set(OWNERS.values()))


def writer(owner: str) -> str:
    """Return the readable name of the writer of an owner's topic."""
    return "saga monitor" if owner == MONITOR else owner


_HEADERS = {
    "ce_id": "Id of the event. Without one it is derived from order id and content.",
    "ce_source": "Who emits it.",
    "ce_sequence": "Its place among the source's events of this order, from 1. Leave it out if you "
    "keep no count.",
    "ce_type": "The event's name.",
    "ce_time": "When it was decided, ISO 8601.",
    "ce_causationid": "Id of the event or message that caused it.",
    "ce_correlationid": "What belongs together: the publisher's own word for it, or the order id.",
    "flow": "Flow and version the order runs on, such as order/1.",
    "traceparent": "W3C trace context.",
}


def asyncapi() -> dict[str, Any]:
    """Build the document (https://www.asyncapi.com/docs/reference/specification/v3.0.0)."""
    return {
        "asyncapi": "3.0.0",
        "info": {
            "title": "The order saga's events",
            "version": f"{len(RELEASED)}.0.0",
            "description": "Made by `python -m schemas.docs`. The version is that of the newest "
            "released set of schemas.",
        },
        "defaultContentType": "application/avro",
        "channels": {topic(owner): _channel(owner) for owner in owners()},
        "operations": dict(_operations()),
        "components": {
            "messages": {event: _message(event) for event in EVENT_TYPES},
            "schemas": {
                "headers": {
                    "type": "object",
                    "properties": {
                        name: {"type": "string", "description": text}
                        for name, text in _HEADERS.items()
                    },
                }
            },
        },
    }


def _channel(owner: str) -> dict[str, Any]:
    refs = {e: {"$ref": f"#/components/messages/{e}"} for e in events_of(owner)}
    return {"address": topic(owner), "title": f"Events of {writer(owner)}", "messages": refs}


def _operations() -> Iterator[tuple[str, dict[str, Any]]]:
    for owner in owners():
        yield f"{owner}-sends", _operation("send", topic(owner), events_of(owner))
    for name in participants():
        triggering = {e for flow in FLOWS for v in flow.versions for e in rules_of(flow, v, name)}
        for read in topics_of(FLOWS, name):
            events = [e for e in EVENT_TYPES if e in triggering and topic(OWNERS[e]) == read]
            yield f"{name}-receives-{read}", _operation("receive", read, events)


def _operation(action: str, address: str, events: Iterable[str]) -> dict[str, Any]:
    here = f"#/channels/{address}"
    refs = [{"$ref": f"{here}/messages/{event}"} for event in events]
    return {"action": action, "channel": {"$ref": here}, "messages": refs}


def _message(event: str) -> dict[str, Any]:
    return {
        "name": event,
        "summary": doc(event),
        "headers": {"$ref": "#/components/schemas/headers"},
        "bindings": {"kafka": {"key": {"type": "string", "description": "The order id."}}},
        "payload": {
            "schemaFormat": "application/vnd.apache.avro+json;version=1.9.0",
            "schema": inline(event, CONTRACT.schemas),
        },
    }


def yaml(value: Any, indent: str = "") -> Iterator[str]:
    """Yield the YAML lines of a document of mappings, lists and scalars.

    Lists, scalars and Avro schemas stay JSON, one line each: YAML is a superset of JSON.
    """
    for key, inner in value.items():
        if isinstance(inner, Mapping) and key != "schema":
            yield f"{indent}{_plain(key)}:"
            yield from yaml(inner, indent + "  ")
        else:
            yield f"{indent}{_plain(key)}: {json.dumps(inner)}"


def _plain(key: str) -> str:
    return key if re.fullmatch(r"[A-Za-z_][\w.-]*", key) else json.dumps(key)
