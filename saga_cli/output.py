"""Format rows, times and statuses for a terminal."""

import shlex
import shutil
import sys
from collections.abc import Callable, Iterable, Mapping, Sequence
from dataclasses import dataclass
from datetime import UTC, datetime, timedelta
from typing import Any

from rich.console import Console
from rich.markup import escape
from rich.table import Table

Row = Mapping[str, Any]
COLOURS = {
    "completed": "green",
    "done": "green",
    "cancelled": "yellow",
    "undone": "yellow",
    "undoing": "magenta",
    "failed": "red",
    "intervention": "red",
    "waiting": "cyan",
    "paused": "cyan",
    "unplaced": "red",
}


@dataclass(frozen=True, slots=True)
class Column:
    """A column of a table. `cell`: row and present time -> markup; `fold`: long text is wrapped."""

    heading: str
    cell: Callable[[Row, datetime], str]
    fold: bool = False


def text(heading: str, key: str, *, fold: bool = False) -> Column:
    """Return a column with the value of a key; empty where it is null."""
    return Column(
        heading, lambda row, _: "" if row[key] is None else escape(str(row[key])), fold=fold
    )


def age(heading: str, key: str) -> Column:
    """Return a column with the time that has passed since a time of the API."""
    return Column(heading, lambda row, now: ago(row[key], now))


def print_table(columns: Sequence[Column], rows: Iterable[Row]) -> None:
    """Print rows as a table, with times relative to now."""
    now = datetime.now(UTC)
    table = Table(box=None, pad_edge=False)
    for column in columns:
        table.add_column(column.heading, overflow="fold" if column.fold else "ellipsis")
    for row in rows:
        table.add_row(*(column.cell(row, now) for column in columns))
    Console().print(table)


def command_name() -> str:
    """Return how a shell calls `saga`: as it was called now, if it is not on the PATH."""
    return "saga" if shutil.which("saga") else shlex.quote(sys.argv[0])


def coloured(status: str) -> str:
    """Return a status with the markup of its colour."""
    return f"[{COLOURS.get(status, 'white')}]{status}[/]"


def parse_time(at: str | None) -> datetime | None:
    """Parse a time of the API (ISO 8601)."""
    return datetime.fromisoformat(at) if at else None


def ago(at: str | None, now: datetime) -> str:
    """Return how long ago a time of the API was; empty without a time."""
    moment = parse_time(at)
    return duration(now - moment) if moment else ""


def until(at: str | None, now: datetime) -> str:
    """Return how far ahead a deadline of the API is, or how long it is overdue, with markup."""
    moment = parse_time(at)
    if moment is None:
        return ""
    if moment < now:
        return f"[red]overdue by {duration(now - moment)}[/]"
    return f"in {duration(moment - now)}"


def duration(span: timedelta) -> str:
    """Format a time span: `87 ms`, `4.2 s`, `3 min 5 s`, `2 h 10 min`, `3 d 4 h`."""
    seconds = span.total_seconds()
    if seconds < 1:
        return f"{max(seconds, 0) * 1000:.0f} ms"
    if seconds < 60:
        return f"{seconds:.1f} s"
    whole = int(seconds)
    for size, unit, smaller, name in ((86400, "d", 3600, "h"), (3600, "h", 60, "min")):
        if whole >= size:
            return f"{whole // size} {unit} {whole % size // smaller} {name}"
    return f"{whole // 60} min {whole % 60} s"
