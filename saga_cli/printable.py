r"""Makes text of others safe for a terminal: control characters are written out, as `\u001b`.

A terminal obeys them: they clear the screen, hide lines, or change what is pasted. The form is that
of JSON, so a JSON document stays the same document.
"""

import re
from typing import Any

# C0 but for tab and line feed, DEL, C1, line and paragraph separator, what changes the direction of
# writing, and halves of a surrogate pair, which no terminal can be sent.
_CONTROLS = re.compile(
    "[\x00-\x08\x0b-\x1f\x7f-\x9f\u061c\u200e\u200f\u2028-\u202e\u2066-\u2069\ud800-\udfff]"
)
_BREAKS = re.compile("[\t\n]")


def printable(text: str) -> str:
    """Return the text with its control characters written out; tabs and line feeds stay."""
    return _CONTROLS.sub(_written_out, text)


def printable_value(value: Any) -> Any:
    """Return a JSON value with all its texts printable, each on one line."""
    match value:
        case str():
            return _BREAKS.sub(_written_out, printable(value))
        case list():
            return [printable_value(item) for item in value]
        case dict():
            return {printable_value(key): printable_value(item) for key, item in value.items()}
    return value


def _written_out(match: re.Match[str]) -> str:
    return f"\\u{ord(match[0]):04x}"
