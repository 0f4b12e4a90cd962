"""Judge the sagas of the last days by an edited flow file: `saga backtest`."""

import json
import sys
from collections import Counter
from collections.abc import Iterable, Iterator, Mapping
from datetime import datetime
from pathlib import Path
from typing import Any

import click
from rich.markup import escape

from saga_cli import client
from saga_cli.answers import BacktestPageJson
from saga_cli.declarations import LIMIT, Duration
from saga_cli.output import Column, coloured, duration, parse_time, print_table, text
from saga_monitor.saga.times import utc_seconds
from saga_monitor.saga.view import ENDED, Status
from sagakit.foreign_text import printable, printable_value

TIMEOUT_S = 600.0
LONGEST_S = 3650 * 86400.0
NEW, GONE = "new", "gone"
CHANGES = (text("edited", "path"), text("was", "was"), text("now", "now", fold=True))
DIFFERENCES = (
    Column("would be", lambda row, _: escape(_action(row))),
    text("saga", "saga"),
    text("flow", "flow"),
    text("step", "subject"),
    Column("after", lambda row, _: _after(row, "at")),
    Column("now after", lambda row, _: _after(row, "was_at")),
    Column("in fact", lambda row, _: coloured(row["status"])),
)


@click.command()
@click.option(
    "--flow",
    "path",
    required=True,
    type=click.Path(path_type=Path),
    help="The edited flow file; its name says which sagas are judged.",
)
@click.option(
    "--last",
    "last_s",
    type=Duration(least_s=1.0, most_s=LONGEST_S),
    default="7d",
    show_default=True,
    help="Judge the sagas that started in this time.",
)
@click.option(
    "--version",
    type=click.IntRange(1, 10**9 - 1),
    help="Judge all of them by this version. [default: each by the one it started with]",
)
@click.option("--json", "as_json", is_flag=True, help="Print one JSON document.")
@LIMIT
def backtest(path: Path, last_s: float, version: int | None, as_json: bool, limit: int) -> None:
    """Tell what the monitor would have done under an edited flow file.

    Which sagas it would have compensated, reminded, escalated or handed to a person, and which not
    any more; how many of them completed by themselves; and the balances that would have moved.
    Nothing is emitted.
    """
    try:
        content = path.read_text()
    except (OSError, UnicodeDecodeError) as error:
        raise click.UsageError(
            f"the flow file {path} cannot be read: {error}; make it a text file in UTF-8"
        ) from error
    report = summarize(_pages({"flow": content, "last_s": last_s, "version": version}))
    if as_json:
        click.echo(printable(json.dumps(report)))
    else:
        _print_report(printable_value(report), limit)


def _pages(body: Mapping[str, Any]) -> Iterator[Mapping[str, Any]]:
    """Ask the monitor for page after page; on a terminal, count what is judged."""
    place: Mapping[str, Any] = {}
    judged = 0
    while True:
        page = client.call(
            client.MONITOR,
            "POST",
            "/backtests",
            BacktestPageJson,
            json={**body, **place},
            timeout_s=TIMEOUT_S,
        ).exact
        judged += page["judged"]
        if sys.stderr.isatty():
            click.echo(f"\r{judged} sagas judged", err=True, nl=page["next"] is None)
        yield page
        if page["next"] is None:
            return
        place = {"until": page["until"], "after": page["next"]}


def summarize(pages: Iterable[Mapping[str, Any]]) -> dict[str, Any]:
    """Return the report of a back-test from its pages."""
    found = list(pages)
    sagas = [saga for page in found for saga in page["sagas"]]
    unjudged = Counter[str]()
    for page in found:
        unjudged.update(page["unjudged"])
    return {
        **{name: found[0][name] for name in ("flow", "since", "until", "changes")},
        "judged": sum(page["judged"] for page in found),
        "unjudged": unjudged,
        "actions": _actions(sagas),
        "balances": _balances(sagas),
        "sagas": sagas,
    }


def _differences(sagas: Iterable[Mapping[str, Any]]) -> Iterator[dict[str, Any]]:
    """Yield each difference with its saga."""
    for saga in sagas:
        for difference in saga["differences"]:
            yield {**saga, **difference}


def _actions(sagas: Iterable[Mapping[str, Any]]) -> list[dict[str, Any]]:
    """Count the sagas by action and change, and how they ended in fact."""
    found: dict[tuple[str, str], dict[str, set[str]]] = {}
    for row in _differences(sagas):
        ends = found.setdefault((row["act"], row["change"]), {s: set() for s in (*ENDED, "other")})
        ends[row["status"] if row["status"] in ENDED else "other"].add(row["saga"])
    return [
        {
            "act": act,
            "change": change,
            "sagas": sum(map(len, ends.values())),
            "completed": len(ends[Status.COMPLETED]),
            "cancelled": len(ends[Status.CANCELLED]),
            "in_flight": len(ends["other"]),
        }
        for (act, change), ends in sorted(found.items())
    ]


def _balances(sagas: Iterable[Mapping[str, Any]]) -> list[dict[str, Any]]:
    """Sum the balances of compensations that only one of the flows has, by balance and kind."""
    found: dict[tuple[str, str, str], Counter[str]] = {}
    for row in _differences(sagas):
        for held in row["balances"]:
            amounts = found.setdefault((row["change"], held["name"], held["kind"]), Counter())
            amounts["held"] += held["held"]
            amounts["held_at_end"] += held["held_at_end"]
            if row["status"] == Status.COMPLETED:
                amounts["completed_held_at_end"] += held["held_at_end"]
    names = ("held", "held_at_end", "completed_held_at_end")
    return [
        {"change": change, "name": name, "kind": kind, **{n: amounts[n] for n in names}}
        for (change, name, kind), amounts in sorted(found.items())
    ]


def _print_report(report: Mapping[str, Any], limit: int) -> None:
    if report["changes"]:
        print_table(CHANGES, report["changes"])
        click.echo()
    rows = list(_differences(report["sagas"]))
    if rows:
        print_table(DIFFERENCES, rows[:limit])
    if len(rows) > limit:
        click.echo(f"the first {limit} of {len(rows)} differences; --limit lists more")
    since, until = (utc_seconds(datetime.fromisoformat(report[n])) for n in ("since", "until"))
    click.echo(
        f"{report['judged']} sagas of {report['flow']} judged that started since {since}; the log "
        f"is read to {until}"
    )
    for reason, sagas in report["unjudged"].items():
        click.echo(f"{sagas} not judged: {reason}")
    _print_lines(report)


def _print_lines(report: Mapping[str, Any]) -> None:
    for row in report["actions"]:
        ends = f"{row['completed']} completed by themselves, {row['cancelled']} were cancelled"
        click.echo(f"{_action(row)}: {row['sagas']} ({ends}, {row['in_flight']} in flight)")
    for row in report["balances"]:
        what = f"{row['name']} {row['kind']}".rstrip()
        would = "would have been" if row["change"] == NEW else "would not have been"
        line = f"{what}: {row['held']} {would} given back at once"
        if row["change"] == NEW:
            line += f"; those that completed hold {row['completed_held_at_end']} in the end"
        click.echo(line)
    if not report["actions"]:
        click.echo("no saga would have been treated otherwise")


def _action(row: Mapping[str, Any]) -> str:
    """Describe an action and its change: `compensated`, `not compensated`, `reminded earlier`."""
    if row["change"] in (NEW, GONE):
        return f"not {row['act']}" if row["change"] == GONE else str(row["act"])
    return f"{row['act']} {row['change']}"


def _after(row: Mapping[str, Any], key: str) -> str:
    """Return how long after the start of its saga an action is due; empty where it never is."""
    at, started = parse_time(row[key]), parse_time(row["started_at"])
    return duration(at - started) if at and started else ""
