"""`sagakit.contract.compat` against planted incompatibilities; the real sets are compatible."""

import copy
import json
import subprocess
import sys
from collections.abc import Callable
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest

from sagakit.contract.compat import check, check_flows, release
from sagakit.contract.files import files_of, read_set, released_sets
from sagakit.errors import ContractError
from sagakit.flow.model import Flow
from schemas import FLOWS, OWNERS

Records = dict[str, dict[str, Any]]
HERE = files_of("schemas").folder

LINE = {
    "type": "record",
    "name": "Line",
    "doc": "A line.",
    "fields": [{"name": "sku", "type": "string"}, {"name": "quantity", "type": "int"}],
}
SOLD = {
    "type": "record",
    "name": "Sold",
    "doc": "It was sold.",
    "owner": "shop",
    "saga_id": "order_id",
    "fields": [
        {"name": "order_id", "type": "string"},
        {"name": "lines", "type": {"type": "array", "items": "Line"}},
        {"name": "gift", "type": ["null", "Line"], "default": None},
        {"name": "note", "type": "string", "default": ""},
        {"name": "at", "type": {"type": "long", "logicalType": "timestamp-micros"}},
    ],
}
RELEASED: Records = {"Line": LINE, "Sold": SOLD}


def _field(records: Records, record: str, name: str) -> dict[str, Any]:
    return next(f for f in records[record]["fields"] if f["name"] == name)


def _add(record: str, **field: Any) -> Callable[[Records], object]:
    return lambda records: records[record]["fields"].append(field)


def _drop(record: str, name: str) -> Callable[[Records], object]:
    return lambda records: records[record]["fields"].remove(_field(records, record, name))


def _retype(record: str, name: str, avro: Any) -> Callable[[Records], object]:
    return lambda records: _field(records, record, name).update(type=avro)


HARMLESS: dict[str, Callable[[Records], object]] = {
    "nothing changed": lambda records: None,
    "a field with a default": _add("Sold", name="channel", type="string", default="web"),
    "a field with a default, deep": _add(
        "Line", name="colour", type=["null", "string"], default=None
    ),
    "a field that had a default is gone": _drop("Sold", "note"),
    "another doc": lambda records: records["Sold"].update(doc="said better"),
    "a new event": lambda records: records.update(Lost={**SOLD, "name": "Lost"}),
}
HARMFUL: dict[str, tuple[Callable[[Records], object], str, str]] = {
    "a field without a default": (
        _add("Sold", name="channel", type="string"),
        "cannot read its old records, field channel:",
        "Give a new field a default",
    ),
    "a field without a default, in an array": (
        _add("Line", name="colour", type="string"),
        "cannot read its old records, field lines[].colour:",
        "Give a new field a default",
    ),
    "a field without a default, in an optional": (
        _add("Line", name="colour", type="string"),
        "cannot read its old records, field gift.colour:",
        "Give a new field a default",
    ),
    "a field that had no default is gone": (
        _drop("Sold", "order_id"),
        "cannot read today's records, field order_id:",
        "Restore the field",
    ),
    "a field got another type": (
        _retype("Line", "sku", "long"),
        "field lines[].sku: reader type: long not compatible with writer type: string",
        "never retype one",
    ),
    # today's code can read an int as a long, the released code cannot read a long as an int
    "a field got a wider type": (
        _retype("Line", "quantity", "long"),
        "its old code cannot read today's records, field lines[].quantity:",
        "Restore the field",
    ),
    "a field became optional": (
        _retype("Sold", "order_id", ["null", "string"]),
        "its old code cannot read today's records, field order_id:",
        "Restore the field",
    ),
    "a field got another logical type": (
        _retype("Sold", "at", {"type": "long", "logicalType": "timestamp-millis"}),
        "field at had logical type timestamp-micros, now it has timestamp-millis",
        "add a new field",
    ),
    "an event is gone": (
        lambda records: records.pop("Sold"),
        "the schema is gone, but topics still hold its records",
        "Restore Sold.avsc",
    ),
    "an event moved to another owner": (
        lambda records: records["Sold"].update(owner="till"),
        "its owner was shop, now it is till",
        "Keep the owner",
    ),
}


def _changed(change: Callable[[Records], object]) -> Records:
    records = copy.deepcopy(RELEASED)
    change(records)
    return records


@pytest.mark.parametrize("name", HARMLESS)
def test_what_may_change(name: str) -> None:
    assert check(_changed(HARMLESS[name]), [("1", RELEASED)]) == []


@pytest.mark.parametrize("name", HARMFUL)
def test_what_may_not_change_is_named_with_its_remedy(name: str) -> None:
    change, reason, remedy = HARMFUL[name]
    lines = check(_changed(change), [("1", RELEASED)])
    named = [line for line in lines if reason in line]
    assert named, lines
    assert all(line.startswith("Sold, against released set 1: ") for line in lines)
    assert remedy in named[0]


def test_every_released_set_counts_not_only_the_last() -> None:
    without = _changed(_drop("Sold", "note"))
    again = _changed(_retype("Sold", "note", "long"))
    lines = check(again, [("1", RELEASED), ("2", without)])
    assert lines
    assert all("released set 1" in line for line in lines)


def test_the_contract_is_compatible_with_all_that_was_released() -> None:
    sets = released_sets(HERE)
    assert sets
    assert check(read_set(HERE), sets) == []


(ORDER,) = FLOWS
STEPS = {**ORDER.steps, "payment": replace(ORDER.steps["payment"], done="PaymentPending")}
CHANGED: dict[str, tuple[Flow, str]] = {
    "another order of steps": (
        replace(ORDER, versions={**ORDER.versions, 1: ORDER.versions[2]}),
        "order/1, against released set 1: its steps were",
    ),
    "another word for done": (
        replace(ORDER, steps=STEPS),
        "order/1, against released set 1: `done` of payment was PaymentCaptured",
    ),
}


@pytest.mark.parametrize("name", CHANGED)
def test_a_version_of_a_flow_that_is_out_is_never_changed(name: str) -> None:
    flow, named = CHANGED[name]
    assert any(line.startswith(named) for line in check_flows([flow], OWNERS, HERE))


def test_a_version_may_go_and_another_come() -> None:
    assert check_flows(FLOWS, OWNERS, HERE) == []
    assert max(ORDER.versions) > 2
    assert check_flows([replace(ORDER, versions={5: ORDER.versions[2]})], OWNERS, HERE) == []


def test_a_release_keeps_the_flow_files_too(tmp_path: Path) -> None:
    (tmp_path / "flows").mkdir()
    (tmp_path / "flows" / "order.toml").write_text("name = 'order'")
    kept = release(tmp_path, 1) / "flows" / "order.toml"
    assert kept.read_text() == "name = 'order'"


def test_a_release_keeps_the_schemas_as_they_are(tmp_path: Path) -> None:
    for name, record in RELEASED.items():
        (tmp_path / f"{name}.avsc").write_text(json.dumps(record))
    assert release(tmp_path, 1) == tmp_path / "released" / "1"
    assert read_set(tmp_path / "released" / "1") == read_set(tmp_path)
    assert [name for name, _ in released_sets(tmp_path)] == ["1"]


@pytest.mark.parametrize("number", [1, 3, 0, -1])
def test_a_released_set_is_never_written_again_and_none_is_left_out(
    tmp_path: Path, number: int
) -> None:
    release(tmp_path, 1)
    with pytest.raises(ContractError, match="the next released set is 2"):
        release(tmp_path, number)


def test_the_command_says_so_with_its_exit_status() -> None:
    command = [sys.executable, "-m", "sagakit.contract.compat", "schemas"]
    assert subprocess.run(command, check=False).returncode == 0
    refused = subprocess.run(
        [*command, "--release", "1"], check=False, capture_output=True, text=True
    )
    assert refused.returncode == 2
    assert "a set that is out is never changed" in refused.stderr
