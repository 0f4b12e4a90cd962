"""Texts from outside are shown as they are: nothing in them moves a terminal or stays hidden."""

import io
import json
import logging
import re
import sys
from collections.abc import Iterator
from typing import Any

import pytest
import structlog

from sagakit.foreign_text import printable, printable_line, printable_value
from sagakit.telemetry import logs

HOSTILE = {
    "the clipboard is set": ("\x1b]52;c;cm0gLXJm\x07", r"\u001b]52;c;cm0gLXJm\u0007"),
    "the screen is cleared": ("\x1b[2J\x1b[H", r"\u001b[2J\u001b[H"),
    "C1 codes": ("\x9b31m\x9d0;t\x9c", r"\u009b31m\u009d0;t\u009c"),
    "a line is overwritten": ("bad\rgood", r"bad\u000dgood"),
    "direction is turned round": ("\u202egpj.exe\u2066", r"\u202egpj.exe\u2066"),
    "characters without width": ("o\u200b1\ufeff\u2060\xad", r"o\u200b1\ufeff\u2060\u00ad"),
    "tags": ("a\U000e0041", r"a\udb40\udc41"),
    "half a pair": ("\ud800", r"\ud800"),
}

COLOUR = re.compile(r"\x1b\[[0-9;]*m")


@pytest.mark.parametrize("what", HOSTILE)
def test_what_a_terminal_obeys_or_nobody_sees_is_written_out(what: str) -> None:
    text, shown = HOSTILE[what]
    assert printable(text) == shown
    assert printable_value({text: [text, 1, None]}) == {shown: [shown, 1, None]}


@pytest.mark.parametrize("text", ["Müller ☃ سلام", "می\u200cروم", "👩\u200d🚀", "a\tb\n"])
def test_what_people_write_stays(text: str) -> None:
    assert printable(text) == text


def test_a_line_stays_one_line() -> None:
    assert printable_line("a\nforged\tb") == r"a\u000aforged\u0009b"


@pytest.mark.parametrize("what", HOSTILE)
def test_json_stays_the_same_document(what: str) -> None:
    text, _ = HOSTILE[what]
    assert json.loads(printable(json.dumps({"reason": text}, ensure_ascii=False))) == {
        "reason": text
    }


@pytest.fixture
def log_of(monkeypatch: pytest.MonkeyPatch) -> Iterator[Any]:
    """Return a function that writes a log line with a text, and returns what was written."""
    handlers, former = logging.getLogger().handlers, structlog.get_config()

    def write(text: str, *, as_json: bool) -> str:
        stream = io.StringIO()
        monkeypatch.setattr(sys, "stderr", stream)
        logs.configure(json=as_json, participant="shop")
        try:
            raise ValueError(text)
        except ValueError:
            structlog.get_logger("x").exception(text, reason=text, names=[text])
        logging.getLogger("library").error("said %s", text)
        return stream.getvalue()

    yield write
    logging.getLogger().handlers = handlers
    structlog.configure(**former)


@pytest.mark.parametrize("as_json", [True, False])
@pytest.mark.parametrize("what", HOSTILE)
def test_a_log_shows_what_its_lines_quote(what: str, as_json: bool, log_of: Any) -> None:
    text, shown = HOSTILE[what]
    # When the text is logged, as event, value, exception and by a library
    written = COLOUR.sub("", log_of(text, as_json=as_json))
    # Then it is shown, and nothing but the log's own colours moves a terminal
    assert (json.dumps(text)[1:-1] if as_json else shown) in written
    assert printable(written) == written
