"""The commands that the order application adds to `saga`."""

import pytest
from click.testing import CliRunner

from saga_cli.main import saga
from saga_lab.application import resolve
from tests.application import ORDER


@pytest.mark.parametrize("name", ORDER.commands)
def test_the_manifest_says_what_the_command_says_of_itself(name: str) -> None:
    spec = ORDER.commands[name]
    command = resolve(ORDER, name, spec.call)
    assert command.help.partition("\n\n")[0].replace("\n", " ") == spec.help


def test_they_have_a_heading_of_their_own_in_the_help() -> None:
    output = CliRunner().invoke(saga, ["--help"]).output
    common, heading, own = output.partition("Commands of this application:")
    assert heading
    assert ("  place " in common, "  place " in own) == (False, True)
    assert ("  erase " in common, "  erase " in own) == (False, True)
