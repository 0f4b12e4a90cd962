"""Compare the ledgers of the outside world with the participants' books: `saga reconcile`."""

import json
import signal
import sys
import threading
from collections.abc import Mapping
from datetime import datetime
from typing import Any

import click

from saga_cli import client
from saga_cli.answers import ReconciliationReportJson
from saga_cli.declarations import Duration
from saga_cli.output import print_table, text
from saga_monitor.saga.times import utc_seconds
from sagakit.foreign_text import printable, printable_value

DIFFERS, NOT_COMPARED = 1, 3
"""Exit statuses; 2 means wrong usage, as everywhere."""
TIMEOUT_S = 600.0
LONGEST_SETTLE_S = 30 * 86400.0
SHORTEST_PAUSE_S = 1.0
FIXED_BY = {"participant": "its participant", "person": "a person"}
FINDINGS = (
    text("kind", "kind"),
    text("subject", "subject"),
    text("fixed by", "fixed_by"),
    text("done", "action"),
    text("difference", "what", fold=True),
)


@click.command()
@click.option("--fix", is_flag=True, help="Fix the differences; without it nothing is changed.")
@click.option(
    "--settle",
    "settle_s",
    type=Duration(most_s=LONGEST_SETTLE_S),
    default="5m",
    show_default=True,
    help="Judge only sagas that have had no event in the log for this long.",
)
@click.option("--json", "as_json", is_flag=True, help="Print one JSON document a run.")
@click.option(
    "--every",
    "every_s",
    type=Duration(least_s=SHORTEST_PAUSE_S),
    help="Repeat, with this pause between runs.",
)
def reconcile(fix: bool, settle_s: float, as_json: bool, every_s: float | None) -> None:
    """Compare the ledgers of the outside world with the participants' books.

    Exit status 0: nothing differs; 1: something differs; 3: the comparison could not be made. With
    --every the exit status is that of the last run.
    """
    stop = threading.Event()
    if every_s is not None:
        for number in (signal.SIGTERM, signal.SIGINT):
            signal.signal(number, lambda *_: stop.set())
    while True:
        status = _reconcile_once(fix, settle_s, as_json)
        if every_s is None or stop.wait(every_s):
            sys.exit(status)


def _reconcile_once(fix: bool, settle_s: float, as_json: bool) -> int:
    """Run one comparison, print it, and return the exit status."""
    body = {"fix": fix, "settle_s": settle_s}
    try:
        report = client.call(
            client.MONITOR,
            "POST",
            "/reconciliations",
            ReconciliationReportJson,
            json=body,
            timeout_s=TIMEOUT_S,
        ).exact
    except click.ClickException as error:
        error.show()
        return NOT_COMPARED
    if as_json:
        click.echo(printable(json.dumps(report)))
    else:
        _print_report(printable_value(report))
    return DIFFERS if report["findings"] else 0


def _print_report(report: Mapping[str, Any]) -> None:
    findings = report["findings"]
    if findings:
        print_table(
            FINDINGS,
            ({**row, "fixed_by": FIXED_BY.get(row["remedy"], row["remedy"])} for row in findings),
        )
    early = f", {report['unsettled']} too early to judge" if report["unsettled"] else ""
    summary = f"{len(findings)} differences" if findings else "nothing differs"
    when = utc_seconds(datetime.fromisoformat(report["read_through"]))
    click.echo(f"{summary}: {report['judged']} sagas judged{early}; the log is read to {when}")
    if findings and not report["fix"]:
        click.echo("nothing was changed; --fix fixes what it can, see docs/how-to/reconcile.md")
