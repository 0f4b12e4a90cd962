"""Effects on real PostgreSQL, where it differs from memory.

tests/unit/sagakit/test_effect_worker.py has the rest."""

import asyncio
from collections.abc import Iterator
from typing import Any

import pytest
from sqlalchemy import Engine, text
from sqlalchemy.exc import DBAPIError

from sagakit.effects import worker
from sagakit.errors import EffectFailed
from sagakit.handling.parking import decode_message
from sagakit.store.ports import DIED
from sagakit.store.postgres import PostgresDatabase, engine_for
from tests.effect_workers import Outside, Process, Site, play, taken_over, until
from tests.toy_saga import NOW, Ticked, create_tables, table_store, toy


class Rows(Site):
    """The counter in PostgreSQL."""

    def __init__(self, engine: Engine) -> None:
        self.engine, self.now, self.store = engine, NOW, table_store()
        self.database = PostgresDatabase(engine, self.store, self.clock)

    def words_of(self, key: str) -> tuple[str, ...]:
        rows = self.rows("SELECT words FROM counts WHERE saga = :key", key=toy(key))
        return tuple(rows[0].words) if rows else ()

    def rows(self, query: str, **parameters: Any) -> Any:
        with self.engine.connect() as connection:
            return connection.execute(text(query), parameters).all()

    def waiting(self) -> int:
        return int(self.rows("SELECT count(*) FROM effects")[0][0])


@pytest.fixture
def site(database_url: str, monkeypatch: pytest.MonkeyPatch) -> Iterator[Rows]:
    monkeypatch.setattr(worker, "IDLE_S", 0.01)
    monkeypatch.setattr(worker, "HEARTBEAT_S", 0.01)
    engine = engine_for(database_url)
    create_tables(engine)
    site = Rows(engine)
    site.words = site.words_of
    yield site
    engine.dispose()


@pytest.mark.parametrize("late", ["late", EffectFailed("late")], ids=["answer", "failure"])
def test_when_a_lease_runs_out_another_takes_over_and_the_first_comes_too_late(
    site: Rows, late: Any
) -> None:
    play(taken_over(site, late))
    assert site.waiting() == 0
    (own,) = site.rows("SELECT count(*) FROM outbox")
    assert own[0] == 2, "called, and one outcome"


def test_a_failure_is_kept_with_its_reason_and_asked_again(site: Rows) -> None:
    async def scenario() -> None:
        async def fail(effect: Any) -> str:
            raise EffectFailed("no \0 \ud800 answer " + "x" * 600_000)

        outside = Outside(answer=fail)
        async with Process(site, outside).running() as process:
            await process.reads("call")
            tried = "SELECT attempts, last_error, due_at FROM effects"
            await until(lambda: site.rows(tried)[0].attempts == 1, "given back")
            row = site.rows(tried)[0]
            assert row.last_error.startswith("EffectFailed: no \\u0000 \\ud800 answer x")
            assert len(row.last_error) == 2000
            outside.answer = None
            site.advance(row.due_at - site.now)
            await until(lambda: site.waiting() == 0, "the outcome")
        assert outside.calls == ["toy/a:call", "toy/a:call"]
        assert site.words("a") == ("called", "outcome ok")

    play(scenario())


def test_two_workers_on_one_table_never_perform_the_same(
    site: Rows, monkeypatch: pytest.MonkeyPatch
) -> None:
    """None of them leases at birth, so all are claimed, by whoever is first."""
    monkeypatch.setattr(worker, "IN_HAND", 5)

    async def scenario() -> None:
        outside = Outside()
        writer = Process(site, outside)
        records = [writer.wire.record(Ticked(f"o{n}", "call")) for n in range(120)]
        messages = [decode_message(writer.wire.codec, r) for r in records]
        await asyncio.to_thread(writer.handler.handle, messages)
        async with Process(site, outside).running(), Process(site, outside).running():
            await until(lambda: site.waiting() == 0, "all outcomes")
        assert len(outside.calls) == len(set(outside.calls)) == 120

    play(scenario())


def test_a_worker_with_full_hands_claims_nothing_and_goes_on(
    site: Rows, monkeypatch: pytest.MonkeyPatch
) -> None:
    """A batch may bring more than fits: PostgreSQL would refuse a negative limit."""
    monkeypatch.setattr(worker, "IN_HAND", 2)

    async def scenario() -> None:
        outside = Outside()
        async with Process(site, outside).running() as process:
            await process.reads("call")
            records = [process.wire.record(Ticked(f"o{n}", "call")) for n in range(30)]
            messages = [decode_message(process.wire.codec, r) for r in records]
            await asyncio.to_thread(process.handler.handle, messages)
            await until(lambda: site.waiting() == 0, "all outcomes")
        assert len(outside.calls) == 31

    play(scenario())


def test_a_cut_connection_does_not_stop_the_worker(site: Rows) -> None:
    async def scenario() -> None:
        outside = Outside()
        async with Process(site, outside).running() as process:
            await process.reads("call")
            await until(lambda: site.waiting() == 0, "the first")
            site.rows(
                "SELECT pg_terminate_backend(pid) FROM pg_stat_activity "
                "WHERE datname = current_database() AND pid <> pg_backend_pid()"
            )
            await process.reads("call", key="b")
            await until(lambda: site.words("b") == ("called", "outcome ok"), "the second")

    play(scenario())
    assert site.words("a") == ("called", "outcome ok")


def test_the_error_of_a_statement_does_not_show_its_parameters(site: Rows) -> None:
    with pytest.raises(DBAPIError) as error:
        site.rows("SELECT CAST(1 AS integer) FROM effects WHERE key = :a, :b", a="tok_ok", b=1)
    assert "tok_ok" not in str(error.value)


def test_deaths_are_counted_at_the_claim_and_suspects_are_claimed_alone(site: Rows) -> None:
    """Given effects of processes that died, when they are claimed, then each death counts."""

    async def scenario() -> None:
        for key in ("a", "b", "c"):
            await Process(site, Outside()).reads("call", key=key)

    play(scenario())
    state = "SELECT attempts, deaths, last_error FROM effects ORDER BY saga"
    claimed = site.database.claim(10, worker.LEASE, site.now)
    assert [(row.attempts, row.deaths) for row in claimed] == [(0, 0)] * 3
    site.advance(worker.LEASE)
    claimed = site.database.claim(10, worker.LEASE, site.now)
    assert [(row.attempts, row.deaths) for row in claimed] == [(1, 1)] * 3
    assert all(row.created_at for row in claimed)
    assert {row.last_error for row in site.rows(state)} == {DIED}
    # Given two deaths in a row, then one is claimed, and none while one is in hand
    site.advance(worker.LEASE)
    assert site.database.claim(10, worker.LEASE, site.now, False) == []
    (suspect,) = site.database.claim(10, worker.LEASE, site.now)
    assert (suspect.attempts, suspect.deaths) == (2, 2)
    # Given an attempt that its process survived, then the deaths in a row begin again
    site.database.retry(suspect.lease, "EffectFailed: no", site.now)
    found = [row for row in site.rows(state) if row.last_error == "EffectFailed: no"]
    assert [(row.attempts, row.deaths) for row in found] == [(3, 0)]


def test_a_call_fails_since_its_first_failure_after_the_last_sign_of_life(site: Rows) -> None:
    """Given a call, when it fails again and again, then since the first of these failures; an
    answer that is pending is a sign of life."""

    async def scenario() -> None:
        await Process(site, Outside()).reads("call")

    play(scenario())
    since = []
    for error in ("EffectFailed: 500", "EffectFailed: 500", "ResultPending: later", "Other: x"):
        site.advance(worker.LEASE)
        (row,) = site.database.claim(1, worker.LEASE, site.now)
        assert row.lease is not None
        site.database.retry(row.lease, error, site.now)
        since.append(site.rows("SELECT failing_since FROM effects")[0].failing_since)
    first, second, pending, again = since
    assert first == second
    assert pending is None
    assert again > first
