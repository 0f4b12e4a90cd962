"""Connects giftwrap to the wrapper: the port, its HTTP adapter, its in-memory double."""

from typing import Any, Protocol

import httpx2

from sagakit import Effect, EffectFailed
from services.giftwrap.decide import NoPaper, Unwrapped, Wrapped

TIMEOUT_S = 10.0
WrapAnswer = Wrapped | NoPaper


class Wrapper(Protocol):
    """The port to the wrapper. Both methods raise EffectFailed when the outcome is unknown."""

    async def wrap(self, effect: Effect) -> WrapAnswer:
        """Wrap the parcel, once under the idempotency key. Payload: `order`, OrderFacts."""
        ...

    async def unwrap(self, effect: Effect) -> Unwrapped:
        """Unwrap the parcel; one that was never wrapped never will be."""
        ...


class HttpWrapper:
    """Calls the wrapper over HTTP: `POST /wraps` and `POST /unwraps`, with an `Idempotency-Key`."""

    def __init__(self, client: httpx2.AsyncClient, base_url: str) -> None:
        self._client, self._base_url = client, base_url.rstrip("/")

    async def wrap(self, effect: Effect) -> WrapAnswer:
        """See `Wrapper`."""
        match await self._post("/wraps", effect):
            case {"status": "wrapped", "paper": str(paper)}:
                return Wrapped(paper)
            case {"status": "no_paper", "reason": str(reason)}:
                return NoPaper(reason)
            case answer:
                raise EffectFailed(f"{answer} is no answer to /wraps; asking again")

    async def unwrap(self, effect: Effect) -> Unwrapped:
        """See `Wrapper`."""
        await self._post("/unwraps", effect)
        return Unwrapped()

    async def _post(self, path: str, effect: Effect) -> Any:
        """Return the JSON of a 2xx answer.

        Raises EffectFailed otherwise: any other answer leaves the outcome unknown.
        """
        headers = {"Idempotency-Key": effect.idempotency_key}
        body = {"reference": effect.saga, **effect.payload}
        try:
            url = self._base_url + path
            answer = await self._client.post(url, json=body, headers=headers, timeout=TIMEOUT_S)
            return answer.raise_for_status().json()
        except (httpx2.HTTPError, ValueError) as error:
            raise EffectFailed(f"{path}: {error!r}; unknown, asking again") from error


class MemoryWrapper:
    """A wrapper in memory with `sheets` of paper left. A repeated call for a saga wraps once."""

    def __init__(self, sheets: int = 1000) -> None:
        self.sheets = sheets
        self.wrapped: dict[str, WrapAnswer] = {}

    async def wrap(self, effect: Effect) -> WrapAnswer:
        """See `Wrapper`."""
        if effect.saga not in self.wrapped:
            self.sheets -= 1
            self.wrapped[effect.saga] = Wrapped("red") if self.sheets >= 0 else NoPaper("no paper")
        return self.wrapped[effect.saga]

    async def unwrap(self, effect: Effect) -> Unwrapped:
        """See `Wrapper`."""
        self.wrapped[effect.saga] = NoPaper("unwrapped")
        return Unwrapped()
