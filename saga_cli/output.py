"""Format rows, times and statuses for a terminal."""

import shlex
import shutil
import sys
from collections.abc import Callable, Iterable, Mapping, Sequence
from dataclasses import dataclass
from datetime import UTC, datetime, timedelta
from typing import Any

from rich.cells import cell_len
from rich.console import Console, JustifyMethod, RenderableType
from rich.markup import escape
from rich.measure import Measurement
from rich.table import Table
from rich.text import Text

WIDE = 100_000
"""Columns of what is not a terminal: no line of it is broken."""
FOLDED_WIDTH = 30
"""A column of long text is made no narrower."""
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


def console(*, highlight: bool = True) -> Console:
    """Return a console on standard output, which breaks lines only on a terminal."""
    made = Console(highlight=highlight)
    return made if made.is_terminal else Console(highlight=highlight, width=WIDE)


def print_whole(*parts: RenderableType) -> None:
    """Print texts and tables without breaking a word, such as an id.

    A terminal breaks what it has no room for, and copies it in one piece.
    """
    wide = console(highlight=False)
    if wide.is_terminal:
        options = wide.options.update(max_width=WIDE)
        needed = max(Measurement.get(wide, options, part).minimum for part in parts)
        wide = Console(highlight=False, width=max(wide.width, needed))
    for part in parts:
        wide.print(part, soft_wrap=True)


def print_table(columns: Sequence[Column], rows: Iterable[Row]) -> None:
    """Print rows as a table, with times relative to now."""
    now = datetime.now(UTC)
    lines = [[Text.from_markup(column.cell(row, now)) for column in columns] for row in rows]
    table = Table(box=None, pad_edge=False)
    for n, column in enumerate(columns):
        add_column(table, column.heading, [line[n] for line in lines], fold=column.fold)
    for line in lines:
        table.add_row(*line)
    print_whole(table)


def add_column(
    table: Table,
    heading: str,
    cells: Iterable[Text],
    *,
    fold: bool = False,
    justify: JustifyMethod = "left",
) -> None:
    """Add a column that is never narrower than its cells; if it folds, than their words."""
    table.add_column(
        heading,
        justify=justify,
        no_wrap=not fold,
        overflow="fold",
        min_width=max((_least_width(cell, fold) for cell in cells), default=None),
    )


def _least_width(cell: Text, fold: bool) -> int:
    if not fold:
        return cell.cell_len
    longest_word = max(map(cell_len, cell.plain.split()), default=0)
    return max(longest_word, min(cell.cell_len, FOLDED_WIDTH))


def command_name() -> str:
    """Return how a shell calls `saga`: as it was called now, if it is not on the PATH."""
    return "saga" if shutil.which("saga") else shlex.quote(sys.argv[0])


def coloured(status: str) -> str:
    """Return a status with the markup of its colour."""
    return f"[{COLOURS.get(status, 'white')}]{escape(status)}[/]"


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
