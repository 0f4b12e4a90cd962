"""Assigns the port on which each part of the stack listens.

With the default base of 18000, always on 127.0.0.1:

    18000 kafka        18010 order      18014 notification   18020 provider   18023 smtp
    18001 controller   18011 inventory  18015 monitor        18021 carrier
    18002 postgres     18012 payment    18016 fraud          18022 mail
    18003 registry     18013 shipping   18017 loyalty        18024 links

Participants get theirs in the order in which the flow file declares them. Replica n of a service
listens 100 * (n - 1) higher: payment-2 on 18112. Each link has a port of its own from 18030 on, and
the broker has a listener for each link to it. Broker n, its controller, its listeners and the links
to it are 100 * (n - 1) higher as well: kafka-2 on 18100.
"""

import secrets
import socket
from collections.abc import Iterable, Mapping, Set

from saga_lab.devstack.errors import StackError
from schemas import CONTRACT

HOST = "127.0.0.1"
DEFAULT_BASE = 18000
_FOR_STEPS = (11, 12, 13, 14, 16, 17, 18, 19)
OFFSETS: Mapping[str, int] = {
    "kafka": 0,
    "controller": 1,
    "postgres": 2,
    "registry": 3,
    "order": 10,
    "monitor": 15,
    **dict(zip((p for p in CONTRACT.participants if p != "order"), _FOR_STEPS, strict=False)),
    "provider": 20,
    "carrier": 21,
    "mail": 22,
    "smtp": 23,
    "links": 24,
}
# Parts that have a database -> their offset among these, 0 to 9.
_DATABASES = {name: offset - 10 for name, offset in OFFSETS.items() if 10 <= offset < 20}
# LINKS: name -> offset of the link's own port. LINKED_LISTENERS: name -> offset of the broker's
# listener behind a link to Kafka. _TO: server -> first offset of the links to it.
_TO = {"postgres": 30, "kafka": 40}
LINKS: Mapping[str, int] = {
    **{f"{s}>{to}": n + i for to, n in _TO.items() for s, i in _DATABASES.items()},
    "payment>provider": 60,
    "shipping>carrier": 61,
}
LINKED_LISTENERS: Mapping[str, int] = {f"kafka<{s}": 50 + i for s, i in _DATABASES.items()}
BROKERS = ("kafka", "kafka-2", "kafka-3")
"""Names of the broker processes; a stack with n brokers has the first n."""
_LISTENS_ON = {
    **{b: (b, f"controller{b.removeprefix('kafka')}") for b in BROKERS},
    "mail": ("mail", "smtp"),
    "links": ("links", *LINKS),
}
_ALL_OFFSETS = {**OFFSETS, **LINKS, **LINKED_LISTENERS}
# Free ports are taken from below the ephemeral range (from 32768 on Linux): the kernel could give a
# port of that range to an outgoing connection while, say, the broker restarts.
_FREE_FIRST, _FREE_LAST = 20000, 31999


def of_broker(name: str, broker: str) -> str:
    """Return the port name for that broker, such as `controller-2` for `controller` of kafka-2."""
    return f"{name}{broker.removeprefix('kafka')}"


def of_brokers(names: Iterable[str], brokers: int) -> list[str]:
    """Return these port names for each of the first `brokers` brokers."""
    return [of_broker(name, broker) for name in names for broker in BROKERS[:brokers]]


def links(brokers: int) -> list[str]:
    """Return the port names of all links, and of the broker listeners behind links to Kafka."""
    of_kafka = [*LINKED_LISTENERS, *(name for name in LINKS if name.endswith(">kafka"))]
    return [*(n for n in LINKS if n not in of_kafka), *of_brokers(of_kafka, brokers)]


def assign(names: Iterable[str], base: int, kept: Mapping[str, int]) -> dict[str, int]:
    """Return a port for each name: the kept one, else that of the table, or a free one for base 0.

    A name is that of a part, link or listener, if need be with a number (`payment-2`). Raises
    `StackError`.
    """
    taken = set(kept.values())
    ports: dict[str, int] = {}
    for name in names:
        port = kept.get(name) or (_table_port(name, base) if base else free_port(taken))
        taken.add(port)
        ports[name] = port
    return ports


def listening(processes: Iterable[str], ports: Mapping[str, int]) -> dict[str, int]:
    """Return the ports on which these processes will listen, by port name."""
    names = (name for process in processes for name in _LISTENS_ON.get(process, (process,)))
    return {name: ports[name.removesuffix("-1")] for name in names}


def check_free(ports: Mapping[str, int]) -> None:
    """Raise `StackError` naming every port that is already in use."""
    taken = [f"port {port}, needed by {name}" for name, port in ports.items() if not _free(port)]
    if taken:
        raise StackError(
            f"already in use on {HOST}: {'; '.join(taken)}. Stop what listens there "
            "(`ss -ltnp` names it), or choose other ports with --port-base 28000 "
            "(--port-base 0 picks free ones)."
        )


def _table_port(name: str, base: int) -> int:
    service, _, replica = name.partition("-")
    port = base + _ALL_OFFSETS[service] + 100 * (int(replica or 1) - 1)
    if not 0 < port < 65536:
        raise StackError(
            f"port {port} for {name} does not exist: --port-base {base} is out of range. "
            f"Choose one from 1024 to 60000, or 0 for free ports."
        )
    return port


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
