"""Carries out together what many callers ask for at once, as one request or one transaction."""

import asyncio
from collections.abc import Awaitable, Callable, Sequence
from typing import Generic, TypeVar

T = TypeVar("T")
R = TypeVar("R")


class Gatherer(Generic[T, R]):
    """Answers calls in batches of at most `most`; use it in one event loop.

    What is asked for while a batch is carried out shares the next one; a lone call never waits.
    `carry_out` returns one answer for each item. If it raises, all of its callers get the error.
    """

    def __init__(
        self, carry_out: Callable[[Sequence[T]], Awaitable[Sequence[R]]], most: int
    ) -> None:
        self._carry_out, self._most = carry_out, most
        self._waiting: list[tuple[T, asyncio.Future[R]]] = []
        self._running: asyncio.Task[None] | None = None

    async def __call__(self, item: T) -> R:
        """Return the answer for one item."""
        answer: asyncio.Future[R] = asyncio.get_running_loop().create_future()
        self._waiting.append((item, answer))
        if self._running is None:
            self._running = asyncio.create_task(self._run())
        return await answer

    async def _run(self) -> None:
        try:
            while self._waiting:
                batch, self._waiting = self._waiting[: self._most], self._waiting[self._most :]
                # a caller that was cancelled meanwhile has given up
                await self._answer([(item, answer) for item, answer in batch if not answer.done()])
        finally:
            self._running = None

    async def _answer(self, batch: list[tuple[T, asyncio.Future[R]]]) -> None:
        if not batch:
            return
        try:
            answers = await self._carry_out([item for item, _ in batch])
        except Exception as error:
            for _, waiting in batch:
                if not waiting.done():
                    waiting.set_exception(error)
            return
        for (_, waiting), answer in zip(batch, answers, strict=True):
            if not waiting.done():
                waiting.set_result(answer)
