"""Write a new application from the template: `saga new`.

The template `saga_cli/template/errand` is an application itself. Its copy has another name, in
files and file names; nothing else differs.
"""

import importlib.util
import keyword
import re
import shlex
import sys
import tempfile
from collections.abc import Iterator
from pathlib import Path

import click

from saga_cli.output import command_name
from saga_lab.application.loader import RESERVED

ERRAND, CAMEL = "errand", "Errand"
"""The name of the template, as it is in names of modules and of classes."""
TEMPLATE = Path(__file__).parents[1] / "template" / ERRAND
MOST_CHARS = 20
"""Longer names would change the line breaks of the generated module."""


@click.command()
@click.argument("name")
def new(name: str) -> None:
    """Write an application of two participants into the new folder NAME, ready to run.

    It has a contract, a flow, a fake of a service outside, a workload and tests. NAME is also the
    name of its flow: lower-case letters, digits and underscores. Exit status 2: the name or the
    folder cannot be used; nothing is written then.
    """
    target = Path.cwd() / name
    if problem := _problem(name, target):
        raise click.UsageError(problem)
    try:
        _write(name, target)
    except OSError as error:
        raise click.ClickException(
            f"{target} cannot be written ({error}); nothing is left of it, run in another folder"
        ) from error
    click.echo(_next_steps(name))


def _problem(name: str, target: Path) -> str | None:
    """Return what is wrong with the name of an application or its folder, with the remedy."""
    if not re.fullmatch(f"[a-z][a-z0-9_]{{0,{MOST_CHARS - 1}}}", name):
        return (
            f"{name[:40]!r} is no name of an application; begin with one of a to z, and use "
            f"lower-case letters, digits and underscores, at most {MOST_CHARS} in all"
        )
    if keyword.iskeyword(name) or keyword.issoftkeyword(name):
        return f"{name} is a keyword of Python; choose another name"
    if name in _taken():
        return f"{name} is the name of one of its parts or of the stack's; choose another name"
    for module in (name, f"{name}_events"):
        found = importlib.util.find_spec(module)
        if found is not None and found.origin is not None:  # None: a folder without __init__.py
            return (
                f"a module {module} can be imported here, and the application would shadow it; "
                "choose another name"
            )
    if target.is_symlink() or (target.exists() and not target.is_dir()):
        return f"{target} exists and is no folder; choose another name, or remove it"
    if target.exists() and any(target.iterdir()):
        return f"the folder {target} exists and is not empty; choose another name, or empty it"
    return None


def _taken() -> frozenset[str]:
    """Return the names of participants, fakes and modules that every new application has."""
    folders = (path.name for path in TEMPLATE.iterdir() if path.is_dir())
    fakes = (path.stem for path in (TEMPLATE / "fakes").glob("[a-z]*.py"))
    return frozenset({*folders, *fakes, *RESERVED, "saga"})


def _write(name: str, target: Path) -> None:
    """Write the whole application beside its place, then move it there. Raises OSError."""
    with tempfile.TemporaryDirectory(prefix=f".{name}-", dir=target.parent) as aside:
        folder = Path(aside) / name
        for path in template_files():
            copy = folder / renamed(str(path.relative_to(TEMPLATE)), name)
            copy.parent.mkdir(parents=True, exist_ok=True)
            copy.write_text(renamed(path.read_text("utf-8"), name), "utf-8")
        folder.rename(target)  # an empty folder in its place is replaced


def template_files() -> Iterator[Path]:
    """Yield the files of the template, without the caches that tools leave in a clone."""
    for path in sorted(TEMPLATE.rglob("*")):
        within = path.relative_to(TEMPLATE).parent.parts
        if path.is_file() and not any(part.startswith((".", "__")) for part in within):
            yield path


def renamed(text: str, name: str) -> str:
    """Return a text of the template with the application's name in it."""
    camel = "".join(part.capitalize() for part in name.split("_"))
    return text.replace(ERRAND, name).replace(CAMEL, camel)


def _next_steps(name: str) -> str:
    saga = command_name()
    if "/" in saga:  # from the folder that the user is in now
        saga = shlex.quote(str(Path(sys.argv[0]).absolute()))
    return (
        f"{name}/ holds a saga of two participants that runs; next\n"
        f"  cd {name}\n"
        f"  {saga} up --detach    # start everything; {saga} request runs one saga, {saga} down "
        "stops\n"
        f"  {saga} demo           # run hundreds of sagas, and check every one\n"
        "  pytest              # its own tests; pip install pytest where it is missing\n"
        "README.md says what to change first"
    )
