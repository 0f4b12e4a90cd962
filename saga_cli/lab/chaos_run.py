"""Inject faults into real processes under load, and check every invariant, for `saga chaos`.

The seed chooses the sagas, the faults and their moments.
"""

import json
import sys
import time
from collections.abc import Mapping
from datetime import UTC, datetime
from pathlib import Path

from rich.console import Console
from rich.table import Table

from saga_cli.application import application
from saga_cli.lab.foreign_transactions import foreign_transactions
from saga_cli.lab.rehearsal import fresh_stack, progress, silence_logs
from saga_cli.output import console as wide_console
from saga_lab.application import Application, contract_of
from saga_lab.chaos.fault import FaultKind
from saga_lab.chaos.kinds import kinds_of, supported_kinds, unsupported_kinds
from saga_lab.chaos.load import Load
from saga_lab.chaos.report import ChaosReport, build_report
from saga_lab.chaos.runner import ChaosRun
from saga_lab.chaos.schedule import schedule
from saga_lab.chaos.site import Site
from saga_lab.devstack import disks
from saga_lab.devstack.errors import StackError
from saga_lab.devstack.options import StackOptions
from saga_lab.devstack.stack_file import default_home
from saga_lab.workload import workload_of
from saga_lab.workload.deadlines import waits
from sagakit.foreign_text import printable

WAIT = "15s"
"""How long a wait is, so that a fault can make a saga time out; the log shows which ones did."""
SAGAS_A_SECOND, FAULTS_A_MINUTE = 5, 10


def run(
    minutes: float,
    count: int | None,
    faults: int | None,
    seed: int,
    only: tuple[str, ...],
    brokers: str,
    registry: bool,
    open_transactions: bool,
    keep_up: bool,
) -> None:
    """Run the command. Raises SystemExit with its status."""
    console = wide_console(highlight=False)
    silence_logs()
    duration_s = minutes * 60
    chosen = application()
    count = count or round(duration_s * SAGAS_A_SECOND)
    faults = round(minutes * FAULTS_A_MINUTE) if faults is None else faults
    home = default_home() / "chaos"
    no_disks = disks.refusal(default_home())
    kinds, unsupported = _kinds(kinds_of(chosen), only, int(brokers), registry, no_disks)
    for name, reason in unsupported.items():
        console.print(f"left out: {name}: {reason}", style="yellow", markup=False, soft_wrap=True)
    options = _options(chosen, int(brokers), registry, no_disks is None)
    stack = fresh_stack(home, chosen, options, console)
    try:
        name = f"g{seed}-{datetime.now(UTC):%H%M%S}"
        load = Load(stack, workload_of(chosen).sagas(name, seed, count), duration_s)
        run = ChaosRun(Site(stack, load), schedule(seed, faults, duration_s, kinds))
        started_at, began = f"{datetime.now(UTC):%Y-%m-%dT%H:%M:%S}", time.monotonic()
        with progress(console, run) as on_progress:
            run.execute(on_progress, lambda: foreign_transactions(stack, open_transactions))
        words = [f"--minutes {minutes:g} --sagas {count} --faults {faults} --seed {seed}"]
        words += [f"--brokers {brokers}"] if brokers != "1" else []
        words += ["--registry"] if registry else []
        words += ["--open-transactions"] if open_transactions else []
        words += [f"--only {name!r}" for name in only]
        report = build_report(
            run,
            command=f"saga chaos {' '.join(words)}",
            seed=seed,
            unsupported_kinds=unsupported,
            started_at=started_at,
            lasted_s=time.monotonic() - began,
        )
    finally:
        if keep_up:
            console.print(
                f"the stack keeps running in {home}. To stop it and unmount its disks: "
                f"SAGA_HOME={home} saga down",
                soft_wrap=True,
                markup=False,
            )
        else:
            console.print("stopping the stack, all data is kept", style="dim")
            stack.down()
    _print_report(console, report, report.write(default_home() / "reports"))
    sys.exit(1 if report.violations else 0)


def _kinds(
    known: Mapping[str, FaultKind],
    only: tuple[str, ...],
    brokers: int,
    registry: bool,
    no_disks: str | None,
) -> tuple[tuple[FaultKind, ...], dict[str, str]]:
    """Return the kinds of faults to draw from, and kind -> reason for those not supported.

    With `only` there are no reasons. Raises StackError if it names an unsupported kind.
    """
    unsupported = unsupported_kinds(known, brokers, registry=registry, no_disks=no_disks)
    for name in only:
        if name in unsupported:
            raise StackError(f"{name!r} is not possible here: {unsupported[name]}.")
    supported = supported_kinds(known, brokers, registry=registry, no_disks=no_disks)
    kinds = tuple(kind for kind in supported if kind.name in only or not only)
    return kinds, {} if only else unsupported


def _options(chosen: Application, brokers: int, registry: bool, own_disks: bool) -> StackOptions:
    deadlines = dict.fromkeys(waits(contract_of(chosen).flows), WAIT)
    return StackOptions(
        port_base=0,
        links=True,
        brokers=brokers,
        registry=registry,
        disks=own_disks,
        env={"SAGA_DEADLINES": json.dumps(deadlines)},
    )


# --- the report -----------------------------------------------------------------------------------


def _print_report(console: Console, report: ChaosReport, files: tuple[Path, Path]) -> None:
    table = Table(
        title=f"{report.faults_injected} faults of {report.kinds_injected} kinds",
        title_justify="left",
    )
    table.add_column("kind")
    for heading in ("times", "target ready", "next saga completed", "longest"):
        table.add_column(heading, justify="right")
    for row in report.kinds:
        times = (row["ready_s"], row["recovery_s"], row["longest_recovery_s"])
        cells = ("-" if s is None else f"{s:.1f} s" for s in times)
        table.add_row(row["kind"], str(row["times"]), *cells)
    console.print(table)
    ends = ", ".join(f"{n} {end}" for end, n in report.ends.items())
    console.print(f"sagas: {report.sagas}; {ends}")
    console.print(f"longest time without a saga's end: {report.longest_stall_s} s")
    for finding in report.invariants:
        verdict = "holds" if finding["holds"] else "VIOLATED"
        console.print(
            f"{finding['number']} {verdict}: {finding['title']} ({finding['checked_against']})",
            soft_wrap=True,
            markup=False,
        )
    for violation in report.violations:
        console.print(printable(violation), style="red", soft_wrap=True, markup=False)
    console.print(
        f"{len(report.violations)} violations; repeat the run with: {report.command}",
        soft_wrap=True,
        markup=False,
    )
    for file in files:
        console.print(str(file), soft_wrap=True, markup=False)
