"""Fill empty topics from an archive: `saga restore`."""

import os
from collections.abc import Iterable
from typing import TYPE_CHECKING

import click

from saga_cli.monitor.projection_access import (
    chosen_topics,
    errors_explained,
    monitor_access,
    topics_of,
)
from saga_monitor import GROUP

if TYPE_CHECKING:
    from sagakit.archive.restore import PartitionToRestore


@click.command()
@click.argument("folder", metavar="FOLDER")
@click.option("--topics", help="Restore only these topics, separated by commas.")
@click.option("--dry-run", is_flag=True, help="Say how much would be published, and publish none.")
def restore(folder: str, topics: str | None, dry_run: bool) -> None:
    """Fill the empty topics from the archive in FOLDER, after they were lost.

    First stop every service and the monitor, and create the topics with as many partitions as they
    had. Each record is published again to its partition, with the time that it had. A run that was
    killed is simply run again. What was never archived stays lost.
    """
    from saga_monitor.replay.source import live_log
    from sagakit.archive.log_archive import existing_archive
    from sagakit.archive.restore import restore as copy_all
    from sagakit.archive.restore import what_to_restore
    from sagakit.contract.loader import load_contract
    from sagakit.kafka.inspector import LogEnds
    from sagakit.kafka.publisher import PublishFailed
    from sagakit.kafka.record_copier import RecordCopier

    with errors_explained():
        archive, access = existing_archive(folder), monitor_access()
        contract = load_contract(*access.contracts)
        names, servers = topics_of(contract, chosen_topics(topics)), access.bootstrap_servers
        _refuse_readers(servers, [*contract.participants, os.environ.get("SAGA_GROUP", GROUP)])
        found = what_to_restore(archive, LogEnds(servers), live_log(servers), names)
        if dry_run or not any(partition.left for partition in found):
            click.echo(f"{_count(found):,} records are to be restored; nothing was published")
            return
        try:
            with click.progressbar(length=_count(found), label="restoring") as bar:
                records = copy_all(
                    archive, found, RecordCopier(servers).copy, lambda n: bar.update(n - bar.pos)
                )
        except PublishFailed as error:
            raise click.ClickException(f"{error}; run it again, it goes on there") from error
    click.echo(f"{records:,} records are restored to {len(found)} partitions")


def _count(found: "Iterable[PartitionToRestore]") -> int:
    return sum(partition.left for partition in found)


def _refuse_readers(servers: str, groups: Iterable[str]) -> None:
    """Raise ClickException if anybody reads: a service would publish newer events in between."""
    from sagakit.kafka.group_guard import GroupGuard

    running = [group for group in groups if GroupGuard(servers, group, 0).clients()]
    if running:
        raise click.ClickException(
            f"{', '.join(running)} still read; stop every service and the monitor first, and wait "
            "10 s for one that was killed"
        )
