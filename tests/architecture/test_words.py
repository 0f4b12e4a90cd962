"""The field's terms in code and pages (docs/reference/glossary.md), and no dialect.

The field says broker, dead letter, poison message, exactly once: those are allowed. Forbidden are
words that the project once used in a meaning of its own. They are looked for in two places:

- in every text, as words: `DIALECT`;
- in names of code (variables, functions, classes, modules), as parts between underscores or
  capitals: `NAMES`. "Told" and "said" are ordinary words in a sentence, and no name for data.

`held` has three meanings left: a lease is held, a pause holds records, a saga holds money or units.
What keeps a saga from going on blocks it.
"""

import io
import re
import tokenize
from collections.abc import Iterator
from pathlib import Path

import pytest

from tests.architecture.source import ROOT, sources

DIALECT = {
    r"doors?": "endpoint, HTTP API or port",
    r"desks?": "operations, or the operator",
    r"voices?": "publisher",
    r"(?<!dead[ -])letter": "dead letter, or record",
    r"witness\w*": "checker",
    r"wherever": "name the places",
    r"standing": "stalled",
    r"stands? in the log": "is in the log",
    r"strangers?('s)?": "foreign, or outside publisher",
    r"anew": "again, or recreated",
    r"deeds?": "action, or command",
    r"(at|leave|of|like) (the|this) house|houses": "project",
    r"tempt(s|ed|ing)?|spoil(s|ed|t)?": "say what is sent",
    r"cases? for intervention": "intervention",
    r"what (it |that )?holds (an order|orders|a saga)": "what blocks it",
    r"from aside": "without joining a group",
    r"says? no more than": "is bounded by",
    r"comes? to rest": "is idle, or settles",
}
"""Words that are forbidden in every text (regular expression), and what to write."""
ANY_WORD = re.compile(rf"\b(?:{'|'.join(DIALECT)})\b", re.IGNORECASE)
NAMES = frozenset(
    {
        *("told", "said", "heard", "deed", "deeds", "door", "doors", "desk", "voice", "voices"),
        *("stranger", "strangers", "witness", "wherever", "standing", "anew", "house"),
        *("letter", "letters", "tempt", "spoil", "onlooker", "onlookers", "crowd", "bare"),
    }
)
"""Words that are forbidden as a part of a name."""
ANY_NAME = re.compile("|".join(NAMES), re.IGNORECASE)
ALLOWED_NAMES = frozenset({"dead_letter", "dead_letters", "WITHOUT_DEAD_LETTER"})
"""Names of the field that contain one of NAMES: the dead letter."""
RULES = frozenset({"tests/architecture/test_words.py", "tests/architecture/test_prose.py"})
"""Files that name the forbidden words to forbid them."""


def texts() -> list[Path]:
    """Everything written by hand: code, documents, flow files, schemas."""
    code = [source.path for source in sources()] + sorted((ROOT / "tests").rglob("*.py"))
    papers = [ROOT / "README.md", ROOT / "CONTRIBUTING.md", *sorted((ROOT / "docs").rglob("*.md"))]
    contract = sorted((ROOT / "schemas").glob("*.avsc")) + sorted(ROOT.glob("schemas/flows/*.toml"))
    found = [*code, *papers, *contract]
    return [path for path in found if place(path) not in RULES]


def place(path: Path) -> str:
    """Return the path of a file below the repository."""
    return str(path.relative_to(ROOT))


def dialect(text: str) -> list[str]:
    """Return each forbidden word of a text with its line and what to write."""
    return [
        f"line {n}: {found[0]!r}; write: {word}"
        for n, line in enumerate(text.splitlines(), 1)
        if ANY_WORD.search(line)
        for pattern, word in DIALECT.items()
        if (found := re.search(rf"\b(?:{pattern})\b", line, re.IGNORECASE))
    ]


def names(code: str) -> Iterator[tuple[int, str]]:
    """Return each name of some code with its line, those in f-strings included."""
    for token in tokenize.generate_tokens(io.StringIO(code).readline):
        if token.type == tokenize.NAME:
            yield token.start[0], token.string
        elif token.type == tokenize.STRING and "f" in token.string[:2].lower():
            for hole in re.findall(r"\{[^{}]*\}", token.string):
                yield from ((token.start[0], name) for name in re.findall(r"[A-Za-z_]\w*", hole))


def parts(name: str) -> set[str]:
    """Split `aName_OfCode` into its words in lower case."""
    return set(re.sub(r"(?<=[a-z])(?=[A-Z])", "_", name).lower().split("_"))


def dialect_names(code: str) -> list[str]:
    """Return each name that contains a forbidden word. Test names are sentences: see DIALECT."""
    if not ANY_NAME.search(code):
        return []
    return [
        f"line {n}: {name}"
        for n, name in names(code)
        if parts(name) & NAMES and name not in ALLOWED_NAMES and not name.startswith("test_")
    ]


def test_no_dialect() -> None:
    found = [f"{place(path)}, {word}" for path in texts() for word in dialect(path.read_text())]
    assert not found, "\n".join(found)


def test_no_dialect_in_names() -> None:
    code = [path for path in texts() if path.suffix == ".py"]
    found = [f"{place(path)}, {name}" for path in code for name in dialect_names(path.read_text())]
    assert not found, "\n".join(found)


@pytest.mark.parametrize(
    "text",
    [
        "a door of its own",
        "made anew",
        "the desk",
        "a letter",
        "What holds an order",
        "it comes to rest",
    ],
)
def test_dialect_is_found(text: str) -> None:
    assert dialect(text)


@pytest.mark.parametrize(
    "text",
    [
        "A poison message becomes a dead letter; the broker keeps the dead-letter queue.",
        "A saga orchestrator promises exactly once; a microservice uses an idempotency token.",
        "The customer was told; a lease is held; a warehouse; use letters.",
    ],
)
def test_terms_of_the_field_are_allowed(text: str) -> None:
    assert dialect(text) == []


def test_dialect_in_names_is_found() -> None:
    code = 'told = 1\nclass MemoryDoor: ...\nx = f"{said}"\ndead_letter = "told"\nbarely = 1\n'
    assert [line.rpartition(": ")[2] for line in dialect_names(code)] == [
        "told",
        "MemoryDoor",
        "said",
    ]
