"""Makes the tokens of a stack: the operator's, the monitor's, and one for each participant."""

from collections.abc import Mapping
from datetime import UTC, datetime, timedelta
from pathlib import Path

from saga_lab.application import MONITOR, Application
from saga_lab.devstack.errors import StackError
from saga_lab.devstack.stack_file import OPERATOR, TOKENS_FILE, token_secret
from sagakit.web.identity.scopes import EVERYTHING, Scope
from sagakit.web.identity.tokens import (
    StoredToken,
    edited_tokens,
    new_token,
    token_hash,
)

VALID_FOR = timedelta(days=365)
"""Counted from the last `saga up`."""


def scopes_by_name(application: Application) -> dict[str, frozenset[Scope]]:
    """Return the scopes of each token of a stack."""
    return {
        OPERATOR: EVERYTHING,
        MONITOR: frozenset({Scope.READ}),
        **{name: part.scopes for name, part in application.participants.items()},
    }


def tokens_of(application: Application, kept: Mapping[str, str]) -> dict[str, str]:
    """Return the tokens of a stack by the names of their secrets: the kept ones, else new ones."""
    names = map(token_secret, scopes_by_name(application))
    return {name: kept.get(name) or new_token() for name in names}


def write_tokens(home: Path, application: Application, secrets: Mapping[str, str]) -> None:
    """Write a stack's tokens to its file; tokens of other names stay. Raises StackError."""
    names = scopes_by_name(application)
    path, until = home / TOKENS_FILE, datetime.now(UTC) + VALID_FOR
    made = {
        token_hash(secrets[token_secret(name)]): (name, scopes) for name, scopes in names.items()
    }
    try:
        with edited_tokens(path) as tokens:
            tokens[:] = [token for token in tokens if token.name not in names]
            tokens += [
                StoredToken(name, sha, scopes, until) for sha, (name, scopes) in made.items()
            ]
    except (ValueError, OSError) as error:
        raise StackError(
            f"{path} cannot be used: {error}. Or remove it: `saga up` writes a new one, without "
            "the tokens that you have added."
        ) from error
