"""Tests of the documents: what they say is run, or compared with the code."""

import pytest


def pytest_configure(config: pytest.Config) -> None:
    """Declare the marker that tests/conftest.py gives to each test of this folder."""
    config.addinivalue_line("markers", "docs: the documents, run or compared with the code")
