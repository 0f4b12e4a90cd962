"""Two applications on one broker, one PostgreSQL and one monitor, whose sagas have equal ids."""

import json
import os
import re
import sys
from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

import httpx2
import pytest

from saga_cli.lab.demo_run import options_of
from saga_lab.application import Application, load_application
from saga_lab.invariants import Finding, gather, wait_until_idle
from saga_lab.invariants.balances import conserved
from saga_lab.invariants.interface import OwnInvariants, own_invariants
from saga_lab.invariants.log import nothing_lost
from saga_lab.invariants.rebuild import same_rows
from saga_lab.invariants.sagas import nothing_healthy_undone, one_end
from saga_lab.invariants.versions import own_version
from saga_lab.workload import PlannedSaga, Workload, workload_of
from saga_lab.workload.background import RunThread
from saga_lab.workload.outcomes import SagaOutcome
from saga_lab.workload.run import WorkloadRun
from sagakit.contract import Contract, load_contract
from sagakit.identity import flow_name
from tests.application import ORDER
from tests.architecture.source import ROOT
from tests.stack import PATIENCE_S, LiveStack, live_stack
from tests.typed_command import run_saga

SAGAS = 200
MAIL, TRIP_MAIL = "mail", "trip_mail"
"""Both call a fake MAIL; the trip's has the other name on the stack of both."""


@dataclass(frozen=True)
class Side:
    """One of the two applications on the stack of both. `mail`: its fake's name there."""

    flow: str
    application: Application
    mail: str
    id_field: str

    @property
    def workload(self) -> Workload[Any]:
        return workload_of(self.application)

    @property
    def own(self) -> OwnInvariants:
        return own_invariants(self.application)

    def sagas(self) -> list[PlannedSaga]:
        """Sagas of every kind, with the ids 1 to 200."""
        drawn = self.workload.sagas("both", 1, SAGAS)
        return [replace(saga, **{self.id_field: str(n)}) for n, saga in enumerate(drawn, 1)]

    def seen_by(self, stack: Mapping[str, Any]) -> Mapping[str, Any]:
        """The content of `stack.json` with the names that this application uses."""
        urls = stack["urls"]
        return {**stack, "urls": {**urls, MAIL: urls[self.mail]}}


@pytest.fixture(scope="module")
def trip() -> Iterator[Application]:
    """The trip. Its modules, and where they are imported from, are forgotten at the end: other
    tests have packages of these names."""
    folder = ROOT / "examples" / "trip"
    with pytest.MonkeyPatch.context() as process:
        process.setattr(sys, "path", [*sys.path])
        process.setenv("PYTHONPATH", os.environ.get("PYTHONPATH", ""))
        yield load_application(folder)
    for name, module in list(sys.modules.items()):
        file = getattr(module, "__file__", None)
        if file and Path(file).resolve().is_relative_to(folder):
            del sys.modules[name]


@pytest.fixture(scope="module")
def sides(trip: Application) -> tuple[Side, Side]:
    return (
        Side("order", ORDER, MAIL, "order_id"),
        Side("trip", trip, TRIP_MAIL, "saga_id"),
    )


def manifest_of_both(order: Side, trip: Side) -> str:
    """The manifest of one stack with the participants and fakes of both."""
    contract = [*order.application.contract, *trip.application.contract]
    lines = ['name = "both"', f"contract = {json.dumps(contract)}"]
    for side in (order, trip):

        def env(of: Mapping[str, str], mail: str = side.mail) -> str:
            found = {name: text.replace("{mail.", f"{{{mail}.") for name, text in of.items()}
            return ", ".join(f"{name} = {json.dumps(text)}" for name, text in found.items())

        for name, part in side.application.participants.items():
            lines += [f"[participants.{name}]", f'module = "{part.module}"']
            lines += [f"env = {{ {env(part.env)} }}", f"replicas = {json.dumps(part.replicas)}"]
            lines += [f"scopes = {json.dumps(sorted(part.scopes))}"]
        for name, fake in side.application.outside.items():
            lines += [f"[outside.{side.mail if name == MAIL else name}]"]
            lines += [f'module = "{fake.module}"', f"ports = {json.dumps(fake.ports)}"]
            lines += [f"env = {{ {env(fake.env)} }}"]
    reconciliation = order.application.reconciliation
    return "\n".join([*lines, "[monitor]", f'reconciliation = "{reconciliation}"', ""])


@pytest.fixture(scope="module")
def stack(
    tmp_path_factory: pytest.TempPathFactory, sides: tuple[Side, Side]
) -> Iterator[LiveStack]:
    """One stack that runs both applications."""
    folder = tmp_path_factory.mktemp("both")
    for side in sides:
        for module in side.application.folder.iterdir():
            if module.is_dir() and (module / "__init__.py").exists():
                (folder / module.name).symlink_to(module)
    (folder / "saga.toml").write_text(manifest_of_both(*sides))
    both = load_application(folder)
    with live_stack(folder / "home", options_of(both), both) as running:
        yield running


def play(stack: LiveStack, sides: Sequence[Side], which: Callable[[PlannedSaga], bool]) -> None:
    """Place those sagas of both sides at the same time, and see each end as its kind says."""
    runs = []
    for side in sides:
        sagas = [saga for saga in side.sagas() if which(saga)]
        contract: Contract = load_contract(*side.application.contract)
        runs.append(
            RunThread(WorkloadRun(side.seen_by(stack.json), side.workload, contract, sagas))
        )
    for run in runs:
        run.start()
    outcomes: list[SagaOutcome] = [outcome for run in runs for outcome in run.outcomes()]
    wrong = [f"{o.saga.flow} {o.saga.saga_id}: {o.end}" for o in outcomes if not o.as_expected]
    assert wrong == []


def findings(stack: LiveStack, sides: Sequence[Side]) -> list[Finding]:
    """Every invariant: of each side by its own sagas, of the databases by both."""
    content = stack.json
    assert wait_until_idle(content, PATIENCE_S) is None
    evidence = gather(content)
    found = []
    for side in sides:
        (other,) = (one.flow for one in sides if one is not side)
        mine = replace(
            evidence,  # what belongs to no saga, such as stock, stays on both sides
            log=[logged for logged in evidence.log if flow_name(logged.saga) != other],
            sagas={key: end for key, end in evidence.sagas.items() if flow_name(key) == side.flow},
            own=side.own.gather(side.seen_by(content)),
            ends=side.own.ends,
        )
        assert len(mine.sagas) > SAGAS / 2
        pure = (one_end, conserved, *side.own.checks, nothing_lost, own_version)
        found += [judge(mine) for judge in pure]
        found.append(nothing_healthy_undone(mine, side.own.undone_past_pivot))
    return [*found, same_rows(content)]


def test_equal_ids_do_not_touch_each_other(stack: LiveStack, sides: tuple[Side, Side]) -> None:
    # Given an order and a trip for each id from 1 to 200, first those that have to time out
    stack.deadlines.near()
    play(stack, sides, lambda saga: saga.kind.times_out)
    stack.deadlines.far()
    # When all are placed, each ends as its kind says
    play(stack, sides, lambda saga: not saga.kind.times_out)
    # Then every invariant holds, and no case is open
    broken = [f"{f.number} {f.title}: {v}" for f in findings(stack, sides) for v in f.violations]
    assert broken == [], json.dumps(broken, indent=2)
    assert open_cases(stack) == []
    # And each flow lists its own sagas
    for side in sides:
        listed = keys_listed(stack, side.flow)
        assert {flow_name(key) for key in listed} == {side.flow}
        ids = {key.partition("/")[2] for key in listed}
        refused = {saga.saga_id for saga in side.sagas() if saga.end == "refused"}
        assert ids == {str(n) for n in range(1, SAGAS + 1)} - refused


def open_cases(stack: LiveStack) -> list[Any]:
    answer = httpx2.get(
        f"{stack.url('monitor')}/interventions", headers=stack.headers, timeout=PATIENCE_S
    )
    return list(answer.raise_for_status().json())


def keys_listed(stack: LiveStack, flow: str) -> set[str]:
    """The saga keys that `saga ls --flow` prints."""
    done = run_saga(stack.home, "ls", "--flow", flow, "--limit", "1000")
    assert done.returncode == 0, done.stderr
    return set(re.findall(r"^\W*([a-z]+/\d+)\b", done.stdout, re.M))
