"""Whatever test a document names, there is."""

import re
from pathlib import Path

import pytest

from tests.architecture.source import ROOT, TEMPLATE

DOCUMENTS = sorted([*ROOT.glob("*.md"), *(ROOT / "docs").rglob("*.md")])
TESTS = sorted([*(ROOT / "tests").rglob("test_*.py"), *(ROOT / TEMPLATE).rglob("test_*.py")])
KNOWN = {path.name for path in TESTS} | {
    name for path in TESTS for name in re.findall(r"^def (test_\w+)\(", path.read_text(), re.M)
}


@pytest.mark.parametrize("page", DOCUMENTS, ids=lambda page: page.name)
def test_a_named_test_exists(page: Path) -> None:
    text = page.read_text()
    named = set(re.findall(r"\b(test_\w+(?:\.py)?)", text))
    shown = set(re.findall(r"^def (test_\w+)\(", text, re.M))  # a test whose code is on the page
    assert named - shown <= KNOWN


def test_documents_do_name_tests() -> None:
    page = ROOT / "docs" / "explanation" / "reliability.md"
    assert "test_ten_hours_without_a_monitor" in page.read_text()
