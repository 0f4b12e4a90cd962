"""A topic that the broker refuses is told, and no longer once it is read again."""

import asyncio
from typing import Any

import pytest
from aiokafka.errors import (  # type: ignore[import-untyped]
    KafkaError,
    TopicAuthorizationFailedError,
)

from saga_monitor.ingest import refused_reads
from saga_monitor.ingest.refused_reads import REPORTED_S, RefusedReads


@pytest.fixture(autouse=True)
def at_once(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(refused_reads, "PAUSE_S", 0.0)


async def answer(found: Any) -> Any:
    if isinstance(found, Exception):
        raise found
    return found


def test_a_refusal_is_told_for_a_while_after_the_last_one() -> None:
    # Given a fetch and a commit that the broker refuses, 5 s apart
    now = [100.0]
    reads = RefusedReads(lambda: now[0])
    assert reads.problem() is None
    refused = TopicAuthorizationFailedError("left.events")
    assert asyncio.run(reads.heed(answer(refused), {})) == {}
    now[0] += 5.0
    refused = TopicAuthorizationFailedError({"left.events", "right.events"})
    assert asyncio.run(reads.heed(answer(refused), None)) is None
    # Then both topics are named until some time has passed without a refusal
    now[0] += REPORTED_S
    assert "left.events, right.events" in (reads.problem() or "")
    now[0] += 0.1
    assert reads.problem() is None


def test_other_answers_and_errors_pass_through() -> None:
    reads = RefusedReads()
    assert asyncio.run(reads.heed(answer({1: 2}), {})) == {1: 2}
    with pytest.raises(KafkaError):
        asyncio.run(reads.heed(answer(KafkaError()), {}))
    assert reads.problem() is None
