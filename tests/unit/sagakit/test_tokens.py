"""Tokens: what is kept of them, which files of them can be used, and how a change is taken."""

import json
import re
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Any

import pytest

from sagakit.web.identity.scopes import ABOUT, EVERYTHING, Principal, Scope, scopes_of
from sagakit.web.identity.tokens import (
    TOKEN,
    StoredToken,
    TokenFile,
    edited_tokens,
    new_token,
    parse_tokens,
    read_tokens,
    token_hash,
)

NOW = datetime(2026, 11, 27, 12, tzinfo=UTC)
GOOD: dict[str, Any] = {
    "name": "ada",
    "sha256": "0" * 64,
    "scopes": ["read"],
    "expires": "2027-03-01T00:00:00+00:00",
}


class Clock:
    """A monotonic clock that the test moves."""

    def __init__(self) -> None:
        self.at = 0.0

    def __call__(self) -> float:
        return self.at


@pytest.fixture
def file(tmp_path: Path) -> Path:
    return tmp_path / "tokens.jsonl"


def add(file: Path, name: str, token: str) -> None:
    with edited_tokens(file) as tokens:
        until = NOW + timedelta(days=1)
        tokens.append(StoredToken(name, token_hash(token), frozenset({Scope.READ}), until))


def test_a_token_has_256_random_bits_behind_its_prefix() -> None:
    made = {new_token() for _ in range(100)}
    assert len(made) == 100
    assert all(TOKEN.fullmatch(token) and len(token) == 5 + 43 for token in made)


def test_every_scope_says_what_it_allows() -> None:
    assert ABOUT.keys() == set(Scope) == EVERYTHING


@pytest.mark.parametrize("scope", Scope)
def test_admin_may_everything_but_act_as_another(scope: Scope) -> None:
    assert Principal("ada", frozenset({scope})).may(scope)
    assert Principal("ada", frozenset({Scope.ADMIN})).may(scope) == (scope is not Scope.ACT_AS)
    assert not Principal("ada", EVERYTHING - {scope, Scope.ADMIN}).may(scope)


def test_an_unknown_scope_is_named_with_those_there_are() -> None:
    with pytest.raises(ValueError, match="'write' is no scope; use place, read, decide"):
        scopes_of(["read", "write"])


def test_only_the_hash_of_a_token_is_kept_and_nobody_else_may_read_the_file(file: Path) -> None:
    token = new_token()
    add(file, "ada", token)
    assert token not in file.read_text()
    assert file.stat().st_mode & 0o777 == 0o600
    (kept,) = read_tokens(file)
    assert (kept.name, kept.sha256) == ("ada", token_hash(token))
    assert kept.principal == Principal("ada", frozenset({Scope.READ}))
    assert parse_tokens(kept.line()) == (kept,)


@pytest.mark.parametrize(
    ("change", "words"),
    [
        ({"name": 5}, "name is no text"),
        ({"name": "saga_monitor"}, "name: this name is reserved"),
        ({"sha256": "abc"}, "sha256 is no hash"),
        ({"sha256": "A" * 64}, "sha256 is no hash"),
        ({"scopes": "read"}, "scopes is no list"),
        ({"scopes": ["all"]}, "'all' is no scope"),
        ({"expires": None}, "expires is no time"),
        ({"expires": "tomorrow"}, "expires is no time"),
        ({"expires": "2027-03-01T00:00:00"}, "expires has no time zone"),
        ({"note": "for the lab"}, "and nothing else"),
    ],
)
def test_a_wrong_line_is_named_with_fault_and_remedy(change: dict[str, Any], words: str) -> None:
    text = f"{json.dumps(GOOD)}\n\n{json.dumps({**GOOD, 'sha256': '1' * 64} | change)}\n"
    with pytest.raises(ValueError, match=f"line 3: .*{re.escape(words)}.*saga token add"):
        parse_tokens(text)


@pytest.mark.parametrize(("text", "words"), [("{", "it is no JSON"), ("[]", "it is no object")])
def test_a_line_that_is_no_object_is_named(text: str, words: str) -> None:
    with pytest.raises(ValueError, match=f"line 1: {words}"):
        parse_tokens(text)


def test_one_hash_twice_is_refused() -> None:
    with pytest.raises(ValueError, match="one token twice"):
        parse_tokens(f"{json.dumps(GOOD)}\n" * 2)


@pytest.mark.parametrize("mode", [0o620, 0o602, 0o666])
def test_a_file_that_others_can_write_is_refused(file: Path, mode: int) -> None:
    add(file, "ada", new_token())
    file.chmod(mode)
    with pytest.raises(ValueError, match="others can write it; run `chmod 600"):
        read_tokens(file)


def test_a_file_that_others_can_only_read_is_taken(file: Path) -> None:
    """It has hashes alone, and containers are given their files so."""
    add(file, "ada", new_token())
    file.chmod(0o644)
    assert len(read_tokens(file)) == 1


@pytest.mark.parametrize("what", ["missing", "folder", "bytes"])
def test_what_is_no_file_of_tokens_is_refused(file: Path, what: str) -> None:
    if what == "folder":
        file.mkdir()
    elif what == "bytes":
        file.write_bytes(b"\xff\xfe")
    with pytest.raises(ValueError, match=r"cannot be read|is not UTF-8"):
        read_tokens(file)


def test_a_change_is_taken_within_a_second(file: Path) -> None:
    # Given a process that has read one token
    first, second, clock = new_token(), new_token(), Clock()
    add(file, "ada", first)
    tokens = TokenFile(file, lambda: NOW, clock)
    # When another is added and the first revoked
    add(file, "bob", second)
    with edited_tokens(file) as kept:
        del kept[0]
    # Then both count as soon as the file is looked at again
    assert tokens.find(second) is None
    clock.at = 1.0
    found = tokens.find(second)
    assert found is not None
    assert found.name == "bob"
    assert tokens.find(first) is None


@pytest.mark.parametrize("harm", ["broken", "open", "gone"])
def test_a_file_that_breaks_leaves_the_last_good_one_in_force_and_says_so(
    file: Path, harm: str
) -> None:
    # Given a process that has read a token
    token, clock = new_token(), Clock()
    add(file, "ada", token)
    good = file.read_text()
    tokens = TokenFile(file, lambda: NOW, clock)
    assert tokens.fault() is None
    # When the file can no longer be used
    if harm == "broken":
        file.write_text("{")
    elif harm == "open":
        file.chmod(0o666)
    else:
        file.unlink()
    clock.at = 1.0
    # Then the token counts still, and the fault is told
    assert tokens.find(token) is not None
    fault = tokens.fault()
    assert fault is not None
    assert str(file) in fault
    assert "had before are in force" in fault
    # And once it is mended nothing is wrong any more
    file.write_text(good)
    file.chmod(0o600)
    clock.at = 2.0
    assert tokens.fault() is None


def test_a_process_does_not_start_without_a_file_that_it_can_use(file: Path) -> None:
    with pytest.raises(ValueError, match="saga token add"):
        TokenFile(file, lambda: NOW)
