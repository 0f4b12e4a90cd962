"""Reads the provider's own ledger for reconciliation: the port and its HTTP adapter.

Contract of the provider: `GET /v1/charges` and `GET /v1/refunds` with `offset` and `limit`, each
answered with `data` and `total`, rows in the sequence in which they were written.
"""

from collections.abc import Sequence
from typing import Any, Protocol

from sagakit.bounded_http import HttpClient
from sagakit.effects.http_gateway import HttpGateway
from sagakit.web.ledger_pages import Row

MOVED = ("refunded", "partial", "pending")
"""Statuses of refunds that have moved money, or are under way."""
Page = tuple[Sequence[Row], int | None]


class Statement(Protocol):
    """The port to a provider's ledger, read from the first row on in pages of at most `limit`.

    Each page comes with the offset of the next, None at the end. Both methods raise EffectFailed.
    """

    async def charges(self, offset: int, limit: int) -> Page:
        """Return money taken: `saga`, `charge_id`, `amount_minor`, `currency`."""
        ...

    async def refunds(self, offset: int, limit: int) -> Page:
        """Return refunds, made or pending: `saga`, `refund_id`, `charge_id`, `amount_minor`."""
        ...


class HttpStatement:
    """Reads the ledger over HTTP. The caller closes `client`; `base_url` has no path."""

    def __init__(self, client: HttpClient, base_url: str) -> None:
        self._http = HttpGateway("provider", client, base_url)

    async def charges(self, offset: int, limit: int) -> Page:
        """See `Statement`."""
        rows, more = await self._http.page("/v1/charges", offset, limit)
        taken = [row for row in rows if row.get("status") == "captured"]
        return [
            self._line(row, charge_id=row.get("id"), currency=row.get("currency")) for row in taken
        ], more

    async def refunds(self, offset: int, limit: int) -> Page:
        """See `Statement`."""
        rows, more = await self._http.page("/v1/refunds", offset, limit)
        given = [row for row in rows if row.get("status") in MOVED]
        return [
            self._line(row, refund_id=row.get("id"), charge_id=row.get("charge_id"))
            for row in given
        ], more

    def _line(self, row: Row, **words: Any) -> Row:
        """Return a row with payment's field names. Raises EffectFailed if a field is missing."""
        words["saga"] = row.get("reference")
        amount_minor = row.get("amount_minor")
        if not isinstance(amount_minor, int) or not all(isinstance(w, str) for w in words.values()):
            raise self._http.unusable("a row of the ledger", row)
        return {**words, "amount_minor": amount_minor}
