"""Assigns the port on which each part of the stack listens.

From the base (18000 by default) on, always on 127.0.0.1:

| offset | what |
|---|---|
| 0 to 3 | kafka, controller, postgres, registry |
| 10 to 19 | the participants in the order of the manifest, but 15 is the monitor's |
| 20 to 28 | the fakes in the order of the manifest, each before its further ports |
| 29 | links |
| 30 to 39, 40 to 49 | the links to PostgreSQL and to Kafka, in the order of 10 to 19 |
| 50 to 59 | the broker's listeners behind the links to Kafka |
| 60 to 99 | the links to fakes |

What finds no place there has the same place 1000 higher: the tenth participant listens on 19010.

Replica n of a participant listens 100 * (n - 1) higher: the second one of the first
participant on 18110. Broker n, its controller, its listeners and the links to it are 100 * (n - 1)
higher as well: kafka-2 on 18100.
"""

import secrets
import socket
from collections.abc import Iterable, Mapping, Sequence, Set
from functools import cached_property

from saga_lab.application.model import MONITOR, Application
from saga_lab.devstack.errors import StackError

HOST = "127.0.0.1"
DEFAULT_BASE = 18000
_OF_MONITOR = 15
_FOR_PARTICIPANTS = tuple(offset for offset in range(10, 20) if offset != _OF_MONITOR)
_FOR_FAKES, _LINKS, _FOR_CALLS = range(20, 29), 29, range(60, 100)
_BLOCK = 1000
# Server -> first offset of the links to it; and of the broker's listeners behind them.
_TO = {"postgres": 30, "kafka": 40}
_LISTENERS = 50
BROKERS = ("kafka", "kafka-2", "kafka-3")
"""Names of the broker processes; a stack with n brokers has the first n."""
# Free ports are taken from below the ephemeral range (from 32768 on Linux): the kernel could give a
# port of that range to an outgoing connection while, say, the broker restarts.
_FREE_FIRST, _FREE_LAST = 20000, 31999


def of_broker(name: str, broker: str) -> str:
    """Return the port name for that broker, such as `controller-2` for `controller` of kafka-2."""
    return f"{name}{broker.removeprefix('kafka')}"


def of_brokers(names: Iterable[str], brokers: int) -> list[str]:
    """Return these port names for each of the first `brokers` brokers."""
    return [of_broker(name, broker) for name in names for broker in BROKERS[:brokers]]


class PortTable:
    """The ports of one application's stack, as offsets from a base."""

    def __init__(self, application: Application) -> None:
        self._application = application
        self._listens_on = {
            **{b: (b, f"controller{b.removeprefix('kafka')}") for b in BROKERS},
            **{fake.name: (fake.name, *fake.ports) for fake in application.outside.values()},
            "links": ("links", *self.link_offsets),
        }

    @cached_property
    def offsets(self) -> Mapping[str, int]:
        """Part -> offset: what every stack has, the participants, and the fakes with their ports.

        Registry and links have one in every stack, whether they run or not.
        """
        application = self._application
        fakes = [n for f in application.outside.values() for n in (f.name, *f.ports)]
        return {
            "kafka": 0,
            "controller": 1,
            "postgres": 2,
            "registry": 3,
            **_places(application.participants, _FOR_PARTICIPANTS),
            MONITOR: _OF_MONITOR,
            **_places(fakes, _FOR_FAKES),
            "links": _LINKS,
        }

    @cached_property
    def link_offsets(self) -> Mapping[str, int]:
        """Link, such as `runner>kafka` -> offset of its own port."""
        calls = [f"{participant}>{fake}" for participant, fake in self._application.calls()]
        return {
            **{f"{name}>{to}": n + i for to, n in _TO.items() for name, i in self._linked},
            **_places(calls, _FOR_CALLS),
        }

    @cached_property
    def listener_offsets(self) -> Mapping[str, int]:
        """Broker's listener behind a link to Kafka, such as `kafka<runner` -> offset."""
        return {f"kafka<{name}": _LISTENERS + i for name, i in self._linked}

    @property
    def _linked(self) -> list[tuple[str, int]]:
        """Return what has links to Kafka and PostgreSQL, with its distance from participant one."""
        first = _FOR_PARTICIPANTS[0]
        return [(name, self.offsets[name] - first) for name in self._application.databases]

    def links(self, brokers: int) -> list[str]:
        """Return the port names of all links, and of the broker listeners behind links to Kafka."""
        to_kafka = [name for name in self.link_offsets if name.endswith(">kafka")]
        return [
            *(name for name in self.link_offsets if name not in to_kafka),
            *of_brokers([*self.listener_offsets, *to_kafka], brokers),
        ]

    def assign(self, names: Iterable[str], base: int, kept: Mapping[str, int]) -> dict[str, int]:
        """Return a port for each name: the kept one, else that of the table, or free for base 0.

        A name is that of a part, link or listener, if need be with a number (`runner-2`). Raises
        `StackError`.
        """
        if not base:
            return free_ports(names, kept)
        return {name: kept.get(name) or self._port(name, base) for name in names}

    def listening(self, processes: Iterable[str], ports: Mapping[str, int]) -> dict[str, int]:
        """Return the ports on which these processes will listen, by port name."""
        names = (name for p in processes for name in self._listens_on.get(p, (p,)))
        return {name: ports[name.removesuffix("-1")] for name in names}

    def _port(self, name: str, base: int) -> int:
        part, _, replica = name.partition("-")
        offsets = {**self.offsets, **self.link_offsets, **self.listener_offsets}
        port = base + offsets[part] + 100 * (int(replica or 1) - 1)
        if not 0 < port < 65536:
            raise StackError(
                f"port {port} for {name} does not exist: --port-base {base} is out of range. "
                f"Choose one from 1024 to 60000, or 0 for free ports."
            )
        return port


def _places(names: Iterable[str], offsets: Sequence[int]) -> dict[str, int]:
    """Return an offset for each name; those that are left over begin again, 1000 higher."""
    return {
        name: offsets[n % len(offsets)] + _BLOCK * (n // len(offsets))
        for n, name in enumerate(names)
    }


def free_ports(names: Iterable[str], kept: Mapping[str, int]) -> dict[str, int]:
    """Return a port for each name: the kept one, else a free one. Raises `StackError`."""
    taken = set(kept.values())
    ports: dict[str, int] = {}
    for name in names:
        ports[name] = kept.get(name) or free_port(taken)
        taken.add(ports[name])
    return ports


def check_free(ports: Mapping[str, int]) -> None:
    """Raise `StackError` naming every port that is already in use."""
    taken = [f"port {port}, needed by {name}" for name, port in ports.items() if not _free(port)]
    if taken:
        raise StackError(
            f"already in use on {HOST}: {'; '.join(taken)}. Stop what listens there "
            "(`ss -ltnp` names it), or choose other ports with --port-base 28000 "
            "(--port-base 0 picks free ones)."
        )


def free_port(taken: Set[int] = frozenset()) -> int:
    """Return a free port that is not in `taken`. Raises `StackError` if none is left.

    It is outside the ephemeral range, so that no outgoing connection can take it a moment later.
    """
    span = _FREE_LAST - _FREE_FIRST + 1
    start = secrets.randbelow(span)  # random: stacks that start together rarely collide
    for step in range(span):
        port = _FREE_FIRST + (start + step) % span
        if port not in taken and _free(port):
            return port
    raise StackError(f"no free port left between {_FREE_FIRST} and {_FREE_LAST} on {HOST}")


def _free(port: int) -> bool:
    with socket.socket() as probe:
        probe.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
        try:
            probe.bind((HOST, port))
        except OSError:
            return False
    return True
