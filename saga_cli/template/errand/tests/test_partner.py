"""Courier's gateway against the fake partner itself, without a network between them."""

import asyncio
from pathlib import Path
from typing import Any

import httpx2
from sagakit import Effect, EffectFailed
from sagakit.testing import InMemoryHttp, check_failure_is_unknown, check_idempotent

from courier.decide import ASK, Done, Refused
from courier.gateway import HttpPartner
from fakes.partner import create_app
from tests.examples import ID, facts


def effect(note: str = "buy bread") -> Effect:
    """The call that courier decides on."""
    payload: dict[str, Any] = {"errand_id": ID, "facts": facts(note).to_dict()}
    return Effect(ASK, ASK, payload, saga=f"errand/{ID}")


def partner(db: Path) -> tuple[HttpPartner, httpx2.AsyncClient]:
    """The gateway, and a client that reads the ledger of the fake."""
    fake = httpx2.ASGITransport(create_app(db))
    gateway = HttpPartner(InMemoryHttp(fake), "http://localhost")
    return gateway, httpx2.AsyncClient(transport=fake, base_url="http://localhost")


def test_a_repeated_call_has_the_job_done_once(tmp_path: Path) -> None:
    async def play() -> None:
        gateway, client = partner(tmp_path / "ledger")
        result = await check_idempotent(gateway.ask, effect())
        (job,) = (await client.get("/v1/jobs")).json()["data"]
        assert result == Done(job["id"])
        assert (job["reference"], job["status"]) == (f"errand/{ID}", "done")

    asyncio.run(play())


def test_a_refusal_is_an_answer(tmp_path: Path) -> None:
    async def play() -> None:
        gateway, _ = partner(tmp_path / "ledger")
        refused = await check_idempotent(gateway.ask, effect("[refuse]"))
        assert refused == Refused("nobody goes there")

    asyncio.run(play())


def test_a_lost_answer_is_unknown_and_asking_again_finds_the_job(tmp_path: Path) -> None:
    async def play() -> None:
        gateway, client = partner(tmp_path / "ledger")
        await check_failure_is_unknown(gateway.ask, effect("[lost]"), [EffectFailed])
        found = await gateway.ask(effect("[lost]"))
        (job,) = (await client.get("/v1/jobs")).json()["data"]
        assert found == Done(job["id"])

    asyncio.run(play())


def test_another_job_under_a_known_key_is_no_answer(tmp_path: Path) -> None:
    async def play() -> None:
        gateway, _ = partner(tmp_path / "ledger")
        await gateway.ask(effect())
        await check_failure_is_unknown(gateway.ask, effect("buy milk"), [EffectFailed])

    asyncio.run(play())
