"""Compare the outside world's ledgers with our books: `saga reconcile`."""

import json
import re
import signal
import sys
import threading
from typing import Any

import click
from rich.console import Console
from rich.markup import escape
from rich.table import Table

from saga_cli.client import ask
from sagakit.flow.toml_values import seconds

FOUND, NOT_RUN = 1, 2
PATIENCE_S = 600.0


class Duration(click.ParamType):
    """Parses a duration such as `90s`, `5m` or `1h` into seconds."""

    name = "duration"

    def convert(
        self, value: Any, param: click.Parameter | None, ctx: click.Context | None
    ) -> float:
        """Return the seconds, see `sagakit.flow.toml_values.seconds`."""
        try:
            return value if isinstance(value, float) else seconds(value)
        except ValueError as error:
            self.fail(str(error), param, ctx)


@click.command()
@click.option("--fix", is_flag=True, help="Have it put right; without it nothing is changed.")
@click.option(
    "--settle",
    "settle_s",
    type=Duration(),
    default="5m",
    show_default=True,
    help="Judge only orders of which nothing was said in the log for so long.",
)
@click.option("--json", "as_json", is_flag=True, help="One JSON document a run.")
@click.option("--every", "every_s", type=Duration(), help="Go on, one run after the other.")
def reconcile(fix: bool, settle_s: float, as_json: bool, every_s: float | None) -> None:
    """Compare the outside's ledgers with our books, and check the stock figures.

    Exit status 0: nothing differs; 1: something differs; 2: the comparison could not be made. With
    --every the exit status is that of the last run.
    """
    stop = threading.Event()
    if every_s is not None:
        for number in (signal.SIGTERM, signal.SIGINT):
            signal.signal(number, lambda *_: stop.set())
    while True:
        status = _once(fix, settle_s, as_json)
        if every_s is None or stop.wait(every_s):
            sys.exit(status)


def _once(fix: bool, settle_s: float, as_json: bool) -> int:
    body = {"fix": fix, "settle_s": settle_s}
    try:
        report = ask("POST", "/reconciliations", json=body, timeout=PATIENCE_S)
    except click.ClickException as error:
        click.echo(f"saga reconcile: {error.format_message()}", err=True)
        return NOT_RUN
    if as_json:
        click.echo(json.dumps(report))
    else:
        _show(report)
    return FOUND if report["findings"] else 0


def _show(report: dict[str, Any]) -> None:
    console = Console()
    findings = report["findings"]
    if findings:
        table = Table("kind", "of", "who puts it right", "done", box=None, pad_edge=False)
        table.add_column("what", overflow="fold")
        who = {"force": "payment", "person": "a person"}
        for row in findings:
            words = (row["kind"], row["subject"], who[row["remedy"]], row["deed"], row["what"])
            table.add_row(*(escape(word) for word in words))
        console.print(table)
    early = f", {report['unsettled']} too early to judge" if report["unsettled"] else ""
    told = f"{len(findings)} differences" if findings else "nothing differs"
    when = re.sub(r"\.\d+", "", report["read_through"])
    console.print(f"{told}: {report['judged']} orders judged{early}; the log is read to {when}")
    if findings and not report["fix"]:
        console.print("nothing was changed; --fix has it put right, see docs/how-to/reconcile.md")
