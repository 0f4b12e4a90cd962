"""Worlds on a virtual clock. A failing seed prints the command that plays it again."""

import os
from collections.abc import Callable, Iterator
from concurrent.futures import ProcessPoolExecutor
from dataclasses import replace

import pytest
from click.testing import CliRunner

from saga_cli.lab import sim_run
from saga_cli.lab.sim import sim
from saga_cli.lab.sim_run import Tally
from saga_lab.simulation.fault_rates import FAULTS
from saga_lab.simulation.rollout import releases, without_newer_versions
from saga_lab.simulation.runner import SeedReport, build_world, run_seed, run_world
from saga_lab.simulation.shrink import FailingCase, shrink, story
from sagakit.flow.model import Flows
from schemas import FLOWS
from shop.simulation import SIMULATION, OrderWorld
from tests.simulation.mutants import MUTANTS

SEEDS = 2_000


def play(seed: int) -> SeedReport:
    return run_seed(SIMULATION, seed)


@pytest.fixture(scope="module")
def played() -> tuple[list[SeedReport], str]:
    """The reports of all seeds, and their summary with the speed of playing."""
    tally, reports = Tally(), []
    with ProcessPoolExecutor(os.cpu_count()) as pool:
        for report in pool.map(play, range(SEEDS), chunksize=8):
            tally.add(report)
            reports.append(report)
    return reports, tally.summary()


@pytest.fixture(scope="module")
def reports(played: tuple[list[SeedReport], str]) -> list[SeedReport]:
    return played[0]


def test_no_seed_breaks_an_invariant(
    played: tuple[list[SeedReport], str], tell: Callable[[str], None]
) -> None:
    reports, summary = played
    tell(summary)
    broken = {f"saga sim --seeds 1 --from {r.seed}": r.violations for r in reports if r.violations}
    assert not broken


def test_the_seeds_reach_every_end_and_every_fault(reports: list[SeedReport]) -> None:
    ends = {status for report in reports for status in report.ends.values()}
    assert {"completed", "cancelled"} <= ends
    assert sum(report.crashes for report in reports) > SEEDS
    happened = {fault for report in reports for fault in report.faults}
    assert set(FAULTS) == happened


def test_the_same_seed_is_the_same_world() -> None:
    assert run_seed(SIMULATION, 7) == run_seed(SIMULATION, 7)


def test_a_broken_seed_is_made_small_and_reported() -> None:
    """With a planted bug: a capture that is told twice counts twice."""
    mutant = next(m for m in MUTANTS if m.name == "capture counted twice")
    with mutant.plants[0]():
        case = FailingCase(
            SIMULATION,
            next(n for n in range(20) if run_seed(SIMULATION, n).violations),
            tuple(range(6)),
        )
        small = shrink(case)
        world, found = small.run()
    assert found
    assert len(small.sagas) == 1
    assert len(world.drawn_rates.named()) <= 2
    assert any("PaymentCaptured" in line for line in story(world, found))
    assert small.command().startswith(f"saga sim --seeds 1 --from {case.seed} --only ")


def test_orders_of_every_version_live_through_a_release() -> None:
    """With no other fault: what an older process could not read is kept, and handled by its
    successor; every order ends, with events of one version alone (see `verdict`)."""
    others = [fault for fault in FAULTS if fault != "switch"]
    worlds = [build_world(SIMULATION, seed, 6, without=others) for seed in range(30)]
    assert [
        found for world, stories in worlds for found in run_world(SIMULATION, world, stories)
    ] == []
    kept = [note for world, _ in worlds for note in world.diary if "redriven" in note.text]
    begun = {s.flow for world, stories in worlds if world.drawn_rates.switch for s in stories}
    assert kept
    assert begun == {flow.label(v) for flow in FLOWS for v in flow.versions}


def test_the_flow_files_before_a_release() -> None:
    flow = next(iter(FLOWS))
    longer = Flows(replace(flow, versions={**flow.versions, 8: flow.versions[1]}))
    assert list(releases(longer)) == [v for v in sorted(flow.versions) if v >= 1]
    assert set(next(iter(without_newer_versions(longer, 1))).versions) == {1}
    only = Flows(replace(flow, versions={1: flow.versions[1]}))
    assert OrderWorld(SIMULATION, 1, [], flows=only).rollout.before is None


def test_a_run_that_is_broken_off_tells_how_far_it_came(monkeypatch: pytest.MonkeyPatch) -> None:
    class Pool:
        def map(self, one: object, seeds: range, chunksize: int) -> Iterator[SeedReport]:
            yield SeedReport(4, 100, 2, {"order/o0": "completed"}, [], {"crash": 2})
            raise KeyboardInterrupt

        def shutdown(self, wait: bool, cancel_futures: bool) -> None:
            assert cancel_futures

    monkeypatch.setattr(sim_run, "ProcessPoolExecutor", lambda *_, **__: Pool())
    monkeypatch.setattr("saga_cli.lab.sim_run.signal.signal", lambda *_: None)
    result = CliRunner().invoke(sim, ["--seeds", "9", "--from", "4"])
    assert result.exit_code == 130
    assert "interrupted; of 9 seeds from 4 on, the first 1 are reported" in result.output
    assert "1 completed" in result.output
