"""The table of all kinds of faults, and the selection a stack supports."""

from dataclasses import replace

from saga_lab.chaos import bus, links, outside, processes, servers
from saga_lab.chaos.fault import FaultKind
from saga_lab.devstack.disks import DISKS
from saga_lab.devstack.ports import BROKERS, LINKS
from saga_lab.devstack.processes import MONITOR, SERVICES, WORLD
from saga_lab.devstack.topics import OWNERS

PARTICIPANTS = SERVICES[1:]
OURS = (*SERVICES, MONITOR)
CALLERS = ("provider", "carrier")
ALL = ("kafka",)
SHORT, PAST_SESSION, A_WHILE = (1.0, 6.0), (12.0, 16.0), (5.0, 12.0)
"""Seconds. A consumer's session times out after 10 s without a heartbeat."""

KINDS: tuple[FaultKind, ...] = (
    FaultKind("service killed", "kill -9", processes.Killed, SERVICES),
    FaultKind("broker killed", "kill -9 of one", processes.Killed, BROKERS),
    FaultKind(
        "PostgreSQL killed",
        "kill -9 of the server, so an immediate stop",
        processes.Killed,
        ("postgres",),
    ),
    FaultKind("monitor killed", "kill -9", processes.Killed, (MONITOR,)),
    FaultKind(
        "outside world killed", "kill -9 of provider, carrier, mail server", processes.Killed, WORLD
    ),
    FaultKind("process stopped", "SIGTERM", processes.Terminated, OURS),
    FaultKind(
        "paused shortly", "SIGSTOP, SIGCONT within the session", processes.Paused, OURS, SHORT
    ),
    FaultKind(
        "paused past its session",
        "SIGSTOP, SIGCONT after the group has gone on",
        processes.Paused,
        OURS,
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
        processes.JoinedAndKilled,
        SERVICES,
        SHORT,
    ),
    FaultKind(
        "second monitor killed",
        "a rebalance to it, a rebalance from it",
        processes.JoinedAndKilled,
        (MONITOR,),
        SHORT,
    ),
    FaultKind(
        "relay's leader killed",
        "while a second replica waits for its place",
        processes.LeaderKilled,
        OURS,
        SHORT,
    ),
    FaultKind("broker gone", "all brokers stopped for 20 s", servers.AllStopped, ALL, (20.0, 20.0)),
    FaultKind(
        "broker lost",
        "kill -9 of one of three, kept away for 20 s",
        servers.BrokerLost,
        BROKERS,
        (20.0, 25.0),
        brokers=3,
    ),
    FaultKind(
        "leader moved",
        "one of three stopped, leadership moves; back, it is elected again",
        servers.LeaderMoved,
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
        servers.ConnectionsCut,
        OURS,
        SHORT,
    ),
    FaultKind(
        "tables locked", "somebody else holds the hot tables", servers.TablesLocked, OURS, A_WHILE
    ),
    FaultKind(
        "disk full",
        "of PostgreSQL: no room for data, or for its WAL",
        servers.DiskFull,
        DISKS,
        A_WHILE,
        disks=True,
    ),
    FaultKind("provider out", "503", outside.Out, ("provider",), A_WHILE),
    FaultKind("carrier out", "503", outside.Out, ("carrier",), A_WHILE),
    FaultKind("mail server out", "451", outside.Out, ("mail",), A_WHILE),
    FaultKind("slow answers", "done at once, answered late", outside.AnswersSlow, CALLERS, A_WHILE),
    FaultKind(
        "garbage answers", "done, and answered with garbage", outside.Garbling, CALLERS, A_WHILE
    ),
    FaultKind(
        "callbacks twice", "each again under the same id", outside.CallbacksTwice, CALLERS, A_WHILE
    ),
    FaultKind(
        "callbacks reversed",
        "kept back, the last first",
        outside.CallbacksReversed,
        CALLERS,
        A_WHILE,
    ),
    FaultKind(
        "callbacks late", "kept back, then all at once", outside.CallbacksLate, CALLERS, A_WHILE
    ),
    FaultKind("callbacks repeated", "of orders long ended", outside.CallbacksRepeated, CALLERS),
    FaultKind(
        "callbacks forged", "unsigned, wrongly signed, stale", outside.CallbacksForged, CALLERS
    ),
    FaultKind("clock ahead", "of one process, 30 s", processes.ClockAhead, OURS, A_WHILE),
    FaultKind("clock behind", "of one process, 30 s", processes.ClockBehind, OURS, A_WHILE),
    FaultKind("link cut", "connections reset, new ones too", links.Cut, tuple(LINKS), A_WHILE),
    FaultKind("link silent", "half open, then reset", links.Silent, tuple(LINKS), PAST_SESSION),
    FaultKind("link slow", "0.2 s for each piece", links.LinkSlow, tuple(LINKS), A_WHILE),
    FaultKind(
        "poison storm",
        "60 records nobody can read",
        bus.PoisonStorm,
        tuple(f"{o}.events" for o in OWNERS),
    ),
    FaultKind("offsets reset", "a group reads everything again", bus.OffsetsReset, SERVICES),
    FaultKind(
        "topic recreated",
        "deleted, created empty, republished from the outbox",
        bus.RecreatedTopic,
        PARTICIPANTS,
        SHORT,
    ),
    FaultKind("rush", "ten times the load", bus.Rush, ("load",), (3.0, 6.0)),
)


def drawn(brokers: int, no_disks: str | None = None) -> tuple[FaultKind, ...]:
    """Return the kinds that a stack with this many brokers supports, with its targets only.

    `no_disks`: why PostgreSQL has no disks of its own; None if it has.
    """
    missing, left = BROKERS[brokers:], left_out(brokers, no_disks)
    return tuple(
        replace(kind, targets=tuple(t for t in kind.targets if t not in missing))
        for kind in KINDS
        if kind.name not in left
    )


def left_out(brokers: int, no_disks: str | None = None) -> dict[str, str]:
    """Return the kinds that the stack does not support, name -> reason. Arguments as in `drawn`."""
    few = f"it takes three brokers, add --brokers 3; there is {brokers}"
    return {
        **{kind.name: few for kind in KINDS if kind.brokers > brokers},
        **{kind.name: no_disks for kind in KINDS if kind.disks and no_disks is not None},
    }


BY_NAME = {kind.name: kind for kind in KINDS}
