"""The carrier's port: one suite for the double and for the adapter against the real carrier; and
the route that takes the carrier's webhook."""

import asyncio
from collections.abc import AsyncIterator, Callable, Iterator
from contextlib import asynccontextmanager
from dataclasses import replace
from datetime import UTC, datetime
from typing import Any

import httpx2
import orjson
import pytest

from sagakit.bounded_http import HttpClient
from sagakit.decider import Effect
from sagakit.errors import EffectFailed
from sagakit.privacy.key_service_client import KeyServiceClient
from sagakit.testing import InMemoryHttp
from sagakit.web.app import make_app
from sagakit.web.signed_webhook import HEADER, sign
from schemas.events import ShipmentCreated, ShipmentPickedUp
from services.shipping.decide import (
    Cancelled,
    Labelled,
    PickedUp,
    Refused,
    Shipment,
    TooLate,
    decide,
    evolve,
)
from services.shipping.gateway import Carrier, HttpCarrier
from services.shipping.service import webhook
from shop.outside.memory import MemoryCarrier
from tests.in_memory_app import MemorySubmitter, ask
from tests.order_facts import TWO_TEAS
from tests.outside_processes import NOWHERE, SECRET, Server
from tests.stack import PATIENCE_S

FACTS = TWO_TEAS


def label(order_id: str, tag: str = "") -> Effect:
    order = replace(FACTS, ship_to=f"1 Main Street [no-pickup]{tag}").to_dict()
    return Effect("label", "label", {"order_id": order_id, "order": order}, f"order/{order_id}")


def cancel(order_id: str, label_id: str | None) -> Effect:
    payload = {"order_id": order_id, "label_id": label_id}
    return Effect("cancel", "cancel", payload, f"order/{order_id}")


# --- the real carrier -----------------------------------------------------------------------------


@pytest.fixture(scope="module")
def carrier_url(tmp_path_factory: pytest.TempPathFactory) -> Iterator[str]:
    """A carrier as a process of its own, whose webhooks go nowhere."""
    server = Server("shop.outside.carrier", tmp_path_factory.mktemp("carrier") / "db", NOWHERE)
    yield server.url
    server.close()


class Subject:
    """A carrier with the means to have a parcel picked up."""

    def __init__(self, carrier: Carrier, pick_up: Callable[[str], Any]) -> None:
        self.carrier, self.pick_up = carrier, pick_up


@asynccontextmanager
async def subject(kind: str, url: str) -> AsyncIterator[Subject]:
    if kind == "memory":
        double = MemoryCarrier()
        yield Subject(double, double.pick_up)
        return

    def pick_up(saga: str) -> None:
        answer = httpx2.post(
            f"{url}/control/pickup",
            json={"reference": saga},
            trust_env=False,
            timeout=PATIENCE_S,
        )
        answer.raise_for_status()

    client = HttpClient(proxies=False)
    try:
        yield Subject(HttpCarrier(client, url, KeyServiceClient(None)), pick_up)
    finally:
        await client.close()


# --- one suite for both ---------------------------------------------------------------------------

BOTH = pytest.mark.parametrize("kind", ["memory", "http"])
ORDER_IDS = pytest.mark.parametrize(
    "order_id", ["plain", "with space ", "with space", "ünï/cödé 🦆", "x" * 128, "🦆" * 128]
)


@BOTH
@ORDER_IDS
def test_one_label_per_key_whatever_the_order_id(
    kind: str, order_id: str, carrier_url: str
) -> None:
    async def story() -> None:
        async with subject(kind, carrier_url) as it:
            first = await it.carrier.label(label(order_id))
            assert isinstance(first, Labelled)
            assert await it.carrier.label(label(order_id)) == first
            it.pick_up(f"order/{order_id}")
            gone = PickedUp(order_id, first.label_id, first.tracking)
            assert await it.carrier.label(label(order_id)) == gone
            assert await it.carrier.cancel(cancel(order_id, first.label_id)) == TooLate()

    asyncio.run(story())


@BOTH
def test_a_refusal_is_an_answer(kind: str, carrier_url: str) -> None:
    async def story() -> None:
        async with subject(kind, carrier_url) as it:
            answer = await it.carrier.label(label("refused", "[refuse]"))
            assert answer == Refused("the carrier does not deliver to this address")

    asyncio.run(story())


@BOTH
def test_a_lost_answer_is_asked_for_again(kind: str, carrier_url: str) -> None:
    async def story() -> None:
        async with subject(kind, carrier_url) as it:
            with pytest.raises(EffectFailed):
                await it.carrier.label(label("lost", "[lost]"))
            assert isinstance(await it.carrier.label(label("lost", "[lost]")), Labelled)

    asyncio.run(story())


@BOTH
def test_a_label_is_cancelled_once(kind: str, carrier_url: str) -> None:
    async def story() -> None:
        async with subject(kind, carrier_url) as it:
            made = await it.carrier.label(label("cancelled"))
            assert isinstance(made, Labelled)
            for _ in range(2):
                assert await it.carrier.cancel(cancel("cancelled", made.label_id)) == Cancelled()
            assert isinstance(await it.carrier.label(label("cancelled")), Refused)

    asyncio.run(story())


@BOTH
def test_a_label_cancelled_before_it_was_made_is_never_made(kind: str, carrier_url: str) -> None:
    async def story() -> None:
        async with subject(kind, carrier_url) as it:
            assert await it.carrier.cancel(cancel("tömbstone ", None)) == Cancelled()
            answer = await it.carrier.label(label("tömbstone "))
            assert answer == Refused("cancelled before it was made")

    asyncio.run(story())


# --- what is no answer ----------------------------------------------------------------------------


@BOTH
def test_a_server_error_and_a_reused_key_fail_the_effect(kind: str, carrier_url: str) -> None:
    async def story() -> None:
        async with subject(kind, carrier_url) as it:
            with pytest.raises(EffectFailed, match=r"500 .*asking again"):
                await it.carrier.label(label("err", "[500:1]"))
            assert isinstance(await it.carrier.label(label("err", "[500:1]")), Labelled)
            with pytest.raises(EffectFailed, match=r"409 .*idempotency_key_reuse"):
                await it.carrier.label(label("err"))

    asyncio.run(story())


@pytest.mark.parametrize(
    ("status", "body"),
    [
        (200, b"\xff\xfe"),
        (200, b"<html>"),
        (200, b"[]"),
        (200, b'{"status": "created"}'),
        (200, b'{"status": "created", "id": "lb", "tracking": null}'),
        (200, b'{"status": "hm"}'),
        (302, b""),
        (400, b"{}"),
        (503, b""),
    ],
)
def test_an_unusable_answer_fails_the_effect(status: int, body: bytes) -> None:
    async def story() -> None:
        answer = httpx2.MockTransport(lambda _: httpx2.Response(status, content=body))
        client = InMemoryHttp(answer)
        carrier = HttpCarrier(client, "http://carrier", KeyServiceClient(None))
        for call in (carrier.label(label("o")), carrier.cancel(cancel("o", None))):
            with pytest.raises(EffectFailed):
                await call

    asyncio.run(story())


def test_a_carrier_that_cannot_be_reached_fails_the_effect() -> None:
    async def story() -> None:
        client = HttpClient(proxies=False)
        with pytest.raises(EffectFailed, match="ClientConnectorError"):
            await HttpCarrier(client, "http://127.0.0.1:9", KeyServiceClient(None)).label(
                label("o")
            )
        await client.close()

    asyncio.run(story())


# --- the webhook ----------------------------------------------------------------------------------


def shipments(state: Shipment | None = None) -> MemorySubmitter[Shipment]:
    submitter = MemorySubmitter(Shipment(), decide, evolve)
    if state is not None:
        submitter.states["order/o1"] = state
    return submitter


CREATED = ShipmentCreated(order_id="o1", order=FACTS, label_id="lb1", tracking="T1")
LABELLED = evolve(Shipment(), CREATED)
PARCEL = {"reference": "order/o1", "id": "lb1", "tracking": "T1", "status": "picked_up"}


def post(
    submitter: MemorySubmitter[Shipment], body: bytes, signature: str | None = None
) -> httpx2.Response:
    now = datetime(2026, 1, 2, tzinfo=UTC)
    app = make_app("shipping", {}, webhook([SECRET], lambda: now)(submitter))
    made = signature or sign(SECRET, body, int(now.timestamp()))
    return ask(app, "POST", "/webhooks/carrier", content=body, headers={HEADER: made})


def event(data: Any, kind: Any = "label.picked_up", event_id: Any = "evt_1") -> bytes:
    return orjson.dumps({"id": event_id, "type": kind, "created": 1, "data": data})


def test_a_pickup_is_taken_once() -> None:
    submitter = shipments(LABELLED)
    assert [post(submitter, event(PARCEL)).status_code for _ in range(3)] == [200] * 3
    assert post(submitter, event(PARCEL, event_id="evt_2")).status_code == 200
    assert [type(e) for e in submitter.events] == [ShipmentPickedUp]


def test_a_pickup_before_its_label_is_stored_is_delivered_again() -> None:
    submitter = shipments()
    answer = post(submitter, event(PARCEL))
    assert (answer.status_code, answer.headers["Retry-After"]) == (503, "1")
    assert not submitter.handled, "the message id is not used up"
    submitter.states["order/o1"] = LABELLED
    assert post(submitter, event(PARCEL)).status_code == 200
    assert [type(e) for e in submitter.events] == [ShipmentPickedUp]


def test_a_forged_webhook_is_refused() -> None:
    submitter = shipments(LABELLED)
    body = event(PARCEL)
    forged = sign("another secret", body, int(datetime(2026, 1, 2, tzinfo=UTC).timestamp()))
    assert post(submitter, body, forged).status_code == 401
    assert not submitter.handled


def test_a_webhook_of_another_type_is_accepted_and_ignored() -> None:
    submitter = shipments()
    assert post(submitter, event({}, kind="label.printed")).status_code == 200
    assert not submitter.handled


@pytest.mark.parametrize(
    "body",
    [
        b"\xff",
        b"[]",
        b"{}",
        event(None),
        event({}),
        event(PARCEL | {"tracking": None}),
        event(PARCEL | {"reference": "order/" + "x" * 129}),
        event(PARCEL | {"reference": "order/a\0b"}),
        event(PARCEL | {"reference": "order/"}),
        event(PARCEL | {"reference": "o1"}),
        event(PARCEL, event_id=7),
        event(PARCEL, kind=7),
    ],
)
def test_what_is_not_understood_is_refused_with_a_reason(body: bytes) -> None:
    submitter = shipments(LABELLED)
    answer = post(submitter, body)
    assert answer.status_code == 400
    assert len(answer.json()["detail"]) > 20
    assert not submitter.handled
