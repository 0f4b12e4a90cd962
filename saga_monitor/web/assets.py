"""Serves the dashboard's styles and scripts, each under a name with a hash of its content.

A browser may keep such a file for good: a changed file has another name.
"""

import hashlib
import mimetypes
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path

from fastapi import APIRouter, HTTPException, Response

from sagakit.web.identity.requires import open_to_all

STATIC = Path(__file__).parent / "static"
FOR_GOOD = "public, max-age=31536000, immutable"
_SUFFIXES = (".css", ".js", ".svg")


@dataclass(frozen=True, slots=True)
class Asset:
    """A file as it is served. name: with the hash."""

    name: str
    media_type: str
    content: bytes


class Assets:
    """Holds all files in memory; they are few and small."""

    def __init__(self, folder: Path = STATIC) -> None:
        found = [path for path in sorted(folder.rglob("*")) if path.suffix in _SUFFIXES]
        by_path = {path.relative_to(folder).as_posix(): _asset(path) for path in found}
        self._names: Mapping[str, str] = {path: asset.name for path, asset in by_path.items()}
        self._by_name = {asset.name: asset for asset in by_path.values()}

    def path(self, file: str) -> str:
        """Return the path of a file in a URL. Raises KeyError for a file that is not there."""
        return f"/ui/static/{self._names[file]}"

    def routes(self) -> APIRouter:
        """Return the route of the files."""
        router = APIRouter(
            include_in_schema=False, dependencies=open_to_all("styles and scripts say nothing")
        )

        @router.get("/ui/static/{name}")
        def static(name: str) -> Response:
            asset = self._by_name.get(name)
            if asset is None:
                raise HTTPException(404, "there is no such file; load the page again")
            headers = {"Cache-Control": FOR_GOOD, "X-Content-Type-Options": "nosniff"}
            return Response(asset.content, media_type=asset.media_type, headers=headers)

        return router


def _asset(path: Path) -> Asset:
    content = path.read_bytes()
    digest = hashlib.sha256(content).hexdigest()[:12]
    media_type, _ = mimetypes.guess_type(path.name)
    return Asset(f"{path.stem}.{digest}{path.suffix}", media_type or "text/plain", content)
