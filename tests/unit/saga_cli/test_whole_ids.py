"""Ids are printed in one piece, so that they can be copied and searched for."""

import json
import os
import pty
import subprocess
from pathlib import Path
from typing import Any

import pytest

from tests.architecture.source import ROOT
from tests.typed_command import SAGA
from tests.unit.saga_cli.http_double import answering
from tests.unit.saga_cli.test_odd_answers import SEEN

ID = "2026-" + "0123456789" * 12
EVENT = {
    "at": "2026-01-01T00:00:00+00:00",
    "type": "CompensationRequested",
    "caused_by": "PaymentReviewRequired",
    "detail": {"actor": "a-person-with-quite-a-long-name", "text": "word " * 30, "refund_id": ID},
}
SHOWN: dict[str, Any] = {
    **SEEN,
    "saga": ID,
    "flow": "order/1",
    "status": "completed",
    "timeline": [EVENT],
    "links": {"batch_id": ID, "caused_by": ID, "led_to": [ID]},
}
ROW = {
    "saga": ID,
    "flow": "order/1",
    "status": "completed",
    "started_at": None,
    "awaited": "PaymentCaptured or PaymentFailed",
    "next_deadline": None,
}
CASE = {
    "saga": ID,
    "code": "undo_stalled",
    "status": "open",
    "holder": None,
    "opened_at": "2026-01-02T03:00:00+00:00",
    "saga_status": "intervention",
    "reason": f"the refund {ID} was asked for again and again",
}
LINKS = [
    {"saga": ID[:-1], "caused_by": None, "status": None},
    {"saga": ID, "caused_by": ID[:-1], "status": None},
]
ANSWERS = {
    ("show", "o1"): (SHOWN, 5),
    ("ls",): ([ROW], 1),
    ("interventions",): ([CASE], 2),
    ("links", "o1"): (LINKS, 1),
    ("batch", "b1"): ({"sagas": [ROW], "counts": {"completed": 1}}, 1),
}


def run(home: Path, *words: str, columns: str | None, terminal: bool) -> str:
    """What the command writes to a pipe, or to a terminal of so many columns."""
    env = {**os.environ, "SAGA_HOME": str(home), "TERM": "xterm", "NO_COLOR": "1"}
    env.pop("SAGA_MONITOR_URL", None)
    env.pop("COLUMNS", None)
    env.update({"COLUMNS": columns} if columns else {})
    command = [*SAGA, *words]
    if not terminal:
        return subprocess.run(
            command, env=env, cwd=ROOT, capture_output=True, text=True, check=True
        ).stdout
    ours, theirs = pty.openpty()
    with subprocess.Popen(command, env=env, cwd=ROOT, stdout=theirs):
        os.close(theirs)
        written = b""
        while part := _read(ours):
            written += part
    os.close(ours)
    return written.decode()


def _read(terminal: int) -> bytes:
    try:
        return os.read(terminal, 65536)
    except OSError:  # the other end is closed
        return b""


@pytest.mark.parametrize("words", ANSWERS)
@pytest.mark.parametrize(
    ("columns", "terminal"), [(None, False), ("40", False), ("40", True), ("80", True)]
)
def test_no_id_is_broken(
    words: tuple[str, ...], columns: str | None, terminal: bool, tmp_path: Path
) -> None:
    answer, times = ANSWERS[words]
    with answering(tmp_path, 200, json.dumps(answer).encode(), known=f"order/{ID}"):
        output = run(tmp_path, *words, columns=columns, terminal=terminal)
    assert output.count(ID) == times
    if not terminal:
        assert not [line for line in output.splitlines() if line.startswith(" " * 20)]
