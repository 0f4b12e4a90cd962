"""What many ask for at once is carried out together, and everybody gets an answer of their own."""

import asyncio
from collections.abc import Sequence

import pytest

from sagakit.gathering import Gatherer


class Doubler:
    """Doubles numbers; holds each batch up until `go` is set."""

    def __init__(self) -> None:
        self.batches: list[list[int]] = []
        self.go = asyncio.Event()

    async def __call__(self, items: Sequence[int]) -> list[int]:
        self.batches.append(list(items))
        await self.go.wait()
        if 13 in items:
            raise ValueError("13")
        return [2 * item for item in items]


def test_what_comes_while_a_batch_runs_shares_the_next() -> None:
    async def story() -> None:
        double = Doubler()
        gather = Gatherer(double, most=3)
        # Given one call that is being carried out
        calls = [asyncio.create_task(gather(0))]
        while not double.batches:
            await asyncio.sleep(0)
        # When others come
        calls += [asyncio.create_task(gather(n)) for n in range(1, 6)]
        await asyncio.sleep(0)
        double.go.set()
        # Then they share batches, and each gets its own answer
        assert await asyncio.gather(*calls) == [0, 2, 4, 6, 8, 10]
        assert double.batches == [[0], [1, 2, 3], [4, 5]]

    asyncio.run(story())


def test_an_error_goes_to_its_batch_only() -> None:
    async def story() -> None:
        double = Doubler()
        double.go.set()
        gather = Gatherer(double, most=2)
        answers = await asyncio.gather(*(gather(n) for n in (13, 1, 2)), return_exceptions=True)
        assert [type(answer) for answer in answers] == [ValueError, ValueError, int]
        with pytest.raises(ValueError, match="13"):
            await gather(13)
        assert await gather(4) == 8

    asyncio.run(story())


def test_nothing_is_carried_out_for_a_caller_that_has_given_up() -> None:
    async def story() -> None:
        double = Doubler()
        gather = Gatherer(double, most=5)
        first = asyncio.create_task(gather(1))
        while not double.batches:
            await asyncio.sleep(0)
        gone, stays = asyncio.create_task(gather(2)), asyncio.create_task(gather(3))
        await asyncio.sleep(0)
        gone.cancel()
        double.go.set()
        assert (await first, await stays) == (2, 6)
        assert double.batches == [[1], [3]]

    asyncio.run(story())
