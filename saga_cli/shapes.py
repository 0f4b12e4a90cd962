"""Compares a JSON value with a declared type: a TypedDict, a list, `X | None`, a plain type.

Keys that a TypedDict does not have are allowed: a newer process may answer more.
"""

from datetime import UTC, datetime
from types import NoneType, UnionType
from typing import Any, NewType, Union, get_args, get_origin, get_type_hints, is_typeddict

Time = NewType("Time", str)
"""An ISO 8601 time with its offset from UTC."""
QUOTED_CHARS = 80


def mismatch(shape: Any, value: Any, where: str = "") -> str | None:
    """Return what in the value differs from the type, and where; None if nothing does."""
    arguments = get_args(shape)
    if get_origin(shape) in (UnionType, Union):  # the second for `TypedDict | None`
        if value is None and NoneType in arguments:
            return None
        (shape,) = (one for one in arguments if one is not NoneType)
        arguments = get_args(shape)
    if get_origin(shape) is list:
        if not isinstance(value, list):
            return _wrong(where, value, "a list")
        inner = ((arguments[0], item, f"{where}[{n}]") for n, item in enumerate(value))
        return _first_mismatch(inner)
    if get_origin(shape) is dict:
        if not isinstance(value, dict):
            return _wrong(where, value, "an object")
        return _first_mismatch((arguments[1], item, f"{where}.{k}") for k, item in value.items())
    if is_typeddict(shape):
        return _object_mismatch(shape, value, where)
    if shape is Time:
        return None if _is_time(value) else _wrong(where, value, "a time")
    if shape is Any or (
        isinstance(value, shape) and (shape is bool or not isinstance(value, bool))
    ):
        return None  # Python counts a bool as an int
    return _wrong(where, value, _PLAIN[shape])


_PLAIN = {str: "a text", int: "a whole number", bool: "true or false"}


def _object_mismatch(shape: Any, value: Any, where: str) -> str | None:
    if not isinstance(value, dict):
        return _wrong(where, value, "an object")
    for key in sorted(shape.__required_keys__ - value.keys()):
        return f"{_at(f'{where}.{key}')} is missing"
    hints = get_type_hints(shape)
    return _first_mismatch((hints[k], value[k], f"{where}.{k}") for k in hints if k in value)


def _first_mismatch(inner: Any) -> str | None:
    return next((found for one in inner if (found := mismatch(*one))), None)


def _wrong(where: str, value: Any, wanted: str) -> str:
    return f"{_at(where)} is {repr(value)[:QUOTED_CHARS]}, not {wanted}"


def _at(where: str) -> str:
    return where.removeprefix(".") or "it"


def _is_time(value: Any) -> bool:
    try:
        at = datetime.fromisoformat(value)
        at.astimezone(UTC)
    except (TypeError, ValueError, OverflowError):
        return False
    return at.tzinfo is not None
