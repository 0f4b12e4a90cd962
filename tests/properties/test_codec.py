"""The codec reads what it writes; any other bytes are an event or an UnprocessableRecord."""

from contextlib import suppress
from datetime import UTC, datetime
from functools import cache
from typing import Any
from uuid import UUID

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from sagakit.contract.model import saga_id_of
from sagakit.errors import UnprocessableRecord
from sagakit.flow.routing import topic
from sagakit.identity import saga_key
from sagakit.messages.codec import Codec
from sagakit.messages.envelope import Envelope, Record, Trace
from schemas import CONTRACT, EVENT_TYPES, OWNERS
from tests.avro import any_event, events, order_ids
from tests.unit.sagakit.test_codec import FakeRegistry

NOW = datetime(2026, 1, 2, 3, 4, 5, tzinfo=UTC)
FRAMINGS = ["single object", "confluent"]


@cache
def codec(framing: str) -> Codec:
    return Codec(CONTRACT, FakeRegistry() if framing == "confluent" else None)


def sent(framing: str, event: Any, key: str, trace: Trace = Trace()) -> Record:  # noqa: B008
    envelope = Envelope(UUID(int=7), key, event.owner, 3, NOW, event, UUID(int=6), trace)
    row = codec(framing).encode(envelope)
    return Record(row.topic, 0, 9, 1_767_323_045_000, row.key.encode(), row.value, row.headers)


def key_of(event: Any) -> str:
    return saga_key("order", saga_id_of(event)) if event.saga_id_field else "/no saga"


@pytest.mark.parametrize("framing", FRAMINGS)
@pytest.mark.parametrize("name", sorted(EVENT_TYPES))
def test_every_event_comes_back_as_it_was(framing: str, name: str) -> None:
    @settings(max_examples=15, deadline=None)
    @given(events(name))
    def check(event: Any) -> None:
        envelope = codec(framing).decode(sent(framing, event, key_of(event)))
        assert envelope.event == event
        assert type(envelope.event) is EVENT_TYPES[name]
        assert (envelope.id, envelope.seq, envelope.source) == (UUID(int=7), 3, event.owner)
        assert envelope.causation == UUID(int=6)

    check()


headers = st.text(max_size=30)


@given(any_event, headers, headers, headers)
def test_the_trace_comes_back_as_it_was(event: Any, flow: str, corr: str, parent: str) -> None:
    trace = Trace(flow, corr, parent)
    assert codec(FRAMINGS[0]).decode(sent(FRAMINGS[0], event, key_of(event), trace)).trace == trace


def only_poison(framing: str, record: Record) -> None:
    with suppress(UnprocessableRecord):
        envelope = codec(framing).decode(record)
        assert OWNERS[envelope.event.type] == record.topic.removesuffix(".events")


@settings(max_examples=300)
@given(
    st.sampled_from(FRAMINGS),
    any_event,
    st.lists(st.tuples(st.integers(0, 10**6), st.integers(0, 255)), min_size=1, max_size=4),
    st.binary(max_size=8),
)
def test_a_damaged_body_is_an_event_or_poison(
    framing: str, event: Any, damage: list[tuple[int, int]], tail: bytes
) -> None:
    record = sent(framing, event, key_of(event))
    body = bytearray(record.value or b"")
    for place, byte in damage:
        body[place % len(body)] = byte
    only_poison(
        framing, Record(record.topic, 0, 0, 0, record.key, bytes(body) + tail, record.headers)
    )


@settings(max_examples=300)
@given(
    st.sampled_from(FRAMINGS),
    st.sampled_from(sorted(EVENT_TYPES)),
    st.binary(max_size=200),
    st.one_of(st.none(), st.binary(max_size=200), order_ids.map(str.encode)),
    st.lists(st.tuples(st.sampled_from(["ce_id", "ce_type", "ce_sequence", "flow"]), st.binary())),
)
def test_any_bytes_behind_a_true_frame_are_an_event_or_poison(
    framing: str, name: str, body: bytes, key: bytes | None, headers: list[tuple[str, bytes]]
) -> None:
    prefix = codec(framing)._prefixes[name]
    only_poison(framing, Record(topic(OWNERS[name]), 0, 0, 0, key, prefix + body, tuple(headers)))


@given(st.sampled_from(FRAMINGS), st.one_of(st.none(), st.binary(max_size=300)))
def test_any_bytes_are_an_event_or_poison(framing: str, body: bytes | None) -> None:
    only_poison(framing, Record("order.events", 0, 0, 0, b"o1", body))
