"""What tests of the kit share."""

import pytest

from tests.toy_saga import Counter


@pytest.fixture
def counter() -> Counter:
    """The counter of the toy saga, on a store in memory."""
    return Counter()
