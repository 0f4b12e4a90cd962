"""Routes whose last word may also be the end of an id: `/errands/a%2Fwait`, `/errands/a/wait`.

Starlette decodes a path before it looks for the route, so both would be the same. These routes are
found by the path as it was sent, and their parameters are decoded afterwards.
"""

from collections.abc import MutableMapping
from typing import Any
from urllib.parse import unquote

from fastapi.routing import APIRoute
from starlette.routing import Match

__all__ = ["EncodedSlashRoute"]


class EncodedSlashRoute(APIRoute):
    """A route that does not take an encoded slash for one that separates."""

    def matches(self, scope: MutableMapping[str, Any]) -> tuple[Match, MutableMapping[str, Any]]:
        """Return how well the path as it was sent fits, with its parameters decoded."""
        sent = scope.get("raw_path", b"").decode("ascii", "replace")
        match, found = super().matches({**scope, "path": sent} if sent else scope)
        if sent and "path_params" in found:
            parameters = found["path_params"].items()
            found["path_params"] = {
                name: unquote(value) if isinstance(value, str) else value
                for name, value in parameters
            }
        return match, found
