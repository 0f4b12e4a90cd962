"""Docstrings are plain English: the first sentence says what the thing does, in twenty words."""

import ast
import re
from collections.abc import Iterator

import pytest

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


def every_source() -> list[pytest.ParameterSet]:
    return [pytest.param(source, id=source.name) for source in sources()]


@pytest.mark.parametrize("source", every_source())
def test_a_docstring_begins_with_a_subject_and_a_verb(source: Source) -> None:
    found = [
        f"{name}: {text.splitlines()[0]}"
        for name, text in documented(source)
        if re.split(r"\W", text)[0] in NO_SUBJECT
    ]
    assert not found, "\n".join(found)


@pytest.mark.parametrize("source", every_source())
def test_a_first_sentence_is_short(source: Source) -> None:
    long = {
        name: first_sentence(text)
        for name, text in documented(source)
        if len(first_sentence(text).split()) > MOST_WORDS
    }
    assert not long, "\n".join(f"{name}: {text}" for name, text in long.items())
