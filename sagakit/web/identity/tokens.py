"""Keeps bearer tokens in a file: of each its name, hash, scopes and expiry.

A token has 256 random bits, so its SHA-256 hash cannot be turned back, and needs neither salt nor
a slow function. One line of the file is one token, as JSON:

    {"name": "ada", "sha256": "<hex>", "scopes": ["read"], "expires": "2027-03-01T00:00:00+00:00"}
"""

import fcntl
import hashlib
import json
import os
import re
import secrets
import stat
import time
from collections.abc import Callable, Iterable, Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from datetime import datetime
from pathlib import Path
from typing import Any

import structlog

from sagakit.actors import personal_actor
from sagakit.web.identity.scopes import Principal, Scope, scopes_of

log = structlog.get_logger(__name__)
PREFIX = "saga_"
TOKEN = re.compile(PREFIX + r"[A-Za-z0-9_-]{43}")
ID_CHARS = 8
LOOK_EVERY_S = 1.0
"""How often a process looks whether the file has changed."""
MAX_BYTES = 1024 * 1024
_HASH = re.compile(r"[0-9a-f]{64}")
_FIELDS = {"name", "sha256", "scopes", "expires"}


@dataclass(frozen=True, slots=True)
class StoredToken:
    """Is a token as it is kept: by its hash."""

    name: str
    sha256: str
    scopes: frozenset[Scope]
    expires: datetime

    @property
    def id(self) -> str:
        """Return what tells it from other tokens of its name."""
        return self.sha256[:ID_CHARS]

    @property
    def principal(self) -> Principal:
        """Return who sends it."""
        return Principal(self.name, self.scopes)

    def line(self) -> str:
        """Return its line in the file."""
        return json.dumps(
            {
                "name": self.name,
                "sha256": self.sha256,
                "scopes": [scope for scope in Scope if scope in self.scopes],
                "expires": self.expires.isoformat(timespec="seconds"),
            }
        )


def new_token() -> str:
    """Return a new token: `saga_` and 43 characters of 256 random bits."""
    return PREFIX + secrets.token_urlsafe(32)


def token_hash(token: str) -> str:
    """Return the hash by which a token is kept."""
    return hashlib.sha256(token.encode()).hexdigest()


def parse_tokens(text: str) -> tuple[StoredToken, ...]:
    """Return the tokens of a file's text. Raises ValueError that names line, fault and remedy."""
    found: list[StoredToken] = []
    for number, line in enumerate(text.splitlines(), 1):
        if not line.strip():
            continue
        try:
            found.append(_parsed(line))
        except (ValueError, RecursionError) as error:
            raise ValueError(
                f"line {number}: {error}; mend the line, or write it with `saga token add`"
            ) from None
    if len({token.sha256 for token in found}) < len(found):
        raise ValueError("it has one token twice; remove one of the lines")
    return tuple(found)


def _parsed(line: str) -> StoredToken:
    try:
        raw: Any = json.loads(line)
    except json.JSONDecodeError:
        raise ValueError("it is no JSON") from None
    if not isinstance(raw, dict) or raw.keys() != _FIELDS:
        raise ValueError(f"it is no object with {', '.join(sorted(_FIELDS))} and nothing else")
    name, sha256, scopes, expires = (
        raw[field] for field in ("name", "sha256", "scopes", "expires")
    )
    if not isinstance(name, str):
        raise ValueError("name is no text")
    if not isinstance(sha256, str) or not _HASH.fullmatch(sha256):
        raise ValueError("sha256 is no hash of 64 hexadecimal digits in lower case")
    if not isinstance(scopes, list) or not all(isinstance(scope, str) for scope in scopes):
        raise ValueError("scopes is no list of texts")
    try:
        until = datetime.fromisoformat(expires)
    except (TypeError, ValueError):
        raise ValueError("expires is no time such as 2027-03-01T00:00:00+00:00") from None
    if until.tzinfo is None:
        raise ValueError("expires has no time zone; add +00:00")
    try:
        personal_actor(name)
    except ValueError as error:
        raise ValueError(f"name: {error}") from None
    return StoredToken(name, sha256, scopes_of(scopes), until)


def read_tokens(path: Path) -> tuple[StoredToken, ...]:
    """Read a file of tokens. Raises ValueError that names fault and remedy.

    Whoever can write it can make themselves a token, so it must be its owner's alone to write. To
    read it is harmless: it has hashes only.
    """
    try:
        with path.open("rb") as file:
            status = os.fstat(file.fileno())
            if not stat.S_ISREG(status.st_mode):
                raise ValueError("it is no file; name a file that `saga token add` has written")
            if status.st_mode & (stat.S_IWGRP | stat.S_IWOTH):
                raise ValueError(f"others can write it; run `chmod 600 {path}`")
            if status.st_uid not in (0, os.geteuid()):
                raise ValueError("it belongs to another user; run `chown` with this process's user")
            text = file.read(MAX_BYTES + 1)
    except OSError as error:
        reason = error.strerror or type(error).__name__
        raise ValueError(f"it cannot be read ({reason}); write it with `saga token add`") from None
    if len(text) > MAX_BYTES:
        raise ValueError(f"it has more than {MAX_BYTES} bytes; revoke old tokens")
    try:
        return parse_tokens(text.decode())
    except UnicodeDecodeError:
        raise ValueError("it is not UTF-8; write it with `saga token add`") from None


class TokenFile:
    """Finds tokens in a file, and reads it again when it has changed.

    A file that cannot be used any more leaves the tokens of the last good one in force. Raises
    ValueError if it cannot be used at the start.
    """

    def __init__(
        self,
        path: Path,
        now: Callable[[], datetime],
        monotonic: Callable[[], float] = time.monotonic,
    ) -> None:
        self._path, self._now, self._monotonic = path, now, monotonic
        self._version, self._looked_at = self._look(), monotonic()
        self._tokens = {token.sha256: token for token in read_tokens(path)}
        self._fault: str | None = None

    def find(self, token: str) -> StoredToken | None:
        """Return what is kept of a token, also of one that has expired."""
        self._refresh()
        return self._tokens.get(token_hash(token))

    def is_expired(self, token: StoredToken) -> bool:
        """Tell whether a token's time is over."""
        return token.expires <= self._now()

    def fault(self) -> str | None:
        """Return why the present file cannot be used, None if it is in force."""
        self._refresh()
        return self._fault

    def _refresh(self) -> None:
        if self._monotonic() - self._looked_at < LOOK_EVERY_S:
            return
        self._looked_at = self._monotonic()
        version = self._look()
        if version == self._version:
            return
        self._version = version
        try:
            self._tokens = {token.sha256: token for token in read_tokens(self._path)}
        except ValueError as error:
            self._fault = f"{self._path}: {error}; the tokens that it had before are in force"
            log.error("tokens not read", reason=self._fault)
        else:
            self._fault = None
            log.info("tokens read", file=str(self._path), tokens=len(self._tokens))

    def _look(self) -> tuple[int, ...]:
        """Return what changes whenever the file does; owner and mode count as well."""
        try:
            found = self._path.stat()
        except OSError:
            return ()
        return (
            found.st_mtime_ns,
            found.st_ctime_ns,
            found.st_size,
            found.st_ino,
            found.st_mode,
            found.st_uid,
        )


@contextmanager
def edited_tokens(path: Path) -> Iterator[list[StoredToken]]:
    """Yield the tokens of a file to be changed, and replace the file by what they are then.

    One at a time changes a file; a reader sees the old or the new one. The file may not exist yet.
    Raises ValueError for one that cannot be used, and OSError.
    """
    with path.with_name(f"{path.name}.lock").open("w") as lock:
        os.fchmod(lock.fileno(), 0o600)
        fcntl.flock(lock, fcntl.LOCK_EX)
        tokens = list(read_tokens(path)) if path.exists() else []
        yield tokens
        _replace(path, tokens)


def _replace(path: Path, tokens: Iterable[StoredToken]) -> None:
    aside = path.with_name(f"{path.name}.new")
    aside.unlink(missing_ok=True)
    descriptor = os.open(aside, os.O_WRONLY | os.O_CREAT | os.O_EXCL, mode=0o600)
    with os.fdopen(descriptor, "w") as file:
        file.writelines(f"{token.line()}\n" for token in tokens)
        file.flush()
        os.fsync(file.fileno())
    aside.replace(path)


def names_of(tokens: Sequence[StoredToken]) -> list[str]:
    """Return the names of tokens, each once, sorted."""
    return sorted({token.name for token in tokens})
