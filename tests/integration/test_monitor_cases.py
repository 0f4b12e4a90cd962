"""What participants cannot settle themselves becomes an intervention of the monitor, once."""

import json
import threading
from collections.abc import Iterator
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path
from typing import Any

import pytest

from saga_monitor.operations.case_watch import PAGE, CaseWatch
from tests.monitor import EventPublisher, monitor, placed, reserved
from tests.stack import TestInfra, unique_prefix, until


class Participant:
    """A participant of which only the cases are asked."""

    def __init__(self) -> None:
        self.cases: list[dict[str, str]] = []
        self.asked = 0
        participant = self

        class Answer(BaseHTTPRequestHandler):
            def do_GET(self) -> None:
                path, _, after = self.path.partition("?after=")
                assert path == "/admin/cases"
                participant.asked += 1
                later = [case for case in participant.cases if case["id"] > after]
                body = json.dumps(later[:PAGE]).encode()
                self.send_response(200)
                self.send_header("Content-Length", str(len(body)))
                self.end_headers()
                self.wfile.write(body)

            def log_message(self, *_: Any) -> None:
                """Print nothing."""

        self.server = ThreadingHTTPServer(("127.0.0.1", 0), Answer)
        self.url = f"http://127.0.0.1:{self.server.server_port}"
        threading.Thread(target=self.server.serve_forever, daemon=True).start()


@pytest.fixture
def participant() -> Iterator[Participant]:
    participant = Participant()
    yield participant
    participant.server.shutdown()
    participant.server.server_close()


def test_a_case_of_a_participant_is_one_intervention_also_after_a_restart(
    infra: TestInfra,
    database_url: str,
    group: str,
    publisher: EventPublisher,
    participant: Participant,
    tmp_path: Path,
) -> None:
    # Given an order whose payment has an answer that it cannot tell, and a skipped record
    order = f"{unique_prefix()}order"
    untold = {"id": "1", "saga": f"order/{order}", "code": "outcome_untold", "reason": "too large"}
    skipped = {
        "id": "t/0@7",
        "saga": f"order/{order}-x",
        "code": "record_skipped",
        "reason": "kills",
    }
    settings = {"SAGA_PARTICIPANTS": json.dumps({"payment": participant.url})}
    options: dict[str, Any] = {"group": group, "settings": settings}
    with monitor(infra, database_url, tmp_path / "log", **options) as process:
        process.start()
        publisher.publish_events(placed(order), reserved(order))
        until(lambda: process.status(order) is not None, "order is known")
        # When the monitor asks for cases
        participant.cases = [untold, skipped]

        def opened(saga_id: str) -> list[Any]:
            saga = process.saga(saga_id) or {}
            return [e for e in saga.get("timeline", ()) if e["type"] == "InterventionOpened"]

        # Then each is an intervention, also of a saga of which no event was read
        until(lambda: opened(order) and opened(f"{order}-x"), "interventions are open")
        [event] = opened(order)
        assert event["detail"]["code"] == "outcome_untold"
        assert event["detail"]["reason"] == "payment: too large"
        stuck = {row["id"] for row in process.get("/sagas", stuck="true", limit=1000)}
        assert {order, f"{order}-x"} <= stuck
        # And after a restart it is still the same one
        process.kill()
        process.start()
        before = participant.asked
        until(lambda: participant.asked > before + 1, "it asks again")
        assert len(opened(order)) == 1


def test_more_cases_than_a_page_are_all_opened(participant: Participant) -> None:
    opened = []

    class Commands:
        def accept(self, key: str, *_: Any, **__: Any) -> None:
            opened.append(key)

    one = {"code": "effect_failing", "reason": "500"}
    participant.cases = [
        {"id": f"{n:03}", "saga": f"order/{n:03}", **one} for n in range(2 * PAGE + 1)
    ]
    commands: Any = Commands()
    stop = threading.Event()
    watch = threading.Thread(
        target=CaseWatch(commands, {"payment": participant.url}).run, args=(stop,)
    )
    watch.start()
    until(lambda: len(opened) == len(participant.cases), "every case is opened")
    stop.set()
    watch.join()
    assert opened == [case["saga"] for case in participant.cases]
