"""List and run the applications in the folder `examples` of a clone: `saga examples`."""

from collections.abc import Mapping
from pathlib import Path
from typing import Any

import click

from saga_cli.application import use
from saga_cli.lab.demo import demo
from saga_cli.output import command_name
from saga_lab.application import FILE_NAME

FOLDER = "examples"


@click.group(invoke_without_command=True)
@click.pass_context
def examples(context: click.Context) -> None:
    """List the example applications, or run one.

    They are in the folder `examples` of the project's repository. The nearest folder from here
    upwards that has some is used; without one the exit status is 1.
    """
    if context.invoked_subcommand is None:
        found = find_examples()
        width = max(map(len, found))
        for name, folder in found.items():
            click.echo(f"{name:{width}}  {_about(folder)}".rstrip())
        click.echo(f"run one with: {command_name()} examples run NAME", err=True)


@examples.command(params=[*demo.params])
@click.argument("name")
@click.pass_context
def run(context: click.Context, /, name: str, **options: Any) -> None:
    """Run the demo of one example, as `saga --app examples/NAME demo` does."""
    found = find_examples()
    if name not in found:
        raise click.UsageError(
            f"{name[:40]!r} is not one of the examples; choose from {', '.join(found)}"
        )
    use(found[name])
    context.invoke(demo, **options)


def find_examples() -> Mapping[str, Path]:
    """Return the folders of the nearest examples by name. Raises ClickException."""
    here = Path.cwd()
    for parent in (here, *here.parents):
        found = {path.parent.name: path.parent for path in parent.glob(f"{FOLDER}/*/{FILE_NAME}")}
        if found:
            return dict(sorted(found.items()))
    raise click.ClickException(
        f"{here}: there is no {FOLDER}/*/{FILE_NAME} here or in a folder above; the examples are "
        f"in the project's repository, so clone it and run there. `{command_name()} new NAME` "
        "writes an application here."
    )


def _about(folder: Path) -> str:
    """Return the first line of an example's README, empty without one."""
    try:
        with (folder / "README.md").open(encoding="utf-8", errors="replace") as readme:
            return readme.readline().lstrip("#").strip()
    except OSError:
        return ""
