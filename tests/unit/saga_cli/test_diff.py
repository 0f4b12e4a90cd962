"""What `saga diff` prints: differences, and how far one projection is ahead of the other."""

import json
from collections import Counter
from dataclasses import asdict
from typing import Any

import pytest

from saga_cli.monitor.diff import Written, as_html, as_json, as_table
from saga_monitor.replay.compare import CausingEvent, DiffSummary, FieldDifference

EVENT = CausingEvent("e-1", "VisitBooked", "2026-01-02T03:00:00+00:00", 3, 1500)
ROWS = {"saga": 2, "timeline": 9}


def written(**more: Any) -> Written:
    fields: dict[str, Any] = {
        "saga": "errand/<b>[red]1",
        "table": "saga",
        "row": "",
        "field": "status",
        "one": "completed",
        "other": None,
        "event": EVENT,
    }
    return [asdict(FieldDifference(**{**fields, **more}))]


def summary(ahead: int = 0, differences: int = 1) -> DiffSummary:
    counts = Counter({("saga", "status"): differences} if differences else {})
    return DiffSummary(ROWS, {("a.events", 3): ahead} if ahead else {}, counts, differences)


def test_a_table_names_the_event_and_its_place(capsys: pytest.CaptureFixture[str]) -> None:
    as_table("live", "check", written(), summary(ahead=4, differences=3))
    printed = capsys.readouterr().out
    assert "errand/<b>[red]1" in printed
    assert "VisitBooked e-1 at 3@1500, 2026-01-02T03:00:00+00:00" in printed
    assert "3 differences in 3 sagas; rows: saga 2, timeline 9" in printed
    assert "1 are shown; --limit shows more" in printed
    assert "live has read 4 offsets farther than check" in printed


def test_equal_projections_need_one_line(capsys: pytest.CaptureFixture[str]) -> None:
    as_table("one", "other", [], summary(ahead=-2, differences=0))
    assert capsys.readouterr().out.splitlines() == [
        "one and other are equal; rows: saga 2, timeline 9",
        "other has read 2 offsets farther than one",
    ]


def test_a_page_escapes_what_comes_from_outside(capsys: pytest.CaptureFixture[str]) -> None:
    as_html("live", "check", written(event=None), summary())
    page = capsys.readouterr().out
    assert "errand/&lt;b&gt;[red]1" in page
    assert "<b>" not in page
    assert "<td>none</td>" in page


def test_json_has_every_field_and_the_counts(capsys: pytest.CaptureFixture[str]) -> None:
    as_json("live", "check", written(), summary(ahead=4))
    found = json.loads(capsys.readouterr().out)
    assert found["equal"] is False
    assert found["differences"][0]["event"] == asdict(EVENT)
    assert found["fields"] == [{"table": "saga", "field": "status", "differences": 1}]
    assert found["ahead"] == [{"topic": "a.events", "partition": 3, "offsets": 4}]
