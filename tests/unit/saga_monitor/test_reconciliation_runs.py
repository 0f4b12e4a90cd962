"""One reconciliation runs at a time; the others are told so at once and hold no thread."""

import threading
from concurrent.futures import ThreadPoolExecutor
from datetime import datetime
from typing import Any, cast

from saga_monitor.operations.commands import CommandHandler
from saga_monitor.operations.reads import SagaReader
from saga_monitor.reconciliation.rules import Rules
from saga_monitor.reconciliation.run import Reconciler
from saga_monitor.reconciliation.sources import BookReader
from sagakit.testing import NOW
from sagakit.web.app import make_app
from tests.in_memory_app import ask

BODY = {"fix": False, "settle_s": 1.0}


class SlowReader:
    """A log that is not read to its end yet, and says so when it is let go."""

    def __init__(self) -> None:
        self.asked, self.go = threading.Event(), threading.Event()

    def log_time(self) -> datetime | None:
        self.asked.set()
        assert self.go.wait(10)
        return None


def test_another_reconciliation_is_refused_while_one_runs() -> None:
    # Given a reconciliation that waits
    reader = SlowReader()
    reconciler = Reconciler(
        cast(SagaReader, reader),
        cast(CommandHandler, None),
        cast(Rules, object()),
        BookReader({}),
        lambda: NOW,
        lambda: NOW,
    )
    app = make_app("monitor", {"log": lambda: None}, reconciler.routes())

    def post() -> Any:
        return ask(app, "POST", "/reconciliations", json=BODY)

    with ThreadPoolExecutor(1) as other:
        first = other.submit(post)
        assert reader.asked.wait(10)
        # When forty more are asked for, then each is refused at once, and the process is ready
        assert {post().status_code for _ in range(40)} == {409}
        assert ask(app, "GET", "/health/ready").status_code == 200
        reader.go.set()
        assert first.result().status_code == 503
    # and when it has ended the next one runs
    assert post().status_code == 503
