"""Checks that contracts which are loaded together define nothing twice. Pure.

Topics, consumer groups and schemas are known by bare names: an event type, an owner, a participant
or a flow that two contracts define would be one to Kafka and another to each team.
"""

from collections.abc import Mapping

from sagakit.contract.model import Contract
from sagakit.errors import ContractError, FlowError
from sagakit.flow.model import Flow
from sagakit.flow.platform_events import PLATFORM


def check_contracts(contracts: Mapping[str, Contract]) -> None:
    """Check that packages define no event type, shared record or owner twice.

    `contracts`: package -> its contract, the platform's own included. A shared record may be the
    same in several. Raises ContractError, which names the file, the place, the reason and the
    remedy.
    """
    records: dict[str, str] = {}
    owners: dict[str, str] = {}
    for package, contract in contracts.items():
        for name, schema in contract.schemas.items():
            at, other = f"{package}/{name}.avsc", records.setdefault(name, package)
            if other != package and (
                name in contract.event_types or schema != contracts[other].schemas[name]
            ):
                raise ContractError(
                    f"{at}, name: {other} defines {name} too; rename it in one of them"
                )
            if name not in contract.event_types:
                continue
            owner = contract.event_types[name].owner
            holder = owners.setdefault(owner, package)
            if holder != package and owner != PLATFORM:
                raise ContractError(
                    f"{at}, owner: {holder} has events of an owner {owner} too, and both would be "
                    f"published to its topic; rename the owner in one of them"
                )


def check_flow(at: str, flow: Flow, earlier: Mapping[str, Flow]) -> None:
    """Check that a flow has a name and a start event of its own.

    `at`: its file; `earlier`: file -> flow. Raises FlowError.
    """
    for place, other in earlier.items():
        if flow.name == other.name:
            raise FlowError(
                f"{at}: flow {flow.name}, name: {place} declares a flow of this name too; rename "
                "one of them"
            )
        if flow.start == other.start:
            raise FlowError(
                f"{at}: flow {flow.name}, start: {flow.start} starts the flow {other.name} of "
                f"{place} too; give each flow a start event of its own"
            )
