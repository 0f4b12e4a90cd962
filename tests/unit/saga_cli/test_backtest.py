"""What `saga backtest` asks of the monitor, page by page, and what it prints."""

import json
from pathlib import Path
from typing import Any

import pytest
from click.testing import CliRunner, Result

from saga_cli import client
from saga_cli.monitor.backtest import backtest

START = "2026-01-02T03:00:00+00:00"
UNTIL = "2026-01-09T03:00:00+00:00"
MONEY = {"name": "money", "kind": "EUR"}


def difference(act: str, change: str, *balances: dict[str, Any], **more: Any) -> dict[str, Any]:
    times = {"at": "2026-01-02T03:02:00+00:00", "was_at": None}
    return {
        "act": act,
        "subject": "payment",
        "change": change,
        "balances": list(balances),
        **times,
        **more,
    }


def judged(saga: str, status: str, *differences: dict[str, Any]) -> dict[str, Any]:
    return {
        "saga": saga,
        "flow": "order/1",
        "status": status,
        "started_at": START,
        "ended_at": None,
        "differences": list(differences),
    }


def page(*sagas: dict[str, Any], **more: Any) -> dict[str, Any]:
    return {
        "flow": "order",
        "since": START,
        "until": UNTIL,
        "changes": [{"path": "steps.payment.deadline", "was": "300s", "now": "120s"}],
        "judged": 200,
        "unjudged": {},
        "sagas": list(sagas),
        "next": None,
        **more,
    }


NEXT = {"started_at": START, "saga": "order/o-2"}
PAGES = (
    page(
        judged(
            "order/o-1",
            "completed",
            difference("compensated", "new", {**MONEY, "held": 100, "held_at_end": 500}),
        ),
        judged(
            "order/o-2",
            "running",
            difference("reminded", "new"),
            difference("compensated", "new", {**MONEY, "held": 30, "held_at_end": 30}),
        ),
        unjudged={"version 9 is not in the edited flow": 2},
        next=NEXT,
    ),
    page(
        judged(
            "order/o-3",
            "cancelled",
            difference(
                "compensated",
                "gone",
                {**MONEY, "held": 7, "held_at_end": 0},
                at=None,
                was_at="2026-01-02T03:05:00+00:00",
            ),
        ),
        judged("order/o-4", "completed", difference("escalated", "later", was_at=START)),
        judged=17,
        unjudged={"version 9 is not in the edited flow": 1},
    ),
)


@pytest.fixture
def asked(monkeypatch: pytest.MonkeyPatch) -> list[Any]:
    """The bodies that the monitor was sent; it answers one page after the other."""
    bodies: list[Any] = []

    def call(_process: str, _method: str, path: str, _shape: Any, **request: Any) -> Any:
        assert path == "/backtests"
        bodies.append(request["json"])
        return client.JsonAnswer(200, PAGES[len(bodies) - 1])

    monkeypatch.setattr("saga_cli.client.call", call)
    return bodies


def run(tmp_path: Path, *options: str) -> Result:
    edited = tmp_path / "edited.toml"
    edited.write_text('name = "order"')
    return CliRunner().invoke(backtest, ["--flow", str(edited), *options], env={"COLUMNS": "200"})


def test_it_asks_page_after_page(asked: list[Any], tmp_path: Path) -> None:
    assert run(tmp_path, "--last", "2h", "--version", "2").exit_code == 0
    first = {"flow": 'name = "order"', "last_s": 7200.0, "version": 2}
    assert asked == [first, {**first, "until": UNTIL, "after": NEXT}]


@pytest.mark.usefixtures("asked")
def test_it_prints_what_would_have_been_and_sums_up(tmp_path: Path) -> None:
    output = run(tmp_path).output
    lines = [" ".join(line.split()) for line in output.splitlines()]
    for line in (
        "steps.payment.deadline 300s 120s",
        "compensated order/o-1 order/1 payment 2 min 0 s completed",
        "reminded order/o-2 order/1 payment 2 min 0 s running",
        "not compensated order/o-3 order/1 payment 5 min 0 s cancelled",
        "escalated later order/o-4 order/1 payment 2 min 0 s 0 ms completed",
        "217 sagas of order judged that started since 2026-01-02T03:00:00Z; "
        "the log is read to 2026-01-09T03:00:00Z",
        "3 not judged: version 9 is not in the edited flow",
        "compensated: 2 (1 completed by themselves, 0 were cancelled, 1 in flight)",
        "not compensated: 1 (0 completed by themselves, 1 were cancelled, 0 in flight)",
        "money EUR: 130 would have been given back at once; "
        "those that completed hold 500 in the end",
        "money EUR: 7 would not have been given back at once",
    ):
        assert line in lines, output


@pytest.mark.usefixtures("asked")
def test_a_long_list_is_cut_and_not_the_sums(tmp_path: Path) -> None:
    output = run(tmp_path, "--limit", "1").output
    assert "the first 1 of 5 differences; --limit lists more" in output
    assert "order/o-2" not in output
    assert "compensated: 2 " in output


@pytest.mark.usefixtures("asked")
def test_json_has_every_saga_and_the_sums(tmp_path: Path) -> None:
    report = json.loads(run(tmp_path, "--json").stdout)
    assert [saga["saga"] for saga in report["sagas"]] == [f"order/o-{n}" for n in (1, 2, 3, 4)]
    assert report["judged"] == 217
    new = next(row for row in report["actions"] if row["change"] == "new")
    assert (new["act"], new["sagas"], new["completed"], new["in_flight"]) == (
        *("compensated", 2, 1, 1),
    )
    (gone,) = (row for row in report["balances"] if row["change"] == "gone")
    assert (gone["name"], gone["kind"], gone["held"]) == ("money", "EUR", 7)


def test_a_file_that_is_no_text_is_refused(tmp_path: Path) -> None:
    edited = tmp_path / "edited.toml"
    edited.write_bytes(b"\xff\xfe")
    done = CliRunner().invoke(backtest, ["--flow", str(edited)])
    assert done.exit_code == 2
    assert "make it a text file in UTF-8" in done.output


@pytest.mark.parametrize("last", ["7 days", "0s", "-1d"])
def test_a_time_that_is_none_is_refused(last: str, tmp_path: Path) -> None:
    done = run(tmp_path, "--last", last)
    assert done.exit_code == 2
    assert "write" in done.output


@pytest.mark.parametrize(
    ("arguments", "printed"),
    [([], "Missing option '--flow'"), (["--flow", "/nowhere.toml"], "cannot be read")],
)
def test_without_a_file_it_says_so(arguments: list[str], printed: str) -> None:
    done = CliRunner().invoke(backtest, arguments)
    assert done.exit_code == 2
    assert printed in done.output
