"""The embedded stack: starts from nothing, survives crashes, keeps data, explains its errors."""

import gc
import json
import os
import signal
import socket
import subprocess
from collections.abc import Iterator
from pathlib import Path

import psycopg
import pytest
from confluent_kafka import Consumer, Producer
from confluent_kafka.admin import AdminClient
from confluent_kafka.admin._config import ConfigResource
from confluent_kafka.admin._resource import ResourceType

from saga_lab.devstack import jars
from saga_lab.devstack.errors import StackError
from saga_lab.devstack.options import StackKind, StackOptions
from saga_lab.devstack.ports import check_free
from saga_lab.devstack.processes import ProcessSpec, selected
from saga_lab.devstack.stack import Stack
from saga_lab.devstack.supervisor import Supervisor, survivors, wait_gone
from saga_lab.devstack.topics import DEFAULT_PARTITIONS, reset_offsets
from tests.application import ORDER, PORTS
from tests.stack import (
    PATIENCE_S,
    LiveStack,
    TestInfra,
    fresh_database,
    has_unique_prefix,
    live_stack,
    until,
    until_printed,
)
from tests.typed_command import SAGA, environment, run_saga

INFRA = StackOptions(port_base=0, only=frozenset({"infra"}))


@pytest.fixture(scope="module")
def stack(tmp_path_factory: pytest.TempPathFactory) -> Iterator[LiveStack]:
    """A stack of our own to break: Kafka, PostgreSQL and the outside world."""
    options = StackOptions(port_base=0, only=frozenset({"infra", "world"}))
    with live_stack(tmp_path_factory.mktemp("stack"), options) as running:
        yield running


def produce(bootstrap_servers: str, value: bytes) -> None:
    producer = Producer({"bootstrap.servers": bootstrap_servers, "acks": "all"})
    failures: list[object] = []
    producer.produce(
        "order.events",
        value,
        on_delivery=lambda error, _: failures.append(error) if error else None,
    )
    assert producer.flush(PATIENCE_S) == 0
    assert not failures


def consume(bootstrap_servers: str, group: str) -> set[bytes]:
    """Every record of order.events."""
    consumer = Consumer(
        {
            "bootstrap.servers": bootstrap_servers,
            "group.id": group,
            "auto.offset.reset": "earliest",
            "enable.partition.eof": True,
        }
    )
    consumer.subscribe(["order.events"])
    values, ended = set[bytes](), set[int | None]()
    while len(ended) < 6:
        message = consumer.poll(PATIENCE_S)
        assert message is not None, "the broker does not answer"
        if message.error():
            ended.add(message.partition())
        else:
            values.add(message.value() or b"")
    consumer.close()
    return values


def remember(stack: LiveStack, note: str) -> None:
    with psycopg.connect(stack.database_url("payment")) as connection:
        connection.execute("create table if not exists notes (note text)")
        connection.execute("insert into notes values (%s)", [note])


def remembered(stack: LiveStack) -> list[str]:
    with psycopg.connect(stack.database_url("payment")) as connection:
        return [note for (note,) in connection.execute("select note from notes order by note")]


def test_topics_are_co_partitioned_and_use_log_append_time(infra: TestInfra) -> None:
    admin = AdminClient({"bootstrap.servers": infra.bootstrap_servers})
    topics = admin.list_topics(timeout=PATIENCE_S).topics
    events = {t for t in topics if t.endswith(".events") and not has_unique_prefix(t)}
    assert events == {f"{owner}.events" for owner in ("saga", *ORDER.participants)}
    assert {len(topics[name].partitions) for name in events} == {6}
    resource = ConfigResource(ResourceType.TOPIC, "order.events")
    (future,) = admin.describe_configs([resource]).values()
    settings = future.result(PATIENCE_S)
    assert settings["message.timestamp.type"].value == "LogAppendTime"
    assert settings["retention.ms"].value == str(30 * 24 * 3600 * 1000)


def test_unknown_topic_is_not_made_by_asking_for_it(infra: TestInfra) -> None:
    admin = AdminClient({"bootstrap.servers": infra.bootstrap_servers})
    assert (
        admin.list_topics("no.such.topic", timeout=PATIENCE_S).topics["no.such.topic"].error
        is not None
    )


def test_a_group_reads_again_what_it_has_read(infra: TestInfra) -> None:
    produce(infra.bootstrap_servers, b"read again")
    read = consume(infra.bootstrap_servers, "reader")
    assert b"read again" in read
    assert consume(infra.bootstrap_servers, "reader") == set()
    reset_offsets(infra.bootstrap_servers, "reader", ["order.events"])
    assert consume(infra.bootstrap_servers, "reader") == read


def test_each_service_has_a_durable_database_of_its_own(infra: TestInfra) -> None:
    urls = infra.stack.json["databases"]
    assert {url.rpartition("/")[2] for url in urls.values()} == {
        f"saga_{name}" for name in ("monitor", *ORDER.participants)
    }
    with psycopg.connect(fresh_database(infra)) as connection:
        for setting, value in (("fsync", "on"), ("max_connections", "300")):
            assert connection.execute(f"show {setting}").fetchone() == (value,)
        assert (connection.info.server_version // 10000) == 18


def test_data_survives_down_and_up_on_the_same_ports(stack: LiveStack) -> None:
    before = stack.json
    produce(before["bootstrap_servers"], b"before down")
    remember(stack, "before down")
    stack.down()
    assert stack.json["processes"] == {}
    assert survivors(stack.home) == []

    stack.up()
    after = stack.json
    assert after["ports"] == before["ports"]
    assert after["secrets"] == before["secrets"]
    assert b"before down" in consume(after["bootstrap_servers"], "after-down")
    assert "before down" in remembered(stack)


def test_whatever_is_killed_comes_back_with_its_data(stack: LiveStack) -> None:
    bootstrap_servers = stack.json["bootstrap_servers"]
    produce(bootstrap_servers, b"before kill")
    remember(stack, "before kill")
    names = ("kafka", "postgres", "provider", "carrier", "mail")
    pids = {name: stack.process(name).pid for name in names}
    for name in names:
        stack.kill(name)
    stack.wait_ready()
    for name in names:
        until(lambda name=name: stack.process(name).running, f"{name} running")  # type: ignore[misc]
        assert stack.process(name).pid != pids[name]
    assert b"before kill" in consume(bootstrap_servers, "after-kill")
    assert "before kill" in remembered(stack)


def test_up_after_the_death_of_everything_goes_on_with_the_data(stack: LiveStack) -> None:
    remember(stack, "before the end")
    everything = survivors(stack.home)
    assert len(everything) >= 6
    for pid in everything:
        os.kill(pid, signal.SIGKILL)
    assert wait_gone(everything, timeout_s=PATIENCE_S) == []
    stack.up()
    assert "before the end" in remembered(stack)


def test_up_ends_what_a_dead_supervisor_left_behind(stack: LiveStack) -> None:
    kafka = stack.process("kafka").pid
    supervisor = int((stack.home / "supervisord.pid").read_text())
    os.kill(supervisor, signal.SIGKILL)
    assert wait_gone([supervisor], timeout_s=PATIENCE_S) == []
    stack.up()
    assert stack.process("kafka").pid != kafka
    assert kafka not in survivors(stack.home)


def test_up_again_changes_nothing(stack: LiveStack) -> None:
    before = stack.json
    stack.up()
    assert stack.json == before


def test_kafka_stops_and_starts_alone(stack: LiveStack) -> None:
    postgres = stack.process("postgres").pid
    stack.stop("kafka")
    assert stack.process("kafka").pid is None
    stack.start("kafka")
    assert stack.process("postgres").pid == postgres


def test_webhooks_and_mail_are_wired_to_the_services_ports(stack: LiveStack) -> None:
    content, environment = stack.json, environment_of(stack, "provider")
    assert environment["SANDBOX_WEBHOOK_URL"] == f"{content['urls']['payment']}/webhooks/provider"
    assert environment["SANDBOX_WEBHOOK_SECRET"] == content["secrets"]["provider"]
    assert environment_of(stack, "mail")["SANDBOX_SMTP_PORT"] in content["urls"]["smtp"]


def environment_of(stack: LiveStack, name: str) -> dict[str, str]:
    raw = Path(f"/proc/{stack.process(name).pid}/environ").read_text()
    return dict(line.split("=", 1) for line in raw.split("\0") if "=" in line)


def test_a_running_stack_refuses_other_ports(stack: LiveStack) -> None:
    with pytest.raises(StackError, match=r"running with --port-base 0, not 28000.*saga down"):
        Stack.up(stack.home, ORDER, StackOptions(port_base=28000, only=frozenset({"infra"})))


def test_a_home_keeps_its_partitions(stack: LiveStack) -> None:
    assert stack.json["partitions"] == DEFAULT_PARTITIONS
    with pytest.raises(StackError, match=r"made with 6 partitions, not 4.*another SAGA_HOME"):
        Stack.up(stack.home, ORDER, StackOptions(port_base=0, partitions=4))


def test_a_process_that_keeps_exiting_is_named_with_its_log(tmp_path: Path) -> None:
    options = StackOptions(port_base=0, only=frozenset({"mail"}))
    home = tmp_path / "home"
    (home / "data").mkdir(parents=True)
    (home / "data" / "mail.sqlite").mkdir()  # a directory where mail wants a file
    with pytest.raises(StackError, match=r"(?s)mail did not become ready.*mail\.log:\n.+"):
        Stack.up(home, ORDER, options, say=lambda _line: None)
    assert survivors(home) == []


def test_a_taken_port_is_named_with_who_needs_it() -> None:
    with socket.socket() as holder:
        holder.bind(("127.0.0.1", 0))
        holder.listen()
        port = holder.getsockname()[1]
        with pytest.raises(StackError, match=rf"port {port}, needed by kafka.*--port-base"):
            check_free({"kafka": port})


def test_ports_come_from_the_table_and_replicas_stand_a_hundred_apart() -> None:
    names = ("kafka", "payment", "payment-2", "smtp")
    ports = PORTS.assign(names, 18000, {})
    assert ports == {"kafka": 18000, "payment": 18012, "payment-2": 18112, "smtp": 18023}
    assert PORTS.assign(names, 18000, {"kafka": 5})["kafka"] == 5
    assert len(set(PORTS.assign(names, 0, {}).values())) == len(names)


@pytest.mark.parametrize(
    ("only", "expected"),
    [
        ({"infra"}, []),
        ({"world"}, ["provider", "carrier", "mail"]),
        ({"payment", "mail"}, ["mail", "payment-1", "payment-2"]),
        ({"payment-2"}, ["payment-2"]),
    ],
)
def test_only_selects_processes_and_groups(only: set[str], expected: list[str]) -> None:
    assert selected(ORDER, StackOptions(replicas=2, only=frozenset(only))) == expected


def test_only_with_a_typo_lists_what_there_is() -> None:
    with pytest.raises(StackError, match=r"paiment.*Choose from:.*payment"):
        selected(ORDER, StackOptions(only=frozenset({"paiment"})))


def test_missing_addresses_of_an_external_stack_are_named(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.delenv("SAGA_BOOTSTRAP_SERVERS", raising=False)
    monkeypatch.setenv("SAGA_DATABASE_URL", "postgresql://somewhere/postgres")
    with pytest.raises(StackError, match=r"needs SAGA_BOOTSTRAP_SERVERS in the environment"):
        Stack.up(tmp_path, ORDER, StackOptions(kind=StackKind.EXTERNAL))


def test_an_external_stack_uses_and_prepares_what_it_is_given(
    infra: TestInfra, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("SAGA_BOOTSTRAP_SERVERS", infra.bootstrap_servers)
    monkeypatch.setenv("SAGA_DATABASE_URL", infra.database_url)
    options = StackOptions(kind=StackKind.EXTERNAL, port_base=0, only=frozenset({"infra"}))
    with live_stack(tmp_path / "home", options) as stack:
        assert stack.json["processes"] == {}
        assert stack.json["bootstrap_servers"] == infra.bootstrap_servers
        psycopg.connect(stack.database_url("monitor")).close()


# The Docker client forgets to close the socket that could not connect.
@pytest.mark.filterwarnings("ignore::pytest.PytestUnraisableExceptionWarning")
def test_without_a_docker_engine_containers_say_so(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("DOCKER_HOST", f"unix://{tmp_path}/no-docker.sock")
    options = StackOptions(kind=StackKind.CONTAINERS, port_base=0)
    with pytest.raises(StackError, match="needs a Docker engine"):
        Stack.up(tmp_path / "home", ORDER, options)
    gc.collect()


def test_an_unsupported_platform_is_pointed_to_containers(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("platform.machine", lambda: "arm64")
    with pytest.raises(StackError, match=r"this is Linux arm64.*--stack=containers"):
        Stack.up(tmp_path, ORDER, INFRA)


def test_a_jar_that_is_not_the_pinned_one_is_refused(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    lock = tmp_path / "kafka.sha256"
    lock.write_text(f"{'0' * 64} org.slf4j:slf4j-simple:1.7.36\n")
    fetched = tmp_path / "fetched.jar"
    fetched.write_bytes(b"something else")
    monkeypatch.setattr(jars, "_fetch_from_central", lambda _jar, _into: fetched)
    with pytest.raises(StackError, match=r"slf4j-simple:1\.7\.36 .* has sha256"):
        jars.fetch(lock, tmp_path / "cache", print)
    assert not list((tmp_path / "cache").rglob("*.jar"))


def test_without_a_network_the_first_start_says_so(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("SAGA_CACHE", str(tmp_path / "cache"))
    monkeypatch.setenv("HTTPS_PROXY", "http://127.0.0.1:9")  # nobody listens on discard
    with pytest.raises(
        StackError, match=r"cannot download .* from Maven Central.*needs the network"
    ):
        Stack.up(tmp_path / "home", ORDER, INFRA, say=lambda _line: None)


def test_a_disk_that_is_full_is_named(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    usage = type("Usage", (), {"free": 3 * 2**20})
    monkeypatch.setattr("shutil.disk_usage", lambda _path: usage)
    with pytest.raises(StackError, match=r"3 MB free at .*SAGA_HOME"):
        Stack.up(tmp_path, ORDER, INFRA)


def test_the_supervisor_restarts_only_what_changed(tmp_path: Path) -> None:
    # Deep enough that the socket's own path would be too long for the kernel.
    supervisor = Supervisor(tmp_path / ("deep" * 20))

    def sleeper(name: str, env: str) -> ProcessSpec:
        return ProcessSpec(name, ("sleep", "1000"), ready=lambda: None, env={"WORD": env})

    supervisor.start()
    try:
        assert supervisor.update([sleeper("a", "one"), sleeper("b", "one")], remove_others=True)
        assert set(supervisor.start_processes(["a", "b"])) == {"a", "b"}
        before = {name: info.pid for name, info in supervisor.processes().items()}
        changed = supervisor.update(
            [sleeper("a", "two's"), sleeper("b", "one")], remove_others=True
        )
        assert changed == ["a"]
        assert supervisor.start_processes(["a", "b"]) == ["a"]
        after = {name: info.pid for name, info in supervisor.processes().items()}
        assert before["a"] != after["a"]
        assert before["b"] == after["b"]
        environment = Path(f"/proc/{after['a']}/environ")  # empty until the process has begun
        until(lambda: b"WORD=two's" in environment.read_bytes(), "the changed environment")
        supervisor.update([sleeper("b", "one")], remove_others=True)
        assert set(supervisor.processes()) == {"b"}
    finally:
        supervisor.shutdown()


def test_a_process_stopped_while_it_is_restarted_stays_stopped(tmp_path: Path) -> None:
    supervisor = Supervisor(tmp_path)
    supervisor.start()
    try:
        sleeper = ProcessSpec("a", ("sleep", "1000"), lambda: None, stop_wait_s=1)
        supervisor.update([sleeper], remove_others=True)
        for _ in range(5):
            supervisor.start_processes(["a"])
            until(lambda: supervisor.processes()["a"].running, "it runs")
            os.kill(supervisor.processes()["a"].pid or 0, signal.SIGKILL)
            supervisor.stop(["a"])
            assert supervisor.processes()["a"].state == "STOPPED"
    finally:
        supervisor.shutdown()


def test_a_value_the_supervisor_cannot_carry_is_refused(tmp_path: Path) -> None:
    process = ProcessSpec("a", ("sleep", "1"), ready=lambda: None, env={"WORD": 'say "hi", it\'s'})
    with pytest.raises(StackError, match="both kinds of quotes"):
        Supervisor(tmp_path).update([process], remove_others=True)


def test_the_command_line_runs_a_stack_in_the_foreground_until_it_is_stopped(
    tmp_path: Path,
) -> None:
    command = [*SAGA, "up", "--only", "infra", "--port-base", "0"]
    output = tmp_path / "output"
    with (
        output.open("w") as out,
        subprocess.Popen(
            command, env=environment(SAGA_HOME=str(tmp_path / "home")), stdout=out, text=True
        ) as foreground,
    ):
        until_printed("running; Ctrl-C stops it", output, foreground)
        content = json.loads((tmp_path / "home" / "stack.json").read_text())
        assert set(content["processes"]) == {"kafka", "postgres"}
        foreground.send_signal(signal.SIGTERM)
        foreground.wait(PATIENCE_S)
    assert foreground.returncode == 0
    assert survivors(tmp_path / "home") == []
    down = run_saga(tmp_path / "home", "down")
    assert down.returncode == 0
    assert "nothing is running" in down.stdout
