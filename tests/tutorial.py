"""docs/tutorial/your-own-saga.md: the commands it says and the files it shows, in their order."""

import re
from collections.abc import Iterator
from dataclasses import dataclass

from tests.architecture.source import ROOT

PAGE = ROOT / "docs" / "tutorial" / "your-own-saga.md"
FIRST = "saga new errand"
"""What comes before it prepares a clone."""
_PART = re.compile(r"^```(\w+)\n(.*?)^```$|^ {4}([^\n]+)$|`([\w./]+\.\w+)`", re.S | re.M)


@dataclass(frozen=True)
class Command:
    """A line to be typed."""

    line: str


@dataclass(frozen=True)
class Shown:
    """A file, or what is added to its end; `name`: its path in the new application."""

    name: str
    text: str

    @property
    def added(self) -> bool:
        return self.name == "saga.toml"


def steps() -> Iterator[Command | Shown]:
    """The steps of the page. A file has the name that the text before it ends with."""
    name = ""
    for language, block, line, named in _PART.findall(PAGE.read_text()):
        if named:
            name = named
        elif line:
            yield Command(line)
        elif language != "text":
            yield Shown(name, block)


def own_steps() -> list[Command | Shown]:
    """The steps from `saga new` on."""
    found = list(steps())
    return found[found.index(Command(FIRST)) :]


def files() -> set[str]:
    """The names of the files that the page has made by hand."""
    return {step.name for step in steps() if isinstance(step, Shown)}
