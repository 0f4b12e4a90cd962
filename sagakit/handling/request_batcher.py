"""Batches single messages (webhooks, people's commands, effect results) into transactions.

Messages that arrive while a transaction runs share the next one; a lone message never waits. The
queue holds at most MOST_WAITING; beyond that `submit` waits for room. A message whose caller has
given up before its batch starts is not handled.
"""

import asyncio
import threading
from dataclasses import dataclass
from typing import Generic, TypeVar

from sagakit.handling.handler import HandlingResult, MessageHandler
from sagakit.messages.envelope import Message
from sagakit.own_threads import OwnThreads
from sagakit.retry import passing_for, retry_transaction

S = TypeVar("S")
BATCH, MAX_QUEUED = 200, 1000
IDLE_S = 0.5
"""How often an idle batcher looks whether to stop."""


@dataclass(slots=True)
class _Waiting(Generic[S]):
    message: Message
    answer: asyncio.Future[HandlingResult[S]]


class RequestBatcher(Generic[S]):
    """Queues messages for the handler; one per process. Call `run` in its event loop."""

    def __init__(self, handler: MessageHandler[S], stop: threading.Event) -> None:
        self._handler = handler
        self._stop = stop
        self._handling = OwnThreads("requests", 1)
        self._queue: asyncio.Queue[_Waiting[S]] = asyncio.Queue(MAX_QUEUED)

    async def submit(self, message: Message) -> HandlingResult[S]:
        """Return the fate of a message once committed. Raises what `decide` or the store raised."""
        answer: asyncio.Future[HandlingResult[S]] = asyncio.get_running_loop().create_future()
        await self._queue.put(_Waiting(message, answer))
        return await answer

    async def run(self) -> None:
        """Handle waiting messages in batches until stopped; those that wait then are handled."""
        while not self._stop.is_set() or not self._queue.empty():
            try:
                async with asyncio.timeout(IDLE_S):
                    batch = [await self._queue.get()]
            except TimeoutError:
                continue
            while len(batch) < BATCH and not self._queue.empty():
                batch.append(self._queue.get_nowait())
            await self._handle([waiting for waiting in batch if not waiting.answer.done()])

    async def _handle(self, batch: list[_Waiting[S]]) -> None:
        if not batch:
            return
        messages = [w.message for w in batch]
        work = lambda: self._handler.handle(messages)  # noqa: E731
        try:
            fates = await self._handling.run(
                retry_transaction, work, self._stop, passing_for(len(batch))
            )
        except Exception as error:
            if len(batch) > 1:
                for waiting in batch:
                    await self._handle([waiting])
            elif not batch[0].answer.done():
                batch[0].answer.set_exception(error)
            return
        for waiting, fate in zip(batch, fates, strict=True):
            if not waiting.answer.done():
                waiting.answer.set_result(fate)
