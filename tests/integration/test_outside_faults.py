"""Trouble of the outside world that can be asked for: done all the same, and told badly."""

import asyncio
from dataclasses import replace

import httpx2
import pytest

from saga_lab.fakes.trouble import UNUSABLE_BODIES
from sagakit.bounded_http import HttpClient
from sagakit.effects.http_gateway import LOOK_AFTER
from sagakit.errors import EffectFailed
from services.payment.gateway import HttpProvider
from services.payment.ledger import Captured, charge_effect
from tests.order_facts import ONE_TEA
from tests.outside_processes import GIVES_UP, Receiver, Row, Server, charge, status_of
from tests.stack import until

FOR_LONG = {"seconds": 600}
OVER = {"seconds": 0}


def begin(server: Server, way: str, how_long: Row = FOR_LONG) -> None:
    server.post(f"/control/{way}", how_long).raise_for_status()


def test_a_provider_that_answers_garbage_still_captures_the_charge(provider: Server) -> None:
    begin(provider, "garbage")
    answers = [charge(provider, f"garbage-{n}", "tok_ok") for n in range(len(UNUSABLE_BODIES))]
    begin(provider, "garbage", OVER)
    assert {answer.content for answer in answers} == set(UNUSABLE_BODIES)
    assert {answer.status_code for answer in answers} == {200}
    for n in range(len(UNUSABLE_BODIES)):
        assert status_of(provider, f"garbage-{n}") == "captured"
        assert charge(provider, f"garbage-{n}", "tok_ok").json()["status"] == "captured"


def test_a_provider_that_answers_slowly_captures_the_charge_at_once(provider: Server) -> None:
    begin(provider, "slow")
    body = {"reference": "slow", "amount_minor": 1, "currency": "EUR", "card_token": "tok_ok"}
    headers = {"Idempotency-Key": "charge:slow"}
    with pytest.raises(httpx2.ReadTimeout):
        provider.http.post("/v1/charges", json=body, headers=headers, timeout=GIVES_UP)
    until(lambda: provider.list("charges", "slow"), "the charge is recorded")
    begin(provider, "slow", OVER)
    assert status_of(provider, "slow") == "captured"


@pytest.mark.parametrize("way", ["hostile", "huge", "banning"])
def test_the_worst_answers_say_nothing_and_later_the_charge_is_there(
    provider: Server, way: str
) -> None:
    """Given answers with our own words, of 64 MiB or a ban, then the gateway asks again later."""
    facts = replace(ONE_TEA, card_token="tok_ok")
    effect = replace(charge_effect(way, facts), saga=f"order/{way}")

    async def story() -> None:
        client = HttpClient(proxies=False)
        gateway = HttpProvider(client, provider.url)
        begin(provider, way)
        errors = []
        for _ in range(4):
            with pytest.raises(EffectFailed) as caught:
                await gateway.charge(effect)
            errors.append(caught.value)
        begin(provider, way, OVER)
        for error in errors:
            assert len(str(error)) < 300
            assert "TOK_OK" not in str(error).upper()
            assert str(error).isprintable()
        if way == "banning":
            assert all(error.retry_after for error in errors)
            await client.close()
            client = HttpClient(proxies=False)  # another process does not know of the pause
            gateway = HttpProvider(client, provider.url)
        assert isinstance(await gateway.charge(effect), Captured)
        await client.close()

    asyncio.run(story())
    assert len(provider.list("charges", f"order/{way}")) == 1


def test_a_failure_that_is_stored_under_its_key_is_found_by_its_order(provider: Server) -> None:
    """Given a charge that was made and whose key answers 500 for ever, then it is looked up."""
    facts = replace(ONE_TEA, card_token="tok_ok")
    effect = replace(charge_effect("stored", facts), saga="order/stored")

    async def story() -> None:
        client = HttpClient(proxies=False)
        gateway = HttpProvider(client, provider.url)
        begin(provider, "stored")
        for after in (OVER, OVER):
            with pytest.raises(EffectFailed, match="500"):
                await gateway.charge(effect)
            begin(provider, "stored", after)
        assert isinstance(await gateway.charge(replace(effect, attempts=LOOK_AFTER)), Captured)
        await client.close()

    asyncio.run(story())
    assert len(provider.list("charges", "order/stored")) == 1


def test_callbacks_come_twice_under_one_id(provider: Server, receiver: Receiver) -> None:
    begin(provider, "callbacks-twice")
    charge(provider, "twice", "tok_async:0")
    until(lambda: len(receiver.of("twice")) == 2, "the webhook, twice")
    begin(provider, "callbacks-twice", OVER)
    first, second = receiver.of("twice")
    assert first == second
    charge(provider, "once", "tok_async:0")
    until(lambda: receiver.of("once"), "the webhook")
    assert len(receiver.of("once")) == 1


@pytest.mark.parametrize("way", ["callbacks-late", "callbacks-reversed"])
def test_webhooks_are_kept_back_until_the_fault_ends(
    provider: Server, receiver: Receiver, way: str
) -> None:
    orders = [f"{way}-{n}" for n in range(3)]
    begin(provider, way)
    for order in orders:
        charge(provider, order, "tok_async:0")
        until(lambda o=order: status_of(provider, o) == "captured", "the capture")  # type: ignore[misc]
    assert not any(receiver.of(order) for order in orders)
    begin(provider, way, OVER)
    until(lambda: all(receiver.of(order) for order in orders), "what was kept back")


def test_an_unknown_fault_and_a_negative_duration_are_refused(provider: Server) -> None:
    assert provider.post("/control/garbage", {"seconds": -1}).status_code == 400
    assert provider.post("/control/nonsense", FOR_LONG).status_code == 404
