r"""Shows texts from outside as they are: what a terminal obeys, or nobody sees, is written out.

A terminal obeys control characters: they clear the screen, hide lines, or change what is pasted.
Marks of direction and characters without width make one text look like another. Each becomes its
escape in JSON, as `\u001b`, so a JSON document stays the same document.
"""

import re
from typing import Any

# C0 but for tab and line feed, DEL, C1, soft hyphen, line and paragraph separator, what changes the
# direction of writing, what has no width (the joiners U+200C and U+200D are part of words in many
# languages, and stay), tags, and halves of a surrogate pair, which no terminal can be sent.
_CONTROLS = re.compile(
    "[\x00-\x08\x0b-\x1f\x7f-\x9f\xad\u061c\u180e\u200b\u200e\u200f\u2028-\u202e\u2060-\u206f"
    "\ud800-\udfff\ufeff\ufff9-\ufffb\U000e0000-\U000e007f]"
)
_BREAKS = re.compile("[\t\n]")


def printable(text: str) -> str:
    """Return the text with its control characters written out; tabs and line feeds stay."""
    return _CONTROLS.sub(_written_out, text)


def printable_line(text: str) -> str:
    """Return the text on one line, with its control characters, tabs and line feeds written out."""
    return _BREAKS.sub(_written_out, printable(text))


def printable_value(value: Any) -> Any:
    """Return a JSON value with all its texts printable, each on one line."""
    match value:
        case str():
            return printable_line(value)
        case list():
            return [printable_value(item) for item in value]
        case dict():
            return {printable_value(key): printable_value(item) for key, item in value.items()}
    return value


def _written_out(match: re.Match[str]) -> str:
    units = match[0].encode("utf-16-be", "surrogatepass")
    return "".join(f"\\u{units[n : n + 2].hex()}" for n in range(0, len(units), 2))


def bounded(text: str, most_chars: int) -> str:
    """Return a text that any database, header and JSON document takes, of at most `most_chars`."""
    return printable(text[:most_chars])[:most_chars]
