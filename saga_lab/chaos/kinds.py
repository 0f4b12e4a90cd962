"""The table of all kinds of faults, and the selection a stack supports."""

from dataclasses import replace

from saga_lab.chaos import bus, links, outside, processes, servers
from saga_lab.chaos.fault import Kind
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

KINDS: tuple[Kind, ...] = (
    Kind("service killed", "kill -9", processes.Killed, SERVICES),
    Kind("broker killed", "kill -9 of one", processes.Killed, BROKERS),
    Kind(
        "PostgreSQL killed",
        "kill -9 of the server, so an immediate stop",
        processes.Killed,
        ("postgres",),
    ),
    Kind("monitor killed", "kill -9", processes.Killed, (MONITOR,)),
    Kind(
        "outside world killed", "kill -9 of provider, carrier, mail server", processes.Killed, WORLD
    ),
    Kind("process stopped", "SIGTERM", processes.Terminated, OURS),
    Kind("paused shortly", "SIGSTOP, SIGCONT within the session", processes.Paused, OURS, SHORT),
    Kind(
        "paused past its session",
        "SIGSTOP, SIGCONT after the group has gone on",
        processes.Paused,
        OURS,
        PAST_SESSION,
    ),
    Kind(
        "zombie",
        "paused while a second replica takes its place, then woken",
        processes.Zombie,
        PARTICIPANTS,
        PAST_SESSION,
    ),
    Kind(
        "second replica killed",
        "a rebalance to it, a rebalance from it",
        processes.JoinedAndKilled,
        SERVICES,
        SHORT,
    ),
    Kind(
        "second monitor killed",
        "a rebalance to it, a rebalance from it",
        processes.JoinedAndKilled,
        (MONITOR,),
        SHORT,
    ),
    Kind(
        "relay's leader killed",
        "while a second replica waits for its place",
        processes.LeaderKilled,
        OURS,
        SHORT,
    ),
    Kind("broker gone", "all brokers stopped for 20 s", servers.AllStopped, ALL, (20.0, 20.0)),
    Kind(
        "broker lost",
        "kill -9 of one of three, kept away for 20 s",
        servers.BrokerLost,
        BROKERS,
        (20.0, 25.0),
        brokers=3,
    ),
    Kind(
        "leader moved",
        "one of three stopped, leadership moves; back, it is elected again",
        servers.LeaderMoved,
        BROKERS,
        SHORT,
        brokers=3,
    ),
    Kind("rolling restart", "everything, one after the other", processes.RollingRestart, ("all",)),
    Kind(
        "connections cut",
        "pg_terminate_backend in the middle of commits",
        servers.ConnectionsCut,
        OURS,
        SHORT,
    ),
    Kind(
        "tables locked", "somebody else holds the hot tables", servers.TablesLocked, OURS, A_WHILE
    ),
    Kind(
        "disk full",
        "of PostgreSQL: no room for data, or for its WAL",
        servers.DiskFull,
        DISKS,
        A_WHILE,
        disks=True,
    ),
    Kind("provider out", "503", outside.Out, ("provider",), A_WHILE),
    Kind("carrier out", "503", outside.Out, ("carrier",), A_WHILE),
    Kind("mail server out", "451", outside.Out, ("mail",), A_WHILE),
    Kind("slow answers", "done at once, answered late", outside.Slow, CALLERS, A_WHILE),
    Kind("garbage answers", "done, and answered with garbage", outside.Garbling, CALLERS, A_WHILE),
    Kind(
        "callbacks twice", "each again under the same id", outside.CallbacksTwice, CALLERS, A_WHILE
    ),
    Kind(
        "callbacks reversed",
        "kept back, the last first",
        outside.CallbacksReversed,
        CALLERS,
        A_WHILE,
    ),
    Kind("callbacks late", "kept back, then all at once", outside.CallbacksLate, CALLERS, A_WHILE),
    Kind("callbacks repeated", "of orders long ended", outside.CallbacksRepeated, CALLERS),
    Kind("callbacks forged", "unsigned, wrongly signed, stale", outside.CallbacksForged, CALLERS),
    Kind("clock ahead", "of one process, 30 s", processes.ClockAhead, OURS, A_WHILE),
    Kind("clock behind", "of one process, 30 s", processes.ClockBehind, OURS, A_WHILE),
    Kind("link cut", "connections reset, new ones too", links.Cut, tuple(LINKS), A_WHILE),
    Kind("link silent", "half open, then reset", links.Silent, tuple(LINKS), PAST_SESSION),
    Kind("link slow", "0.2 s for each piece", links.Slow, tuple(LINKS), A_WHILE),
    Kind(
        "poison storm",
        "60 records nobody can read",
        bus.PoisonStorm,
        tuple(f"{o}.events" for o in OWNERS),
    ),
    Kind("offsets reset", "a group reads everything again", bus.OffsetsReset, SERVICES),
    Kind(
        "topic recreated",
        "deleted, created empty, republished from the outbox",
        bus.RecreatedTopic,
        PARTICIPANTS,
        SHORT,
    ),
    Kind("rush", "ten times the load", bus.Rush, ("load",), (3.0, 6.0)),
)


def drawn(brokers: int, no_disks: str | None = None) -> tuple[Kind, ...]:
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
