"""The inlet: many share a transaction, a lone one never waits, one that fails fails alone."""

import asyncio
import threading
from collections.abc import Coroutine, Sequence
from typing import Any
from uuid import uuid4

import pytest

from sagakit.decider import Callback
from sagakit.errors import RequestTimedOut
from sagakit.handling.handler import Disposition, HandlingResult
from sagakit.handling.request_batcher import BATCH, MAX_QUEUED, RequestBatcher
from sagakit.handling.waiters import SagaWaiters
from sagakit.messages.envelope import Message
from sagakit.service.definition import TriggerSubmitter
from tests.stack import PATIENCE_S
from tests.toy_saga import Count, Counter, toy


class TriggerPort:
    """An inlet on the counter, whose first transaction can be held."""

    def __init__(self) -> None:
        self.counter, self.batches = Counter(), list[int]()
        self.entered, self.go_on = threading.Event(), threading.Event()
        self.go_on.set()
        self.batcher: RequestBatcher[Count] = RequestBatcher(self, threading.Event())

    def handle(self, messages: Sequence[Message]) -> list[HandlingResult[Count]]:
        self.batches.append(len(messages))
        self.entered.set()
        self.go_on.wait(PATIENCE_S)
        return self.counter.handler.handle(messages)

    async def submit(self, key: str, word: str = "x") -> HandlingResult[Count]:
        message = Message(uuid4(), toy(key), trigger=Callback((key, word)))
        return await self.batcher.submit(message)


def play(submitter: TriggerPort, scenario: Coroutine[Any, Any, None]) -> None:
    async def run() -> None:
        task = asyncio.create_task(submitter.batcher.run())
        try:
            await asyncio.wait_for(scenario, PATIENCE_S)
        finally:
            task.cancel()

    asyncio.run(run())


def test_a_lone_message_is_answered_with_what_became_of_it() -> None:
    submitter = TriggerPort()

    async def scenario() -> None:
        handled = await submitter.submit("a", "paid")
        assert (handled.disposition, handled.state) == (Disposition.HANDLED, Count(("paid",)))

    play(submitter, scenario())
    assert submitter.batches == [1]


def test_what_comes_while_a_transaction_runs_shares_the_next() -> None:
    submitter = TriggerPort()

    async def scenario() -> None:
        submitter.go_on.clear()
        first = asyncio.create_task(submitter.submit("a"))
        assert await asyncio.to_thread(submitter.entered.wait, PATIENCE_S)
        others = [asyncio.create_task(submitter.submit(f"o{n}")) for n in range(BATCH + 5)]
        await asyncio.sleep(0)
        submitter.go_on.set()
        handled = await asyncio.gather(first, *others)
        assert [h.message.key for h in handled] == [
            toy("a"),
            *(toy(f"o{n}") for n in range(BATCH + 5)),
        ]
        assert {h.disposition for h in handled} == {Disposition.HANDLED}

    play(submitter, scenario())
    assert submitter.batches == [1, BATCH, 5]


def test_one_that_fails_fails_alone_and_nothing_of_it_is_kept() -> None:
    submitter = TriggerPort()

    async def scenario() -> None:
        submitter.go_on.clear()
        first = asyncio.create_task(submitter.submit("first"))
        assert await asyncio.to_thread(submitter.entered.wait, PATIENCE_S)
        words = ["x", "boom", "y"]
        others = [asyncio.create_task(submitter.submit(f"o{n}", w)) for n, w in enumerate(words)]
        await asyncio.sleep(0)
        submitter.go_on.set()
        await first
        good, bad, also = await asyncio.gather(*others, return_exceptions=True)
        assert isinstance(bad, ZeroDivisionError)
        assert not isinstance(good, BaseException)
        assert not isinstance(also, BaseException)

    play(submitter, scenario())
    assert [submitter.counter.words(f"o{n}") for n in range(3)] == [("x",), (), ("y",)]


def test_a_caller_who_left_does_not_hold_up_the_others() -> None:
    submitter = TriggerPort()

    async def scenario() -> None:
        submitter.go_on.clear()
        left = asyncio.create_task(submitter.submit("left"))
        assert await asyncio.to_thread(submitter.entered.wait, PATIENCE_S)
        left.cancel()
        with pytest.raises(asyncio.CancelledError):
            await left
        submitter.go_on.set()
        await submitter.submit("other")

    play(submitter, scenario())
    assert submitter.counter.words("left") == ("x",), "it was under way and is kept"


def test_who_left_before_it_was_begun_is_not_handled() -> None:
    submitter = TriggerPort()

    async def scenario() -> None:
        submitter.go_on.clear()
        first = asyncio.create_task(submitter.submit("first"))
        assert await asyncio.to_thread(submitter.entered.wait, PATIENCE_S)
        left = asyncio.create_task(submitter.submit("left"))
        await asyncio.sleep(0)
        left.cancel()
        submitter.go_on.set()
        await first
        await submitter.submit("other")

    play(submitter, scenario())
    assert submitter.counter.words("left") == ()
    assert submitter.batches == [1, 1]


def test_while_nothing_is_handled_only_so_many_wait_and_each_is_answered_in_time(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    monkeypatch.setattr("sagakit.service.definition.ANSWER_S", 0.5)
    submitter = TriggerPort()
    nobody: Any = None
    outside = TriggerSubmitter[Count](nobody, nobody, submitter.batcher, SagaWaiters())

    async def scenario() -> None:
        submitter.go_on.clear()
        asked = [
            asyncio.create_task(outside.submit(toy(f"o{n}"), Callback((f"o{n}", "x")), uuid4()))
            for n in range(MAX_QUEUED + 50)
        ]
        results = await asyncio.gather(*asked, return_exceptions=True)
        assert {type(error) for error in results} == {RequestTimedOut}
        assert "send the same again" in str(results[0])
        submitter.go_on.set()
        assert (await submitter.submit("after")).disposition is Disposition.HANDLED

    play(submitter, scenario())
    assert submitter.batches[1:] == [1], "of those who left only what had been begun"
