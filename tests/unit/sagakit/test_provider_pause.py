"""A provider that asks for a pause gets it: for all calls, and then one call tries first."""

import asyncio
from dataclasses import dataclass, field

import httpx2
import pytest

from sagakit.effects.http_gateway import MAX_RETRY_AFTER, HttpGateway
from sagakit.errors import EffectFailed
from sagakit.provider_pause import TRY_S, ProviderPause
from sagakit.testing import InMemoryHttp

URL = "http://bank"


@dataclass
class Banning:
    """A provider that answers as told, and extends its ban at each call that comes too early."""

    now_s: float = 0.0
    asked: list[str] = field(default_factory=list)
    answer: httpx2.Response = field(default_factory=lambda: httpx2.Response(200, json={}))
    held: asyncio.Event | None = None

    async def __call__(self, request: httpx2.Request) -> httpx2.Response:
        self.asked.append(request.url.path)
        if self.held:
            await self.held.wait()
        return self.answer


def gateways(bank: Banning) -> tuple[HttpGateway, HttpGateway]:
    """Return two gateways of one client, such as those of charges and of the statement."""
    client = InMemoryHttp(httpx2.MockTransport(bank))
    client._pauses[URL] = ProviderPause(lambda: bank.now_s)
    return HttpGateway("bank", client, URL), HttpGateway("bank", client, URL)


async def refused(gateway: HttpGateway, path: str = "/charges") -> float:
    """Call, and return how many seconds the effect has to wait, 0 for an ordinary backoff."""
    with pytest.raises(EffectFailed) as error:
        await gateway.call("POST", path, "k")
    return error.value.retry_after.total_seconds() if error.value.retry_after else 0.0


@pytest.mark.parametrize("status", [429, 503])
def test_no_call_to_a_provider_is_made_before_the_time_it_asks_for(status: int) -> None:
    async def story() -> None:
        # Given an answer that asks for two minutes
        bank = Banning(answer=httpx2.Response(status, headers={"Retry-After": "120"}))
        one, other = gateways(bank)
        assert await refused(one) == 120
        # When any other call is due before that, then it is not made
        bank.now_s = 30
        assert await refused(other, "/refunds") == 90
        with pytest.raises(EffectFailed, match="asked not to be called for another 90 s"):
            await other.page("/charges", 0, 10)
        assert bank.asked == ["/charges"]

    asyncio.run(story())


def test_after_the_pause_one_call_tries_before_the_others_are_made() -> None:
    async def story() -> None:
        bank = Banning(answer=httpx2.Response(429, headers={"Retry-After": "120"}))
        one, other = gateways(bank)
        await refused(one)
        # Given a pause that is over, when 64 calls are due, then one of them is made
        bank.now_s, bank.held = 121, asyncio.Event()
        trying = asyncio.create_task(refused(one))
        while len(bank.asked) < 2:
            await asyncio.sleep(0)
        waits = [await refused(other) for _ in range(63)]
        assert waits == [TRY_S] * 63
        assert len(bank.asked) == 2
        # When it is refused again, then all wait for the next pause
        bank.held.set()
        assert await trying == 120
        assert await refused(other) == 120
        # When the next one is answered, then all are made
        bank.now_s, bank.answer = 300, httpx2.Response(200, json={"id": "x"})
        for gateway in (one, other, one):
            assert await gateway.call("POST", "/charges", "k") == {"id": "x"}

    asyncio.run(story())


def test_a_call_that_began_before_the_pause_does_not_end_it() -> None:
    async def story() -> None:
        bank = Banning(held=asyncio.Event())
        one, other = gateways(bank)
        slow = asyncio.create_task(one.call("POST", "/slow", "k"))
        while not bank.asked:
            await asyncio.sleep(0)
        held, bank.held = bank.held, None
        good, bank.answer = bank.answer, httpx2.Response(503, headers={"Retry-After": "60"})
        assert await refused(other) == 60
        bank.answer = good
        assert held
        held.set()
        await slow
        assert await refused(other) == 60
        assert len(bank.asked) == 2

    asyncio.run(story())


def test_a_pause_is_bounded_and_heeded_also_without_a_readable_body() -> None:
    async def story() -> None:
        bank = Banning(
            answer=httpx2.Response(
                429,
                headers={"Retry-After": "999999", "Content-Encoding": "gzip"},
                stream=httpx2.ByteStream(b"bomb"),
            )
        )
        one, other = gateways(bank)
        assert await refused(one) == MAX_RETRY_AFTER.total_seconds()
        assert await refused(other) == MAX_RETRY_AFTER.total_seconds()
        assert len(bank.asked) == 1

    asyncio.run(story())


def test_a_retry_after_of_another_status_is_about_that_call_alone() -> None:
    async def story() -> None:
        bank = Banning(answer=httpx2.Response(500, headers={"Retry-After": "60"}))
        one, other = gateways(bank)
        assert (await refused(one), await refused(other)) == (60, 60)
        assert len(bank.asked) == 2

    asyncio.run(story())


def test_a_try_without_an_answer_leaves_the_others_waiting_for_the_next_try() -> None:
    async def story() -> None:
        bank = Banning(answer=httpx2.Response(429, headers={"Retry-After": "1"}))
        one, _ = gateways(bank)
        await refused(one)
        pause = one._pause
        bank.now_s = 2
        assert pause.enter()
        pause.leave(True, answered=False, asked=None)
        assert pause.enter(), "the next call tries again, alone"

    asyncio.run(story())
