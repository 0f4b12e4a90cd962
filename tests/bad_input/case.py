"""A case: one input that is wrong, and what it gets."""

from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Any, NamedTuple

DEEP = b"[" * 100_000
"""JSON that is nested deeper than a parser should go."""


class Sent(NamedTuple):
    """A record as somebody publishes it."""

    topic: str
    key: bytes | None
    value: bytes | None
    headers: tuple[tuple[str, bytes], ...] = ()


class Call(NamedTuple):
    """An HTTP request."""

    method: str
    path: str
    json: Any = None
    content: bytes | None = None
    headers: Mapping[str, str] = {}


@dataclass(frozen=True)
class Case:
    """`where`: the interface it is sent to; `given`: the input, or a function that makes it.

    `gets`: the code it is parked with, the HTTP status, the exit status, the event or the error;
    `words`: what the message has to contain: the input, the reason, the remedy.
    """

    name: str
    where: str
    given: Any = field(repr=False)
    gets: str
    words: tuple[str, ...] = ()

    def __str__(self) -> str:
        return f"{self.where}-{self.name}".replace(" ", "-")


def raw(body: bytes, path: str = "/orders", kind: str = "application/json") -> Call:
    """A body that may be no JSON."""
    return Call("POST", path, content=body, headers={"content-type": kind})
