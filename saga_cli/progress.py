"""Tell how far a long command is: share, rate, remaining time and memory."""

import sys
import time
from datetime import timedelta
from typing import Protocol

import click

from saga_cli.output import duration

TELL_EVERY_S = 10.0
"""How often progress is told where the output is no terminal."""
MB = 1_000_000


class ReadProgress(Protocol):
    """Says how far a command is."""

    @property
    def left(self) -> int:
        """Return how many offsets are still to be read."""
        ...

    @property
    def rate(self) -> float:
        """Return the offsets or records a second."""
        ...

    @property
    def remaining_s(self) -> float | None:
        """Return the remaining time in seconds, None while it is not known."""
        ...

    @property
    def memory_bytes(self) -> int:
        """Return the memory in use."""
        ...


class Telling:
    """Tells progress on stderr: in one line of a terminal, else now and then."""

    def __init__(self, planned: int) -> None:
        self._planned, self._terminal = planned, sys.stderr.isatty()
        self._next_s = time.monotonic() + (0 if self._terminal else TELL_EVERY_S)

    def __enter__(self) -> "Telling":
        return self

    def __exit__(self, *_: object) -> None:
        if self._terminal:
            click.echo(err=True)

    def note(self, progress: ReadProgress) -> None:
        """Tell how far it is, if it is time to."""
        if time.monotonic() < self._next_s:
            return
        self._next_s = time.monotonic() + (0 if self._terminal else TELL_EVERY_S)
        line = progress_line(progress, self._planned)
        click.echo(f"\r\033[K{line}" if self._terminal else line, err=True, nl=not self._terminal)


def progress_line(progress: ReadProgress, planned: int) -> str:
    """Return a line with the share that is read, rate, remaining time and memory."""
    share = 1 - progress.left / planned if planned else 1.0
    left_s = progress.remaining_s
    rest = f", {duration(timedelta(seconds=left_s))} left" if left_s is not None else ""
    return (
        f"{share:6.1%}  {progress.rate:,.0f} records a second{rest}, "
        f"{progress.memory_bytes / MB:,.0f} MB"
    )
