"""A version of a flow is kept until its last order has ended."""

from typing import Any

import pytest
from click.testing import CliRunner

from saga_cli import client
from saga_cli.monitor import flows as command
from saga_monitor.saga.flow_versions import Count, reason_to_keep, refuse_orphans, versions
from sagakit.errors import ConfigurationError, UnknownFlow
from schemas import FLOWS
from tests.histories import after

BUSY = Count("order/2", 3, 10, after(0), "order/o-7")


def test_every_version_is_counted_whether_declared_or_not() -> None:
    found = {
        v.flow: v for v in versions(FLOWS, [BUSY, Count("gone/1", 1, 0, after(1), "gone/o-1")])
    }
    assert [*found][-1] == "gone/1"
    assert set(found) == {f.label(v) for f in FLOWS for v in f.versions} | {"gone/1"}
    assert (found["order/1"].default, found["order/1"].in_flight) == (True, 0)
    assert (found["order/2"].declared, found["order/2"].oldest) == (True, "order/o-7")
    assert not found["gone/1"].declared


@pytest.mark.parametrize(
    ("label", "counts", "read", "expected"),
    [
        (
            "order/2",
            [BUSY],
            True,
            "3 sagas in flight, the oldest is order/o-7 since 2026-01-02T03:00",
        ),
        ("order/2", [Count("order/2", 0, 10)], True, None),
        ("order/2", [Count("order/1", 5, 0)], True, None),
        ("order/2", [Count("order/2", 0, 10)], False, "cannot tell yet"),
        ("order/1", [], True, "default version"),
    ],
)
def test_a_version_is_kept_with_a_reason_or_may_be_retired(
    label: str, counts: list[Count], read: bool, expected: str | None
) -> None:
    found = reason_to_keep(label, FLOWS, counts, after(5) if read else None)
    assert (expected in found) if found and expected else found == expected


def test_a_version_nobody_declared_cannot_be_retired() -> None:
    with pytest.raises(UnknownFlow):
        reason_to_keep("order/99", FLOWS, [], after(5))


def test_a_version_taken_away_too_early_is_refused() -> None:
    refuse_orphans(FLOWS, [BUSY, Count("gone/1", 0, 9)])
    with pytest.raises(
        ConfigurationError, match=r"gone/1 \(2 sagas, such as gone/o-9\); put them back"
    ):
        refuse_orphans(FLOWS, [BUSY, Count("gone/1", 2, 0, after(0), "gone/o-9")])


def test_the_command_lists_versions_and_says_which_may_be_retired(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    row = {"flow": "order/2", "in_flight": 3, "ended": 10, "oldest": "order/o-7", "default": False}
    answers: dict[str, Any] = {
        "/flows": [{**row, "declared": False, "oldest_at": None}],
        "/flows/retirement": {"ended": 10},
    }
    monkeypatch.setattr(client, "ask", lambda _, path, **__: answers[path])
    result = CliRunner().invoke(command.flows, env={"COLUMNS": "200"}).output
    assert result.splitlines()[1].split() == ["order/2", "3", "10", "order/o-7", "not", "declared"]
    result = CliRunner().invoke(command.flows, ["retire", "order/2"]).output
    assert result.startswith("order/2 has no saga in flight (10 ended on it)")
