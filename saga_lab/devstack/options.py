"""What a caller can choose about a stack."""

from collections.abc import Mapping
from dataclasses import dataclass, field
from enum import StrEnum


class Kind(StrEnum):
    """Where Kafka and PostgreSQL come from; everything after them is the same code."""

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
    `brokers`: how many brokers Kafka has, 1 or 3 (then every record has three copies, two of which
    acknowledge it); None keeps those of the last run, or one. A home keeps its number for good.
    `partitions`: of each event topic; None keeps those of the last run, or the default. A home
    keeps this number for good, too.
    `links`: between the services and what they talk to lie TCP links that can be cut.
    `disks`: PostgreSQL's data and its WAL lie on a disk each that can be filled (`stack.disks`); a
    home begins with them or has none.
    `env`: extra environment for the services and the monitor.
    """

    kind: Kind = Kind.EMBEDDED
    port_base: int | None = None
    registry: bool = False
    replicas: int = 1
    only: frozenset[str] = frozenset()
    brokers: int | None = None
    partitions: int | None = None
    links: bool = False
    disks: bool = False
    env: Mapping[str, str] = field(default_factory=dict)
