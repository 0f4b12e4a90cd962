"""What values of a TOML file should be. Pure; each raises ValueError: where, what it held, what to
write."""

import re
from collections.abc import Mapping, Set
from typing import Any


def shown(value: Any) -> str:
    """The start of a value, harmless to print."""
    return ascii(value)[:80]


def text(where: str, value: Any) -> str:
    """A text that is not empty."""
    if not isinstance(value, str) or not value:
        raise ValueError(f"{where} must be a text, not {shown(value)}; write it in quotes")
    return value


def texts(where: str, value: Any) -> tuple[str, ...]:
    """A list of such texts."""
    if not isinstance(value, list):
        raise ValueError(f'{where} must be a list, not {shown(value)}; write ["...", "..."]')
    return tuple(text(where, item) for item in value)


def table(where: str, value: Any) -> dict[str, Any]:
    """A table."""
    if not isinstance(value, dict):
        raise ValueError(f"{where} must be a table, not {shown(value)}; write [{where}]")
    return value


def only(where: str, raw: Mapping[str, Any], known: Set[str]) -> None:
    """Nothing but known keys: a misspelt one would change nothing, and say nothing."""
    for key in raw.keys() - known:
        raise ValueError(f"{where}: {shown(key)} is not known; use {', '.join(sorted(known))}")


def word(where: str, value: Any) -> str:
    """A name that may stand in headers, paths and labels."""
    if not re.fullmatch(r"[A-Za-z0-9_.-]{1,100}", text(where, value)):
        raise ValueError(f"{where} {shown(value)} is unfit; use letters, digits, dots and dashes")
    return str(value)


def number(where: str, value: Any) -> int:
    """A whole number; true is none."""
    if type(value) is not int:
        raise ValueError(f"{where} must be a number, not {shown(value)}; write it without quotes")
    return value


def ordinal(where: str, key: str) -> int:
    """A key that counts from 1."""
    if not re.fullmatch("[1-9][0-9]{0,8}", key):
        raise ValueError(f"{where} is no number; count from 1")
    return int(key)
