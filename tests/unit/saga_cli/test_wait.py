"""`saga wait`: until a saga has ended, by what the monitor says."""

from collections.abc import Iterator
from typing import Any

import pytest
from click.testing import CliRunner

from saga_cli import client
from saga_cli.monitor.wait import wait

RUNNING = {"status": "running", "timeline": []}
UNKNOWN = client.RequestRefused("not known", 404)


def asked(monkeypatch: pytest.MonkeyPatch, *answers: Any) -> tuple[int, str]:
    """Exit status and output with these answers of the monitor, the last one for ever."""

    def follow() -> Iterator[Any]:
        yield from answers
        while True:
            yield answers[-1]

    following = follow()

    def ask(_method: str, path: str, **_: Any) -> Any:
        if path == "/candidates":
            return [{"saga": "order/o-1"}]
        answer = next(following)
        if isinstance(answer, Exception):
            raise answer
        return answer

    monkeypatch.setattr("saga_cli.monitor.wait.AGAIN_S", 0.0)
    monkeypatch.setattr("saga_cli.client.ask", ask)
    done = CliRunner().invoke(wait, ["o-1", "--timeout", "0.2"])
    return done.exit_code, done.output


def test_it_waits_until_the_saga_is_known_and_has_completed(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    completed = {"status": "completed", "timeline": []}
    assert asked(monkeypatch, UNKNOWN, RUNNING, completed) == (0, "completed\n")


def test_a_cancelled_saga_is_a_failure_with_the_last_reason(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    timeline = [{"detail": {"reason": "declined"}}, {"detail": {}}]
    cancelled = {"status": "cancelled", "timeline": timeline}
    assert asked(monkeypatch, cancelled) == (1, "cancelled: declined\n")
    assert asked(monkeypatch, {**cancelled, "timeline": []}) == (1, "cancelled\n")


@pytest.mark.parametrize("answer", [RUNNING, {"status": "intervention", "timeline": []}])
def test_what_does_not_end_in_time_is_a_failure(
    answer: Any, monkeypatch: pytest.MonkeyPatch
) -> None:
    assert asked(monkeypatch, answer) == (1, "not ended within 0.2 s\n")


def test_a_saga_without_any_event_is_named_at_the_end_of_the_wait(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    expected = "the monitor read no event of o-1 within 0.2 s; check the id\n"
    assert asked(monkeypatch, UNKNOWN) == (1, expected)
