"""Make, list and revoke the tokens by which callers log in: `saga token`."""

import os
from collections.abc import Iterator
from contextlib import contextmanager
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import TYPE_CHECKING

import click

from saga_cli.client import token_for
from saga_cli.declarations import Duration
from saga_lab.devstack.stack_file import TOKENS_FILE, default_home
from sagakit.web.identity.scopes import ABOUT, Scope, scopes_of

if TYPE_CHECKING:
    from sagakit.web.identity.tokens import StoredToken

VARIABLE = "SAGA_HTTP_TOKENS_FILE"
LONGEST_S = 10 * 365 * 86400.0
SCOPES = "; ".join(f"{scope}: {about}" for scope, about in ABOUT.items())
FILE = click.option(
    "--file",
    type=click.Path(dir_okay=False, path_type=Path),
    help=f"The file of the tokens. [default: {VARIABLE}, else that of the stack in SAGA_HOME]",
)


@click.group()
def token() -> None:
    """Make, list and revoke the tokens by which callers log in.

    A process takes the tokens of the file in SAGA_HTTP_TOKENS_FILE, and reads it again within a
    second when it changes. The command line sends the token in SAGA_TOKEN.
    """


def _scopes(_context: click.Context, _parameter: click.Parameter, given: str) -> frozenset[Scope]:
    try:
        return scopes_of(word.strip() for word in given.split(",") if word.strip())
    except ValueError as error:
        raise click.BadParameter(str(error)) from error


@token.command()
@click.argument("name")
@click.option("--scopes", required=True, callback=_scopes, help=f"Separated by commas. {SCOPES}.")
@click.option(
    "--expires",
    "expires_s",
    type=Duration(least_s=1.0, most_s=LONGEST_S),
    default="90d",
    show_default=True,
    help="How long it is valid.",
)
@FILE
def add(name: str, scopes: frozenset[Scope], expires_s: float, file: Path | None) -> None:
    """Make a token under which NAME acts, and print it once: only its hash is kept."""
    from sagakit.actors import personal_actor
    from sagakit.web.identity.tokens import StoredToken, new_token, token_hash

    try:
        personal_actor(name)
    except ValueError as error:
        raise click.UsageError(f"NAME: {error}") from error
    if not scopes:
        raise click.UsageError(f"--scopes names none; use {', '.join(Scope)}")
    made = new_token()
    until = datetime.now(UTC) + timedelta(seconds=expires_s)
    with _edited(_file(file)) as tokens:
        tokens.append(StoredToken(name, token_hash(made), scopes, until))
    click.echo(f"{name} may {', '.join(sorted(scopes))} until {until:%Y-%m-%d %H:%M} UTC", err=True)
    click.echo(made)


@token.command()
@FILE
def ls(file: Path | None) -> None:
    """List the tokens: id, name, scopes and expiry."""
    from saga_cli.output import print_table, text
    from sagakit.web.identity.tokens import read_tokens

    path = _file(file)
    try:
        tokens = read_tokens(path)
    except ValueError as error:
        raise click.ClickException(f"{path}: {error}") from error
    now = datetime.now(UTC)
    rows = [
        {
            "id": token.id,
            "name": token.name,
            "scopes": ", ".join(scope for scope in Scope if scope in token.scopes),
            "expires": f"{token.expires:%Y-%m-%d %H:%M}"
            + (" (expired)" if token.expires <= now else ""),
        }
        for token in sorted(tokens, key=lambda token: (token.name, token.expires))
    ]

    columns = [text(key, key, fold=key == "scopes") for key in ("id", "name", "scopes", "expires")]
    print_table(columns, rows)


@token.command()
@click.argument("name")
@click.option("--id", "which", help="Revoke this one alone, by its id in `saga token ls`.")
@FILE
def revoke(name: str, which: str | None, file: Path | None) -> None:
    """Revoke every token of NAME, or one of them."""
    path = _file(file)
    with _edited(path) as tokens:
        gone = [t for t in tokens if t.name == name and which in (None, t.id)]
        if not gone:
            named = f"{name} with the id {which}" if which else name
            raise click.ClickException(
                f"{path} has no token of {named}; `saga token ls` lists those it has"
            )
        tokens[:] = [t for t in tokens if t not in gone]
    click.echo(f"revoked {len(gone)} token{'s' * (len(gone) > 1)} of {name}", err=True)


@token.command()
def show() -> None:
    """Print the token that the command line sends, such as for `curl`."""
    found = token_for("")
    if found is None:
        raise click.ClickException(
            f"there is no token: SAGA_TOKEN is not set, and {default_home()} has no stack; make "
            "one with `saga token add`, or start a stack with `saga up --detach`"
        )
    click.echo(found)


def _file(given: Path | None) -> Path:
    """Return the file to work with. Raises ClickException if there is none."""
    if given is not None:
        return given
    if named := os.environ.get(VARIABLE):
        return Path(named)
    home = default_home()
    if not home.is_dir():
        raise click.ClickException(
            f"there is no stack in {home}, so no file of tokens is known; name one with --file or "
            f"{VARIABLE}"
        )
    return home / TOKENS_FILE


@contextmanager
def _edited(path: Path) -> "Iterator[list[StoredToken]]":
    """Yield the tokens of a file to be changed. Raises ClickException."""
    from sagakit.web.identity.tokens import edited_tokens

    try:
        with edited_tokens(path) as tokens:
            yield tokens
    except (ValueError, OSError) as error:
        raise click.ClickException(f"{path}: {error}") from error
