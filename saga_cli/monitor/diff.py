"""Compare the live projection with a shadow, or two shadows: `saga diff`."""

import json
import sys
from collections.abc import Iterator, Sequence
from dataclasses import asdict
from html import escape
from itertools import islice
from typing import TYPE_CHECKING, Any

import click

from saga_cli.monitor.projection_access import errors_explained, monitor_access
from saga_cli.output import print_table, text
from sagakit.foreign_text import printable, printable_value

if TYPE_CHECKING:
    from saga_monitor.replay.compare import DiffSummary

DIFFERS = 1
Written = Sequence[dict[str, Any]]
COLUMNS = (
    text("saga", "saga"),
    text("table", "table"),
    text("row", "row"),
    text("field", "field"),
    text("first", "one", fold=True),
    text("second", "other", fold=True),
    text("event that made it", "event", fold=True),
)
HTML = """<!doctype html>
<html lang="en"><meta charset="utf-8"><title>{title}</title>
<style>
body {{ font: 15px/1.5 system-ui, sans-serif; margin: 2rem; color-scheme: light dark }}
table {{ border-collapse: collapse }} th, td {{ padding: .3rem .7rem; text-align: left;
border-bottom: 1px solid #8884; vertical-align: top; overflow-wrap: anywhere }}
</style>
<h1>{title}</h1>
<p>{summary}</p>
<table><thead><tr>{head}</tr></thead><tbody>
{body}
</tbody></table></html>"""


@click.command()
@click.argument("one", metavar="LIVE")
@click.argument("other", metavar="SHADOW")
@click.option(
    "--format",
    "form",
    type=click.Choice(["table", "json", "html"]),
    default="table",
    show_default=True,
    help="How the differences are written.",
)
@click.option(
    "--limit",
    type=click.IntRange(1, 1_000_000),
    default=100,
    show_default=True,
    help="Differences to write at most; all are counted.",
)
def diff(one: str, other: str, form: str, limit: int) -> None:
    """Compare two projections: `live`, or the names of shadows.

    A difference is a field of a row of a saga, with the event that made it. Exit status 0: they are
    equal; 1: they differ.
    """
    from saga_monitor.replay.compare import ProjectionDiff
    from sagakit.store.postgres import engine_for

    access = monitor_access()
    engine = engine_for(access.database_url)
    try:
        with errors_explained(), engine.begin() as connection:
            projection = access.projection(engine, access.codec())
            comparison = ProjectionDiff(connection, projection, one, other)
            differences = comparison.differences()
            written = [asdict(found) for found in islice(differences, limit)]
            for _ in differences:  # the others are counted
                pass
    finally:
        engine.dispose()
    summary = comparison.summary
    _WRITERS[form](one, other, written, summary)
    sys.exit(0 if summary.equal else DIFFERS)


def as_table(one: str, other: str, written: Written, summary: "DiffSummary") -> None:
    """Print the differences as a table, and what was compared."""
    if written:
        print_table(COLUMNS, (printable_value(_row(found)) for found in written))
    for line in _describe(one, other, written, summary):
        click.echo(line)


def as_json(one: str, other: str, written: Written, summary: "DiffSummary") -> None:
    """Print the differences as one JSON document."""
    document = {
        "one": one,
        "other": other,
        "equal": summary.equal,
        "rows": dict(summary.rows),
        "sagas": summary.sagas,
        "fields": [
            {"table": table, "field": name, "differences": number}
            for (table, name), number in summary.fields.most_common()
        ],
        "ahead": [
            {"topic": topic, "partition": partition, "offsets": number}
            for (topic, partition), number in summary.ahead.items()
        ],
        "differences": written,
    }
    click.echo(printable(json.dumps(document)))


def as_html(one: str, other: str, written: Written, summary: "DiffSummary") -> None:
    """Print the differences as a page that stands alone."""
    rows = [printable_value(_row(found)) for found in written]
    keys = ("saga", "table", "row", "field", "one", "other", "event")
    body = (
        "<tr>" + "".join(f"<td>{escape(_cell(row[key]))}</td>" for key in keys) + "</tr>"
        for row in rows
    )
    click.echo(
        HTML.format(
            title=f"{escape(one)} and {escape(other)}",
            summary="<br>".join(map(escape, _describe(one, other, written, summary))),
            head="".join(f"<th>{escape(column.heading)}</th>" for column in COLUMNS),
            body="\n".join(body),
        )
    )


_WRITERS = {"table": as_table, "json": as_json, "html": as_html}


def _row(found: dict[str, Any]) -> dict[str, Any]:
    """Return a difference with its event in a line."""
    event = found["event"]
    described = "none"
    if event is not None:
        place = f" at {event['partition']}@{event['offset']}" if event["offset"] is not None else ""
        described = f"{event['type']} {event['id']}{place}, {event['at']}"
    return {**found, "event": described}


def _cell(value: Any) -> str:
    return "" if value is None else str(value)


def _describe(one: str, other: str, written: Written, summary: "DiffSummary") -> Iterator[str]:
    rows = ", ".join(f"{table} {number:,}" for table, number in summary.rows.items())
    total = sum(summary.fields.values())
    if summary.equal:
        yield f"{one} and {other} are equal; rows: {rows}"
    else:
        yield f"{total:,} differences in {summary.sagas:,} sagas; rows: {rows}"
        if len(written) < total:
            yield f"{len(written):,} are shown; --limit shows more"
    behind = sum(-number for number in summary.ahead.values() if number < 0)
    ahead = sum(number for number in summary.ahead.values() if number > 0)
    if ahead:
        yield f"{one} has read {ahead:,} offsets farther than {other}"
    if behind:
        yield f"{other} has read {behind:,} offsets farther than {one}"
