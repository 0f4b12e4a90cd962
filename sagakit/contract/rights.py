"""Writes docs/reference/who-may-move-what.md: who may cause what with an event. Pure but for main.

    python -m sagakit.contract.rights PACKAGE [--check]

`declared` is the table: for a writer's event, the way in which it is sent, and a reader, what the
reader does. It comes from the flow files. Only OWNER and UNCOUNTED may lead to a decision.
"""

import sys
from collections.abc import Iterator, Sequence
from enum import StrEnum
from pathlib import Path
from typing import Any

from sagakit.contract.loader import load_contract
from sagakit.contract.made_page import make, table
from sagakit.contract.model import Contract
from sagakit.contract.package_tool import run_tool
from sagakit.flow.model import REFUSED, Flow
from sagakit.flow.routing import Rule, rules_of, topic

PAGE = Path("docs/reference/who-may-move-what.md")
"""The page, below the folder that holds the contract's package."""


class Sending(StrEnum):
    """The way in which an event of a saga that has started is sent."""

    OWNER = "as its owner sends it"
    UNCOUNTED = "under another source"
    LABEL = "with another `flow`"
    FACTS = "with other facts"
    EARLY = "before the start event"
    AGAIN = "after another start event"
    TOPIC = "on another topic"


MEANINGS = {
    Sending.OWNER: "on the topic of its owner, with its source, its sequence and the saga's label",
    Sending.UNCOUNTED: "the header `ce_source` names another: the sequence number is not believed",
    Sending.LABEL: "the header `flow` names another version than that of the start event",
    Sending.FACTS: "a record that the start event has too has another content",
    Sending.EARLY: "the start event of its saga was not read yet",
    Sending.AGAIN: "a start event of a saga of which the log has another one before it",
    Sending.TOPIC: "the topic belongs to another owner, who alone may write it",
}


class Reaction(StrEnum):
    """Names the effect of an event that leads to no decision."""

    NOTHING = "-"
    NEVER = ""
    WAITS = "waits"
    ASIDE = "set aside"
    PARKED = "parked"


REACTIONS = {
    Reaction.NOTHING: "it is counted, and changes nothing",
    Reaction.NEVER: "there is no such event",
    Reaction.WAITS: "it is handled once the start event was read",
    Reaction.ASIDE: "it is kept for a person as a conflict; later events pass it",
    Reaction.PARKED: "it is kept for a person as undecodable; later events of its saga queue",
}


def declared(
    contract: Contract, flow: Flow, version: int, event: str, sending: Sending, reader: str
) -> str:
    """Return what a reader does: the triggers of an event that may act, else a Reaction."""
    rules = rules_of(flow, version, reader).get(event, ())
    acting = [rule for rule in rules if (rule.name == REFUSED) == (sending is Sending.AGAIN)]
    is_start = event == flow.start
    match sending:
        case Sending.TOPIC:
            return Reaction.PARKED
        case Sending.AGAIN if not is_start:
            return Reaction.NEVER
        case Sending.LABEL | Sending.FACTS | Sending.EARLY if is_start:
            return Reaction.NEVER  # it is the start event, or one that comes again
        case Sending.EARLY if rules:
            return Reaction.WAITS
        case Sending.LABEL if rules:
            return Reaction.ASIDE
        case Sending.FACTS if not _carries(contract, flow, event):
            return Reaction.NEVER
        case Sending.FACTS if rules:
            return Reaction.ASIDE
    return ", ".join(map(_shown, acting)) or Reaction.NOTHING


def _carries(contract: Contract, flow: Flow, event: str) -> bool:
    """Tell whether an event has a record of the start event, under the same name."""
    return bool(facts_in(contract, flow.start) & facts_in(contract, event))


def facts_in(contract: Contract, event: str) -> set[tuple[str, str]]:
    """Return the fields of an event that hold one record each: their names and the record's."""
    found = set()
    for field in contract.schemas[event]["fields"]:
        types: Any = field["type"] if isinstance(field["type"], list) else [field["type"]]
        found |= {
            (field["name"], name)
            for name in types
            if isinstance(name, str) and name in contract.schemas
        }
    return found


def _shown(rule: Rule) -> str:
    shown = {"do": "Do", "undo": "Undo", "verdict": "Command", "pause": "hold", "resume": "go on"}
    return shown.get(rule.kind) or f'Observed("{rule.name}")'


def page_text(package: str) -> str:
    """Return the text of a contract's page. Raises ContractError or FlowError."""
    contract = load_contract(package)
    parts = [
        "# Who may move what",
        f"Made by `python -m sagakit.contract.rights {package}` from the flow files; edit those, "
        "not this page. A test plays every cell. Whoever may write one topic causes with it what "
        "is said here, and nothing else: an event that is not listed for a reader changes nothing "
        "there.",
        table(("an event is sent", ""), MEANINGS.items()),
        table(("the reader", ""), REACTIONS.items()),
    ]
    for flow in contract.flows:
        for version in flow.versions:
            head = ("event (topic)", "reader", *Sending)
            parts += [
                f"## `{flow.label(version)}`",
                table(head, _rows(contract, flow, version)),
            ]
    return "\n\n".join(parts) + "\n"


def _rows(contract: Contract, flow: Flow, version: int) -> Iterator[tuple[str, ...]]:
    for reader in flow.participants:
        for event in rules_of(flow, version, reader):
            cells = (declared(contract, flow, version, event, s, reader) for s in Sending)
            yield f"{event} (`{topic(flow.owners[event])}`)", reader, *cells


def main(arguments: Sequence[str]) -> int:
    """Write the page if it differs; with `--check` only return 1 if it does."""
    return make(
        "sagakit.contract.rights",
        __doc__,
        arguments,
        lambda files: {PAGE: page_text(files.package)},
    )


if __name__ == "__main__":
    sys.exit(run_tool(main))
