"""Fetches the books to compare.

Participants serve their own books, and the ledgers of the outside services that they call; the
orders come from the monitor's tables.
"""

from collections.abc import Iterator, Mapping
from dataclasses import fields
from datetime import datetime
from typing import Any, TypeVar

import httpx2
from pydantic import TypeAdapter, ValidationError
from sqlalchemy import Engine, text

from saga_monitor.reconciliation.compare import (
    Books,
    ChargeRow,
    LabelRow,
    OrderRow,
    PaymentRow,
    Refund,
    ReservationRow,
    ShipmentRow,
    SkuRow,
)
from saga_monitor.storage.tables import live_and_history

T = TypeVar("T")
PAGE = 10_000
TIMEOUT_S = 60.0
LEDGERS: Mapping[str, Any] = {"charges": ChargeRow, "refunds": Refund, "labels": LabelRow}
BOOKS: Mapping[str, Any] = {
    "payments": PaymentRow,
    "shipments": ShipmentRow,
    "reservations": ReservationRow,
    "stock": SkuRow,
}
"""Name of a book at its participant, see `sagakit.web.ledger_pages` -> type of its rows. Each
participant is asked which ones it keeps."""
# Includes the history tables: the outside world's ledgers reach further back than `saga`.
ORDERS = text(f"""
    SELECT saga, status, updated_at <= :before AS quiet,
           coalesce(captured_minor, 0) AS captured_minor,
           coalesce(refunded_minor, 0) AS refunded_minor
    FROM {live_and_history("saga", "saga, status, updated_at")}
    LEFT JOIN (
        SELECT saga, CAST(sum(added) AS bigint) AS captured_minor,
               CAST(sum(removed) AS bigint) AS refunded_minor
        FROM {live_and_history("balance", "saga, name, added, removed")}
        WHERE name = 'money' GROUP BY saga) AS money USING (saga)
    WHERE status <> 'unplaced'
""")


class SourceUnavailable(Exception):
    """Books cannot be read; the message names the source that failed, and the remedy."""


class BookReader:
    """Reads all books over HTTP. `participants`: name -> base URL of any replica."""

    def __init__(self, participants: Mapping[str, str]) -> None:
        self._urls = {name: url.rstrip("/") for name, url in participants.items()}
        self._client = httpx2.Client(timeout=TIMEOUT_S, trust_env=False)

    def read(self) -> dict[str, Any]:
        """Return the fields of `Books` except the orders. Raises SourceUnavailable.

        The ledgers are read first and the work in progress last. So a change in between is still in
        progress, or in the log after the start of the run, and its order is not compared.
        """
        if not self._urls:
            raise SourceUnavailable("the monitor knows no participant; set SAGA_PARTICIPANTS")
        kept = {who: self._get(f"{url}/admin/books", {}) for who, url in self._urls.items()}
        found: dict[str, Any] = dict.fromkeys((*LEDGERS, *BOOKS), ())
        for kind, shapes in (("ledgers", LEDGERS), ("books", BOOKS)):
            for who, url in self._urls.items():
                for name in sorted(shapes.keys() & set(kept[who][kind])):
                    rows = self._rows(f"{url}/admin/{kind}/{name}", shapes[name])
                    found[name] = (*found[name], *rows)
        missing = sorted(name for name in (*LEDGERS, *BOOKS) if not self._kept(kept, name))
        if missing:
            who = ", ".join(sorted(self._urls))
            raise SourceUnavailable(
                f"none of {who} keeps {', '.join(missing)}; add the missing participant to "
                "SAGA_PARTICIPANTS"
            )
        busy = (self._pages(f"{url}/admin/books/busy") for url in self._urls.values())
        found["busy"] = frozenset(row["saga"] for rows in busy for row in rows)
        return found

    def _kept(self, kept: Mapping[str, Any], name: str) -> bool:
        return any(name in (*names["books"], *names["ledgers"]) for names in kept.values())

    def _rows(self, url: str, shape: type[T]) -> list[T]:
        wanted = {field.name for field in fields(shape)}  # type: ignore[arg-type]
        rows = [{k: v for k, v in row.items() if k in wanted} for row in self._pages(url)]
        try:
            return TypeAdapter(list[shape]).validate_python(rows)  # type: ignore[valid-type]
        except ValidationError as error:
            wrong = error.errors()[0]
            raise SourceUnavailable(
                f"{url} sent a row of the wrong form: {wrong['msg']}"
            ) from error

    def _pages(self, url: str) -> Iterator[Mapping[str, Any]]:
        cursor = "offset" if "/ledgers/" in url else "after"
        more: Any = None
        while True:
            query = {"limit": PAGE, **({cursor: more} if more is not None else {})}
            answer = self._get(url, query)
            yield from answer["data"]
            more = answer["next"]
            if more is None:
                return

    def _get(self, url: str, params: Mapping[str, Any]) -> Any:
        try:
            answer = self._client.get(url, params=params)
            if answer.is_error:
                raise SourceUnavailable(f"{url} answers {answer.status_code}: {answer.text[:300]}")
            return answer.json()
        except (httpx2.HTTPError, ValueError) as error:
            failure = f"{url}: {type(error).__name__}: {error}".rstrip(": ")
            raise SourceUnavailable(f"{failure}; is that participant running?") from error


def orders(engine: Engine, before: datetime) -> dict[str, OrderRow]:
    """Return the placed orders by saga key. quiet: no event of the order came after `before`."""
    with engine.connect() as connection:
        rows = connection.execute(ORDERS, {"before": before})
        return {row.saga: OrderRow(*row) for row in rows}


def join_books(found: Mapping[str, Any], known: Mapping[str, OrderRow]) -> Books:
    """Return the fetched books and the known orders as one `Books`."""
    return Books(orders=known, **found)
