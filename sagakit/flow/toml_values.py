"""Checks and converts values of a TOML file. Pure.

Each function raises ValueError, which names the place, the value found and what to write instead.
"""

import re
from collections.abc import Mapping, Set
from typing import Any

from sagakit.identity import FLOW_NAME

MAX_DURATION_S = 3650 * 86400.0
_SECONDS = {"ms": 0.001, "s": 1, "m": 60, "h": 3600, "d": 86400}


def quote(value: Any) -> str:
    """Return the start of a value as printable ASCII, at most 80 characters."""
    return ascii(value)[:80]


def text(where: str, value: Any) -> str:
    """Return a text that is not empty."""
    if not isinstance(value, str) or not value:
        raise ValueError(f"{where} must be a string, not {quote(value)}; write it in quotes")
    return value


def texts(where: str, value: Any) -> tuple[str, ...]:
    """Return a list of texts that are not empty."""
    if not isinstance(value, list):
        raise ValueError(f'{where} must be a list, not {quote(value)}; write ["...", "..."]')
    return tuple(text(where, item) for item in value)


def table(where: str, value: Any) -> dict[str, Any]:
    """Return a table."""
    if not isinstance(value, dict):
        raise ValueError(f"{where} must be a table, not {quote(value)}; write [{where}]")
    return value


def reject_unknown_keys(where: str, raw: Mapping[str, Any], known: Set[str]) -> None:
    """Reject unknown keys: a misspelt key would silently have no effect."""
    for key in raw.keys() - known:
        raise ValueError(f"{where}: {quote(key)} is not known; use {', '.join(sorted(known))}")


def name_of(where: str, value: Any) -> str:
    """Return a name that is valid in headers, paths and labels."""
    if not FLOW_NAME.fullmatch(text(where, value)):
        raise ValueError(
            f"{where} {quote(value)} is not a name; use letters, digits, dots and dashes"
        )
    return str(value)


def number(where: str, value: Any) -> int:
    """Return a whole number; a boolean is not one."""
    if type(value) is not int:
        raise ValueError(f"{where} must be a number, not {quote(value)}; write it without quotes")
    return value


def ordinal(where: str, key: str) -> int:
    """Return a key as a number from 1 up."""
    if not re.fullmatch("[1-9][0-9]{0,8}", key):
        raise ValueError(f"{where} is not a version number; write 1, 2, 3 and so on")
    return int(key)


def seconds(written: str) -> float:
    """Return a duration in seconds: `"90s"`, `"5m"`, `"24h"`, `"7d"`, `"250ms"`."""
    match = re.fullmatch(r"([0-9]+(?:\.[0-9]+)?)(ms|s|m|h|d)", written)
    if not match:
        raise ValueError(f"{written!r} is not a duration; write for example 30s, 5m, 24h or 7d")
    found = float(match[1]) * _SECONDS[match[2]]
    if found > MAX_DURATION_S:
        raise ValueError(f"{written[:40]!r} is longer than ten years; write at most 3650d")
    return found


def duration(where: str, value: Any) -> float:
    """Return a duration in seconds."""
    try:
        return seconds(text(where, value))
    except ValueError as error:
        raise ValueError(f"{where}: {error}") from error
