"""Formats texts and times for templates. Pure.

A text of somebody else may hold characters that nobody sees, or that turn the text around it. Each
of these is shown by its code point, so it is seen and does nothing.
"""

import unicodedata
from collections.abc import Mapping
from datetime import datetime, timedelta
from typing import Any

from markupsafe import Markup, escape

from saga_monitor.saga.times import utc_seconds

MAX_CHARS = 2000
_KEPT = frozenset("\n\t")
_HIDDEN = frozenset({"Cc", "Cf", "Cs", "Co", "Cn", "Zl", "Zp"})
"""Unicode categories: control, format (bidirectional, zero width), surrogate, private, none."""
_BLANK = frozenset("\u034f\u115f\u1160\u17b4\u17b5\u2800\u3164\uffa0")
"""Letters and marks that no font shows."""
_UNITS = (("d", 86400), ("h", 3600), ("min", 60))


def visible(value: Any) -> Any:
    """Return a text with hidden characters shown as code points, cut to MAX_CHARS.

    Other values, and markup, are returned as they are.
    """
    if not isinstance(value, str) or isinstance(value, Markup):
        return value
    if len(value) > MAX_CHARS:
        value = f"{value[:MAX_CHARS]}… ({len(value) - MAX_CHARS} more characters)"
    if value.isascii() and value.isprintable():
        return value
    return "".join(c if _is_seen(c) else f"[U+{ord(c):04X}]" for c in value)


def exact(value: str) -> Markup:
    """Return a text as it is, escaped: for keys that a form sends back."""
    return Markup(escape(value))


def moment(at: datetime | None, *, age: bool = False) -> Markup:
    """Return a time as an element, which the browser shows in its reader's zone.

    age: show how long ago it was instead, and the time when pointed at.
    """
    if at is None:
        return Markup('<span class="none">—</span>')
    kind = "age" if age else "moment"
    return Markup('<time datetime="{}" data-{}="" title="{}">{}</time>').format(
        at.isoformat(), kind, utc_seconds(at), utc_seconds(at)
    )


def since(at: datetime | None) -> Markup:
    """Return how long ago a time was, as an element that the browser keeps right."""
    return moment(at, age=True)


def duration(span: timedelta | float | None) -> str:
    """Return a duration in at most two units: `2 d 3 h`, `4 min 10 s`, `1.2 s`, `30 ms`."""
    if span is None:
        return "—"
    seconds = span.total_seconds() if isinstance(span, timedelta) else float(span)
    sign, seconds = ("-" if seconds < 0 else ""), abs(seconds)
    if seconds < 1:
        return f"{sign}{seconds * 1000:.0f} ms"
    if seconds < 60:
        return f"{sign}{seconds:.3g} s"
    parts: list[str] = []
    for unit, size in (*_UNITS, ("s", 1)):
        count, seconds = divmod(seconds, size)
        if count or parts:
            parts.append(f"{count:.0f} {unit}")
    return sign + " ".join(part for part in parts[:2] if not part.startswith("0 "))


def detail_text(detail: Mapping[str, Any]) -> str:
    """Return an event's small fields in a line."""
    return ", ".join(f"{name}={value}" for name, value in detail.items())


def _is_seen(char: str) -> bool:
    return char in _KEPT or (unicodedata.category(char) not in _HIDDEN and char not in _BLANK)


FILTERS = {
    "duration": duration,
    "exact": exact,
    "moment": moment,
    "since": since,
    "detail_text": detail_text,
}
"""Filters of templates, by name."""
