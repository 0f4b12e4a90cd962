"""The help of every command: complete, and there at once."""

import importlib
import json
import re
import subprocess
import sys
from collections.abc import Iterator

import click
import pytest

from saga_cli.main import COMMANDS, saga
from tests.architecture.source import ROOT

LIGHT = {"click", "orjson", "rich", "saga_cli", "saga_lab", "saga_monitor", "sagakit"}
"""What a help may load, besides the standard library and what rich needs."""
OWN = {"shop", "shop.answers", "shop.commands"}
"""Where the order application's own commands are."""
HEAVY = {"saga_lab.devstack.stack", "saga_lab.chaos.kinds", "saga_lab.simulation.runner"}
PROBE = """
import json, sys
from saga_cli.main import saga
seen, found = set(sys.modules), {}
for path in json.load(sys.stdin):
    saga([*path, "--help"], standalone_mode=False)
    found[" ".join(path)] = sorted(set(sys.modules) - seen)
    seen |= set(sys.modules)
json.dump(found, sys.stderr)
"""


@pytest.mark.parametrize("name", COMMANDS)
def test_the_help_of_all_says_of_a_command_what_its_own_help_says(name: str) -> None:
    module, output = COMMANDS[name]
    command = getattr(importlib.import_module(f"saga_cli.{module}"), name)
    own = " ".join(command.help.split("\n\n")[0].split())
    assert re.split(r"(?<=\.)\s", own)[0] == output


def every_command(command: click.Command, path: str) -> Iterator[tuple[str, click.Command]]:
    """The command and its subcommands, each with the words that call it."""
    yield path, command
    if isinstance(command, click.Group):
        context = click.Context(command)
        for name in command.list_commands(context):
            sub = command.get_command(context, name)
            assert sub is not None
            yield from every_command(sub, f"{path} {name}")


def test_every_option_of_every_command_has_a_help() -> None:
    missing = [
        f"{path} {option.opts[0]}"
        for path, command in every_command(saga, "saga")
        for option in command.params
        if isinstance(option, click.Option) and not option.help
    ]
    assert not missing


def light(module: str) -> bool:
    allowed = LIGHT | sys.stdlib_module_names
    return module in OWN or (module.partition(".")[0] in allowed and module not in HEAVY)


def test_no_help_loads_what_only_the_command_needs() -> None:
    """Each library costs from 0.05 to 0.5 s. One process shows all the help, so it is quick."""
    paths = [path.split()[1:] for path, _ in every_command(saga, "saga")]
    done = subprocess.run(
        [sys.executable, "-c", PROBE],
        input=json.dumps(paths),
        cwd=ROOT,
        capture_output=True,
        text=True,
        check=True,
    )
    loaded: dict[str, list[str]] = json.loads(done.stderr)
    assert "saga interventions claim" in {f"saga {path}" for path in loaded}
    wrong = {path: [name for name in names if not light(name)] for path, names in loaded.items()}
    assert not {path: names for path, names in wrong.items() if names}
