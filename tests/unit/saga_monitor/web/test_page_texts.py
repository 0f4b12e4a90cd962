"""Texts and times on pages: hidden characters are seen, durations are short."""

from datetime import UTC, datetime, timedelta

import pytest
from markupsafe import Markup

from saga_monitor.web.text import MAX_CHARS, detail_text, duration, exact, moment, visible

AT = datetime(2026, 1, 2, 3, 4, 5, tzinfo=UTC)


@pytest.mark.parametrize(
    ("text", "shown"),
    [
        ("plain", "plain"),
        ("Zoë 注文", "Zoë 注文"),
        ("a\u202eb", "a[U+202E]b"),
        ("\u200b", "[U+200B]"),
        ("a\x00b\x1b[31m", "a[U+0000]b[U+001B][31m"),
        ("\ud800", "[U+D800]"),
        ("\u3164", "[U+3164]"),
        ("two\nlines", "two\nlines"),
    ],
)
def test_a_hidden_character_is_shown_by_its_code_point(text: str, shown: str) -> None:
    assert visible(text) == shown


def test_a_long_text_is_cut_and_says_by_how_much() -> None:
    assert visible("x" * (MAX_CHARS + 5)) == "x" * MAX_CHARS + "… (5 more characters)"


def test_markup_and_other_values_are_left_alone() -> None:
    assert visible(7) == 7
    assert visible(Markup("<b>\u200b</b>")) == Markup("<b>\u200b</b>")


def test_an_exact_text_is_escaped_and_nothing_else() -> None:
    assert exact('a\u202e"<') == Markup("a\u202e&#34;&lt;")


@pytest.mark.parametrize(
    ("span", "text"),
    [
        (None, "—"),
        (timedelta(0), "0 ms"),
        (0.03, "30 ms"),
        (1.234, "1.23 s"),
        (250.0, "4 min 10 s"),
        (3600.0, "1 h"),
        (timedelta(days=2, hours=3, minutes=5), "2 d 3 h"),
        (-90.0, "-1 min 30 s"),
    ],
)
def test_a_duration_has_at_most_two_units(span: timedelta | float | None, text: str) -> None:
    assert duration(span) == text


def test_a_time_is_an_element_with_its_zone() -> None:
    assert moment(AT) == (
        '<time datetime="2026-01-02T03:04:05+00:00" data-moment="" '
        'title="2026-01-02T03:04:05Z">2026-01-02T03:04:05Z</time>'
    )
    assert moment(None) == '<span class="none">—</span>'


def test_the_small_fields_of_an_event_are_one_line() -> None:
    assert detail_text({"amount_minor": 500, "currency": "EUR"}) == "amount_minor=500, currency=EUR"
