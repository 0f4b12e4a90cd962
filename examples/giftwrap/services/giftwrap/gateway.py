"""Connects giftwrap to the wrapper: the port, its HTTP adapter, its in-memory double."""

from typing import Protocol

import httpx2

from sagakit import Effect, HttpGateway
from services.giftwrap.decide import NoPaper, Unwrapped, Wrapped

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
        self._http = HttpGateway("wrapper", client, base_url)

    async def wrap(self, effect: Effect) -> WrapAnswer:
        """See `Wrapper`."""
        match await self._http.call("POST", "/wraps", effect.idempotency_key, effect.payload):
            case {"status": "wrapped", "paper": str(paper)}:
                return Wrapped(paper)
            case {"status": "no_paper", "reason": str(reason)}:
                return NoPaper(reason)
            case answer:
                raise self._http.unusable(f"wrap {effect.idempotency_key}", str(answer))

    async def unwrap(self, effect: Effect) -> Unwrapped:
        """See `Wrapper`."""
        await self._http.call("POST", "/unwraps", effect.idempotency_key, effect.payload)
        return Unwrapped()


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
