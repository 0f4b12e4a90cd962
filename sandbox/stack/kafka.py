"""One real Kafka broker (KRaft, broker and controller in one JVM) on this machine."""

import base64
import subprocess
import uuid
from collections.abc import Mapping, Sequence
from pathlib import Path

from sandbox.stack.errors import StackError
from sandbox.stack.ports import HOST
from sandbox.stack.processes import Process
from sandbox.stack.topics import kafka_ready

_JVM_FLAGS = (
    "-Xmx256m",
    "-XX:+UseSerialGC",
    "-XX:+ExitOnOutOfMemoryError",
    "--enable-native-access=ALL-UNNAMED",
    "-Dorg.slf4j.simpleLogger.showDateTime=true",
    "-Dorg.slf4j.simpleLogger.dateTimeFormat=HH:mm:ss.SSS",
    "-Dorg.slf4j.simpleLogger.defaultLogLevel=warn",
    "-Dorg.slf4j.simpleLogger.log.kafka.server.KafkaRaftServer=info",
)
_FORMAT_TIMEOUT_S = 60


def kafka_process(
    java: Path,
    jars: Sequence[Path],
    data: Path,
    port: int,
    controller_port: int,
    linked: Mapping[int, int],
) -> Process:
    """The broker as a supervised process; formats its storage on the first call.

    `data` is the broker's own directory; what it holds survives stops and crashes. `linked`: ports
    of further listeners -> ports of the links that lead there, by which clients must come back.
    """
    data.mkdir(parents=True, exist_ok=True)
    properties = data / "server.properties"
    address = f"{HOST}:{port}"
    settings = broker_settings(str(data / "log"), address, address, f"{HOST}:{controller_port}")
    for own, link in linked.items():
        name = f"LINKED{own}"
        settings["listeners"] += f",{name}://{HOST}:{own}"
        settings["advertised.listeners"] += f",{name}://{HOST}:{link}"
        settings["listener.security.protocol.map"] += f",{name}:PLAINTEXT"
    properties.write_text("".join(f"{name}={value}\n" for name, value in settings.items()))
    class_path = ":".join(map(str, jars))
    if not (data / "log" / "meta.properties").exists():
        _format(java, class_path, properties)
    return Process(
        name="kafka",
        command=(
            str(java),
            *_JVM_FLAGS,
            "-cp",
            class_path,
            "kafka.Kafka",
            str(properties),
        ),
        ready=kafka_ready(address),
        stop_wait_s=30,
    )


def broker_settings(log_dir: str, listeners: str, advertised: str, voter: str) -> dict[str, str]:
    """The broker's settings. Addresses are `host:port`; `voter` is the controller's.

    Durability is the page cache's: records survive kill -9 of the broker. Surviving the loss of
    the machine takes replicas, which one machine does not have.
    """
    return {
        "node.id": "1",
        "process.roles": "broker,controller",
        "controller.quorum.voters": f"1@{voter}",
        "controller.listener.names": "CONTROLLER",
        "listeners": f"PLAINTEXT://{listeners},CONTROLLER://{voter}",
        "advertised.listeners": f"PLAINTEXT://{advertised}",
        "listener.security.protocol.map": "PLAINTEXT:PLAINTEXT,CONTROLLER:PLAINTEXT",
        "log.dirs": log_dir,
        "auto.create.topics.enable": "false",
        "log.message.timestamp.type": "LogAppendTime",
        "default.replication.factor": "1",
        "min.insync.replicas": "1",
        "offsets.topic.replication.factor": "1",
        "offsets.topic.num.partitions": "8",
        "offsets.retention.minutes": str(30 * 24 * 60),
        "transaction.state.log.replication.factor": "1",
        "transaction.state.log.min.isr": "1",
        "transaction.state.log.num.partitions": "8",
        "share.coordinator.state.topic.replication.factor": "1",
        "share.coordinator.state.topic.min.isr": "1",
        "group.initial.rebalance.delay.ms": "0",
        # A killed broker cannot register again until its old session has ended (default 9 s).
        "broker.session.timeout.ms": "3000",
        "broker.heartbeat.interval.ms": "1000",
        # The default of 128 MB would be half of the heap.
        "log.cleaner.dedupe.buffer.size": str(16 * 1024 * 1024),
    }


def _format(java: Path, class_path: str, properties: Path) -> None:
    cluster_id = base64.urlsafe_b64encode(uuid.uuid4().bytes).rstrip(b"=").decode()
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
