"""One broker or three: what they are told, and what a home keeps of it."""

from pathlib import Path

import pytest

from saga_lab.devstack.errors import StackError
from saga_lab.devstack.home import assign_ports
from saga_lab.devstack.kafka import _add_listeners, broker_settings
from saga_lab.devstack.manifest import manifest
from saga_lab.devstack.options import StackKind, StackOptions
from saga_lab.devstack.ports import BROKERS, of_brokers
from saga_lab.devstack.processes import StackAddresses, Stage, stage_of
from tests.application import ORDER, PORTS

VOTERS = ["127.0.0.1:18001", "127.0.0.1:18101", "127.0.0.1:18201"]


def settings(voters: list[str], node: int = 1) -> dict[str, str]:
    return broker_settings("log", "127.0.0.1:1", "127.0.0.1:1", voters, node)


def test_of_three_copies_two_acknowledge_and_one_broker_keeps_one() -> None:
    alone, third = settings(VOTERS[:1]), settings(VOTERS, 3)
    assert (alone["default.replication.factor"], alone["min.insync.replicas"]) == ("1", "1")
    assert (third["default.replication.factor"], third["min.insync.replicas"]) == ("3", "2")
    assert third["offsets.topic.replication.factor"] == "3"
    assert third["node.id"] == "3"
    assert third["listeners"].endswith(f"CONTROLLER://{VOTERS[2]}")
    assert third["controller.quorum.voters"] == ",".join(
        f"{n}@{a}" for n, a in enumerate(VOTERS, 1)
    )


def test_every_broker_has_ports_of_its_own_and_stops_with_kafka() -> None:
    ports = PORTS.assign(of_brokers(("kafka", "controller"), 3), 18000, {})
    assert PORTS.listening(BROKERS, ports) == ports
    assert ports["controller-3"] == 18201
    assert {stage_of(name, ORDER.outside) for name in BROKERS} == {Stage.KAFKA}


def test_brokers_name_the_listener_behind_a_service_s_links_alike() -> None:
    ports = PORTS.assign([*of_brokers(("kafka", "controller"), 3), *PORTS.links(3)], 18000, {})
    found = []
    for node, broker in enumerate(BROKERS, 1):
        options = settings(VOTERS, node)
        _add_listeners(options, broker, ports)
        ends = (e.partition("://") for e in options["advertised.listeners"].split(","))
        found.append({name: end for name, _, end in ends})
    assert found[0].keys() == found[1].keys() == found[2].keys()
    assert [f["LINKED_PAYMENT"] for f in found] == [
        f"127.0.0.1:{port}" for port in (18042, 18142, 18242)
    ]


def test_a_home_keeps_its_number_of_brokers() -> None:
    base, ports = assign_ports(ORDER, StackOptions(brokers=3), {})
    assert [name for name in BROKERS if name in ports] == list(BROKERS)
    around = StackAddresses(ORDER, Path("data"), ports, "", {}, {})
    before = manifest(StackOptions(), base, around, {}, {})
    assert before["brokers"] == 3
    assert not {name for name in before["urls"] if "kafka" in name or "controller" in name}
    assert assign_ports(ORDER, StackOptions(), before)[1] == ports
    with pytest.raises(StackError, match="made with --brokers 3, not 1"):
        assign_ports(ORDER, StackOptions(brokers=1), before)


def test_one_broker_is_the_default_and_three_are_of_the_embedded_stack_alone() -> None:
    _, ports = assign_ports(ORDER, StackOptions(), {})
    assert ports.keys() == PORTS.offsets.keys()
    with pytest.raises(StackError, match="--brokers 3 is for the embedded stack"):
        assign_ports(ORDER, StackOptions(kind=StackKind.CONTAINERS, brokers=3), {})
