"""Worlds on a virtual clock. A failing seed prints the command that plays it again."""

import os
import time
from concurrent.futures import ProcessPoolExecutor
from dataclasses import fields

import pytest

from saga_monitor.cli.sim import summary
from sandbox.simulation.chances import Chances
from sandbox.simulation.play import Report, play
from sandbox.simulation.shrink import Case, shrink, story
from tests.simulation.mutants import MUTANTS

SEEDS = 2_000


@pytest.fixture(scope="module")
def reports(request: pytest.FixtureRequest) -> list[Report]:
    began = time.monotonic()
    with ProcessPoolExecutor(os.cpu_count()) as pool:
        played = list(pool.map(play, range(SEEDS), chunksize=8))
    with request.config.pluginmanager.getplugin("capturemanager").global_and_fixture_disabled():
        print("\n" + summary(played, time.monotonic() - began))
    return played


@pytest.mark.timeout(900)
def test_no_seed_breaks_an_invariant(reports: list[Report]) -> None:
    broken = {f"saga sim --seeds 1 --from {r.seed}": r.violations for r in reports if r.violations}
    assert not broken


def test_the_seeds_reach_every_end_and_every_fault(reports: list[Report]) -> None:
    ends = {status for report in reports for status in report.ends.values()}
    assert {"completed", "cancelled"} <= ends
    assert sum(report.crashes for report in reports) > SEEDS
    happened = {fault for report in reports for fault in report.faults}
    assert {f.name for f in fields(Chances)} == happened


def test_the_same_seed_is_the_same_world() -> None:
    assert play(7) == play(7)


def test_a_broken_seed_is_made_small_and_told() -> None:
    """With a planted bug: a capture that is told twice counts twice."""
    mutant = next(m for m in MUTANTS if m.name == "capture counted twice")
    with mutant.plants[0]():
        case = Case(next(n for n in range(20) if play(n).violations), tuple(range(6)))
        small = shrink(case)
        world, found = small.play()
    assert found
    assert len(small.orders) == 1
    assert len(world.drawn.named()) <= 2
    assert any("PaymentCaptured" in line for line in story(world, found))
    assert small.command().startswith(f"saga sim --seeds 1 --from {case.seed} --only ")
