"""Inputs nobody thought of: each is handled, or refused with a reason, and nothing else."""

import os
from collections.abc import Mapping
from contextlib import suppress
from dataclasses import replace
from functools import cache
from typing import Any
from uuid import UUID

import orjson
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from saga_monitor.saga.other_deadlines import shortened
from saga_monitor.service import MonitorSettings
from sagakit.contract.model import saga_id_of
from sagakit.contract.platform import SagaResumed
from sagakit.errors import ConfigurationError, FlowError
from sagakit.flow.loader import load
from sagakit.flow.model import Flow, Flows
from sagakit.flow.routing import Router, topic
from sagakit.handling.handler import Disposition, Handler, decode_message
from sagakit.identity import saga_key
from sagakit.messages.codec import Codec
from sagakit.messages.envelope import Envelope, Record, Trace
from sagakit.service.settings import load as load_settings
from sagakit.store.memory import MemoryDatabase, MemoryStore
from sagakit.store.ports import Participant
from sagakit.web.signed_webhook import read_event
from schemas import CONTRACT, EVENT_TYPES, FLOWS, OWNERS
from services.inventory.decide import Reservation
from services.inventory.decide import decide as decide_inventory
from services.inventory.decide import evolve as evolve_inventory
from services.notification.decide import Mailing
from services.notification.decide import decide as decide_notification
from services.notification.decide import evolve as evolve_notification
from services.order.decide import Order
from services.order.decide import decide as decide_order
from services.order.decide import evolve as evolve_order
from services.payment.decide import decide as decide_payment
from services.payment.ledger import Payment
from services.payment.ledger import evolve as evolve_payment
from services.payment.service import REPORTS as CHARGES_AND_REFUNDS
from services.payment.service import PaymentSettings
from services.shipping.decide import Shipment
from services.shipping.decide import decide as decide_shipping
from services.shipping.decide import evolve as evolve_shipping
from services.shipping.service import REPORTS as PICKUPS
from tests.avro import any_event
from tests.bad_input.events import NOW, placed, sent
from tests.bad_input.files import GOOD_ENV, GOOD_FLOW
from tests.bad_input.webhook_requests import CAPTURED, PICKED

FUZZ = settings(derandomize=True, database=None, deadline=None, max_examples=300)
CODEC = Codec(CONTRACT)
DECIDERS: Mapping[str, tuple[Any, Any, Any]] = {
    "order": (decide_order, evolve_order, Order()),
    "inventory": (decide_inventory, evolve_inventory, Reservation()),
    "payment": (decide_payment, evolve_payment, Payment()),
    "shipping": (decide_shipping, evolve_shipping, Shipment()),
    "notification": (decide_notification, evolve_notification, Mailing()),
}
small = st.binary(max_size=40)


@cache
def router(name: str) -> Router:
    return Router(FLOWS, name)


def reads(name: str, *records: Record) -> tuple[list[Disposition], list[str]]:
    """The fates of records in one batch of a participant that never heard of their orders, and the
    codes of what it parked."""
    decide, evolve, initial = DECIDERS[name]
    store = MemoryStore(initial)
    database: MemoryDatabase[Any] = MemoryDatabase(store, NOW)
    participant = Participant(name, decide, evolve, store)
    handler = Handler(participant, database, router(name), CODEC, lambda: NOW)
    handled = handler.handle([decode_message(CODEC, record) for record in records])
    parked = database.tables.parked.values()
    assert all(row.error for row in parked), "what is parked has a reason"
    return [h.disposition for h in handled], [row.code for row in parked]


def record(event: Any, seq: int | None, label: str, offset: int) -> Record:
    """An event as it comes from the topic."""
    key = str(getattr(event, "order_id", "no order"))
    saga = saga_key("" if event.saga_id_field is None else "order", key)
    envelope = Envelope(EVENT_IDS[offset], saga, event.owner, seq, NOW, event, trace=Trace(label))
    row = CODEC.encode(envelope)
    return Record(row.topic, 0, offset, 1, row.key.encode(), row.value, row.headers)


EVENT_IDS = [UUID(int=n) for n in range(1, 20)]


def has_facts(event: Any) -> bool:
    return getattr(event, "order", None) is not None


@pytest.mark.parametrize("name", DECIDERS)
def test_whatever_stands_on_a_topic_is_handled_or_parked_beside_its_neighbours(name: str) -> None:
    @FUZZ
    @given(
        st.sampled_from(sorted(EVENT_TYPES)),
        st.one_of(st.none(), small, any_event.map(CODEC.body)),
        st.one_of(st.none(), small),
        st.lists(
            st.tuples(
                st.sampled_from(["ce_id", "ce_type", "ce_source", "ce_sequence", "flow"]), small
            ),
            max_size=4,
        ),
        st.lists(st.tuples(st.integers(0, 10**4), st.integers(0, 255)), max_size=3),
    )
    def check(
        kind: str,
        value: bytes | None,
        key: bytes | None,
        headers: list[tuple[str, bytes]],
        damage: list[tuple[int, int]],
    ) -> None:
        body = bytearray(value or b"")
        for place, byte in damage if body else ():
            body[place % len(body)] = byte
        value = value and bytes(body)
        good = sent(placed("a good neighbour"))
        rows = [
            Record(good.topic, 0, 1, 1, good.key, good.value, good.headers),
            Record(topic(OWNERS[kind]), 0, 2, 1, key, value, tuple(headers)),
            Record(good.topic, 0, 3, 1, b"another", sent(placed("another")).value, ()),
        ]
        (before, fate, after), codes = reads(name, *rows)
        assert (before, after) == (Disposition.HANDLED, Disposition.HANDLED)
        assert fate in (Disposition.HANDLED, Disposition.PARKED)
        assert "decide" not in codes, "no decision fails"

    check()


@pytest.mark.parametrize("name", DECIDERS)
def test_any_events_in_any_order_make_no_decision_fail(name: str) -> None:
    """Whatever facts an order has, however little its events belong together, and whether it was
    placed before them or after; what a pause among them holds is decided on at the end."""

    @FUZZ
    @given(
        st.lists(st.tuples(any_event, st.booleans()), min_size=1, max_size=6),
        st.sampled_from(["order/1", "order/2"]),
        st.booleans(),
    )
    def check(found: list[tuple[Any, bool]], label: str, placed_last: bool) -> None:
        events = [
            replace(e, **{e.saga_id_field: "o1"}) if same and e.saga_id_field else e
            for e, same in found
        ]
        orders = sorted({saga_id_of(e) for e in events if e.saga_id_field})
        starts = {o: placed(o) for o in orders}
        starts |= {
            e.order_id: replace(placed(e.order_id), order=e.order) for e in events if has_facts(e)
        }
        events = [replace(e, order=starts[e.order_id].order) if has_facts(e) else e for e in events]
        resumes = [SagaResumed(saga_id=o, actor="ada", reason="go on") for o in orders]
        played = [*events, *starts.values()] if placed_last else [*starts.values(), *events]
        rows = [record(e, None, label, n) for n, e in enumerate([*played, *resumes])]
        _, codes = reads(name, *rows)
        assert set(codes) <= {"bad_key", "undecodable"}

    check()


# --- webhooks -------------------------------------------------------------------------------------

json = st.recursive(
    st.none()
    | st.booleans()
    | st.integers(-(2**63), 2**64 - 1)
    | st.floats()
    | st.text(max_size=9),
    lambda inner: st.lists(inner, max_size=3) | st.dictionaries(st.text(max_size=9), inner),
    max_leaves=8,
)


@FUZZ
@given(
    st.sampled_from([CAPTURED, PICKED]),
    st.dictionaries(st.sampled_from(["id", "type", "data"]), json),
    st.dictionaries(
        st.sampled_from(
            ["id", "reference", "amount_minor", "currency", "tracking", "decline_code", "charge_id"]
        ),
        json,
    ),
    st.sampled_from(["charge.captured", "charge.declined", "refund.succeeded", "label.picked_up"]),
)
def test_any_signed_webhook_is_read_or_refused(
    good: dict[str, Any], outer: dict[str, Any], inner: dict[str, Any], kind: str
) -> None:
    event = {**good, "type": kind, "data": {**good["data"], **inner}, **outer}
    for reports in (CHARGES_AND_REFUNDS, PICKUPS):
        with suppress(ValueError):
            read_event("sender", orjson.dumps(event), reports)


@FUZZ
@given(st.binary(max_size=200))
def test_any_bytes_in_a_signed_webhook_are_read_or_refused(body: bytes) -> None:
    for reports in (CHARGES_AND_REFUNDS, PICKUPS):
        with suppress(ValueError):
            read_event("sender", body, reports)


# --- flow files -----------------------------------------------------------------------------------

LINES = GOOD_FLOW.splitlines()
tokens = st.sampled_from(
    [
        "[]",
        "{}",
        "true",
        "1",
        "-1",
        "1.5",
        '""',
        '"x"',
        '"payment"',
        '"PaymentCaptured"',
        "[[]]",
        '["payment"]',
        "1979-05-27",
        "nan",
        "[steps.payment]",
        "[versions]",
        "x=1",
        "\x00",
        "=",
    ]
)
edits = st.lists(
    st.tuples(
        st.integers(0, len(LINES) - 1),
        st.sampled_from(["drop", "twice", "value", "insert", "cut"]),
        tokens | st.text(max_size=8),
    ),
    min_size=1,
    max_size=4,
)


def _edited(changes: list[tuple[int, str, str]]) -> str:
    lines = [*LINES]
    for place, what, text in changes:
        line = lines[place]
        name = line.partition("=")[0]
        lines[place] = {
            "drop": "",
            "twice": f"{line}\n{line}",
            "value": f"{name}= {text}",
            "insert": f"{text}\n{line}",
            "cut": line[: len(text)],
        }[what]
    return "\n".join(lines)


@settings(FUZZ, max_examples=1500)
@given(edits)
def test_any_flow_file_is_valid_or_says_why_not(changes: list[tuple[int, str, str]]) -> None:
    flow: Flow | None
    try:
        flow = load(_edited(changes), OWNERS)
    except FlowError as error:
        flow, output = None, str(error)
    if flow is None:
        assert output.startswith(("flow ", "the flow file "))
    else:
        for name in flow.participants:
            Router(Flows(flow), name)


@settings(FUZZ, max_examples=300)
@given(st.text(max_size=200))
def test_any_text_is_a_flow_or_says_why_not(content: str) -> None:
    with suppress(FlowError):
        load(content, OWNERS)


# --- the environment ------------------------------------------------------------------------------

FIELDS = sorted({*PaymentSettings.model_fields, *MonitorSettings.model_fields})
values = st.sampled_from(
    ["", " ", "0", "-1", "nan", "1e999", "{}", "[]", "null", "http://", "\udcff"]
)
anything = values | st.text(
    st.characters(exclude_characters="\0", exclude_categories=["Cs"]), max_size=20
)


@pytest.mark.parametrize("kind", [PaymentSettings, MonitorSettings])
def test_any_environment_is_taken_or_refused_with_status_2(
    kind: Any, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    @FUZZ
    @given(st.dictionaries(st.sampled_from(FIELDS), anything, min_size=1, max_size=4))
    def check(given_: dict[str, str]) -> None:
        with monkeypatch.context() as patch:
            for name in [n for n in os.environ if n.startswith("SAGA_")]:
                patch.delenv(name)
            for name, value in GOOD_ENV.items():
                patch.setenv(name, value)
            for name, value in given_.items():
                patch.setenv(f"SAGA_{name.upper()}", value)
            try:
                found = load_settings(kind)
            except SystemExit as left:
                output = f"exit {left.code} {capsys.readouterr().err}"
                found = None
        if found is None:
            assert output.startswith("exit 2 SAGA_")
        if isinstance(found, MonitorSettings):
            with suppress(ConfigurationError):
                shortened(FLOWS, found.deadlines)

    check()
