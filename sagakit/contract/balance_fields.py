"""Checks that the fields a flow's balances name are in the events' schemas, and fit. Pure."""

from collections.abc import Iterator
from typing import Any

from sagakit.contract.marks import Records
from sagakit.errors import FlowError
from sagakit.flow.balances import Balance
from sagakit.flow.model import Flow

_AMOUNTS = ("int", "long")
_TEXTS = ("string", ["null", "string"], ["string", "null"])


def check_balance_fields(flow: Flow, records: Records) -> None:
    """Check amount, kind, id and kept of every balance against the schemas of its events.

    Raises FlowError, which names the place, the reason and the remedy.
    """
    for balance in flow.balances:
        for event, path in balance.paths.items():
            for problem in _problems(balance, event, path, records):
                raise FlowError(f"flow {flow.name}, balances.{balance.name}, {event}: {problem}")


def _problems(balance: Balance, event: str, path: str, records: Records) -> Iterator[str]:
    schema = records[event]
    if event in balance.kept:
        yield from _field_problems("kept", balance.kept[event], schema, _TEXTS)
    if event in balance.ids:
        yield from _field_problems("id", balance.ids[event], schema, _TEXTS)
        if balance.ids[event] == schema["saga_id"]:
            yield (
                f"id: {balance.ids[event]} is the saga's id, the same for all its movements; name "
                "another field, or remove id: then each event counts once"
            )
    holder: Any = schema
    names = path.split(".") if path else []
    for n, name in enumerate(names, 1):
        is_last = n == len(names)
        found = next((f["type"] for f in holder["fields"] if f["name"] == name), None)
        items = found.get("items") if isinstance(found, dict) else None
        element = items if is_last and isinstance(items, str) else found
        if not isinstance(element, str) or element not in records or (is_last and items is None):
            yield (
                f"{path}: {name} is {_shown(found)} in {holder['name']}, which leads to no list "
                "of records; write the path of a list of records"
            )
            return
        holder = records[element]
    yield from _field_problems("amount", balance.amount, holder, _AMOUNTS)
    if balance.kind:
        yield from _field_problems("kind", balance.kind, holder, _TEXTS)


def _field_problems(key: str, name: str, record: Any, wanted: tuple[Any, ...]) -> Iterator[str]:
    fields = {field["name"]: field for field in record["fields"]}
    if name not in fields:
        yield (
            f"{key}: {record['name']} has no field {name}; name one of {', '.join(fields)}, or add "
            "it to the schema"
        )
    elif fields[name]["type"] not in wanted:
        types = " or ".join(str(known) for known in wanted if isinstance(known, str))
        yield (
            f"{key}: field {name} of {record['name']} is {_shown(fields[name]['type'])}; name a "
            f"field of type {types}"
        )
    elif fields[name].get("pii"):
        yield f"{key}: field {name} is about a person, and sealed; name another field"


def _shown(value: Any) -> str:
    return "no field" if value is None else ascii(value)[:80]
