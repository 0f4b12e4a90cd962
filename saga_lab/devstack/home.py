"""Settles what a home keeps from its last run: ports, brokers, partitions.

Options that contradict it are refused. Pure, except for checking
which ports are free and which manifest exists.
"""

from collections.abc import Mapping
from pathlib import Path
from typing import Any

from saga_lab.application import FILE_NAME, Application
from saga_lab.devstack.errors import StackError
from saga_lab.devstack.options import StackKind, StackOptions
from saga_lab.devstack.ports import DEFAULT_BASE, PortTable, of_brokers
from saga_lab.devstack.processes import replicas_of
from saga_lab.devstack.topics import DEFAULT_PARTITIONS


def assign_ports(
    application: Application, options: StackOptions, before: Mapping[str, Any]
) -> tuple[int, dict[str, int]]:
    """Return the port base and a port for each name.

    Ports of the last run are kept unless the base changed. Raises `StackError`.
    """
    last_base = before.get("port_base", DEFAULT_BASE)
    base = last_base if options.port_base is None else options.port_base
    kept = before.get("ports", {}) if base == last_base else {}
    table = PortTable(application)
    replicas = [
        name for part in application.participants.values() for name in replicas_of(part, options)
    ]
    brokers = _brokers(options, before)
    kafka = of_brokers(("kafka", "controller"), brokers)
    links = table.links(brokers) if options.links else ()
    names = dict.fromkeys(
        (*table.offsets, *kafka, *links, *(n for n in replicas if not n.endswith("-1")))
    )
    return base, table.assign(names, base, kept)


def _brokers(options: StackOptions, before: Mapping[str, Any]) -> int:
    """Return the number of brokers of this home. Raises `StackError` if the options change it.

    It is fixed at the first start.
    """
    if (options.brokers or 1) > 1 and options.kind is not StackKind.EMBEDDED:
        raise StackError(
            f"--brokers {options.brokers} is for the embedded stack, not for "
            f"--stack={options.kind}: leave one of the two options away."
        )
    if not before:
        return options.brokers or 1
    present: int = before.get("brokers", 1)
    if options.brokers not in (None, present):
        raise StackError(
            f"this home's Kafka was made with --brokers {present}, not {options.brokers}, and its "
            "records stay where they are. Use another SAGA_HOME, or remove this one."
        )
    return present


def partitions_of(options: StackOptions, before: Mapping[str, Any]) -> int:
    """Return the number of partitions of each event topic of this home.

    Raises `StackError` if the options change it: a saga's events would end up on two partitions.
    """
    if not before:
        return options.partitions or DEFAULT_PARTITIONS
    present: int = before.get("partitions", DEFAULT_PARTITIONS)
    if options.partitions not in (None, present):
        raise StackError(
            f"this home's topics were made with {present} partitions, not {options.partitions}. "
            "Use another SAGA_HOME, or remove this one."
        )
    return present


def check_application(application: Application, before: Mapping[str, Any]) -> None:
    """Raise `StackError` if this home has the data of another application.

    The manifest of the other one has to be where it was: an application may have been moved.
    """
    there = Path(before.get("application", application.folder))
    if there != application.folder and (there / FILE_NAME).exists():
        raise StackError(
            f"this home has the data of the application in {there}, not of that in "
            f"{application.folder}. Use another SAGA_HOME, or remove this one."
        )


def check_compatible(options: StackOptions, before: Mapping[str, Any]) -> None:
    """Raise `StackError` for an option that a running stack cannot change."""
    changes = {
        "--stack": (str(options.kind), before["stack"]),
        "--port-base": (options.port_base, before["port_base"]),
    }
    for option, (wanted, present) in changes.items():
        if wanted is not None and wanted != present:
            raise StackError(
                f"the stack is running with {option} {present}, not {wanted}. "
                "Stop it with `saga down` first; its data is kept."
            )
