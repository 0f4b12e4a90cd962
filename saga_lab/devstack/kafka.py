"""Runs one or three real Kafka brokers (KRaft, broker and controller in one JVM)."""

import base64
import subprocess
import uuid
from collections.abc import Mapping, Sequence
from pathlib import Path

from saga_lab.devstack.class_archive import archive_flags
from saga_lab.devstack.errors import StackError
from saga_lab.devstack.jars import cache_dir
from saga_lab.devstack.ports import BROKERS, HOST, of_broker
from saga_lab.devstack.processes import ProcessSpec
from saga_lab.devstack.topics import broker_ready

_HEAP, _HEAP_OF_SEVERAL = "-Xmx256m", "-Xmx192m"
_JVM_FLAGS = (
    "-XX:+UseSerialGC",
    "-XX:+ExitOnOutOfMemoryError",
    "-Dorg.slf4j.simpleLogger.showDateTime=true",
    "-Dorg.slf4j.simpleLogger.dateTimeFormat=HH:mm:ss.SSS",
    "-Dorg.slf4j.simpleLogger.defaultLogLevel=warn",
    "-Dorg.slf4j.simpleLogger.log.kafka.server.KafkaRaftServer=info",
)
_FORMAT_TIMEOUT_S = 60


def broker_processes(
    java: Path, jars: Sequence[Path], data: Path, ports: Mapping[str, int]
) -> list[ProcessSpec]:
    """Return the brokers that `ports` names as supervised processes.

    The first call formats their storage in `data`, which survives stops and crashes. Raises
    `StackError`.
    """
    brokers = [name for name in BROKERS if name in ports]
    voters = [f"{HOST}:{ports[of_broker('controller', name)]}" for name in brokers]
    class_path = ":".join(map(str, jars))
    # Derived from the path, so that brokers formatted at different times share one cluster id.
    cluster = uuid.uuid5(uuid.NAMESPACE_URL, data.as_uri())
    processes = []
    for node, name in enumerate(brokers, 1):
        address = f"{HOST}:{ports[name]}"
        folder = data / name
        settings = broker_settings(str(folder / "log"), address, address, voters, node)
        _add_listeners(settings, name, ports)
        properties = folder / "server.properties"
        folder.mkdir(parents=True, exist_ok=True)
        properties.write_text("".join(f"{key}={value}\n" for key, value in settings.items()))
        if not (folder / "log" / "meta.properties").exists():
            _format(java, class_path, properties, cluster)
        heap = _HEAP if len(brokers) == 1 else _HEAP_OF_SEVERAL
        flags = (heap, *_JVM_FLAGS, *archive_flags(java, "kafka", folder, cache_dir()))
        command = (str(java), *flags, "-cp", class_path, "kafka.Kafka", str(properties))
        # Brokers that stop together wait in vain for a controller to move their leadership.
        stop_wait_s = 30 if len(brokers) == 1 else 10
        processes.append(
            ProcessSpec(name, command, broker_ready(ports[name]), stop_wait_s=stop_wait_s)
        )
    return processes


def _add_listeners(settings: dict[str, str], broker: str, ports: Mapping[str, int]) -> None:
    """Add a listener for each link to the broker, which advertises the link's own address.

    So clients of a link reconnect through it. A listener has the same name on every broker:
    metadata names the other brokers by their address on the listener that the client used.
    """
    linked = [name for name in ports if name.startswith("kafka<") and "-" not in name]
    for listener in linked:
        own = ports[of_broker(listener, broker)]
        service = listener.partition("<")[2]
        link = ports[of_broker(f"{service}>kafka", broker)]
        name = f"LINKED_{service.upper()}"
        settings["listeners"] += f",{name}://{HOST}:{own}"
        settings["advertised.listeners"] += f",{name}://{HOST}:{link}"
        settings["listener.security.protocol.map"] += f",{name}:PLAINTEXT"


def broker_settings(
    log_dir: str, listeners: str, advertised: str, voters: Sequence[str], node: int = 1
) -> dict[str, str]:
    """Return the settings of broker number `node`.

    Addresses are `host:port`; `voters` are those of all controllers, its own included. Kafka acks
    from the page cache: records survive kill -9 of the broker, but only replicas on other machines
    survive the loss of the machine. With three replicas, two must be in sync for an ack, so any one
    broker may be lost.
    """
    copies, enough = (3, 2) if len(voters) >= 3 else (1, 1)
    voter = voters[node - 1]
    return {
        "node.id": str(node),
        "process.roles": "broker,controller",
        "controller.quorum.voters": ",".join(
            f"{n}@{address}" for n, address in enumerate(voters, 1)
        ),
        "controller.listener.names": "CONTROLLER",
        "listeners": f"PLAINTEXT://{listeners},CONTROLLER://{voter}",
        "advertised.listeners": f"PLAINTEXT://{advertised}",
        "listener.security.protocol.map": "PLAINTEXT:PLAINTEXT,CONTROLLER:PLAINTEXT",
        "log.dirs": log_dir,
        "auto.create.topics.enable": "false",
        # Nobody lacks a right before somebody revokes one.
        "authorizer.class.name": "org.apache.kafka.metadata.authorizer.StandardAuthorizer",
        "allow.everyone.if.no.acl.found": "true",
        "log.message.timestamp.type": "LogAppendTime",
        "default.replication.factor": str(copies),
        "min.insync.replicas": str(enough),
        "offsets.topic.replication.factor": str(copies),
        "offsets.topic.num.partitions": "8",
        "offsets.retention.minutes": str(30 * 24 * 60),
        "transaction.state.log.replication.factor": str(copies),
        "transaction.state.log.min.isr": str(enough),
        "transaction.state.log.num.partitions": "8",
        "share.coordinator.state.topic.replication.factor": str(copies),
        "share.coordinator.state.topic.min.isr": str(enough),
        "group.initial.rebalance.delay.ms": "0",
        # A returning preferred leader is re-elected within 10 s, not the default 5 minutes.
        "leader.imbalance.check.interval.seconds": "10",
        # A killed broker cannot register again until its old session times out (default 9 s).
        "broker.session.timeout.ms": "3000",
        "broker.heartbeat.interval.ms": "1000",
        # The controller writes a record that says nothing twice a second by default, and every
        # broker reads it: half of the CPU of a broker that nobody uses.
        "metadata.max.idle.interval.ms": "5000",
        # The default of 128 MB would be half of the heap.
        "log.cleaner.dedupe.buffer.size": str(16 * 1024 * 1024),
    }


def _format(java: Path, class_path: str, properties: Path, cluster: uuid.UUID) -> None:
    cluster_id = base64.urlsafe_b64encode(cluster.bytes).rstrip(b"=").decode()
    tool = ("kafka.tools.StorageTool", "format", "--ignore-formatted")
    done = subprocess.run(
        [
            java,
            "-cp",
            class_path,
            *tool,
            f"--cluster-id={cluster_id}",
            "-c",
            properties,
        ],
        capture_output=True,
        text=True,
        timeout=_FORMAT_TIMEOUT_S,
        check=False,
    )
    if done.returncode:
        raise StackError(
            f"Kafka could not format its storage in {properties.parent}: "
            f"{done.stderr.strip() or done.stdout.strip()}. Check that the disk has room and the "
            "directory can be written."
        )
