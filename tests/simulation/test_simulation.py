"""Worlds on a virtual clock. A failing seed prints the command that plays it again."""

import os
from concurrent.futures import ProcessPoolExecutor

import pytest

from sandbox.simulation.play import Report, play

SEEDS = 400


@pytest.fixture(scope="module")
def reports() -> list[Report]:
    with ProcessPoolExecutor(os.cpu_count()) as pool:
        return list(pool.map(play, range(SEEDS), chunksize=8))


@pytest.mark.timeout(900)
def test_no_seed_breaks_an_invariant(reports: list[Report]) -> None:
    broken = {f"saga sim --seeds 1 --from {r.seed}": r.violations for r in reports if r.violations}
    assert not broken


def test_the_seeds_reach_every_end_and_every_fault(reports: list[Report]) -> None:
    ends = {status for report in reports for status in report.ends.values()}
    assert {"completed", "cancelled"} <= ends
    assert sum(report.crashes for report in reports) > SEEDS


def test_the_same_seed_is_the_same_world() -> None:
    assert play(7) == play(7)
