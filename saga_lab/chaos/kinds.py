"""The table of all kinds of faults of an application, and the selection a stack supports."""

from collections.abc import Mapping, Sequence
from dataclasses import replace

from saga_lab.application import MONITOR, Application, resolve
from saga_lab.chaos import database_settings, kafka_data, links, processes, servers, transactions
from saga_lab.chaos.fault import OUTAGE, PAST_SESSION, SHORT, FaultKind
from saga_lab.devstack.disks import DISKS
from saga_lab.devstack.ports import BROKERS, PortTable
from saga_lab.devstack.topics import event_topics, republishers

KAFKA = ("kafka",)


def kinds_of(application: Application) -> dict[str, FaultKind]:
    """Return every kind of fault by name, those that the application adds among them.

    Raises ManifestError, ContractError and FlowError.
    """
    added: Sequence[FaultKind] = ()
    if application.chaos is not None:
        added = resolve(application, "lab.chaos", application.chaos)
    kinds = (
        *_of_processes(application),
        *_of_processes_that_live_on(application),
        *_of_replicas(application),
        *_of_servers(),
        *_of_databases(application),
        *_of_links(application),
        *_of_records(application),
        *_of_transactions(application),
        *added,
    )
    return {kind.name: kind for kind in kinds if kind.targets}


def _of_processes(application: Application) -> tuple[FaultKind, ...]:
    """Return the kinds that kill processes."""
    participants = tuple(application.participants)
    return (
        FaultKind(
            "service killed", "A service is killed (kill -9).", processes.ProcessKill, participants
        ),
        FaultKind(
            "broker killed", "One broker is killed (kill -9).", processes.ProcessKill, BROKERS
        ),
        FaultKind(
            "PostgreSQL killed",
            "The server is killed (kill -9) and stops at once.",
            processes.ProcessKill,
            ("postgres",),
        ),
        FaultKind(
            "monitor killed", "The monitor is killed (kill -9).", processes.ProcessKill, (MONITOR,)
        ),
        FaultKind(
            "outside world killed",
            "A fake of the outside world is killed (kill -9).",
            processes.ProcessKill,
            tuple(application.outside),
        ),
    )


def _of_processes_that_live_on(application: Application) -> tuple[FaultKind, ...]:
    """Return the kinds that stop or pause processes, or change their clocks."""
    everyone = application.databases
    return (
        FaultKind(
            "process stopped",
            "A process is asked to stop (SIGTERM).",
            processes.ProcessStop,
            everyone,
        ),
        FaultKind(
            "paused shortly",
            "A process is paused (SIGSTOP) and resumes before its session times out.",
            processes.ProcessPause,
            everyone,
            SHORT,
        ),
        FaultKind(
            "paused past its session",
            "A process is paused (SIGSTOP) and resumes after its session has timed out.",
            processes.ProcessPause,
            everyone,
            PAST_SESSION,
        ),
        FaultKind(
            "rolling restart",
            "All services and the monitor are restarted one after the other.",
            processes.RollingRestart,
            ("all",),
        ),
        FaultKind(
            "clock ahead",
            "The clock of one process is 30 s ahead.",
            processes.ClockAhead,
            everyone,
            OUTAGE,
        ),
        FaultKind(
            "clock behind",
            "The clock of one process is 30 s behind.",
            processes.ClockBehind,
            everyone,
            OUTAGE,
        ),
    )


def _of_replicas(application: Application) -> tuple[FaultKind, ...]:
    """Return the kinds that need a second replica."""
    participants = tuple(application.participants)
    replicated = tuple(p.name for p in application.participants.values() if p.replicas)
    everyone = application.databases
    return (
        FaultKind(
            "zombie",
            "A second replica takes the place of a paused process, which then resumes.",
            processes.Zombie,
            replicated,
            PAST_SESSION,
        ),
        FaultKind(
            "second replica killed",
            "A second replica joins, takes partitions and is killed.",
            processes.ReplicaKill,
            participants,
            SHORT,
        ),
        FaultKind(
            "second monitor killed",
            "A second monitor joins, takes partitions and is killed.",
            processes.ReplicaKill,
            (MONITOR,),
            SHORT,
        ),
        FaultKind(
            "relay's leader killed",
            "The relay's leader is killed while a second replica waits to lead.",
            processes.LeaderKill,
            everyone,
            SHORT,
        ),
    )


def _of_servers() -> tuple[FaultKind, ...]:
    """Return the kinds that break Kafka, or the registry of its schemas."""
    return (
        FaultKind(
            "broker gone",
            "All brokers are stopped for 20 s.",
            servers.BrokerShutdown,
            KAFKA,
            (20.0, 20.0),
        ),
        FaultKind(
            "broker lost",
            "One broker of three is killed (kill -9) and stays away for 20 s.",
            servers.BrokerLoss,
            BROKERS,
            (20.0, 25.0),
            brokers=3,
        ),
        FaultKind(
            "leader moved",
            "One broker of three stops, the others lead; it returns and is elected again.",
            servers.LeaderMove,
            BROKERS,
            SHORT,
            brokers=3,
        ),
        FaultKind(
            "registry gone",
            "The schema registry is stopped for 20 s.",
            servers.RegistryShutdown,
            ("registry",),
            (20.0, 20.0),
            registry=True,
        ),
    )


def _of_databases(application: Application) -> tuple[FaultKind, ...]:
    """Return the kinds that break the databases of a PostgreSQL server."""
    everyone = application.databases
    return (
        FaultKind(
            "connections cut",
            "PostgreSQL ends all connections of a service in the middle of commits.",
            servers.ConnectionCut,
            everyone,
            SHORT,
        ),
        FaultKind(
            "database read-only",
            "All transactions are made read-only, as after a failover.",
            database_settings.ReadOnly,
            ("postgres",),
            OUTAGE,
        ),
        FaultKind(
            "rights revoked",
            "A service may not write its tables any more.",
            database_settings.RightsRevoked,
            everyone,
            OUTAGE,
        ),
        FaultKind(
            "tight timeouts",
            "PostgreSQL ends a service's statements, transactions and sessions after a moment.",
            database_settings.TightTimeouts,
            everyone,
            OUTAGE,
        ),
        FaultKind(
            "tables locked",
            "Another session locks the tables that every transaction needs.",
            servers.TableLock,
            everyone,
            OUTAGE,
        ),
        FaultKind(
            "disk full",
            "PostgreSQL has no room left for its data, or for its WAL.",
            servers.DiskFull,
            DISKS,
            OUTAGE,
            disks=True,
        ),
    )


def _of_transactions(application: Application) -> tuple[FaultKind, ...]:
    """Return the kinds of publishers that write in transactions."""
    topics = tuple(event_topics(application))
    return (
        FaultKind(
            "transaction open",
            "Somebody publishes in a transaction, and commits it 14 s later.",
            transactions.OpenTransaction,
            topics,
        ),
        FaultKind(
            "transaction abandoned",
            "Somebody is killed inside a transaction, comes back and aborts it.",
            transactions.AbandonedTransaction,
            topics,
            PAST_SESSION,
        ),
    )


def _of_links(application: Application) -> tuple[FaultKind, ...]:
    """Return the kinds that break connections."""
    all_links = tuple(PortTable(application).link_offsets)
    return (
        FaultKind(
            "link cut",
            "The connections of a link are reset, and new ones as well.",
            links.LinkCut,
            all_links,
            OUTAGE,
        ),
        FaultKind(
            "link silent",
            "A link passes nothing on, and its connections are then reset.",
            links.SilentLink,
            all_links,
            PAST_SESSION,
        ),
        FaultKind(
            "link slow",
            "A link delays each piece of data by 0.2 s.",
            links.SlowLink,
            all_links,
            OUTAGE,
        ),
    )


def _of_records(application: Application) -> tuple[FaultKind, ...]:
    """Return the kinds that change what is on the topics, or how much."""
    participants = tuple(application.participants)
    return (
        FaultKind(
            "poison storm",
            "Somebody publishes 60 records that nobody can read.",
            kafka_data.UnreadableRecords,
            tuple(event_topics(application)),
        ),
        FaultKind(
            "hostile records",
            "Somebody publishes a header name that is no text, and 2 kB that unpack to 64 MiB.",
            kafka_data.HostileRecords,
            tuple(event_topics(application)),
        ),
        FaultKind(
            "offsets reset",
            "A consumer group reads everything again.",
            kafka_data.OffsetReset,
            participants,
        ),
        FaultKind(
            "topic recreated",
            "A topic is deleted, created empty and republished from the outbox.",
            kafka_data.TopicRecreation,
            republishers(application),
            SHORT,
        ),
        FaultKind(
            "rush",
            "Sagas arrive at ten times the usual rate.",
            kafka_data.LoadSpike,
            ("load",),
            (3.0, 6.0),
        ),
    )


def supported_kinds(
    kinds: Mapping[str, FaultKind],
    brokers: int,
    *,
    registry: bool = True,
    no_disks: str | None = None,
) -> tuple[FaultKind, ...]:
    """Return the kinds that a stack with this many brokers supports, with its targets only.

    `registry`: whether it has a schema registry. `no_disks`: why PostgreSQL has no disks of its
    own; None if it has.
    """
    missing = BROKERS[brokers:]
    unsupported = unsupported_kinds(kinds, brokers, registry=registry, no_disks=no_disks)
    return tuple(
        replace(kind, targets=tuple(t for t in kind.targets if t not in missing))
        for kind in kinds.values()
        if kind.name not in unsupported
    )


def unsupported_kinds(
    kinds: Mapping[str, FaultKind],
    brokers: int,
    *,
    registry: bool = True,
    no_disks: str | None = None,
) -> dict[str, str]:
    """Return the kinds that the stack does not support, name -> reason.

    The arguments are those of `supported_kinds`."""
    few = f"it needs three brokers and there is {brokers}; add --brokers 3"
    none = "it needs a schema registry; add --registry"
    return {
        **{kind.name: few for kind in kinds.values() if kind.brokers > brokers},
        **{kind.name: none for kind in kinds.values() if kind.registry and not registry},
        **{kind.name: no_disks for kind in kinds.values() if kind.disks and no_disks is not None},
    }
