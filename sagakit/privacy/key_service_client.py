"""Opens sealed texts (`sealed_text`) over HTTP, through the service that keeps the keys."""

from collections.abc import Sequence

import httpx2

from sagakit.errors import EffectFailed, without_login
from sagakit.privacy.sealed_text import KeyErased, is_sealed

TIMEOUT_S = 5.0


class KeyServiceClient:
    """Asks the key service at `base_url` to open sealed texts.

    None: there is no key service, and no sealed text can be opened. The caller closes `client`.
    `POST /sealed/open` with `texts` answers `texts`, null for each text whose key is gone.
    """

    def __init__(self, client: httpx2.AsyncClient, base_url: str | None) -> None:
        self._client = client
        self._base_url = base_url.rstrip("/") if base_url else None

    async def open(self, *texts: str) -> list[str]:
        """Return the texts in clear; a text that is not sealed is returned unchanged.

        Raises Erased if a key is gone, and EffectFailed if no texts can be opened now: try again.
        """
        wanted = [text for text in texts if is_sealed(text)]
        if not wanted:
            return list(texts)
        if self._base_url is None:
            raise EffectFailed(
                "the text is sealed, but SAGA_VAULT_URL is not set; set it to the key service's URL"
            )
        opened = dict(zip(wanted, await self._opened(wanted), strict=True))
        return [opened.get(text, text) for text in texts]

    async def _opened(self, wanted: Sequence[str]) -> list[str]:
        url = f"{self._base_url}/sealed/open"
        try:
            answer = await self._client.post(url, json={"texts": wanted}, timeout=TIMEOUT_S)
            answer.raise_for_status()
            texts = answer.json()["texts"]
        except (httpx2.HTTPError, httpx2.InvalidURL, ValueError, KeyError, TypeError) as error:
            raise _failed(url, f"{type(error).__name__}: {error}") from error
        if not isinstance(texts, list) or len(texts) != len(wanted):
            raise _failed(url, "unexpected answer")
        if None in texts:
            raise KeyErased("the customer's data was erased")
        return [str(text) for text in texts]


def _failed(url: str, reason: str) -> EffectFailed:
    return EffectFailed(without_login(f"key service {url}: {reason}; will be retried"))
