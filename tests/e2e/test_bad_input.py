"""Whatever is wrong with an input, it gets a clear answer and nobody else is affected."""

import uuid
from collections.abc import Callable, Mapping
from dataclasses import dataclass, replace
from datetime import UTC, datetime
from typing import Any

import httpx2
import pytest

from sagakit.kafka.publisher import Publisher, PublishFailed
from sagakit.messages.codec import Codec
from sagakit.messages.envelope import OutboxRow
from schemas import CONTRACT
from schemas.events import OrderFacts, OrderLine, OrderPlaced
from shop.workload.orders import ShopOrder
from tests.bad_input.case import Case, Sent
from tests.bad_input.events import MISPLACED, UNREADABLE
from tests.e2e.orders import assert_all_hold, assert_as_expected, post, saga, shop, trading
from tests.stack import PATIENCE_S, LiveStack, until

TOPIC = "order.events"
READERS = ("inventory", "payment")
"""Those who begin a saga, one on each flow; both read every order."""
CODEC = Codec(CONTRACT)


def body(order_id: str, facts: OrderFacts) -> bytes:
    """An OrderPlaced, encoded."""
    return CODEC.body(OrderPlaced(order_id=order_id, order=facts, placed_at=datetime.now(UTC)))


@dataclass(frozen=True)
class Bad:
    """A record that cannot be an event, as a publisher sends it, and the case it is of."""

    case: Case
    key: str
    sent: Sent


def bad(case: Case, order_id: str) -> Bad | None:
    """None where our publisher could not send it, or where only some readers refuse it.

    One reader's database refuses a value; only who begins the saga needs room for what follows.
    """
    *_, record = case.given(order_id)
    if case.gets == "handled" or record.topic != TOPIC or not record.key or record.value is None:
        return None
    try:
        key = record.key.decode()
    except UnicodeDecodeError:
        return None
    some = {"the database rejects the record", "need room"}
    return None if some & set(case.words) else Bad(case, key, record)


BAD = tuple(c.name for c in (*UNREADABLE, *MISPLACED) if bad(c, "x"))


@pytest.fixture(scope="module")
def run() -> str:
    return f"bad{uuid.uuid4().hex[:6]}"


@pytest.fixture(scope="module")
def published(_whole: LiveStack, run: str) -> dict[str, Bad]:
    """Every bad record once, with good orders placed beside them, which all end well."""
    cases = {c.name: c for c in (*UNREADABLE, *MISPLACED)}
    made = {name: bad(cases[name], f"{run}-{name}") for name in BAD}
    found = {name: one for name, one in made.items() if one is not None}
    rows = [
        OutboxRow(one.sent.topic, one.key, one.sent.headers, one.sent.value or b"", n)
        for n, one in enumerate(found.values())
    ]
    with trading(_whole, shop("plain", "declined").orders(40)) as good:
        Publisher(_whole.json["bootstrap_servers"], "outside").publish(rows)
    assert_as_expected(good.outcomes())
    return found


def parked(stack: LiveStack, service: str) -> list[dict[str, Any]]:
    url = f"{stack.url(service)}/admin/parked"
    rows: list[dict[str, Any]] = httpx2.get(
        url, params={"limit": 10_000}, headers=stack.headers, trust_env=False, timeout=PATIENCE_S
    ).json()
    return rows


@pytest.mark.parametrize("name", BAD)
def test_a_record_that_is_no_event_is_parked_with_its_reason(
    whole: LiveStack, published: Mapping[str, Bad], run: str, name: str
) -> None:
    one = published[name]
    code, words = one.case.gets, one.case.words

    def says(error: str) -> bool:
        return all(word in error for word in words)

    def mine(service: str) -> list[dict[str, Any]]:
        rows = [r for r in parked(whole, service) if says(r["error"])]
        return [r for r in rows if code == "bad_key" or r["key"].partition("/")[2] == one.key]

    def is_shown() -> bool:
        url = f"{whole.url('monitor')}/unreadable"
        unreadable = httpx2.get(
            url,
            params={"limit": 10_000},
            headers=whole.headers,
            trust_env=False,
            timeout=PATIENCE_S,
        ).json()
        return any(row["code"] == code and says(row["error"]) for row in unreadable)

    for service in READERS:
        until(lambda s=service: bool(mine(s)), f"{service} parks {name}")  # type: ignore[misc]
        assert {r["code"] for r in mine(service)} == {code}
    until(is_shown, f"the monitor shows {name}")


def test_two_megabytes_do_not_even_reach_the_topic(whole: LiveStack, run: str) -> None:
    publisher = Publisher(whole.json["bootstrap_servers"], "outside")
    row = OutboxRow(TOPIC, f"{run}-2mb", (), bytes(2 * 1024 * 1024), 1)
    with pytest.raises(PublishFailed, match=r"(?i)too large"):
        publisher.publish([row])


def invalid(**changes: Any) -> Callable[[OrderFacts], OrderFacts]:
    return lambda facts: replace(facts, **changes)


def line(sku: str = "TEA-100", quantity: int = 1, unit_price_minor: int = 100) -> OrderLine:
    return OrderLine(sku=sku, quantity=quantity, unit_price_minor=unit_price_minor)


INVALID: Mapping[str, tuple[Callable[[OrderFacts], OrderFacts], str]] = {
    "no_lines": (invalid(lines=(), total_minor=0), "lines"),
    "negative": (invalid(lines=(line(quantity=-1),), total_minor=-100), "lines[0].quantity"),
    "overflow": (
        invalid(lines=(line(quantity=10**6, unit_price_minor=10**12),), total_minor=10**18),
        "total_minor",
    ),
    "currency": (invalid(currency="ZZZ"), "currency"),
    "no_sku": (invalid(lines=(line(sku=""),), total_minor=100), "lines[0].sku"),
    "control_characters": (invalid(email="ada\n@customer.example"), "email"),
    "nan_score": (invalid(fraud_score=float("nan")), "fraud_score"),
}


def base() -> ShopOrder:
    return shop("plain").order(0)


@pytest.mark.parametrize("name", [n for n in INVALID if n != "nan_score"])  # JSON has no NaN
def test_the_order_api_names_the_field_the_reason_and_the_remedy(
    whole: LiveStack, run: str, name: str
) -> None:
    change, field = INVALID[name]
    facts = change(base().facts).to_dict()
    del facts["total_minor"]
    answer = post(whole, "order", "/orders", {**facts, "order_id": f"{run}-http-{name}"})
    assert answer.status_code == 422, answer.text
    problems = answer.json()["problems"]
    assert any(p["field"] == field and p["reason"] and p["remedy"] for p in problems), problems
    assert saga(whole, f"{run}-http-{name}")["status"] == "unknown"


@pytest.mark.parametrize("size", [129, 10_240])
def test_the_order_api_refuses_an_order_id_that_is_too_long(whole: LiveStack, size: int) -> None:
    facts = base().facts.to_dict()
    del facts["total_minor"]
    answer = post(whole, "order", "/orders", {**facts, "order_id": "x" * size})
    assert answer.status_code == 422
    assert answer.json()["problems"][0]["field"] == "order_id"
    assert len(answer.text) < 2000, "the answer does not repeat it"


def test_what_is_no_order_at_all_is_refused(whole: LiveStack) -> None:
    for wrong in ({}, {"order_id": 5}, {"order_id": "x", "lines": "none"}):
        answer = post(whole, "order", "/orders", wrong)
        assert answer.status_code == 422
        assert answer.json()["problems"]


@pytest.mark.parametrize("flow", ["order/1", "order/2"])
def test_an_invalid_order_from_outside_is_cancelled_with_its_reason(
    whole: LiveStack, run: str, flow: str
) -> None:
    rows, fields = [], {}
    for n, (name, (change, field)) in enumerate(INVALID.items()):
        order_id = f"{run}-{flow[-1]}-{name}"
        fields[order_id] = field
        value = body(order_id, change(base().facts))
        rows.append(OutboxRow(TOPIC, order_id, (("flow", flow.encode()),), value, n))
    Publisher(whole.json["bootstrap_servers"], "outside").publish(rows)
    for order_id, field in fields.items():
        until(lambda o=order_id: saga(whole, o)["status"] == "cancelled", f"{order_id} cancelled")  # type: ignore[misc]
        failed = [e for e in saga(whole, order_id)["timeline"] if e["detail"].get("code")]
        assert failed[0]["detail"]["code"] == "invalid"
        assert field in failed[0]["detail"]["reason"]


def test_nothing_else_is_affected(whole: LiveStack, published: Mapping[str, Bad]) -> None:
    """No order came of any of them, and every invariant holds."""
    assert_all_hold(whole)
