"""Replay the log into a shadow beside the live projection: `saga replay`, `saga shadows`."""

import dataclasses
import os
from datetime import UTC, datetime, timedelta
from typing import TYPE_CHECKING

import click

from saga_cli.declarations import ID
from saga_cli.monitor.projection_access import (
    chosen_topics,
    errors_explained,
    monitor_access,
    topics_of,
)
from saga_cli.output import duration
from saga_cli.progress import MB, Telling

if TYPE_CHECKING:
    from saga_monitor.replay.pipeline import MonitorAccess
    from saga_monitor.replay.source import ReplayPlan
    from saga_monitor.replay.workers import ReplayProgress, ReplayRequest

SHADOW = click.argument("shadow", metavar="SHADOW")


@click.command()
@SHADOW
@click.option(
    "--from",
    "begin",
    default="earliest",
    show_default=True,
    help="Where to begin: earliest, a time, a duration before now such as 7d, or an offset.",
)
@click.option(
    "--to",
    "end",
    default="now",
    show_default=True,
    help="Where to end: now, a time, a duration before now, or an offset; it is not read itself.",
)
@click.option("--saga", type=ID, help="Replay this saga alone: its id, or flow/id.")
@click.option("--flow", type=ID, help="Replay the sagas of this flow alone.")
@click.option("--topics", help="Read only these topics, separated by commas.")
@click.option("--archive", metavar="FOLDER", help="Read what `saga archive` copied before the log.")
@click.option(
    "--workers",
    type=click.IntRange(1, 64),
    default=lambda: max(1, (os.cpu_count() or 2) // 2),
    help="Processes that fold. [default: one for two cores]",
)
@click.option("--restart", is_flag=True, help="Make the shadow again, whatever it holds.")
@click.option("--dry-run", is_flag=True, help="Say how much would be read, and read nothing.")
def replay(
    shadow: str,
    begin: str,
    end: str,
    saga: str | None,
    flow: str | None,
    topics: str | None,
    archive: str | None,
    workers: int,
    restart: bool,
    dry_run: bool,
) -> None:
    """Replay the log into the new SHADOW, a projection beside the live one.

    The shadow is the schema shadow_NAME in the monitor's database. No group is joined, nothing is
    published or called, and no live table is touched. The same command goes on where it was ended;
    the end stays the one that was planned at first.
    """
    from saga_monitor.replay.target import Shadow
    from saga_monitor.replay.workers import ReplayRequest
    from saga_monitor.replay.workers import replay as run

    access = dataclasses.replace(monitor_access(), archive=archive)
    chosen = chosen_topics(topics)
    request = ReplayRequest(begin, end, saga, flow, chosen, archive)
    with errors_explained():
        target = Shadow(access.database_url, shadow)
        plan = _plan(access, request)
        _tell_plan(plan)
        if dry_run:
            _tell_cost(access, plan, workers)
            return
        with Telling(plan.offsets) as telling:
            done = run(
                access, target, request, plan, workers=workers, restart=restart, note=telling.note
            )
        _tell_end(access, shadow, done)


@click.command()
@click.option("--drop", metavar="SHADOW", help="Drop this shadow.")
def shadows(drop: str | None) -> None:
    """List the shadows in the monitor's database, or drop one."""
    from saga_monitor.replay.target import Shadow
    from saga_monitor.replay.target import shadows as all_shadows
    from sagakit.store.postgres import engine_for

    access = monitor_access()
    with errors_explained():
        if drop is not None:
            target = Shadow(access.database_url, drop)
            if target.state() is None:
                raise click.ClickException(f"there is no shadow {drop}")
            with target.alone():
                target.drop()
            click.echo(f"dropped shadow {drop}")
            return
        engine = engine_for(access.database_url)
        names = all_shadows(engine)
        engine.dispose()
        for name in names:
            click.echo(f"{name}  {_state_of(access, name)}")
        if not names:
            click.echo("no shadows")


def _state_of(access: "MonitorAccess", name: str) -> str:
    from saga_monitor.replay.target import Shadow, ShadowRefused

    try:
        found = Shadow(access.database_url, name).state()
    except ShadowRefused as error:
        return str(error)
    if found is None:
        return "was dropped meanwhile"
    asked = ", ".join(f"{key} {value}" for key, value in found.request.items() if value)
    state = "complete" if found.finished_at else "not complete, the same replay goes on with it"
    state = "the former live projection" if found.former_live else state
    return f"{asked}; begun {found.began_at.astimezone(UTC):%Y-%m-%d %H:%M:%SZ}; {state}"


def _plan(access: "MonitorAccess", request: "ReplayRequest") -> "ReplayPlan":
    """Ask the brokers what lies between the bounds. Raises UsageError."""
    from saga_monitor.replay.bounds import parse_bound
    from saga_monitor.replay.source import plan_of
    from sagakit.contract.loader import load_contract
    from sagakit.kafka.inspector import LogEnds

    contract, now = load_contract(*access.contracts), datetime.now(UTC)
    flows = [flow.name for flow in contract.declared]
    if request.flow is not None and request.flow not in flows:
        raise click.UsageError(f"--flow {request.flow}: the flows are {', '.join(flows)}")
    topics = topics_of(contract, request.topics)
    try:
        begin, end = parse_bound(request.begin, now), parse_bound(request.end, now)
        log, archive = LogEnds(access.bootstrap_servers), access.log_archive()
        return plan_of(log, topics, begin, end, archive)
    except ValueError as error:
        raise click.UsageError(str(error)) from error


def _tell_plan(plan: "ReplayPlan") -> None:
    topics = {topic for topic, _ in plan.spans}
    click.echo(
        f"{plan.offsets:,} records in {len(plan.spans)} partitions of {len(topics)} topics",
        err=True,
    )
    if plan.cut:
        click.echo(
            f"the log no longer holds the first records of {len(plan.cut)} partitions: sagas that "
            "began before are incomplete in the shadow",
            err=True,
        )


def _tell_cost(access: "MonitorAccess", plan: "ReplayPlan", workers: int) -> None:
    from saga_monitor.replay.sample import sample

    found = sample(access, plan)
    if not found.records:
        click.echo("nothing to read")
        return
    size = plan.offsets * found.bytes / found.records / MB
    took = timedelta(seconds=plan.offsets * found.seconds_each / workers)
    click.echo(
        f"about {size:,.1f} MB, about {duration(took)} with {workers} workers; measured on "
        f"{found.records:,} records; nothing was written"
    )


def _tell_end(access: "MonitorAccess", shadow: str, done: "ReplayProgress") -> None:
    from saga_monitor.replay.compare import fingerprint
    from sagakit.store.postgres import engine_for

    engine = engine_for(access.database_url)
    with engine.connect() as connection:
        digest = fingerprint(connection, shadow)
    engine.dispose()
    step = done.done
    click.echo(
        f"shadow {shadow} is complete: {step.records:,} records read in "
        f"{duration(timedelta(seconds=done.elapsed_s))} ({done.rate:,.0f} a second), "
        f"{step.events:,} events, {step.unreadable:,} unreadable, "
        f"{done.memory_bytes / MB:,.0f} MB of memory"
    )
    click.echo(f"fingerprint {digest}; `saga diff live {shadow}` compares it with the live one")
