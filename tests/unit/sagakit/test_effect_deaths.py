"""Effects whose answer kills the process: counted before the next call, alone, then set aside."""

import asyncio
from datetime import timedelta
from typing import Any

import pytest

from sagakit.decider import Effect
from sagakit.effects import worker
from sagakit.errors import EffectFailed
from sagakit.faults import Crash
from sagakit.store.ports import DIED
from tests.effect_workers import Outside, Process, Site, play, until


@pytest.fixture(autouse=True)
def _quick(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(worker, "IDLE_S", 0.005)
    monkeypatch.setattr(worker, "HEARTBEAT_S", 0.005)


async def kill(effect: Effect) -> Any:
    """An answer that the process does not survive, such as one that fills the memory."""
    raise Crash("out of memory")


async def dies(site: Site, outside: Outside, times: int) -> None:
    """Let so many processes die one after the other, each as soon as it has called."""
    for _ in range(times):
        before = len(outside.calls)
        site.advance(worker.LEASE)
        async with Process(site, outside, deaf=True).running() as process:
            await until(lambda b=before: len(outside.calls) > b, "called")  # type: ignore[misc]
            await until(lambda p=process: not p.worker._tasks, "dead")  # type: ignore[misc]


async def decided(site: Site, *keys: str) -> None:
    """Sagas that have decided a call, which nobody has begun."""
    process = Process(site, Outside())
    for key in keys:
        await process.reads("call", key=key)


def kept(site: Site, key: str = "a") -> Any:
    return site.database.tables.effects[f"toy/{key}", "call"]


def test_an_attempt_that_ended_its_process_is_counted_before_the_next_one() -> None:
    async def scenario() -> None:
        site, outside = Site(), Outside(answer=kill)
        await decided(site, "a")
        seen: list[tuple[int, int]] = []

        async def note(effect: Effect) -> Any:
            row = kept(site).row
            seen.append((row.attempts, effect.attempts))
            raise Crash("out of memory")

        outside.answer = note
        await dies(site, outside, 3)
        assert seen == [(0, 0), (1, 1), (2, 2)]
        assert kept(site).error == DIED

    play(scenario())


def test_a_suspect_is_called_alone_and_others_go_on() -> None:
    """Given two calls in hand at two deaths, then they are called one after the other."""

    async def scenario() -> None:
        site, outside = Site(), Outside(answer=kill)
        await decided(site, "a", "b")
        await dies(site, outside, 2)
        site.advance(worker.LEASE)
        assert {row.deaths for row in site.pending().values()} <= {1, 2}
        quick = Outside()
        async with Process(site, quick).running():
            await until(lambda: site.pending() == {}, "both outcomes")
        assert quick.most_at_once == 1
        assert site.words("a") == site.words("b") == ("called", "outcome ok")

    play(scenario())


def test_after_five_deaths_in_a_row_it_is_set_aside_and_called_once_an_hour() -> None:
    async def scenario() -> None:
        site, outside = Site(), Outside(answer=kill)
        await decided(site, "a")
        await dies(site, outside, worker.MOST_DEATHS)
        # When the sixth process claims it, then it does not call
        site.advance(worker.LEASE)
        quick = Outside()
        async with Process(site, quick).running():
            await until(lambda: "EffectSetAside: 5 processes" in kept(site).error, "set aside")
            assert quick.calls == []
            assert kept(site).due_at == site.now + timedelta(hours=1)
        # When it kills again an hour later, then it is set aside again
        site.advance(timedelta(hours=1))
        await dies(site, outside, 1)
        site.advance(worker.LEASE)
        async with Process(site, quick).running():
            await until(lambda: kept(site).due_at > site.now, "set aside again")
            assert quick.calls == []
            # When the answer is a good one at last, then the saga goes on
            site.advance(timedelta(hours=1))
            await until(lambda: site.pending() == {}, "the outcome")
        assert quick.calls == ["toy/a:call"]

    play(scenario())


def test_a_failure_that_the_process_survives_ends_the_row_of_deaths() -> None:
    async def scenario() -> None:
        site, outside = Site(), Outside(answer=kill)
        await decided(site, "a")
        await dies(site, outside, 2)

        async def fail(effect: Effect) -> Any:
            raise EffectFailed("no answer")

        site.advance(worker.LEASE)
        async with Process(site, Outside(answer=fail)).running():
            await until(lambda: kept(site).row.attempts == 3, "given back")
        assert kept(site).row.deaths == 0

    play(scenario())


class Talkative(ValueError):
    """An error of a library that quotes what it was given."""


def test_the_text_of_a_foreign_error_is_not_kept_and_one_of_the_kit_is_bounded() -> None:
    async def scenario() -> None:
        async def leak(effect: Effect) -> Any:
            raise Talkative("1 Main Street, Münster")

        async def rant(effect: Effect) -> Any:
            raise EffectFailed("\ud800\0" + "x" * 600_000)

        site, outside = Site(), Outside(answer=leak)
        async with Process(site, outside).running() as process:
            await process.reads("call")
            await until(lambda: kept(site).row.attempts == 1, "given back")
            assert "Main" not in kept(site).error
            assert kept(site).error.startswith(f"Talkative in {__name__}, line ")
            outside.answer = rant
            site.advance(timedelta(seconds=30))
            await until(lambda: kept(site).row.attempts == 2, "given back")
            assert kept(site).error.startswith("EffectFailed: \\ud800\\u0000xxx")
            assert len(kept(site).error) == worker.MAX_ERROR_CHARS

    play(scenario())


def test_an_effect_knows_how_old_it_is() -> None:
    async def scenario() -> None:
        site, ages = Site(), list[timedelta]()

        async def note(effect: Effect) -> Any:
            ages.append(effect.age)
            return "ok"

        await decided(site, "a")
        site.advance(timedelta(hours=25))
        async with Process(site, Outside(answer=note)).running():
            await until(lambda: site.pending() == {}, "the outcome")
        assert ages == [timedelta(hours=25)]

    asyncio.run(scenario())
