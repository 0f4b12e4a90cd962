"""What `saga show` and `saga ls` print, and what they say when nothing runs."""

from datetime import UTC, datetime, timedelta
from importlib.metadata import version
from pathlib import Path
from typing import Any

import pytest
from click.testing import CliRunner
from rich.console import Console

from saga_cli import client
from saga_cli.declarations import Moment
from saga_cli.main import saga
from saga_cli.monitor import interventions
from saga_cli.monitor.saga_view import blocker_line, saga_view
from saga_cli.monitor.sagas import ls, show
from saga_lab.devstack.errors import StackError

PACKAGE = "saga-choreography"
NOW = datetime(2026, 1, 2, 3, 10, 0, tzinfo=UTC)


def event(kind: str, at: str, **more: Any) -> dict[str, Any]:
    return {"type": kind, "at": at, "caused_by": None, "detail": {}, **more}


SEEN: dict[str, Any] = {
    "saga": "order/o-[1]",
    "id": "o-[1]",
    "flow": "order/1",
    "status": "undoing",
    "started_at": "2026-01-02T03:00:00+00:00",
    "ended_at": None,
    "steps": [{"name": "payment", "status": "undoing"}],
    "interventions": [
        {
            "code": "undo_stalled",
            "status": "claimed",
            "holder": "ada",
            "opening": "e-1",
            "opened_at": "2026-01-02T03:09:30+00:00",
            "reason": "asked [8] times",
            "entries": [
                {"id": "e-1"},
                {
                    "id": "e-2",
                    "type": "InterventionClaimed",
                    "actor": "ada",
                    "reason": "mine",
                    "at": "2026-01-02T03:09:59+00:00",
                },
            ],
        }
    ],
    "balances": [
        {"name": "money", "kind": "EUR", "added": 500, "removed": 0, "held": 500},
        {"name": "seats", "kind": "", "added": 2, "removed": 1, "held": 1},
    ],
    "awaited": [
        {
            "step": "payment",
            "mode": "undo",
            "events": ["PaymentRefunded"],
            "since": "2026-01-02T03:05:00+00:00",
            "due": "2026-01-02T03:09:00+00:00",
            "tries": 2,
        }
    ],
    "timeline": [
        event("OrderPlaced", "2026-01-02T03:00:00+00:00"),
        event(
            "PaymentCaptured",
            "2026-01-02T03:04:05+00:00",
            caused_by="OrderPlaced",
            detail={"late": True},
        ),
    ],
    "blocked_by": {
        "kind": "gateway",
        "who": "payment",
        "description": "payment failed 2 times at [refund], last: 503",
        "since": "2026-01-02T03:05:00+00:00",
        "until": "2026-01-02T03:10:04+00:00",
    },
}


def test_who_is_asked_for_a_verdict_is_reported() -> None:
    asked = {
        "event": "PaymentReviewRequired",
        "role": "payments-reviewer",
        "senior": "payments-lead",
        "until": "2026-01-03T03:00:00+00:00",
        "reminded": "2026-01-02T03:08:00+00:00",
        "escalated": None,
    }
    waits = {**SEEN["awaited"][0], "mode": "wait", "tries": 0, "approval": asked}
    console = Console(width=200, color_system=None)
    with console.capture() as capture:
        console.print(saga_view({**SEEN, "awaited": [waits]}, NOW))
        waits["approval"] = {**asked, "escalated": "2026-01-02T03:09:00+00:00"}
        console.print(saga_view({**SEEN, "awaited": [waits]}, NOW))
    output = capture.get()
    assert "deadline in 23 h 50 min; asked: payments-reviewer, reminded 2 min 0 s ago\n" in output
    assert "reminded 2 min 0 s ago, escalated to payments-lead 1 min 0 s ago" in output


def past(**changes: Any) -> str:
    """What is printed of a saga of the past."""
    point = {
        "at": "2026-01-02T03:06:00Z",
        "basis": "log",
        "events": 2,
        "later": 1,
        "unread": 0,
        "complete": True,
    }
    console = Console(width=200, color_system=None)
    with console.capture() as capture:
        console.print(saga_view({**SEEN, "blocked_by": None, "point": {**point, **changes}}, NOW))
    return capture.get()


def test_a_saga_of_the_past_says_what_it_stands_for() -> None:
    whole = past()
    assert "as the log knew it at 2026-01-02T03:06:00Z: 2 of 3 events\n" in whole
    assert "not read" not in whole
    known = past(basis="read", unread=1)
    assert "as the monitor had read it at 2026-01-02T03:06:00Z: 2 of 3 events\n" in known
    assert "1 events stood in the log then and the monitor had not read them" in known
    assert "the log is not read through that time yet" in past(complete=False)


@pytest.mark.parametrize(
    ("arguments", "wanted"),
    [
        (
            ["o-1", "--at", "2026-01-02T04:06:00+01:00"],
            {"at": "2026-01-02T03:06:00Z", "basis": "log"},
        ),
        (
            ["o-1", "--at", "2026-01-02T03:06:00.5Z", "--as-known"],
            {"at": "2026-01-02T03:06:00.500000Z", "basis": "read"},
        ),
        (["o-1"], {}),
    ],
)
def test_the_monitor_is_asked_for_the_moment(
    arguments: list[str], wanted: dict[str, str], monkeypatch: pytest.MonkeyPatch
) -> None:
    asked: list[Any] = []

    def ask(_method: str, path: str, _shape: Any, params: Any) -> Any:
        if path == "/candidates":
            return [{"saga": "order/o-1"}]
        asked.append(params)
        return SEEN

    monkeypatch.setattr("saga_cli.client.ask", ask)
    assert CliRunner().invoke(show, arguments).exit_code == 0
    assert asked == [wanted]


def test_a_duration_is_as_long_ago() -> None:
    before = datetime.now(UTC)
    found = Moment().convert("15m", None, None)
    assert timedelta(0) <= found + timedelta(minutes=15) - before < timedelta(minutes=1)


@pytest.mark.parametrize(
    ("arguments", "words"),
    [
        (["--at", "2026-01-02T03:06:00"], ("'2026-01-02T03:06:00' has no time zone", "15m")),
        (["--at", "noon"], ("'noon' is not a time", "such as 2026-11-26T05:28:41Z")),
        (["--as-known"], ("give --at",)),
    ],
)
def test_a_moment_that_is_none_is_refused(arguments: list[str], words: tuple[str, ...]) -> None:
    done = CliRunner().invoke(show, ["o-1", *arguments])
    assert done.exit_code == 2
    assert all(word in done.output for word in words)


def test_an_order_is_shown_in_full() -> None:
    console = Console(width=120, record=True, file=None, color_system=None)
    with console.capture() as capture:
        console.print(saga_view(SEEN, NOW))
    output = capture.get()
    assert "order/o-[1]  order/1  undoing, 10 min 0 s, placed 2026-01-02T03:00:00Z\n" in output
    assert "2026-01-02T03:04:05Z  4 min 5 s  PaymentCaptured  OrderPlaced  late=True" in output
    assert "payment is to be undone: PaymentRefunded, for 5 min 0 s" in output
    assert "asked 2 times, deadline overdue by 1 min 0 s" in output
    assert (
        "intervention claimed: undo_stalled, ada works on it, for 30.0 s: asked [8] times" in output
    )
    assert "  claimed by ada 1.0 s ago: mine" in output
    assert (
        "blocked by gateway: payment failed 2 times at [refund], last: 503, for 5 min 0 s" in output
    )
    assert "next try in 4.0 s" in output
    assert "money EUR: 500 added, 0 removed, 500 held" in output
    assert "seats: 2 added, 1 removed, 1 held" in output


def shown(**more: Any) -> str:
    """What `saga show` prints of the order, with these fields."""
    console = Console(width=200, color_system=None)
    with console.capture() as capture:
        console.print(saga_view({**SEEN, **more}, NOW))
    return capture.get()


def test_an_order_that_is_on_time_is_blocked_by_nothing() -> None:
    description = "on time, payment awaits PaymentCaptured"
    cause = {**SEEN["blocked_by"], "kind": "on_time", "description": description}
    output = shown(blocked_by=cause)
    assert "nothing blocks it: on time, payment awaits PaymentCaptured, for 5 min 0 s" in output
    assert "blocked by" not in output


def test_an_event_that_a_person_asked_for_names_the_person_and_not_the_event_before_it() -> None:
    asked = event(
        "CompensationRequested",
        "2026-01-02T03:05:00+00:00",
        caused_by="PaymentCaptured",
        detail={"actor": "[ada]", "reason": "ordered twice"},
    )
    output = shown(timeline=[asked])
    assert "CompensationRequested  by [ada]" in output
    assert "PaymentCaptured" not in output


def test_the_version_is_printed() -> None:
    output = CliRunner().invoke(saga, ["--version"])
    assert (output.exit_code, output.output) == (0, f"saga, version {version(PACKAGE)}\n")


def test_nothing_runs(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    monkeypatch.delenv("SAGA_MONITOR_URL", raising=False)
    monkeypatch.setenv("SAGA_HOME", str(tmp_path))
    output = CliRunner().invoke(show, ["o-1"])
    assert output.exit_code == 1
    assert "start a stack with `saga up --detach`" in output.output
    monkeypatch.setenv("SAGA_MONITOR_URL", "http://127.0.0.1:1")
    assert "does not answer at http://127.0.0.1:1" in CliRunner().invoke(ls).output


def test_a_list_with_nothing_in_it_says_so(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(client, "ask", lambda *_, **__: [])
    assert CliRunner().invoke(ls).output == "no sagas\n"
    assert CliRunner().invoke(ls, ["--stuck"]).output == "no sagas match\n"


def test_stuck_orders_are_listed_with_what_blocks_them(monkeypatch: pytest.MonkeyPatch) -> None:
    row = {**SEEN, "next_deadline": "2026-01-02T03:09:00+00:00"}
    asked = list[Any]()

    def answer(method: str, path: str, _: object, **more: Any) -> list[Any]:
        asked.append((method, path, more["params"]))
        return [row]

    monkeypatch.setattr(client, "ask", answer)
    output = CliRunner().invoke(ls, ["--stuck", "--limit", "1"], env={"COLUMNS": "300"}).output
    assert asked == [("GET", "/blocked", {"stuck": True, "limit": 1})]
    assert "o-[1]" in output
    assert "payment failed 2 times at [refund], last: 503" in output
    assert output.endswith("the 1 most overdue sagas; --limit lists more\n")


@pytest.mark.parametrize(
    ("until", "expected"),
    [
        (None, ""),
        ("2026-01-02T03:09:59+00:00", "deadline [red]overdue by 1.0 s[/]"),
        ("2026-01-02T03:10:01+00:00", "deadline in 1.0 s"),
    ],
)
def test_what_blocks_an_order_is_shown_with_its_deadline(until: str | None, expected: str) -> None:
    line = blocker_line(
        {"kind": "lag", "description": "far behind", "since": None, "until": until}, NOW
    )
    assert line.startswith("[yellow]lag[/]: far behind")
    assert expected in line
    assert ("deadline" in line) == bool(until)


CASE = {
    "saga": "order/o-[1]",
    "code": "undo_stalled",
    "status": "open",
    "holder": None,
    "opened_at": "2026-01-02T03:00:00+00:00",
    "saga_status": "intervention",
    "reason": "asked [8] times",
}


def test_cases_are_listed_and_worked_on(monkeypatch: pytest.MonkeyPatch) -> None:
    asked = list[Any]()

    def answer(method: str, path: str, _: object, **more: Any) -> Any:
        asked.append((method, path, *more.values()))
        if path == "/candidates":
            return [{"saga": more["params"]["name"]}]
        return [CASE] if method == "GET" else {"event": "InterventionClaimed", "id": "e-9"}

    monkeypatch.setattr(client, "ask", answer)
    output = (
        CliRunner()
        .invoke(interventions.interventions, ["--limit", "1"], env={"COLUMNS": "300"})
        .output
    )
    assert "o-[1]" in output
    assert "asked [8] times" in output
    assert output.endswith("the 1 oldest interventions; --limit lists more\n")
    who = ["order/o-1", "--code", "undo_stalled", "--actor", "ada", "--reason", "mine"]
    body = {"saga": "order/o-1", "code": "undo_stalled", "actor": "ada", "reason": "mine"}
    for command, words, route, more in (
        (interventions.interventions, ["open"], "open", {}),
        (interventions.interventions, ["claim"], "claim", {"taken_from": None}),
        (interventions.interventions, ["claim", "--from", "bob"], "claim", {"taken_from": "bob"}),
        (interventions.interventions, ["note"], "note", {}),
        (interventions.interventions, ["reopen"], "reopen", {}),
        (interventions.resolve, [], "resolve", {}),
    ):
        output = CliRunner().invoke(command, [*words, *who]).output
        assert output.startswith("accepted: InterventionClaimed e-9; `saga show order/o-1`")
        assert asked[-1] == ("POST", f"/interventions/{route}", {**body, **more})


def test_no_cases(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(client, "ask", lambda *_, **__: [])
    assert CliRunner().invoke(interventions.interventions).output == "no interventions\n"
    output = CliRunner().invoke(interventions.interventions, ["--status", "settled"]).output
    assert output == "no interventions match\n"


def test_ls_asks_for_the_history(monkeypatch: pytest.MonkeyPatch) -> None:
    asked: list[Any] = []

    def ask(method: str, path: str, _: object, **more: Any) -> list[Any]:
        asked.append((method, path, more["params"]))
        return []

    monkeypatch.setattr(client, "ask", ask)
    output = CliRunner().invoke(ls, ["--history", "--status", "cancelled"]).output
    wanted = {"limit": 50, "status": "cancelled", "history": True}
    assert asked == [("GET", "/sagas", wanted)]
    assert output == "no sagas match\n"


def test_show_tells_of_pin_and_history() -> None:
    pin = {"actor": "ada", "reason": "for [the] auditors", "since": "2026-01-02T03:09:00+00:00"}
    console = Console(width=200, record=True)
    console.print(saga_view({**SEEN, "pin": pin, "history": True}, NOW))
    output = console.export_text()
    assert "pinned by ada 1 min 0 s ago: for [the] auditors" in output
    assert "in the history" in output


def test_a_user_without_a_name_has_to_give_the_actor(monkeypatch: pytest.MonkeyPatch) -> None:
    def no_name() -> str:
        raise KeyError("getpwuid(): uid not found: 1000650000")

    monkeypatch.setattr("getpass.getuser", no_name)
    output = CliRunner().invoke(saga, ["cancel", "o-1", "--reason", "late"])
    assert (output.exit_code, "give --actor" in output.output) == (2, True)


def test_what_the_stack_refuses_is_printed_as_every_error_is(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    def refuse(_: object) -> None:
        raise StackError("port 18000, needed by kafka, is taken")

    monkeypatch.setattr("saga_lab.devstack.stack.StackHome.down", refuse)
    output = CliRunner().invoke(saga, ["down"])
    assert (output.exit_code, output.output) == (
        1,
        "Error: port 18000, needed by kafka, is taken\n",
    )
