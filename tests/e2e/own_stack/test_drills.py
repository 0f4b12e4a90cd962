"""Drills on the real stack: databases are lost under load, recovered, and nothing is different."""

import json
from pathlib import Path
from typing import Any

from tests.application import ORDER
from tests.typed_command import run_saga


def drill(home: Path, *words: str) -> dict[str, Any]:
    """The report of a drill that has all points."""
    done = run_saga(home, "drill", *words, "--minutes=1", "--sagas=120")
    assert done.returncode == 0, done.stdout + done.stderr
    (written,) = (home / "reports").glob("drill-*.json")
    report: dict[str, Any] = json.loads(written.read_text())
    assert report["score"] == 100, report["losses"]
    assert [finding["holds"] for finding in report["invariants"]] == [True] * 9
    assert report["sagas"] == 120
    for row in report["recoveries"]:
        assert None not in (row["detect_s"], row["restore_s"], row["catch_up_s"])
    assert "saga drill" in written.with_suffix(".html").read_text()
    assert 'saga_drill_score{target="' in (home / "reports" / "drills.prom").read_text()
    return report


def test_every_database_is_lost_at_once_and_nothing_is_asked_for_twice(tmp_path: Path) -> None:
    report = drill(tmp_path, "all")
    assert {row["target"] for row in report["recoveries"]} == set(ORDER.databases)
    listed = run_saga(tmp_path, "drill", "ls").stdout
    assert "lost-database" in listed
    (name,) = (path.stem for path in (tmp_path / "reports").glob("drill-*.json"))
    assert "100 of 100 points" in run_saga(tmp_path, "drill", "show", name).stdout


def test_a_backup_older_than_its_offsets_is_brought_up_to_date(tmp_path: Path) -> None:
    report = drill(tmp_path, "payment", "--scenario=old-backup")
    assert [row["target"] for row in report["recoveries"]] == ["payment"]


def test_a_deleted_topic_is_published_again(tmp_path: Path) -> None:
    report = drill(tmp_path, "payment", "--scenario=topic-recreated")
    assert [row["target"] for row in report["recoveries"]] == ["payment"]


def test_a_topic_that_others_publish_to_cannot_be_rehearsed(tmp_path: Path) -> None:
    refused = run_saga(tmp_path, "drill", "order", "--scenario=topic-recreated")
    assert refused.returncode == 1
    assert "the scenario topic-recreated is not for order" in refused.stderr
    assert "choose one of inventory, payment" in refused.stderr


def test_a_registry_that_lost_its_schemas_costs_no_event(tmp_path: Path) -> None:
    report = drill(tmp_path, "all", "--scenario=lost-registry")
    assert [row["target"] for row in report["recoveries"]] == ["all"]
