"""Checks secrets that settings name: whoever guesses one can sign or read everything. Pure."""

MIN_CHARS = 32
MIN_DIFFERENT = 8
MAKE_ONE = "make one with `openssl rand -hex 32`"


def shared_secret(value: str) -> str:
    """Return a secret of enough characters. Raises ValueError, which does not show it."""
    if not value.strip():
        raise ValueError(f"is blank, so that anybody could use it; {MAKE_ONE}")
    if value != value.strip():
        raise ValueError("begins or ends with white space; take it away")
    if len(value) < MIN_CHARS:
        raise ValueError(
            f"has {len(value)} characters, at least {MIN_CHARS} are needed; {MAKE_ONE}"
        )
    if len(set(value)) < MIN_DIFFERENT:
        raise ValueError(f"repeats {len(set(value))} characters; {MAKE_ONE}")
    return value


def bearer_header(token: str | None) -> dict[str, str]:
    """Return the header that sends a token (RFC 6750), none without a token."""
    return {"Authorization": f"Bearer {token}"} if token else {}
