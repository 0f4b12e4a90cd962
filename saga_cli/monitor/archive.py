"""Copy topics to an archive of files with checksums, or verify one: `saga archive`."""

from typing import TYPE_CHECKING

import click

from saga_cli.monitor.projection_access import (
    chosen_topics,
    errors_explained,
    monitor_access,
    topics_of,
)

if TYPE_CHECKING:
    from sagakit.archive.log_archive import LogArchive
    from sagakit.archive.manifest import Manifest

MB = 1_000_000


@click.command()
@click.argument("folder", metavar="FOLDER")
@click.option("--topics", help="Archive only these topics, separated by commas.")
@click.option("--verify", is_flag=True, help="Compare every file with its manifest; write nothing.")
@click.option("--dry-run", is_flag=True, help="Say how much would be copied, and write nothing.")
def archive(folder: str, topics: str | None, verify: bool, dry_run: bool) -> None:
    """Copy what the topics hold to the archive in FOLDER, for replays after they dropped it.

    FOLDER is a path, or the URL of an object store such as s3://bucket/folder. A second run copies
    what is new; one that was killed is simply run again. With --verify the exit status is 1 if a
    file is damaged or missing.
    """
    from saga_monitor.replay.sample import first_records
    from saga_monitor.replay.source import live_log
    from sagakit.archive.log_archive import existing_archive, log_archive
    from sagakit.contract.loader import load_contract
    from sagakit.kafka.inspector import LogEnds

    if verify and (dry_run or topics):
        raise click.UsageError("--verify reads the whole archive, and takes no other option")
    with errors_explained():
        if verify:
            _verify(existing_archive(folder), folder)
            return
        store = log_archive(folder)
        access = monitor_access()
        contract = load_contract(*access.contracts)
        live = live_log(access.bootstrap_servers)
        names = topics_of(contract, chosen_topics(topics))
        plan = store.plan(LogEnds(access.bootstrap_servers), names)
        if not plan.spans:
            click.echo(f"{folder} has all that the topics hold; nothing was written")
        elif dry_run:
            found, size = first_records(live, plan.spans)
            size_mb = plan.offsets * size / max(len(found), 1) / MB
            click.echo(
                f"{plan.offsets:,} records of {len(plan.spans)} partitions, about "
                f"{size_mb:,.1f} MB before compression; nothing was written"
            )
        else:
            records, written = store.extend(plan, live, _tell)
            click.echo(
                f"{records:,} records of {len(plan.spans)} partitions are archived in {folder}, "
                f"{written / MB:,.1f} MB"
            )


def _tell(manifest: "Manifest") -> None:
    file = manifest.files[-1]
    click.echo(f"{manifest.path(file.name)}  {file.records:,} records", err=True)


def _verify(store: "LogArchive", folder: str) -> None:
    """Print what a verification found. Raises ClickException for faults."""
    found = store.verify()
    for name in found.unnamed:
        click.echo(f"{name} is named by no manifest; a killed run left it, delete it", err=True)
    for fault in found.faults:
        click.echo(fault, err=True)
    if found.faults:
        raise click.ClickException(f"{len(found.faults)} faults in {folder}")
    click.echo(
        f"{found.files:,} files with {found.records:,} records ({found.bytes / MB:,.1f} MB) are "
        "what their manifests say"
    )
