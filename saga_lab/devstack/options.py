"""The options of a stack."""

from collections.abc import Mapping
from dataclasses import dataclass, field
from enum import StrEnum


class StackKind(StrEnum):
    """The source of Kafka and PostgreSQL; everything else runs the same code."""

    EMBEDDED = "embedded"
    CONTAINERS = "containers"
    EXTERNAL = "external"


@dataclass(frozen=True)
class StackOptions:
    """The options of `saga up`.

    `port_base`: first port of the table in `saga_lab.devstack.ports`; 0 picks free ports; None
    keeps the ports of the last run, or the default ones.
    `only`: names of processes, or of the groups `infra`, `world` and `services`; empty means
    everything. Kafka and PostgreSQL always run: nothing else can without them.
    `brokers`: number of Kafka brokers, 1 or 3 (with 3, every record has three replicas and is acked
    by two); None keeps that of the last run, or 1. A home never changes its number.
    `partitions`: number of partitions of each event topic; None keeps that of the last run, or the
    default. A home never changes this number either.
    `links`: participants reach PostgreSQL, Kafka and the fakes over TCP links that can be cut.
    `disks`: PostgreSQL has one disk for its data and one for its WAL, which can be filled
    (`saga_lab.devstack.disks`); a home has them from its first start or never.
    `env`: extra environment for the services and the monitor.
    """

    kind: StackKind = StackKind.EMBEDDED
    port_base: int | None = None
    registry: bool = False
    replicas: int = 1
    only: frozenset[str] = frozenset()
    brokers: int | None = None
    partitions: int | None = None
    links: bool = False
    disks: bool = False
    env: Mapping[str, str] = field(default_factory=dict)
