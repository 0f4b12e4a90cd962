"""With links between them, services are told of links, and everybody else of servers."""

import json
from pathlib import Path

import pytest

from sandbox.stack.options import StackOptions
from sandbox.stack.ports import LINKED_LISTENERS, LINKS, OFFSETS, assign
from sandbox.stack.processes import DATABASES, Surroundings, declare, selected

BASE = 18000


def around(links: bool) -> Surroundings:
    names = [*OFFSETS, *(LINKS if links else ()), *(LINKED_LISTENERS if links else ())]
    ports = assign(names, BASE, {})
    return Surroundings(
        data=Path("data"),
        ports=ports,
        bootstrap_servers=f"127.0.0.1:{ports['kafka']}",
        databases={
            name: f"postgresql://saga@127.0.0.1:{ports['postgres']}/saga_{name}"
            for name in DATABASES
        },
        webhook_secrets={"provider": "p", "carrier": "c"},
    )


def environment(name: str, links: bool) -> dict[str, str]:
    (process,) = declare([name], around(links), {})
    return dict(process.env)


@pytest.mark.parametrize("name", ["payment", "payment-2"])
def test_a_service_and_its_replica_go_through_the_service_s_links(name: str) -> None:
    surroundings = around(links=True)
    ports = {**surroundings.ports, "payment-2": 18112}
    (process,) = declare([name], Surroundings(**{**vars(surroundings), "ports": ports}), {})
    assert process.env["SAGA_BOOTSTRAP_SERVERS"] == f"127.0.0.1:{ports['payment>kafka']}"
    assert process.env["SAGA_DATABASE_URL"] == (
        f"postgresql://saga@127.0.0.1:{ports['payment>postgres']}/saga_payment"
    )
    assert process.env["SAGA_PROVIDER_URL"] == f"http://127.0.0.1:{ports['payment>provider']}"


def test_without_links_services_go_straight() -> None:
    assert environment("payment", links=False)["SAGA_DATABASE_URL"].endswith(":18002/saga_payment")
    assert "links" not in selected(StackOptions())
    assert "links" in selected(StackOptions(links=True))


def test_each_link_leads_from_a_port_of_its_own_to_its_server() -> None:
    ends = json.loads(environment("links", links=True)["SANDBOX_LINKS"])
    ports = around(links=True).ports
    assert ends.keys() == LINKS.keys()
    assert len({port for port, _ in ends.values()}) == len(ends)
    assert ends["monitor>postgres"] == [ports["monitor>postgres"], ports["postgres"]]
    assert ends["monitor>kafka"] == [ports["monitor>kafka"], ports["kafka<monitor"]]
    assert ends["shipping>carrier"] == [ports["shipping>carrier"], ports["carrier"]]


def test_no_two_ports_of_the_table_are_one() -> None:
    offsets = [*OFFSETS.values(), *LINKS.values(), *LINKED_LISTENERS.values()]
    assert len(set(offsets)) == len(offsets)
