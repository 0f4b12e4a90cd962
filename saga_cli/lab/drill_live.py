"""Rebuild databases beside a running stack and compare them, for `saga drill TARGET --live`."""

import os
import sys
import time
from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import asdict
from datetime import datetime
from pathlib import Path
from typing import Any

import click
from rich.console import Console

from saga_cli.application import application
from saga_cli.lab.drill_run import REPORTS, print_report
from saga_cli.lab.rebuild import errors_explained, telling_rebuild
from saga_cli.lab.rehearsal import silence_logs
from saga_cli.output import console as wide_console
from saga_cli.progress import Telling
from saga_lab.application import MONITOR, Application
from saga_lab.devstack.errors import StackError
from saga_lab.devstack.home import check_application
from saga_lab.devstack.stack import StackHome
from saga_lab.devstack.stack_file import default_home
from saga_lab.drills.drill_lock import only_drill
from saga_lab.drills.live.comparison import LiveComparison
from saga_lab.drills.live.monitor import SHADOW, rehearse_replay
from saga_lab.drills.live.participant import SUFFIX, rehearse_rebuild
from saga_lab.drills.live.report import live_report
from saga_lab.drills.score import FULL
from saga_monitor.replay.target import PREFIX, ShadowRefused
from saga_monitor.replay.workers import Note, ReplayFailed

NEVER = (
    "Never: nothing is stopped or deleted, no live row is changed, nothing is published or asked "
    "of the outside, and no consumer group is joined."
)


def run_live(target: str, targets: Sequence[str] | None, *, confirmed: bool) -> None:
    """Run the command for these targets, None: for every database.

    `target` is how they were named. Raises SystemExit and ClickException.
    """
    chosen, home = application(), default_home()
    stack = running_stack(home, chosen)
    names = targets or chosen.databases
    for line in described(stack, names):
        click.echo(line)
    if not confirmed:
        click.confirm("Go on?", abort=True)
    silence_logs()
    console = wide_console(highlight=False)
    with only_drill(home):
        started_at, began = f"{datetime.now():%Y-%m-%dT%H:%M:%S}", time.monotonic()
        compared = [_rehearse(stack, name, console) for name in names]
        report = live_report(
            compared, target=target, started_at=started_at, lasted_s=time.monotonic() - began
        )
        files = report.write(home / REPORTS)
    print_report(console, asdict(report))
    for file in files:
        console.print(str(file), soft_wrap=True, markup=False)
    sys.exit(0 if report.score == FULL else 1)


def running_stack(home: Path, chosen: Application) -> Mapping[str, Any]:
    """Return the content of `stack.json` of the stack that runs in a home. Raises StackError."""
    found = StackHome(home)
    content = found.read()
    check_application(chosen, content)
    if not content or not found.supervisor.running():
        raise StackError(
            f"no stack is running in {home}, so there is nothing live to drill. Start it with "
            "`saga up`, set SAGA_HOME to the home of one that runs, or leave out --live."
        )
    return content


def described(stack: Mapping[str, Any], names: Sequence[str]) -> Iterator[str]:
    """Yield what a live drill does and what it never does. Pure."""
    for name in names:
        database = stack["databases"][name].rpartition("/")[2]
        if name == MONITOR:
            yield (
                f"{name}: replays the topics into the schema {PREFIX}{SHADOW} of the database "
                f"{database}, compares it with the live projection, and drops it."
            )
        else:
            yield (
                f"{name}: rebuilds the database {database} from the topics as {database}{SUFFIX} "
                "beside it, compares the rows of both, and drops that one."
            )
    yield NEVER


def _rehearse(stack: Mapping[str, Any], name: str, console: Console) -> LiveComparison:
    with errors_explained():
        if name != MONITOR:
            console.print(f"{name}: waiting for a moment without work in flight", style="dim")
            return rehearse_rebuild(stack, name, telling_rebuild)
        console.print(f"{name}: replaying the topics", style="dim")
        try:
            workers = max(1, (os.cpu_count() or 2) // 2)
            return rehearse_replay(stack, workers, _telling_replay)
        except (ReplayFailed, ShadowRefused) as error:
            raise click.ClickException(str(error)) from error


@contextmanager
def _telling_replay(planned: int) -> Iterator[Note]:
    with Telling(planned) as telling:
        yield telling.note
