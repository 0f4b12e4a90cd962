"""Builds the AsyncAPI 3.0 document of a contract.

    python -m sagakit.contract.asyncapi PACKAGE

It prints the document; `sagakit.contract.docs` writes it to docs/reference/asyncapi.yaml.
"""

import json
import re
import sys
from collections.abc import Iterable, Iterator, Mapping, Sequence
from typing import Any

from sagakit.contract.loader import load_contract
from sagakit.contract.model import Contract, inline
from sagakit.contract.package_tool import read_arguments, run_tool
from sagakit.contract.texts import read_texts
from sagakit.flow.platform_events import PLATFORM
from sagakit.flow.routing import rules_of, topic, topics_of


def writer(owner: str) -> str:
    """Return the readable name of the writer of an owner's topic."""
    return "saga monitor" if owner == PLATFORM else owner


_HEADERS = {
    "ce_id": "Id of the event. Without one it is derived from saga id and content.",
    "ce_source": "Who emits it.",
    "ce_sequence": "Its place among the source's events of this saga, from 1. Leave it out if you "
    "keep no count.",
    "ce_type": "The event's name.",
    "ce_time": "When it was decided, ISO 8601.",
    "ce_causationid": "Id of the event or message that caused it.",
    "ce_correlationid": "What belongs together: the publisher's own word for it, or the saga "
    "key, flow/id.",
    "ce_dataschema": "Where a schema registry gives the body's schema an id: the schema itself, as "
    "avro-crc64: and its fingerprint in 16 hex digits.",
    "flow": "Flow and version the saga runs on, such as errand/1.",
    "contract": "On an event of the platform: the contract package that has the flow. Whoever does "
    "not have that package ignores the event.",
    "traceparent": "W3C trace context.",
}


def asyncapi(contract: Contract, title: str) -> dict[str, Any]:
    """Build the document (https://www.asyncapi.com/docs/reference/specification/v3.0.0)."""
    return {
        "asyncapi": "3.0.0",
        "info": {
            "title": title,
            "version": f"{len(contract.released)}.0.0",
            "description": "Made by `python -m sagakit.contract.docs`. The version is that of the "
            "newest released set of schemas.",
        },
        "defaultContentType": "application/avro",
        "channels": {topic(owner): _channel(contract, owner) for owner in contract.topic_owners},
        "operations": dict(_operations(contract)),
        "components": {
            "messages": {event: _message(contract, event) for event in contract.event_types},
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


def _channel(contract: Contract, owner: str) -> dict[str, Any]:
    refs = {e: {"$ref": f"#/components/messages/{e}"} for e in contract.events_of(owner)}
    return {"address": topic(owner), "title": f"Events of {writer(owner)}", "messages": refs}


def _operations(contract: Contract) -> Iterator[tuple[str, dict[str, Any]]]:
    for owner in contract.topic_owners:
        yield f"{owner}-sends", _operation("send", topic(owner), contract.events_of(owner))
    flows, owners = contract.flows, contract.owners
    for name in contract.participants:
        triggering = {e for flow in flows for v in flow.versions for e in rules_of(flow, v, name)}
        for read in topics_of(flows, name):
            events = [e for e in owners if e in triggering and topic(owners[e]) == read]
            yield f"{name}-receives-{read}", _operation("receive", read, events)


def _operation(action: str, address: str, events: Iterable[str]) -> dict[str, Any]:
    here = f"#/channels/{address}"
    refs = [{"$ref": f"{here}/messages/{event}"} for event in events]
    return {"action": action, "channel": {"$ref": here}, "messages": refs}


def _message(contract: Contract, event: str) -> dict[str, Any]:
    field = contract.event_types[event].saga_id_field
    key = f"The saga id, `{field}`." if field else "The event's own subject; it belongs to no saga."
    return {
        "name": event,
        "summary": contract.doc(event),
        "headers": {"$ref": "#/components/schemas/headers"},
        "bindings": {"kafka": {"key": {"type": "string", "description": key}}},
        "payload": {
            "schemaFormat": "application/vnd.apache.avro+json;version=1.9.0",
            "schema": inline(event, contract.schemas),
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


def main(arguments: Sequence[str]) -> int:
    """Print the document."""
    files, _ = read_arguments("sagakit.contract.asyncapi", __doc__, arguments)
    contract = load_contract(files.package)
    print("\n".join(yaml(asyncapi(contract, read_texts(files).title))))
    return 0


if __name__ == "__main__":
    sys.exit(run_tool(main))
