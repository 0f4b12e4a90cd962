"""The provider's port: one suite for the double and for the adapter against the real provider."""

import asyncio
from collections.abc import AsyncIterator, Callable, Iterator
from contextlib import asynccontextmanager
from dataclasses import replace
from typing import Any

import httpx2
import pytest

from sagakit.bounded_http import HttpClient
from sagakit.decider import Effect
from sagakit.errors import EffectFailed, ResultPending
from sagakit.testing import InMemoryHttp
from services.payment.gateway import HttpProvider, Provider
from services.payment.ledger import (
    ActionRequired,
    Captured,
    Declined,
    NothingLeft,
    Pending,
    Refunded,
    RefundFailed,
    Unknown,
    Voided,
    charge_effect,
    look_effect,
)
from shop.outside.memory import MemoryProvider
from tests.order_facts import ONE_TEA
from tests.outside_processes import NOWHERE, Server
from tests.stack import PATIENCE_S


def charge(order_id: str, token: str = "tok_ok", total_minor: int = 2501) -> Effect:
    facts = replace(ONE_TEA, card_token=token, total_minor=total_minor)
    return replace(charge_effect(order_id, facts), saga=f"order/{order_id}")


def look(order_id: str, charge_id: str) -> Effect:
    return replace(look_effect(order_id, charge_id), saga=f"order/{order_id}")


def refund(order_id: str, n: int, charge_id: str | None, amount_minor: int | None) -> Effect:
    payload = {
        "order_id": order_id,
        "charge_id": charge_id,
        "amount_minor": amount_minor,
    }
    return Effect("refund", f"refund:{n}", payload, f"order/{order_id}")


# --- the real provider ----------------------------------------------------------------------------


@pytest.fixture(scope="module")
def provider_url(tmp_path_factory: pytest.TempPathFactory) -> Iterator[str]:
    """A provider as a process of its own, whose webhooks go nowhere."""
    server = Server("shop.outside.provider", tmp_path_factory.mktemp("provider") / "db", NOWHERE)
    yield server.url
    server.close()


class Subject:
    """A provider with the means to let time pass for an order."""

    def __init__(self, provider: Provider, settle: Callable[[str], Any]) -> None:
        self.charge, self.look, self.refund = provider.charge, provider.look, provider.refund
        self.settle = settle


@asynccontextmanager
async def subject(kind: str, url: str) -> AsyncIterator[Subject]:
    if kind == "memory":
        double = MemoryProvider()
        yield Subject(double, double.settle)
        return

    def settle(saga: str) -> None:
        httpx2.post(f"{url}/control/flush", trust_env=False, timeout=PATIENCE_S).raise_for_status()

    client = HttpClient(proxies=False)
    try:
        yield Subject(HttpProvider(client, url), settle)
    finally:
        await client.close()


# --- one suite for both ---------------------------------------------------------------------------

BOTH = pytest.mark.parametrize("kind", ["memory", "http"])
ORDER_IDS = pytest.mark.parametrize(
    "order_id", ["plain", "with space ", "with space", "ünï/cödé 🦆", "x" * 128, "🦆" * 128]
)
Story = Callable[[Subject], Any]


def play(kind: str, url: str, story: Story) -> None:
    async def run() -> None:
        async with subject(kind, url) as it:
            await story(it)

    asyncio.run(run())


@BOTH
@ORDER_IDS
def test_one_charge_and_one_refund_whatever_the_order_id(
    kind: str, order_id: str, provider_url: str
) -> None:
    async def story(it: Subject) -> None:
        took = await it.charge(charge(order_id))
        assert isinstance(took, Captured)
        assert took == Captured(took.charge_id, 2501, "EUR", refunded_minor=0)
        assert await it.charge(charge(order_id)) == took
        assert await it.look(look(order_id, took.charge_id)) == took
        assert await it.look(look("other", took.charge_id)) == Unknown(took.charge_id)
        back = await it.refund(refund(order_id, 1, took.charge_id, 2501))
        assert isinstance(back, Refunded)
        assert back == Refunded(back.refund_id, 2501, took.charge_id)
        assert await it.refund(refund(order_id, 1, took.charge_id, 2501)) == back
        assert await it.refund(refund(order_id, 2, took.charge_id, 2501)) == NothingLeft()

    play(kind, provider_url, story)


@BOTH
def test_a_decline_is_an_answer(kind: str, provider_url: str) -> None:
    async def story(it: Subject) -> None:
        answer = await it.charge(charge("declined", "tok_declined"))
        assert isinstance(answer, Declined)
        assert await it.charge(charge("declined", "tok_declined")) == answer

    play(kind, provider_url, story)


@BOTH
def test_an_action_of_the_customer_is_awaited(kind: str, provider_url: str) -> None:
    async def story(it: Subject) -> None:
        answer = await it.charge(charge("action", "tok_action_auto:999"))
        assert isinstance(answer, ActionRequired)
        assert answer.charge_id in answer.action_url
        it.settle("order/action")
        assert isinstance(await it.look(look("action", answer.charge_id)), Captured)

    play(kind, provider_url, story)


@BOTH
@pytest.mark.parametrize(
    ("token", "end"), [("tok_async:999", Captured), ("tok_async_declined:999", Declined)]
)
def test_a_lookup_tells_how_a_pending_charge_ended(
    kind: str, token: str, end: type, provider_url: str
) -> None:
    async def story(it: Subject) -> None:
        pending = await it.charge(charge(token, token))
        assert isinstance(pending, Pending)
        it.settle(f"order/{token}")
        assert isinstance(await it.look(look(token, pending.charge_id)), end)
        assert isinstance(await it.charge(charge(token, token)), end)

    play(kind, provider_url, story)


@BOTH
@pytest.mark.parametrize("token", ["tok_lost", "tok_500:1"])
def test_an_answer_that_never_came_is_asked_for_again(
    kind: str, token: str, provider_url: str
) -> None:
    async def story(it: Subject) -> None:
        with pytest.raises(EffectFailed):
            await it.charge(charge(token, token))
        assert isinstance(await it.charge(charge(token, token)), Captured)

    play(kind, provider_url, story)


@BOTH
def test_a_key_reused_with_another_amount_fails_the_effect(kind: str, provider_url: str) -> None:
    async def story(it: Subject) -> None:
        await it.charge(charge("reuse"))
        with pytest.raises(EffectFailed, match="idempotency_key_reuse"):
            await it.charge(charge("reuse", total_minor=9))

    play(kind, provider_url, story)


@BOTH
def test_a_pending_charge_is_voided(kind: str, provider_url: str) -> None:
    async def story(it: Subject) -> None:
        pending = await it.charge(charge("void", "tok_async:999"))
        assert isinstance(pending, Pending)
        answer = await it.refund(refund("void", 1, pending.charge_id, None))
        assert isinstance(answer, Voided)
        it.settle("order/void")
        again = await it.look(look("void", pending.charge_id))
        assert isinstance(again, Declined)

    play(kind, provider_url, story)


@BOTH
def test_a_charge_voided_by_its_key_before_it_was_made_is_never_made(
    kind: str, provider_url: str
) -> None:
    async def story(it: Subject) -> None:
        assert isinstance(await it.refund(refund("tömb ", 1, None, None)), Voided)
        assert isinstance(await it.charge(charge("tömb ")), Declined)

    play(kind, provider_url, story)


@BOTH
def test_a_void_of_what_was_captured_gives_all_of_it_back(kind: str, provider_url: str) -> None:
    async def story(it: Subject) -> None:
        took = await it.charge(charge("blind"))
        assert isinstance(took, Captured)
        back = await it.refund(refund("blind", 1, None, None))
        assert isinstance(back, Refunded)
        assert back == Refunded(back.refund_id, 2501, took.charge_id)

    play(kind, provider_url, story)


@BOTH
def test_a_capture_in_spite_of_the_void_is_given_back_under_the_next_key(
    kind: str, provider_url: str
) -> None:
    async def story(it: Subject) -> None:
        pending = await it.charge(charge("late", "tok_late:999"))
        assert isinstance(pending, Pending)
        assert isinstance(await it.refund(refund("late", 1, pending.charge_id, None)), Voided)
        it.settle("order/late")
        assert isinstance(await it.look(look("late", pending.charge_id)), Captured)
        back = await it.refund(refund("late", 2, pending.charge_id, 2501))
        assert isinstance(back, Refunded)
        assert back.amount_minor == 2501

    play(kind, provider_url, story)


@BOTH
def test_a_partial_refund_says_so(kind: str, provider_url: str) -> None:
    async def story(it: Subject) -> None:
        took = await it.charge(charge("part", "tok_refund_partial"))
        assert isinstance(took, Captured)
        half = await it.refund(refund("part", 1, took.charge_id, 2501))
        assert isinstance(half, Refunded)
        assert (half.amount_minor, half.partial) == (1250, True)
        rest = await it.refund(refund("part", 2, took.charge_id, 1251))
        assert isinstance(rest, Refunded)
        assert (rest.amount_minor, rest.partial) == (1251, False)

    play(kind, provider_url, story)


@BOTH
def test_an_asynchronous_refund_is_pending_until_it_is_through(
    kind: str, provider_url: str
) -> None:
    async def story(it: Subject) -> None:
        took = await it.charge(charge("slow", "tok_refund_async:999"))
        assert isinstance(took, Captured)
        asked = refund("slow", 1, took.charge_id, 2501)
        for _ in range(2):
            with pytest.raises(ResultPending, match="pending"):
                await it.refund(asked)
        it.settle("order/slow")
        through = await it.refund(asked)
        assert isinstance(through, Refunded)
        assert (through.amount_minor, through.charge_id) == (2501, took.charge_id)
        assert await it.refund(asked) == through

    play(kind, provider_url, story)


# --- what is no answer ----------------------------------------------------------------------------


@BOTH
def test_a_server_error_at_a_refund_fails_the_effect(kind: str, provider_url: str) -> None:
    async def story(it: Subject) -> None:
        took = await it.charge(charge("stumble", "tok_refund_500:1"))
        assert isinstance(took, Captured)
        asked = refund("stumble", 1, took.charge_id, 2501)
        with pytest.raises(EffectFailed, match=r"500 .*asking again"):
            await it.refund(asked)
        assert isinstance(await it.refund(asked), Refunded)

    play(kind, provider_url, story)


@BOTH
def test_a_void_in_answer_to_a_refund_of_captured_money_fails_the_effect(
    kind: str, provider_url: str
) -> None:
    async def story(it: Subject) -> None:
        declined = await it.charge(charge("odd", "tok_declined"))
        assert isinstance(declined, Declined)
        with pytest.raises(EffectFailed, match="voided"):
            await it.refund(refund("odd", 1, declined.charge_id, 2501))

    play(kind, provider_url, story)


@BOTH
def test_a_refund_key_belongs_to_the_content_it_was_first_used_with(
    kind: str, provider_url: str
) -> None:
    async def story(it: Subject) -> None:
        await it.charge(charge("first"))
        asked = refund("first", 1, None, 2501)
        assert isinstance(await it.refund(asked), Refunded)
        with pytest.raises(EffectFailed, match=r"409 .*idempotency_key_reuse"):
            await it.refund(replace(asked, payload={**asked.payload, "amount_minor": 2}))

    play(kind, provider_url, story)


@BOTH
def test_a_charge_of_nobody_is_unknown_and_a_refund_of_another_orders_fails_the_effect(
    kind: str, provider_url: str
) -> None:
    async def story(it: Subject) -> None:
        assert await it.look(look("nowhere", "ch_nobody")) == Unknown("ch_nobody")
        theirs = await it.charge(charge("theirs"))
        assert isinstance(theirs, Captured)
        with pytest.raises(EffectFailed, match=r"409 .*reference_mismatch"):
            await it.refund(refund("mine", 1, theirs.charge_id, 2501))

    play(kind, provider_url, story)


@pytest.mark.parametrize(
    ("status", "body"),
    [
        (200, b"\xff\xfe"),
        (200, b"<html>"),
        (200, b"[]"),
        (200, b'{"status": "captured"}'),
        (200, b'{"id": "ch", "status": "captured", "amount_minor": null, "currency": "EUR"}'),
        (200, b'{"id": "x", "status": "hm"}'),
        (200, b'{"error": {"code": "already_refunded"}}'),
        (302, b""),
        (400, b"{}"),
        (404, b'{"error": {"code": "no_such_route"}}'),
        (409, b'{"error": {"code": "idempotency_key_reuse"}}'),
        (503, b""),
    ],
)
def test_an_unusable_answer_fails_the_effect(status: int, body: bytes) -> None:
    async def story() -> None:
        answer = httpx2.MockTransport(lambda _: httpx2.Response(status, content=body))
        client = InMemoryHttp(answer)
        provider = HttpProvider(client, "http://provider")
        calls = [
            provider.charge(charge("o")),
            provider.look(look("o", "ch")),
            provider.refund(refund("o", 1, "ch", 2501)),
        ]
        for call in calls:
            with pytest.raises(EffectFailed):
                await call

    asyncio.run(story())


def answering(**body: Any) -> HttpProvider:
    """A provider that answers every call with this."""
    reply = httpx2.Response(200, json=body)
    return HttpProvider(InMemoryHttp(httpx2.MockTransport(lambda _: reply)), "http://provider")


CHARGED = {"id": "ch", "reference": "order/o", "amount_minor": 2501, "currency": "EUR"}
GIVEN = {"id": "re", "reference": "order/o", "charge_id": "ch", "amount_minor": 2501}


@pytest.mark.parametrize(
    "odd", [{"amount_minor": 1}, {"amount_minor": 9999}, {"currency": "JPY"}], ids=str
)
def test_a_capture_of_something_else_is_answered_as_it_is(odd: dict[str, Any]) -> None:
    """Given a charge of which the provider has captured other than was asked for; when it answers;
    then that is the answer to charge and look, for the decision to hold it against what was asked.
    """
    body = {**CHARGED, "status": "captured", **odd}
    provider = answering(**body)
    taken = Captured("ch", body["amount_minor"], body["currency"])
    assert asyncio.run(provider.charge(charge("o"))) == taken
    assert asyncio.run(provider.look(look("o", "ch"))) == taken


@pytest.mark.parametrize(
    ("status", "odd"),
    [
        ("captured", {"reference": "order/other"}),
        ("captured", {"amount_minor": -1}),
        ("captured", {"amount_minor": 2**63}),
        ("pending", {"amount_minor": 1}),
        ("pending", {"currency": "JPY"}),
    ],
)
def test_an_answer_about_another_charge_fails_the_effect(status: str, odd: dict[str, Any]) -> None:
    provider = answering(**{**CHARGED, "status": status, **odd})
    with pytest.raises(EffectFailed) as error:
        asyncio.run(provider.charge(charge("o")))
    assert str(charge("o").payload["card_token"]) not in str(error.value)


def test_a_look_at_another_charge_than_was_asked_for_says_nothing() -> None:
    with pytest.raises(EffectFailed):
        asyncio.run(answering(**CHARGED, status="captured").look(look("o", "ch2")))
    theirs = answering(**{**CHARGED, "reference": "order/other"}, status="captured")
    assert asyncio.run(theirs.look(look("o", "ch"))) == Unknown("ch")


@pytest.mark.parametrize(
    "odd",
    [{"reference": "order/other"}, {"charge_id": "ch2"}, {"amount_minor": 2502}, {"id": None}],
    ids=str,
)
def test_an_answer_about_another_refund_fails_the_effect(odd: dict[str, Any]) -> None:
    provider = answering(**{**GIVEN, "status": "refunded", **odd})
    with pytest.raises(EffectFailed):
        asyncio.run(provider.refund(refund("o", 1, "ch", 2501)))


def test_a_refund_that_failed_is_an_answer() -> None:
    failed = asyncio.run(answering(**GIVEN, status="failed").refund(refund("o", 1, "ch", 2501)))
    assert failed == RefundFailed("re", "ch", 2501)


@BOTH
def test_a_part_is_captured_first_and_the_rest_later(kind: str, provider_url: str) -> None:
    async def story(it: Subject) -> None:
        part = await it.charge(charge("inpart", "tok_part:999"))
        assert isinstance(part, Captured)
        assert part.amount_minor == 1
        it.settle("order/inpart")
        whole = await it.look(look("inpart", part.charge_id))
        assert whole == replace(part, amount_minor=2501)

    play(kind, provider_url, story)


@BOTH
def test_a_refund_fails_after_it_was_made_and_the_next_goes_through(
    kind: str, provider_url: str
) -> None:
    async def story(it: Subject) -> None:
        took = await it.charge(charge("fails", "tok_refund_fails:999"))
        assert isinstance(took, Captured)
        back = await it.refund(refund("fails", 1, took.charge_id, 2501))
        assert isinstance(back, Refunded)
        it.settle("order/fails")
        again = await it.refund(refund("fails", 1, took.charge_id, 2501))
        assert again == RefundFailed(back.refund_id, took.charge_id, 2501)
        assert isinstance(await it.refund(refund("fails", 2, took.charge_id, 2501)), Refunded)

    play(kind, provider_url, story)


def test_a_provider_that_cannot_be_reached_fails_the_effect() -> None:
    async def story() -> None:
        client = HttpClient(proxies=False)
        with pytest.raises(EffectFailed, match="ClientConnectorError"):
            await HttpProvider(client, "http://127.0.0.1:9").charge(charge("o"))
        await client.close()

    asyncio.run(story())
