"""One open house for the session."""

from collections.abc import Iterator

import pytest

from tests.bad_input.apps import House, a_house


@pytest.fixture(scope="session")
def house(tmp_path_factory: pytest.TempPathFactory) -> Iterator[House]:
    """Every HTTP app, on one PostgreSQL."""
    with a_house(tmp_path_factory.mktemp("house")) as found:
        yield found
