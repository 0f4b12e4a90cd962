"""Call the monitor and the services of a stack over HTTP.

Addresses are those in `stack.json` of the home (SAGA_HOME); `SAGA_MONITOR_URL` overrides the
monitor's.
"""

import os
from collections.abc import Mapping
from dataclasses import dataclass
from http import HTTPStatus
from typing import Any
from urllib.parse import quote

import click

from saga_lab.devstack.errors import StackError
from saga_lab.devstack.stack_file import FILE_NAME, default_home, read_manifest
from sagakit.identity import split_key

MONITOR = "monitor"
TIMEOUT_S = 10.0


class Unreachable(click.ClickException):
    """The address of a process is unknown, or something else than the process answers there."""


class RequestRefused(click.ClickException):
    """The process refused the request. `status`: the HTTP status of its answer."""

    def __init__(self, message: str, status: int) -> None:
        super().__init__(message)
        self.status = status


@dataclass(frozen=True, slots=True)
class JsonAnswer:
    """The HTTP status of an answer, and its JSON."""

    status: int
    body: Any


def ask(method: str, path: str, **request: Any) -> Any:
    """Send a request to the monitor and return the JSON of its answer. Raises as `call`."""
    return call(MONITOR, method, path, **request).body


def call(
    process: str, method: str, path: str, *, timeout_s: float = TIMEOUT_S, **request: Any
) -> JsonAnswer:
    """Send a request to a process of the stack.

    `request`: further arguments of `httpx2.Client.request`. Raises Unreachable and RequestRefused.
    """
    import httpx2  # here, since the help of a command need not take 0.1 s to load it

    url = address(process)
    try:
        with httpx2.Client(base_url=url, timeout=timeout_s, trust_env=False) as client:
            response = client.request(method, path, **request)
    except httpx2.TransportError as error:
        raise Unreachable(
            f"{process} does not answer at {url} ({error}); `saga up --detach` starts what is not "
            f"running, and the log is in {default_home() / 'logs'}"
        ) from error
    except httpx2.InvalidURL as error:
        raise Unreachable(
            f"{url!r}, the address of {process}, is not a URL ({error}); {_correct(process)}"
        ) from error
    try:
        body = response.json()
    except ValueError as error:
        raise Unreachable(
            f"{response.url} answers {response.status_code} {response.text[:80]!r}, which is not "
            f"JSON, so it is not {process}; {_correct(process)}"
        ) from error
    if response.is_error:
        raise RequestRefused(_reason(body), response.status_code)
    return JsonAnswer(response.status_code, body)


def find_saga(name: str) -> str:
    """Return the key of the saga that a person names: by its key `flow/id`, or by its id alone.

    Raises RequestRefused if the monitor has read no event of it, UsageError if several flows have a
    saga of this id.
    """
    found = [row["saga"] for row in ask("GET", "/candidates", params={"name": name})]
    if not found:
        detail = f"no event of saga {name!r} was read yet; check the id, or try again"
        raise RequestRefused(detail, HTTPStatus.NOT_FOUND)
    if len(found) > 1:
        raise click.UsageError(f"{name!r} may be {' or '.join(found)}; name one of them")
    return str(found[0])


def saga_path(key: str, prefix: str = "/sagas") -> str:
    """Return a URL path below `prefix` for a saga; its id may have any characters."""
    return prefix + "".join(f"/{quote(part, safe='')}" for part in split_key(key))


def address(process: str) -> str:
    """Return the URL of a process of the stack. Raises Unreachable if it is unknown."""
    given = os.environ.get("SAGA_MONITOR_URL") if process == MONITOR else None
    if given:
        return given.rstrip("/")
    home = default_home()
    path = home / FILE_NAME
    try:
        content = read_manifest(home)
    except StackError as error:
        raise Unreachable(str(error)) from error
    if not (content.get("processes") and content.get("urls")):
        reason = "" if path.exists() else f": {path} is not there"
        raise Unreachable(
            f"nothing is running in {home}{reason}; start a stack with `saga up --detach`, or "
            f"{_correct(process)}"
        )
    urls: Mapping[str, str] = content["urls"]
    if process not in urls:
        raise Unreachable(
            f"{path} has no address of {process}; start it with `saga up --detach`, or "
            f"{_correct(process)}"
        )
    return urls[process]


def _correct(process: str) -> str:
    """Return how to give the right address of a process."""
    if process == MONITOR:
        return "set SAGA_MONITOR_URL to the monitor's address, or SAGA_HOME to the stack's home"
    return "set SAGA_HOME to the home of the stack"


def _reason(body: Any) -> str:
    """Format a refusal in one line: problem details (RFC 9457), or FastAPI's validation errors."""
    if not isinstance(body, Mapping):
        return str(body)
    if problems := body.get("problems"):
        return "; ".join(f"{p['field']} {p['reason']}: {p['remedy']}" for p in problems)
    detail = body.get("detail", body)
    if isinstance(detail, list):
        return "; ".join(f"{'.'.join(map(str, d['loc'][1:]))}: {d['msg']}" for d in detail)
    return str(detail)
