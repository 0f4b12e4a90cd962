"""Effects on the in-memory store: performed after commit, at least once, under one key, by one
worker at a time. The clock is the test's own; leases run out when the test says so."""

import asyncio
import random
import threading
from dataclasses import replace
from datetime import datetime, timedelta
from functools import partial
from typing import Any

import pytest
from sqlalchemy.exc import OperationalError

from sagakit.decider import Effect, EffectResult
from sagakit.effects import worker
from sagakit.errors import EffectFailed, ResultPending
from sagakit.faults import CrashAt
from sagakit.handling.handler import decode_message
from sagakit.messages.codec import MAX_EVENT_BYTES
from sagakit.retry import Backoff
from tests.effect_workers import Outside, Process, Site, play, settled, taken_over, until
from tests.stack import PATIENCE_S
from tests.toy_saga import Count, Ticked


@pytest.fixture(autouse=True)
def _quick(monkeypatch: pytest.MonkeyPatch) -> None:
    """Real pauses are short; the lengths of leases and backoffs are the clock's, which stands."""
    monkeypatch.setattr(worker, "IDLE_S", 0.005)
    monkeypatch.setattr(worker, "HEARTBEAT_S", 0.005)


# --- the good case ------------------------------------------------------------------------------


def test_an_effect_is_performed_at_once_and_its_outcome_decided() -> None:
    async def scenario() -> None:
        site, outside = Site(), Outside()
        async with Process(site, outside).running() as process:
            await process.reads("call")
            await until(lambda: site.pending() == {}, "the outcome")
        assert outside.calls == ["toy/a:call"]
        assert site.words("a") == ("called", "outcome ok")

    play(scenario())


def test_what_another_process_left_behind_is_claimed() -> None:
    """It died right after its commit: its lease has to run out first."""

    async def scenario() -> None:
        site, outside = Site(), Outside()
        dead = Process(site, outside)
        dead.worker._loop = asyncio.get_running_loop()  # it ran, so it leases at birth
        dead.worker.added = lambda rows: None  # type: ignore[method-assign]
        await dead.reads("call")
        async with Process(site, outside).running() as process:
            claims: list[int] = []
            claim = site.database.claim
            site.database.claim = lambda *a: claims.append(1) or claim(*a)  # type: ignore[func-returns-value]
            await until(lambda: len(claims) > 2, "it looks again and again")
            assert outside.calls == []
            site.advance(worker.LEASE)
            await until(lambda: site.pending() == {}, "the outcome")
            assert not process.stop.is_set()
        assert outside.calls == ["toy/a:call"]

    play(scenario())


def test_a_thousand_are_performed_at_once_without_a_thread_each() -> None:
    """Given an outside world that answers nobody before all have asked, then all are performed."""

    async def scenario() -> None:
        all_here, threads, others = asyncio.Event(), list[int](), threading.active_count()

        async def wait(effect: Effect) -> str:
            if outside.at_once == worker.IN_HAND:
                threads.append(threading.active_count())
                all_here.set()
            await all_here.wait()
            return "ok"

        site, outside = Site(), Outside(answer=wait)
        async with Process(site, outside).running() as process:
            records = [process.wire.record(Ticked(f"o{n}", "call")) for n in range(worker.IN_HAND)]
            messages = [decode_message(process.wire.codec, r) for r in records]
            await asyncio.to_thread(process.handler.handle, messages)
            await until(lambda: site.pending() == {}, "all")
        assert len(set(outside.calls)) == worker.IN_HAND
        assert max(threads) - others < 50

    play(scenario())


def test_more_effects_than_hands_are_left_to_be_claimed(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(worker, "IN_HAND", 2)

    async def scenario() -> None:
        site, outside = Site(), Outside()
        claim, limits = site.database.claim, []

        def counting(limit: int, *rest: Any) -> Any:
            limits.append(limit)
            return claim(limit, *rest)

        site.database.claim = counting
        async with Process(site, outside).running() as process:
            records = [process.wire.record(Ticked(f"o{n}", "call")) for n in range(12)]
            messages = [decode_message(process.wire.codec, r) for r in records]
            await asyncio.to_thread(process.handler.handle, messages)
            await until(lambda: site.pending() == {}, "all")
        assert len(outside.calls) == len(set(outside.calls)) == 12
        assert min(limits) >= 0, "a database refuses a negative limit"

    play(scenario())


# --- outcomes that cannot be told ---------------------------------------------------------------


def asked(site: Site, attempts: int) -> bool:
    return site.pending()["toy/a:call"].attempts == attempts


def test_an_outcome_that_cannot_be_told_is_kept_as_such_and_asked_for_ever_more_seldom() -> None:
    async def scenario() -> None:
        # Given an outside world whose answer fits into no event
        async def answer_at_length(effect: Effect) -> str:
            return "x" * MAX_EVENT_BYTES

        site, outside = Site(), Outside(answer=answer_at_length)
        async with Process(site, outside).running() as process:
            # When it is called
            await process.reads("call")
            await until(lambda: site.pending()["toy/a:call"].attempts == 1, "given back")
            # Then the effect stays, says so, and is not asked again as after a failure
            row = site.database.tables.effects["toy/a", "call"]
            assert row.error.startswith("OutcomeUntold: EventTooLarge: ")
            assert len(row.error) < 1000
            for attempts in range(2, 12):
                site.advance(due_at(site) - site.now)
                await until(partial(asked, site, attempts), "asked again")
            assert due_at(site) - site.now > timedelta(minutes=5)
        assert site.words("a") == ("called",)

    play(scenario())


# --- unknown outcomes ---------------------------------------------------------------------------


def test_a_failure_is_kept_and_asked_again_later_under_the_same_key() -> None:
    async def scenario() -> None:
        async def fail(effect: Effect) -> str:
            raise EffectFailed("no answer from the provider")

        site, outside = Site(), Outside(answer=fail)
        async with Process(site, outside).running() as process:
            await process.reads("call")
            await until(lambda: site.pending()["toy/a:call"].attempts == 1, "given back")
            row = site.database.tables.effects["toy/a", "call"]
            wait = row.due_at - site.now
            assert timedelta(seconds=5) <= wait <= timedelta(seconds=10)
            assert row.error == "EffectFailed: no answer from the provider"
            site.advance(wait - timedelta(milliseconds=1))
            await settled(site)
            assert outside.calls == ["toy/a:call"], "not before it is due"
            site.advance(timedelta(milliseconds=1))
            await until(lambda: site.pending()["toy/a:call"].attempts == 2, "asked again")
            longer = due_at(site) - site.now
            assert timedelta(seconds=10) <= longer <= timedelta(seconds=20), "backs off"
            outside.answer = None
            site.advance(longer)
            await until(lambda: site.pending() == {}, "the outcome")
        assert outside.calls == ["toy/a:call"] * 3
        assert site.words("a") == ("called", "outcome ok")

    play(scenario())


def attempts_are(site: Site, number: int) -> bool:
    return site.pending()["toy/a:call"].attempts == number


def test_what_is_not_final_yet_is_asked_again_patiently_until_it_is() -> None:
    async def scenario() -> None:
        async def pending(effect: Effect) -> str:
            raise ResultPending("the bank has it")

        site, outside = Site(), Outside(answer=pending)
        async with Process(site, outside).running() as process:
            await process.reads("call")
            for attempt in range(1, 13):
                there = partial(attempts_are, site, attempt)
                await until(there, "given back")
                wait = due_at(site) - site.now
                assert wait <= timedelta(seconds=2 ** (attempt - 1))
                site.advance(wait)
            await until(lambda: site.pending()["toy/a:call"].attempts == 13, "given back")
            assert timedelta(minutes=7) <= due_at(site) - site.now <= timedelta(minutes=15)
            row = site.database.tables.effects["toy/a", "call"]
            assert row.error == "ResultPending: the bank has it"
            outside.answer = None
            site.advance(timedelta(minutes=15))
            await until(lambda: site.pending() == {}, "the outcome")
        assert set(outside.calls) == {"toy/a:call"}
        assert site.words("a") == ("called", "outcome ok")

    play(scenario())


def due_at(site: Site) -> datetime:
    due: datetime = site.database.tables.effects["toy/a", "call"].due_at
    return due


def test_a_timeout_is_unknown_and_asked_again_never_assumed(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    monkeypatch.setattr(worker, "CALL_TIMEOUT_S", 0.02)

    async def scenario() -> None:
        async def hang(effect: Effect) -> str:
            await asyncio.Event().wait()
            return "never"

        site, outside = Site(), Outside(answer=hang)
        async with Process(site, outside).running() as process:
            await process.reads("call")
            await until(lambda: site.pending()["toy/a:call"].attempts == 1, "given up waiting")
            assert site.words("a") == ("called",), "nothing is concluded from it"
            outside.answer = None
            site.advance(timedelta(seconds=10))
            await until(lambda: site.pending() == {}, "the outcome")
        assert outside.calls == ["toy/a:call", "toy/a:call"]
        assert outside.at_once == 0, "the first call was cancelled"

    play(scenario())


def test_an_answer_that_decide_cannot_take_is_asked_for_again() -> None:
    """Nothing of a failed decision is kept, the effect least of all."""

    async def scenario() -> None:
        site, outside = Site(), Outside()
        process = Process(site, outside)
        sound = process.handler.participant

        def decide(state: Count, trigger: Any, now: datetime) -> Any:
            if isinstance(trigger, EffectResult) and len(outside.calls) == 1:
                raise ZeroDivisionError
            return sound.decide(state, trigger, now)

        process.handler.participant = replace(sound, decide=decide)
        async with process.running():
            await process.reads("call")
            await until(lambda: site.pending()["toy/a:call"].attempts == 1, "given back")
            assert site.words("a") == ("called",)
            site.advance(timedelta(seconds=10))
            await until(lambda: site.pending() == {}, "the outcome")
        assert site.words("a") == ("called", "outcome ok")

    play(scenario())


def test_a_kind_nobody_performs_is_kept_and_says_so() -> None:
    async def scenario() -> None:
        site = Site()
        process = Process(site, Outside())
        process.worker._perform = {}
        async with process.running():
            await process.reads("call")
            await until(lambda: site.pending()["toy/a:call"].attempts == 1, "given back")
        error = site.database.tables.effects["toy/a", "call"].error
        assert "no function performs effects of kind 'call'" in error

    play(scenario())


def test_a_crash_after_the_call_asks_again_under_the_same_key() -> None:
    async def scenario() -> None:
        site, outside = Site(), Outside()
        async with Process(site, outside, faults=CrashAt("after-call")).running() as first:
            await first.reads("call")
            await until(lambda: outside.calls == ["toy/a:call"] and not first.worker._tasks, "dead")
        assert site.words("a") == ("called",)
        site.advance(worker.LEASE)
        async with Process(site, outside).running():
            await until(lambda: site.pending() == {}, "the outcome")
        assert outside.calls == ["toy/a:call", "toy/a:call"]
        assert site.words("a") == ("called", "outcome ok"), "one outcome"

    play(scenario())


# --- leases -------------------------------------------------------------------------------------


@pytest.mark.parametrize("late", ["late", EffectFailed("late")], ids=["answer", "failure"])
def test_when_a_lease_runs_out_another_takes_over_and_the_first_comes_too_late(late: Any) -> None:
    async def scenario() -> None:
        site = Site()
        await taken_over(site, late)
        assert site.pending() == {}

    play(scenario())


def test_a_call_that_takes_long_keeps_its_lease() -> None:
    async def scenario() -> None:
        go_on = asyncio.Event()

        async def wait(effect: Effect) -> str:
            await go_on.wait()
            return "ok"

        site, slow, other = Site(), Outside(answer=wait), Outside()
        async with Process(site, slow).running() as first, Process(site, other).running():
            await first.reads("call")
            await until(lambda: slow.calls != [], "called")
            for _ in range(5):
                site.advance(worker.LEASE * 0.9)
                await until(lambda: lease_end(site) == site.now + worker.LEASE, "extended")
            go_on.set()
            await until(lambda: site.pending() == {}, "the outcome")
        assert (slow.calls, other.calls) == (["toy/a:call"], [])

    def lease_end(site: Site) -> datetime:
        end: datetime = site.database.tables.effects["toy/a", "call"].lease_until
        return end

    play(scenario())


# --- liveness -----------------------------------------------------------------------------------


def test_a_loop_that_hangs_looks_no_younger_when_others_ask_for_its_end() -> None:
    """A consumer that leases an effect asks, and so does a call that failed and is given back."""

    async def scenario() -> None:
        site, outside, go_on = Site(), Outside(answer=refuse), threading.Event()
        claiming, given_back = threading.Event(), list[Any]()
        give_back = site.database.retry

        def hang(*_: Any) -> list[Any]:
            claiming.set()
            go_on.wait(PATIENCE_S)
            return []

        def lost_once(*retried: Any) -> None:
            given_back.append(retried)
            if len(given_back) == 1:
                raise OperationalError("UPDATE", {}, Exception("connection lost"))
            give_back(*retried)

        site.database.claim, site.database.retry = hang, lost_once
        async with Process(site, outside).running() as process:
            await until(claiming.is_set, "the loop hangs in its transaction")
            site.advance(timedelta(seconds=200))
            await process.reads("call")
            await until(lambda: len(given_back) > 1, "the failed call is given back")
            assert outside.calls == ["toy/a:call"], "leased by this process"
            assert process.stop.age_s() == 200
            go_on.set()
            await until(lambda: process.stop.age_s() == 0, "the loop turns again")

    async def refuse(effect: Effect) -> str:
        raise RuntimeError("no answer")

    play(scenario())


# --- the end ------------------------------------------------------------------------------------


def test_a_drain_waits_for_what_is_in_hand() -> None:
    async def scenario() -> None:
        go_on = asyncio.Event()

        async def wait(effect: Effect) -> str:
            await go_on.wait()
            return "ok"

        site, outside = Site(), Outside(answer=wait)
        async with Process(site, outside).running() as process:
            await process.reads("call")
            await until(lambda: outside.calls != [], "called")
            process.stop.set()
            draining = asyncio.create_task(process.worker.drain(30.0))
            await process.reads("call", key="b")
            assert not draining.done()
            go_on.set()
            await asyncio.wait_for(draining, PATIENCE_S)
        assert site.words("a") == ("called", "outcome ok")
        assert outside.calls == ["toy/a:call"], "nothing new is begun while going down"
        assert site.pending()["toy/b:call"].lease is None, "and another may claim it at once"

    play(scenario())


def test_a_drain_ends_in_time_and_leaves_the_rest_to_its_lease() -> None:
    async def scenario() -> None:
        async def hang(effect: Effect) -> str:
            await asyncio.Event().wait()
            return "never"

        site, outside = Site(), Outside(answer=hang)
        async with Process(site, outside).running() as process:
            await process.reads("call")
            await until(lambda: outside.calls != [], "called")
            process.stop.set()
            await process.worker.drain(0.05)
            assert process.worker._tasks
        assert list(site.pending()) == ["toy/a:call"]
        assert site.pending()["toy/a:call"].attempts == 0

    play(scenario())


@pytest.mark.parametrize("attempt", [0, 1, 5, 1000])
def test_backoff_grows_to_its_cap_with_jitter_in_its_upper_half(attempt: int) -> None:
    backoff, rng = Backoff(first_s=0.5, cap_s=30.0), random.Random(1)
    whole = min(30.0, 0.5 * 2.0 ** min(attempt, 10))
    waits = [backoff.after(attempt, rng).total_seconds() for _ in range(200)]
    assert whole / 2 <= min(waits) < max(waits) <= whole
    assert max(waits) - min(waits) > whole / 4
