"""The reader of books and ledgers: one that never ends is an error, not an endless run."""

import httpx2
import pytest

from saga_monitor.reconciliation import sources
from saga_monitor.reconciliation.sources import BookReader, SourceUnavailable
from shop.reconciliation import RULES


def test_a_ledger_whose_total_always_grows_is_given_up(monkeypatch: pytest.MonkeyPatch) -> None:
    def answer(request: httpx2.Request) -> httpx2.Response:
        if request.url.path.endswith("/admin/books"):
            return httpx2.Response(200, json={"books": [], "ledgers": ["labels"]})
        offset = int(request.url.params.get("offset", 0))
        return httpx2.Response(200, json={"data": [], "next": offset + 1})

    client = httpx2.Client(transport=httpx2.MockTransport(answer))
    monkeypatch.setattr(httpx2, "Client", lambda **how: client)
    monkeypatch.setattr(sources, "MOST_PAGES", 3)
    with pytest.raises(SourceUnavailable, match="/admin/ledgers/labels does not end"):
        BookReader({"shipping": "http://shipping"}).read(RULES)
