"""A short chaos run of every kind of fault: nothing is lost, and nobody pays twice."""

import json
from pathlib import Path

from saga_lab.chaos.kinds import kinds_of
from tests.application import ORDER
from tests.typed_command import run_saga

MINUTES, ORDERS, SEED = 3, 600, 1
FAULTS = len(kinds_of(ORDER))


def test_three_minutes_of_every_kind_of_fault_leave_no_violation(tmp_path: Path) -> None:
    words = ["chaos", f"--minutes={MINUTES}", f"--sagas={ORDERS}"]
    words += [f"--faults={FAULTS}", f"--seed={SEED}"]
    done = run_saga(tmp_path, *words)
    assert done.returncode == 0, done.stdout + done.stderr
    (written,) = (tmp_path / "reports").glob("*.json")
    report = json.loads(written.read_text())
    assert report["violations"] == []
    assert [finding["holds"] for finding in report["invariants"]] == [True] * 9
    assert report["sagas"] == ORDERS
    assert report["faults_injected"] == report["faults_planned"] == FAULTS
    assert report["kinds_injected"] >= 20
    assert all(fault["ready_at"] is not None for fault in report["faults"])
    assert "saga chaos" in written.with_suffix(".html").read_text()
