"""The table of all kinds of faults, and the selection a stack supports."""

from dataclasses import replace

from saga_lab.chaos import kafka_data, links, processes, providers, servers
from saga_lab.chaos.fault import FaultKind
from saga_lab.devstack.disks import DISKS
from saga_lab.devstack.ports import BROKERS, LINKS
from saga_lab.devstack.processes import MONITOR, SERVICES, WORLD
from saga_lab.devstack.topics import OWNERS

PARTICIPANTS = SERVICES[1:]
ALL = (*SERVICES, MONITOR)
CALLERS = ("provider", "carrier")
KAFKA = ("kafka",)
SHORT, PAST_SESSION, OUTAGE = (1.0, 6.0), (12.0, 16.0), (5.0, 12.0)
"""Seconds. A consumer's session times out after 10 s without a heartbeat."""

KINDS: tuple[FaultKind, ...] = (
    FaultKind("service killed", "A service is killed (kill -9).", processes.ProcessKill, SERVICES),
    FaultKind("broker killed", "One broker is killed (kill -9).", processes.ProcessKill, BROKERS),
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
        "The provider, the carrier or the mail server is killed (kill -9).",
        processes.ProcessKill,
        WORLD,
    ),
    FaultKind(
        "process stopped", "A process is asked to stop (SIGTERM).", processes.ProcessStop, ALL
    ),
    FaultKind(
        "paused shortly",
        "A process is paused (SIGSTOP) and resumes before its session times out.",
        processes.ProcessPause,
        ALL,
        SHORT,
    ),
    FaultKind(
        "paused past its session",
        "A process is paused (SIGSTOP) and resumes after its session has timed out.",
        processes.ProcessPause,
        ALL,
        PAST_SESSION,
    ),
    FaultKind(
        "zombie",
        "A second replica takes the place of a paused process, which then resumes.",
        processes.Zombie,
        PARTICIPANTS,
        PAST_SESSION,
    ),
    FaultKind(
        "second replica killed",
        "A second replica joins, takes partitions and is killed.",
        processes.ReplicaKill,
        SERVICES,
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
        ALL,
        SHORT,
    ),
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
        "rolling restart",
        "All services and the monitor are restarted one after the other.",
        processes.RollingRestart,
        ("all",),
    ),
    FaultKind(
        "connections cut",
        "PostgreSQL ends all connections of a service in the middle of commits.",
        servers.ConnectionCut,
        ALL,
        SHORT,
    ),
    FaultKind(
        "tables locked",
        "Another session locks the tables that every transaction needs.",
        servers.TableLock,
        ALL,
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
    FaultKind(
        "provider out",
        "The provider answers 503 and does nothing.",
        providers.Outage,
        ("provider",),
        OUTAGE,
    ),
    FaultKind(
        "carrier out",
        "The carrier answers 503 and does nothing.",
        providers.Outage,
        ("carrier",),
        OUTAGE,
    ),
    FaultKind(
        "mail server out",
        "The mail server answers 451 and does nothing.",
        providers.Outage,
        ("mail",),
        OUTAGE,
    ),
    FaultKind(
        "slow answers",
        "The fake executes each request at once and answers late.",
        providers.SlowAnswers,
        CALLERS,
        OUTAGE,
    ),
    FaultKind(
        "garbage answers",
        "The fake executes each request and answers with garbage.",
        providers.GarbageAnswers,
        CALLERS,
        OUTAGE,
    ),
    FaultKind(
        "callbacks twice",
        "Each callback is sent again under the same id.",
        providers.DuplicateCallbacks,
        CALLERS,
        OUTAGE,
    ),
    FaultKind(
        "callbacks reversed",
        "Callbacks are kept back and then sent in reverse order.",
        providers.ReversedCallbacks,
        CALLERS,
        OUTAGE,
    ),
    FaultKind(
        "callbacks late",
        "Callbacks are kept back and then sent all at once.",
        providers.DelayedCallbacks,
        CALLERS,
        OUTAGE,
    ),
    FaultKind(
        "callbacks repeated",
        "Callbacks of orders that ended long ago are sent again.",
        providers.ReplayedCallbacks,
        CALLERS,
    ),
    FaultKind(
        "callbacks forged",
        "Somebody sends callbacks that are unsigned, wrongly signed or stale.",
        providers.ForgedCallbacks,
        CALLERS,
    ),
    FaultKind(
        "clock ahead", "The clock of one process is 30 s ahead.", processes.ClockAhead, ALL, OUTAGE
    ),
    FaultKind(
        "clock behind",
        "The clock of one process is 30 s behind.",
        processes.ClockBehind,
        ALL,
        OUTAGE,
    ),
    FaultKind(
        "link cut",
        "The connections of a link are reset, and new ones as well.",
        links.LinkCut,
        tuple(LINKS),
        OUTAGE,
    ),
    FaultKind(
        "link silent",
        "A link passes nothing on, and its connections are then reset.",
        links.SilentLink,
        tuple(LINKS),
        PAST_SESSION,
    ),
    FaultKind(
        "link slow",
        "A link delays each piece of data by 0.2 s.",
        links.SlowLink,
        tuple(LINKS),
        OUTAGE,
    ),
    FaultKind(
        "poison storm",
        "Somebody publishes 60 records that nobody can read.",
        kafka_data.UnreadableRecords,
        tuple(f"{o}.events" for o in OWNERS),
    ),
    FaultKind(
        "offsets reset",
        "A consumer group reads everything again.",
        kafka_data.OffsetReset,
        SERVICES,
    ),
    FaultKind(
        "topic recreated",
        "A topic is deleted, created empty and republished from the outbox.",
        kafka_data.TopicRecreation,
        PARTICIPANTS,
        SHORT,
    ),
    FaultKind(
        "rush",
        "Orders arrive at ten times the usual rate.",
        kafka_data.LoadSpike,
        ("load",),
        (3.0, 6.0),
    ),
)


def supported_kinds(brokers: int, no_disks: str | None = None) -> tuple[FaultKind, ...]:
    """Return the kinds that a stack with this many brokers supports, with its targets only.

    `no_disks`: why PostgreSQL has no disks of its own; None if it has.
    """
    missing, unsupported = BROKERS[brokers:], unsupported_kinds(brokers, no_disks)
    return tuple(
        replace(kind, targets=tuple(t for t in kind.targets if t not in missing))
        for kind in KINDS
        if kind.name not in unsupported
    )


def unsupported_kinds(brokers: int, no_disks: str | None = None) -> dict[str, str]:
    """Return the kinds that the stack does not support, name -> reason.

    The arguments are those of `supported_kinds`."""
    few = f"it needs three brokers and there is {brokers}; add --brokers 3"
    return {
        **{kind.name: few for kind in KINDS if kind.brokers > brokers},
        **{kind.name: no_disks for kind in KINDS if kind.disks and no_disks is not None},
    }


BY_NAME = {kind.name: kind for kind in KINDS}
