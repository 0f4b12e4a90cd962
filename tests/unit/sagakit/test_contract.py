"""Contracts: marks in `.avsc` files, their faults, and several packages together."""

import json
import sys
from collections.abc import Callable, Iterator, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import pytest

from sagakit.contract.files import files_of, read_set
from sagakit.contract.generate import main as generate
from sagakit.contract.loader import load_contract
from sagakit.contract.marks import EventMarks, check_records, marks_of
from sagakit.contract.model import inline, saga_id_of
from sagakit.contract.platform import EVENTS, SagaPaused
from sagakit.errors import ContractError
from sagakit.flow.platform_events import PLATFORM, UNDERSTOOD
from sagakit.flow.routing import Router
from tests.toy_saga import FLOWS, LeftDone

Records = dict[str, dict[str, Any]]
PERSON = {
    "type": "record",
    "name": "Guest",
    "doc": "A guest.",
    "fields": [
        {"name": "name", "type": "string", "pii": True},
        {"name": "nights", "type": "int"},
    ],
}
BOOKED = {
    "type": "record",
    "name": "Booked",
    "doc": "It was booked.",
    "owner": "hotel",
    "saga_id": "trip_id",
    "void_when": "late",
    "fields": [
        {"name": "trip_id", "type": "string"},
        {"name": "late", "type": "boolean", "default": False},
        {"name": "mail", "type": ["null", "string"], "default": None, "pii": True},
        {"name": "guests", "type": {"type": "array", "items": "Guest"}},
    ],
}


def changed(**attributes: Any) -> Records:
    """The two records, with other attributes of the event; None removes one."""
    event = {**BOOKED, **attributes}
    return {"Guest": PERSON, "Booked": {k: v for k, v in event.items() if v is not ...}}


def with_field(**field: Any) -> Records:
    """The two records, the event with one more field."""
    return changed(fields=[*BOOKED["fields"], field])


def test_the_marks_of_an_event_reach_into_shared_records() -> None:
    records = changed()
    check_records(records)
    pii = ("mail", "guests.name")
    assert marks_of("Booked", records) == EventMarks("hotel", "trip_id", "late", pii)
    assert marks_of("Guest", records) is None


def test_avro_never_sees_a_mark() -> None:
    text = json.dumps(inline("Booked", changed()))
    assert not any(f'"{mark}"' in text for mark in ("owner", "saga_id", "void_when", "pii"))


def test_an_event_may_belong_to_no_saga() -> None:
    records = changed(saga_id=None)
    check_records(records)
    assert marks_of("Booked", records) == EventMarks("hotel", None, "late", ("mail", "guests.name"))


FAULTS: dict[str, tuple[Records, str, str]] = {
    "no saga id named": (changed(saga_id=...), "saga_id: it is missing", "or null"),
    "a saga id that is no field": (
        changed(saga_id="id"),
        "saga_id: there is no field 'id'",
        "name one of trip_id, late, mail, guests",
    ),
    "a saga id that is no text": (
        changed(saga_id="late"),
        "saga_id: field late is 'boolean'",
        "name a field of type string",
    ),
    "a saga id that may be missing": (changed(saga_id="mail"), "saga_id: field mail is", "string"),
    "two saga ids": (changed(saga_id=["trip_id", "mail"]), "saga_id: it is [", "name one field"),
    "void_when is no boolean": (
        changed(void_when="mail"),
        "void_when: field mail is",
        "name a field of type boolean",
    ),
    "void_when is no field": (changed(void_when="x"), "void_when: there is no field", "name one"),
    "a misspelt mark": (changed(sagaid="trip_id"), "the record: 'sagaid' is not known", "use"),
    "an owner that is no name": (changed(owner="a b"), "owner: 'a b' is no name", "letters"),
    "a shared record with a saga id": (
        changed(owner=...),
        "saga_id: a record without an owner is no event",
        "add the owner",
    ),
    "pii that is no text": (
        with_field(name="age", type="int", pii=True),
        "field age, pii: the type is 'int'",
        "mark fields of type string",
    ),
    "pii on a record": (
        with_field(name="guest", type="Guest", pii=True),
        "field guest, pii: the type is 'Guest'",
        "in a record the fields within it",
    ),
    "pii that is no boolean": (
        with_field(name="x", type="string", pii="yes"),
        "field x, pii: it is 'yes'",
        "write true",
    ),
    "pii on an unknown type": (
        with_field(name="x", type="Gust", pii=True),
        "field x: type 'Gust' is not known",
        "a record of this folder",
    ),
    "no doc": (changed(doc=...), "doc: it is missing", "say in a sentence"),
    "another name than the file": (changed(name="Bokked"), "name: it is 'Bokked'", "same name"),
    "no fields": (changed(fields="none"), "fields: it is no list", "write it as one"),
    "a record within itself": (
        {**changed(), "Guest": {**PERSON, "fields": [{"name": "next", "type": "Guest"}]}},
        "fields: the record contains itself",
        "bounded depth",
    ),
}


@pytest.mark.parametrize("name", FAULTS)
def test_a_fault_is_one_line_with_file_place_reason_and_remedy(name: str) -> None:
    records, reason, remedy = FAULTS[name]
    with pytest.raises(ContractError) as refused:
        check_records(records, "trips/")
    text = str(refused.value)
    assert text.startswith("trips/")
    assert ".avsc, " in text
    assert reason in text
    assert remedy in text
    assert "\n" not in text


def test_a_mark_that_is_written_twice_is_refused(tmp_path: Path) -> None:
    text = json.dumps(BOOKED).replace('"saga_id": ', '"saga_id": "mail", "saga_id": ')
    (tmp_path / "Booked.avsc").write_text(text)
    with pytest.raises(ContractError, match=r"Booked.avsc, saga_id: it is written twice"):
        read_set(tmp_path)


@pytest.mark.parametrize("text", ["", "{", "[]", "3", "[" * 100_000, "null"])
def test_any_file_gets_an_answer(tmp_path: Path, text: str) -> None:
    (tmp_path / "Booked.avsc").write_text(text)
    with pytest.raises(ContractError, match=r"Booked.avsc, |Booked.avsc: it is not valid JSON"):
        read_set(tmp_path)


# --- packages -------------------------------------------------------------------------------------

FLOW_FILE = """
name = "{name}"
start = "{start}"
cancel = "{start}"
default_version = 1
[versions]
1 = ["{owner}"]
[steps.{owner}]
kind = "retriable"
done = "{start}"
deadline = "1m"
"""
Made = Callable[..., str]


@pytest.fixture
def made(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[Made]:
    """Makes a contract's package with one event and a flow; its name."""
    monkeypatch.syspath_prepend(str(tmp_path))
    names: list[str] = []

    def make(name: str, event: Mapping[str, Any], *, generated: bool = True) -> str:
        folder = tmp_path / name
        (folder / "flows").mkdir(parents=True)
        (folder / "__init__.py").touch()
        (folder / "Guest.avsc").write_text(json.dumps(PERSON))
        (folder / f"{event['name']}.avsc").write_text(json.dumps(event))
        values = {"name": name, "start": event["name"], "owner": event["owner"]}
        flow = FLOW_FILE.format(**values)
        (folder / "flows" / "flow.toml").write_text(flow)
        names.append(name)
        if generated:
            assert generate([name]) == 0
            assert generate([name, "--check"]) == 0
        return name

    yield make
    for module in [m for m in sys.modules if m.partition(".")[0] in names]:
        del sys.modules[module]


def test_a_generated_class_carries_the_marks(made: Made) -> None:
    contract = load_contract(made("hotels", BOOKED))
    booked = contract.event_types["Booked"]
    assert (booked.saga_id_field, booked.void_when) == ("trip_id", "late")
    assert booked.pii == ("mail", "guests.name")
    event = booked(trip_id="t1", guests=())
    assert saga_id_of(event) == "t1"
    assert [flow.name for flow in contract.flows] == ["hotels"]
    assert contract.owners["Booked"] == "hotel"


def test_several_contracts_are_one(made: Made) -> None:
    one, two = (
        made("hotels", BOOKED),
        made("flights", {**BOOKED, "name": "Flown", "owner": "flight"}),
    )
    contract = load_contract(one, two)
    assert {"Booked", "Flown"} <= contract.event_types.keys()
    assert [flow.name for flow in contract.flows] == ["hotels", "flights"]
    assert contract.topics == ["flight.events", "hotel.events", "saga.events"]


def test_a_package_named_twice_is_one(made: Made) -> None:
    one = made("hotels", BOOKED)
    assert load_contract(one, one).event_types.keys() == load_contract(one).event_types.keys()


def test_the_platforms_own_events_are_in_every_contract(made: Made) -> None:
    contract = load_contract(made("hotels", BOOKED))
    assert contract.event_types["SagaPaused"] is SagaPaused
    assert UNDERSTOOD.items() <= contract.owners.items()
    assert {contract.owners[event.type] for event in EVENTS} == {PLATFORM}
    assert {event.saga_id_field for event in EVENTS} == {"saga_id"}


def test_classes_that_were_not_generated_again_are_refused(made: Made) -> None:
    one = made("hotels", BOOKED)
    path = files_of(one).folder / "Booked.avsc"
    path.write_text(json.dumps({**BOOKED, "saga_id": None}))
    with pytest.raises(ContractError, match=r"run python -m sagakit.contract.generate hotels"):
        load_contract(one)
    with pytest.raises(ContractError, match=r"run python -m sagakit.contract.generate inns"):
        load_contract(made("inns", BOOKED, generated=False))


@pytest.mark.parametrize("name", ["nowhere", "no.where", "", ".", "json", "tests"])
def test_a_package_without_a_contract_is_refused(name: str) -> None:
    with pytest.raises(ContractError, match=r"^contract "):
        load_contract(name)


# --- void_when ------------------------------------------------------------------------------------


@dataclass(frozen=True)
class VoidableDone(LeftDone):
    """A step that can be done after its undo."""

    void_when = "late"
    late: bool = False


@pytest.mark.parametrize("label", ["toy/2", "toy/3"])
def test_nothing_starts_on_a_void_event_also_where_two_are_joined(label: str) -> None:
    router = Router(FLOWS, "counter")
    void = router.route(label, VoidableDone("o1", late=True))
    assert (void.triggers, void.marks) == ((), frozenset())
    done = router.route(label, VoidableDone("o1"))
    assert done.triggers or done.marks == {"LeftDone"}
