"""Docstrings are plain English: the first sentence says what the thing does, in twenty words."""

import ast
import re
from collections.abc import Iterator

from tests.architecture.source import Function, Source, sources

MOST_WORDS = 20
NO_SUBJECT = frozenset({"What", "Who", "Whose", "Whom", "Whether", "Where", "That", "Whoever"})
"""A docstring that begins with one of these has neither subject nor verb of its own."""


def documented(source: Source) -> Iterator[tuple[str, str]]:
    """Every documented node of a file with its docstring."""
    for node in ast.walk(source.tree):
        if isinstance(node, ast.Module | ast.ClassDef | Function):
            text = ast.get_docstring(node)
            if text:
                yield getattr(node, "name", "the module"), text


def first_sentence(text: str) -> str:
    """Up to the first full stop, colon-led list or blank line."""
    paragraph = " ".join(text.split("\n\n")[0].split())
    return re.split(r"(?<=[.!?])\s|:\s", paragraph)[0]


def test_a_docstring_begins_with_a_subject_and_a_verb() -> None:
    found = [
        f"{source.name}: {name}: {text.splitlines()[0]}"
        for source in sources()
        for name, text in documented(source)
        if re.split(r"\W", text)[0] in NO_SUBJECT
    ]
    assert not found, "\n".join(found)


def test_a_first_sentence_is_short() -> None:
    long = [
        f"{source.name}: {name}: {first_sentence(text)}"
        for source in sources()
        for name, text in documented(source)
        if len(first_sentence(text).split()) > MOST_WORDS
    ]
    assert not long, "\n".join(long)
