"""A schema registry that has lost its schemas: events stay readable, and the process tells."""

from dataclasses import replace

import pytest

from sagakit.contract.model import Contract
from sagakit.errors import Undecodable, UnregisteredSchema
from sagakit.messages.codec import Codec
from sagakit.messages.envelope import Record
from sagakit.messages.framing import DATA_SCHEMA
from sagakit.messages.registry_guard import RegistryGuard
from tests.toy_saga import CONTRACT, Ticked, Wire, schema_of
from tests.unit.sagakit.test_codec import FakeRegistry

NOTE = {"name": "note", "type": ["null", "string"], "default": None}
EVOLVED = schema_of("Ticked", fields=[*schema_of("Ticked")["fields"], NOTE])
NEWER = Contract(CONTRACT.event_types, {**CONTRACT.schemas, "Ticked": EVOLVED})


def renumbered() -> FakeRegistry:
    """A registry that began without data, where somebody else was the first to register."""
    registry = FakeRegistry()
    registry.add(schema_of("Foreign"))
    return registry


def sent(contract: Contract = CONTRACT) -> Record:
    return Wire(Codec(contract, FakeRegistry())).record(Ticked("a", "one"), 1)


def test_an_event_of_the_lost_registry_is_read_by_its_fingerprint() -> None:
    restarted = Codec(CONTRACT, registry := renumbered())
    old = sent()
    assert (old.value or b"")[1:5] != restarted.body(Ticked("a", "one"))[1:5], "another id"
    assert not restarted.asks_registry(old)
    assert restarted.decode(old).event == Ticked("a", "one")
    assert registry.lookups == []


def test_without_the_fingerprint_the_id_of_the_lost_registry_means_another_event() -> None:
    old = sent()
    headers = tuple(h for h in old.headers if h[0] != DATA_SCHEMA)
    assert len(headers) == len(old.headers) - 1
    with pytest.raises(Undecodable):
        Codec(CONTRACT, renumbered()).decode(replace(old, headers=headers))


def test_a_newer_schema_of_the_lost_registry_waits_until_it_is_restored() -> None:
    lost = FakeRegistry()
    newer = Wire(Codec(NEWER, lost)).record(Ticked("a", "one"), 1)
    reader = Codec(CONTRACT, registry := renumbered())
    assert reader.asks_registry(newer)
    with pytest.raises(UnregisteredSchema, match="is another schema in the registry"):
        reader.decode(newer)
    registry.schemas = lost.schemas
    assert reader.decode(newer).event == Ticked("a", "one")
    assert not reader.asks_registry(newer)


@pytest.mark.parametrize("uri", [b"", b"https://schemas.example/1", b"avro-crc64:nonsense"])
def test_another_uri_in_the_header_is_passed_over(uri: bytes) -> None:
    codec = Codec(CONTRACT, FakeRegistry())
    record = Wire(codec).record(Ticked("a", "one"), 1)
    headers = [(name, uri if name == DATA_SCHEMA else value) for name, value in record.headers]
    assert codec.decode(replace(record, headers=tuple(headers))).event == Ticked("a", "one")


def faults(guard: RegistryGuard) -> list[float]:
    return [value for _, _, value in guard.read()]


def test_the_guard_tells_of_lost_schemas_until_they_are_there_again() -> None:
    codec = Codec(CONTRACT, registry := FakeRegistry())
    guard = RegistryGuard(codec, "counter")
    guard.check()
    assert faults(guard) == [0]
    known, registry.subjects = registry.subjects, {}
    guard.check()
    assert faults(guard) == [1]
    registry.subjects = known
    for _ in codec.registrations:
        assert faults(guard) == [1]
        guard.check()
    assert faults(guard) == [0]


def test_the_guard_tells_of_an_id_that_has_changed() -> None:
    codec = Codec(CONTRACT, registry := FakeRegistry())
    registry.subjects = {subject: number + 1 for subject, number in registry.subjects.items()}
    guard = RegistryGuard(codec, "counter")
    guard.check()
    assert faults(guard) == [1]


def test_a_process_without_a_registry_has_no_fault() -> None:
    guard = RegistryGuard(Codec(CONTRACT), "counter")
    assert faults(guard) == [0]
