"""Rebuild a participant's lost database from the topics: `saga rebuild`."""

import os
import time
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from datetime import UTC, datetime, timedelta
from importlib import import_module
from typing import TYPE_CHECKING, Any

import click

from saga_cli.application import application
from saga_cli.declarations import LateChoice
from saga_cli.output import duration
from saga_cli.progress import Telling
from saga_lab.devstack.errors import StackError
from saga_lab.devstack.stack_file import default_home, read_manifest

if TYPE_CHECKING:
    from sagakit.recovery.plan import RebuildPlan
    from sagakit.recovery.rebuild import ProgressNote, Rebuild
    from sagakit.recovery.target import RebuildReport

SERVERS, REGISTRY = "SAGA_BOOTSTRAP_SERVERS", "SAGA_SCHEMA_REGISTRY_URL"
"""Both are taken from the environment if the first is set, else from the stack."""


def _participants() -> list[str]:
    return list(application().participants)


@click.command()
@click.argument("participant", type=LateChoice(_participants))
@click.option("--into", "url", required=True, metavar="DATABASE", help="URL of the new database.")
@click.option("--from-backup", is_flag=True, help="DATABASE is a restored backup of it.")
@click.option("--archive", metavar="FOLDER", help="Read this archive first (saga archive).")
@click.option("--dry-run", is_flag=True, help="Say what would be read and lost, and write nothing.")
@click.option("--accept-loss", is_flag=True, help="Rebuild although the log is not whole any more.")
def rebuild(
    participant: str,
    url: str,
    from_backup: bool,
    archive: str | None,
    dry_run: bool,
    accept_loss: bool,
) -> None:
    """Rebuild the lost database of PARTICIPANT from the topics into an empty one.

    With --from-backup a restored backup is brought up to date instead. Stop every replica first.
    Nothing is published or called: what was lost in flight waits in the new database, under the
    same idempotency keys, until the service is started on it. The same command goes on where it was
    ended. With --archive what the topics dropped is read from there. The monitor rebuilds itself:
    start it on an empty database.
    """
    from sagakit.flow.routing import topic
    from sagakit.recovery.plan import losses

    with errors_explained(), _prepared(participant, url, from_backup, archive) as prepared:
        plan = prepared.rebuild.plan()
        partitions = len({*plan.own, *plan.consumed})
        click.echo(f"{plan.offsets:,} records in {partitions} partitions", err=True)
        lost = losses(plan, topic(participant))
        for sentence in lost:
            click.echo(f"not recoverable: {sentence}", err=True)
        if lost and not (accept_loss or dry_run):
            raise click.ClickException(
                "give --archive, if the topics were archived; or restore a backup and give "
                "--from-backup, if there is one that is not older than what the log holds; "
                "--accept-loss goes on with what is there"
            )
        prepared.rebuild.check_usable()
        prepared.rebuild.refuse_running()
        if dry_run:
            click.echo("nothing was written")
            return
        report = prepared.run(plan)
        for line in report_lines(participant, report):
            click.echo(line)


@dataclass
class RebuildProgress:
    """Says how far a rebuild is, in offsets. done_before: by the runs before this one."""

    planned: int
    began_s: float
    done: int = 0
    done_before: int = 0
    memory_bytes: int = 0

    @property
    def left(self) -> int:
        """Return how many offsets are still to be read."""
        return max(self.planned - self.done, 0)

    @property
    def rate(self) -> float:
        """Return the offsets a second of this run."""
        return (self.done - self.done_before) / max(time.monotonic() - self.began_s, 0.001)

    @property
    def remaining_s(self) -> float | None:
        """Return the remaining time at this rate; None before anything was read."""
        return self.left / self.rate if self.rate else None


class _Prepared:
    """A rebuild with what tells its progress."""

    def __init__(self, rebuild: "Rebuild[Any]") -> None:
        self.rebuild = rebuild

    def run(self, plan: "RebuildPlan") -> "RebuildReport":
        """Rebuild, and tell how far it is."""
        with telling_rebuild(plan.offsets) as note:
            return self.rebuild.run(plan, note)


@contextmanager
def telling_rebuild(planned: int) -> Iterator["ProgressNote"]:
    """Yield what a rebuild of so many offsets notes its progress with; tell it, and the end."""
    from saga_monitor.replay.workers import memory_bytes

    progress = RebuildProgress(planned, time.monotonic())
    with Telling(planned) as telling:

        def note(offsets: int, *, before: bool = False) -> None:
            progress.done += offsets
            progress.done_before += offsets if before else 0
            progress.memory_bytes = memory_bytes()
            telling.note(progress)

        yield note
    took = duration(timedelta(seconds=time.monotonic() - progress.began_s))
    click.echo(f"{progress.done:,} records read in {took}", err=True)


@contextmanager
def _prepared(
    participant: str, url: str, from_backup: bool, archive: str | None
) -> Iterator[_Prepared]:
    from sagakit.archive.log_archive import existing_archive
    from sagakit.contract.loader import load_contract
    from sagakit.messages.codec import Codec
    from sagakit.messages.schema_registry import ConfluentRegistry
    from sagakit.recovery.rebuild import Rebuild, Rebuilt
    from sagakit.recovery.target import RebuildTarget
    from sagakit.store.schema import KIT

    found = application()
    service = import_module(f"{found.participants[participant].module}.service")
    contract = load_contract(*found.contract)
    servers, registry = _log()
    codec = Codec(contract, ConfluentRegistry(registry) if registry else None)
    what = Rebuilt(service.participant(), service.PROGRAM.migrations, codec, contract.flows)
    tables = (KIT.tables["inbox"], *what.participant.store.metadata.sorted_tables)
    backup = [table.name for table in tables] if from_backup else []
    archived = existing_archive(archive) if archive else None
    try:
        target = RebuildTarget(url, participant, backup)
    except ValueError as error:
        raise click.UsageError(f"--into: {error}") from error
    try:
        yield _Prepared(Rebuild(what, servers, target, lambda: datetime.now(UTC), archived))
    finally:
        target.close()


def _log() -> tuple[str, str | None]:
    """Return the brokers and the schema registry. Raises StackError."""
    if servers := os.environ.get(SERVERS):
        return servers, os.environ.get(REGISTRY)
    content = read_manifest(default_home())
    if not content:
        raise StackError(
            f"there is no stack in {default_home()}; set SAGA_HOME to the home of one, or {SERVERS}"
        )
    return content["bootstrap_servers"], content["urls"].get("registry")


def report_lines(participant: str, report: "RebuildReport") -> Sequence[str]:
    """Return what is told at the end. Pure."""
    counted = (
        ("asked again when the service starts", report.asked),
        ("published when the service starts", report.published),
        ("parked", report.parked),
    )
    lines = [f"{participant} is rebuilt: {report.sagas:,} sagas"]
    lines += [
        f"{what}: " + (", ".join(f"{n:,} {name}" for name, n in found.items()) or "nothing")
        for what, found in counted
    ]
    lines.append(f"not recovered: {report.lost:,} sagas")
    lines += [f"  {saga}: {why}" for saga, why in report.examples.items()]
    if report.lost > len(report.examples):
        lines.append("  and more, in the table rebuild_lost")
    lines += [f"rows violate a constraint: {constraint}" for constraint in report.violated]
    return lines


@contextmanager
def errors_explained() -> Iterator[None]:
    """Turn errors of a rebuild, of the brokers and of the database into those of the command."""
    from sqlalchemy import exc

    from sagakit.errors import ArchiveRefused, RecordsGone
    from sagakit.kafka.client import KafkaException
    from sagakit.recovery.target import RebuildRefused

    try:
        yield
    except (ArchiveRefused, RebuildRefused, RecordsGone, TimeoutError) as error:
        raise click.ClickException(str(error)) from error
    except KafkaException as error:
        raise click.ClickException(f"Kafka: {error.args[0].str()}; are the brokers up?") from error
    except exc.DBAPIError as error:
        raise click.ClickException(
            f"the database: {error.orig}; give the same command again once it answers"
        ) from error
