"""Every cell of docs/reference/who-may-move-what.md, on the real deciders and stores in memory."""

import itertools
from collections.abc import Iterator, Sequence
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest

from sagakit.contract.rights import PAGE, Reaction, Sending, declared, facts_in, page_text
from sagakit.decider import Command, Do, Observed, Trigger, Undo
from sagakit.flow.model import REFUSED
from sagakit.flow.routing import rules_of, topic
from sagakit.messages.envelope import Trace
from schemas import CONTRACT, EVENT_TYPES
from tests.order_facts import TWO_TEAS
from tests.unit.services.reader import FLOW, Reader, example

ROOT = Path(__file__).parents[3]
READERS = FLOW.participants
SAGA_EVENTS = sorted(name for name, event in EVENT_TYPES.items() if event.saga_id_field)
OTHER_FACTS = replace(TWO_TEAS, ship_to="2 Main Street")


def played(version: int, event: str, sending: Sending, name: str) -> Reader:
    """The reader after such an event."""
    reader = Reader(name, version)
    first = event == FLOW.start and sending is not Sending.AGAIN
    if sending is not Sending.EARLY and not first:
        reader.start()
        reader.prepare(version, event)
    sent = example(event, name, OTHER_FACTS if sending is Sending.FACTS else TWO_TEAS)
    other = next(v for v in FLOW.versions if v != version)
    changes: dict[Sending, dict[str, Any]] = {
        Sending.UNCOUNTED: {"source": "outsider", "seq": 77},
        Sending.LABEL: {"trace": Trace(FLOW.label(other))},
        Sending.TOPIC: {"topic": next(t for t in CONTRACT.topics if t != topic(sent.owner))},
    }
    reader.reads(sent, **changes.get(sending, {}))
    return reader


def shown(triggers: Sequence[Trigger]) -> list[str]:
    names = {Do: "Do", Undo: "Undo", Command: "Command"}
    return [
        f'Observed("{t.name}")' if isinstance(t, Observed) else names[type(t)] for t in triggers
    ]


def cells(version: int, sending: Sending) -> Iterator[tuple[str, str, str]]:
    for reader, event in itertools.product(READERS, SAGA_EVENTS):
        ruled = event in rules_of(FLOW, version, reader)
        if not ruled and sending not in (Sending.OWNER, Sending.LABEL):
            continue  # by its owner it does nothing either
        yield event, reader, declared(CONTRACT, FLOW, version, event, sending, reader)


CODES = {Reaction.WAITS: "unstarted", Reaction.ASIDE: "conflict", Reaction.PARKED: "undecodable"}
SILENT = {"hold", "go on"}
"""The kit acts on these; `decide` is told nothing."""


@pytest.mark.parametrize("sending", Sending)
@pytest.mark.parametrize("version", FLOW.versions)
def test_each_cell_of_the_table(version: int, sending: Sending) -> None:
    for event, name, cell in cells(version, sending):
        if cell == Reaction.NEVER:
            continue
        reader = played(version, event, sending, name)
        case = f"{event} {sending} at {name} on {reader.label}"
        if cell in CODES:
            assert (reader.moved, reader.codes) == (False, [CODES[Reaction(cell)]]), case
        elif cell == Reaction.NOTHING:
            # with another label it may have a rule elsewhere
            assert not reader.moved, case
            assert set(reader.codes) <= {"conflict"}, case
        else:
            expected = [one for one in cell.split(", ") if one not in SILENT]
            assert shown(reader.triggers) == expected, case
            assert reader.codes == [], case


def test_the_page_is_what_the_flow_says() -> None:
    assert (ROOT / PAGE).read_text() == page_text("schemas")


def test_no_cell_but_an_owners_leads_to_a_decision() -> None:
    """Beside an event under another source, which only loses its number."""
    for version, sending in itertools.product(FLOW.versions, Sending):
        if sending in (Sending.OWNER, Sending.UNCOUNTED):
            continue
        acting = {
            (event, cell)
            for event, _, cell in cells(version, sending)
            if cell not in set(Reaction) and cell not in ("",)
        }
        assert acting <= {(FLOW.start, f'Observed("{REFUSED}")')}, sending


def test_what_later_steps_act_on_is_a_fact_of_the_start_event() -> None:
    for step in ("InventoryReserved", "PaymentCaptured", "FraudCleared", "ShipmentPickedUp"):
        assert facts_in(CONTRACT, step) & facts_in(CONTRACT, FLOW.start)
