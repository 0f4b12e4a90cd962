"""Inject faults into real processes under load, and check every invariant: `saga chaos`.

The seed chooses the orders, the faults and their moments.
"""

import json
import logging
import shutil
import sys
import time
from collections import Counter
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import replace
from datetime import UTC, datetime
from pathlib import Path

import click
import structlog
from rich.console import Console, Group
from rich.live import Live
from rich.table import Table
from rich.text import Text

from saga_lab.chaos.fault import FaultKind
from saga_lab.chaos.kinds import BY_NAME, drawn, left_out
from saga_lab.chaos.load import Load
from saga_lab.chaos.play import ChaosRun, InjectedFault
from saga_lab.chaos.report import ChaosReport, report
from saga_lab.chaos.schedule import schedule
from saga_lab.chaos.site import Site
from saga_lab.devstack import disks
from saga_lab.devstack.errors import StackError
from saga_lab.devstack.options import StackOptions
from saga_lab.devstack.stack import Stack
from saga_lab.devstack.stack_file import default_home
from saga_lab.workload import Shop
from saga_lab.workload.deadlines import WAITS

RUSHED = StackOptions(port_base=0, env={"SAGA_DEADLINES": json.dumps(dict.fromkeys(WAITS, "15s"))})
"""With waits of 15 s, the faults decide which orders time out; the log tells which ones did."""
TELL_EVERY_S = 10.0
ORDERS_A_SECOND, FAULTS_A_MINUTE = 5, 10


@click.command()
@click.option("--minutes", default=3.0, show_default=True, type=click.FloatRange(0.5, 600))
@click.option("--orders", type=click.IntRange(1, 200_000), help="[default: 5 a second]")
@click.option("--faults", type=click.IntRange(0, 10_000), help="[default: 10 a minute]")
@click.option("--seed", default=0, show_default=True, help="Chooses orders, faults and moments.")
@click.option(
    "--only",
    multiple=True,
    type=click.Choice(sorted(BY_NAME)),
    help="Only faults of this kind. Repeatable.",
)
@click.option(
    "--brokers", type=click.Choice(["1", "3"]), default="1", show_default=True, help="Of Kafka."
)
@click.option("--keep-up", is_flag=True, help="Leave the stack running, with its disks.")
def chaos(
    minutes: float,
    orders: int | None,
    faults: int | None,
    seed: int,
    only: tuple[str, ...],
    brokers: str,
    keep_up: bool,
) -> None:
    """Inject faults while orders of every kind run, and check every invariant at the end.

    The stack lives in the folder `chaos` of the home (SAGA_HOME) and starts empty each time.
    Reports are written to the folder `reports` beside it. Exit status 0 only without violations.
    """
    console = Console(highlight=False)
    _quiet()
    lasts_s = minutes * 60
    orders = orders or round(lasts_s * ORDERS_A_SECOND)
    faults = round(minutes * FAULTS_A_MINUTE) if faults is None else faults
    home = default_home() / "chaos"
    no_disks = disks.refusal(default_home())
    kinds, left = _kinds(only, int(brokers), no_disks)
    for name, why in left.items():
        console.print(f"left out: {name}: {why}", style="yellow", markup=False, soft_wrap=True)
    options = replace(RUSHED, links=True, brokers=int(brokers), disks=no_disks is None)
    stack = _fresh_stack(home, options, console)
    try:
        shop = Shop(f"g{seed}-{datetime.now(UTC):%H%M%S}", seed)
        load = Load(stack.read(), shop.orders(orders), lasts_s)
        day = ChaosRun(Site(stack, load), schedule(seed, faults, lasts_s, kinds))
        started_at, began = f"{datetime.now(UTC):%Y-%m-%dT%H:%M:%S}", time.monotonic()
        with _told(console, day) as told:
            day.play(told)
        words = [f"--minutes {minutes:g} --orders {orders} --faults {faults} --seed {seed}"]
        words += [f"--brokers {brokers}"] if brokers != "1" else []
        words += [f"--only {name!r}" for name in only]
        made = report(
            day,
            command=f"saga chaos {' '.join(words)}",
            seed=seed,
            left_out=left,
            started_at=started_at,
            lasted_s=time.monotonic() - began,
        )
    finally:
        if keep_up:
            console.print(
                f"the stack goes on in {home}. To stop it, and unmount its disks: "
                f"SAGA_HOME={home} saga down",
                soft_wrap=True,
                markup=False,
            )
        else:
            console.print("stopping the stack, all data is kept", style="dim")
            stack.down()
    _tell(console, made, made.write(default_home() / "reports"))
    sys.exit(1 if made.violations else 0)


def _quiet() -> None:
    """Silence log messages: a broker that does not answer is expected here."""
    structlog.configure(wrapper_class=structlog.make_filtering_bound_logger(logging.CRITICAL))
    logging.getLogger("librdkafka").setLevel(logging.CRITICAL)


def _kinds(
    only: tuple[str, ...], brokers: int, no_disks: str | None
) -> tuple[tuple[FaultKind, ...], dict[str, str]]:
    """Return the kinds that can be drawn, and kind -> reason for those that cannot.

    With `only` there are no reasons: raises StackError if it names a kind that cannot be drawn.
    """
    left = left_out(brokers, no_disks)
    for name in only:
        if name in left:
            raise StackError(f"{name!r} is not possible here: {left[name]}.")
    kinds = drawn(brokers, no_disks)
    return tuple(kind for kind in kinds if kind.name in only or not only), {} if only else left


def _fresh_stack(home: Path, options: StackOptions, console: Console) -> Stack:
    """Start a stack without data. Raises StackError if one is running there."""
    if Stack(home).supervisor.running():
        raise StackError(
            f"a chaos run's stack is running in {home}. Stop it with `SAGA_HOME={home} saga down`."
        )
    Stack(home).down()  # stop processes and unmount disks of a killed run
    shutil.rmtree(home, ignore_errors=True)
    return Stack.up(home, options, say=lambda line: console.print(line, style="dim"))


# --- progress -------------------------------------------------------------------------------------


@contextmanager
def _told(console: Console, day: ChaosRun) -> Iterator[Callable[[], None]]:
    """Yield a progress callback: a live table on a terminal, else a line now and then."""
    if console.is_terminal:
        with Live(console=console, refresh_per_second=4) as live:
            yield lambda: live.update(_view(day))
        return
    last, phase, shown = time.monotonic(), "", 0
    wrong = set[int]()

    def line() -> None:
        nonlocal last, phase, shown
        for one in day.struck[shown:]:
            shown += 1
            console.print(f"{one.injected_at:5.0f} s  {_named(one)}", markup=False)
        for one in day.struck:
            if one.error and one.planned.number not in wrong:
                wrong.add(one.planned.number)
                console.print(f"   went wrong: {_named(one)}: {one.error}", markup=False)
        if day.phase != phase or time.monotonic() - last >= TELL_EVERY_S:
            last, phase = time.monotonic(), day.phase
            console.print(_line(day), soft_wrap=True, markup=False)

    yield line


def _line(day: ChaosRun) -> str:
    progress = day.site.load.progress
    on = ", ".join(map(_named, day.on)) or "nothing"
    wrong = sum(1 for s in day.struck if s.error)
    return (
        f"{day.site.load.pace.past_s:5.0f} s  {day.phase}; {progress.placed} placed, "
        f"{progress.ended} ended; {len(day.struck)} of {len(day.plan)} faults, {wrong} went wrong; "
        f"broken now: {on}"
    )


def _named(one: InjectedFault) -> str:
    return f"{one.planned.kind.name}: {one.planned.target}"


def _view(day: ChaosRun) -> Group:
    progress = day.site.load.progress
    statuses = ", ".join(f"{n} {status}" for status, n in sorted(progress.statuses.items()))
    table = Table.grid(padding=(0, 2))
    table.add_row("", Text(f"{day.site.load.pace.past_s:.0f} s, {day.phase}", style="bold"))
    table.add_row(
        "orders", f"{progress.placed} of {progress.orders} placed, {progress.ended} ended"
    )
    table.add_row("", Text(statuses, style="dim"))
    table.add_row("faults", f"{len(day.struck)} of {len(day.plan)}")
    for one in day.on:
        table.add_row("  now", Text(_named(one), "yellow"))
    table.add_row("down", Text(", ".join(day.site.down()) or "nothing", "red"))
    for one in day.struck:
        if one.error:
            table.add_row("  wrong", Text(f"{one.planned.kind.name}: {one.error}", "bold red"))
    for finding in day.findings:
        told = "holds" if finding.holds else f"{finding.found} violations"
        table.add_row(
            f"  {finding.number}",
            Text(f"{finding.title}: {told}", "green" if finding.holds else "red"),
        )
    if not day.findings:
        table.add_row("invariants", Text("judged when all orders have ended", style="dim"))
    counts = Counter(s.planned.kind.name for s in day.struck)
    told = ", ".join(f"{n} {kind}" for kind, n in sorted(counts.items()))
    return Group(table, Text(told, style="dim"))


# --- the report -----------------------------------------------------------------------------------


def _tell(console: Console, made: ChaosReport, files: tuple[Path, Path]) -> None:
    table = Table(
        title=f"{made.faults_injected} faults of {made.kinds_injected} kinds", title_justify="left"
    )
    table.add_column("kind")
    for heading in ("times", "ready again", "recovered", "longest"):
        table.add_column(heading, justify="right")
    for row in made.kinds:
        times = (row["ready_s"], row["recovery_s"], row["longest_recovery_s"])
        cells = ("-" if s is None else f"{s:.1f} s" for s in times)
        table.add_row(row["kind"], str(row["times"]), *cells)
    console.print(table)
    console.print(f"orders: {made.orders}; " + ", ".join(f"{n} {e}" for e, n in made.ends.items()))
    console.print(f"longest time without an end: {made.longest_stall_s} s")
    for finding in made.invariants:
        verdict = "holds" if finding["holds"] else "VIOLATED"
        console.print(
            f"{finding['number']} {verdict}: {finding['title']} ({finding['checked_against']})",
            soft_wrap=True,
            markup=False,
        )
    for told in made.violations:
        console.print(told, style="red", soft_wrap=True, markup=False)
    console.print(f"{len(made.violations)} violations; to repeat: {made.command}", soft_wrap=True)
    for file in files:
        console.print(str(file), soft_wrap=True)
