"""One word for one idea (the words are in docs/reference/glossary.md)."""

import re
from pathlib import Path

import pytest

from tests.architecture.source import ROOT, sources

SYNONYMS = {
    r"rollback[ -]events?": "undone",
    r"compensating (transactions?|actions?)": "undo",
    r"dead[ -]letter queues?": "parked, or the .dlt topic",
    r"poison[ -](pills?|messages?)": "parked record",
    r"idempotenc[ey] tokens?": "idempotency key",
    r"microservices?": "service, or participant",
    r"orchestrat(or|ion)": "saga monitor; nobody orchestrates here",
    r"manual intervention": "intervention",
    r"message broker": "Kafka, or broker",
    r"exactly[ -]once": "at least once, with an inbox",
}
"""What is not said (regular expression), and what is."""
COMPARED = {"README.md", "docs/explanation/comparison.md"}
"""Pages that compare with others may call them orchestrators."""


def texts() -> list[Path]:
    """Everything written by hand: code, documents, flow files, schemas."""
    code = [source.path for source in sources()]
    papers = [ROOT / "README.md", ROOT / "CHANGELOG.md", *sorted((ROOT / "docs").rglob("*.md"))]
    contract = sorted((ROOT / "schemas").glob("*.avsc")) + sorted(ROOT.glob("schemas/flows/*.toml"))
    return [*code, *papers, *contract]


@pytest.mark.parametrize("path", texts(), ids=lambda path: str(path.relative_to(ROOT)))
def test_the_words_of_the_house(path: Path) -> None:
    text = path.read_text()
    compared = str(path.relative_to(ROOT)) in COMPARED
    for synonym, word in SYNONYMS.items():
        if compared and synonym.startswith("orchestrat"):
            continue
        found = re.search(rf"\b{synonym}\b", text, re.IGNORECASE)
        assert not found, f"{path.name} says {found and found[0]!r}; the word here is: {word}"
