"""What commands make of an answer that no monitor gives, and of texts made to deceive."""

import json
import time
from contextlib import suppress
from http.server import BaseHTTPRequestHandler
from pathlib import Path
from typing import Any

import pytest
from click.testing import CliRunner, Result

from saga_cli import client
from saga_cli.main import saga
from sagakit.foreign_text import printable
from sagakit.urls import without_user
from tests.unit.saga_cli.http_double import answering

GIVEN = ("--actor", "ada", "--reason", "x")
COMMANDS = (
    ("ls",),
    ("ls", "--stuck"),
    ("ls", "--history"),
    ("show", "o1"),
    *((name, "o1", *GIVEN) for name in ("cancel", "pause", "resume", "approve", "reject")),
    *((name, "o1", *GIVEN) for name in ("pin", "unpin", "resolve")),
    ("batch", "b1"),
    ("links", "o1"),
    ("links", "o1", "--mermaid"),
    ("interventions",),
    *(("interventions", name, "o1", *GIVEN) for name in ("open", "claim", "note", "reopen")),
    ("evidence", "o1"),
    ("flows",),
    ("flows", "retire", "order/1"),
    ("reconcile",),
    ("reconcile", "--json"),
    ("place",),
    ("wait", "o1", "--timeout", "1"),
    ("erase", "c1", *GIVEN),
)
KEYS = (
    "orders",
    "counts",
    "event",
    "id",
    "flow",
    "status",
    "timeline",
    "findings",
    "data",
    "ended",
)
ODD: dict[str, tuple[int, bytes, dict[str, str]]] = {
    "HTML": (200, b"<html>log in</html>", {}),
    "nothing": (200, b"", {}),
    "no content": (204, b"", {}),
    "a redirection": (302, b'{"a": 1}', {"Location": "http://u:s3cret@elsewhere/"}),
    "not UTF-8": (200, b"\xff\xfe", {}),
    "deeply nested": (200, b"[" * 100_000, {}),
    "compressed garbage": (200, b"garbage", {"Content-Encoding": "gzip"}),
    "null": (200, b"null", {}),
    "a number": (200, b"5", {}),
    "a huge number": (200, b"9" * 5000, {}),
    "a text": (200, b'"x"', {}),
    "a list of numbers": (200, b"[1, 2]", {}),
    "a list of empty objects": (200, b"[{}]", {}),
    "null everywhere": (200, json.dumps(dict.fromkeys(KEYS)).encode(), {}),
    "an HTML error": (500, b"<html>", {}),
    "a list as error": (404, b"[1]", {}),
    "a problem without fields": (422, b'{"problems": [{}]}', {}),
    "a validation error without a place": (422, b'{"detail": [{"x": 1}]}', {}),
    "a text as validation error": (422, b'{"detail": ["x"]}', {}),
}
ESCAPES = "\x1b]0;owned\x07\x1b[2J\x9b31m\x7f\u202eEVIL\ud800"
SHOWN = r"\u001b]0;owned\u0007\u001b[2J\u009b31m\u007f\u202eEVIL"


@pytest.fixture(autouse=True)
def home(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    monkeypatch.delenv("SAGA_MONITOR_URL", raising=False)
    monkeypatch.setenv("SAGA_HOME", str(tmp_path))
    return tmp_path


def run(*words: str) -> Result:
    return CliRunner().invoke(saga, words)


@pytest.mark.parametrize("odd", ODD)
def test_every_command_says_in_one_sentence_what_came_instead(odd: str, home: Path) -> None:
    status, body, headers = ODD[odd]
    with answering(home, status, body, headers) as double:
        for words in COMMANDS:
            if words[0] == "evidence" and odd == "null everywhere":
                continue  # a document of any content
            result = run(*words)
            case = (words, result.output, result.exception)
            assert isinstance(result.exception, SystemExit), case
            assert result.exit_code == (3 if words[0] == "reconcile" else 1), case
            assert result.output.startswith("Error: "), case
            assert result.output.count("\n") == 1, case
            assert "s3cret" not in result.output, case
            if status < 400 or "HTML" in odd:
                assert double.url in result.output, case
                assert "set SAGA_" in result.output, case


def test_an_answer_that_never_ends_is_given_up_in_time(home: Path) -> None:
    def drip(handler: BaseHTTPRequestHandler) -> None:
        with suppress(OSError):
            for _ in range(100):
                handler.wfile.write(b" ")
                time.sleep(0.05)

    with answering(home, 200, b"", write=drip):
        began = time.monotonic()
        with pytest.raises(client.Unreachable, match=r"no answer within 0\.3 s"):
            client.call("monitor", "GET", "/sagas", None, timeout_s=0.3)
        assert time.monotonic() - began < 3


def test_an_answer_without_end_does_not_fill_the_memory(
    home: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(client, "MAX_ANSWER_BYTES", 1000)
    with answering(home, 200, b" " * 1001), pytest.raises(client.Unreachable, match="1000 bytes"):
        client.call("monitor", "GET", "/sagas", None)


SEEN: dict[str, Any] = {
    "saga": "order/o1" + ESCAPES[:-1],
    "flow": "[/]order" + ESCAPES[:-1],
    "status": "[/]" + ESCAPES[:-1],
    "started_at": "2026-01-01T00:00:00+00:00",
    "ended_at": "2026-01-01T00:00:01+00:00",
    "steps": [{"name": "[/]pay" + ESCAPES[:-1], "status": "failed"}],
    "timeline": [
        {
            "at": "2026-01-01T00:00:00+00:00",
            "type": "[/]Declined",
            "caused_by": "[/]Placed",
            "detail": {"reason": "a" + ESCAPES[:-1] + "\nforged line"},
        }
    ],
    "awaited": [],
    "interventions": [],
    "pin": None,
    "history": False,
    "blocked_by": None,
    "links": {"batch_id": None, "caused_by": None, "led_to": ["o2" + ESCAPES[:-1]]},
    "balances": [{"name": "money", "kind": "EUR", "added": 1, "removed": 0, "held": 1}],
}


def test_what_a_terminal_would_obey_is_written_out(home: Path) -> None:
    with answering(home, 200, json.dumps(SEEN).encode(), known="order/o1"):
        output = run("show", "o1").output
    assert SHOWN in output
    assert "\nforged line" not in output
    assert "[/]Declined" in output
    assert printable(output) == output


def test_a_refusal_is_written_out(home: Path) -> None:
    with answering(home, 404, json.dumps({"detail": "no " + ESCAPES[:-1]}).encode()):
        result = run("show", "o1")
    assert result.output == f"Error: no {SHOWN}\n"


def test_printed_json_has_no_control_characters_and_the_same_content(home: Path) -> None:
    with answering(home, 200, json.dumps(SEEN).encode(), known="order/o1"):
        output = run("evidence", "o1").output
    assert json.loads(output) == SEEN
    assert printable(output) == output


@pytest.mark.parametrize("order_id", [".", "..", "a/../b", "a?b#c", "o.1"])
def test_an_id_is_one_segment_of_the_path(order_id: str, home: Path) -> None:
    answer = b'{"detail": "there is no such saga"}'
    with answering(home, 404, answer, known=f"order/{order_id}") as double:
        run("show", order_id)
        run("wait", order_id, "--timeout", "0")
    (shown, waited) = (path.partition("?")[0].split("/") for path in double.asked)
    assert (len(shown), len(waited)) == (4, 4)
    assert not {".", ".."} & {*shown, *waited}


@pytest.mark.parametrize("words", [w for w in COMMANDS if {"o1", "b1", "c1"} & set(w)])
def test_what_cannot_be_an_id_is_refused(words: tuple[str, ...]) -> None:
    for wrong in ("", "a\nb", "a\x1b[31m", "x" * 256):
        swapped = [wrong if word in ("o1", "b1", "c1") else word for word in words]
        result = run(*swapped)
        assert (result.exit_code, "is not an id" in result.output) == (2, True)


@pytest.mark.parametrize(
    "words",
    [
        *(("wait", "o1", "--timeout", number) for number in ("nan", "inf", "-1", "1e309")),
        *(("chaos", "--minutes", number) for number in ("nan", "inf", "-1", "0")),
        ("place", "--quantity", "0"),
        ("place", "--quantity", "-5"),
        ("place", "--price", "-1"),
        ("place", "--order-id", ""),
        ("sim", "--seeds", "99999999999999999999"),
        ("demo", "--sagas", "-1"),
        ("up", "--port-base", "65536"),
    ],
)
def test_a_number_that_makes_no_sense_is_wrong_usage(words: tuple[str, ...]) -> None:
    assert run(*words).exit_code == 2


@pytest.mark.parametrize(
    "url",
    [
        " ",
        "monitor",
        "127.0.0.1:1",
        "http://",
        "ftp://h",
        "http://h:0",
        "http://h:70000",
        "http://h:x",
        "http://[::1",
        "http://h?x=y",
        "http://h#x",
        "http://a\nb",
        "http://ada:s3cret@h:70000",
        "ada:s3cret@h",
    ],
)
def test_what_is_no_address_is_refused_without_its_password(
    url: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("SAGA_MONITOR_URL", url)
    result = run("ls")
    assert result.exit_code == 1
    assert "is not a URL of the form http://HOST:PORT; set SAGA_MONITOR_URL" in result.output
    assert "s3cret" not in result.output


def test_a_password_is_not_printed_with_an_address(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("SAGA_MONITOR_URL", "http://ada:s3c/r@t@127.0.0.1:1")
    assert without_user("http://ada:s3c/r@t@h:1/x") == "http://***@h:1/x"
    assert "s3c" not in run("ls").output
    monkeypatch.setenv("SAGA_MONITOR_URL", "http://ada:s3cret@127.0.0.1:1")
    output = run("ls").output
    assert "monitor does not answer at http://***@127.0.0.1:1" in output
    assert "s3cret" not in output


@pytest.mark.parametrize(
    "content",
    [
        "",
        "null",
        '[["processes", 1], ["urls", 2]]',
        "[" * 100_000,
        '{"processes": {"x": 1}, "urls": ["monitor"]}',
        '{"processes": {"x": 1}, "urls": "monitor"}',
        '{"processes": {"x": 1}, "urls": {"monitor": 5}}',
        '{"processes": {"x": 1}, "databases": [1]}',
    ],
)
def test_a_damaged_stack_file_is_named(content: str, home: Path) -> None:
    (home / "stack.json").write_text(content)
    for words in (("ls",), ("reconcile",), ("republish", "payment", "payment.events")):
        result = run(*words)
        assert isinstance(result.exception, SystemExit)
        assert result.exit_code == (3 if words[0] == "reconcile" else 1)
        assert f"{home / 'stack.json'} cannot be read" in result.output


@pytest.mark.parametrize("given", ["~nosuchuser/x"])
def test_a_home_that_cannot_be_is_refused(given: str, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("SAGA_HOME", given)
    for words, status in ((("ls",), 1), (("down",), 1), (("reconcile",), 3)):
        result = run(*words)
        assert (result.exit_code, "Set SAGA_HOME to an absolute path" in result.output) == (
            status,
            True,
        )
