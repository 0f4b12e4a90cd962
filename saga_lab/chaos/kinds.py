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
    FaultKind("service killed", "kill -9", processes.ProcessKill, SERVICES),
    FaultKind("broker killed", "kill -9 of one", processes.ProcessKill, BROKERS),
    FaultKind(
        "PostgreSQL killed",
        "kill -9 of the server, so an immediate stop",
        processes.ProcessKill,
        ("postgres",),
    ),
    FaultKind("monitor killed", "kill -9", processes.ProcessKill, (MONITOR,)),
    FaultKind(
        "outside world killed",
        "kill -9 of provider, carrier, mail server",
        processes.ProcessKill,
        WORLD,
    ),
    FaultKind("process stopped", "SIGTERM", processes.ProcessStop, ALL),
    FaultKind(
        "paused shortly",
        "SIGSTOP, SIGCONT within the session",
        processes.ProcessPause,
        ALL,
        SHORT,
    ),
    FaultKind(
        "paused past its session",
        "SIGSTOP, SIGCONT after the group has gone on",
        processes.ProcessPause,
        ALL,
        PAST_SESSION,
    ),
    FaultKind(
        "zombie",
        "paused while a second replica takes its place, then woken",
        processes.Zombie,
        PARTICIPANTS,
        PAST_SESSION,
    ),
    FaultKind(
        "second replica killed",
        "a rebalance to it, a rebalance from it",
        processes.ReplicaKill,
        SERVICES,
        SHORT,
    ),
    FaultKind(
        "second monitor killed",
        "a rebalance to it, a rebalance from it",
        processes.ReplicaKill,
        (MONITOR,),
        SHORT,
    ),
    FaultKind(
        "relay's leader killed",
        "while a second replica waits for its place",
        processes.LeaderKill,
        ALL,
        SHORT,
    ),
    FaultKind(
        "broker gone",
        "all brokers stopped for 20 s",
        servers.BrokerShutdown,
        KAFKA,
        (20.0, 20.0),
    ),
    FaultKind(
        "broker lost",
        "kill -9 of one of three, kept away for 20 s",
        servers.BrokerLoss,
        BROKERS,
        (20.0, 25.0),
        brokers=3,
    ),
    FaultKind(
        "leader moved",
        "one of three stopped, leadership moves; back, it is elected again",
        servers.LeaderMove,
        BROKERS,
        SHORT,
        brokers=3,
    ),
    FaultKind(
        "rolling restart", "everything, one after the other", processes.RollingRestart, ("all",)
    ),
    FaultKind(
        "connections cut",
        "pg_terminate_backend in the middle of commits",
        servers.ConnectionCut,
        ALL,
        SHORT,
    ),
    FaultKind(
        "tables locked",
        "somebody else holds the hot tables",
        servers.TableLock,
        ALL,
        OUTAGE,
    ),
    FaultKind(
        "disk full",
        "of PostgreSQL: no room for data, or for its WAL",
        servers.DiskFull,
        DISKS,
        OUTAGE,
        disks=True,
    ),
    FaultKind("provider out", "503", providers.Outage, ("provider",), OUTAGE),
    FaultKind("carrier out", "503", providers.Outage, ("carrier",), OUTAGE),
    FaultKind("mail server out", "451", providers.Outage, ("mail",), OUTAGE),
    FaultKind(
        "slow answers", "done at once, answered late", providers.SlowAnswers, CALLERS, OUTAGE
    ),
    FaultKind(
        "garbage answers",
        "done, and answered with garbage",
        providers.GarbageAnswers,
        CALLERS,
        OUTAGE,
    ),
    FaultKind(
        "callbacks twice",
        "each again under the same id",
        providers.DuplicateCallbacks,
        CALLERS,
        OUTAGE,
    ),
    FaultKind(
        "callbacks reversed",
        "kept back, the last first",
        providers.ReversedCallbacks,
        CALLERS,
        OUTAGE,
    ),
    FaultKind(
        "callbacks late", "kept back, then all at once", providers.DelayedCallbacks, CALLERS, OUTAGE
    ),
    FaultKind("callbacks repeated", "of orders long ended", providers.ReplayedCallbacks, CALLERS),
    FaultKind(
        "callbacks forged", "unsigned, wrongly signed, stale", providers.ForgedCallbacks, CALLERS
    ),
    FaultKind("clock ahead", "of one process, 30 s", processes.ClockAhead, ALL, OUTAGE),
    FaultKind("clock behind", "of one process, 30 s", processes.ClockBehind, ALL, OUTAGE),
    FaultKind("link cut", "connections reset, new ones too", links.LinkCut, tuple(LINKS), OUTAGE),
    FaultKind("link silent", "half open, then reset", links.SilentLink, tuple(LINKS), PAST_SESSION),
    FaultKind("link slow", "0.2 s for each piece", links.SlowLink, tuple(LINKS), OUTAGE),
    FaultKind(
        "poison storm",
        "60 records nobody can read",
        kafka_data.UnreadableRecords,
        tuple(f"{o}.events" for o in OWNERS),
    ),
    FaultKind("offsets reset", "a group reads everything again", kafka_data.OffsetReset, SERVICES),
    FaultKind(
        "topic recreated",
        "deleted, created empty, republished from the outbox",
        kafka_data.TopicRecreation,
        PARTICIPANTS,
        SHORT,
    ),
    FaultKind("rush", "ten times the load", kafka_data.LoadSpike, ("load",), (3.0, 6.0)),
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
