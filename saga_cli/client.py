"""Call the monitor over HTTP, at `SAGA_MONITOR_URL` or the address in `.saga/stack.json`."""

import json
import os
from pathlib import Path
from typing import Any
from urllib.parse import quote

import click
import httpx

TIMEOUT_S = 10.0


class Unreachable(click.ClickException):
    """No monitor answers at its address."""


def monitor_url() -> str:
    """Return `SAGA_MONITOR_URL`, else the address in `stack.json`. Raises Unreachable."""
    given = os.environ.get("SAGA_MONITOR_URL")
    if given:
        return given.rstrip("/")
    path = Path(os.environ.get("SAGA_HOME", ".saga")) / "stack.json"
    try:
        return str(json.loads(path.read_text())["urls"]["monitor"])
    except (FileNotFoundError, NotADirectoryError):
        raise Unreachable(
            f"{path} is not there, so no stack runs from this folder; "
            "start one with `saga up`, or set SAGA_MONITOR_URL to the monitor's address"
        ) from None
    except (KeyError, ValueError, TypeError, OSError) as error:
        raise Unreachable(
            f"{path} names no monitor ({error!r}); set SAGA_MONITOR_URL to its address"
        ) from error


def order_path(order_id: str) -> str:
    """Return the URL path of an order; its id may have any characters."""
    return f"/sagas/{quote(order_id, safe='')}"


def ask(method: str, path: str, **request: Any) -> Any:
    """Send a request to the monitor and return the JSON of its answer.

    Raises Unreachable, and ClickException with the monitor's refusal.
    """
    url = monitor_url()
    try:
        with httpx.Client(base_url=url, timeout=TIMEOUT_S, trust_env=False) as client:
            answer = client.request(method, path, **request)
    except httpx.TransportError as error:
        raise Unreachable(
            f"the monitor does not answer at {url} ({error}); is it running? `saga up` starts it"
        ) from error
    except httpx.InvalidURL as error:
        raise Unreachable(
            f"{url!r} is no address ({error}); set SAGA_MONITOR_URL to the monitor's, "
            "for example http://127.0.0.1:18015"
        ) from error
    if answer.is_error:
        raise click.ClickException(_refusal(answer))
    try:
        return answer.json()
    except ValueError as error:
        raise Unreachable(
            f"what answers at {url} is no monitor: {answer.text[:80]!r}; correct SAGA_MONITOR_URL"
        ) from error


def _refusal(answer: httpx.Response) -> str:
    try:
        detail = answer.json()["detail"]
    except (ValueError, KeyError, TypeError):
        return f"{answer.status_code} from {answer.url}: {answer.text[:300]}"
    if isinstance(detail, str):
        return detail
    return "; ".join(f"{'.'.join(str(p) for p in d['loc'][1:])}: {d['msg']}" for d in detail)
