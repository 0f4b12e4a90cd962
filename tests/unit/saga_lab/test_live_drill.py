"""A live drill: what it refuses, what it says before it begins, and what it reports."""

from pathlib import Path

import pytest
from click.testing import CliRunner, Result

from saga_cli.lab.drill_live import NEVER, described
from saga_cli.main import saga
from saga_lab.drills.live.comparison import LiveComparison
from saga_lab.drills.live.report import live_report
from saga_lab.invariants.rebuild import RebuildComparison

STACK = {"databases": {"payment": "postgresql://u@h/saga_payment", "monitor": "postgresql://h/m"}}


def drill(home: Path, *words: str) -> Result:
    """What `saga drill` says in a home without a stack."""
    return CliRunner().invoke(saga, ["drill", *words], env={"SAGA_HOME": str(home)})


@pytest.mark.parametrize("scenario", ["topic-recreated", "lost-topic-tail", "region", "old-backup"])
def test_what_destroys_is_refused_on_the_running_stack(tmp_path: Path, scenario: str) -> None:
    target = "all" if scenario == "region" else "payment"
    done = drill(tmp_path, target, "--live", "--yes", "--scenario", scenario)
    assert done.exit_code == 2
    assert f"--scenario {scenario} destroys what it recovers" in done.stderr
    assert "Leave out --live" in done.stderr


def test_options_of_traffic_are_refused(tmp_path: Path) -> None:
    done = drill(tmp_path, "monitor", "--live", "--sagas", "50", "--fresh")
    assert done.exit_code == 2
    assert "--sagas, --fresh: a drill with --live has no traffic" in done.stderr


def test_a_confirmation_belongs_to_a_live_drill(tmp_path: Path) -> None:
    done = drill(tmp_path, "monitor", "--yes")
    assert done.exit_code == 2
    assert "--yes confirms a drill with --live" in done.stderr


def test_without_a_running_stack_there_is_nothing_to_drill(tmp_path: Path) -> None:
    done = drill(tmp_path, "monitor", "--live", "--yes")
    assert done.exit_code == 1
    assert f"no stack is running in {tmp_path}" in done.stderr
    assert "`saga up`" in done.stderr


def test_it_says_what_it_makes_and_what_it_never_does() -> None:
    monitor, payment, never = described(STACK, ["monitor", "payment"])
    assert "the schema shadow_live_drill of the database m" in monitor
    assert "as saga_payment_live_drill beside it" in payment
    assert never == NEVER


def compared(*differences: str, not_recovered: tuple[str, ...] = ()) -> LiveComparison:
    """A comparison of payment's database."""
    rows = RebuildComparison("payment", 30, differences)
    return LiveComparison(rows, 12, 3.14, 0.5, not_recovered)


def test_equal_rows_have_all_points() -> None:
    report = live_report([compared()], target="payment", started_at="now", lasted_s=4.0)
    assert (report.score, report.scenario, report.sagas) == (100, "live", 12)
    assert [finding["holds"] for finding in report.invariants] == [True]
    assert report.recoveries == [
        {
            "target": "payment",
            "detect_s": None,
            "restore_s": 3.1,
            "catch_up_s": 0.5,
            "not_recovered": [],
        }
    ]


def test_rows_that_differ_and_what_is_lost_cost_their_points() -> None:
    one = compared("charge (1,): live a, rebuilt b", not_recovered=("order/1: cut",))
    report = live_report([one], target="payment", started_at="now", lasted_s=4.0)
    assert report.score == 60
    kinds = {loss["kind"]: loss["found"] for loss in report.losses}
    assert "payment: charge (1,)" in kinds["rows that differ from the topics"][0]
    assert kinds["not recoverable"] == ("payment: order/1: cut",)
