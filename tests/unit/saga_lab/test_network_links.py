"""With links between them, services are told of links, and everybody else of servers."""

import json
from pathlib import Path

import pytest

from saga_lab.devstack.options import StackOptions
from saga_lab.devstack.ports import of_brokers
from saga_lab.devstack.processes import StackAddresses, declare, selected
from saga_lab.devstack.tokens import tokens_of
from tests.application import ORDER, PORTS

BASE = 18000


def around(linked: bool, brokers: int = 1) -> StackAddresses:
    kafka = of_brokers(("kafka", "controller"), brokers)
    names = dict.fromkeys([*PORTS.offsets, *kafka, *(PORTS.links(brokers) if linked else ())])
    ports = PORTS.assign(names, BASE, {})
    return StackAddresses(
        application=ORDER,
        data=Path("data"),
        ports=ports,
        bootstrap_servers=f"127.0.0.1:{ports['kafka']}",
        databases={
            name: f"postgresql://saga@127.0.0.1:{ports['postgres']}/saga_{name}"
            for name in ORDER.databases
        },
        secrets={"provider": "p", "carrier": "c", **tokens_of(ORDER, {})},
    )


def environment(name: str, linked: bool, brokers: int = 1) -> dict[str, str]:
    (process,) = declare([name], around(linked, brokers), {})
    return dict(process.env)


@pytest.mark.parametrize("name", ["payment", "payment-2"])
def test_a_service_and_its_replica_go_through_the_service_s_links(name: str) -> None:
    surroundings = around(linked=True)
    ports = {**surroundings.ports, "payment-2": 18112}
    (process,) = declare([name], StackAddresses(**{**vars(surroundings), "ports": ports}), {})
    assert process.env["SAGA_BOOTSTRAP_SERVERS"] == f"127.0.0.1:{ports['payment>kafka']}"
    assert process.env["SAGA_DATABASE_URL"] == (
        f"postgresql://saga@127.0.0.1:{ports['payment>postgres']}/saga_payment"
    )
    assert process.env["SAGA_PROVIDER_URL"] == f"http://127.0.0.1:{ports['payment>provider']}"


def test_without_links_services_go_straight() -> None:
    assert environment("payment", linked=False)["SAGA_DATABASE_URL"].endswith(":18002/saga_payment")
    assert "links" not in selected(ORDER, StackOptions())
    assert "links" in selected(ORDER, StackOptions(links=True))


def test_each_link_leads_from_a_port_of_its_own_to_its_server() -> None:
    ends = json.loads(environment("links", linked=True)["SANDBOX_LINKS"])
    ports = around(linked=True).ports
    assert ends.keys() == PORTS.link_offsets.keys()
    assert len({port for port, _ in ends.values()}) == len(ends)
    assert ends["monitor>postgres"] == [ports["monitor>postgres"], ports["postgres"]]
    assert ends["monitor>kafka"] == [ports["monitor>kafka"], ports["kafka<monitor"]]
    assert ends["shipping>carrier"] == [ports["shipping>carrier"], ports["carrier"]]


def test_a_service_has_a_link_to_each_of_three_brokers() -> None:
    ports = around(linked=True, brokers=3).ports
    servers = environment("payment", linked=True, brokers=3)["SAGA_BOOTSTRAP_SERVERS"].split(",")
    assert servers == ["127.0.0.1:18042", "127.0.0.1:18142", "127.0.0.1:18242"]
    ends = json.loads(environment("links", linked=True, brokers=3)["SANDBOX_LINKS"])
    assert len(ends) == len(PORTS.link_offsets) + 2 * len(PORTS.listener_offsets)
    for number in (2, 3):
        name, behind = f"payment>kafka-{number}", f"kafka<payment-{number}"
        assert ends[name] == [ports[name], ports[behind]]
    assert len(set(ports.values())) == len(ports), "no two are one"


def test_no_two_ports_of_the_table_are_one() -> None:
    tables = (PORTS.offsets, PORTS.link_offsets, PORTS.listener_offsets)
    offsets = [offset for table in tables for offset in table.values()]
    assert len(set(offsets)) == len(offsets)
