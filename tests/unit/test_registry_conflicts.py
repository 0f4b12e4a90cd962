"""Services that start together register the same subjects: a conflict is looked up, not died of."""

import json
from collections.abc import Callable

import httpx
import pytest

from sagakit.errors import ConfigurationError
from sagakit.messages.schema_registry import HttpRegistry

SCHEMA = {"type": "record", "name": "Done", "fields": []}
Answer = Callable[[httpx.Request], httpx.Response]


@pytest.fixture
def answers(monkeypatch: pytest.MonkeyPatch) -> list[Answer]:
    """What the registry answers, one request after the other; the last one again and again."""
    given: list[Answer] = []
    client = httpx.Client

    def answer(request: httpx.Request) -> httpx.Response:
        return (given.pop(0) if len(given) > 1 else given[0])(request)

    monkeypatch.setattr(
        "sagakit.messages.schema_registry.httpx.Client",
        lambda **options: client(transport=httpx.MockTransport(answer), **options),
    )
    monkeypatch.setattr("tenacity.nap.time.sleep", lambda seconds: None)
    return given


def says(status: int, content: object = None) -> Answer:
    return lambda request: httpx.Response(status, json=content)


def test_a_conflict_over_the_settings_of_a_subject_is_asked_again(answers: list[Answer]) -> None:
    answers += [says(409, "busy"), says(409, "busy"), says(200, {}), says(200, {"id": 7})]
    assert HttpRegistry("http://registry").register("saga.events-Done", SCHEMA) == 7


def test_what_another_process_has_just_registered_is_taken(answers: list[Answer]) -> None:
    asked: list[str] = []

    def known(request: httpx.Request) -> httpx.Response:
        asked.append(request.url.path)
        assert json.loads(json.loads(request.content)["schema"]) == SCHEMA
        return httpx.Response(200, json={"id": 9})

    answers += [says(200, {}), says(409, "version exists"), known]
    assert HttpRegistry("http://registry").register("saga.events-Done", SCHEMA) == 9
    assert asked == ["/subjects/saga.events-Done"]


def test_a_schema_that_is_refused_again_and_again_says_so_with_the_remedy(
    answers: list[Answer],
) -> None:
    answers += [lambda r: httpx.Response(200 if r.method == "PUT" else 409, json="incompatible")]
    with pytest.raises(ConfigurationError, match=r"incompatible.*give new fields a default"):
        HttpRegistry("http://registry").register("saga.events-Done", SCHEMA)
