"""Calls the HTTP APIs of a running stack, through restarts and rehearsed outages."""

import asyncio
from collections.abc import Mapping
from typing import Any
from urllib.parse import quote

import httpx2

from sagakit.identity import split_key
from sagakit.shared_secret import bearer_header

AGAIN_S = 0.3
MONITOR = "monitor"


class StackClient:
    """Calls the processes of a stack by name.

    urls: those of its `stack.json`; token: what it sends, the operator's of the stack.
    """

    def __init__(
        self, http: httpx2.AsyncClient, urls: Mapping[str, str], token: str | None = None
    ) -> None:
        self._http, self._urls, self._headers = http, urls, bearer_header(token)

    async def ask(self, process: str, method: str, path: str, body: Any = None) -> httpx2.Response:
        """Repeat a request until its answer is below 500; it has to be idempotent."""
        while True:
            try:
                answer = await self._http.request(
                    method, f"{self._urls[process]}{path}", json=body, headers=self._headers
                )
                if answer.status_code < 500:
                    return answer
            except httpx2.TransportError:
                pass  # no connection: a restart or a rehearsed outage
            await asyncio.sleep(AGAIN_S)

    async def try_once(self, process: str, path: str, **params: str) -> Any:
        """Return the JSON that a GET answers, None if it fails."""
        try:
            answer = await self._http.get(
                f"{self._urls[process]}{path}", params=params, headers=self._headers
            )
        except httpx2.TransportError:
            return None
        return answer.json() if answer.is_success else None

    async def saga(self, key: str) -> Mapping[str, Any] | None:
        """Return the saga of a key as the monitor sees it, None if it does not know it."""
        flow, saga_id = split_key(key)
        answer = await self.ask(MONITOR, "GET", f"/sagas/{flow}/{quote(saga_id, safe='')}")
        found: Mapping[str, Any] | None = answer.json() if answer.status_code == 200 else None
        return found

    async def judge(self, key: str, step: str, verdict: str, *, actor: str, reason: str) -> bool:
        """Approve or reject a step that waits for a person. Return whether the monitor took it."""
        who = {"actor": actor, "reason": reason}
        body = {**who, "saga": key, "step": step, "verdict": verdict}
        answer = await self.ask(MONITOR, "POST", "/verdicts", body)
        return answer.status_code == 202
