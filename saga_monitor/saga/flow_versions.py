"""Count sagas per flow version, and keep a version until its last saga has ended. Pure."""

from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from datetime import datetime

from saga_monitor.saga.times import utc_seconds
from sagakit.errors import ConfigurationError, UnknownFlow
from sagakit.flow.model import Flows


@dataclass(frozen=True, slots=True)
class Count:
    """Numbers of sagas on a version.

    label: name/version; oldest_at, oldest: start and id of the oldest saga in flight.
    """

    label: str
    in_flight: int
    ended: int
    oldest_at: datetime | None = None
    oldest: str | None = None


@dataclass(frozen=True, slots=True)
class Version:
    """A flow version with its numbers of sagas. declared: it is in a flow file."""

    flow: str
    declared: bool
    default: bool
    in_flight: int
    ended: int
    oldest_at: datetime | None
    oldest: str | None


def versions(flows: Flows, counts: Iterable[Count]) -> list[Version]:
    """Return every version that is declared or has sagas."""
    known = {count.label: count for count in counts}
    defaults = {flow.label(flow.default_version) for flow in flows}
    declared = [flow.label(version) for flow in flows for version in flow.versions]
    found = []
    for label in dict.fromkeys([*declared, *sorted(known)]):
        count = known.get(label, Count(label, 0, 0))
        found.append(
            Version(
                flow=label,
                declared=label in declared,
                default=label in defaults,
                in_flight=count.in_flight,
                ended=count.ended,
                oldest_at=count.oldest_at,
                oldest=count.oldest,
            )
        )
    return found


def reason_to_keep(
    label: str, flows: Flows, counts: Iterable[Count], read_through: datetime | None
) -> str | None:
    """Return why a version must stay in its flow file; None if it may be removed.

    read_through: log time up to which all partitions are read, None while that is unknown. Raises
    UnknownFlow.
    """
    flow, version = flows.find(label)
    if version == flow.default_version:
        return f"{label} is the default version, on which new sagas start; set another one first"
    if read_through is None:
        return "the monitor has not read all topics to their end, so it cannot tell yet; try again"
    count = next((c for c in counts if c.label == label and c.in_flight), None)
    if count is None:
        return None
    since = f" since {utc_seconds(count.oldest_at)}" if count.oldest_at else ""
    return (
        f"{label} still has {_sagas(count)} in flight, the oldest is {count.oldest}{since}; "
        "each ends on the version it started with: wait for that, `saga ls` lists them"
    )


def refuse_orphans(flows: Flows, counts: Sequence[Count]) -> None:
    """Raise ConfigurationError if a version was removed that still has sagas in flight."""
    orphaned = []
    for count in counts:
        try:
            flows.find(count.label)
        except UnknownFlow:
            if count.in_flight:
                orphaned.append(f"{count.label} ({_sagas(count)}, such as {count.oldest})")
    if orphaned:
        raise ConfigurationError(
            f"versions with sagas in flight are not in the flow files: {', '.join(orphaned)}; "
            "put them back into the contract's folder flows until `saga flows` shows none in flight"
        )


def _sagas(count: Count) -> str:
    return f"{count.in_flight} saga{'' if count.in_flight == 1 else 's'}"
