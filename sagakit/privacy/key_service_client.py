"""Opens sealed texts (`sealed_text`) over HTTP, through the service that keeps the keys."""

import asyncio
from collections.abc import Sequence

import orjson

from sagakit.bounded_http import HttpClient, NoAnswer
from sagakit.errors import EffectFailed
from sagakit.gathering import Gatherer
from sagakit.privacy.sealed_text import KeyErased, is_sealed
from sagakit.shared_secret import bearer_header

PATH = "/sealed/open"
TIMEOUT_S = 5.0
MAX_TEXTS = 100
"""The most texts of one request."""
MAX_ANSWER_BYTES = 1024 * 1024


class KeyServiceClient:
    """Asks the key service at `base_url` to open sealed texts.

    None: there is no key service, and no sealed text can be opened. `POST /sealed/open` with
    `texts` answers `texts`, null for each text whose key is gone. The texts in clear pass no proxy
    of the environment. caller: who asks, for the key service's audit; token: what it sends, with
    the scope `vault`.
    """

    def __init__(
        self,
        base_url: str | None,
        client: HttpClient | None = None,
        *,
        caller: str = "",
        token: str | None = None,
    ) -> None:
        self._client = client or HttpClient(proxies=False)
        self._url = base_url.rstrip("/") + PATH if base_url else None
        self._headers = {"Saga-Caller": caller, **bearer_header(token)}
        self._opened = Gatherer(self._open_together, MAX_TEXTS)

    async def close(self) -> None:
        """Close the connections."""
        await self._client.close()

    async def open(self, *texts: str) -> list[str]:
        """Return the texts in clear; a text that is not sealed is returned unchanged.

        What is asked for at once goes in one request. Raises KeyErased if a key is gone, and
        EffectFailed if no texts can be opened now: try again.
        """
        wanted = [text for text in texts if is_sealed(text)]
        opened = dict(
            zip(wanted, await asyncio.gather(*(self._opened(text) for text in wanted)), strict=True)
        )
        if None in opened.values():
            raise KeyErased("the person's data was erased")
        return [str(opened.get(text, text)) for text in texts]

    async def _open_together(self, wanted: Sequence[str]) -> list[str | None]:
        if self._url is None:
            raise EffectFailed(
                "the text is sealed, but SAGA_VAULT_URL is not set; set it to the key service's URL"
            )
        try:
            answer = await self._client.answer(
                "POST",
                self._url,
                most_bytes=MAX_ANSWER_BYTES,
                timeout_s=TIMEOUT_S,
                json={"texts": wanted},
                headers=self._headers,
            )
        except NoAnswer as error:
            raise _failed(str(error)) from error
        texts = _texts_of(answer.body) if answer.status == 200 else None
        if texts is None or len(texts) != len(wanted):  # it may hold clear texts: do not quote it
            raise _failed(f"status {answer.status} and an unexpected answer")
        return texts


def _failed(reason: str) -> EffectFailed:
    return EffectFailed(f"key service, POST {PATH}: {reason}; will be retried")


def _texts_of(raw: bytes) -> list[str | None] | None:
    """Return the texts of an answer, None if it has another form."""
    try:
        answer = orjson.loads(raw)
    except orjson.JSONDecodeError:
        return None
    match answer:
        case {"texts": list(texts)} if all(isinstance(text, str | None) for text in texts):
            return texts
    return None
