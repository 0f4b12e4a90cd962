"""The simulation finds what it is there to find: every planted bug, within its number of seeds."""

import os
from concurrent.futures import ProcessPoolExecutor

import pytest

from tests.simulation.mutants import EQUIVALENT, MUTANTS, Mutant

Found = dict[str, int | None]


@pytest.fixture(scope="module")
def found() -> Found:
    """Mutant -> seeds it took, None where nothing was found; printed as a table."""
    every = (*MUTANTS, *EQUIVALENT)
    with ProcessPoolExecutor(os.cpu_count()) as pool:
        caught = dict(
            zip([m.name for m in every], pool.map(_caught, range(len(every))), strict=True)
        )
    for m in every:
        print(f"{m.name:45} {caught[m.name] or '-':>4} of {m.within:3} seeds: {m.breaks}")
    return caught


def _caught(number: int) -> int | None:
    return (*MUTANTS, *EQUIVALENT)[number].caught()


@pytest.mark.timeout(600)
@pytest.mark.parametrize("mutant", MUTANTS, ids=lambda m: m.name)
def test_a_planted_bug_is_found(mutant: Mutant, found: Found) -> None:
    assert found[mutant.name], f"{mutant.name}: {mutant.within} seeds, and nothing found"


@pytest.mark.timeout(600)
@pytest.mark.parametrize("mutant", EQUIVALENT, ids=lambda m: m.name)
def test_what_is_called_equivalent_is(mutant: Mutant, found: Found) -> None:
    assert found[mutant.name] is None, f"{mutant.name} can be seen: it belongs to MUTANTS"
