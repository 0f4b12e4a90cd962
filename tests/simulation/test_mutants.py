"""The simulation finds what it is there to find: every planted bug, within its number of seeds."""

import os
from collections.abc import Callable
from concurrent.futures import ProcessPoolExecutor

import pytest

from tests.simulation.mutants import MUTANTS, Mutant

Found = dict[str, int | None]


@pytest.fixture(scope="module")
def found() -> Found:
    """Mutant -> seeds it took, None where nothing was found; printed as a table."""
    with ProcessPoolExecutor(os.cpu_count()) as pool:
        numbers = range(len(MUTANTS))
        return dict(zip([m.name for m in MUTANTS], pool.map(_caught, numbers), strict=True))


def _caught(number: int) -> int | None:
    return MUTANTS[number].caught()


@pytest.mark.parametrize("mutant", MUTANTS, ids=lambda m: m.name)
def test_a_planted_bug_is_found(mutant: Mutant, found: Found, tell: Callable[[str], None]) -> None:
    seeds = found[mutant.name] or "-"
    tell(f"{mutant.name:45} {seeds:>4} of {mutant.within:3} seeds: {mutant.breaks}")
    assert found[mutant.name], f"{mutant.name}: {mutant.within} seeds, and nothing found"
