"""Call the monitor and the services of a stack over HTTP.

Addresses are those in `stack.json` of the home (SAGA_HOME); `SAGA_MONITOR_URL` overrides the
monitor's. The token sent is that of `SAGA_TOKEN`, else the operator's of the stack, which goes to
the stack's own addresses alone. An answer is bounded in time and size, and has the shape that the
command declares.
"""

import asyncio
import os
from collections.abc import Mapping
from dataclasses import dataclass
from http import HTTPStatus
from inspect import isfunction
from typing import TYPE_CHECKING, Any
from urllib.parse import quote, urlsplit

import click

from saga_cli.answers import CandidateJson, LoginLinkJson
from saga_cli.shapes import mismatch
from saga_lab.devstack.errors import StackError
from saga_lab.devstack.stack_file import (
    FILE_NAME,
    default_home,
    operator_token,
    read_manifest,
)
from sagakit.foreign_text import printable, printable_value
from sagakit.identity import split_key
from sagakit.shared_secret import bearer_header
from sagakit.urls import without_user

if TYPE_CHECKING:
    from sagakit.bounded_http import HttpAnswer

MONITOR = "monitor"
MONITOR_URL = "SAGA_MONITOR_URL"
TOKEN = "SAGA_TOKEN"
TIMEOUT_S = 30.0
MAX_ANSWER_BYTES = 64 * 1024 * 1024
QUOTED_CHARS = 80


class Unreachable(click.ClickException):
    """The address of a process is unknown, or something else than the process answers there."""


class RequestRefused(click.ClickException):
    """The process refused the request. `status`: the HTTP status of its answer."""

    def __init__(self, message: str, status: int) -> None:
        super().__init__(message)
        self.status = status


@dataclass(frozen=True, slots=True)
class JsonAnswer:
    """The HTTP status of an answer, and its JSON.

    exact: as it came, to be printed as JSON; body: the same with printable texts.
    """

    status: int
    exact: Any

    @property
    def body(self) -> Any:
        """Return the JSON with all its texts printable on a terminal."""
        return printable_value(self.exact)


def ask(method: str, path: str, shape: Any, **request: Any) -> Any:
    """Send a request to the monitor and return the JSON of its answer. Raises as `call`."""
    return call(MONITOR, method, path, shape, **request).body


def call(
    process: str,
    method: str,
    path: str,
    shape: Any,
    *,
    timeout_s: float = TIMEOUT_S,
    **request: Any,
) -> JsonAnswer:
    """Send a request to a process of the stack.

    shape: type of the answer's JSON, see `shapes`, a function that returns what differs in it, or
    None where any will do; timeout_s: for the whole call; request: further arguments of
    `HttpClient.answer`. Raises Unreachable and RequestRefused.
    """
    import orjson  # here, since the help of a command need not load it

    url = address(process)
    shown = without_user(url)
    answer = _answer(process, method, url, path, timeout_s, request)
    try:
        body = orjson.loads(answer.body)
    except orjson.JSONDecodeError as error:
        raise _odd(process, shown + path, answer, "is not JSON") from error
    if answer.status >= 400:
        raise RequestRefused(_reason(body) + _token_remark(answer.status), answer.status)
    if not 200 <= answer.status < 300:
        raise _odd(process, shown + path, answer, "is no answer to this request")
    if shape and (wrong := _mismatch(shape, body)):
        raise _odd(process, shown + path, answer, f"has another shape: {wrong}")
    return JsonAnswer(answer.status, body)


def find_saga(name: str) -> str:
    """Return the key of the saga that a person names: by its key `flow/id`, or by its id alone.

    Raises RequestRefused if the monitor has read no event of it, UsageError if several flows have a
    saga of this id.
    """
    candidates = ask("GET", "/candidates", list[CandidateJson], params={"name": name})
    found = [row["saga"] for row in candidates]
    if not found:
        detail = f"no event of saga {name!r} was read yet; check the id, or try again"
        raise RequestRefused(detail, HTTPStatus.NOT_FOUND)
    if len(found) > 1:
        raise click.UsageError(f"{name!r} may be {' or '.join(found)}; name one of them")
    return str(found[0])


def dashboard_link() -> str:
    """Return a link to the dashboard, which logs in a browser once. Raises as `call`."""
    path: str = ask("POST", "/ui/login-links", LoginLinkJson)["path"]
    return address(MONITOR) + path


def saga_path(key: str, prefix: str = "/sagas") -> str:
    """Return a URL path below `prefix` for a saga; its id may have any characters."""
    return prefix + "".join(f"/{segment(part)}" for part in split_key(key))


def segment(text: str) -> str:
    """Return a text as one segment of a URL's path.

    Dots are encoded too: a segment of one or two dots would be another path.
    """
    return quote(text, safe="").replace(".", "%2E")


def address(process: str) -> str:
    """Return the URL of a process of the stack. Raises Unreachable if it is unknown, or no URL."""
    given = os.environ.get(MONITOR_URL) if process == MONITOR else None
    url = given or _recorded_address(process)
    if not _is_base_url(url):
        raise Unreachable(
            f"{without_user(url)!r}, the address of {process}, is not a URL of the form "
            f"http://HOST:PORT; {_correct(process)}"
        )
    return url.rstrip("/")


def token_for(process: str) -> str | None:
    """Return the token to send to a process, None if there is none. Raises Unreachable."""
    if given := os.environ.get(TOKEN):
        if not (given.isascii() and given.isprintable() and " " not in given):
            raise Unreachable(
                f"{TOKEN} is no token: it has spaces or characters beyond ASCII; set it again"
            )
        return given
    if process == MONITOR and os.environ.get(MONITOR_URL):
        return None  # the token of the stack is no business of another address
    try:
        return operator_token(read_manifest(default_home()))
    except StackError as error:
        raise Unreachable(str(error)) from error


def _token_remark(status: int) -> str:
    """Return which token was refused, where a request was refused for its token."""
    if status not in (HTTPStatus.UNAUTHORIZED, HTTPStatus.FORBIDDEN):
        return ""
    if os.environ.get(TOKEN):
        return f" (the token was that of {TOKEN})"
    return f" ({TOKEN} is not set)"


def _answer(
    process: str, method: str, url: str, path: str, timeout_s: float, request: Mapping[str, Any]
) -> "HttpAnswer":
    """Return the answer of a process. Raises Unreachable."""
    from sagakit.bounded_http import HttpClient, NoAnswer  # here, since it takes 0.1 s to load

    token = token_for(process)

    async def answer() -> "HttpAnswer":
        client = HttpClient(proxies=False)
        try:
            return await client.answer(
                method,
                url + path,
                most_bytes=MAX_ANSWER_BYTES,
                timeout_s=timeout_s,
                headers=bearer_header(token),
                **request,
            )
        finally:
            await client.close()

    try:
        return asyncio.run(answer())
    except NoAnswer as error:
        raise Unreachable(
            f"{process} does not answer at {without_user(url)} ({printable(str(error))}); "
            "`saga up --detach` starts what is not running, its log is in the folder `logs` of the "
            f"stack's home; if it runs elsewhere, {_correct(process)}"
        ) from error


def _mismatch(shape: Any, body: Any) -> str | None:
    found: str | None = shape(body) if isfunction(shape) else mismatch(shape, body)
    return found


def _odd(process: str, url: str, answer: "HttpAnswer", what: str) -> Unreachable:
    """Return the error for an answer that is not one of this process."""
    came = answer.body[: 4 * QUOTED_CHARS].decode(errors="replace")[:QUOTED_CHARS]
    location = answer.headers.get("Location")
    to = f" (to {without_user(location)[:QUOTED_CHARS]!r})" if location else ""
    return Unreachable(
        f"{url} answers {answer.status}{to} {came!r}, which {what}; so it is not {process}, or "
        f"{process} of another version; {_correct(process)}"
    )


def _recorded_address(process: str) -> str:
    """Return the address in `stack.json`. Raises Unreachable if there is none."""
    try:
        home = default_home()
        content = read_manifest(home)
    except StackError as error:
        raise Unreachable(str(error)) from error
    path = home / FILE_NAME
    if not (content.get("processes") and content.get("urls")):
        reason = (
            f"nothing is running in {home}"
            if content
            else f"{path} is not there, so the address of {process} is unknown"
        )
        raise Unreachable(
            f"{reason}; start a stack with `saga up --detach`, or {_correct(process)}"
        )
    urls: Mapping[str, str] = content["urls"]
    if process not in urls:
        raise Unreachable(
            f"{path} has no address of {process}; start it with `saga up --detach`, or "
            f"{_correct(process)}"
        )
    return urls[process]


def _is_base_url(url: str) -> bool:
    try:
        parts = urlsplit(url)
        port = parts.port
    except ValueError:
        return False
    return (
        parts.scheme in ("http", "https")
        and bool(parts.hostname)
        and port != 0
        and not (parts.query or parts.fragment)
        and url.isprintable()
        and " " not in url
    )


def _correct(process: str) -> str:
    """Return how to give the right address of a process."""
    if process == MONITOR:
        return f"set {MONITOR_URL} to the monitor's address, or SAGA_HOME to the stack's home"
    return "set SAGA_HOME to the home of the stack"


def _reason(body: Any) -> str:
    """Format a refusal in one line: problem details (RFC 9457), or FastAPI's validation errors."""
    body = printable_value(body)
    match body:
        case {"problems": [*problems]} if problems:
            return "; ".join(map(_problem, problems))
        case {"detail": [*details]} if details:
            return "; ".join(map(_validation_error, details))
        case {"detail": str(detail)} if detail:
            return detail
    return str(body)[: 4 * QUOTED_CHARS]


def _problem(problem: Any) -> str:
    match problem:
        case {"field": field, "reason": reason, "remedy": remedy}:
            return f"{field} {reason}: {remedy}"
    return str(problem)[:QUOTED_CHARS]


def _validation_error(detail: Any) -> str:
    match detail:
        case {"loc": [_, *where], "msg": message}:
            return f"{'.'.join(map(str, where))}: {message}"
    return str(detail)[:QUOTED_CHARS]
