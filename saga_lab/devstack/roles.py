"""Names the roles and passwords of a stack's PostgreSQL: each service has a database alone."""

import hashlib
import hmac
import secrets
from pathlib import Path

from saga_lab.devstack.private_files import write_private


def server_password(file: Path, *, new: bool) -> str | None:
    """Return the password of the server's superuser, kept in a file that its owner alone can read.

    new: whether the server is still to be made; then the password is drawn. None for a server that
    was made without one.
    """
    if not file.exists():
        if not new:
            return None
        file.parent.mkdir(parents=True, exist_ok=True)
        write_private(file, secrets.token_hex(16))
    return file.read_text()


def role_of(database: str) -> str:
    """Return the role of the service that a database belongs to: it has the same name."""
    return database


def role_password(password: str, role: str) -> str:
    """Return the password of a service's role, derived from the superuser's."""
    return hmac.new(password.encode(), role.encode(), hashlib.sha256).hexdigest()[:32]


def role_secret(service: str) -> str:
    """Return the name under which a stack's secrets hold the password of a service's role."""
    return f"role of {service}"
